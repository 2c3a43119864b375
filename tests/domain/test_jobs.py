"""Jobs: they only move forward, and wait for the chain until they are over."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from otcdesk.domain.jobs import (
    ASKED_FOR,
    BEGIN,
    CHAIN_JOB,
    COMPLETE,
    COMPLETED,
    FAIL,
    FAILED,
    FOLLOW,
    IN_PROGRESS,
    JOB,
    STARTED,
    Job,
    job_reference,
    moved_job,
)
from otcdesk.machine import IllegalMove

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ONE = UUID(int=1)

_MOVES = {
    (STARTED, BEGIN): IN_PROGRESS,
    (STARTED, COMPLETE): COMPLETED,
    (STARTED, FAIL): FAILED,
    (IN_PROGRESS, COMPLETE): COMPLETED,
    (IN_PROGRESS, FAIL): FAILED,
}


def job(state: str = STARTED) -> Job:
    return Job(
        id=ONE,
        tenant_id=ONE,
        kind="list",
        market="otc",
        state=state,
        order_id=ONE,
        party_id=ONE,
        instrument_id=ONE,
        source_account_id=ONE,
        destination_account_id=ONE,
        asset="EXT",
        units=1,
        waits_for=None if state in JOB.ends else CHAIN_JOB,
        reference=job_reference(ONE),
        caller="test",
        created_at=AT,
        updated_at=AT,
    )


_PAIRS = list(product((STARTED, IN_PROGRESS, COMPLETED, FAILED), (BEGIN, COMPLETE, FAIL)))


@pytest.mark.parametrize("state, event", _PAIRS)
def test_every_state_and_event(state: str, event: str) -> None:
    before, later = job(state), AT + timedelta(seconds=1)
    expected = _MOVES.get((state, event))
    if expected is None:
        with pytest.raises(IllegalMove):
            moved_job(before, event, later)
        return
    after = moved_job(before, event, later, hash="0xab")
    assert (after.state, after.version, after.updated_at, after.hash) == (expected, 2, later, "0xab")
    assert after.waits_for == (None if expected in {COMPLETED, FAILED} else CHAIN_JOB)
    assert after.is_over == (expected in {COMPLETED, FAILED})
    assert after.created_at == AT


def test_a_new_reference_comes_only_with_a_new_try() -> None:
    assert job_reference(ONE) == f"{ONE}:job" == job_reference(ONE, 1)
    assert job_reference(ONE, 2) == f"{ONE}:job:2"


def test_what_only_follows_is_asked_for_by_nobody() -> None:
    assert FOLLOW not in ASKED_FOR
