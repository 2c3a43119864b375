"""Payouts that race: twenty times the same sale, two sales for one balance, a sale against a price, two last words.

Every race is run by one engine, where it is decided inside of one batch, and by two, where batches meet.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.move_value import Withdraw
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.payouts import PreparedPayout, current_id
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.storage.queries import queries
from tests.support.clocks import SteeredClock
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.payouts import B1, CEILING, RAMP_WORLD, done, moved_price, preparing, refused, selling
from tests.support.soundness import assert_sound

INVARIANTS = queries("invariants")
CURRENT = current_id(B1, "USDC")


class Race:
    """A lane and the engines that serve it."""

    def __init__(self, lane: Lane, engines: list[Engine]) -> None:
        self.lane = lane
        self.engines = engines

    async def tell(self, command: Command, turn: int = 0, key: str | None = None) -> Any:
        """Return the answer of the engine whose turn it is, a refusal as its code."""
        engine = self.engines[turn % len(self.engines)]
        owner_id = DESK_ID if key is None else B1
        try:
            return await submit(engine, self.lane.number, command, key=key, owner_id=owner_id)
        except Refusal as refusal:
            return refusal.code

    async def prepare(self, arrives: str = "100.00") -> PreparedPayout:
        command = preparing(arrives, delayed=True)
        payout: PreparedPayout = (await submit(self.engines[0], self.lane.number, command, owner_id=B1)).prepared
        return payout

    async def all_at_once(self, *commands: tuple[Command, str | None]) -> list[Any]:
        told = [self.tell(command, turn, key) for turn, (command, key) in enumerate(commands)]
        return list(await asyncio.gather(*told))

    async def account(self, account_id: UUID) -> tuple[int, int]:
        connection = await asyncpg.connect(self.lane.dsn)
        row = await connection.fetchrow(
            "select balance, held from accounts where lane = $1 and id = $2", self.lane.number, account_id
        )
        await connection.close()
        assert row is not None
        return int(row["balance"]), int(row["held"])


@asynccontextmanager
async def racing(dsn: str, engines: int) -> AsyncIterator[Race]:
    """Give a race, and check afterwards that the books are sound."""
    clock = SteeredClock()
    lane = await new_lane(dsn, RAMP_WORLD, clock=clock)
    async with AsyncExitStack() as stack:
        yield Race(lane, [await stack.enter_async_context(make_engine(dsn, clock=clock)) for _ in range(engines)])
    connection = await asyncpg.connect(dsn)
    for name, statement in INVARIANTS.items():
        assert await connection.fetch(statement, lane.number) == [], name
    await connection.close()
    await assert_sound(dsn, lane.number)


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
async def race(dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Race]:
    async with racing(dsn, request.param) as started:
        yield started


async def test_twenty_times_the_same_sale_is_one_payout_as_in_case_9(race: Race) -> None:
    payout = await race.prepare()
    answers = await race.all_at_once(*[(selling(payout, CEILING), "n-1")] * 20)
    assert {answer.order_id for answer in answers} == {answers[0].order_id}
    assert all(answer == answers[0] for answer in answers)
    assert await race.account(CURRENT) == (500_000_000, 110_326_087)
    assert await race.account(desk_account_id(TREASURY, "EUR")) == (100_000_000, 10_150)


async def test_twenty_nonces_for_what_was_prepared_once_are_one_payout(race: Race) -> None:
    payout = await race.prepare()
    answers = await race.all_at_once(*[(selling(payout), f"n-{number}") for number in range(20)])
    assert sum(isinstance(answer, Code) for answer in answers) == 19
    assert {answer for answer in answers if isinstance(answer, Code)} == {Code.PREPARED_PAYOUT_USED}
    assert await race.account(CURRENT) == (500_000_000, 110_326_087)


async def test_one_nonce_for_twenty_different_sales_is_one_payout(race: Race) -> None:
    payouts = [await race.prepare() for _ in range(20)]
    answers = await race.all_at_once(*[(selling(payout), "n-1") for payout in payouts])
    assert Counter(answer if isinstance(answer, Code) else "sold" for answer in answers) == {
        Code.KEY_REUSED: 19,
        "sold": 1,
    }
    assert await race.account(CURRENT) == (500_000_000, 110_326_087)


async def test_of_two_sales_for_one_balance_one_is_refused(race: Race) -> None:
    payouts = [await race.prepare("300.00") for _ in range(2)]
    answers = await race.all_at_once(*[(selling(payout), f"n-{turn}") for turn, payout in enumerate(payouts)])
    assert sorted(isinstance(answer, Code) for answer in answers) == [False, True]
    assert Code.PAYOUT_NOT_COVERED in answers
    assert await race.account(CURRENT) == (500_000_000, 329_891_305)
    # The refused one's nonce, and what was prepared for it, can be used when there is money again.
    loser = answers.index(Code.PAYOUT_NOT_COVERED)
    assert (await race.tell(refused(answers[1 - loser].order))).applied
    assert (await race.tell(selling(payouts[loser]), key=f"n-{loser}")).order.state == "pending"


async def test_of_two_sales_for_the_treasurys_last_euros_one_is_refused(race: Race) -> None:
    last = Withdraw(account_id=desk_account_id(TREASURY, "EUR"), units=100_000_000 - 10_150, reason="r", reference="r")
    await race.tell(last)
    payouts = [await race.prepare() for _ in range(2)]
    answers = await race.all_at_once(*[(selling(payout), f"n-{turn}") for turn, payout in enumerate(payouts)])
    assert sorted(isinstance(answer, Code) for answer in answers) == [False, True]
    assert Code.TREASURY_INSUFFICIENT in answers
    assert await race.account(desk_account_id(TREASURY, "EUR")) == (10_150, 10_150)
    assert await race.account(CURRENT) == (500_000_000, 110_326_087)


@pytest.mark.parametrize("first", [0, 1], ids=["the sale first", "the price first"])
async def test_a_sale_against_a_price_is_charged_one_of_them_and_never_above_its_ceiling(
    race: Race, first: int
) -> None:
    costs = {Decimal("0.92"): 110_326_087, Decimal("0.915"): 110_928_962}
    payout = await race.prepare()
    steps: list[tuple[Command, str | None]] = [(selling(payout, CEILING), "n-1"), (moved_price("0.915"), None)]
    order = (await race.all_at_once(*(steps if first == 0 else steps[::-1])))[first].order
    assert order.source_units == costs[order.rate]
    tight = await race.prepare()
    await race.tell(moved_price("0.92"))
    steps = [(selling(tight, "110.326087"), "n-2"), (moved_price("0.915"), None)]
    answer = (await race.all_at_once(*(steps if first == 0 else steps[::-1])))[first]
    held = order.source_units + (0 if answer is Code.CEILING_EXCEEDED else 110_326_087)
    assert answer is Code.CEILING_EXCEEDED or answer.order.rate == Decimal("0.92")
    assert await race.account(CURRENT) == (500_000_000, held)


async def test_two_last_words_are_one_end(race: Race) -> None:
    payout = await race.prepare()
    order = (await race.tell(selling(payout), key="n-1")).order
    words: list[tuple[Command, str | None]] = [(done(order), None), (refused(order), None)] * 5
    answers = await race.all_at_once(*words)
    assert sum(answer.applied for answer in answers) == 1
    (state,) = {answer.order.state for answer in answers}
    taken = 110_326_087 if state == "settled" else 0
    assert await race.account(CURRENT) == (500_000_000 - taken, 0)
