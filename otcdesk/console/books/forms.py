"""What the pages of the books are asked for, read from addresses that anybody can write."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.console.books.acts import ActFilter, caller_of
from otcdesk.console.books.reads import SIDES, AccountFilter
from otcdesk.console.fields import beginning_of, day_of, named_id
from otcdesk.errors import Code, Refusal

#: No desk has books of other years; days beyond cannot be counted on.
_YEARS: Final = range(1970, 9000)

_TEXT_LENGTH_MAX: Final = 320

VERBS: Final = tuple(sorted(verb.name for verb in CATALOGUE.values()))


class Days(NamedTuple):
    """A period by its first and its last day, both of which belong to it; None: without an end."""

    first: date | None
    last: date | None

    @property
    def since(self) -> datetime | None:
        """Return when it begins."""
        return None if self.first is None else beginning_of(self.first)

    @property
    def until(self) -> datetime | None:
        """Return when it is over."""
        return None if self.last is None else beginning_of(self.last + timedelta(days=1))


def named_day(text: str) -> date | None:
    """Return a day of a year that may have been, None for an empty text; refuses REQUEST_INVALID."""
    day = day_of(text.strip())
    if day is not None and day.year not in _YEARS:
        raise Refusal(Code.REQUEST_INVALID, "There are no books of that day.")
    return day


def days_of(query: Mapping[str, str]) -> Days:
    """Read from which day to which; refuses REQUEST_INVALID."""
    days = Days(named_day(query.get("from", "")), named_day(query.get("to", "")))
    if days.first is not None and days.last is not None and days.last < days.first:
        raise Refusal(Code.REQUEST_INVALID, "The last day is before the first.")
    return days


def accounts_asked(query: Mapping[str, str]) -> AccountFilter:
    """Read which accounts are asked for; what is nothing known finds nothing. Refuses REQUEST_INVALID."""
    side = _text(query, "side")
    if side is not None and side not in SIDES:
        raise Refusal(Code.REQUEST_INVALID, "Accounts are the desk's own, owed to others, or counterparts.")
    return AccountFilter(
        tenant_id=_id(query, "tenant", "There is no such tenant."),
        asset=_text(query, "asset"),
        purpose=_text(query, "purpose"),
        text=_text(query, "text"),
        side=side,
        held=query.get("held") == "1",
    )


def acts_asked(query: Mapping[str, str]) -> ActFilter:
    """Read which acts are asked for; refuses REQUEST_INVALID."""
    verb, days = _text(query, "verb"), days_of(query)
    if verb is not None and verb not in VERBS:
        raise Refusal(Code.REQUEST_INVALID, "Nobody can do that.")
    return ActFilter(
        caller=caller_of(_text(query, "person") or ""),
        verb=verb,
        subject_id=_id(query, "subject", "That is no id."),
        since=days.since,
        until=days.until,
    )


def address_of(path: str, query: Mapping[str, str], *without: str, **changes: str) -> str:
    """Return the address of a page with what it is asked for, some of it left out or changed, and nothing empty."""
    asked = {**{name: value for name, value in query.items() if name not in {"said", *without}}, **changes}
    kept = urlencode({name: value for name, value in asked.items() if value})
    return f"{path}?{kept}" if kept else path


def _text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name, "").strip()
    if len(text) > _TEXT_LENGTH_MAX or not text.isprintable():
        raise Refusal(Code.REQUEST_INVALID, "What is looked for is too long, or cannot be printed.")
    return text or None


def _id(query: Mapping[str, str], name: str, sentence: str) -> UUID | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    found = named_id(text)
    if found is None:
        raise Refusal(Code.REQUEST_INVALID, sentence)
    return found
