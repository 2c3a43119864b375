"""Rule 9: an unknown commit is found out, never guessed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from tests.support.desk import Lane, make_engine, submit
from tests.support.proxy import Cut, Proxy
from tests.support.soundness import assert_sound
from tests.support.verbs import TEST_CATALOGUE, Count, CountOnce
from tests.support.waiting import until

MARK = "the writer whose saves are lost"


@asynccontextmanager
async def relayed(lane: Lane, retries: int = 3) -> AsyncIterator[tuple[Proxy, Engine]]:
    """Run an engine behind a relay, warm."""
    async with (
        Proxy(lane.dsn, MARK) as proxy,
        make_engine(
            proxy.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, writer=MARK, store_retries_max=retries
        ) as engine,
    ):
        await submit(engine, lane.number, Count(name="one"))
        yield proxy, engine


async def kinds(database: asyncpg.Connection, lane: Lane) -> list[str]:
    """Return the kinds of the links that the relayed engine's lane has."""
    rows = await database.fetch(
        "select kind from batches where lane = $1 and writer = $2 order by seq", lane.number, MARK
    )
    return [row["kind"] for row in rows]


async def total(database: asyncpg.Connection, lane: Lane) -> int:
    found: int | None = await database.fetchval(
        "select delay_ms from faults where lane = $1 and rail = 'one'", lane.number
    )
    return found or 0


async def blocked_backend(database: asyncpg.Connection) -> int | None:
    """Return the server process of a save that waits for a row."""
    found: int | None = await database.fetchval(
        """select pid from pg_stat_activity
           where application_name = 'otcdesk engine' and wait_event_type = 'Lock' and query like 'with fence%'
           and datname = current_database() and wait_event in ('tuple', 'transactionid')"""
    )
    return found


@pytest.mark.parametrize(
    "cut, expected",
    [(Cut.BEFORE, ["batch", "void", "batch"]), (Cut.AFTER, ["batch", "batch"])],
    ids=["before", "after"],
)
async def test_a_lost_save_is_carried_out_exactly_once(
    cut: Cut, expected: list[str], lane: Lane, database: asyncpg.Connection
) -> None:
    async with relayed(lane) as (proxy, engine):
        proxy.cut(cut)
        answers = await asyncio.gather(*[submit(engine, lane.number, Count(name="one")) for _ in range(50)])
        assert proxy.cuts == 1
        assert [answer.total for answer in answers] == list(range(2, 52))
    assert await kinds(database, lane) == expected
    assert await total(database, lane) == 51
    await assert_sound(lane.dsn, lane.number)


@pytest.mark.parametrize("cut", list(Cut))
async def test_however_often_saves_are_lost_nothing_is_done_twice(cut: Cut, lane: Lane) -> None:
    async with relayed(lane) as (proxy, engine):
        for expected in range(2, 12):
            proxy.cut(cut)
            answer = await submit(engine, lane.number, CountOnce(name="one"), key=f"key {expected}")
            assert answer.total == expected
            if cut is Cut.LATE:
                proxy.release()
                await proxy.late_answered.wait()
    await assert_sound(lane.dsn, lane.number)


async def test_the_void_can_be_lost_as_well(lane: Lane, database: asyncpg.Connection) -> None:
    async with relayed(lane) as (proxy, engine):
        proxy.cut(Cut.BEFORE, Cut.AFTER, Cut.BEFORE, Cut.BEFORE)
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
        assert proxy.cuts == 4
    assert await kinds(database, lane) == ["batch", "void", "void", "batch"]
    await assert_sound(lane.dsn, lane.number)


async def test_a_request_that_arrives_after_its_void_does_nothing(lane: Lane, database: asyncpg.Connection) -> None:
    async with relayed(lane) as (proxy, engine):
        proxy.cut(Cut.LATE)
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
        assert await kinds(database, lane) == ["batch", "void", "batch"]
        proxy.release()
        await proxy.late_answered.wait()
        assert await kinds(database, lane) == ["batch", "void", "batch"]
        assert await total(database, lane) == 2
        assert (await submit(engine, lane.number, Count(name="one"))).total == 3
    await assert_sound(lane.dsn, lane.number)


