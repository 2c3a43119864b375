"""Charts of the last minutes: rates and quantiles from the differences of samples, ready to be drawn.

Each point looks back over a short window, so that a chart is not made of the noise of single samples. Where nothing
happened there is nothing to measure, and where nobody sampled there is nothing to show: both are gaps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from otcdesk.console.system.sampler import RAIL_CALLS, Histogram, Sample
from otcdesk.metrics import BATCH_COMMANDS, BATCH_SECONDS, REQUEST_SECONDS, Figure

#: How far a point looks back, and how old the sample may be that it looks back to where there was none in between.
_WINDOW_MS: Final = 10_000
_WINDOW_MS_MAX: Final = 15_000

_NANOSECONDS_PER_MICROSECOND: Final = 1_000

#: The parts of a thousand whose bounds are shown, by their usual names.
QUANTILES: Final = {"p50": 500, "p90": 900, "p99": 990}

#: What the chart of requests says of all dialects together.
EVERY: Final = "every dialect"

Number = Any  # an integer, or a decimal fraction as JSON has them: charts are rounded
Window = tuple[Sample, Sample]


class Series(msgspec.Struct, frozen=True):
    """A named row of numbers; None is a gap."""

    label: str
    values: list[Number | None]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn: `x` are seconds since 1970 or, with `names`, places on an axis that these are written at."""

    x: list[Number]
    series: list[Series]
    unit: str = ""
    time: bool = True
    names: list[str] | None = None


def chart_of(name: str, samples: Sequence[Sample], dialect: str) -> Chart | None:
    """Return a chart by its name, of one dialect or of every one where it is about requests; None for no such name."""
    drawn = _CHARTS.get(name)
    return None if drawn is None else drawn(samples, dialect)


def windows(samples: Sequence[Sample]) -> Iterator[tuple[Sample, Sample | None]]:
    """Yield each sample but the first with the one that it looks back to; None where there is none near enough."""
    first = 0
    for place, sample in enumerate(samples):
        while sample.at_ms - samples[first].at_ms > _WINDOW_MS and first < place - 1:
            first += 1
        if place:
            near = 0 < sample.at_ms - samples[first].at_ms <= _WINDOW_MS_MAX  # a clock may be set back
            yield sample, samples[first] if near else None


