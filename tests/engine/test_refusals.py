"""Rule 2: a refusal leaves no effect."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.domain.registry import KINDS
from otcdesk.errors import Code, Refusal
from tests.support.desk import FA1, WA2, A, Lane, make_engine, submit
from tests.support.soundness import assert_sound
from tests.support.verbs import TEST_CATALOGUE, Count, CountAudited


async def everything(connection: asyncpg.Connection, lane: int) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a lane."""
    tables = [*(kind.name for kind in KINDS), "batches"]
    return {
        table: sorted(map(tuple, await connection.fetch(f"select t::text from {table} t where lane = $1", lane)))
        for table in tables
    }


async def test_a_refused_command_changes_nothing_at_all(lane: Lane, database: asyncpg.Connection) -> None:
    before = await everything(database, lane.number)
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        for command in (
            Count(name="one", refuse=Code.INVALID_STATE),
            CancelConversion(order_id=UUID(int=1)),
            QuoteBuy(source_account_id=FA1, destination_account_id=WA2, source_units=1),
        ):
            with pytest.raises(Refusal):
                await submit(engine, lane.number, command, owner_id=A)
    assert await everything(database, lane.number) == before


async def test_in_a_batch_exactly_the_refused_commands_changes_are_dropped(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        work = [
            submit(engine, lane.number, Count(name="one", refuse=Code.INVALID_STATE if number % 3 else None))
            for number in range(30)
        ]
        answers = await asyncio.gather(*work, return_exceptions=True)
        assert engine.lanes[lane.number].batches == 1
        totals = [answer.total for answer in answers if not isinstance(answer, BaseException)]
        assert totals == list(range(1, 11))
        # Each refused command saw what those before it had done, and its own change on top of it.
        refused = [answer.facts["total"] for answer in answers if isinstance(answer, Refusal)]
        assert refused == [number // 3 + 2 for number in range(30) if number % 3]
    await assert_sound(lane.dsn, lane.number)


async def test_each_caller_gets_a_refusal_of_its_own(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        command = Count(name="one", refuse=Code.INVALID_STATE)
        work = [submit(engine, lane.number, command) for _ in range(2)]
        one, two = await asyncio.gather(*work, return_exceptions=True)
        assert one is not two
        assert isinstance(one, Refusal)
        assert one.facts == {"total": 1}


async def test_an_audited_refusal_goes_into_the_chain_and_nowhere_else(
    lane: Lane, database: asyncpg.Connection
) -> None:
    before = await everything(database, lane.number)
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        with pytest.raises(Refusal):
            await submit(
                engine, lane.number, CountAudited(name="one", refuse=Code.INVALID_STATE), caller="the operator"
            )
    after = await everything(database, lane.number)
    links = after.pop("batches")
    assert len(links) == len(before.pop("batches")) + 1
    assert after == before
    notes = await database.fetchval("select notes from batches where lane = $1 order by seq desc limit 1", lane.number)
    assert notes == '[["CountAudited","the operator","request","INVALID_STATE"]]'
    await assert_sound(lane.dsn, lane.number)
