"""The switches that close a dialect of a lane for maintenance, as an operator sets them.

Every request asks, so what is read is believed for half a second, in every process; a switch acts within that time.
"""

import time
from datetime import datetime

import msgspec

from otcdesk.clock import Clock
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads

_BELIEVED_NS = 500_000_000


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect of a lane that is closed, since when and why."""

    lane: int
    dialect: str
    since: datetime
    reason: str


class _Closed(msgspec.Struct, frozen=True):
    """What is closed where, and which dialects are closed in every live lane."""

    somewhere: frozenset[tuple[int, str]] = frozenset()
    everywhere: frozenset[str] = frozenset()


class Maintenance:
    """Closes dialects and tells whether they are closed. Only `dialects` can be."""

    def __init__(self, reads: Reads, clock: Clock, dialects: frozenset[str]) -> None:
        self._reads = reads
        self._clock = clock
        self._dialects = dialects
        self._closed: _Closed | None = None
        self._read_at = 0

    @property
    def dialects(self) -> frozenset[str]:
        """Return what can be closed."""
        return self._dialects

    async def check(self, dialect: str, lane: int | None) -> None:
        """Refuse MAINTENANCE where a dialect is closed; for who is in no lane (None), if it is in every live one."""
        if dialect not in self._dialects:
            return
        closed = await self._now()
        if dialect in closed.everywhere if lane is None else (lane, dialect) in closed.somewhere:
            raise Refusal(Code.MAINTENANCE)

    async def _now(self) -> _Closed:
        now = time.monotonic_ns()
        if self._closed is None or now - self._read_at >= _BELIEVED_NS:
            self._read_at = now  # those who come meanwhile believe what was read before, if anything was
            self._closed = await self._reads.row("maintenance", "closed", _Closed) or _Closed()
        return self._closed

    async def close(self, lane: int, dialect: str, reason: str) -> Closure:
        """Close a dialect of a lane; refuses ROUTE_UNKNOWN for one that cannot be."""
        self._check_known(dialect)
        since = await self._reads.value("maintenance", "close", lane, dialect, self._clock.now(), reason)
        self._closed = None
        return Closure(lane=lane, dialect=dialect, since=since, reason=reason)

    async def reopen(self, lane: int, dialect: str) -> None:
        """Open a dialect of a lane again, whether or not it was closed; refuses ROUTE_UNKNOWN."""
        self._check_known(dialect)
        await self._reads.value("maintenance", "reopen", lane, dialect)
        self._closed = None

    async def of_lane(self, lane: int) -> list[Closure]:
        """Return what is closed of a lane."""
        return await self._reads.rows("maintenance", "of_lane", Closure, lane)

    def _check_known(self, dialect: str) -> None:
        if dialect not in self._dialects:
            raise Refusal(Code.ROUTE_UNKNOWN, f"There is no dialect {dialect[:40]!r} that can be closed.")
