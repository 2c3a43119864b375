"""A desk that is killed while orders are on their way through a rail, and brought back."""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import asyncpg
import httpx

from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.queries import queries
from tests.support import crash_relay, statement_relay
from tests.support.crash_relay import SaveRelay
from tests.support.crash_site import Victim, _children, _kept_free, _own_postgres
from tests.support.server import NO_AUTHORITIES, DeskServer, World, check_answer
from tests.support.statement_relay import StatementRelay
from tests.support.waiting import until

CLIENTS = 6
ANSWER_SECONDS = 30
_LONGEST_WAIT_SECONDS = 0.2
_TRIES_MAX = 10

#: Claims run out after twice the rail's time, so that what a dead desk had claimed is soon free.
_PACE = {
    "DESK_LOG_LEVEL": "warning",
    "DESK_LEADERSHIP_PERIOD_MS": "100",
    "DESK_STORE_RETRIES_MAX": "100",
    "DESK_RETRY_PAUSE_MS": "10",
}


class Window(Enum):
    """Where an order is when the desk is killed."""

    ANY = "anywhere"
    CLAIMED = "it is claimed, and the rail was not asked"
    TAKEN = "the rail has carried it out, and the desk does not know"
    CANCELLED = "the rail has decided on its cancellation, and the desk does not know"
    SENT = "the desk has sent its outcome to the books, and they have not got it"
    RECORDED = "its outcome is in the books, and the desk does not know"
    HELD = "its outcome is in the books, and its claim is still held"


class Kill(NamedTuple):
    """One kill of a schedule."""

    victim: Victim
    window: Window


class Rail(NamedTuple):
    """A rail to be killed at: its name, its moods, and how each window is found.

    That is a statement of the desk, or a save in which these bytes are. `signs` ask, for a lane, whether an order is
    where the window says.
    """

    name: str
    moods: Sequence[Mapping[str, Any]]
    statements: Mapping[Window, tuple[str, str, statement_relay.Stage]]
    recording: bytes
    signs: Mapping[Window, str]
    pace: Mapping[str, str]
    #: How long it takes, from at least to at most so many milliseconds.
    takes_ms: tuple[int, int]


_SAVES = {Window.SENT: crash_relay.Stage.UNSENT, Window.RECORDED: crash_relay.Stage.COMMITTED}


class DeskGone(Exception):
    """The connection was lost before the answer came."""


class Load(Protocol):
    """Who uses the desk."""

    @property
    def seed(self) -> int:
        """Return what it is drawn from."""
        ...

    @property
    def world(self) -> World:
        """Return the world that is used."""
        ...

    @property
    def answers(self) -> Counter[int]:
        """Return how many answers of each status there were."""
        ...

    @property
    def accepted(self) -> int:
        """Return the status of an answer that has taken an order."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Let all use it meanwhile, until they are told to stop or there is no desk."""
        ...


SomeLoad = TypeVar("SomeLoad", bound=Load)


