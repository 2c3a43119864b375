"""Settlement: each transfer is asked for under its recorded reference, and its outcome is booked once."""

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy, QuoteSell
from otcdesk.app import Program
from otcdesk.domain.orders import Order
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt
from otcdesk.workers.settlement import Settlement
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, WA1, A, Lane, new_lane, submit
from tests.support.program import ScriptedRail, opened

DONE = Receipt(done=True, detail="0xabc")
REFUSED = Receipt(done=False, detail="compliance said no")


async def approved(program: Program, lane: Lane, side: str = "buy") -> Order:
    """Return an order that waits for its first rail."""
    engine = program.desk.engine
    ask = (
        QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=250_000)
        if side == "buy"
        else QuoteSell(
            source_account_id=WA1, destination_account_id=FA1, source_units=1_800_000_000, live_units=5_000_000_000
        )
    )
    order: Order = (await submit(engine, lane.number, ask, owner_id=A)).order
    confirm = ConfirmConversion(order_id=order.id, side=side)
    await submit(engine, lane.number, confirm, owner_id=A, key=str(uuid4()))
    reply: OrderReply = await submit(engine, lane.number, ApproveConversion(order_id=order.id))
    return reply.order


def script(program: Program, *answers: Receipt | Exception) -> ScriptedRail:
    rail = program.desk.chain = ScriptedRail(*answers)
    return rail


async def leases(dsn: str, lane: Lane) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        count: int = await connection.fetchval("select count(*) from leases where lane = $1", lane.number)
    finally:
        await connection.close()
    return count


