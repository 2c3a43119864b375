"""What the page of the system shows: counted by the processes of this host, or read from the database now."""

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final

import msgspec

from otcdesk import __version__
from otcdesk.clock import at_milliseconds
from otcdesk.console.prices.reads import PriceView, prices_of
from otcdesk.console.system.sampler import RAIL_CALLS, WORKED, Histogram, Sample, calls_of
from otcdesk.desk import Desk
from otcdesk.metrics import LEADS, REQUEST_SECONDS, RESTARTS, WORKER_LAST_SECONDS, WORKER_STEPS, Sums
from otcdesk.rails.chains import Chains
from otcdesk.storage.database import Reads

_SQL: Final = "console_system"

#: Of each webhook so many messages are counted, of a lane so many wallets shown.
_COUNTED_MAX: Final = 10_000
_SENDERS_MAX: Final = 200

_NANOSECONDS_PER_MS: Final = 1_000_000

#: What the desk is built on, as packages are called.
_PACKAGES: Final = ("asyncpg", "msgspec", "uvicorn", "httpx", "jinja2", "cryptography")

#: What waits for a rail, by the name that orders know it by; others have the same for people.
_WAITS_FOR: Final = {"chain_job": "chain jobs", "chain_payout": "chain"}


class Waiting(msgspec.Struct, frozen=True):
    """What waits for a rail, since when the longest by the lane's clock, and the most attempts that one has had."""

    rail: str
    what: str
    number: int
    resting: int
    attempts: int
    since: datetime


class Outbox(msgspec.Struct, frozen=True):
    """A lane's callbacks; `untold` are batches."""

    webhooks: int
    failing: int
    untold: int
    waiting: int
    oldest_due_at: datetime | None


class Database(msgspec.Struct, frozen=True):
    """The database's server and what it has done."""

    version: str
    started_at: datetime
    size_bytes: int
    connections_max: int
    commits: int
    rollbacks: int
    deadlocks: int
    found_in_memory: int
    read_from_disk: int

    @property
    def in_memory_bps(self) -> int | None:
        """Return how many of ten thousand blocks were found in memory."""
        blocks = self.found_in_memory + self.read_from_disk
        return self.found_in_memory * 10_000 // blocks if blocks else None


class Connections(msgspec.Struct, frozen=True):
    """Connections of one name: in all, working, in a database transaction without working, and waiting for another."""

    name: str
    number: int
    active: int
    in_transaction: int
    waiting: int


class ChainSends(msgspec.Struct, frozen=True):
    """What is not confirmed on a network."""

    network: str
    number: int
    since: datetime
    seen_block: int


class Sender(msgspec.Struct, frozen=True):
    """A wallet that sends on a network."""

    network: str
    sender: str
    number: int
    nonce: int | None


class Worker(msgspec.Struct, frozen=True):
    """A worker, its steps in all processes of this host, and the last step of any."""

    name: str
    steps: int
    failed: int
    last_at: datetime | None


class Rail(msgspec.Struct, frozen=True):
    """Calls to a rail by how they ended."""

    name: str
    outcomes: dict[str, int]

    @property
    def calls(self) -> int:
        """Return how many there were."""
        return sum(self.outcomes.values())

    @property
    def unanswered(self) -> int:
        """Return how many brought no answer that was believed."""
        return sum(number for outcome, number in self.outcomes.items() if outcome not in WORKED)


class Latency(msgspec.Struct, frozen=True):
    """How fast a dialect has answered: so many requests, and below how many microseconds 500, 900, 990 of 1000 were."""

    dialect: str
    number: int
    p50: int | None
    p90: int | None
    p99: int | None


class Process(msgspec.Struct, frozen=True):
    """A server process of this host."""

    number: int
    leads: bool
    restarts: int


