"""Ramp callbacks, section 6: five fields, and an ECDSA signature that another implementation verifies."""

import hashlib
import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import ecdsa  # type: ignore[import-untyped]
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.api.ramp.callbacks import RampCallbacks
from otcdesk.domain.conversions import CONFIRM
from otcdesk.domain.event_types import CATALOGUE, WEBHOOK_DISABLED
from otcdesk.domain.orders import BUY
from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind
from tests.support.callbacks import (
    about_webhook,
    accepts,
    altered,
    balance_updated,
    captured,
    checking,
    flipped,
    fresh,
    payout_story,
    refusal,
    sending,
    story,
    without,
)

ENVELOPE = RampCallbacks()
KEY, OTHER = fresh(KeyKind.ECDSA_P384), fresh(KeyKind.ECDSA_P384)
THEIRS = checking(KEY)


def verifies(message: Captured, key: CheckingKey, header: str = "webhook-signature") -> bool:
    """As the contract tells a receiver: base64 of DER, ECDSA with SHA-384 on P-384 over the raw body (`ecdsa`)."""
    public: Any = ecdsa.VerifyingKey.from_pem(key.content.decode())
    assert public.curve is ecdsa.NIST384p
    try:
        return bool(
            public.verify(
                b64decode(message.headers[header]),
                message.body,
                hashfunc=hashlib.sha384,
                sigdecode=ecdsa.util.sigdecode_der,
            )
        )
    except (ecdsa.BadSignatureError, ecdsa.der.UnexpectedDER):
        return False


def test_a_test_message_has_the_contracts_five_fields() -> None:
    occurrence = about_webhook()
    told = ENVELOPE.told(occurrence)
    assert told is not None
    assert told.event_type == ENVELOPE.test_type == "Test"
    assert json.loads(told.body) == {
        "EventType": "Test",
        "EventVersion": 1,
        "Occurred": "2026-01-02T03:04:05Z",
        "UserID": str(occurrence.tenant_id),
        "Data": {"ID": occurrence.id, "Message": "This is a test message."},
    }


def test_nothing_of_other_products_is_told() -> None:
    told = [ENVELOPE.told(one) for one in (*story(BUY, CONFIRM), balance_updated(), about_webhook(WEBHOOK_DISABLED))]
    assert told == [None, None, None]
    assert ENVELOPE.event_types == {"Transaction", "FiatDeposit", "CheckoutSession", "Customer"}
    assert not ENVELOPE.event_types & CATALOGUE.keys()


def test_the_header_is_the_contracts_and_a_retry_signs_the_same() -> None:
    sent = sending(b'{"a":1}', KEY)
    first, again = (
        captured(ENVELOPE, sent),
        captured(ENVELOPE, sending(sent.body, KEY, at=datetime(2030, 1, 1, tzinfo=UTC))),
    )
    assert first.headers.keys() == again.headers.keys() == {"content-type", "webhook-signature"}
    assert verifies(first, THEIRS)
    assert verifies(altered(first, headers=again.headers), THEIRS)


def test_in_an_overlap_both_pairs_sign() -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY, OTHER))
    assert verifies(message, THEIRS)
    assert verifies(message, checking(OTHER), header="webhook-signature-previous")
    assert not verifies(message, checking(OTHER))
    assert ENVELOPE.check(message, [THEIRS], datetime.now(UTC)) == (
        "Webhook-Signature fits the body and the desk's public key."
    )
    assert "Webhook-Signature-Previous fits" in ENVELOPE.check(message, [checking(OTHER)], datetime.now(UTC))


@given(
    body=st.binary(max_size=200),
    other=st.binary(max_size=200),
    change=st.sampled_from(["nothing", "body", "signature", "key"]),
)
@settings(max_examples=25, deadline=None)
def test_check_agrees_with_another_implementation(body: bytes, other: bytes, change: str) -> None:
    message = captured(ENVELOPE, sending(body, KEY))
    key = checking(OTHER) if change == "key" else THEIRS
    if change == "body":
        message = altered(message, body=other)
    elif change == "signature":
        message = altered(message, headers={"webhook-signature": flipped(message.headers["webhook-signature"])})
    taken = accepts(ENVELOPE, message, key)
    assert taken == verifies(message, key)
    assert taken == (change == "nothing" or (change == "body" and other == body))


def test_what_is_wrong_is_said() -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY))
    wrong = "Webhook-Signature does not fit: another key, or the body was altered."
    assert refusal(ENVELOPE, message, checking(OTHER)) == wrong
    assert refusal(ENVELOPE, altered(message, body=b"{ }"), THEIRS) == wrong
    assert refusal(ENVELOPE, altered(message, headers={"webhook-signature": "AAAA"}), THEIRS) == wrong
    assert (
        refusal(ENVELOPE, without(message, "webhook-signature"), THEIRS) == "The header Webhook-Signature is missing."
    )
    assert refusal(ENVELOPE, altered(message, headers={"webhook-signature": "*"}), THEIRS) == (
        "The header Webhook-Signature is not base64."
    )
    assert refusal(ENVELOPE, message, checking(fresh(KeyKind.HMAC_SHA256))) == (
        "It is checked with the desk's public key (PEM), which was not given."
    )
    no_key = CheckingKey(kind=KeyKind.ECDSA_P384, content=b"nonsense")
    p256 = CheckingKey(kind=KeyKind.ECDSA_P384, content=checking(fresh(KeyKind.ECDSA_P256)).content)
    for key in (no_key, p256):
        assert refusal(ENVELOPE, message, key) == "The key is not a public key in PEM of the kind ecdsa-p384."


def test_a_payout_is_told_as_a_transaction_when_its_status_changes() -> None:
    pending, settled = map(ENVELOPE.told, payout_story())
    failed = ENVELOPE.told(payout_story("account closed")[1])
    assert pending is not None
    assert settled is not None
    assert failed is not None
    assert {told.event_type for told in (pending, settled, failed)} == {"Transaction"}
    first, second, third = (json.loads(told.body) for told in (pending, settled, failed))
    assert [body["Data"]["Status"] for body in (first, second, third)] == ["Pending", "Settled", "Failed"]
    assert first["UserID"] == "user-b1"
    assert first["EventVersion"] < second["EventVersion"]
    assert first["Data"]["Amount"] == "110.326087"
    assert first["Data"]["CryptoCurrency"] == "USDC_TEST"
    assert first["Data"]["CustomerID"] == "cust-001"
    assert "PaymentSystemID" not in first["Data"]["FiatPayment"]
    assert second["Data"]["FiatPayment"]["PaymentSystemID"] == "rail-1"
    assert "account closed" not in failed.body.decode(), "why is the desk's own affair"


def test_that_somebody_looks_into_a_payout_is_told_to_no_tenant() -> None:
    told = payout_story()[0]
    for name in ("held", "released", "filed", "cancelling"):
        kind = CATALOGUE[f"payout.{name}"]
        assert not kind.for_tenants
        assert ENVELOPE.told(msgspec.structs.replace(told, type=kind)) is None
