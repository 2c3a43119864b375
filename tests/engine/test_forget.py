"""A lane that is closed while it is at work leaves nothing behind that others miss."""

import asyncio
from pathlib import Path

from otcdesk.actions.steer_sandbox import SetFault
from tests.support.desk import Lane, new_lane, submit
from tests.support.program import opened


async def test_a_lane_closed_while_it_waits_for_a_connection_leaks_none(fresh_dsn: str, tmp_path: Path) -> None:
    lane: Lane = await new_lane(fresh_dsn)
    async with opened(lane, tmp_path, engine_connections_max=2) as program:
        engine, pool = program.desk.engine, program.desk.engine.store.pool  # type: ignore[attr-defined]
        busy = [await pool.acquire() for _ in range(pool.get_max_size())]
        command = SetFault(rail="chain", mode="up", delay_ms=0)
        first = asyncio.create_task(submit(engine, lane.number, command))
        await asyncio.sleep(0.05)
        engine.forget(lane.number)
        second = asyncio.create_task(submit(engine, lane.number, command))
        await asyncio.sleep(0.05)
        for connection in busy:
            await pool.release(connection)
        await asyncio.gather(first, second)
        while any(writer.task is not None for writer in engine.lanes.values()):
            await asyncio.sleep(0)
        leaked = pool.get_size() - pool.get_idle_size()
        if leaked:
            pool.terminate()  # closing would wait for it for ever
        assert not leaked
        engine.forget(lane.number)
        assert not engine.lanes
