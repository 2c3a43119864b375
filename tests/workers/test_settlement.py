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
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.workers.settlement import Settlement
from tests.support.clocks import SteeredClock
from tests.support.desk import FA1, WA1, A, Lane, new_lane, submit
from tests.support.program import ScriptedRail, opened

DONE = Receipt(done=True, detail="0xabc")
REFUSED = Receipt(done=False, detail="compliance said no")
NEVER_SENT = Receipt(done=False, detail="cancelled")


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
    """Let a program's chain answer so; what it is to cancel it has not sent."""
    rail = program.desk.chain = ScriptedRail(*answers)
    rail.cancels = NEVER_SENT
    return rail


class SharedRail(ScriptedRail):
    """A chain that several processes ask, with a memory of what was sent and what is cancelled for ever."""

    def __init__(self) -> None:
        super().__init__(DONE)
        self.sent: set[str] = set()
        self.refused: set[str] = set()

    async def transfer(self, transfer: Transfer) -> Receipt:
        if transfer.reference in self.refused:
            return NEVER_SENT
        self.sent.add(transfer.reference)
        return await super().transfer(transfer)

    async def cancel(self, transfer: Transfer) -> Receipt:
        if transfer.reference in self.sent:
            raise RailPending("0xabc")
        self.refused.add(transfer.reference)
        return NEVER_SENT


class AwayRail(SharedRail):
    """The same chain as another process sees it whose node is away."""

    def __init__(self, shared: SharedRail) -> None:
        super().__init__()
        self.sent, self.refused = shared.sent, shared.refused

    async def transfer(self, transfer: Transfer) -> Receipt:
        self.asked.append(transfer)
        self.during()
        raise RailUnavailable("the node is away")


async def moved_on(program: Program, lane: Lane, order: Order, *expected: str) -> list[Order]:
    """Settle again and again, a minute apart; returns the order as it was each time, in the expected states."""
    seen = []
    for _ in expected:
        seen.append(await program.settlement.outcome(lane.number, order, 5_000))
        advance(lane, 61)
    assert tuple(one.state for one in seen) == expected
    return seen


def advance(lane: Lane, seconds: int) -> None:
    assert isinstance(lane.clock, SteeredClock)
    lane.clock.advance(seconds=seconds)


async def claimed(settlement: Settlement, lane: Lane, order: Order) -> str:
    """Claim an order's leg as it is first claimed; returns its reference."""
    reference = order.rail_reference or ""
    assert await settlement._claim(lane.number, reference) == 1
    return reference


async def leases(dsn: str, lane: Lane) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        count: int = await connection.fetchval("select count(*) from leases where lane = $1", lane.number)
    finally:
        await connection.close()
    return count


async def rest(lane: Lane, order: Order) -> int:
    """Return for how many seconds from now an order's leg is left alone."""
    connection = await asyncpg.connect(lane.dsn)
    try:
        until = await connection.fetchval(
            "select held_until from leases where lane = $1 and item = $2", lane.number, order.rail_reference
        )
    finally:
        await connection.close()
    return int((until - lane.clock.now()).total_seconds())


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
        counted = program.metrics.text().decode()
        for outcome in ("unknown", "unavailable", "done"):
            assert f'otcdesk_transfer_calls_total{{outcome="{outcome}",rail="chain"}} 1.0' in counted


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


@pytest.mark.parametrize("lasting", [False, True])
async def test_unreachable_proves_nothing_once_the_claim_ran_out(lane: Lane, tmp_path: Path, lasting: bool) -> None:
    """A worker stalls before its call for longer than its claim; another's call in between lost its answer."""
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailUnknown("timed out"), RailUnavailable("no", lasting=lasting))
        order = await approved(program, lane)
        stalled = Settlement(program.desk, "a process that stalls", program.desk.reads)
        reference = order.rail_reference or ""
        assert await stalled._claim(lane.number, reference) == 1
        assert isinstance(lane.clock, SteeredClock)
        lane.clock.advance(seconds=3)
        await program.settlement.outcome(lane.number, order, 5_000)
        with pytest.raises(RailUnknown):
            await stalled._transfer(lane.number, order, reference)
        assert (len(rail.asked), rail.cancelled) == (2, [])


async def test_nobody_sends_what_is_being_recorded_as_refused(lane: Lane, tmp_path: Path) -> None:
    """A process that was refused is held up before its command; another has the claim meanwhile and asks."""
    async with opened(lane, tmp_path) as slow, opened(lane, tmp_path) as other:
        rail = other.desk.chain = SharedRail()
        slow.desk.chain = AwayRail(rail)
        order = await approved(slow, lane)
        settlement = slow.settlement
        receipt = await settlement._transfer(lane.number, order, await claimed(settlement, lane, order))
        assert not receipt.done
        advance(lane, 61)
        after = await other.settlement.outcome(lane.number, order, 5_000)
        assert (after.state, rail.sent) == ("pending_approval", set())


