"""A desk in memory whose payouts go through a bank's files, and what its bank tells."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from otcdesk.actions.file_payouts import FilePayouts, Payee, PayoutsFiled
from otcdesk.actions.record_statement import LinesRecorded, RecordStatementLines
from otcdesk.banking.credit_transfers import FORMATS
from otcdesk.banking.statements import read_statements
from otcdesk.domain.bank_files import FiledPayout, GivenLine, PayoutFile, StatementLine
from otcdesk.domain.orders import Order
from tests.support.payouts import IBAN, SEPA_FILE, given, pending
from tests.support.pure import PureDesk
from tests.support.statements import OURS, Entry, statement

DAY = date(2026, 11, 20)

HOLDER = f'{{"AccountHolder":"Ada Example","BankDetails":{{"AccountNumber":"{IBAN}"}}}}'


def waiting(desk: PureDesk, arrives: str = "100.00", **fields: Any) -> Order:
    """Bring a payout to where it waits to be filed."""
    return pending(desk, arrives, channel_id=SEPA_FILE, given=given(details=HOLDER), **fields)


def payee(order_id: UUID, **fields: Any) -> Payee:
    told = {"name": "Ada Example", "iban": IBAN, "bic": None, "remittance": "user-b1 inv-1", **fields}
    return Payee(order_id=order_id, **told)


def filing(*order_ids: UUID, **fields: Any) -> FilePayouts:
    told = {"fiat": "EUR", "payees": tuple(map(payee, order_ids)), "execution_on": None, "format": FORMATS[1], **fields}
    return FilePayouts(**told)


def filed(desk: PureDesk, *orders: Order) -> tuple[PayoutFile, list[FiledPayout]]:
    """Put payouts into a file."""
    reply: PayoutsFiled = desk.act(filing(*[order.id for order in orders]), caller="operator")
    assert reply.left_out == ()
    assert reply.file is not None
    return reply.file, [desk.get(FiledPayout, order.id) for order in orders]


def lines_of(*entries: Entry, account: str = OURS) -> list[GivenLine]:
    """Return what the desk reads in a statement of these entries."""
    told = read_statements(BytesIO(statement(*entries, account=account)))
    return [value for value in told if isinstance(value, GivenLine)]


def given_line(**fields: Any) -> GivenLine:
    """Return a line that says next to nothing."""
    told = {
        "id": uuid4(),
        "bank_reference": None,
        "booked_on": DAY,
        "amount": Decimal(100),
        "currency": "EUR",
        "direction": "debit",
        "reversal": False,
        "returned": False,
        "return_reason": None,
        "end_to_end_id": None,
        "batch_reference": None,
        "batch_count": None,
        "remittance": None,
        **fields,
    }
    return GivenLine(**told)


def took(desk: PureDesk, lines: Sequence[GivenLine], account: str = OURS) -> LinesRecorded:
    """Take in lines."""
    command = RecordStatementLines(account=account, statement="2026-11-20", lines=tuple(lines))
    reply: LinesRecorded = desk.act(command, caller="operator")
    return reply


def told(desk: PureDesk, *entries: Entry, account: str = OURS) -> LinesRecorded:
    """Take in a statement."""
    return took(desk, lines_of(*entries, account=account), account)


def line_of(desk: PureDesk, given_one: GivenLine) -> StatementLine:
    return desk.get(StatementLine, given_one.id)


def state_of(desk: PureDesk, order: Order) -> str:
    return desk.get(Order, order.id).state
