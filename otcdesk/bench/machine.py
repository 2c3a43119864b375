"""What every benchmark needs: orders, a server of its own, load on it, and what is read off it afterwards.

The units are in the names. A load that meets a wrong answer, or books that do not fit, end the run.
"""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import asyncpg
import msgspec

from otcdesk.app import Program, open_desk
from otcdesk.bench.callers import Caller
from otcdesk.bench.dialects import BenchedDialect
from otcdesk.bench.load import Plan, Result
from otcdesk.config import Settings
from otcdesk.storage.verify import verify

_HISTORY_AT_ONCE = 512
_START_SECONDS_MAX = 30
_STOP_SECONDS_MAX = 60

#: Is told in a line what the run does now.
Say = Callable[[str], None]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured: load, server processes, seconds of each measurement, and orders made before."""

    connections: int
    processes: int
    seconds: int
    orders: int


async def make_orders(program: Program, dialect: BenchedDialect, lane: int, orders: int, say: Say) -> int:
    """Make so many orders in this process, as the load makes them; returns how many the lane has then."""
    for done in range(0, orders, _HISTORY_AT_ONCE):
        if done % (_HISTORY_AT_ONCE * 100) == 0:
            say(f"history: {done} of {orders} orders")
        numbers = range(min(_HISTORY_AT_ONCE, orders - done))
        await asyncio.gather(*(dialect.make_order(program, lane, number) for number in numbers))
    return int(await program.desk.reads.value("orders", "count_of_lane", lane))


class Server:
    """A server, or only its workers, in processes of its own while the context lasts."""

    def __init__(
        self, settings: Settings, processes: int, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._arguments = arguments or ("serve",)
        self._environ = {
            "DATABASE_URL": settings.database_url,
            "DESK_HOME": settings.home,
            "DESK_PORT": str(settings.port),
            "DESK_PROCESSES": str(processes),
            "DESK_LOG_LEVEL": "warning",
            **(environ or {}),
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "otcdesk", *self._arguments], env=self._environ)  # noqa: S603
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=_STOP_SECONDS_MAX)

    def wait_until_ready(self) -> None:
        """Wait until it answers; raises RuntimeError if it does not in time."""
        until = time.monotonic() + _START_SECONDS_MAX
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError("the server ended before it was ready")
            try:
                self.page("/readyz")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the server was not ready in time")

    def page(self, path: str) -> str:
        """Return what a page says; raises OSError."""
        with urlopen(f"{self._settings.base_url}{path}", timeout=1) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text

    @property
    def rss_mb(self) -> int:
        """Return the resident memory of the largest of its processes, MiB."""
        return max(map(_rss_mb, self._processes))

    @property
    def cpu_us(self) -> int:
        """Return how long its processes have been on a processor, microseconds, in the system's steps of some ms."""
        return sum(map(_cpu_us, self._processes))

    @property
    def _processes(self) -> list[int]:
        return [self._process.pid, *_children(self._process.pid)]


def plan_of(settings: Settings, callers: Sequence[Caller], asked: Asked, seconds: int) -> Plan:
    """Return the plan of a load on a server."""
    return Plan(
        host=settings.host,
        port=settings.port,
        callers=list(callers),
        connections=asked.connections,
        seconds=seconds,
    )


def load(plan: Plan) -> Result:
    """Carry out a load in a process of its own; raises RuntimeError if it met a wrong answer."""
    told = subprocess.run(
        [sys.executable, "-m", "otcdesk.bench.load"],
        input=msgspec.json.encode(plan),
        check=True,
        stdout=subprocess.PIPE,
        timeout=timedelta(seconds=plan.seconds + 120).total_seconds(),
    ).stdout
    result = msgspec.json.decode(told, type=Result)
    if result.wrong is not None:
        raise RuntimeError(f"the load met a wrong answer: {result.wrong}")
    return result


def pairs_per_s(result: Result) -> int:
    """Return how many pairs of requests a load made each second."""
    return result.pairs * 1_000_000 // result.elapsed_us


def _rss_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) // 1024 if found else 0


def _cpu_us(pid: int) -> int:
    """Return a process's times in user and in system mode: fields 14 and 15 of what proc(5) describes."""
    _, _, fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")
    return sum(map(int, fields.split()[11:13])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    """Return the processes that a supervisor started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


async def books(settings: Settings) -> str:
    """Verify the books and say of what size they are; raises RuntimeError if they do not fit."""
    dsn = settings.database_url
    async with open_desk(settings, dsn) as program:
        report = await verify(dsn, program.audit_key)
    if not report.sound:
        raise RuntimeError(f"the books do not fit: {report.findings[:3]}")
    return f"sound: {report.rows} rows in {report.batches} batches"


async def facts(dsn: str) -> dict[str, Any]:
    """Return what the database promises, by the names of the figures."""
    connection = await asyncpg.connect(dsn)
    try:
        names = {"postgres_version": "server_version"}
        names |= {name: name for name in ("fsync", "synchronous_commit", "full_page_writes")}
        return {field: await connection.fetchval(f"show {name}") for field, name in names.items()}
    finally:
        await connection.close()


async def execute(dsn: str, *statements: str) -> None:
    """Carry out statements, each in a transaction of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hundredths(number: int, of: int) -> str:
    """Return a quotient of whole numbers as text with two decimals, rounded half up."""
    cents = (200 * number + of) // (2 * of)
    return f"{cents // 100}.{cents % 100:02d}"


def percentile(ordered: list[int], percent: int) -> int:
    """Return a percentile of numbers in their order."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
