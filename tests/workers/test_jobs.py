"""Jobs go to the chain under their references, withdrawals begin in the books first, and each word is recorded once."""

from pathlib import Path
from typing import Any

import pytest

from otcdesk.actions.record_job import BeginJob, RecordJob
from otcdesk.actions.retry_job import RetryJob
from otcdesk.app import Program
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import DESK_ID
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.workers.jobs import WORKER
from tests.support.clocks import SteeredClock
from tests.support.desk import AUDIT_KEY, Lane, new_lane
from tests.support.estate import (
    DEALS_WORLD,
    ESTATE,
    HASH,
    U1,
    U2,
    buying_unsold,
    listing,
    refused,
    taking,
    withdrawing,
)
from tests.support.executions import fetch, leases
from tests.support.program import Answer, ScriptedRail, opened
from tests.support.soundness import assert_sound
from tests.test_metrics import value

DONE = Receipt(done=True, detail=HASH)
REVERTED = Receipt(done=False, detail="reverted")
OTHER = "0x" + "cd" * 32


@pytest.fixture
async def estate(fresh_dsn: str) -> Lane:
    """Give a lane with the deals contract's world, alone in its database: waves are taken from all lanes."""
    return await new_lane(fresh_dsn, DEALS_WORLD)


def script(program: Program, *answers: Answer) -> ScriptedRail:
    rail = program.desk.chain = ScriptedRail(*answers)
    return rail


async def wave(program: Program) -> None:
    """Take one wave and wait for it."""
    await program.jobs.begin_waiting()
    await program.jobs.stop()


async def told(program: Program, lane: Lane, command: Any) -> Any:
    worker = isinstance(command, BeginJob | RecordJob)
    caller, owner_id = (WORKER, DESK_ID) if worker else ("client", ESTATE)
    return await program.desk.handover.submit(
        lane.number, command, caller=caller, owner_id=owner_id, request_id="request", key=None
    )


async def asked(program: Program, lane: Lane, command: Any) -> Job:
    job: Job = (await told(program, lane, command)).job
    return job


async def listed(program: Program, lane: Lane, quantity: int = 3) -> Job:
    """List something and let the chain have it."""
    job = await asked(program, lane, listing(quantity))
    answers, program.desk.chain = program.desk.chain, ScriptedRail(DONE)
    await wave(program)
    program.desk.chain = answers
    return job


async def state(lane: Lane, job: Job) -> tuple[str, str, str | None, str | None]:
    """Return a job's state, its order's, its hash and why it failed."""
    (row,) = await fetch(
        lane.dsn,
        """select j.state, o.state as order_state, j.hash, j.error from jobs as j
        join orders as o on o.lane = j.lane and o.id = j.order_id where j.id = $1""",
        job.id,
    )
    return row["state"], row["order_state"], row["hash"], row["error"]


async def units(program: Program, lane: Lane, party_id: Any = U1, asset: str = "EXT") -> tuple[int, int]:
    account = await program.desk.reads.row("accounts", "account", Account, lane.number, holding_id(party_id, asset))
    assert account is not None
    return account.balance, account.held


def calls(program: Program, outcome: str) -> float:
    return float(value(program.metrics.text(), f'otcdesk_job_calls_total{{outcome="{outcome}"}}') or 0)


def later(lane: Lane, milliseconds: int) -> None:
    assert isinstance(lane.clock, SteeredClock)
    lane.clock.advance(milliseconds=milliseconds)


