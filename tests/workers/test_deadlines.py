"""Deadlines: readers see what the clock did at once; the worker records it in bulk, once."""

from pathlib import Path

import asyncpg

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement
from otcdesk.domain.orders import Order
from otcdesk.workers.deadlines import record_what_is_due
from tests.support.brokerage import P, U
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, WA1, A, Lane, new_lane, submit
from tests.support.executions import fetch, new_offers_lane, now, quoted
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


async def recorded(lane: Lane, order: Order) -> str:
    """Return the state that is in the table, whatever the clock says."""
    rows = await fetch(lane.dsn, "select state from orders where lane = $1 and id = $2", lane.number, order.id)
    state: str = rows[0]["state"]
    return state


async def test_an_expiry_is_recorded_after_its_grace_and_a_debit_at_once(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_lane(fresh_dsn)
    assert isinstance(lane.clock, SteeredClock)
    async with opened(lane, tmp_path) as program:
        engine = program.desk.engine
        ask = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
        expires: Order = (await submit(engine, lane.number, ask, owner_id=A)).order
        await submit(engine, lane.number, SetDebitSettlement(after_ms=60_000))
        settles: Order = (await submit(engine, lane.number, ask, owner_id=A)).order
        await submit(
            engine, lane.number, ConfirmConversion(order_id=settles.id, side="buy"), owner_id=A, key=str(settles.id)
        )
        lane.clock.advance(seconds=60)
        await record_what_is_due(program.desk, grace_ms=10_000)
        assert (await recorded(lane, expires), await recorded(lane, settles)) == ("quoted", "pending_approval")
        assert (await now(program, lane.number, expires)).state == "expired", "readers go by the clock"
        lane.clock.advance(milliseconds=9_999)
        await record_what_is_due(program.desk, grace_ms=10_000)
        assert await recorded(lane, expires) == "quoted"
        lane.clock.advance(milliseconds=1)
        await record_what_is_due(program.desk, grace_ms=10_000)
        assert await recorded(lane, expires) == "expired"


async def test_where_time_stands_still_nothing_waits_for_it(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_offers_lane(fresh_dsn)
    async with opened(lane, tmp_path) as program:
        order = await quoted(program, lane.number)
        frozen = SetClock(offset_ms=60_000, frozen_at=order.expires_at)
        await submit(program.desk.engine, lane.number, frozen)
        await record_what_is_due(program.desk, grace_ms=10_000)
        assert await recorded(lane, order) == "expired"


async def test_what_is_asked_for_by_hand_has_no_grace(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_offers_lane(fresh_dsn)
    assert isinstance(lane.clock, SteeredClock)
    async with opened(lane, tmp_path) as program:
        order = await quoted(program, lane.number)
        lane.clock.advance(seconds=60)
        await program.work_once(lane.number)
        assert await recorded(lane, order) == "expired"


async def test_what_came_in_time_and_waits_is_not_overtaken_by_the_record_of_its_expiry(
    fresh_dsn: str, tmp_path: Path
) -> None:
    """An acceptance arrives in the last millisecond, and is decided after the loop has looked at what is due."""
    lane = await new_offers_lane(fresh_dsn)
    assert isinstance(lane.clock, SteeredClock)
    async with opened(lane, tmp_path) as program:
        order = await quoted(program, lane.number)
        lane.clock.advance(milliseconds=59_999)
        arrived_at = lane.clock.now()
        lane.clock.advance(milliseconds=1)
        await record_what_is_due(program.desk, grace_ms=program.settings.deadlines_grace_ms)
        command = AcceptQuote(order_id=order.id, party_id=U, external_id="ext-1", repeats=True)
        reply = await program.desk.engine.submit(
            lane.number,
            command,
            caller="client:P",
            owner_id=P,
            request_id="request",
            key="ext-1",
            arrived_at=arrived_at,
        )
        assert reply.state == "in_progress"
