"""Rules 11 and 12: the queue is bounded and fair; hanging up withdraws only what was not taken; an idle lane starts
at once.
"""

import asyncio

import asyncpg
import msgspec
import pytest

from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from tests.support.blocking import blocked, until_taken
from tests.support.desk import A, B, Lane, make_engine, new_lane, submit
from tests.support.verbs import TEST_CATALOGUE, Count, CountOnce
from tests.support.waiting import until


async def started(engine: Engine, lane: Lane) -> "asyncio.Task[object]":
    """Submit a first command, which the lane takes and cannot save while it is blocked."""
    first = asyncio.create_task(submit(engine, lane.number, Count(name="first")))
    await asyncio.sleep(0)
    await until_taken(engine, lane)
    return first


async def test_a_full_queue_refuses_and_takes_again_later(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, waiting_max=10) as engine:
        async with blocked(lane):
            first = await started(engine, lane)
            waiting = [asyncio.create_task(submit(engine, lane.number, Count(name="one"))) for _ in range(10)]
            await asyncio.sleep(0)
            assert engine.waiting() == 10
            with pytest.raises(Refusal) as caught:
                await submit(engine, lane.number, Count(name="one"))
            assert (caught.value.code, caught.value.facts) == (Code.OVERLOADED, {"retry_after_seconds": 1})
        await first
        assert [answer.total for answer in await asyncio.gather(*waiting)] == list(range(1, 11))
        assert (await submit(engine, lane.number, Count(name="one"))).total == 11


async def test_one_owner_cannot_fill_the_queue_for_the_others(lane: Lane) -> None:
    async with make_engine(
        lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, waiting_max=10, waiting_per_owner_max=4
    ) as engine:
        async with blocked(lane):
            first = await started(engine, lane)
            work = [asyncio.create_task(submit(engine, lane.number, Count(name="one"), owner_id=A)) for _ in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(Refusal) as caught:
                await submit(engine, lane.number, Count(name="one"), owner_id=A)
            assert caught.value.code is Code.OVERLOADED
            work.append(asyncio.create_task(submit(engine, lane.number, Count(name="one"), owner_id=B)))
            await asyncio.sleep(0)
        await first
        await asyncio.gather(*work)


async def test_a_command_that_found_no_room_leaves_its_key_free(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, waiting_max=1) as engine:
        async with blocked(lane):
            first = await started(engine, lane)
            second = asyncio.create_task(submit(engine, lane.number, Count(name="one")))
            await asyncio.sleep(0)
            for _ in range(2):
                with pytest.raises(Refusal) as caught:
                    await submit(engine, lane.number, CountOnce(name="one"), key="k")
                assert caught.value.code is Code.OVERLOADED
                await asyncio.sleep(0)
        await first
        await second
        assert (await submit(engine, lane.number, CountOnce(name="one"), key="k")).total == 2


async def test_a_flood_of_one_owner_delays_another_by_one_batch_at_most(
    lane: Lane, database: asyncpg.Connection
) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, batch_commands_max=10) as engine:
        async with blocked(lane):
            work = [await started(engine, lane)]
            for _ in range(200):
                task = submit(engine, lane.number, Count(name="one"), owner_id=A, caller="flood")
                work.append(asyncio.create_task(task))
            await asyncio.sleep(0)
            single = submit(engine, lane.number, Count(name="two"), owner_id=B, caller="single")
            work.append(asyncio.create_task(single))
            await asyncio.sleep(0)
        await asyncio.gather(*work)
    rows = await database.fetch("select notes from batches where lane = $1 order by seq", lane.number)
    callers = [[note[1] for note in msgspec.json.decode(row["notes"])] for row in rows]
    assert callers[1] == ["test"]
    assert callers[2].count("single") == 1
    assert callers[2].count("flood") == 9
    assert [len(batch) for batch in callers[2:-1]] == [10] * (len(callers) - 3)


async def test_hanging_up_in_the_queue_withdraws_the_command(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        async with blocked(lane):
            first = await started(engine, lane)
            work = [asyncio.create_task(submit(engine, lane.number, Count(name="one"))) for _ in range(5)]
            await asyncio.sleep(0)
            for task in work[1:4]:
                task.cancel()
            answers = asyncio.gather(*work, return_exceptions=True)
        await first
        kept = [answer for answer in await answers if not isinstance(answer, BaseException)]
        assert [answer.total for answer in kept] == [1, 2]
        assert (await submit(engine, lane.number, Count(name="one"))).total == 3


async def test_hanging_up_after_the_batch_was_taken_undoes_nothing(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        async with blocked(lane):
            gone = await started(engine, lane)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
        assert (await submit(engine, lane.number, Count(name="first"))).total == 2


async def test_stopping_answers_everyone_and_takes_nothing_more(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, batch_commands_max=3) as engine:
        async with blocked(lane):
            work = [await started(engine, lane)]
            work += [asyncio.create_task(submit(engine, lane.number, Count(name="one"))) for _ in range(10)]
            await asyncio.sleep(0)
            stopped = asyncio.create_task(engine.stop())
            await asyncio.sleep(0)
            with pytest.raises(Refusal) as caught:
                await submit(engine, lane.number, Count(name="one"))
            assert caught.value.code is Code.STOPPING
            assert not stopped.done()
        await stopped
        assert all(task.done() for task in work)
        assert len(await asyncio.gather(*work)) == 11


async def test_an_idle_engine_starts_at_once_and_batches_only_what_came_meanwhile(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        async with blocked(lane):
            first = await started(engine, lane)
            work = [asyncio.create_task(submit(engine, lane.number, Count(name="one"))) for _ in range(50)]
            await asyncio.sleep(0)
        await first
        await asyncio.gather(*work)
        assert engine.lanes[lane.number].batches == 2
        await submit(engine, lane.number, Count(name="one"))
        assert engine.lanes[lane.number].batches == 3


async def test_a_command_that_no_catalogue_knows_is_a_bug_of_its_caller_alone(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock) as engine:
        with pytest.raises(KeyError):
            await submit(engine, lane.number, Count(name="one"))


async def test_a_lane_that_is_never_idle_lets_another_have_the_only_connection(dsn: str, lane: Lane) -> None:
    other = await new_lane(dsn, clock=lane.clock)
    async with make_engine(
        dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, connections_max=1, batch_commands_max=1
    ) as engine:
        stop = False

        async def flood() -> None:
            while not stop:
                await submit(engine, lane.number, Count(name="flood"))

        floods = [asyncio.create_task(flood()) for _ in range(4)]
        await until(lambda: engine.lanes[lane.number].batches > 3 if lane.number in engine.lanes else False, "a flood")
        async with asyncio.timeout(5):
            assert (await submit(engine, other.number, Count(name="one"))).total == 1
        stop = True
        await asyncio.gather(*floods)
