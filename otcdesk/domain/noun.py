"""What all nouns share: a noun is a frozen row of its lane's books, and a change is a new value."""

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
