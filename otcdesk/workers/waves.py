"""Carry orders to the rail that they wait for, many at once, each until its outcome is known and recorded once.

An order that waits for a rail is claimed by a lease, with all others that wait, in one statement that is committed
before the rail is asked. The call carries the order's recorded reference, and its outcome comes back as a command. An
outcome that is not known is never taken for a failure: the order rests a while and is asked for again under the same
reference, and so it is wherever this process dies. No database transaction is open while the outside is asked or a
command is awaited.

What differs from rail to rail is in the subclasses: what is claimed, what is asked, and what is recorded of the answer.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec
import structlog

from otcdesk.desk import Desk
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown
from otcdesk.storage.database import Reads

log = structlog.get_logger()

#: How calls to any rail end that bring no answer, and what an answer is that contradicts an earlier one, of which the
#: first stays in the books. Answers themselves are counted by their own names.
UNAVAILABLE, UNKNOWN, CONTRADICTED = "unavailable", "unknown", "contradicted"

#: Told how each call to the rail ended.
Watch = Callable[[str], None]

#: Claims whose orders are done with within so many thousandths of a second are dropped together.
_GATHER_MS = 5

#: A look goes through all that waits and rests. Where that is so much that it takes longer than this, because the rail
#: is away, looking takes half of the time at most.
_LOOK_MS = 20

#: So much is kept of what a rail says.
_TEXT_MAX = 500

#: Waves that the sandbox's `work` claims before it waits for them: more are left to the next time.
_WAVES_MAX = 64


class Claim(Protocol):
    """An order that a process has claimed."""

    @property
    def lane(self) -> int:
        """Return the order's lane."""
        ...

    @property
    def reference(self) -> str:
        """Return the reference under which the rail is asked, by which the order is claimed."""
        ...


