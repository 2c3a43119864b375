"""The chain's word on jobs: what was listed, asked back or bought, done or refused, once, again and against itself."""

from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_job import BeginJob, RecordJob
from otcdesk.domain.jobs import COMPLETED, FAILED, FOLLOW, IN_PROGRESS, STARTED, Job
from otcdesk.domain.orders import Order
from otcdesk.domain.resales import SECONDARY, Branch, Resale, ResaleTerms
from otcdesk.errors import Code
from tests.support.estate import (
    DAY_SECONDS,
    ESTATE,
    HASH,
    U2,
    N,
    begun,
    branch_units,
    buying,
    buying_unsold,
    closing,
    compact,
    done,
    estate_desk,
    follows,
    let_parties_trade,
    listed,
    listing,
    open_holds,
    parts,
    recorded,
    refused,
    rule,
    started,
    taking,
    told,
    units,
    withdrawing,
)
from tests.support.pure import PureDesk

OTHER = "0x" + "cd" * 32


def job_of(desk: PureDesk, job: Job) -> Job:
    return desk.get(Job, job.id)


def rows_but(desk: PureDesk, *jobs: Job) -> dict[Any, Any]:
    """Return all rows but those jobs."""
    return {slot: row for slot, row in desk.rows.items() if slot not in {(Job, job.id) for job in jobs}}


# -- what is true of every job ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [BeginJob, RecordJob])
def test_a_job_that_is_not_there_is_not_found(command: type) -> None:
    asked = {"job_id": compact("e99"), "reference": "r"}
    word = {} if command is BeginJob else {"outcome": "done", "detail": HASH}
    assert estate_desk().refuse(command(**asked, **word)) is Code.JOB_NOT_FOUND


def test_a_job_begins_once_and_remembers_its_newest_hash() -> None:
    desk = estate_desk()
    job = started(desk, listing())
    desk.clock.advance(seconds=5)
    first = recorded(desk, begun(job, HASH))
    assert first.applied
    assert (first.job.state, first.job.hash, first.job.version, first.job.error) == (IN_PROGRESS, HASH, 2, None)
    assert first.job.updated_at == desk.clock.now()
    for again in (begun(job, HASH), begun(job)):
        reply = recorded(desk, again)
        assert (reply.applied, reply.job) == (False, first.job)
    sped_up = recorded(desk, begun(job, OTHER))
    assert sped_up.applied
    assert (sped_up.job.state, sped_up.job.hash, sped_up.job.version) == (IN_PROGRESS, OTHER, 3)
    assert desk.get(Order, job.order_id).state == "pending"


def test_a_job_that_is_over_does_not_begin() -> None:
    desk = estate_desk()
    job = started(desk, listing())
    recorded(desk, done(job))
    before = dict(desk.rows)
    assert not recorded(desk, begun(job, OTHER)).applied
    assert desk.rows == before


@pytest.mark.parametrize("first, again", [(done, refused), (refused, done)])
def test_a_word_is_taken_once_and_told_apart_from_its_opposite(first: Any, again: Any) -> None:
    desk = estate_desk()
    job = started(desk, listing())
    desk.clock.advance(seconds=5)
    reply = recorded(desk, first(job))
    assert (reply.applied, reply.agrees) == (True, True)
    over = job_of(desk, job)
    assert (over.waits_for, over.version, over.updated_at) == (None, 2, desk.clock.now())
    assert (over.state, over.hash, over.error) == (
        (COMPLETED, HASH, None) if first is done else (FAILED, None, "reverted")
    )
    before = dict(desk.rows)
    same, opposite = recorded(desk, first(job)), recorded(desk, again(job))
    assert (same.applied, same.agrees, same.job) == (False, True, over)
    assert (opposite.applied, opposite.agrees, opposite.job) == (False, False, over)
    assert desk.rows == before


@pytest.mark.parametrize("word", ["done", "refused"])
def test_a_word_under_another_reference_is_about_something_else(word: Any) -> None:
    desk = estate_desk()
    job = started(desk, listing())
    before = dict(desk.rows)
    told_of = RecordJob(job_id=job.id, reference=f"{job.reference}:2", outcome=word, detail="x")
    for command in (told_of, BeginJob(job_id=job.id, reference=f"{job.reference}:2", hash=HASH)):
        reply = recorded(desk, command)
        assert (reply.applied, reply.agrees, reply.job) == (False, True, job)
    assert desk.rows == before


