"""Exchanges callbacks, section 6: which moves are told, the body, and the HMAC by the contract's own words."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.api.conversion_shapes import STATUSES
from otcdesk.api.exchanges.callbacks import EVENT_TYPES, ExchangesCallbacks
from otcdesk.domain import conversions as c
from otcdesk.domain.event_types import WEBHOOK_DISABLED, Occurrence
from otcdesk.domain.orders import BUY, SELL
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
    moves_of,
    refusal,
    sending,
    story,
    without,
)

ENVELOPE = ExchangesCallbacks()
NOW = datetime(2026, 5, 6, 7, 8, 9, 999_999, tzinfo=UTC)
KEY = fresh(KeyKind.HMAC_SHA256)
THEIRS = checking(KEY)


def verifies(message: Captured, secret: bytes, now: datetime, header: str = "x-webhook-signature") -> bool:
    """What the contract tells a receiver to do: HMAC-SHA256 of `timestamp.body`, keyed with the secret as shown."""
    timestamp = message.headers["x-webhook-timestamp"]
    if abs(int(now.timestamp()) - int(timestamp)) > 300:
        return False
    expected = hmac.new(secret, timestamp.encode() + b"." + message.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(message.headers.get(header, ""), f"sha256={expected}")


# -- what is told ------------------------------------------------------------------------------------------------------

CREATED, UPDATED = "otc_exchange.created", "otc_exchange.status_updated"
NOTHING = None

STORIES: list[tuple[str, list[tuple[str, tuple[str, str] | None]]]] = [
    (
        BUY,
        [
            (c.CONFIRM, (CREATED, "debit_pending")),
            (c.DEBIT_SETTLED, (UPDATED, "pending_approval")),
            (c.APPROVE, NOTHING),
            (c.LEG_REFUSED, NOTHING),
            (c.APPROVE, NOTHING),
            (c.LEG_DONE, (UPDATED, "completed")),
        ],
    ),
    (BUY, [(c.CONFIRM, (CREATED, "debit_pending")), (c.DEBIT_FAILED, (UPDATED, "failed"))]),
    (BUY, [(c.CONFIRM, (CREATED, "debit_pending")), (c.REJECT, (UPDATED, "rejected"))]),
    (
        BUY,
        [
            (c.CONFIRM, (CREATED, "debit_pending")),
            (c.DEBIT_SETTLED, (UPDATED, "pending_approval")),
            (c.REJECT, (UPDATED, "rejected")),
        ],
    ),
    (BUY, [(c.CANCEL, NOTHING)]),
    (BUY, [(c.EXPIRE, NOTHING), (c.REQUOTE, NOTHING), (c.CONFIRM, (CREATED, "debit_pending"))]),
    (BUY, [(c.REQUOTE, NOTHING), (c.REQUOTE, NOTHING), (c.EXPIRE, NOTHING)]),
    (BUY, [(c.REQUOTE, NOTHING), (c.CANCEL, NOTHING)]),
    (
        SELL,
        [
            (c.CONFIRM, (CREATED, "pending_approval")),
            (c.APPROVE, NOTHING),
            (c.LEG_REFUSED, NOTHING),
            (c.APPROVE, NOTHING),
            (c.LEG_DONE, NOTHING),
            (c.LEG_DONE, (UPDATED, "completed")),
        ],
    ),
    (
        SELL,
        [
            (c.CONFIRM, (CREATED, "pending_approval")),
            (c.APPROVE, NOTHING),
            (c.LEG_DONE, NOTHING),
            (c.LEG_REFUSED, NOTHING),
            (c.RETURN_REFUSED, NOTHING),
            (c.RETURN_REFUSED, NOTHING),
            (c.LEG_DONE, (UPDATED, "failed")),
        ],
    ),
    (
        SELL,
        [
            (c.CONFIRM, (CREATED, "pending_approval")),
            (c.REQUOTE, (UPDATED, "requoted")),
            (c.REQUOTE, (UPDATED, "requoted")),  # the same word, but other terms to confirm
            (c.EXPIRE, (UPDATED, "expired")),
            (c.REQUOTE, (UPDATED, "requoted")),
            (c.CONFIRM, (UPDATED, "pending_approval")),
            (c.REJECT, (UPDATED, "rejected")),
        ],
    ),
    (
        SELL,
        [
            (c.CONFIRM, (CREATED, "pending_approval")),
            (c.REQUOTE, (UPDATED, "requoted")),
            (c.CANCEL, (UPDATED, "cancelled")),
        ],
    ),
    (SELL, [(c.EXPIRE, NOTHING), (c.REQUOTE, NOTHING), (c.CONFIRM, (CREATED, "pending_approval"))]),
    (SELL, [(c.CANCEL, NOTHING)]),
    (SELL, [(c.REQUOTE, NOTHING)]),
]


def body_of(occurrence: Occurrence) -> Any:
    told = ENVELOPE.told(occurrence)
    assert told is not None
    body = json.loads(told.body)
    assert body["type"] == told.event_type
    return body


def summary(occurrence: Occurrence) -> tuple[str, str] | None:
    told = ENVELOPE.told(occurrence)
    return None if told is None else (told.event_type, json.loads(told.body)["data"]["status"])


@pytest.mark.parametrize("side,steps", STORIES)
def test_every_move_is_told_or_not_as_its_customer_sees_it(
    side: str, steps: list[tuple[str, tuple[str, str] | None]]
) -> None:
    occurrences = story(side, *(event for event, _ in steps))
    assert [summary(one) for one in occurrences] == [expected for _, expected in steps]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_the_stories_make_every_move_of_the_machine(side: str) -> None:
    made = {
        move for theirs, steps in STORIES if theirs == side for move in moves_of(side, *(event for event, _ in steps))
    }
    assert made == c.MACHINES[side].moves.keys()


def test_the_body_is_the_event_around_the_order_object() -> None:
    confirmed, *_ = story(BUY, c.CONFIRM)
    assert confirmed.order is not None
    assert body_of(confirmed) == {
        "id": confirmed.id,
        "type": CREATED,
        "created_at": "2021-03-01T09:01:00.000Z",
        "data": {
            "id": str(confirmed.order.id),
            "status": STATUSES[confirmed.order.state],
            "sourceCurrency": "EUR",
            "sourceAmount": "2500.00",
            "destinationCurrency": "USDC",
            "destinationAmount": "2710.50",
            "rate": "1.0842",
            "createdAt": "2021-03-01T09:00:00.000Z",
        },
    }


@pytest.mark.parametrize(
    "units,scale,number",
    [
        (123_450, 2, b"1234.50"),
        (0, 2, b"0.00"),
        (-5, 2, b"-0.05"),
        (10**30 + 1, 2, b"10000000000000000000000000000.01"),
        (77, 0, b"77"),
    ],
)
def test_a_balance_is_told_as_an_exact_number(units: int, scale: int, number: bytes) -> None:
    told = ENVELOPE.told(balance_updated(units, scale=scale))
    assert told is not None
    assert b'"balance":' + number + b"," in told.body
    body = json.loads(told.body, parse_float=str, parse_int=str)
    assert body["type"] == told.event_type == "fiat_account.balance_updated"
    assert body["created_at"] == "2026-01-02T03:04:05.678Z"
    data = body["data"]
    assert set(data) == {"id", "account_name", "currency", "balance", "status", "iban"}
    assert (data["currency"], data["status"], data["balance"]) == ("EUR", "active", number.decode())


def test_a_test_message_is_told_and_what_the_desk_says_to_its_operator_is_not() -> None:
    body = body_of(about_webhook())
    assert (body["type"], body["data"]) == (ENVELOPE.test_type, {"message": "This is a test message."})
    assert ENVELOPE.told(about_webhook(WEBHOOK_DISABLED)) is None


def test_everything_of_an_order_can_be_subscribed_to() -> None:
    assert {CREATED, UPDATED, "fiat_account.balance_updated", "wallet.created", "payee.status_updated"} <= EVENT_TYPES
    assert len(EVENT_TYPES) == 18
    assert ENVELOPE.balance_types == {"fiat_account.balance_updated"}
    assert {200, 204, 299} <= ENVELOPE.received
    assert not {199, 300, 404} & ENVELOPE.received


# -- how it is signed --------------------------------------------------------------------------------------------------


def test_the_headers_are_the_contracts() -> None:
    sent = sending(b'{"a":1}', KEY, at=NOW)
    headers = ENVELOPE.headers(sent)
    assert headers.keys() == {"Content-Type", "X-Webhook-Id", "X-Webhook-Timestamp", "X-Webhook-Signature"}
    assert headers["X-Webhook-Id"] == str(sent.subscription_id)
    assert headers["X-Webhook-Timestamp"] == str(int(NOW.timestamp())) == "1778051289"
    assert verifies(captured(ENVELOPE, sent), KEY.secret, NOW)


def test_a_signature_worked_out_by_hand() -> None:
    """`printf '1778051289.{"a":1}' | openssl dgst -sha256 -hmac whsec_abc`."""
    key = CheckingKey(kind=KeyKind.HMAC_SHA256, content=b"whsec_abc")
    signature = "sha256=bb77ed9cea46abeb3cdb2b3865633d0d2df61d8e520395a4b68d31e7c4a98d95"
    message = Captured(
        method="POST",
        url="https://a.example/",
        headers={"x-webhook-timestamp": "1778051289", "x-webhook-signature": signature},
        body=b'{"a":1}',
    )
    assert (
        ENVELOPE.check(message, [key], NOW) == "X-Webhook-Signature fits the body and the secret; signed 0 seconds ago."
    )


def test_in_an_overlap_the_new_secret_signs_and_the_one_before_besides() -> None:
    old, new = fresh(KeyKind.HMAC_SHA256), fresh(KeyKind.HMAC_SHA256)
    message = captured(ENVELOPE, sending(b"{}", new, old, at=NOW))
    assert verifies(message, new.secret, NOW)
    assert not verifies(message, old.secret, NOW)
    assert verifies(message, old.secret, NOW, header="x-webhook-signature-previous")
    assert "X-Webhook-Signature fits" in ENVELOPE.check(message, [checking(new)], NOW)
    assert "X-Webhook-Signature-Previous fits" in ENVELOPE.check(message, [checking(old)], NOW)


@given(
    body=st.binary(max_size=200),
    other=st.binary(max_size=200),
    offset=st.integers(-400, 400),
    change=st.sampled_from(["nothing", "body", "time", "signature", "key"]),
)
@settings(max_examples=100, deadline=None)
def test_check_agrees_with_the_contracts_receiver(body: bytes, other: bytes, offset: int, change: str) -> None:
    message = captured(ENVELOPE, sending(body, KEY, at=NOW))
    key = checking(fresh(KeyKind.HMAC_SHA256)) if change == "key" else THEIRS
    if change == "body":
        message = altered(message, body=other)
    elif change == "time":
        message = altered(message, headers={"x-webhook-timestamp": str(int(NOW.timestamp()) + offset)})
    elif change == "signature":
        message = altered(message, headers={"x-webhook-signature": flipped(message.headers["x-webhook-signature"])})
    now = NOW + timedelta(seconds=offset)
    taken = accepts(ENVELOPE, message, key, now=now)
    assert taken == verifies(message, key.content, now)
    good = change == "nothing" or (change == "body" and other == body) or (change == "time" and offset == 0)
    assert taken == (good and abs(offset) <= 300)


def test_what_is_wrong_is_said() -> None:
    message = captured(ENVELOPE, sending(b"{}", KEY, at=NOW))
    assert ENVELOPE.check(message, [THEIRS], NOW)
    stranger = checking(fresh(KeyKind.HMAC_SHA256))
    wrong = "X-Webhook-Signature does not fit: another secret, or the body or X-Webhook-Timestamp was altered."
    assert refusal(ENVELOPE, message, stranger, now=NOW) == wrong
    assert refusal(ENVELOPE, altered(message, body=b"{ }"), THEIRS, now=NOW) == wrong
    late = NOW + timedelta(seconds=301)
    assert refusal(ENVELOPE, message, THEIRS, now=late) == "It is too old: signed 301 seconds ago; 300 may be."
    early = NOW - timedelta(seconds=301)
    assert (
        refusal(ENVELOPE, message, THEIRS, now=early) == "It is too new: signed 301 seconds in the future; 300 may be."
    )
    for name in ("X-Webhook-Timestamp", "X-Webhook-Signature"):
        assert refusal(ENVELOPE, without(message, name.lower()), THEIRS, now=NOW) == f"The header {name} is missing."
    for name in ("X-Webhook-Timestamp", "X-Webhook-Signature", "X-Webhook-Signature-Previous"):
        for text in ("\uff11\uff12", "\udcff"):
            bad = altered(message, headers={name.lower(): text})
            assert refusal(ENVELOPE, bad, THEIRS, now=NOW) == f"The header {name} is not ASCII."
    for nonsense in ("", "1e9", "-1", "9" * 13):
        bad = altered(message, headers={"x-webhook-timestamp": nonsense})
        assert "not a time in Unix seconds" in refusal(ENVELOPE, bad, THEIRS, now=NOW)
    pair = checking(fresh(KeyKind.ED25519))
    assert refusal(ENVELOPE, message, pair, now=NOW) == (
        "It is checked with the webhook's secret (whsec_...), which was not given."
    )
