"""The desk's position, asset by asset: what it owns, owes and has promised, and what is on its way.

Everything is read at one instant of the books but orders, which are read just after. Units are of the asset that they
stand under.

* Owned: the balances of the desk's own accounts, the treasuries and what fees have brought. Promised of it: what open
  holds reserve, for orders that are approved or wait for a rail. Available: what is left above the accounts' floors.
* Owed: what others have with the desk, by whose it is and what it is for; what is withheld as tax, and tenants' shares.
* Awaiting: what orders that wait for the operator would take, at their quoted amounts. Nothing is held for them yet.
* In transit: what a rail was asked to move and has not told of. Held payouts count: their rail may have been asked.
* Counterparts: the other side of openings, deposits, corrections, the venue and income, so that all is in sight and an
  asset's accounts sum to zero.
* Exposure: what is owned, whichever sign, against the guard's limit.

A value is at the market's price of now, in the asset that the desk reports in: the cash of the lane's conversions, else
EUR. Where there is no price in force, there is no value, and it is not in any sum.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.domain import brokerage, chain_payouts, conversions, payouts, resales
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.guards import Guard
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.ledger import CASH, CUSTODY, TREASURY
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.pricing import Price
from otcdesk.money import NEAREST, Amount, Asset, Rate, convert, inverse
from otcdesk.storage.database import Reads

_SQL = "console_position"

#: What the desk reports in where it does not convert.
REPORTED_IN: Final = "EUR"

# Whose an account is: the desk's, or one of these.
DESK: Final = "desk"
TENANT: Final = "tenant"
PARTY: Final = "party"
BRANCH: Final = "branch"

#: Whose the accounts of a purpose are that are not the desk's.
OWNERS: Final[dict[str, str]] = {
    CASH: TENANT,
    CUSTODY: TENANT,
    brokerage.CORPORATE: TENANT,
    payouts.CURRENT: TENANT,
    payouts.SURCHARGE: TENANT,
    brokerage.HOLDING: PARTY,
    resales.FUNDS: BRANCH,
    resales.INVENTORY: BRANCH,
    resales.UNSOLD: BRANCH,
    resales.ESCROW: BRANCH,
    resales.BURNT: BRANCH,
    resales.FEES: BRANCH,
}

#: What the desk keeps for others on accounts of its own.
KEPT_FOR_OTHERS: Final = frozenset({brokerage.TAX_PAYABLE, brokerage.REVENUE_SHARE})

#: What an order in a state has a rail move: what goes out and what comes in, of its source and destination.
OUT_SOURCE: Final = "source out"
OUT_DESTINATION: Final = "destination out"
IN_SOURCE: Final = "source in"
IN_DESTINATION: Final = "destination in"

IN_TRANSIT: Final[dict[tuple[str, str, str], tuple[str, ...]]] = {
    (conversions.PRODUCT, BUY, conversions.PAYING): (OUT_DESTINATION,),
    (conversions.PRODUCT, SELL, conversions.COLLECTING): (IN_SOURCE,),
    (conversions.PRODUCT, SELL, conversions.PAYING): (OUT_DESTINATION,),
    (conversions.PRODUCT, SELL, conversions.RETURNING): (OUT_SOURCE,),
    (brokerage.PRODUCT, BUY, brokerage.IN_PROGRESS): (OUT_SOURCE, IN_DESTINATION),
    (brokerage.PRODUCT, SELL, brokerage.IN_PROGRESS): (OUT_SOURCE, IN_DESTINATION),
    **{
        (payouts.PRODUCT, SELL, state): (OUT_DESTINATION,)
        for state in (payouts.PENDING, payouts.HELD, payouts.FILED, payouts.CANCELLING)
    },
    (chain_payouts.PRODUCT, chain_payouts.SEND, chain_payouts.PENDING): (OUT_SOURCE,),
}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of one purpose, asset and network, together; `account_ids` where they are the desk's."""

    is_desks: bool
    purpose: str
    asset: str
    network: str
    has_floor: bool
    accounts: int
    balance: int
    held: int
    floor: int | None
    account_ids: tuple[UUID, ...] | None

    @property
    def owner(self) -> str:
        """Return whose they are."""
        return DESK if self.is_own or self.is_desks else OWNERS.get(self.purpose, TENANT)

    @property
    def is_own(self) -> bool:
        """Tell whether what is on them is the desk's to spend."""
        return self.purpose == TREASURY or (self.is_desks and self.has_floor)

    @property
    def is_owed(self) -> bool:
        """Tell whether what is on them is others'."""
        return not self.is_own and (not self.is_desks or self.purpose in KEPT_FOR_OTHERS)

    @property
    def available(self) -> int:
        """Return what may be spent: what is not held, above the floors."""
        return self.balance - self.held - (self.floor or 0)


