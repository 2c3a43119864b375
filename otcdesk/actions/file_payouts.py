"""Give payouts to a bank in a file: each leaves the state in which anything else could be done with it, in one batch.

Who is paid is worked out before, from what was prepared; here it is decided which of them still may be.
"""

from datetime import date, timedelta
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.domain.bank_files import BankAccount, FiledPayout, PayoutFile
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import BANK_FILE, FILE, PAYOUTS, PRODUCT, Payment, event_of, moved
from otcdesk.errors import Code, Refusal

#: How far ahead a bank may be told to pay; ours.
AHEAD_MAX: Final = timedelta(days=365)


class Payee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is paid for an order, in the bank's characters; without `bic` the bank is the IBAN's."""

    order_id: UUID
    name: str
    iban: str
    bic: str | None
    remittance: str


class FilePayouts(Command, frozen=True, kw_only=True):
    """Put payouts of a fiat into a file of a `format`, to be paid on a day, else today.

    Its key is compared without content: a request that is made again finds other payouts waiting, and means the file
    that it was given before.
    """

    fiat: str
    payees: tuple[Payee, ...]
    execution_on: date | None
    format: str


class PayoutsFiled(Reply, frozen=True, kw_only=True):
    """The file, and the orders that were named and are not in it: each had gone another way meanwhile."""

    file_id: UUID
    left_out: tuple[UUID, ...]
    file: PayoutFile | None = None

    @property
    def remembered(self) -> "PayoutsFiled":
        """Return what is kept with the key."""
        return PayoutsFiled(file_id=self.file_id, left_out=self.left_out)


def file_payouts(command: FilePayouts, books: Books, moment: Moment) -> PayoutsFiled:
    """File payouts that wait for it, to be paid on a day, else today.

    Refuses REQUEST_INVALID for a day that has passed or is too far off, BANK_ACCOUNT_NOT_FOUND, NOTHING_TO_FILE.
    """
    today = moment.now.date()
    execution_on = command.execution_on or today
    if not today <= execution_on <= today + AHEAD_MAX:
        raise Refusal(Code.REQUEST_INVALID, "The bank is to pay today, or on a day within a year.")
    books.want(
        (BankAccount, command.fiat),
        *[(noun, payee.order_id) for payee in command.payees for noun in (Order, Payment)],
    )
    bank = books.find(BankAccount, command.fiat)
    if bank is None:
        raise Refusal(Code.BANK_ACCOUNT_NOT_FOUND)
    chosen = {payee.order_id: payee for payee in command.payees if _waits(books, payee.order_id, command.fiat)}
    if not chosen:
        raise Refusal(Code.NOTHING_TO_FILE)
    file_id, total = moment.command_id, 0
    for number, payee in enumerate(chosen.values(), start=1):
        total += _file(books, moment, payee, file_id, number)
    file = PayoutFile(
        id=file_id,
        fiat=command.fiat,
        format=command.format,
        iban=bank.iban,
        bic=bank.bic,
        name=bank.name,
        execution_on=execution_on,
        order_ids=tuple(chosen),
        total_units=total,
        created_by=moment.caller,
        created_at=moment.now,
    )
    books.add(file)
    left_out = tuple(payee.order_id for payee in command.payees if payee.order_id not in chosen)
    return PayoutsFiled(file_id=file_id, left_out=left_out, file=file)


def filed_before(command: FilePayouts, first: PayoutsFiled, books: Books, moment: Moment) -> PayoutsFiled:
    """Answer a key that was used before with the file that it made."""
    del command, moment
    return PayoutsFiled(file_id=first.file_id, left_out=first.left_out, file=books.find(PayoutFile, first.file_id))


def _waits(books: Books, order_id: UUID, fiat: str) -> bool:
    order, payment = books.find(Order, order_id), books.find(Payment, order_id)
    if order is None or payment is None or order.product != PRODUCT:
        return False
    return payment.fiat == fiat and order.waits_for == BANK_FILE and PAYOUTS.allows(order, FILE)


def _file(books: Books, moment: Moment, payee: Payee, file_id: UUID, number: int) -> int:
    """Move an order into the file; returns how many units are paid for it."""
    order = books.find(Order, payee.order_id)
    if order is None:
        raise AssertionError(f"order {payee.order_id} was there before")
    after = moved(order, FILE, moment.now)
    books.put(after)
    books.add(event_of(after, FILE, moment.caller, file_id.hex))
    books.add(
        FiledPayout(
            order_id=order.id,
            file_id=file_id,
            number=number,
            name=payee.name,
            iban=payee.iban,
            bic=payee.bic,
            remittance=payee.remittance,
            units=order.destination_units,
        )
    )
    return order.destination_units