class RailSite:
    """One PostgreSQL, two relays, one desk, one world, and who uses it."""

    def __init__(
        self,
        rail: Rail,
        postgres: EmbeddedServer,
        saves: SaveRelay,
        statements: StatementRelay,
        desk: DeskServer,
        load: Load,
    ) -> None:
        self.rail = rail
        self.postgres = postgres
        self.saves = saves
        self.statements = statements
        self.desk = desk
        self.load = load
        self.lane = 0
        self.dice = random.Random(load.seed)

    async def strike(self, kill: Kill) -> None:
        """Kill in the middle of it all; what is dead stays so."""
        assert self.desk.process is not None
        mood = self.dice.choice(self.rail.moods)
        await asyncio.to_thread(self.be, **mood, delayMs=self.dice.randint(*self.rail.takes_ms))
        load = self.load
        async with load.running():
            before = load.answers[load.accepted]
            await until(lambda: load.answers[load.accepted] > before + CLIENTS, "the desk is used")
            lose = await self._kill_at(kill)
            lose()
        assert await asyncio.to_thread(self.desk.process.wait) == -signal.SIGKILL
        if kill.victim.takes_postgres:
            await asyncio.to_thread(self.postgres.start)
        await until(self._is_left_alone, "what the dead desk had begun has ended")
        if kill.window is not Window.ANY:
            assert await self.ask(self.rail.signs[kill.window], self.lane), f"no order is where it should be: {kill}"

    def be(self, **how: Any) -> None:
        """Let the rail behave so."""
        answer = self.load.world.operator("POST", "/sandbox/faults", {"rail": self.rail.name, **how})
        assert answer.status_code == 200, answer.text

    async def _kill_at(self, kill: Kill) -> Callable[[], None]:
        """Wait for the window, and kill in it; returns how to let go of what stands there."""
        for _ in range(_TRIES_MAX):
            held: Any = None
            if kill.window in self.rail.statements:
                file, statement, stage = self.rail.statements[kill.window]
                held = await self.statements.stop(stage, queries(file)[statement])
            elif kill.window in _SAVES:
                held = await self.saves.stop(_SAVES[kill.window], lambda data: self.rail.recording in data)
            else:
                await asyncio.sleep(self.dice.uniform(0, _LONGEST_WAIT_SECONDS))
            if kill.window is not Window.CLAIMED or await self.ask(self.rail.signs[kill.window], self.lane):
                self._kill(kill.victim)
                return held.lose if held is not None else lambda: None
            held.lose()  # there was nothing to claim
        raise AssertionError(f"no order came to where it should be: {kill.window}")

    def _kill(self, victim: Victim) -> None:
        assert self.desk.process is not None
        assert self.postgres.pid is not None
        pids = [self.desk.process.pid]
        if victim.takes_postgres:
            pids += [self.postgres.pid, *_children(self.postgres.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it went with the first
                os.kill(pid, signal.SIGKILL)

    async def begin_anew(self) -> None:
        """Start the desk again, with a rail that answers."""
        await asyncio.to_thread(self.desk.start)
        await asyncio.to_thread(self.be, mode="up")

    async def all_ended(self) -> None:
        """Wait until no order waits for a rail; nobody asks for any meanwhile."""

        async def nothing_waits() -> bool:
            waits = "select exists (select from orders where lane = $1 and waits_for is not null)"
            return not await self.ask(waits, self.lane)

        await until(nothing_waits, "everything has ended")

    async def _is_left_alone(self) -> bool:
        return not await self.ask("select count(*) from pg_stat_activity where application_name like 'otcdesk%'")

    async def ask(self, question: str, *arguments: Any) -> Any:
        """Ask PostgreSQL for one value, past the relays."""
        return (await self.rows(question, *arguments))[0][0]

    async def rows(self, question: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask PostgreSQL for rows, past the relays."""
        connection = await asyncpg.connect(self.postgres.dsn(), server_settings={"application_name": "a test"})
        try:
            found: list[asyncpg.Record] = await connection.fetch(question, *arguments)
        finally:
            await connection.close()
        return found


@asynccontextmanager
async def rail_site(
    rail: Rail, make_load: Callable[[DeskServer, AsyncExitStack], SomeLoad]
) -> AsyncIterator[tuple[RailSite, SomeLoad]]:
    """Open a desk on a PostgreSQL of its own, with a world and who uses it; `make_load` may block."""
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="otcdesk-rail-")))
        postgres = closing.enter_context(_own_postgres(folder / "postgres"))
        await migrate(postgres.dsn())
        statements = await closing.enter_async_context(StatementRelay(postgres.dsn()))
        saves = await closing.enter_async_context(SaveRelay(statements.dsn))
        (folder / "desk").mkdir()
        desk = DeskServer(saves.dsn, folder / "desk", **_PACE, **rail.pace)
        closing.enter_context(_kept_free(desk.port))
        closing.push_async_callback(asyncio.to_thread, desk.stop)
        await asyncio.to_thread(desk.start)
        load = await asyncio.to_thread(make_load, desk, closing)
        site = RailSite(rail, postgres, saves, statements, desk, load)
        site.lane = await site.ask("select lane from lanes where name = $1", load.world.id)
        try:
            yield site, load
        except BaseException:
            print(f"TEST_SEED={load.seed}", desk.log()[-5_000:], sep="\n")
            if desk.process is not None:
                desk.process.kill()  # it may wait for what nobody will let go any more
            raise


def connected(desk: DeskServer, closing: AsyncExitStack) -> httpx.AsyncClient:
    """Return a client whose answers are checked, and that is closed with the site."""

    async def check(response: httpx.Response) -> None:
        await response.aread()
        check_answer(response)

    client = httpx.AsyncClient(
        base_url=desk.url, timeout=ANSWER_SECONDS, verify=NO_AUTHORITIES, event_hooks={"response": [check]}
    )
    closing.push_async_callback(client.aclose)
    return client
