"""The two things that tests freeze: what time it is and which ids come next."""

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

#: A time-ordered id (UUID version 7) keeps its low bits free for the ids derived from it.
_DERIVED_BITS = 8
#: What is left of 128 bits by the time, the version, the variant and the derived ids' own, as whole bytes.
_RANDOM_BITS = 74 - _DERIVED_BITS
_RANDOM_BYTES = (_RANDOM_BITS + 7) // 8
_UNUSED_BITS = _RANDOM_BYTES * 8 - _RANDOM_BITS
#: How many ids' randomness is drawn from the system at once.
_DRAWN = 256
_VERSION_7 = 7 << 76
_VARIANT = 0b10 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Where the time and fresh ids come from."""

    def now(self) -> datetime:
        """Return the time in UTC, in microseconds."""
        ...

    def new_id(self) -> UUID:
        """Return an id that nothing has, sorting after the ids of earlier milliseconds."""
        ...


class SystemClock:
    """The machine's clock and its source of randomness, which is asked for many ids' worth at once."""

    def __init__(self) -> None:
        self._random: Iterator[int] = iter(())

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def new_id(self) -> UUID:
        """Return a UUID version 7 (RFC 9562) whose last bits are zero, so that `derived_id` has room."""
        milliseconds = time.time_ns() // 1_000_000
        random = self._bits() << _DERIVED_BITS
        high, low = random >> 62, random & ((1 << 62) - 1)
        return UUID(int=(milliseconds << 80) | _VERSION_7 | (high << 64) | _VARIANT | low)

    def _bits(self) -> int:
        """Return random bits that nobody has seen; asking the system for each id would cost more than the rest."""
        bits = next(self._random, None)
        if bits is None:
            drawn = secrets.token_bytes(_DRAWN * _RANDOM_BYTES)
            self._random = iter(
                [
                    int.from_bytes(drawn[place : place + _RANDOM_BYTES], "big") >> _UNUSED_BITS
                    for place in range(0, len(drawn), _RANDOM_BYTES)
                ]
            )
            bits = next(self._random)
        return bits


def derived_id(base: UUID, number: int) -> UUID:
    """Return the `number`th id that belongs to `base`; a command makes all its ids from the one it arrived with."""
    if not 0 <= number < 1 << _DERIVED_BITS:
        raise ValueError(f"a command makes at most {1 << _DERIVED_BITS} ids")
    return UUID(int=base.int | number)


def milliseconds_between(start: datetime, end: datetime) -> int:
    """Return the whole milliseconds from `start` to `end`."""
    return (end - start) // timedelta(milliseconds=1)


def at_milliseconds(milliseconds: int) -> datetime:
    """Return the time that many milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def iso_milliseconds(moment: datetime) -> str:
    """Write a UTC time as ISO 8601 with milliseconds, cut, and `Z`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
