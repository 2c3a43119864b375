"""What happens in a lane, told to the pages that show it, as it happens: server-sent events.

A page is told only that its lane's books have moved; it asks for what it shows by itself, with its own filters and its
own duties. One look at a lane's newest batch serves all pages of this process, and while no page is open nobody looks.
Whoever wrote the books, in whatever process of whatever host, it is seen here.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog

from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import DATABASE_DOWN, Reads

log = structlog.get_logger()

#: A page of a lane that is written all the time is told this often at most.
PERIOD_SECONDS = 0.5

#: A comment now and then keeps proxies from ending a silent connection, and finds out who has left or was signed out.
_SIGN_OF_LIFE_SECONDS = 15

#: Browsers come back by themselves: a stream that ends is opened again, and then balanced anew over the processes.
_STREAM_SECONDS = 3_600

#: So many pages are told at most by one process; of one person, so many.
STREAMS_MAX = 500
STREAMS_PER_PERSON_MAX = 20

#: How many times the period a browser waits before it comes back, in milliseconds.
_HELLO = b"retry: 2000\n\n"
_SIGN_OF_LIFE = b": still here\n\n"


class Feed:
    """Tells pages of this process that their lanes have moved."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._listeners: dict[int, set[asyncio.Event]] = {}
        self._heads: dict[int, int] = {}
        self._by_person: dict[str, int] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """Return how many pages are told now."""
        return sum(map(len, self._listeners.values()))

    async def head(self, lane: int) -> int:
        """Return the number of a lane's newest batch."""
        ((_, head),) = await self._reads.records("lanes", "heads_of", [lane])
        return int(head)

    def stream(
        self, lane: int, person: str, is_signed_in: Callable[[], Awaitable[bool]], *, since: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Return what a page of a lane is told until its person is signed out; refuses RATE_LIMITED past the bounds.

        What has moved `since` the batch that the page was made after is told at once: nobody was listening meanwhile.
        """
        if self.streams >= STREAMS_MAX or self._by_person.get(person, 0) >= STREAMS_PER_PERSON_MAX:
            raise Refusal(Code.RATE_LIMITED, "Too many pages are open.", retry_after_seconds=10)
        return self._told(lane, person, is_signed_in, since)

    async def _told(
        self, lane: int, person: str, is_signed_in: Callable[[], Awaitable[bool]], since: int | None
    ) -> AsyncGenerator[bytes, None]:
        moved = asyncio.Event()
        self._listen(lane, person, moved)
        now = asyncio.get_running_loop().time
        ends_at, asked_at = now() + _STREAM_SECONDS, now()
        try:
            yield _HELLO
            if since is not None:
                await self._catch_up(lane, since, moved)
            while now() < ends_at:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(asked_at + _SIGN_OF_LIFE_SECONDS):
                        await moved.wait()
                if now() >= asked_at + _SIGN_OF_LIFE_SECONDS:
                    if await _has_left(is_signed_in):
                        return
                    asked_at = now()
                    yield _SIGN_OF_LIFE
                if moved.is_set():
                    moved.clear()
                    yield b"event: books\ndata: %d\n\n" % self._heads.get(lane, 0)
        finally:
            self._forget(lane, person, moved)

    async def _catch_up(self, lane: int, since: int, moved: asyncio.Event) -> None:
        """Let a page know what has moved since it was made, and what moves after the look by which that is found."""
        try:
            head = await self.head(lane)
        except DATABASE_DOWN:
            moved.set()  # it may have: the page looks by itself
            return
        self._heads.setdefault(lane, head)
        if head != since:
            moved.set()

    def _listen(self, lane: int, person: str, moved: asyncio.Event) -> None:
        self._listeners.setdefault(lane, set()).add(moved)
        self._by_person[person] = self._by_person.get(person, 0) + 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="console feed")

    def _forget(self, lane: int, person: str, moved: asyncio.Event) -> None:
        self._listeners[lane].discard(moved)
        if not self._listeners[lane]:
            del self._listeners[lane]
            self._heads.pop(lane, None)
        self._by_person[person] -= 1
        if not self._by_person[person]:
            del self._by_person[person]

    async def _look(self) -> None:
        """Look at the heads of all lanes that somebody listens to, as long as somebody does."""
        while self._listeners:
            try:
                records = await self._reads.records("lanes", "heads_of", list(self._listeners))
            except DATABASE_DOWN as error:
                log.warning("console_feed_blind", error=repr(error))
                records = []
            for lane, head in records:
                self._seen(lane, head)
            await asyncio.sleep(PERIOD_SECONDS)

    def _seen(self, lane: int, head: int) -> None:
        before = self._heads.get(lane)
        self._heads[lane] = head
        if before is not None and before != head:
            for moved in self._listeners.get(lane, ()):
                moved.set()

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking


async def _has_left(is_signed_in: Callable[[], Awaitable[bool]]) -> bool:
    """Tell whether somebody has signed out; while the database is away nobody knows, and there is nothing to tell."""
    try:
        return not await is_signed_in()
    except DATABASE_DOWN:
        return False
