"""Rule 8 and rule 1: one bad command never spoils a batch."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.move_value import Deposit
from otcdesk.domain.commands import Command
from otcdesk.errors import Code, Refusal
from tests.support.desk import FA1, Lane, make_engine, submit
from tests.support.soundness import assert_sound
from tests.support.verbs import (
    TEST_CATALOGUE,
    AddTwice,
    AskForEver,
    BreakConstraint,
    ChangeNothing,
    Count,
    Counted,
    Crash,
    FindText,
    KeepNonsense,
    KeepText,
)

POISONS: dict[str, Command] = {
    "its action raises": Crash(),
    "a check constraint refuses its row": BreakConstraint(),
    "a text has a NUL": KeepText(id=UUID(int=77), text="before\x00after"),
    "a text has half a surrogate pair": KeepText(id=UUID(int=77), text="\ud800"),
    "a key to be read has a NUL": FindText(text="before\x00after"),
    "a key to be read has half a surrogate pair": FindText(text="\ud800"),
    "a row cannot be written down": KeepNonsense(id=UUID(int=77)),
    "it changes a row that does not exist": ChangeNothing(id=UUID(int=77)),
    "it asks for ever more rows": AskForEver(),
    "it adds a row that exists": AddTwice(name="there already"),
    "a number that the database cannot hold": BreakConstraint(delay_ms=10**41),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS.keys())
async def test_among_499_good_commands_exactly_the_bad_one_fails(poison: Command, lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        await submit(engine, lane.number, AddTwice(name="there already"))
        good = [submit(engine, lane.number, Count(name=f"counter {number % 7}")) for number in range(499)]
        work = [*good[:321], submit(engine, lane.number, poison, request_id="the bad one"), *good[321:]]
        answers = await asyncio.gather(*work, return_exceptions=True)
        failed = answers.pop(321)
        assert isinstance(failed, Refusal)
        assert (failed.code, failed.facts) == (Code.CRASHED, {"request_id": "the bad one"})
        counted = [answer for answer in answers if isinstance(answer, Counted)]
        assert len(counted) == 499
        assert sorted(answer.total for answer in counted if answer.name == "counter 0") == list(range(1, 73))
    await assert_sound(lane.dsn, lane.number)
    connection = await asyncpg.connect(lane.dsn)
    total = await connection.fetchval(
        "select sum(delay_ms) from faults where lane = $1 and rail like 'counter %'", lane.number
    )
    tenants = await connection.fetchval("select count(*) from tenants where lane = $1", lane.number)
    await connection.close()
    assert (total, tenants) == (499, 2)


async def test_an_action_that_breaks_costs_no_batch_of_its_own(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        work = [submit(engine, lane.number, Count(name="one")) for _ in range(20)]
        work.insert(7, submit(engine, lane.number, Crash()))
        answers = await asyncio.gather(*work, return_exceptions=True)
        assert sum(isinstance(answer, Refusal) for answer in answers) == 1
        assert engine.lanes[lane.number].batches == 1


async def test_many_bad_ones_are_each_found(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        work = [
            submit(engine, lane.number, BreakConstraint() if number % 9 == 0 else Count(name="one"))
            for number in range(90)
        ]
        answers = await asyncio.gather(*work, return_exceptions=True)
        bad = [number for number, answer in enumerate(answers) if isinstance(answer, Refusal)]
        assert bad == list(range(0, 90, 9))
    await assert_sound(lane.dsn, lane.number)


async def test_thirty_eight_digits_go_through_the_books(lane: Lane) -> None:
    units = 12345678901234567890123456789012345678
    async with make_engine(lane.dsn, clock=lane.clock) as engine:
        command = Deposit(account_id=FA1, units=units, reason="much", reference="r")
        booked = await submit(engine, lane.number, command, key="much")
        assert booked.account.balance == units + 1_000_000
        again = await submit(engine, lane.number, command, key="much")
        assert again == booked
    async with make_engine(lane.dsn, clock=lane.clock) as engine:  # nothing in memory: all read back
        command = Deposit(account_id=FA1, units=1, reason="little", reference="r")
        booked = await submit(engine, lane.number, command)
        assert booked.account.balance == units + 1_000_001
    await assert_sound(lane.dsn, lane.number)


async def test_bad_text_in_who_asks_fails_alone(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        good = [submit(engine, lane.number, Count(name="one")) for _ in range(10)]
        bad = submit(engine, lane.number, Count(name="one"), request_id="\ud800")
        *answers, failed = await asyncio.gather(*good, bad, return_exceptions=True)
        assert all(isinstance(answer, Counted) for answer in answers)
        assert isinstance(failed, Refusal)
        assert failed.code is Code.CRASHED
