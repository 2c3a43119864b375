"""Everything that happens to checkouts, once each."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.confirm_checkout import CancelCheckout
from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.settle_checkout import SettleCheckouts
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, FIAT_OUT
from otcdesk.domain.orders import Order
from otcdesk.errors import Refusal
from tests.support.checkouts import ADDRESS, BANK, NETWORK, confirming, opening
from tests.support.clocks import SteeredClock
from tests.support.payouts import B1, done, refused

#: As much as it takes, at any price of the lane.
_AMPLE = Decimal(1_000)


async def checked_out(story: Any, clock: SteeredClock) -> None:
    """Let it happen, in a lane that has the world of the ramp contract and whose treasury has some of its asset."""
    settled, failed, waiting, late, unwanted, open_still = [
        await _opened(story, f"checkout-{number}") for number in range(6)
    ]
    for order_id, ending in ((settled, done), (failed, refused), (waiting, None)):
        payout: Order = (await story.tell(confirming(order_id), B1)).payout
        with pytest.raises(Refusal):
            await story.tell(confirming(order_id), B1)
        if ending is not None:
            await story.tell(ending(payout))
    await story.tell(CancelCheckout(order_id=unwanted), B1)
    await _paid_in(story)
    clock.advance(seconds=3_600)
    assert (await story.tell(RecordDue(order_ids=[late]))).recorded == 1
    await story.tell(RecordDue(order_ids=[open_still]))
    await _opened(story, "checkout-still-open")


async def _opened(story: Any, nonce: str, side: str = FIAT_OUT, **fields: Any) -> UUID:
    amount = {"amount": "20.00"} if side == FIAT_OUT else {}
    ceiling = {"ceiling": _AMPLE} if side == FIAT_OUT else {}
    command = opening(side, **{**amount, **ceiling, **fields})
    first = await story.tell(command, B1, nonce)
    assert await story.tell(command, B1, nonce) == first
    order_id: UUID = first.order_id
    return order_id


async def _paid_in(story: Any) -> None:
    """Let an asset arrive in two parts, fiat under a reference, and some of another that is still waited for."""
    await _opened(story, "asset", ASSET_IN, amount="25")
    other = GivenAddress(network=NETWORK, address=ADDRESS[:-1] + "9")
    promised = await _opened(story, "asset waited for", ASSET_IN, amount="25", address=other)
    await story.tell(confirming(promised, arrival_seconds=86_400), B1)
    for number, address, units in ((1, ADDRESS, 10_000_000), (2, ADDRESS, 15_000_000), (3, other.address, 1)):
        await story.tell(_arrival(f"tx-{number}", "USDC", units, network=NETWORK, destination=address))
    fiat = await story.tell(opening(FIAT_IN, amount="10.00"), B1, "fiat")
    reference = fiat.checkout.reference
    await story.tell(_arrival("wire-1", "EUR", 1_000, destination=BANK.name, reference=reference))
    await _paid_in_without_a_price(story)


async def _paid_in_without_a_price(story: Any) -> None:
    """Let fiat arrive that cannot be bought for: some of it is bought for later, all of it or a part still waits."""
    later, paid, part = [
        (await story.tell(opening(FIAT_IN, amount="10.00"), B1, f"fiat {number}")).checkout.reference
        for number in range(3)
    ]
    await story.tell(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    for number, (reference, units) in enumerate(((later, 400), (later, 600), (paid, 1_000), (part, 300))):
        wire = _arrival(f"late wire-{number}", "EUR", units, destination=BANK.name, reference=reference)
        await story.tell(wire)
    await story.tell(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=True))
    assert (await story.tell(SettleCheckouts(places=[later]))).bought == 2


def _arrival(outside_id: str, asset: str, units: int, **told: Any) -> RecordDeposit:
    return RecordDeposit(asset=asset, units=units, outside_id=f"checkout {outside_id}", stage="settled", **told)
