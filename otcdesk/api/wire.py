"""Formats that several dialects share: ids, pages, the structured error. Words of one dialect stay in its folder."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.clock import iso_milliseconds
from otcdesk.errors import Code, Refusal
from otcdesk.money import print_rate

_UUID_LENGTH = 36

#: The length as well: a pattern's `$` lets a line break pass at the end.
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", max_length=_UUID_LENGTH)]

#: Texts that the desk writes, for what is said of them in documents: ids, times, and exact decimals.
UuidText = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
TimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
DecimalText = Annotated[str, Meta(extra_json_schema={"format": "decimal"})]

#: PostgreSQL keeps any text but the character NUL.
KEPT_TEXT = r"^[^\x00]*$"

AssetCode = Annotated[str, Meta(min_length=1, max_length=20, pattern=KEPT_TEXT)]

#: Past this page there is nothing in any desk, and the database could not count so far.
_PAGE_MAX = 10**12
_LIMIT_DEFAULT = 50
_LIMIT_MAX = 100


class PageQuery(msgspec.Struct, kw_only=True):
    """Paging: 1-based page, and at most 100 items on it."""

    page: int = 1
    limit: int = _LIMIT_DEFAULT

    @property
    def offset(self) -> int:
        """Return how many items come before the page."""
        return (self.page - 1) * self.limit


def canonical_uuid(text: str) -> UUID:
    """Read a UUID in its one usual spelling; raises ValueError for braces, URNs and bare hex."""
    if len(text) != _UUID_LENGTH:
        raise ValueError(text)
    return msgspec.convert(text, UUID)


def uuid_of(text: str) -> UUID:
    """Read an id of a body; refuses REQUEST_INVALID."""
    try:
        return canonical_uuid(text)
    except ValueError:
        raise Refusal(Code.REQUEST_INVALID, "An id must be a UUID.") from None


def page_of(query: dict[str, str]) -> PageQuery:
    """Read page and limit; what is not a positive number falls back to the default (exchanges contract 2.6)."""
    page, limit = _positive(query.get("page"), 1), _positive(query.get("limit"), _LIMIT_DEFAULT)
    return PageQuery(page=min(page, _PAGE_MAX), limit=min(limit, _LIMIT_MAX))


def _positive(text: str | None, default: int) -> int:
    if text is None or not text.isascii() or not text.isdigit():
        return default
    return int(text[:20]) or default


def paged(rows: list[Any], page: PageQuery, total: int) -> dict[str, Any]:
    """Wrap a page of a collection in the envelope."""
    return {"data": rows, "meta": {"pagination": {"page": page.page, "limit": page.limit, "total": total}}}


def error_body(word: str, message: str, details: dict[str, object] | None = None) -> dict[str, object]:
    """Return a structured error (exchanges contract 2.4)."""
    error: dict[str, object] = {"code": word, "message": message}
    if details:
        error["details"] = details
    return {"error": error}


def rate_text(rate: Decimal | None) -> str | None:
    """Print a rate that may be missing."""
    return None if rate is None else print_rate(rate)


def time_text(moment: datetime | None) -> str | None:
    """Print a time that may be missing."""
    return None if moment is None else iso_milliseconds(moment)
