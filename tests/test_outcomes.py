"""Who waits for an execution is told of it at once, whichever process executes, and costs little until then."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from otcdesk.app import Program
from otcdesk.domain.orders import Order
from otcdesk.outcomes import Ended, Outcomes
from otcdesk.storage.database import Reads
from tests.support.brokerage import U, V
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import Lane
from tests.support.executions import (
    FILLED,
    REFUSED,
    accept,
    accepted,
    new_offers_lane,
    quoted,
    script,
)
from tests.support.program import opened
from tests.support.waiting import until
from tests.test_metrics import value

_LONG_MS = 20_000


class HeldReads(Reads):
    """Reads whose answers a test can hold back and count, or which fail as a test says."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(reads.pool)
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False

    async def records(self, file: str, name: str, *arguments: Any) -> list[Any]:
        self.asked[name] += 1
        if self.failing:
            raise OSError("the database is away")
        found = await super().records(file, name, *arguments)
        await self.gate.wait()
        self.answered[name] += 1
        return found

    async def rows(self, file: str, name: str, kind: Any, *arguments: Any) -> list[Any]:
        self.asked[name] += 1
        return await super().rows(file, name, kind, *arguments)


class Pair:
    """Two processes on one database: one executes, requests wait in the other."""

    def __init__(self, lane: Lane, executing: Program, waiting: Program) -> None:
        self.lane = lane
        self.executing = executing
        self.waiting = waiting
        self.reads = HeldReads(waiting.desk.reads)
        self.outcomes = waiting.desk.outcomes = Outcomes(self.reads, period_ms=5)

    async def accepted(self, **how: Any) -> Order:
        return await accepted(self.waiting, self.lane.number, **how)

    async def execute(self) -> None:
        """Let the other process execute everything that waits."""
        await self.executing.execution.begin_waiting()
        await self.executing.execution.stop()

    async def rounds(self, number: int = 1) -> None:
        """Wait for so many whole rounds of looking."""
        before = self.reads.asked["ended_since"]
        await until(lambda: self.reads.asked["ended_since"] > before + number, "it looks")

    def between_rounds(self) -> bool:
        """Tell whether no round is under way; none begins before the caller awaits something."""
        return self.reads.asked["ended_since"] == self.reads.answered["ended_since"]

    async def idle(self) -> None:
        """Wait until nobody looks any more."""
        await until(lambda: self.outcomes._looking is None, "nobody looks")


@pytest.fixture
async def pair(fresh_dsn: str, tmp_path: Path) -> AsyncIterator[Pair]:
    lane = await new_offers_lane(fresh_dsn)
    async with opened(lane, tmp_path / "one") as one, opened(lane, tmp_path / "two") as two:
        script(one, FILLED)
        pair = Pair(lane, one, two)
        yield pair
        await pair.outcomes.close()


async def test_the_worker_of_the_same_process_tells_without_a_read(pair: Pair) -> None:
    desk = pair.executing.desk
    desk.outcomes = Outcomes(HeldReads(desk.reads), period_ms=10_000)
    order = await quoted(pair.executing, pair.lane.number)
    with desk.outcomes.expected(pair.lane.number, order.id) as waiting:
        await accept(pair.executing, pair.lane.number, order)
        assert desk.outcomes.waiting == 1
        assert value(pair.executing.metrics.text(), "otcdesk_requests_awaiting_outcome") == "1.0"
        await pair.execute()
        ended = await waiting.within(0)  # it was told before anybody asked
        assert isinstance(ended, Ended)
        assert (ended.order.id, ended.order.state, ended.quote.order_id) == (order.id, "finished", order.id)
    assert desk.outcomes.waiting == 0
    assert isinstance(desk.outcomes.reads, HeldReads)
    assert not desk.outcomes.reads.asked
    await desk.outcomes.close()


@pytest.mark.parametrize("answer, state", [(FILLED, "finished"), (REFUSED, "failed")])
async def test_what_another_process_executes_is_found_out(pair: Pair, answer: Any, state: str) -> None:
    script(pair.executing, answer)
    order = await quoted(pair.waiting, pair.lane.number)
    with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
        await accept(pair.waiting, pair.lane.number, order)
        asked = asyncio.create_task(waiting.within(_LONG_MS))
        await pair.rounds(2)
        assert not asked.done()
        await pair.execute()
        ended = await asked
    assert ended is not None
    assert (ended.order.state, ended.order.reason) == (state, answer.reason or None)
    await pair.idle()


async def test_what_ended_before_anybody_looked_is_found_out(pair: Pair) -> None:
    """The lane has no position yet: the order itself is read."""
    pair.outcomes.period_ms = 300
    order = await pair.accepted()
    with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
        await pair.execute()
        ended = await waiting.within(_LONG_MS)
    assert ended is not None
    assert ended.order.state == "finished"


