"""What a dialect owns of its callbacks: what it tells, in which words, and how a message is signed and checked.

The delivery itself is the same for all.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Protocol
from uuid import UUID

import msgspec

from otcdesk.domain.event_types import Occurrence


class KeyKind(Enum):
    """What a signing key is: a shared secret, or a pair of which the receiver has the public half."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"


class Discreet(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is written down without its secrets: what logs and traces hold, many may read."""

    #: The fields that are left out.
    unshown: ClassVar[frozenset[str]] = frozenset()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what may be shown, by name; rich asks for it instead of `__repr__`."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.unshown]

    def __repr__(self) -> str:
        """Write what may be shown."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class SigningKey(Discreet, frozen=True, kw_only=True):
    """A key that signs: the bytes of its secret (the text that was shown) or of its private half (PKCS #8 PEM)."""

    unshown: ClassVar[frozenset[str]] = frozenset({"secret"})

    id: UUID
    kind: KeyKind
    secret: bytes


class CheckingKey(Discreet, frozen=True, kw_only=True):
    """What a receiver checks with: the secret as it was shown, or the public half (PEM)."""

    unshown: ClassVar[frozenset[str]] = frozenset({"content"})

    kind: KeyKind
    content: bytes
    id: str = ""


class MessageKind(msgspec.Struct, frozen=True):
    """What is posted for one event type: a struct, whose fields say what they mean, and when it is told."""

    shape: type[msgspec.Struct]
    meaning: str


class SentHeader(msgspec.Struct, frozen=True):
    """A header of a message; what is not sent `always` is sent while the keys before still sign."""

    name: str
    meaning: str
    always: bool = True


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An occurrence in a dialect's words: the type that subscriptions name, and the bytes that are sent."""

    event_type: str
    body: bytes


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a message, as its signature sees it. `keys`: the one in use first, then those it replaces."""

    subscription_id: UUID
    event_id: str
    event_type: str
    url: str
    body: bytes
    sent_at: datetime
    keys: Sequence[SigningKey]


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a receiver got it. Header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class SignatureInvalid(Exception):
    """A captured message is not what the desk sent, or cannot be checked; the message says what is wrong with it."""


class Envelope(Protocol):
    """One dialect's callbacks.

    `key_kinds`: the kinds of key that may sign, the usual one first. With `own_keys` each subscription has keys of its
    own; else the desk's pair for this envelope signs for all, and its public half is published. `event_types`: what a
    subscription may name, though the desk may never have occasion to tell it.
    """

    name: str
    key_kinds: tuple[KeyKind, ...]
    own_keys: bool
    event_types: frozenset[str]
    #: Those of them that tell of accounts' balances.
    balance_types: frozenset[str]
    #: What is posted, by event type, for each that the desk does tell; the test message is one of them.
    messages: Mapping[str, MessageKind]
    #: What is sent besides Content-Type, which is JSON.
    sent_headers: tuple[SentHeader, ...]
    #: The statuses that say that a message was received.
    received: frozenset[int]
    #: The type that a test message has.
    test_type: str

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence in the dialect's words; None if the dialect does not tell it."""
        ...

    def headers(self, sending: Sending) -> dict[str, str]:
        """Return the headers of one attempt, with one signature for each key."""
        ...

    def check(self, captured: Captured, keys: Sequence[CheckingKey], now: datetime) -> str:
        """Return a sentence that says what was proved; raises SignatureInvalid. Times may be five minutes off."""
        ...


class Envelopes:
    """The envelopes of this desk, by name."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self._by_name: dict[str, Envelope] = {envelope.name: envelope for envelope in envelopes}

    def named(self, name: str) -> Envelope:
        """Return an envelope that is known to exist."""
        return self._by_name[name]

    def find(self, name: str) -> Envelope | None:
        """Return an envelope, None if there is none of this name."""
        return self._by_name.get(name)

    @property
    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._by_name)


def any_2xx() -> frozenset[int]:
    """Return the statuses that most receivers mean by having received."""
    return frozenset(range(200, 300))


def encode(value: Any) -> bytes:
    """Write a body; what is signed and sent is this and nothing made from it again."""
    return msgspec.json.encode(value)
