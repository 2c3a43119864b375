"""Profit and loss: what trades have won by day, in its components, down to each trade and what was booked for it."""

from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple, get_args

from otcdesk.api.http import Answer, Stream
from otcdesk.console.books import exports
from otcdesk.console.books.files import csv_file, file_name
from otcdesk.console.books.forms import address_of, days_of, named_day
from otcdesk.console.books.reads import PAGE_SIZE, transactions_of
from otcdesk.console.fields import named_id
from otcdesk.console.page import ConsoleCall, opens, page, scales_of
from otcdesk.console.position import pnl
from otcdesk.console.position.charts import chart_of
from otcdesk.console.position.pnl import COMPONENTS, Component, Components, Day, Period, shown
from otcdesk.errors import Code, Refusal

_PNL: Final = "/console/pnl"
_TRADES: Final = "/console/pnl/trades"

_DAY: Final = timedelta(days=1)
_USUAL_DAYS: Final = 30

#: What is drawn, with what it is called and how.
_CHARTS: Final[Mapping[str, tuple[str, str]]] = {
    "days": ("Won by day", "bars"),
    "sum": ("Won since the first day", "line"),
}


class Row(NamedTuple):
    """A day of the table, and what was won from the first day until its end."""

    day: Day
    so_far: Fraction


class Sum(NamedTuple):
    """What was won in one asset in all, by how many trades."""

    asset: str
    trades: int
    won: Components


async def show_pnl(call: ConsoleCall) -> Answer:
    """Show what was won by day in one asset, and in all of the period in each."""
    query, today = call.request.query, await _today(call)
    period = _period(query, today)
    found = await pnl.days(call.desk.reads, call.caller.lane, *period)
    sums = _sums(found.days)
    asset = _chosen(query, sums)
    rows = _rows(found.days, asset)
    dates = {"from": str(period.since), "to": str(period.until - _DAY)}
    facts = {
        "period": dates,
        "ranges": [(name, address_of(_PNL, query, **days), days == dates) for name, days in _ranges(today).items()],
        "sums": [(one, address_of(_PNL, dates, asset=one.asset)) for one in sums],
        "asset": asset,
        "total": next((one for one in sums if one.asset == asset), None),
        "rows": list(reversed(rows)),
        "components": COMPONENTS,
        "shown": shown,
        "trades_url": lambda **what: address_of(_TRADES, {"asset": asset}, **what),
        "csv": address_of(f"{_TRADES}.csv", dates),
        "url": address_of(_PNL, query),
        "is_complete": found.is_complete,
        "charts": [
            (title, kind, address_of(f"{_PNL}/series.json", dates, asset=asset, of=name))
            for name, (title, kind) in _CHARTS.items()
        ],
        "adjustments": await pnl.adjustments(call.desk.reads, call.caller.lane, *period),
    }
    return await page(call, "position/pnl.html", facts)


async def show_series(call: ConsoleCall) -> Answer:
    """Answer what a chart draws; refuses ROUTE_UNKNOWN for what is no chart, or no asset."""
    query, scales = call.request.query, await scales_of(call)
    name, asset = query.get("of", ""), query.get("asset", "")
    if name not in _CHARTS or asset not in scales:
        raise Refusal(Code.ROUTE_UNKNOWN)
    period = _period(query, await _today(call))
    found = await pnl.days(call.desk.reads, call.caller.lane, *period)
    won = {day.day: day.won.total for day in found.days if day.asset == asset}
    drawn, so_far = [], Fraction()
    for day in period.days:
        so_far += won.get(day, Fraction())
        drawn.append(shown(so_far if name == "sum" else won.get(day, Fraction())))
    return chart_of(period.days, {_CHARTS[name][0]: drawn}, asset, scales[asset])


