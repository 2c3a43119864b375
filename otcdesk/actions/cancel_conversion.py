"""Cancel a conversion before it is confirmed. Moves no money."""

from uuid import UUID

from otcdesk.actions.conversion_checks import found_conversion
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.quote_conversion import OrderReply
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.conversions import CANCEL, MACHINES, event_of, moved
from otcdesk.errors import Code, Refusal


class CancelConversion(Command, frozen=True, kw_only=True):
    """Give up an unconfirmed order."""

    order_id: UUID


def cancel_conversion(command: CancelConversion, books: Books, moment: Moment) -> OrderReply:
    """Cancel an order that is still quoted or requoted; refuses ORDER_NOT_FOUND, NOT_CANCELLABLE (contract 3.8)."""
    order = order_by_the_clock(books, moment, found_conversion(books, command.order_id, moment.owner_id))
    if not MACHINES[order.side].allows(order.state, CANCEL):
        raise Refusal(Code.NOT_CANCELLABLE)
    cancelled = moved(order, CANCEL, moment.now)
    books.put(cancelled)
    books.add(event_of(cancelled, CANCEL, moment.caller))
    return OrderReply(order=cancelled)
