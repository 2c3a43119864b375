"""What the conversion's verbs share: finding an order, who may be its source and destination, and what it is worth.

The checks of each side refuse in the order of the contract's table (exchanges contract 3.4); nothing here writes.
"""

from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from otcdesk.actions.four_eyes import guard_terms
from otcdesk.actions.order_checks import amount_of, found_order
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.conversions import PRODUCT, ConversionTerms, destination_amount
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import ACTIVE, CASH, CUSTODY, TREASURY, Account, desk_account_id
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.pricing import MarketRate, Price, Spread
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, Amount, bps_apart, less_spread, plain


class Pair(NamedTuple):
    """The two asset codes of one side, in the direction of the exchange."""

    source: str
    destination: str


class Offered(NamedTuple):
    """A market rate and what the desk makes of it for one tenant."""

    market: MarketRate
    rate: Decimal


def pair_of(side: str, terms: ConversionTerms) -> Pair:
    """Return what is given and what is got on this side."""
    assets = (terms.cash_asset, terms.custody_asset)
    return Pair(*assets) if side == BUY else Pair(*reversed(assets))


def terms_of(books: Books) -> ConversionTerms:
    """Return the lane's conversion terms; a lane without any does not convert."""
    terms = books.find(ConversionTerms, ONLY)
    if terms is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    return terms


class _CashCodes(NamedTuple):
    """How an account of cash is refused in one role, in the order of the checks."""

    not_found: Code
    wrong_asset: Code
    inactive: Code


class _CustodyCodes(NamedTuple):
    """How a wallet is refused in one role, in the order of the checks."""

    not_found: Code
    no_address: Code


_SOURCE_CASH = _CashCodes(Code.SOURCE_CASH_NOT_FOUND, Code.SOURCE_CASH_WRONG_ASSET, Code.SOURCE_CASH_INACTIVE)
_DESTINATION_CASH = _CashCodes(
    Code.DESTINATION_CASH_NOT_FOUND, Code.DESTINATION_CASH_WRONG_ASSET, Code.DESTINATION_CASH_INACTIVE
)
_SOURCE_CUSTODY = _CustodyCodes(Code.SOURCE_CUSTODY_NOT_FOUND, Code.SOURCE_CUSTODY_NO_ADDRESS)
_DESTINATION_CUSTODY = _CustodyCodes(Code.DESTINATION_CUSTODY_NOT_FOUND, Code.DESTINATION_CUSTODY_NO_ADDRESS)


def _cash(books: Books, account_id: UUID, tenant_id: UUID, asset: str, codes: _CashCodes) -> Account:
    """Return a tenant's account that may take part, or refuse it."""
    found = books.find(Account, account_id)
    if found is None or found.owner_id != tenant_id or found.purpose != CASH:
        raise Refusal(codes.not_found)
    if found.asset != asset:
        raise Refusal(codes.wrong_asset)
    if found.status != ACTIVE:
        raise Refusal(codes.inactive)
    return found


def _custody(books: Books, account_id: UUID, tenant_id: UUID, asset: str, codes: _CustodyCodes) -> Account:
    """Return a tenant's wallet that may take part, or refuse it; the treasury's looks as if it did not exist."""
    found = books.find(Account, account_id)
    if found is None or found.owner_id != tenant_id or found.purpose != CUSTODY:
        raise Refusal(codes.not_found)
    if found.asset != asset or found.address is None:
        raise Refusal(codes.no_address)
    return found


def check_buy_accounts(
    books: Books, tenant_id: UUID, pair: Pair, source_id: UUID, destination_id: UUID
) -> tuple[Account, Account]:
    """Return a buy's two accounts, or refuse the first that will not do."""
    source = _cash(books, source_id, tenant_id, pair.source, _SOURCE_CASH)
    destination = _custody(books, destination_id, tenant_id, pair.destination, _DESTINATION_CUSTODY)
    return source, destination


def check_sell_accounts(
    books: Books, tenant_id: UUID, pair: Pair, source_id: UUID, destination_id: UUID, units: int
) -> tuple[Account, Account]:
    """Return a sell's two accounts, or refuse the first that will not do or does not cover `units`."""
    source = _custody(books, source_id, tenant_id, pair.source, _SOURCE_CUSTODY)
    if not source.covers(units):
        raise Refusal(Code.SOURCE_CUSTODY_INSUFFICIENT)
    destination = _cash(books, destination_id, tenant_id, pair.destination, _DESTINATION_CASH)
    return source, destination


def offered_rate(books: Books, moment: Moment, tenant_id: UUID, pair: Pair) -> Offered:
    """Return the live price less the tenant's spread, or refuse with PRICE_UNAVAILABLE."""
    price, spread = books.find(Price, tuple(pair)), books.find(Spread, (tenant_id, *pair))
    market = price.market(moment.now) if price else None
    if market is None or spread is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    rate = less_spread(market.value, spread.bps_at(moment.now))
    if rate <= 0:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    return Offered(market, rate)


def check_deviation(books: Books, moment: Moment, pair: Pair, rate: Decimal) -> None:
    """Refuse a rate that is further from the live market than the lane's guards allow, if they bound it.

    Refuses PRICE_UNAVAILABLE where there is no market to compare with, RATE_DEVIATES.
    """
    if guard_terms(books).deviation_bps_max is None:
        return
    price = books.find(Price, tuple(pair))
    market = price.market(moment.now) if price else None
    if market is None:
        raise Refusal(Code.PRICE_UNAVAILABLE, "There is no live market to compare the rate with.")
    check_near(books, rate, market.value)


def check_near(books: Books, rate: Decimal, market: Decimal) -> None:
    """Refuse RATE_DEVIATES for a rate that is further from a market rate than the lane's guards allow."""
    bps_max = guard_terms(books).deviation_bps_max
    apart = bps_apart(rate, market)
    if bps_max is not None and abs(apart) > bps_max:
        facts = {"market": format(plain(market), "f"), "bps": str(apart), "bps_max": str(bps_max)}
        raise Refusal(Code.RATE_DEVIATES, **facts)


def priced(books: Books, source_units: int, pair: Pair, rate: Decimal) -> Amount:
    """Return what the source brings at `rate`, refusing nothing and more than can be counted."""
    source = amount_of(books, pair.source, source_units)
    destination = destination_amount(source, rate, amount_of(books, pair.destination, 0).asset)
    if destination.units == 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if destination.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return destination


def found_conversion(books: Books, order_id: UUID, tenant_id: UUID | None) -> Order:
    """Return the conversion; to a tenant (None: the operator) another's order looks as if it did not exist."""
    return found_order(books, order_id, PRODUCT, tenant_id)


def treasury_ids(source: Account, destination: Account) -> tuple[UUID, UUID]:
    """Return the desk's accounts on the two sides: the same asset on the same network as the tenant's."""
    return (
        desk_account_id(TREASURY, source.asset, source.network),
        desk_account_id(TREASURY, destination.asset, destination.network),
    )
