"""Files of payouts for the desk's bank, and the bank's statements, as the operator makes, fetches and gives them.

A statement may be as large as any body; what is longer is taken in by the command line.
"""

from datetime import date
from io import BytesIO
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.resolve_statement_line import ResolveLine
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.wire import KEPT_TEXT, DecimalText, PageQuery, TimeText, Uuid, UuidText, page_of, paged, uuid_of
from otcdesk.banking.credit_transfers import DECIMALS
from otcdesk.banking.service import Banking, FiledState, TakenIn
from otcdesk.clock import iso_milliseconds
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.bank_files import MATCHED, SET_ASIDE, UNMATCHED, PayoutFile, StatementLine
from otcdesk.errors import Code, Refusal
from otcdesk.money import plain, print_units

_XML = "application/xml"

LineState = Literal["matched", "unmatched", "set-aside"]

_STATES: dict[str, LineState] = {MATCHED: "matched", UNMATCHED: "unmatched", SET_ASIDE: "set-aside"}
_STATES_BY_WORD = {word: state for state, word in _STATES.items()}


class FileRequest(msgspec.Struct, kw_only=True):
    """On which day the bank is to pay; without one, today."""

    executionDate: date | None = None  # noqa: N815  (wire name)


class ResolveRequest(msgspec.Struct, kw_only=True):
    """Which payout a line is about; without one it is put aside. And why."""

    orderId: Uuid | None = None  # noqa: N815
    note: Annotated[str, Meta(min_length=1, max_length=500, pattern=KEPT_TEXT)]


class LinesQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only lines of one state."""

    state: LineState | msgspec.UnsetType = msgspec.UNSET


class FileAnswer(msgspec.Struct, kw_only=True):
    """A file; `reference` is what the bank calls it, `states` how many of its payouts are in which state."""

    id: UuidText
    reference: str
    fiat: str
    format: str
    iban: str
    executionDate: str  # noqa: N815
    payments: int
    total: DecimalText
    states: dict[str, int]
    createdBy: str  # noqa: N815
    createdAt: TimeText  # noqa: N815


class MadeAnswer(FileAnswer, kw_only=True):
    """A file that was made, the orders that went another way meanwhile, and those that no bank could pay."""

    leftOut: list[UuidText]  # noqa: N815
    unpayable: list[UuidText]


class FiledAnswer(msgspec.Struct, kw_only=True):
    """A payout in a file, as the bank is told of it; `debited` and `returned`: the bank said so."""

    orderId: UuidText  # noqa: N815
    state: str
    endToEndId: str  # noqa: N815
    amount: DecimalText
    name: str
    iban: str
    bic: str | None
    remittance: str
    debited: bool
    returned: bool


class FileDetailAnswer(FileAnswer, kw_only=True):
    """A file with its payouts in their order."""

    payouts: list[FiledAnswer]


class EndAnswer(msgspec.Struct, kw_only=True):
    """A statement that was read to its end; `addsUp`: its lines lead from one balance to the other."""

    id: str
    account: str
    opening: DecimalText | None
    closing: DecimalText | None
    moved: DecimalText
    addsUp: bool  # noqa: N815


class StatementAnswer(msgspec.Struct, kw_only=True):
    """What became of a file of statements: how many lines, and of them new, known before and matched now.

    `unmatched`: how many were not, by the reason.
    """

    lines: int
    new: int
    known: int
    matched: int
    unmatched: dict[str, int]
    statements: list[EndAnswer]


class LineAnswer(msgspec.Struct, kw_only=True):
    """A line of a statement, what was made of it, and why nothing if so."""

    id: UuidText
    account: str
    statement: str
    bankReference: str | None  # noqa: N815
    bookedOn: str  # noqa: N815
    amount: DecimalText
    currency: str
    direction: str
    reversal: bool
    returned: bool
    returnReason: str | None  # noqa: N815
    endToEndId: str | None  # noqa: N815
    batchReference: str | None  # noqa: N815
    remittance: str | None
    state: LineState
    reason: str | None
    orderId: UuidText | None  # noqa: N815
    fileId: UuidText | None  # noqa: N815
    note: str | None
    resolvedBy: str | None  # noqa: N815
    importedAt: TimeText  # noqa: N815


class _Listed(msgspec.Struct, frozen=True):
    file: PayoutFile
    states: dict[str, int]


async def make_file(call: Call) -> MadeAnswer:
    """Put what waits into a file."""
    banking = Banking(call.desk)
    made = await banking.file(
        call.caller, execution_on=call.body.executionDate, request_id=call.request.id, key=call.key
    )
    detail = await banking.detail(call.caller.lane, made.filed.file_id)
    return MadeAnswer(
        **_file(detail.file, _counted(detail.payouts)),
        leftOut=[str(order_id) for order_id in made.filed.left_out],
        unpayable=[str(order_id) for order_id in made.unpayable],
    )


async def list_files(call: Call) -> Answer:
    """List the files, newest first."""
    page, lane, reads = page_of(call.request.query), call.caller.lane, call.desk.reads
    rows = await reads.rows("bank_files", "files", _Listed, lane, page.limit, page.offset)
    total = await reads.value("bank_files", "count_of_files", lane)
    return Answer(200, paged([FileAnswer(**_file(row.file, row.states)) for row in rows], page, total))


async def read_file(call: Call) -> FileDetailAnswer:
    """Show a file with its payouts."""
    detail = await Banking(call.desk).detail(call.caller.lane, call.path_id("id", Code.PAYOUT_FILE_NOT_FOUND))
    return FileDetailAnswer(
        **_file(detail.file, _counted(detail.payouts)), payouts=[_filed(each) for each in detail.payouts]
    )


async def read_file_content(call: Call) -> Answer:
    """Give a file as the bank gets it."""
    file_id = call.path_id("id", Code.PAYOUT_FILE_NOT_FOUND)
    content = await Banking(call.desk).content(call.caller.lane, file_id)
    name = f'attachment; filename="{file_id.hex}.xml"'.encode()
    return Answer(200, content, ((b"content-disposition", name),), content_type=_XML.encode())


async def take_in_statement(call: Call) -> StatementAnswer:
    """Take in a statement of the bank."""
    taken = await Banking(call.desk).take_in(call.caller, BytesIO(call.body), request_id=call.request.id)
    return _taken(taken)


async def list_lines(call: Call) -> Answer:
    """List lines of statements, newest first."""
    page, lane, reads = page_of(call.request.query), call.caller.lane, call.desk.reads
    state = _state(call.request.query.get("state"))
    rows = await reads.rows("bank_files", "lines", StatementLine, lane, state, page.limit, page.offset)
    total = await reads.value("bank_files", "count_of_lines", lane, state)
    return Answer(200, paged([_line(row) for row in rows], page, total))


def _state(word: str | None) -> str | None:
    if word and word not in _STATES_BY_WORD:
        raise Refusal(Code.REQUEST_INVALID, f"There is no state {word[:40]!r}.")
    return _STATES_BY_WORD[word] if word else None


async def resolve_statement_line(call: Call) -> LineAnswer:
    """Match a line with a payout by hand, or put it aside."""
    command = ResolveLine(
        line_id=call.path_id("id", Code.STATEMENT_LINE_NOT_FOUND),
        order_id=None if call.body.orderId is None else uuid_of(call.body.orderId),
        note=call.body.note,
    )
    return _line((await call.submit(command)).line)


def _file(file: PayoutFile, states: dict[str, int]) -> dict[str, Any]:
    return {
        "id": str(file.id),
        "reference": file.reference,
        "fiat": file.fiat,
        "format": file.format,
        "iban": file.iban,
        "executionDate": file.execution_on.isoformat(),
        "payments": len(file.order_ids),
        "total": print_units(file.total_units, DECIMALS),
        "states": states,
        "createdBy": file.created_by,
        "createdAt": iso_milliseconds(file.created_at),
    }


def _counted(payouts: list[FiledState]) -> dict[str, int]:
    states = [each.state for each in payouts]
    return {state: states.count(state) for state in sorted(set(states))}


def _filed(each: FiledState) -> FiledAnswer:
    payout = each.payout
    return FiledAnswer(
        orderId=str(payout.order_id),
        state=each.state,
        endToEndId=payout.end_to_end_id,
        amount=print_units(payout.units, DECIMALS),
        name=payout.name,
        iban=payout.iban,
        bic=payout.bic,
        remittance=payout.remittance,
        debited=payout.debited_by is not None,
        returned=payout.returned_by is not None,
    )


def _taken(taken: TakenIn) -> StatementAnswer:
    return StatementAnswer(
        lines=taken.read,
        new=taken.new,
        known=taken.known,
        matched=taken.matched,
        unmatched=dict(taken.unmatched),
        statements=[
            EndAnswer(
                id=each.id,
                account=each.account,
                opening=None if each.opening is None else str(each.opening),
                closing=None if each.closing is None else str(each.closing),
                moved=str(each.moved),
                addsUp=each.adds_up,
            )
            for each in taken.statements
        ],
    )


def _line(line: StatementLine) -> LineAnswer:
    return LineAnswer(
        id=str(line.id),
        account=line.account,
        statement=line.statement,
        bankReference=line.bank_reference,
        bookedOn=line.booked_on.isoformat(),
        amount=str(plain(line.amount)),
        currency=line.currency,
        direction=line.direction,
        reversal=line.reversal,
        returned=line.returned,
        returnReason=line.return_reason,
        endToEndId=line.end_to_end_id,
        batchReference=line.batch_reference,
        remittance=line.remittance,
        state=_STATES[line.state],
        reason=line.reason,
        orderId=None if line.order_id is None else str(line.order_id),
        fileId=None if line.file_id is None else str(line.file_id),
        note=line.note,
        resolvedBy=line.resolved_by,
        importedAt=iso_milliseconds(line.imported_at),
    )


def _route(method: str, path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        answer=answer,
        refuses=refuses,
        **more,
    )


_FILES = "/payout-files"
_LINES = "/statement-lines"

ROUTES = (
    _route(
        "POST",
        _FILES,
        make_file,
        "Put payouts that wait for it into a file for the bank",
        MadeAnswer,
        *(Code.BANK_ACCOUNT_NOT_FOUND, Code.NOTHING_TO_FILE, Code.KEY_INVALID, Code.KEY_IN_FLIGHT),
        status=201,
        body=FileRequest,
        body_optional=True,
        keyed=True,
    ),
    _route("GET", _FILES, list_files, "List the files for the bank, newest first", list[FileAnswer], query=PageQuery),
    _route(
        "GET",
        f"{_FILES}/{{id}}",
        read_file,
        "Show a file with its payouts",
        FileDetailAnswer,
        Code.PAYOUT_FILE_NOT_FOUND,
    ),
    _route(
        "GET",
        f"{_FILES}/{{id}}/content",
        read_file_content,
        "Fetch a file as the bank gets it (ISO 20022 pain.001)",
        None,
        Code.PAYOUT_FILE_NOT_FOUND,
        gives=_XML,
    ),
    _route(
        "POST",
        "/statements",
        take_in_statement,
        "Take in a statement of the bank (ISO 20022 camt.053)",
        StatementAnswer,
        *(Code.STATEMENT_INVALID, Code.BANK_ACCOUNT_NOT_FOUND),
        body=bytes,
        takes=_XML,
    ),
    _route(
        "GET",
        _LINES,
        list_lines,
        "List lines of the bank's statements, newest first",
        list[LineAnswer],
        query=LinesQuery,
    ),
    _route(
        "POST",
        f"{_LINES}/{{id}}/resolve",
        resolve_statement_line,
        "Match a line with a payout by hand, or put it aside",
        LineAnswer,
        Code.STATEMENT_LINE_NOT_FOUND,
        Code.STATEMENT_LINE_DONE,
        Code.ORDER_NOT_FOUND,
        Code.LINE_DOES_NOT_FIT,
        Code.INVALID_STATE,
        Code.RETURN_EXCEEDS_PAYOUT,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.TREASURY_INSUFFICIENT,
        body=ResolveRequest,
    ),
)
