"""The blotter: all orders of a lane, newest first, a page at a time, by any combination of filters.

A page is read along an index, and at most `LOOKED_MAX` orders are looked at for it, whatever is asked for; where that
did not fill the page, it says how far it has looked, and the next page goes on from there. A page begins at a place
between two orders, so new ones move nothing: whoever goes on towards the older sees each order once.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from otcdesk.console.orders.filters import (
    EVER,
    NEVER,
    SIZE_DEFAULT,
    SIZE_MAX,
    Cursor,
    Filters,
    Looked,
    looked_for,
    start_of,
    texts,
    within,
)
from otcdesk.console.orders.states import (
    BY_PEOPLE,
    LASTING,
    TO_DO_PLACES,
    UNSETTLED_DEBIT,
    Place,
    attention_of,
    kind_of,
    overdue_into,
    stored_as,
)
from otcdesk.domain.orders import Order
from otcdesk.domain.products import by_the_clock
from otcdesk.storage.database import Reads

#: More are not counted: the page says that there are more.
COUNTED_MAX: Final = 1_000

#: At most so many orders are looked at for a page, by each way that there is to read it. So many come first: what is
#: asked for is often among them.
LOOKED_MAX: Final = 10_000
LOOKED_FIRST: Final = 500

#: Of each cause for which orders need somebody so many are looked at; with more of them nobody reads a list.
NEED_MAX: Final = 1_000

_FILE: Final = "console_orders"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One order of the blotter, as it is by the clock, and the names that people know.

    `rail_reference`: what the rail calls it, or is asked by. `attention`: why it needs somebody, if it does.
    """

    order: Order
    kind: str
    tenant: str | None
    party: str | None
    source_scale: int
    destination_scale: int
    rail_reference: str | None
    attention: str | None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders there are, or at least how many."""

    number: int
    is_exact: bool

    @property
    def text(self) -> str:
        """Return it for people."""
        return f"{self.number:,}" if self.is_exact else f"{self.number:,}+"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the blotter, newest first, and the places where those before and after it begin.

    `older` is None where there is nothing older. `newer` is where newer ones will come, even if there are none yet;
    None if the page is empty. `looked_back_to`: the page is not full, and older orders were not looked at.
    """

    rows: list[Row]
    older: str | None
    newer: str | None
    looked_back_to: datetime | None
    count: Count


class _Horizon(msgspec.Struct, frozen=True):
    created_at: datetime
    id: UUID


class _Stored(msgspec.Struct, frozen=True):
    order: Order
    source_scale: int
    destination_scale: int
    job_failed: bool
    tenant: str | None = None
    party: str | None = None
    settled_as: str | None = None


class _Found(msgspec.Struct, frozen=True):
    rows: list[_Stored]
    horizon: _Horizon | None = None


class _Counted(msgspec.Struct, frozen=True):
    number: int
    cut: bool


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """Along which index to read: the query's name and what only it takes.

    `looks` and `counts`: how many orders are looked at in each of the `ranges`, for a page and for a count.
    """

    name: str
    own: tuple[Any, ...]
    ranges: int = 1
    looks: int
    counts: int


async def blotter(
    reads: Reads, lane: int, filters: Filters, now: datetime, *, cursor: Cursor | None = None, size: int = SIZE_DEFAULT
) -> Page:
    """Return a page of a lane's orders at `now`, the lane's time, from a place on; None: from the newest."""
    size = max(1, min(size, SIZE_MAX))
    start = within(filters, cursor) if cursor else start_of(filters)
    best: _Found | None = None
    for way in _first(_ways(filters, now)):
        found = await _read(reads, lane, way, filters, now, start, size)
        if best is None or _reaches(found, size) > _reaches(best, size):
            best = found
        if found.horizon is None or len(found.rows) > size:
            break
    assert best is not None
    return _page(best, start, size, now, await count(reads, lane, filters, now))


async def count(reads: Reads, lane: int, filters: Filters, now: datetime) -> Count:
    """Return how many orders there are, exactly up to `COUNTED_MAX`."""
    best = Count(number=0, is_exact=False)
    for way in _ways(filters, now):
        arguments = _arguments(lane, filters, now, start_of(filters), way.counts, COUNTED_MAX + 1)
        found = await reads.row(_FILE, f"{way.name}_count", _Counted, *arguments, *way.own)
        assert found is not None
        best = max(best, _count_of(found), key=lambda one: (one.is_exact, one.number))
        if best.is_exact or best.number == COUNTED_MAX:
            break
    return best


def _count_of(found: _Counted) -> Count:
    if found.number > COUNTED_MAX:
        return Count(number=COUNTED_MAX, is_exact=False)
    return Count(number=found.number, is_exact=not found.cut)


