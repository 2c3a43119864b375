"""What an asset is worth in a fiat, with the fees of being paid, by category of payment methods (ramp contract 3.6).

A price is an indication. Of several channels the one counts that costs least for the amount, or without an amount the
one that pays most for one of the asset.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.dialect import Call
from otcdesk.api.ramp import shapes
from otcdesk.api.ramp.channels import COUNTRY, Priced, QueriedCountry
from otcdesk.api.ramp.paging import plain_query, required
from otcdesk.api.ramp.services import environment_of, listed_asset, listed_fiat
from otcdesk.api.wire import DecimalText, TimeText
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.payouts import BANK, Cost, cost_of
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.errors import Code, Refusal
from otcdesk.forms import wrong
from otcdesk.money import (
    PAID_BY_DESK,
    PAID_TO_DESK,
    UNITS_MAX,
    Amount,
    Asset,
    Rate,
    convert,
    convert_back,
    print_units,
    units_of,
)

#: A lane has few channels for one fiat.
_CHANNELS_MAX: Final = 1_000
_BEFORE_ALL: Final = UUID(int=0)

_CATEGORIES: Final = {shown: core for core, shown in shapes.CATEGORIES.items()}


class PricesQuery(msgspec.Struct, kw_only=True):
    """Which pair is asked for: an asset and a fiat, either way round; at most one amount."""

    SourceCurrency: str
    DestinationCurrency: str
    SourceAmount: shapes.PositiveDecimal | None = None
    DestinationAmount: shapes.PositiveDecimal | None = None
    PaymentMethodCategory: shapes.Category | None = None
    Country: QueriedCountry | None = None


class FeeItem(msgspec.Struct, kw_only=True):
    """A fee in the asset."""

    Type: Literal["ChannelFee", "BusinessFee"]
    Amount: DecimalText


class PriceItem(msgspec.Struct, kw_only=True):
    """What a pair is worth by one category of payment methods."""

    PaymentMethodCategory: shapes.Category
    Rate: Annotated[DecimalText, Meta(description="Fiat for one of the asset.")]
    UpdatedAt: TimeText
    TotalFee: DecimalText | UnsetType = UNSET
    BusinessFee: DecimalText | UnsetType = UNSET
    SourceAmount: DecimalText | UnsetType = UNSET
    DestinationAmount: DecimalText | UnsetType = UNSET
    CryptoFeeBreakdown: list[FeeItem] | UnsetType = UNSET


class PricesAnswer(msgspec.Struct, kw_only=True):
    """Prices, one for each category."""

    Items: list[PriceItem]


class _Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: to sell the asset or to buy it, and one of the amounts or none."""

    asset: Asset
    fiat: Asset
    sells: bool
    source: Decimal | None
    destination: Decimal | None


