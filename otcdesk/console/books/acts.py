"""What operators did, as pages and exports show it: the rows of `acts`, the latest first.

The list goes on after its last row (keyset). An act says what it was about by an id; what has that id is looked up, so
that a page can lead there.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from otcdesk.console.books.reads import PAGE_SIZE, PAGE_SIZE_MAX
from otcdesk.desk import PERSON
from otcdesk.domain.acts import Act
from otcdesk.storage.database import Reads

_SQL: Final = "console_books"

#: The verb by which people's deeds outside the books are kept.
NOTED: Final = "note_act"


class ActFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which acts: of a caller, of a verb, about a subject, from a time to before another."""

    caller: str | None = None
    verb: str | None = None
    subject_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


class ActRow(msgspec.Struct, frozen=True, kw_only=True):
    """An act, and what its subject is: an order, an account, a proposal, a tenant, a party or a person, if any."""

    act: Act
    subject: str | None

    @property
    def title(self) -> str:
        """Return what was done: as it was noted, or the verb."""
        noted = self._content.get("what")
        return noted if self.act.verb == NOTED and isinstance(noted, str) else self.act.verb.replace("_", " ")

    @property
    def said(self) -> tuple[tuple[str, str], ...]:
        """Return exactly what was asked for, by field, without what was left out."""
        return tuple((name, _text(value)) for name, value in self._content.items() if value not in (None, "", [], {}))

    @property
    def _content(self) -> dict[str, Any]:
        found = msgspec.json.decode(self.act.content)
        return found if isinstance(found, dict) else {"content": found}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def caller_of(text: str) -> str | None:
    """Return how the books name somebody: a person by their e-mail address, everybody else as they are named there."""
    known = text.replace("\0", "")
    return None if not known else known if ":" in known else f"{PERSON}:{known.lower()}"


async def acts(
    reads: Reads,
    lane: int,
    wanted: ActFilter | None = None,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = PAGE_SIZE,
) -> list[ActRow]:
    """Return a page of acts, the latest first; `after` is when the last of the page before happened, and its id."""
    asked = wanted or ActFilter()
    place = after or (None, None)
    size = max(1, min(limit, PAGE_SIZE_MAX))
    which = (asked.caller, asked.verb, asked.subject_id, asked.since, asked.until)
    return await reads.rows(_SQL, "acts", ActRow, lane, *place, *which, size)


async def place_of(reads: Reads, lane: int, act_id: UUID) -> tuple[datetime, UUID] | None:
    """Return the place of an act in the list, None if the lane has none of this id."""
    at = await reads.value(_SQL, "act", lane, act_id)
    return None if at is None else (at, act_id)
