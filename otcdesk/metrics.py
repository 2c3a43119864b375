"""What the desk counts of itself, for Prometheus: commands, batches, the queue, and HTTP by route.

Counting is done once for a batch and once for a request, so that it costs a few microseconds where a request costs a
hundred.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_NANOSECONDS = 1_000_000_000

#: A batch of one waits for one commit; a batch of hundreds should still be faster than a tenth of a second.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._commands = Counter(
            "otcdesk_commands", "Commands by name and outcome", ("command", "outcome"), registry=self.registry
        )
        self._batch_seconds = Histogram(
            "otcdesk_batch_seconds", "Seconds to carry out a batch", buckets=_SECONDS, registry=self.registry
        )
        self._batch_commands = Histogram(
            "otcdesk_batch_commands", "Commands in a batch", buckets=_COMMANDS, registry=self.registry
        )
        self._requests = Counter(
            "otcdesk_http_requests", "HTTP requests", ("dialect", "route", "status"), registry=self.registry
        )
        self._request_seconds = Histogram(
            "otcdesk_http_request_seconds",
            "Seconds to answer a request",
            ("dialect", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._waiting = Gauge("otcdesk_commands_waiting", "Commands waiting for a batch", registry=self.registry)
        self._leads = Gauge("otcdesk_leads", "1 in the process that leads", registry=self.registry)

    def batch(self, outcomes: Mapping[tuple[str, str], int], nanoseconds: int) -> None:
        """Count a batch; see `engine.lane.Watch`."""
        for (command, outcome), number in outcomes.items():
            self._commands.labels(command, outcome).inc(number)
        self._batch_commands.observe(sum(outcomes.values()))
        self._batch_seconds.observe(nanoseconds / _NANOSECONDS)

    def request(self, dialect: str, route: str, status: int, nanoseconds: int) -> None:
        """Count a request by the template of its route, never by its path."""
        known = self._routes.get((dialect, route, status))
        if known is None:  # looking a child up by its labels costs more than counting
            known = (self._requests.labels(dialect, route, str(status)), self._request_seconds.labels(dialect, route))
            self._routes[dialect, route, status] = known
        known[0].inc()
        known[1].observe(nanoseconds / _NANOSECONDS)

    def watch_engine(self, waiting: Callable[[], int], leads: Callable[[], bool]) -> None:
        """Ask these whenever somebody looks."""
        self._waiting.set_function(waiting)
        self._leads.set_function(leads)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self.registry)
