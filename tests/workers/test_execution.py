"""Execution: accepted quotes go to the venue under their references, and each outcome is recorded once."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from otcdesk.app import Program
from otcdesk.domain.orders import Order
from otcdesk.rails.protocols import Fill, Instruction, RailUnavailable, RailUnknown
from otcdesk.serving import among_others, workers
from otcdesk.workers.execution import Execution
from tests.support.brokerage import U, V
from tests.support.clocks import SteeredClock
from tests.support.desk import AUDIT_KEY, Lane
from tests.support.executions import (
    FILLED,
    REFUSED,
    accept,
    accepted,
    fetch,
    hang,
    leases,
    new_offers_lane,
    now,
    quoted,
    script,
)
from tests.support.program import opened
from tests.support.soundness import assert_sound
from tests.support.waiting import until
from tests.test_metrics import value


@pytest.fixture
async def offers(fresh_dsn: str) -> Lane:
    """Give a lane with the offers contract's world, alone in its database: waves are taken from all lanes."""
    return await new_offers_lane(fresh_dsn)


async def finish(program: Program) -> None:
    """Wait for everything that the worker has begun."""
    await program.execution.stop()


async def waves(program: Program) -> None:
    """Take one wave and wait for it."""
    await program.execution.begin_waiting()
    await finish(program)


def calls(program: Program, outcome: str) -> float:
    return float(value(program.metrics.text(), f'otcdesk_venue_calls_total{{outcome="{outcome}"}}') or 0)


def clock_of(lane: Lane) -> SteeredClock:
    assert isinstance(lane.clock, SteeredClock)
    return lane.clock


async def states(program: Program, lane: Lane, orders: list[Order]) -> set[str]:
    return {(await now(program, lane.number, order)).state for order in orders}


async def test_an_accepted_quote_is_executed_under_its_reference(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        order = await accepted(program, offers.number, amount="100.00")
        await waves(program)
        after = await now(program, offers.number, order)
        assert (after.state, after.waits_for) == ("finished", None)
        (asked,) = venue.asked
        assert (asked.lane, asked.reference, asked.side) == (offers.number, order.rail_reference, "buy")
        assert (str(asked.quantity), asked.fiat, asked.market_rate) == ("0.00196078 BTC", "EUR", order.market_rate)
        assert await leases(offers) == []
        (trade,) = await fetch(offers.dsn, "select * from trades where order_id = $1", order.id)
        assert (trade["approved_market_rate"], trade["approved_market_source"]) == (50_000, "scripted venue")
        assert calls(program, "done") == 1
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


@pytest.mark.parametrize(
    "reason, kept", [("trading_disabled", "trading_disabled"), ("no such market", "venue_refused")]
)
async def test_a_refusal_fails_the_order_and_gives_back_what_it_took(
    offers: Lane, tmp_path: Path, reason: str, kept: str
) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, Fill(done=False, reason=reason, venue="v", detail="closed today"))
        order = await accepted(program, offers.number)
        await waves(program)
        after = await now(program, offers.number, order)
        assert (after.state, after.reason, after.collect_hold_id) == ("failed", kept, None)
        assert await leases(offers) == []
        assert calls(program, "refused") == 1
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


@pytest.mark.parametrize(
    "trouble, outcome",
    [
        (RailUnavailable("connection refused"), "unavailable"),
        (RailUnknown("timed out"), "unknown"),
        (ValueError("nonsense"), "unknown"),
        (Fill(done=True, price=None, venue="v", detail="at no price"), "unknown"),
    ],
)
async def test_an_outcome_that_is_not_known_is_asked_for_again(
    offers: Lane, tmp_path: Path, trouble: Any, outcome: str
) -> None:
    """Not even a first call that provably did nothing fails the order: it was accepted, so it is carried out."""
    async with opened(offers, tmp_path) as program:
        venue = script(program, trouble, trouble, FILLED)
        order = await accepted(program, offers.number)
        for attempts in (1, 2):
            await waves(program)
            assert (await now(program, offers.number, order)).state == "in_progress"
            assert await leases(offers) == [(order.rail_reference, "", attempts)]
            await waves(program)
            assert len(venue.asked) == attempts, "asked again before its pause is over"
            clock_of(offers).advance(milliseconds=1_001)
        await waves(program)
        assert (await now(program, offers.number, order)).state == "finished"
        assert venue.references == [order.rail_reference] * 3
        assert (calls(program, outcome), calls(program, "done")) == (2, 1)
        assert await leases(offers) == []