async def show_trades(call: ConsoleCall) -> Answer:
    """Show the trades that make a number: of a day or a period, in one asset, with one component."""
    lane, reads, query = call.caller.lane, call.desk.reads, call.request.query
    day, component, asset = named_day(query.get("day", "")), _component(query), query.get("asset", "").replace("\0", "")
    period = Period.of(day, day + _DAY) if day else _period(query, await _today(call))
    last = named_id(query.get("after", ""))
    after = None if last is None else await pnl.trade_of(reads, lane, last)
    found = await pnl.trades_of(
        reads, lane, *period, asset=asset or None, component=component, after=after, limit=PAGE_SIZE + 1
    )
    rows = found[:PAGE_SIZE]
    path = call.request.path
    facts = {
        "rows": rows,
        "booked": await transactions_of(reads, lane, (row.trade.order_id for row in rows)),
        "components": COMPONENTS,
        "component": component,
        "asset": asset,
        "since": period.since,
        "last": period.until - _DAY,
        "shown": shown,
        "pnl_url": address_of(_PNL, {}, **{"from": str(period.since), "to": str(period.until - _DAY)}, asset=asset),
        "older": address_of(path, query, after=str(rows[-1].trade.order_id)) if len(found) > PAGE_SIZE else None,
        "first": address_of(path, query, "after") if "after" in query else None,
    }
    return await page(call, "position/trades.html", facts)


async def take_trades(call: ConsoleCall) -> Stream:
    """Answer the trades of a period as a file."""
    period = _period(call.request.query, await _today(call))
    name = file_name("trades", call.signed_in.lane_name, str(period.since), str(period.until - _DAY), kind="csv")
    return csv_file(name, exports.trades_csv(call.desk.reads, call.caller.lane, *period))


async def _today(call: ConsoleCall) -> date:
    return (await call.desk.business_time(call.caller.lane)).date()


def _period(query: Mapping[str, str], today: date) -> Period:
    """Return from which day to which is asked for: the last month where nothing is. Refuses REQUEST_INVALID."""
    days = days_of(query)
    last = days.last or max(today, days.first or today)
    return Period.of(days.first or last - timedelta(days=_USUAL_DAYS - 1), last + _DAY)


def _ranges(today: date) -> dict[str, dict[str, str]]:
    firsts = {
        "7 days": today - timedelta(days=6),
        "30 days": today - timedelta(days=29),
        "This month": today.replace(day=1),
        "This year": today.replace(month=1, day=1),
    }
    return {name: {"from": str(first), "to": str(today)} for name, first in firsts.items()}


def _sums(days: tuple[Day, ...]) -> list[Sum]:
    """Return what was won in each asset, that with the most trades first."""
    assets = sorted({day.asset for day in days})
    of_asset = {asset: [day for day in days if day.asset == asset] for asset in assets}
    sums = [
        Sum(asset, sum(day.trades for day in each), pnl.won_together(part for day in each for part in day.sums))
        for asset, each in of_asset.items()
    ]
    return sorted(sums, key=lambda one: (-one.trades, one.asset))


def _chosen(query: Mapping[str, str], sums: list[Sum]) -> str:
    wanted = query.get("asset", "")
    return wanted if any(one.asset == wanted for one in sums) else sums[0].asset if sums else ""


def _rows(days: tuple[Day, ...], asset: str) -> list[Row]:
    rows: list[Row] = []
    for day in days:
        if day.asset == asset:
            rows.append(Row(day, day.won.total + (rows[-1].so_far if rows else 0)))
    return rows


def _component(query: Mapping[str, str]) -> Component | None:
    wanted: Any = query.get("component", "")
    if wanted and wanted not in get_args(Component):
        raise Refusal(Code.REQUEST_INVALID, f"What is won is {', '.join(COMPONENTS)}.")
    return wanted or None


ROUTES = (
    opens("/pnl", show_pnl, "Profit and loss by day"),
    opens("/pnl/series.json", show_series, "What a chart of it draws", refuses=(Code.ROUTE_UNKNOWN,)),
    opens("/pnl/trades", show_trades, "The trades that make a number"),
    opens("/pnl/trades.csv", take_trades, "Trades as a file"),
)