def test_a_failed_job_keeps_the_hash_under_which_it_was_sent() -> None:
    desk = estate_desk()
    job = started(desk, listing())
    recorded(desk, begun(job, HASH))
    recorded(desk, refused(job, "reverted"))
    assert (job_of(desk, job).hash, job_of(desk, job).error) == (HASH, "reverted")


@pytest.mark.parametrize("word", [done, refused])
def test_what_only_follows_changes_nothing_but_itself(word: Any) -> None:
    desk = estate_desk()
    desk.act(taking(listed(desk).id), owner_id=ESTATE)
    job = next(job for job in desk.all(Job) if job.kind == FOLLOW)
    before = rows_but(desk, job)
    recorded(desk, begun(job, HASH))
    recorded(desk, word(job))
    assert job_of(desk, job).is_over
    assert rows_but(desk, job) == before


# -- what is listed --------------------------------------------------------------------------------------------------


def test_what_the_chain_has_is_active_under_the_branchs_next_number() -> None:
    desk = estate_desk()
    desk.put(desk.get(Branch, N).with_(last_number=41))
    job = started(desk, listing())
    desk.clock.advance(seconds=5)
    recorded(desk, done(job))
    order = desk.get(Order, job.order_id)
    assert (order.state, order.due_at, order.updated_at) == ("active", order.expires_at, desk.clock.now())
    assert told(desk, order.id) == ["place", "activate"]
    assert (desk.get(Resale, order.id).number, desk.get(Branch, N).last_number) == (42, 42)
    assert (units(desk), parts(desk, order.id), open_holds(desk, order.id)) == ((10, 3), (3, 0, 0), [3])
    assert follows(desk) == []
    other = listed(desk, 1, market=SECONDARY)
    assert desk.get(Resale, other.id).number == 43


def test_where_listings_live_for_ever_nothing_is_due() -> None:
    desk = estate_desk()
    desk.put(desk.get(ResaleTerms, 1).with_(validity_seconds=None))
    order = listed(desk)
    assert (order.state, order.due_at) == ("active", None)
    desk.clock.advance(seconds=10_000 * DAY_SECONDS)
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 0
    desk.act(taking(order.id), owner_id=ESTATE)


def test_a_chain_that_takes_longer_than_a_listing_lives() -> None:
    """It has a number and was active, and ran out at once; what the chain has goes back."""
    desk = estate_desk()
    rule(desk)
    job = started(desk, listing())
    desk.clock.advance(seconds=32 * DAY_SECONDS)
    recorded(desk, done(job))
    order = desk.get(Order, job.order_id)
    assert (order.state, order.pay_hold_id, order.ended_at) == ("expired", None, desk.clock.now())
    assert told(desk, order.id) == ["place", "activate", "expire"]
    assert (units(desk), parts(desk, order.id)) == ((10, 0), (0, 0, 0))
    assert desk.get(Resale, order.id).number == 1
    assert follows(desk) == [("EXT", 3)]


def test_what_the_chain_refuses_fails_and_is_available_again() -> None:
    desk = estate_desk()
    rule(desk)
    job = started(desk, listing())
    recorded(desk, refused(job))
    order = desk.get(Order, job.order_id)
    assert (order.state, order.pay_hold_id, order.ended_at) == ("failed", None, desk.clock.now())
    assert told(desk, order.id) == ["place", "fail"]
    assert (units(desk), parts(desk, order.id), open_holds(desk, order.id)) == ((10, 0), (0, 0, 0), [])
    assert (desk.get(Resale, order.id).number, desk.get(Branch, N).last_number) == (None, 0)
    assert follows(desk) == [], "the chain never had it"
    started(desk, listing(10))


def test_rules_decide_of_what_is_over_the_counter_only() -> None:
    desk = estate_desk()
    rule(desk)
    assert listed(desk, 1, market=SECONDARY).state == "active"
    assert listed(desk, 1).state == "completed"


# -- what is asked back ----------------------------------------------------------------------------------------------


def withdrawn_so_far(desk: PureDesk, quantity: int = 3) -> tuple[Order, Job]:
    """List something over the counter, ask for it back, and let the chain be asked."""
    order = listed(desk, quantity)
    job = started(desk, withdrawing(order.id))
    recorded(desk, begun(job))
    return order, job


