"""How the desk uses files and statements: what waits becomes a file, and what a statement tells becomes commands.

A statement is taken in by commands of a bounded number of lines, one after another. Each line is known by what it
says, so a statement that was taken in half, or twice, or overlaps another, ends as if it had been taken in once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import IO
from uuid import UUID

import msgspec

from otcdesk.actions.file_payouts import FilePayouts, Payee, PayoutsFiled
from otcdesk.actions.match_statement_line import named_by
from otcdesk.actions.record_statement import LinesRecorded, RecordStatementLines
from otcdesk.banking.credit_transfers import credit_transfers
from otcdesk.banking.payees import Waiting, payee_of
from otcdesk.banking.statements import (
    StatementBegun,
    StatementEnded,
    StatementUnreadable,
    Told,
    read_statements,
)
from otcdesk.desk import Caller, Desk
from otcdesk.domain.bank_files import FiledPayout, GivenLine, PayoutFile
from otcdesk.errors import Code, Refusal

#: What these files pay: the schemes behind them know no other.
EURO = "EUR"

_FIRST = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

#: How often a command is tried again that the desk could not take; who asks meanwhile waits at most some seconds.
_TRIES = 6
_PAUSE_SECONDS = 1


class FiledState(msgspec.Struct, frozen=True, kw_only=True):
    """A payout in a file, and the state of its order."""

    payout: FiledPayout
    state: str


class FileDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A file with everything in it."""

    file: PayoutFile
    payouts: list[FiledState]

    def content(self) -> bytes:
        """Return the file as the bank gets it, the same each time."""
        return credit_transfers(self.file, [each.payout for each in self.payouts])


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """What was filed, and the orders that no bank could pay, which still wait."""

    filed: PayoutsFiled
    unpayable: list[UUID]


class TakenIn(msgspec.Struct, kw_only=True):
    """What became of a file of statements: how many lines were read, and of them new, known before and matched now.

    `whole` is False if it was stopped before its end.
    """

    read: int = 0
    new: int = 0
    known: int = 0
    matched: int = 0
    unmatched: Counter[str] = msgspec.field(default_factory=Counter)
    statements: list[StatementEnded] = msgspec.field(default_factory=list)
    whole: bool = True

    def count(self, recorded: LinesRecorded) -> None:
        """Add what became of some lines."""
        self.new += recorded.new
        self.known += recorded.known
        self.matched += recorded.matched
        self.unmatched.update(recorded.unmatched)

    @property
    def amiss(self) -> list[StatementEnded]:
        """Return the statements whose lines do not lead from one balance to the other."""
        return [statement for statement in self.statements if not statement.adds_up]


