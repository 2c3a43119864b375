"""Checkouts on the world of the ramp contract, step by step."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from otcdesk.actions.confirm_checkout import CheckoutMoved, ConfirmCheckout
from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails
from otcdesk.actions.open_checkout import CheckoutOpened, OpenCheckout
from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, FIAT_OUT
from tests.support.payouts import B1, DE, given
from tests.support.pure import PureDesk

ADDRESS = "0x00112233445566778899aabbccddeeff00112233"
NETWORK = "Ethereum"
BANK = GivenBankDetails(
    fiat="EUR",
    name="Bank/Sepa/EUR/OTCDDEFF/DE02500105170137075030",
    type="BankSepa",
    country="DE",
    number="DE02500105170137075030",
    bank_code="OTCDDEFF",
    holder="user-b1",
)

_AMOUNTS = {ASSET_IN: "25", FIAT_IN: "100.00", FIAT_OUT: "100.00"}


def opening(side: str = FIAT_OUT, amount: str | None = None, **fields: Any) -> OpenCheckout:
    """Open a checkout of Ada's: by default 100 EUR to be paid to her."""
    paid_in = {"address": GivenAddress(network=NETWORK, address=ADDRESS)} if side == ASSET_IN else {}
    told: dict[str, Any] = {
        "side": side,
        "party": "cust-001",
        "asset": "USDC",
        "fiat": None if side == ASSET_IN else "EUR",
        "amount": Decimal(amount or _AMOUNTS[side]),
        "ceiling": Decimal("111.429348") if side == FIAT_OUT else None,
        "return_url": "https://shop.example/back",
        "items": "[]",
        "external_id": "cart-7",
        "token_hash": "00" * 32,
        "validity_seconds": 3_600,
        **paid_in,
        **({"bank": BANK, "category": "bank"} if side == FIAT_IN else {}),
    }
    return OpenCheckout(**{**told, **fields})


def opened(desk: PureDesk, side: str = FIAT_OUT, *, tenant: UUID = B1, **fields: Any) -> CheckoutOpened:
    reply: CheckoutOpened = desk.act(opening(side, **fields), owner_id=tenant, caller="key")
    return reply


def confirming(order_id: UUID, **fields: Any) -> ConfirmCheckout:
    """Confirm to be paid at Ada's bank."""
    return ConfirmCheckout(**{"order_id": order_id, "channel_id": DE, "given": given(), **fields})


def confirmed(desk: PureDesk, order_id: UUID, *, tenant: UUID = B1, **fields: Any) -> CheckoutMoved:
    reply: CheckoutMoved = desk.act(confirming(order_id, **fields), owner_id=tenant, caller="page")
    return reply


def arrival(
    desk: PureDesk, units: int, *, asset: str = "USDC", network: str | None = NETWORK, at: str = ADDRESS, **told: Any
) -> None:
    """Let a deposit settle, by default at the address."""
    desk.act(
        RecordDeposit(
            network=network,
            destination=at,
            asset=asset,
            units=units,
            outside_id=str(desk.clock.new_id()),
            stage="settled",
            **told,
        )
    )


def wired(desk: PureDesk, units: int, reference: str | None, asset: str = "EUR") -> None:
    """Let a transfer arrive at the bank."""
    arrival(desk, units, asset=asset, network=None, at=BANK.name, reference=reference)