class _Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A channel by which it can be done, its rate, what arrives and what that costs."""

    row: Priced
    market: MarketRate
    rate: Decimal
    arrives: Amount | None = None
    cost: Cost | None = None


class _Market(msgspec.Struct, frozen=True, kw_only=True):
    price: Price
    surcharge_percent: Decimal | None = None
    clock: LaneClock | None = None


async def get_prices(call: Call) -> PricesAnswer:
    """Show what a pair is worth now."""
    pair = await _pair(call)
    market = await _market_rate(call, pair)
    return PricesAnswer(Items=await _sell_items(call, pair) if pair.sells else _buy_items(call, pair, market))


async def _pair(call: Call) -> _Pair:
    """Read what is asked; refuses REQUEST_INVALID."""
    query, environment = call.request.query, environment_of(call)
    source = required(query.get("SourceCurrency"), "SourceCurrency")
    destination = required(query.get("DestinationCurrency"), "DestinationCurrency")
    shown = set(environment.assets.values())
    if (source in shown) == (destination in shown):
        raise wrong({"SourceCurrency": "and DestinationCurrency must be an asset and a fiat"})
    sells = source in shown
    sides = ((source, "SourceCurrency"), (destination, "DestinationCurrency"))
    asset = await listed_asset(call, *sides[0 if sells else 1])
    fiat = await listed_fiat(call, *sides[1 if sells else 0])
    if "SourceAmount" in query and "DestinationAmount" in query:
        raise wrong({"DestinationAmount": "may not be given with SourceAmount"})
    amounts = {
        name: shapes.positive(query[name], name) if name in query else None
        for name in ("SourceAmount", "DestinationAmount")
    }
    return _Pair(
        asset=asset,
        fiat=fiat,
        sells=sells,
        source=amounts["SourceAmount"],
        destination=amounts["DestinationAmount"],
    )


async def _sell_items(call: Call, pair: _Pair) -> list[PriceItem]:
    category = _category(call)
    country = plain_query(call.request, "Country", *COUNTRY)
    caller = call.caller
    wanted = (caller.lane, pair.asset.code, caller.owner_id, country, pair.fiat.code, None, category)
    rows = await call.desk.reads.rows("payouts", "priced_channels", Priced, *wanted, _BEFORE_ALL, _CHANNELS_MAX)
    offered = [found for row in rows if (found := _offered(row, pair, call.desk.clock.now())) is not None]
    best: dict[str, _Offered] = {}
    for found in sorted(offered, key=_preference):
        best.setdefault(found.row.channel.category, found)
    return [_sell_item(found, pair) for _, found in sorted(best.items())]


def _category(call: Call) -> str | None:
    shown = call.request.query.get("PaymentMethodCategory")
    if shown is None:
        return None
    if shown not in _CATEGORIES:
        raise wrong({"PaymentMethodCategory": f"must be one of {', '.join(_CATEGORIES)}"})
    return _CATEGORIES[shown]


def _offered(row: Priced, pair: _Pair, now: datetime) -> _Offered | None:
    """Return what a channel offers for the amount; None for what it cannot do."""
    market, rate = row.market(now), row.rate(now)
    if market is None or rate is None:
        return None

    def cost(arrives: Amount) -> Cost:
        return cost_of(arrives, row.channel, row.surcharge_percent or Decimal(0), rate, pair.asset)

    if pair.destination is not None:
        arrives = Amount(_units(pair.destination, pair.fiat, "DestinationAmount"), pair.fiat)
    elif pair.source is not None:
        arrives = _arriving(Amount(_units(pair.source, pair.asset, "SourceAmount"), pair.asset), pair.fiat, cost)
    else:
        return _Offered(row=row, market=market, rate=rate)
    return _Offered(row=row, market=market, rate=rate, arrives=arrives, cost=cost(arrives))


def _arriving(sold: Amount, fiat: Asset, cost: Callable[[Amount], Cost]) -> Amount:
    """Return the most that can arrive for so much of the asset; what it costs only grows with it."""
    least, most = 0, UNITS_MAX
    while least < most:
        middle = (least + most + 1) // 2
        if cost(Amount(middle, fiat)).asset <= sold:
            least = middle
        else:
            most = middle - 1
    return Amount(least, fiat)


def _units(amount: Decimal, asset: Asset, field: str) -> int:
    units = units_of(amount, asset.scale)
    if units is None or units > UNITS_MAX:
        raise wrong({field: f"must have at most {asset.scale} decimals and be countable"})
    return units


def _preference(found: _Offered) -> tuple[int, int, Decimal, UUID]:
    cost = found.cost.asset.units if found.cost else 0
    arrives = found.arrives.units if found.arrives else 0
    return -arrives, cost, -found.rate, found.row.channel.id


def _sell_item(found: _Offered, pair: _Pair) -> PriceItem:
    item = PriceItem(
        PaymentMethodCategory=shapes.CATEGORIES[found.row.channel.category],
        Rate=shapes.rate_text(found.rate),
        UpdatedAt=shapes.time_text(found.market.at),
    )
    if found.cost is None or found.arrives is None:
        return item
    cost, fiat, asset = found.cost, pair.fiat, pair.asset
    source = cost.asset.units if pair.source is None else _units(pair.source, asset, "SourceAmount")
    rate = Rate(asset.code, fiat.code, found.rate)
    fees = [("ChannelFee", cost.fee), ("BusinessFee", cost.surcharge)]
    return msgspec.structs.replace(
        item,
        TotalFee=print_units(cost.fees.units, fiat.scale),
        BusinessFee=print_units(cost.surcharge.units, fiat.scale),
        SourceAmount=print_units(source, asset.scale),
        DestinationAmount=print_units(found.arrives.units, fiat.scale),
        CryptoFeeBreakdown=[
            FeeItem(Type=name, Amount=print_units(part.units, asset.scale))  # type: ignore[arg-type]
            for name, fee in fees
            if (part := convert_back(fee, rate, asset, PAID_BY_DESK)).units
        ],
    )


async def _market_rate(call: Call, pair: _Pair) -> MarketRate:
    """Return what the market says of a pair; refuses REQUEST_INVALID for one without a price, PRICE_UNAVAILABLE."""
    wanted = (call.caller.lane, pair.asset.code, pair.fiat.code, call.caller.owner_id)
    found = await call.desk.reads.row("payouts", "price", _Market, *wanted)
    if found is None:
        raise wrong({"DestinationCurrency": "has no price in SourceCurrency"})
    market = found.price.market((found.clock or LaneClock()).business_time(call.desk.clock.now()))
    if market is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    return market


def _buy_items(call: Call, pair: _Pair, market: MarketRate) -> list[PriceItem]:
    """Return what a deposit of the fiat brings: it costs no fee, and arrives at a bank account."""
    category = _category(call)
    item = PriceItem(
        PaymentMethodCategory=shapes.CATEGORIES[BANK],
        Rate=shapes.rate_text(market.value),
        UpdatedAt=shapes.time_text(market.at),
    )
    return [_bought(item, pair, market)] if category in {None, BANK} else []


def _bought(item: PriceItem, pair: _Pair, market: MarketRate) -> PriceItem:
    rate = Rate(pair.asset.code, pair.fiat.code, market.value)
    if pair.source is not None:
        source = Amount(_units(pair.source, pair.fiat, "SourceAmount"), pair.fiat)
        destination = convert_back(source, rate, pair.asset, PAID_BY_DESK)
    elif pair.destination is not None:
        destination = Amount(_units(pair.destination, pair.asset, "DestinationAmount"), pair.asset)
        source = convert(destination, rate, pair.fiat, PAID_TO_DESK)
    else:
        return item
    nothing = print_units(0, pair.fiat.scale)
    return msgspec.structs.replace(
        item,
        TotalFee=nothing,
        BusinessFee=nothing,
        SourceAmount=print_units(source.units, pair.fiat.scale),
        DestinationAmount=print_units(destination.units, pair.asset.scale),
        CryptoFeeBreakdown=[],
    )
