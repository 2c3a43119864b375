"""The position: what the desk owns, owes and has promised of each asset, and how that and its turnover went by day."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from otcdesk.api.http import Answer
from otcdesk.console.page import ConsoleCall, opens, page, scales_of
from otcdesk.console.position import pnl, pnl_pages
from otcdesk.console.position.charts import chart_of
from otcdesk.console.position.reads import position
from otcdesk.errors import Code, Refusal

#: How many days back charts may go, the usual one first.
_DAYS: Final = (30, 7, 90, 365)

#: What is drawn, with what it is called; the second is the kind of the chart.
_CHARTS: Final[Mapping[str, tuple[str, str]]] = {
    "position": ("What the desk owned at the end of each day", "line"),
    "turnover": ("What its trades turned over by day, on both sides", "bars"),
}


async def show_position(call: ConsoleCall) -> Answer:
    """Show the position in every asset, and the charts of one, which look after themselves once they are drawn."""
    found = await position(call.desk.reads, call.caller.lane, call.desk.clock.now())
    codes = [each.asset.code for each in found.assets]
    asset = "" if call.is_fragment else _chosen(call, codes)
    drawn = await _drawn(call, asset) if asset else {}
    facts = {
        "position": found,
        "asset": asset,
        "codes": codes,
        "days": _days_back(call),
        "days_back": sorted(_DAYS),
        "charts": [
            {"title": title, "kind": kind, "url": _series_url(call, asset, name), "rows": _rows(drawn[name], asset)}
            for name, (title, kind) in _CHARTS.items()
            if asset
        ],
    }
    return await page(call, "position/position.html", facts)


async def show_series(call: ConsoleCall) -> Answer:
    """Answer what a chart draws; refuses ROUTE_UNKNOWN for what is no chart, or no asset."""
    asset, name = call.request.query.get("asset", ""), call.request.query.get("of", "")
    scales = await scales_of(call)
    if name not in _CHARTS or asset not in scales:
        raise Refusal(Code.ROUTE_UNKNOWN)
    drawn = (await _drawn(call, asset))[name]
    return chart_of([day for day, _ in drawn], {_CHARTS[name][0]: [units for _, units in drawn]}, asset, scales[asset])


async def _drawn(call: ConsoleCall, asset: str) -> dict[str, list[tuple[date, int]]]:
    """Return each chart's points of an asset."""
    today = (await call.desk.business_time(call.caller.lane)).date()
    since, until = today - timedelta(days=_days_back(call) - 1), today + timedelta(days=1)
    found = await pnl.series(call.desk.reads, call.caller.lane, since, until)
    nothing = (0,) * len(found.days)
    return {
        "position": list(zip(found.days, found.position.get(asset, nothing), strict=True)),
        "turnover": list(zip(found.days, found.turnover.get(asset, nothing), strict=True)),
    }


def _chosen(call: ConsoleCall, codes: Sequence[str]) -> str:
    """Return the asset whose charts are asked for, else the first; empty if there is none."""
    wanted = call.request.query.get("asset", "")
    return wanted if wanted in codes else next(iter(codes), "")


def _days_back(call: ConsoleCall) -> int:
    wanted = call.request.query.get("days", "")
    return next((days for days in _DAYS if str(days) == wanted), _DAYS[0])


def _series_url(call: ConsoleCall, asset: str, name: str) -> str:
    return f"/console/position/series.json?{urlencode({'asset': asset, 'of': name, 'days': _days_back(call)})}"


def _rows(drawn: Sequence[tuple[date, int]], asset: str) -> list[dict[str, Any]]:
    """Return a chart as a table has it: the days on which it moved, the latest first."""
    moved = [(day, units) for place, (day, units) in enumerate(drawn) if not place or units != drawn[place - 1][1]]
    return [{"day": day, "units": units, "asset": asset} for day, units in reversed(moved)]


ROUTES = (
    opens("/position", show_position, "The position"),
    opens("/position/series.json", show_series, "What a chart of it draws", refuses=(Code.ROUTE_UNKNOWN,)),
    *pnl_pages.ROUTES,
)
