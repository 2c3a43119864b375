"""One lane's writer: takes what waits, decides it, saves it, answers it, and survives every way this can fail.

The lane's chain is the lock. A batch is saved on top of the head that its rows were read at; if anybody else wrote the
lane in between, nothing is changed, and the batch is read and decided again. So any number of writers in any number
of processes are correct, and one at a time is fast.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import structlog

from otcdesk.clock import Clock
from otcdesk.domain.keys import DONE
from otcdesk.domain.lanes import ONLY, LaneClock
from otcdesk.domain.noun import Noun
from otcdesk.engine import chain
from otcdesk.engine.batch import Answer, Decided, decide
from otcdesk.engine.books import LaneCache, RowKey, WorkingSet
from otcdesk.engine.queue import FairQueue, Ticket
from otcdesk.engine.store import (
    BadData,
    Batch,
    CommitUnknown,
    Encoded,
    FenceLost,
    Kept,
    KeyTaken,
    Store,
    StoreDown,
)
from otcdesk.errors import Code, Refusal

log = structlog.get_logger()

#: A decision names what it still needs at most this often: an order, then its accounts, then the desk's own. The
#: longest way is a deposit's: its place, its accounts, the rules that it sets off and what they sell, and what it was
#: paid for. No command alone takes more than twelve; the rest is for what it needs only because of another one before
#: it in its batch.
READINGS_MAX = 20

#: Who lost the fence so often waits for the lane's turn, so that everybody makes progress.
LOSSES_BEFORE_TURN = 2


#: Told after every batch: how many commands of each name ended how, and how long the batch took, in nanoseconds.
Watch = Callable[[Mapping[tuple[str, str], int], int], None]


def nobody_watches(outcomes: Mapping[tuple[str, str], int], nanoseconds: int) -> None:
    """Tell nobody."""


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a lane's writer."""

    batch_commands_max: int
    waiting_max: int
    waiting_per_owner_max: int
    cached_rows_max: int
    store_retries_max: int
    retry_pause_ms: int


