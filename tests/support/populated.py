"""A lane in which everything has happened once: each kind of row, each state of an order, batches small and large."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.adjust_payout import AdjustPayout
from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.keep_party import KeepParty
from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.actions.publish_price import PublishPrice, SetPrice, SwitchFeed
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.actions.record_notice import RecordNotice
from otcdesk.actions.register_party import AcceptAgreements, RegisterParty
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement, SetFault
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.domain.parties import Party, named_party_id
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.domain.world_brokerage import agreement_id
from otcdesk.engine.engine import Engine
from otcdesk.errors import Refusal
from tests.support.brokerage import OFFERS_WORLD, TENANT_OF, P, Q, U, V, W, accepting, quoting
from tests.support.brokerage import done as executed
from tests.support.brokerage import refused as turned_down
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, FB1, WA1, WB1, A, B, Lane, make_engine, new_lane, submit
from tests.support.payouts import B1, B2, BR, CEILING, DE, JP, KW, PARTY_OF, RAMP_WORLD, preparing, returning, selling
from tests.support.payouts import done as paid
from tests.support.payouts import refused as not_paid
from tests.support.populated_bank_files import banked
from tests.support.populated_checkouts import checked_out
from tests.support.populated_deposits import deposited
from tests.support.populated_guards import guarded
from tests.support.populated_limits import restricted
from tests.support.populated_resales import resold

_CASH = {A: FA1, B: FB1}
_WALLET = {A: WA1, B: WB1}


class Story:
    """Says what happens in a lane, in a few words."""

    def __init__(self, engine: Engine, lane: Lane) -> None:
        self.engine = engine
        self.lane = lane.number

    async def tell(
        self,
        command: Command,
        owner_id: UUID | None = None,
        key: str | None = None,
        *,
        caller: str | None = None,
        in_person: InPerson | None = None,
    ) -> Any:
        if owner_id is None:
            named = caller or "operator"
            return await submit(self.engine, self.lane, command, caller=named, key=key, in_person=in_person)
        return await submit(self.engine, self.lane, command, owner_id=owner_id, caller="key", key=key)

    async def buy(self, owner_id: UUID = A, units: int = 25_000) -> Order:
        command = QuoteBuy(
            source_account_id=_CASH[owner_id], destination_account_id=_WALLET[owner_id], source_units=units
        )
        order: Order = (await self.tell(command, owner_id)).order
        return order

    async def sell(self, owner_id: UUID = A, units: int = 20_000_000) -> Order:
        command = QuoteSell(
            source_account_id=_WALLET[owner_id],
            destination_account_id=_CASH[owner_id],
            source_units=units,
            live_units=units,
        )
        order: Order = (await self.tell(command, owner_id)).order
        return order

    async def sell_payout(
        self, arrives: str = "10.00", tenant_id: UUID = B1, channel_id: UUID = DE, **fields: Any
    ) -> Order:
        """Prepare and sell, twice with the same nonce; of the tenant's own party unless told otherwise."""
        asked = {"channel_id": channel_id, "party_id": PARTY_OF[tenant_id], **fields}
        prepared = (await self.tell(preparing(arrives, **asked), tenant_id)).prepared
        command, key = selling(prepared, CEILING), str(uuid4())
        answer = await self.tell(command, tenant_id, key)
        assert await self.tell(command, tenant_id, key) == answer
        order: Order = answer.order
        return order

    async def confirm(self, order: Order) -> Order:
        key = str(uuid4())
        command = ConfirmConversion(order_id=order.id, side=order.side)
        answer = await self.tell(command, order.tenant_id, key)
        assert await self.tell(command, order.tenant_id, key) == answer
        return order

    async def approve(self, order: Order, rate: str | None = None) -> Order:
        command = ApproveConversion(order_id=order.id, rate=None if rate is None else Decimal(rate))
        approved: Order = (await self.tell(command)).order
        return approved

    async def leg(self, order: Order, outcome: Any = "done", detail: str | None = None) -> Order:
        command = RecordLeg(order_id=order.id, reference=order.rail_reference or "", outcome=outcome, detail=detail)
        recorded = await self.tell(command)
        assert recorded.applied
        after: Order = recorded.order
        return after


