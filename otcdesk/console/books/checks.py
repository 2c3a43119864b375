"""The checks that people run from the books' pages: every invariant of a lane, and its audit chain against the tables.

Both go on in the background, one of each for a lane at a time, on connections of their own that can only read, and can
be cancelled. What they found is remembered until the next run, with who ran it and when, and told to the other server
processes of the host (`board.py`). The chain is
replayed by what `otcdesk verify` runs (`storage/verify.py`), in a thread with a loop of its own, and rests between
pages: the desk's own loop goes on meanwhile.
"""

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

import asyncpg
import msgspec
import structlog

from otcdesk.clock import Clock
from otcdesk.console.books.board import Board
from otcdesk.storage.queries import purposes, queries
from otcdesk.storage.verify import Finding, Pages, Progress, Report, reading_connection, verify

log = structlog.get_logger()

#: One invariant may take so long; what takes longer has to be run by `otcdesk verify`.
INVARIANT_TIMEOUT_MS: Final = 30_000

#: So many rows of each invariant that is broken, and so many findings of a chain, are kept to be shown.
SHOWN_MAX: Final = 20

#: What is read of a chain and of the tables at once: little, so that the interpreter is not taken for long.
PAGES: Final = Pages(batches=50, batch_bytes=1_000_000, rows=500, lookups=25)

#: After each page the replay rests for as long as it has worked, but not longer.
REST_SECONDS_MAX: Final = 0.05

State = Literal["running", "finished", "cancelled", "failed"]


class Broken(NamedTuple):
    """A row that breaks an invariant."""

    table: str
    key: str
    detail: str


class InvariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one invariant gave: how many rows break it, the first of them; None: it took too long."""

    name: str
    purpose: str
    milliseconds: int
    broken: int | None
    rows: tuple[Broken, ...] = ()

    @property
    def holds(self) -> bool:
        """Tell whether it was looked at and nothing breaks it."""
        return self.broken == 0


class InvariantsRun(msgspec.Struct, kw_only=True):
    """A run of all invariants of a lane, under way or over; `results` grow as it goes on."""

    lane: int
    started_by: str
    started_at: datetime
    of: int
    results: tuple[InvariantResult, ...] = ()
    state: State = "running"
    ended_at: datetime | None = None

    @property
    def broken(self) -> tuple[InvariantResult, ...]:
        """Return those that do not hold, or were not looked at to the end."""
        return tuple(result for result in self.results if not result.holds)


class ChainRun(msgspec.Struct, kw_only=True):
    """A replay of a lane's audit chain, under way or over; `findings` are the first, once it has ended."""

    lane: int
    started_by: str
    started_at: datetime
    stage: str = "batches"
    links: int = 0
    links_of: int | None = None
    rows: int = 0
    found: int = 0
    findings: tuple[Finding, ...] = ()
    state: State = "running"
    ended_at: datetime | None = None
    cancelled_by: str | None = None


Run = TypeVar("Run", InvariantsRun, ChainRun)


class _Cancelled(Exception):
    """Ends a replay between two pages."""


