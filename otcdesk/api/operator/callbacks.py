"""Callbacks in the desk's own words, by Standard Webhooks 1.0.0: for the operator, and for tenants who ask for them.

Every type of the catalogue is told under its own name. An order is told as it was at that version: only what never
changes of it, and what the version fixed; nothing that is the desk's alone, as a tenant may be listening.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Meta

from otcdesk.api import brokerage_shapes, payout_shapes
from otcdesk.api import conversion_shapes as conversions
from otcdesk.api.wire import DecimalText, TimeText, UuidText
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.brokerage import FAILED
from otcdesk.domain.brokerage import PRODUCT as BROKERAGE
from otcdesk.domain.conversions import PRODUCT as CONVERSION
from otcdesk.domain.event_types import (
    BALANCE_UPDATED,
    CATALOGUE,
    WEBHOOK_TEST,
    EventType,
    Occurrence,
    Subject,
    product_of,
)
from otcdesk.domain.ledger import ACTIVE, INACTIVE, Account
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FAILED as PAYOUT_FAILED
from otcdesk.domain.payouts import PRODUCT as PAYOUT
from otcdesk.money import print_units
from otcdesk.webhooks.checking import age, header, seconds_of, unix_seconds
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
    any_2xx,
    encode,
)
from otcdesk.webhooks.key_pairs import ed25519_private, ed25519_public, secret_bytes

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

_SYMMETRIC: Final = "v1"
_ASYMMETRIC: Final = "v1a"


_Data = TypeVar("_Data")


class Body(msgspec.Struct, Generic[_Data], kw_only=True):
    """What is posted: a type of the catalogue, when it happened, and what it is about."""

    type: Annotated[str, Meta(description="The event type.")]
    timestamp: Annotated[TimeText, Meta(description="When it happened; milliseconds, UTC.")]
    data: Annotated[_Data, Meta(description="What it is about.")]


class ToldOrder(conversions.OrderAnswer, kw_only=True):
    """The customer's order object, and whose it is, where the machine stands, and its version."""

    side: Annotated[Literal["buy", "sell"], Meta(description="Whether the customer buys or sells the token.")]
    customerId: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]  # noqa: N815  (wire name)
    product: Annotated[str, Meta(description="What kind of order it is.")]
    desk_state: Annotated[
        str,
        Meta(
            description="Where the desk's work on it stands; finer than the status.",
            extra_json_schema={"enum": list(conversions.STATUSES)},
        ),
    ] = msgspec.field(name="deskState")
    version: Annotated[int, Meta(description="Rises with everything that happens to the order: the highest is newest.")]
    sourceAccountId: Annotated[UuidText, Meta(description="What it takes from.")]  # noqa: N815
    destinationAccountId: Annotated[UuidText, Meta(description="What it pays to.")]  # noqa: N815
    updatedAt: Annotated[TimeText, Meta(description="When this happened to it; milliseconds, UTC.")]  # noqa: N815


class ToldBrokerage(brokerage_shapes.QuoteAnswer, kw_only=True):
    """A brokerage order with its quote, where it stands, and why it failed."""

    id: Annotated[UuidText, Meta(description="The order.")]
    status: Annotated[brokerage_shapes.Status, Meta(description="Where it stands.")]
    side: Annotated[Literal["buy", "sell"], Meta(description="Whether the user buys or sells the asset.")]
    customerId: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]  # noqa: N815  (wire name)
    product: Annotated[str, Meta(description="What kind of order it is.")]
    version: Annotated[int, Meta(description="Rises with everything that happens to the order: the highest is newest.")]
    externalId: Annotated[str | None, Meta(description="The tenant's own id for it; null before it is accepted.")]  # noqa: N815
    reason: Annotated[str | None, Meta(description="Why it failed; else null.")]
    createdAt: Annotated[TimeText, Meta(description="When it was quoted; milliseconds, UTC.")]  # noqa: N815
    expiresAt: Annotated[TimeText, Meta(description="Until when it could be accepted; milliseconds, UTC.")]  # noqa: N815
    updatedAt: Annotated[TimeText, Meta(description="When this happened to it; milliseconds, UTC.")]  # noqa: N815


