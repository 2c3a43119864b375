"""Offers callbacks, section 7: RFC 9421 rebuilt here by the rules of the RFC and verified by another ECDSA."""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import ecdsa  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.api.offers.callbacks import OffersCallbacks
from otcdesk.domain.conversions import CONFIRM
from otcdesk.domain.event_types import BROKERAGE_EXPIRED, CATALOGUE, WEBHOOK_DISABLED
from otcdesk.domain.orders import BUY, SELL
from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind
from tests.support.brokerage import U
from tests.support.callbacks import (
    URL,
    about_webhook,
    accepts,
    altered,
    assert_as_documented,
    balance_updated,
    brokerage_story,
    captured,
    checking,
    flipped,
    fresh,
    refusal,
    sending,
    story,
    without,
)

ENVELOPE = OffersCallbacks()
NOW = datetime(2026, 5, 6, 7, 8, 9, 999_999, tzinfo=UTC)
KEY, OTHER = fresh(KeyKind.ECDSA_P256), fresh(KeyKind.ECDSA_P256)
THEIRS = checking(KEY)


# -- the RFC, in a few lines -------------------------------------------------------------------------------------------


def component(message: Captured, name: str) -> str:
    """Return a component's value, by RFC 9421 sections 2.1 and 2.2."""
    place = urlsplit(message.url)
    port = {"https": ":443", "http": ":80"}[place.scheme]
    derived = {
        "@method": message.method,
        "@authority": place.netloc.lower().removesuffix(port),
        "@path": place.path or "/",
        "@query": f"?{place.query}",
    }
    return derived[name] if name.startswith("@") else message.headers[name].strip()


def signature_base(message: Captured, parameters: str) -> bytes:
    """Return what is signed, by RFC 9421 section 2.5; `parameters` as they stand in Signature-Input."""
    inside = parameters[1 : parameters.index(")")]
    names = [text.strip('"') for text in inside.split(" ")]
    lines = [f'"{name}": {component(message, name)}' for name in names]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def members(field: str) -> dict[str, str]:
    """Split a dictionary of RFC 8941 whose values have no comma."""
    return dict(text.split("=", 1) for text in field.split(", "))


def verifies(message: Captured, key: CheckingKey, now: datetime, label: str = "sig1") -> bool:
    """What a receiver does by RFC 9421 section 3.2 and RFC 9530, with `ecdsa` and no library of ours."""
    digest = f"sha-256=:{b64encode(hashlib.sha256(message.body).digest()).decode()}:"
    parameters = members(message.headers["signature-input"])[label]
    signed_at = re.search(r";created=(\d+)", parameters)
    if signed_at is None or message.headers["content-digest"] != digest or f';keyid="{key.id}"' not in parameters:
        return False
    if abs(int(now.timestamp()) - int(signed_at[1])) > 300:
        return False
    signature = b64decode(members(message.headers["signature"])[label].strip(":"))
    return holds(key.content, signature, signature_base(message, parameters))


def holds(pem: bytes, signature: bytes, base: bytes) -> bool:
    """RFC 9421 section 3.3.4: ECDSA on P-256 with SHA-256, the two numbers of 32 bytes one after the other."""
    public: Any = ecdsa.VerifyingKey.from_pem(pem.decode())
    assert public.curve is ecdsa.NIST256p
    try:
        return bool(public.verify(signature, base, hashfunc=hashlib.sha256))
    except ecdsa.BadSignatureError:
        return False


def test_the_lines_above_verify_the_rfcs_own_example() -> None:
    """RFC 9421 appendix B.2.4, with the public key of B.1.3."""
    pem = (
        b"-----BEGIN PUBLIC KEY-----\n"
        b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\n"
        b"w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n"
        b"-----END PUBLIC KEY-----\n"
    )
    base = (
        b'"@status": 200\n'
        b'"content-type": application/json\n'
        b'"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rj'
        b"Juahq4l5aGgfLQ==:\n"
        b'"content-length": 23\n'
        b'"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;'
        b'keyid="test-key-ecc-p256"'
    )
    signature = b64decode("wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")
    assert holds(pem, signature, base)
    assert not holds(pem, signature, base.replace(b"200", b"201"))


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_test_message_has_everything_under_params() -> None:
    told = ENVELOPE.told(about_webhook())
    assert told is not None
    assert told.event_type == ENVELOPE.test_type
    assert json.loads(told.body) == {
        "params": {
            "event": "webhook.test",
            "message": "This is a test message.",
            "timestamp": "2026-01-02T03:04:05+00:00",
        }
    }