async def test_what_another_process_has_sent_is_not_refused(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        rail = SharedRail()
        away = program.desk.chain = AwayRail(rail)
        order = await approved(program, lane)
        away.during = lambda: rail.sent.add(order.rail_reference or "")
        (after,) = await moved_on(program, lane, order, "paying")
        assert (after.rail_reference, after.waits_for) == (order.rail_reference, "chain")
        program.desk.chain = rail
        await moved_on(program, lane, order, "completed")


@pytest.mark.parametrize("answer", [RailUnknown("lost"), RailUnavailable("away"), DONE])
async def test_the_rails_decision_counts_and_without_one_it_is_asked_again(
    lane: Lane, tmp_path: Path, answer: Receipt | Exception
) -> None:
    async with opened(lane, tmp_path) as program:
        rail = script(program, RailUnavailable("away"), DONE)
        rail.cancels = answer
        order = await approved(program, lane)
        states = ["completed"] if isinstance(answer, Receipt) else ["paying", "completed"]
        await moved_on(program, lane, order, *states)
        assert len(rail.cancelled) == 1


async def test_what_is_in_vain_is_refused_after_an_unknown_answer_once_the_rail_says_so(
    lane: Lane, tmp_path: Path
) -> None:
    async with opened(lane, tmp_path) as program:
        in_vain = RailUnavailable("the desk has no key", lasting=True)
        rail = script(program, RailUnknown("paused"), RailUnavailable("away"), in_vain)
        rail.cancels = RailPending("0x12")
        order = await approved(program, lane)
        await moved_on(program, lane, order, "paying", "paying", "paying")
        assert len(rail.cancelled) == 1, "not while it may pass"
        rail.cancels = NEVER_SENT
        (after,) = await moved_on(program, lane, order, "pending_approval")
        assert (after.reason, after.waits_for) == ("the desk has no key (cancelled)", None)
        assert {one.reference for one in rail.cancelled} == {order.rail_reference}
        assert await leases(lane.dsn, lane) == 0


async def test_cash_that_no_bank_took_is_decided_on_by_the_bank(lane: Lane, tmp_path: Path) -> None:
    async with opened(lane, tmp_path) as program:
        script(program, DONE)
        fiat = program.desk.fiat = ScriptedRail(RailUnavailable("away"), DONE)
        fiat.cancels = RailUnknown("lost")
        order = await approved(program, lane, "sell")
        await moved_on(program, lane, order, "paying", "completed")
        assert (len(fiat.cancelled), len({one.reference for one in fiat.asked})) == (1, 1)


async def test_a_return_is_asked_for_after_each_refusal_under_another_reference_and_later(
    lane: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(lane, tmp_path) as program:
        chain = script(program, DONE, REFUSED, REFUSED, REFUSED, DONE)
        program.desk.fiat = ScriptedRail(REFUSED)
        order = await approved(program, lane, "sell")
        for refusals in (1, 2, 3):
            after = await program.settlement.outcome(lane.number, order, 5_000)
            assert (after.state, len(chain.asked)) == ("returning", 1 + refusals)
            assert await rest(lane, after) == refusals  # times `rail_retry_ms`, which is a second
            advance(lane, refusals)
            order = await program.settlement.outcome(lane.number, after, 5_000)
            assert (order, len(chain.asked)) == (after, 1 + refusals)
            advance(lane, 1)
        (ended,) = await moved_on(program, lane, order, "failed")
        assert (ended.rail_reference, ended.reason) == (None, REFUSED.detail)
        assert len({transfer.reference for transfer in chain.asked}) == 5
        assert {transfer.destination.id for transfer in chain.asked[1:]} == {WA1}
        assert await leases(lane.dsn, lane) == 0
    assert capsys.readouterr().out.count("return_refused") == 3


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_return_that_the_rail_does_not_take_is_waited_out(lane: Lane, tmp_path: Path, lasting: bool) -> None:
    async with opened(lane, tmp_path) as program:
        away = RailUnavailable("away", lasting=lasting)
        chain = script(program, DONE, away, away, DONE)
        program.desk.fiat = ScriptedRail(REFUSED)
        order = await approved(program, lane, "sell")
        await moved_on(program, lane, order, "returning", "returning", "failed")
        assert chain.cancelled == []
        assert len({transfer.reference for transfer in chain.asked}) == 2


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
