"""Ask the chain for a job anew: one that waits at once; one that only follows the books and was refused, by another."""

from uuid import UUID

from otcdesk.actions.record_job import found_job
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.compact_ids import declared_compact_id
from otcdesk.domain.jobs import CHAIN_JOB, FAILED, FOLLOW, SEND, STARTED, Job, job_reference
from otcdesk.errors import Code, Refusal


class RetryJob(Command, frozen=True, kw_only=True):
    """Ask for a job again."""

    job_id: UUID


class JobRetried(Reply, frozen=True, kw_only=True):
    """The job that the chain is asked for now: the same, or one in place of a failed one."""

    job: Job


def retry_job(command: RetryJob, books: Books, moment: Moment) -> JobRetried:
    """Return the job that is asked for now.

    What was refused is refused for ever, under its reference; the movement is made by a job of its own, under a new
    one, so that nothing is moved twice. What a caller has asked for is asked for again by the caller. Refuses
    JOB_NOT_FOUND, INVALID_STATE, also for a job in whose place there is another already.
    """
    job = found_job(books, command.job_id)
    if not job.is_over:
        return JobRetried(job=job)
    again_id = declared_compact_id("job", str(job.id), "again")
    if job.kind not in {FOLLOW, SEND} or job.state != FAILED or books.find(Job, again_id) is not None:
        raise Refusal(Code.INVALID_STATE, state=job.state)
    tries = job.tries + 1
    again = job.with_(
        id=again_id,
        state=STARTED,
        version=1,
        waits_for=CHAIN_JOB,
        reference=job_reference(again_id, tries),
        tries=tries,
        replaces=job.id,
        hash=None,
        error=None,
        caller=moment.caller,
        created_at=moment.now,
        updated_at=moment.now,
    )
    books.add(again)
    return JobRetried(job=again)
