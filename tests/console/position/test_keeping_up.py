"""Days of trades are added up before anybody looks: by a worker, a little of each lane at a time."""

import asyncpg
import pytest

from otcdesk.console.position import pnl
from otcdesk.storage.database import Reads
from tests.support.databases import run_apart
from tests.support.desk import Lane
from tests.support.server import World, lane_of, wait_until


async def test_open_lanes_are_followed_until_nothing_is_left(
    populated_lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pnl, "ADDED_AT_ONCE", 2)
    async with Reads.opened(populated_lane.dsn, connections_max=2, statement_timeout_ms=10_000) as reads:
        steps = 1
        while await pnl.keep_up(reads):
            steps += 1
        assert steps > 1
        assert await reads.records("console_position", "behind", 10) == []
        trades = await reads.pool.fetchval("select count(*) from trades where lane = $1", populated_lane.number)
        counted = await reads.pool.fetchval("select sum(trades) from trade_days where lane = $1", populated_lane.number)
        assert counted == trades
        await reads.pool.execute("update lanes set closed_at = now()")
        await reads.pool.execute("delete from traded_until")
        assert not await pnl.keep_up(reads)
        assert await reads.pool.fetchval("select count(*) from traded_until") == 0


def test_a_trade_is_in_its_day_though_nobody_looks(world: World) -> None:
    world.approve(world.confirmed_buy("10.00"))

    async def counted() -> int:
        connection = await asyncpg.connect(world.server.environ["DATABASE_URL"])
        found = await connection.fetchval("select sum(trades) from trade_days where lane = $1", lane_of(world))
        await connection.close()
        return int(found or 0)

    wait_until(lambda: run_apart(counted()) == 1, "the trade is added to its day")