def test_a_withdrawal_begins_before_the_chain_is_asked() -> None:
    desk = estate_desk()
    order, job = withdrawn_so_far(desk)
    after = desk.get(Order, order.id)
    assert (after.state, after.due_at, after.pay_hold_id) == ("withdrawing", None, order.pay_hold_id)
    assert told(desk, order.id) == ["place", "activate", "withdraw"]
    assert (job_of(desk, job).state, job_of(desk, job).hash, job_of(desk, job).units) == (IN_PROGRESS, None, 3)
    assert (units(desk), parts(desk, order.id)) == ((10, 3), (3, 0, 0))
    recorded(desk, begun(job, HASH))
    assert job_of(desk, job).hash == HASH


def test_what_the_chain_gives_back_is_cancelled_and_available_again() -> None:
    desk = estate_desk()
    order, job = withdrawn_so_far(desk)
    recorded(desk, done(job))
    after = desk.get(Order, order.id)
    assert (after.state, after.pay_hold_id, after.ended_at) == ("cancelled", None, desk.clock.now())
    assert told(desk, order.id) == ["place", "activate", "withdraw", "cancel"]
    assert (units(desk), parts(desk, order.id), open_holds(desk, order.id)) == ((10, 0), (0, 0, 0), [])
    assert follows(desk) == [], "the withdrawal itself has moved it"


def test_what_the_chain_does_not_give_back_is_active_again() -> None:
    desk = estate_desk()
    order, job = withdrawn_so_far(desk)
    recorded(desk, refused(job))
    after = desk.get(Order, order.id)
    assert (after.state, after.due_at, after.pay_hold_id) == ("active", order.expires_at, order.pay_hold_id)
    assert told(desk, order.id) == ["place", "activate", "withdraw", "resume"]
    assert (units(desk), parts(desk, order.id)) == ((10, 3), (3, 0, 0))
    assert desk.act(taking(order.id), owner_id=ESTATE).order.state == "completed"


def test_a_listing_for_ever_is_active_again_for_ever() -> None:
    desk = estate_desk()
    desk.put(desk.get(ResaleTerms, 1).with_(validity_seconds=None))
    order, job = withdrawn_so_far(desk)
    recorded(desk, refused(job))
    assert (desk.get(Order, order.id).state, desk.get(Order, order.id).due_at) == ("active", None)


def test_what_is_being_given_back_does_not_run_out_but_afterwards() -> None:
    desk = estate_desk()
    order, job = withdrawn_so_far(desk)
    desk.clock.advance(seconds=40 * DAY_SECONDS)
    assert desk.act(RecordDue(order_ids=[order.id])).recorded == 0
    recorded(desk, refused(job))
    after = desk.get(Order, order.id)
    assert (after.state, after.ended_at) == ("expired", desk.clock.now())
    assert told(desk, order.id) == ["place", "activate", "withdraw", "resume", "expire"]
    assert (units(desk), parts(desk, order.id)) == ((10, 0), (0, 0, 0))
    assert follows(desk) == [("EXT", 3)]


@pytest.mark.parametrize("how", ["taken", "closed", "ran out", "being withdrawn", "withdrawn", "all promised"])
def test_a_withdrawal_that_comes_too_late_fails_without_the_chain(how: str) -> None:
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk)
    job, other = [started(desk, withdrawing(order.id)) for _ in range(2)]
    match how:
        case "taken":
            desk.act(taking(order.id), owner_id=ESTATE)
        case "closed":
            desk.act(closing(order.id), owner_id=ESTATE)
        case "ran out":
            desk.clock.advance(seconds=31 * DAY_SECONDS)
        case "being withdrawn":
            recorded(desk, begun(other))
        case "withdrawn":
            recorded(desk, begun(other))
            recorded(desk, done(other))
        case _:
            started(desk, buying(order.id, 3))
    before = desk.get(Order, order.id)
    reply = recorded(desk, begun(job))
    state = {"taken": "completed", "ran out": "expired", "being withdrawn": "withdrawing"}.get(how, "cancelled")
    why = "Nothing of the listing is left." if how == "all promised" else f"The listing is {state} already."
    assert (reply.applied, reply.job.state, reply.job.error, reply.job.hash) == (True, FAILED, why, None)
    after = desk.get(Order, order.id)
    assert after == before if how != "ran out" else (after.state, units(desk)) == ("expired", (10, 0))
    late = recorded(desk, refused(job))
    assert (late.applied, late.agrees) == (False, True)
    assert recorded(desk, done(job)).agrees is False


