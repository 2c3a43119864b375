"""Standard Webhooks 1.0.0: the official library verifies `v1`, another implementation of Ed25519 verifies `v1a`."""

import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import ecdsa  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from otcdesk.api.operator.callbacks import StandardCallbacks
from otcdesk.domain import conversions as c
from otcdesk.domain.event_types import (
    CATALOGUE,
    WEBHOOK_DISABLED,
)
from otcdesk.domain.orders import BUY, SELL
from otcdesk.webhooks.envelope import Captured, CheckingKey, KeyKind
from tests.support.brokerage import P, U
from tests.support.callbacks import (
    about_webhook,
    accepts,
    altered,
    assert_as_documented,
    balance_updated,
    brokerage_story,
    captured,
    checking,
    every_move,
    flipped,
    fresh,
    refusal,
    sending,
    story,
    without,
)

ENVELOPE = StandardCallbacks()
SECRET, OTHER_SECRET = fresh(KeyKind.HMAC_SHA256), fresh(KeyKind.HMAC_SHA256)
PAIR, OTHER_PAIR = fresh(KeyKind.ED25519), fresh(KeyKind.ED25519)


def verifies(message: Captured, key: CheckingKey) -> bool:
    return verifies_v1(message, key) if key.kind is KeyKind.HMAC_SHA256 else verifies_v1a(message, key)