def test_a_finished_trade_is_told_as_the_search_shows_it() -> None:
    _, finished = brokerage_story(SELL)
    told, order = ENVELOPE.told(finished), finished.order
    assert told is not None
    assert order is not None
    assert told.event_type == "user.trade"
    assert_as_documented(ENVELOPE, told.event_type, told.body)
    assert json.loads(told.body) == {
        "params": {
            "id": str(order.id),
            "offer_id": str(order.id),
            "type": "sell",
            "fiat_id": 1,
            "asset_id": 1,
            "fiat_amount": "490.00",
            "tax_amount": "0.00",
            "total_amount": "490.00",
            "asset_amount": "0.01000000",
            "asset_price": "49000.00000000",
            "time": "2021-03-01T09:00:20+00:00",
            "external_transaction_id": "ext-1",
            "user_pid": str(U),
            "status": "finished",
            "fiat_symbol": "EUR",
            "asset_symbol": "BTC",
            "gross_fee": "10.00000000",
            "fees_after_cost": "9.75000000",
            "final_revenue_share": "0.00000000",
            "initiated_by": "user",
        }
    }


def test_of_a_trade_only_that_it_is_finished_is_told() -> None:
    accepted, finished = brokerage_story()
    failed = brokerage_story(reason="not_covered")[-1]
    expired = msgspec.structs.replace(accepted, type=BROKERAGE_EXPIRED)
    told = [ENVELOPE.told(one) for one in (accepted, failed, expired, finished)]
    assert [one is not None for one in told] == [False, False, False, True]


def test_nothing_of_other_products_is_told() -> None:
    told = [ENVELOPE.told(one) for one in (*story(BUY, CONFIRM), balance_updated(), about_webhook(WEBHOOK_DISABLED))]
    assert told == [None, None, None]
    assert {"user.update", "user.corporate-action", "user.non-user-initiated-tx-v2"} < ENVELOPE.event_types
    assert not ENVELOPE.event_types & CATALOGUE.keys()
    assert ENVELOPE.received == {200, 201, 202, 204}


# -- how it is signed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [URL, "https://a.example/", "https://a.example/x?", "http://127.0.0.1:9000/in/a%20b", "https://[2606:4700::1]/x"],
)
def test_the_headers_hold_what_the_rfc_asks_for(url: str) -> None:
    sent = sending(b'{"params":{}}', KEY, at=NOW, url=url, event_type="user.update")
    message = captured(ENVELOPE, sent)
    assert message.headers.keys() == {
        *("content-type", "content-digest", "webhook-event-id", "webhook-event-type", "signature", "signature-input")
    }
    assert message.headers["webhook-event-id"] == sent.event_id
    assert message.headers["webhook-event-type"] == "user.update"
    assert message.headers["signature-input"] == (
        'sig1=("@method" "@authority" "@path" "@query" "content-type" "content-digest" "webhook-event-id"'
        f' "webhook-event-type");created={int(NOW.timestamp())};keyid="{KEY.id}";alg="ecdsa-p256-sha256"'
        ';tag="otcdesk-offers-webhook"'
    )
    assert verifies(message, THEIRS, NOW)
    proved = f"The signature sig1 of the key {KEY.id} fits address, headers and body; signed 0 seconds ago."
    assert ENVELOPE.check(message, [THEIRS], NOW) == proved


def test_in_an_overlap_both_pairs_sign_under_labels_of_their_own() -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY, OTHER, at=NOW))
    assert verifies(message, THEIRS, NOW, "sig1")
    assert verifies(message, checking(OTHER), NOW, "sig2")
    assert not verifies(message, checking(OTHER), NOW, "sig1")
    assert "signature sig1" in ENVELOPE.check(message, [THEIRS], NOW)
    assert "signature sig2" in ENVELOPE.check(message, [checking(OTHER)], NOW)
    assert "signature sig2" in ENVELOPE.check(message, [checking(OTHER, named=False)], NOW)


CHANGES = ["nothing", "body", "digest", "id", "event type", "type", "time", "url", "method", "signature", "key"]


def _changed(message: Captured, change: str, other: bytes) -> Captured:
    headers = message.headers
    match change:
        case "body":
            return altered(message, body=other)
        case "digest":
            digest = b64encode(hashlib.sha256(other).digest()).decode()
            return altered(message, headers={"content-digest": f"sha-256=:{digest}:"}, body=other)
        case "id":
            return altered(message, headers={"webhook-event-id": "evt_0"})
        case "event type":
            return altered(message, headers={"webhook-event-type": "user.trade"})
        case "type":
            return altered(message, headers={"content-type": "text/plain"})
        case "time":
            later = f";created={int(NOW.timestamp()) + 1};"
            return altered(
                message, headers={"signature-input": re.sub(r";created=\d+;", later, headers["signature-input"])}
            )
        case "url":
            return msgspec.structs.replace(message, url=URL.replace("acme", "acne"))
        case "method":
            return msgspec.structs.replace(message, method="PUT")
        case "signature":
            return altered(message, headers={"signature": flipped(headers["signature"])})
    return message