async def test_a_venue_that_hangs_is_given_up_after_its_time(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path, venue_timeout_ms=50) as program:
        venue = script(program, FILLED)
        venue.before = hang
        order = await accepted(program, offers.number)
        await waves(program)
        assert (await now(program, offers.number, order)).state == "in_progress"
        assert calls(program, "unknown") == 1
        assert await leases(offers) == [(order.rail_reference, "", 1)]


async def test_a_wave_is_asked_for_all_at_once_and_recorded_together(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        all_here, present = asyncio.Event(), 0

        async def meet(instruction: Instruction) -> None:
            nonlocal present
            del instruction
            present += 1
            if present == 20:
                all_here.set()
            await all_here.wait()

        venue.before = meet
        orders = [await accepted(program, offers.number) for _ in range(20)]
        batches = program.desk.engine.lanes[offers.number].batches
        async with asyncio.timeout(20):
            await waves(program)
        assert await states(program, offers, orders) == {"finished"}
        assert len(set(venue.references)) == 20
        assert program.desk.engine.lanes[offers.number].batches - batches <= 3
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


async def test_one_that_hangs_keeps_nobody_waiting(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        stuck = await accepted(program, offers.number)

        async def hold_one(instruction: Instruction) -> None:
            if instruction.reference == stuck.rail_reference:
                await hang(instruction)

        venue.before = hold_one
        orders = [await accepted(program, offers.number, party=V) for _ in range(3)]
        await program.execution.begin_waiting()
        later = await accepted(program, offers.number, party=V)
        await program.execution.begin_waiting()

        async def done() -> bool:
            return await states(program, offers, [*orders, later]) == {"finished"}

        await until(done, "the others are executed")
        assert (await now(program, offers.number, stuck)).state == "in_progress"

        async def only_one_claimed() -> bool:
            return [item for item, _, _ in await leases(offers)] == [stuck.rail_reference]

        await until(only_one_claimed, "the others' claims are dropped")
        for task in list(program.execution._working):
            task.cancel()


async def test_orders_never_tried_come_first_then_those_not_tried_for_longest(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path, venue_orders_max=2) as program:
        venue = script(program, RailUnknown("timed out"))
        orders = [await accepted(program, offers.number) for _ in range(5)]
        for _ in range(3):
            await waves(program)
            clock_of(offers).advance(seconds=2)
        asked = venue.references
        assert len(asked) == 6
        assert set(asked) == {order.rail_reference for order in orders}
        assert len({*asked[:2], *asked[4:]}) == 3, "the last one was not tried with one of the first two"


async def test_more_than_there_is_room_for_is_taken_wave_by_wave(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path, venue_orders_max=4) as program:
        venue = script(program, FILLED)
        orders = [await accepted(program, offers.number) for _ in range(10)]
        woken = asyncio.Event()
        program.execution.on_work = woken.set
        assert await program.execution.begin_waiting(), "a full wave: there may be more"
        assert not await program.execution.begin_waiting(), "there is no room"
        await until(woken.is_set, "who had no room is told that there is some")
        while await states(program, offers, orders) != {"finished"}:
            await waves(program)
        assert len(venue.asked) == 10


async def test_two_workers_ask_once(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        other = Execution(program.desk, "another process", program.execution.reads)
        orders = [await accepted(program, offers.number) for _ in range(20)]
        both_claimed = asyncio.Event()

        async def hold(instruction: Instruction) -> None:
            del instruction
            await both_claimed.wait()

        venue.before = hold  # nothing ends meanwhile: who has seen an order wait, and claims it then, asks again
        await asyncio.gather(program.execution.begin_waiting(), other.begin_waiting())
        both_claimed.set()
        await asyncio.gather(program.execution.stop(), other.stop())
        assert sorted(venue.references) == sorted(order.rail_reference or "" for order in orders)
        assert await leases(offers) == []


async def test_who_claims_at_the_same_moment_gets_what_is_left(offers: Lane, tmp_path: Path) -> None:
    """Both have seen that nobody works on the orders; who commits first has those that it claimed."""
    async with opened(offers, tmp_path) as program:
        script(program, FILLED)
        taken, left = [await accepted(program, offers.number) for _ in range(2)]
        other = await asyncpg.connect(offers.dsn)
        async with other.transaction():
            until_then = offers.clock.now() + timedelta(seconds=60)
            claim = "insert into leases values ($1, $2, 'another process', $3, 1)"
            await other.execute(claim, offers.number, taken.rail_reference, until_then)
            claiming = asyncio.create_task(program.execution._claim(10))

            async def waits_for_us() -> bool:
                waits: bool = await other.fetchval(
                    "select exists (select from pg_locks"
                    " where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))"
                )
                return waits

            await until(waits_for_us, "the worker has seen the order, and waits for our claim")
        assert [one.order_id for one in await claiming] == [left.id]
        await other.close()


async def test_a_worker_that_died_is_replaced_when_its_claim_runs_out(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path, venue_timeout_ms=1_000) as program:
        venue = script(program, FILLED)
        order = await accepted(program, offers.number)
        dead = Execution(program.desk, "a process that died", program.execution.reads)
        assert [one.reference for one in await dead._claim(10)] == [order.rail_reference]
        await waves(program)
        assert not venue.asked
        clock_of(offers).advance(milliseconds=2_001)
        await waves(program)
        assert (await now(program, offers.number, order)).state == "finished"
        assert venue.references == [order.rail_reference]


async def test_an_outcome_that_is_known_already_changes_nothing(offers: Lane, tmp_path: Path) -> None:
    """The process dies after its outcome was recorded and before its claim was dropped: another had claimed as well."""
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        order = await accepted(program, offers.number)
        (claimed,) = await program.execution._claim(10)
        for _ in range(2):
            program.execution._begin([claimed])
            await finish(program)
        assert len(venue.asked) == 2
        assert (await now(program, offers.number, order)).version == order.version + 1
        assert calls(program, "contradicted") == 0
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


DEARER = msgspec.structs.replace(FILLED, price=Decimal(50_001))


@pytest.mark.parametrize("first, then", [(FILLED, REFUSED), (REFUSED, FILLED), (FILLED, DEARER)])
async def test_a_venue_that_contradicts_itself_is_seen_and_not_believed(
    offers: Lane, tmp_path: Path, first: Fill, then: Fill, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, first, then)
        order = await accepted(program, offers.number)
        (claimed,) = await program.execution._claim(10)
        for _ in range(2):
            program.execution._begin([claimed])
            await finish(program)
        assert (await now(program, offers.number, order)).state == ("finished" if first.done else "failed")
        assert calls(program, "contradicted") == 1
        assert "venue_contradicts_itself" in capsys.readouterr().out
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


@pytest.mark.parametrize("fill", [FILLED, REFUSED])
async def test_what_a_venue_says_is_kept_as_far_as_it_can_be(offers: Lane, tmp_path: Path, fill: Fill) -> None:
    """Text that the database would refuse may not keep somebody's money held for ever."""
    said = msgspec.structs.replace(fill, venue="a\0venue\ud800", detail="\0" + "d" * 10_000 + "\udfff")
    async with opened(offers, tmp_path) as program:
        script(program, said)
        order = await accepted(program, offers.number)
        await waves(program)
        assert (await now(program, offers.number, order)).state == ("finished" if fill.done else "failed")
    await assert_sound(offers.dsn, offers.number, AUDIT_KEY)


@pytest.mark.parametrize("price", ["Infinity", "NaN", "1E+45", "-1", "0"])
async def test_a_price_that_cannot_be_is_no_outcome(offers: Lane, tmp_path: Path, price: str) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, msgspec.structs.replace(FILLED, price=Decimal(price)), FILLED)
        order = await accepted(program, offers.number)
        await waves(program)
        assert (await now(program, offers.number, order)).state == "in_progress"
        assert (calls(program, "unknown"), calls(program, "done")) == (1, 0)


async def test_conversions_and_executions_are_left_to_their_own_workers(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, RailUnknown("timed out"))
        order = await accepted(program, offers.number)
        await program.settlement.settle_waiting()
        assert not program.settlement._working
        await waves(program)
        clock_of(offers).advance(seconds=60)
        assert await program.settlement.forget_ended() == 0, "the order still waits"
        assert await leases(offers) == [(order.rail_reference, "", 1)]


async def test_claims_of_orders_that_have_ended_are_forgotten(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, FILLED)
        await accepted(program, offers.number)
        (claimed,) = await program.execution._claim(10)
        program.execution._begin([claimed])
        await finish(program)
        dead = Execution(program.desk, "a process that died", program.execution.reads)
        await fetch(
            offers.dsn,
            "insert into leases values ($1, $2, $3, $4, 1)",
            offers.number,
            claimed.reference,
            dead.holder,
            offers.clock.now(),
        )
        clock_of(offers).advance(seconds=60)
        assert await program.settlement.forget_ended() == 1


async def test_work_once_asks_for_everything_of_its_lane_also_for_what_rests(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_offers_lane(fresh_dsn)
    other = await new_offers_lane(fresh_dsn, lane.clock)
    async with opened(lane, tmp_path, venue_orders_max=4) as program:
        script(program, RailUnavailable("connection refused"), *[RailUnavailable("connection refused")] * 9, FILLED)
        orders = [await accepted(program, lane.number) for _ in range(10)]
        elsewhere = await accepted(program, other.number)
        await program.work_once(lane.number)
        assert await states(program, lane, orders) == {"in_progress"}
        await program.work_once(lane.number)
        assert await states(program, lane, orders) == {"finished"}
        assert (await now(program, other.number, elsewhere)).state == "in_progress"
        assert await leases(lane) == []


async def test_a_closed_lane_is_left_alone(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        await accepted(program, offers.number)
        await fetch(offers.dsn, "update lanes set closed_at = now() where lane = $1", offers.number)
        await waves(program)
        assert not venue.asked


async def test_the_leader_executes_as_soon_as_the_acceptance_is_committed(offers: Lane, tmp_path: Path) -> None:
    """Its loop would look again in ten minutes: it is the batch that wakes it."""
    async with (
        opened(offers, tmp_path, venue_period_ms=600_000, leadership_period_ms=100) as program,
        among_others(program, may_lead=True),
    ):
        script(program, FILLED)
        await until(lambda: program.desk.leadership.leads, "this process leads")
        async with workers(program):
            await asyncio.sleep(0)
            for _ in range(3):
                order = await quoted(program, offers.number)
                with program.desk.outcomes.expected(offers.number, order.id) as waiting:
                    await accept(program, offers.number, order)
                    ended = await waiting.within(20_000)
                assert ended is not None
                assert (ended.order.state, ended.quote.order_id) == ("finished", order.id)


async def test_what_is_under_way_is_counted(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        script(program, RailUnknown("timed out"))
        assert await program.execution.under_way() == (0, 0)
        await accepted(program, offers.number)
        clock_of(offers).advance(seconds=3)
        await accepted(program, offers.number)
        clock_of(offers).advance(seconds=1)
        assert await program.execution.under_way() == (2, 4_000)
        program.metrics.executions_under_way(2, 4_000)
        text = program.metrics.text()
        assert value(text, "otcdesk_executions_under_way") == "2.0"
        assert value(text, "otcdesk_executions_oldest_seconds") == "4.0"


async def test_a_repeated_acceptance_has_no_second_effect(offers: Lane, tmp_path: Path) -> None:
    async with opened(offers, tmp_path) as program:
        venue = script(program, FILLED)
        order = await quoted(program, offers.number)
        replies = await asyncio.gather(*[accept(program, offers.number, order, key="ext-1") for _ in range(5)])
        assert {reply.state for reply in replies} == {"in_progress"}
        await waves(program)
        assert (await accept(program, offers.number, order, party=U, key="ext-1")).state == "finished"
        await waves(program)
        assert len(venue.asked) == 1
