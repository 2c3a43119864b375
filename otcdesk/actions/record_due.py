"""Record in bulk what the clock has already done to orders: quotes that expired, debits that settled."""

from uuid import UUID

from otcdesk.actions.order_checks import order_by_the_clock, want_for_the_clock
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.orders import Order


class RecordDue(Command, frozen=True, kw_only=True):
    """Orders that a worker found past their due time."""

    order_ids: list[UUID]


class DueRecorded(Reply, frozen=True, kw_only=True):
    """How many of them were still to be recorded."""

    recorded: int


def record_due(command: RecordDue, books: Books, moment: Moment) -> DueRecorded:
    """Record every overdue move among these orders; refuses nothing, a vanished or moved order is passed over."""
    books.want(*[(Order, order_id) for order_id in command.order_ids])
    orders = [
        order for order_id in dict.fromkeys(command.order_ids) if (order := books.find(Order, order_id)) is not None
    ]
    want_for_the_clock(books, [order for order in orders if order.due_at is not None])
    recorded = sum(order_by_the_clock(books, moment, order) is not order for order in orders)
    return DueRecorded(recorded=recorded)
