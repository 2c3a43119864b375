"""Quote a trade to a party: a price that binds the desk until it expires. Moves no money.

The party's earlier quotes can no longer be accepted; a request that is refused leaves them as they are.
"""

from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from otcdesk.actions.brokerage_checks import (
    Pricing,
    Withholding,
    check_party,
    found_listings,
    found_party,
    journey_of,
    priced_for,
    settings_of,
    value_of,
    withheld,
)
from otcdesk.actions.limit_checks import check_order
from otcdesk.actions.order_checks import amount_of
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import (
    BROKERAGE_ORDER,
    BY_FIAT,
    DIVIDEND_PENDING,
    PRODUCT,
    TAX_UNAVAILABLE,
    AccountLevel,
    BrokerageTerms,
    FirmQuote,
    Listing,
    Market,
    NewestQuote,
    Position,
    RevenueShare,
    corporate_id,
    holding_id,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.parties import Party
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import PRICE_DECIMALS, UNITS_MAX, Amount, bought, less, reported, units_of


class QuoteBrokerage(Command, frozen=True, kw_only=True):
    """Ask for a quote to a party. `amount` measures the fiat or the asset, as `defined_for` says.

    `tax_bps`: what the tax provider says is withheld of this party's gains, None for nothing; `tax_unavailable`: it
    could not be asked. `by_pid`: the tenant named asset and fiat by pid.
    """

    party_id: UUID
    side: str
    asset: str
    fiat: str
    amount: Decimal
    defined_for: str
    by_pid: bool = False
    tax_bps: int | None = None
    tax_unavailable: bool = False


class BrokerageQuoted(Reply, frozen=True, kw_only=True):
    """The quote, and the order that its life is."""

    order: Order
    quote: FirmQuote


class _Sums(NamedTuple):
    """The two sides of a trade."""

    quantity: Amount
    total: Amount


def quote_brokerage(command: QuoteBrokerage, books: Books, moment: Moment) -> BrokerageQuoted:
    """Make a quote.

    Refuses, in this order: PARTY_NOT_FOUND, ASSET_NOT_FOUND, FIAT_NOT_FOUND, PARTY_UNVERIFIED, PARTY_INACTIVE,
    AGREEMENTS_NOT_ACCEPTED, TRADING_DISABLED, PRICE_UNAVAILABLE, AMOUNT_TOO_FINE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE,
    QUOTE_NOT_COVERED (offers contract 3.1), LIMIT_EXCEEDED for what no one order may be.
    """
    _want(command, books, moment)
    party = found_party(books, command.party_id, moment.owner_id)
    listing, _ = found_listings(books, command.asset, command.fiat)
    check_party(books, moment, party, journey_of(command.side, listing))
    market = books.find(Market, (command.asset, command.fiat))
    if market is None or not listing.enabled(command.side):
        raise Refusal(Code.TRADING_DISABLED)
    pricing = priced_for(books, moment, party, command.side, command.asset, command.fiat)
    sums = _sums(command, books, pricing.price)
    _check_bounds(market, sums)
    tax = _tax(command, books, sums)
    if command.side == BUY:
        _check_cover(books, corporate_id(moment.owner_id, command.fiat), sums.total.units)
    else:
        _check_cover(books, holding_id(party.id, command.asset), sums.quantity.units)
    quote = _quote(command, books, moment, pricing, sums, tax, market, _warnings(command, listing))
    order = _order(command, books, moment, quote, pricing)
    check_order(books, order.tenant_id, order.source_asset, order.source_units, party_id=party.id)
    books.add(order)
    books.add(quote)
    _make_newest(books, party.id, order.id)
    return BrokerageQuoted(order=order, quote=quote)


def _want(command: QuoteBrokerage, books: Books, moment: Moment) -> None:
    if command.side == BUY:
        source = corporate_id(moment.owner_id, command.fiat)
    else:
        source = holding_id(command.party_id, command.asset)
        books.want((Position, (command.party_id, command.asset)))
    books.want(
        (Party, command.party_id),
        (BrokerageTerms, ONLY),
        (RevenueShare, moment.owner_id),
        (Listing, command.asset),
        (Listing, command.fiat),
        (Market, (command.asset, command.fiat)),
        (Price, (command.asset, command.fiat)),
        (ListedAsset, command.asset),
        (ListedAsset, command.fiat),
        (NewestQuote, command.party_id),
        (Account, source),
    )
    party = books.find(Party, command.party_id)
    level_id = (party and party.level_id) or settings_of(books).default_level_id
    if level_id is not None:
        books.want((AccountLevel, level_id))


def _sums(command: QuoteBrokerage, books: Books, price: Decimal) -> _Sums:
    """Return both sides from the one that is given (contract R2, R3).

    The contract's assets have `PRICE_DECIMALS`. Of a coarser one, such as whole shares, the money asked for buys or
    brings a quantity that is worth less by up to a whole share: it is traded for what that quantity is worth.
    """
    asset, fiat = amount_of(books, command.asset, 0).asset, amount_of(books, command.fiat, 0).asset
    if command.defined_for == BY_FIAT:
        total = Amount(_counted(command.amount, fiat.scale), fiat)
        quantity = bought(total, price, asset)
        return _Sums(quantity, total if asset.scale >= PRICE_DECIMALS else value_of(quantity, price, fiat))
    quantity = Amount(_counted(command.amount, min(asset.scale, PRICE_DECIMALS)), asset)
    if asset.scale > PRICE_DECIMALS:
        quantity = Amount(quantity.units * 10 ** (asset.scale - PRICE_DECIMALS), asset)
    return _Sums(quantity, value_of(quantity, price, fiat))


def _counted(amount: Decimal, scale: int) -> int:
    units = units_of(amount, scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    return units


def _check_bounds(market: Market, sums: _Sums) -> None:
    if sums.quantity.units == 0 or sums.total.units < market.total_min:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    too_large = market.total_max is not None and sums.total.units > market.total_max
    if too_large or sums.total.units > UNITS_MAX or sums.quantity.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)


def _tax(command: QuoteBrokerage, books: Books, sums: _Sums) -> Withholding:
    if command.side == BUY:
        return Withholding(Amount(0, sums.total.asset), None)
    tax = withheld(_position(command, books), sums.quantity, sums.total, command.tax_bps)
    if tax.tax.units >= sums.total.units:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    return tax


def _position(command: QuoteBrokerage, books: Books) -> Position | None:
    """Return the cost basis of what the party still has to sell: what is held is being sold already."""
    position = books.find(Position, (command.party_id, command.asset))
    holding = books.find(Account, holding_id(command.party_id, command.asset))
    if position is None or holding is None:
        return None
    return position.within(holding.balance).after_selling(holding.held)


def _check_cover(books: Books, account_id: UUID, units: int) -> None:
    source = books.find(Account, account_id)
    if source is None or not source.covers(units):
        raise Refusal(Code.QUOTE_NOT_COVERED)


def _warnings(command: QuoteBrokerage, listing: Listing) -> tuple[str, ...]:
    selling = command.side != BUY
    said = ((TAX_UNAVAILABLE, command.tax_unavailable), (DIVIDEND_PENDING, listing.dividend_pending))
    return tuple(warning for warning, applies in said if selling and applies)


def _quote(
    command: QuoteBrokerage,
    books: Books,
    moment: Moment,
    pricing: Pricing,
    sums: _Sums,
    tax: Withholding,
    market: Market,
    warnings: tuple[str, ...],
) -> FirmQuote:
    share = books.find(RevenueShare, moment.owner_id)
    return FirmQuote(
        order_id=moment.command_id,
        tenant_id=moment.owner_id,
        party_id=command.party_id,
        asset=command.asset,
        fiat=command.fiat,
        defined_for=command.defined_for,
        by_pid=command.by_pid,
        asset_units=sums.quantity.units,
        total_units=sums.total.units,
        tax_units=tax.tax.units,
        fiat_units=sums.total.units - tax.tax.units,
        gain_units=tax.gain_units,
        price=pricing.price,
        reference=pricing.market.value,
        margin_bps=pricing.margin_bps,
        spread=reported(sums.quantity, abs(less(pricing.price, pricing.market.value))),
        broker_cost=market.broker_cost,
        revenue_share_bps=share.revenue_share_bps if share else 0,
        warnings=warnings,
    )


def _order(command: QuoteBrokerage, books: Books, moment: Moment, quote: FirmQuote, pricing: Pricing) -> Order:
    cash = (corporate_id(quote.tenant_id, quote.fiat), quote.fiat)
    holding = (holding_id(quote.party_id, quote.asset), quote.asset)
    source, destination = (cash, holding) if command.side == BUY else (holding, cash)
    units = (quote.total_units, quote.asset_units) if command.side == BUY else (quote.asset_units, quote.fiat_units)
    validity = settings_of(books).validity_seconds
    expires_at = moment.now + timedelta(seconds=validity)
    return Order(
        id=quote.order_id,
        tenant_id=quote.tenant_id,
        product=PRODUCT,
        side=command.side,
        state=BROKERAGE_ORDER.start,
        version=1,
        source_account_id=source[0],
        source_asset=source[1],
        source_units=units[0],
        destination_account_id=destination[0],
        destination_asset=destination[1],
        destination_units=units[1],
        rate=quote.price,
        quoted_rate=quote.price,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=pricing.market.value,
        market_source=pricing.market.source,
        market_at=pricing.market.at,
        ttl_seconds=validity,
        expires_at=expires_at,
        due_at=expires_at,
        created_at=moment.now,
        updated_at=moment.now,
    )


def _make_newest(books: Books, party_id: UUID, order_id: UUID) -> None:
    newest = NewestQuote(party_id=party_id, order_id=order_id)
    (books.put if books.find(NewestQuote, party_id) else books.add)(newest)
