"""A desk that is killed while accepted offers are on their way through the execution venue, and brought back."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx

from tests.support import statement_relay
from tests.support.offers import OFFERS, OK_BUY, OffersWorld
from tests.support.rail_site import ANSWER_SECONDS, CLIENTS, DeskGone, Rail, RailSite, Window, connected, rail_site
from tests.support.server import DeskServer

_REST_SECONDS = 0.02
_PAUSE_SECONDS = 0.05

_TAKEN = """
    select count(*) from simulated_executions as v join orders as o on o.lane = v.lane
        and o.id::text = split_part(v.reference, ':', 1) where v.lane = $1 and o.state = 'in_progress'"""
_HELD = """
    select count(*) from leases as l join orders as o on o.lane = l.lane and o.id::text = split_part(l.item, ':', 1)
    where l.lane = $1 and l.holder <> '' and o.ended_at is not null"""

VENUE = Rail(
    name="venue",
    # How the venue behaves while a desk is killed; where only a part is hit, the others find it as it should be.
    moods=(
        {"mode": "up"},
        {"mode": "refuse", "percent": 30, "reason": "trading_disabled"},
        {"mode": "unknown", "percent": 30},
        {"mode": "unavailable", "percent": 30},
    ),
    statements={
        Window.CLAIMED: ("leases", "claim_wave", statement_relay.Stage.DONE),
        Window.TAKEN: ("simulated", "take", statement_relay.Stage.DONE),
        Window.HELD: ("leases", "give_back_wave", statement_relay.Stage.UNSENT),
    },
    recording=b"record_execution",
    signs={
        Window.CLAIMED: """
            select count(*) from leases as l join orders as o on o.lane = l.lane and o.rail_reference = l.item
            where l.lane = $1 and l.holder <> '' and not exists (
                select from simulated_executions as v where v.lane = l.lane and v.reference = l.item)""",
        Window.TAKEN: _TAKEN,
        Window.SENT: _TAKEN,
        Window.RECORDED: _HELD,
        Window.HELD: _HELD,
    },
    pace={"DESK_VENUE_TIMEOUT_MS": "400", "DESK_VENUE_PERIOD_MS": "100", "DESK_OFFERS_ACCEPT_WAIT_MS": "300"},
    takes_ms=(0, 40),
)


class Asked:
    """An acceptance under an external id, and the first answer that told its outcome."""

    def __init__(self, external_id: str, offer_id: str, user: str) -> None:
        self.external_id = external_id
        self.offer_id = offer_id
        self.user = user
        self.answer: tuple[int, bytes] | None = None


class Traders:
    """The partner's servers, each trading for one user: whoever gets no outcome asks again under the same id."""

    accepted = 200

    def __init__(self, world: OffersWorld, seed: int, http: httpx.AsyncClient) -> None:
        self.world = world
        self.seed = seed
        self.asked: dict[str, Asked] = {}
        self.answers: Counter[int] = Counter()
        self.rounds = 0
        self._stopping = False
        self._bearer = ""
        self._http = http

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let all trade meanwhile, until they are told to stop or there is no desk."""
        self._bearer = (await asyncio.to_thread(self.world.pair))["access_token"]
        self._stopping = False
        self.rounds += 1
        async with asyncio.TaskGroup() as traders:
            for number in range(CLIENTS):
                traders.create_task(self._trade(number))
            try:
                yield
            finally:
                self._stopping = True

    async def outcome(self, asked: Asked) -> tuple[int, bytes]:
        """Ask under the same id until there is an outcome."""
        async with asyncio.timeout(ANSWER_SECONDS):
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
        try:
            answer = await self._http.request(method, OFFERS + path, headers=headers, **more)
        except httpx.TransportError as error:
            raise DeskGone(path) from error
        self.answers[answer.status_code] += 1
        return None if answer.status_code == 503 else answer


@asynccontextmanager
async def execution_site(seed: int) -> AsyncIterator[tuple[RailSite, Traders]]:
    """Open a desk with a world of several traders whose clock stands still."""

    def traders(desk: DeskServer, closing: AsyncExitStack) -> Traders:
        return Traders(OffersWorld(desk, world=_world_of_traders()), seed, connected(desk, closing))

    async with rail_site(VENUE, traders) as (site, load):
        yield site, load


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
        for number in range(CLIENTS)
    )
    before, mark, after = OffersWorld.file().partition('\n[[tenants]]\nref = "Q"')
    return before + users + mark + after
