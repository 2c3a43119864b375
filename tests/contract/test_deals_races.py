"""Callers who want the same thing at once: two sales of more than half, a withdrawal and an acceptance, one rule twice.

Two parallel sales are told over HTTP. The other races are run by one engine, where they are decided inside of one
batch in either order, and by two, where batches meet. Whoever loses is refused, or has a job that fails; afterwards
nothing is lost, nothing is there twice, and the books are sound.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.make_resale_rule import MakeResaleRule, RuleFields
from otcdesk.actions.record_due import RecordDue
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.commands import Command
from otcdesk.domain.jobs import Job
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.resales import FUNDS, INVENTORY, branch_account_id
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.storage.queries import queries
from tests.support.clocks import SteeredClock
from tests.support.deals import DealsWorld, assert_error
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.estate import (
    DAY_SECONDS,
    DEALS_WORLD,
    ESTATE,
    ROOT,
    U1,
    U2,
    N,
    begun,
    buying,
    closing,
    done,
    listing,
    refused,
    taking,
    withdrawing,
)
from tests.support.server import DeskServer, at_once
from tests.support.soundness import assert_sound

INVARIANTS = queries("invariants")
TRADING = DEALS_WORLD.replace('name = "Example Node"\n', 'name = "Example Node"\nparties_trade = true\n', 1)
ROUNDS = 50
TOKENS, MONEY = holding_id(U1, "EXT"), holding_id(U1, "VUSD")
OF_BUYER, BUYERS_MONEY = holding_id(U2, "EXT"), holding_id(U2, "VUSD")
OF_BRANCH, BRANCHS_MONEY = branch_account_id(N, INVENTORY, "EXT"), branch_account_id(N, FUNDS, "VUSD")
BY_THE_DESK = ("BeginJob", "RecordJob", "RecordDue")


class Race:
    """A lane, the engines that serve it, and the clock."""

    def __init__(self, lane: Lane, clock: SteeredClock, engines: list[Engine]) -> None:
        self.lane = lane
        self.clock = clock
        self.engines = engines

    async def tell(self, command: Command, turn: int = 0, key: str | None = None) -> Any:
        """Return the answer of the engine whose turn it is, a refusal as its code."""
        owner_id = DESK_ID if type(command).__name__ in BY_THE_DESK else ESTATE
        engine = self.engines[turn % len(self.engines)]
        try:
            return await submit(engine, self.lane.number, command, owner_id=owner_id, key=key)
        except Refusal as refusal:
            return refusal.code

    async def at_once(self, *commands: Command) -> list[Any]:
        return list(await asyncio.gather(*(self.tell(command, turn) for turn, command in enumerate(commands))))

    async def asked(self, command: Command) -> Job:
        job: Job = (await self.tell(command)).job
        return job

    async def listed(self, quantity: int = 3, price: str = "2.5", **fields: Any) -> UUID:
        """Return the order of a listing that is active."""
        job = await self.asked(listing(quantity, price, **fields))
        await self.tell(done(job))
        return job.order_id

    async def account(self, account_id: UUID) -> tuple[int, int]:
        row = await self.row("select balance, held from accounts where lane = $1 and id = $2", account_id)
        return (int(row["balance"]), int(row["held"])) if row else (0, 0)

    async def state(self, order_id: UUID) -> str:
        row = await self.row("select state from orders where lane = $1 and id = $2", order_id)
        assert row is not None
        return str(row["state"])

    async def row(self, question: str, *arguments: Any) -> asyncpg.Record | None:
        connection = await asyncpg.connect(self.lane.dsn)
        try:
            return await connection.fetchrow(question, self.lane.number, *arguments)
        finally:
            await connection.close()


@pytest.fixture(params=[1, 2], ids=["one engine", "two engines"])
async def race(dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Race]:
    """Give a race, and check afterwards that the books are sound."""
    clock = SteeredClock()
    lane = await new_lane(dsn, TRADING, clock=clock)
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(make_engine(dsn, clock=clock)) for _ in range(request.param)]
        yield Race(lane, clock, engines)
    connection = await asyncpg.connect(dsn)
    for name, statement in INVARIANTS.items():
        assert await connection.fetch(statement, lane.number) == [], name
    await connection.close()
    await assert_sound(dsn, lane.number)


BOTH_WAYS = pytest.mark.parametrize("first", [0, 1], ids=["the one first", "the other first"])


def turned(first: int, *commands: Command) -> tuple[Command, ...]:
    return commands if first == 0 else commands[::-1]


def test_of_two_parallel_sells_of_more_than_half_one_is_refused(server: DeskServer) -> None:
    world = DealsWorld(server)
    world.bearer()
    for number in range(ROUNDS):
        before = world.quantities()
        sell: Callable[[], Any] = partial(world.sell, quantity=6)
        answers = at_once([sell, sell])
        assert sorted(answer.status_code for answer in answers) == [200, 422], number
        refusal = next(answer for answer in answers if answer.status_code == 422)
        told = "User does not have enough tokens to create this offer"
        assert_error(refusal, 422, "Insufficient token balance", told)
        assert (before, world.quantities()) == ((10, 10, 0), (10, 4, 6))
        (sold,) = (answer.json()["transaction_id"] for answer in answers if answer.status_code == 200)
        deal_id = world.finished(sold)["data"]["deal_id"]
        assert deal_id == number + 1
        world.finished(world.cancel(deal_id).json()["transaction_id"])


async def test_twenty_parallel_sells_never_list_more_than_there_is(race: Race) -> None:
    answers = await race.at_once(*[listing(3)] * 20)
    assert Counter(answer if isinstance(answer, Code) else "taken" for answer in answers) == {
        "taken": 3,
        Code.RESALE_NOT_COVERED: 17,
    }
    assert await race.account(TOKENS) == (10, 9)


async def test_twenty_times_the_same_sell_under_one_key_is_one_job(race: Race) -> None:
    answers = await asyncio.gather(*(race.tell(listing(3), turn, "key-1") for turn in range(20)))
    assert len({answer.job.id for answer in answers}) == 1
    assert await race.account(TOKENS) == (10, 3)


@BOTH_WAYS
async def test_a_cancel_against_an_accept_leaves_one_of_them(race: Race, first: int) -> None:
    order_id = await race.listed(7, "1")
    answers = await race.at_once(*turned(first, withdrawing(order_id), taking(order_id)))
    cancel, accept = answers if first == 0 else answers[::-1]
    # A cancel that was only asked for has not begun: the acceptance always wins until the chain is asked.
    assert accept.order.state == "completed"
    if not isinstance(cancel, Code):
        assert (await race.tell(begun(cancel.job))).job.state == "failed"
    else:
        assert cancel is Code.NOT_CANCELLABLE
    assert await race.account(TOKENS) == (3, 0)
    assert await race.account(OF_BRANCH) == (7, 0)


@BOTH_WAYS
async def test_a_cancel_that_begins_against_an_accept_is_one_of_them(race: Race, first: int) -> None:
    order_id = await race.listed(7, "1")
    job = await race.asked(withdrawing(order_id))
    answers = await race.at_once(*turned(first, begun(job), taking(order_id)))
    begin, accept = answers if first == 0 else answers[::-1]
    if isinstance(accept, Code):
        assert (accept, begin.job.state) == (Code.NOT_TAKEABLE, "in_progress")
        await race.tell(done(job))
        assert await race.state(order_id) == "cancelled"
        assert (await race.account(TOKENS), await race.account(OF_BRANCH)) == ((10, 0), (0, 0))
    else:
        assert begin.job.state == "failed"
        assert not (await race.tell(done(job))).applied
        assert (await race.account(TOKENS), await race.account(OF_BRANCH)) == ((3, 0), (7, 0))


async def test_two_cancels_are_one(race: Race) -> None:
    order_id = await race.listed(7)
    jobs = [answer.job for answer in await race.at_once(withdrawing(order_id), withdrawing(order_id))]
    begins = await race.at_once(*map(begun, jobs))
    assert sorted(answer.job.state for answer in begins) == ["failed", "in_progress"]
    words = await race.at_once(*map(done, jobs))
    assert sorted(answer.applied for answer in words) == [False, True]
    assert await race.account(TOKENS) == (10, 0)
    assert await race.tell(withdrawing(order_id)) is Code.NOT_CANCELLABLE


@pytest.mark.parametrize("milliseconds", [-1, 0], ids=["before it", "at its end"])
@BOTH_WAYS
async def test_an_accept_against_expiry_goes_by_the_clock(race: Race, first: int, milliseconds: int) -> None:
    order_id = await race.listed(7, "1")
    race.clock.advance(milliseconds=31 * DAY_SECONDS * 1_000 + milliseconds)
    answers = await race.at_once(*turned(first, taking(order_id), RecordDue(order_ids=[order_id])))
    accept, due = answers if first == 0 else answers[::-1]
    if milliseconds < 0:
        assert (accept.order.state, due.recorded) == ("completed", 0)
        assert await race.account(OF_BRANCH) == (7, 0)
    else:
        assert (accept, due.recorded) == (Code.NOT_TAKEABLE, 1)
        assert (await race.state(order_id), await race.account(TOKENS)) == ("expired", (10, 0))


async def test_of_two_listings_activated_at_once_one_consumes_the_rule(race: Race) -> None:
    fields = RuleFields(
        name="take one",
        side="sells",
        test="percent",
        action="accept",
        active=True,
        consume_on_match=True,
        priority=1,
        above_percent=Decimal(10),
        below_percent=Decimal(10),
    )
    rule = (await race.tell(MakeResaleRule(branch_id=N, fields=fields, created_by="test", mandate=ROOT))).rule
    jobs = [await race.asked(listing(3, "2.2")) for _ in range(2)]
    assert all(answer.applied for answer in await race.at_once(*map(done, jobs)))
    assert sorted([await race.state(job.order_id) for job in jobs]) == ["active", "completed"]
    decided = await race.row("select count(*) from resale_decisions where lane = $1 and rule_id = $2", rule.id)
    assert decided is not None
    assert decided[0] == 1
    assert (await race.account(OF_BRANCH), await race.account(TOKENS)) == ((3, 0), (7, 3))


@BOTH_WAYS
async def test_a_purchase_against_a_cancel_has_what_is_not_given_back(race: Race, first: int) -> None:
    order_id = await race.listed(7, "1")
    job = await race.asked(withdrawing(order_id))
    answers = await race.at_once(*turned(first, begun(job), buying(order_id, 4)))
    begin, buy = answers if first == 0 else answers[::-1]
    assert begin.job.state == "in_progress"
    if isinstance(buy, Code):
        assert (buy, begin.job.units) == (Code.NOT_TAKEABLE, 7)
        await race.tell(done(job))
        assert await race.account(TOKENS) == (10, 0)
        return
    assert begin.job.units == 3
    await race.at_once(*turned(first, done(job), done(buy.job)))
    assert await race.state(order_id) == "cancelled"
    assert (await race.account(TOKENS), await race.account(OF_BUYER)) == ((6, 0), (4, 0))


@BOTH_WAYS
async def test_an_accept_against_a_purchase_shares_or_takes_all(race: Race, first: int) -> None:
    order_id = await race.listed(7, "1")
    answers = await race.at_once(*turned(first, taking(order_id), buying(order_id, 4)))
    accept, buy = answers if first == 0 else answers[::-1]
    assert accept.order.state == "completed"
    if isinstance(buy, Code):
        assert buy is Code.NOT_TAKEABLE
        assert (await race.account(OF_BRANCH), await race.account(MONEY)) == ((7, 0), (7_000_000, 0))
        return
    await race.tell(done(buy.job))
    assert (await race.account(OF_BRANCH), await race.account(OF_BUYER)) == ((3, 0), (4, 0))
    assert await race.account(MONEY) == (7_000_000, 0)


async def test_two_purchases_of_more_than_half_are_one(race: Race) -> None:
    order_id = await race.listed(7, "1")
    answers = await race.at_once(buying(order_id, 4), buying(order_id, 4))
    assert Code.QUANTITY_UNAVAILABLE in answers
    (job,) = (answer.job for answer in answers if not isinstance(answer, Code))
    assert await race.account(BUYERS_MONEY) == (500_000_000, 4_000_000)
    words = await race.at_once(done(job), refused(job), done(job))
    assert sum(answer.applied for answer in words) == 1


async def test_two_accepts_of_the_branchs_last_money_are_one(race: Race) -> None:
    orders = [await race.listed(3, "300"), await race.listed(3, "300")]
    answers = await race.at_once(*map(taking, orders))
    assert Code.BRANCH_NOT_COVERED in answers
    assert await race.account(BRANCHS_MONEY) == (100_000_000, 0)


async def test_a_close_against_an_accept_is_one_of_them(race: Race) -> None:
    order_id = await race.listed(7, "1")
    answers = await race.at_once(closing(order_id), taking(order_id))
    refusal = next(answer for answer in answers if isinstance(answer, Code))
    assert refusal in {Code.NOT_CANCELLABLE, Code.NOT_TAKEABLE}
    given_back = await race.state(order_id) == "cancelled"
    assert await race.account(TOKENS) == ((10, 0) if given_back else (3, 0))


async def test_a_chain_that_says_two_things_at_once_is_heard_once(race: Race) -> None:
    job = await race.asked(listing(3))
    words = await race.at_once(*[done(job), refused(job)] * 5)
    assert sum(answer.applied for answer in words) == 1
    state = await race.state(job.order_id)
    assert await race.account(TOKENS) == ((10, 3) if state == "active" else (10, 0))