Claimed = TypeVar("Claimed", bound=Claim)
Answer = TypeVar("Answer")


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders are at a rail at once, how long it may take, and how long one rests that has no outcome.

    The rest is `retry_ms`, and as much longer with each attempt, up to `rests_max` times as long.
    """

    orders_max: int
    timeout_ms: int
    retry_ms: int
    rests_max: int = 1


class Undecided(Exception):
    """The rail has taken the order and not decided on it, which is as it should be."""


class _Wave(msgspec.Struct, Generic[Claimed], frozen=True, gc=False):
    """Orders that waited, and which of them were claimed, by lane and reference."""

    waiting: list[Claimed]
    claimed: list[tuple[int, str]]


def nobody_watches(outcome: str) -> None:
    """Tell nobody."""


def _nobody_waits() -> None:
    pass


class Waves(ABC, Generic[Claimed]):
    """The worker of one rail in this process."""

    #: The rail, the statement of leases.sql that claims what waits for it, and what that makes of an order.
    rail: ClassVar[str]
    claims: ClassVar[str]
    kind: ClassVar[type[Any]]
    #: The statement that counts what is under way.
    counts: ClassVar[tuple[str, str]] = ("orders", "under_way")

    def __init__(self, desk: Desk, holder: str, reads: Reads, pace: Pace, watch: Watch = nobody_watches) -> None:
        self.desk = desk
        self.holder = holder
        self.reads = reads
        self.pace = pace
        self.watch = watch
        #: Called when a batch has made work, and when there is room again after there was none.
        self.on_work: Callable[[], None] = _nobody_waits
        #: What is under way, and in which lane.
        self._working: dict[asyncio.Task[None], int] = {}
        self._starved = False
        self._ended: list[Claimed] = []
        self._unanswered: list[tuple[Claimed, Exception]] = []
        self._putting_away: asyncio.Task[None] | None = None

    @abstractmethod
    async def conclude(self, one: Claimed) -> None:
        """Ask the rail and record what it says; raises Undecided, and anything else where there is no outcome."""

    def committed(self) -> None:
        """Hear that a batch was committed by which orders wait."""
        self.on_work()

    async def begin_waiting(self) -> bool:
        """Begin with a wave of orders that wait and that nobody works on; returns whether there may be more."""
        room = self.pace.orders_max - len(self._working)
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
        orders_max = self.pace.orders_max
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
        """Return how many orders wait for their outcome, and for how many milliseconds the longest."""
        (row,) = await self.reads.records(*self.counts, self.rail, self.desk.clock.now())
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

    async def answer(self, call: Awaitable[Answer]) -> Answer:
        """Return a rail's answer, in time; raises RailUnavailable or whatever else means that there is none."""
        try:
            async with asyncio.timeout(self.pace.timeout_ms / 1000):
                return await call
        except RailUnavailable:
            self.watch(UNAVAILABLE)
            raise
        except TimeoutError:
            self.watch(UNKNOWN)
            raise RailUnknown("no answer in time") from None
        except Exception:
            self.watch(UNKNOWN)
            raise

    def contradicted(self, one: Claimed, *, recorded: str, told: str, detail: str) -> None:
        """Say that a rail has taken back its word, which is not believed."""
        self.watch(CONTRADICTED)
        event = f"{self.rail}_contradicts_itself"
        log.error(
            event,
            lane=one.lane,
            reference=one.reference,
            recorded=recorded,
            told=told,
            detail=detail,
        )

    # -- claims ----------------------------------------------------------------------------------------------------

    async def _claim(self, at_most: int, *, also_resting: bool = False, lane: int | None = None) -> list[Claimed]:
        now = self.desk.clock.now()
        until = now + timedelta(milliseconds=2 * self.pace.timeout_ms)
        wave: _Wave[Claimed] | None = await self.reads.row(
            "leases",
            self.claims,
            _Wave[self.kind],  # type: ignore[name-defined]
            self.rail,
            self.holder,
            now,
            until,
            at_most,
            also_resting,
            lane,
        )
        assert wave is not None, "the statement always has a row"
        claimed = set(wave.claimed)
        return [one for one in wave.waiting if (one.lane, one.reference) in claimed]

    def _put_away(self) -> None:
        """See that claims are dropped, or rest, as many together as there are in a moment."""
        if self._putting_away is None:
            self._putting_away = asyncio.create_task(self._put_all_away(), name=f"{self.rail} claims")

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
                        resting = [one for one, _ in unanswered]
                        now, pace = self.desk.clock.now(), self.pace
                        await self._let_go("rest_wave", resting, now, pace.retry_ms, pace.rests_max)
                except Exception as error:  # noqa: BLE001  (the claims run out by themselves)
                    log.warning("claims_not_put_away", orders=len(ended) + len(unanswered), error=repr(error))
        finally:
            self._putting_away = None

    async def _let_go(self, statement: str, claims: Iterable[Claimed], *more: Any) -> None:
        keys = [(one.lane, one.reference) for one in claims]
        lanes, references = [lane for lane, _ in keys], [reference for _, reference in keys]
        await self.reads.value("leases", statement, lanes, references, self.holder, *more)

    def _say_unanswered(self, unanswered: list[tuple[Claimed, Exception]]) -> None:
        """Log many calls that were not answered as one: a rail that is away leaves all of them so, again and again."""
        failed = [(one, error) for one, error in unanswered if not isinstance(error, Undecided | RailPending)]
        if failed:
            one, error = failed[0]
            said = str(error) or type(error).__name__
            event = f"{self.rail}_unanswered"
            log.warning(event, orders=len(failed), lane=one.lane, reference=one.reference, error=said)

    # -- one order -------------------------------------------------------------------------------------------------

    def _begin(self, wave: list[Claimed]) -> None:
        for one in wave:
            task = asyncio.create_task(self._carry_out(one))
            self._working[task] = one.lane
            task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        if self._starved and 2 * len(self._working) <= self.pace.orders_max:
            self._starved = False  # not before there is room for a wave
            self.on_work()

    async def _carry_out(self, one: Claimed) -> None:
        try:
            await self.conclude(one)
        except Exception as error:  # noqa: BLE001  (whatever it is, the outcome is not known and will be asked for)
            self._unanswered.append((one, error))
        else:
            self._ended.append(one)
        self._put_away()


def kept(text: str) -> str:
    """Return what can be kept of a text from outside: no NUL, no half of a character, and not more than a line."""
    return text.replace("\0", "").encode(errors="ignore").decode()[:_TEXT_MAX]
