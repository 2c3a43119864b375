"""Carry out a sale of listed or unsold units: they go one way, money the other, in one ledger transaction.

All or nothing: whoever calls has seen that both sides are covered.
"""

from typing import NamedTuple
from uuid import UUID

from otcdesk.actions.booking import Move, own_account, post
from otcdesk.actions.jobs import follow
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.ledger import Account, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import FEE_INCOME
from otcdesk.domain.resales import FEES, Proceeds, branch_account_id


class Sale(NamedTuple):
    """Who gives units and who gets them, who pays and who is paid, and what is taken off it.

    `from_chain` is where the units lie on the chain, if that is not where the books have them.
    """

    order: Order
    market: str
    instrument_id: UUID
    branch_id: UUID
    units: int
    gives: Account
    gets: Account
    pays: Account
    is_paid: Account
    proceeds: Proceeds
    from_chain: Account | None = None
    paid_by_job: bool = False


def settle(books: Books, moment: Moment, sale: Sale, *, transaction_id: UUID) -> None:
    """Book a sale, leave its trade, and let the chain follow; never refuses, for the chain may have done its part.

    What moves within the books never makes an account too full (`money.BALANCE_MAX`). `paid_by_job`: a job has carried
    the money to who is paid already, as far as it is theirs.
    """
    proceeds, asset, network = sale.proceeds, sale.proceeds.gross.asset.code, sale.pays.network
    fees_id, income_id = branch_account_id(sale.branch_id, FEES, asset), desk_account_id(FEE_INCOME, asset, network)
    branch_fees = own_account(books, fees_id, FEES, asset, sale.branch_id, network=network)
    desk_fees = own_account(books, income_id, FEE_INCOME, asset, network=network)
    moves = [
        Move(sale.gives, sale.gets, sale.units),
        Move(sale.pays, sale.is_paid, proceeds.net.units),
        Move(sale.pays, branch_fees, proceeds.fee.units),
        Move(sale.pays, desk_fees, proceeds.desk_fee.units),
    ]
    post(
        books,
        moment,
        [move for move in moves if move.units and move.source.id != move.destination.id],
        transaction_id=transaction_id,
        reason=f"resale: {sale.market}",
        order_id=sale.order.id,
    )
    books.add(trade_of(sale, moment))
    on_chain = [(sale.from_chain or sale.gives, sale.gets, sale.units)]
    if not sale.paid_by_job:
        on_chain.append((sale.pays, sale.is_paid, proceeds.net.units))
    on_chain += [(sale.pays, branch_fees, proceeds.fee.units), (sale.pays, desk_fees, proceeds.desk_fee.units)]
    follow(
        books,
        moment,
        tenant_id=sale.order.tenant_id,
        market=sale.market,
        order_id=sale.order.id,
        order_version=sale.order.version,
        instrument_id=sale.instrument_id,
        moves=on_chain,
    )


def trade_of(sale: Sale, moment: Moment) -> Trade:
    """Return the trade that a sale leaves: units of the instrument for all that is paid, fees included."""
    order = sale.order
    return Trade(
        order_id=order.id,
        tenant_id=order.tenant_id,
        source_asset=sale.gives.asset,
        source_units=sale.units,
        destination_asset=sale.proceeds.gross.asset.code,
        destination_units=sale.proceeds.gross.units,
        executed_rate=order.rate,
        executed_by=moment.caller,
        executed_at=moment.now,
        quoted_rate=order.quoted_rate,
        quoted_by=order.quoted_by,
        quoted_at=order.quoted_at,
        market_rate=order.market_rate,
        market_source=order.market_source,
        market_at=order.market_at,
        approved_market_rate=None,
        approved_market_source=None,
        approved_market_at=None,
    )
