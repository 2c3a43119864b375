"""The simulated venue stays true to its first word, whatever has happened since and whoever asks."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.domain.brokerage import FAILURES
from otcdesk.domain.lanes import FaultMode
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import Fill, Instruction, RailUnavailable, RailUnknown
from otcdesk.rails.simulated.venue import VENUE, SimulatedVenue
from otcdesk.storage.database import Reads
from tests.support.desk import Lane, make_engine, new_lane, submit

Steer = Callable[..., Awaitable[None]]


@pytest.fixture
async def steer(lane: Lane) -> AsyncIterator[Steer]:
    """Give a way to set the venue's fault."""
    async with make_engine(lane.dsn, clock=lane.clock) as engine:

        async def set_fault(mode: FaultMode, delay_ms: int = 0, **more: Any) -> None:
            await submit(engine, lane.number, SetFault(rail=VENUE, mode=mode, delay_ms=delay_ms, **more))

        yield set_fault


def ask(lane: Lane, reference: str | None = None, **changes: Any) -> Instruction:
    instruction = Instruction(
        lane=lane.number,
        reference=reference or f"{uuid4()}:2",
        side="buy",
        quantity=Amount(196_078, Asset("BTC", 8)),
        fiat="EUR",
        market_rate=Decimal(50_000),
    )
    return msgspec.structs.replace(instruction, **changes)


async def remembered(database: asyncpg.Connection, instruction: Instruction) -> asyncpg.Record | None:
    row: asyncpg.Record | None = await database.fetchrow(
        "select * from simulated_executions where lane = $1 and reference = $2", instruction.lane, instruction.reference
    )
    return row


async def test_it_trades_at_the_market(lane: Lane, reads: Reads, database: asyncpg.Connection) -> None:
    instruction = ask(lane)
    fill = await SimulatedVenue(reads).execute(instruction)
    assert (fill.done, fill.price, fill.reason, fill.venue) == (True, Decimal(50_000), "", "simulated venue")
    row = await remembered(database, instruction)
    assert row is not None
    assert (row["side"], row["asset"], row["units"], row["fiat"], row["price"]) == (
        "buy",
        "BTC",
        196_078,
        "EUR",
        50_000,
    )


@pytest.mark.parametrize(
    "rate, bps, price",
    [
        ("50000", 10, "50050"),
        ("50000", -10_000 + 1, "5"),
        ("1.000001", 1, "1.000101"),
        ("0.000001", -9_999, "0.00000001"),
    ],
)
async def test_its_price_may_differ_from_the_markets(
    lane: Lane, reads: Reads, steer: Steer, rate: str, bps: int, price: str
) -> None:
    await steer("up", price_bps=bps)
    fill = await SimulatedVenue(reads).execute(ask(lane, market_rate=Decimal(rate)))
    assert fill.price == Decimal(price)


@pytest.mark.parametrize("reason", [*FAILURES, ""])
async def test_it_refuses_for_the_reason_that_it_is_told(lane: Lane, reads: Reads, steer: Steer, reason: str) -> None:
    await steer("refuse", reason=reason)
    fill = await SimulatedVenue(reads).execute(ask(lane))
    assert (fill.done, fill.price, fill.reason) == (False, None, reason or "venue_refused")


@pytest.mark.parametrize("first", ["up", "refuse"])
async def test_it_stays_true_to_its_first_word(
    lane: Lane, reads: Reads, steer: Steer, database: asyncpg.Connection, first: FaultMode
) -> None:
    await steer(first, price_bps=25, reason="trading_disabled")
    instruction = ask(lane)
    venue = SimulatedVenue(reads)
    said = await venue.execute(instruction)
    await steer("refuse" if first == "up" else "up", price_bps=-25, reason="not_covered")
    moved = msgspec.structs.replace(instruction, market_rate=Decimal(40_000))
    assert await venue.execute(moved) == said
    assert await SimulatedVenue(reads).execute(instruction) == said, "after a restart, or by another process"
    row = await remembered(database, instruction)
    assert row is not None
    assert row["asked"] == 3


async def test_a_lost_answer_was_a_trade_all_the_same(
    lane: Lane, reads: Reads, steer: Steer, database: asyncpg.Connection
) -> None:
    instruction = ask(lane)
    venue = SimulatedVenue(reads)
    await steer("unknown")
    with pytest.raises(RailUnknown):
        await venue.execute(instruction)
    row = await remembered(database, instruction)
    assert row is not None
    assert row["done"]
    await steer("refuse")
    assert (await venue.execute(instruction)).done


async def test_who_cannot_reach_it_has_done_nothing(
    lane: Lane, reads: Reads, steer: Steer, database: asyncpg.Connection
) -> None:
    instruction = ask(lane)
    venue = SimulatedVenue(reads)
    await steer("unavailable")
    with pytest.raises(RailUnavailable):
        await venue.execute(instruction)
    assert await remembered(database, instruction) is None
    await steer("up")
    said = await venue.execute(instruction)
    await steer("unavailable")
    with pytest.raises(RailUnavailable):
        await venue.execute(instruction)
    await steer("refuse")
    assert await venue.execute(instruction) == said


async def test_two_processes_that_ask_at_once_hear_the_same(lane: Lane, reads: Reads) -> None:
    elsewhere = await new_lane(lane.dsn)
    one, two = SimulatedVenue(reads), SimulatedVenue(reads)
    references = [f"{number}:2" for number in range(50)]
    # The same references of two lanes, in opposite orders, at prices that differ: each has one answer.
    first = [ask(at, reference) for at in (lane, elsewhere) for reference in references]
    then = [msgspec.structs.replace(each, market_rate=Decimal(40_000)) for each in reversed(first)]
    async with asyncio.timeout(20):
        heard = await asyncio.gather(*map(one.execute, first), *map(two.execute, then))
    assert list(heard[:100]) == list(reversed(heard[100:]))


async def test_asked_twice_in_one_turn_it_answers_both(lane: Lane, reads: Reads, database: asyncpg.Connection) -> None:
    instruction, venue = ask(lane), SimulatedVenue(reads)
    one, two = await asyncio.gather(venue.execute(instruction), venue.execute(instruction))
    assert one == two
    assert await remembered(database, instruction) is not None


async def test_it_takes_its_time_from_when_it_was_first_asked(lane: Lane, reads: Reads, steer: Steer) -> None:
    """Who gave up waiting and asks again waits only for the rest."""
    await steer("up", delay_ms=400)
    venue, instruction = SimulatedVenue(reads), ask(lane)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await venue.execute(instruction)
    assert isinstance(await venue.execute(instruction), Fill)
    assert 0.4 <= time.monotonic() - began < 0.8
    began = time.monotonic()
    await venue.execute(instruction)
    assert time.monotonic() - began < 0.3


async def test_a_part_of_the_instructions_meet_the_fault(lane: Lane, reads: Reads, steer: Steer) -> None:
    await steer("refuse", percent=50)
    fills = await asyncio.gather(*[SimulatedVenue(reads).execute(ask(lane)) for _ in range(60)])
    assert 10 < sum(fill.done for fill in fills) < 50


async def test_without_its_memory_it_says_that_it_does_not_know(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    reads = await Reads.open(fresh_dsn, connections_max=1, statement_timeout_ms=1_000)
    venue = SimulatedVenue(reads)
    await reads.pool.execute("alter table simulated_executions rename to elsewhere")
    with pytest.raises(RailUnknown):
        await venue.execute(ask(lane))
    await reads.pool.execute("alter table elsewhere rename to simulated_executions")
    assert (await venue.execute(ask(lane))).done
    await reads.pool.close()
