"""What the receiver's side of every envelope does alike: find a header, judge a time, choose the keys that may fit."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind, SignatureInvalid

#: How far a message's time may be off, to either side (Standard Webhooks 1.0.0).
TOLERANCE_SECONDS: Final = 300

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
#: Enough for any second of the calendar.
_DIGITS_MAX: Final = 12


def unix_seconds(moment: datetime) -> int:
    """Return the whole seconds from the epoch to a time."""
    return (moment - _EPOCH) // _SECOND


def header(captured: Captured, name: str) -> str:
    """Return a header that must be there; raises SignatureInvalid."""
    found = optional_header(captured, name)
    if found is None:
        raise SignatureInvalid(f"The header {name} is missing.")
    return found


def optional_header(captured: Captured, name: str) -> str | None:
    """Return a header, None if it is missing; raises SignatureInvalid for what the desk puts into none.

    Anybody can post any bytes; those that are no text would be characters that nothing can encode.
    """
    found = captured.headers.get(name.lower())
    if found is not None and not found.isascii():
        raise SignatureInvalid(f"The header {name} is not ASCII.")
    return found


def seconds_of(captured: Captured, name: str) -> int:
    """Return the time in a header, Unix seconds; raises SignatureInvalid."""
    text = header(captured, name)
    if not text.isdigit() or len(text) > _DIGITS_MAX:
        raise SignatureInvalid(f"The header {name} is not a time in Unix seconds.")
    return int(text)


def keys_of(keys: Sequence[CheckingKey], kind: KeyKind, needed: str) -> list[CheckingKey]:
    """Return the keys of a kind, at least one; raises SignatureInvalid, which names what is `needed`."""
    found = [key for key in keys if key.kind is kind]
    if not found:
        raise SignatureInvalid(f"It is checked with {needed}, which was not given.")
    return found


def age(signed_at: int, now: datetime) -> str:
    """Say how long ago, at `now`, a message was signed; raises SignatureInvalid if it is further off than tolerated."""
    seconds = unix_seconds(now) - signed_at
    said = f"signed {seconds} seconds ago" if seconds >= 0 else f"signed {-seconds} seconds in the future"
    if abs(seconds) > TOLERANCE_SECONDS:
        raise SignatureInvalid(f"It is {'too old' if seconds > 0 else 'too new'}: {said}; {TOLERANCE_SECONDS} may be.")
    return said
