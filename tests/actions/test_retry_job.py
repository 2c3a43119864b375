"""Jobs that the operator has asked for again: the same one, or one in place of a failed one that follows the books."""

from uuid import uuid4

import pytest

from otcdesk.actions.retry_job import RetryJob
from otcdesk.domain.jobs import FOLLOW, Job
from otcdesk.errors import Code
from tests.support.estate import (
    ESTATE,
    begun,
    done,
    estate_desk,
    listed,
    listing,
    recorded,
    refused,
    started,
    taking,
)
from tests.support.pure import PureDesk


def following(desk: PureDesk) -> Job:
    """Return a job by which the chain follows a sale."""
    desk.act(taking(listed(desk).id), owner_id=ESTATE)
    return next(job for job in desk.all(Job) if job.kind == FOLLOW)


def test_a_job_that_waits_stays_as_it_is() -> None:
    desk = estate_desk()
    job = started(desk, listing())
    before = dict(desk.rows)
    assert desk.act(RetryJob(job_id=job.id)).job == job
    begun_job = recorded(desk, begun(job, "0x1")).job
    assert desk.act(RetryJob(job_id=job.id)).job == begun_job
    assert before.keys() == desk.rows.keys()


def test_what_follows_and_failed_is_made_by_another_job_under_another_reference_once() -> None:
    desk = estate_desk()
    failed = recorded(desk, refused(following(desk))).job
    again = desk.act(RetryJob(job_id=failed.id), caller="operator").job
    same = ("tenant_id", "kind", "market", "order_id", "instrument_id", "source_account_id", "destination_account_id")
    assert [getattr(again, name) for name in (*same, "asset", "units")] == [
        getattr(failed, name) for name in (*same, "asset", "units")
    ]
    assert (again.state, again.tries, again.waits_for, again.caller) == ("started", 2, "chain_job", "operator")
    assert (again.hash, again.error, again.version, again.replaces) == (None, None, 1, failed.id)
    assert again.reference not in {failed.reference, ""}
    assert desk.get(Job, failed.id) == failed
    assert desk.refuse(RetryJob(job_id=failed.id)) is Code.INVALID_STATE


def test_the_one_in_its_place_may_fail_and_be_replaced_as_well() -> None:
    desk = estate_desk()
    job, references = following(desk), set()
    for tries in range(1, 5):
        assert job.tries == tries
        references.add(job.reference)
        recorded(desk, refused(job))
        job = desk.act(RetryJob(job_id=job.id)).job
    assert len(references) == 4
    assert job.reference not in references


@pytest.mark.parametrize("word", [done, refused])
def test_what_a_caller_asked_for_and_is_over_is_not_asked_for_again(word: type) -> None:
    desk = estate_desk()
    job = recorded(desk, word(started(desk, listing()))).job
    assert desk.refuse(RetryJob(job_id=job.id)) is Code.INVALID_STATE


def test_what_followed_is_not_made_twice() -> None:
    desk = estate_desk()
    job = recorded(desk, done(following(desk))).job
    assert desk.refuse(RetryJob(job_id=job.id)) is Code.INVALID_STATE


def test_a_job_that_is_not_there() -> None:
    assert estate_desk().refuse(RetryJob(job_id=uuid4())) is Code.JOB_NOT_FOUND
