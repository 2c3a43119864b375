"""Carry accepted quotes to the execution venue, many at once, each until its outcome is known and recorded once.

How orders are claimed, rest and are asked for again is in `waves.py`.
"""

from decimal import Decimal
from uuid import UUID

import msgspec

from otcdesk.actions.record_execution import ExecutionRecorded, RecordExecution
from otcdesk.desk import Desk
from otcdesk.domain.brokerage import FAILURES, VENUE, VENUE_REFUSED
from otcdesk.money import RATE_MAX, Amount, Asset
from otcdesk.rails.protocols import Fill, Instruction, RailUnknown
from otcdesk.storage.database import Reads
from otcdesk.workers.waves import Pace, Watch, Waves, kept, nobody_watches

WORKER = "worker:execution"

#: What a venue answers.
DONE, REFUSED = "done", "refused"


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """An order that this process has claimed, and what is to be traded for it."""

    lane: int
    order_id: UUID
    reference: str
    side: str
    asset: Asset
    units: int
    fiat: str
    market_rate: Decimal

    @property
    def instruction(self) -> Instruction:
        """Return what the venue is asked for."""
        return Instruction(
            lane=self.lane,
            reference=self.reference,
            side=self.side,
            quantity=Amount(self.units, self.asset),
            fiat=self.fiat,
            market_rate=self.market_rate,
        )


class Execution(Waves[Claimed]):
    """The execution worker of this process."""

    rail = VENUE
    claims = "claim_wave"
    kind = Claimed

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = nobody_watches) -> None:
        settings = desk.settings
        pace = Pace(
            orders_max=settings.venue_orders_max,
            timeout_ms=settings.venue_timeout_ms,
            retry_ms=settings.rail_retry_ms,
        )
        super().__init__(desk, holder, reads, pace, watch)

    async def conclude(self, one: Claimed) -> None:
        """Ask the venue and record what it says; raises RailUnavailable or RailUnknown where it says nothing."""
        fill = await self.answer(self._fill(one))
        self.watch(DONE if fill.done else REFUSED)
        await self._record(one, fill)

    async def _fill(self, one: Claimed) -> Fill:
        return _understood(await self.desk.venue.execute(one.instruction))

    async def _record(self, one: Claimed, fill: Fill) -> None:
        """Hand the outcome to the books, and tell who waits for it."""
        reason = fill.reason if fill.reason in FAILURES else VENUE_REFUSED
        command = RecordExecution(
            order_id=one.order_id,
            reference=one.reference,
            outcome="done" if fill.done else "refused",
            price=fill.price,
            reason=None if fill.done else reason,
            venue=fill.venue,
            detail=fill.detail,
        )
        recorded: ExecutionRecorded = await self.desk.submit_as_worker(one.lane, WORKER, command)
        if recorded.order.waits_for is None:
            self.desk.outcomes.tell(one.lane, recorded.order, recorded.quote)
        if not recorded.agrees:
            self.contradicted(one, recorded=recorded.order.state, told=command.outcome, detail=fill.detail)


def _understood(fill: Fill) -> Fill:
    """Return the venue's word as the books can keep it; raises RailUnknown for one that cannot be booked."""
    price = fill.price
    if fill.done and (price is None or not price.is_finite() or not 0 < price <= RATE_MAX):
        raise RailUnknown(f"the venue says that it is done at the price {price}")
    return msgspec.structs.replace(fill, venue=kept(fill.venue), detail=kept(fill.detail))
