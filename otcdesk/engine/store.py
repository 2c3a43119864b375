"""What the engine asks of a store, and the five ways in which a store can fail it.

The failures decide what the engine does next, so a store must sort its errors into exactly these.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from otcdesk.domain.noun import Noun


class FenceLost(Exception):
    """Somebody else wrote the lane since its rows were read; nothing was changed. Load and decide again."""


class KeyTaken(Exception):
    """An idempotency key that was not read is in use; nothing was changed. Read the keys and decide again."""


class BadData(Exception):
    """The data of some command cannot be stored; nothing was changed. Find the command and fail it alone."""


class StoreDown(Exception):
    """The server failed before or without a commit; nothing was changed. The same batch may be tried again."""


class CommitUnknown(Exception):
    """The connection was lost around a save: the batch may have been committed or may yet be. Find out."""


class Head(msgspec.Struct, frozen=True):
    """The newest batch of a lane: its number, its hash, and when it was made by the machine's time."""

    seq: int
    hash: str
    at: datetime


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A stored row and the batch that wrote it."""

    row: Noun
    seq: int


class Loaded(msgspec.Struct, frozen=True):
    """What one reading saw: the head and the rows that exist among those asked for, all at one instant."""

    head: Head
    rows: list[Kept]


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A row to be written: the bytes that are hashed are the bytes that are stored. `was` None: the row is new."""

    row: Noun
    json: bytes
    was: int | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A link of the lane's chain with everything that commits with it."""

    lane: int
    seq: int
    previous_hash: str
    hash: str
    kind: str
    at: datetime
    writer: str
    notes: str
    writes: bytes
    rows: Sequence[Encoded]

    @property
    def head(self) -> Head:
        """Return the lane's head once this batch is committed."""
        return Head(self.seq, self.hash, self.at)


class Store(Protocol):
    """Where lanes are kept."""

    async def load(self, lane: int, wants: Mapping[type[Noun], Sequence[Any]]) -> Loaded:
        """Read the lane's head and the rows with these keys, in one round trip. Raises StoreDown."""
        ...

    async def save(self, batch: Batch) -> None:
        """Commit a batch on top of the head it names, all or nothing. Raises each failure above."""
        ...

    async def standing(self, lane: int, seq: int) -> str | None:
        """Return the hash of the batch at this place of the lane, None if there is none yet. Raises StoreDown."""
        ...

    def turn(self, lane: int) -> AbstractAsyncContextManager[None]:
        """Wait for, and hold, the right to write the lane before anybody else. Raises StoreDown."""
        ...

    def crowded(self) -> bool:
        """Tell whether some lane waits for what another holds."""
        ...

    async def rest(self, lane: int) -> None:
        """Give back what is held for a lane that has nothing to do."""
        ...