async def test_a_buy_is_paid_under_its_reference(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        rail = script(program, DONE)
        order = await approved(program, lane)
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert after.state == "completed"
        assert [(t.reference, t.amount.units, t.destination.id) for t in rail.asked] == [
            (order.rail_reference, order.approved_units, WA1)
        ]
        assert await leases(lane.dsn, lane) == 0


async def test_a_sell_collects_before_it_pays(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        chain, fiat = script(program, DONE), ScriptedRail(DONE)
        program.desk.fiat = fiat
        order = await approved(program, lane, "sell")
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert after.state == "completed"
        assert [t.source.id for t in chain.asked] == [WA1]
        assert [t.destination.id for t in fiat.asked] == [FA1]
        assert chain.asked[0].reference != fiat.asked[0].reference


async def test_cash_that_is_refused_sends_the_tokens_back(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        chain = script(program, DONE)
        program.desk.fiat = ScriptedRail(REFUSED)
        order = await approved(program, lane, "sell")
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert (after.state, after.rate) == ("failed", order.quoted_rate)
        collected, returned = chain.asked
        assert (collected.source.id, returned.destination.id) == (WA1, WA1)
        assert len({t.reference for t in chain.asked}) == 2


@pytest.mark.parametrize("answer", [REFUSED, RailUnavailable("connection refused")])
async def test_a_first_call_that_provably_did_nothing_gives_the_order_back(
    lane: Lane, tmp_path: Path, answer: Receipt | Exception
) -> None:
    async with opened(lane, tmp_path) as program:
        script(program, answer)
        order = await approved(program, lane)
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert (after.state, after.approved_rate, after.waits_for) == ("pending_approval", None, None)
        assert await leases(lane.dsn, lane) == 0


async def test_unreachable_after_an_unknown_answer_proves_nothing(lane: Lane, tmp_path: Path) -> None:
    """The first call may have moved money, so a later refusal to connect must not give the order back."""
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailUnknown("timed out"), RailUnavailable("connection refused"), DONE)
        order = await approved(program, lane)
        assert isinstance(lane.clock, SteeredClock)
        for expected in ("paying", "paying", "completed"):
            after = await program.settlement.outcome(lane.number, order, 5_000)
            assert after.state == expected
            lane.clock.advance(seconds=2)
        assert len({transfer.reference for transfer in rail.asked}) == 1


async def test_what_is_sent_and_not_confirmed_is_asked_for_again_without_a_warning(
    lane: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailPending("0x12"), RailPending("0x12"), DONE)
        order = await approved(program, lane)
        assert isinstance(lane.clock, SteeredClock)
        for expected in ("paying", "paying", "completed"):
            assert (await program.settlement.outcome(lane.number, order, 5_000)).state == expected
            lane.clock.advance(seconds=2)
        assert len({transfer.reference for transfer in rail.asked}) == 1
    assert "rail_" not in capsys.readouterr().out


async def test_a_rail_that_hangs_is_unknown(lane: Lane, tmp_path: Path) -> None:
    class Hanging(ScriptedRail):
        async def transfer(self, transfer: object) -> Receipt:
            del transfer
            await asyncio.Event().wait()
            raise AssertionError

    async with opened(lane, tmp_path, rail_timeout_ms=50) as program:
        program.desk.chain = Hanging(DONE)
        order = await approved(program, lane)
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert after.state == "paying"
        assert await leases(lane.dsn, lane) == 1


async def test_two_workers_ask_once(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        rail = script(program, DONE)
        other = Settlement(program.desk, "another process", program.desk.reads)
        order = await approved(program, lane)
        await asyncio.gather(
            program.settlement.outcome(lane.number, order, 5_000), other.outcome(lane.number, order, 5_000)
        )
        assert len(rail.asked) == 1


async def test_a_worker_that_died_is_replaced_when_its_claim_runs_out(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        rail = script(program, DONE)
        order = await approved(program, lane)
        dead = Settlement(program.desk, "a process that died", program.desk.reads)
        assert await dead._claim(lane.number, order.rail_reference or "") == 1
        assert (await program.settlement.outcome(lane.number, order, 5_000)).state == "paying"
        assert not rail.asked
        assert isinstance(lane.clock, SteeredClock)
        lane.clock.advance(seconds=3)
        assert (await program.settlement.outcome(lane.number, order, 5_000)).state == "completed"
        assert len(rail.asked) == 1


async def test_claims_that_died_with_their_holder_are_forgotten_once_nobody_needs_them(
    lane: Lane, tmp_path: Path
) -> None:
    clock = lane.clock
    assert isinstance(clock, SteeredClock)
    async with opened(lane, tmp_path) as program:
        script(program, RailUnknown("no word"))
        settlement = program.settlement
        order = await approved(program, lane)
        await settlement.outcome(lane.number, order, 5_000)  # its claim is kept, for a second attempt
        dead = Settlement(program.desk, "a process that died", program.desk.reads)
        assert await dead._claim(lane.number, "a leg that has ended") == 1
        assert (await settlement.forget_ended(), await leases(lane.dsn, lane)) == (0, 2)
        clock.advance(seconds=3_600)
        assert (await settlement.forget_ended(), await leases(lane.dsn, lane)) == (1, 1)
        assert await dead._claim(lane.number, order.rail_reference or "") == 2


async def test_an_outcome_that_is_known_already_changes_nothing(lane: Lane, tmp_path: Path) -> None:
    """The process dies after its outcome was recorded and before the claim was given back: the leg is asked again."""
    async with opened(lane, tmp_path) as program:
        rail = script(program, DONE)
        order = await approved(program, lane)
        await program.settlement.outcome(lane.number, order, 5_000)
        again = await program.settlement.outcome(lane.number, order, 5_000)
        assert again.state == "completed"
        assert {transfer.reference for transfer in rail.asked} == {order.rail_reference}
        assert again.version == order.version + 1


async def test_the_loop_finds_what_waits(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_lane(fresh_dsn)
    async with opened(lane, tmp_path) as program:
        rail = script(program, DONE)
        orders = [await approved(program, lane) for _ in range(3)]
        await program.settlement.settle_waiting()
        await program.settlement.stop()
        states = [order.state for o in orders if (order := await program.desk.order(lane.number, o.id))]
        assert states == ["completed"] * 3
        assert len(rail.asked) == 3


async def test_a_leg_that_ended_after_it_was_read_is_not_asked_again(lane: Lane, tmp_path: Path) -> None:
    """Another process read the order before this one tried it, was refused and gave its claim back."""
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailUnavailable("connection refused"), DONE)
        order = await approved(program, lane)
        after = await program.settlement.outcome(lane.number, order, 5_000)
        assert after.state == "pending_approval"
        await Settlement(program.desk, "another process", program.desk.reads).outcome(lane.number, order, 5_000)
        assert len(rail.asked) == 1
        assert await leases(lane.dsn, lane) == 0


async def test_unreachable_proves_nothing_once_the_claim_ran_out(lane: Lane, tmp_path: Path) -> None:
    """A worker stalls before its call for longer than its claim; another's call in between lost its answer."""
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailUnknown("timed out"), RailUnavailable("connection refused"))
        order = await approved(program, lane)
        stalled = Settlement(program.desk, "a process that stalls", program.desk.reads)
        reference = order.rail_reference or ""
        assert await stalled._claim(lane.number, reference) == 1
        assert isinstance(lane.clock, SteeredClock)
        lane.clock.advance(seconds=3)
        await program.settlement.outcome(lane.number, order, 5_000)
        with pytest.raises(RailUnknown):
            await stalled._transfer(lane.number, order, reference, first=True)
        assert len(rail.asked) == 2


async def test_a_rail_that_never_answers_keeps_no_other_order_waiting(fresh_dsn: str, tmp_path: Path) -> None:
    lane = await new_lane(fresh_dsn)
    async with opened(lane, tmp_path, settlement_orders_max=2) as program:
        rail = script(program, RailUnknown("timed out"))
        orders = [await approved(program, lane) for _ in range(3)]
        for _ in range(2):
            await program.settlement.settle_waiting()
            await program.settlement.stop()
            assert isinstance(lane.clock, SteeredClock)
            lane.clock.advance(seconds=2)
        assert {transfer.reference for transfer in rail.asked} == {order.rail_reference for order in orders}
