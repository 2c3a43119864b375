"""Rule 8, the server's side: its errors retry the whole batch, bounded, and then everyone is told to come back."""

import asyncio

import asyncpg
import pytest

from otcdesk.errors import Code, Refusal
from tests.support.blocking import blocked
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.proxy import Proxy
from tests.support.soundness import assert_sound
from tests.support.verbs import TEST_CATALOGUE, Count
from tests.support.waiting import until


async def test_a_server_that_cannot_be_reached_is_tried_so_often_and_then_unavailable(lane: Lane) -> None:
    async with (
        Proxy(lane.dsn, "nothing") as proxy,
        make_engine(proxy.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, store_retries_max=2) as engine,
    ):
        await submit(engine, lane.number, Count(name="one"))
        proxy.refusing = True
        proxy.break_all()
        answers = await asyncio.gather(
            *[submit(engine, lane.number, Count(name="one")) for _ in range(20)], return_exceptions=True
        )
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        assert len(refusals) == 20
        assert {refusal.code for refusal in refusals} == {Code.UNAVAILABLE}
        # Who was in the batch that was cut off may not be told to repeat it: it may have been carried out.
        assert all(("retry_after_seconds" in one.facts) != ("not known" in one.detail) for one in refusals)
        with pytest.raises(Refusal) as later:  # which never left the engine
            await submit(engine, lane.number, Count(name="one"))
        assert (later.value.code, later.value.facts) == (Code.UNAVAILABLE, {"retry_after_seconds": 1})
        proxy.refusing = False
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
    await assert_sound(lane.dsn, lane.number)


async def test_a_server_that_comes_back_in_time_is_not_noticed(lane: Lane) -> None:
    async with (
        Proxy(lane.dsn, "nothing") as proxy,
        make_engine(proxy.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, store_retries_max=50) as engine,
    ):
        await submit(engine, lane.number, Count(name="one"))
        proxy.refusing = True
        proxy.break_all()
        caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
        await until(lambda: proxy.refused >= 3, "it was tried again")
        assert not caller.done()
        proxy.refusing = False
        assert (await caller).total == 2


async def test_connections_that_the_server_ended_between_batches_are_replaced(
    lane: Lane, database: asyncpg.Connection
) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        for expected in range(1, 4):
            assert (await submit(engine, lane.number, Count(name="one"))).total == expected
            await database.fetch(
                """select pg_terminate_backend(pid, 5000) from pg_stat_activity
                   where application_name = 'otcdesk engine' and datname = current_database()"""
            )
    await assert_sound(lane.dsn, lane.number)


async def test_a_server_that_only_reads_is_unavailable_until_it_writes(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    admin = await asyncpg.connect(fresh_dsn)
    name = await admin.fetchval("select quote_ident(current_database())")
    await admin.execute(f"alter database {name} set default_transaction_read_only = on")
    async with make_engine(fresh_dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, store_retries_max=1) as engine:
        with pytest.raises(Refusal) as caught:
            await submit(engine, lane.number, Count(name="one"))
        assert caught.value.code is Code.UNAVAILABLE
        await admin.execute(f"alter database {name} reset default_transaction_read_only")
        assert (await submit(engine, lane.number, Count(name="one"))).total == 1
    await admin.close()


async def test_a_statement_that_takes_too_long_is_ended_and_tried_again(lane: Lane) -> None:
    holder = await asyncpg.connect(lane.dsn)
    async with make_engine(
        lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, statement_timeout_ms=150, store_retries_max=1
    ) as engine:
        await submit(engine, lane.number, Count(name="one"))
        held = holder.transaction()
        await held.start()
        await holder.fetch("select from faults where lane = $1 for update", lane.number)
        with pytest.raises(Refusal) as caught:
            await submit(engine, lane.number, Count(name="one"))
        assert caught.value.code is Code.UNAVAILABLE
        await held.rollback()
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
    await holder.close()
    await assert_sound(lane.dsn, lane.number)


async def test_a_turn_that_cannot_be_had_is_tried_again(lane: Lane, database: asyncpg.Connection) -> None:
    async def waits_for_the_turn() -> list[int]:
        rows = await database.fetch(
            """select pid from pg_stat_activity where application_name = 'otcdesk engine'
               and datname = current_database() and wait_event = 'advisory' and query like '%advisory_lock%'"""
        )
        return [row["pid"] for row in rows]

    async def somebody_waits() -> bool:
        return bool(await waits_for_the_turn())

    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        async with blocked(lane):
            caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
            await until(somebody_waits, "the turn is waited for")
            for pid in await waits_for_the_turn():
                await database.execute("select pg_terminate_backend($1, 5000)", pid)
            await until(somebody_waits, "the turn is waited for again")
            assert not caller.done()
        assert (await caller).total == 1