class System(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but what charts show."""

    now: datetime
    machine_now: datetime
    newest: Sample
    latencies: list[Latency]
    recent: dict[str, Latency]
    recent_ms: int
    waiting: list[Waiting]
    rails: list[Rail]
    workers: list[Worker]
    outbox: Outbox
    prices: list[PriceView]
    database: Database
    durability: str
    connections: list[Connections]
    processes: list[Process]
    chain_sends: list[ChainSends]
    senders: list[Sender]
    chains_are_real: bool
    versions: list[tuple[str, str]]


async def system_of(desk: Desk, lane: int, sums: Sums, samples: Sequence[Sample]) -> System:
    """Return how a desk is, for people of a lane: what processes count is of all lanes, the rest of this one."""
    reads = desk.reads
    newest, oldest = samples[-1], samples[0]
    now = await desk.business_time(lane)
    database = await reads.row(_SQL, "database", Database)
    outbox = await reads.row(_SQL, "outbox", Outbox, lane, _COUNTED_MAX)
    assert database is not None, "the database knows itself"
    assert outbox is not None, "an aggregate has a row"
    return System(
        now=now,
        machine_now=desk.clock.now(),
        newest=newest,
        latencies=[_latency(dialect, found) for dialect, found in sorted(newest.requests.items())],
        recent={
            dialect: _latency(dialect, found.since(oldest.requests.get(dialect)))
            for dialect, found in newest.requests.items()
        },
        recent_ms=newest.at_ms - oldest.at_ms,
        waiting=[_named(row) for row in await reads.rows(_SQL, "waiting", Waiting, lane)],
        rails=[Rail(rail, calls_of(sums, rail)) for rail in RAIL_CALLS],
        workers=workers_of(sums),
        outbox=outbox,
        prices=await prices_of(reads, lane, now),
        database=database,
        durability=await reads.value("lanes", "durability"),
        connections=await reads.rows(_SQL, "connections", Connections),
        processes=processes_of(sums),
        chain_sends=await _sends(reads, lane),
        senders=await reads.rows(_SQL, "senders", Sender, lane, _SENDERS_MAX),
        chains_are_real=isinstance(desk.chain, Chains),
        versions=[("otcdesk", __version__), ("Python", platform.python_version()), *_versions()],
    )


async def _sends(reads: Reads, lane: int) -> list[ChainSends]:
    return await reads.rows(_SQL, "chain_sends", ChainSends, lane)


def _named(row: Waiting) -> Waiting:
    return msgspec.structs.replace(row, rail=_WAITS_FOR.get(row.rail, row.rail))


def _latency(dialect: str, found: Histogram) -> Latency:
    p50, p90, p99 = (found.quantile(REQUEST_SECONDS, part) for part in (500, 900, 990))
    return Latency(dialect, found.number, *(None if value is None else value // 1000 for value in (p50, p90, p99)))


def workers_of(sums: Sums) -> list[Worker]:
    """Return the workers by their names."""
    steps: dict[str, dict[str, int]] = {}
    last: dict[str, int] = {}
    for (name, labels), cells in sums.items():
        if name == WORKER_STEPS.name:
            steps.setdefault(labels[0], {})[labels[1]] = cells[0]
        elif name == WORKER_LAST_SECONDS.name:
            last[labels[0]] = max(last.get(labels[0], 0), cells[0])
    return [
        Worker(
            name=worker,
            steps=sum(outcomes.values()),
            failed=outcomes.get("failed", 0),
            last_at=at_milliseconds(last[worker] // _NANOSECONDS_PER_MS) if last.get(worker) else None,
        )
        for worker, outcomes in sorted(steps.items())
    ]


def processes_of(sums: Sums) -> list[Process]:
    """Return the processes of this host by their numbers."""
    restarts = {labels[0]: cells[0] for (name, labels), cells in sums.items() if name == RESTARTS.name}
    leads = {labels[0]: bool(cells[0]) for (name, labels), cells in sums.items() if name == LEADS.name}
    found = [Process(int(number), led, restarts.get(number, 0)) for number, led in leads.items()]
    return sorted(found, key=lambda process: process.number)


def _versions() -> list[tuple[str, str]]:
    return [(package, version(package)) for package in _PACKAGES]
