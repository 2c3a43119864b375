"""The books as pages show them: the chart of accounts, statements, ledger transactions and the trial balance.

Accounts have names for people ("Acme · main (EUR)"). Lists go on after their last row (keyset), so a page costs the
same wherever it is. A statement's period is a range of an account's entries, which number from 1 without a gap; its
opening balance is what the entry before left, so every page of it adds up.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.console.names import account_name
from otcdesk.console.orders.states import OPEN_PLACES
from otcdesk.console.position.reads import KEPT_FOR_OTHERS
from otcdesk.domain.ledger import Hold, LedgerTransaction
from otcdesk.storage.database import Reads

_SQL = "console_books"

#: Rows on a page, unless asked for otherwise, and at most.
PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 500

#: What the desk owns, what others have with it, and the other sides of both.
SIDES: Final = ("own", "owed", "counterpart")

#: Open holds of an account that are shown at most.
HOLDS_MAX: Final = 200

#: Longer texts are looked for by their beginning.
TEXT_LENGTH_MAX: Final = 100


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account with whose it is: a tenant's, of one of its parties or branches, or the desk's. Units are `scale`d."""

    id: UUID
    owner_id: UUID
    purpose: str
    asset: str
    scale: int
    label: str | None
    status: str
    network: str
    address: str | None
    floor: int | None
    balance: int
    held: int
    version: int
    tenant: str | None
    tenant_id: UUID | None
    party: str | None
    branch: str | None

    @property
    def available(self) -> int:
        """Return what may be spent without passing the floor."""
        return self.balance - self.held - (self.floor or 0)

    @property
    def name(self) -> str:
        """Return what people call it: whose, what for, of what and where."""
        whose = (self.tenant, self.party or self.branch)
        return account_name(self, " · ".join(name for name in whose if name))


class AccountFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which accounts: of a tenant with its parties and branches, an asset, a purpose, with a text in their names.

    `side` is one of `SIDES`, as the position has them; `held`: only those on which something is held.
    """

    tenant_id: UUID | None = None
    asset: str | None = None
    purpose: str | None = None
    text: str | None = None
    side: str | None = None
    held: bool = False


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a statement: what for, by whom, and which account was on the other side."""

    version: int
    units: int
    balance_after: int
    transaction_id: UUID
    reason: str
    reference: str | None
    caller: str
    booked_at: datetime
    order_id: UUID | None
    product: str | None
    counter_account_id: UUID
    counter_account: str = ""


class Extent(NamedTuple):
    """A period of a statement: its first and last version (an empty one ends before it begins), and what was there."""

    since: datetime | None
    until: datetime | None
    first: int
    last: int
    opening: int
    closing: int

    @property
    def entries(self) -> int:
        """Return how many there are."""
        return self.last - self.first + 1


class Statement(NamedTuple):
    """A page of an account's statement; `older` and `newer` are versions from which its neighbours go on."""

    account: AccountRow
    extent: Extent
    rows: tuple[StatementRow, ...]
    older: int | None
    newer: int | None


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open hold with what its order is."""

    hold: Hold
    product: str
    side: str
    state: str


class PostingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A posting with what both accounts had after it."""

    number: int
    asset: str
    scale: int
    units: int
    source_account_id: UUID
    source_version: int
    source_balance: int
    destination_account_id: UUID
    destination_version: int
    destination_balance: int
    source_account: str = ""
    destination_account: str = ""


class TransactionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger transaction with its postings."""

    transaction: LedgerTransaction
    postings: tuple[PostingRow, ...]


class TrialBalance(msgspec.Struct, frozen=True, kw_only=True):
    """What all accounts of an asset have together; `total` is nothing in sound books."""

    asset: str
    scale: int
    accounts: int
    above: int
    below: int
    total: int
    held: int


async def chart(
    reads: Reads,
    lane: int,
    wanted: AccountFilter | None = None,
    *,
    after: AccountRow | None = None,
    limit: int = PAGE_SIZE,
) -> list[AccountRow]:
    """Return a page of the accounts by owner, the desk's first, purpose, asset and id; `after` ended the one before."""
    wanted = wanted or AccountFilter()
    place = (after.owner_id, after.purpose, after.asset, after.id) if after else (None,) * 4
    text = _searched(wanted.text)
    size = max(1, min(limit, PAGE_SIZE_MAX))
    asked = (wanted.tenant_id, _known(wanted.asset), _known(wanted.purpose), text, size)
    beside = (wanted.side, sorted(KEPT_FOR_OTHERS), wanted.held)
    return await reads.rows(_SQL, "chart", AccountRow, lane, *place, *asked, *beside)


def _searched(text: str | None) -> str | None:
    """Return a text as names are searched for it, None for one that is none; the database knows no NUL."""
    return (text or "").replace("\0", "").strip()[:TEXT_LENGTH_MAX].lower() or None


