"""Carry payouts to their provider, each until the provider has said for ever what became of it, and book what returns.

A payout that is pending is asked for; one that is being cancelled is cancelled, under the same reference, and either
word may come first. A provider may take days to decide: what it has not decided rests and is asked for again, for
longer each time. How orders are claimed is in `waves.py`. Who calls is not told here: nobody waits for a payout.
"""

from typing import Literal
from uuid import UUID

import structlog

from otcdesk.actions.record_payout import PayoutRecorded, RecordPayout, RecordReturn
from otcdesk.desk import Desk
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import CANCELLING, PAYOUT_RAIL, rail_reference
from otcdesk.errors import Refusal
from otcdesk.rails.payout_work import PayoutWork
from otcdesk.rails.protocols import PayoutReturn, PayoutWord, RailUnknown
from otcdesk.storage.database import Reads
from otcdesk.workers.waves import Pace, Undecided, Watch, Waves, kept, nobody_watches

log = structlog.get_logger()

WORKER = "worker:payouts"

#: So many returns are booked in one go.
_RETURNS_MAX = 1_000


class Payouts(Waves[PayoutWork]):
    """The payout worker of this process."""

    rail = PAYOUT_RAIL
    claims = "claim_payouts"
    kind = PayoutWork

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = nobody_watches) -> None:
        settings = desk.settings
        pace = Pace(
            orders_max=settings.payout_orders_max,
            timeout_ms=settings.payout_timeout_ms,
            retry_ms=settings.payout_retry_ms,
            rests_max=max(1, settings.payout_rest_ms_max // settings.payout_retry_ms),
        )
        super().__init__(desk, holder, reads, pace, watch)

    async def conclude(self, one: PayoutWork) -> None:
        """Ask the provider and record what it says; raises Undecided, RailUnavailable or RailUnknown."""
        word = await self.answer(self._word(one))
        self.watch(word.outcome)
        if word.outcome == "pending":
            raise Undecided
        await self.record(one, word.outcome, word.detail)

    async def record(self, one: PayoutWork, outcome: Literal["done", "refused"], detail: str) -> Order:
        """Hand a provider's final word to the books; returns the order after it."""
        command = RecordPayout(
            order_id=one.order_id, reference=one.reference, outcome=outcome, detail=kept(detail) or None
        )
        recorded: PayoutRecorded = await self.desk.submit_as_worker(one.lane, WORKER, command)
        if not recorded.agrees:
            self.contradicted(one, recorded=recorded.order.state, told=outcome, detail=detail)
        return recorded.order

    async def payout(self, lane: int, order_id: UUID) -> PayoutWork | None:
        """Return what a payout is about, whether it waits or not; None for what is none."""
        reference = rail_reference(order_id)
        return await self.reads.row("leases", "payout", PayoutWork, lane, order_id, reference)

    async def book_returns(self, lane: int | None = None) -> bool:
        """Book what has come back, of all lanes or of one; returns whether there may be more.

        What the books do not take yet is told again: the payout is not settled in them, or the treasury is empty.
        """
        found = await self.desk.payouts.returns(_RETURNS_MAX, lane)
        for one in found:
            await self._book_return(one)
        return False

    async def _book_return(self, one: PayoutReturn) -> None:
        command = RecordReturn(
            order_id=one.order_id,
            fiat_units=one.amount.units,
            reference=f"{one.reference}:return",
            reason=None if one.reason is None else kept(one.reason),
        )
        try:
            recorded: PayoutRecorded = await self.desk.submit_as_worker(one.lane, WORKER, command)
        except Refusal as refusal:
            log.warning("return_not_booked", lane=one.lane, reference=one.reference, refused=refusal.code.name)
            return
        if not recorded.agrees:
            log.error("return_differs", lane=one.lane, reference=one.reference, told=str(one.amount))
        await self.desk.payouts.acknowledge(one)

    async def _word(self, one: PayoutWork) -> PayoutWord:
        rail = self.desk.payouts
        if one.state != CANCELLING:
            return await rail.pay(one.instruction)
        word = await rail.cancel(one.instruction)
        if word.outcome == "pending":
            raise RailUnknown("the provider has not decided on a cancellation")
        return word
