"""What the desk counts of itself, for Prometheus: commands, batches, the queue, hand-overs, and HTTP by route.

Counting is adding whole numbers to cells (`figures.py`), so that it costs about a microsecond where a request costs a
hundred; times are in nanoseconds until they are told. Several server processes share a folder, and whoever is asked
adds up what all have counted.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import accumulate
from pathlib import Path
from uuid import UUID

import msgspec
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from otcdesk.figures import Figures, Full, clear

log = structlog.get_logger()

_NANOSECONDS = 1_000_000_000

#: Labels of everything else come from tables of the code. Webhooks come and go as their owners like, sandboxes' most of
#: all: those that come later are counted together, and leave room for the desk's own figures.
_WEBHOOK_SERIES_MAX = 2_000

#: A batch of one waits for one commit; a batch of hundreds should still be faster than a tenth of a second.
_SECONDS = ("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "10.0")
_NUMBERS = tuple(f"{1 << power}.0" for power in range(11))


class Kind(Enum):
    """How a figure is told, by Prometheus's own words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of everything that is counted. `unit`: so many of what is counted are one that is told."""

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    unit: int = 1

    @property
    def told_name(self) -> str:
        """Return the name as it is told: counters end in `_total`."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name

    @property
    def bounds(self) -> list[int]:
        """Return the upper bounds of the buckets in what is counted."""
        return [int(Decimal(bucket) * self.unit) for bucket in self.buckets]

    @property
    def cells(self) -> int:
        """Return how many numbers a series has: a histogram one for each bucket, one for what is above, and the sum."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1