async def test_a_job_is_carried_under_its_reference(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        rail = script(program, DONE)
        job = await asked(program, estate, listing(3))
        assert await state(estate, job) == ("started", "pending", None, None)
        await wave(program)
        assert await state(estate, job) == ("completed", "active", HASH, None)
        (transfer,) = rail.asked
        assert (transfer.lane, transfer.reference) == (estate.number, f"{job.id}:job")
        assert (transfer.source.id, transfer.destination.id) == (job.source_account_id, job.destination_account_id)
        assert (str(transfer.amount), transfer.destination.purpose) == ("3 EXT", "escrow")
        assert await leases(estate) == []
        assert calls(program, "done") == 1
        await wave(program)
        assert len(rail.asked) == 1
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_a_refusal_fails_it(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        script(program, REVERTED)
        job = await asked(program, estate, listing(3))
        await wave(program)
        assert await state(estate, job) == ("failed", "failed", None, "reverted")
        assert await units(program, estate) == (10, 0)
        assert (await leases(estate), calls(program, "refused")) == ([], 1)
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


@pytest.mark.parametrize(
    "trouble, outcome, begun",
    [
        (RailPending(HASH), "pending", True),
        (RailUnavailable("connection refused"), "unavailable", False),
        (RailUnknown("timed out"), "unknown", False),
        (ValueError("nonsense"), "unknown", False),
    ],
)
async def test_what_is_not_decided_is_asked_for_again_after_ever_longer_rests(
    estate: Lane, tmp_path: Path, trouble: Any, outcome: str, begun: bool
) -> None:
    async with opened(estate, tmp_path, rail_retry_ms=1_000, job_rest_ms_max=2_000) as program:
        rail = script(program, trouble, trouble, trouble, DONE)
        job = await asked(program, estate, listing(3))
        for attempts, rest_ms in ((1, 1_000), (2, 2_000), (3, 2_000)):
            await wave(program)
            expected = ("in_progress", "pending", HASH, None) if begun else ("started", "pending", None, None)
            assert await state(estate, job) == expected
            assert await leases(estate) == [(job.reference, "", attempts)]
            later(estate, rest_ms - 1)
            await wave(program)
            assert len(rail.asked) == attempts, "asked again before its rest is over"
            later(estate, 2)
        await wave(program)
        assert await state(estate, job) == ("completed", "active", HASH, None)
        assert {transfer.reference for transfer in rail.asked} == {job.reference}
        assert (calls(program, outcome), calls(program, "done")) == (0 if begun else 3, 1)
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_what_was_sent_anew_is_known_by_its_newest_hash(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        script(program, RailPending(HASH), RailPending(OTHER), Receipt(done=False, detail="dropped"))
        job = await asked(program, estate, listing(3))
        for expected in (
            ("in_progress", "pending", HASH, None),
            ("in_progress", "pending", OTHER, None),
            ("failed", "failed", OTHER, "dropped"),
        ):
            await wave(program)
            assert await state(estate, job) == expected
            later(estate, 60_000)


async def test_a_withdrawal_begins_in_the_books_before_the_chain_is_asked(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        rail = script(program, RailUnknown("timed out"), DONE)
        await listed(program, estate)
        order_id = (await fetch(estate.dsn, "select id from orders"))[0]["id"]
        job = await asked(program, estate, withdrawing(order_id))
        await wave(program)
        assert await state(estate, job) == ("in_progress", "withdrawing", None, None)
        later(estate, 60_000)
        await wave(program)
        assert await state(estate, job) == ("completed", "cancelled", HASH, None)
        assert [str(transfer.amount) for transfer in rail.asked] == ["3 EXT"] * 2
        assert await units(program, estate) == (10, 0)
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_a_withdrawal_that_lost_is_never_sent(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        rail = script(program, DONE)
        job = await listed(program, estate)
        withdrawal = await asked(program, estate, withdrawing(job.order_id))
        await told(program, estate, taking(job.order_id))
        await wave(program)
        assert await state(estate, withdrawal) == ("failed", "completed", None, "The listing is completed already.")
        assert withdrawal.reference not in {transfer.reference for transfer in rail.asked}
        assert len(rail.asked) == 2, "the units, and the money: what the branch took follows"
        assert await leases(estate) == []
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_a_withdrawal_is_sent_for_what_is_left_when_it_begins(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        rail = script(program, DONE)
        job = await listed(program, estate, 5)
        withdrawal = await asked(program, estate, withdrawing(job.order_id))
        assert withdrawal.units == 5
        await wave(program)
        assert str(rail.asked[0].amount) == "5 EXT"
        assert (await state(estate, withdrawal))[:2] == ("completed", "cancelled")


@pytest.mark.parametrize("where", ["before the chain is asked", "after it has answered"])
async def test_a_process_that_dies_is_followed_by_one_that_asks_under_the_same_reference(
    estate: Lane, tmp_path: Path, where: str
) -> None:
    async with opened(estate, tmp_path / "one") as program:
        rail = script(program, DONE)
        job = await asked(program, estate, listing(3))

        def die() -> None:
            raise RailUnknown("nobody hears the answer")

        if where == "after it has answered":
            rail.during = die
            await wave(program)
            assert [transfer.reference for transfer in rail.asked] == [job.reference]
        else:
            assert [one.reference for one in await program.jobs._claim(10)] == [job.reference]
            await wave(program)
            assert rail.asked == [], "it is claimed"
    assert (await state(estate, job))[:2] == ("started", "pending")
    later(estate, 120_000)
    async with opened(estate, tmp_path / "two") as program:
        rail = script(program, DONE)
        await wave(program)
        assert [transfer.reference for transfer in rail.asked] == [job.reference]
        assert await state(estate, job) == ("completed", "active", HASH, None)
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_a_word_against_the_books_is_told_to_the_operator(
    estate: Lane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has failed the job by hand while the chain was carrying it."""
    async with opened(estate, tmp_path) as program:
        job = await asked(program, estate, buying_unsold(5))
        desk = program.desk

        class Racing(ScriptedRail):
            async def transfer(self, transfer: Transfer) -> Receipt:
                await told(program, estate, refused(job))
                return await super().transfer(transfer)

        desk.chain = Racing(DONE)
        await wave(program)
        assert await state(estate, job) == ("failed", "failed", None, "reverted")
        assert await units(program, estate, U2, "VUSD") == (500_000_000, 0)
        assert "chain_job_contradicts_itself" in capsys.readouterr().out
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_jobs_of_a_closed_lane_are_left(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        rail = script(program, DONE)
        await asked(program, estate, listing(3))
        await fetch(estate.dsn, "update lanes set closed_at = now() where lane = $1", estate.number)
        await wave(program)
        assert rail.asked == []


async def test_no_more_jobs_are_under_way_than_may_be(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path, job_orders_max=2) as program:
        rail = script(program, DONE)
        for _ in range(5):
            await asked(program, estate, listing(1))
        assert (await program.jobs.under_way())[0] == 5
        await program.jobs.work_once(estate.number)
        assert len({transfer.reference for transfer in rail.asked}) == len(rail.asked) == 5
        assert (await program.jobs.under_way())[0] == 0


async def test_what_follows_the_books_and_failed_is_counted_until_it_is_retried(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        job = await listed(program, estate)
        rail = script(program, REVERTED)
        await told(program, estate, taking(job.order_id))
        await wave(program)
        failed = await fetch(estate.dsn, "select id, tries from jobs where state = 'failed' and kind = 'follow'")
        assert await program.jobs.failed() == len(failed) == len(rail.asked) == 2
        for row in failed:
            await told(program, estate, RetryJob(job_id=row["id"]))
        assert await program.jobs.failed() == 0
        await wave(program)
        assert await program.jobs.failed() == 2, "what is in their place has failed as well"
        rail.answers[:] = [DONE]
        for row in await fetch(estate.dsn, "select id from jobs where tries = 2"):
            await told(program, estate, RetryJob(job_id=row["id"]))
        await wave(program)
        assert await program.jobs.failed() == 0
    await assert_sound(estate.dsn, estate.number, AUDIT_KEY)


async def test_a_refused_listing_differs_from_no_chain(estate: Lane, tmp_path: Path) -> None:
    async with opened(estate, tmp_path) as program:
        script(program, REVERTED)
        await asked(program, estate, listing(3))
        await wave(program)
        assert await program.jobs.failed() == 0
