"""Let the operator say what a line of a bank's statement is that was not matched by itself, or put it aside."""

from uuid import UUID

from otcdesk.actions.match_statement_line import Named, book, want_all
from otcdesk.domain.bank_files import MATCH, PUT_ASIDE, STATEMENT_LINE, FiledPayout, PayoutFile, StatementLine
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.errors import Code, Refusal


class ResolveLine(Command, frozen=True, kw_only=True):
    """Match a line with the payout of an order, or without one put it aside; `note` says why."""

    line_id: UUID
    order_id: UUID | None
    note: str


class LineResolved(Reply, frozen=True, kw_only=True):
    """The line after it."""

    line: StatementLine


def resolve_line(command: ResolveLine, books: Books, moment: Moment) -> LineResolved:
    """Resolve an unmatched line.

    What the bank failed to say, or said otherwise, is the operator's to know: the reference, that it is a return, from
    which account. Currency and amount must fit. Refuses STATEMENT_LINE_NOT_FOUND, STATEMENT_LINE_DONE, ORDER_NOT_FOUND
    for what was never filed, LINE_DOES_NOT_FIT, and what the books refuse of a return.
    """
    books.want((StatementLine, command.line_id))
    line = books.find(StatementLine, command.line_id)
    if line is None:
        raise Refusal(Code.STATEMENT_LINE_NOT_FOUND)
    event = PUT_ASIDE if command.order_id is None else MATCH
    if not STATEMENT_LINE.allows(line.state, event):
        raise Refusal(Code.STATEMENT_LINE_DONE)
    if command.order_id is not None:
        _book(books, moment, line, command.order_id)
    after = line.with_(
        state=STATEMENT_LINE.move(line.state, event),
        reason=None,
        order_id=command.order_id,
        note=command.note,
        resolved_by=moment.caller,
        updated_at=moment.now,
    )
    books.put(after)
    return LineResolved(line=after)


def _book(books: Books, moment: Moment, line: StatementLine, order_id: UUID) -> None:
    want_all(books, [Named(order_id, None)])
    filed = books.find(FiledPayout, order_id)
    if filed is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    file = books.find(PayoutFile, filed.file_id)
    if file is None or line.currency != file.fiat:
        raise Refusal(Code.LINE_DOES_NOT_FIT, "The line is in another currency.", reason="other_currency")
    reason = book(books, moment, line, filed)
    if reason is not None:
        raise Refusal(Code.LINE_DOES_NOT_FIT, f"The line does not fit this payout: {reason}.", reason=reason)
