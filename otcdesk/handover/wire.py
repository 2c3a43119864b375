"""What processes say to each other on a hand-over socket: frames of messages, and how commands and answers travel.

A frame is four bytes of length and one message in MessagePack. A message carries many commands or many answers,
whatever came together; each is known by its number on its connection, and answers come in any order. Commands and
replies are JSON inside, because MessagePack ends at 64 bits and amounts do not. Both are known by the catalogue alone:
no product's word is here.

A connection is greeted by both sides first. The greeting names the build, so that two versions of the program that
meet during an upgrade never read each other's commands.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

import msgspec

from otcdesk import __version__
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Catalogue, Command, Reply, Verb
from otcdesk.errors import Code, Refusal

_LENGTH_BYTES = 4

#: One command is at most a world file, and so is a frame of many small ones.
FRAME_BYTES_MAX = 32 * 1024 * 1024

#: Before the greeting nobody has said anything that would need more.
GREETING_BYTES_MAX = 1024

#: A frame is closed when it has so much, so that the other side can begin.
FRAME_BYTES_ENOUGH = 64 * 1024


class Garbled(Exception):
    """What came is nothing that this program says."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The greeting: the build of the program that speaks."""

    build: str


class Handed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A command handed over: everything that `Engine.submit` is told, and until when it may be taken.

    `until_ns` is of the monotonic clock that all processes of the host share: who was stopped for long must not carry
    out what its caller has given up. `in_person` is from where an operator asks, and why.
    """

    number: int
    verb: str
    lane: int
    command: bytes
    caller: str
    owner_id: UUID
    request_id: str
    key: str | None
    arrived_at: datetime
    until_ns: int
    in_person: InPerson | None = None


class Outcome(IntEnum):
    """How a command that was handed over ended."""

    DONE = 0
    REFUSED = 1
    NOT_TAKEN = 2  # provably nothing was done, and anybody else may do it


class Answered(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The end of a command: its reply as JSON, or its refusal as JSON, or nothing."""

    number: int
    outcome: int
    told: bytes


class Commands(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Commands, in the order in which they came."""

    handed: list[Handed]


class Answers(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Answers, in any order."""

    answered: list[Answered]


class Farewell(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """From who leads: hand me nothing more. From who hands over: there comes nothing more."""


class _ManyCommands(msgspec.Struct, frozen=True, array_like=True, tag=1):
    handed: list[msgspec.Raw]


class _ManyAnswers(msgspec.Struct, frozen=True, array_like=True, tag=2):
    answered: list[msgspec.Raw]


class _Refused(msgspec.Struct, frozen=True, array_like=True):
    code: str
    detail: str
    facts: dict[str, Any]


Message = Hello | Commands | Answers | Farewell

#: What cannot be put into a message raises one of these: half a surrogate pair, or a number without end.
UNSAYABLE = (UnicodeEncodeError, OverflowError, TypeError, ValueError, msgspec.MsgspecError)

#: What cannot be understood raises one of these: another shape, no Unicode, or a time beyond all calendars.
UNHEARD_OF = (KeyError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.Decoder(Message).decode
_encode_json = msgspec.json.Encoder().encode
_decode_refused = msgspec.json.Decoder(_Refused).decode


def frame(message: Message) -> bytes:
    """Return one message as a frame."""
    return _framed(_encode(message))


def encoded(item: Handed | Answered) -> bytes:
    """Return a command or an answer as it stands in a frame. Raises one of UNSAYABLE."""
    return _encode(item)


def frames_of_commands(items: list[bytes]) -> Iterator[bytes]:
    """Yield frames with all these encoded commands."""
    for part in _parts(items):
        yield _framed(_encode(_ManyCommands(part)))


def frames_of_answers(items: list[bytes]) -> Iterator[bytes]:
    """Yield frames with all these encoded answers."""
    for part in _parts(items):
        yield _framed(_encode(_ManyAnswers(part)))


def _parts(items: list[bytes]) -> Iterator[list[msgspec.Raw]]:
    part: list[msgspec.Raw] = []
    size = 0
    for item in items:
        if part and size + len(item) > FRAME_BYTES_ENOUGH:
            yield part
            part, size = [], 0
        part.append(msgspec.Raw(item))
        size += len(item)
    if part:
        yield part


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class Frames:
    """Cuts what arrives on a connection into messages."""

    def __init__(self) -> None:
        self.bytes_max = GREETING_BYTES_MAX
        self._rest = bytearray()

    def take(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are whole by now. Raises Garbled, and then nothing more may be read."""
        if self._rest:
            self._rest += data
            data = bytes(self._rest) if self._whole(self._rest) else b""
            if not data:
                return
            self._rest.clear()
        start = 0
        while (end := self._end(data, start)) <= len(data):
            try:
                message = _decode(memoryview(data)[start + _LENGTH_BYTES : end])
            except UNHEARD_OF as error:
                raise Garbled(str(error)) from None
            start = end
            yield message
        if start < len(data):
            self._rest += memoryview(data)[start:]

    def _whole(self, data: bytearray) -> bool:
        """Tell whether a message is whole: what comes in many pieces is put together once, not once for each piece."""
        return self._end(data, 0) <= len(data)

    def _end(self, data: bytes | bytearray, start: int) -> int:
        head = start + _LENGTH_BYTES
        if head > len(data):
            return head
        length = int.from_bytes(data[start:head], "little")
        if length > self.bytes_max:
            raise Garbled(f"a frame of {length} bytes")
        return head + length


class Codec:
    """Commands and replies of a catalogue as bytes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.build = _build_of(catalogue)
        self._commands = {verb.name: msgspec.json.Decoder(command) for command, verb in catalogue.items()}
        self._replies = {verb.name: msgspec.json.Decoder(verb.reply) for verb in catalogue.values()}

    def verb_of(self, command: Command) -> Verb:
        """Return the row of the catalogue."""
        return self.catalogue[type(command)]

    def command_bytes(self, command: Command) -> bytes:
        """Return a command's content. Raises one of UNSAYABLE."""
        return _encode_json(command)

    def command(self, handed: Handed) -> Command:
        """Return the command that was handed over. Raises one of UNHEARD_OF."""
        return self._commands[handed.verb].decode(handed.command)

    def answer_bytes(self, number: int, answer: Reply | Refusal) -> bytes:
        """Return an answer as it stands in a frame. Raises one of UNSAYABLE."""
        if isinstance(answer, Refusal):
            told = _encode_json(_Refused(answer.code.name, answer.detail, answer.facts))
            return _encode(Answered(number, Outcome.REFUSED, told))
        return _encode(Answered(number, Outcome.DONE, _encode_json(answer)))

    def answer(self, verb: str, answered: Answered) -> Reply | Refusal:
        """Return the reply or refusal of a command that was taken. Raises one of UNHEARD_OF."""
        if answered.outcome == Outcome.REFUSED:
            refused = _decode_refused(answered.told)
            return Refusal(Code[refused.code], refused.detail, **refused.facts)
        return self._replies[verb].decode(answered.told)


def _build_of(catalogue: Catalogue) -> str:
    """Return what is the same in two processes only if they understand each other.

    All commands, replies and codes, and what is said of the person who asks: whoever missed their duties would let them
    do everything.
    """
    verbs = [
        (verb.name, msgspec.json.schema(command), msgspec.json.schema(verb.reply))
        for command, verb in catalogue.items()
    ]
    shapes = (__version__, verbs, msgspec.json.schema(InPerson), [code.name for code in Code])
    return hashlib.sha256(msgspec.json.encode(shapes)).hexdigest()
