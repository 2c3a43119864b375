"""What must be so of a lane's books at the end of a run, read from the rows themselves."""

from collections import defaultdict
from typing import TypeVar
from uuid import UUID

from otcdesk.domain.conversions import MACHINES
from otcdesk.domain.events import Event
from otcdesk.domain.keys import DONE, KeyRecord
from otcdesk.domain.ledger import OPEN, Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order, Trade
from otcdesk.engine.chain import GENESIS, VOID, digest, link_hash, unpack_writes
from tests.support.desk import AUDIT_KEY
from tests.support.memory_store import MemoryDatabase

N = TypeVar("N", bound=Noun)


def assert_sound(database: MemoryDatabase, lane: int) -> None:
    """Check a lane's chain and books."""
    _assert_chained(database, lane)
    _assert_booked(database, lane)
    _assert_lived(database, lane)


def all_of(database: MemoryDatabase, lane: int, noun: type[N]) -> list[N]:
    """Return all rows of a kind."""
    return [kept.row for kept in database.all(lane, noun)]  # type: ignore[misc]


def _assert_chained(database: MemoryDatabase, lane: int) -> None:
    """Every link follows from the one before; every row is what its last link wrote, and by it."""
    hash_before, at_before = GENESIS, None
    written: dict[tuple[int, bytes], tuple[int, bytes]] = {}
    for seq, batch in enumerate(database.links(lane), start=1):
        assert (batch.lane, batch.seq, batch.previous_hash) == (lane, seq, hash_before)
        assert batch.hash == link_hash(AUDIT_KEY, batch), f"link {seq} is not what its hash says"
        assert at_before is None or batch.at >= at_before, f"link {seq} was made before the one before it"
        assert batch.kind != VOID or (batch.writes, batch.notes) == (b"", "[]")
        hash_before, at_before = batch.hash, batch.at
        for write in unpack_writes(batch.writes):
            written[write.kind, write.key] = (seq, write.digest)
    found = {slot: (seq, digest(json)) for slot, (seq, json) in database.written(lane).items()}
    assert found == written


def _assert_booked(database: MemoryDatabase, lane: int) -> None:
    """Balances are sums of entries, entries are chains and sides of postings, what is held is held for somebody."""
    accounts = {account.id: account for account in all_of(database, lane, Account)}
    entries: dict[UUID, list[Entry]] = defaultdict(list)
    sides: dict[tuple[UUID, int], list[tuple[UUID, int]]] = defaultdict(list)
    for entry in all_of(database, lane, Entry):
        entries[entry.account_id].append(entry)
        sides[entry.transaction_id, entry.posting_number].append((entry.account_id, entry.units))
    held: dict[UUID, int] = defaultdict(int)
    for hold in all_of(database, lane, Hold):
        if hold.state == OPEN:
            held[hold.account_id] += hold.units
    totals: dict[str, int] = defaultdict(int)
    for account in accounts.values():
        totals[account.asset] += account.balance
        balance = 0
        history = sorted(entries.pop(account.id, []), key=lambda entry: entry.account_version)
        for version, entry in enumerate(history, start=1):
            balance += entry.units
            assert (entry.account_version, entry.balance_after) == (version, balance), entry
        assert (account.version, account.balance) == (len(history), balance), account
        assert account.held == held.pop(account.id, 0), account
        assert account.floor is None or account.balance - account.held >= account.floor, account
    assert not any(totals.values()), totals
    assert (entries, held) == ({}, {})
    transactions = {transaction.id for transaction in all_of(database, lane, LedgerTransaction)}
    posted = set()
    for posting in all_of(database, lane, Posting):
        posted.add(posting.transaction_id)
        expected = [(posting.source_account_id, -posting.units), (posting.destination_account_id, posting.units)]
        assert sorted(sides.pop(posting.key)) == sorted(expected), posting
        assert {accounts[account_id].asset for account_id, _ in expected} == {posting.asset}
    assert (sides, posted) == ({}, transactions)


def _assert_lived(database: MemoryDatabase, lane: int) -> None:
    """Orders went along their machine's table, one event for each version; holds and trades belong to their states."""
    orders = {order.id: order for order in all_of(database, lane, Order)}
    events: dict[UUID, list[Event]] = defaultdict(list)
    for event in all_of(database, lane, Event):
        events[event.order_id].append(event)
    trades = {trade.order_id: trade for trade in all_of(database, lane, Trade)}
    for order in orders.values():
        machine = MACHINES[order.side]
        state = machine.start
        history = sorted(events.pop(order.id, []), key=lambda event: event.order_version)
        for version, event in enumerate(history, start=2):
            state = machine.move(state, event.name.removeprefix(f"{order.product}."))
            assert (event.order_version, event.state) == (version, state), event
        assert (order.version, order.state) == (len(history) + 1, state), order
        trade = trades.pop(order.id, None)
        assert (trade is not None) == (order.state == "completed"), order
        if trade is not None:
            told = (trade.source_units, trade.destination_units, trade.executed_rate)
            assert told == (order.source_units, order.destination_units, order.rate), trade
    assert (events, trades) == ({}, {})
    named = {hold_id for order in orders.values() for hold_id in (order.pay_hold_id, order.collect_hold_id) if hold_id}
    assert named == {hold.id for hold in all_of(database, lane, Hold) if hold.state == OPEN}
    _assert_keyed(database, lane, orders)


def _assert_keyed(database: MemoryDatabase, lane: int, orders: dict[UUID, Order]) -> None:
    """No two keys stand for one ledger transaction, and a buy was debited once for its confirm."""
    records = all_of(database, lane, KeyRecord)
    effects = [record.answer for record in records if record.outcome == DONE and record.scope == "booking"]
    assert len(effects) == len(set(effects))
    debits: dict[UUID | None, int] = defaultdict(int)
    for transaction in all_of(database, lane, LedgerTransaction):
        if transaction.reason == "conversion debit":
            debits[transaction.order_id] += 1
    confirmed = {order.id: 1 for order in orders.values() if order.side == "buy" and order.confirmed_at is not None}
    assert debits == confirmed
