"""Carry accepted quotes to the execution venue, many at once, each until its outcome is known and recorded once.

An order that waits for the venue is claimed by a lease, with all others that wait, in one statement that is committed
before the venue is asked. The call carries the order's recorded reference, and its outcome comes back as
`RecordExecution`. An outcome that is not known is never taken for a failure: the order rests a while and is asked for
again under the same reference, and so it is wherever this process dies. No database transaction is open while the
outside is asked or a command is awaited.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import structlog

from otcdesk.actions.record_execution import ExecutionRecorded, RecordExecution
from otcdesk.desk import Desk
from otcdesk.domain.brokerage import FAILURES, VENUE, VENUE_REFUSED
from otcdesk.metrics import VENUE_OUTCOMES
from otcdesk.money import RATE_MAX, Amount, Asset
from otcdesk.rails.protocols import Fill, Instruction, RailUnavailable, RailUnknown
from otcdesk.storage.database import Reads

log = structlog.get_logger()

WORKER = "worker:execution"

#: How calls to the venue end; of a contradiction the venue's first word stays in the books.
DONE, REFUSED, UNAVAILABLE, UNKNOWN, CONTRADICTED = VENUE_OUTCOMES

#: Told how each call to the venue ended.
Watch = Callable[[str], None]

#: Claims whose orders are done with within so many thousandths of a second are dropped together.
_GATHER_MS = 5

#: A look goes through all that waits and rests. Where that is so much that it takes longer than this, because the venue
#: is away, looking takes half of the time at most.
_LOOK_MS = 20

#: So much is kept of what a venue says.
_TEXT_MAX = 500

#: Waves that the sandbox's `work` claims before it waits for them: more are left to the next time.
_WAVES_MAX = 64


def nobody_watches(outcome: str) -> None:
    """Tell nobody."""


def _nobody_waits() -> None:
    pass


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


class _Wave(msgspec.Struct, frozen=True, gc=False):
    """Orders that waited, and which of them were claimed, by lane and reference."""

    waiting: list[Claimed]
    claimed: list[tuple[int, str]]


class Execution:
    """The execution worker of this process."""

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = nobody_watches) -> None:
        self.desk = desk
        self.holder = holder
        self.reads = reads
        self.watch = watch
        #: Called when a batch has accepted quotes, and when there is room again after there was none.
        self.on_work: Callable[[], None] = _nobody_waits
        #: What is under way, and in which lane.
        self._working: dict[asyncio.Task[None], int] = {}
        self._starved = False
        self._ended: list[Claimed] = []
        self._unanswered: list[tuple[Claimed, str]] = []
        self._putting_away: asyncio.Task[None] | None = None

    def committed(self) -> None:
        """Hear that a batch was committed in which quotes were accepted."""
        self.on_work()

    async def execute_waiting(self) -> bool:
        """Begin with a wave of orders that wait and that nobody works on; returns whether there may be more."""
        orders_max = self.desk.settings.venue_orders_max
        room = orders_max - len(self._working)
        if room <= 0:
            self._starved = True
            return False
        began_ns = time.monotonic_ns()
        wave = await self._claim(room)
        self._begin(wave)
        took_ms = (time.monotonic_ns() - began_ns) // 1_000_000
        if took_ms > _LOOK_MS and len(wave) < room:
            await asyncio.sleep(took_ms / 1000)
        return len(wave) == room

    async def work_once(self, lane: int) -> None:
        """Ask for everything of a lane that waits now, also for what rests, and return when that is over."""
        wave: list[Claimed] = []
        orders_max = self.desk.settings.venue_orders_max
        for _ in range(_WAVES_MAX):
            claimed = await self._claim(orders_max, also_resting=True, lane=lane)
            wave += claimed
            if len(claimed) < orders_max:
                break
        self._begin(wave)
        under_way = {task for task, its_lane in self._working.items() if its_lane == lane}
        if under_way:
            await asyncio.wait(under_way)
        if self._putting_away is not None:
            await self._putting_away

    async def under_way(self) -> tuple[int, int]:
        """Return how many accepted quotes wait for their outcome, and for how many milliseconds the longest."""
        (row,) = await self.reads.records("orders", "under_way", VENUE, self.desk.clock.now())
        return row["number"], row["longest_ms"]

    async def stop(self) -> None:
        """Wait for calls that are under way; what takes too long is given up, and asked for by whoever is next."""
        if self._working:
            _, late = await asyncio.wait(set(self._working), timeout=self.desk.settings.stop_seconds_max)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._putting_away is not None:
            await self._putting_away

    # -- claims ----------------------------------------------------------------------------------------------------

    async def _claim(self, at_most: int, *, also_resting: bool = False, lane: int | None = None) -> list[Claimed]:
        now = self.desk.clock.now()
        until = now + timedelta(milliseconds=2 * self.desk.settings.venue_timeout_ms)
        wave = await self.reads.row(
            "leases", "claim_wave", _Wave, VENUE, self.holder, now, until, at_most, also_resting, lane
        )
        assert wave is not None, "the statement always has a row"
        claimed = set(wave.claimed)
        return [one for one in wave.waiting if (one.lane, one.reference) in claimed]

    def _put_away(self) -> None:
        """See that claims are dropped, or rest, as many together as there are in a moment."""
        if self._putting_away is None:
            self._putting_away = asyncio.create_task(self._put_all_away(), name="execution claims")

    async def _put_all_away(self) -> None:
        try:
            await asyncio.sleep(_GATHER_MS / 1000)
            while self._ended or self._unanswered:
                ended, self._ended = self._ended, []
                unanswered, self._unanswered = self._unanswered, []
                try:
                    if ended:
                        await self._let_go("give_back_wave", ended)
                    if unanswered:
                        self._say_unanswered(unanswered)
                        retry = timedelta(milliseconds=self.desk.settings.rail_retry_ms)
                        resting = [one for one, _ in unanswered]
                        await self._let_go("rest_wave", resting, self.desk.clock.now() + retry)
                except Exception as error:  # noqa: BLE001  (the claims run out by themselves)
                    log.warning("claims_not_put_away", orders=len(ended) + len(unanswered), error=repr(error))
        finally:
            self._putting_away = None

    async def _let_go(self, statement: str, claims: Iterable[Claimed], *more: Any) -> None:
        keys = [(one.lane, one.reference) for one in claims]
        lanes, references = [lane for lane, _ in keys], [reference for _, reference in keys]
        await self.reads.value("leases", statement, lanes, references, self.holder, *more)

    def _say_unanswered(self, unanswered: list[tuple[Claimed, str]]) -> None:
        """Log many calls that were not answered as one: a venue that is away leaves all of them so, again and again."""
        one, error = unanswered[0]
        log.warning("venue_unanswered", orders=len(unanswered), lane=one.lane, reference=one.reference, error=error)

    # -- one order -------------------------------------------------------------------------------------------------

    def _begin(self, wave: list[Claimed]) -> None:
        for one in wave:
            task = asyncio.create_task(self._carry_out(one))
            self._working[task] = one.lane
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        if self._starved and 2 * len(self._working) <= self.desk.settings.venue_orders_max:
            self._starved = False  # not before there is room for a wave
            self.on_work()

    async def _carry_out(self, one: Claimed) -> None:
        """Ask the venue and record what it says."""
        try:
            fill = await self._ask(one)
            await self._record(one, fill)
        except Exception as error:  # noqa: BLE001  (whatever it is, the outcome is not known and will be asked for)
            self._unanswered.append((one, str(error) or type(error).__name__))
        else:
            self._ended.append(one)
        self._put_away()

    async def _ask(self, one: Claimed) -> Fill:
        """Return the venue's final word; raises RailUnavailable or RailUnknown if there is none."""
        try:
            async with asyncio.timeout(self.desk.settings.venue_timeout_ms / 1000):
                fill = _understood(await self.desk.venue.execute(one.instruction))
        except RailUnavailable:
            self.watch(UNAVAILABLE)
            raise
        except TimeoutError:
            self.watch(UNKNOWN)
            raise RailUnknown("no answer in time") from None
        except Exception:
            self.watch(UNKNOWN)
            raise
        self.watch(DONE if fill.done else REFUSED)
        return fill

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
            self.watch(CONTRADICTED)
            log.error(
                "venue_contradicts_itself",
                lane=one.lane,
                reference=one.reference,
                recorded=recorded.order.state,
                told=command.outcome,
                detail=fill.detail,
            )


def _understood(fill: Fill) -> Fill:
    """Return the venue's word as the books can keep it; raises RailUnknown for one that cannot be booked."""
    price = fill.price
    if fill.done and (price is None or not price.is_finite() or not 0 < price <= RATE_MAX):
        raise RailUnknown(f"the venue says that it is done at the price {price}")
    return msgspec.structs.replace(fill, venue=_kept(fill.venue), detail=_kept(fill.detail))


def _kept(text: str) -> str:
    """Return what can be kept of a text from outside: no NUL, no half of a character, and not more than a line."""
    return text.replace("\0", "").encode(errors="ignore").decode()[:_TEXT_MAX]