async def test_who_comes_while_the_first_look_is_under_way_is_not_missed(pair: Pair) -> None:
    """The look's snapshot was taken before, or after, and says nothing of what ended before it."""
    first, second = await pair.accepted(), await pair.accepted(party=V)
    pair.reads.gate.clear()
    with pair.outcomes.expected(pair.lane.number, first.id):
        await until(lambda: pair.reads.asked["ended_since"] == 1, "the first look is under way")
        with pair.outcomes.expected(pair.lane.number, second.id) as waiting:
            await pair.execute()
            pair.reads.gate.set()
            assert await waiting.within(_LONG_MS) is not None


async def test_who_comes_back_to_a_lane_that_nobody_waited_for_is_not_missed(pair: Pair) -> None:
    """A round that left the lane out must not forget where it was: what ends before the next is after that."""
    elsewhere = await new_offers_lane(pair.lane.dsn, pair.lane.clock)
    kept = await quoted(pair.waiting, elsewhere.number)
    order = await quoted(pair.waiting, pair.lane.number)
    with pair.outcomes.expected(elsewhere.number, kept.id):
        with pair.outcomes.expected(pair.lane.number, order.id):
            await pair.rounds(2)
            await until(pair.between_rounds, "no round with the lane is under way")
        rounds = pair.reads.asked["ended_since"]
        pair.reads.gate.clear()
        await until(lambda: pair.reads.asked["ended_since"] > rounds, "a round without the lane is under way")
        with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
            await accept(pair.waiting, pair.lane.number, order)
            await pair.execute()
            pair.reads.gate.set()
            assert await waiting.within(_LONG_MS) is not None


async def test_nobody_waits_longer_than_allowed(pair: Pair) -> None:
    order = await pair.accepted()
    with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
        assert await waiting.within(0) is None
        assert await waiting.within(30) is None
        await pair.execute()
        assert await waiting.within(_LONG_MS) is not None


async def test_all_who_wait_for_one_order_are_told(pair: Pair) -> None:
    order = await pair.accepted()

    async def one(milliseconds: int) -> Ended | None:
        with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
            return await waiting.within(milliseconds)

    impatient = [asyncio.create_task(one(1)) for _ in range(3)]
    patient = [asyncio.create_task(one(_LONG_MS)) for _ in range(5)]
    assert await asyncio.gather(*impatient) == [None] * 3
    gone = patient.pop()
    gone.cancel()
    await asyncio.wait({gone})
    assert pair.outcomes.waiting == 4
    await pair.execute()
    assert all(await asyncio.gather(*patient))
    assert pair.outcomes.waiting == 0


async def test_looking_costs_the_same_however_many_wait_and_nothing_when_nobody_does(pair: Pair) -> None:
    order = await pair.accepted()
    with contextlib.ExitStack() as stack:
        stack.enter_context(pair.outcomes.expected(pair.lane.number, order.id))
        for number in range(1_000):
            stack.enter_context(pair.outcomes.expected(pair.lane.number, UUID(int=number)))
        await pair.rounds(3)
        assert pair.reads.asked["ended"] == 1, "of those who were there before the first look, once"
    await pair.idle()
    assert (pair.outcomes.waiting, pair.outcomes._waiting, pair.outcomes._lanes) == (0, {}, {})
    assert not pair.outcomes._unseen
    before = pair.reads.asked.total()
    await asyncio.sleep(0.05)
    assert pair.reads.asked.total() == before


async def test_a_database_that_is_away_is_asked_again(pair: Pair) -> None:
    order = await pair.accepted()
    pair.reads.failing = True
    with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
        await pair.execute()
        await pair.rounds(2)
        assert await waiting.within(0) is None
        pair.reads.failing = False
        assert await waiting.within(_LONG_MS) is not None


async def test_an_expired_quote_is_no_outcome(pair: Pair) -> None:
    order = await quoted(pair.waiting, pair.lane.number)
    with pair.outcomes.expected(pair.lane.number, order.id) as waiting:
        assert isinstance(pair.lane.clock, SteeredClock)
        pair.lane.clock.advance(seconds=61)
        await pair.waiting.work_once(pair.lane.number)
        await pair.rounds(2)
        assert await waiting.within(0) is None


async def test_nobody_is_missed_whenever_he_comes(pair: Pair) -> None:
    """Many in several lanes come and go at random while the other process executes."""
    dice = random.Random(new_seed())
    lanes = [pair.lane, *[await new_offers_lane(pair.lane.dsn, pair.lane.clock) for _ in range(2)]]
    stopping = False

    async def executes() -> None:
        while not stopping:
            await pair.executing.execution.begin_waiting()
            await asyncio.sleep(dice.uniform(0, 0.01))

    async def comes(lane: Lane, party: UUID) -> None:
        for _ in range(12):
            await asyncio.sleep(dice.uniform(0, 0.03))
            order = await quoted(pair.waiting, lane.number, party=party)
            with pair.outcomes.expected(lane.number, order.id) as waiting:
                await accept(pair.waiting, lane.number, order, party=party)
                assert await waiting.within(_LONG_MS) is not None

    worker = asyncio.create_task(executes())
    async with asyncio.timeout(60):
        await asyncio.gather(*[comes(lane, party) for lane in lanes for party in (U, V)])
    stopping = True
    await worker
