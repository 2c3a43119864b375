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

from otcdesk.api.ramp.checkout_shapes import CheckoutSession, session_of
from otcdesk.api.ramp.codes import ENVIRONMENTS
from otcdesk.api.ramp.deposit_shapes import FiatDeposit, fiat_deposit_of, transaction_of
from otcdesk.api.ramp.shapes import Facts, Transaction
from otcdesk.api.wire import TimeText
from otcdesk.domain.deposits import ASSET, FIAT
from otcdesk.domain.event_types import (
    CHAIN_PAYOUT_FAILED,
    CHAIN_PAYOUT_SETTLED,
    CHAIN_PAYOUT_SUBMITTED,
    CHECKOUT_CANCELLED,
    CHECKOUT_EXPIRED,
    CHECKOUT_FAILED,
    CHECKOUT_OPENED,
    CHECKOUT_SETTLED,
    DEPOSIT_ARRIVED,
    DEPOSIT_FAILED,
    DEPOSIT_REFUNDED,
    DEPOSIT_SETTLED,
    PAYOUT_FAILED,
    PAYOUT_SETTLED,
    PAYOUT_SUBMITTED,
    WEBHOOK_TEST,
    Occurrence,
)
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

TRANSACTION: Final = "Transaction"
FIAT_DEPOSIT: Final = "FiatDeposit"
CHECKOUT_SESSION: Final = "CheckoutSession"

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
    UserID: Annotated[str, Meta(description="Whose it is: the business, by the name that the desk knows it by.")]
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
    event_types = frozenset({TRANSACTION, FIAT_DEPOSIT, CHECKOUT_SESSION, "Customer"})
    balance_types: frozenset[str] = frozenset()
    messages: Mapping[str, MessageKind] = {
        TRANSACTION: MessageKind(Body[Transaction], "A transaction was made, and each time its status changes."),
        FIAT_DEPOSIT: MessageKind(Body[FiatDeposit], "Fiat arrives, and each time its status or refund changes."),
        CHECKOUT_SESSION: MessageKind(
            Body[CheckoutSession], "A checkout was opened, and each time its status changes."
        ),
        TEST: MessageKind(Body[TestData], "Somebody asked for it; nothing happened."),
    }
    sent_headers: tuple[SentHeader, ...] = (
        SentHeader(SIGNATURE, "Base64 of the signature in DER over the body."),
        SentHeader(SIGNATURE_PREVIOUS, "The same with the pair before, after a rotation.", always=False),
    )
    received = any_2xx()
    test_type = TEST

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence in the dialect's words; None for what is not in its table."""
        side = None if occurrence.order is None else occurrence.order.side
        row = _TELLS.get(occurrence.type.name) or _TELLS_OF_SIDE.get((occurrence.type.name, side))
        if row is None:
            return None
        event_type, data_of = row
        body = Body(
            EventType=event_type,
            EventVersion=occurrence.subject_version,
            Occurred=_date_time(occurrence.happened_at),
            UserID=occurrence.tenant_name or str(occurrence.tenant_id),
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


def _transaction_data(occurrence: Occurrence) -> Transaction:
    """Return the transaction as its own route showed it right after (ramp contract 6)."""
    order, facts = occurrence.order, occurrence.payout
    if order is None or facts is None:
        raise AssertionError(f"{occurrence.id} is not about a payout")
    known = Facts(
        order=order,
        payment=facts.payment,
        method=facts.method,
        party_external_id=facts.party_external_id,
        reference=facts.reference,
    )
    return transaction_of(known, facts.scales, ENVIRONMENTS[facts.lane_kind])


def _outside_data(occurrence: Occurrence) -> Transaction:
    """Return what arrived on a chain, or leaves for one, as its own route showed it right after."""
    order, facts = occurrence.order, occurrence.outside
    if order is None or facts is None:
        raise AssertionError(f"{occurrence.id} is about nothing that arrives or leaves")
    known = Facts(order=order, deposit=facts.deposit, sending=facts.sending, party_external_id=facts.party_external_id)
    return transaction_of(known, facts.scales, ENVIRONMENTS[facts.lane_kind])


def _fiat_deposit_data(occurrence: Occurrence) -> FiatDeposit:
    order, facts = occurrence.order, occurrence.outside
    if order is None or facts is None or facts.deposit is None or facts.bank is None:
        raise AssertionError(f"{occurrence.id} is not about a deposit at a bank")
    return fiat_deposit_of(order, facts.deposit, facts.bank, facts.party_external_id, facts.scales)


def _checkout_data(occurrence: Occurrence) -> CheckoutSession:
    """Return the checkout as it was answered to who opened it, or repeats that, right after."""
    order, facts = occurrence.order, occurrence.checkout
    if order is None or facts is None:
        raise AssertionError(f"{occurrence.id} is not about a checkout")
    customer_id = facts.party_external_id or ""
    return session_of(order, facts.checkout, customer_id, facts.scales, ENVIRONMENTS[facts.lane_kind])


#: That a checkout is confirmed, or paid and not bought for yet, changes no status.
_OF_CHECKOUTS: Final = (CHECKOUT_OPENED, CHECKOUT_SETTLED, CHECKOUT_FAILED, CHECKOUT_CANCELLED, CHECKOUT_EXPIRED)

#: What is told, by the name in the catalogue of events: the type on the wire, and what makes its `Data`. That a payout
#: is held, released, put into a file or being cancelled changes no status, so nothing is told of it (contract 4).
_TELLS: Final[Mapping[str, tuple[str, Callable[[Occurrence], Any]]]] = {
    WEBHOOK_TEST.name: (TEST, _test_data),
    **{kind.name: (CHECKOUT_SESSION, _checkout_data) for kind in _OF_CHECKOUTS},
    PAYOUT_SUBMITTED.name: (TRANSACTION, _transaction_data),
    PAYOUT_SETTLED.name: (TRANSACTION, _transaction_data),
    PAYOUT_FAILED.name: (TRANSACTION, _transaction_data),
    CHAIN_PAYOUT_SUBMITTED.name: (TRANSACTION, _outside_data),
    CHAIN_PAYOUT_SETTLED.name: (TRANSACTION, _outside_data),
    CHAIN_PAYOUT_FAILED.name: (TRANSACTION, _outside_data),
}

#: The same where it depends on the side: of deposits, those at banks are told apart. That a deposit on a chain was
#: given back changes no status.
_TELLS_OF_SIDE: Final[Mapping[tuple[str, str | None], tuple[str, Callable[[Occurrence], Any]]]] = {
    **{(kind.name, ASSET): (TRANSACTION, _outside_data) for kind in (DEPOSIT_ARRIVED, DEPOSIT_SETTLED, DEPOSIT_FAILED)},
    **{
        (kind.name, FIAT): (FIAT_DEPOSIT, _fiat_deposit_data)
        for kind in (DEPOSIT_ARRIVED, DEPOSIT_SETTLED, DEPOSIT_FAILED, DEPOSIT_REFUNDED)
    },
}
