"""What the webhook routes of several dialects share: the parts of their bodies, and how their queries are read."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.wire import KEPT_TEXT, uuid_of
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.addresses import URL_CHARACTERS_MAX
from otcdesk.webhooks.subscriptions import DESCRIPTION_CHARACTERS_MAX, EVENT_TYPES_MAX, Change

_NAME_CHARACTERS_MAX = 100

WebhookUrl = Annotated[
    str, Meta(min_length=1, max_length=URL_CHARACTERS_MAX, pattern=KEPT_TEXT, extra_json_schema={"format": "uri"})
]
EventTypeName = Annotated[str, Meta(min_length=1, max_length=_NAME_CHARACTERS_MAX, pattern=KEPT_TEXT)]
EventTypes = Annotated[list[EventTypeName], Meta(min_length=1, max_length=EVENT_TYPES_MAX)]
WebhookDescription = Annotated[str, Meta(max_length=DESCRIPTION_CHARACTERS_MAX, pattern=KEPT_TEXT)]


class ChangeWebhookRequest(msgspec.Struct, kw_only=True):
    """What is to be different of a webhook; what is not named stays."""

    url: WebhookUrl | msgspec.UnsetType = msgspec.UNSET
    eventTypes: EventTypes | msgspec.UnsetType = msgspec.UNSET  # noqa: N815  (wire name)
    description: WebhookDescription | msgspec.UnsetType | None = msgspec.UNSET
    isActive: bool | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


def change_of(body: ChangeWebhookRequest) -> Change:
    """Return the change that a body asks for."""
    return Change(url=body.url, event_types=body.eventTypes, description=body.description, is_active=body.isActive)


def text_of(query: dict[str, str], name: str) -> str | None:
    """Read a text of a query, None if it is not there or empty; refuses REQUEST_INVALID for what nothing is called."""
    text = query.get(name)
    if text is not None and (len(text) > _NAME_CHARACTERS_MAX or "\x00" in text):
        raise Refusal(Code.REQUEST_INVALID, f"The {name} must be a text of at most {_NAME_CHARACTERS_MAX} characters.")
    return text or None


def id_of(query: dict[str, str], name: str) -> UUID | None:
    """Read an id of a query, None if it is not there or empty; refuses REQUEST_INVALID."""
    text = query.get(name)
    return uuid_of(text) if text else None


def time_of(query: dict[str, str], name: str) -> datetime | None:
    """Read a time of a query in ISO 8601, None if it is not there or empty; refuses REQUEST_INVALID."""
    text = query.get(name)
    if not text:
        return None
    try:
        return aware(msgspec.convert(text, datetime))
    except msgspec.ValidationError:
        raise Refusal(Code.REQUEST_INVALID, f"The {name} must be a time in ISO 8601.") from None


def aware(moment: datetime) -> datetime:
    """Return a time with its zone, UTC if it has none; refuses REQUEST_INVALID at the calendar's ends."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise Refusal(Code.REQUEST_INVALID, "The time is out of reach.") from None


def state_of(query: dict[str, str], words: dict[str, str]) -> str | None:
    """Read the `status` of a query as the state of a delivery that a dialect says by this word, None without one.

    Refuses REQUEST_INVALID for a word that no state is said by.
    """
    text = query.get("status")
    if not text:
        return None
    for state, word in words.items():
        if word == text:
            return state
    raise Refusal(Code.REQUEST_INVALID, f"The status is one of {', '.join(words.values())}.")
