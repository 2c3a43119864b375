"""Find out which payout a line of a bank's statement is about, and book what it says; what the verbs of lines share.

A debit of what was filed settles it. The return of a payout that is only filed fails it: the account was debited and
credited again, and the debit, if it is told of later, changes nothing any more. The return of one that is settled is
booked as an order of its own. A line that fits nothing changes nothing and has a reason.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec

from otcdesk.actions.payout_checks import treasury_id
from otcdesk.actions.record_payout import RecordPayout, RecordReturn, record_payout, record_return
from otcdesk.domain import bank_files as b
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.bank_files import FiledPayout, PayoutFile, StatementLine, id_in
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.ledger import OUTSIDE, Account, Hold, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import declared_id
from otcdesk.domain.payouts import (
    FAILED,
    FEE_INCOME,
    FILED,
    SETTLED,
    Payment,
    current_id,
    return_id,
    surcharge_id,
)
from otcdesk.errors import Refusal
from otcdesk.money import units_of


class Match(NamedTuple):
    """What a line was found to be about: an order, or a whole file; or why it was not found out."""

    order_id: UUID | None = None
    file_id: UUID | None = None
    reason: str | None = None


class Named(NamedTuple):
    """What a line names by its references: a payout in a file, or a whole file."""

    order_id: UUID | None
    file_id: UUID | None


def named_by(end_to_end_id: str | None, batch_reference: str | None) -> Named:
    """Return what a line's references name, as far as they are ours; the payment's own goes before its file's."""
    order_id = id_in(end_to_end_id)
    return Named(order_id, None if order_id is not None else id_in(batch_reference))


def want_all(books: Books, names: Iterable[Named]) -> None:
    """Name, in three steps, every row that booking these lines can take."""
    names = list(names)
    orders = {name.order_id for name in names if name.order_id is not None}
    files = {name.file_id for name in names if name.file_id is not None}
    _want(books, orders, files)
    whole = [file for file_id in files if (file := books.find(PayoutFile, file_id))]
    files |= {filed.file_id for order_id in orders if (filed := books.find(FiledPayout, order_id))}
    orders |= {order_id for file in whole for order_id in file.order_ids}
    _want(books, orders, files)
    books.want(*[want for order_id in orders for want in _booked_on(books, order_id)])


def _want(books: Books, orders: Iterable[UUID], files: Iterable[UUID]) -> None:
    books.want(
        *[(noun, order_id) for order_id in orders for noun in (Order, Payment, FiledPayout)],
        *[(Order, return_id(order_id)) for order_id in orders],
        *[(PayoutFile, file_id) for file_id in files],
    )


def _booked_on(books: Books, order_id: UUID) -> list[tuple[type, object]]:
    order, payment = books.find(Order, order_id), books.find(Payment, order_id)
    if order is None or payment is None or books.find(FiledPayout, order_id) is None:
        return []
    asset, fiat = order.source_asset, order.destination_asset
    accounts = (
        *(treasury_id(asset), treasury_id(fiat), current_id(order.tenant_id, asset)),
        *(desk_account_id(OUTSIDE, fiat), desk_account_id(FEE_INCOME, fiat), surcharge_id(order.tenant_id, fiat)),
    )
    return [
        *[(Hold, hold_id) for hold_id in (order.pay_hold_id, order.collect_hold_id)],
        *[(Account, account_id) for account_id in accounts],
        *[(ListedAsset, code) for code in (asset, fiat)],
        (Order, payment.checkout_id),  # ends with its payout
    ]


def match(books: Books, moment: Moment, line: StatementLine) -> Match:
    """Book what a line says of what it names; refuses what the books refuse of a return."""
    named = named_by(line.end_to_end_id, line.batch_reference)
    if line.doubt is not None:
        return Match(reason=line.doubt)
    filed = None if named.order_id is None else books.find(FiledPayout, named.order_id)
    if filed is not None:
        reason = _not_of(books, line, filed.file_id) or _not_told(line) or book(books, moment, line, filed)
        return Match(reason=reason) if reason else Match(order_id=filed.order_id)
    if named.order_id is not None:
        known = books.find(Order, named.order_id) is not None and books.find(Payment, named.order_id) is not None
        return Match(reason=b.NOT_FILED if known else b.UNKNOWN_REFERENCE)
    file = None if named.file_id is None else books.find(PayoutFile, named.file_id)
    if file is None:
        return Match(reason=b.UNKNOWN_REFERENCE)
    reason = _not_of(books, line, file.id) or _not_told(line) or _book_all(books, moment, line, file)
    return Match(reason=reason) if reason else Match(file_id=file.id)


def _not_of(books: Books, line: StatementLine, file_id: UUID) -> str | None:
    file = books.find(PayoutFile, file_id)
    if file is None:
        raise AssertionError(f"file {file_id} is not there")
    if line.account != file.iban:
        return b.WRONG_ACCOUNT
    return b.OTHER_CURRENCY if line.currency != file.fiat else None


