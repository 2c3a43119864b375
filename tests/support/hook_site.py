"""A desk that is killed while it tells real receivers what happens, and brought back: quick, failing and slow ones."""

import asyncio
import contextlib
import json
import os
import random
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.queries import queries
from tests.support.crash_load import Load
from tests.support.crash_site import Victim, _children, _kept_free, _new_world, _own_postgres
from tests.support.receiver import CLOSED, NEVER, Answer, Later, Received, Receiver
from tests.support.server import DeskServer, World
from tests.support.statement_relay import Held, Stage, StatementRelay
from tests.support.waiting import until


class Window(Enum):
    """Where a message is when the desk is killed."""

    ANY = "anywhere"
    TELLING = "its delivery is inserted, and the lane's position has not moved"
    TOLD = "both are committed, and the desk does not know"
    CLAIMED = "it is claimed, and was not sent"
    SENDING = "its receiver has it, and has not answered"
    ANSWERED = "its receiver has answered, and that is not recorded"
    RECORDED = "it is recorded, and the desk does not know"


class Kill(NamedTuple):
    """One kill of a schedule."""

    victim: Victim
    window: Window


class Placed(NamedTuple):
    """At which statement of the desk a window is."""

    file: str
    statement: str
    stage: Stage


_PLACED = {
    Window.TELLING: Placed("outbox", "move", Stage.UNSENT),
    Window.TOLD: Placed("outbox", "move", Stage.COMMITTED),
    Window.CLAIMED: Placed("deliveries", "claim", Stage.DONE),
    Window.ANSWERED: Placed("deliveries", "record", Stage.UNSENT),
    Window.RECORDED: Placed("deliveries", "record", Stage.COMMITTED),
}

#: Claims of the settlement run out after twice the rail's time, so that what a dead desk had claimed is soon free.
_PACE = {
    "DESK_LOG_LEVEL": "warning",
    "DESK_RAIL_TIMEOUT_MS": "500",
    "DESK_APPROVAL_WAIT_MS": "200",
    "DESK_LEADERSHIP_PERIOD_MS": "100",
    "DESK_WEBHOOKS_PERIOD_MS": "100",
    "DESK_WEBHOOKS_TIMEOUT_MS": "2000",
    "DESK_STORE_RETRIES_MAX": "100",
    "DESK_RETRY_PAUSE_MS": "10",
    # A message is tried again at once and as often as there are kills and failures here, and nobody is switched off.
    "DESK_EXCHANGES_RETRY_SECONDS": ",".join(["0"] * 100),
    "DESK_EXCHANGES_WEBHOOK_FAILURES_MAX": "0",
}
_SLOW_MS = (20, 120)
_LONGEST_WAIT_SECONDS = 0.3


class Delivered(NamedTuple):
    """A delivery as its row has it."""

    subscription_id: UUID
    event_id: str
    state: str
    attempts: int
    is_claimed: bool


class Endpoint:
    """One receiver, and the subscription that a tenant has made for it.

    A receiver that is armed runs what it is armed with as soon as the next message is there, and never answers that
    one; else it answers as `answer` says.
    """

    def __init__(self, key: str, event_types: list[str], answer: Callable[[], Answer]) -> None:
        self.key = key
        self.event_types = event_types
        self.receiver = Receiver(self._script)
        self.secret = ""
        self.id = UUID(int=0)
        self.trapped: Received | None = None
        self._answer = answer
        self._trap: Callable[[], None] | None = None
        self._turn = threading.Lock()

    def subscribe(self, world: World) -> None:
        """Make the subscription, as its tenant."""
        asked = {"url": self.receiver.url(), "eventTypes": self.event_types}
        made = world.call("POST", "/exchanges/webhooks", key=self.key, json=asked)
        assert made.status_code == 201, made.text
        told = made.json()["data"]
        self.id, self.secret = UUID(told["id"]), told["signing_secret"]

    def arm(self, trap: Callable[[], None]) -> None:
        """Let something happen in the middle of the next message."""
        with self._turn:
            self.trapped, self._trap = None, trap

    def arrived(self) -> list[dict[str, Any]]:
        """Return what has arrived, read, in its order."""
        return [json.loads(request.body) for request in list(self.receiver.requests)]

    def _script(self, request: Received) -> Answer:
        with self._turn:
            trap, self._trap = self._trap, None
            if trap is None:
                return self._answer()
            trap()
            self.trapped = request
            return NEVER


