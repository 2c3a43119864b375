"""Take the venue's word on an accepted quote: book the trade, or give back what was reserved.

The party and its tenant trade at the quote's price. The venue trades with the desk at its own; what that leaves over is
the desk's, whatever the quote's report of the spread said.
"""

from decimal import Decimal
from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, account, capture_hold, post, release_hold
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import amount_of, found_order
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import (
    BROKER_COST,
    CORPORATE,
    FAIL,
    FAILED,
    FAILURES,
    FINISH,
    FINISHED,
    HOLDING,
    IN_PROGRESS,
    PRODUCT,
    REVENUE_SHARE,
    SPREAD_INCOME,
    TAX_PAYABLE,
    VENUE_POSITION,
    FirmQuote,
    Position,
    event_of,
    holding_id,
    moved,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import Account, Hold, desk_account_id
from otcdesk.domain.orders import BUY, Order, Trade
from otcdesk.money import (
    NEAREST,
    PAID_BY_DESK,
    PAID_TO_DESK,
    Rate,
    convert,
    plain,
    units_of,
)


class RecordExecution(Command, frozen=True, kw_only=True):
    """The venue's final word on the call made under `reference`: done at a price, or provably not, for a reason.

    `price`: fiat for one of the asset; `reason`: of `domain.brokerage.FAILURES`, for a refusal; `venue` and `detail`
    are what the venue says of itself and of the trade.
    """

    order_id: UUID
    reference: str
    outcome: Literal["done", "refused"]
    price: Decimal | None = None
    reason: str | None = None
    venue: str = ""
    detail: str | None = None


class ExecutionRecorded(Reply, frozen=True, kw_only=True):
    """The order after it, and its quote; `applied` is False when it was known already or nobody waits for this.

    `agrees`: whether what is told is what the books say, as far as they say anything.
    """

    order: Order
    quote: FirmQuote
    applied: bool
    agrees: bool = True


def record_execution(command: RecordExecution, books: Books, moment: Moment) -> ExecutionRecorded:
    """Book an execution's outcome once, however often and whatever is told; refuses ORDER_NOT_FOUND."""
    books.want((Order, command.order_id), (FirmQuote, command.order_id))
    order = found_order(books, command.order_id, PRODUCT, None)
    quote = books.find(FirmQuote, command.order_id)
    if quote is None:
        raise AssertionError(f"order {order.id} has no quote")
    if order.state != IN_PROGRESS or order.rail_reference != command.reference:
        return ExecutionRecorded(order=order, quote=quote, applied=False, agrees=_agrees(command, books, order))
    if order.collect_hold_id is None:
        raise AssertionError(f"order {order.id} is in progress and reserves nothing")
    books.want((Hold, order.collect_hold_id), (Account, order.source_account_id))
    if command.outcome == "done":
        after = _finished(command, books, moment, order, quote, order.collect_hold_id)
    else:
        if command.reason not in FAILURES:
            raise AssertionError(f"the venue refused {command.reference} for {command.reason}")
        release_hold(books, moment, order.collect_hold_id)
        ended = {"collect_hold_id": None, "rail_reference": None}
        after = moved(order, FAIL, moment.now, reason=command.reason, **ended)
        books.add(event_of(after, FAIL, moment.caller, command.detail or command.reason))
    books.put(after)
    return ExecutionRecorded(order=after, quote=quote, applied=True)


def _finished(
    command: RecordExecution, books: Books, moment: Moment, order: Order, quote: FirmQuote, hold_id: UUID
) -> Order:
    if command.price is None or command.price <= 0:
        raise AssertionError(f"the venue carried out {command.reference} at {command.price}")
    _want(books, order, quote)
    capture_hold(books, moment, hold_id)
    _keep_basis(books, order, quote)
    post(
        books,
        moment,
        _moves(books, order, quote, command.price),
        transaction_id=moment.new_id(1),
        reason="brokerage execution",
        order_id=order.id,
        reference=command.reference,
    )
    after = moved(order, FINISH, moment.now, collect_hold_id=None, rail_reference=None)
    books.add(event_of(after, FINISH, moment.caller, command.detail))
    books.add(_trade(command, after, moment))
    return after


def _agrees(command: RecordExecution, books: Books, order: Order) -> bool:
    """Tell whether a word that comes late, or again, is the one that was booked."""
    if order.state == FINISHED:
        trade = books.find(Trade, order.id)
        return command.outcome == "done" and trade is not None and trade.approved_market_rate == command.price
    return command.outcome == "refused" or order.state != FAILED


def _want(books: Books, order: Order, quote: FirmQuote) -> None:
    books.want(
        (Account, order.destination_account_id),
        (ListedAsset, quote.asset),
        (ListedAsset, quote.fiat),
        (Position, (quote.party_id, quote.asset)),
        (Account, desk_account_id(VENUE_POSITION, quote.asset)),
        *[
            (Account, desk_account_id(purpose, quote.fiat))
            for purpose in (VENUE_POSITION, SPREAD_INCOME, BROKER_COST, TAX_PAYABLE, REVENUE_SHARE)
        ],
    )


def _moves(books: Books, order: Order, quote: FirmQuote, price: Decimal) -> list[Move]:
    """Return the trade's postings: party and tenant with the venue's positions, then what they leave to whom."""
    quantity, total = amount_of(books, quote.asset, quote.asset_units), amount_of(books, quote.fiat, quote.total_units)
    venue_asset = counter_account(books, VENUE_POSITION, quote.asset)
    venue_cash = counter_account(books, VENUE_POSITION, quote.fiat)
    income = counter_account(books, SPREAD_INCOME, quote.fiat)
    source = account(books, order.source_account_id)
    rate = Rate(quote.asset, quote.fiat, price)
    if order.side == BUY:
        left_over = total.units - convert(quantity, rate, total.asset, PAID_TO_DESK).units
        moves = [
            Move(source, venue_cash, total.units),
            Move(venue_asset, _destination(books, order, quote.party_id, HOLDING), quantity.units),
        ]
    else:
        left_over = convert(quantity, rate, total.asset, PAID_BY_DESK).units - total.units
        moves = [
            Move(source, venue_asset, quantity.units),
            Move(venue_cash, _destination(books, order, quote.tenant_id, CORPORATE), quote.fiat_units),
            Move(venue_cash, counter_account(books, TAX_PAYABLE, quote.fiat), quote.tax_units),
        ]
    moves.append(Move(venue_cash, income, left_over) if left_over > 0 else Move(income, venue_cash, -left_over))
    cost = units_of(quote.broker_cost, total.asset.scale, NEAREST) or 0
    moves.append(Move(income, counter_account(books, BROKER_COST, quote.fiat), cost))
    share = units_of(quote.revenue_share, total.asset.scale, PAID_BY_DESK) or 0
    moves.append(Move(income, counter_account(books, REVENUE_SHARE, quote.fiat), share))
    return [move for move in moves if move.units]


def _destination(books: Books, order: Order, owner_id: UUID, purpose: str) -> Account:
    """Return the account that the trade pays into, opening it with the owner's first trade in this asset."""
    found = books.find(Account, order.destination_account_id)
    if found is not None:
        return found
    opened = Account(id=order.destination_account_id, owner_id=owner_id, purpose=purpose, asset=order.destination_asset)
    books.add(opened)
    return opened


def _keep_basis(books: Books, order: Order, quote: FirmQuote) -> None:
    """Bring the party's cost basis up to date, at average cost; nothing of the trade is posted yet."""
    known = books.find(Position, (quote.party_id, quote.asset))
    holding = books.find(Account, holding_id(quote.party_id, quote.asset))
    position = known or Position(party_id=quote.party_id, asset=quote.asset, fiat=quote.fiat)
    position = position.within(holding.balance if holding else 0)
    if order.side == BUY:
        position = position.after_buying(quote.asset_units, quote.total_units, quote.fiat)
    else:
        position = position.after_selling(quote.asset_units)
    (books.put if known else books.add)(position)


def _trade(command: RecordExecution, order: Order, moment: Moment) -> Trade:
    return Trade(
        order_id=order.id,
        tenant_id=order.tenant_id,
        source_asset=order.source_asset,
        source_units=order.source_units,
        destination_asset=order.destination_asset,
        destination_units=order.destination_units,
        executed_rate=order.rate,
        executed_by=moment.caller,
        executed_at=moment.now,
        quoted_rate=order.quoted_rate,
        quoted_by=order.quoted_by,
        quoted_at=order.quoted_at,
        market_rate=order.market_rate,
        market_source=order.market_source,
        market_at=order.market_at,
        approved_market_rate=None if command.price is None else plain(command.price),
        approved_market_source=command.venue,
        approved_market_at=moment.now,
    )