class Banking:
    """Files and statements of the desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def file(
        self, caller: Caller, *, execution_on: date | None = None, request_id: str, key: str | None = None
    ) -> Filed:
        """Put into a file what waits for it, the longest waiting first; refuses as `file_payouts` does."""
        settings, lane = self.desk.settings, caller.lane
        payees, unpayable = await self._payees(lane, settings.payout_file_payments_max)
        command = FilePayouts(
            fiat=EURO,
            payees=tuple(payees),
            execution_on=execution_on,
            format=settings.payout_file_format,
        )
        filed: PayoutsFiled = await self.desk.submit(caller, command, request_id=request_id, key=key)
        return Filed(filed=filed, unpayable=unpayable)

    async def _payees(self, lane: int, most: int) -> tuple[list[Payee], list[UUID]]:
        payees: list[Payee] = []
        unpayable: list[UUID] = []
        after = _FIRST
        while len(payees) < most:
            rows = await self.desk.reads.rows("bank_files", "waiting", Waiting, lane, EURO, *after, most)
            for row in rows:
                payee = payee_of(row)
                if payee is None:
                    unpayable.append(row.order_id)
                elif len(payees) < most:
                    payees.append(payee)
            if len(rows) < most:
                break
            after = (rows[-1].updated_at, rows[-1].order_id)
        return payees, unpayable

    async def detail(self, lane: int, file_id: UUID) -> FileDetail:
        """Return a file with everything in it; refuses PAYOUT_FILE_NOT_FOUND."""
        found = await self.desk.reads.row("bank_files", "file", FileDetail, lane, file_id)
        if found is None:
            raise Refusal(Code.PAYOUT_FILE_NOT_FOUND)
        return found

    async def content(self, lane: int, file_id: UUID) -> bytes:
        """Return a file as the bank gets it; refuses PAYOUT_FILE_NOT_FOUND."""
        detail = await self.detail(lane, file_id)
        return await asyncio.to_thread(detail.content)

    async def take_in(
        self,
        caller: Caller,
        source: IO[bytes],
        *,
        request_id: str,
        tell: Callable[[TakenIn], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> TakenIn:
        """Take in the statements of a file, telling now and then how far it is; `stopped` is asked between commands.

        Refuses STATEMENT_INVALID before anything was taken in, and BANK_ACCOUNT_NOT_FOUND for a statement of an account
        that is none of the desk's; statements before it in the file are taken in then.
        """
        taken, told = TakenIn(), read_statements(source)
        most = self.desk.settings.statement_lines_max
        pending = _Pending()
        while values := await asyncio.to_thread(_some, told, most):
            for value in values:
                if isinstance(value, GivenLine):
                    if pending.weight + self._weight(value) > most:
                        await self._record(caller, pending, taken, request_id)
                        tell(taken)
                    if stopped():
                        taken.whole = False
                        return taken
                    pending.add(value, self._weight(value))
                    continue
                await self._record(caller, pending, taken, request_id)
                if isinstance(value, StatementBegun):
                    await self._check_ours(caller.lane, value)
                    pending.begun = value
                else:
                    taken.statements.append(value)
        tell(taken)
        return taken

    def _weight(self, line: GivenLine) -> int:
        """Return how many payouts a line may be about: a sum is about a file's."""
        named = named_by(line.end_to_end_id, line.batch_reference)
        return 1 if named.file_id is None else self.desk.settings.payout_file_payments_max

    async def _record(self, caller: Caller, pending: "_Pending", taken: TakenIn, request_id: str) -> None:
        if not pending.lines:
            return
        command = RecordStatementLines(
            account=pending.begun.account, statement=pending.begun.id, lines=tuple(pending.lines)
        )
        taken.count(await self._submitted(caller, command, request_id))
        taken.read += len(pending.lines)
        pending.clear()

    async def _submitted(self, caller: Caller, command: RecordStatementLines, request_id: str) -> LinesRecorded:
        """Submit a command until it is taken: it can be repeated, because a line that is known changes nothing."""
        for tries_left in reversed(range(_TRIES)):
            try:
                recorded: LinesRecorded = await self.desk.submit(caller, command, request_id=request_id)
            except Refusal as refusal:
                if not refusal.code.retry_may_help or not tries_left:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return recorded
        raise AssertionError("the last try ends")

    async def _check_ours(self, lane: int, begun: StatementBegun) -> None:
        if not await self.desk.reads.value("bank_files", "is_ours", lane, begun.account):
            raise Refusal(
                Code.BANK_ACCOUNT_NOT_FOUND,
                f"The statement is of the account {begun.account!r}, which is not the desk's.",
            )


class _Pending:
    """Lines of a statement that were read and not recorded yet."""

    def __init__(self) -> None:
        self.begun = StatementBegun(id="", account="")
        self.lines: list[GivenLine] = []
        self.weight = 0

    def add(self, line: GivenLine, weight: int) -> None:
        """Add a line."""
        self.lines.append(line)
        self.weight += weight

    def clear(self) -> None:
        """Forget them: they are recorded."""
        self.lines, self.weight = [], 0


def _some(told: Iterator[Told], most: int) -> list[Told]:
    """Return the next values, none at the end; refuses STATEMENT_INVALID."""
    try:
        return list(islice(told, most))
    except StatementUnreadable as unreadable:
        raise Refusal(Code.STATEMENT_INVALID, str(unreadable)) from None
