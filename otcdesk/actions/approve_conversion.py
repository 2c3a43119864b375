"""Approve a conversion: fix the rate that counts, reserve what the desk owes, and hand the order to its rail.

The order now waits for the rail; its outcome comes back as `record_leg`. Nothing is posted here.
"""

from decimal import Decimal
from uuid import UUID

from otcdesk.actions.booking import account, place_hold
from otcdesk.actions.conversion_checks import Offered, Pair, found_conversion, offered_rate, priced, treasury_ids
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.quote_conversion import OrderReply
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.conversions import APPROVE, MACHINES, event_of, moved
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.pricing import Price, Spread
from otcdesk.errors import Code, Refusal
from otcdesk.money import plain


class ApproveConversion(Command, frozen=True, kw_only=True):
    """Approve at `rate`, or at the live price less the tenant's spread when it is None."""

    order_id: UUID
    rate: Decimal | None = None


def approve_conversion(command: ApproveConversion, books: Books, moment: Moment) -> OrderReply:
    """Approve an order that waits for it.

    Refuses, in this order: ORDER_NOT_FOUND, INVALID_STATE, PRICE_UNAVAILABLE (without a rate), AMOUNT_TOO_SMALL,
    AMOUNT_TOO_LARGE, for a sell SOURCE_CUSTODY_INSUFFICIENT, TREASURY_INSUFFICIENT (contract 5).
    """
    order = found_conversion(books, command.order_id, None)
    pair = Pair(order.source_asset, order.destination_asset)
    books.want(
        (Account, order.source_account_id),
        (Account, order.destination_account_id),
        (Price, tuple(pair)),
        (Spread, (order.tenant_id, *pair)),
        (ListedAsset, pair.source),
        (ListedAsset, pair.destination),
    )
    order = order_by_the_clock(books, moment, order)
    if not MACHINES[order.side].allows(order.state, APPROVE):
        raise Refusal(Code.INVALID_STATE, state=order.state)
    live = _live(books, moment, order, pair)
    rate = command.rate if command.rate is not None else live and live.rate
    if rate is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    rate = plain(rate)
    destination = priced(books, order.source_units, pair, rate)
    holds = _reserved(books, moment, order, destination.units)
    approved = moved(
        order,
        APPROVE,
        moment.now,
        approved_rate=rate,
        approved_units=destination.units,
        approved_by=moment.caller,
        approved_at=moment.now,
        approved_market_rate=live.market.value if live else None,
        approved_market_source=live.market.source if live else None,
        approved_market_at=live.market.at if live else None,
        rail_reference=f"{order.id}:{order.version + 1}",
        **holds,
    )
    books.put(approved)
    books.add(event_of(approved, APPROVE, moment.caller))
    return OrderReply(order=approved)


def _live(books: Books, moment: Moment, order: Order, pair: Pair) -> Offered | None:
    try:
        return offered_rate(books, moment, order.tenant_id, pair)
    except Refusal:
        return None


def _reserved(books: Books, moment: Moment, order: Order, destination_units: int) -> dict[str, UUID]:
    source, destination = account(books, order.source_account_id), account(books, order.destination_account_id)
    treasury_pays = account(books, treasury_ids(source, destination)[1])
    if order.side != BUY and not source.covers(order.source_units):
        raise Refusal(Code.SOURCE_CUSTODY_INSUFFICIENT)
    if not treasury_pays.covers(destination_units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    holds = {"pay_hold_id": moment.new_id(1)}
    place_hold(books, moment, treasury_pays, destination_units, hold_id=holds["pay_hold_id"], order_id=order.id)
    if order.side != BUY:
        holds["collect_hold_id"] = moment.new_id(2)
        place_hold(books, moment, source, order.source_units, hold_id=holds["collect_hold_id"], order_id=order.id)
    return holds
