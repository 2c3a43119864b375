"""Confirm a quoted conversion: a buy's source is debited at once, a sell only joins the operator's queue."""

from uuid import UUID

from otcdesk.actions.booking import Move, account, post
from otcdesk.actions.conversion_checks import (
    Pair,
    check_buy_accounts,
    check_sell_accounts,
    found_conversion,
    terms_of,
    treasury_ids,
)
from otcdesk.actions.limit_checks import check_and_count
from otcdesk.actions.order_checks import order_by_the_clock, recorded_until
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.conversions import (
    CONFIRM,
    CONFIRMABLE,
    EXPIRED,
    ConversionTerms,
    event_of,
    moved,
    settles_at,
)
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.errors import Code, Refusal


class ConfirmConversion(Command, frozen=True, kw_only=True):
    """Accept a quote. `side` must be the quote's; `dialect_data` is kept with the order and never read."""

    order_id: UUID
    side: str
    dialect_data: str | None = None


class Confirmed(Reply, frozen=True, kw_only=True):
    """The order and the state that the confirm led to; a replay shows the same whatever happened since."""

    order_id: UUID
    state: str


def confirm_conversion(command: ConfirmConversion, books: Books, moment: Moment) -> Confirmed:
    """Confirm an order once, whatever the keys.

    Refuses, in this order: ORDER_NOT_FOUND, QUOTE_EXPIRED, NOT_CONFIRMABLE, SIDE_MISMATCH, for a buy
    SOURCE_CASH_INSUFFICIENT, then the codes of the side's accounts as at the quote (contract 3.5 and 2.9), and
    LIMIT_EXCEEDED. What was requoted counted when it was confirmed first.
    """
    books.want((Order, command.order_id), (ConversionTerms, ONLY))
    order = found_conversion(books, command.order_id, moment.owner_id)
    books.want((Account, order.source_account_id), (Account, order.destination_account_id))
    order = order_by_the_clock(books, moment, order)
    if order.state == EXPIRED:
        raise Refusal(Code.QUOTE_EXPIRED)
    if order.state not in CONFIRMABLE:
        raise Refusal(Code.NOT_CONFIRMABLE)
    if command.side != order.side:
        raise Refusal(Code.SIDE_MISMATCH)
    confirmed = _confirmed_buy(books, moment, order) if order.side == BUY else _confirmed_sell(books, moment, order)
    if command.dialect_data is not None:
        confirmed = confirmed.with_(dialect_data=command.dialect_data)
    books.put(confirmed)
    books.add(event_of(confirmed, CONFIRM, moment.caller))
    recorded_until(books, moment, moment.now, confirmed)  # a debit that settles at once needs no worker to say so
    return Confirmed(order_id=confirmed.id, state=confirmed.state)


def _confirmed_buy(books: Books, moment: Moment, order: Order) -> Order:
    source = account(books, order.source_account_id)
    if not source.covers(order.source_units):
        raise Refusal(Code.SOURCE_CASH_INSUFFICIENT)
    pair = Pair(order.source_asset, order.destination_asset)
    source, destination = check_buy_accounts(
        books, order.tenant_id, pair, order.source_account_id, order.destination_account_id
    )
    treasury = account(books, treasury_ids(source, destination)[0])
    _count(books, moment, order)
    post(
        books,
        moment,
        [Move(source, treasury, order.source_units)],
        transaction_id=moment.new_id(1),
        reason="conversion debit",
        order_id=order.id,
    )
    due_at = settles_at(terms_of(books), moment.now)
    return moved(order, CONFIRM, moment.now, confirmed_at=moment.now, due_at=due_at)


def _confirmed_sell(books: Books, moment: Moment, order: Order) -> Order:
    pair = Pair(order.source_asset, order.destination_asset)
    check_sell_accounts(
        books,
        order.tenant_id,
        pair,
        order.source_account_id,
        order.destination_account_id,
        order.source_units,
    )
    _count(books, moment, order)
    return moved(order, CONFIRM, moment.now, confirmed_at=moment.now)


def _count(books: Books, moment: Moment, order: Order) -> None:
    if order.confirmed_at is None:
        check_and_count(books, moment, order)