COMMANDS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_commands",
    meaning="Commands that were decided in batches, by name and outcome: `done`, or the code of the refusal",
    labels=("command", "outcome"),
)
BATCH_SECONDS = Figure(
    kind=Kind.HISTOGRAM,
    name="otcdesk_batch_seconds",
    meaning="Seconds to carry out a batch",
    buckets=_SECONDS,
    unit=_NANOSECONDS,
)
BATCH_COMMANDS = Figure(
    kind=Kind.HISTOGRAM, name="otcdesk_batch_commands", meaning="Commands in a batch", buckets=_NUMBERS
)
WAITING = Figure(kind=Kind.GAUGE, name="otcdesk_commands_waiting", meaning="Commands waiting for a batch")
REQUESTS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_http_requests",
    meaning="HTTP requests, by the template of their route",
    labels=("dialect", "route", "status"),
)
REQUEST_SECONDS = Figure(
    kind=Kind.HISTOGRAM,
    name="otcdesk_http_request_seconds",
    meaning="Seconds to answer a request",
    labels=("dialect", "route"),
    buckets=_SECONDS,
    unit=_NANOSECONDS,
)
HANDED_OVER = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_handed_over",
    meaning="Commands handed over to the process that leads, by how that ended: `answered`, `not_taken` (carried out"
    " here instead), `lost` (the leader was gone or too slow)",
    labels=("outcome",),
)
HANDOVER_SECONDS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_handover_seconds",
    meaning="Seconds from handing over to the answer, all commands together",
    unit=_NANOSECONDS,
)
LEADS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_leads",
    meaning="1 for the process that leads, 0 for others",
    labels=("process",),
)
RESTARTS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_process_restarts",
    meaning="Server processes that ended by themselves and were started again",
    labels=("process",),
)
WEBHOOK_ATTEMPTS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_webhook_attempts",
    meaning="Attempts to send a webhook, by subscription and outcome: `received`, `failed`",
    labels=("webhook", "outcome"),
)
WEBHOOKS_WAITING = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_webhooks_waiting",
    meaning="Webhooks that are not delivered yet, of subscriptions that are switched on; at most 10000 of each",
)
WEBHOOKS_OLDEST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_webhooks_oldest_due_seconds",
    meaning="For how long the longest due webhook has been due whose receiver neither fails nor asked for a pause",
    unit=_NANOSECONDS,
)
WEBHOOKS_UNTOLD = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_webhooks_untold_batches",
    meaning="Batches of lanes with webhooks whose events are not turned into webhooks yet",
)
VENUE_OUTCOMES = ("done", "refused", "unavailable", "unknown", "contradicted")
VENUE_CALLS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_venue_calls",
    meaning="Calls to the execution venue, by how they ended: `done`, `refused`, `unavailable`, `unknown`; and"
    " `contradicted`, when it said otherwise before, and the books keep what it said first",
    labels=("outcome",),
)
EXECUTIONS_UNDER_WAY = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_executions_under_way",
    meaning="Accepted quotes whose outcome the execution venue has not told yet",
)
EXECUTIONS_OLDEST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_executions_oldest_seconds",
    meaning="For how long the oldest of them has waited, by its lane's clock",
    unit=_NANOSECONDS,
)
PAYOUT_OUTCOMES = ("done", "refused", "pending", "unavailable", "unknown", "contradicted")
PAYOUT_CALLS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_payout_calls",
    meaning="Calls to the payout provider, by how they ended: `done`, `refused`, `pending` when it has not decided,"
    " `unavailable`, `unknown`; and `contradicted`, when it said otherwise before, and the books keep what it said"
    " first",
    labels=("outcome",),
)
PAYOUTS_UNDER_WAY = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_payouts_under_way",
    meaning="Payouts on which the payout provider has not decided yet",
)
PAYOUTS_OLDEST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_payouts_oldest_seconds",
    meaning="For how long the oldest of them has waited, by its lane's clock",
    unit=_NANOSECONDS,
)
JOB_CALLS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_job_calls",
    meaning="Calls to the chain for jobs, by how they ended: `done`, `refused`, `unavailable`, `unknown` (which is also"
    " what is sent and not confirmed yet); and `contradicted`, when it said otherwise before",
    labels=("outcome",),
)
JOBS_UNDER_WAY = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_jobs_under_way",
    meaning="Jobs that the chain has not carried out yet",
)
JOBS_OLDEST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_jobs_oldest_seconds",
    meaning="For how long the oldest of them has waited: a job that is stuck",
    unit=_NANOSECONDS,
)
JOBS_FAILED = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_jobs_failed",
    meaning="Jobs that the chain refused after the books had moved, and that nobody has retried: the chain differs by"
    " them",
)
CHAIN_SENDS_UNCONFIRMED = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_chain_sends_unconfirmed",
    meaning="What is recorded to be sent to real chains, transfers and the gas for them, and not confirmed yet",
)
CHAIN_SENDS_OLDEST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_chain_sends_oldest_seconds",
    meaning="For how long the oldest of it has been recorded",
    unit=_NANOSECONDS,
)
OUTCOMES_AWAITED = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_requests_awaiting_outcome",
    meaning="Requests that wait for the outcome of an execution",
)

TRANSFER_OUTCOMES = ("done", "refused", "unavailable", "unknown", "contradicted")
TRANSFER_RAILS = ("chain", "fiat")
TRANSFER_CALLS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_transfer_calls",
    meaning="Calls to the rails that settle conversions and send chain payouts, by rail and by how they ended: `done`,"
    " `refused`, `unavailable`, `unknown` (which is also what is sent and not confirmed yet); and `contradicted`",
    labels=("rail", "outcome"),
)
WORKER_OUTCOMES = ("done", "failed")
WORKER_STEPS = Figure(
    kind=Kind.COUNTER,
    name="otcdesk_worker_steps",
    meaning="Steps of workers, by how they ended: `done`, `failed`; in a process that does not lead most do nothing",
    labels=("worker", "outcome"),
)
WORKER_LAST_SECONDS = Figure(
    kind=Kind.GAUGE,
    name="otcdesk_worker_last_step_seconds",
    meaning="When the last step of a worker ended, in seconds since 1970, by server process",
    labels=("worker", "process"),
    unit=_NANOSECONDS,
)