async def populated(dsn: str) -> Lane:
    """Open a lane and let everything happen in it."""
    clock = SteeredClock()
    lane = await new_lane(dsn, clock=clock)
    async with make_engine(dsn, clock=clock) as engine:
        story = Story(engine, lane)
        await _bookings(story)
        await _buys(story)
        await _sells(story)
        await _ends_without_money(story, clock)
        await brokered(story, clock)
        await paid_out(story)
        await banked(story)
        await deposited(story)
        await checked_out(story, clock)
        await resold(story, clock)
        await restricted(story, clock)
        await guarded(story, clock)
        await _steering(story, clock)
        await asyncio.gather(*[story.buy(owner_id) for owner_id in (A, B) * 4])
    return lane


async def _bookings(story: Story) -> None:
    for command in (
        Deposit(account_id=FA1, units=500_000, reason="wire", reference="bank-1"),
        Withdraw(account_id=FB1, units=1_000, reason="wire", reference="bank-2"),
        Adjust(account_id=WB1, units=-5, reason="dust", reference="ticket-3"),
    ):
        key = str(uuid4())
        answer = await story.tell(command, key=key)
        assert await story.tell(command, key=key) == answer
    with pytest.raises(Refusal):
        await story.tell(Withdraw(account_id=FB1, units=10**12, reason="too much", reference="bank-4"))


async def _buys(story: Story) -> None:
    quotes = await asyncio.gather(*[story.buy(owner_id) for owner_id in (A, A, B, B)])
    done, retried, paying, waiting = await asyncio.gather(*[story.confirm(order) for order in quotes])
    await story.leg(await story.approve(done))
    refused = await story.leg(await story.approve(retried, rate="1.08"), "refused", "the chain said no")
    await story.leg(await story.approve(refused))
    assert (await story.approve(paying)).waits_for == "chain"
    assert waiting.side == BUY
    await story.tell(RejectConversion(order_id=(await story.confirm(await story.buy())).id, reason="no papers"))
    await story.tell(SetDebitSettlement(after_ms=None))
    for outcome in ("settled", "failed"):
        order = await story.confirm(await story.buy(B))
        await story.tell(SettleDebit(order_id=order.id, outcome=outcome))
    await story.confirm(await story.buy())  # its debit stays pending
    await story.tell(SetDebitSettlement(after_ms=0))


async def _sells(story: Story) -> None:
    quotes = await asyncio.gather(*[story.sell(owner_id) for owner_id in (A, A, B, B, A)])
    done, failed, collecting, paying, uncollected = [await story.confirm(order) for order in quotes]
    await story.leg(await story.leg(await story.approve(done)))
    returning = await story.leg(await story.leg(await story.approve(failed)), "refused", "bank closed")
    assert (await story.leg(returning)).state == "failed"
    await story.approve(collecting)
    await story.leg(await story.approve(paying))
    await story.leg(await story.approve(uncollected), "refused")
    requoted = await story.tell(RequoteConversion(order_id=uncollected.id, rate=Decimal("0.93"), ttl_seconds=600))
    assert requoted.order.side == SELL
    await story.confirm(uncollected)
    returned = await story.leg(await story.leg(await story.approve(uncollected)), "refused")
    assert returned.state == "returning"


async def _ends_without_money(story: Story, clock: SteeredClock) -> None:
    cancelled, late, forgotten = [await story.buy() for _ in range(3)]
    await story.tell(CancelConversion(order_id=cancelled.id), A)
    with pytest.raises(Refusal):  # the refusal stays with its key
        await story.tell(ConfirmConversion(order_id=cancelled.id, side=BUY), A, str(uuid4()))
    clock.advance(seconds=61)
    with pytest.raises(Refusal):
        await story.tell(ConfirmConversion(order_id=late.id, side=BUY), A, str(uuid4()))
    assert (await story.tell(RecordDue(order_ids=[late.id, forgotten.id]))).recorded == 2
    await story.tell(RequoteConversion(order_id=forgotten.id))


