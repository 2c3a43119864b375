"""Which dialects are closed where, and how long a process believes what it has read."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from otcdesk.api.maintenance import Maintenance
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads
from tests.support.clocks import SteeredClock
from tests.support.desk import Lane

DIALECTS = frozenset({"offers", "exchanges"})


@pytest.fixture
def maintenance(reads: Reads) -> Maintenance:
    return Maintenance(reads, SteeredClock(), DIALECTS)


async def closed(maintenance: Maintenance, dialect: str, lane: int | None) -> bool:
    try:
        await maintenance.check(dialect, lane)
    except Refusal as refusal:
        return refusal.code is Code.MAINTENANCE
    return False


async def new_live_lane(database: asyncpg.Connection) -> int:
    number: int = await database.fetchval("select nextval('lane_numbers')")
    statement = "insert into lanes (lane, name, kind, created_at) values ($1, $2, 'live', now())"
    await database.execute(statement, number, f"live-{uuid4()}")
    return number


async def test_a_dialect_is_closed_where_it_was_closed(maintenance: Maintenance, lane: Lane) -> None:
    assert not await closed(maintenance, "offers", lane.number)
    await maintenance.close(lane.number, "offers", "why not")
    assert await closed(maintenance, "offers", lane.number)
    assert not await closed(maintenance, "exchanges", lane.number)
    assert not await closed(maintenance, "offers", lane.number + 100_000)
    (closure,) = await maintenance.of_lane(lane.number)
    assert (closure.dialect, closure.reason) == ("offers", "why not")
    await maintenance.reopen(lane.number, "offers")
    assert not await closed(maintenance, "offers", lane.number)
    assert await maintenance.of_lane(lane.number) == []


async def test_who_is_in_no_lane_meets_it_when_every_live_lane_is_closed(reads: Reads, fresh_dsn: str) -> None:
    del reads
    connection = await asyncpg.connect(fresh_dsn)
    opened = await Reads.open(fresh_dsn, connections_max=1, statement_timeout_ms=10_000)
    maintenance = Maintenance(opened, SteeredClock(), DIALECTS)
    try:
        assert not await closed(maintenance, "offers", None)  # there is no live lane at all
        one, other = await new_live_lane(connection), await new_live_lane(connection)
        await maintenance.close(one, "offers", "x")
        assert not await closed(maintenance, "offers", None)
        await maintenance.close(other, "offers", "x")
        assert await closed(maintenance, "offers", None)
        assert not await closed(maintenance, "exchanges", None)
        await maintenance.reopen(one, "offers")
        assert not await closed(maintenance, "offers", None)
        await connection.execute("update lanes set closed_at = now() where lane = $1", one)
        await maintenance.close(other, "offers", "again")
        assert await closed(maintenance, "offers", None)
    finally:
        await opened.pool.close()
        await connection.close()


@pytest.mark.parametrize("dialect", ["operator", "sandbox", "", "OFFERS"])
async def test_others_cannot_be_closed_and_never_are(maintenance: Maintenance, lane: Lane, dialect: str) -> None:
    for call in (maintenance.close(lane.number, dialect, "x"), maintenance.reopen(lane.number, dialect)):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.code is Code.ROUTE_UNKNOWN
    assert not await closed(maintenance, dialect, lane.number)


async def test_another_process_finds_out_in_half_a_second(reads: Reads, maintenance: Maintenance, lane: Lane) -> None:
    other = Maintenance(reads, SteeredClock(), DIALECTS)
    assert not await closed(other, "offers", lane.number)
    await maintenance.close(lane.number, "offers", "x")
    assert not await closed(other, "offers", lane.number)
    other._read_at -= 500_000_000
    assert await closed(other, "offers", lane.number)


async def test_many_at_once_read_once_and_the_others_believe_what_was_known(
    reads: Reads, maintenance: Maintenance, lane: Lane
) -> None:
    await maintenance.check("offers", lane.number)
    maintenance._read_at = 0
    found = await asyncio.gather(*(maintenance._now() for _ in range(50)))
    assert len({id(one) for one in found}) == 2
