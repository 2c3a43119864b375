"""What all nouns share: a noun is a frozen row of its lane's books, and a change is a new value."""

from functools import cache
from typing import Any, Self

import msgspec


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """A row that batches load, decide on and save. Its fields are the columns of its table, by name.

    Nouns are declared with `gc=False`: they hold plain values only, so no cycle can go through one, and a collector
    that walked through all cached rows would be seen in every hundredth request.
    """

    @property
    def key(self) -> Any:
        """Return what tells this row from all others of its kind in its lane."""
        raise NotImplementedError(type(self).__name__)

    def with_(self, **changes: Any) -> Self:
        """Return the same row with some fields changed."""
        return msgspec.structs.replace(self, **changes)


def as_written(row: Noun) -> Noun:
    """Return a row as its batch writes it, or wrote it, if it was read.

    A field that a kind got later is UNSET by default, and then its batch says nothing of it. The database says null of
    such a field, so null is nothing said, also in a row that was read and is changed.
    """
    late = _late_fields(type(row))
    unsaid = {name: msgspec.UNSET for name in late if getattr(row, name) is None}
    return row.with_(**unsaid) if unsaid else row


@cache
def _late_fields(noun: type[Noun]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(noun) if field.default is msgspec.UNSET)
