"""Pages of this dialect: a size, and an opaque token that says after which row the next one begins (contract 3.12).

A list goes by (time of creation, id), which never change, so new rows are neither repeated nor skipped. A token holds
these of the last row, and a mark of what was asked for: it is good for the same list only. What a list does not know of
a query, and a default that is said, make no other list.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.http import Request
from otcdesk.api.wire import KEPT_TEXT
from otcdesk.forms import wrong

R = TypeVar("R")

SIZE_DEFAULT: Final = 20
SIZE_MAX: Final = 100
ASCENDING, DESCENDING = "ASC", "DESC"

_TOKEN_CHARACTERS_MAX: Final = 1_024
_MARK_BYTES: Final = 8
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Fields of a query that say where in a list one is, not which list; the direction is marked as it is understood.
_OF_PLACE: Final = frozenset({"PageSize", "PageToken", "SortDirection"})

#: Before, and after, every row of a list by time.
FIRST: Final = datetime(1, 1, 2, tzinfo=UTC), UUID(int=0)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC), UUID(int=2**128 - 1)

_Size = Annotated[int, Meta(ge=1, le=SIZE_MAX)]


class PageQuery(msgspec.Struct, kw_only=True):
    """The query of a list."""

    PageSize: _Size = SIZE_DEFAULT
    PageToken: str | None = None


class SortedQuery(PageQuery, kw_only=True):
    """The query of a list that goes by time."""

    SortDirection: Literal["ASC", "DESC"] = "DESC"


class _Place(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """After which row, in the list with this mark; `key` is None in lists by time, the others None in those by key."""

    mark: str
    at: datetime | None
    id: UUID | None
    key: Annotated[str, Meta(pattern=KEPT_TEXT)] | None


class Page:
    """Which part of a list a request asks for."""

    def __init__(self, request: Request, known: type[PageQuery] = SortedQuery, *, direction: str | None = None) -> None:
        """Read it; `known` has the list's own filters, and `direction` is that of a list which has one only.

        Refuses REQUEST_INVALID for a size out of bounds, and for a token that is not of this list.
        """
        query = request.query
        self.size = _size(query.get("PageSize"))
        self.ascending = (direction or _direction(query.get("SortDirection"))) == ASCENDING
        filters = sorted(set(known.__struct_fields__) - _OF_PLACE)
        asked = [request.inside, self.ascending, [query.get(name) for name in filters]]
        self._mark = blake2b(msgspec.json.encode(asked), digest_size=_MARK_BYTES).hexdigest()
        token = query.get("PageToken")
        self._place = None if token is None else self._read(token)

    @property
    def after(self) -> tuple[datetime, UUID]:
        """Return the time and id after which this page begins, in the direction of the list."""
        if self._place is not None and self._place.at is not None and self._place.id is not None:
            return self._place.at, self._place.id
        return FIRST if self.ascending else _LAST

    @property
    def after_key(self) -> str:
        """Return the key after which this page begins, in a list by key."""
        return (self._place.key if self._place is not None else None) or ""

    @property
    def fetched(self) -> int:
        """Return how many rows to read: one more than shown tells whether there is another page."""
        return self.size + 1

    def shown(self, rows: Sequence[R]) -> Sequence[R]:
        """Return the rows of this page."""
        return rows[: self.size]

    def token_by_time(self, rows: Sequence[R], place: Callable[[R], tuple[datetime, UUID]]) -> str | UnsetType:
        """Return the token of the next page of a list by time; nothing after the last."""
        if len(rows) <= self.size:
            return UNSET
        return self._written(_Place(self._mark, *place(rows[self.size - 1]), None))

    def token_by_key(self, rows: Sequence[R], key: Callable[[R], str]) -> str | UnsetType:
        """Return the token of the next page of a list by key; nothing after the last."""
        if len(rows) <= self.size:
            return UNSET
        return self._written(_Place(self._mark, None, None, key(rows[self.size - 1])))

    @staticmethod
    def _written(place: _Place) -> str:
        return urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode("ascii")

    def _read(self, token: str) -> _Place:
        if len(token) > _TOKEN_CHARACTERS_MAX:
            raise wrong({"PageToken": "is not known"})
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            place: _Place = msgspec.json.decode(raw, type=_Place)
        except (ValueError, msgspec.MsgspecError):
            raise wrong({"PageToken": "is not known"}) from None
        if place.mark != self._mark or not _may_be(place.at):
            raise wrong({"PageToken": "is not of this list"})
        return place


def _may_be(at: datetime | None) -> bool:
    return at is None or (at.tzinfo is not None and FIRST[0] <= at <= _LAST[0])


def _size(text: str | None) -> int:
    if text is None:
        return SIZE_DEFAULT
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= SIZE_MAX:
        raise wrong({"PageSize": f"must be a whole number from 1 to {SIZE_MAX}"})
    return int(text)


def _direction(text: str | None) -> str:
    if text not in {None, ASCENDING, DESCENDING}:
        raise wrong({"SortDirection": "must be ASC or DESC"})
    return text or DESCENDING


def plain_query(request: Request, name: str, allowed: str, what: str) -> str | None:
    """Return a field of the query that fits a pattern, None without it; refuses REQUEST_INVALID."""
    value = request.query.get(name)
    if value is not None and not re.fullmatch(allowed, value, re.ASCII):
        raise wrong({name: f"must be {what}"})
    return value


def required(value: Any, name: str) -> Any:
    """Return what a query must have; refuses REQUEST_INVALID."""
    if value is None:
        raise wrong({name: "is required"})
    return value
