"""The page of the system: what waits, how fast it goes, what has failed, and what it runs on; and its charts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from otcdesk.api.http import Answer
from otcdesk.console.page import ConsoleCall, opens, page
from otcdesk.console.system.charts import EVERY, TITLES, Chart, chart_of
from otcdesk.console.system.reads import system_of
from otcdesk.console.system.sampler import KEPT_MS, Sample
from otcdesk.errors import Code, Refusal

_JSON: Final = b"application/json"

#: How many points of a chart its table has.
_ROWS_MAX: Final = 20


async def show_system(call: ConsoleCall) -> Answer:
    """Show how the desk is doing."""
    samples = call.services.sampler.look()
    sums = call.services.metrics.sums()
    dialect = _dialect(call, samples)
    system = await system_of(call.desk, call.caller.lane, sums, samples)
    charts = [_drawn(name, samples, dialect) for name in TITLES]
    process = call.services.place.process
    dialects = [(name, name) for name in (EVERY, *sorted(samples[-1].requests))]
    facts = {"system": system, "charts": charts, "process": process, "dialect": dialect, "dialects": dialects}
    return await page(call, "system/system.html", {**facts, "kept_minutes": KEPT_MS // 60_000})


async def show_series(call: ConsoleCall) -> Answer:
    """Answer what a chart draws."""
    samples = call.services.sampler.look()
    chart = chart_of(call.request.query.get("chart", ""), samples, _dialect(call, samples))
    if chart is None:
        raise Refusal(Code.ROUTE_UNKNOWN)
    return Answer(200, chart, content_type=_JSON)


def _dialect(call: ConsoleCall, samples: Sequence[Sample]) -> str:
    wanted = call.request.query.get("dialect", "")
    return wanted if wanted in samples[-1].requests else EVERY


def _drawn(name: str, samples: Sequence[Sample], dialect: str) -> dict[str, Any]:
    """Return a chart for the template: where its data are, and the same as a table."""
    chart = chart_of(name, samples, dialect)
    assert chart is not None, name
    return {
        "name": name,
        "title": TITLES[name],
        "kind": "line" if chart.time else "bars",
        "url": f"/console/system/series.json?{urlencode({'chart': name, 'dialect': dialect})}",
        "chart": chart,
        "rows": _rows(chart),
    }


def _rows(chart: Chart) -> list[tuple[Any, list[Any]]]:
    """Return at most so many points, evenly, the last among them: each with its place and the values of all series."""
    step = max(1, -(-len(chart.x) // _ROWS_MAX)) if chart.time else 1
    places = range((len(chart.x) - 1) % step, len(chart.x), step)
    heads = chart.names or [f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}" for at in chart.x]
    return [(heads[place], [series.values[place] for series in chart.series]) for place in places]


ROUTES = (
    opens("/system", show_system, "How the desk is doing"),
    opens("/system/series.json", show_series, "What a chart of it draws", refuses=(Code.ROUTE_UNKNOWN,)),
)
