"""Callbacks as their receivers meet them: fresh keys, signed messages, and what happened to an order as it is told."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID, uuid4

import jsonschema_rs
import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from otcdesk.actions.record_deposit import RecordDeposit
from otcdesk.domain import chain_payouts, checkouts, deposits, resales
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import ACCEPT, BROKERAGE, BY_ASSET, FAIL, FINISH, FirmQuote, Listing
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.conversions import CONFIRM, CONVERSIONS, MACHINES, moved
from otcdesk.domain.deposits import BankDetails
from otcdesk.domain.event_types import (
    BALANCE_UPDATED,
    CHAIN_PAYOUT_SETTLED,
    CHECKOUT_OPENED,
    DEPOSIT_SETTLED,
    ORDER_MOVES,
    PAYOUT_FAILED,
    PAYOUT_SETTLED,
    PAYOUT_SUBMITTED,
    RESALE_ACTIVATED,
    WEBHOOK_TEST,
    BrokerageFacts,
    CheckoutFacts,
    EventType,
    Occurrence,
    OutsideFacts,
    PayoutFacts,
    product_of,
)
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.payouts import PAYOUTS, Payment, PaymentMethod
from otcdesk.webhooks.envelope import Captured, CheckingKey, Envelope, KeyKind, Sending, SignatureInvalid, SigningKey
from otcdesk.webhooks.key_pairs import new_key, public_text
from tests.support import brokerage, estate, payouts
from tests.support import checkouts as hosted_checkouts
from tests.support import deposits as places
from tests.support.brokerage import brokerage_desk
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


def sending(
    body: bytes, *keys: SigningKey, at: datetime | None = None, url: str = URL, event_type: str = "a.type"
) -> Sending:
    """Return an attempt to send a body."""
    return Sending(
        subscription_id=uuid4(),
        event_id=f"evt_{uuid4().hex}2",
        event_type=event_type,
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


def assert_as_documented(envelope: Envelope, event_type: str, body: bytes) -> None:
    """Fail unless a body has the fields that are said to be in it, no others, and each looks as it is said to."""
    shape = envelope.messages[event_type].shape
    assert msgspec.json.encode(msgspec.json.decode(body, type=shape)) == body
    (schema,), components = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    strict = {name: {**component, "additionalProperties": False} for name, component in components.items()}
    jsonschema_rs.Draft202012Validator(
        {**schema, "$defs": strict}, validate_formats=True, formats={"decimal": _is_decimal}
    ).validate(msgspec.json.decode(body))


def _is_decimal(text: str) -> bool:
    try:
        return Decimal(text).is_finite() and "E" not in text.upper()
    except InvalidOperation:
        return False


# -- what happens ----------------------------------------------------------------------------------------------------


def story(side: str, *events: str) -> list[Occurrence]:
    """Return what is told of an order to which these events happen, one after another, a minute apart."""
    order = quoted(PureDesk(), side)
    told: list[Occurrence] = []
    before: tuple[tuple[EventType, str], ...] = ()
    for event in events:
        order = moved(order, event, order.updated_at + timedelta(minutes=1))
        kind = ORDER_MOVES[CONVERSIONS.event_name(event), order.state]
        told.append(of_order(order, kind, before))
        before = (*before, (kind, order.state))
    return told


def brokerage_story(side: str = BUY, reason: str | None = None) -> list[Occurrence]:
    """Return what is told of a quote that U accepts under ext-1, and that is carried out, or is not for a reason."""
    desk = brokerage_desk()
    order = brokerage.quoted(desk, side, "0.01", BY_ASSET).order
    orders = []
    desk.clock.advance(seconds=10)
    brokerage.accepted(desk, order)
    orders.append(desk.get(Order, order.id))
    desk.clock.advance(seconds=10)
    desk.act(brokerage.done(orders[0]) if reason is None else brokerage.refused(orders[0], reason), caller="venue")
    orders.append(desk.get(Order, order.id))
    quote = desk.get(FirmQuote, order.id)
    facts = BrokerageFacts(
        quote=quote,
        external_id="ext-1",
        listings=[desk.get(Listing, code) for code in (quote.asset, quote.fiat)],
        scales={code: desk.get(ListedAsset, code).scale for code in (quote.asset, quote.fiat)},
    )
    moves = (ACCEPT, FINISH if reason is None else FAIL)
    kinds = [ORDER_MOVES[BROKERAGE.event_name(move), one.state] for move, one in zip(moves, orders, strict=True)]
    return [
        msgspec.structs.replace(of_order(one, kind), brokerage=facts) for one, kind in zip(orders, kinds, strict=True)
    ]


def payout_story(reason: str | None = None, *, tenant: UUID = payouts.B1) -> list[Occurrence]:
    """Return what is told of a payout of 100 EUR that a tenant sells, and that is made, or is not for a reason."""
    desk = payouts.ramp_desk()
    orders = [payouts.pending(desk, tenant=tenant)]
    word = payouts.done(orders[0]) if reason is None else payouts.refused(orders[0], reason)
    orders.append(payouts.recorded(desk, word))
    payment = desk.get(Payment, orders[0].id)
    facts = PayoutFacts(
        payment=payment,
        method=desk.get(PaymentMethod, payment.method_id),
        party_external_id="cust-001",
        reference=None,
        lane_kind="sandbox",
        scales=_scales(desk, "USDC", "EUR"),
    )
    kinds = [PAYOUT_SUBMITTED, PAYOUT_SETTLED if reason is None else PAYOUT_FAILED]
    told = [of_order(order, kind) for order, kind in zip(orders, kinds, strict=True)]
    known = (facts, msgspec.structs.replace(facts, reference="rail-1" if reason is None else None))
    name = "user-b1" if tenant == payouts.B1 else "user-b2"
    return [
        msgspec.structs.replace(one, payout=facts, tenant_name=name) for one, facts in zip(told, known, strict=True)
    ]


def every_move() -> list[Occurrence]:
    """Return every move that orders of any product make, on each of its sides that is told apart, each for itself."""
    examples = {
        CONVERSIONS.product: story(BUY, CONFIRM)[:1],
        BROKERAGE.product: brokerage_story()[:1],
        PAYOUTS.product: payout_story()[:1],
        deposits.PRODUCT: [_bank_deposit(), _chain_deposit()],
        chain_payouts.PRODUCT: [_chain_payout()],
        resales.PRODUCT: [_resale()],
        checkouts.PRODUCT: [_checkout(side) for side in checkouts.CHECKOUTS.machines],
    }
    return [
        _as(example, kind, state) for (_, state), kind in ORDER_MOVES.items() for example in examples[product_of(kind)]
    ]


def _deposit(command: RecordDeposit) -> tuple[Order, OutsideFacts]:
    desk = payouts.ramp_desk()
    places.open_places(desk)
    recorded = places.deposited(desk, command)
    facts = OutsideFacts(
        deposit=recorded.deposit,
        bank=desk.get(BankDetails, places.BANK_NAME) if command.network is None else None,
        party_external_id="cust-001",
        lane_kind="sandbox",
        scales=_scales(desk, command.asset),
    )
    return recorded.order, facts


def _bank_deposit() -> Occurrence:
    order, facts = _deposit(places.transferring(reference="for the rent"))
    return msgspec.structs.replace(of_order(order, DEPOSIT_SETTLED), outside=facts, tenant_name="user-b1")


def _chain_deposit() -> Occurrence:
    order, facts = _deposit(places.arriving())
    return msgspec.structs.replace(of_order(order, DEPOSIT_SETTLED), outside=facts, tenant_name="user-b1")


def _chain_payout() -> Occurrence:
    desk = payouts.ramp_desk()
    order = payouts.pending(desk).with_(
        product=chain_payouts.PRODUCT, side=chain_payouts.SEND, destination_asset="USDC", destination_units=5
    )
    sending = ChainPayout(
        order_id=order.id, tenant_id=order.tenant_id, party_id=None, network=places.NETWORK, address=places.ADDRESS
    )
    facts = OutsideFacts(sending=sending, lane_kind="sandbox", scales=_scales(desk, "USDC"))
    return msgspec.structs.replace(of_order(order, CHAIN_PAYOUT_SETTLED), outside=facts, tenant_name="user-b1")


def _resale() -> Occurrence:
    return of_order(estate.listed(estate.estate_desk()), RESALE_ACTIVATED)


def _checkout(side: str) -> Occurrence:
    desk = payouts.ramp_desk()
    items = '[{"Description":"Rent","Quantity":"1","UnitAmount":"100.00","TotalAmount":"100.00"}]'
    told = hosted_checkouts.opened(desk, side, items=items)
    assert told.order is not None
    assert told.checkout is not None
    facts = CheckoutFacts(
        checkout=told.checkout,
        party_external_id="cust-001",
        lane_kind="sandbox",
        scales=_scales(desk, "USDC", "EUR"),
    )
    return msgspec.structs.replace(of_order(told.order, CHECKOUT_OPENED), checkout=facts, tenant_name="user-b1")


def _scales(desk: PureDesk, *codes: str) -> dict[str, int]:
    return {code: desk.get(ListedAsset, code).scale for code in codes}


def _as(occurrence: Occurrence, kind: EventType, state: str) -> Occurrence:
    assert occurrence.order is not None
    return msgspec.structs.replace(occurrence, type=kind, order=occurrence.order.with_(state=state))


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
