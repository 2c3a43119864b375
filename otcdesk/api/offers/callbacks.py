"""Callbacks in the words of the offers contract, section 7: everything under `params`, signed by RFC 9421.

What is told is the table at the end: a product adds its rows there. The contract's header table is lost, so the
signature covers what a receiver can rebuild behind a proxy that ends TLS: method, authority, path, query, the digest of
the body and its type; and two headers of ours: the event's id, by which a receiver knows a message that it has already,
and the event type, which a body need not name: so one URL can serve for all types (contract section 7).
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    VerificationKey,
    VerifyResult,
)
from http_message_signatures.algorithms import ECDSA_P256_SHA256
from msgspec import Meta

from otcdesk.api.offers.listings import LaneListings, Listed
from otcdesk.api.offers.shapes import Brokered, timestamp
from otcdesk.api.offers.trade_shapes import TradeRow, trade_row
from otcdesk.api.wire import TimeText
from otcdesk.domain.event_types import BROKERAGE_FINISHED, WEBHOOK_TEST, Occurrence
from otcdesk.webhooks.checking import age, header, keys_of
from otcdesk.webhooks.envelope import (
    Captured,
    CheckingKey,
    KeyKind,
    MessageKind,
    Sending,
    SentHeader,
    SignatureInvalid,
    SigningKey,
    Told,
    encode,
)
from otcdesk.webhooks.key_pairs import ecdsa_private, ecdsa_public

EVENT_ID: Final = "Webhook-Event-Id"
EVENT_TYPE: Final = "Webhook-Event-Type"
CONTENT_DIGEST: Final = "Content-Digest"
SIGNATURE: Final = "Signature"
SIGNATURE_INPUT: Final = "Signature-Input"

#: What a signature covers; the digest is added by who knows the body.
COVERED: Final = (
    *("@method", "@authority", "@path", "@query"),
    *("content-type", "content-digest", "webhook-event-id", "webhook-event-type"),
)

#: What the signature is for (RFC 9421 section 2.3, `tag`), so that it counts for nothing else.
TAG: Final = "otcdesk-offers-webhook"

#: The pair in use signs under the first label, the one that it replaces under the second.
_LABELS: Final = ("sig1", "sig2")

#: Ours: the contract has no test message, and no event of a finished trade.
TEST: Final = "webhook.test"
USER_TRADE: Final = "user.trade"

_KIND: Final = KeyKind.ECDSA_P256
_ALGORITHM: Final = ECDSA(SHA256())


_Params = TypeVar("_Params")


class Body(msgspec.Struct, Generic[_Params]):
    """What is posted: everything under one name (contract section 7)."""

    params: Annotated[_Params, Meta(description="What happened.")]


class TestParams(msgspec.Struct):
    """What a test says."""

    event: Annotated[str, Meta(description="The event type.")]
    message: Annotated[str, Meta(description="A sentence for people: that it is a test.")]
    timestamp: Annotated[TimeText, Meta(description="When it was asked for; whole seconds.")]


class OffersCallbacks:
    """The envelope of the offers dialect; implements `Envelope`.

    Event types that the contract gives no name are called here by ours: `partner.top-up-request`, `partner.send-money`,
    and the extension `user.trade` that it proposes.
    """

    name = "offers"
    key_kinds: tuple[KeyKind, ...] = (_KIND,)
    own_keys = False
    event_types = frozenset(
        {
            *("user.update", "user.corporate-action"),
            *("user.non-user-initiated-tx", "user.non-user-initiated-tx-v2"),
            *("partner.top-up-request", "partner.send-money", USER_TRADE),
        }
    )
    balance_types: frozenset[str] = frozenset()
    messages: Mapping[str, MessageKind] = {
        USER_TRADE: MessageKind(Body[TradeRow], "A user's trade is finished (ours)."),
        TEST: MessageKind(Body[TestParams], "Somebody asked for it; nothing happened."),
    }
    sent_headers: tuple[SentHeader, ...] = (
        SentHeader(EVENT_ID, "The event's id, equal however often it is sent."),
        SentHeader(EVENT_TYPE, "The event type."),
        SentHeader(CONTENT_DIGEST, "`sha-256` of the body (RFC 9530)."),
        SentHeader(SIGNATURE_INPUT, "What is signed, when and with which key (RFC 9421); a second label for a second."),
        SentHeader(SIGNATURE, "The signature under each label."),
    )
    received = frozenset({200, 201, 202, 204})
    test_type = TEST

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence in the dialect's words; None for what is not in its table."""
        row = _TELLS.get(occurrence.type.name)
        if row is None:
            return None
        event_type, params_of = row
        return Told(event_type=event_type, body=encode(Body(params_of(occurrence))))

    def headers(self, sending: Sending) -> dict[str, str]:
        """Return the digest of the body and, for each key, a signature under a label of its own."""
        sent = {
            "Content-Type": "application/json",
            EVENT_ID: sending.event_id,
            EVENT_TYPE: sending.event_type,
            CONTENT_DIGEST: ContentDigest.create(sending.body),
        }
        signed = [_signed(label, key, sending, sent) for label, key in zip(_LABELS, sending.keys, strict=False)]
        return {
            **sent,
            SIGNATURE_INPUT: ", ".join(given for given, _ in signed),
            SIGNATURE: ", ".join(signature for _, signature in signed),
        }

    def check(self, captured: Captured, keys: Sequence[CheckingKey], now: datetime) -> str:
        """Return a sentence that says what was proved; raises SignatureInvalid."""
        given = keys_of(keys, _KIND, "the desk's public key (PEM)")
        for name in (SIGNATURE_INPUT, SIGNATURE, CONTENT_DIGEST, EVENT_ID, EVENT_TYPE, "Content-Type"):
            header(captured, name)
        if not captured.url.isascii():  # its host is a header that anybody can fill with any bytes
            raise SignatureInvalid("The address that it was posted to is not ASCII.")
        found = _verified(captured, given)
        try:
            ContentDigest.verify(header(captured, CONTENT_DIGEST), captured.body)
        except InvalidSignature:
            raise SignatureInvalid(f"{CONTENT_DIGEST} does not fit the body: the body was altered.") from None
        signed_at = found.parameters["created"]
        if not isinstance(signed_at, int):
            raise TypeError("a time that is no number passed the library")
        signer = found.parameters["keyid"]
        return f"The signature {found.label} of the key {signer} fits address, headers and body; {age(signed_at, now)}."


