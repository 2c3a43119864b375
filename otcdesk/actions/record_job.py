"""Take the chain's word on a job: what was listed is active, what was asked back or bought is whose it should be.

A word is taken once: a job that is over stays as it is, whatever is told of it later.
"""

from collections.abc import Callable
from typing import Literal
from uuid import UUID

from otcdesk.actions.burn_holding import burnt, not_burnt
from otcdesk.actions.end_resale import give_back, give_back_on_chain
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.resale_checks import branch_of, resale_of
from otcdesk.actions.run_resale_rules import run_resale_rules
from otcdesk.actions.settle_purchase import purchase_failed, purchase_settled
from otcdesk.domain import resales
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.jobs import (
    BEGIN,
    BURN,
    COMPLETE,
    COMPLETED,
    FAIL,
    LIST,
    NOTHING_LEFT,
    PURCHASE,
    STARTED,
    WITHDRAW,
    Job,
    moved_job,
    over_already,
)
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order
from otcdesk.domain.resale_rules import BranchRules
from otcdesk.domain.resales import (
    ACTIVATE,
    ACTIVE,
    CANCEL,
    OTC,
    RESUME,
    WITHDRAWING,
    Branch,
    Instrument,
    Purchase,
    Resale,
    event_of,
    moved,
)
from otcdesk.errors import Code, Refusal


class BeginJob(Command, frozen=True, kw_only=True):
    """The chain is about to be asked, or has sent it as `hash`."""

    job_id: UUID
    reference: str
    hash: str | None = None


class RecordJob(Command, frozen=True, kw_only=True):
    """The final word of the chain on the job asked for under `reference`: done, or provably not.

    `detail` is the transaction's hash for what is done, and why for what is refused.
    """

    job_id: UUID
    reference: str
    outcome: Literal["done", "refused"]
    detail: str


class JobRecorded(Reply, frozen=True, kw_only=True):
    """The job after it; `applied` is False when nobody waits for this.

    `agrees`: whether what is told is what the books say, as far as they say anything.
    """

    job: Job
    applied: bool
    agrees: bool = True


def begin_job(command: BeginJob, books: Books, moment: Moment) -> JobRecorded:
    """Let a job be in progress; a withdrawal whose listing is taken or over by now fails instead.

    Refuses JOB_NOT_FOUND.
    """
    job = found_job(books, command.job_id)
    if job.is_over or job.reference != command.reference:
        return JobRecorded(job=job, applied=False)
    if job.state != STARTED:
        if job.hash == command.hash or command.hash is None:
            return JobRecorded(job=job, applied=False)
        return _kept(books, job.with_(hash=command.hash, version=job.version + 1, updated_at=moment.now))
    if job.kind == WITHDRAW:
        return _begin_withdrawing(books, moment, job)
    return _kept(books, moved_job(job, BEGIN, moment.now, hash=command.hash))


def record_job(command: RecordJob, books: Books, moment: Moment) -> JobRecorded:
    """Book a job's outcome once, however often and whatever is told; refuses JOB_NOT_FOUND."""
    job = found_job(books, command.job_id)
    done = command.outcome == "done"
    if job.is_over or job.reference != command.reference:
        agrees = not job.is_over or job.reference != command.reference or (job.state == COMPLETED) == done
        return JobRecorded(job=job, applied=False, agrees=agrees)
    if done:
        consequence, after = _DONE.get(job.kind), moved_job(job, COMPLETE, moment.now, hash=command.detail)
    else:
        consequence, after = _REFUSED.get(job.kind), moved_job(job, FAIL, moment.now, error=command.detail)
    if consequence is not None:
        books.want((Order, job.order_id), (_ABOUT.get(job.kind, Order), job.order_id))
        consequence(books, moment, job, _order_of(books, job))
    return _kept(books, after)


def found_job(books: Books, job_id: UUID) -> Job:
    """Return a job; refuses JOB_NOT_FOUND."""
    job = books.find(Job, job_id)
    if job is None:
        raise Refusal(Code.JOB_NOT_FOUND)
    return job


