"""The leader's side: takes commands from the other processes of the host into its engine, and answers them.

A command that is late, or that this build does not know, is not taken, and is said to be not taken: nothing was done,
and who asked may do it. Everything else ends as it would have ended for a caller of this process.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from otcdesk.domain.commands import Reply
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.handover import wire
from otcdesk.handover.places import is_ours

log = structlog.get_logger()

#: So many answers may wait for somebody who does not read before nothing more is taken from him.
_UNREAD_BYTES_MAX = 4 * 1024 * 1024


class Listener:
    """All conversations with those who hand commands over to this process."""

    def __init__(self, engine: Engine, codec: wire.Codec, leads: Callable[[], bool]) -> None:
        self.engine = engine
        self.codec = codec
        self.leads = leads
        self.conversations: set[Conversation] = set()

    def conversation(self) -> "Conversation":
        """Return what a new connection talks to."""
        return Conversation(self)

    def farewell(self) -> None:
        """Ask everybody to hand nothing more over; what was handed over is answered."""
        for conversation in list(self.conversations):
            conversation.farewell()

    async def finish(self, within_seconds: int) -> None:
        """Return once everybody has said farewell and is answered; who stays silent for too long is cut off."""
        ended = {conversation.ended for conversation in self.conversations}
        if ended:
            await asyncio.wait(ended, timeout=within_seconds)
        for conversation in list(self.conversations):
            log.warning("handover_cut_off", commands=conversation.open)
            conversation.transport.abort()


class Conversation(asyncio.Protocol):
    """One connection, as the leader sees it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.codec = listener.codec
        self.open = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._frames = wire.Frames()
        self._answers: list[bytes] = []
        self._greeted = False
        self._said_farewell = False
        self._heard_farewell = False

    def connection_made(self, transport: Any) -> None:
        """Begin, with who is ours only."""
        self.transport = transport
        self.listener.conversations.add(self)
        transport.set_write_buffer_limits(high=_UNREAD_BYTES_MAX)
        if not is_ours(transport.get_extra_info("socket")):
            log.warning("handover_stranger")
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  (commands that were taken go on)
        """End; whatever was taken is carried out all the same."""
        self.listener.conversations.discard(self)
        self.ended.set_result(None)

    def pause_writing(self) -> None:
        """Take nothing from who does not read his answers."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take what has come; who says anything unheard-of is cut off."""
        try:
            for message in self._frames.take(data):
                if self.transport.is_closing():
                    return
                self._hear(message)
        except wire.Garbled as error:
            log.warning("handover_garbled", error=str(error)[:200])
            self.transport.abort()

    def _hear(self, message: wire.Message) -> None:
        if not self._greeted:
            self._greet(message)
            return
        match message:
            case wire.Commands(handed=handed):
                now_ns = time.monotonic_ns()
                for one in handed:
                    self._take(one, now_ns)
            case wire.Farewell():
                self._heard_farewell = True
                self._close_if_done()
            case _:
                raise wire.Garbled("an answer to nothing")

    def _greet(self, message: wire.Message) -> None:
        """Greet who speaks the same; anybody else is left to carry out his commands himself."""
        if not isinstance(message, wire.Hello):
            raise wire.Garbled("no greeting")
        if message.build != self.codec.build or not self.listener.leads():
            self.transport.close()
            return
        self._greeted = True
        self._frames.bytes_max = wire.FRAME_BYTES_MAX
        self.transport.write(wire.frame(wire.Hello(self.codec.build)))

    def _take(self, handed: wire.Handed, now_ns: int) -> None:
        number = handed.number
        if now_ns > handed.until_ns or self.listener.engine.stopping:
            self._not_taken(number)
            return
        try:
            command = self.codec.command(handed)
        except wire.UNHEARD_OF:
            self._not_taken(number)
            return
        try:
            future = self.listener.engine.put(
                handed.lane,
                command,
                caller=handed.caller,
                owner_id=handed.owner_id,
                request_id=handed.request_id,
                key=handed.key,
                arrived_at=handed.arrived_at,
                in_person=handed.in_person,
            )
        except Refusal as refusal:
            self._answer(number, refusal, handed.request_id)
            return
        self.open += 1
        future.add_done_callback(lambda done: self._done(number, done, handed.request_id))

    def _not_taken(self, number: int) -> None:
        self._say(wire.encoded(wire.Answered(number, wire.Outcome.NOT_TAKEN, b"")))

    def _done(self, number: int, done: "asyncio.Future[Reply]", request_id: str) -> None:
        self.open -= 1
        error = done.exception()
        if error is not None and not isinstance(error, Refusal):
            raise error
        self._answer(number, error or done.result(), request_id)

    def _answer(self, number: int, answer: Reply | Refusal, request_id: str) -> None:
        try:
            told = self.codec.answer_bytes(number, answer)
        except wire.UNSAYABLE:
            log.exception("handover_unsayable", request_id=request_id)
            told = self.codec.answer_bytes(number, Refusal(Code.CRASHED, request_id=request_id))
        self._say(told)

    def _say(self, told: bytes) -> None:
        """Let an answer go out with all others of this turn of the loop."""
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._flush)
        self._answers.append(told)

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if self.transport.is_closing():
            return
        self.transport.write(b"".join(wire.frames_of_answers(answers)))
        self._close_if_done()

    def farewell(self) -> None:
        """Ask the other side to hand nothing more over."""
        if self._greeted and not self._said_farewell:
            self._said_farewell = True
            self.transport.write(wire.frame(wire.Farewell()))
        elif not self._greeted:
            self.transport.close()

    def _close_if_done(self) -> None:
        if self._heard_farewell and self.open == 0 and not self._answers:
            self.transport.close()
