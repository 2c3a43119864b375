"""Carry payouts to their provider, each until the provider has said for ever what became of it, and book what returns.

A payout that is pending is asked for; one that is being cancelled is cancelled, under the same reference, and either
word may come first. A provider may take days to decide: what it has not decided rests and is asked for again, for
longer each time, unless it is cancelled meanwhile; so is what came back and the books refuse. How orders are claimed is
in `waves.py`. Who calls is not told here: nobody waits for a payout.
"""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from otcdesk.actions.record_payout import PayoutRecorded, RecordPayout, RecordReturn
from otcdesk.desk import Desk
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import CANCELLING, PAYOUT_RAIL, rail_reference
from otcdesk.errors import Code, Refusal
from otcdesk.rails.payout_work import PayoutWork
from otcdesk.rails.protocols import PayoutReturn, PayoutWord, RailUnknown
from otcdesk.storage.database import Reads
from otcdesk.workers.waves import Pace, Undecided, Watch, Waves, kept, nobody_watches

log = structlog.get_logger()

WORKER = "worker:payouts"

#: So many returns are booked in one go, besides those that rest.
_RETURNS_MAX = 1_000


class _Refused(msgspec.Struct, frozen=True, gc=False):
    """A return that the books refused: why and how often, and until when it rests."""

    code: Code
    tries: int
    until: datetime


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
        #: By lane and reference. It is forgotten with the process, which costs a try and a warning.
        self._refused: dict[tuple[int, str], _Refused] = {}

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
        """Book what has come back, of all lanes, or of one and then also what rests; returns whether there may be more.

        What the books do not take yet is told again: the payout is not settled in them, or the treasury is empty. It
        rests between two tries as what a provider has not decided, longer each time, and is warned of once.
        """
        found = await self.desk.payouts.returns(_RETURNS_MAX + len(self._refused), lane)
        now = self.desk.clock.now()
        for one in found:
            refused = self._refused.get((one.lane, one.reference))
            if refused is None or refused.until <= now or lane is not None:
                await self._book_return(one)
        if lane is None:  # what is told of no more was booked otherwise
            told = {(one.lane, one.reference) for one in found}
            self._refused = {key: refused for key, refused in self._refused.items() if key in told}
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
            self._rest(one, refusal.code)
            return
        self._refused.pop((one.lane, one.reference), None)
        if not recorded.agrees:
            log.error("return_differs", lane=one.lane, reference=one.reference, told=str(one.amount))
        await self.desk.payouts.acknowledge(one)

    def _rest(self, one: PayoutReturn, code: Code) -> None:
        key = (one.lane, one.reference)
        before = self._refused.get(key)
        if before is None or before.code is not code:
            log.warning("return_not_booked", lane=one.lane, reference=one.reference, refused=code.name)
        tries = 1 if before is None else before.tries + 1
        rest = timedelta(milliseconds=self.pace.retry_ms * min(tries, self.pace.rests_max))
        self._refused[key] = _Refused(code, tries, self.desk.clock.now() + rest)

    async def _word(self, one: PayoutWork) -> PayoutWord:
        rail = self.desk.payouts
        if one.state != CANCELLING:
            return await rail.pay(one.instruction)
        word = await rail.cancel(one.instruction)
        if word.outcome == "pending":
            raise RailUnknown("the provider has not decided on a cancellation")
        return word
