"""Pages of this dialect: a number from 1 and a size of at most 100, in a body or in the query (contract 3.16).

Reads of users must say both; reads of admins may leave out either. Lists are told in two shapes.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, NamedTuple, NoReturn

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.deals.errors import PAGE_INVALID
from otcdesk.api.deals.values import invalid, is_null, whole_of
from otcdesk.api.dialect import Reply, Route
from otcdesk.api.http import Request
from otcdesk.errors import Code

SIZE_MAX: Final = 100
NUMBER_DEFAULT: Final = 1
SIZE_DEFAULT: Final = 20

#: No desk has so many pages, and the database could still count to the last.
NUMBER_MAX: Final = 10**9

_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


PageNumber = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "integer", "minimum": 1, "maximum": NUMBER_MAX})]
PageSize = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "integer", "minimum": 1, "maximum": SIZE_MAX})]


OptionalPageNumber = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"type": ["integer", "null"], "minimum": 1, "maximum": NUMBER_MAX})
]
OptionalPageSize = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"type": ["integer", "null"], "minimum": 1, "maximum": SIZE_MAX})
]


class PageRequest(msgspec.Struct, kw_only=True):
    """Which page is asked for, by a read that is sent as POST and must say so."""

    page: PageNumber
    per_page: PageSize


class OptionalPageRequest(msgspec.Struct, kw_only=True):
    """Which page is asked for: the first, and 20 on it, unless it is said."""

    page: OptionalPageNumber | UnsetType = UNSET
    per_page: OptionalPageSize | UnsetType = UNSET


class PageQuery(msgspec.Struct, kw_only=True):
    """Which page is asked for in the query."""

    page: Annotated[int, Meta(ge=1, le=NUMBER_MAX)] = NUMBER_DEFAULT
    per_page: Annotated[int, Meta(ge=1, le=SIZE_MAX)] = SIZE_DEFAULT


class Pagination(msgspec.Struct, kw_only=True):
    """What is said beside a page of the users' reads."""

    current_page: int
    per_page: int
    total: int
    total_pages: int


class Page(NamedTuple):
    """A page, counted from 1, of so many rows."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """Return how many rows come before it."""
        return (self.number - 1) * self.size

    def pagination(self, total: int) -> Pagination:
        """Say the page beside its rows, in the users' shape."""
        pages = -(-total // self.size)
        return Pagination(current_page=self.number, per_page=self.size, total=total, total_pages=pages)


def page_of_body(body: PageRequest | OptionalPageRequest) -> Page:
    """Read which page a body asks for; refuses REQUEST_INVALID."""
    if isinstance(body, PageRequest):
        return _page(whole_of(body.page, "page"), whole_of(body.per_page, "per_page"))
    return _page(_said(body.page, "page", NUMBER_DEFAULT), _said(body.per_page, "per_page", SIZE_DEFAULT))


def _said(raw: msgspec.Raw | UnsetType, field: str, default: int) -> int:
    return default if isinstance(raw, UnsetType) or is_null(raw) else whole_of(raw, field)


def page_of_query(request: Request, *, required: bool = False) -> Page:
    """Read which page a query asks for; refuses REQUEST_INVALID, also for what is `required` and not there."""
    query = request.query
    number = _told(query, "page", None if required else NUMBER_DEFAULT)
    return _page(number, _told(query, "per_page", None if required else SIZE_DEFAULT))


def _told(query: dict[str, str], name: str, default: int | None) -> int:
    text = query.get(name)
    if text is None and default is not None:
        return default
    if text is None or not _NUMBER.fullmatch(text):
        _refuse(name, "a whole number")
    return int(text)


def _page(number: int, size: int) -> Page:
    if not 1 <= number <= NUMBER_MAX:
        _refuse("page", f"from 1 to {NUMBER_MAX}")
    if not 1 <= size <= SIZE_MAX:
        _refuse("per_page", f"from 1 to {SIZE_MAX}")
    return Page(number, size)


def _refuse(name: str, what: str) -> NoReturn:
    raise invalid(f"{name} must be {what}")


def page_exceptions(routes: Iterable[Route]) -> dict[tuple[str, Code], Reply]:
    """Return what users' lists answer otherwise: to whatever is wrong with a request the same, without details."""
    return {(route.label, Code.REQUEST_INVALID): Reply(400, PAGE_INVALID) for route in routes}


def listed(rows: list[Any], page: Page, total: int) -> dict[str, Any]:
    """Return a page in the admins' shape."""
    return {"data": rows, "total": total, "page": page.number, "per_page": page.size}
