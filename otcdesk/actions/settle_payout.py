"""End a payout by hand: the operator has paid it, or knows that nobody did and nobody will."""

from typing import Literal
from uuid import UUID

from otcdesk.actions.order_checks import found_order
from otcdesk.actions.payout_checks import found_channel
from otcdesk.actions.record_payout import PayoutRecorded, RecordPayout, payment_of, record_payout
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FILED, PAYOUT_RAIL, PENDING, PRODUCT, Payment
from otcdesk.errors import Code, Refusal


class SettlePayout(Command, frozen=True, kw_only=True):
    """How a payout ended: paid, with the bank's own reference, or failed, and why."""

    order_id: UUID
    outcome: Literal["done", "refused"]
    detail: str | None = None


def settle_payout(command: SettlePayout, books: Books, moment: Moment) -> PayoutRecorded:
    """Book how a payout ended; refuses ORDER_NOT_FOUND, and INVALID_STATE for one that is not the operator's to end.

    That is what a provider pays, and what is held: it is released first, or cancelled.
    """
    books.want((Order, command.order_id), (Payment, command.order_id))
    order = found_order(books, command.order_id, PRODUCT, None)
    channel_id = payment_of(books, order).channel_id
    if order.state not in {PENDING, FILED} or order.rail_reference is None or channel_id is None:
        raise Refusal(Code.INVALID_STATE, state=order.state)
    if found_channel(books, channel_id).rail == PAYOUT_RAIL:
        raise Refusal(Code.INVALID_STATE, "Only the channel's provider says how its payouts end.")
    word = RecordPayout(
        order_id=order.id, reference=order.rail_reference, outcome=command.outcome, detail=command.detail
    )
    return record_payout(word, books, moment)
