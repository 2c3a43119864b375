"""What every store does, asked of the one on PostgreSQL and of the one in memory that the simulation runs on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.bank_files import PayoutFile, StatementLine
from otcdesk.domain.brokerage import (
    AccountLevel,
    Agreement,
    BrokerageTerms,
    FirmQuote,
    Listing,
    Market,
    Notice,
    RevenueShare,
)
from otcdesk.domain.checkouts import Checkout
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.deposits import Deposit
from otcdesk.domain.guards import GuardTerms
from otcdesk.domain.jobs import Job
from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.lanes import Fault, LaneClock
from otcdesk.domain.ledger import Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.payouts import Channel, PartyProfile, PaymentMethod, PayoutTerms
from otcdesk.domain.pricing import Price, Spread
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.registry import KIND_OF, KINDS, Kind
from otcdesk.domain.resale_rules import ResaleDecision, ResaleRule
from otcdesk.domain.resales import Currency, Instrument, Purchase, Resale, ResaleTerms
from otcdesk.domain.rules import Rule, RuleExecution
from otcdesk.engine import chain
from otcdesk.engine.store import (
    BadData,
    Batch,
    CommitUnknown,
    Encoded,
    FenceLost,
    Head,
    KeyTaken,
    Store,
    StoreDown,
)
from otcdesk.storage.database import engine_pool
from otcdesk.storage.postgres_store import PostgresStore
from otcdesk.storage.statements import TURN_CLASS
from tests.support.clocks import START
from tests.support.desk import AUDIT_KEY
from tests.support.memory_store import MemoryDatabase, MemoryStore
from tests.support.waiting import until

FAILURES = (FenceLost, KeyTaken, BadData, StoreDown, CommitUnknown)
UNKNOWN_LANE = 2_000_000_000

ONE, TWO = UUID(int=1), UUID(int=2)

Row = tuple[Noun, int | None]


class Place(NamedTuple):
    """A lane with nothing in it, another one, ways to them, and whether somebody waits for the lane's turn."""

    lane: int
    other_lane: int
    store: Store
    another: Callable[[], Awaitable[Store]]
    somebody_waits: Callable[[], Awaitable[bool]]