FIGURES = (
    COMMANDS,
    BATCH_SECONDS,
    BATCH_COMMANDS,
    WAITING,
    REQUESTS,
    REQUEST_SECONDS,
    HANDED_OVER,
    HANDOVER_SECONDS,
    LEADS,
    RESTARTS,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_WAITING,
    WEBHOOKS_OLDEST_SECONDS,
    WEBHOOKS_UNTOLD,
    VENUE_CALLS,
    EXECUTIONS_UNDER_WAY,
    EXECUTIONS_OLDEST_SECONDS,
    PAYOUT_CALLS,
    PAYOUTS_UNDER_WAY,
    PAYOUTS_OLDEST_SECONDS,
    JOB_CALLS,
    JOBS_UNDER_WAY,
    JOBS_OLDEST_SECONDS,
    JOBS_FAILED,
    CHAIN_SENDS_UNCONFIRMED,
    CHAIN_SENDS_OLDEST_SECONDS,
    OUTCOMES_AWAITED,
    TRANSFER_CALLS,
    WORKER_STEPS,
    WORKER_LAST_SECONDS,
)

#: What is counted, added up over all processes: the cells of each series, by the name of its figure and its labels.
Sums = dict[tuple[str, tuple[str, ...]], list[int]]

_OF_THE_PRESENT = frozenset(figure.name for figure in FIGURES if figure.kind is Kind.GAUGE)


def forget_process(folder: Path, process: int) -> None:
    """Drop what a process that has ended said of its present; what it counted stays."""
    clear(folder, process, _OF_THE_PRESENT)


