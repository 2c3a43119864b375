"""Let what was paid in complete the checkout that it was paid for, in the batch that settles the deposit."""

from otcdesk.actions.buy_for_deposit import purchase
from otcdesk.domain.checkouts import (
    CHECKOUTS,
    FIAT_IN,
    SETTLE,
    AwaitedPayment,
    Checkout,
    event_of,
    moved,
    place_of,
    reference_in,
)
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.deposits import Deposit
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PURCHASE, Payment
from otcdesk.domain.rules import BuyAction
from otcdesk.errors import Refusal

#: The deposit's own verb takes the ids of its moment before this one.
_FIRST_ID = 2


def settle_checkout_by_deposit(books: Books, moment: Moment, deposit: Deposit, order: Order) -> None:
    """Count a deposit that has settled, and complete its checkout once enough has arrived.

    `order` is the deposit's. It names the checkout by the address that it came to, or by the reference that the sender
    wrote. Money for nothing that we know, of another asset, or for a checkout that is over, stays the tenant's.
    """
    place = _place(deposit)
    awaited = books.find(AwaitedPayment, place) if place is not None else None
    if awaited is None:
        return
    checkout = books.find(Order, awaited.order_id)
    if checkout is None or checkout.tenant_id != deposit.tenant_id or checkout.source_asset != order.source_asset:
        return
    now = CHECKOUTS.by_the_clock(checkout, moment.arrived_at)
    if not CHECKOUTS.allows(now, SETTLE):
        return
    try:
        brought = _bought(books, moment, deposit, order, now) if now.side == FIAT_IN else order
    except Refusal:  # before anything was written: the tenant has the fiat, and the checkout waits until it expires
        return
    arrived = awaited.with_(
        arrived_units=awaited.arrived_units + order.source_units,
        brought_units=awaited.brought_units + brought.destination_units,
    )
    books.put(arrived)
    if arrived.arrived_units < arrived.due_units:
        return
    after = moved(now, SETTLE, moment.now, destination_units=arrived.brought_units, rate=brought.rate)
    books.put(after)
    books.add(event_of(after, SETTLE, moment.caller, str(deposit.order_id)))


def _bought(books: Books, moment: Moment, deposit: Deposit, order: Order, checkout: Order) -> Order:
    """Buy the asset for what has arrived, at the price of the moment; refuses as `purchase` does."""
    terms = books.find(Checkout, checkout.id)
    if terms is None:
        raise AssertionError(f"order {checkout.id} has no checkout")
    action = BuyAction(asset=terms.asset, network="", address="", spread_bps=terms.spread_bps, fee_bps=terms.fee_bps)
    facts = Payment(
        order_id=moment.new_id(_FIRST_ID),
        tenant_id=deposit.tenant_id,
        kind=PURCHASE,
        asset=terms.asset,
        party_id=terms.party_id,
        external_id=terms.external_id,
        checkout_id=checkout.id,
    )
    return purchase(books, moment, action, order, facts, _FIRST_ID)


def _place(deposit: Deposit) -> str | None:
    if deposit.address is not None:
        return place_of(deposit.network or "", deposit.address)
    return reference_in(deposit.reference or "")
