"""Charts by days: amounts of one asset, as numbers of JSON."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

import msgspec

from otcdesk.api.http import Answer
from otcdesk.console.fields import beginning_of
from otcdesk.console.system.charts import Chart, Series
from otcdesk.money import print_units

_JSON: Final = b"application/json"


def chart_of(days: Iterable[date], series: Mapping[str, Iterable[int]], asset: str, scale: int) -> Answer:
    """Answer what a chart draws: the units of each series by day."""
    drawn = Chart(
        x=[int(beginning_of(day).timestamp()) for day in days],
        series=[Series(label, [_number(units, scale) for units in values]) for label, values in series.items()],
        unit=asset,
    )
    return Answer(200, drawn, content_type=_JSON)


def _number(units: int, scale: int) -> msgspec.Raw:
    return msgspec.Raw(print_units(units, scale).encode("ascii"))