def verifies_v1(message: Captured, key: CheckingKey) -> bool:
    """Ask the official library, which goes by the machine's clock."""
    try:
        Webhook(key.content.decode()).verify(message.body, dict(message.headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def verifies_v1a(message: Captured, key: CheckingKey) -> bool:
    """What the specification says of asymmetric signatures, with `ecdsa`'s own Ed25519."""
    assert key.content.startswith(b"whpk_")
    public: Any = ecdsa.VerifyingKey.from_string(b64decode(key.content[5:]), curve=ecdsa.Ed25519)
    timestamp = message.headers["webhook-timestamp"]
    if abs(int(timestamp) - int(datetime.now(UTC).timestamp())) > 300:
        return False
    content = f"{message.headers['webhook-id']}.{timestamp}.".encode() + message.body
    for signature in message.headers["webhook-signature"].split(" "):
        version, _, text = signature.partition(",")
        if version != "v1a":
            continue
        try:
            public.verify(b64decode(text), content)
        except ecdsa.BadSignatureError:
            continue
        return True
    return False


# -- what is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [BUY, SELL])
def test_every_move_is_told_under_its_own_name(side: str) -> None:
    occurrences = story(
        side, *{BUY: (c.REQUOTE, c.CONFIRM, c.DEBIT_SETTLED, c.APPROVE), SELL: (c.CONFIRM, c.REJECT)}[side]
    )
    for occurrence in occurrences:
        told, order = ENVELOPE.told(occurrence), occurrence.order
        assert told is not None
        assert order is not None
        body = json.loads(told.body)
        assert told.event_type == body["type"] == occurrence.type.name
        assert body["timestamp"] == order.updated_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert (body["data"]["id"], body["data"]["version"]) == (str(order.id), order.version)
        assert (body["data"]["deskState"], body["data"]["side"]) == (order.state, side)


def test_a_brokerage_order_is_told_with_its_quote_and_nothing_that_is_the_desks_alone() -> None:
    accepted, finished = brokerage_story(SELL)
    bodies = []
    for occurrence in (accepted, finished):
        told = ENVELOPE.told(occurrence)
        assert told is not None
        assert_as_documented(ENVELOPE, told.event_type, told.body)
        bodies.append(json.loads(told.body))
    order = accepted.order
    assert order is not None
    assert [body["type"] for body in bodies] == ["brokerage.accepted", "brokerage.finished"]
    assert bodies[0]["data"] == {
        "userId": str(U),
        "asset": "BTC",
        "fiat": "EUR",
        "assetAmount": "0.01000000",
        "totalAmount": "490.00",
        "taxAmount": "0.00",
        "fiatAmount": "490.00",
        "price": "49000.00000000",
        "id": str(order.id),
        "status": "in_progress",
        "side": "sell",
        "customerId": str(P),
        "product": "brokerage",
        "version": 2,
        "externalId": "ext-1",
        "reason": None,
        "createdAt": "2021-03-01T09:00:00.000Z",
        "expiresAt": "2021-03-01T09:01:00.000Z",
        "updatedAt": "2021-03-01T09:00:10.000Z",
    }
    assert (bodies[1]["data"]["status"], bodies[1]["data"]["version"]) == ("finished", 3)
    assert not {"spread", "50000", "margin"} & set(json.dumps(bodies).split('"'))


def test_a_brokerage_order_that_failed_says_why() -> None:
    told = ENVELOPE.told(brokerage_story(reason="not_covered")[-1])
    assert told is not None
    data = json.loads(told.body)["data"]
    assert (told.event_type, data["status"], data["reason"]) == ("brokerage.failed", "failed", "not_covered")


def test_every_type_of_the_catalogue_can_be_subscribed_to_and_is_told() -> None:
    occurrences = [*every_move(), balance_updated(), about_webhook(), about_webhook(WEBHOOK_DISABLED)]
    told = [ENVELOPE.told(occurrence) for occurrence in occurrences]
    assert {one.event_type for one in told if one} == ENVELOPE.event_types == CATALOGUE.keys()


def test_an_order_is_told_as_it_was_and_nothing_is_told_that_is_the_desks_alone() -> None:
    """Whenever it is told: what happened to the row since, and who did it, is not in the message."""
    occurrence = next(iter(story(BUY, c.CONFIRM)))
    order = occurrence.order
    assert order is not None
    later = order.with_(
        approved_by="operator:sam",
        approved_rate=order.rate,
        approved_at=order.updated_at,
        market_rate=order.rate + 1,
        quoted_rate=order.rate + 2,
        reason="told to nobody",
        waits_for="chain",
        rail_reference="ref-1",
        confirmed_at=order.updated_at,
        ended_at=order.updated_at,
        dialect_data='{"travelRulePayload":{"name":"Ada"}}',
    )
    told, told_later = ENVELOPE.told(occurrence), ENVELOPE.told(msgspec.structs.replace(occurrence, order=later))
    assert told is not None
    assert told == told_later
    assert json.loads(told.body)["data"].keys() == {
        *("id", "status", "sourceCurrency", "sourceAmount", "destinationCurrency", "destinationAmount", "rate"),
        *("createdAt", "side", "customerId", "product", "deskState", "version", "sourceAccountId"),
        *("destinationAccountId", "updatedAt"),
    }


def test_a_balance_is_a_decimal_text() -> None:
    told = ENVELOPE.told(balance_updated(1_234_567, scale=3))
    assert told is not None
    data = json.loads(told.body)["data"]
    assert (data["balance"], data["version"], data["asset"]) == ("1234.567", 7, "EUR")
    assert told.event_type in ENVELOPE.balance_types


def test_what_the_desk_says_of_a_webhook_is_told_as_it_is() -> None:
    occurrence = about_webhook(WEBHOOK_DISABLED)
    told = ENVELOPE.told(occurrence)
    assert told is not None
    assert json.loads(told.body)["data"] == occurrence.detail


# -- how it is signed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [SECRET, PAIR])
def test_the_headers_are_the_specifications(key: Any) -> None:
    sent = sending(b'{"type":"x"}', key)
    headers = ENVELOPE.headers(sent)
    assert headers.keys() == {"Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature"}
    assert headers["webhook-id"] == sent.event_id
    assert headers["webhook-timestamp"] == str(int(sent.sent_at.timestamp()))
    assert verifies(captured(ENVELOPE, sent), checking(key))


@pytest.mark.parametrize("new,old", [(SECRET, OTHER_SECRET), (PAIR, OTHER_PAIR), (PAIR, SECRET)])
def test_in_an_overlap_either_key_verifies(new: Any, old: Any) -> None:
    message = captured(ENVELOPE, sending(b"{}", new, old))
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for key in (new, old):
        assert verifies(message, checking(key))
        assert accepts(ENVELOPE, message, checking(key))
    assert not accepts(ENVELOPE, message, checking(fresh(new.kind)))


CHANGES = ["nothing", "body", "time", "id", "signature", "key"]


@given(
    body=st.text(max_size=100),
    other=st.text(max_size=100),
    offset=st.sampled_from([-400, -200, -1, 0, 1, 200, 400]),
    change=st.sampled_from(CHANGES),
    symmetric=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_check_agrees_with_other_implementations(
    body: str, other: str, offset: int, change: str, *, symmetric: bool
) -> None:
    """`offset` is how far the machine's clock, which the libraries go by, is from the time of signing."""
    key, stranger = (SECRET, OTHER_SECRET) if symmetric else (PAIR, OTHER_PAIR)
    now = datetime.now(UTC)
    message = captured(ENVELOPE, sending(body.encode(), key, at=now - timedelta(seconds=offset)))
    theirs = checking(stranger if change == "key" else key)
    signed_at = int(message.headers["webhook-timestamp"])
    match change:
        case "body":
            message = altered(message, body=other.encode())
        case "time":
            message = altered(message, headers={"webhook-timestamp": str(signed_at + 1)})
        case "id":
            message = altered(message, headers={"webhook-id": message.headers["webhook-id"] + "0"})
        case "signature":
            message = altered(message, headers={"webhook-signature": flipped(message.headers["webhook-signature"])})
    taken = accepts(ENVELOPE, message, theirs, now=now)
    assert taken == verifies(message, theirs)
    assert taken == ((change == "nothing" or (change == "body" and other == body)) and abs(offset) <= 300)


def test_what_is_wrong_is_said() -> None:
    now = datetime.now(UTC)
    message = captured(ENVELOPE, sending(b"{}", SECRET, at=now))
    theirs = checking(SECRET)
    assert ENVELOPE.check(message, [theirs], now) == "A signature v1 fits id, time, body and key; signed 0 seconds ago."
    wrong = "webhook-signature does not fit: another key, or webhook-id, webhook-timestamp or the body was altered."
    assert refusal(ENVELOPE, message, checking(OTHER_SECRET)) == wrong
    assert refusal(ENVELOPE, altered(message, body=b"{ }"), theirs) == wrong
    assert refusal(ENVELOPE, altered(message, headers={"webhook-signature": "v1,*"}), theirs) == wrong
    assert "too old" in refusal(ENVELOPE, message, theirs, now=now + timedelta(seconds=302))
    assert "too new" in refusal(ENVELOPE, message, theirs, now=now - timedelta(seconds=302))
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        assert refusal(ENVELOPE, without(message, name), theirs) == f"The header {name} is missing."
    assert "no signature of the versions" in refusal(
        ENVELOPE, altered(message, headers={"webhook-signature": "v2,AAAA"}), theirs
    )
    assert refusal(ENVELOPE, message, checking(PAIR)) == (
        "It is checked with the webhook's secret (whsec_...), which was not given."
    )
    signed_by_pair = captured(ENVELOPE, sending(b"{}", PAIR, at=now))
    assert refusal(ENVELOPE, signed_by_pair, theirs) == (
        "It is checked with the webhook's public key (whpk_...), which was not given."
    )
    nonsense = CheckingKey(kind=KeyKind.HMAC_SHA256, content=b"whsec_*")
    assert refusal(ENVELOPE, message, nonsense) == "The secret is not whsec_ and base64."


def test_the_public_half_may_come_as_pem_too() -> None:
    message = captured(ENVELOPE, sending(b"{}", PAIR))
    raw: Any = ecdsa.VerifyingKey.from_string(b64decode(checking(PAIR).content[5:]), curve=ecdsa.Ed25519)
    assert accepts(ENVELOPE, message, CheckingKey(kind=KeyKind.ED25519, content=raw.to_pem()))


def test_a_signature_counts_under_its_own_version_and_spelling_only() -> None:
    for key in (SECRET, PAIR):
        message = captured(ENVELOPE, sending(b"{}", key))
        version, text = message.headers["webhook-signature"].split(",")
        for spelled in (f"v2,{text} {version},AAAA", f"{version},{text[:8]}*{text[8:]}", f"{version}:{text}"):
            assert not accepts(ENVELOPE, altered(message, headers={"webhook-signature": spelled}), checking(key))
        more = altered(message, headers={"webhook-signature": f"v2,AAAA {version},AAAA {version},{text}"})
        assert accepts(ENVELOPE, more, checking(key))