class Awaiting(msgspec.Struct, frozen=True, kw_only=True):
    """What conversions of one side that wait for the operator would take, on one network."""

    side: str
    asset: str
    network: str
    orders: int
    units: int


class OrdersUnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one product, side and state that wait for a rail: what all of them move, and the longest since when."""

    product: str
    side: str
    state: str
    waits_for: str | None
    source_asset: str
    destination_asset: str
    orders: int
    source_units: int
    destination_units: int
    since: datetime


class Transit(NamedTuple):
    """What goes out, or comes in, of one asset with orders of one kind."""

    asset: str
    is_out: bool
    units: int
    under_way: OrdersUnderWay


class Value(NamedTuple):
    """What something is worth: units of the reporting asset, at which price, of whom and when."""

    units: int
    rate: Decimal
    source: str
    at: datetime | None


class AssetPosition(NamedTuple):
    """The position in one asset; see the module. `value` is of what is owned."""

    asset: Asset
    own: tuple[Side, ...]
    owed: tuple[Side, ...]
    counterparts: tuple[Side, ...]
    awaiting: tuple[Awaiting, ...]
    transit: tuple[Transit, ...]
    exposure_units_max: int | None
    value: Value | None

    @property
    def owned_units(self) -> int:
        """Return what the desk owns."""
        return sum(side.balance for side in self.own)

    @property
    def owed_units(self) -> int:
        """Return what others have."""
        return sum(side.balance for side in self.owed)

    @property
    def promised_units(self) -> int:
        """Return what is held of what the desk owns."""
        return sum(side.held for side in self.own)

    @property
    def available_units(self) -> int:
        """Return what the desk may spend."""
        return sum(side.available for side in self.own)

    @property
    def awaiting_units(self) -> int:
        """Return what orders that wait for the operator would take."""
        return sum(waiting.units for waiting in self.awaiting)

    @property
    def out_units(self) -> int:
        """Return what is on its way out."""
        return sum(part.units for part in self.transit if part.is_out)

    @property
    def in_units(self) -> int:
        """Return what is on its way in."""
        return sum(part.units for part in self.transit if not part.is_out)

    @property
    def is_over_limit(self) -> bool:
        """Tell whether the desk is exposed to more than its guard allows."""
        return self.exposure_units_max is not None and abs(self.owned_units) > self.exposure_units_max


class Position(NamedTuple):
    """The whole position at a time of the lane; `unvalued` are assets of which the desk owns some that has no price."""

    at: datetime
    reported_in: Asset
    assets: tuple[AssetPosition, ...]

    @property
    def value_units(self) -> int:
        """Return what all that has a price is worth together."""
        return sum(each.value.units for each in self.assets if each.value is not None)

    @property
    def unvalued(self) -> tuple[str, ...]:
        """Return the assets that are not in the sum."""
        return tuple(each.asset.code for each in self.assets if each.value is None and each.owned_units)


async def position(reads: Reads, lane: int, machine_time: datetime) -> Position:
    """Return a lane's position now: every asset that has an account, the reporting one first, then by code."""
    clock = await reads.row("lanes", "clock", LaneClock, lane)
    now = (clock or LaneClock()).business_time(machine_time)
    sides = await reads.rows(_SQL, "sides", Side, lane)
    awaiting = await reads.rows(_SQL, "awaiting", Awaiting, lane, now)
    transit = [part for under_way in await _under_way(reads, lane) for part in _moves_of(under_way)]
    guards = {guard.asset: guard for guard in await reads.rows(_SQL, "guards", Guard, lane)}
    valuation = await valuation_of(reads, lane, now)
    codes = {side.asset for side in sides}
    assets = [
        _position_in(asset, sides, awaiting, transit, guards.get(asset.code), valuation)
        for asset in valuation.assets.values()
        if asset.code in codes
    ]
    assets.sort(key=lambda each: (each.asset != valuation.reported_in, each.asset.code))
    return Position(now, valuation.reported_in, tuple(assets))


