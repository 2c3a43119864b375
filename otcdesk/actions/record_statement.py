"""Take in lines of a bank's statement: keep each once, and book what it says of payouts that were filed.

A line that was matched, or put aside, is left alone when it comes again. One that was not is tried again, so importing
a statement once more is how it is tried again.
"""

from collections import Counter

import msgspec

from otcdesk.actions.match_statement_line import Match, match, named_by, reason_of, want_all
from otcdesk.domain.bank_files import MATCH, STATEMENT_LINE, UNMATCHED, GivenLine, StatementLine
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.errors import Refusal


class RecordStatementLines(Command, frozen=True, kw_only=True):
    """Lines of one statement of an account (its IBAN), in its order; whoever asks bounds how many."""

    account: str
    statement: str
    lines: tuple[GivenLine, ...]


class LinesRecorded(Reply, frozen=True, kw_only=True):
    """How many lines were new, and had been dealt with before; how many now were, and why others were not."""

    new: int
    known: int
    matched: int
    unmatched: dict[str, int]


def record_statement_lines(command: RecordStatementLines, books: Books, moment: Moment) -> LinesRecorded:
    """Record lines; refuses nothing."""
    books.want(*[(StatementLine, given.id) for given in command.lines])
    open_lines = [given for given in command.lines if _is_open(books.find(StatementLine, given.id))]
    want_all(books, [named_by(given.end_to_end_id, given.batch_reference) for given in open_lines])
    new = known = matched = 0
    unmatched: Counter[str] = Counter()
    for given in command.lines:
        before = books.find(StatementLine, given.id)
        if not _is_open(before):
            known += 1
            continue
        new += before is None
        line = before or _line(command, given, moment)
        after = _after(line, _matched(books, moment, line), moment)
        if before is None:
            books.add(after)
        elif after != before.with_(updated_at=moment.now):
            books.put(after)
        if after.reason is None:
            matched += 1
        else:
            unmatched[after.reason] += 1
    return LinesRecorded(new=new, known=known, matched=matched, unmatched=dict(unmatched))


def _is_open(line: StatementLine | None) -> bool:
    return line is None or line.state == UNMATCHED


def _matched(books: Books, moment: Moment, line: StatementLine) -> Match:
    try:
        return match(books, moment, line)
    except Refusal as refusal:  # before anything was written: the rest of the statement stands all the same
        return Match(reason=reason_of(refusal))


def _after(line: StatementLine, found: Match, moment: Moment) -> StatementLine:
    return line.with_(
        state=UNMATCHED if found.reason else STATEMENT_LINE.move(line.state, MATCH),
        reason=found.reason,
        order_id=found.order_id,
        file_id=found.file_id,
        updated_at=moment.now,
    )


def _line(command: RecordStatementLines, given: GivenLine, moment: Moment) -> StatementLine:
    return StatementLine(
        **msgspec.structs.asdict(given),
        account=command.account,
        statement=command.statement,
        state=STATEMENT_LINE.start,
        reason=None,
        order_id=None,
        file_id=None,
        note=None,
        resolved_by=None,
        imported_at=moment.now,
        updated_at=moment.now,
    )
