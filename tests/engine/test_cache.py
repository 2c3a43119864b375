"""Rules 5 and 6: memory under the chain's guard, and a refusal proves its rows fresh before it stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Deposit, Withdraw
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.domain.lanes import Fault
from otcdesk.engine.engine import Engine
from otcdesk.engine.store import Kept, Loaded
from otcdesk.errors import Code, Refusal
from tests.support.desk import FA1, WA1, A, Lane, make_engine, new_lane, submit
from tests.support.proxy import Proxy
from tests.support.soundness import assert_sound
from tests.support.verbs import TEST_CATALOGUE, Count


@asynccontextmanager
async def two_engines(lane: Lane) -> AsyncIterator[tuple[Engine, Engine]]:
    async with (
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="one") as one,
        make_engine(lane.dsn, catalogue=TEST_CATALOGUE, writer="two") as two,
    ):
        yield one, two


async def test_a_cache_made_stale_by_another_writer_is_never_decided_on(lane: Lane) -> None:
    async with two_engines(lane) as (one, two):
        await submit(one, lane.number, Deposit(account_id=FA1, units=1, reason="r", reference="r"))
        await submit(two, lane.number, Withdraw(account_id=FA1, units=1_000_000, reason="r", reference="r"))
        with pytest.raises(Refusal) as caught:
            await submit(one, lane.number, Withdraw(account_id=FA1, units=2, reason="r", reference="r"))
        assert caught.value.code is Code.BALANCE_INSUFFICIENT
        booked = await submit(one, lane.number, Withdraw(account_id=FA1, units=1, reason="r", reference="r"))
        assert booked.account.balance == 0
    await assert_sound(lane.dsn, lane.number)


async def test_a_batch_of_refusals_alone_proves_that_its_rows_were_fresh(lane: Lane) -> None:
    sell = QuoteSell(
        source_account_id=WA1, destination_account_id=FA1, source_units=5_001_000_000, live_units=9_000_000_000
    )
    async with two_engines(lane) as (one, two):
        with pytest.raises(Refusal) as caught:
            await submit(one, lane.number, sell, owner_id=A)
        assert caught.value.code is Code.SOURCE_CUSTODY_INSUFFICIENT
        await submit(two, lane.number, Deposit(account_id=WA1, units=1_000_000, reason="r", reference="r"))
        quoted = await submit(one, lane.number, sell, owner_id=A)
        assert quoted.order.source_units == 5_001_000_000


async def test_a_lane_without_guards_and_limits_reads_nothing_because_of_them(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
    readings = 0

    async def counting(lane: int, wants: Any) -> Loaded:
        nonlocal readings
        readings += 1
        return await load(lane, wants)

    async with make_engine(lane.dsn, clock=lane.clock) as engine:
        load = engine.store.load
        for _ in range(2):  # at first the lane is read, and from then on remembered
            readings = 0
            monkeypatch.setattr(engine.store, "load", counting)
            order = (await submit(engine, lane.number, quote, owner_id=A)).order
            confirm = ConfirmConversion(order_id=order.id, side="buy")
            await submit(engine, lane.number, confirm, owner_id=A, key=str(order.id))
            await submit(engine, lane.number, ApproveConversion(order_id=order.id))
            await submit(engine, lane.number, Withdraw(account_id=FA1, units=1, reason="r", reference="r"))
    assert readings == 0


async def test_a_row_that_is_not_as_it_was_read_saves_nothing_and_is_read_again(
    lane: Lane, database: asyncpg.Connection
) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, store_retries_max=0) as engine:
        await submit(engine, lane.number, Count(name="one"))
        cache = engine.lanes[lane.number].cache
        kept = cache.rows[Fault, "one"]
        cache.rows[Fault, "one"] = Kept(Fault(rail="one", delay_ms=41), kept.seq - 1)
        links = "select count(*) from batches where lane = $1"
        before = await database.fetchval(links, lane.number)
        with pytest.raises(Refusal) as caught:
            await submit(engine, lane.number, Count(name="one"))
        assert caught.value.code is Code.UNAVAILABLE
        assert not cache.rows
        assert cache.head is None
        assert await database.fetchval(links, lane.number) == before
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
    await assert_sound(lane.dsn, lane.number)


async def test_with_retries_nobody_notices_a_row_that_was_not_as_read(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE) as engine:
        await submit(engine, lane.number, Count(name="one"))
        cache = engine.lanes[lane.number].cache
        cache.rows[Fault, "one"] = Kept(Fault(rail="one", delay_ms=41), 1)
        assert (await submit(engine, lane.number, Count(name="one"))).total == 2
    await assert_sound(lane.dsn, lane.number)


async def test_the_cache_is_bounded_and_what_falls_out_is_read_again(lane: Lane) -> None:
    async with make_engine(lane.dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, cached_rows_max=10) as engine:
        for expected in (1, 2, 3):
            for number in range(40):
                assert (await submit(engine, lane.number, Count(name=f"{number}"))).total == expected
        assert len(engine.lanes[lane.number].cache.rows) <= 10
    await assert_sound(lane.dsn, lane.number)


async def test_a_warm_command_costs_one_round_trip(lane: Lane) -> None:
    async with (
        Proxy(lane.dsn, "the writer") as proxy,
        make_engine(proxy.dsn, catalogue=TEST_CATALOGUE, writer="the writer", connections_max=1) as engine,
    ):
        for _ in range(2):  # the statement of an update is prepared with the second
            await submit(engine, lane.number, Count(name="one"))
        before = proxy.requests
        await submit(engine, lane.number, Count(name="one"))
        assert proxy.requests == before + 1
        await asyncio.gather(*[submit(engine, lane.number, Count(name="one")) for _ in range(50)])
        assert proxy.requests == before + 2


async def test_plans_are_made_anew_while_tables_grow(fresh_dsn: str) -> None:
    """A plan made on an empty table may read all of the lane; what a connection ran last shows it forgotten."""
    lane = await new_lane(fresh_dsn)
    connection = await asyncpg.connect(fresh_dsn)
    last = """select array_agg(query) from pg_stat_activity
        where datname = current_database() and application_name = 'otcdesk engine'"""
    async with make_engine(fresh_dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, connections_max=1) as engine:
        for number in range(1, 17):
            assert (await submit(engine, lane.number, Count(name="one"))).total == number
            assert (await connection.fetchval(last) == ["discard plans"]) == (number == 16)
    await connection.close()


async def test_what_is_saved_stays_answered_when_the_plans_cannot_be_forgotten(
    fresh_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await new_lane(fresh_dsn)

    async def broken(self: asyncpg.Connection, query: str, *_: object, **__: object) -> str:
        del self
        raise asyncpg.InternalClientError(query)

    async with make_engine(fresh_dsn, clock=lane.clock, catalogue=TEST_CATALOGUE, connections_max=1) as engine:
        await submit(engine, lane.number, Count(name="one"))
        monkeypatch.setattr(asyncpg.Connection, "execute", broken)
        for number in range(2, 19):
            assert (await submit(engine, lane.number, Count(name="one"))).total == number
        monkeypatch.undo()
