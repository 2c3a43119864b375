"""Requests that wait for an execution to end: told by the worker of this process, or found out.

What this process executes is told as it is recorded, without a read. What another one executes is found out by one
task that only runs while somebody waits: it reads, for all who wait, what has ended since the position that it saw.
Nobody who waits holds a connection, and ten thousand cost little more than their requests.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
import structlog

from otcdesk.domain.brokerage import BROKERAGE, FAIL, FINISH, FirmQuote
from otcdesk.domain.orders import Order
from otcdesk.storage.database import Reads

log = structlog.get_logger()

#: The events that end an execution.
_ENDS = [BROKERAGE.event_name(move) for move in (FINISH, FAIL)]

_OrderKey = tuple[int, UUID]


class Ended(msgspec.Struct, frozen=True, gc=False):
    """An order whose execution has ended, well or not, and its quote."""

    order: Order
    quote: FirmQuote


class _Found(msgspec.Struct, frozen=True, gc=False):
    """The same, as it is read."""

    lane: int
    order: Order
    quote: FirmQuote


class Waiting:
    """One request that waits for an order."""

    __slots__ = ("_ended", "_future")

    def __init__(self) -> None:
        self._ended: Ended | None = None
        self._future: asyncio.Future[None] | None = None

    async def within(self, milliseconds: int) -> Ended | None:
        """Return how it has ended as soon as that is known, None when the time is up before."""
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(milliseconds / 1000, self._wake)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        return self._ended

    def tell(self, ended: Ended) -> None:
        """Say how it has ended."""
        self._ended = ended
        self._wake()

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Outcomes:
    """Everybody of this process who waits for an execution."""

    def __init__(self, reads: Reads, *, period_ms: int) -> None:
        """Look for what others have executed every `period_ms`, while somebody waits."""
        self.reads = reads
        self.period_ms = period_ms
        self._waiting: dict[_OrderKey, list[Waiting]] = {}
        #: How many orders of a lane are waited for.
        self._lanes: dict[int, int] = {}
        #: The batches up to which the lanes that somebody waits for are looked at.
        self._positions: dict[int, int] = {}
        #: Orders that may have ended before their lane had a position.
        self._unseen: set[_OrderKey] = set()
        self._looking: asyncio.Task[None] | None = None
        self._failing = False
        self._number = 0

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return self._number

    @contextmanager
    def expected(self, lane: int, order_id: UUID) -> Iterator[Waiting]:
        """Listen for an order's end; to be entered before the order is accepted, so that nothing is missed."""
        key, waiting = (lane, order_id), Waiting()
        self._register(key, waiting)
        try:
            yield waiting
        finally:
            self._unregister(key, waiting)

    def tell(self, lane: int, order: Order, quote: FirmQuote) -> None:
        """Tell whoever waits that an execution has ended."""
        waiting = self._waiting.get((lane, order.id))
        if waiting:
            ended = Ended(order, quote)
            for one in waiting:
                one.tell(ended)

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    # -- who waits -------------------------------------------------------------------------------------------------

    def _register(self, key: _OrderKey, waiting: Waiting) -> None:
        self._number += 1
        others = self._waiting.setdefault(key, [])
        others.append(waiting)
        if len(others) > 1:
            return
        lane = key[0]
        self._lanes[lane] = self._lanes.get(lane, 0) + 1
        if lane not in self._positions:
            self._unseen.add(key)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="outcomes")

    def _unregister(self, key: _OrderKey, waiting: Waiting) -> None:
        self._number -= 1
        others = self._waiting[key]
        others.remove(waiting)
        if others:
            return
        lane = key[0]
        del self._waiting[key]
        self._unseen.discard(key)
        self._lanes[lane] -= 1
        if not self._lanes[lane]:
            del self._lanes[lane]

    # -- finding out -----------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look again and again while somebody waits. A database that cannot be asked is asked again."""
        try:
            while True:
                await asyncio.sleep(self.period_ms / 1000)
                if not self._waiting:
                    return
                await self._look_once()
        finally:
            self._looking = None
            self._positions.clear()

    async def _look_once(self) -> None:
        unseen, self._unseen = self._unseen, set()
        try:
            positions, ended = await self._ended_since()
            await self._tell_found({*ended, *unseen} & self._waiting.keys())
        except Exception as error:  # noqa: BLE001  (who waits goes on waiting, whatever the database says)
            self._unseen |= unseen & self._waiting.keys()
            if not self._failing:
                log.warning("outcomes_failing", error=repr(error))
            self._failing = True
            return
        self._failing = False
        # A lane that is waited for by now, and was not looked at in this round, stays where it was.
        self._positions = {lane: at for lane, at in {**self._positions, **positions}.items() if lane in self._lanes}

    async def _ended_since(self) -> tuple[dict[int, int], list[_OrderKey]]:
        """Return where the lanes stand that somebody waits for, and what has ended since their positions.

        A lane without a position only gets one: of what ended before it the unseen orders are read themselves,
        afterwards.
        """
        lanes = list(self._lanes)
        known = [self._positions.get(lane) for lane in lanes]
        rows = await self.reads.records("outcomes", "ended_since", lanes, known, _ENDS)
        positions = {row["lane"]: row["seq"] or 0 for row in rows}
        return positions, [(row["lane"], order_id) for row in rows for order_id in row["order_ids"]]

    async def _tell_found(self, keys: Iterable[_OrderKey]) -> None:
        wanted = list(keys)
        if not wanted:
            return
        lanes, order_ids = [lane for lane, _ in wanted], [order_id for _, order_id in wanted]
        for found in await self.reads.rows("outcomes", "ended", _Found, lanes, order_ids):
            self.tell(found.lane, found.order, found.quote)
