"""Realised P&L by day: what each trade has won, in four components that add up, tied to what was posted for it.

Every trade is measured in one asset, that of its rate: what a conversion pays out, and the fiat or currency of all
others. All figures are units of it, exact; they are whole only once they are printed (`shown`).

Let B be the units of what the rate is of: what a conversion, or whoever sells, brings in (sign +1), and what somebody
buys (sign -1). C is what B was traded for. m, q and x are the market's rate when it was quoted, the quoted one and the
executed one; k is ten to the difference of the two assets' decimals.

    spread    sign B (m - q) k    what quoting off the market has won
    slippage  sign B (q - x) k    what executing at another rate than the quoted has won (below 0: cost)
              sign B (v - m) k    in brokerage, which executes as quoted: what the venue's rate v was better
    fees      what tenants paid beyond the rate, less what the trade cost the desk: a payout's and a purchase's fee, the
              desk's fee of a resale; less the broker's cost and the tenant's share in brokerage
    other     sign (B x k - C)    what rounding has left, of the amount and of what the venue was paid

C is what a conversion pays out; a payout's fiat with fee and surcharge; what is paid for a purchase without its fee;
the gross value of a brokered trade. Of a resale the desk has its fee alone.

The sum is what the trade's postings leave on the desk's own accounts, and of its income from spreads, at the market's
rate m: in a conversion B m k - C, say. `untied` names the trades of which that is not so; there are none.

Corrections by the operator are no trades and stand apart (`adjustments`). Days are the lane's, in UTC; a sandbox that
sets its clock back trades on a day again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.domain import brokerage, conversions, payouts, resales
from otcdesk.domain.orders import BUY, SELL
from otcdesk.storage.database import Reads

_SQL = "console_position"

Component = Literal["spread", "slippage", "fees", "other"]

COMPONENTS: Final[tuple[Component, ...]] = ("spread", "slippage", "fees", "other")

#: So many trades, and entries of one account, are added up in one statement, and so many statements before a page: a
#: desk that traded long before it had a console catches up over a few pages, each of which says that it is not all.
ADDED_AT_ONCE: Final = 5_000
ADDITIONS_MAX: Final = 3

#: So many lanes are looked after in one step of the worker.
LANES_AT_ONCE: Final = 50

#: The longest time that a page shows.
DAYS_MAX: Final = 3_660

#: Trades on a page of them.
PAGE_SIZE_MAX: Final = 1_000


class Components(NamedTuple):
    """What a trade has won, in units of its asset, exact."""

    spread: Fraction
    slippage: Fraction
    fees: Fraction
    other: Fraction

    @property
    def total(self) -> Fraction:
        """Return all of it."""
        return self.spread + self.slippage + self.fees + self.other


class TradeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A trade with what its components follow from. Units are of the asset that they are named for, else of `asset`.

    `total_units` is the gross value in brokerage; `cost_units` and `share_units` are the broker's and the tenant's;
    `desk_fee_units` is the desk's part of a resale. The four components are as SQL made them.
    """

    order_id: UUID
    tenant_id: UUID
    executed_at: datetime
    product: str
    side: str
    asset: str
    source_asset: str
    source_scale: int
    source_units: int
    destination_asset: str
    destination_scale: int
    destination_units: int
    market_rate: Decimal
    market_source: str
    market_at: datetime
    quoted_rate: Decimal
    quoted_by: str
    quoted_at: datetime
    executed_rate: Decimal
    executed_by: str
    approved_market_rate: Decimal | None
    approved_market_source: str | None
    approved_market_at: datetime | None
    fee_units: int = 0
    surcharge_units: int = 0
    total_units: int | None = None
    cost_units: int = 0
    share_units: int = 0
    desk_fee_units: int = 0
    spread: Decimal
    slippage: Decimal
    fees: Decimal
    other: Decimal


class WonTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade as a page lists it: its facts, its tenant's name, and the sum of its components."""

    trade: TradeFacts
    tenant: str | None
    total: Decimal


class DaySum(msgspec.Struct, frozen=True, kw_only=True):
    """What the trades of one day, product, side and pair of assets have won together, and what they turned over."""

    day: date
    product: str
    side: str
    source_asset: str
    destination_asset: str
    asset: str
    trades: int
    source_sum: int
    destination_sum: int
    spread: Decimal
    slippage: Decimal
    fees: Decimal
    other: Decimal
    total: Decimal


class Day(NamedTuple):
    """What was won in one asset on one day; `sums` are what it is made of."""

    day: date
    asset: str
    trades: int
    won: Components
    sums: tuple[DaySum, ...]


class DaysWon(NamedTuple):
    """What was won by day and asset; not `is_complete`: not all trades have been added up yet."""

    days: tuple[Day, ...]
    is_complete: bool


