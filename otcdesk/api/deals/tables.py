"""What the tables of routes of this dialect are made with."""

from typing import Any
from uuid import UUID

from otcdesk.api.deals.values import invalid
from otcdesk.api.dialect import Call, Route
from otcdesk.credentials import DEALS_SCOPE
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.errors import Code


def write(path: str, handler: Any, summary: str, body: Any, answer: Any, *refuses: Code, **more: Any) -> Route:
    """Return a route that changes something, or that reads by POST; one whose commands are done once takes a key."""
    keyed = Code.KEY_REUSED in refuses
    return Route(
        **{"method": "POST", "keyed": keyed, **more},
        path=path,
        handler=handler,
        summary=summary,
        scope=DEALS_SCOPE,
        body=body,
        answer=answer,
        wrapped=False,
        refuses=(*refuses, Code.KEY_INVALID) if keyed else refuses,
    )


def public(path: str, handler: Any, summary: str, body: Any, answer: Any) -> Route:
    """Return a route that anybody may ask, and that reads its body itself."""
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=None,
        body=body,
        answer=answer,
        wrapped=False,
    )


def read(path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    """Return a route that shows something."""
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        scope=DEALS_SCOPE,
        answer=answer,
        wrapped=False,
        refuses=refuses,
        **more,
    )


def path_id(call: Call, name: str, what: str = "user ID or token ID") -> UUID:
    """Return an id in the path; refuses REQUEST_INVALID for what has not its format (contract 6)."""
    found = parse_compact_id(call.path_text(name))
    if found is None:
        raise invalid(f"Invalid {what} format")
    return found