def test_a_withdrawal_that_was_never_begun_changes_nothing_when_it_is_refused() -> None:
    desk = estate_desk()
    order = listed(desk)
    job = started(desk, withdrawing(order.id))
    before = rows_but(desk, job)
    recorded(desk, refused(job))
    assert (job_of(desk, job).state, rows_but(desk, job)) == (FAILED, before)


def test_a_withdrawal_that_was_never_begun_cannot_be_done() -> None:
    desk = estate_desk()
    job = started(desk, withdrawing(listed(desk).id))
    with pytest.raises(AssertionError, match="is active and is being withdrawn"):
        recorded(desk, done(job))


def test_what_is_withdrawn_is_what_is_available_as_the_chain_is_asked() -> None:
    """Two of five were promised since it was asked for: three go back, and the two go to their buyer."""
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk, 5)
    job = started(desk, withdrawing(order.id))
    bought = started(desk, buying(order.id, 2))
    assert (job.units, recorded(desk, begun(job)).job.units) == (5, 3)
    recorded(desk, done(bought))
    assert desk.get(Order, order.id).state == "withdrawing"
    recorded(desk, done(job))
    assert desk.get(Order, order.id).state == "cancelled"
    assert (units(desk), units(desk, U2), parts(desk, order.id)) == ((8, 0), (2, 0), (0, 0, 2))


def test_what_a_buyer_fails_to_pay_for_meanwhile_is_given_back_as_well() -> None:
    """The chain was asked for three; the two that were promised are available again in the books, and follow."""
    desk = estate_desk()
    let_parties_trade(desk)
    order = listed(desk, 5)
    bought = started(desk, buying(order.id, 2))
    job = started(desk, withdrawing(order.id))
    recorded(desk, begun(job))
    recorded(desk, refused(bought))
    assert parts(desk, order.id) == (5, 0, 0)
    recorded(desk, done(job))
    assert (units(desk), parts(desk, order.id)) == ((10, 0), (0, 0, 0))
    assert (job_of(desk, job).units, follows(desk)) == (3, [("EXT", 2)])


# -- what is bought --------------------------------------------------------------------------------------------------


def test_what_is_bought_of_the_unsold_changes_hands_with_the_chains_word() -> None:
    desk = estate_desk()
    job = started(desk, buying_unsold(5))
    recorded(desk, begun(job, HASH))
    assert (units(desk, U2), units(desk, U2, "VUSD")) == ((0, 0), (500_000_000, 10_000_000))
    recorded(desk, done(job))
    assert desk.get(Order, job.order_id).state == "completed"
    assert (units(desk, U2), units(desk, U2, "VUSD")) == ((5, 0), (490_000_000, 0))
    assert (branch_units(desk, "unsold", "EXT"), branch_units(desk, "funds")) == (985, 1_010_000_000)


def test_what_the_chain_does_not_carry_is_not_bought() -> None:
    desk = estate_desk()
    job = started(desk, buying_unsold(5))
    recorded(desk, refused(job))
    assert desk.get(Order, job.order_id).state == "failed"
    assert (units(desk, U2), units(desk, U2, "VUSD")) == ((0, 0), (500_000_000, 0))
    assert follows(desk) == []


def test_a_job_without_its_order_is_an_error_of_ours() -> None:
    desk = estate_desk()
    job = started(desk, listing())
    del desk.rows[Order, job.order_id]
    with pytest.raises(AssertionError):
        recorded(desk, done(job))
    assert job_of(desk, job).state == STARTED


def test_jobs_of_one_order_have_ids_of_their_own() -> None:
    desk = estate_desk()
    desk.put(desk.get(Branch, N).with_(otc_fee_percent=desk.get(Branch, N).otc_fee_percent + 3))
    order = listed(desk)
    desk.act(taking(order.id), owner_id=ESTATE)
    ids: list[UUID] = [job.id for job in desk.all(Job)]
    assert len(ids) == len(set(ids)) == 4