class ToldPlainOrder(msgspec.Struct, kw_only=True):
    """An order of a product that has no words of its own here: what it is, whose, and where it stands."""

    id: Annotated[UuidText, Meta(description="The order.")]
    customerId: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]  # noqa: N815  (wire name)
    product: Annotated[str, Meta(description="What kind of order it is.")]
    side: Annotated[str, Meta(description="Which of the product's sides it is.")]
    state: Annotated[str, Meta(description="Where it stands.")]
    version: Annotated[int, Meta(description="Rises with everything that happens to the order: the highest is newest.")]
    sourceAsset: Annotated[str, Meta(description="What goes out.")]  # noqa: N815
    destinationAsset: Annotated[str, Meta(description="What comes in.")]  # noqa: N815
    reason: Annotated[str | None, Meta(description="Why it stands there, if that was said.")]
    createdAt: Annotated[TimeText, Meta(description="When it was made; milliseconds, UTC.")]  # noqa: N815
    updatedAt: Annotated[TimeText, Meta(description="When this happened to it; milliseconds, UTC.")]  # noqa: N815


class ToldPayout(payout_shapes.PaymentAnswer, kw_only=True):
    """A payout order: a payout, what came back of one, or a correction; where it stands, and why it failed."""

    id: Annotated[UuidText, Meta(description="The order.")]
    status: Annotated[payout_shapes.Status, Meta(description="Where it stands.")]
    side: Annotated[payout_shapes.Side, Meta(description="Whether the tenant's balance falls or rises by it.")]
    customerId: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]  # noqa: N815  (wire name)
    product: Annotated[str, Meta(description="What kind of order it is.")]
    version: Annotated[int, Meta(description="Rises with everything that happens to the order: the highest is newest.")]
    reason: Annotated[str | None, Meta(description="Why it failed; else null.")]
    createdAt: Annotated[TimeText, Meta(description="When it was sold; milliseconds, UTC.")]  # noqa: N815
    updatedAt: Annotated[TimeText, Meta(description="When this happened to it; milliseconds, UTC.")]  # noqa: N815


class ToldAccount(msgspec.Struct, kw_only=True):
    """A cash account with its balance after the entry that `version` counts."""

    id: Annotated[UuidText, Meta(description="The account.")]
    customerId: Annotated[UuidText, Meta(description="Whose it is: a tenant.")]  # noqa: N815  (wire name)
    asset: Annotated[str, Meta(description="Which currency it holds.")]
    label: Annotated[str | None, Meta(description="What its owner calls it; null without a name.")]
    status: Annotated[str, Meta(description="Whether it may be used.", extra_json_schema={"enum": [ACTIVE, INACTIVE]})]
    address: Annotated[str | None, Meta(description="Its IBAN; null without one.")]
    balance: Annotated[DecimalText, Meta(description="What is on it, with all decimals of the asset; may be negative.")]
    version: Annotated[int, Meta(description="Counts the account's entries: the highest is newest.")]


class ToldWebhook(msgspec.Struct, kw_only=True):
    """A webhook, and what the desk has to say of it."""

    webhookId: Annotated[UuidText, Meta(description="The webhook.")]  # noqa: N815
    url: Annotated[str, Meta(description="Where it is posted to.", extra_json_schema={"format": "uri"})]
    message: Annotated[str, Meta(description="A sentence for people: why it was switched off, or that it is a test.")]


#: What is posted of each kind of subject but orders, and of the orders of each product.
_SHAPES: Final[Mapping[Subject, type[msgspec.Struct]]] = {
    Subject.ACCOUNT: Body[ToldAccount],
    Subject.SUBSCRIPTION: Body[ToldWebhook],
}
_ORDER_SHAPES: Final[Mapping[str, type[msgspec.Struct]]] = {
    CONVERSION: Body[ToldOrder],
    BROKERAGE: Body[ToldBrokerage],
    PAYOUT: Body[ToldPayout],
}


