"""The only writer of ledger rows: postings with their entries, and holds.

Whoever calls has checked that the accounts cover what leaves them; here that is asserted, and the database refuses it
once more. All amounts are in the smallest units of the accounts' asset.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.ledger import CAPTURED, OPEN, RELEASED, Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal
from otcdesk.money import BALANCE_MAX, UNITS_MAX


class Move(NamedTuple):
    """One posting to be made: from, to, and how many units."""

    source: Account
    destination: Account
    units: int


def fits(books: Books, account_id: UUID, units: int) -> bool:
    """Tell whether an account's balance, after so many units come (negative: leave), is one that the desk counts.

    Asked of both sides of whatever comes from outside or goes there, before anything is staged: the desk's own accounts
    have no floor, so nothing else bounds what is booked against them. An account that is not opened yet has nothing.
    """
    found = books.find(Account, account_id)
    return abs((found.balance if found else 0) + units) <= UNITS_MAX


def check_fits(books: Books, source_id: UUID, destination_id: UUID, units: int) -> None:
    """Refuse AMOUNT_TOO_LARGE if one of the two accounts cannot count its balance after so many units moved."""
    if not (fits(books, source_id, -units) and fits(books, destination_id, units)):
        raise Refusal(Code.AMOUNT_TOO_LARGE, "An account would hold more than the desk can count.")


def post(
    books: Books,
    moment: Moment,
    moves: Sequence[Move],
    *,
    transaction_id: UUID,
    reason: str,
    order_id: UUID | None = None,
    reference: str | None = None,
) -> LedgerTransaction:
    """Book `moves` as one ledger transaction: a posting, two entries and two new balances for each."""
    transaction = LedgerTransaction(
        id=transaction_id,
        reason=reason,
        order_id=order_id,
        reference=reference,
        caller=moment.caller,
        booked_at=moment.now,
    )
    books.add(transaction)
    for number, move in enumerate(moves, start=1):
        _book(books, transaction_id, number, move)
    return transaction


def _book(books: Books, transaction_id: UUID, number: int, move: Move) -> None:
    source, destination = account(books, move.source.id), account(books, move.destination.id)
    if move.units <= 0 or source.asset != destination.asset or source.id == destination.id:
        raise AssertionError(f"not a posting: {move.units} from {source.id} to {destination.id}")
    books.add(
        Posting(
            transaction_id=transaction_id,
            number=number,
            source_account_id=source.id,
            destination_account_id=destination.id,
            asset=source.asset,
            units=move.units,
        )
    )
    for side, units in ((source, -move.units), (destination, move.units)):
        after = side.with_(balance=side.balance + units, version=side.version + 1)
        if units < 0 and not side.covers(-units):
            raise AssertionError(f"account {side.id} does not cover {-units}")
        if abs(after.balance) > BALANCE_MAX:
            raise AssertionError(f"account {side.id} cannot keep a balance of {after.balance}")
        books.put(after)
        books.add(
            Entry(
                account_id=side.id,
                account_version=after.version,
                transaction_id=transaction_id,
                posting_number=number,
                units=units,
                balance_after=after.balance,
            )
        )


def account(books: Books, account_id: UUID) -> Account:
    """Return an account that must exist."""
    row = books.find(Account, account_id)
    if row is None:
        raise AssertionError(f"no account {account_id}")
    return row


def own_account(
    books: Books,
    account_id: UUID,
    purpose: str,
    asset: str,
    owner_id: UUID = DESK_ID,
    *,
    network: str = "",
    beside: Account | None = None,
) -> Account:
    """Return an account that may not go below zero, opening it with its first use, on a network if it has to be.

    It is opened at the address of an account `beside` it, of the same owner, if that is on the network.
    """
    found = books.find(Account, account_id)
    if found is not None:
        return found
    address = beside.address if beside is not None and beside.network == network else None
    opened = Account(id=account_id, owner_id=owner_id, purpose=purpose, asset=asset, network=network, address=address)
    books.add(opened)
    return opened


def place_hold(books: Books, moment: Moment, on: Account, units: int, *, hold_id: UUID, order_id: UUID) -> Hold:
    """Reserve units on an account that covers them."""
    on = account(books, on.id)
    if units <= 0 or not on.covers(units):
        raise AssertionError(f"account {on.id} does not cover a hold of {units}")
    hold = Hold(id=hold_id, account_id=on.id, order_id=order_id, units=units, placed_at=moment.now)
    books.add(hold)
    books.put(on.with_(held=on.held + units))
    return hold


def release_hold(books: Books, moment: Moment, hold_id: UUID) -> Hold:
    """Give the reserved units back to what is available."""
    return _end_hold(books, moment, hold_id, RELEASED)


def capture_hold(books: Books, moment: Moment, hold_id: UUID) -> Hold:
    """End a hold because its units are about to be posted away."""
    return _end_hold(books, moment, hold_id, CAPTURED)


def _end_hold(books: Books, moment: Moment, hold_id: UUID, state: str) -> Hold:
    hold = books.find(Hold, hold_id)
    if hold is None or hold.state != OPEN:
        raise AssertionError(f"hold {hold_id} is not open")
    on = account(books, hold.account_id)
    books.put(on.with_(held=on.held - hold.units))
    ended = hold.with_(state=state, ended_at=moment.now)
    books.put(ended)
    return ended
