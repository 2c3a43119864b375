"""A desk that is killed while accepted offers are on their way through the execution venue, and brought back."""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import httpx

from otcdesk.storage.database import migrate
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.queries import queries
from tests.support import crash_relay, statement_relay
from tests.support.crash_relay import SaveRelay
from tests.support.crash_site import Victim, _children, _kept_free, _own_postgres
from tests.support.offers import OFFERS, OK_BUY, OffersWorld
from tests.support.server import DeskServer, check_answer
from tests.support.statement_relay import StatementRelay
from tests.support.waiting import until

_CLIENTS = 6
_ANSWER_SECONDS = 30
_REST_SECONDS = 0.02
_PAUSE_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.2
_TRIES_MAX = 10

#: Claims run out after twice the venue's time, so that what a dead desk had claimed is soon free.
_PACE = {
    "DESK_LOG_LEVEL": "warning",
    "DESK_VENUE_TIMEOUT_MS": "400",
    "DESK_VENUE_PERIOD_MS": "100",
    "DESK_OFFERS_ACCEPT_WAIT_MS": "300",
    "DESK_LEADERSHIP_PERIOD_MS": "100",
    "DESK_STORE_RETRIES_MAX": "100",
    "DESK_RETRY_PAUSE_MS": "10",
}

#: How the venue behaves while a desk is killed; where only a part is hit, the others find it as it should be.
_MOODS: tuple[dict[str, Any], ...] = (
    {"mode": "up"},
    {"mode": "refuse", "percent": 30, "reason": "trading_disabled"},
    {"mode": "unknown", "percent": 30},
    {"mode": "unavailable", "percent": 30},
)
_SLOW_MS = (0, 40)


class Window(Enum):
    """Where an accepted offer is when the desk is killed."""

    ANY = "anywhere"
    CLAIMED = "it is claimed, and the venue was not asked"
    TAKEN = "the venue has carried it out, and the desk does not know"
    SENT = "the desk has sent its outcome to the books, and they have not got it"
    RECORDED = "its outcome is in the books, and the desk does not know"
    HELD = "its outcome is in the books, and its claim is still held"


class Kill(NamedTuple):
    """One kill of a schedule."""

    victim: Victim
    window: Window


#: At which statement of the desk a window is, and of which there must be one in the books then.
_STATEMENTS = {
    Window.CLAIMED: ("leases", "claim_wave", statement_relay.Stage.DONE),
    Window.TAKEN: ("simulated", "take", statement_relay.Stage.DONE),
    Window.HELD: ("leases", "give_back_wave", statement_relay.Stage.UNSENT),
}
_SAVES = {Window.SENT: crash_relay.Stage.UNSENT, Window.RECORDED: crash_relay.Stage.COMMITTED}

_TAKEN = """
    select count(*) from simulated_executions as v join orders as o on o.lane = v.lane
        and o.id::text = split_part(v.reference, ':', 1) where v.lane = $1 and o.state = 'in_progress'"""
_HELD = """
    select count(*) from leases as l join orders as o on o.lane = l.lane and o.id::text = split_part(l.item, ':', 1)
    where l.lane = $1 and l.holder <> '' and o.ended_at is not null"""
_SIGNS = {
    Window.CLAIMED: """
        select count(*) from leases as l join orders as o on o.lane = l.lane and o.rail_reference = l.item
        where l.lane = $1 and l.holder <> '' and not exists (
            select from simulated_executions as v where v.lane = l.lane and v.reference = l.item)""",
    Window.TAKEN: _TAKEN,
    Window.SENT: _TAKEN,
    Window.RECORDED: _HELD,
    Window.HELD: _HELD,
}


class Asked:
    """An acceptance under an external id, and the first answer that told its outcome."""

    def __init__(self, external_id: str, offer_id: str, user: str) -> None:
        self.external_id = external_id
        self.offer_id = offer_id
        self.user = user
        self.answer: tuple[int, bytes] | None = None


class DeskGone(Exception):
    """The connection was lost before the answer came."""