def _shape_of(kind: EventType) -> type[msgspec.Struct]:
    if kind.subject is Subject.ORDER:
        return _ORDER_SHAPES.get(product_of(kind), Body[ToldPlainOrder])
    return _SHAPES[kind.subject]


class StandardCallbacks:
    """The envelope of Standard Webhooks; implements `Envelope`."""

    name = "standard"
    key_kinds: tuple[KeyKind, ...] = (KeyKind.HMAC_SHA256, KeyKind.ED25519)
    own_keys = True
    event_types = frozenset(CATALOGUE)
    balance_types = frozenset({BALANCE_UPDATED.name})
    messages: Mapping[str, MessageKind] = {
        kind.name: MessageKind(_shape_of(kind), kind.meaning) for kind in CATALOGUE.values()
    }
    sent_headers: tuple[SentHeader, ...] = (
        SentHeader(ID, "The event's id, equal however often it is sent."),
        SentHeader(TIMESTAMP, "When this attempt was made; Unix seconds."),
        SentHeader(SIGNATURE, "`v1,` or `v1a,` and base64, over id, time and body; one for each key, after a space."),
    )
    received = any_2xx()
    test_type = WEBHOOK_TEST.name

    def told(self, occurrence: Occurrence) -> Told | None:
        """Say an occurrence under its own name."""
        name = occurrence.type.name
        body = Body(type=name, timestamp=iso_milliseconds(occurrence.happened_at), data=_data(occurrence))
        return Told(event_type=name, body=encode(body))

    def headers(self, sending: Sending) -> dict[str, str]:
        """Return id, time and one signature for each key, the one in use first."""
        timestamp = str(unix_seconds(sending.sent_at))
        content = _signed_content(sending.event_id, timestamp, sending.body)
        return {
            "Content-Type": "application/json",
            ID: sending.event_id,
            TIMESTAMP: timestamp,
            SIGNATURE: " ".join(_signature(key, content) for key in sending.keys),
        }

    def check(self, captured: Captured, keys: Sequence[CheckingKey], now: datetime) -> str:
        """Return a sentence that says what was proved; raises SignatureInvalid."""
        signed_at = seconds_of(captured, TIMESTAMP)
        content = _signed_content(header(captured, ID), header(captured, TIMESTAMP), captured.body)
        given = [each.partition(",") for each in header(captured, SIGNATURE).split(" ")]
        versions = {version for version, _, _ in given} & {_SYMMETRIC, _ASYMMETRIC}
        if not versions:
            raise SignatureInvalid(f"The header {SIGNATURE} has no signature of the versions v1 and v1a.")
        if not any(key.kind is _KINDS[version] for key in keys for version in versions):
            needed = " or ".join(_NEEDED[version] for version in sorted(versions))
            raise SignatureInvalid(f"It is checked with {needed}, which was not given.")
        for version, _, text in given:
            if version in versions and _fits(version, text, content, keys):
                return f"A signature {version} fits id, time, body and key; {age(signed_at, now)}."
        raise SignatureInvalid(f"{SIGNATURE} does not fit: another key, or {ID}, {TIMESTAMP} or the body was altered.")


_KINDS: Final = {_SYMMETRIC: KeyKind.HMAC_SHA256, _ASYMMETRIC: KeyKind.ED25519}
_NEEDED: Final = {_SYMMETRIC: "the webhook's secret (whsec_...)", _ASYMMETRIC: "the webhook's public key (whpk_...)"}


