"""The working set: the rows that a batch is decided on, in three layers.

What a command asks for is looked up in the rows that it and the commands decided before it in the same batch staged,
then in what this attempt read, then in the lane's cache. A row in none of them is unread: `Unread` tells the
engine what to read before the command is decided again. A row that was read and does not exist is known to be absent
for this attempt only.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from otcdesk.domain.noun import Noun
from otcdesk.domain.registry import KIND_OF
from otcdesk.engine.store import Head, Kept, Loaded

N = TypeVar("N", bound=Noun)
#: A kind of row and a key in it, as actions name them.
RowKey = tuple[type[Noun], Any]
#: The same as the layers are keyed by: an id as its number, which hashes several times faster than the id itself.
Slot = tuple[type[Noun], Any]

_ABSENT = Kept(None, -1)  # type: ignore[arg-type]


class Unread(Exception):
    """Rows that a decision needs and nobody has read yet."""

    def __init__(self, keys: set[RowKey]) -> None:
        super().__init__(f"{len(keys)} rows are unread")
        self.keys = keys


def slot_of(noun: type[Noun], key: Any) -> Slot:
    """Return where the layers keep the row of this kind and key."""
    if isinstance(key, UUID):
        return noun, key.int
    if isinstance(key, tuple):
        return noun, tuple([part.int if isinstance(part, UUID) else part for part in key])
    return noun, key


class LaneCache:
    """Rows of one lane as of its head, kept between batches while nobody else writes the lane.

    It answers by key only and never says that a row does not exist. It takes rows only after a known commit and is
    dropped whole at the first doubt.
    """

    def __init__(self, rows_max: int) -> None:
        self.rows_max = rows_max
        self.head: Head | None = None
        self.rows: dict[Slot, Kept] = {}

    def drop(self) -> None:
        """Forget everything."""
        self.head = None
        self.rows.clear()

    def advance(self, head: Head, rows: Iterable[Kept]) -> None:
        """Take the rows of a batch that is known to be committed, or of a reading at the head."""
        self.head = head
        for kept in rows:
            noun = type(kept.row)
            if KIND_OF[noun].kept:  # nobody reads entries back
                slot = slot_of(noun, kept.row.key)
                self.rows.pop(slot, None)  # a row that is used again becomes the youngest
                self.rows[slot] = kept
        excess = len(self.rows) - self.rows_max
        if excess > 0:  # and a tenth with it: taking the oldest one by one would walk over all gaps
            for slot in list(islice(self.rows, excess + self.rows_max // 10)):
                del self.rows[slot]


class WorkingSet:
    """The books of one attempt at one batch; implements `domain.commands.Books`.

    What is staged is kept in its newest state, with the batch that wrote it before. What the current command replaced
    is remembered, so that exactly its changes can be taken back.
    """

    def __init__(self, cache: LaneCache) -> None:
        self.cache = cache
        self.head = cache.head
        self.read: dict[Slot, Kept] = {}
        self.staged: dict[Slot, Noun] = {}
        self._was: dict[Slot, int | None] = {}
        self._undo: list[tuple[Slot, Noun | None]] = []

    def take(self, loaded: Loaded, asked: set[RowKey]) -> bool:
        """Add what was read; False when the lane moved since the rows that are here already were read."""
        if self.head is not None and loaded.head != self.head:
            return False
        self.head = loaded.head
        found = {slot_of(type(kept.row), kept.row.key): kept for kept in loaded.rows}
        for key in asked:
            slot = slot_of(*key)
            self.read[slot] = found.get(slot, _ABSENT)
        return True

    @property
    def read_at_head(self) -> bool:
        """Tell whether this attempt read anything: such a reading saw the head, and so that the cache was fresh."""
        return bool(self.read)

    def restart(self) -> None:
        """Forget everything decided, keep everything read."""
        self.staged, self._was, self._undo = {}, {}, []

    def find(self, noun: type[N], key: Any) -> N | None:
        """Return the row with this key, or None if there is none; raises Unread."""
        slot = slot_of(noun, key)
        row = self.staged.get(slot)
        if row is None:
            kept = self.read.get(slot) or self.cache.rows.get(slot)
            if kept is None:
                raise Unread({(noun, key)})
            row = kept.row
        return row  # type: ignore[return-value]

    def want(self, *wants: RowKey) -> None:
        """Raise Unread with all of these rows that are unread, so that they are read together; None names no row."""
        missing = [key for key in wants if key[1] is not None and not self.knows(key)]
        if missing:
            raise Unread(set(missing))

    def knows(self, key: RowKey) -> bool:
        """Tell whether a row was read, is cached or is staged."""
        slot = slot_of(*key)
        return slot in self.cache.rows or slot in self.staged or slot in self.read

    def add(self, row: Noun) -> None:
        """Stage a new row."""
        slot = slot_of(type(row), row.key)
        if slot in self.staged:
            raise AssertionError(f"{type(row).__name__} {row.key} is added twice")
        self.staged[slot] = row
        self._was[slot] = None
        self._undo.append((slot, None))

    def put(self, row: Noun) -> None:
        """Stage the next version of a row that exists."""
        slot = slot_of(type(row), row.key)
        before = self.staged.get(slot)
        if before is None:
            kept = self.read.get(slot) or self.cache.rows.get(slot)
            if kept is None or kept is _ABSENT:
                raise AssertionError(f"{type(row).__name__} {row.key} is changed without having been found")
            self._was[slot] = kept.seq
        self.staged[slot] = row
        self._undo.append((slot, before))

    def keep(self) -> None:
        """Make the current command's changes part of the batch."""
        self._undo.clear()

    def discard(self) -> None:
        """Drop exactly the current command's changes."""
        for slot, before in reversed(self._undo):
            if before is None:
                del self.staged[slot], self._was[slot]
            else:
                self.staged[slot] = before
        self._undo.clear()

    def changes(self) -> list[tuple[Noun, int | None]]:
        """Return every row of the batch in its final state with the batch that wrote it before (None: new)."""
        return [(row, self._was[slot]) for slot, row in self.staged.items()]