class Adjustments(msgspec.Struct, frozen=True, kw_only=True):
    """Corrections of one day: what those of the desk's own accounts have won, and of others' (below 0: cost)."""

    day: date
    asset: str
    entries: int
    own_units: int
    owed_units: int

    @property
    def total(self) -> int:
        """Return what they have won together."""
        return self.own_units + self.owed_units


class EndOfDay(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk's own accounts of an asset had together at the end of a day."""

    day: date
    asset: str
    balance: int


class Series(NamedTuple):
    """What charts draw: for each of `days`, by asset; turnover counts both sides of trades. `is_complete`: as above."""

    days: tuple[date, ...]
    position: dict[str, tuple[int, ...]]
    won: dict[str, tuple[Fraction, ...]]
    turnover: dict[str, tuple[int, ...]]
    is_complete: bool


class Period(NamedTuple):
    """From the beginning of a day to the beginning of another, `until`, which is not in it."""

    since: date
    until: date

    @classmethod
    def of(cls, since: date, until: date) -> "Period":
        """Return a period of at most `DAYS_MAX` days, its last ones if it were longer, and of one at least."""
        until = max(until, since + timedelta(days=1))
        return cls(max(since, until - timedelta(days=DAYS_MAX)), until)

    @property
    def days(self) -> tuple[date, ...]:
        """Return every day of it."""
        return tuple(self.since + timedelta(days=number) for number in range((self.until - self.since).days))

    @property
    def times(self) -> tuple[datetime, datetime]:
        """Return when it begins and when it is over."""
        return datetime.combine(self.since, time(), UTC), datetime.combine(self.until, time(), UTC)


def components_of(trade: TradeFacts) -> Components:
    """Return what a trade has won; the definition, which `console_position.sql` says again."""
    if trade.product == resales.PRODUCT:
        return Components(Fraction(), Fraction(), Fraction(trade.desk_fee_units), Fraction())
    buys = trade.product != conversions.PRODUCT and trade.side == BUY
    sign = -1 if buys else 1
    base = trade.destination_units if buys else trade.source_units
    decimals = trade.destination_scale - trade.source_scale
    factor = Fraction(10) ** (-decimals if buys else decimals)
    market, quoted, executed = map(Fraction, (trade.market_rate, trade.quoted_rate, trade.executed_rate))
    spread = sign * base * (market - quoted) * factor
    slippage = sign * base * (quoted - executed) * factor
    fees, rounding = Fraction(trade.fee_units), Fraction()
    if trade.product == brokerage.PRODUCT:
        venue = market if trade.approved_market_rate is None else Fraction(trade.approved_market_rate)
        at_venue = base * venue * factor
        slippage = sign * (at_venue - base * market * factor)
        fees = Fraction(-trade.cost_units - trade.share_units)
        rounding = at_venue - ceil(at_venue) if buys else floor(at_venue) - at_venue
    other = sign * (base * executed * factor - _counted(trade)) + rounding
    return Components(spread, slippage, fees, other)


def _counted(trade: TradeFacts) -> int:
    """Return what the base was traded for."""
    if trade.product == brokerage.PRODUCT:
        if trade.total_units is None:
            raise AssertionError(f"trade {trade.order_id} has no quote")
        return trade.total_units
    if trade.product == payouts.PRODUCT and trade.side == SELL:
        return trade.destination_units + trade.fee_units + trade.surcharge_units
    if trade.product == payouts.PRODUCT:
        return trade.source_units - trade.fee_units
    return trade.destination_units


def shown(units: Fraction | Decimal) -> int:
    """Return units as they are printed: the nearest whole number, halves away from zero."""
    exact = Fraction(units)
    return floor(exact + Fraction(1, 2)) if exact >= 0 else -floor(-exact + Fraction(1, 2))


async def caught_up(reads: Reads, lane: int, additions_max: int = ADDITIONS_MAX) -> bool:
    """Add up what has happened since the last time; tells whether that is all, or some is left for the next time.

    Anybody may do it at any time, and at the same time: each trade is counted once.
    """
    await reads.records(_SQL, "begin_adding", lane)
    done = [await _added(reads, lane, statement, additions_max) for statement in ("add_trades", "add_balances")]
    return all(done)


async def keep_up(reads: Reads) -> bool:
    """Add up what has happened in open lanes, a little of each; tells whether some is left for the next step."""
    behind = await reads.records(_SQL, "behind", LANES_AT_ONCE)
    done = [await caught_up(reads, record["lane"], additions_max=1) for record in behind]
    return len(behind) == LANES_AT_ONCE or not all(done)


async def _added(reads: Reads, lane: int, statement: str, additions_max: int) -> bool:
    for _ in range(additions_max):
        if await reads.value(_SQL, statement, lane, ADDED_AT_ONCE) < ADDED_AT_ONCE:
            return True
    return False


async def days(reads: Reads, lane: int, since: date, until: date) -> DaysWon:
    """Return what was won from one day to before another, by day and asset, the oldest first."""
    period = Period.of(since, until)
    is_complete = await caught_up(reads, lane)
    return DaysWon(tuple(_by_asset(await _sums(reads, lane, period))), is_complete)


async def _sums(reads: Reads, lane: int, period: Period) -> list[DaySum]:
    return await reads.rows(_SQL, "days", DaySum, lane, period.since, period.until)


def _by_asset(sums: Iterable[DaySum]) -> list[Day]:
    grouped: dict[tuple[date, str], list[DaySum]] = {}
    for part in sums:
        grouped.setdefault((part.day, part.asset), []).append(part)
    return [
        Day(day, asset, sum(part.trades for part in parts), won_together(parts), tuple(parts))
        for (day, asset), parts in sorted(grouped.items())
    ]


def won_together(parts: Iterable[DaySum | TradeFacts]) -> Components:
    """Return the sum of each component; all must be of one asset."""
    parts = tuple(parts)
    if len({part.asset for part in parts}) > 1:
        raise AssertionError("what was won in different assets is not added up")
    totals = (sum((Fraction(getattr(part, name)) for part in parts), Fraction()) for name in COMPONENTS)
    return Components(*totals)


async def trades_of(
    reads: Reads,
    lane: int,
    since: date,
    until: date,
    *,
    asset: str | None = None,
    component: Component | None = None,
    after: WonTrade | None = None,
    limit: int = 50,
) -> list[WonTrade]:
    """Return a page of the trades of a period, the latest first, that have won or lost something of a component.

    `after` is the last of the page before. Of each the order's id leads to everything else.
    """
    begins, ends = Period.of(since, until).times
    place = (after.trade.executed_at, after.trade.order_id) if after else (None, None)
    size = max(1, min(limit, PAGE_SIZE_MAX))
    return await reads.rows(_SQL, "trades", WonTrade, lane, begins, ends, *place, asset, component, size)


async def trade_of(reads: Reads, lane: int, order_id: UUID) -> WonTrade | None:
    """Return the trade that an order has left, with what it has won; None if it has left none."""
    return await reads.row(_SQL, "trade", WonTrade, lane, order_id)


async def untied(reads: Reads, lane: int, since: date, until: date, limit: int = 20) -> list[UUID]:
    """Return orders whose trades' components are not what was posted for them: none in sound books."""
    begins, ends = Period.of(since, until).times
    found = await reads.records(_SQL, "untied", lane, begins, ends, limit)
    return [record["order_id"] for record in found]


async def adjustments(reads: Reads, lane: int, since: date, until: date) -> list[Adjustments]:
    """Return what corrections have won or cost, by day and asset, the oldest first."""
    return await reads.rows(_SQL, "adjustments", Adjustments, lane, *Period.of(since, until).times)


async def series(reads: Reads, lane: int, since: date, until: date) -> Series:
    """Return what charts draw: position at the end of each day, P&L added up from the first day, turnover by day."""
    period = Period.of(since, until)
    is_complete = await caught_up(reads, lane)
    sums = await _sums(reads, lane, period)
    ends = await reads.rows(_SQL, "balances", EndOfDay, lane, period.since, period.until)
    every = period.days
    return Series(every, _position(ends, every), _cumulated(sums, every), _turnover(sums, every), is_complete)


def _position(ends: Iterable[EndOfDay], every: Sequence[date]) -> dict[str, tuple[int, ...]]:
    """Carry each asset's balance on from day to day."""
    noted: dict[str, dict[date, int]] = {}
    for end in ends:
        noted.setdefault(end.asset, {})[end.day] = end.balance
    carried: dict[str, tuple[int, ...]] = {}
    for asset, of_days in sorted(noted.items()):
        balance, balances = 0, []
        for day in every:
            balance = of_days.get(day, balance)
            balances.append(balance)
        carried[asset] = tuple(balances)
    return carried


def _cumulated(sums: Iterable[DaySum], every: Sequence[date]) -> dict[str, tuple[Fraction, ...]]:
    of_days: dict[str, dict[date, Fraction]] = {}
    for part in sums:
        won = of_days.setdefault(part.asset, {})
        won[part.day] = won.get(part.day, Fraction()) + Fraction(part.total)
    cumulated: dict[str, tuple[Fraction, ...]] = {}
    for asset, won in sorted(of_days.items()):
        total, totals = Fraction(), []
        for day in every:
            total += won.get(day, Fraction())
            totals.append(total)
        cumulated[asset] = tuple(totals)
    return cumulated


def _turnover(sums: Iterable[DaySum], every: Sequence[date]) -> dict[str, tuple[int, ...]]:
    of_days: dict[str, dict[date, int]] = {}
    for part in sums:
        for asset, units in ((part.source_asset, part.source_sum), (part.destination_asset, part.destination_sum)):
            turned = of_days.setdefault(asset, {})
            turned[part.day] = turned.get(part.day, 0) + units
    return {asset: tuple(turned.get(day, 0) for day in every) for asset, turned in sorted(of_days.items())}
