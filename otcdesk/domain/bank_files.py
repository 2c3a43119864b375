"""Payouts through a bank that takes files and gives statements: the desk's account there, files, statements' lines.

An order is in at most one file, because nothing leads back from `filed` to a state that can be filed. What a payee is
paid under, its end-to-end id, is the order's own id, so a bank's statement names the order. A line of a statement is
kept once, however often and in however many statements the bank tells of it, and it changes at most one order.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from otcdesk.domain.noun import Noun
from otcdesk.machine import Machine

# What the operator has to do with a line: nothing, find out what it is, or nothing any more.
MATCHED = "matched"
UNMATCHED = "unmatched"
SET_ASIDE = "set aside"

MATCH = "match"
PUT_ASIDE = "put aside"

STATEMENT_LINE = Machine(
    start=UNMATCHED,
    moves={
        (UNMATCHED, MATCH): MATCHED,  # by itself, also when it is imported again, or by hand
        (UNMATCHED, PUT_ASIDE): SET_ASIDE,
    },
)

# What a line does to the account.
DEBIT = "debit"
CREDIT = "credit"

# Why nothing was done about a line, unless it is a refusal of the books, whose code it then is.
UNKNOWN_REFERENCE = "unknown_reference"  # it names nothing that the desk has filed
NOT_FILED = "not_filed"  # it names a payout that was given to no bank
WRONG_ACCOUNT = "wrong_account"  # it names a payout that was filed from another account
OTHER_CURRENCY = "other_currency"
REVERSAL = "reversal"  # the bank took something back that it had booked, but says of no payout that it came back
NOT_A_RETURN = "not_a_return"  # money came in under a payout's reference, and the bank does not call it a return
AMOUNT_DIFFERS = "amount_differs"
COUNT_DIFFERS = "count_differs"  # a sum for another number of payments than the file has
DETAILS_DIFFER = "details_differ"  # a sum's details do not add up to it
ALREADY_DEBITED = "already_debited"
ALREADY_RETURNED = "already_returned"
PAYOUT_FAILED = "payout_failed"  # the payout had failed, and its failure was not this bank's word

#: A reference of a file or a payment is an id's 32 hexadecimal digits: banks take at most 35 characters.
_REFERENCE_LENGTH = 32

#: A bank's code (ISO 9362).
BIC = re.compile(r"[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?", re.ASCII)

_IBAN_CHECK = 97


def reference_of(some_id: UUID) -> str:
    """Return how an id is written where a bank has to give it back."""
    return some_id.hex


def id_in(reference: str | None) -> UUID | None:
    """Return the id that a bank gives back, in whichever case; None for a reference that is none of ours."""
    if reference is None or len(reference) != _REFERENCE_LENGTH:
        return None
    try:
        return UUID(hex=reference)
    except ValueError:
        return None


def is_iban(text: str) -> bool:
    """Tell whether a text is an IBAN in its electronic form, by its shape and its check digits (ISO 13616, 7064)."""
    country, digits, rest = text[:2], text[2:4], text[4:]
    if not (text.isascii() and country.isalpha() and country.isupper() and digits.isdigit() and 11 <= len(rest) <= 30):
        return False
    if not rest.isalnum() or rest != rest.upper():
        return False
    return int("".join(str(int(letter, 36)) for letter in rest + country + digits)) % _IBAN_CHECK == 1


class BankAccount(Noun, frozen=True, kw_only=True, gc=False):
    """The desk's own account at a bank from which payouts of a fiat are made; without `bic` the bank is the IBAN's."""

    fiat: str
    iban: str
    bic: str | None
    name: str

    @property
    def key(self) -> str:
        """Return the fiat."""
        return self.fiat


class PayoutFile(Noun, frozen=True, kw_only=True, gc=False):
    """Payouts that were given to a bank together: from which account, in which order, to be paid on which day.

    `format` is the schema of the file (`pain.001.001.09`). From this row and those of its payouts the same file can be
    written at any time.
    """

    id: UUID
    fiat: str
    format: str
    iban: str
    bic: str | None
    name: str
    execution_on: date
    order_ids: tuple[UUID, ...]
    total_units: int
    created_by: str
    created_at: datetime

    @property
    def key(self) -> UUID:
        """Return the file's id."""
        return self.id

    @property
    def reference(self) -> str:
        """Return what the bank knows the file by."""
        return reference_of(self.id)


class FiledPayout(Noun, frozen=True, kw_only=True, gc=False):
    """A payout's place in its file, and who is paid there, in the bank's characters.

    `debited_by` and `returned_by` are the lines of statements by which the bank said that it has paid, and that the
    money came back.
    """

    order_id: UUID
    file_id: UUID
    number: int
    name: str
    iban: str
    bic: str | None
    remittance: str
    units: int
    debited_by: UUID | None = None
    returned_by: UUID | None = None

    @property
    def key(self) -> UUID:
        """Return the order."""
        return self.order_id

    @property
    def end_to_end_id(self) -> str:
        """Return what everybody on the way knows the payment by."""
        return reference_of(self.order_id)


class GivenLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank's statement says of one movement on an account, in the core's words.

    `id` derives from what tells it from all others of the account. `amount` is positive. `returned`: the bank calls it
    the return of a payment. `end_to_end_id` is the payment's; of a sum of many, `batch_reference` is the file's and
    `batch_count` how many there are. `doubt`: a reason not to act on it that only who read the statement can see.
    """

    id: UUID
    bank_reference: str | None
    booked_on: date
    amount: Decimal
    currency: str
    direction: str
    reversal: bool
    returned: bool
    return_reason: str | None
    end_to_end_id: str | None
    batch_reference: str | None
    batch_count: int | None
    remittance: str | None
    doubt: str | None = None


class StatementLine(Noun, frozen=True, kw_only=True, gc=False):
    """A line of a bank's statement as it is kept; see `GivenLine`.

    `reason` says why an unmatched line is that. A matched one names the order that it settled, failed or brought back,
    or the file all of which it paid. `note` is what the operator said who resolved it.
    """

    id: UUID
    account: str
    statement: str
    bank_reference: str | None
    booked_on: date
    amount: Decimal
    currency: str
    direction: str
    reversal: bool
    returned: bool
    return_reason: str | None
    end_to_end_id: str | None
    batch_reference: str | None
    batch_count: int | None
    remittance: str | None
    doubt: str | None
    state: str
    reason: str | None
    order_id: UUID | None
    file_id: UUID | None
    note: str | None
    resolved_by: str | None
    imported_at: datetime
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the line's id."""
        return self.id
