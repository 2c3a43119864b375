"""Quote a conversion: an order in `quoted` with an indicative rate. Moves no money."""

from datetime import timedelta
from uuid import UUID

from otcdesk.actions.conversion_checks import (
    Pair,
    check_buy_accounts,
    check_sell_accounts,
    offered_rate,
    pair_of,
    priced,
    terms_of,
)
from otcdesk.actions.limit_checks import check_order
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.conversions import MACHINES, PRODUCT, ConversionTerms
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.domain.pricing import Price, Spread
from otcdesk.errors import Code, Refusal


class QuoteBuy(Command, frozen=True, kw_only=True):
    """Ask for a quote: cash of the tenant for tokens into its wallet. Units are of the cash asset."""

    source_account_id: UUID
    destination_account_id: UUID
    source_units: int


class QuoteSell(Command, frozen=True, kw_only=True):
    """Ask for a quote: tokens from the tenant's wallet for cash. Units are of the custody asset.

    `live_units` is the wallet's live balance as read from its rail just now; None when it could not be read.
    """

    source_account_id: UUID
    destination_account_id: UUID
    source_units: int
    live_units: int | None


class OrderReply(Reply, frozen=True, kw_only=True):
    """An order as it is after the command."""

    order: Order


def quote_buy(command: QuoteBuy, books: Books, moment: Moment) -> OrderReply:
    """Quote a buy.

    Refuses, in this order: SOURCE_CASH_NOT_FOUND, SOURCE_CASH_WRONG_ASSET, SOURCE_CASH_INACTIVE,
    DESTINATION_CUSTODY_NOT_FOUND, DESTINATION_CUSTODY_NO_ADDRESS, PRICE_UNAVAILABLE, AMOUNT_TOO_SMALL,
    AMOUNT_TOO_LARGE, LIMIT_EXCEEDED for what no one order may be. The source's balance is not looked at (contract 3.4).
    """
    pair = _find(books, moment, BUY, command.source_account_id, command.destination_account_id)
    check_buy_accounts(books, moment.owner_id, pair, command.source_account_id, command.destination_account_id)
    return _quoted(books, moment, BUY, pair, command)


def quote_sell(command: QuoteSell, books: Books, moment: Moment) -> OrderReply:
    """Quote a sell.

    Refuses, in this order: SOURCE_CUSTODY_NOT_FOUND, SOURCE_CUSTODY_NO_ADDRESS, SOURCE_CUSTODY_INSUFFICIENT,
    DESTINATION_CASH_NOT_FOUND, DESTINATION_CASH_WRONG_ASSET, DESTINATION_CASH_INACTIVE, SOURCE_BALANCE_UNKNOWN,
    PRICE_UNAVAILABLE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE (contract 3.4), LIMIT_EXCEEDED.
    """
    pair = _find(books, moment, SELL, command.source_account_id, command.destination_account_id)
    least = command.source_units
    if command.live_units is not None and command.live_units < command.source_units:
        least = UNCOVERABLE  # the chain has less than the books say: what the chain says counts
    check_sell_accounts(books, moment.owner_id, pair, command.source_account_id, command.destination_account_id, least)
    if command.live_units is None:
        raise Refusal(Code.SOURCE_BALANCE_UNKNOWN)
    return _quoted(books, moment, SELL, pair, command)


#: More than any account holds.
UNCOVERABLE = 10**60


def _find(books: Books, moment: Moment, side: str, source_id: UUID, destination_id: UUID) -> Pair:
    books.want((ConversionTerms, ONLY), (Account, source_id), (Account, destination_id))
    pair = pair_of(side, terms_of(books))
    books.want(
        (Price, tuple(pair)),
        (Spread, (moment.owner_id, *pair)),
        (ListedAsset, pair.source),
        (ListedAsset, pair.destination),
    )
    return pair


def _quoted(books: Books, moment: Moment, side: str, pair: Pair, command: QuoteBuy | QuoteSell) -> OrderReply:
    terms = terms_of(books)
    offered = offered_rate(books, moment, moment.owner_id, pair)
    destination = priced(books, command.source_units, pair, offered.rate)
    check_order(books, moment.owner_id, pair.source, command.source_units)
    expires_at = moment.now + timedelta(seconds=terms.ttl_seconds)
    order = Order(
        id=moment.command_id,
        tenant_id=moment.owner_id,
        product=PRODUCT,
        side=side,
        state=MACHINES[side].start,
        version=1,
        source_account_id=command.source_account_id,
        source_asset=pair.source,
        source_units=command.source_units,
        destination_account_id=command.destination_account_id,
        destination_asset=pair.destination,
        destination_units=destination.units,
        rate=offered.rate,
        quoted_rate=offered.rate,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=offered.market.value,
        market_source=offered.market.source,
        market_at=offered.market.at,
        ttl_seconds=terms.ttl_seconds,
        expires_at=expires_at,
        due_at=expires_at,
        created_at=moment.now,
        updated_at=moment.now,
    )
    books.add(order)
    return OrderReply(order=order)
