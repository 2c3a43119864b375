"""The operator's own bookings: money arriving from outside, leaving to it, and corrections.

Each has a reason and a reference. A correction is a new ledger transaction, never an edit. What is too large for one
person waits for a second one, however many bookings of the same account do.
"""

from collections.abc import Callable
from uuid import UUID

import msgspec

from otcdesk.actions.booking import Move, account, check_fits, post
from otcdesk.actions.four_eyes import second_needed
from otcdesk.domain import duties
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import ADJUSTMENT, OUTSIDE, Account, LedgerTransaction, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.proposals import Proposal
from otcdesk.errors import Code, Refusal


class Booking(Command, frozen=True, kw_only=True):
    """Units to book on an account, why, and the outside reference that proves it."""

    account_id: UUID
    units: int
    reason: str
    reference: str


class Deposit(Booking, frozen=True, kw_only=True):
    """Money that arrived from outside."""


class Withdraw(Booking, frozen=True, kw_only=True):
    """Money that left to the outside."""


class Adjust(Booking, frozen=True, kw_only=True):
    """A correction; negative units take away."""


class Booked(Reply, frozen=True, kw_only=True):
    """The ledger transaction and the account after it; or the account as it is, and the proposal that waits."""

    transaction: LedgerTransaction | None = None
    account: Account
    proposal: Proposal | None = None


class BookingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the first person is shown of a booking: amounts in units, negative where they are taken away."""

    owner_id: UUID
    label: str | None
    purpose: str
    asset: str
    units: int
    balance: int
    balance_after: int
    available: int
    available_after: int
    reason: str
    reference: str


def deposit(command: Deposit, books: Books, moment: Moment) -> Booked:
    """Book money in from outside, or propose to; refuses ACCOUNT_NOT_FOUND, AMOUNT_TOO_LARGE."""
    return _booked(deposit, command, books, moment, command.units, OUTSIDE)


def withdraw(command: Withdraw, books: Books, moment: Moment) -> Booked:
    """Book money out, or propose to; refuses ACCOUNT_NOT_FOUND, BALANCE_INSUFFICIENT, AMOUNT_TOO_LARGE."""
    return _booked(withdraw, command, books, moment, -command.units, OUTSIDE)


def adjust(command: Adjust, books: Books, moment: Moment) -> Booked:
    """Book a correction either way, or propose to.

    Refuses ACCOUNT_NOT_FOUND, BALANCE_INSUFFICIENT, AMOUNT_TOO_LARGE.
    """
    return _booked(adjust, command, books, moment, command.units, ADJUSTMENT)


def _booked(
    action: Callable[..., Booked], command: Booking, books: Books, moment: Moment, units: int, purpose: str
) -> Booked:
    target = books.find(Account, command.account_id)
    if target is None or target.floor is None:
        raise Refusal(Code.ACCOUNT_NOT_FOUND)
    if units < 0 and not target.covers(-units):
        raise Refusal(Code.BALANCE_INSUFFICIENT)
    check_fits(books, desk_account_id(purpose, target.asset), target.id, units)
    proposal = second_needed(
        books,
        moment,
        action=action,
        command=command,
        duty=duties.BOOKINGS_MAKE,
        subject_id=target.id,
        stakes=((target.asset, units),),
        exclusive=False,
        seen=booking_seen(target, units, command.reason, command.reference),
    )
    if proposal is not None:
        return Booked(account=target, proposal=proposal)
    other = counter_account(books, purpose, target.asset)
    move = Move(other, target, units) if units > 0 else Move(target, other, -units)
    transaction = post(
        books,
        moment,
        [move],
        transaction_id=moment.new_id(1),
        reason=f"{type(command).__name__.lower()}: {command.reason}",
        reference=command.reference,
    )
    return Booked(transaction=transaction, account=account(books, target.id))


def booking_seen(target: Account, units: int, reason: str, reference: str) -> BookingSeen:
    """Return what is shown of a booking on an account as it is now."""
    return BookingSeen(
        owner_id=target.owner_id,
        label=target.label,
        purpose=target.purpose,
        asset=target.asset,
        units=units,
        balance=target.balance,
        balance_after=target.balance + units,
        available=target.available,
        available_after=target.available + units,
        reason=reason,
        reference=reference,
    )


def counter_account(books: Books, purpose: str, asset: str) -> Account:
    """Return the desk's unlimited account on the other side of such bookings, opening it at its first use."""
    counter_id = desk_account_id(purpose, asset)
    found = books.find(Account, counter_id)
    if found is not None:
        return found
    opened = Account(id=counter_id, owner_id=DESK_ID, purpose=purpose, asset=asset, floor=None)
    books.add(opened)
    return opened
