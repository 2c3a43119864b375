"""Payouts go to their provider under their references, and what it says is recorded once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.app import Program
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import current_id, return_id
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import PayoutInstruction, PayoutReturn, PayoutWord, RailUnavailable, RailUnknown
from otcdesk.serving import among_others, workers
from otcdesk.workers import payouts
from otcdesk.workers.payouts import Payouts
from tests.support.clocks import SteeredClock
from tests.support.desk import AUDIT_KEY, Lane
from tests.support.executions import fetch, leases, now
from tests.support.payout_rails import NOT_YET, PAID, TURNED_DOWN, behave, new_ramp_lane, script, told, waiting
from tests.support.payouts import B1, JP, SEPA_FILE
from tests.support.program import opened
from tests.support.soundness import assert_sound
from tests.support.waiting import until
from tests.test_metrics import value


@pytest.fixture
async def ramp(fresh_dsn: str) -> Lane:
    """Give a lane with the ramp contract's world, alone in its database: waves are taken from all lanes."""
    return await new_ramp_lane(fresh_dsn)


async def wave(program: Program) -> None:
    """Take one wave and wait for it."""
    await program.payouts.begin_waiting()
    await program.payouts.stop()


def calls(program: Program, outcome: str) -> float:
    return float(value(program.metrics.text(), f'otcdesk_payout_calls_total{{outcome="{outcome}"}}') or 0)


def clock_of(lane: Lane) -> SteeredClock:
    assert isinstance(lane.clock, SteeredClock)
    return lane.clock


async def available(program: Program, lane: int) -> tuple[int, int]:
    account = await program.desk.reads.row("accounts", "account", Account, lane, current_id(B1, "USDC"))
    assert account is not None
    return account.balance - account.held, account.balance