class _Message(msgspec.Struct):
    """A request, as the library reads it."""

    method: str
    url: str
    headers: Mapping[str, str]


class _OneKey(HTTPSignatureKeyResolver):
    """A key that may be named by its id alone, or, if it has none, by any."""

    def __init__(self, key: CheckingKey) -> None:
        self._id = key.id
        self._public = ecdsa_public(key.content, _KIND)

    def resolve_public_key(self, key_id: str) -> VerificationKey | None:
        return self._public if self._id in {"", key_id} else None


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, but for the time of signing, which is judged by the caller's clock."""

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        del max_age
        if type(sig_input.params.get("created")) is not int:
            raise InvalidSignature("the signature does not say when it was made")


_SIGNER: Final = HTTPMessageSigner(signature_algorithm=ECDSA_P256_SHA256)


def _signed(label: str, key: SigningKey, sending: Sending, sent: Mapping[str, str]) -> tuple[str, str]:
    """Return a member of Signature-Input and the one of Signature that belongs to it.

    The library says what is to be signed; that it has not changed meanwhile, as its own `apply` would make sure of at
    the same cost again, is plain here.
    """
    prepared = _SIGNER.prepare(
        _Message("POST", sending.url, sent),
        key_id=str(key.id),
        created=sending.sent_at,
        label=label,
        tag=TAG,
        covered_component_ids=COVERED,
        use_existing_digest=True,
    )
    der = ecdsa_private(key.secret, _KIND).sign(prepared.signature_base, _ALGORITHM)
    signature = b64encode(ECDSA_P256_SHA256.signature_from_der(der)).decode("ascii")
    return f"{label}={prepared.signature_params}", f"{label}=:{signature}:"


def _verified(captured: Captured, keys: Sequence[CheckingKey]) -> VerifyResult:
    """Return the first signature of the desk's that fits one of the keys; raises SignatureInvalid."""
    message, reasons = _Message(captured.method, captured.url, captured.headers), []
    for key in keys:
        verifier = _Verifier(signature_algorithm=ECDSA_P256_SHA256, key_resolver=_OneKey(key))
        for label in _LABELS:
            try:
                found = verifier.verify(
                    message, max_age=None, expect_tag=TAG, expect_label=label, require_components=COVERED
                )
            except HTTPMessageSignaturesException as error:
                reasons.append(str(error))
            else:
                return found[0]
    raise SignatureInvalid(
        "No signature fits: another key, or the address, the time or a header was altered"
        f" ({reasons[0] or 'the signature is wrong'})."
    )


def _test_params(occurrence: Occurrence) -> TestParams:
    said = (occurrence.detail or {}).get("message", "")
    return TestParams(event=TEST, message=said, timestamp=timestamp(occurrence.happened_at))


def _trade_params(occurrence: Occurrence) -> TradeRow:
    """Return the trade as v1's search shows it (contract 7)."""
    order, facts = occurrence.order, occurrence.brokerage
    if order is None or facts is None:
        raise AssertionError(f"{occurrence.id} is not about a trade")
    listed = [Listed(listing=one, scale=facts.scales[one.code]) for one in facts.listings]
    found = Brokered(order=order, quote=facts.quote, external_id=facts.external_id)
    return trade_row(found, LaneListings(listed))


#: What is told, by the name in the catalogue of events: the type on the wire, and what makes its `params`.
_TELLS: Final[Mapping[str, tuple[str, Callable[[Occurrence], Any]]]] = {
    WEBHOOK_TEST.name: (TEST, _test_params),
    BROKERAGE_FINISHED.name: (USER_TRADE, _trade_params),
}