def _kept(books: Books, job: Job) -> JobRecorded:
    books.put(job)
    return JobRecorded(job=job, applied=True)


def _order_of(books: Books, job: Job) -> Order:
    order = books.find(Order, job.order_id)
    if order is None:
        raise AssertionError(f"job {job.id} is of no order")
    return order


def _begin_withdrawing(books: Books, moment: Moment, job: Job) -> JobRecorded:
    books.want((Order, job.order_id), (Resale, job.order_id))
    order = order_by_the_clock(books, moment, _order_of(books, job))
    available = resale_of(books, order.id).available
    if order.state != ACTIVE or available == 0:
        why = NOTHING_LEFT if order.state == ACTIVE else over_already(order.state)
        return _kept(books, moved_job(job, FAIL, moment.now, error=why))
    books.put(after := moved(order, resales.WITHDRAW, moment.now))
    books.add(event_of(after, resales.WITHDRAW, moment.caller))
    return _kept(books, moved_job(job, BEGIN, moment.now, units=available))


def _listed(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """Number a listing and make it active; one over the counter is put before the branch's rules, once."""
    del job
    resale = resale_of(books, order.id)
    if resale.market == OTC:
        books.want((Branch, resale.branch_id), (BranchRules, resale.branch_id), (Instrument, resale.instrument_id))
    branch = branch_of(books, resale.branch_id)
    numbered = branch.with_(last_number=branch.last_number + 1)
    books.put(numbered)
    resale = resale.with_(number=numbered.last_number)
    books.put(resale)
    order = _active(books, moment, order, ACTIVATE)
    if order.state == ACTIVE and resale.market == OTC:
        run_resale_rules(books, moment, order, resale)


def _not_listed(books: Books, moment: Moment, job: Job, order: Order) -> None:
    del job
    after = moved(order, resales.FAIL, moment.now, pay_hold_id=None)
    give_back(books, moment, order, after, is_on_chain=False)
    books.put(after)
    books.add(event_of(after, resales.FAIL, moment.caller))


def _withdrawn(books: Books, moment: Moment, job: Job, order: Order) -> None:
    """End a listing that the chain has given back; a purchase that failed meanwhile left more, which follows."""
    if order.state != WITHDRAWING:
        raise AssertionError(f"order {order.id} is {order.state} and is being withdrawn")
    books.want((Resale, order.id))
    resale = resale_of(books, order.id)
    after = moved(order, CANCEL, moment.now, pay_hold_id=None)
    give_back(books, moment, order, after, is_on_chain=False)
    give_back_on_chain(books, moment, after, after, resale, resale.available - job.units)
    books.put(after)
    books.add(event_of(after, CANCEL, moment.caller))


def _not_withdrawn(books: Books, moment: Moment, job: Job, order: Order) -> None:
    if job.state == STARTED:  # the chain was never asked: nothing has changed
        return
    _active(books, moment, order, RESUME)


def _active(books: Books, moment: Moment, order: Order, event: str) -> Order:
    """Let a listing be active by `event`; a chain may take longer than it lives, then it runs out at once."""
    due_at = order.expires_at if order.ttl_seconds else None
    order = moved(order, event, moment.now, due_at=due_at)
    books.put(order)
    books.add(event_of(order, event, moment.caller))
    return order_by_the_clock(books, moment, order)


#: What an order's job is about besides, by what it is for.
_ABOUT: dict[str, type[Noun]] = {LIST: Resale, WITHDRAW: Resale, PURCHASE: Purchase}

Consequence = Callable[[Books, Moment, Job, Order], None]

#: What a job's end means for its order, by what it was for; what is missing has no consequence.
_DONE: dict[str, Consequence] = {LIST: _listed, WITHDRAW: _withdrawn, PURCHASE: purchase_settled, BURN: burnt}
_REFUSED: dict[str, Consequence] = {
    LIST: _not_listed,
    WITHDRAW: _not_withdrawn,
    PURCHASE: purchase_failed,
    BURN: not_burnt,
}
