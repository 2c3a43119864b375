"""What a message of any envelope says at a glance: its type, its id, what it is about and in which status."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from otcdesk.webhooks.envelope import Captured

_CHARACTERS_MAX: Final = 200


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """A message at a glance; None for what it does not say. `event_id` is the same for every repetition of it."""

    event_type: str | None
    event_id: str | None
    subject_id: str | None
    status: str | None


def glance(envelope: str, captured: Captured) -> Glance:
    """Read a message, whatever it is: what cannot be found in it is None."""
    try:
        body = msgspec.json.decode(captured.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = None
    event_type, event_id, subject_id, status = _READERS[envelope](captured.headers, body)
    return Glance(
        event_type=_text(event_type), event_id=_text(event_id), subject_id=_text(subject_id), status=_text(status)
    )


_Found = tuple[Any, Any, Any, Any]


def _exchanges(headers: Mapping[str, str], body: Any) -> _Found:
    del headers
    return _at(body, "type"), _at(body, "id"), _at(body, "data", "id"), _at(body, "data", "status")


def _standard(headers: Mapping[str, str], body: Any) -> _Found:
    return _at(body, "type"), headers.get("webhook-id"), _at(body, "data", "id"), _at(body, "data", "status")


def _ramp(headers: Mapping[str, str], body: Any) -> _Found:
    """Ramp's messages have no id: what they are about and its version are one together (ramp contract, section 6)."""
    del headers
    subject, version = _at(body, "Data", "ID"), _at(body, "EventVersion")
    event_id = None if subject is None or version is None else f"{subject}/{version}"
    return _at(body, "EventType"), event_id, subject, _at(body, "Data", "Status")


def _offers(headers: Mapping[str, str], body: Any) -> _Found:
    params = _at(body, "params")
    subject = next((_at(params, name) for name in ("id", "trade_id", "user_id") if _at(params, name) is not None), None)
    event_type = headers.get("webhook-event-type") or _at(params, "event")
    return event_type, headers.get("webhook-event-id"), subject, _at(params, "status")


_READERS: Final[Mapping[str, Callable[[Mapping[str, str], Any], _Found]]] = {
    "exchanges": _exchanges,
    "standard": _standard,
    "ramp": _ramp,
    "offers": _offers,
}


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    """Return a text that a terminal shows as it is: anybody on this machine can post what is printed."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    return "".join(letter if letter.isprintable() else "?" for letter in str(value)[:_CHARACTERS_MAX])