class Metrics:
    """The counters of one process; in a folder that is shared they are told for all of its processes."""

    def __init__(self, process: int = 1, shared: Path | None = None) -> None:
        self.process = process
        self.shared = shared
        self._figures = Figures(shared, process)
        self._cells = self._figures.cells
        self._second_bounds = REQUEST_SECONDS.bounds
        self._number_bounds = BATCH_COMMANDS.bounds
        self._batch_seconds = self._place(BATCH_SECONDS)
        self._batch_commands = self._place(BATCH_COMMANDS)
        self._handover_seconds = self._place(HANDOVER_SECONDS)
        self._waiting = self._place(WAITING)
        self._leads = self._place(LEADS, str(process))
        self._restarts = self._place(RESTARTS, str(process))
        self._webhooks_waiting = self._place(WEBHOOKS_WAITING)
        self._webhooks_oldest = self._place(WEBHOOKS_OLDEST_SECONDS)
        self._webhooks_untold = self._place(WEBHOOKS_UNTOLD)
        self._executions_under_way = self._place(EXECUTIONS_UNDER_WAY)
        self._executions_oldest = self._place(EXECUTIONS_OLDEST_SECONDS)
        self._outcomes_awaited = self._place(OUTCOMES_AWAITED)
        self._venue_calls = {outcome: self._place(VENUE_CALLS, outcome) for outcome in VENUE_OUTCOMES}
        self._payouts_under_way = self._place(PAYOUTS_UNDER_WAY)
        self._payouts_oldest = self._place(PAYOUTS_OLDEST_SECONDS)
        self._jobs_under_way = self._place(JOBS_UNDER_WAY)
        self._jobs_oldest = self._place(JOBS_OLDEST_SECONDS)
        self._jobs_failed = self._place(JOBS_FAILED)
        self._job_calls = {outcome: self._place(JOB_CALLS, outcome) for outcome in VENUE_OUTCOMES}
        self._chain_sends_unconfirmed = self._place(CHAIN_SENDS_UNCONFIRMED)
        self._chain_sends_oldest = self._place(CHAIN_SENDS_OLDEST_SECONDS)
        self._payout_calls = {outcome: self._place(PAYOUT_CALLS, outcome) for outcome in PAYOUT_OUTCOMES}
        self._transfer_calls = {
            (rail, outcome): self._place(TRANSFER_CALLS, rail, outcome)
            for rail in TRANSFER_RAILS
            for outcome in TRANSFER_OUTCOMES
        }
        self._workers: dict[str, dict[str, int]] = {}
        self._commands: dict[tuple[str, str], int] = {}
        self._handed_over: dict[str, int] = {}
        self._webhooks: dict[tuple[UUID, bool], int] = {}
        self._other_webhooks = [self._place(WEBHOOK_ATTEMPTS, "others", outcome) for outcome in ("failed", "received")]
        self._routes: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._look: Callable[[], tuple[int, bool]] = lambda: (0, False)
        self._count_awaited: Callable[[], int] = int

    def _place(self, figure: Figure, *labels: str) -> int:
        return self._figures.place(figure.name, labels, figure.cells)

    def batch(self, outcomes: Mapping[tuple[str, str], int], nanoseconds: int) -> None:
        """Count a batch; see `engine.lane.Watch`."""
        for told, number in outcomes.items():
            place = self._commands.get(told)
            if place is None:
                place = self._commands[told] = self._place(COMMANDS, *told)
            self._cells[place] += number
        self._observe(self._batch_commands, self._number_bounds, sum(outcomes.values()))
        self._observe(self._batch_seconds, self._second_bounds, nanoseconds)

    def request(self, dialect: str, route: str, status: int, nanoseconds: int) -> None:
        """Count a request by the template of its route, never by its path."""
        places = self._routes.get((dialect, route, status))
        if places is None:
            try:
                places = (
                    self._place(REQUESTS, dialect, route, str(status)),
                    self._place(REQUEST_SECONDS, dialect, route),
                )
            except Full:
                log.warning("figures_full", dialect=dialect, route=route, status=status)
                return
            self._routes[dialect, route, status] = places
        self._cells[places[0]] += 1
        self._observe(places[1], self._second_bounds, nanoseconds)

    def handed_over(self, outcomes: Mapping[str, int], nanoseconds: int) -> None:
        """Count commands whose hand-over has ended; see `handover.forwarding.Watch`."""
        for outcome, number in outcomes.items():
            place = self._handed_over.get(outcome)
            if place is None:
                place = self._handed_over[outcome] = self._place(HANDED_OVER, outcome)
            self._cells[place] += number
        self._cells[self._handover_seconds] += nanoseconds

    def webhook(self, subscription_id: UUID, received: bool) -> None:  # noqa: FBT001  (a row of a table of two)
        """Count an attempt to send a webhook; see `workers.webhooks.Watch`."""
        place = self._webhooks.get((subscription_id, received))
        if place is None and len(self._webhooks) < _WEBHOOK_SERIES_MAX:
            place = self._place(WEBHOOK_ATTEMPTS, str(subscription_id), "received" if received else "failed")
            self._webhooks[subscription_id, received] = place
        self._cells[self._other_webhooks[received] if place is None else place] += 1

    def webhooks_waiting(self, waiting: int, oldest_due_ms: int, untold_batches: int) -> None:
        """Say how many webhooks wait, for how long the longest due one has been due, and how far telling is behind."""
        self._cells[self._webhooks_waiting] = waiting
        self._cells[self._webhooks_oldest] = oldest_due_ms * 1_000_000
        self._cells[self._webhooks_untold] = untold_batches

    def venue_call(self, outcome: str) -> None:
        """Count a call to the execution venue; see `workers.waves.Watch`."""
        self._cells[self._venue_calls[outcome]] += 1

    def executions_under_way(self, number: int, longest_ms: int) -> None:
        """Say how many accepted quotes wait for their outcome, and for how long the longest."""
        self._cells[self._executions_under_way] = number
        self._cells[self._executions_oldest] = max(longest_ms, 0) * 1_000_000

    def payout_call(self, outcome: str) -> None:
        """Count a call to the payout provider; see `workers.waves.Watch`."""
        self._cells[self._payout_calls[outcome]] += 1

    def payouts_under_way(self, number: int, longest_ms: int) -> None:
        """Say how many payouts wait for their provider, and for how long the longest."""
        self._cells[self._payouts_under_way] = number
        self._cells[self._payouts_oldest] = max(longest_ms, 0) * 1_000_000

    def job_call(self, outcome: str) -> None:
        """Count a call to the chain for a job; see `workers.waves.Watch`."""
        self._cells[self._job_calls[outcome]] += 1

    def jobs_under_way(self, number: int, longest_ms: int) -> None:
        """Say how many jobs wait for the chain, and for how long the oldest."""
        self._cells[self._jobs_under_way] = number
        self._cells[self._jobs_oldest] = max(longest_ms, 0) * 1_000_000

    def jobs_failed(self, number: int) -> None:
        """Say how many jobs failed by which the chain was to follow the books, and have none in their place."""
        self._cells[self._jobs_failed] = number

    def chain_sends_unconfirmed(self, number: int, longest_ms: int) -> None:
        """Say how much is recorded to be sent to real chains and not confirmed, and for how long the oldest."""
        self._cells[self._chain_sends_unconfirmed] = number
        self._cells[self._chain_sends_oldest] = max(longest_ms, 0) * 1_000_000

    def transfer_call(self, rail: str, outcome: str) -> None:
        """Count a call to a rail that moves what was traded; see `workers.settlement` and `workers.waves.Watch`."""
        self._cells[self._transfer_calls[rail, outcome]] += 1

    def worker_step(self, worker: str, outcome: str) -> None:
        """Count a step of a worker, and say when it ended; see `workers.loop.Watch`."""
        places = self._workers.get(worker)
        if places is None:
            places = {outcome: self._place(WORKER_STEPS, worker, outcome) for outcome in WORKER_OUTCOMES}
            places[""] = self._place(WORKER_LAST_SECONDS, worker, str(self.process))
            self._workers[worker] = places
        self._cells[places[outcome]] += 1
        self._cells[places[""]] = time.time_ns()

    def restarted(self, times: int) -> None:
        """Count that this process had to be started again."""
        self._cells[self._restarts] += times

    def _observe(self, place: int, bounds: list[int], value: int) -> None:
        self._cells[place + bisect_left(bounds, value)] += 1
        self._cells[place + len(bounds) + 1] += value

    def watch_engine(self, waiting: Callable[[], int], leads: Callable[[], bool]) -> None:
        """Ask these whenever somebody looks, and for those who look elsewhere whenever `refresh` is called."""
        self._look = lambda: (waiting(), leads())
        self.refresh()

    def watch_outcomes(self, awaited: Callable[[], int]) -> None:
        """Ask this as well."""
        self._count_awaited = awaited

    def refresh(self) -> None:
        """Say how things are at this moment."""
        waiting, leads = self._look()
        self._cells[self._outcomes_awaited] = self._count_awaited()
        self._cells[self._waiting] = waiting
        self._cells[self._leads] = int(leads)

    def sums(self) -> Sums:
        """Return everything as it is now."""
        self.refresh()
        sums: Sums = {}
        for series, cells in self._figures.all():
            known = sums.get((series.figure, series.labels))
            sums[series.figure, series.labels] = (
                cells if known is None else [one + more for one, more in zip(known, cells, strict=True)]
            )
        return sums

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        registry = CollectorRegistry()
        registry.register(_Told(self.sums()))
        return generate_latest(registry)


class _Told(Collector):
    """Puts what all processes have counted into Prometheus's words."""

    def __init__(self, sums: Sums) -> None:
        self.sums = sums

    def collect(self) -> Iterator[Metric]:
        """Yield every figure with its series."""
        for figure in FIGURES:
            yield _family(figure, {labels: cells for (name, labels), cells in self.sums.items() if name == figure.name})


def _family(figure: Figure, series: Mapping[tuple[str, ...], list[int]]) -> Metric:
    if figure.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(figure.name, figure.meaning, labels=figure.labels)
        for labels, cells in series.items():
            counts = zip([*figure.buckets, "+Inf"], accumulate(cells[:-1]), strict=True)
            histogram.add_metric(labels, buckets=list(counts), sum_value=cells[-1] / figure.unit)
        return histogram
    kind = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(figure.name, figure.meaning, labels=figure.labels)
    for labels, cells in series.items():
        family.add_metric(labels, cells[0] / figure.unit)
    return family
