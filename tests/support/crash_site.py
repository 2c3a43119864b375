"""A desk with a PostgreSQL of its own: both are killed at chosen moments of a batch, and brought back."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from tests.support.crash_load import Asked, Load
from tests.support.crash_relay import Save, SaveRelay, Stage
from tests.support.server import DeskServer, World, treasury
from tests.support.waiting import until


class Victim(Enum):
    """Who is killed, always by SIGKILL."""

    DESK = "the desk"
    MACHINE = "the desk and all of PostgreSQL's processes"
    POSTGRES = "all of PostgreSQL's processes"
    POSTMASTER = "PostgreSQL's first process"
    BACKEND = "the PostgreSQL process that carries the batch"

    @property
    def takes_the_desk(self) -> bool:
        """Tell whether the desk dies."""
        return self in {Victim.DESK, Victim.MACHINE}

    @property
    def takes_postgres(self) -> bool:
        """Tell whether PostgreSQL dies, or ends all that it is at and recovers."""
        return self is not Victim.DESK


class Moment(Enum):
    """When: at random while a batch is in flight, or exactly there."""

    ANY = "some moment between sending a save and hearing of it"
    UNSENT = "PostgreSQL has not got the save yet"
    WITHIN = "PostgreSQL is in the middle of the saving statement"
    COMMITTED = "it is committed, and the desk does not know"
    LEG = "the outcome of a transfer is on its way to PostgreSQL, and the worker's claim is held"


class Kill(NamedTuple):
    """One kill of a schedule."""

    victim: Victim
    moment: Moment


class Struck(NamedTuple):
    """A kill that was carried out: the requests that the batch in flight names, and where the desk's log was."""

    kill: Kill
    named: list[Asked]
    log_bytes: int


#: A desk that goes on trying while PostgreSQL is away, and one that tells its clients at once.
_PATIENT = {"DESK_STORE_RETRIES_MAX": "100", "DESK_RETRY_PAUSE_MS": "10"}
_IMPATIENT = {"DESK_STORE_RETRIES_MAX": "0"}

#: Claims run out after twice the rail's time, so that what a dead desk had claimed is soon free.
_PACE = {
    "DESK_LOG_LEVEL": "warning",
    "DESK_RAIL_TIMEOUT_MS": "500",
    "DESK_APPROVAL_WAIT_MS": "200",
    "DESK_LEADERSHIP_PERIOD_MS": "100",
}
_RAIL_MS = 20
_PLENTY = "1000000000.00"
_LONGEST_WAIT_SECONDS = 0.1
_LONGEST_FLIGHT_SECONDS = 0.004


