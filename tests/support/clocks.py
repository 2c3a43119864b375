"""A clock that only moves when a test moves it."""

import os
import random
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

#: Long past, so that a desk on the machine's clock may go on where a steered one stopped.
START = datetime(2021, 3, 1, 9, 0, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def new_seed() -> int:
    """Return a seed, printed so that a failure can be repeated with TEST_SEED."""
    seed = int(os.environ.get("TEST_SEED") or secrets.randbits(32))
    print(f"TEST_SEED={seed}")
    return seed


def seeds(seconds: int | None) -> Iterator[int]:
    """Give one seed, or as many as there is time for."""
    deadline = time.monotonic() + (seconds or 0)
    seed = new_seed()
    yield seed
    while time.monotonic() < deadline:
        seed += 1
        print(f"TEST_SEED={seed}")
        yield seed


class SteeredClock:
    """Implements `otcdesk.clock.Clock`: stands still until told, and draws its ids from a printed seed."""

    def __init__(self, start: datetime = START, seed: int | None = None) -> None:
        self._now = start
        self._random = random.Random(new_seed() if seed is None else seed)
        self._drawn = 0

    def now(self) -> datetime:
        return self._now

    def new_id(self) -> UUID:
        """Return a UUID version 7 of the steered time; ids of one clock rise, their last 8 bits are free."""
        self._drawn += 1
        milliseconds = (self._now - _EPOCH) // _MILLISECOND
        high = self._drawn >> 24 & 0xFFF
        low = (self._drawn & 0xFFFFFF) << 38 | self._random.getrandbits(30) << 8
        return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low)

    def set(self, moment: datetime) -> None:
        """Let it be that time, later or earlier."""
        self._now = moment

    def advance(self, *, seconds: int = 0, milliseconds: int = 0) -> datetime:
        """Move on and return the new time."""
        self._now += timedelta(seconds=seconds, milliseconds=milliseconds)
        return self._now
