"""Deadlines: readers see what the clock did at once; the worker records it in bulk, once."""

from pathlib import Path

import asyncpg

from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.workers.deadlines import record_what_is_due
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, WA1, A, new_lane, submit
from tests.support.program import opened


async def test_expired_quotes_are_recorded_in_bulk_and_once(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_lane(fresh_dsn)
    async with opened(lane, tmp_path, deadlines_orders_max=4) as program:
        ask = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
        orders = [(await submit(program.desk.engine, lane.number, ask, owner_id=A)).order for _ in range(6)]
        assert isinstance(lane.clock, SteeredClock)
        lane.clock.advance(seconds=59)
        assert not await record_what_is_due(program.desk)
        lane.clock.advance(seconds=1)
        seen = await program.desk.order(lane.number, orders[0].id)
        assert seen is not None
        assert seen.state == "expired"
        assert await record_what_is_due(program.desk)  # as much as one command takes: there may be more
        assert not await record_what_is_due(program.desk)
    connection = await asyncpg.connect(fresh_dsn)
    try:
        told = await connection.fetch("select state, version, due_at from orders where lane = $1", lane.number)
        events = await connection.fetchval("select count(*) from events where lane = $1", lane.number)
    finally:
        await connection.close()
    assert {(row["state"], row["version"], row["due_at"]) for row in told} == {("expired", 2, None)}
    assert events == 6
