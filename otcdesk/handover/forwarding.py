"""The other side: hands commands over to the host's leader and gives each caller the answer that comes back.

How a command that was handed over can end, besides with its answer:

- `NotTaken`: it was never sent, or the leader said that it did nothing with it. Anybody may carry it out.
- `LeaderLost`: it was sent, and the connection broke or the time was up before an answer came. It may have been
  carried out, and may still be.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command, Reply
from otcdesk.errors import Code, Refusal
from otcdesk.handover import wire
from otcdesk.handover.places import is_ours

log = structlog.get_logger()

_NS_PER_MS = 1_000_000

#: More than this between us and the system means that the leader does not read.
_UNSENT_BYTES_MAX = 4 * 1024 * 1024

#: How commands that were handed over ended, as metrics name it.
ANSWERED, NOT_TAKEN, LOST = "answered", "not_taken", "lost"

#: Told whenever some have ended: how many ended how, and their nanoseconds together from handing over to the end.
Watch = Callable[[Mapping[str, int], int], None]


def nobody_watches(outcomes: Mapping[str, int], nanoseconds: int) -> None:
    """Tell nobody."""


class NotTaken(Exception):
    """Provably nothing was done with the command."""


class LeaderLost(Exception):
    """Nobody knows whether the command was carried out."""


class _Pending:
    """A command without an answer yet."""

    __slots__ = ("future", "started_ns", "verb")

    def __init__(self, future: "asyncio.Future[Reply]", verb: str, started_ns: int) -> None:
        self.future = future
        self.verb = verb
        self.started_ns = started_ns


class Link(asyncio.Protocol):
    """A connection to the host's leader."""

    def __init__(
        self,
        codec: wire.Codec,
        *,
        leader: int,
        timeout_ms: int,
        pending_max: int,
        on_end: Callable[[], None],
        watch: Watch = nobody_watches,
    ) -> None:
        self.codec = codec
        self.leader = leader
        self.timeout_ns = timeout_ms * _NS_PER_MS
        self.pending_max = pending_max
        self.on_end = on_end
        self.watch = watch
        self.greeted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._frames = wire.Frames()
        self._numbers = 0
        self._pending: dict[int, _Pending] = {}
        self._unsent: list[tuple[int, bytes]] = []
        self._open = False
        self._full = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def connected(cls, path: Path, codec: wire.Codec, *, timeout_ms: int, **how: Any) -> "Link | None":
        """Connect to the leader that listens at a path; None if it is not there, or does not greet us in time."""
        loop = asyncio.get_running_loop()
        link: Link | None = None
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                _, link = await loop.create_unix_connection(lambda: cls(codec, timeout_ms=timeout_ms, **how), str(path))
                return link if await link.greeted else None
        except (OSError, TimeoutError):
            if link is not None:
                link.transport.abort()
            return None

    @property
    def open(self) -> bool:
        """Tell whether commands may be handed over."""
        return self._open

    def connection_made(self, transport: Any) -> None:
        """Greet, unless somebody else sits there."""
        self.transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)
        if is_ours(transport.get_extra_info("socket")):
            transport.write(wire.frame(wire.Hello(self.codec.build)))
        else:
            log.warning("handover_stranger")
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  (why does not matter)
        """End everything that has no answer."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        was_in_use = self.greeted.done()
        if not was_in_use:
            self.greeted.set_result(False)
        never_sent = {number for number, _ in self._unsent}
        self._unsent.clear()
        pending, self._pending = self._pending, {}
        outcomes: Counter[str] = Counter()
        for number, one in pending.items():
            outcomes[NOT_TAKEN if number in never_sent else LOST] += 1
            if not one.future.done():
                one.future.set_exception(NotTaken() if number in never_sent else LeaderLost())
        if outcomes:
            log.warning("leader_lost", commands=outcomes.total())
            self.watch(outcomes, 0)
        self.ended.set_result(None)
        if was_in_use:  # who never greeted us would not do so at once either: the next period is soon enough
            self.on_end()

    def pause_writing(self) -> None:
        """The leader does not read: let callers know."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False

    def hand_over(
        self,
        lane: int,
        command: Command,
        *,
        caller: str,
        owner_id: UUID,
        request_id: str,
        key: str | None,
        arrived_at: datetime,
        in_person: InPerson | None = None,
    ) -> "asyncio.Future[Reply]":
        """Hand a command over; returns what will be its reply, or its refusal, or NotTaken, or LeaderLost.

        Raises NotTaken for what cannot be said or goes nowhere; refuses OVERLOADED when too much has no answer yet.
        """
        if not self._open:
            raise NotTaken
        if self._full or len(self._pending) >= self.pending_max:
            raise Refusal(Code.OVERLOADED, retry_after_seconds=1)
        self._numbers += 1
        number, now_ns = self._numbers, time.monotonic_ns()
        verb = self.codec.verb_of(command).name
        try:
            told = wire.encoded(
                wire.Handed(
                    number,
                    verb,
                    lane,
                    self.codec.command_bytes(command),
                    caller,
                    owner_id,
                    request_id,
                    key,
                    arrived_at,
                    now_ns + self.timeout_ns,
                    in_person,
                )
            )
        except wire.UNSAYABLE:
            raise NotTaken from None
        if len(told) > wire.FRAME_BYTES_MAX - wire.GREETING_BYTES_MAX:
            raise NotTaken
        future: asyncio.Future[Reply] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append((number, told))
        self._pending[number] = _Pending(future, verb, now_ns)
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout_ns / 1e9, self._look_at_the_time)
        return future

    def _flush(self) -> None:
        """Send everything that was handed over in this turn of the loop."""
        if self.transport.is_closing():
            return  # they were never sent, and `connection_lost` will say so
        unsent, self._unsent = self._unsent, []
        if unsent:
            self.transport.write(b"".join(wire.frames_of_commands([told for _, told in unsent])))

    def _look_at_the_time(self) -> None:
        """Give the leader up when its oldest command has waited for too long; they stand in order."""
        self._timer = None
        if not self._pending:
            return
        oldest = next(iter(self._pending.values()))
        left_ns = oldest.started_ns + self.timeout_ns - time.monotonic_ns()
        if left_ns <= 0:
            log.warning("leader_too_slow", commands=len(self._pending))
            self.transport.abort()
            return
        self._timer = self._loop.call_later(left_ns / 1e9, self._look_at_the_time)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a leader that says anything unheard-of is none."""
        try:
            for message in self._frames.take(data):
                self._hear(message)
        except (wire.Garbled, *wire.UNHEARD_OF) as error:
            log.warning("handover_garbled", error=str(error)[:200])
            self.transport.abort()

    def _hear(self, message: wire.Message) -> None:
        match message:
            case wire.Answers(answered=answered) if self.greeted.done():
                self._answered(answered)
            case wire.Farewell() if self.greeted.done():
                self.farewell()
                self.on_end()
            case wire.Hello(build=build) if build == self.codec.build and not self.greeted.done():
                self._frames.bytes_max = wire.FRAME_BYTES_MAX
                self._open = True
                self.greeted.set_result(True)
            case _:
                raise wire.Garbled("out of turn")

    def _answered(self, answered: list[wire.Answered]) -> None:
        now_ns, taken_ns, not_taken = time.monotonic_ns(), 0, 0
        for one in answered:
            pending = self._pending.get(one.number)
            if pending is None:
                raise wire.Garbled("an answer to nothing")
            told: Exception | Reply
            if one.outcome == wire.Outcome.NOT_TAKEN:
                told = NotTaken()
                not_taken += 1
            else:
                told = self.codec.answer(pending.verb, one)
            del self._pending[one.number]  # not before it is understood: what is not understood is lost
            taken_ns += now_ns - pending.started_ns
            if pending.future.done():  # the caller hung up; what it asked for was done all the same
                continue
            if isinstance(told, Exception):
                pending.future.set_exception(told)
            else:
                pending.future.set_result(told)
        self.watch({ANSWERED: len(answered) - not_taken, NOT_TAKEN: not_taken}, taken_ns)

    def farewell(self) -> None:
        """Hand nothing more over; what was handed over is still answered, and then the leader hangs up."""
        if self._open:
            self._open = False
            self._flush()
            if not self.transport.is_closing():
                self.transport.write(wire.frame(wire.Farewell()))
