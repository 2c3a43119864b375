"""The store: one statement each way, all or nothing, and every error sorted into what it means."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Account
from otcdesk.domain.noun import Noun, as_written
from otcdesk.domain.parties import Tenant
from otcdesk.domain.registry import KINDS
from otcdesk.engine import chain
from otcdesk.engine.store import BadData, Batch, CommitUnknown, Encoded, FenceLost, Head, KeyTaken, StoreDown
from otcdesk.storage import postgres_store
from otcdesk.storage.database import engine_pool
from otcdesk.storage.postgres_store import PostgresStore
from otcdesk.storage.statements import TURN_CLASS, load_statement, save_statement
from tests.support.clocks import START
from tests.support.databases import run_apart
from tests.support.desk import AUDIT_KEY, FA1, FB1, A, Lane
from tests.support.waiting import until


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    pool = await engine_pool(dsn, connections_max=3, statement_timeout_ms=5_000)
    yield PostgresStore(pool)
    pool.terminate()


def next_batch(lane: Lane, head: Head, *rows: tuple[Noun, int | None], kind: str = chain.BATCH) -> Batch:
    return chain.link(
        AUDIT_KEY,
        lane=lane.number,
        seq=head.seq + 1,
        previous_hash=head.hash,
        at=head.at + timedelta(seconds=1),
        writer="tests",
        kind=kind,
        rows=[Encoded(row, chain.encode_row(row), was) for row, was in rows],
    )


async def head_of(store: PostgresStore, lane: Lane) -> Head:
    return (await store.load(lane.number, {})).head


async def test_a_lane_before_its_first_batch_has_a_head(store: PostgresStore) -> None:
    loaded = await store.load(2_000_000_000, {Account: [FA1]})
    assert (loaded.head.seq, loaded.head.hash, loaded.rows) == (0, chain.GENESIS, [])


async def test_what_was_saved_is_loaded(store: PostgresStore, lane: Lane) -> None:
    head = await head_of(store, lane)
    tenant, fault = Tenant(id=FA1, name="ünïcode ☃ \\ \" '"), Fault(rail="one", delay_ms=5)
    batch = next_batch(lane, head, (tenant, None), (fault, None))
    await store.save(batch)
    loaded = await store.load(lane.number, {Tenant: [FA1, FB1], Fault: ["one", "two"]})
    assert loaded.head == batch.head
    assert [(as_written(kept.row), kept.seq) for kept in loaded.rows] == [(fault, batch.seq), (tenant, batch.seq)]
    assert await store.standing(lane.number, batch.seq) == batch.hash
    assert await store.standing(lane.number, batch.seq + 1) is None


async def test_a_row_of_every_kind_can_be_asked_for_at_once(store: PostgresStore, lane: Lane) -> None:
    wants = {kind.noun: [_key(kind.noun)] for kind in KINDS}
    loaded = await store.load(lane.number, wants)
    assert loaded.head.seq == 1


def _key(noun: type[Noun]) -> object:
    kinds: dict[str, object] = {"UUID": FA1, "int": 1, "str": "x"}
    annotations = {name: getattr(kind, "__name__", "") for name, kind in noun.__annotations__.items()}
    fields = next(kind.key_fields for kind in KINDS if kind.noun is noun)
    values = tuple(kinds[annotations[field]] for field in fields)
    return values[0] if len(values) == 1 else values


async def test_a_batch_on_a_head_that_is_not_the_last_loses_the_fence(store: PostgresStore, lane: Lane) -> None:
    head = await head_of(store, lane)
    await store.save(next_batch(lane, head, (Fault(rail="one"), None)))
    with pytest.raises(FenceLost):
        await store.save(next_batch(lane, head, (Fault(rail="two"), None)))
    ahead = Head(head.seq + 5, head.hash, head.at)
    with pytest.raises(FenceLost):
        await store.save(next_batch(lane, ahead, (Fault(rail="two"), None)))
    now = await head_of(store, lane)
    with pytest.raises(FenceLost):
        await store.save(next_batch(lane, Head(now.seq, "f" * 64, now.at), (Fault(rail="two"), None)))
    assert not (await store.load(lane.number, {Fault: ["two"]})).rows


async def test_of_many_saves_at_once_on_one_head_exactly_one_stands(store: PostgresStore, lane: Lane) -> None:
    head = await head_of(store, lane)
    pools = [await engine_pool(lane.dsn, connections_max=1, statement_timeout_ms=5_000) for _ in range(5)]
    saves = [
        PostgresStore(pool).save(next_batch(lane, head, (Fault(rail=f"{number}"), None)))
        for number, pool in enumerate(pools)
    ]
    answers = await asyncio.gather(*saves, return_exceptions=True)
    for pool in pools:
        pool.terminate()
    assert sorted(type(answer).__name__ for answer in answers) == ["FenceLost"] * 4 + ["NoneType"]
    loaded = await store.load(lane.number, {Fault: [f"{number}" for number in range(5)]})
    assert len(loaded.rows) == 1
    assert loaded.head.seq == head.seq + 1


async def test_a_row_that_is_not_as_it_was_undoes_the_whole_batch(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    head = await head_of(store, lane)
    first = next_batch(lane, head, (Fault(rail="one"), None))
    await store.save(first)
    wrong = next_batch(lane, first.head, (Fault(rail="two"), None), (Fault(rail="one", delay_ms=9), first.seq - 1))
    with pytest.raises(StoreDown, match="batch changed 0 rows of faults where 1 were expected"):
        await store.save(wrong)
    assert await head_of(store, lane) == first.head
    assert [as_written(kept.row) for kept in (await store.load(lane.number, {Fault: ["one", "two"]})).rows] == [
        Fault(rail="one")
    ]


async def test_the_database_raises_ot001_for_it(database: asyncpg.Connection) -> None:
    assert await database.fetchval("select otcdesk_expect('faults', 1, 1)")
    for expected, changed in (("1", "0"), ("1", "2"), ("0", "1"), ("null", "1"), ("1", "null")):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await database.fetchval(f"select otcdesk_expect('faults', {expected}, {changed})")
        assert caught.value.sqlstate == "OT001"


async def test_a_used_key_is_told_apart_from_other_conflicts(store: PostgresStore, lane: Lane) -> None:
    record = KeyRecord(owner_id=A, scope="s", idempotency_key="k", outcome="done", answer="{}", used_at=START)
    first = next_batch(lane, await head_of(store, lane), (record, None), (Fault(rail="one"), None))
    await store.save(first)
    with pytest.raises(KeyTaken):
        await store.save(next_batch(lane, first.head, (record, None)))
    with pytest.raises(BadData):
        await store.save(next_batch(lane, first.head, (Fault(rail="one"), None)))
    assert await head_of(store, lane) == first.head


@pytest.mark.parametrize(
    "row",
    [
        Fault(rail="one", delay_ms=-1),
        Fault(rail="one", delay_ms=2**31),
        Tenant(id=FA1, name="a\x00b"),
        Tenant(id=FA1, name="n", status="no such status"),
        Account(id=FB1, owner_id=A, purpose="cash", asset="EUR", balance=-1),
        Account(id=FB1, owner_id=A, purpose="cash", asset="EUR", balance=10**41),
    ],
)
async def test_data_that_cannot_be_stored_is_bad_data(row: Noun, store: PostgresStore, lane: Lane) -> None:
    head = await head_of(store, lane)
    with pytest.raises(BadData):
        await store.save(next_batch(lane, head, (row, None)))
    assert await head_of(store, lane) == head
    await store.save(next_batch(lane, head, (Fault(rail="good"), None)))


@pytest.mark.parametrize("key", ["a\x00b", "\ud800"])
async def test_a_key_that_no_row_can_have_is_bad_data(key: str, store: PostgresStore, lane: Lane) -> None:
    with pytest.raises(BadData):
        await store.load(lane.number, {Fault: ["fine", key]})
    assert (await head_of(store, lane)).seq == 1


async def test_a_void_takes_the_place_and_changes_nothing(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    head = await head_of(store, lane)
    lost = next_batch(lane, head, (Fault(rail="one"), None))
    void = next_batch(lane, head, kind=chain.VOID)
    await store.save(void)
    with pytest.raises(FenceLost):
        await store.save(lost)
    assert await store.standing(lane.number, lost.seq) == void.hash != lost.hash


async def test_who_holds_the_turn_writes_and_others_do_not(store: PostgresStore, lane: Lane) -> None:
    other_pool = await engine_pool(lane.dsn, connections_max=1, statement_timeout_ms=5_000)
    other = PostgresStore(other_pool)
    head = await head_of(store, lane)
    async with store.turn(lane.number):
        with pytest.raises(FenceLost):
            await other.save(next_batch(lane, head, (Fault(rail="other"), None)))
        mine = next_batch(lane, head, (Fault(rail="mine"), None))
        await store.save(mine)
    await other.save(next_batch(lane, mine.head, (Fault(rail="other"), None)))
    await other.rest(lane.number)
    other_pool.terminate()


async def test_a_turn_is_given_back_even_when_its_holder_fails(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.turn(lane.number):
            raise ZeroDivisionError
    assert await database.fetchval("select pg_try_advisory_lock($1, $2)", TURN_CLASS, lane.number)
    await database.fetchval("select pg_advisory_unlock($1, $2)", TURN_CLASS, lane.number)


async def test_a_turn_goes_with_its_connection(store: PostgresStore, lane: Lane, database: asyncpg.Connection) -> None:
    async with store.turn(lane.number):
        await end_engines(database)
    assert await database.fetchval("select pg_try_advisory_lock($1, $2)", TURN_CLASS, lane.number)
    await database.fetchval("select pg_advisory_unlock($1, $2)", TURN_CLASS, lane.number)


async def test_a_turn_whose_holder_is_stopped_goes_to_who_waits(store: PostgresStore, lane: Lane) -> None:
    """A stopped process says nothing, and its connection stays; here nobody says anything in its place."""
    stopped = PostgresStore(store.pool, silence_ms_max=100)
    async with stopped.turn(lane.number):
        async with store.turn(lane.number):  # else it is waited for until the statement times out
            mine = next_batch(lane, await head_of(store, lane), (Fault(rail="mine"), None))
            await store.save(mine)
        # It goes on: on another connection, without the turn, on top of what was written.
        await stopped.save(next_batch(lane, await head_of(stopped, lane), (Fault(rail="late"), None)))
    async with stopped.turn(lane.number):
        pass
    connection = await stopped._connection(lane.number)
    assert await connection.fetchval("show idle_session_timeout") == "0", "without a turn silence is no fault"
    for one in (store, stopped):
        await one.rest(lane.number)


async def end_engines(database: asyncpg.Connection) -> None:
    await database.fetch(
        """select pg_terminate_backend(pid, 5000) from pg_stat_activity
           where application_name = 'otcdesk engine' and datname = current_database()"""
    )


async def somebody_waits(database: asyncpg.Connection) -> bool:
    return bool(
        await database.fetchval(
            """select count(*) from pg_locks l join pg_database d on d.oid = l.database
               where not granted and datname = current_database()"""
        )
    )


async def test_a_connection_lost_in_a_load_is_the_server_down_and_then_replaced(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    head = await head_of(store, lane)
    async with database.transaction():
        await database.execute("lock table faults in access exclusive mode")
        load = asyncio.create_task(store.load(lane.number, {Fault: ["one"]}))
        await until(lambda: somebody_waits(database), "the load waits for the table")
        await end_engines(database)
        with pytest.raises(StoreDown):
            await load
    assert await head_of(store, lane) == head


async def test_a_connection_lost_in_a_save_leaves_the_commit_unknown(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    head = await head_of(store, lane)
    async with database.transaction():
        await database.execute("lock table faults in exclusive mode")
        save = asyncio.create_task(store.save(next_batch(lane, head, (Fault(rail="one"), None))))
        await until(lambda: somebody_waits(database), "the save waits for the table")
        await end_engines(database)
        with pytest.raises(CommitUnknown):
            await save
    assert await head_of(store, lane) == head


@pytest.mark.parametrize(
    "state,severity,failure",
    [
        ("22P05", "ERROR", BadData),
        ("23514", "ERROR", BadData),
        ("54000", "ERROR", BadData),
        ("08006", "FATAL", CommitUnknown),
        ("57P01", "FATAL", CommitUnknown),
        ("57P01", "ERROR", CommitUnknown),
        ("57P02", "FATAL", CommitUnknown),
        ("XX000", "PANIC", CommitUnknown),
        ("XX000", "ERROR", asyncpg.InternalServerError),
        ("57014", "ERROR", StoreDown),
        ("40001", "ERROR", StoreDown),
        ("40P01", "ERROR", StoreDown),
        ("53100", "ERROR", StoreDown),
        ("25006", "ERROR", StoreDown),
        ("OT001", "ERROR", StoreDown),
        ("OT002", "ERROR", asyncpg.PostgresError),
    ],
)
def test_errors_of_a_save_are_sorted_by_what_is_known_after_them(
    state: str, severity: str, failure: type[Exception]
) -> None:
    error = asyncpg.PostgresError.new({"C": state, "S": severity, "V": severity, "M": "m"})
    assert isinstance(postgres_store._save_failure(error), failure)


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), asyncpg.InternalClientError(), KeyError()])
def test_without_the_servers_word_nothing_is_known_of_a_save(error: Exception) -> None:
    assert isinstance(postgres_store._save_failure(error), CommitUnknown)


@pytest.mark.parametrize("turns", range(6))
async def test_whenever_a_lost_connection_is_noticed_a_save_never_ends_otherwise(
    turns: int, store: PostgresStore, lane: Lane
) -> None:
    """The driver notices in steps, and says something else in each of them."""

    async def end_all() -> None:
        connection = await asyncpg.connect(lane.dsn)
        await end_engines(connection)
        await connection.close()

    head = await head_of(store, lane)
    run_apart(end_all())  # this loop stands still meanwhile
    for _ in range(turns):
        await asyncio.sleep(0)
    with contextlib.suppress(CommitUnknown):
        await store.save(next_batch(lane, head, (Fault(rail="one"), None)))
    assert (await head_of(store, lane)).seq in {head.seq, head.seq + 1}


async def test_a_caller_that_is_cancelled_in_a_save_leaves_no_connection_half_used(
    store: PostgresStore, lane: Lane, database: asyncpg.Connection
) -> None:
    head = await head_of(store, lane)
    await database.execute("begin")
    await database.execute("lock table faults in exclusive mode")
    save = asyncio.create_task(store.save(next_batch(lane, head, (Fault(rail="one"), None))))

    await until(lambda: somebody_waits(database), "the save waits for the table")
    save.cancel()
    with pytest.raises(asyncio.CancelledError):
        await save
    await database.execute("rollback")
    assert (await head_of(store, lane)).seq in {head.seq, head.seq + 1}


async def test_every_part_of_a_save_selects_from_the_fence() -> None:
    names = tuple(kind.name for kind in KINDS)
    statement = save_statement(names, names)
    for name in names:
        for part in (f"{name}_inserted as (", f"{name}_updated as ("):
            body = " ".join(statement.split(part)[1].split("returning 1")[0].split())
            assert "from fence cross join" in body, part


async def test_statements_are_made_once_for_each_shape() -> None:
    assert save_statement(("faults",), ()) is save_statement(("faults",), ())
    assert load_statement(("faults",)) is load_statement(("faults",))


async def test_loads_and_saves_go_by_primary_key_only(store: PostgresStore, lane: Lane) -> None:
    """However small the tables are now: a plan that reads a table from end to end would stay when it has grown."""
    connection = await store.pool.acquire()
    statement = load_statement(tuple(kind.name for kind in KINDS))
    await connection.execute(f"prepare loading ({', '.join(['int', *['json'] * len(KINDS)])}) as {statement}")
    arguments = ", ".join(["1", *["'[]'"] * len(KINDS)])
    plan = await connection.fetch(f"explain execute loading ({arguments})")
    text = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in text, text
    await connection.execute("deallocate loading")
    await store.pool.release(connection)
