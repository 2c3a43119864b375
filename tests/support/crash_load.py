"""Clients of a desk that may die at any moment, and what each of them asked and was answered.

They buy and sell under idempotency keys, some with two keys at once, an operator approves many of the orders and books
deposits. A request without an answer, or told that the desk cannot reach its books, is as unknown to its client as to
any: it is repeated under its key, or left for the inquest.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx

from tests.support.server import CSRF, EXCHANGES, NO_AUTHORITIES, ORDERS, World, check_answer

_CLIENTS = 8
_ANSWER_SECONDS = 30
#: So long at most a client rests between two things that it does, and so long it waits when told to come again.
_REST_SECONDS = 0.03
_PAUSE_SECONDS = 0.05

_KEY = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

#: Status and body.
Answer = tuple[int, bytes]


class DeskGone(Exception):
    """The connection was lost before the answer came."""


class Asked:
    """A request under a key, and the first answer that told its outcome, if one did."""

    def __init__(self, key: str, path: str, caller: str, body: dict[str, Any], order_id: str | None = None) -> None:
        self.key = key
        self.path = path
        self.caller = caller
        self.body = body
        self.order_id = order_id
        self.answer: Answer | None = None
        self.told_to_wait = 0

    @property
    def done(self) -> bool:
        """Tell whether it was answered that it is carried out."""
        return self.answer is not None and self.answer[0] == 201


class Load:
    """The clients of one world. With `repeats` who is told to come again does, until there is an answer."""

    def __init__(self, world: World, seed: int, *, repeats: bool) -> None:
        self.world = world
        self.seed = seed
        self.repeats = repeats
        self.keyed: dict[str, Asked] = {}
        self.quoted: set[str] = set()
        self.approved: set[str] = set()
        self.in_air = 0
        self.dropped = 0
        self.told_to_wait = 0
        self.rounds = 0
        self._served: list[int] = []
        self._stopping = False
        self._http = httpx.AsyncClient(
            base_url=world.server.url,
            timeout=_ANSWER_SECONDS,
            event_hooks={"response": [_check]},
            verify=NO_AUTHORITIES,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the clients run meanwhile, and wait until each has the outcome of what it asked last."""
        self._stopping = False
        self.rounds += 1
        self._served = [0] * _CLIENTS
        async with asyncio.TaskGroup() as clients:
            for number in range(_CLIENTS):
                clients.create_task(self._client(number))
            try:
                yield
            finally:
                self._stopping = True

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def named_in(self, data: bytes) -> list[Asked]:
        """Return the requests whose keys a save writes down."""
        found = dict.fromkeys(match.decode() for match in _KEY.findall(data))
        return [self.keyed[key] for key in found if key in self.keyed]

    def under_way(self) -> Callable[[], bool]:
        """Return a question: has every client been served since now, and an order been approved?"""
        served, approved = list(self._served), len(self.approved)

        def is_so() -> bool:
            all_served = all(now > before for now, before in zip(self._served, served, strict=True))
            return all_served and len(self.approved) > approved

        return is_so

    async def again(self, asked: Asked) -> Answer | None:
        """Send a request once more; returns the answer, None when told to come again. Raises DeskGone."""
        headers = self._headers(asked.caller, key=asked.key)
        answer = await self._ask(asked.path, headers, asked.body)
        if answer is None:
            asked.told_to_wait += 1
        return answer

    async def _client(self, number: int) -> None:
        """Do one thing after another until told to stop, or until there is no desk; the seed says which things."""
        dice = random.Random(f"{self.seed}/{self.rounds}/{number}")
        while not self._stopping:
            await asyncio.sleep(dice.uniform(0, _REST_SECONDS))
            try:
                thing = self._deposit if dice.random() < 0.1 else self._conversion
                self._served[number] += await thing(dice)
            except DeskGone:
                self.dropped += 1
                return

    async def _deposit(self, dice: random.Random) -> bool:
        account_id = self.world.ids[dice.choice(("FA1", "FB1"))]
        key = _new_key(dice)
        body = {"accountId": account_id, "amount": f"{dice.randint(1, 99)}.50", "reason": "wire", "reference": key}
        return await self._carry(Asked(key, "/operator/deposits", "operator", body))

    async def _conversion(self, dice: random.Random) -> bool:
        tenant, side = dice.choice("AB"), dice.choice(("buy", "sell"))
        quote = await self._ask(EXCHANGES + "/quote", self._headers(f"K{tenant}"), self._quote(tenant, side, dice))
        if quote is None:
            return False
        assert quote[0] == 200, quote
        order_id: str = json.loads(quote[1])["data"]["quoteId"]
        self.quoted.add(order_id)
        confirms = [
            Asked(_new_key(dice), EXCHANGES, f"K{tenant}", {"quoteId": order_id, "side": side}, order_id)
            for _ in range(2 if dice.random() < 0.1 else 1)
        ]
        repeated, approved = dice.random() < 0.1, dice.random() < 0.5
        carried = await asyncio.gather(*map(self._carry, confirms), return_exceptions=True)
        for outcome in carried:
            if isinstance(outcome, BaseException):
                raise outcome
        if not all(carried):
            return False
        if repeated and (answer := await self.again(confirms[0])) is not None:
            assert answer == confirms[0].answer
        return not approved or await self._approve(order_id)

    async def _carry(self, asked: Asked) -> bool:
        """Ask under a key; returns whether there was an answer."""
        self.keyed[asked.key] = asked
        while (answer := await self.again(asked)) is None:
            if not self.repeats:
                return False
            await asyncio.sleep(_PAUSE_SECONDS)
        asked.answer = answer
        return True

    async def _approve(self, order_id: str) -> bool:
        answer = await self._ask(f"{ORDERS}/{order_id}/approve", self._headers("operator"), {})
        if answer is not None:
            assert answer[0] == 200, answer
            self.approved.add(order_id)
        return answer is not None

    async def _ask(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Answer | None:
        """Post; returns the answer, None when told to come again. Raises DeskGone when the connection is lost."""
        self.in_air += 1
        try:
            response = await self._http.post(path, headers=headers, json=body)
        except httpx.TimeoutException as error:
            raise AssertionError(f"no answer in {_ANSWER_SECONDS} s from {path}") from error
        except httpx.TransportError as error:
            raise DeskGone(path) from error
        finally:
            self.in_air -= 1
        if response.status_code == 503:
            told = response.json()["error"]
            assert told["code"] == "SERVICE_UNAVAILABLE"
            # Only who has a key may be told to repeat what may have been carried out.
            may_repeat = "not known" not in told["message"] or "idempotency-key" in map(str.lower, headers)
            assert (response.headers.get("retry-after") == "1") == may_repeat
            self.told_to_wait += 1
            return None
        return response.status_code, response.content

    def _headers(self, caller: str, *, key: str | None = None) -> dict[str, str]:
        who = {"Authorization": f"Bearer {self.world.token}"} if caller == "operator" else {"X-CSRF-Token": CSRF}
        if caller != "operator":
            who["x-api-key"] = self.world.keys[caller]
        return who if key is None else {**who, "Idempotency-Key": key}

    def _quote(self, tenant: str, side: str, dice: random.Random) -> dict[str, str]:
        cash, wallet, amount = self.world.ids[f"F{tenant}1"], self.world.ids[f"W{tenant}1"], f"{dice.randint(1, 9)}.25"
        if side == "buy":
            return {"sourceFrAccountId": cash, "destinationUtilaWalletId": wallet, "sourceAmountEur": amount}
        return {
            "side": "sell",
            "sourceUtilaWalletId": wallet,
            "destinationFrAccountId": cash,
            "sourceAmountUsdc": amount,
        }


def _new_key(dice: random.Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))


async def _check(response: httpx.Response) -> None:
    await response.aread()
    check_answer(response)
