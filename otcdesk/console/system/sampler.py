"""A short memory of what the desk counts, for charts of the last minutes.

Counters only ever grow, so what happened in a while is the difference of two samples. They are taken while somebody
looks, and for as long afterwards as is remembered. Each server process remembers for itself what all have counted; of
several it is enough that one is looked at.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from otcdesk.clock import Clock, at_milliseconds, milliseconds_between
from otcdesk.metrics import (
    BATCH_COMMANDS,
    BATCH_SECONDS,
    COMMANDS,
    EXECUTIONS_UNDER_WAY,
    JOB_CALLS,
    JOBS_UNDER_WAY,
    PAYOUT_CALLS,
    PAYOUTS_UNDER_WAY,
    REQUEST_SECONDS,
    TRANSFER_CALLS,
    VENUE_CALLS,
    WAITING,
    WEBHOOKS_UNTOLD,
    WEBHOOKS_WAITING,
    Figure,
    Metrics,
    Sums,
)

#: The time between two samples.
PERIOD_MS: Final = 2_000

#: So long is remembered, and so long after the last look samples are still taken.
KEPT_MS: Final = 600_000

_SAMPLES_MAX: Final = KEPT_MS // PERIOD_MS
_EPOCH: Final = at_milliseconds(0)

#: The file by whose time the processes of a host know when somebody has looked last.
_LOOKED: Final = "looked_at"

#: Rails by their names for people, and the figures that count their calls: those of several rails name them first.
RAIL_CALLS: Final[Mapping[str, tuple[Figure, tuple[str, ...]]]] = {
    "chain": (TRANSFER_CALLS, ("chain",)),
    "fiat": (TRANSFER_CALLS, ("fiat",)),
    "venue": (VENUE_CALLS, ()),
    "payout": (PAYOUT_CALLS, ()),
    "chain jobs": (JOB_CALLS, ()),
}

#: What of a rail's answers means that it works: whatever it decides, and that it has not decided yet.
WORKED: Final = frozenset({"done", "refused", "pending"})


class Histogram(msgspec.Struct, frozen=True):
    """How many were counted in each bucket, one more for what is above them all, and the sum of what was measured."""

    counts: tuple[int, ...]
    total: int

    @property
    def number(self) -> int:
        """Return how many there were."""
        return sum(self.counts)

    def since(self, before: "Histogram | None") -> "Histogram":
        """Return what has come after another sample."""
        if before is None:
            return self
        counts = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Histogram(counts, self.total - before.total)

    def quantile(self, figure: Figure, thousandths: int) -> int | None:
        """Return below which value so many thousandths are, in what the figure counts; None if there is nothing.

        Within a bucket they are taken to lie evenly, as Prometheus does; what is above all bounds counts as the last.
        """
        number = self.number
        if not number:
            return None
        rank, below, lower = -(-number * thousandths // 1000), 0, 0
        bounds = figure.bounds
        for count, upper in zip(self.counts, bounds, strict=False):
            if below + count >= rank:
                return lower + (upper - lower) * (rank - below) // count
            below, lower = below + count, upper
        return bounds[-1]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted by a time, in milliseconds since 1970, and what waited then."""

    at_ms: int
    done: int
    refused: int
    waiting: int
    batch_commands: Histogram
    batch_seconds: Histogram
    #: Requests by dialect.
    requests: Mapping[str, Histogram]
    #: Calls that a rail has answered, and those that it has not, by rail.
    calls: Mapping[str, tuple[int, int]]
    #: Orders and jobs that wait for the outside, by what they wait for.
    under_way: Mapping[str, int]
    webhooks_waiting: int
    untold_batches: int


def sample_of(sums: Sums, at_ms: int) -> Sample:
    """Return what of all figures is remembered."""
    done = refused = 0
    requests: dict[str, Histogram] = {}
    for (name, labels), cells in sums.items():
        if name == COMMANDS.name:
            done, refused = (done + cells[0], refused) if labels[1] == "done" else (done, refused + cells[0])
        elif name == REQUEST_SECONDS.name:
            requests[labels[0]] = _added(requests.get(labels[0]), cells)
    return Sample(
        at_ms=at_ms,
        done=done,
        refused=refused,
        waiting=_value(sums, WAITING),
        batch_commands=_histogram(sums, BATCH_COMMANDS),
        batch_seconds=_histogram(sums, BATCH_SECONDS),
        requests=requests,
        calls={rail: _calls(calls_of(sums, rail)) for rail in RAIL_CALLS},
        under_way={
            "executions": _value(sums, EXECUTIONS_UNDER_WAY),
            "payouts": _value(sums, PAYOUTS_UNDER_WAY),
            "chain jobs": _value(sums, JOBS_UNDER_WAY),
        },
        webhooks_waiting=_value(sums, WEBHOOKS_WAITING),
        untold_batches=_value(sums, WEBHOOKS_UNTOLD),
    )


def calls_of(sums: Sums, rail: str) -> dict[str, int]:
    """Return how the calls to a rail have ended, by their outcomes."""
    figure, first = RAIL_CALLS[rail]
    return {
        labels[-1]: cells[0]
        for (name, labels), cells in sums.items()
        if name == figure.name and labels[: len(first)] == first
    }


def _calls(outcomes: Mapping[str, int]) -> tuple[int, int]:
    answered = sum(number for outcome, number in outcomes.items() if outcome in WORKED)
    return answered, sum(outcomes.values()) - answered


def _value(sums: Sums, figure: Figure) -> int:
    return sums.get((figure.name, ()), [0])[0]


def _histogram(sums: Sums, figure: Figure) -> Histogram:
    cells = sums.get((figure.name, ()), [0] * figure.cells)
    return Histogram(tuple(cells[:-1]), cells[-1])


def _added(known: Histogram | None, cells: list[int]) -> Histogram:
    if known is None:
        return Histogram(tuple(cells[:-1]), cells[-1])
    counts = tuple(one + more for one, more in zip(known.counts, cells[:-1], strict=True))
    return Histogram(counts, known.total + cells[-1])


class Sampler:
    """Takes samples of what the processes of a host count, while somebody looks."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES_MAX)
        self._looked_ms = -KEPT_MS

    async def step(self) -> bool:
        """Take a sample if somebody has looked within what is remembered; see `workers.loop`."""
        if self._now_ms() - self._last_look_ms() < KEPT_MS:
            self._take()
        return False

    def look(self) -> Sequence[Sample]:
        """Return what is remembered, the oldest first, and keep remembering; there is one sample at least."""
        now_ms = self._now_ms()
        self._looked_ms = now_ms
        if self._metrics.shared is not None:
            (self._metrics.shared / _LOOKED).touch()
        if not self._samples or now_ms - self._samples[-1].at_ms >= PERIOD_MS:
            self._take()
        return [sample for sample in self._samples if now_ms - sample.at_ms <= KEPT_MS]

    def _take(self) -> None:
        self._samples.append(sample_of(self._metrics.sums(), self._now_ms()))

    def _last_look_ms(self) -> int:
        if self._metrics.shared is not None:
            try:
                return (self._metrics.shared / _LOOKED).stat().st_mtime_ns // 1_000_000
            except FileNotFoundError:
                return self._looked_ms
        return self._looked_ms

    def _now_ms(self) -> int:
        return milliseconds_between(_EPOCH, self._clock.now())
