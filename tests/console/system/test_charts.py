"""What charts draw: rates and quantiles of short windows, and gaps where nothing is known."""

from collections.abc import Sequence
from typing import Any

from otcdesk.clock import at_milliseconds, milliseconds_between
from otcdesk.console.system.charts import EVERY, TITLES, Chart, chart_of
from otcdesk.console.system.sampler import PERIOD_MS, Sample, sample_of
from otcdesk.metrics import Metrics
from tests.support.clocks import START

BEGIN_MS = milliseconds_between(at_milliseconds(0), START)


def sampled(metrics: Metrics, *places: int) -> list[Sample]:
    """Take a sample at each of these periods, with two commands and one request of 1 ms in each period before it."""
    samples = []
    for place in range(places[-1] + 1):
        if place in places:
            samples.append(sample_of(metrics.sums(), BEGIN_MS + place * PERIOD_MS))
        metrics.batch({("quote_buy", "done"): 2}, 2_000_000)
        metrics.request("exchanges", "GET /", 200, 1_000_000)
    return samples


def drawn(name: str, samples: Sequence[Sample], dialect: str = EVERY) -> Chart:
    chart = chart_of(name, samples, dialect)
    assert chart is not None
    assert all(len(series.values) == len(chart.x) for series in chart.series)
    return chart


def values(chart: Chart, series: int = 0) -> list[Any]:
    return chart.series[series].values


def test_rates_are_of_the_time_that_has_passed() -> None:
    chart = drawn("commands", sampled(Metrics(), 0, 1, 2, 3, 4, 5, 6, 7))
    done, refused = chart.series
    assert (done.label, set(done.values)) == ("Done", {1.0})
    assert set(refused.values) == {0.0}
    assert chart.x == [BEGIN_MS // 1000 + 2 * place for place in range(1, 8)]
    assert set(drawn("requests", sampled(Metrics(), 0, 1, 2)).series[0].values) == {0.5}


def test_where_nobody_sampled_there_is_a_gap() -> None:
    values = drawn("commands", sampled(Metrics(), 0, 1, 100, 101)).series[0].values
    assert values == [1.0, None, 1.0]


def test_where_nothing_happened_there_is_nothing_to_measure() -> None:
    metrics = Metrics()
    quiet = [sample_of(metrics.sums(), BEGIN_MS + place * PERIOD_MS) for place in range(3)]
    assert [set(series.values) for series in drawn("latency", quiet).series] == [{None}] * 3
    assert set(drawn("commands", quiet).series[0].values) == {0.0}


def test_times_are_of_the_dialect_that_is_asked_for() -> None:
    metrics = Metrics()
    samples = sampled(metrics, 0)
    for _ in range(9):
        metrics.request("ramp", "GET /", 200, 400_000_000)
    samples.append(sample_of(metrics.sums(), BEGIN_MS + PERIOD_MS))
    every, ramp, exchanges = (values(drawn("histogram", samples, name)) for name in (EVERY, "ramp", "exchanges"))
    assert (sum(every), sum(ramp), sum(exchanges)) == (10, 9, 1)
    assert every == [one + other for one, other in zip(ramp, exchanges, strict=True)]
    assert 250 <= values(drawn("latency", samples, "ramp"))[-1] <= 500
    assert values(drawn("latency", samples, "exchanges"), 2)[-1] <= 1


def test_every_chart_can_be_drawn_from_one_sample() -> None:
    for name in TITLES:
        assert drawn(name, sampled(Metrics(), 0)).x in ([], list(range(13)))
    assert chart_of("nothing", sampled(Metrics(), 0), EVERY) is None
