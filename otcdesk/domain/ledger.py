"""The books: accounts, directed postings between them, entries on each side, and holds.

Balances change only by postings, so every asset sums to zero over all accounts. An account's entries number from 1
without a gap and each carries the balance after it. What is held is reserved for an order and cannot be spent twice.
"""

from datetime import datetime
from functools import cache
from uuid import UUID

from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import declared_id

# What an account is for.
CASH = "cash"  # a tenant's fiat
CUSTODY = "custody"  # a tenant's tokens at an address
TREASURY = "treasury"  # the desk's side of every trade
EQUITY = "equity"  # the other side of opening balances
OUTSIDE = "outside"  # the other side of deposits and withdrawals: the world beyond the desk
ADJUSTMENT = "adjustment"  # the other side of corrections

ACTIVE = "active"
INACTIVE = "inactive"

OPEN = "open"
CAPTURED = "captured"
RELEASED = "released"


class Account(Noun, frozen=True, kw_only=True, gc=False):
    """A place in the books that holds one asset, in its smallest units.

    `floor` is the least that may be available (None: no limit, for the desk's own counter-accounts). `network` and
    `address` say where in the real world it lies: an IBAN at a bank, an address on a chain. `version` counts entries.
    """

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    label: str | None = None
    status: str = ACTIVE
    network: str = ""
    address: str | None = None
    floor: int | None = 0
    balance: int = 0
    held: int = 0
    version: int = 0

    @property
    def key(self) -> UUID:
        """Return the account's id."""
        return self.id

    @property
    def available(self) -> int:
        """Return what may be spent: the balance less what is held."""
        return self.balance - self.held

    def covers(self, units: int) -> bool:
        """Tell whether this many units can leave without passing the floor."""
        return self.floor is None or self.available - units >= self.floor


@cache
def desk_account_id(purpose: str, asset: str, network: str = "") -> UUID:
    """Return the id of the desk's own account for a purpose; there is one for each asset and network in a lane."""
    return declared_id("desk", purpose, asset, network)


class LedgerTransaction(Noun, frozen=True, kw_only=True, gc=False):
    """An all-or-nothing group of postings with a reason, and the order or reference it belongs to."""

    id: UUID
    reason: str
    order_id: UUID | None = None
    reference: str | None = None
    caller: str
    booked_at: datetime

    @property
    def key(self) -> UUID:
        """Return the transaction's id."""
        return self.id


class Posting(Noun, frozen=True, kw_only=True, gc=False):
    """One directed move of a positive number of units of one asset."""

    transaction_id: UUID
    number: int
    source_account_id: UUID
    destination_account_id: UUID
    asset: str
    units: int

    @property
    def key(self) -> tuple[UUID, int]:
        """Return the transaction and the posting's place in it."""
        return self.transaction_id, self.number


class Entry(Noun, frozen=True, kw_only=True, gc=False):
    """One account's side of a posting: signed units, the balance after, and the account's version after."""

    account_id: UUID
    account_version: int
    transaction_id: UUID
    posting_number: int
    units: int
    balance_after: int

    @property
    def key(self) -> tuple[UUID, int]:
        """Return the account and the entry's place in its history."""
        return self.account_id, self.account_version


class Hold(Noun, frozen=True, kw_only=True, gc=False):
    """Units reserved on an account for an order until captured or released."""

    id: UUID
    account_id: UUID
    order_id: UUID
    units: int
    state: str = OPEN
    placed_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> UUID:
        """Return the hold's id."""
        return self.id