def _ways(filters: Filters, now: datetime) -> list[_Way]:
    """Return the ways to read what is asked for, the one that is likely to be shortest first."""
    places = filters.places
    looked = None if places is None else looked_for(places)
    said = (None, None) if looked is None else (looked.before, looked.after)
    if filters.needs_attention:
        return [_Way(name="in_need", own=(*said, *_needs(now)), looks=NEED_MAX, counts=NEED_MAX)]
    if filters.tenant_id is not None:
        narrowed = looked is not None or filters.asset is not None
        along = _way("by_tenant", said, 1, narrowed=narrowed)
        return [along] if looked is None else [along, _by_state(looked, filters)]
    if looked is None:
        return [_way("by_time", said, 1, narrowed=filters.asset is not None)]
    return [_by_state(looked, filters)]


def _first(ways: list[_Way]) -> list[_Way]:
    """Return the ways with a short look before the long ones, if it is shorter."""
    short, looks = ways[0], LOOKED_FIRST // ways[0].ranges
    return (
        ways
        if short.name == "in_need" or short.looks <= looks
        else [msgspec.structs.replace(short, looks=looks), *ways]
    )


def _by_state(looked: Looked, filters: Filters) -> _Way:
    before, after = set(looked.before), set(looked.after)
    own = (
        *_columns(looked.stored),
        [place.text in before for place in looked.stored],
        [place.text in after for place in looked.stored],
    )
    narrowed = filters.tenant_id is not None or filters.asset is not None
    return _way("by_state", own, len(looked.stored), narrowed=narrowed)


def _way(name: str, own: tuple[Any, ...], ranges: int, *, narrowed: bool) -> _Way:
    """Return a way; where all or nearly all of a range is wanted, as many as are shown are enough."""
    each = max(LOOKED_MAX // max(ranges, 1), 1)
    looks, counts = (each, each) if narrowed else (min(each, SIZE_MAX + 1), min(each, COUNTED_MAX + 1))
    return _Way(name=name, own=own, ranges=max(ranges, 1), looks=looks, counts=counts)


def _needs(now: datetime) -> tuple[Any, ...]:
    stored = sorted(stored_as({*TO_DO_PLACES}) | {UNSETTLED_DEBIT})
    return (
        *_columns(stored),
        now - LASTING,
        sorted(BY_PEOPLE),
        texts(TO_DO_PLACES),
        texts(overdue_into(TO_DO_PLACES)),
        UNSETTLED_DEBIT.text,
    )


def _columns(places: list[Place]) -> tuple[list[str], list[str], list[str]]:
    return [p.product for p in places], [p.side for p in places], [p.state for p in places]


def _arguments(lane: int, filters: Filters, now: datetime, start: Cursor, looks: int, wanted: int) -> tuple[Any, ...]:
    return (
        lane,
        start.at,
        start.id,
        filters.created_from or EVER,
        filters.created_to or NEVER,
        now,
        filters.tenant_id,
        filters.asset,
        looks,
        wanted,
    )


async def _read(
    reads: Reads, lane: int, way: _Way, filters: Filters, now: datetime, start: Cursor, size: int
) -> _Found:
    name = f"{way.name}_{'up' if start.newer else 'down'}"
    arguments = _arguments(lane, filters, now, start, max(way.looks, size + 1), size + 1)
    found = await reads.row(_FILE, name, _Found, *arguments, *way.own)
    assert found is not None
    return found


def _reaches(found: _Found, size: int) -> tuple[bool, int]:
    """Return how good an answer is: one that is full or has seen everything, else the one that found more."""
    return found.horizon is None or len(found.rows) > size, len(found.rows)


def _page(found: _Found, start: Cursor, size: int, now: datetime, number: Count) -> Page:
    more = len(found.rows) > size
    stored = found.rows
    if more:
        stored = found.rows[-size:] if start.newer else found.rows[:size]
    rows = [_row(one, now) for one in stored]
    unseen = None if more else found.horizon
    newest, oldest = (rows[0].order, rows[-1].order) if rows else (None, None)
    newer: str | None
    if start.newer:
        older = _beside(oldest, newer=False)
        newer = _beside(unseen or newest, newer=True) or start.text
    else:
        older = _beside(unseen or (oldest if more else None), newer=False)
        newer = _beside(newest, newer=True)
    back = None if unseen is None or start.newer else unseen.created_at
    return Page(rows=rows, older=older, newer=newer, looked_back_to=back, count=number)


def _beside(order: Order | _Horizon | None, *, newer: bool) -> str | None:
    """Return the place just beside an order as it is written."""
    return None if order is None else Cursor(newer=newer, at=order.created_at, id=order.id).text


def _row(stored: _Stored, now: datetime) -> Row:
    order = by_the_clock(stored.order, now)
    return Row(
        order=order,
        kind=kind_of(order),
        tenant=stored.tenant,
        party=stored.party,
        source_scale=stored.source_scale,
        destination_scale=stored.destination_scale,
        rail_reference=stored.settled_as or order.rail_reference,
        attention=attention_of(order, now, job_failed=stored.job_failed),
    )
