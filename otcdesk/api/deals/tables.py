"""What the tables of routes of this dialect are made with."""

from typing import Any, Final
from uuid import UUID

from otcdesk.api.deals.values import ID_PATTERN, NUMBER_OF_DEAL_MAX, invalid
from otcdesk.api.dialect import Call, Route
from otcdesk.credentials import DEALS_SCOPE
from otcdesk.domain.compact_ids import parse_compact_id
from otcdesk.errors import Code

# How sentences call the ids in paths. The contract has one for those of a user and a token together.
USER: Final = "user ID"
TOKEN: Final = "token ID"  # noqa: S105  (no secret)
NODE: Final = "node ID"
USER_OR_TOKEN: Final = f"{USER} or {TOKEN}"

_ID: Final = {"type": "string", "pattern": ID_PATTERN}

#: What the parts of paths are, for the document of the dialect; what is not here is a text.
PATH_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    **dict.fromkeys(
        ("user_id", "token_id", "tokenID", "node_id", "transaction_id", "counter_id", "currencyTokenID", "id"), _ID
    ),
    "deal_id": {"type": "integer", "minimum": 1, "maximum": NUMBER_OF_DEAL_MAX},
}


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


def public(path: str, handler: Any, summary: str, body: Any, answer: Any, **more: Any) -> Route:
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
        **more,
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


def path_id(call: Call, name: str, what: str = USER_OR_TOKEN) -> UUID:
    """Return an id in the path; refuses REQUEST_INVALID for what has not its format (contract 6)."""
    found = parse_compact_id(call.path_text(name))
    if found is None:
        raise invalid(f"Invalid {what} format")
    return found
