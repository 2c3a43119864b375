"""Sell for a prepared payout: fix its price, reserve what it takes on both sides, and let it wait for its rail.

The tenant's nonce is the idempotency key: the same one again is told what has become of the payout by then.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from otcdesk.actions.booking import account, place_hold
from otcdesk.actions.limit_checks import check_and_count
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.payout_checks import (
    Priced,
    arriving,
    check_limits,
    check_permitted,
    found_channel,
    priced_payout,
    treasury_id,
)
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import OUTSIDE, Account, desk_account_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import (
    HOLD,
    PAYOUT,
    PAYOUT_ORDER,
    PRODUCT,
    SETTLED,
    SUBMIT,
    Channel,
    Payment,
    PaymentMethod,
    PreparedPayout,
    Surcharge,
    current_id,
    event_of,
    moved,
    rail_reference,
)
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import PAID_BY_DESK, Amount, units_of

#: What is told of a payout that is held as soon as it is sold.
FOR_REVIEW = "for review"


class _Holds(NamedTuple):
    """What is reserved: the asset that is collected, and the fiat that is paid, its fees included."""

    pay_id: UUID
    collect_id: UUID
    pay_units: int


class SellPayout(Command, frozen=True, kw_only=True):
    """Sell as much of an asset as it takes that `arrives` of the fiat arrives, but no more than `ceiling`.

    Numbers are plain, so that the same number is the same command however it was written.
    """

    prepared_id: UUID
    asset: str
    arrives: Decimal
    ceiling: Decimal
    external_id: str | None = None


class PayoutSold(Reply, frozen=True, kw_only=True):
    """The order, and what it is about, as they are now; only the order's id is kept with the key.

    `reference` is what its rail calls a payout that is settled.
    """

    order_id: UUID
    order: Order | None = None
    payment: Payment | None = None
    method: PaymentMethod | None = None
    party: Party | None = None
    reference: str | None = None

    @property
    def remembered(self) -> "PayoutSold":
        """Return what is kept with the key."""
        return PayoutSold(order_id=self.order_id)


def sell_payout(command: SellPayout, books: Books, moment: Moment) -> PayoutSold:
    """Sell for a payout that was prepared and is not sold yet.

    Refuses, in this order: PAYOUT_NOT_PREPARED, PREPARED_ASSET_DIFFERS, AMOUNT_TOO_FINE, PREPARED_AMOUNT_DIFFERS,
    PREPARED_PAYOUT_USED, PARTY_UNVERIFIED, PARTY_INACTIVE, CHANNEL_CLOSED, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE,
    PRICE_UNAVAILABLE, CEILING_EXCEEDED, PAYOUT_NOT_COVERED, TREASURY_INSUFFICIENT (ramp contract 3.1, 5.2, 5.3),
    LIMIT_EXCEEDED.
    """
    prepared = books.find(PreparedPayout, command.prepared_id)
    if prepared is None or prepared.tenant_id != moment.owner_id or moment.arrived_at >= prepared.expires_at:
        raise Refusal(Code.PAYOUT_NOT_PREPARED)
    books.want(*sell_wants(prepared))
    if command.asset != prepared.asset:
        raise Refusal(Code.PREPARED_ASSET_DIFFERS)
    if arriving(books, prepared.fiat, command.arrives).units != prepared.fiat_units:
        raise Refusal(Code.PREPARED_AMOUNT_DIFFERS)
    if prepared.order_id is not None:
        raise Refusal(Code.PREPARED_PAYOUT_USED)
    facts = Payment(
        order_id=moment.command_id,
        tenant_id=moment.owner_id,
        kind=PAYOUT,
        asset=prepared.asset,
        ceiling=command.ceiling,
        external_id=command.external_id,
    )
    order = sell_prepared(books, moment, prepared, facts)
    books.put(prepared.with_(order_id=order.id))
    return sold(books, order.id)


def sold_before(command: SellPayout, first: PayoutSold, books: Books, moment: Moment) -> PayoutSold:
    """Answer a nonce that was used before with what has become of its payout."""
    del command, moment
    return sold(books, first.order_id)


def sold(books: Books, order_id: UUID) -> PayoutSold:
    """Return an order of this product with everything that is told of it."""
    books.want((Order, order_id), (Payment, order_id))
    order, payment = books.find(Order, order_id), books.find(Payment, order_id)
    if order is None or payment is None:
        raise AssertionError(f"the payout {order_id} is not there")
    settled = (order.id, order.version) if order.state == SETTLED else None
    books.want((PaymentMethod, payment.method_id), (Party, payment.party_id), (Event, settled))
    event = books.find(Event, settled) if settled else None
    return PayoutSold(
        order_id=order_id,
        order=order,
        payment=payment,
        method=books.find(PaymentMethod, payment.method_id) if payment.method_id else None,
        party=books.find(Party, payment.party_id) if payment.party_id else None,
        reference=event.detail if event else None,
    )


def sell_prepared(books: Books, moment: Moment, prepared: PreparedPayout, facts: Payment, first_id: int = 1) -> Order:
    """Sell for a prepared payout, whoever asks for it; `facts` say what is not in it, the ceiling among them.

    Takes two of the command's own ids, from `first_id`. Refuses from PARTY_UNVERIFIED on, as `sell_payout` does.
    """
    books.want(*sell_wants(prepared))
    channel = found_channel(books, prepared.channel_id)
    check_permitted(books, channel, prepared.party_id)
    arrives = amount_of(books, prepared.fiat, prepared.fiat_units)
    check_limits(channel, arrives)
    asset = amount_of(books, prepared.asset, 0).asset
    priced = priced_payout(books, moment, channel, arrives, asset, prepared.party_id)
    if facts.ceiling is not None and _exceeds(priced.cost.asset, facts.ceiling):
        raise Refusal(Code.CEILING_EXCEEDED)
    source = books.find(Account, current_id(prepared.tenant_id, prepared.asset))
    if source is None or not source.covers(priced.cost.asset.units):
        raise Refusal(Code.PAYOUT_NOT_COVERED)
    treasury = books.find(Account, treasury_id(prepared.fiat))
    leaves = arrives + priced.cost.fees
    if treasury is None or not treasury.covers(leaves.units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    order = _order(moment, prepared, facts, priced)
    check_and_count(books, moment, order, party_id=prepared.party_id)
    holds = _Holds(moment.new_id(first_id), moment.new_id(first_id + 1), leaves.units)
    return _written(books, moment, order, _payment(facts, prepared, priced), channel, holds)


def sell_wants(prepared: PreparedPayout) -> Iterator[tuple[type[Noun], Any]]:
    """Name the rows that a sale for a prepared payout finds."""
    yield Channel, prepared.channel_id
    yield ListedAsset, prepared.asset
    yield ListedAsset, prepared.fiat
    yield Price, (prepared.asset, prepared.fiat)
    yield Account, current_id(prepared.tenant_id, prepared.asset)
    yield Account, treasury_id(prepared.fiat)
    yield PaymentMethod, prepared.method_id
    yield Party, prepared.party_id
    yield Surcharge, prepared.tenant_id


def _exceeds(cost: Amount, ceiling: Decimal) -> bool:
    """Tell whether a cost is above a ceiling, which may be finer than the asset; the same is not."""
    return cost.units > (units_of(ceiling, cost.asset.scale, PAID_BY_DESK) or 0)


def _written(books: Books, moment: Moment, order: Order, payment: Payment, channel: Channel, holds: _Holds) -> Order:
    waits = moved(order, SUBMIT, moment.now, waits_for=channel.rail, confirmed_at=moment.now)
    books.add(event_of(waits, SUBMIT, moment.caller))
    if channel.review_from_units is not None and payment.fiat_units >= channel.review_from_units:
        waits = moved(waits, HOLD, moment.now)
        books.add(event_of(waits, HOLD, moment.caller, FOR_REVIEW))
    order = waits.with_(
        pay_hold_id=holds.pay_id, collect_hold_id=holds.collect_id, rail_reference=rail_reference(order.id)
    )
    books.add(order)
    books.add(payment)
    source, treasury = account(books, order.source_account_id), account(books, treasury_id(channel.fiat))
    place_hold(books, moment, source, order.source_units, hold_id=holds.collect_id, order_id=order.id)
    place_hold(books, moment, treasury, holds.pay_units, hold_id=holds.pay_id, order_id=order.id)
    return order


def _payment(facts: Payment, prepared: PreparedPayout, priced: Priced) -> Payment:
    return facts.with_(
        fiat=prepared.fiat,
        fiat_units=prepared.fiat_units,
        fee_units=priced.cost.fee.units,
        surcharge_units=priced.cost.surcharge.units,
        rate=priced.rate,
        party_id=prepared.party_id,
        channel_id=prepared.channel_id,
        method_id=prepared.method_id,
        prepared_id=prepared.id,
    )


def _order(moment: Moment, prepared: PreparedPayout, facts: Payment, priced: Priced) -> Order:
    return Order(
        id=facts.order_id,
        tenant_id=prepared.tenant_id,
        product=PRODUCT,
        side=SELL,
        state=PAYOUT_ORDER.start,
        version=1,
        source_account_id=current_id(prepared.tenant_id, prepared.asset),
        source_asset=prepared.asset,
        source_units=priced.cost.asset.units,
        destination_account_id=desk_account_id(OUTSIDE, prepared.fiat),
        destination_asset=prepared.fiat,
        destination_units=prepared.fiat_units,
        rate=priced.rate,
        quoted_rate=prepared.rate,
        quoted_by=moment.caller,
        quoted_at=prepared.prepared_at,
        market_rate=priced.market.value,
        market_source=priced.market.source,
        market_at=priced.market.at,
        ttl_seconds=int((prepared.expires_at - prepared.prepared_at).total_seconds()),
        expires_at=prepared.expires_at,
        created_at=moment.now,
        updated_at=moment.now,
    )
