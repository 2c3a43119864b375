"""What a purchase's job brings about: everything changes hands in one ledger transaction, or is given back."""

from uuid import UUID

from otcdesk.actions.booking import account, capture_hold, own_account, place_hold, release_hold
from otcdesk.actions.end_resale import escrow_account, give_back_on_chain
from otcdesk.actions.order_checks import amount_of, order_by_the_clock
from otcdesk.actions.resale_checks import currency_of, party_account_id, resale_of, worth
from otcdesk.actions.settle_resale import Sale, settle
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import HOLDING
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import Account, Hold, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FEE_INCOME
from otcdesk.domain.resales import (
    ACTIVE,
    COMPLETE,
    FAIL,
    FEES,
    FUNDS,
    RESALES,
    TAKE,
    UNSOLD,
    Currency,
    Proceeds,
    Purchase,
    Resale,
    branch_account_id,
    event_of,
    moved,
)


def purchase_settled(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """Carry out a purchase whose money the chain has carried; a listing of which nothing is left is completed.

    Never refuses: what it takes was held from the start.
    """
    del job
    purchase, currency = _about(books, order)
    money, asset = currency.asset, order.destination_asset
    gives_id, paid_id = _sides(books, purchase, money, asset)
    books.want(
        (ListedAsset, money),
        (Account, order.destination_account_id),
        (Account, branch_account_id(purchase.branch_id, FEES, money)),
        (Account, desk_account_id(FEE_INCOME, money)),
    )
    for hold_id in (order.pay_hold_id, order.collect_hold_id):
        if hold_id is not None:
            capture_hold(books, moment, hold_id)
    after = moved(order, COMPLETE, moment.now, pay_hold_id=None, collect_hold_id=None)
    books.put(after)
    books.add(event_of(after, COMPLETE, moment.caller))
    resale = _sold_of_listing(books, moment, purchase)
    gross = worth(books, currency, purchase.quantity, purchase.price_units)
    gives, pays, gets_id = (
        account(books, gives_id),
        account(books, order.source_account_id),
        order.destination_account_id,
    )
    sale = Sale(
        order=after,
        market=purchase.market,
        instrument_id=purchase.instrument_id,
        branch_id=purchase.branch_id,
        units=purchase.quantity,
        gives=gives,
        gets=own_account(books, gets_id, HOLDING, asset, purchase.party_id, network=gives.network, beside=pays),
        pays=pays,
        is_paid=account(books, paid_id),
        proceeds=Proceeds(
            gross,
            amount_of(books, money, purchase.fee_units),
            amount_of(books, money, purchase.desk_fee_units),
        ),
        from_chain=escrow_account(books, resale, asset) if resale is not None else None,
        paid_by_job=True,
    )
    settle(books, moment, sale, transaction_id=moment.new_id(3))


def purchase_failed(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """Give back what a purchase holds on both sides; a listing that is still there has its units again."""
    del job
    purchase, currency = _about(books, order)
    _sides(books, purchase, currency.asset, order.destination_asset)
    for hold_id in (order.pay_hold_id, order.collect_hold_id):
        if hold_id is not None:
            release_hold(books, moment, hold_id)
    after = moved(order, FAIL, moment.now, pay_hold_id=None, collect_hold_id=None)
    books.put(after)
    books.add(event_of(after, FAIL, moment.caller))
    found = _less_promised(books, moment, purchase, sold=0)
    if found is None:
        return
    listing, resale = found
    if listing.state in RESALES.ended:
        give_back_on_chain(books, moment, after, listing, resale, purchase.quantity)
        return
    units = resale.available + purchase.quantity
    books.put(resale.with_(available=units))
    if listing.pay_hold_id is not None:
        release_hold(books, moment, listing.pay_hold_id)
    seller = account(books, listing.source_account_id)
    hold = place_hold(books, moment, seller, units, hold_id=moment.new_id(4), order_id=listing.id)
    runs_out = listing.state == ACTIVE and listing.ttl_seconds > 0
    listing = listing.with_(pay_hold_id=hold.id, due_at=listing.expires_at if runs_out else None)
    books.put(listing)
    order_by_the_clock(books, moment, listing)  # its time may have passed while all of it was promised


def _about(books: Books, order: Order) -> tuple[Purchase, Currency]:
    books.want((Purchase, order.id), (Hold, order.pay_hold_id), (Hold, order.collect_hold_id))
    purchase = books.find(Purchase, order.id)
    if purchase is None:
        raise AssertionError(f"order {order.id} buys nothing")
    return purchase, currency_of(books, purchase.currency_id)


def _sides(books: Books, purchase: Purchase, money: str, asset: str) -> tuple[UUID, UUID]:
    """Return which accounts give the units and are paid, having read them and the listing, if it is of one."""
    if purchase.listing_id is None:
        gives_id = branch_account_id(purchase.branch_id, UNSOLD, asset)
        paid_id = branch_account_id(purchase.branch_id, FUNDS, money)
    else:
        books.want((Resale, purchase.listing_id), (Order, purchase.listing_id))
        seller_id = resale_of(books, purchase.listing_id).party_id
        gives_id, paid_id = party_account_id(seller_id, asset), party_account_id(seller_id, money)
        books.want((Hold, _listing(books, resale_of(books, purchase.listing_id)).pay_hold_id))
    books.want((Account, gives_id), (Account, paid_id))
    return gives_id, paid_id


def _less_promised(books: Books, moment: Moment, purchase: Purchase, *, sold: int) -> tuple[Order, Resale] | None:
    """Stage the listing of a purchase that is over, of which so much is sold; None if it is not of one."""
    if purchase.listing_id is None:
        return None
    listing = order_by_the_clock(books, moment, _listing(books, resale_of(books, purchase.listing_id)))
    resale = resale_of(books, purchase.listing_id)
    after = resale.with_(promised=resale.promised - purchase.quantity, sold=resale.sold + sold)
    books.put(after)
    return listing, after


def _sold_of_listing(books: Books, moment: Moment, purchase: Purchase) -> Resale | None:
    """Stage the listing of a purchase that was carried out: it is completed when nothing of it is left or promised."""
    found = _less_promised(books, moment, purchase, sold=purchase.quantity)
    if found is None:
        return None
    listing, resale = found
    if listing.state not in RESALES.ended:
        over = resale.available == 0 and resale.promised == 0 and listing.state == ACTIVE
        event = COMPLETE if over else TAKE
        after = moved(listing, event, moment.now, due_at=None if over else listing.due_at)
        books.put(after)
        books.add(event_of(after, event, moment.caller))
    return resale


def _listing(books: Books, resale: Resale) -> Order:
    listing = books.find(Order, resale.order_id)
    if listing is None:
        raise AssertionError(f"there is no order {resale.order_id}")
    return listing
