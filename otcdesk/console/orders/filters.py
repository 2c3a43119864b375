"""What the blotter is asked for: which orders, and from where on. A place in it is an opaque text."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from otcdesk.console.orders.states import (
    KIND_OF,
    OPEN_PLACES,
    PLACES,
    Place,
    overdue_into,
    stored_as,
)
from otcdesk.errors import Code, Refusal

SIZE_DEFAULT: Final = 50
SIZE_MAX: Final = 200

#: Times before and after every order of any desk.
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)

_CURSOR_LENGTH_MAX: Final = 200
_NO_ID: Final = UUID(int=0)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which orders; what is empty, None or False asks for nothing. All that is given must hold.

    `states` and `kinds` of states are those by the clock. `asset` is the source or the destination. `created_from` is
    the first moment that counts, `created_to` the first that does not any more.
    """

    products: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tenant_id: UUID | None = None
    asset: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    open_only: bool = False
    needs_attention: bool = False

    @property
    def places(self) -> frozenset[Place] | None:
        """Return the places by the clock that are asked for; None for all."""
        if not (self.products or self.sides or self.states or self.kinds or self.open_only):
            return None
        return frozenset(
            place
            for place in (OPEN_PLACES if self.open_only else PLACES)
            if (not self.products or place.product in self.products)
            and (not self.sides or place.side in self.sides)
            and (not self.states or place.state in self.states)
            and (not self.kinds or KIND_OF[place.product][place.state] in self.kinds)
        )


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A place between two orders of the blotter: just older, or newer, than the order of this time and id."""

    newer: bool
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    id: UUID

    @property
    def text(self) -> str:
        """Return it as it is written into an address."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode("ascii").rstrip("=")


def cursor_of(text: str) -> Cursor | None:
    """Read a place, None where none is given; refuses REQUEST_INVALID for a text that the blotter has not written."""
    if not text:
        return None
    cursor: Cursor | None
    try:
        raw = base64.b64decode(text[:_CURSOR_LENGTH_MAX] + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(raw, type=Cursor)
    except (ValueError, msgspec.DecodeError):
        cursor = None
    if cursor is None or not EVER <= cursor.at <= NEVER:
        raise Refusal(Code.REQUEST_INVALID, "This is no place in the blotter.")
    return cursor


def start_of(filters: Filters) -> Cursor:
    """Return the place from which the newest orders that are asked for are read."""
    return Cursor(newer=False, at=filters.created_to or NEVER, id=_NO_ID)


def within(filters: Filters, cursor: Cursor) -> Cursor:
    """Return a place that is not newer than what is asked for."""
    start = start_of(filters)
    return cursor if cursor.newer or (cursor.at, cursor.id) <= (start.at, start.id) else start


def texts(places: Iterable[Place]) -> list[str]:
    """Return places as the queries compare them, in an order that is always the same."""
    return sorted(place.text for place in places)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What places mean to a query: where to look, and which of what is there counts before and after its due time."""

    stored: list[Place]
    before: list[str]
    after: list[str]


def looked_for(places: Iterable[Place]) -> Looked:
    """Return where orders are stored that are in one of these places by the clock."""
    wanted = frozenset(places)
    return Looked(stored=sorted(stored_as(wanted)), before=texts(wanted), after=texts(overdue_into(wanted)))