class LaneWriter:
    """Everything that one process does for one lane."""

    def __init__(
        self,
        lane: int,
        *,
        store: Store,
        clock: Clock,
        audit_key: bytes,
        writer: str,
        limits: LaneLimits,
        watch: Watch,
    ) -> None:
        self.lane = lane
        self.store = store
        self.clock = clock
        self.audit_key = audit_key
        self.writer = writer
        self.limits = limits
        self.watch = watch
        self.queue = FairQueue(waiting_max=limits.waiting_max, waiting_per_owner_max=limits.waiting_per_owner_max)
        self.cache = LaneCache(limits.cached_rows_max)
        self.task: asyncio.Task[None] | None = None
        self.batches = 0

    def put(self, ticket: Ticket) -> None:
        """Queue a ticket and see that somebody works; an idle lane starts at once."""
        self.queue.put(ticket)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._work(), name=f"lane {self.lane}")

    async def _work(self) -> None:
        """Work until nothing waits: each batch takes what came while the one before it was saved."""
        while self.queue.waiting:
            while tickets := self.queue.take(self.limits.batch_commands_max):
                await self._answer(tickets)
                if self.store.crowded():  # a lane that is never idle must let the others in
                    await self.store.rest(self.lane)
            await self.store.rest(self.lane)  # while it rests more may have come
        self.task = None

    async def _answer(self, tickets: list[Ticket]) -> None:
        """Carry a batch through and answer everyone in it, whatever happens."""
        started_ns = time.perf_counter_ns()
        try:
            answers: Sequence[Answer] = await self._carry(tickets)
        except StoreDown as error:
            log.warning("store_down", lane=self.lane, error=repr(error), commands=len(tickets))
            answers = [Refusal(Code.UNAVAILABLE, retry_after_seconds=1)] * len(tickets)
        except CommitUnknown as error:
            log.warning("store_down", lane=self.lane, error=repr(error), commands=len(tickets))
            answers = [_unknown(ticket) for ticket in tickets]
        except BadData as error:
            await self._answer_split(tickets, error)
            return
        except Exception:
            self.cache.drop()
            log.exception("batch_crashed", lane=self.lane, commands=len(tickets))
            answers = [Refusal(Code.CRASHED, request_id=ticket.request_id) for ticket in tickets]
        for ticket, answer in zip(tickets, answers, strict=True):
            _resolve(ticket, answer)
        outcomes = Counter(map(_told, tickets, answers))
        self.watch(outcomes, time.perf_counter_ns() - started_ns)

    async def _answer_split(self, tickets: list[Ticket], error: BadData) -> None:
        """Find the command whose data cannot be stored by halving; the others are carried out."""
        if len(tickets) == 1:
            ticket = tickets[0]
            log.error("command_data_refused", command=ticket.verb.name, request_id=ticket.request_id, error=str(error))
            _resolve(ticket, Refusal(Code.CRASHED, request_id=ticket.request_id))
            self.watch({(ticket.verb.name, Code.CRASHED.name): 1}, 0)
            return
        middle = len(tickets) // 2
        await self._answer(tickets[:middle])
        await self._answer(tickets[middle:])

    async def _carry(self, tickets: list[Ticket]) -> Sequence[Answer]:
        """Decide and save a batch until it stands in the chain.

        Raises BadData; StoreDown after the retries; CommitUnknown when even that could not be found out, and then the
        batch is not tried again: it may stand.
        """
        losses = failures = 0
        read_keys = False
        async with AsyncExitStack() as turn:
            while True:
                try:
                    if losses == LOSSES_BEFORE_TURN:
                        await turn.enter_async_context(self.store.turn(self.lane))
                        losses = 0  # only those already saving are faster now, unless the turn was lost unnoticed
                    return await self._attempt(tickets, read_keys=read_keys)
                except FenceLost:
                    self.cache.drop()
                    losses += 1
                except KeyTaken:
                    self.cache.drop()
                    read_keys = True
                except (BadData, CommitUnknown):
                    self.cache.drop()
                    raise
                except StoreDown:
                    self.cache.drop()
                    losses = 0  # a turn went with its connection
                    failures += 1
                    if failures > self.limits.store_retries_max:
                        raise
                    await asyncio.sleep(self.limits.retry_pause_ms * failures / 1000)

    async def _attempt(self, tickets: list[Ticket], *, read_keys: bool) -> Sequence[Answer]:
        books, decided = await self._decided(tickets, read_keys=read_keys)
        changes = books.changes()
        if not changes and not decided.audited:
            if not books.read_at_head:
                await self._prove_fresh(books)
            return decided.answers
        batch = self._link(books, decided, changes)
        try:
            await self.store.save(batch)
        except CommitUnknown as error:
            if not await self._found_committed(batch):
                raise StoreDown("the connection was lost and the batch did not commit") from error
        self.batches += 1
        self.cache.advance(batch.head, (Kept(row, batch.seq) for row, _ in changes))
        return decided.answers

    async def _decided(self, tickets: list[Ticket], *, read_keys: bool) -> tuple[WorkingSet, Decided]:
        """Decide the batch, reading what the decisions turn out to need, until nothing is unread."""
        books = WorkingSet(self.cache)
        wanted: set[RowKey] = set()
        if books.head is None or not books.knows((LaneClock, ONLY)):
            wanted.add((LaneClock, ONLY))
        for _ in range(READINGS_MAX):
            if wanted:
                await self._read(books, wanted)
            machine_now = self.clock.now()
            if books.head is not None:
                machine_now = max(machine_now, books.head.at)
            decided = decide(tickets, books, machine_now, read_keys=read_keys)
            if not decided.unread:
                return books, decided
            wanted = decided.unread
        raise BadData(f"after {READINGS_MAX} readings {len(wanted)} rows are still unread")

    async def _read(self, books: WorkingSet, wanted: set[RowKey]) -> None:
        wants: dict[type[Noun], list[Any]] = {}
        for noun, key in wanted:
            wants.setdefault(noun, []).append(key)
        loaded = await self.store.load(self.lane, wants)
        if not books.take(loaded, wanted):
            raise FenceLost
        self.cache.advance(loaded.head, loaded.rows)

    async def _prove_fresh(self, books: WorkingSet) -> None:
        """See that the rows behind a batch that changes nothing were still those of the lane's head."""
        if (await self.store.load(self.lane, {})).head != books.head:
            raise FenceLost

    def _link(self, books: WorkingSet, decided: Decided, changes: list[tuple[Noun, int | None]]) -> Batch:
        head = books.head
        if head is None:
            raise AssertionError("a batch is decided on rows that were read at some head")
        notes, rows = _noted(decided.notes), _encoded(changes)
        try:
            return chain.link(
                self.audit_key,
                lane=self.lane,
                seq=head.seq + 1,
                previous_hash=head.hash,
                at=max(self.clock.now(), head.at),
                writer=self.writer,
                notes=notes,
                rows=rows,
            )
        except OverflowError as error:  # a key so long that the chain cannot name its row
            raise BadData(str(error)) from None

    async def _found_committed(self, batch: Batch) -> bool:
        """Find out whether a batch whose save was cut off stands in the chain, and see that it never will if not.

        A void link is written in its place: if that succeeds, the lost batch can never commit; if not, whoever stands
        there is looked at. A plain look would not do: the old server process may still commit a moment later.
        """
        void = chain.link(
            self.audit_key,
            lane=batch.lane,
            seq=batch.seq,
            previous_hash=batch.previous_hash,
            at=max(self.clock.now(), batch.at),
            writer=self.writer,
            kind=chain.VOID,
        )
        for failures in range(self.limits.store_retries_max + 1):
            await asyncio.sleep(self.limits.retry_pause_ms * failures / 1000)
            try:
                standing = await self.store.standing(batch.lane, batch.seq)
                if standing is None:
                    await self.store.save(void)
                    standing = void.hash
            except (StoreDown, CommitUnknown, FenceLost) as error:
                log.warning("commit_unknown", lane=self.lane, seq=batch.seq, error=repr(error))
                continue
            committed = standing == batch.hash
            log.warning("commit_found_out", lane=self.lane, seq=batch.seq, committed=committed)
            return committed
        raise CommitUnknown


