"""End what is listed or bid for before it is sold: what it holds is available again, and the chain follows."""

from collections.abc import Iterable

from otcdesk.actions.booking import account, own_account, release_hold
from otcdesk.actions.jobs import follow
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.resales import ESCROW, Resale, branch_account_id, event_of, moved


def escrow_account(books: Books, resale: Resale, asset: str) -> Account:
    """Return where a branch's listed units wait on the chain; nothing is ever booked there."""
    escrow_id = branch_account_id(resale.branch_id, ESCROW, asset)
    return own_account(books, escrow_id, ESCROW, asset, resale.branch_id)


def end_resale(books: Books, moment: Moment, order: Order, event: str, reason: str | None = None) -> Order:
    """End an order of this product that has not been carried out, and give back what it holds."""
    after = moved(order, event, moment.now, pay_hold_id=None, reason=reason)
    give_back(books, moment, order, after)
    books.put(after)
    books.add(event_of(after, event, moment.caller, reason))
    return after


def want_to_end(books: Books, orders: Iterable[Order]) -> None:
    """Name at once what giving back reads of all these orders, in two readings however many they are."""
    held = list(orders)
    listed = [order for order in held if order.side == SELL]
    books.want(
        *[(Resale, order.id) for order in listed],
        *[(Hold, order.pay_hold_id) for order in held],
        *[(Account, order.source_account_id) for order in held],
    )
    found = [(order, resale) for order in listed if (resale := books.find(Resale, order.id)) is not None]
    books.want(*[(Account, branch_account_id(resale.branch_id, ESCROW, order.source_asset)) for order, resale in found])


def run_out(books: Books, moment: Moment, order: Order, after: Order) -> Order:
    """Give back what an order held whose time is over; returns it as it is then."""
    give_back(books, moment, order, after)
    return after.with_(pay_hold_id=None)


def give_back(books: Books, moment: Moment, order: Order, after: Order, *, is_on_chain: bool = True) -> None:
    """Give back what an order held that has ended as `after`; what is on the chain goes back there as well."""
    listing_id = order.id if order.side == SELL else None
    books.want((Resale, listing_id), (Hold, order.pay_hold_id), (Account, order.source_account_id))
    if order.pay_hold_id is not None:
        release_hold(books, moment, order.pay_hold_id)
    resale = books.find(Resale, listing_id) if listing_id is not None else None
    if resale is None:
        return
    books.put(resale.with_(available=0))
    if is_on_chain:
        give_back_on_chain(books, moment, after, after, resale, resale.available)


def give_back_on_chain(books: Books, moment: Moment, cause: Order, listing: Order, resale: Resale, units: int) -> None:
    """Let the chain give units of a listing back to who has listed them, because of what has become of `cause`."""
    escrow_id = branch_account_id(resale.branch_id, ESCROW, listing.source_asset)
    books.want((Account, escrow_id), (Account, listing.source_account_id))
    follow(
        books,
        moment,
        tenant_id=listing.tenant_id,
        market=resale.market,
        order_id=cause.id,
        order_version=cause.version,
        instrument_id=resale.instrument_id,
        moves=[(escrow_account(books, resale, listing.source_asset), account(books, listing.source_account_id), units)],
    )