def _not_told(line: StatementLine) -> str | None:
    """Tell why a line's own words do not say that a payout was paid, or came back."""
    if line.direction == b.CREDIT:
        if line.returned:
            return None
        return b.REVERSAL if line.reversal else b.NOT_A_RETURN
    return b.REVERSAL if line.reversal else None


def book(books: Books, moment: Moment, line: StatementLine, filed: FiledPayout) -> str | None:
    """Book a line of a payout in a file; returns why not, and refuses what the books refuse of a return."""
    order = _order(books, filed)
    units = _units(books, order, line.amount)
    if line.direction == b.DEBIT:
        if units != filed.units:
            return b.AMOUNT_DIFFERS
        reason = _not_debited(filed, order)
        if reason is None:
            _debit(books, moment, line, filed)
        return reason
    if filed.returned_by is not None:
        return b.ALREADY_RETURNED
    if order.state == FAILED:
        return b.PAYOUT_FAILED
    if units is None or not (units == filed.units if order.state == FILED else 0 < units <= filed.units):
        return b.AMOUNT_DIFFERS
    if order.state == FILED:
        _record(books, moment, order, line, "refused")
    elif not _record_return(books, moment, order, line, units):
        return b.ALREADY_RETURNED
    books.put(filed.with_(returned_by=line.id))
    return None


def _book_all(books: Books, moment: Moment, line: StatementLine, file: PayoutFile) -> str | None:
    """Book a debit of a file as a whole, or nothing of it."""
    if line.direction == b.CREDIT:
        return b.NOT_A_RETURN  # which of its payouts came back is not told
    if line.batch_count is not None and line.batch_count != len(file.order_ids):
        return b.COUNT_DIFFERS
    filed = [_filed(books, order_id) for order_id in file.order_ids]
    if _units(books, _order(books, filed[0]), line.amount) != file.total_units:
        return b.AMOUNT_DIFFERS
    for each in filed:
        reason = _not_debited(each, _order(books, each))
        if reason is not None:
            return reason
    for each in filed:
        _debit(books, moment, line, each)
    return None


def _not_debited(filed: FiledPayout, order: Order) -> str | None:
    """Tell why a payout cannot have been debited; one that had come back before it was debited, or not, was."""
    if filed.debited_by is not None:
        return b.ALREADY_DEBITED
    return b.PAYOUT_FAILED if order.state == FAILED and filed.returned_by is None else None


def _debit(books: Books, moment: Moment, line: StatementLine, filed: FiledPayout) -> None:
    order = _order(books, filed)
    if order.state not in {SETTLED, FAILED}:
        _record(books, moment, order, line, "done")
    books.put(filed.with_(debited_by=line.id))


def _record(books: Books, moment: Moment, order: Order, line: StatementLine, outcome: str) -> None:
    detail = (line.return_reason if outcome == "refused" else line.bank_reference) or line.id.hex
    command = RecordPayout(
        order_id=order.id,
        reference=order.rail_reference or "",
        outcome="done" if outcome == "done" else "refused",
        detail=detail,
    )
    if not record_payout(command, books, _moment_of(moment, line, order)).applied:
        raise AssertionError(f"payout {order.id} is {order.state}, and what its bank says was not booked")


def _record_return(books: Books, moment: Moment, order: Order, line: StatementLine, units: int) -> bool:
    command = RecordReturn(
        order_id=order.id,
        fiat_units=units,
        reference=line.bank_reference or line.id.hex,
        reason=line.return_reason,
    )
    return record_return(command, books, _moment_of(moment, line, order)).applied


def _moment_of(moment: Moment, line: StatementLine, order: Order) -> Moment:
    """Return the moment of one booking of many: each makes its ids from its line and its order."""
    return msgspec.structs.replace(moment, command_id=declared_id("statement line", line.id.hex, order.id.hex))


def _order(books: Books, filed: FiledPayout) -> Order:
    order = books.find(Order, filed.order_id)
    if order is None:
        raise AssertionError(f"order {filed.order_id} is in a file and not there")
    return order


def _filed(books: Books, order_id: UUID) -> FiledPayout:
    filed = books.find(FiledPayout, order_id)
    if filed is None:
        raise AssertionError(f"order {order_id} is listed in a file that it is not in")
    return filed


def _units(books: Books, order: Order, amount: Decimal) -> int | None:
    listed = books.find(ListedAsset, order.destination_asset)
    if listed is None:
        raise AssertionError(f"asset {order.destination_asset} is not listed")
    return units_of(amount, listed.scale)


def reason_of(refusal: Refusal) -> str:
    """Return how a line that the books refuse says why."""
    return refusal.code.name.lower()
