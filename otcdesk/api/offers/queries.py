"""What stands in the query of a request of this dialect: single values, lists, pages and times.

Names that nobody knows are passed over, since minor versions only add them; a value that a known name cannot have is
refused, as `validation.<name>` (contract 3.0).
"""

import re
from collections.abc import Collection
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.http import Request
from otcdesk.api.offers.errors import invalid
from otcdesk.api.wire import canonical_uuid

_PAGE_SIZE = 10
_PAGE_SIZE_MAX = 100
#: No desk has so many pages, and the database could still count to the last.
_PAGE_MAX = 10**9

PageNumber = Annotated[int, Meta(ge=1, le=_PAGE_MAX)]
PageSize = Annotated[int, Meta(ge=1, le=_PAGE_SIZE_MAX)]

_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?) ?([+-]\d{2}:\d{2}|Z|\d{2}:\d{2})?", re.ASCII)

#: The longest period of a search (contract 3.5); of days, the first and the last are of it.
PERIOD = timedelta(days=31)
_DAY = timedelta(days=1)

#: The least difference of two times in the books.
MOMENT = timedelta(microseconds=1)

#: Times outside of these years are nobody's, and a month more or less of them could not be written.
_YEARS = range(1970, 9000)
_FIRST_DAY, _LAST_DAY = datetime(_YEARS[0], 1, 1, tzinfo=UTC), datetime(_YEARS[-1], 12, 31, tzinfo=UTC)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page, counted from 1, of so many rows."""

    page: int
    page_size: int

    @property
    def offset(self) -> int:
        """Return how many rows come before it."""
        return (self.page - 1) * self.page_size


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """From when until before when; None for no bound."""

    start: datetime | None
    end: datetime | None


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """The queries of other pages (contract 3.0); null where there is none."""

    first: str
    last: str
    prev: str | None
    next: str | None
    self: str


class Query:
    """The query of one request."""

    def __init__(self, request: Request) -> None:
        """Read it; refuses REQUEST_INVALID for what is no query."""
        self._given: dict[str, list[str]] = {}
        for name, value in request.query_fields:
            self._given.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """Return a single value, None without one."""
        given = self._given.get(name)
        if given is None:
            return None
        if len(given) > 1:
            raise invalid(name, f"{name} may be given once.")
        if "\x00" in given[0]:  # which the database does not keep, so it is nowhere
            raise invalid(name, f"{name} may not have the character NUL.")
        return given[0]

    def texts(self, name: str) -> list[str] | None:
        """Return the values of a list (`name[]`, or `name` with commas), None without any."""
        single = self.text(name)
        return self._given.get(f"{name}[]") if single is None else single.split(",")

    def word(self, name: str, known: Collection[str]) -> str | None:
        """Return one of some words."""
        value = self.text(name)
        if value is not None and value not in known:
            raise invalid(name, f"{name} must be one of {', '.join(sorted(known))}.")
        return value

    def words(self, name: str, known: Collection[str]) -> list[str] | None:
        """Return several of some words."""
        values = self.texts(name)
        if values is not None and not set(values) <= set(known):
            raise invalid(name, f"{name} must be of {', '.join(sorted(known))}.")
        return values

    def uuid(self, name: str) -> UUID | None:
        """Return an id."""
        value = self.text(name)
        try:
            return None if value is None else canonical_uuid(value)
        except ValueError:
            raise invalid(name, f"{name} must be a UUID.") from None

    def number(self, name: str, *, most: int) -> int | None:
        """Return a whole number from 1."""
        value = self.text(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= most:
            raise invalid(name, f"{name} must be a whole number from 1 to {most}.")
        return int(value)

    def page(self) -> Page:
        """Return which page is wanted; the first ten rows unless told."""
        return Page(page=self.number("page", most=_PAGE_MAX) or 1, page_size=self.page_size())

    def page_size(self) -> int:
        """Return how many rows are wanted."""
        return self.number("page_size", most=_PAGE_SIZE_MAX) or _PAGE_SIZE

    def dates(self) -> Period:
        """Return the period from `date_start` to `date_end`, both days included, in UTC."""
        start, end = self._date("date_start"), self._date("date_end")
        return _checked(Period(start=start, end=None if end is None else end + _DAY), "date_end", least=_DAY)

    def times(self) -> Period:
        """Return the period from `start` until before `end`; the names of an earlier revision count as well."""
        start = self._time("start" if "start" in self._given else "date_start")
        if "end" in self._given:
            return _checked(Period(start=start, end=self._time("end")), "end")
        day = self._is_date("date_end")
        end = self._time("date_end")
        last = end + _DAY if end is not None and day else end  # a date lasts the whole day
        return _checked(Period(start=start, end=last), "date_end", least=MOMENT if day else timedelta())

    def with_days(self, now: datetime) -> "Query":
        """Return the same query with the days written out that it asks for: the last 31 unless it says others.

        They are whole days of UTC, so that all pages of one search are of the same time (contract 3.5).
        """
        start, end = bounded(
            self.dates(), now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        )
        days = {"date_start": start, "date_end": end - _DAY}
        written = {name: [f"{min(max(day, _FIRST_DAY), _LAST_DAY):%Y-%m-%d}"] for name, day in days.items()}
        found = copy(self)
        found._given = {**self._given, **written}  # noqa: SLF001  (one of its own kind)
        return found

    def _date(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None:
            return None
        if _DATE.fullmatch(value):
            found = _read_time(value, "Z")
            if found is not None:
                return found
        raise invalid(name, f"{name} must be a date: YYYY-MM-DD.")

    def _time(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None or self._is_date(name):
            return self._date(name)
        parts = _TIME.fullmatch(value)
        found = None if parts is None else _read_time(parts[1], parts[2] or "Z")
        if found is None:
            raise invalid(name, f"{name} must be a time: YYYY-MM-DDTHH:MM:SSZ.")
        return found

    def _is_date(self, name: str) -> bool:
        return _DATE.fullmatch(self.text(name) or "") is not None

    def link(self, page: int, page_size: int) -> str:
        """Return the query of another page of the same."""
        kept = [
            (name, value)
            for name, values in self._given.items()
            if name not in {"page", "page_size"}
            for value in values
        ]
        return "?" + urlencode([*kept, ("page", page), ("page_size", page_size)])


def _read_time(time: str, offset: str) -> datetime | None:
    """Read a time, None if it is none; the plus of an offset that nobody escaped has become a space on its way."""
    signed = offset if offset[0] in "+-Z" else f"+{offset}"
    whole = time if "T" in time else f"{time}T00:00:00"
    try:
        moment = datetime.fromisoformat(whole + signed.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.year in _YEARS else None


def _checked(period: Period, name: str, *, least: timedelta = timedelta()) -> Period:
    """Refuse a period that ends before it begins, which is one shorter than `least`, or is too long."""
    if period.start is not None and period.end is not None:
        if period.end - period.start < least:
            raise invalid(name, "The period ends before it begins.")
        if period.end - period.start > PERIOD:
            raise invalid(name, f"The period is longer than {PERIOD.days} days.")
    return period


def bounded(period: Period, until: datetime) -> tuple[datetime, datetime]:
    """Return a period with both ends: 31 days from its one end, or to it, or without any those before `until`."""
    if period.start is not None:
        return period.start, period.end or period.start + PERIOD
    end = period.end or until
    return end - PERIOD, end


def linked(query: Query, page: Page, total: int) -> Links:
    """Return the links of a page."""
    last, size = max(1, -(-total // page.page_size)), page.page_size
    return Links(
        first=query.link(1, size),
        last=query.link(last, size),
        prev=query.link(page.page - 1, size) if 1 < page.page <= last + 1 else None,
        next=query.link(page.page + 1, size) if page.page < last else None,
        self=query.link(page.page, size),
    )
