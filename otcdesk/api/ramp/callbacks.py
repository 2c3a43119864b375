"""Callbacks in the words of the ramp contract, section 6: five fields, and the desk's signature over the raw body.

What may be subscribed to is the contract's list. What is told is the table at the end: a product adds its rows there.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA384
from msgspec import Meta

from otcdesk.api.wire import TimeText, UuidText
from otcdesk.domain.event_types import WEBHOOK_TEST, Occurrence
from otcdesk.webhooks.checking import header, keys_of, optional_header
from otcdesk.webhooks.envelope import (
    Captured,
    CheckingKey,
    KeyKind,
    MessageKind,
    Sending,
    SentHeader,
    SignatureInvalid,
    Told,
    any_2xx,
    encode,
)
from otcdesk.webhooks.key_pairs import ecdsa_private, ecdsa_public

SIGNATURE: Final = "Webhook-Signature"
#: Ours: after a rotation the pair before signs here, until receivers have the new public key.
SIGNATURE_PREVIOUS: Final = "Webhook-Signature-Previous"

#: Ours: the contract has no test message.
TEST: Final = "Test"

_ALGORITHM: Final = ECDSA(SHA384())
_KIND: Final = KeyKind.ECDSA_P384


_Data = TypeVar("_Data")


class Body(msgspec.Struct, Generic[_Data], kw_only=True):
    """What is posted."""

    EventType: Annotated[str, Meta(description="The event type.")]
    EventVersion: Annotated[
        int, Meta(description="Rises with each event of one subject, so a receiver keeps the highest.")
    ]
    Occurred: Annotated[TimeText, Meta(description="When it happened; whole seconds, UTC.")]
    UserID: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]
    Data: Annotated[_Data, Meta(description="What it is about.")]


class TestData(msgspec.Struct, kw_only=True):
    """What a test says."""

    ID: Annotated[str, Meta(description="The test's id.")]
    Message: Annotated[str, Meta(description="A sentence for people: that it is a test.")]


class RampCallbacks:
    """The envelope of the ramp dialect; implements `Envelope`."""

    name = "ramp"
    key_kinds: tuple[KeyKind, ...] = (_KIND,)
    own_keys = False
    event_types = frozenset({"Transaction", "FiatDeposit", "CheckoutSession", "Customer"})
    balance_types: frozenset[str] = frozenset()
    messages: Mapping[str, MessageKind] = {
        TEST: MessageKind(Body[TestData], "Somebody asked for it; nothing happened.")
    }
    sent_headers: tuple[SentHeader, ...] = (
        SentHeader(SIGNATURE, "Base64 of the signature in DER over the body."),
        SentHeader(SIGNATURE_PREVIOUS, "The same with the pair before, after a rotation.", always=False),
    )
    received = any_2xx()
    test_type = TEST

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence in the dialect's words; None for what is not in its table."""
        row = _TELLS.get(occurrence.type.name)
        if row is None:
            return None
        event_type, data_of = row
        body = Body(
            EventType=event_type,
            EventVersion=occurrence.subject_version,
            Occurred=_date_time(occurrence.happened_at),
            UserID=str(occurrence.tenant_id),
            Data=data_of(occurrence),
        )
        return Told(event_type=event_type, body=encode(body))

    def headers(self, sending: Sending) -> dict[str, str]:
        """Return the signature, base64 of DER; the pair in use signs first, and the one that it replaces besides.

        What is signed is the body alone, so a retry's signature is over the same input.
        """
        signed = {
            name: b64encode(ecdsa_private(key.secret, _KIND).sign(sending.body, _ALGORITHM)).decode("ascii")
            for name, key in zip((SIGNATURE, SIGNATURE_PREVIOUS), sending.keys, strict=False)
        }
        return {"Content-Type": "application/json", **signed}

    def check(self, captured: Captured, keys: Sequence[CheckingKey], now: datetime) -> str:
        """Return a sentence that says what was proved; raises SignatureInvalid. There is no time in it to judge."""
        del now
        public = [ecdsa_public(key.content, _KIND) for key in keys_of(keys, _KIND, "the desk's public key (PEM)")]
        for name, text in ((SIGNATURE, header(captured, SIGNATURE)), (SIGNATURE_PREVIOUS, _previous(captured))):
            signature = _base64(name, text)
            for key in public:
                try:
                    key.verify(signature, captured.body, _ALGORITHM)
                except InvalidSignature:
                    continue
                return f"{name} fits the body and the desk's public key."
        raise SignatureInvalid(f"{SIGNATURE} does not fit: another key, or the body was altered.")


def _previous(captured: Captured) -> str:
    return optional_header(captured, SIGNATURE_PREVIOUS) or ""


def _base64(name: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise SignatureInvalid(f"The header {name} is not base64.") from None


def _date_time(moment: datetime) -> str:
    """Write a time as the contract does: RFC 3339 in whole seconds (section 1)."""
    return moment.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def _test_data(occurrence: Occurrence) -> TestData:
    return TestData(ID=occurrence.id, Message=(occurrence.detail or {}).get("message", ""))


#: What is told, by the name in the catalogue of events: the type on the wire, and what makes its `Data`.
_TELLS: Final[Mapping[str, tuple[str, Callable[[Occurrence], Any]]]] = {WEBHOOK_TEST.name: (TEST, _test_data)}
