"""Deposits, withdrawals and adjustments by hand: an account is chosen, then what is booked on it.

Each form has a key of its own, so that sent twice it books once; its answer leads to the same place again.
"""

from typing import Final

import msgspec

from otcdesk.actions.move_value import Adjust, Booked, Booking, Deposit, Withdraw
from otcdesk.api.http import Answer
from otcdesk.console.books.reads import AccountFilter, AccountRow, account, chart
from otcdesk.console.fields import key_of, named_id, text_of, units_of
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.domain import duties
from otcdesk.domain.ledger import Account, LedgerTransaction
from otcdesk.errors import Code, Refusal

_LATEST: Final = 25
_FOUND: Final = 20
_REFERENCE_LENGTH_MAX: Final = 200

#: What can be booked, by the word of the form: the command, what it is for people, and which way it may go.
KINDS: Final[dict[str, tuple[type[Booking], str]]] = {
    "deposit": (Deposit, "Deposit: it came from outside"),
    "withdrawal": (Withdraw, "Withdrawal: it left to the outside"),
    "adjustment": (Adjust, "Adjustment: a correction, negative to take away"),
}


class LatestBooking(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger transaction that was booked by hand, the account that it was about, and how many units came to it."""

    transaction: LedgerTransaction
    account: Account
    units: int


async def show_bookings(call: ConsoleCall) -> Answer:
    """Show the form for the account that was chosen, or those that are found, and the latest bookings."""
    lane, reads, query = call.caller.lane, call.desk.reads, call.request.query
    chosen = await _chosen(call)
    text = query.get("account_text", "")
    found = await chart(reads, lane, AccountFilter(text=text), limit=_FOUND) if text and chosen is None else []
    facts = {
        "chosen": chosen,
        "found": [row for row in found if row.floor is not None],
        "account_text": text,
        "kinds": [(word, said) for word, (_, said) in KINDS.items()],
        "latest": await reads.rows("console_bookings", "latest", LatestBooking, lane, _LATEST),
    }
    return await page(call, "bookings/bookings.html", facts)


async def book(call: ConsoleCall) -> Answer:
    """Book, or propose to where it takes two people."""
    chosen = await _chosen(call)
    if chosen is None:
        raise Refusal(Code.ACCOUNT_NOT_FOUND)
    command = _command(call, chosen)
    call.key = key_of(call)
    booked: Booked = await call.submit(command, why=command.reason)
    if booked.proposal is not None:
        return done(f"/console/proposals/{booked.proposal.id}", "waits")
    return done(f"/console/accounts/{chosen.id}", "booked")


async def _chosen(call: ConsoleCall) -> AccountRow | None:
    account_id = named_id(call.field("account") or call.request.query.get("account", ""))
    return None if account_id is None else await account(call.desk.reads, call.caller.lane, account_id)


def _command(call: ConsoleCall, chosen: AccountRow) -> Booking:
    """Read a booking; refuses REQUEST_INVALID with what is wrong."""
    kind, _ = KINDS.get(call.field("kind"), (None, ""))
    if kind is None:
        raise Refusal(Code.REQUEST_INVALID, "Say what is booked: a deposit, a withdrawal or an adjustment.")
    units = units_of(call, "amount", chosen.scale, signed=kind is Adjust)
    if not units:
        raise Refusal(Code.REQUEST_INVALID, "The amount must not be zero.")
    return kind(
        account_id=chosen.id,
        units=units,
        reason=text_of(call, "why", "The reason"),
        reference=text_of(call, "reference", "The reference", length_max=_REFERENCE_LENGTH_MAX),
    )


ROUTES = (
    opens("/bookings", show_bookings, "Bookings by hand"),
    posts("/bookings", book, "Book", duty=duties.BOOKINGS_MAKE, shows=show_bookings),
)
