"""Carry jobs to the chain, each until the chain has said for ever what became of it.

What may be decided otherwise meanwhile is begun in the books before the chain is asked: a withdrawal whose listing is
taken by then is never sent. How jobs are claimed, rest and are asked for again is in `waves.py`.
"""

from datetime import timedelta
from uuid import UUID

import msgspec

from otcdesk.actions.record_job import BeginJob, JobRecorded, RecordJob
from otcdesk.desk import Desk
from otcdesk.domain.jobs import CHAIN_JOB, JOB, STARTED, WITHDRAW, Job
from otcdesk.domain.ledger import Account
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.storage.database import Reads
from otcdesk.workers.waves import Pace, Undecided, Watch, Waves, kept, nobody_watches

WORKER = "worker:jobs"


class JobWork(msgspec.Struct, frozen=True, gc=False):
    """A job that this process has claimed: how much of what moves from where to where."""

    lane: int
    job_id: UUID
    reference: str
    kind: str
    state: str
    source: Account
    destination: Account
    asset: Asset
    units: int

    def transfer(self, units: int) -> Transfer:
        """Return what the rail is asked for."""
        return Transfer(
            lane=self.lane,
            reference=self.reference,
            source=self.source,
            destination=self.destination,
            amount=Amount(units, self.asset),
        )


class Jobs(Waves[JobWork]):
    """The worker of jobs of this process."""

    rail = CHAIN_JOB
    claims = "claim_jobs"
    kind = JobWork
    counts = ("leases", "jobs_under_way")

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = nobody_watches) -> None:
        settings = desk.settings
        pace = Pace(
            orders_max=settings.job_orders_max,
            timeout_ms=settings.rail_timeout_ms,
            retry_ms=settings.rail_retry_ms,
            rests_max=max(1, settings.job_rest_ms_max // settings.rail_retry_ms),
        )
        super().__init__(desk, holder, reads, pace, watch)

    async def conclude(self, one: JobWork) -> None:
        """Ask the chain and record what it says; raises Undecided, RailUnavailable or RailUnknown where it does not."""
        units = one.units
        if one.kind == WITHDRAW and one.state == STARTED:
            begun = await self._begun(one, None)
            if begun.job.is_over:
                return
            units = begun.job.units
        try:
            receipt: Receipt = await self.answer(self.desk.chain.transfer(one.transfer(units)))
        except RailPending as pending:
            await self._begun(one, kept(pending.detail) or None)
            raise Undecided from None
        self.watch("done" if receipt.done else "refused")
        command = RecordJob(
            job_id=one.job_id,
            reference=one.reference,
            outcome="done" if receipt.done else "refused",
            detail=kept(receipt.detail),
        )
        recorded: JobRecorded = await self.desk.submit_as_worker(one.lane, WORKER, command)
        if not recorded.agrees:
            told = command.outcome
            self.contradicted(one, recorded=recorded.job.state, told=told, detail=command.detail)

    async def failed(self) -> int:
        """Return how many jobs failed that only follow the books and that nobody has had tried anew."""
        number: int = await self.reads.value("leases", "jobs_failed")
        return number

    async def ask_again(self, lane: int, reference: str) -> None:
        """Let a job rest no longer: the chain is asked for it with the next wave."""
        await self.reads.value("leases", "end_rest", lane, reference)
        self.on_work()

    async def fail(self, lane: int, job_id: UUID, *, caller: str, reason: str) -> Job:
        """Decide with the chain that a job is not carried out, and record what is so; returns the job after it.

        Refuses JOB_NOT_FOUND; INVALID_STATE for one that is over; JOB_UNDER_WAY where somebody asks the chain for it
        just now, or the chain has taken it or may have; RAIL_UNAVAILABLE. Nobody asks for it while it is claimed here.
        """
        one = await self.reads.row("leases", "job", JobWork, lane, job_id)
        if one is None:
            raise Refusal(Code.JOB_NOT_FOUND)
        if one.state in JOB.ends:
            raise Refusal(Code.INVALID_STATE, state=one.state)
        now = self.desk.clock.now()
        until = now + timedelta(milliseconds=2 * self.pace.timeout_ms)
        claimed = await self.reads.value("leases", "claim_resting", lane, one.reference, self.holder, now, until)
        if claimed is None:
            raise Refusal(Code.JOB_UNDER_WAY)
        try:
            return await self._cancelled(one, caller, reason)
        finally:
            await self.reads.value("leases", "give_back", lane, one.reference, self.holder)

    async def _cancelled(self, one: JobWork, caller: str, reason: str) -> Job:
        try:
            receipt: Receipt = await self.answer(self.desk.chain.cancel(one.transfer(one.units)))
        except RailUnavailable as error:
            raise Refusal(Code.RAIL_UNAVAILABLE, str(error)) from None
        except RailUnknown as error:
            raise Refusal(Code.JOB_UNDER_WAY, f"{Code.JOB_UNDER_WAY.sentence} ({error})") from None
        command = RecordJob(
            job_id=one.job_id,
            reference=one.reference,
            outcome="done" if receipt.done else "refused",
            detail=kept(receipt.detail if receipt.done else f"{reason} ({receipt.detail})"),
        )
        recorded: JobRecorded = await self.desk.submit_as_worker(one.lane, caller, command)
        if not recorded.agrees:
            self.contradicted(one, recorded=recorded.job.state, told=command.outcome, detail=command.detail)
        return recorded.job

    async def _begun(self, one: JobWork, sent_as: str | None) -> JobRecorded:
        command = BeginJob(job_id=one.job_id, reference=one.reference, hash=sent_as)
        begun: JobRecorded = await self.desk.submit_as_worker(one.lane, WORKER, command)
        return begun