@given(
    body=st.binary(max_size=100),
    other=st.binary(max_size=100),
    change=st.sampled_from(CHANGES),
    offset=st.sampled_from([0, 0, 0, 300, 301, -300, -301]),
)
@settings(max_examples=60, deadline=None)
def test_check_agrees_with_the_rfc_rebuilt(body: bytes, other: bytes, change: str, offset: int) -> None:
    message = _changed(captured(ENVELOPE, sending(body, KEY, at=NOW)), change, other)
    key = msgspec.structs.replace(checking(OTHER), id=str(KEY.id)) if change == "key" else THEIRS
    now = NOW + timedelta(seconds=offset)
    taken = accepts(ENVELOPE, message, key, now=now)
    assert taken == verifies(message, key, now)
    same = change == "nothing" or (change in {"body", "digest"} and other == body)
    assert taken == (same and abs(offset) <= 300)


@pytest.mark.parametrize("change", [change for change in CHANGES if change not in {"nothing", "key"}])
def test_whatever_is_altered_is_seen(change: str) -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY, at=NOW))
    assert accepts(ENVELOPE, message, THEIRS, now=NOW)
    assert not accepts(ENVELOPE, _changed(message, change, b"{ }"), THEIRS, now=NOW)


def test_what_is_wrong_is_said() -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY, at=NOW))
    assert refusal(ENVELOPE, altered(message, body=b"{ }"), THEIRS, now=NOW) == (
        "Content-Digest does not fit the body: the body was altered."
    )
    wrong = "No signature fits: another key, or the address, the time or a header was altered"
    stranger = msgspec.structs.replace(checking(OTHER), id=str(KEY.id))
    assert refusal(ENVELOPE, message, stranger, now=NOW) == f"{wrong} (the signature is wrong)."
    assert refusal(ENVELOPE, message, checking(OTHER), now=NOW) == f"{wrong} (Unable to resolve verification key)."
    assert "too old" in refusal(ENVELOPE, message, THEIRS, now=NOW + timedelta(seconds=301))
    for name in (
        *("Signature-Input", "Signature", "Content-Digest", "Webhook-Event-Id", "Webhook-Event-Type", "Content-Type"),
    ):
        assert refusal(ENVELOPE, without(message, name.lower()), THEIRS, now=NOW) == f"The header {name} is missing."
    for field in ("signature", "signature-input"):
        for text in ("", "sig1", 'sig1=("@method")', "sig1=:AAAA:", "sig1=();created=1.5"):
            assert refusal(ENVELOPE, altered(message, headers={field: text}), THEIRS, now=NOW).startswith(wrong)
        for text in ("é", "\udcff"):
            assert "is not ASCII" in refusal(ENVELOPE, altered(message, headers={field: text}), THEIRS, now=NOW)
    elsewhere = msgspec.structs.replace(message, url="https://\udcff/")
    assert "address that it was posted to is not ASCII" in refusal(ENVELOPE, elsewhere, THEIRS, now=NOW)
    assert "which was not given" in refusal(ENVELOPE, message, checking(fresh(KeyKind.HMAC_SHA256)), now=NOW)


@pytest.mark.parametrize("name", ["content-digest", "webhook-event-id", "webhook-event-type", "@authority"])
def test_a_signature_that_leaves_something_out_does_not_count(name: str) -> None:
    """Whoever has the key signs less: it fits, and yet says nothing of the body, or of what it tells of."""
    message = captured(ENVELOPE, sending(b"{}", KEY, at=NOW))
    parameters = members(message.headers["signature-input"])["sig1"].replace(f' "{name}"', "")
    private: Any = ecdsa.SigningKey.from_pem(KEY.secret.decode())
    signature = private.sign(signature_base(message, parameters), hashfunc=hashlib.sha256)
    less = altered(
        message,
        headers={"signature-input": f"sig1={parameters}", "signature": f"sig1=:{b64encode(signature).decode()}:"},
    )
    assert verifies(less, THEIRS, NOW)
    assert f'Required component "{name}" was not covered' in refusal(ENVELOPE, less, THEIRS, now=NOW)