def _signed_content(event_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{event_id}.{timestamp}.".encode() + body


def _hmac(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret_bytes(secret), content, "sha256")


def _signature(key: SigningKey, content: bytes) -> str:
    if key.kind is KeyKind.ED25519:
        return f"{_ASYMMETRIC},{b64encode(ed25519_private(key.secret).sign(content)).decode('ascii')}"
    return f"{_SYMMETRIC},{b64encode(_hmac(key.secret, content)).decode('ascii')}"


def _fits(version: str, text: str, content: bytes, keys: Sequence[CheckingKey]) -> bool:
    try:
        signature = b64decode(text, validate=True)
    except ValueError:
        return False
    if version == _SYMMETRIC:
        secrets = [key.content for key in keys if key.kind is KeyKind.HMAC_SHA256]
        return any(hmac.compare_digest(signature, _hmac(secret, content)) for secret in secrets)
    return any(_verifies(key, signature, content) for key in keys if key.kind is KeyKind.ED25519)


def _verifies(key: CheckingKey, signature: bytes, content: bytes) -> bool:
    try:
        ed25519_public(key.content).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _data(occurrence: Occurrence) -> Any:
    if occurrence.order is not None:
        return _TOLD_ORDERS.get(occurrence.order.product, _told_plain)(occurrence, occurrence.order)
    if occurrence.account is not None:
        return _told_account(occurrence.account, occurrence.asset_scale)
    return msgspec.convert(occurrence.detail, ToldWebhook)


def _told_order(occurrence: Occurrence, order: Order) -> ToldOrder:  # noqa: ARG001  (all that is told is the order)
    return ToldOrder(
        **msgspec.structs.asdict(conversions.order_answer(order)),
        side=order.side,  # type: ignore[arg-type]
        customerId=str(order.tenant_id),
        product=order.product,
        desk_state=order.state,
        version=order.version,
        sourceAccountId=str(order.source_account_id),
        destinationAccountId=str(order.destination_account_id),
        updatedAt=iso_milliseconds(order.updated_at),
    )


def _told_brokerage(occurrence: Occurrence, order: Order) -> ToldBrokerage:
    facts = occurrence.brokerage
    if facts is None:
        raise AssertionError(f"order {order.id} has no quote")
    return ToldBrokerage(
        **msgspec.structs.asdict(brokerage_shapes.quote_answer(facts.quote, facts.scales)),
        id=str(order.id),
        status=brokerage_shapes.STATUSES[order.state],  # type: ignore[arg-type]
        side=order.side,  # type: ignore[arg-type]
        customerId=str(order.tenant_id),
        product=order.product,
        version=order.version,
        externalId=facts.external_id,
        reason=order.reason if order.state == FAILED else None,
        createdAt=iso_milliseconds(order.created_at),
        expiresAt=iso_milliseconds(order.expires_at),
        updatedAt=iso_milliseconds(order.updated_at),
    )


def _told_payout(occurrence: Occurrence, order: Order) -> ToldPayout:
    facts = occurrence.payout
    if facts is None:
        raise AssertionError(f"order {order.id} has no payment")
    return ToldPayout(
        **payout_shapes.payment_fields(order, facts.payment, facts.scales),
        id=str(order.id),
        status=order.state,  # type: ignore[arg-type]
        side=order.side,  # type: ignore[arg-type]
        customerId=str(order.tenant_id),
        product=order.product,
        version=order.version,
        reason=order.reason if order.state == PAYOUT_FAILED else None,
        createdAt=iso_milliseconds(order.created_at),
        updatedAt=iso_milliseconds(order.updated_at),
    )


def _told_plain(occurrence: Occurrence, order: Order) -> ToldPlainOrder:  # noqa: ARG001  (the order is all)
    return ToldPlainOrder(
        id=str(order.id),
        customerId=str(order.tenant_id),
        product=order.product,
        side=order.side,
        state=order.state,
        version=order.version,
        sourceAsset=order.source_asset,
        destinationAsset=order.destination_asset,
        reason=order.reason,
        createdAt=iso_milliseconds(order.created_at),
        updatedAt=iso_milliseconds(order.updated_at),
    )


#: How the orders of each product are told that has words of its own here.
_TOLD_ORDERS: Final[Mapping[str, Callable[[Occurrence, Order], msgspec.Struct]]] = {
    CONVERSION: _told_order,
    BROKERAGE: _told_brokerage,
    PAYOUT: _told_payout,
}


def _told_account(account: Account, scale: int) -> ToldAccount:
    return ToldAccount(
        id=str(account.id),
        customerId=str(account.owner_id),
        asset=account.asset,
        label=account.label,
        status=account.status,
        address=account.address,
        balance=print_units(account.balance, scale),
        version=account.version,
    )