class Traders:
    """The partner's servers, each trading for one user: whoever gets no outcome asks again under the same id."""

    def __init__(self, world: OffersWorld, seed: int) -> None:
        self.world = world
        self.seed = seed
        self.asked: dict[str, Asked] = {}
        self.answers: Counter[int] = Counter()
        self.in_air = 0
        self.rounds = 0
        self._stopping = False
        self._bearer = ""
        self._http = httpx.AsyncClient(
            base_url=world.server.url, timeout=_ANSWER_SECONDS, event_hooks={"response": [_check]}
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """Let all trade meanwhile, until they are told to stop or there is no desk."""
        self._bearer = (await asyncio.to_thread(self.world.pair))["access_token"]
        self._stopping = False
        self.rounds += 1
        async with asyncio.TaskGroup() as traders:
            for number in range(_CLIENTS):
                traders.create_task(self._trade(number))
            try:
                yield
            finally:
                self._stopping = True

    async def outcome(self, asked: Asked) -> tuple[int, bytes]:
        """Ask under the same id until there is an outcome."""
        async with asyncio.timeout(_ANSWER_SECONDS):
            while (answer := await self._accept(asked)) is None:
                await asyncio.sleep(_PAUSE_SECONDS)
        return answer

    async def _trade(self, number: int) -> None:
        dice = random.Random(f"{self.seed}/{self.rounds}/{number}")
        user = f"trader-{number}"
        with contextlib.suppress(DeskGone):
            while not self._stopping:
                await asyncio.sleep(dice.uniform(0, _REST_SECONDS))
                await self._one(user, dice)

    async def _one(self, user: str, dice: random.Random) -> None:
        body = {**OK_BUY, "amount": f"{dice.randint(1, 9)}.25", "type": dice.choice(("buy", "sell"))}
        made = await self._ask("POST", "/v1/offers", user, json=body)
        if made is None:
            return
        assert made.status_code == 201, made.text
        external_id = str(UUID(int=dice.getrandbits(128), version=4))
        asked = self.asked[external_id] = Asked(external_id, made.json()["data"]["id"], user)
        twice = [self._accept(asked) for _ in range(2 if dice.random() < 0.2 else 1)]
        for answer in await asyncio.gather(*twice, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            asked.answer = asked.answer or answer

    async def _accept(self, asked: Asked) -> tuple[int, bytes] | None:
        """Accept; returns the answer, None when that tells no outcome yet."""
        answer = await self._ask(
            "PATCH",
            f"/v2/offers/{asked.offer_id}/accept",
            asked.user,
            params={"external_transaction_id": asked.external_id},
        )
        if answer is None or answer.status_code == 202:
            return None
        assert answer.status_code in {200, 409, 422}, answer.text
        return answer.status_code, answer.content

    async def _ask(self, method: str, path: str, user: str, **more: Any) -> httpx.Response | None:
        headers = {"Authorization": f"Bearer {self._bearer}", "bp-user-id": self.world.users[user]}
        self.in_air += 1
        try:
            answer = await self._http.request(method, OFFERS + path, headers=headers, **more)
        except httpx.TransportError as error:
            raise DeskGone(path) from error
        finally:
            self.in_air -= 1
        self.answers[answer.status_code] += 1
        return None if answer.status_code == 503 else answer


class ExecutionSite:
    """One PostgreSQL, two relays, one desk, one world, and who trades in it."""

    def __init__(
        self, postgres: EmbeddedServer, saves: SaveRelay, statements: StatementRelay, desk: DeskServer, traders: Traders
    ) -> None:
        self.postgres = postgres
        self.saves = saves
        self.statements = statements
        self.desk = desk
        self.traders = traders
        self.lane = 0
        self.dice = random.Random(traders.seed)

    async def strike(self, kill: Kill) -> None:
        """Kill in the middle of the trading; what is dead stays so."""
        assert self.desk.process is not None
        mood = self.dice.choice(_MOODS)
        await asyncio.to_thread(self.be, **mood, delayMs=self.dice.randint(*_SLOW_MS))
        traders = self.traders
        async with traders.trading():
            before = traders.answers[200]
            await until(lambda: traders.answers[200] > before + _CLIENTS, "there is trade")
            lose = await self._kill_at(kill)
            lose()
        assert await asyncio.to_thread(self.desk.process.wait) == -signal.SIGKILL
        if kill.victim.takes_postgres:
            await asyncio.to_thread(self.postgres.start)
        await until(self._is_left_alone, "what the dead desk had begun has ended")
        if kill.window is not Window.ANY:
            assert await self.ask(_SIGNS[kill.window], self.lane), f"no offer is where it should be: {kill.window}"

    def be(self, **how: Any) -> None:
        """Let the venue behave so."""
        self.traders.world.steer("faults", rail="venue", **how)

    async def _kill_at(self, kill: Kill) -> Any:
        """Wait for the window, and kill in it; returns how to let go of what stands there."""
        for _ in range(_TRIES_MAX):
            held: Any = None
            if kill.window in _STATEMENTS:
                file, statement, stage = _STATEMENTS[kill.window]
                held = await self.statements.stop(stage, queries(file)[statement])
            elif kill.window in _SAVES:
                held = await self.saves.stop(_SAVES[kill.window], lambda data: b"record_execution" in data)
            else:
                await asyncio.sleep(self.dice.uniform(0, _LONGEST_WAIT_SECONDS))
            if kill.window is not Window.CLAIMED or await self.ask(_SIGNS[kill.window], self.lane):
                self._kill(kill.victim)
                return held.lose if held is not None else lambda: None
            held.lose()  # there was nothing to claim
        raise AssertionError(f"no offer came to where it should be: {kill.window}")

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
        """Start the desk again, with a venue that answers."""
        await asyncio.to_thread(self.desk.start)
        await asyncio.to_thread(self.be, mode="up")

    async def all_executed(self) -> None:
        """Wait until no order waits for the venue; nobody asks for any meanwhile."""

        async def nothing_waits() -> bool:
            waits = "select exists (select from orders where lane = $1 and waits_for is not null)"
            return not await self.ask(waits, self.lane)

        await until(nothing_waits, "everything is executed")

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
async def execution_site(seed: int) -> AsyncIterator[ExecutionSite]:
    """Open a desk on a PostgreSQL of its own, with a world of several traders whose clock stands still."""
    async with AsyncExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="otcdesk-executions-")))
        postgres = closing.enter_context(_own_postgres(folder / "postgres"))
        await migrate(postgres.dsn())
        statements = await closing.enter_async_context(StatementRelay(postgres.dsn()))
        saves = await closing.enter_async_context(SaveRelay(statements.dsn))
        (folder / "desk").mkdir()
        desk = DeskServer(saves.dsn, folder / "desk", **_PACE)
        closing.enter_context(_kept_free(desk.port))
        closing.push_async_callback(asyncio.to_thread, desk.stop)
        await asyncio.to_thread(desk.start)
        world = await asyncio.to_thread(OffersWorld, desk, world=_world_of_traders())
        traders = Traders(world, seed)
        closing.push_async_callback(traders.close)
        site = ExecutionSite(postgres, saves, statements, desk, traders)
        site.lane = await site.ask("select lane from lanes where name = $1", world.id)
        try:
            yield site
        except BaseException:
            print(f"TEST_SEED={seed}", desk.log()[-5_000:], sep="\n")
            if desk.process is not None:
                desk.process.kill()  # it may wait for what nobody will let go any more
            raise


def _world_of_traders() -> str:
    """Return the contract's world with a user for each trader."""
    users = "".join(
        f"""
[[tenants.parties]]
ref = "trader-{number}"
agreements = ["general-1"]

[[tenants.parties.holdings]]
asset = "BTC"
balance = "1"
"""
        for number in range(_CLIENTS)
    )
    before, mark, after = OffersWorld.file().partition('\n[[tenants]]\nref = "Q"')
    return before + users + mark + after


async def _check(response: httpx.Response) -> None:
    await response.aread()
    check_answer(response)