async def brokered(story: Story, clock: SteeredClock) -> None:
    """Let everything happen once that happens to quotes, to parties and beside them."""
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(OFFERS_WORLD))))
    party: Party = (await story.tell(RegisterParty(external_id="Late"), P)).party
    await story.tell(AcceptAgreements(party_id=party.id, agreement_ids=(agreement_id("general-1"),)), P)
    bought, sold, refused, waiting = [
        (await story.tell(quoting(*asked, party_id=who), TENANT_OF.get(who, P))).order
        for who, asked in (
            (W, ("buy", "40.00")),
            (U, ("sell", "0.01", "asset")),
            (V, ("buy", "10.00")),
            (party.id, ("buy", "100.00")),
        )
    ]
    for order, who in ((bought, W), (sold, U), (refused, V), (waiting, party.id)):
        command = accepting(order, f"ext of {order.id}", party_id=who)
        first = await story.tell(command, order.tenant_id, command.external_id)
        assert await story.tell(command, order.tenant_id, command.external_id) == first
    for order in (bought, sold):
        assert (await story.tell(executed(order.with_(rail_reference=f"{order.id}:2")))).order.state == "finished"
    assert (await story.tell(turned_down(refused.with_(rail_reference=f"{refused.id}:2")))).order.state == "failed"
    old, unasked = [(await story.tell(quoting("buy", "5.00"), P)).order for _ in range(2)]
    accepted = await story.tell(accepting(unasked, None, repeats=False), P)
    assert accepted.state == "in_progress"
    await story.tell(SwitchTrading(asset="GOLD", sell_enabled=False, dividend_pending=True))
    await story.tell(SetParty(party_id=V, status="inactive", level_id=None, tax_bps=100))
    await story.tell(
        RecordNotice(
            kind="settlement",
            reference=str(bought.id),
            transaction_id="bank-5",
            direction="debit",
            fiat="EUR",
            amount=Decimal("40.00"),
            balance_after=None,
            noticed_at=clock.now(),
        ),
        Q,
    )
    clock.advance(seconds=60)
    assert (await story.tell(RecordDue(order_ids=[old.id]))).recorded == 1
    await story.tell(quoting("buy", "5.00"), P)  # stays as it was made


async def paid_out(story: Story) -> None:
    """Let everything happen once that happens to payouts."""
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(RAMP_WORLD))))
    await story.tell(KeepParty(external_id="Late", kind="business", country="FR", details="{}"), B1)
    late = named_party_id(B1, "Late")
    settled, returned, failed, waiting, held, cancelling = [await story.sell_payout() for _ in range(6)]
    twice = await story.sell_payout("20.00", party_id=late)
    by_hand = await story.sell_payout("1000", channel_id=JP)
    surcharged = await story.sell_payout("50.00", B2, asset="BTC")
    others = [await story.sell_payout(*asked) for asked in (("5", B2, BR), ("1.001", B2, KW))]
    for order in (settled, returned, twice, surcharged, *others):
        assert (await story.tell(paid(order))).order.state == "settled"
    assert (await story.tell(not_paid(failed))).order.state == "failed"
    assert waiting.waits_for == "payout"
    for order in (held, cancelling, by_hand):
        await story.tell(HoldPayout(order_id=order.id, reason="looked into"))
    for order in (cancelling, by_hand):
        await story.tell(CancelPayout(order_id=order.id, reason="no papers"))
    released = await story.sell_payout("10.00", party_id=None)
    await story.tell(HoldPayout(order_id=released.id, reason="looked into"))
    await story.tell(ReleasePayout(order_id=released.id))
    assert (await story.tell(returning(returned, 1_000))).applied
    assert (await story.tell(returning(twice, 1_999))).applied
    credit = AdjustPayout(order_id=settled.id, side="credit", units=5, reason="wrong rate")
    adjustment = (await story.tell(credit, key="a-1")).payment.adjustment_id
    debit = AdjustPayout(order_id=twice.id, side="debit", units=7, reason="wrong rate", adjustment_id=adjustment)
    for command, key in ((credit, "a-1"), (debit, "a-2")):
        answer = await story.tell(command, key=key)
        assert await story.tell(command, key=key) == answer
    unsold = (await story.tell(preparing("30.00"), B1)).prepared
    with pytest.raises(Refusal):
        await story.tell(selling(unsold, "1"), B1, "too dear")


async def _steering(story: Story, clock: SteeredClock) -> None:
    pair = {"source_asset": "EUR", "destination_asset": "USDC"}
    await story.tell(PublishPrice(**pair, rate=Decimal("1.09"), feed="ticker", stale_after_ms=60_000))
    await story.tell(SetPrice(**pair, rate=Decimal("1.1"), lasts_seconds=600))
    await story.tell(SwitchFeed(**pair, up=False))
    await story.tell(SetFault(rail="chain", mode="refuse", delay_ms=10))
    await story.tell(SetClock(offset_ms=1_500, frozen_at=None))
    await story.tell(SetClock(offset_ms=0, frozen_at=clock.now() + timedelta(microseconds=1)))