def _position_in(
    asset: Asset,
    sides: Iterable[Side],
    awaiting: Iterable[Awaiting],
    transit: Iterable[Transit],
    guard: Guard | None,
    valuation: "Valuation",
) -> AssetPosition:
    of_asset = [side for side in sides if side.asset == asset.code]
    own = tuple(side for side in of_asset if side.is_own)
    return AssetPosition(
        asset=asset,
        own=own,
        owed=tuple(side for side in of_asset if side.is_owed),
        counterparts=tuple(side for side in of_asset if not side.is_own and not side.is_owed),
        awaiting=tuple(waiting for waiting in awaiting if waiting.asset == asset.code),
        transit=tuple(part for part in transit if part.asset == asset.code),
        exposure_units_max=guard.exposure_units_max if guard else None,
        value=valuation.value(Amount(sum(side.balance for side in own), asset)),
    )


async def _under_way(reads: Reads, lane: int) -> list[OrdersUnderWay]:
    wanted = [list(part) for part in zip(*IN_TRANSIT, strict=True)]
    return await reads.rows(_SQL, "in_transit", OrdersUnderWay, lane, *wanted)


def _moves_of(under_way: OrdersUnderWay) -> Iterable[Transit]:
    for move in IN_TRANSIT[under_way.product, under_way.side, under_way.state]:
        is_source = move in {OUT_SOURCE, IN_SOURCE}
        yield Transit(
            under_way.source_asset if is_source else under_way.destination_asset,
            move in {OUT_SOURCE, OUT_DESTINATION},
            under_way.source_units if is_source else under_way.destination_units,
            under_way,
        )


class Valuation(NamedTuple):
    """What assets are worth at a time in the one that the desk reports in."""

    at: datetime
    reported_in: Asset
    assets: Mapping[str, Asset]
    prices: Mapping[tuple[str, str], Price]

    def value(self, amount: Amount) -> Value | None:
        """Return what an amount is worth to the nearest unit, None where no price is in force.

        The pair's own price counts, else the inverse of the one the other way round.
        """
        code, reported = amount.asset.code, self.reported_in.code
        if code == reported:
            return Value(amount.units, Decimal(1), "", None)
        there, back = self.prices.get((code, reported)), self.prices.get((reported, code))
        market = there.market(self.at) if there else None
        source = market.source if market else ""
        if market is None and back is not None and (market := back.market(self.at)) is not None:
            market, source = msgspec.structs.replace(market, value=inverse(market.value)), f"{market.source}, inverse"
        if market is None:
            return None
        size = Amount(abs(amount.units), amount.asset)
        worth = convert(size, Rate(code, reported, market.value), self.reported_in, NEAREST).units
        return Value(worth if amount.units >= 0 else -worth, market.value, source, market.at)


async def valuation_of(reads: Reads, lane: int, now: datetime) -> Valuation:
    """Return how a lane values its assets at a time of its own."""
    listed = await reads.rows("lanes", "assets", ListedAsset, lane)
    prices = await reads.rows("lanes", "prices", Price, lane)
    terms = await reads.row("lanes", "terms", ConversionTerms, lane)
    assets = {each.code: each.asset for each in listed}
    code = terms.cash_asset if terms else REPORTED_IN
    return Valuation(now, assets.get(code, Asset(code, 2)), assets, {price.key: price for price in prices})