async def test_a_server_process_that_commits_later_is_waited_for(lane: Lane, database: asyncpg.Connection) -> None:
    holder = await asyncpg.connect(lane.dsn)
    async with relayed(lane, retries=40) as (proxy, engine):
        held = holder.transaction()
        await held.start()
        await holder.fetch("select from faults where lane = $1 for update", lane.number)
        proxy.cut(Cut.BLIND)
        caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))

        async def tried_to_void() -> bool:
            return proxy.saves_seen >= 4 and await blocked_backend(database) is not None

        await until(tried_to_void, "the old server process is blocked while voids are tried")
        assert not caller.done()
        await held.rollback()
        assert (await caller).total == 2
    await holder.close()
    assert await kinds(database, lane) == ["batch", "batch"]
    assert await total(database, lane) == 2
    await assert_sound(lane.dsn, lane.number)


async def test_a_server_process_that_is_ended_is_found_out(lane: Lane, database: asyncpg.Connection) -> None:
    holder = await asyncpg.connect(lane.dsn)
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, writer=MARK) as engine:
        await submit(engine, lane.number, Count(name="one"))
        held = holder.transaction()
        await held.start()
        await holder.fetch("select from faults where lane = $1 for update", lane.number)
        caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))

        async def is_blocked() -> bool:
            return await blocked_backend(database) is not None

        await until(is_blocked, "the save waits for the row")
        assert await database.fetchval("select pg_terminate_backend($1)", await blocked_backend(database))
        await held.rollback()
        assert (await caller).total == 2
    await holder.close()
    assert await kinds(database, lane) == ["batch", "void", "batch"]
    await assert_sound(lane.dsn, lane.number)


@pytest.mark.parametrize("cut, done", [(Cut.BEFORE, 1), (Cut.AFTER, 2)])
async def test_what_cannot_be_found_out_is_not_tried_again(
    cut: Cut, done: int, lane: Lane, database: asyncpg.Connection
) -> None:
    async with relayed(lane) as (proxy, engine):
        proxy.cut(cut)
        proxy.refusing = True
        with pytest.raises(Refusal) as caught:
            await submit(engine, lane.number, CountOnce(name="one"), key="key")
        assert caught.value.code is Code.UNAVAILABLE
        assert not engine.lanes[lane.number].cache.rows  # rule 6: any doubt drops it whole
        assert await total(database, lane) == done
        proxy.refusing = False
        again = await submit(engine, lane.number, CountOnce(name="one"), key="key")
        assert again.total == 2
        assert await total(database, lane) == 2
        assert (await submit(engine, lane.number, Count(name="one"))).total == 3
    await assert_sound(lane.dsn, lane.number)


async def test_a_batch_that_may_still_commit_is_given_up_and_not_tried_again(
    lane: Lane, database: asyncpg.Connection
) -> None:
    holder = await asyncpg.connect(lane.dsn)
    async with relayed(lane, retries=1) as (proxy, engine):
        held = holder.transaction()
        await held.start()
        await holder.fetch("select from faults where lane = $1 for update", lane.number)
        proxy.cut(Cut.BLIND)
        caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
        await asyncio.wait({caller}, timeout=3)  # whoever tries again waits here for the old server process
        await held.rollback()
        with pytest.raises(Refusal) as caught:
            await caller
        assert caught.value.code is Code.UNAVAILABLE

        async def has_committed() -> bool:
            return await total(database, lane) == 2

        await until(has_committed, "the lost batch commits after all")
        assert (await submit(engine, lane.number, Count(name="one"))).total == 3
    await holder.close()
    await assert_sound(lane.dsn, lane.number)


async def test_another_writers_batch_in_the_disputed_place_proves_the_loss(
    lane: Lane, database: asyncpg.Connection
) -> None:
    async with relayed(lane, retries=100) as (proxy, engine):
        proxy.cut(Cut.BEFORE)
        proxy.refusing = True
        caller = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
        await until(lambda: proxy.cuts == 1, "the save is lost")
        async with make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="other") as other:
            assert (await submit(other, lane.number, Count(name="one"))).total == 2
        proxy.refusing = False
        assert (await caller).total == 3
    assert await kinds(database, lane) == ["batch", "batch"]  # nobody had to write a void
    await assert_sound(lane.dsn, lane.number)
