"""What verbs of all products share: finding an order, what the clock has done to it, and amounts of listed assets."""

from datetime import datetime
from uuid import UUID

from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.orders import Order
from otcdesk.domain.products import lifecycle_of
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount


def found_order(books: Books, order_id: UUID, product: str, tenant_id: UUID | None) -> Order:
    """Return an order of this product and tenant (None: any); any other looks as if it did not exist."""
    order = books.find(Order, order_id)
    if order is None or order.product != product or (tenant_id is not None and order.tenant_id != tenant_id):
        raise Refusal(Code.ORDER_NOT_FOUND)
    return order


def order_by_the_clock(books: Books, moment: Moment, order: Order) -> Order:
    """Return the order as the clock has it at the command's arrival, recording a move that nobody recorded yet."""
    return recorded_until(books, moment.arrived_at, order)


def recorded_until(books: Books, at: datetime, order: Order) -> Order:
    """Return the order as the clock has it at a time, recording a move that nobody recorded yet."""
    lifecycle = lifecycle_of(order)
    event = lifecycle.overdue_event(order, at)
    if event is None:
        return order
    order = lifecycle.by_the_clock(order, at)
    books.put(order)
    books.add(lifecycle.event_of(order, event, "clock"))
    return order


def amount_of(books: Books, code: str, units: int) -> Amount:
    """Return units as an amount of a listed asset."""
    listed = books.find(ListedAsset, code)
    if listed is None:
        raise AssertionError(f"asset {code} is not listed")
    return Amount(units, listed.asset)
