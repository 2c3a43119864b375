"""What verbs of all products share: finding an order, what the clock has done to it, and amounts of listed assets."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from otcdesk.actions.end_resale import run_out, want_to_end
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.orders import Order
from otcdesk.domain.products import lifecycle_of
from otcdesk.domain.resales import RESALES
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount

#: What the clock brings about besides the move itself, by product: of the order before it and after it, the latter.
_WHAT_FOLLOWS: dict[str, Callable[[Books, Moment, Order, Order], Order]] = {RESALES.product: run_out}

#: Names the rows that this reads of many orders at once, by product.
_WANTED: dict[str, Callable[[Books, list[Order]], None]] = {RESALES.product: want_to_end}


def found_order(books: Books, order_id: UUID, product: str, tenant_id: UUID | None) -> Order:
    """Return an order of this product and tenant (None: any); any other looks as if it did not exist."""
    order = books.find(Order, order_id)
    if order is None or order.product != product or (tenant_id is not None and order.tenant_id != tenant_id):
        raise Refusal(Code.ORDER_NOT_FOUND)
    return order


def order_by_the_clock(books: Books, moment: Moment, order: Order) -> Order:
    """Return the order as the clock has it at the command's arrival, recording a move that nobody recorded yet."""
    return recorded_until(books, moment, moment.arrived_at, order)


def recorded_until(books: Books, moment: Moment, at: datetime, order: Order) -> Order:
    """Return the order as the clock has it at a time, recording a move that nobody recorded yet."""
    lifecycle = lifecycle_of(order)
    event = lifecycle.overdue_event(order, at)
    if event is None:
        return order
    after = lifecycle.by_the_clock(order, at)
    if order.product in _WHAT_FOLLOWS:
        after = _WHAT_FOLLOWS[order.product](books, moment, order, after)
    books.put(after)
    books.add(lifecycle.event_of(after, event, "clock"))
    return after


def want_for_the_clock(books: Books, orders: list[Order]) -> None:
    """Name at once what the clock's moves of all these orders read, or each would be one reading more."""
    for product, want in _WANTED.items():
        want(books, [order for order in orders if order.product == product])


def amount_of(books: Books, code: str, units: int) -> Amount:
    """Return units as an amount of a listed asset."""
    listed = books.find(ListedAsset, code)
    if listed is None:
        raise AssertionError(f"asset {code} is not listed")
    return Amount(units, listed.asset)
