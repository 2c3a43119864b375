"""Buy an asset for a fiat deposit at the market's price, and send it to an address: what a rule's purchase does.

The tenant pays with what was deposited, all of it, and once: the id of the purchase is the deposit's own, whoever
makes it. The fee comes off first; what is left buys, rounded down (ramp contract 7).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from otcdesk.actions.booking import Move, account, own_account, place_hold, post
from otcdesk.actions.limit_checks import check_and_count, count
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.payout_checks import treasury_id
from otcdesk.actions.record_payout import trade_of
from otcdesk.domain import chain_payouts
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.chain_payouts import CHAIN_PAYOUT_ORDER, SEND, SUBMIT, ChainPayout
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.deposits import purchase_id
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, desk_account_id
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.payouts import (
    AT_ONCE,
    CURRENT,
    FEE_INCOME,
    PRODUCT,
    PURCHASE,
    SETTLE,
    Payment,
    current_id,
    event_of,
    moved,
)
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.domain.rules import BuyAction
from otcdesk.errors import Code, Refusal
from otcdesk.money import (
    ONE_FOR_ONE,
    PAID_BY_DESK,
    PAID_TO_DESK,
    UNITS_MAX,
    Amount,
    Rate,
    convert_back,
    part_of,
    plus_spread,
)


class Bought(NamedTuple):
    """What a deposit buys: the fee that comes off it, the rate and its market, and how much of the asset."""

    fee: Amount
    rate: Decimal
    market: MarketRate
    asset: Amount


def purchase_wants(paid: Order, action: BuyAction) -> Iterator[tuple[type[Noun], Any]]:
    """Name the rows that a purchase for a deposit finds."""
    fiat, asset = paid.destination_asset, action.asset
    yield Order, purchase_id(paid.id)
    yield from ((ListedAsset, code) for code in (fiat, asset))
    yield Price, (asset, fiat)
    yield from ((Account, treasury_id(code)) for code in (fiat, asset))
    yield from ((Account, current_id(paid.tenant_id, code)) for code in (fiat, asset))
    yield Account, desk_account_id(FEE_INCOME, fiat)


def buy_for_deposit(
    books: Books, moment: Moment, action: BuyAction, paid: Order, facts: Payment, first_id: int
) -> Order:
    """Buy for all of a settled deposit and send what was bought; returns the order of the purchase.

    Takes three of the moment's ids, from `first_id` + 1. Refuses as `purchase` does, and LIMIT_EXCEEDED: what is bought
    counts once, as what is paid for it, and not again when it is sent on.
    """
    order = purchase(books, moment, action, paid, facts, first_id, is_limited=True)
    _send(books, moment, action, order, facts, paid, first_id + 2)
    return order


def purchase(
    books: Books,
    moment: Moment,
    action: BuyAction,
    paid: Order,
    facts: Payment,
    first_id: int,
    *,
    is_limited: bool = False,
) -> Order:
    """Buy for all of a settled deposit and keep what was bought on the tenant's own account; returns the order.

    What completes a checkout was promised when that was opened, so it counts and no limit stands in its way; one that
    `is_limited` is not made beyond what a limit leaves.

    Takes one of the moment's ids, `first_id` + 1. Refuses DEPOSIT_SPENT for a deposit that has bought already,
    PRICE_UNAVAILABLE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, BALANCE_INSUFFICIENT where the tenant no longer has it,
    TREASURY_INSUFFICIENT. The order's id is not of `facts` but the deposit's own.
    """
    books.want(*purchase_wants(paid, action))
    facts = facts.with_(order_id=purchase_id(paid.id))
    if books.find(Order, facts.order_id) is not None:
        raise Refusal(Code.DEPOSIT_SPENT)
    fiat = amount_of(books, paid.destination_asset, paid.destination_units)
    bought = _bought(books, moment, action, fiat)
    pays = account(books, paid.destination_account_id)
    if not pays.covers(fiat.units):
        raise Refusal(Code.BALANCE_INSUFFICIENT)
    treasury = books.find(Account, treasury_id(action.asset))
    if treasury is None or not treasury.covers(bought.asset.units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    order = moved(_order(moment, paid, facts, bought), SETTLE, moment.now)
    (check_and_count if is_limited else count)(books, moment, order, party_id=facts.party_id)
    books.add(order)
    books.add(
        facts.with_(
            kind=PURCHASE,
            fiat=fiat.asset.code,
            fiat_units=fiat.units,
            fee_units=bought.fee.units,
            rate=bought.rate,
            deposit_id=paid.id,
        )
    )
    books.add(event_of(order, SETTLE, moment.caller))
    books.add(trade_of(order, moment))
    theirs = own_account(books, order.destination_account_id, CURRENT, action.asset, paid.tenant_id)
    income = own_account(books, desk_account_id(FEE_INCOME, fiat.asset.code), FEE_INCOME, fiat.asset.code)
    ours = own_account(books, treasury_id(fiat.asset.code), TREASURY, fiat.asset.code)
    moves = [
        Move(pays, ours, fiat.units - bought.fee.units),
        Move(pays, income, bought.fee.units),
        Move(treasury, theirs, bought.asset.units),
    ]
    post(
        books,
        moment,
        [move for move in moves if move.units],
        transaction_id=moment.new_id(first_id + 1),
        reason="purchase",
        order_id=order.id,
    )
    return order


def _bought(books: Books, moment: Moment, action: BuyAction, fiat: Amount) -> Bought:
    price = books.find(Price, (action.asset, fiat.asset.code))
    market = price.market(moment.now) if price else None
    listed = books.find(ListedAsset, action.asset)
    if market is None or listed is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    rate = plus_spread(market.value, action.spread_bps)
    fee = part_of(fiat, action.fee_bps, PAID_TO_DESK)
    brings = convert_back(fiat - fee, Rate(action.asset, fiat.asset.code, rate), listed.asset, PAID_BY_DESK)
    if brings.units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if brings.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return Bought(fee, rate, market, brings)


def _order(moment: Moment, paid: Order, facts: Payment, bought: Bought) -> Order:
    return Order(
        id=facts.order_id,
        tenant_id=paid.tenant_id,
        product=PRODUCT,
        side=BUY,
        state=AT_ONCE.start,
        version=1,
        source_account_id=paid.destination_account_id,
        source_asset=paid.destination_asset,
        source_units=paid.destination_units,
        destination_account_id=current_id(paid.tenant_id, facts.asset),
        destination_asset=facts.asset,
        destination_units=bought.asset.units,
        rate=bought.rate,
        quoted_rate=bought.rate,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=bought.market.value,
        market_source=bought.market.source,
        market_at=bought.market.at,
        ttl_seconds=0,
        expires_at=moment.now,
        created_at=moment.now,
        updated_at=moment.now,
    )


def _send(
    books: Books, moment: Moment, action: BuyAction, bought: Order, facts: Payment, paid: Order, first_id: int
) -> None:
    """Reserve what was bought and let it wait for its chain."""
    order_id, hold_id = moment.new_id(first_id), moment.new_id(first_id + 1)
    order = Order(
        id=order_id,
        tenant_id=bought.tenant_id,
        product=chain_payouts.PRODUCT,
        side=SEND,
        state=CHAIN_PAYOUT_ORDER.start,
        version=1,
        source_account_id=bought.destination_account_id,
        source_asset=action.asset,
        source_units=bought.destination_units,
        destination_account_id=desk_account_id(OUTSIDE, action.asset),
        destination_asset=action.asset,
        destination_units=bought.destination_units,
        rate=ONE_FOR_ONE,
        quoted_rate=ONE_FOR_ONE,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=ONE_FOR_ONE,
        market_source="",
        market_at=moment.now,
        ttl_seconds=0,
        expires_at=moment.now,
        created_at=moment.now,
        updated_at=moment.now,
    )
    waits = chain_payouts.moved(
        order, SUBMIT, moment.now, confirmed_at=moment.now, collect_hold_id=hold_id, rail_reference=f"{order_id}:send"
    )
    # `waits_for` is not among the changes: it is the product's usual rail.
    books.add(waits)
    books.add(
        ChainPayout(
            order_id=order_id,
            tenant_id=bought.tenant_id,
            party_id=facts.party_id,
            network=action.network,
            address=action.address,
            rule_id=facts.rule_id,
            rule_execution_id=facts.rule_execution_id,
            deposit_id=paid.id,
        )
    )
    books.add(chain_payouts.event_of(waits, SUBMIT, moment.caller))
    source = account(books, waits.source_account_id)
    place_hold(books, moment, source, waits.source_units, hold_id=hold_id, order_id=order_id)
