"""A desk that is killed while jobs are on their way to the chain, and brought back."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import httpx

from tests.support import statement_relay
from tests.support.deals import DEALS, U1, U2, C, DealsWorld, N, T
from tests.support.rail_site import ANSWER_SECONDS, CLIENTS, DeskGone, Rail, RailSite, Window, connected, rail_site
from tests.support.server import DeskServer
from tests.support.waiting import until

_REST_SECONDS = 0.02
_PAUSE_SECONDS = 0.05

#: There is plenty to sell, and to pay with.
_PLENTY = (
    ('balance = "10"', 'balance = "100000"'),
    ('balance = "500"', 'balance = "100000000"'),
    ('"990"', '"100000"'),
)
_BRANCHS_PLENTY = ('balance = "1000"', 'balance = "100000000"')

_UNDER_WAY = """
    select count(*) from leases as l join jobs as j on j.lane = l.lane and j.reference = l.item
    where l.lane = $1 and l.holder <> '' and j.waits_for is not null"""
_ENDED_AND_CLAIMED = """
    select count(*) from leases as l join jobs as j on j.lane = l.lane and j.reference = l.item
    where l.lane = $1 and l.holder <> '' and j.waits_for is null"""

CHAIN = Rail(
    name="chain",
    moods=(
        {"mode": "up"},
        {"mode": "refuse", "percent": 30},
        {"mode": "unknown", "percent": 30},
        {"mode": "unavailable", "percent": 30},
    ),
    statements={
        Window.CLAIMED: ("leases", "claim_jobs", statement_relay.Stage.DONE),
        Window.TAKEN: ("simulated", "faults", statement_relay.Stage.DONE),
        Window.HELD: ("leases", "give_back_wave", statement_relay.Stage.UNSENT),
    },
    recording=b"record_job",
    signs={
        Window.CLAIMED: _UNDER_WAY,
        Window.TAKEN: _UNDER_WAY,
        Window.SENT: _UNDER_WAY,
        Window.RECORDED: _ENDED_AND_CLAIMED,
        Window.HELD: _ENDED_AND_CLAIMED,
    },
    pace={
        "DESK_RAIL_TIMEOUT_MS": "400",
        "DESK_RAIL_RETRY_MS": "50",
        "DESK_JOB_PERIOD_MS": "50",
        "DESK_JOB_REST_MS_MAX": "200",
    },
    takes_ms=(20, 100),
)

#: Where a chain that remembers nothing can be caught.
WINDOWS = (Window.ANY, Window.CLAIMED, Window.TAKEN, Window.SENT, Window.RECORDED, Window.HELD)


class Asked(NamedTuple):
    """A request under a key, whose answer names a transaction."""

    path: str
    body: dict[str, Any]
    key: str


class Traders:
    """Integrators' servers that sell, cancel and buy for users, and an administrator who accepts.

    Whoever gets no answer asks again under the same key.
    """

    accepted = 200

    def __init__(self, world: DealsWorld, seed: int, http: httpx.AsyncClient) -> None:
        self.world = world
        self.seed = seed
        self.transactions: dict[Asked, str | None] = {}
        self.answers: Counter[int] = Counter()
        self.rounds = 0
        self._stopping = False
        self._http = http
        self._bearer = world.bearer()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let all trade meanwhile, until they are told to stop or there is no desk."""
        self._stopping = False
        self.rounds += 1
        async with asyncio.TaskGroup() as traders:
            for number in range(CLIENTS):
                traders.create_task(self._trade(number))
            try:
                yield
            finally:
                self._stopping = True

    async def outcome(self, asked: Asked) -> str | None:
        """Ask under the same key until there is an answer; returns the transaction, None for what is refused."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while (answer := await self._ask(asked.path, asked.body, asked.key)).status_code >= 500:
                await asyncio.sleep(_PAUSE_SECONDS)
        return _transaction_of(answer)

    async def _trade(self, number: int) -> None:
        dice = random.Random(f"{self.seed}/{self.rounds}/{number}")
        with contextlib.suppress(DeskGone):
            while not self._stopping:
                await asyncio.sleep(dice.uniform(0, _REST_SECONDS))
                await self._one(dice)

    async def _one(self, dice: random.Random) -> None:
        market = dice.choice(("otcs", "otcs", "secondary-markets"))
        deal = await self._some_deal(dice)
        match dice.choice(("sell", "sell", "sell", "buy", "withdraw", "withdraw", "accept", "take")):
            case "withdraw" if deal is not None:
                await self._begin(dice, f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel", {"deal_id": deal})
            case "accept" if deal is not None:
                await self._ask(f"/v2/admin/otcs/nodes/{N}/tokens/{T}/deals/{deal}/accept", None, None)
            case "take" if deal is not None:
                path = f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-secondary-market"
                await self._begin(dice, path, {"quantity": 1, "deal_id": dice.randint(1, deal)})
            case "buy":
                path = f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-primary-market"
                await self._begin(dice, path, {"quantity": dice.randint(1, 3)})
            case _:
                body = {"quantity": dice.randint(1, 9), "price_id": C, "price_amount": dice.randint(1, 9)}
                await self._begin(dice, f"/v2/users/{market}/users/{U1}/tokens/{T}/sell", body)

    async def _some_deal(self, dice: random.Random) -> int | None:
        """Return one of the newest deals over the counter that are active."""
        answer = await self._ask(f"/v2/users/otcs/users/{U1}/tokens/{T}", {"page": 1, "per_page": 20}, None)
        if answer.status_code != self.accepted:
            return None
        active = [int(row["deal_id"]) for row in answer.json()["data"] if row["status"] == "active"]
        return dice.choice(active) if active else None

    async def _begin(self, dice: random.Random, path: str, body: dict[str, Any]) -> None:
        key = f"{dice.getrandbits(128):032x}"
        asked = _Asked(path, body, key)
        self.transactions[asked] = None
        twice = [self._ask(path, body, key) for _ in range(2 if dice.random() < 0.2 else 1)]
        for answer in await asyncio.gather(*twice, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer.status_code == self.accepted:
                self.transactions[asked] = _transaction_of(answer)
            elif answer.status_code < 500:
                self.transactions.pop(asked, None)  # it may be carried out another time, and is asked for no more

    async def _ask(self, path: str, body: dict[str, Any] | None, key: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._bearer}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            answer = await self._http.request("POST", DEALS + path, headers=headers, json=body)
        except httpx.TransportError as error:
            raise DeskGone(path) from error
        self.answers[answer.status_code if key is not None else -answer.status_code] += 1
        return answer


class _Asked(Asked):
    """Known by its key."""

    def __hash__(self) -> int:
        return hash(self.key)


def _transaction_of(answer: httpx.Response) -> str | None:
    return str(answer.json()["transaction_id"]) if answer.status_code == Traders.accepted else None


async def all_done(site: RailSite) -> None:
    """Wait until no job waits for the chain; nobody asks for any meanwhile."""

    async def nothing_waits() -> bool:
        return not await site.ask(
            "select exists (select from jobs where lane = $1 and waits_for is not null)", site.lane
        )

    await until(nothing_waits, "every job has ended")


@asynccontextmanager
async def resale_site(seed: int) -> AsyncIterator[tuple[RailSite, Traders]]:
    """Open a desk with the contract's world, in which there is plenty of everything."""

    def traders(desk: DeskServer, closing: AsyncExitStack) -> Traders:
        file = DealsWorld.file()
        for little, much in (_BRANCHS_PLENTY, *_PLENTY):
            assert little in file
            file = file.replace(little, much)
        return Traders(DealsWorld(desk, template=None, frozen=None, world=file), seed, connected(desk, closing))

    async with rail_site(CHAIN, traders) as (site, load):
        yield site, load
