"""Hold a lane, so that its batches wait at the door until a test lets them in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from otcdesk.engine.engine import Engine
from otcdesk.storage.statements import TURN_CLASS
from tests.support.desk import Lane
from tests.support.waiting import until


@asynccontextmanager
async def blocked(lane: Lane) -> AsyncIterator[None]:
    """Hold the lane's turn: no batch can be saved, and the engine's first one waits for it."""
    connection = await asyncpg.connect(lane.dsn)
    try:
        await connection.fetchval("select pg_advisory_lock($1, $2)", TURN_CLASS, lane.number)
        yield
    finally:
        await connection.close()


async def until_taken(engine: Engine, lane: Lane) -> None:
    """Wait until nothing is in the queue because the lane's writer has taken it."""
    await until(lambda: engine.lanes[lane.number].queue.waiting == 0, "the queue is taken")