def _known(name: str | None) -> str | None:
    return None if not name else name.replace("\0", "")


async def account(reads: Reads, lane: int, account_id: UUID) -> AccountRow | None:
    """Return one account, None if the lane has none of this id."""
    return await reads.row(_SQL, "account", AccountRow, lane, account_id)


async def names(reads: Reads, lane: int, account_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the names of some accounts."""
    wanted = list(set(account_ids))
    found = await reads.rows(_SQL, "accounts", AccountRow, lane, wanted) if wanted else []
    return {row.id: row.name for row in found}


async def extent_of(
    reads: Reads, lane: int, of: AccountRow, since: datetime | None = None, until: datetime | None = None
) -> Extent:
    """Return what a statement from one time to before another covers, as the account is in `of`.

    In a sandbox whose clock was set back, times do not rise with the entries, and one of the places where they pass the
    time is taken: the entries are still one range and add up.
    """
    first = 1 if since is None else await reads.value(_SQL, "first_at", lane, of.id, since)
    last = of.version if until is None else await reads.value(_SQL, "first_at", lane, of.id, until) - 1
    last = max(min(last, of.version), first - 1)
    opening, closing = [await _balance_at(reads, lane, of.id, version) for version in (first - 1, last)]
    return Extent(since, until, first, last, opening, closing)


async def _balance_at(reads: Reads, lane: int, account_id: UUID, version: int) -> int:
    found = await reads.value(_SQL, "balance_at", lane, account_id, version) if version > 0 else None
    return int(found or 0)


async def statement(
    reads: Reads,
    lane: int,
    account_id: UUID,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    from_version: int | None = None,
    limit: int = PAGE_SIZE,
) -> Statement | None:
    """Return a page of an account's statement, the newest first; None if the lane has no such account.

    `from_version` is the newest on the page: an `older` or `newer` of another page.
    """
    of = await account(reads, lane, account_id)
    if of is None:
        return None
    extent = await extent_of(reads, lane, of, since, until)
    size = max(1, min(limit, PAGE_SIZE_MAX))
    newest = extent.last if from_version is None else max(extent.first, min(from_version, extent.last))
    rows = await entries(reads, lane, of.id, extent.first, newest, size=size, newest_first=True)
    older = rows[-1].version - 1 if rows and rows[-1].version > extent.first else None
    newer = min(newest + size, extent.last) if newest < extent.last else None
    return Statement(of, extent, tuple(rows), older, newer)


async def entries(
    reads: Reads, lane: int, account_id: UUID, first: int, last: int, *, size: int, newest_first: bool = False
) -> list[StatementRow]:
    """Return at most so many of an account's entries between two versions, with the names of the other accounts."""
    found = await reads.rows(_SQL, "statement", StatementRow, lane, account_id, first, last, newest_first, size)
    named = await names(reads, lane, (row.counter_account_id for row in found))
    return [msgspec.structs.replace(row, counter_account=named.get(row.counter_account_id, "")) for row in found]


async def transaction(reads: Reads, lane: int, transaction_id: UUID) -> TransactionRow | None:
    """Return one ledger transaction with its postings, None if the lane has none of this id."""
    found = await reads.row(_SQL, "transaction", TransactionRow, lane, transaction_id)
    if found is None:
        return None
    sides = [(posting.source_account_id, posting.destination_account_id) for posting in found.postings]
    named = await names(reads, lane, (side for both in sides for side in both))
    postings = tuple(
        msgspec.structs.replace(
            posting,
            source_account=named.get(posting.source_account_id, ""),
            destination_account=named.get(posting.destination_account_id, ""),
        )
        for posting in found.postings
    )
    return msgspec.structs.replace(found, postings=postings)


async def holds(reads: Reads, lane: int, account_id: UUID) -> list[HoldRow]:
    """Return the open holds on an account, the oldest first."""
    places = sorted(OPEN_PLACES)
    under_way = ([getattr(place, part) for place in places] for part in ("product", "side", "state"))
    return await reads.rows(_SQL, "holds", HoldRow, lane, account_id, *under_way, HOLDS_MAX)


async def transactions_of(
    reads: Reads, lane: int, order_ids: Iterable[UUID]
) -> dict[UUID | None, list[LedgerTransaction]]:
    """Return the ledger transactions of some orders, by order, the oldest first."""
    found: dict[UUID | None, list[LedgerTransaction]] = {}
    for booked in await reads.rows(_SQL, "of_orders", LedgerTransaction, lane, list(order_ids)):
        found.setdefault(booked.order_id, []).append(booked)
    return found


async def trial_balance(reads: Reads, lane: int) -> list[TrialBalance]:
    """Return what all accounts of each asset have together."""
    return await reads.rows(_SQL, "trial_balance", TrialBalance, lane)
