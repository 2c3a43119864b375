"""Unwind or settle what a confirm began: reject an order, or tell how a buy's debit went. A taken debit is refunded."""

from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, account, post
from otcdesk.actions.conversion_checks import found_conversion, treasury_ids
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.quote_conversion import OrderReply
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.conversions import (
    DEBIT_FAILED,
    DEBIT_SETTLED,
    MACHINES,
    REJECT,
    event_of,
    moved,
)
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.errors import Code, Refusal


class RejectConversion(Command, frozen=True, kw_only=True):
    """Refuse a confirmed order; `reason` is for the operator's records."""

    order_id: UUID
    reason: str


class SettleDebit(Command, frozen=True, kw_only=True):
    """Tell how a buy's debit went at the bank."""

    order_id: UUID
    outcome: Literal["settled", "failed"]


def reject_conversion(command: RejectConversion, books: Books, moment: Moment) -> OrderReply:
    """Reject an order and refund a buy in full.

    Refuses, in this order: ORDER_NOT_FOUND, INVALID_STATE, TREASURY_INSUFFICIENT (the refund is not covered).
    """
    order = _found(books, moment, command.order_id, REJECT)
    if order.side == BUY:
        _refund(books, moment, order, "conversion refund")
    return _ended(books, moment, order, REJECT, command.reason)


def settle_debit(command: SettleDebit, books: Books, moment: Moment) -> OrderReply:
    """Move a buy on, or back when its debit failed.

    Refuses, in this order: ORDER_NOT_FOUND, INVALID_STATE, TREASURY_INSUFFICIENT (the reversal is not covered).
    """
    event = DEBIT_SETTLED if command.outcome == "settled" else DEBIT_FAILED
    order = _found(books, moment, command.order_id, event)
    if event == DEBIT_FAILED:
        _refund(books, moment, order, "conversion debit reversed")
    return _ended(books, moment, order, event, None)


def _found(books: Books, moment: Moment, order_id: UUID, event: str) -> Order:
    order = found_conversion(books, order_id, None)
    books.want((Account, order.source_account_id), (Account, order.destination_account_id))
    order = order_by_the_clock(books, moment, order)
    if not MACHINES[order.side].allows(order.state, event):
        raise Refusal(Code.INVALID_STATE, state=order.state)
    return order


def _refund(books: Books, moment: Moment, order: Order, reason: str) -> None:
    source, destination = account(books, order.source_account_id), account(books, order.destination_account_id)
    treasury = account(books, treasury_ids(source, destination)[0])
    if not treasury.covers(order.source_units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    post(
        books,
        moment,
        [Move(treasury, source, order.source_units)],
        transaction_id=moment.new_id(1),
        reason=reason,
        order_id=order.id,
    )


def _ended(books: Books, moment: Moment, order: Order, event: str, reason: str | None) -> OrderReply:
    after = moved(order, event, moment.now, reason=reason)
    books.put(after)
    books.add(event_of(after, event, moment.caller, reason))
    return OrderReply(order=after)
