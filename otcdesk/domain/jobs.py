"""Jobs: what is to be done on a chain for an order, one movement of one asset each, and what has become of it.

A job is asked for at once and done later. It only moves forward, its end is for ever, and until then it is a work item
of the chain rail. Sources: deals contract, 3.9 and 4.2.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from otcdesk.domain.noun import Noun
from otcdesk.machine import Machine

STARTED = "started"
IN_PROGRESS = "in_progress"
COMPLETED = "completed"
FAILED = "failed"

BEGIN = "begin"
COMPLETE = "complete"
FAIL = "fail"

JOB = Machine(
    start=STARTED,
    moves={
        (STARTED, BEGIN): IN_PROGRESS,  # it was sent, or what it is for waits for nothing else from here on
        (STARTED, COMPLETE): COMPLETED,  # the chain answered at once
        (STARTED, FAIL): FAILED,
        (IN_PROGRESS, COMPLETE): COMPLETED,
        (IN_PROGRESS, FAIL): FAILED,
    },
)

#: The rail that jobs wait for.
CHAIN_JOB = "chain_job"

# What a job is for. Whoever asked for it polls all of them but the last, which only follows what the books have done.
LIST = "list"
WITHDRAW = "withdraw"
PURCHASE = "purchase"
BURN = "burn"
FOLLOW = "follow"
#: Money that a branch has sent to somebody; the books have moved it already. Its order is the ledger transaction.
SEND = "send"
ASKED_FOR = (LIST, WITHDRAW, PURCHASE, BURN)


#: Why a withdrawal fails of which the chain was never asked.
NOTHING_LEFT = "Nothing of the listing is left."


def over_already(state: str) -> str:
    """Return why a withdrawal of what is over fails."""
    return f"The listing is {state} already."


class Job(Noun, frozen=True, kw_only=True, gc=False):
    """One movement on a chain: `units` of `asset` from account to account, under `reference` for ever.

    `market` is where its order trades. `hash` is of the chain's transaction as far as it is known, `error` why it
    failed. `tries` counts how often the movement was asked for; an operator had this job made in place of the failed
    one that it `replaces`.
    """

    id: UUID
    tenant_id: UUID
    kind: str
    market: str
    state: str = STARTED
    version: int = 1
    order_id: UUID
    party_id: UUID | None
    instrument_id: UUID
    source_account_id: UUID
    destination_account_id: UUID
    asset: str
    units: int
    waits_for: str | None = CHAIN_JOB
    reference: str
    tries: int = 1
    replaces: UUID | None = None
    hash: str | None = None
    error: str | None = None
    caller: str
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the job's id."""
        return self.id

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self.state in JOB.ends


def moved_job(job: Job, event: str, now: datetime, **changes: Any) -> Job:
    """Return the job after `event`, one version on; it waits for the chain until it is over."""
    state = JOB.move(job.state, event)
    waits_for = None if state in JOB.ends else CHAIN_JOB
    return job.with_(state=state, version=job.version + 1, updated_at=now, waits_for=waits_for, **changes)


def job_reference(job_id: UUID, tries: int = 1) -> str:
    """Return the reference under which the chain is asked for a job; another where it is tried anew."""
    return f"{job_id}:job" if tries == 1 else f"{job_id}:job:{tries}"
