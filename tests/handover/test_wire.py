"""What is said on a hand-over socket: whatever is sent comes out as it was, and what is not sent is not understood."""

import math
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec import inspect

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.domain.acts import InPerson
from otcdesk.errors import Code, Refusal
from otcdesk.handover import wire
from tests.support.clocks import new_seed
from tests.support.desk import FA1, WA1, A

CODEC = wire.Codec(CATALOGUE)
NOW = datetime(2021, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)

EVERYTHING = [*CATALOGUE, *dict.fromkeys(verb.reply for verb in CATALOGUE.values())]


class Sample:
    """Values of any type that a command or reply has, the awkward ones too."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, kind: Any) -> Any:
        """Return a value of a type as `msgspec.inspect` describes it."""
        match kind:
            case inspect.StructType(cls=cls, fields=fields):
                return cls(**{field.name: self.of(field.type) for field in fields})
            case inspect.NamedTupleType(cls=cls, fields=fields):
                return cls(**{field.name: self.of(field.type) for field in fields})
            case inspect.UnionType(types=types):
                return self.of(self.random.choice(types))
            case inspect.ListType(item_type=item):
                return [self.of(item) for _ in range(self.random.randrange(3))]
            case inspect.VarTupleType(item_type=item):
                return tuple(self.of(item) for _ in range(self.random.randrange(3)))
            case inspect.TupleType(item_types=items):
                return tuple(self.of(item) for item in items)
            case inspect.DictType(key_type=key, value_type=item):
                return {self.of(key): self.of(item) for _ in range(self.random.randrange(3))}
            case inspect.LiteralType(values=values):
                return self.random.choice(list(values))
            case inspect.EnumType(cls=cls):
                return self.random.choice(list(cls))
            case inspect.IntType():
                return self.random.choice([0, -1, 7, 2**63, 10**38, -(10**38)])
            case inspect.StrType():
                return self.random.choice(["", "text", "\x00\u20ac\U0001f600\"'", "x" * 300])
            case inspect.BoolType():
                return self.random.choice([True, False])
            case inspect.UUIDType():
                return UUID(int=self.random.getrandbits(128))
            case inspect.DecimalType():
                return self.random.choice([Decimal("1.0838"), Decimal("0E-18"), Decimal("1E+30"), Decimal(-3)])
            case inspect.DateTimeType():
                return NOW + timedelta(microseconds=self.random.randrange(10**12))
            case inspect.DateType():
                return NOW.date() + timedelta(days=self.random.randrange(10**4))
            case inspect.NoneType():
                return None
            case _:
                raise AssertionError(f"no sample of {kind}")


@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
def test_every_command_and_reply_comes_out_as_it_was(kind: Any) -> None:
    sample = Sample(new_seed())
    for _ in range(50):
        value = sample.of(inspect.type_info(kind))
        if kind in CATALOGUE:
            assert CODEC.command(_handed(CATALOGUE[kind].name, msgspec.json.encode(value))) == value
        else:
            verb = next(verb.name for verb in CATALOGUE.values() if verb.reply is kind)
            answered = _one_answer(CODEC.answer_bytes(7, value))
            assert (answered.number, CODEC.answer(verb, answered)) == (7, value)


@pytest.mark.parametrize(
    "duties", [None, frozenset(), frozenset({"read", "orders.approve"})], ids=["program", "none", "two"]
)
def test_from_where_an_operator_asks_and_what_they_carry_goes_with_their_command(duties: frozenset[str] | None) -> None:
    asked = InPerson(address="192.0.2.1", why="as agreed \u20ac", duties=duties)
    handed = msgspec.structs.replace(_handed("approve_conversion", b"{}"), in_person=asked)
    (message,) = _taken(b"".join(wire.frames_of_commands([wire.encoded(handed)])))
    assert isinstance(message, wire.Commands)
    assert message.handed == [handed]


def _handed(verb: str, command: bytes, number: int = 7) -> wire.Handed:
    return wire.Handed(number, verb, 3, command, "api_key:x", A, "request", "a key", NOW, 2**62)


def _one_answer(encoded: bytes) -> wire.Answered:
    (message,) = _taken(b"".join(wire.frames_of_answers([encoded])))
    assert isinstance(message, wire.Answers)
    (answered,) = message.answered
    return answered


def _taken(data: bytes, *, at_once: int = 1 << 30) -> list[wire.Message]:
    frames = wire.Frames()
    frames.bytes_max = wire.FRAME_BYTES_MAX
    return [message for start in range(0, len(data), at_once) for message in frames.take(data[start : start + at_once])]


def test_a_refusal_comes_out_with_everything_that_it_says() -> None:
    refusal = Refusal(Code.INVALID_STATE, "Not now.", state="completed", retry_after_seconds=3)
    told = CODEC.answer("confirm_conversion", _one_answer(CODEC.answer_bytes(1, refusal)))
    assert isinstance(told, Refusal)
    assert (told.code, told.detail, told.facts) == (refusal.code, refusal.detail, refusal.facts)


def _many() -> tuple[bytes, list[wire.Handed]]:
    command = CODEC.command_bytes(QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=10**38))
    handed = [_handed("quote_buy", command, number) for number in range(1000)]
    data = b"".join(wire.frames_of_commands([wire.encoded(one) for one in handed]))
    return wire.frame(wire.Hello("x")) + data + wire.frame(wire.Farewell()), handed


@pytest.mark.parametrize("at_once", [1, 3, 4096, 65_537, 1 << 30])
def test_messages_are_the_same_however_they_arrive(at_once: int) -> None:
    data, handed = _many()
    first, *commands, last = _taken(data, at_once=at_once)
    assert (first, last) == (wire.Hello("x"), wire.Farewell())
    found = [one for message in commands if isinstance(message, wire.Commands) for one in message.handed]
    assert found == handed
    assert 1 < len(commands) <= math.ceil(len(data) / wire.FRAME_BYTES_ENOUGH), "many travel together, not all"


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x01\x00\x00\x00\xc1",
        b"\x05\x00\x00\x00\x92\x63\xa1x!",
        wire.frame(wire.Hello("x"))[:-1] + b"\xff",
        wire.frame(wire.Hello("x" * wire.GREETING_BYTES_MAX)),
        b"".join(wire.frames_of_commands([b"\xc0" * 10])),
    ],
)
def test_what_nobody_says_is_garbled(garbage: bytes) -> None:
    with pytest.raises(wire.Garbled):
        list(wire.Frames().take(garbage))


def test_random_bytes_are_garbled_or_wait_for_more() -> None:
    chosen = random.Random(new_seed())
    for _ in range(2000):
        frames, kept = wire.Frames(), 0
        try:
            for _ in range(3):
                kept += len(list(frames.take(chosen.randbytes(chosen.randrange(1, 50)))))
        except wire.Garbled:
            continue
        assert kept == 0


def test_another_catalogue_is_another_build() -> None:
    fewer = dict(list(CATALOGUE.items())[1:])
    assert wire.Codec(fewer).build != CODEC.build
    assert wire.Codec(dict(CATALOGUE)).build == CODEC.build
