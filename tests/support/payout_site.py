"""A desk that is killed while payouts are on their way through the provider, and brought back."""

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
from tests.support.rail_site import ANSWER_SECONDS, CLIENTS, DeskGone, Rail, RailSite, Window, connected, rail_site
from tests.support.ramp import FORM, PREP, RAMP, RampWorld
from tests.support.server import DeskServer

_REST_SECONDS = 0.02
_PAUSE_SECONDS = 0.05
_PLENTY = "1000000.000000"

_DECIDED = """
    select count(*) from simulated_payouts as v join orders as o on o.lane = v.lane and o.id = v.order_id
    where v.lane = $1 and v.decided and o.ended_at is null"""
_ENDED_AND_CLAIMED = """
    select count(*) from leases as l join orders as o on o.lane = l.lane and o.id::text = split_part(l.item, ':', 1)
    where l.lane = $1 and l.holder <> '' and o.ended_at is not null"""

PROVIDER = Rail(
    name="payout",
    # How the provider behaves while a desk is killed; what it leaves pending is decided when it is up again.
    moods=(
        {"mode": "up"},
        {"mode": "refuse", "percent": 30, "reason": "account closed"},
        {"mode": "unknown", "percent": 30},
        {"mode": "unavailable", "percent": 30},
    ),
    statements={
        Window.CLAIMED: ("leases", "claim_payouts", statement_relay.Stage.DONE),
        Window.TAKEN: ("simulated", "take_payouts", statement_relay.Stage.DONE),
        Window.CANCELLED: ("simulated", "cancel_payouts", statement_relay.Stage.DONE),
        Window.HELD: ("leases", "give_back_wave", statement_relay.Stage.UNSENT),
    },
    recording=b"record_payout",
    signs={
        Window.CLAIMED: """
            select count(*) from leases as l join orders as o on o.lane = l.lane and o.rail_reference = l.item
            where l.lane = $1 and l.holder <> '' and not exists (
                select from simulated_payouts as v where v.lane = l.lane and v.reference = l.item)""",
        Window.TAKEN: """
            select count(*) from simulated_payouts as v join orders as o on o.lane = v.lane and o.id = v.order_id
            where v.lane = $1 and o.ended_at is null""",
        Window.CANCELLED: """
            select count(*) from simulated_payouts as v join orders as o on o.lane = v.lane and o.id = v.order_id
            where v.lane = $1 and v.decided and o.state = 'cancelling'""",
        Window.SENT: _DECIDED,
        Window.RECORDED: _ENDED_AND_CLAIMED,
        Window.HELD: _ENDED_AND_CLAIMED,
    },
    pace={
        "DESK_PAYOUT_TIMEOUT_MS": "400",
        "DESK_PAYOUT_PERIOD_MS": "50",
        "DESK_PAYOUT_RETRY_MS": "50",
        "DESK_PAYOUT_REST_MS_MAX": "200",
    },
    takes_ms=(100, 400),
)


class Asked:
    """A sell under a nonce, and the transaction that it made."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.transaction_id: str | None = None


class Sellers:
    """Businesses' servers that sell, and an operator who holds some of the payouts, and releases or cancels them.

    Whoever gets no answer asks again under the same nonce.
    """

    accepted = 202

    def __init__(self, world: RampWorld, seed: int, http: httpx.AsyncClient) -> None:
        self.world = world
        self.seed = seed
        self.asked: list[Asked] = []
        self.answers: Counter[int] = Counter()
        self.rounds = 0
        self._stopping = False
        self._http = http

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let all sell meanwhile, until they are told to stop or there is no desk."""
        self._stopping = False
        self.rounds += 1
        async with asyncio.TaskGroup() as sellers:
            for number in range(CLIENTS):
                sellers.create_task(self._sell(number))
            try:
                yield
            finally:
                self._stopping = True

    async def outcome(self, asked: Asked) -> dict[str, Any]:
        """Ask under the same nonce until there is an answer, and return the transaction."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while (answer := await self._ask("/v1/transactions/sell", asked.body)).status_code != self.accepted:
                assert answer.status_code >= 500, answer.text
                await asyncio.sleep(_PAUSE_SECONDS)
        told: dict[str, Any] = answer.json()["Transaction"]
        return told

    async def let_go(self) -> None:
        """Let the operator decide on everything that is held."""
        dice = random.Random(f"{self.seed}/{self.rounds}")
        while rows := (await self._operator("GET", "orders?product=payout&status=held&limit=100")).json()["data"]:
            for row in rows:
                await self._decide(row["id"], dice)

    async def _sell(self, number: int) -> None:
        dice = random.Random(f"{self.seed}/{self.rounds}/{number}")
        with contextlib.suppress(DeskGone):
            while not self._stopping:
                await asyncio.sleep(dice.uniform(0, _REST_SECONDS))
                await self._one(dice)

    async def _one(self, dice: random.Random) -> None:
        amount = f"{dice.randint(10, 19)}.{dice.randint(10, 99)}"
        prepared = await self._ask("/v1/transactions/sell/prepare", {**PREP, "FiatAmount": amount, "Form": FORM})
        if prepared.status_code != 200:
            assert prepared.status_code >= 500, prepared.text
            return
        asked = Asked(
            {
                "CryptoCurrency": "USDC_TEST",
                "FiatAmount": amount,
                "CryptoAuthorizedAmount": "1000",
                "FormSessionID": prepared.json()["FormSessionID"],
                "Nonce": str(UUID(int=dice.getrandbits(128), version=4)),
            }
        )
        self.asked.append(asked)
        twice = [self._ask("/v1/transactions/sell", asked.body) for _ in range(2 if dice.random() < 0.2 else 1)]
        for answer in await asyncio.gather(*twice, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer.status_code == self.accepted:
                asked.transaction_id = answer.json()["Transaction"]["ID"]
        if asked.transaction_id is not None and dice.random() < 0.5:
            held = await self._act(asked.transaction_id, "hold", {"reason": "who is that?"})
            if held.status_code == 200 and dice.random() < 0.8:
                await self._decide(asked.transaction_id, dice)

    async def _decide(self, order_id: str, dice: random.Random) -> None:
        if dice.random() < 0.6:
            await self._act(order_id, "cancel", {"reason": "nobody"})
        else:
            await self._act(order_id, "release")

    async def _act(self, order_id: str, verb: str, body: dict[str, Any] | None = None) -> httpx.Response:
        answer = await self._operator("POST", f"payouts/{order_id}/{verb}", json=body)
        assert answer.status_code in {200, 409, 503}, answer.text
        return answer

    async def _operator(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.world.token}"}
        return await self._request(method, f"/operator/{path}", headers=headers, **more)

    async def _ask(self, path: str, body: dict[str, Any]) -> httpx.Response:
        answer = await self._request(
            "POST", RAMP + path, headers={"X-Api-Key": self.world.request_keys["K0"]}, json=body
        )
        self.answers[answer.status_code if path.endswith("/sell") else -answer.status_code] += 1
        return answer

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise DeskGone(path) from error


@asynccontextmanager
async def payout_site(seed: int) -> AsyncIterator[tuple[RailSite, Sellers]]:
    """Open a desk with the contract's world, in which there is plenty to sell."""

    def sellers(desk: DeskServer, closing: AsyncExitStack) -> Sellers:
        file = RampWorld.file().replace('balance = "500.000000"', f'balance = "{_PLENTY}"')
        return Sellers(RampWorld(desk, template=None, frozen=None, world=file), seed, connected(desk, closing))

    async with rail_site(PROVIDER, sellers) as (site, load):
        yield site, load
