"""Callbacks in the desk's own words, by Standard Webhooks 1.0.0: for the operator, and for tenants who ask for them.

Every type of the catalogue is told under its own name. An order is told as it was at that version: only what never
changes of it, and what the version fixed; nothing that is the desk's alone, as a tenant may be listening.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature

from otcdesk.api import conversion_shapes as conversions
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.event_types import BALANCE_UPDATED, CATALOGUE, WEBHOOK_TEST, Occurrence
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.money import print_units
from otcdesk.webhooks.checking import age, header, seconds_of, unix_seconds
from otcdesk.webhooks.envelope import (
    Captured,
    CheckingKey,
    KeyKind,
    Sending,
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


class Body(msgspec.Struct, kw_only=True):
    """What is posted: a type of the catalogue, when it happened, and what it is about."""

    type: str
    timestamp: str
    data: Any


class ToldOrder(conversions.OrderAnswer, kw_only=True):
    """The customer's order object, and whose it is, where the machine stands, and its version."""

    side: Literal["buy", "sell"]
    customerId: str  # noqa: N815  (wire name)
    product: str
    desk_state: str = msgspec.field(name="deskState")
    version: int
    sourceAccountId: str  # noqa: N815
    destinationAccountId: str  # noqa: N815
    updatedAt: str  # noqa: N815


class ToldAccount(msgspec.Struct, kw_only=True):
    """A cash account with its balance after the entry that `version` counts."""

    id: str
    customerId: str  # noqa: N815
    asset: str
    label: str | None
    status: str
    address: str | None
    balance: str
    version: int


class StandardCallbacks:
    """The envelope of Standard Webhooks; implements `Envelope`."""

    name = "standard"
    key_kinds: tuple[KeyKind, ...] = (KeyKind.HMAC_SHA256, KeyKind.ED25519)
    own_keys = True
    event_types = frozenset(CATALOGUE)
    balance_types = frozenset({BALANCE_UPDATED.name})
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
        return _told_order(occurrence.order)
    if occurrence.account is not None:
        return _told_account(occurrence.account, occurrence.asset_scale)
    return occurrence.detail or {}


def _told_order(order: Order) -> ToldOrder:
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