def _over_time(samples: Sequence[Sample], unit: str, rows: Mapping[str, Callable[[Sample, Sample], Number]]) -> Chart:
    found = list(windows(samples))
    return Chart(
        x=[now.at_ms // 1000 for now, _ in found],
        series=[
            Series(label, [None if then is None else value(now, then) for now, then in found])
            for label, value in rows.items()
        ],
        unit=unit,
    )


def per_second(count: int, now: Sample, then: Sample) -> Number:
    """Return a count between two samples as a rate, to a hundredth."""
    return round(count * 1000 / (now.at_ms - then.at_ms), 2)


def milliseconds(found: Histogram, figure: Figure, thousandths: int) -> Number | None:
    """Return a quantile of a figure of seconds, in milliseconds to a thousandth."""
    nanoseconds = found.quantile(figure, thousandths)
    return None if nanoseconds is None else nanoseconds // _NANOSECONDS_PER_MICROSECOND / 1000


def _commands(samples: Sequence[Sample], _: str) -> Chart:
    return _over_time(
        samples,
        "/s",
        {
            "Done": lambda now, then: per_second(now.done - then.done, now, then),
            "Refused": lambda now, then: per_second(now.refused - then.refused, now, then),
        },
    )


def _batches(samples: Sequence[Sample], _: str) -> Chart:
    def mean(now: Sample, then: Sample) -> Number | None:
        found = now.batch_commands.since(then.batch_commands)
        return round(found.total / found.number, 1) if found.number else None

    def most(now: Sample, then: Sample) -> Number | None:
        return now.batch_commands.since(then.batch_commands).quantile(BATCH_COMMANDS, 990)

    return _over_time(samples, "", {"Mean": mean, "p99": most, "Waiting for one": lambda now, _: now.waiting})


def _batch_time(samples: Sequence[Sample], _: str) -> Chart:
    def quantile(thousandths: int) -> Callable[[Sample, Sample], Number | None]:
        return lambda now, then: milliseconds(now.batch_seconds.since(then.batch_seconds), BATCH_SECONDS, thousandths)

    return _over_time(samples, "ms", {name: quantile(part) for name, part in QUANTILES.items()})


def _requests(samples: Sequence[Sample], _: str) -> Chart:
    def rate(dialect: str) -> Callable[[Sample, Sample], Number]:
        def of(now: Sample, then: Sample) -> Number:
            before = then.requests.get(dialect)
            found = now.requests.get(dialect)
            return per_second(found.since(before).number if found else 0, now, then)

        return of

    dialects = sorted(samples[-1].requests) if samples else []
    return _over_time(samples, "/s", {dialect: rate(dialect) for dialect in dialects})


def _latency(samples: Sequence[Sample], dialect: str) -> Chart:
    def quantile(thousandths: int) -> Callable[[Sample, Sample], Number | None]:
        return lambda now, then: milliseconds(_answered(now, then, dialect), REQUEST_SECONDS, thousandths)

    return _over_time(samples, "ms", {name: quantile(part) for name, part in QUANTILES.items()})


def _histogram(samples: Sequence[Sample], dialect: str) -> Chart:
    """Draw how many requests took how long, since the oldest sample."""
    found = _answered(samples[-1], samples[0], dialect) if samples else Histogram((), 0)
    names = [f"{_in_milliseconds(bound)} ms" for bound in REQUEST_SECONDS.bounds]
    return Chart(
        x=list(range(len(found.counts))),
        series=[Series("Requests", list(found.counts))],
        time=False,
        names=[*(f"\u2264 {name}" for name in names), f"> {names[-1]}"],
    )


def _in_milliseconds(bound: int) -> str:
    microseconds = bound // _NANOSECONDS_PER_MICROSECOND
    return f"{microseconds // 1000}.{microseconds % 1000}" if microseconds % 1000 else str(microseconds // 1000)


def _answered(now: Sample, then: Sample, dialect: str) -> Histogram:
    """Return the requests of one dialect between two samples, or of all."""
    found = [one.since(then.requests.get(name)) for name, one in now.requests.items() if dialect in {EVERY, name}] or [
        Histogram((0,) * (len(REQUEST_SECONDS.buckets) + 1), 0)
    ]
    counts = tuple(map(sum, zip(*(one.counts for one in found), strict=True)))
    return Histogram(counts, sum(one.total for one in found))


def _calls(samples: Sequence[Sample], _: str) -> Chart:
    def rate(rail: str, place: int) -> Callable[[Sample, Sample], Number]:
        return lambda now, then: per_second(now.calls[rail][place] - then.calls[rail][place], now, then)

    rows = {rail: rate(rail, 0) for rail in RAIL_CALLS}
    failing = [rail for rail in RAIL_CALLS if samples and samples[-1].calls[rail][1] > samples[0].calls[rail][1]]
    return _over_time(samples, "/s", {**rows, **{f"{rail}, unanswered": rate(rail, 1) for rail in failing}})


def _outside(samples: Sequence[Sample], _: str) -> Chart:
    def number(what: str) -> Callable[[Sample, Sample], Number]:
        return lambda now, _: now.under_way[what]

    kinds = list(samples[-1].under_way) if samples else []
    return _over_time(samples, "", {what: number(what) for what in kinds})


def _callbacks(samples: Sequence[Sample], _: str) -> Chart:
    return _over_time(
        samples,
        "",
        {
            "Messages waiting": lambda now, _: now.webhooks_waiting,
            "Batches not told": lambda now, _: now.untold_batches,
        },
    )


_CHARTS: Final[Mapping[str, Callable[[Sequence[Sample], str], Chart]]] = {
    "commands": _commands,
    "batches": _batches,
    "batch-time": _batch_time,
    "requests": _requests,
    "latency": _latency,
    "histogram": _histogram,
    "calls": _calls,
    "outside": _outside,
    "callbacks": _callbacks,
}

#: What each chart is called, in the order of the page.
TITLES: Final[Mapping[str, str]] = {
    "commands": "Commands decided per second",
    "batches": "Commands in a batch, and waiting for one",
    "batch-time": "Time of a batch",
    "requests": "Requests per second",
    "latency": "Time to answer",
    "histogram": "Requests by the time that they took",
    "calls": "Calls to rails per second",
    "outside": "Waiting for the outside",
    "callbacks": "Webhooks waiting",
}
assert TITLES.keys() == _CHARTS.keys()