@pytest.fixture(params=["postgres", "memory"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        database = MemoryDatabase()
        database.open_lane(1)
        database.open_lane(2)

        async def another_in_memory() -> Store:
            return MemoryStore(database)

        async def waits_in_memory() -> bool:
            return database.somebody_waits(1)

        yield Place(1, 2, MemoryStore(database), another_in_memory, waits_in_memory)
        return
    dsn: str = request.getfixturevalue("dsn")
    async with AsyncExitStack() as stack:
        questions = await asyncpg.connect(dsn)
        stack.push_async_callback(questions.close)
        lane, other_lane = [
            await questions.fetchval(
                """insert into lanes (lane, name, kind, created_at)
                   values (nextval('lane_numbers'), $1, 'sandbox', $2) returning lane""",
                f"test-{uuid4()}",
                START,
            )
            for _ in range(2)
        ]

        async def another() -> Store:
            pool = await engine_pool(dsn, connections_max=2, statement_timeout_ms=10_000)
            stack.callback(pool.terminate)
            return PostgresStore(pool)

        async def somebody_waits() -> bool:
            return bool(
                await questions.fetchval(
                    """select count(*) from pg_locks as l join pg_database as d on d.oid = l.database
                       where not granted and locktype = 'advisory' and classid = $1 and objid = $2
                       and datname = current_database()""",
                    TURN_CLASS,
                    lane,
                )
            )

        yield Place(lane, other_lane, await another(), another, somebody_waits)


def next_batch(place: Place, head: Head, *rows: Row, kind: str = chain.BATCH) -> Batch:
    return chain.link(
        AUDIT_KEY,
        lane=place.lane,
        seq=head.seq + 1,
        previous_hash=head.hash,
        at=max(head.at, START) + timedelta(microseconds=1),
        writer="tests",
        kind=kind,
        rows=[Encoded(row, chain.encode_row(row), was) for row, was in rows],
    )


async def head_of(place: Place) -> Head:
    return (await place.store.load(place.lane, {})).head


async def save(place: Place, *rows: Row) -> Head:
    """Save rows on top of whatever is there."""
    batch = next_batch(place, await head_of(place), *rows)
    await place.store.save(batch)
    return batch.head


async def kept(place: Place, *wants: tuple[type[Noun], Any]) -> list[tuple[Noun, int]]:
    asked: dict[type[Noun], list[Any]] = {}
    for noun, key in wants:
        asked.setdefault(noun, []).append(key)
    loaded = await place.store.load(place.lane, asked)
    rows = [(found.row, found.seq) for found in loaded.rows]
    return sorted(rows, key=lambda row: (KIND_OF[type(row[0])].number, str(row[0].key)))


# -- a row of every kind -------------------------------------------------------------------------------------------

#: What a value of a type may be, if no check says otherwise; two of each, so that a row can change.
_VALUES: dict[Any, tuple[Any, Any]] = {
    UUID: (UUID("0190a6f0-0000-7000-8000-0000000000ff"), UUID("0190a6f0-0000-7000-8000-0000000000fe")),
    int: (7, 8),
    str: ("ünïcode ☃ \\u0000 \" ' \t", ""),
    bool: (True, False),
    Decimal: (Decimal("1.0842"), Decimal("0.000001")),
    date: (date(2021, 3, 1), date(1999, 12, 31)),
    datetime: (
        datetime(2021, 3, 1, 9, 0, 0, 123_456, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ),
    tuple[UUID, ...]: ((ONE, TWO), ()),
    tuple[str, ...]: (('ü, {} " \\', "", "null"), ()),
}

#: Fields whose values the tables check.
_CHECKED: dict[tuple[type[Noun], str], tuple[Any, Any]] = {
    (Tenant, "status"): ("active", "suspended"),
    (Account, "status"): ("active", "inactive"),
    (Account, "floor"): (-(10**38), 0),
    (Account, "balance"): (10**40 - 1, 12),
    (Account, "held"): (0, 12),
    (Posting, "source_account_id"): (ONE, ONE),
    (Entry, "units"): (-(10**38), 1),
    (Hold, "state"): ("open", "captured"),
    (ConversionTerms, "id"): (1, 1),
    (ConversionTerms, "debit_settles_after_ms"): (2**62, 0),
    (LaneClock, "id"): (1, 1),
    (LaneClock, "offset_ms"): (-(2**63), 2**63 - 1),
    (Fault, "delay_ms"): (2**31 - 1, 0),
    (Fault, "price_bps"): (-9_999, 2**31 - 1),
    (Party, "status"): ("active", "inactive"),
    (Party, "account_type"): ("user", "business_user"),
    (Party, "tax_bps"): (10_000, 0),
    (BrokerageTerms, "id"): (1, 1),
    (Listing, "kind"): ("fiat", "asset"),
    (Market, "total_max"): (10**38, 8),
    (AccountLevel, "margin_bps"): (9_999, 0),
    (Agreement, "account_type"): ("user", "business_user"),
    (RevenueShare, "revenue_share_bps"): (10_000, 0),
    (FirmQuote, "defined_for"): ("fiat", "asset"),
    (FirmQuote, "total_units"): (10**38, 15),
    (FirmQuote, "tax_units"): (7, 7),
    (FirmQuote, "fiat_units"): (10**38 - 7, 8),
    (FirmQuote, "gain_units"): (-(10**38), 0),
    (Notice, "kind"): ("settlement", "top_up"),
    (PayoutTerms, "id"): (1, 1),
    (Channel, "category"): ("bank", "identifier"),
    (Channel, "max_units"): (10**38, 8),
    (Channel, "spread_bps"): (9_999, 0),
    (Channel, "rail"): ("payout", "by_hand"),
    (PartyProfile, "kind"): ("individual", "business"),
    (PaymentMethod, "category"): ("card", "bank"),
    (Rule, "state"): ("live", "done"),
    (Rule, "fired"): (2**31 - 1, 1),
    (Checkout, "category"): ("card", "bank"),
    (Checkout, "fee_bps"): (9_999, 0),
    (PayoutFile, "order_ids"): ((ONE, TWO), (TWO,)),
    (StatementLine, "direction"): ("debit", "credit"),
    (ResaleTerms, "id"): (1, 1),
    (ResaleTerms, "validity_seconds"): (2**31 - 1, 1),
    (Currency, "state"): ("deployed", "draft"),
    (Instrument, "state"): ("listed", "burnt"),
    (Instrument, "salable_percent"): (Decimal(100), Decimal("0.000001")),
    (Resale, "market"): ("otc", "secondary"),
    (Resale, "quantity"): (10**38, 24),
    (Purchase, "market"): ("otc", "secondary"),
    (Job, "kind"): ("list", "follow"),
    (Job, "market"): ("otc", "primary"),
    (ResaleRule, "side"): ("both", "sells"),
    (ResaleRule, "test"): ("unconditional", "absolute"),
    (ResaleRule, "action"): ("accept", "reject"),
    (StatementLine, "state"): ("unmatched", "set aside"),
    (GuardTerms, "id"): (1, 1),
}

#: Fields whose values a table checks against one another, where what is said of each alone does not fit.
_FITTING: dict[type[Noun], Callable[[int], dict[str, Any]]] = {
    Deposit: lambda which: {"network": "n", "address": "a", "method": None} if which else {"method": "m"} | _NO_CHAIN,
    RuleExecution: lambda which: {"order_id": ONE, "code": None} if which else {"order_id": None, "code": "c"},
    Job: lambda which: {"state": "failed", "waits_for": None, "error": "e"} if which else _UNDER_WAY,
    Purchase: lambda which: {"market": "secondary", "listing_id": TWO} if which else _PRIMARY,
    ResaleDecision: lambda which: {"rule_id": None, "action": None} if which else {"rule_id": ONE, "action": "reject"},
    Proposal: lambda which: _SECONDED if which else _OPEN,
    StatementLine: lambda which: {"order_id": None, "file_id": None, "reason": None if which else "r"},
}
_NO_CHAIN: dict[str, Any] = {"network": None, "address": None}
_UNDER_WAY: dict[str, Any] = {"state": "in_progress", "waits_for": "chain_job", "error": None}
_OPEN: dict[str, Any] = {"state": "open", "decided_by": None, "decided_at": None, "decided_why": None}
_SECONDED: dict[str, Any] = {
    "state": "carried_out",
    "proposed_by": "one",
    "decided_by": "another",
    "decided_at": datetime(2021, 3, 1, 9, 0, 0, 123_456, tzinfo=UTC),
}
_PRIMARY: dict[str, Any] = {"market": "primary", "listing_id": None}


def a_row(noun: type[Noun], which: Literal[0, 1] = 0, *, sparse: bool = False, **fields: Any) -> Noun:
    """Make a row of a kind with every field set, or with every field null that may be; `which` chooses the values."""
    kind = KIND_OF[noun]
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(noun).items():
        if name in noun.__struct_fields__:
            chosen = 0 if name in kind.key_fields else which
            options = get_args(hint) if get_origin(hint) in {Union, type(int | None)} else (hint,)
            if sparse and type(None) in options:
                values[name] = None
            elif get_origin(options[0]) is Literal:
                values[name] = get_args(options[0])[chosen]
            else:
                pair = _CHECKED.get((noun, name)) or _VALUES[options[0]]
                values[name] = pair[chosen]
    fitting = _FITTING[noun](which) if noun in _FITTING else {}
    return noun(**{**values, **fitting, **fields})


def a_fault(rail: str, delay_ms: int = 0) -> Fault:
    """Make a fault with every field said, as the desk writes them; what is not said comes back as null."""
    return Fault(rail=rail, delay_ms=delay_ms, reason=None, percent=None, price_bps=None)


def each_kind(*, changing: bool | None = None) -> pytest.MarkDecorator:
    kinds = [kind for kind in KINDS if changing is None or kind.changes is changing]
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


@each_kind()
@pytest.mark.parametrize("sparse", [False, True], ids=["full", "sparse"])
async def test_a_row_of_every_kind_is_loaded_as_it_was_saved(kind: Kind, sparse: bool, place: Place) -> None:
    row = a_row(kind.noun, sparse=sparse)
    head = await save(place, (row, None))
    assert await kept(place, (kind.noun, row.key)) == [(row, head.seq)]


@each_kind(changing=True)
@pytest.mark.parametrize("sparse", [False, True], ids=["full", "sparse"])
async def test_a_row_of_every_kind_that_changes_is_loaded_as_it_was_changed(
    kind: Kind, sparse: bool, place: Place
) -> None:
    row = a_row(kind.noun)
    first = await save(place, (row, None))
    changed = a_row(kind.noun, 1, sparse=sparse)
    assert changed.key == row.key
    second = await save(place, (changed, first.seq))
    assert await kept(place, (kind.noun, row.key)) == [(changed, second.seq)]
    await save(place, (row, second.seq))
    assert await kept(place, (kind.noun, row.key)) == [(row, second.seq + 1)]


@each_kind(changing=False)
async def test_a_row_of_every_other_kind_is_never_changed(kind: Kind, place: Place) -> None:
    row = a_row(kind.noun)
    first = await save(place, (row, None))
    with pytest.raises(Exception, match="never update") as caught:
        await save(place, (a_row(kind.noun, 1), first.seq))
    assert not isinstance(caught.value, FAILURES), "no failure that the engine would try again"
    assert await head_of(place) == first
    assert await kept(place, (kind.noun, row.key)) == [(row, first.seq)]


async def test_all_kinds_are_saved_changed_and_loaded_together(place: Place) -> None:
    rows = [a_row(kind.noun) for kind in KINDS]
    first = await save(place, *[(row, None) for row in rows])
    wants = [(type(row), row.key) for row in rows]
    assert [row for row, _ in await kept(place, *wants)] == rows
    changed = [a_row(kind.noun, 1) for kind in KINDS if kind.changes]
    second = await save(place, *[(row, first.seq) for row in changed], (a_fault(rail="new"), None))
    expected = [(a_row(kind.noun, 1), second.seq) if kind.changes else (a_row(kind.noun), first.seq) for kind in KINDS]
    assert await kept(place, *wants) == expected


# -- loads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", ["an empty one", "an unknown one"])
async def test_a_lane_before_its_first_batch_has_a_head(lane: str, place: Place) -> None:
    number = place.lane if lane == "an empty one" else UNKNOWN_LANE
    loaded = await place.store.load(number, {Account: [ONE]})
    assert (loaded.head.seq, loaded.head.hash, loaded.rows) == (0, chain.GENESIS, [])
    assert await place.store.standing(number, 1) is None


async def test_rows_that_do_not_exist_are_not_loaded(place: Place) -> None:
    wants = [(kind.noun, a_row(kind.noun).key) for kind in KINDS]
    assert await kept(place, *wants) == []
    head = await save(place, (a_fault(rail="one"), None))
    assert await kept(place, (Fault, "one"), (Fault, "two"), *wants) == [(a_fault(rail="one"), head.seq)]


async def test_a_load_tells_the_head_that_a_batch_left(place: Place) -> None:
    batch = next_batch(place, await head_of(place), (a_fault(rail="one"), None))
    await place.store.save(batch)
    assert (await place.store.load(place.lane, {Fault: ["one"]})).head == batch.head
    assert await place.store.standing(place.lane, 1) == batch.hash
    assert await place.store.standing(place.lane, 2) is None
    assert await place.store.standing(place.lane, 0) is None


@pytest.mark.parametrize(
    "noun, key",
    [
        (Fault, "a\x00b"),
        (Fault, "\ud800"),
        (KeyRecord, (ONE, "scope", "\x00")),
        (Posting, (ONE, 2**31)),
        (Entry, (ONE, 2**63)),
    ],
)
async def test_a_key_that_no_row_can_have_is_bad_data(noun: type[Noun], key: Any, place: Place) -> None:
    head = await save(place, (a_fault(rail="fine"), None))
    with pytest.raises(BadData):
        await place.store.load(place.lane, {noun: [key]})
    assert await kept(place, (Fault, "fine")) == [(a_fault(rail="fine"), head.seq)]


# -- the fence -----------------------------------------------------------------------------------------------------


async def test_a_batch_on_a_head_that_is_not_the_last_loses_the_fence(place: Place) -> None:
    before = await head_of(place)
    now = await save(place, (a_fault(rail="one"), None))
    others = (before, Head(now.seq + 5, now.hash, now.at), Head(now.seq, "f" * 64, now.at), Head(-5, now.hash, now.at))
    for head in others:
        with pytest.raises(FenceLost):
            await place.store.save(next_batch(place, head, (a_fault(rail="two"), None)))
    assert await head_of(place) == now
    assert await kept(place, (Fault, "two")) == []


async def test_the_same_batch_twice_loses_the_fence(place: Place) -> None:
    batch = next_batch(place, await head_of(place), (a_fault(rail="one"), None), (a_row(KeyRecord), None))
    await place.store.save(batch)
    for store in (place.store, await place.another()):
        with pytest.raises(FenceLost):
            await store.save(batch)
    assert await head_of(place) == batch.head


async def test_of_many_saves_at_once_on_one_head_exactly_one_stands(place: Place) -> None:
    head = await head_of(place)
    stores = [await place.another() for _ in range(5)]
    saves = [store.save(next_batch(place, head, (a_fault(rail=f"{n}"), None))) for n, store in enumerate(stores)]
    answers = await asyncio.gather(*saves, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["FenceLost"] * 4 + ["NoneType"]
    assert len(await kept(place, *[(Fault, f"{number}") for number in range(5)])) == 1
    assert (await head_of(place)).seq == head.seq + 1


async def test_two_writers_in_turn_see_each_others_rows(place: Place) -> None:
    other = place._replace(store=await place.another())
    head = await save(place, (a_fault(rail="one"), None))
    for delay_ms in range(1, 7):
        writer, reader = (place, other) if delay_ms % 2 else (other, place)
        head = await save(writer, (a_fault(rail="one", delay_ms=delay_ms), head.seq))
        assert await kept(reader, (Fault, "one")) == [(a_fault(rail="one", delay_ms=delay_ms), head.seq)]


async def test_a_lane_that_does_not_exist_has_no_batches(place: Place) -> None:
    nowhere = place._replace(lane=UNKNOWN_LANE)
    with pytest.raises(BadData):
        await save(nowhere, (a_fault(rail="one"), None))
    with pytest.raises(FenceLost):
        await nowhere.store.save(next_batch(nowhere, Head(7, "f" * 64, START)))


async def test_a_void_takes_the_place_and_changes_nothing(place: Place) -> None:
    head = await save(place, (a_fault(rail="one"), None))
    lost = next_batch(place, head, (a_fault(rail="one", delay_ms=1), head.seq))
    void = next_batch(place, head, kind=chain.VOID)
    await place.store.save(void)
    with pytest.raises(FenceLost):
        await place.store.save(lost)
    assert await place.store.standing(place.lane, lost.seq) == void.hash != lost.hash
    assert await kept(place, (Fault, "one")) == [(a_fault(rail="one"), head.seq)]
    after = next_batch(place, void.head, (a_fault(rail="one", delay_ms=1), head.seq))
    await place.store.save(after)
    assert await head_of(place) == after.head


# -- rows as they were ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stale", ["older", "newer", "missing"])
async def test_a_row_that_is_not_as_it_was_undoes_the_whole_batch(stale: str, place: Place) -> None:
    first = await save(place, (a_fault(rail="one"), None))
    second = await save(place, (a_fault(rail="one", delay_ms=1), first.seq))
    rail, was = {"older": ("one", first.seq), "newer": ("one", second.seq + 1), "missing": ("two", second.seq)}[stale]
    with pytest.raises(StoreDown, match="batch changed 0 rows of faults where 1 were expected"):
        await save(place, (a_fault(rail="three"), None), (a_fault(rail=rail, delay_ms=9), was))
    assert await head_of(place) == second
    rows = await kept(place, (Fault, "one"), (Fault, "two"), (Fault, "three"))
    assert rows == [(a_fault(rail="one", delay_ms=1), second.seq)]


@each_kind()
async def test_a_row_that_exists_is_not_added_again(kind: Kind, place: Place) -> None:
    head = await save(place, (a_row(kind.noun), None))
    taken = KeyTaken if kind.noun is KeyRecord else BadData
    with pytest.raises(taken):
        await save(place, (a_fault(rail="beside"), None), (a_row(kind.noun, 1), None))
    assert await head_of(place) == head
    assert await kept(place, (kind.noun, a_row(kind.noun).key), (Fault, "beside")) == [(a_row(kind.noun), head.seq)]


@each_kind()
async def test_a_row_is_not_added_twice_at_once(kind: Kind, place: Place) -> None:
    with pytest.raises(KeyTaken if kind.noun is KeyRecord else BadData):
        await save(place, (a_row(kind.noun), None), (a_row(kind.noun, 1), None))
    assert (await head_of(place)).seq == 0


async def test_a_row_that_is_new_in_its_batch_was_not_there_before(place: Place) -> None:
    with pytest.raises(StoreDown):
        await save(place, (a_fault(rail="one"), None), (a_fault(rail="one", delay_ms=1), 1))
    assert (await head_of(place)).seq == 0


async def test_rows_of_other_lanes_are_others(place: Place) -> None:
    """Keys are unique within a lane only."""
    elsewhere = place._replace(lane=place.other_lane)
    rows = [(a_row(kind.noun), None) for kind in KINDS]
    await save(place, *rows)
    await save(elsewhere, *rows)
    changed = await save(elsewhere, (a_row(Fault, 1), 1))
    assert await kept(place, (Fault, a_row(Fault).key)) == [(a_row(Fault), 1)]
    assert await kept(elsewhere, (Fault, a_row(Fault).key)) == [(a_row(Fault, 1), changed.seq)]


# -- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        a_row(ListedAsset, scale=19),
        a_row(ListedAsset, scale=-1),
        a_row(Tenant, status="no such status"),
        a_row(Tenant, name="a\x00b"),
        a_row(Account, status="closed"),
        a_row(Account, held=-1),
        a_row(Account, version=-1),
        a_row(Account, version=2**63),
        a_row(Account, floor=0, balance=5, held=6),
        a_row(Account, floor=-1, balance=-2, held=0),
        a_row(Account, balance=10**40),
        a_row(Account, floor=None, balance=-(10**40)),
        a_row(LedgerTransaction, reference="\x00"),
        a_row(Posting, number=0),
        a_row(Posting, units=0),
        a_row(Posting, units=-1),
        a_row(Posting, units=10**40),
        a_row(Posting, destination_account_id=ONE),
        a_row(Entry, account_version=0),
        a_row(Entry, units=0),
        a_row(Hold, units=0),
        a_row(Hold, state="lost"),
        a_row(Order, version=0),
        a_row(Order, version=2**31),
        a_row(Order, source_units=0),
        a_row(Order, destination_units=0),
        a_row(Order, rate=Decimal(0)),
        a_row(Order, approved_units=10**40),
        a_row(Order, dialect_data='{"a":"\x00"}'),
        a_row(Trade, source_units=0),
        a_row(Trade, destination_units=-1),
        a_row(Trade, executed_rate=Decimal(0)),
        a_row(KeyRecord, idempotency_key="a\x00"),
        a_row(Price, stale_after_ms=2**63),
        a_row(Spread, bps=-1),
        a_row(Spread, bps=10_000),
        a_row(ConversionTerms, id=2),
        a_row(ConversionTerms, ttl_seconds=0),
        a_row(LaneClock, id=0),
        a_row(LaneClock, offset_ms=-(2**63) - 1),
        a_row(Fault, delay_ms=-1),
        a_row(Fault, delay_ms=2**31),
    ],
    ids=lambda row: KIND_OF[type(row)].name,
)
async def test_data_that_cannot_be_stored_is_bad_data(row: Noun, place: Place) -> None:
    with pytest.raises(BadData):
        await save(place, (a_fault(rail="good"), None), (row, None))
    assert (await head_of(place)).seq == 0
    assert await kept(place, (Fault, "good")) == []
    await save(place, (a_fault(rail="good"), None))


@pytest.mark.parametrize(
    "row",
    [
        a_row(Tenant, status="gone"),
        a_row(Account, balance=5, held=6, floor=0),
        a_row(Hold, units=-1),
        a_row(Order, version=0),
        a_row(Fault, delay_ms=2**31),
    ],
    ids=lambda row: KIND_OF[type(row)].name,
)
async def test_a_row_that_exists_is_not_changed_into_bad_data(row: Noun, place: Place) -> None:
    head = await save(place, (a_row(type(row)), None))
    with pytest.raises(BadData):
        await save(place, (row, head.seq))
    assert await kept(place, (type(row), row.key)) == [(a_row(type(row)), head.seq)]


@pytest.mark.parametrize(
    "row",
    [
        a_row(ListedAsset, scale=18),
        a_row(Account, floor=None, balance=-(10**40) + 1, held=0),
        a_row(Account, floor=-5, balance=0, held=5),
        a_row(Account, version=2**63 - 1),
        a_row(Entry, units=10**40 - 1, balance_after=-(10**40) + 1),
        a_row(Order, rate=Decimal("123456789012345678901234567890.123456"), dialect_data="\\u0000 \\\\u0000"),
        a_row(Spread, bps=9_999),
        a_row(Fault, rail="", delay_ms=2**31 - 1),
    ],
    ids=lambda row: KIND_OF[type(row)].name,
)
async def test_data_at_the_edge_of_what_can_be_stored_is_stored(row: Noun, place: Place) -> None:
    head = await save(place, (row, None))
    assert await kept(place, (type(row), row.key)) == [(row, head.seq)]


@pytest.mark.parametrize(
    "json",
    [
        b'{"rail":"one","mode":"up"}',
        b'{"rail":"one","mode":null,"delay_ms":1}',
        b'{"mode":"up","delay_ms":1}',
        b'{"rail":"one","mode":"up","delay_ms":"many"}',
    ],
    ids=["missing", "null", "no key", "no number"],
)
async def test_what_does_not_fit_the_columns_is_bad_data(json: bytes, place: Place) -> None:
    batch = next_batch(place, await head_of(place), (a_fault(rail="one"), None))
    with pytest.raises(BadData):
        await place.store.save(msgspec.structs.replace(batch, rows=[Encoded(a_fault(rail="one"), json, None)]))
    assert (await head_of(place)).seq == 0


@pytest.mark.parametrize("fields", [{"notes": "a\x00b"}, {"writer": "\x00"}, {"kind": "neither"}])
async def test_a_link_that_cannot_be_stored_is_bad_data(fields: dict[str, str], place: Place) -> None:
    batch = next_batch(place, await head_of(place), (a_fault(rail="one"), None))
    with pytest.raises(BadData):
        await place.store.save(msgspec.structs.replace(batch, **fields))
    assert (await head_of(place)).seq == 0


# -- the turn ------------------------------------------------------------------------------------------------------


async def test_who_holds_the_turn_writes_and_others_do_not(place: Place) -> None:
    other = place._replace(store=await place.another())
    head = await head_of(place)
    async with place.store.turn(place.lane):
        with pytest.raises(FenceLost):
            await other.store.save(next_batch(place, head, (a_fault(rail="other"), None)))
        assert await kept(other, (Fault, "other")) == []
        await save(place, (a_fault(rail="mine"), None))
    await save(other, (a_fault(rail="other"), None))
    assert (await head_of(place)).seq == 2


async def test_a_turn_is_given_back_even_when_its_holder_fails(place: Place) -> None:
    other = place._replace(store=await place.another())
    with pytest.raises(ZeroDivisionError):
        async with place.store.turn(place.lane):
            raise ZeroDivisionError
    await save(other, (a_fault(rail="other"), None))


async def test_who_waits_for_the_turn_comes_before_who_does_not(place: Place) -> None:
    first, second = place, place._replace(store=await place.another())
    third = place._replace(store=await place.another())
    has_turn = asyncio.Event()

    async def wait_and_write() -> None:
        async with second.store.turn(place.lane):
            has_turn.set()
            await save(second, (a_fault(rail="second"), None))

    async with first.store.turn(place.lane):
        waiting = asyncio.create_task(wait_and_write())
        await until(place.somebody_waits, "the second waits for its turn")
        assert not has_turn.is_set()
        await save(first, (a_fault(rail="first"), None))
        with pytest.raises(FenceLost):
            await save(third, (a_fault(rail="third"), None))
    await waiting
    await save(third, (a_fault(rail="third"), None))
    rows = await kept(place, (Fault, "first"), (Fault, "second"), (Fault, "third"))
    assert [(row.key, seq) for row, seq in rows] == [("first", 1), ("second", 2), ("third", 3)]


async def test_a_store_that_rests_goes_on_afterwards(place: Place) -> None:
    for number in range(3):
        await place.store.rest(place.lane)
        await save(place, (a_fault(rail=f"{number}"), None))
        assert not place.store.crowded()
    await place.store.rest(place.lane)
    await place.store.rest(UNKNOWN_LANE)
    assert (await head_of(place)).seq == 3
