"""Rules 3 and 8: the chain is the lock, whoever runs where, and everybody makes progress."""

import asyncio
import sys
from pathlib import Path

import asyncpg

from otcdesk.actions.move_value import Deposit
from otcdesk.engine.lane import LOSSES_BEFORE_TURN
from tests.support.blocking import blocked
from tests.support.desk import FA1, Lane, make_engine, new_lane, submit
from tests.support.soundness import assert_sound
from tests.support.verbs import TEST_CATALOGUE, Count

ROOT = Path(__file__).parents[2]
DEPOSITS = 240


async def test_two_engines_in_turn_see_each_others_batches(lane: Lane) -> None:
    async with (
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="one") as one,
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="two") as two,
    ):
        for expected in range(1, 21):
            engine = one if expected % 2 else two
            assert (await submit(engine, lane.number, Count(name="one"))).total == expected
    await assert_sound(lane.dsn, lane.number)


async def test_three_engines_at_once_lose_nothing(lane: Lane) -> None:
    async with (
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="one", batch_commands_max=3) as one,
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="two", batch_commands_max=3) as two,
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="three", batch_commands_max=3) as three,
    ):
        work = [submit(engine, lane.number, Count(name="one")) for _ in range(60) for engine in (one, two, three)]
        answers = await asyncio.gather(*work)
        assert sorted(answer.total for answer in answers) == list(range(1, 181))
    await assert_sound(lane.dsn, lane.number)


async def contend(lane: Lane, writer: str) -> asyncio.subprocess.Process:
    arguments = (lane.dsn, str(lane.number), writer, str(DEPOSITS), "12")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.contender",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def test_two_processes_hammer_one_account_and_both_make_progress(
    lane: Lane, database: asyncpg.Connection
) -> None:
    processes = [await contend(lane, writer) for writer in ("one", "two")]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    told = await asyncio.gather(*[process.communicate(b"go\n") for process in processes])
    done, losses = zip(*[map(int, output.split()) for output, _ in told], strict=True)
    assert done == (DEPOSITS, DEPOSITS)
    assert [process.returncode for process in processes] == [0, 0]
    balance = await database.fetchval("select balance from accounts where lane = $1 and id = $2", lane.number, FA1)
    assert balance == 1_000_000 + 2 * DEPOSITS
    await assert_sound(lane.dsn, lane.number)
    # Who is not run by the system for a while waits for nobody, so fairness is not seen from the order of batches, but
    # from how often one is tried in vain: until it waits for its turn, and once more if another was just being saved.
    assert 1 <= max(losses) <= LOSSES_BEFORE_TURN + 1, losses


async def test_lanes_do_not_wait_for_one_another(lane: Lane, dsn: str, database: asyncpg.Connection) -> None:
    other = await new_lane(dsn)
    async with make_engine(dsn) as engine, blocked(lane):
        stuck = asyncio.create_task(
            submit(engine, lane.number, Deposit(account_id=FA1, units=1, reason="r", reference="r"))
        )
        for _ in range(5):
            await submit(engine, other.number, Deposit(account_id=FA1, units=1, reason="r", reference="r"))
        assert not stuck.done()
        stuck.cancel()