#: What cannot be written down raises one of these: half a surrogate pair in a text, or a value of the wrong type.
_UNWRITABLE = (TypeError, ValueError, OverflowError, msgspec.MsgspecError)


def _encoded(changes: list[tuple[Noun, int | None]]) -> list[Encoded]:
    try:
        return [Encoded(row, chain.encode_row(row), was) for row, was in changes]
    except _UNWRITABLE as error:
        raise BadData(str(error)) from None


def _noted(notes: list[Any]) -> str:
    try:
        return msgspec.json.encode(notes).decode()
    except _UNWRITABLE as error:
        raise BadData(str(error)) from None


def _key(row: Noun) -> RowKey:
    return type(row), row.key


def _unknown(ticket: Ticket) -> Refusal:
    """Say that a command may have been carried out; only one with a key is told to try again, because it acts once."""
    sentence = "It is not known whether this was carried out."
    if ticket.key is None:
        return Refusal(Code.UNAVAILABLE, sentence)
    return Refusal(Code.UNAVAILABLE, sentence, retry_after_seconds=1)


def _told(ticket: Ticket, answer: Answer) -> tuple[str, str]:
    return ticket.verb.name, answer.code.name if isinstance(answer, Refusal) else DONE


def _resolve(ticket: Ticket, answer: Answer) -> None:
    if ticket.future.done():  # the caller hung up; what was decided stands all the same
        return
    if isinstance(answer, Refusal):
        ticket.future.set_exception(_copy(answer))
    else:
        ticket.future.set_result(answer)


def _copy(refusal: Refusal) -> Refusal:
    """Return the refusal as one of its own: an exception that two callers raise would grow two tracebacks."""
    return Refusal(refusal.code, refusal.detail, **refusal.facts)