class Site:
    """One PostgreSQL, one relay, one desk, one world, and the load on it."""

    def __init__(self, postgres: EmbeddedServer, relay: SaveRelay, desk: DeskServer, load: Load, lane: int) -> None:
        self.postgres = postgres
        self.relay = relay
        self.desk = desk
        self.load = load
        self.lane = lane
        self.dice = random.Random(load.seed)

    @property
    def dsn(self) -> str:
        """Return the database's address, past the relay."""
        return self.postgres.dsn()

    async def strike(self, kill: Kill) -> Struck:
        """Kill while the load runs, and bring back what was killed; a desk that was not killed recovers by itself."""
        async with self.load.running():
            save, blocker = await self._arrive_at(kill.moment)
            struck = self._kill(kill, save)
            save.lose()
            if not kill.victim.takes_the_desk:
                await self._outlive(struck)
        if kill.victim.takes_the_desk:
            await self._begin_anew(kill.victim)
        if blocker is not None:
            blocker.terminate()
        if kill.victim is Victim.DESK:
            await until(lambda: self._has_ended(save.backend), "the server process whose desk is dead has ended")
        return struck

    # -- the moment ------------------------------------------------------------------------------------------------

    async def _arrive_at(self, moment: Moment) -> tuple[Save, asyncpg.Connection | None]:
        """Wait for the moment; returns the save that is in flight then, and who blocks it if somebody does."""
        await until(self.load.under_way(), "every client is served, and an order is approved")
        if moment is Moment.ANY:
            return await self._any_save(), None
        if moment is Moment.LEG:
            save = await self.relay.stop(Stage.UNSENT, lambda data: b"record_leg" in data)
            assert await self.ask("select count(*) from leases where holder = $1", save.writer)
            await until(lambda: self.load.in_air > 0, "a client waits as well")
            return save, None
        if moment is Moment.COMMITTED:
            save = await self.relay.stop(Stage.COMMITTED, self._confirms)
            assert await self._kept(save) == len(self.load.named_in(save.data))
            return save, None
        while True:
            save = await self.relay.stop(Stage.UNSENT, self._confirms)
            assert await self._kept(save) == 0
            if moment is not Moment.WITHIN:
                return save, None
            if blocker := await self._blocked(save):
                return save, blocker

    async def _any_save(self) -> Save:
        await asyncio.sleep(self.dice.uniform(0, _LONGEST_WAIT_SECONDS))
        while True:
            await self.relay.something_flies.wait()
            await asyncio.sleep(self.dice.uniform(0, _LONGEST_FLIGHT_SECONDS))
            if self.relay.in_flight and self.load.in_air:
                return self.dice.choice(self.relay.in_flight)

    async def _blocked(self, save: Save) -> asyncpg.Connection | None:
        """Let a save into PostgreSQL, and see that it stands in the middle of its work because of us.

        Returns None when it went through: it writes only that an order had been confirmed under another key before,
        and changes no order.
        """
        blocker = await asyncpg.connect(self.dsn)
        await blocker.execute("begin")
        order_ids = [asked.order_id for asked in self.load.named_in(save.data)]
        await blocker.execute(
            "select from orders where lane = $1 and id = any($2::text[]::uuid[]) for update", self.lane, order_ids
        )
        save.pass_on()

        async def waits_for_us() -> bool:
            waits: bool = await blocker.fetchval("select pg_backend_pid() = any(pg_blocking_pids($1))", save.backend)
            return waits

        async def waits_or_is_over() -> bool:
            return save not in self.relay.in_flight or await waits_for_us()

        await until(waits_or_is_over, "the save waits for the row that we hold, or goes through")
        if save in self.relay.in_flight:
            return blocker
        await blocker.close()
        return None

    def _confirms(self, data: bytes) -> bool:
        return any(asked.order_id for asked in self.load.named_in(data))

    async def _kept(self, save: Save) -> int:
        """Return how many of the keys that a save names are in the books."""
        keys = [asked.key for asked in self.load.named_in(save.data)]
        kept: int = await self.ask(
            "select count(*) from idempotency_keys where lane = $1 and idempotency_key = any($2)", self.lane, keys
        )
        return kept

    # -- the kill --------------------------------------------------------------------------------------------------

    def _kill(self, kill: Kill, save: Save) -> Struck:
        """Kill now; nothing else of this process happens between the proof that a batch is in flight and the signal."""
        named = self.load.named_in(save.data)
        assert save in self.relay.in_flight, f"{kill}: the desk has heard {save.answer!r}"
        assert self.load.in_air, "nobody waits for the desk"
        assert named or kill.moment in {Moment.ANY, Moment.LEG}
        for asked in named:
            assert asked.answer is None, f"{asked.key} was answered before its batch was"
        struck = Struck(kill, named, self.desk.log_path.stat().st_size)
        first, *others = self._pids(kill.victim, save)
        os.kill(first, signal.SIGKILL)
        for pid in others:
            with contextlib.suppress(ProcessLookupError):  # it went with the first
                os.kill(pid, signal.SIGKILL)
        return struck

    def _pids(self, victim: Victim, save: Save) -> list[int]:
        assert self.desk.process is not None
        assert self.postgres.pid is not None
        postmaster, desk = self.postgres.pid, self.desk.process.pid
        match victim:
            case Victim.DESK:
                return [desk]
            case Victim.MACHINE:
                return [desk, postmaster, *_children(postmaster)]
            case Victim.POSTGRES:
                return [postmaster, *_children(postmaster)]
            case Victim.POSTMASTER:
                return [postmaster]
            case Victim.BACKEND:
                return [save.backend]

    # -- and after -------------------------------------------------------------------------------------------------

    async def _begin_anew(self, victim: Victim) -> None:
        """Start what died, as a supervisor would."""
        assert self.desk.process is not None
        assert self.desk.process.wait() == -signal.SIGKILL
        if victim.takes_postgres:
            await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.desk.start)

    async def _outlive(self, struck: Struck) -> None:
        """Start PostgreSQL again, or let it come back by itself; the same desk must then serve everybody again."""
        assert self.desk.process is not None
        if not self.load.repeats:
            await until(lambda: bool(self.events("commit_unknown", struck.log_bytes)), "the desk gives up")
            await until(lambda: all(asked.told_to_wait for asked in struck.named), "who waited is told so")
        postmaster = self.postgres.pid
        await asyncio.to_thread(self.postgres.start)
        assert (self.postgres.pid == postmaster) is (struck.kill.victim is Victim.BACKEND)
        await until(self.load.under_way(), "every client is served again, and an order is approved")
        assert self.desk.process.poll() is None, "the desk ended with PostgreSQL"
        assert self.load.dropped == 0, "the desk lived and dropped a connection"

    async def _has_ended(self, backend: int) -> bool:
        """Tell whether a server process is gone: it finishes what it is at before it sees that nobody waits for it."""
        return not await self.ask("select exists (select from pg_stat_activity where pid = $1)", backend)

    async def all_settled(self) -> None:
        """Wait until no order waits for a rail."""

        async def nothing_waits() -> bool:
            waiting = "select exists (select from orders where lane = $1 and waits_for is not null)"
            return not await self.ask(waiting, self.lane)

        await until(nothing_waits, "all transfers are settled")

    # -- looking ---------------------------------------------------------------------------------------------------

    async def ask(self, question: str, *arguments: Any) -> Any:
        """Ask PostgreSQL for one value, past the relay."""
        return (await self.rows(question, *arguments))[0][0]

    async def rows(self, question: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask PostgreSQL for rows, past the relay."""
        connection = await asyncpg.connect(self.dsn)
        try:
            found: list[asyncpg.Record] = await connection.fetch(question, *arguments)
        finally:
            await connection.close()
        return found

    def events(self, name: str, since_bytes: int) -> list[dict[str, Any]]:
        """Return the events of one name that the desk's log tells from a place on."""
        return [event for event in self._log(since_bytes) if event["event"] == name]

    def errors(self) -> list[dict[str, Any]]:
        """Return the errors in the desk's log: to lose PostgreSQL, or one's life, is none."""
        return [event for event in self._log(0) if event["level"] != "warning" or "exception" in event]

    def _log(self, since_bytes: int) -> list[dict[str, Any]]:
        with self.desk.log_path.open("rb") as log:
            log.seek(since_bytes)
            return [json.loads(line) for line in log if line.startswith(b"{")]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def crash_site(seed: int, *, patient: bool) -> AsyncIterator[Site]:
    """Open a desk on a PostgreSQL of its own, with a world whose clock stands still and whose rails take a while."""
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="otcdesk-crash-")))
        postgres = closing.enter_context(_own_postgres(folder / "postgres"))
        await migrate(postgres.dsn())
        relay = await closing.enter_async_context(SaveRelay(postgres.dsn()))
        (folder / "desk").mkdir()
        desk = DeskServer(relay.dsn, folder / "desk", **_PACE, **(_PATIENT if patient else _IMPATIENT))
        closing.enter_context(_kept_free(desk.port))
        closing.push_async_callback(asyncio.to_thread, desk.stop)
        await asyncio.to_thread(desk.start)
        world = await asyncio.to_thread(_new_world, desk)
        load = Load(world, seed, repeats=patient)
        closing.push_async_callback(load.close)
        site = Site(postgres, relay, desk, load, lane=0)
        site.lane = await site.ask("select lane from lanes where name = $1", world.id)
        try:
            yield site
        except BaseException:
            print(f"TEST_SEED={seed}", desk.log()[-5_000:], sep="\n")
            if desk.process is not None:
                desk.process.kill()  # it may wait for what nobody will let go any more
            raise


@contextlib.contextmanager
def _own_postgres(home: Path) -> Iterator[EmbeddedServer]:
    postgres = EmbeddedServer(home)
    postgres.start()
    try:
        yield postgres
    finally:
        data = postgres._places.data.parent
        postgres.stop()
        shutil.rmtree(data)


@contextlib.contextmanager
def _kept_free(port: int) -> Iterator[None]:
    """Keep a port from everybody but who listens on it, also while nobody does."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        yield


def _new_world(desk: DeskServer) -> World:
    world = World(desk, frozen=True)
    for rail in ("chain", "fiat"):
        world.fault(rail, "up", _RAIL_MS)
    own = (treasury("EUR"), treasury("USDC", "ethereum"))
    for account_id in (*own, *(world.ids[ref] for ref in ("FA1", "FB1", "WA1", "WB1"))):
        booked = world.book("deposits", account_id, _PLENTY)
        assert booked.status_code == 201, booked.text
    return world
