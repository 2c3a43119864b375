"""Measure pairs of a dialect's two main requests per second beside pgbench TPC-B, on the same server in the same run.

Full product path: HTTP, authentication, idempotency, ledger, audit chain, events; durability as the database has it,
which is reported. Afterwards the books are checked. The unit of everything is in its name.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg
import msgspec

from otcdesk.app import open_desk
from otcdesk.bench.dialects import BenchedDialect
from otcdesk.bench.load import Result
from otcdesk.bench.machine import (
    Asked,
    Say,
    Server,
    books,
    execute,
    facts,
    free_port,
    hundredths,
    load,
    make_orders,
    pairs_per_s,
    percentile,
    plan_of,
)
from otcdesk.config import Settings
from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.queries import queries
from otcdesk.world_loading import LoadedWorld

_SCALE = 20
_PGBENCH_CLIENTS = 16
_WARM_UP_SECONDS = 2
_COMPLETE_SECONDS_MAX = 300
_LOOK_MS = 20


class Figures(msgspec.Struct, kw_only=True):
    """One run's figures."""

    dialect: str
    pairs_per_s: int
    pgbench_tpcb_tps: int
    ratio: str
    p50_ms: str
    p99_ms: str
    connections: int
    processes: int
    seconds: int
    single_p50_ms: str
    pgbench_single_ms: str
    single_ratio: str
    server_rss_mb: int
    #: Where each request of a pair begins something that a worker completes: how many requests were accepted, and how
    #: many completed, each second from the first request to the end of the last that was begun.
    accepted_per_s: int | None
    accepted_ratio: str | None
    completed_per_s: int | None
    completed_ratio: str | None
    orders_before: int
    postgres_version: str
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    books: str


def bench(dialect: BenchedDialect, asked: Asked, say: Say) -> Figures:
    """Run everything on a fresh embedded server in a temporary folder, and clean up."""
    home = Path(tempfile.mkdtemp(prefix="otcdesk-bench-"))
    server = EmbeddedServer(home)
    try:
        say("starting PostgreSQL")
        server.start()
        return _bench(dialect, server, home, asked, say)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _bench(dialect: BenchedDialect, server: EmbeddedServer, home: Path, asked: Asked, say: Say) -> Figures:
    tool = str(server.bin("pgbench"))
    pgbench_dsn = server.dsn("pgbench")
    asyncio.run(execute(server.dsn("postgres"), "create database pgbench"))
    subprocess.run([tool, "-i", "-q", "-s", str(_SCALE), pgbench_dsn], check=True, capture_output=True)  # noqa: S603
    asyncio.run(execute(server.dsn("postgres"), "checkpoint"))
    say(f"pgbench TPC-B, {_PGBENCH_CLIENTS} clients, {asked.seconds} s")
    many = _pgbench(tool, pgbench_dsn, clients=_PGBENCH_CLIENTS, seconds=asked.seconds)
    say("pgbench TPC-B, 1 client")
    single = _pgbench(tool, pgbench_dsn, clients=1, seconds=max(2, asked.seconds // 2))

    # Neither measurement pays for what the other left to the vacuum and the checkpointer.
    asyncio.run(execute(server.dsn("postgres"), "drop database pgbench", "checkpoint"))
    dsn = server.dsn()
    asyncio.run(migrate(dsn))
    settings = Settings(home=str(home), database_url=dsn, port=free_port(), log_level="warning")
    world, before = asyncio.run(_prepare(dialect, settings, asked.orders, say))
    asyncio.run(execute(server.dsn("postgres"), "checkpoint"))
    with Server(settings, asked.processes) as running:
        running.wait_until_ready()
        callers = dialect.callers(settings, world)
        say("warming up")
        load(plan_of(settings, callers, asked, _WARM_UP_SECONDS))
        asyncio.run(_completed(settings))
        say("one connection")
        plan = plan_of(settings, callers, asked, max(2, asked.seconds // 2))
        alone = load(msgspec.structs.replace(plan, connections=1))
        say(f"{asked.connections} connections, {asked.seconds} s")
        asyncio.run(_completed(settings))
        began_ns = time.monotonic_ns()
        together = load(plan_of(settings, callers, asked, asked.seconds))
        asyncio.run(_completed(settings))
        completed_us = (time.monotonic_ns() - began_ns) // 1000
        rss_mb = running.rss_mb
    say("checking the books")
    sound = asyncio.run(books(settings))
    durable = asyncio.run(facts(dsn))
    return _figures(dialect, asked, together, alone, many, single, completed_us, rss_mb, before, durable, sound)


async def _completed(settings: Settings) -> None:
    """Wait until no job waits for its worker; raises RuntimeError if that takes too long."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with asyncio.timeout(_COMPLETE_SECONDS_MAX):
            while not await connection.fetchval(queries("bench")["jobs_over"]):  # noqa: ASYNC110  (others end them)
                await asyncio.sleep(_LOOK_MS / 1000)
    except TimeoutError:
        raise RuntimeError(f"jobs waited for more than {_COMPLETE_SECONDS_MAX} s") from None
    finally:
        await connection.close()


async def _prepare(dialect: BenchedDialect, settings: Settings, orders: int, say: Say) -> tuple[LoadedWorld, int]:
    async with open_desk(settings, settings.database_url) as program:
        world = await dialect.load_world(program)
        return world, await make_orders(program, dialect, world.lane, orders, say)


def _figures(
    dialect: BenchedDialect,
    asked: Asked,
    together: Result,
    alone: Result,
    many: tuple[int, int],
    single: tuple[int, int],
    completed_us: int,
    rss_mb: int,
    before: int,
    durable: dict[str, str],
    sound: str,
) -> Figures:
    taken = sorted(together.first_us + together.second_us)
    single_us = percentile(sorted(alone.second_us), 50)
    accepted = 2 * together.pairs * 1_000_000 // together.elapsed_us if dialect.completes else None
    completed = 2 * together.pairs * 1_000_000 // completed_us if dialect.completes else None
    return Figures(
        dialect=dialect.name,
        pairs_per_s=pairs_per_s(together),
        pgbench_tpcb_tps=many[0],
        ratio=hundredths(pairs_per_s(together), many[0]),
        p50_ms=hundredths(percentile(taken, 50), 1000),
        p99_ms=hundredths(percentile(taken, 99), 1000),
        connections=asked.connections,
        processes=asked.processes,
        seconds=asked.seconds,
        single_p50_ms=hundredths(single_us, 1000),
        pgbench_single_ms=hundredths(single[1], 1000),
        single_ratio=hundredths(single_us, single[1]),
        server_rss_mb=rss_mb,
        accepted_per_s=accepted,
        accepted_ratio=None if accepted is None else hundredths(accepted, many[0]),
        completed_per_s=completed,
        completed_ratio=None if completed is None else hundredths(completed, many[0]),
        orders_before=before,
        books=sound,
        **durable,
    )


def _pgbench(tool: str, dsn: str, *, clients: int, seconds: int) -> tuple[int, int]:
    """Return transactions per second and the mean latency in microseconds."""
    told = subprocess.run(  # noqa: S603
        [tool, "-M", "prepared", "-c", str(clients), "-j", str(min(2, clients)), "-T", str(seconds), "-n", dsn],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    tps = re.search(r"^tps = (\d+)", told, re.MULTILINE)
    latency = re.search(r"^latency average = (\d+)\.(\d{3})", told, re.MULTILINE)
    if tps is None or latency is None:
        raise RuntimeError(f"pgbench said something else:\n{told}")
    return int(tps[1]), int(latency[1] + latency[2])
