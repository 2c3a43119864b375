"""Let what was paid in complete the checkout that it was paid for: in the batch that settles the deposit, or later.

What has arrived in time is counted at once and for good. Fiat also buys the asset, each deposit once and as a whole;
what cannot be bought for at the moment, for want of a price or of the asset, is kept with what the checkout waits for,
and tried again with its next deposit and by a worker. A checkout is settled once all that is due has arrived and
nothing of it waits to be bought for.
"""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from otcdesk.actions.buy_for_deposit import purchase, purchase_wants
from otcdesk.actions.limit_checks import want_limits
from otcdesk.domain.checkouts import (
    CHECKOUTS,
    FAIL,
    FIAT_IN,
    PAY,
    SETTLE,
    UNBOUGHT_MAX,
    AwaitedPayment,
    Checkout,
    event_of,
    moved,
    place_of,
    references_in,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.deposits import Deposit, purchase_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PURCHASE, Payment
from otcdesk.domain.rules import BuyAction
from otcdesk.errors import Code, Refusal

N = TypeVar("N", bound=Noun)

#: The deposit's own verb takes the ids of its moment before this one; each purchase takes one.
_FIRST_ID = 2

#: With one deposit at most so many that wait are bought for, the oldest first: who pays must not wait for all of them.
_BOUGHT_AT_ONCE = 16

#: A worker's command buys for at most so many.
PURCHASES_MAX = 64

#: What is told of a checkout whose payment came in parts each of which was too small to buy anything.
BUYS_NOTHING = "what arrived buys nothing"


class SettleCheckouts(Command, frozen=True, kw_only=True):
    """Try again to buy for what has arrived at these places, as a worker found them."""

    places: list[str]


class CheckoutsSettled(Reply, frozen=True, kw_only=True):
    """How many deposits were bought for, or found to buy nothing."""

    bought: int


def settle_checkouts(command: SettleCheckouts, books: Books, moment: Moment) -> CheckoutsSettled:
    """Buy for what waits at these places, as far as one command goes; refuses nothing, what cannot be bought waits on.

    Each place has the same share of it, so that none that cannot be bought for keeps another one waiting. Money for a
    checkout that has expired before all of it arrived is the tenant's, as it is.
    """
    places = dict.fromkeys(command.places[:PURCHASES_MAX])
    books.want(*[(AwaitedPayment, place) for place in places])
    rows = [row for place in places if (row := books.find(AwaitedPayment, place)) is not None]
    books.want(*[key for row in rows for key in _row_wants(row)])
    checkouts = [(_found(books, Order, row.order_id), _found(books, Checkout, row.order_id)) for row in rows]
    want_limits(books, [(order.tenant_id, terms.party_id, order.source_asset) for order, terms in checkouts])
    share = PURCHASES_MAX // max(len(rows), 1)
    tried = [
        (paid, terms) for row, (_, terms) in zip(rows, checkouts, strict=True) for paid in row.unbought_ids[:share]
    ]
    _want_purchases(books, tried)
    bought = 0
    for number, row in enumerate(rows):
        now = CHECKOUTS.by_the_clock(_found(books, Order, row.order_id), moment.arrived_at)
        if row.unbought_ids and CHECKOUTS.allows(now, SETTLE):
            after = _bought(books, moment, row, now, number * share, share)
            bought += len(row.unbought_ids) - len(after.unbought_ids)
            if after != row:
                _gone_on(books, moment, after, now, None)
    return CheckoutsSettled(bought=bought)


def settle_checkout_by_deposit(books: Books, moment: Moment, deposit: Deposit, order: Order) -> None:
    """Count a deposit that has settled, and complete its checkout once enough has arrived and is bought for.

    `order` is the deposit's. It names the checkout by the address that it came to, or by the reference that the sender
    wrote in a transfer to the checkout's own bank details. Money for nothing that we know, of another asset, at a place
    of a rule's, that a rule has spent, or for a checkout that is over, stays the tenant's.
    """
    if deposit.rule_id is not None:
        return
    found = _awaited(books, moment, deposit, order)
    if found is None:
        return
    awaited, now = found
    arrived = awaited.with_(arrived_units=awaited.arrived_units + order.source_units)
    if now.side != FIAT_IN:
        after = arrived.with_(brought_units=awaited.brought_units + order.destination_units, rate=order.rate)
    elif books.find(Order, purchase_id(order.id)) is not None:
        return
    else:
        waits = arrived.with_(unbought_ids=(*awaited.unbought_ids, order.id))
        after = _bought(books, moment, waits, now, 0, _BOUGHT_AT_ONCE)
    _gone_on(books, moment, after, now, str(deposit.order_id))


def _gone_on(books: Books, moment: Moment, awaited: AwaitedPayment, order: Order, detail: str | None) -> None:
    """Keep what has arrived, and end the checkout if it can be; one that is paid waits for its purchases for ever."""
    books.put(awaited)
    if awaited.arrived_units < awaited.due_units:
        return
    if awaited.unbought_ids:
        if order.due_at is None:
            return
        event, after = PAY, moved(order, PAY, moment.now)
    elif awaited.brought_units == 0:
        event, after = FAIL, moved(order, FAIL, moment.now, reason=BUYS_NOTHING)
    else:
        rate = awaited.rate or order.rate
        event, after = SETTLE, moved(order, SETTLE, moment.now, destination_units=awaited.brought_units, rate=rate)
    books.put(after)
    books.add(event_of(after, event, moment.caller, detail))


def _bought(
    books: Books, moment: Moment, awaited: AwaitedPayment, order: Order, first: int, most: int
) -> AwaitedPayment:
    """Buy for the oldest of what waits, at the price of the moment; the row is returned as it is then, and not put.

    What is too small to buy anything has bought nothing: it is counted as paid, and stays the tenant's fiat. What
    cannot be bought for now waits on, `UNBOUGHT_MAX` deposits at most.
    """
    terms = _found(books, Checkout, order.id)
    action = _buying(terms)
    tried, later = awaited.unbought_ids[:most], awaited.unbought_ids[most:]
    _want_purchases(books, [(deposit_id, terms) for deposit_id in tried])
    deposits = [_found(books, Order, deposit_id) for deposit_id in tried]
    waits: list[UUID] = []
    for number, paid in enumerate(deposits, start=first):
        facts = Payment(
            order_id=purchase_id(paid.id),
            tenant_id=paid.tenant_id,
            kind=PURCHASE,
            asset=terms.asset,
            party_id=terms.party_id,
            external_id=terms.external_id,
            checkout_id=order.id,
        )
        try:
            made = purchase(books, moment, action, paid, facts, _FIRST_ID + number)
        except Refusal as refusal:  # before anything was written, as of every verb
            if refusal.code is not Code.AMOUNT_TOO_SMALL:
                waits.append(paid.id)
            continue
        awaited = awaited.with_(brought_units=awaited.brought_units + made.destination_units, rate=made.rate)
    return awaited.with_(unbought_ids=(*waits, *later)[:UNBOUGHT_MAX])


def _want_purchases(books: Books, tried: Sequence[tuple[UUID, Checkout]]) -> None:
    """Name at once what the purchases for all these deposits find, however many checkouts they are for."""
    books.want(*[(Order, deposit_id) for deposit_id, _ in tried])
    paid = [(_found(books, Order, deposit_id), _buying(terms)) for deposit_id, terms in tried]
    books.want(*[key for order, action in paid for key in purchase_wants(order, action)])


def _buying(terms: Checkout) -> BuyAction:
    return BuyAction(asset=terms.asset, network="", address="", spread_bps=terms.spread_bps, fee_bps=terms.fee_bps)


def _awaited(books: Books, moment: Moment, deposit: Deposit, order: Order) -> tuple[AwaitedPayment, Order] | None:
    """Return what a deposit is for and its checkout, as the clock has that: the first named one that waits for it."""
    places = _places(deposit)
    books.want(*[(AwaitedPayment, place) for place in places])
    rows = [row for place in places if (row := books.find(AwaitedPayment, place)) is not None]
    books.want(*[key for row in rows for key in _row_wants(row)])
    for row in rows:
        checkout, terms = _found(books, Order, row.order_id), _found(books, Checkout, row.order_id)
        now = CHECKOUTS.by_the_clock(checkout, moment.arrived_at)
        told = (checkout.tenant_id, checkout.source_asset, terms.method)
        if told == (deposit.tenant_id, order.source_asset, deposit.method) and CHECKOUTS.allows(now, SETTLE):
            return row, now
    return None


def _row_wants(row: AwaitedPayment) -> Sequence[tuple[type[Noun], UUID]]:
    return (Order, row.order_id), (Checkout, row.order_id)


def _found(books: Books, noun: type[N], key: UUID) -> N:
    row = books.find(noun, key)
    if row is None:
        raise AssertionError(f"there is no {noun.__name__} {key}")
    return row


def _places(deposit: Deposit) -> Sequence[str]:
    if deposit.address is not None:
        return (place_of(deposit.network or "", deposit.address),)
    return references_in(deposit.reference or "")