async def test_a_payout_is_made_under_its_reference(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        order = await waiting(program, ramp.number, "100.00", external_id="inv-7")
        await wave(program)
        after = await now(program, ramp.number, order)
        assert (after.state, after.waits_for, after.rail_reference) == ("settled", None, None)
        (asked,) = rail.instructions
        assert (asked.reference, asked.order_id, asked.external_id) == (f"{order.id}:payout", order.id, "inv-7")
        assert (str(asked.amount), asked.channel_type, asked.country) == ("100.00 EUR", "BankSepa", "DE")
        assert "DE89370400440532013000" in asked.details
        assert await leases(ramp) == []
        (settled,) = await fetch(ramp.dsn, "select detail from events where name = 'payout.settle'")
        assert settled["detail"] == PAID.detail
        assert await available(program, ramp.number) == (389_673_913, 389_673_913)
        assert calls(program, "done") == 1
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_a_refusal_fails_the_payout_and_gives_back_what_it_took(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        script(program, TURNED_DOWN)
        order = await waiting(program, ramp.number)
        await wave(program)
        after = await now(program, ramp.number, order)
        assert (after.state, after.reason) == ("failed", "account closed")
        assert await available(program, ramp.number) == (500_000_000, 500_000_000)
        assert await leases(ramp) == []
        assert calls(program, "refused") == 1
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


@pytest.mark.parametrize(
    "trouble, outcome",
    [
        (NOT_YET, "pending"),
        (RailUnavailable("connection refused"), "unavailable"),
        (RailUnknown("timed out"), "unknown"),
        (ValueError("nonsense"), "unknown"),
    ],
)
async def test_what_is_not_decided_is_asked_for_again_after_ever_longer_rests(
    ramp: Lane, tmp_path: Path, trouble: Any, outcome: str
) -> None:
    async with opened(ramp, tmp_path, payout_retry_ms=1_000, payout_rest_ms_max=2_000) as program:
        rail = script(program, trouble, trouble, trouble, PAID)
        order = await waiting(program, ramp.number)
        for attempts, rest_ms in ((1, 1_000), (2, 2_000), (3, 2_000)):
            await wave(program)
            assert (await now(program, ramp.number, order)).state == "pending"
            assert await leases(ramp) == [(order.rail_reference, "", attempts)]
            clock_of(ramp).advance(milliseconds=rest_ms - 1)
            await wave(program)
            assert len(rail.asked) == attempts, "asked again before its rest is over"
            clock_of(ramp).advance(milliseconds=2)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "settled"
        assert rail.asked == [("pay", order.rail_reference)] * 4
        assert (calls(program, outcome), calls(program, "done")) == (3, 1)
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_what_is_not_decided_yet_is_nothing_to_warn_of(
    ramp: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, NOT_YET)
        await waiting(program, ramp.number)
        await wave(program)
        assert "payout_unanswered" not in capsys.readouterr().out
        rail.answers = [RailUnknown("timed out")]
        clock_of(ramp).advance(seconds=2)
        await wave(program)
        assert "payout_unanswered" in capsys.readouterr().out


async def test_a_provider_that_hangs_is_given_up_after_its_time(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path, payout_timeout_ms=50) as program:
        rail = script(program, PAID)

        async def hang(instruction: PayoutInstruction) -> None:
            del instruction
            await asyncio.Event().wait()

        rail.before = hang
        order = await waiting(program, ramp.number)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "pending"
        assert calls(program, "unknown") == 1


async def test_only_payouts_of_a_provider_are_asked_for(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        for how in ({"channel_id": SEPA_FILE}, {"channel_id": JP, "arrives": "200"}):
            await waiting(program, ramp.number, **how)
        await wave(program)
        assert rail.asked == []
        assert await program.payouts.under_way() == (0, 0)


async def cancelled(program: Program, lane: int, order: Order) -> None:
    await told(program, lane, HoldPayout(order_id=order.id, reason="who is that?"))
    await told(program, lane, CancelPayout(order_id=order.id, reason="nobody"))


async def test_a_held_payout_is_not_asked_for_until_it_is_released(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        order = await waiting(program, ramp.number)
        await told(program, ramp.number, HoldPayout(order_id=order.id, reason="who is that?"))
        await wave(program)
        assert rail.asked == []
        await told(program, ramp.number, ReleasePayout(order_id=order.id))
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "settled"


@pytest.mark.parametrize("word, state", [(TURNED_DOWN, "failed"), (PAID, "settled")])
async def test_a_payout_is_cancelled_at_its_provider_unless_that_has_paid(
    ramp: Lane, tmp_path: Path, word: PayoutWord, state: str
) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, word)
        order = await waiting(program, ramp.number)
        await cancelled(program, ramp.number, order)
        await wave(program)
        assert rail.asked == [("cancel", order.rail_reference)]
        assert (await now(program, ramp.number, order)).state == state
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_a_cancellation_without_a_decision_is_asked_for_again(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        script(program, NOT_YET, TURNED_DOWN)
        order = await waiting(program, ramp.number)
        await cancelled(program, ramp.number, order)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "cancelling"
        clock_of(ramp).advance(seconds=2)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "failed"


async def test_a_cancellation_does_not_wait_until_what_was_asked_before_has_rested(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path, payout_retry_ms=60_000) as program:
        rail = script(program, NOT_YET, NOT_YET, NOT_YET, TURNED_DOWN)
        order = await waiting(program, ramp.number)
        await wave(program)
        clock_of(ramp).advance(seconds=61)
        await wave(program)
        assert await leases(ramp) == [(order.rail_reference, "", 2)]
        await cancelled(program, ramp.number, order)
        await wave(program)
        asked = [("pay", order.rail_reference)] * 2 + [("cancel", order.rail_reference)]
        assert rail.asked == asked
        assert await leases(ramp) == [(order.rail_reference, "", 1)], "a cancellation begins with a short rest"
        clock_of(ramp).advance(seconds=59)
        await wave(program)
        assert rail.asked == asked, "asked again before its own rest is over"
        clock_of(ramp).advance(seconds=2)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "failed"


async def test_a_payout_that_is_let_go_again_does_not_wait_either(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path, payout_retry_ms=60_000) as program:
        script(program, NOT_YET, PAID)
        order = await waiting(program, ramp.number)
        await wave(program)
        await told(program, ramp.number, HoldPayout(order_id=order.id, reason="who is that?"))
        await told(program, ramp.number, ReleasePayout(order_id=order.id))
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "settled"


async def test_a_cancellation_while_the_provider_is_asked_is_told_right_after(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path, payout_retry_ms=60_000) as program:
        rail = script(program, NOT_YET, TURNED_DOWN)
        order = await waiting(program, ramp.number)

        async def cancel(instruction: PayoutInstruction) -> None:
            if rail.asked[-1][0] == "cancel":
                return
            await cancelled(program, ramp.number, order)
            await wave_of_nobody(program)

        rail.before = cancel
        await wave(program)
        assert rail.asked == [("pay", order.rail_reference)]
        await wave(program)
        assert rail.asked == [("pay", order.rail_reference), ("cancel", order.rail_reference)]
        assert (await now(program, ramp.number, order)).state == "failed"


async def wave_of_nobody(program: Program) -> None:
    """Look for work with another process: what is asked for now is nobody else's, however it changed."""
    assert await Payouts(program.desk, "another process", program.payouts.reads)._claim(10) == []


async def test_what_a_provider_says_while_a_payout_is_held_is_booked(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        order = await waiting(program, ramp.number)

        async def hold(instruction: PayoutInstruction) -> None:
            await told(program, ramp.number, HoldPayout(order_id=instruction.order_id, reason="too late"))

        rail.before = hold
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "settled"
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_two_workers_ask_once(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        other = Payouts(program.desk, "another process", program.payouts.reads)
        orders = [await waiting(program, ramp.number) for _ in range(10)]
        both_claimed = asyncio.Event()

        async def hold(instruction: PayoutInstruction) -> None:
            del instruction
            await both_claimed.wait()

        rail.before = hold
        await asyncio.gather(program.payouts.begin_waiting(), other.begin_waiting())
        both_claimed.set()
        await asyncio.gather(program.payouts.stop(), other.stop())
        assert sorted(rail.asked) == sorted(("pay", order.rail_reference or "") for order in orders)
        assert await leases(ramp) == []


@pytest.mark.parametrize("first, then", [(PAID, TURNED_DOWN), (TURNED_DOWN, PAID)])
async def test_a_provider_that_contradicts_itself_is_seen_and_not_believed(
    ramp: Lane, tmp_path: Path, first: PayoutWord, then: PayoutWord, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(ramp, tmp_path) as program:
        script(program, first, then)
        order = await waiting(program, ramp.number)
        (claimed,) = await program.payouts._claim(10)
        for _ in range(2):
            program.payouts._begin([claimed])
            await program.payouts.stop()
        assert (await now(program, ramp.number, order)).state == ("settled" if first == PAID else "failed")
        assert calls(program, "contradicted") == 1
        assert "payout_contradicts_itself" in capsys.readouterr().out
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_text_that_the_books_would_not_take_keeps_nobody_waiting(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        script(program, PayoutWord(outcome="refused", detail="\0" + "no" * 10_000 + "\ud800"))
        order = await waiting(program, ramp.number)
        await wave(program)
        assert (await now(program, ramp.number, order)).state == "failed"
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


def came_back(order: Order, units: int = 2_000) -> PayoutReturn:
    return PayoutReturn(
        lane=0,
        reference=f"{order.id}:payout",
        order_id=order.id,
        amount=Amount(units, Asset("EUR", 2)),
        reason="no such account",
    )


async def test_what_comes_back_is_booked_once_and_acknowledged(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        order = await waiting(program, ramp.number)
        returned = came_back(order)
        rail.returned = [_in_lane(returned, ramp)]
        await program.payouts.book_returns()
        assert rail.returned, "the payout is not settled yet: it must be told again"
        await wave(program)
        clock_of(ramp).advance(seconds=2)
        await program.payouts.book_returns()
        assert rail.returned == []
        (back,) = await fetch(ramp.dsn, "select * from orders where id = $1", return_id(order.id))
        assert (back["side"], back["state"], back["source_units"], back["reason"]) == (
            "buy",
            "settled",
            2_000,
            "no such account",
        )
        before = await available(program, ramp.number)
        rail.returned = [_in_lane(returned, ramp)]
        await program.payouts.book_returns()
        assert (rail.returned, await available(program, ramp.number)) == ([], before)
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_a_return_that_the_books_do_not_take_rests_for_longer_each_time_and_is_told_of_once(
    ramp: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(ramp, tmp_path, payout_retry_ms=1_000, payout_rest_ms_max=3_000) as program:
        rail = script(program, PAID)
        order = await waiting(program, ramp.number)
        rail.returned = [_in_lane(came_back(order), ramp)]
        tried = 0
        for rest_ms in (1_000, 2_000, 3_000, 3_000):
            tried += 1
            await program.payouts.book_returns()
            assert await tries(ramp) == tried
            clock_of(ramp).advance(milliseconds=rest_ms - 1)
            await program.payouts.book_returns()
            assert await tries(ramp) == tried, "tried again before its rest is over"
            clock_of(ramp).advance(milliseconds=1)
        assert capsys.readouterr().out.count("return_not_booked") == 1
        await program.payouts.book_returns(ramp.number)
        await program.payouts.book_returns(ramp.number)
        assert await tries(ramp) == tried + 2, "the sandbox's work does not wait"
        await wave(program)
        await program.payouts.book_returns(ramp.number)
        assert rail.returned == []
        assert program.payouts._refused == {}
        assert "return_not_booked" not in capsys.readouterr().out


async def tries(ramp: Lane) -> int:
    """Return how often the books were asked to take a return: each refusal is in the chain."""
    (row,) = await fetch(ramp.dsn, "select count(*) from batches where notes like '%record_return%'")
    number: int = row["count"]
    return number


async def test_returns_that_rest_leave_room_for_others(
    ramp: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payouts, "_RETURNS_MAX", 1)
    async with opened(ramp, tmp_path) as program:
        rail = script(program, PAID)
        paid = await waiting(program, ramp.number)
        await wave(program)
        stuck = await waiting(program, ramp.number)
        rail.returned = [_in_lane(came_back(order), ramp) for order in (stuck, paid)]
        for _ in range(2):
            await program.payouts.book_returns()
        assert [one.order_id for one in rail.returned] == [stuck.id]


def _in_lane(returned: PayoutReturn, lane: Lane) -> PayoutReturn:
    return PayoutReturn(
        lane=lane.number,
        reference=returned.reference,
        order_id=returned.order_id,
        amount=returned.amount,
        reason=returned.reason,
    )


async def test_work_asks_also_for_what_rests_and_books_what_returns(ramp: Lane, tmp_path: Path) -> None:
    """The simulated provider's delay is of business time: the sandbox moves its clock and lets the workers work."""
    async with opened(ramp, tmp_path, payout_retry_ms=600_000) as program:
        await behave(program, ramp.number, delay_ms=60_000)
        order = await waiting(program, ramp.number, external_id="return-1")
        await program.work_once(ramp.number)
        assert (await now(program, ramp.number, order)).state == "pending"
        clock_of(ramp).advance(seconds=61)
        await program.work_once(ramp.number)
        assert (await now(program, ramp.number, order)).state == "settled"
        assert await program.desk.order(ramp.number, return_id(order.id)) is not None
    await assert_sound(ramp.dsn, ramp.number, AUDIT_KEY)


async def test_the_leader_pays_as_soon_as_the_sale_is_committed(ramp: Lane, tmp_path: Path) -> None:
    """Its loop would look again in ten minutes: it is the batch that wakes it, a release and a cancellation as well."""
    async with (
        opened(ramp, tmp_path, payout_period_ms=600_000, leadership_period_ms=100) as program,
        among_others(program, may_lead=True),
    ):
        script(program, PAID)
        await until(lambda: program.desk.leadership.leads, "this process leads")
        async with workers(program):
            await asyncio.sleep(0)
            order = await waiting(program, ramp.number)

            async def settled() -> bool:
                return (await now(program, ramp.number, order)).state == "settled"

            await until(settled, "it is paid")


async def test_what_is_under_way_is_counted(ramp: Lane, tmp_path: Path) -> None:
    async with opened(ramp, tmp_path) as program:
        await waiting(program, ramp.number)
        clock_of(ramp).advance(seconds=3)
        await waiting(program, ramp.number)
        assert await program.payouts.under_way() == (2, 3_000)
        program.metrics.payouts_under_way(2, 3_000)
        text = program.metrics.text()
        assert value(text, "otcdesk_payouts_under_way") == "2.0"
        assert value(text, "otcdesk_payouts_oldest_seconds") == "3.0"
