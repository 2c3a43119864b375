"""Callbacks in the words of the exchanges contract, section 6: which moves are told, the body, the HMAC in its header.

A customer hears of its order from the first confirm on, and then of every change of what it sees: another status, or
new terms to confirm. Work between approval and completion is no change to it (contract 4.1).
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from otcdesk.api.conversion_shapes import STATUSES, OrderAnswer, order_answer
from otcdesk.api.wire import TimeText, UuidText
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.event_types import BALANCE_UPDATED, CONFIRMED, REQUOTED, WEBHOOK_TEST, Occurrence
from otcdesk.domain.ledger import ACTIVE, INACTIVE, Account
from otcdesk.money import print_units
from otcdesk.webhooks.checking import age, header, keys_of, optional_header, seconds_of, unix_seconds
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

WEBHOOK_ID: Final = "X-Webhook-Id"
TIMESTAMP: Final = "X-Webhook-Timestamp"
SIGNATURE: Final = "X-Webhook-Signature"
#: Ours: the contract's header has room for one signature, and after a rotation the secret before signs here.
SIGNATURE_PREVIOUS: Final = "X-Webhook-Signature-Previous"
_SCHEME: Final = "sha256="

ORDER_CREATED: Final = "otc_exchange.created"
ORDER_UPDATED: Final = "otc_exchange.status_updated"
BALANCE: Final = "fiat_account.balance_updated"
TEST: Final = "webhook.test"

#: The reference's list, one that its wallets guide names, and two of ours for orders (contract 6.1, 6.2).
EVENT_TYPES: Final = frozenset(
    {
        *("payment.created", "payment.status_updated", "payment.completed", "payment.failed"),
        *("fiat_account.created", "fiat_account.status_updated", BALANCE),
        *("virtual_account.created", "virtual_account.status_updated", "virtual_account.balance_updated"),
        *("end_user.created", "end_user.status_updated", "end_user.review_required"),
        *("payee.created", "payee.status_updated", "wallet.created"),
        *(ORDER_CREATED, ORDER_UPDATED),
    }
)


_Data = TypeVar("_Data")


class Body(msgspec.Struct, Generic[_Data], kw_only=True):
    """What is posted (contract 6.2)."""

    id: Annotated[str, Meta(description="The event's id, equal however often and to whomever it is sent.")]
    type: Annotated[str, Meta(description="The event type.")]
    created_at: Annotated[TimeText, Meta(description="When it happened; milliseconds, UTC.")]
    data: Annotated[_Data, Meta(description="What it is about.")]


class FiatAccount(msgspec.Struct, kw_only=True):
    """A cash account with its balance after an entry, a number (contract section 8, neighbouring facts)."""

    id: Annotated[UuidText, Meta(description="The account.")]
    account_name: Annotated[str, Meta(description="What its owner calls it; empty without a name.")]
    currency: Annotated[str, Meta(description="Which currency it holds.")]
    balance: Annotated[
        msgspec.Raw,
        Meta(
            description="What is on it, an exact number with all decimals of the currency; may be negative.",
            extra_json_schema={"type": "number"},
        ),
    ]
    status: Annotated[str, Meta(description="Whether it may be used.", extra_json_schema={"enum": [ACTIVE, INACTIVE]})]
    iban: Annotated[str | None, Meta(description="Its IBAN; null without one.")]


class TestMessage(msgspec.Struct, kw_only=True):
    """What a test says."""

    message: Annotated[str, Meta(description="A sentence for people: that it is a test.")]


class ExchangesCallbacks:
    """The envelope of the exchanges dialect; implements `Envelope`."""

    name = "exchanges"
    key_kinds: tuple[KeyKind, ...] = (KeyKind.HMAC_SHA256,)
    own_keys = True
    event_types = EVENT_TYPES
    balance_types = frozenset({BALANCE})
    messages: Mapping[str, MessageKind] = {
        ORDER_CREATED: MessageKind(Body[OrderAnswer], "The customer confirmed its order for the first time."),
        ORDER_UPDATED: MessageKind(
            Body[OrderAnswer], "An order that was confirmed has another status, or new terms to confirm."
        ),
        BALANCE: MessageKind(Body[FiatAccount], "An entry changed the balance of a cash account."),
        TEST: MessageKind(Body[TestMessage], "Somebody asked for it; nothing happened."),
    }
    sent_headers: tuple[SentHeader, ...] = (
        SentHeader(WEBHOOK_ID, "The webhook that it is sent to."),
        SentHeader(TIMESTAMP, "When this attempt was made; Unix seconds."),
        SentHeader(SIGNATURE, "`sha256=` and the HMAC in hexadecimal, over `timestamp.body` with the secret as shown."),
        SentHeader(SIGNATURE_PREVIOUS, "The same with the secret before, after a rotation.", always=False),
    )
    received = any_2xx()
    test_type = TEST

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence in the dialect's words; None for what a customer does not see happen."""
        said = _said(occurrence)
        if said is None:
            return None
        event_type, data = said
        body = Body(id=occurrence.id, type=event_type, created_at=iso_milliseconds(occurrence.happened_at), data=data)
        return Told(event_type=event_type, body=encode(body))

    def headers(self, sending: Sending) -> dict[str, str]:
        """Return id, time and signature; the secret in use signs first, and the one that it replaces besides."""
        timestamp = str(unix_seconds(sending.sent_at))
        signed = {
            name: signature(key.secret, timestamp, sending.body)
            for name, key in zip((SIGNATURE, SIGNATURE_PREVIOUS), sending.keys, strict=False)
        }
        return {
            "Content-Type": "application/json",
            WEBHOOK_ID: str(sending.subscription_id),
            TIMESTAMP: timestamp,
            **signed,
        }

    def check(self, captured: Captured, keys: Sequence[CheckingKey], now: datetime) -> str:
        """Return a sentence that says what was proved; raises SignatureInvalid."""
        secrets = keys_of(keys, KeyKind.HMAC_SHA256, "the webhook's secret (whsec_...)")
        signed_at = seconds_of(captured, TIMESTAMP)
        timestamp = header(captured, TIMESTAMP)
        given = {
            SIGNATURE: header(captured, SIGNATURE),
            SIGNATURE_PREVIOUS: optional_header(captured, SIGNATURE_PREVIOUS),
        }
        for name, found in given.items():
            for key in secrets:
                expected = signature(key.content, timestamp, captured.body)
                if found is not None and hmac.compare_digest(found.encode(), expected.encode()):
                    return f"{name} fits the body and the secret; {age(signed_at, now)}."
        raise SignatureInvalid(f"{SIGNATURE} does not fit: another secret, or the body or {TIMESTAMP} was altered.")


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the header's value: the HMAC, keyed with the secret's text, over time and raw body (contract 6.1)."""
    return _SCHEME + hmac.digest(secret, timestamp.encode("ascii") + b"." + body, "sha256").hex()


def _said(occurrence: Occurrence) -> tuple[str, Any] | None:
    if occurrence.order is not None:
        event_type = _order_event(occurrence)
        return None if event_type is None else (event_type, order_answer(occurrence.order))
    if occurrence.type == BALANCE_UPDATED and occurrence.account is not None:
        return BALANCE, _fiat_account(occurrence.account, occurrence.asset_scale)
    if occurrence.type == WEBHOOK_TEST and occurrence.detail is not None:
        return TEST, TestMessage(message=occurrence.detail["message"])
    return None


def _order_event(occurrence: Occurrence) -> str | None:
    """Return what a move is to the customer; None before its first confirm, and where nothing that it sees changed."""
    if all(kind != CONFIRMED for kind, _ in occurrence.before):
        return ORDER_CREATED if occurrence.type == CONFIRMED else None
    _, before = occurrence.before[-1]
    order = occurrence.order
    changed = order is not None and STATUSES[order.state] != STATUSES[before]
    return ORDER_UPDATED if changed or occurrence.type == REQUOTED else None


def _fiat_account(account: Account, scale: int) -> FiatAccount:
    return FiatAccount(
        id=str(account.id),
        account_name=account.label or "",
        currency=account.asset,
        balance=msgspec.Raw(print_units(account.balance, scale).encode("ascii")),
        status=account.status,
        iban=account.address,
    )
