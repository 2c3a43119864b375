"""The schema: built once, and what it refuses whoever asks."""

import asyncio

import asyncpg
import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.domain.registry import KINDS
from otcdesk.storage.database import migrate
from tests.support.clocks import SteeredClock
from tests.support.databases import run_apart
from tests.support.desk import FA1, WA1, A, Lane, make_engine, new_lane, submit
from tests.support.populated import Story, brokered, paid_out
from tests.support.populated_bank_files import banked
from tests.support.populated_checkouts import checked_out
from tests.support.populated_deposits import deposited
from tests.support.populated_guards import guarded
from tests.support.populated_resales import resold

APPENDED = [kind.name for kind in KINDS if not kind.changes]
CHANGING = [kind.name for kind in KINDS if kind.changes]


async def test_migrations_are_applied_once_in_order(empty_dsn: str) -> None:
    first = await migrate(empty_dsn)
    assert first == sorted(first)
    assert first[0] == "0001_books.sql"
    assert await migrate(empty_dsn) == []


async def test_two_migrations_at_once_apply_each_file_once(empty_dsn: str) -> None:
    one, two = await asyncio.gather(migrate(empty_dsn), migrate(empty_dsn))
    assert [] in (one, two)
    assert one or two


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_dsn: str) -> None:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("create table faults (x int)")  # in the way of the first migration's last table
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty_dsn)
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    assert {row["tablename"] for row in tables} == {"faults", "schema_migrations"}
    await connection.execute("drop table faults")
    assert await migrate(empty_dsn)
    await connection.close()


async def test_tables_have_exactly_the_columns_of_their_nouns(database: asyncpg.Connection) -> None:
    for kind in KINDS:
        rows = await database.fetch(
            """select column_name from information_schema.columns
               where table_schema = 'public' and table_name = $1 order by ordinal_position""",
            kind.name,
        )
        assert [row["column_name"] for row in rows] == ["lane", "seq", *kind.fields], kind.name


async def test_primary_keys_are_the_lane_and_the_key_fields(database: asyncpg.Connection) -> None:
    for kind in KINDS:
        rows = await database.fetch(
            """select a.attname from pg_index i, unnest(i.indkey) with ordinality k (attnum, place)
               join pg_attribute a on a.attrelid = $1::text::regclass and a.attnum = k.attnum
               where i.indrelid = $1::text::regclass and i.indisprimary order by k.place""",
            kind.name,
        )
        assert [row["attname"] for row in rows] == ["lane", *kind.key_fields], kind.name


async def test_units_have_room_for_sums_of_the_largest_amounts(database: asyncpg.Connection) -> None:
    rows = await database.fetch(
        """select table_name, column_name, numeric_precision, numeric_scale from information_schema.columns
           where table_schema = 'public' and table_name <> 'notices' -- what a tenant says of its own balance
               and (column_name like '%units' or column_name in ('balance', 'held', 'floor', 'balance_after'))"""
    )
    assert len(rows) >= 10
    assert {(row["numeric_precision"], row["numeric_scale"]) for row in rows} == {(40, 0)}


@pytest.fixture(scope="module")
def full_lane(dsn: str) -> Lane:
    """Give a lane with rows of every kind: a completed order, one on its way, a fault, and all of brokerage."""

    async def fill() -> Lane:
        clock = SteeredClock()
        lane = await new_lane(dsn, clock=clock)
        async with make_engine(dsn, clock=clock) as engine:
            for finish in (True, False):
                quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
                order_id = (await submit(engine, lane.number, quote, owner_id=A)).order.id
                confirm = ConfirmConversion(order_id=order_id, side="buy")
                await submit(engine, lane.number, confirm, owner_id=A, key=str(order_id))
                order = (await submit(engine, lane.number, ApproveConversion(order_id=order_id))).order
                if finish:
                    leg = RecordLeg(order_id=order_id, reference=order.rail_reference, outcome="done")
                    await submit(engine, lane.number, leg)
            await submit(engine, lane.number, SetFault(rail="chain", mode="up", delay_ms=0))
            story = Story(engine, lane)
            await brokered(story, clock)
            await paid_out(story)
            await deposited(story)
            await checked_out(story, clock)
            await banked(story)
            await resold(story, clock)
            await guarded(story, clock)
        return lane

    return run_apart(fill())


@pytest.mark.parametrize("table", [kind.name for kind in KINDS])
async def test_rows_that_no_batch_wrote_are_refused(table: str, full_lane: Lane, database: asyncpg.Connection) -> None:
    """Write a row of the lane again, as another lane's."""
    insert = f"""
        insert into {table} select (json_populate_record(null::{table},
            (to_jsonb(t) || '{{"lane": 2147483647, "seq": 1}}')::json)).* from {table} t where t.lane = $1"""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute(insert, full_lane.number)
    assert caught.value.sqlstate == "OT002"
    assert await database.fetchval(f"select count(*) from {table} where lane = 2147483647") == 0


@pytest.mark.parametrize("table", CHANGING)
async def test_rows_are_changed_by_their_lanes_batches_only(
    table: str, full_lane: Lane, database: asyncpg.Connection
) -> None:
    for change in ("seq = seq", "seq = seq + 1"):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await database.execute(f"update {table} set {change} where lane = $1", full_lane.number)
        assert caught.value.sqlstate == "OT002"


@pytest.mark.parametrize("table", [*APPENDED, "batches"])
async def test_appended_rows_are_never_updated(table: str, lane: Lane, database: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute(f"update {table} set seq = seq where lane = $1", lane.number)
    assert caught.value.sqlstate == "OT003"


@pytest.mark.parametrize("table", [*(kind.name for kind in KINDS), "batches"])
async def test_nothing_is_ever_deleted(table: str, lane: Lane, database: asyncpg.Connection) -> None:
    for statement in (f"delete from {table} where lane = {lane.number}", f"truncate {table}"):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await database.execute(statement)
        assert caught.value.sqlstate == "OT003"


async def test_available_never_falls_below_the_floor_whatever_the_code_does(
    lane: Lane, database: asyncpg.Connection
) -> None:
    for change in ("balance = -1", "held = balance + 1", "floor = balance + 1", "held = -1"):
        with pytest.raises(asyncpg.CheckViolationError):
            await database.execute(f"update accounts set {change} where lane = $1 and id = $2", lane.number, FA1)


async def test_a_claim_to_be_one_batch_does_not_open_another(lane: Lane, database: asyncpg.Connection) -> None:
    transaction = database.transaction()
    await transaction.start()
    await database.execute("select set_config('otcdesk.batch', $1, true)", f"{lane.number}:99")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute("update accounts set label = 'mine' where lane = $1", lane.number)
    await transaction.rollback()
    assert caught.value.sqlstate == "OT002"


async def test_every_lane_has_its_own_books(dsn: str, database: asyncpg.Connection) -> None:
    one, two = await new_lane(dsn), await new_lane(dsn)
    assert one.number != two.number
    rows = await database.fetch(
        "select lane, balance from accounts where id = $1 and lane = any($2::int[]) order by lane",
        FA1,
        [one.number, two.number],
    )
    assert [tuple(row) for row in rows] == [(one.number, 1_000_000), (two.number, 1_000_000)]
