"""Callbacks as their receivers meet them: fresh keys, signed messages, and what happened to an order as it is told."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from otcdesk.domain.conversions import MACHINES, event_name, moved
from otcdesk.domain.event_types import BALANCE_UPDATED, ORDER_MOVES, WEBHOOK_TEST, EventType, Occurrence
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.webhooks.envelope import Captured, CheckingKey, Envelope, KeyKind, Sending, SignatureInvalid, SigningKey
from otcdesk.webhooks.key_pairs import new_key, public_text
from tests.support.conversions import quoted
from tests.support.desk import FA1, A
from tests.support.pure import PureDesk

URL = "https://hooks.example.com:8443/desk/in?for=acme&n=1"


def fresh(kind: KeyKind) -> SigningKey:
    """Return a new key that signs."""
    return SigningKey(id=uuid4(), kind=kind, secret=new_key(kind)[0])


def checking(key: SigningKey, *, named: bool = True) -> CheckingKey:
    """Return what a receiver has of a key."""
    content = key.secret
    if key.kind is not KeyKind.HMAC_SHA256:
        private = load_pem_private_key(key.secret, password=None)
        content = public_text(private.public_key()).encode()  # type: ignore[arg-type]
    return CheckingKey(kind=key.kind, content=content, id=str(key.id) if named else "")


def sending(body: bytes, *keys: SigningKey, at: datetime | None = None, url: str = URL) -> Sending:
    """Return an attempt to send a body."""
    return Sending(
        subscription_id=uuid4(),
        event_id=f"evt_{uuid4().hex}2",
        url=url,
        body=body,
        sent_at=at or datetime.now(UTC),
        keys=list(keys),
    )


def captured(envelope: Envelope, sent: Sending) -> Captured:
    """Return what arrives of an attempt."""
    headers = {name.lower(): value for name, value in envelope.headers(sent).items()}
    return Captured(method="POST", url=sent.url, headers=headers, body=sent.body)


def altered(message: Captured, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Captured:
    """Return a message as somebody on the way would have it."""
    return msgspec.structs.replace(
        message, headers={**message.headers, **(headers or {})}, body=message.body if body is None else body
    )


def without(message: Captured, *names: str) -> Captured:
    """Return a message that lost headers."""
    kept = {name: value for name, value in message.headers.items() if name not in names}
    return msgspec.structs.replace(message, headers=kept)


def accepts(envelope: Envelope, message: Captured, *keys: CheckingKey, now: datetime | None = None) -> bool:
    """Tell whether our own receiver's side takes a message."""
    try:
        envelope.check(message, keys, now or datetime.now(UTC))
    except SignatureInvalid:
        return False
    return True


def refusal(envelope: Envelope, message: Captured, *keys: CheckingKey, now: datetime | None = None) -> str:
    """Return the sentence with which our own receiver's side refuses a message."""
    try:
        proved = envelope.check(message, keys, now or datetime.now(UTC))
    except SignatureInvalid as invalid:
        return str(invalid)
    raise AssertionError(f"taken: {proved}")


def flipped(text: str) -> str:
    """Return a text of the same length with another last letter or digit but padding."""
    end = len(text.rstrip("=:")) - 2
    other = "A" if text[end] != "A" else "B"
    return text[:end] + other + text[end + 1 :]


# -- what happens ----------------------------------------------------------------------------------------------------


def story(side: str, *events: str) -> list[Occurrence]:
    """Return what is told of an order to which these events happen, one after another, a minute apart."""
    order = quoted(PureDesk(), side)
    told: list[Occurrence] = []
    before: tuple[tuple[EventType, str], ...] = ()
    for event in events:
        order = moved(order, event, order.updated_at + timedelta(minutes=1))
        kind = ORDER_MOVES[event_name(event), order.state]
        told.append(of_order(order, kind, before))
        before = (*before, (kind, order.state))
    return told


def of_order(order: Order, kind: EventType, before: tuple[tuple[EventType, str], ...] = ()) -> Occurrence:
    """Return what happened to an order."""
    return Occurrence(
        id=f"evt_{order.id.hex}{order.version:x}",
        type=kind,
        lane=1,
        tenant_id=order.tenant_id,
        subject_id=order.id,
        subject_version=order.version,
        happened_at=order.updated_at,
        order=order,
        before=before,
    )


def moves_of(side: str, *events: str) -> Iterator[tuple[str, str]]:
    """Yield the moves, (state, event), that a story makes."""
    machine = MACHINES[side]
    state = machine.start
    for event in events:
        yield state, event
        state = machine.move(state, event)


def balance_updated(units: int = 123_450, *, scale: int = 2) -> Occurrence:
    """Return an entry on A's cash account."""
    account = PureDesk().get(Account, FA1).with_(balance=units, version=7)
    return Occurrence(
        id=f"evt_{FA1.hex}7",
        type=BALANCE_UPDATED,
        lane=1,
        tenant_id=A,
        subject_id=FA1,
        subject_version=7,
        happened_at=datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
        account=account,
        asset_scale=scale,
    )


def about_webhook(kind: EventType = WEBHOOK_TEST) -> Occurrence:
    """Return what the desk says of a webhook itself."""
    subject = UUID("0190a1b2-0000-7000-8000-000000000000")
    return Occurrence(
        id=f"evt_{subject.hex}1",
        type=kind,
        lane=1,
        tenant_id=A,
        subject_id=subject,
        subject_version=1,
        happened_at=datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
        detail={"webhookId": str(uuid4()), "url": URL, "message": "This is a test message."},
    )