class Checks:
    """The checks of this process, and what others say of theirs in the folder that they share."""

    def __init__(
        self,
        dsn: str,
        audit_key: bytes,
        clock: Clock,
        *,
        shared: Path | None = None,
        invariant_timeout_ms: int = INVARIANT_TIMEOUT_MS,
    ) -> None:
        self._dsn = dsn
        self._audit_key = audit_key
        self._clock = clock
        self._invariant_timeout_ms = invariant_timeout_ms
        self._invariants_board = Board(shared, "invariants")
        self._chains_board = Board(shared, "chain")
        self._invariants: dict[int, InvariantsRun] = {}
        self._chains: dict[int, ChainRun] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    def invariants(self, lane: int) -> InvariantsRun | None:
        """Return the run of a lane's invariants that is under way, or the last."""
        return _latest(self._invariants.get(lane), self._invariants_board, lane, InvariantsRun)

    def chain(self, lane: int) -> ChainRun | None:
        """Return the replay of a lane's chain that is under way, or the last."""
        return _latest(self._chains.get(lane), self._chains_board, lane, ChainRun)

    def start_invariants(self, lane: int, caller: str) -> InvariantsRun:
        """Start running a lane's invariants; returns the run that is under way if there is one."""
        run = self.invariants(lane)
        if run is None or run.state != "running":
            of = len(queries("invariants"))
            run = InvariantsRun(lane=lane, started_by=caller, started_at=self._clock.now(), of=of)
            self._invariants[lane] = run
            self._invariants_board.tell(lane, run)
            self._start("invariants", run, self._run_invariants(run))
        return run

    def start_chain(self, lane: int, caller: str) -> ChainRun:
        """Start replaying a lane's chain; returns the replay that is under way if there is one."""
        run = self.chain(lane)
        if run is None or run.state != "running":
            run = ChainRun(lane=lane, started_by=caller, started_at=self._clock.now())
            self._chains[lane] = run
            self._chains_board.begin(lane)
            self._chains_board.tell(lane, run)
            self._start("chain", run, self._run_chain(run))
        return run

    def cancel_chain(self, lane: int, caller: str) -> bool:
        """Let the replay that is under way end after its page; tells whether there was one."""
        run = self.chain(lane)
        if run is None or run.state != "running":
            return False
        if run is self._chains.get(lane):
            run.cancelled_by = caller
        else:
            self._chains_board.ask_to_end(lane, caller)
        return True

    async def ended(self, lane: int) -> None:
        """Wait until nothing runs for a lane."""
        await asyncio.gather(*(task for (_, number), task in list(self._tasks.items()) if number == lane))

    async def stop(self) -> None:
        """End whatever runs, for the process is to end."""
        for run in self._chains.values():
            if run.state == "running":
                run.cancelled_by = "shutdown"
        tasks = list(self._tasks.items())
        for (kind, _), task in tasks:
            if kind == "invariants":
                task.cancel()
        await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)

    def _start(self, kind: str, run: InvariantsRun | ChainRun, work: Any) -> None:
        task = asyncio.create_task(self._to_its_end(run, work))
        self._tasks[kind, run.lane] = task
        task.add_done_callback(lambda _: self._tasks.pop((kind, run.lane), None))

    async def _to_its_end(self, run: InvariantsRun | ChainRun, work: Any) -> None:
        """Carry a run out and keep how it ended; an error is logged and shown as that."""
        try:
            await work
            run.state = "finished"
        except (_Cancelled, asyncio.CancelledError):
            run.state = "cancelled"
        except Exception:
            log.exception("check_failed", lane=run.lane, kind=type(run).__name__)
            run.state = "failed"
        finally:
            run.ended_at = self._clock.now()
            board = self._invariants_board if isinstance(run, InvariantsRun) else self._chains_board
            board.tell(run.lane, run)

    async def _run_invariants(self, run: InvariantsRun) -> None:
        connection = await reading_connection(self._dsn)
        try:
            await connection.execute(f"set statement_timeout = {self._invariant_timeout_ms}")
            for name in queries("invariants"):
                run.results = (*run.results, await _result_of(connection, name, run.lane))
                self._invariants_board.tell(run.lane, run)
        finally:
            connection.terminate()

    async def _run_chain(self, run: ChainRun) -> None:
        report = await asyncio.to_thread(self._replayed, run)
        run.findings = tuple(report.findings[:SHOWN_MAX])
        run.found = len(report.findings) + report.left_out
        run.links, run.rows = report.batches, report.rows

    def _replayed(self, run: ChainRun) -> Report:
        """Replay a chain in a thread of its own."""
        began = time.monotonic()

        def told(progress: Progress) -> None:
            nonlocal began
            run.cancelled_by = run.cancelled_by or self._chains_board.asked_to_end(run.lane)
            if run.cancelled_by is not None:
                raise _Cancelled
            run.stage, run.found = progress.stage, progress.found
            if progress.stage == "batches":
                run.links, run.links_of = progress.done, progress.of
            self._chains_board.tell(run.lane, run)
            time.sleep(min(time.monotonic() - began, REST_SECONDS_MAX))
            began = time.monotonic()

        return asyncio.run(
            verify(self._dsn, self._audit_key, lane=run.lane, progress=told, pages=PAGES, invariants=False)
        )


def _latest(mine: Run | None, board: Board, lane: int, shape: type[Run]) -> Run | None:
    """Return the run that was begun last, by this process or another; one that went silent has failed."""
    told = board.told(lane, shape)
    if told is None or (mine is not None and mine.started_at >= told[0].started_at):
        return mine
    run, is_there = told
    if run.state == "running" and not is_there:
        run.state = "failed"
    return run


async def _result_of(connection: Any, name: str, lane: int) -> InvariantResult:
    statement = queries("verify")["broken_counted"].format(statement=queries("invariants")[name])
    began = time.monotonic()
    try:
        found = await connection.fetch(statement, lane, SHOWN_MAX)
    except asyncpg.QueryCanceledError:
        found = None
    return InvariantResult(
        name=name,
        purpose=purposes("invariants")[name],
        milliseconds=round((time.monotonic() - began) * 1000),
        broken=None if found is None else found[0]["broken"] if found else 0,
        rows=tuple(Broken(record["what"], record["key"], record["detail"]) for record in found or ()),
    )