class HookSite:
    """One PostgreSQL, one relay, one desk, one world, the load on it, and who is told of it."""

    def __init__(
        self, postgres: EmbeddedServer, relay: StatementRelay, desk: DeskServer, load: Load, endpoints: list[Endpoint]
    ) -> None:
        self.postgres = postgres
        self.relay = relay
        self.desk = desk
        self.load = load
        self.endpoints = endpoints
        self.lane = 0
        self.began_after = 0
        self.dice = random.Random(load.seed)

    @property
    def dsn(self) -> str:
        """Return the database's address, past the relay."""
        return self.postgres.dsn()

    async def strike(self, kill: Kill) -> None:
        """Kill while the load runs and messages are on their way; what is dead stays so."""
        assert self.desk.process is not None
        arrived = [len(endpoint.receiver.requests) for endpoint in self.endpoints]
        async with self.load.running():
            await until(self.load.under_way(), "every client is served, and an order is approved")
            await until(lambda: self._all_hear(arrived), "every receiver hears something")
            held = await self._kill_at(kill)
            if held is not None:
                held.lose()
        assert await asyncio.to_thread(self.desk.process.wait) == -signal.SIGKILL
        if kill.victim.takes_postgres:
            await asyncio.to_thread(self.postgres.start)
        await until(self._is_left_alone, "what the dead desk had begun has ended")

    async def begin_anew(self) -> None:
        """Start a new desk, when the time is over for which the dead one's claims held."""
        await self.rows("update deliveries set due_at = now(), sending_until = now() where sending_until is not null")
        await asyncio.to_thread(self.desk.start)

    async def _kill_at(self, kill: Kill) -> Held | None:
        """Wait for the window, and kill in it; nothing else of this process happens in between."""
        if kill.window is Window.SENDING:
            endpoint = self.dice.choice(self.endpoints)
            endpoint.arm(lambda: self._kill(kill.victim))
            await until(lambda: endpoint.trapped is not None, "a receiver is in the middle of a message")
            return None
        if kill.window is Window.ANY:
            await asyncio.sleep(self.dice.uniform(0, _LONGEST_WAIT_SECONDS))
            self._kill(kill.victim)
            return None
        placed = _PLACED[kill.window]
        held = await self.relay.stop(placed.stage, queries(placed.file)[placed.statement])
        self._kill(kill.victim)
        return held

    def _kill(self, victim: Victim) -> None:
        assert self.desk.process is not None
        assert self.postgres.pid is not None
        pids = [self.desk.process.pid]
        if victim.takes_postgres:
            pids += [self.postgres.pid, *_children(self.postgres.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it went with the first
                os.kill(pid, signal.SIGKILL)

    def _all_hear(self, before: list[int]) -> bool:
        return all(len(one.receiver.requests) > number for one, number in zip(self.endpoints, before, strict=True))

    async def _is_left_alone(self) -> bool:
        return not await self.ask("select count(*) from pg_stat_activity where application_name like 'otcdesk%'")

    # -- looking ---------------------------------------------------------------------------------------------------

    async def ask(self, question: str, *arguments: Any) -> Any:
        """Ask PostgreSQL for one value, past the relay."""
        return (await self.rows(question, *arguments))[0][0]

    async def rows(self, question: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask PostgreSQL for rows, past the relay."""
        connection = await asyncpg.connect(self.dsn, server_settings={"application_name": "a test"})
        try:
            found: list[asyncpg.Record] = await connection.fetch(question, *arguments)
        finally:
            await connection.close()
        return found

    async def position(self) -> int:
        """Return up to which batch the lane is told."""
        told: int = await self.ask("select seq from outbox_positions where lane = $1", self.lane)
        return told

    async def deliveries(self) -> list[Delivered]:
        """Return every delivery."""
        rows = await self.rows(
            "select subscription_id, event_id, state, attempts, sending_until is not null from deliveries"
        )
        return [Delivered(*row) for row in rows]

    async def all_told(self) -> None:
        """Wait until no order waits for a rail, everything is told, and nothing is left to send."""

        async def is_so() -> bool:
            waits: bool = await self.ask(
                """select exists (select from orders where lane = $1 and waits_for is not null)
                or exists (select from deliveries where state = 'pending')
                or (select seq from outbox_positions where lane = $1) < (select max(seq) from batches where lane = $1)
                """,
                self.lane,
            )
            return not waits

        await until(is_so, "everything is sent")


@asynccontextmanager
async def hook_site(seed: int) -> AsyncIterator[HookSite]:
    """Open a desk on a PostgreSQL of its own, with three receivers: quick, failing at times, slow."""
    dice = random.Random(f"receivers/{seed}")

    def fails_at_times() -> Answer:
        return dice.choice((500, 503, 302, CLOSED)) if dice.random() < 0.15 else 200

    both = ["otc_exchange.created", "otc_exchange.status_updated"]
    async with AsyncExitStack() as closing:
        endpoints = [
            Endpoint("KA", both, lambda: 200),
            Endpoint("KB", both, fails_at_times),
            Endpoint("KA", both[1:], lambda: Later(milliseconds=dice.randint(*_SLOW_MS), answer=202)),
        ]
        for endpoint in endpoints:
            closing.enter_context(endpoint.receiver)
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="otcdesk-hooks-")))
        postgres = closing.enter_context(_own_postgres(folder / "postgres"))
        await migrate(postgres.dsn())
        relay = await closing.enter_async_context(StatementRelay(postgres.dsn()))
        (folder / "desk").mkdir()
        desk = DeskServer(relay.dsn, folder / "desk", **_PACE)
        closing.enter_context(_kept_free(desk.port))
        closing.push_async_callback(asyncio.to_thread, desk.stop)
        await asyncio.to_thread(desk.start)
        world = await asyncio.to_thread(_new_world, desk)
        load = Load(world, seed, repeats=True)
        closing.push_async_callback(load.close)
        site = HookSite(postgres, relay, desk, load, endpoints)
        site.lane = await site.ask("select lane from lanes where name = $1", world.id)
        for endpoint in endpoints:
            await asyncio.to_thread(endpoint.subscribe, world)
        site.began_after = await site.ask("select max(seq) from batches where lane = $1", site.lane)
        try:
            yield site
        except BaseException:
            print(f"TEST_SEED={seed}", desk.log()[-5_000:], sep="\n")
            raise
