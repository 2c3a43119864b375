"""Measure pairs of quote and confirm per second beside pgbench TPC-B, on the same server in the same run.

Full product path: HTTP, authentication, idempotency, ledger, audit chain, events; durability as the database has it,
which is reported. Afterwards the books are checked. The unit of everything is in its name.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import UUID, uuid4

import asyncpg
import msgspec

from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.app import Program, open_desk
from otcdesk.bench.load import Customer, Plan, Result
from otcdesk.config import Settings
from otcdesk.domain.orders import BUY
from otcdesk.domain.world import parse_world, tenant_id
from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.verify import verify
from otcdesk.world_loading import LIVE

_SCALE = 20
_PGBENCH_CLIENTS = 16
_CUSTOMERS = 32
_HISTORY_AT_ONCE = 512
_WARM_UP_SECONDS = 2
_START_SECONDS_MAX = 30

_WORLD_HEAD = """
name = "bench"
assets = [{ code = "EUR", scale = 2 }, { code = "USDC", scale = 6 }]
treasury = [{ asset = "EUR", balance = "1000000000" }, { asset = "USDC", network = "ethereum", balance = "1000000000" }]
prices = [{ source = "EUR", destination = "USDC", rate = "1.0842" }]
operators = [{ ref = "operator" }]
[conversions]
ttl_seconds = 900
"""

_WORLD_TENANT = """
[[tenants]]
ref = "customer-{number}"
accounts = [{{ ref = "main", asset = "EUR", balance = "100000000000" }}]
wallets = [{{ ref = "ops", addresses = {{ ethereum = "0x{number:040x}" }} }}]
keys = [{{ ref = "key-{number}", scopes = ["otc-exchanges:read", "otc-exchanges:write"] }}]
"""


class Figures(msgspec.Struct, kw_only=True):
    """One run's figures."""

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
    orders_before: int
    postgres_version: str
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    books: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured: load, server processes, seconds of each measurement, and orders made before."""

    connections: int
    processes: int
    seconds: int
    orders: int


def bench(asked: Asked, say: Callable[[str], None]) -> Figures:
    """Run everything on a fresh embedded server in a temporary folder, and clean up."""
    home = Path(tempfile.mkdtemp(prefix="otcdesk-bench-"))
    server = EmbeddedServer(home)
    try:
        say("starting PostgreSQL")
        server.start()
        return _bench(server, home, asked, say)
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _bench(server: EmbeddedServer, home: Path, asked: Asked, say: Callable[[str], None]) -> Figures:
    tool = str(server.bin("pgbench"))
    pgbench_dsn = server.dsn("pgbench")
    asyncio.run(_execute(server.dsn("postgres"), "create database pgbench"))
    subprocess.run([tool, "-i", "-q", "-s", str(_SCALE), pgbench_dsn], check=True, capture_output=True)  # noqa: S603
    asyncio.run(_execute(server.dsn("postgres"), "checkpoint"))
    say(f"pgbench TPC-B, {_PGBENCH_CLIENTS} clients, {asked.seconds} s")
    many = _pgbench(tool, pgbench_dsn, clients=_PGBENCH_CLIENTS, seconds=asked.seconds)
    say("pgbench TPC-B, 1 client")
    single = _pgbench(tool, pgbench_dsn, clients=1, seconds=max(2, asked.seconds // 2))

    # Neither measurement pays for what the other left to the vacuum and the checkpointer.
    asyncio.run(_execute(server.dsn("postgres"), "drop database pgbench", "checkpoint"))
    dsn = server.dsn()
    asyncio.run(migrate(dsn))
    settings = Settings(home=str(home), database_url=dsn, port=_free_port(), log_level="warning")
    customers, before = asyncio.run(_prepare(settings, dsn, asked.orders, say))
    asyncio.run(_execute(server.dsn("postgres"), "checkpoint"))
    process = _start_server(settings, home, asked.processes)
    try:
        _wait_until_ready(process, settings)
        plan = Plan(
            host=settings.host,
            port=settings.port,
            prefix=settings.exchanges_prefix,
            customers=customers,
            connections=asked.connections,
            seconds=_WARM_UP_SECONDS,
        )
        say("warming up")
        _load(plan)
        say("one connection")
        alone = _load(msgspec.structs.replace(plan, connections=1, seconds=max(2, asked.seconds // 2)))
        say(f"{asked.connections} connections, {asked.seconds} s")
        together = _load(msgspec.structs.replace(plan, seconds=asked.seconds))
        rss_mb = max(_rss_mb(pid) for pid in [process.pid, *_children(process.pid)])
    finally:
        process.terminate()
        process.wait(timeout=60)
    say("checking the books")
    books = asyncio.run(_books(settings, dsn))
    facts = asyncio.run(_facts(dsn))
    return _figures(asked, together, alone, many, single, rss_mb, before, facts, books)


def _figures(
    asked: Asked,
    together: Result,
    alone: Result,
    many: tuple[int, int],
    single: tuple[int, int],
    rss_mb: int,
    before: int,
    facts: dict[str, str],
    books: str,
) -> Figures:
    wrong = together.wrong or alone.wrong
    if wrong is not None:
        raise RuntimeError(f"the load met a wrong answer: {wrong}")
    pairs_per_s = together.pairs * 1_000_000 // together.elapsed_us
    taken = sorted(together.quote_us + together.confirm_us)
    single_us = _percentile(sorted(alone.confirm_us), 50)
    return Figures(
        pairs_per_s=pairs_per_s,
        pgbench_tpcb_tps=many[0],
        ratio=_hundredths(pairs_per_s, many[0]),
        p50_ms=_hundredths(_percentile(taken, 50), 1000),
        p99_ms=_hundredths(_percentile(taken, 99), 1000),
        connections=asked.connections,
        processes=asked.processes,
        seconds=asked.seconds,
        single_p50_ms=_hundredths(single_us, 1000),
        pgbench_single_ms=_hundredths(single[1], 1000),
        single_ratio=_hundredths(single_us, single[1]),
        server_rss_mb=rss_mb,
        orders_before=before,
        books=books,
        **facts,
    )


def _hundredths(number: int, of: int) -> str:
    cents = (200 * number + of) // (2 * of)
    return f"{cents // 100}.{cents % 100:02d}"


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


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


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _prepare(settings: Settings, dsn: str, orders: int, say: Callable[[str], None]) -> tuple[list[Customer], int]:
    tenants = "".join(_WORLD_TENANT.format(number=number) for number in range(_CUSTOMERS))
    world = parse_world(_WORLD_HEAD + tenants)
    async with open_desk(settings, dsn) as program:
        lane = await program.worlds.open_lane("main", LIVE)
        loaded = await program.worlds.load(lane, world, kind=LIVE)
        customers = [
            Customer(
                loaded.api_keys[f"key-{number}"],
                loaded.accounts[f"customer-{number}/main"],
                loaded.accounts[f"customer-{number}/ops"],
            )
            for number in range(_CUSTOMERS)
        ]
        for done in range(0, orders, _HISTORY_AT_ONCE):
            if done % (_HISTORY_AT_ONCE * 100) == 0:
                say(f"history: {done} of {orders} orders")
            await asyncio.gather(
                *(
                    _one_pair(program, lane, number, customers[number % _CUSTOMERS])
                    for number in range(min(_HISTORY_AT_ONCE, orders - done))
                )
            )
        before = int(await program.desk.reads.value("orders", "count_of_lane", lane))
    return customers, before


async def _one_pair(program: Program, lane: int, number: int, customer: Customer) -> None:
    owner_id = tenant_id(f"customer-{number % _CUSTOMERS}")
    asked = QuoteBuy(
        source_account_id=UUID(customer.account_id),
        destination_account_id=UUID(customer.wallet_id),
        source_units=2500,
    )
    submit = program.desk.engine.submit
    quoted = await submit(lane, asked, caller="history", owner_id=owner_id, request_id="history")
    confirm = ConfirmConversion(order_id=quoted.order.id, side=BUY)
    await submit(lane, confirm, caller="history", owner_id=owner_id, request_id="history", key=str(uuid4()))


def _start_server(settings: Settings, home: Path, processes: int) -> "subprocess.Popen[bytes]":
    environ = {
        "DATABASE_URL": settings.database_url,
        "DESK_HOME": str(home),
        "DESK_PORT": str(settings.port),
        "DESK_PROCESSES": str(processes),
        "DESK_LOG_LEVEL": "warning",
    }
    return subprocess.Popen([sys.executable, "-m", "otcdesk", "serve"], env=environ)


def _wait_until_ready(process: "subprocess.Popen[bytes]", settings: Settings) -> None:
    until = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError("the server ended before it was ready")
        try:
            with urlopen(f"{settings.base_url}/readyz", timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server was not ready in time")


def _load(plan: Plan) -> Result:
    told = subprocess.run(
        [sys.executable, "-m", "otcdesk.bench.load"],
        input=msgspec.json.encode(plan),
        check=True,
        stdout=subprocess.PIPE,
        timeout=timedelta(seconds=plan.seconds + 120).total_seconds(),
    ).stdout
    return msgspec.json.decode(told, type=Result)


def _rss_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def _children(pid: int) -> list[int]:
    """Return the processes that a supervisor started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


async def _books(settings: Settings, dsn: str) -> str:
    async with open_desk(settings, dsn) as program:
        report = await verify(dsn, program.audit_key)
    if not report.sound:
        raise RuntimeError(f"the books do not fit: {report.findings[:3]}")
    return f"sound: {report.rows} rows in {report.batches} batches"


async def _facts(dsn: str) -> dict[str, Any]:
    connection = await asyncpg.connect(dsn)
    try:
        names = {"postgres_version": "server_version"}
        names |= {name: name for name in ("fsync", "synchronous_commit", "full_page_writes")}
        return {field: await connection.fetchval(f"show {name}") for field, name in names.items()}
    finally:
        await connection.close()
