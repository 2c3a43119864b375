"""Verify against real books: sound ones are sound, also while the desk writes, and no change goes unseen or unnamed."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.publish_price import PublishPrice, SwitchFeed
from otcdesk.actions.record_execution import RecordExecution
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.actions.record_payout import RecordPayout
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement, SetFault
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.clock import SystemClock
from otcdesk.domain.registry import KIND_NAMED, KINDS, Kind, pack_key
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.engine import chain
from otcdesk.engine.store import Batch, Encoded
from otcdesk.storage.verify import (
    ExportedHead,
    Finding,
    Pages,
    Report,
    describe,
    export_heads,
    reading_connection,
    verify,
    verify_over,
)
from otcdesk.storage.verify_findings import unpack_key
from otcdesk.storage.verify_lane import LaneReplay, newest
from tests.support.brokerage import OFFERS_WORLD, P, V, quoting
from tests.support.clocks import new_seed
from tests.support.desk import AUDIT_KEY, A, Lane, make_engine
from tests.support.payouts import B1, RAMP_WORLD, given, preparing, selling
from tests.support.populated import Story, populated
from tests.support.populated_guards import guards_moved
from tests.support.tampering import KEYS_OF, SMALL, Tampering, printed_key

MEDIUM = Pages(batches=100, batch_bytes=20_000, rows=100, lookups=20, sums=10)

LATER = datetime(2022, 1, 1, tzinfo=UTC)

CHANGING = [kind.name for kind in KINDS if kind.changes]


def names(report: Report, table: str, *keys: str) -> bool:
    return any(finding.table == table and finding.key in keys for finding in report.findings)


@asynccontextmanager
async def tampering_of(lane: Lane) -> AsyncIterator[Tampering]:
    tampering = await Tampering.at(lane.dsn, lane.number, random.Random(new_seed()))
    try:
        yield tampering
    finally:
        await tampering.connection.close()


async def test_books_in_which_everything_happened_are_sound(populated_lane: Lane) -> None:
    lanes = [populated_lane, await populated(populated_lane.dsn)]
    heads = await export_heads(populated_lane.dsn)
    stages = set()
    report = await verify(populated_lane.dsn, AUDIT_KEY, heads=heads[:1], progress=lambda told: stages.add(told.stage))
    assert report.findings == []
    assert report.sound
    assert report.heads == heads
    assert report.batches == sum(head.seq for head in heads)
    assert stages == {"batches", "invariants", *(kind.name for kind in KINDS)}
    connection = await reading_connection(populated_lane.dsn)
    assert report.rows == await connection.fetchval(f"select {' + '.join(map(_count, KIND_NAMED))}")
    assert (await verify_over(connection, AUDIT_KEY, lane=lanes[1].number, pages=SMALL)).findings == []
    await connection.close()


def _count(table: str) -> str:
    return f"(select count(*) from {table})"


async def test_everything_happened(populated_lane: Lane) -> None:
    lane = populated_lane
    connection = await asyncpg.connect(populated_lane.dsn)
    for table in KIND_NAMED:
        assert await connection.fetchval(f"select count(*) from {table} where lane = $1", lane.number), table
    states = {row[0] for row in await connection.fetch("select distinct side || ' ' || state from orders")}
    await connection.close()
    assert states == {
        *(f"buy {state}" for state in ("quoted", "requoted", "expired", "cancelled", "debit_pending")),
        *(f"buy {state}" for state in ("pending_approval", "paying", "completed", "rejected", "failed")),
        *(f"sell {state}" for state in ("collecting", "paying", "returning", "completed", "failed")),
        *(f"buy {state}" for state in ("created", "in_progress", "finished")),
        "sell finished",
        *(f"sell {state}" for state in ("pending", "held", "filed", "cancelling", "settled")),
        *(f"{side} settled" for side in ("buy", "credit", "debit", "asset")),
        *(f"fiat {state}" for state in ("pending", "settled", "failed", "refunded")),
        *(f"send {state}" for state in ("pending", "settled", "failed")),
        *(f"asset_in {state}" for state in ("confirmed", "settled")),
        *(f"fiat_in {state}" for state in ("open", "confirmed", "settled")),
        *(f"fiat_out {state}" for state in ("open", "confirmed", "settled", "failed", "expired")),
        *(f"sell {state}" for state in ("active", "withdrawing", "cancelled", "expired")),
        "buy pending",
        *(f"bid {state}" for state in ("active", "pending", "completed", "failed", "declined", "cancelled", "expired")),
        *(f"burn {state}" for state in ("pending", "completed", "failed")),
    }


async def test_every_column_is_in_the_digest(fresh_dsn: str) -> None:
    """The digest is made of the noun; a column that it lacked would not be protected."""
    connection = await asyncpg.connect(fresh_dsn)
    for kind in KINDS:
        columns = await connection.fetch(
            "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped",
            kind.name,
        )
        assert {column[0] for column in columns} == {"lane", "seq", *kind.fields}, kind.name
    await connection.close()


#: How many columns of each table a run changes that has not all the time: which, is drawn anew each time.
_COLUMNS = 2

#: So many tables are tampered with at once: each must be named for its own row, so that they share a run of verify.
_TOGETHER = 8


def handfuls(tampering: Tampering, tables: Iterable[str], size: int = _TOGETHER) -> Iterator[list[str]]:
    """Deal tables out at random; `batches` comes alone, for a batch that was touched vouches for no row of another."""
    dealt = list(tables)
    tampering.rng.shuffle(dealt)
    if "batches" in dealt:
        dealt.remove("batches")
        yield ["batches"]
    for first in range(0, len(dealt), size):
        yield dealt[first : first + size]


async def test_a_change_of_any_column_is_seen_and_named(populated_lane: Lane, fuzz_seconds: int | None) -> None:
    """Columns of every table, in a random row, to a random value: a few of each table's, and each alone for fuzz."""
    async with tampering_of(populated_lane) as tampering:
        until = time.monotonic() + (fuzz_seconds or 0)
        while True:
            columns = {table: tampering.rng.sample(found, len(found)) for table, found in tampering.columns.items()}
            rounds = max(map(len, columns.values())) if fuzz_seconds else _COLUMNS
            assert all(len(found) >= _COLUMNS for found in columns.values())
            for number in range(rounds):
                left = [table for table, found in columns.items() if number < len(found)]
                for tables in handfuls(tampering, left, 1 if fuzz_seconds else _TOGETHER):
                    await _change_and_verify(tampering, {table: columns[table][number] for table in tables})
            assert (await tampering.verify()).sound
            if time.monotonic() >= until:
                break


async def _change_and_verify(tampering: Tampering, columns: dict[str, Any]) -> None:
    """Change one row of each table, in one column."""
    async with tampering.undone():
        keys, done = {}, []
        for table, column in columns.items():
            place, keys[table] = await tampering.any_row(table)
            done.append(await tampering.change(table, column, place))
        report = await tampering.verify()
        for table, key in keys.items():
            assert names(report, table, key) or _last_batch(report, table, key), (table, key, done, report)


def _last_batch(report: Report, table: str, key: str) -> bool:
    """Tell whether a batch that is gone from the end of the chain is named by the rows that it wrote."""
    return table == "batches" and any(
        f"batch {key}, which does not exist" in finding.what for finding in report.findings
    )


async def test_a_row_that_is_gone_is_seen_and_named(populated_lane: Lane) -> None:
    async with tampering_of(populated_lane) as tampering:
        for deal in (KEYS_OF, *[("batches", "entries", "orders", "postings", "idempotency_keys")] * 3):
            for tables in handfuls(tampering, deal):
                await _delete_and_verify(tampering, tables)
        async with tampering.undone():
            await tampering.connection.execute("delete from batches where seq between 5 and 7")
            assert names(await tampering.verify(), "batches", "5 to 7")
        assert (await tampering.verify()).sound


async def _delete_and_verify(tampering: Tampering, tables: list[str]) -> None:
    """Delete one row of each table."""
    async with tampering.undone():
        keys = {}
        for table in tables:
            place, keys[table] = await tampering.any_row(table)
            await tampering.connection.execute(f"delete from {table} where ctid = '{place}'")
        report = await tampering.verify()
        for table, key in keys.items():
            assert names(report, table, key) or _last_batch(report, table, key), (table, key, report)


async def test_a_row_that_nobody_wrote_is_seen_and_named(populated_lane: Lane, fuzz_seconds: int | None) -> None:
    """A copy of a row under another key, as of a batch there is, of one to come, and of none; for fuzz all of these."""
    async with tampering_of(populated_lane) as tampering:
        newest = await tampering.connection.fetchval("select max(seq) from batches where lane = $1", tampering.lane)
        seqs = ["seq", str(newest + 1), "0", "-5"]
        for seq in seqs if fuzz_seconds else [None]:
            for tables in handfuls(tampering, KEYS_OF, 1 if fuzz_seconds else _TOGETHER):
                chosen = {table: seq or tampering.rng.choice(seqs) for table in tables}
                await _add_and_verify(tampering, chosen)
        assert (await tampering.verify()).sound


async def _add_and_verify(tampering: Tampering, seqs: dict[str, str]) -> None:
    """Add one row to each table, as of the given batch; a batch cannot be a second one of its own number."""
    async with tampering.undone():
        added = {}
        for table, seq in seqs.items():
            if (table, seq) != ("batches", "seq"):
                place, _ = await tampering.any_row(table)
                added[table] = await _copy(tampering, table, place, seq)
        report = await tampering.verify()
        for table, key in added.items():
            assert names(report, table, key), (table, seqs[table], key, report)


async def test_a_batch_outside_of_the_chain_vouches_for_nothing(populated_lane: Lane) -> None:
    """Nobody can put a batch into the chain, but beside it: it is named, and so are the rows that it lists."""
    async with tampering_of(populated_lane) as tampering:
        for table in ("orders", "entries"):
            async with tampering.undone():
                place, _ = await tampering.any_row(table)
                added = await _copy(tampering, table, place, "-5")
                row = await tampering.connection.fetchval(
                    f"select row_to_json(t)::text from {table} as t where seq = -5"
                )
                noun = msgspec.json.decode(row, type=KIND_NAMED[table].noun)
                written = chain.pack_writes([Encoded(noun, chain.encode_row(noun), None)])
                await tampering.connection.execute(
                    "insert into batches select lane, -5, previous_hash, hash, kind, at, writer, notes, $1 from batches"
                    " where lane = $2 and seq = 1",
                    written,
                    tampering.lane,
                )
                report = await tampering.verify()
                assert Finding(tampering.lane, "batches", "-5", "has a number that no batch has") in report.findings
                assert names(report, table, added)
        assert (await tampering.verify()).sound


async def _copy(tampering: Tampering, table: str, place: str, seq: str) -> str:
    columns = {column["name"]: column for column in tampering.columns[table]}
    chosen = KEYS_OF[table][-1]
    fresh = {
        "uuid": "gen_random_uuid()",
        "text": f"{chosen} || '2'",
        "integer": f"{chosen} + 100",
        "bigint": f"{chosen} + 100",
    }[columns[chosen]["type"]]
    selected = {name: name for name in columns} | {chosen: fresh, "seq": seq}
    added = await tampering.connection.fetchval(
        f"insert into {table} ({', '.join(selected)}) select {', '.join(selected.values())} from {table}"
        f" where ctid = '{place}' returning {printed_key(table)}"
    )
    return str(added)


#: A lane has one row of some of these, and of others two that are alike.
_ALIKE = {
    "conversion_terms",
    "lane_clocks",
    "faults",
    "spreads",
    "brokerage_terms",
    "notices",
    "payout_terms",
    "live_rules",
    "bank_accounts",
    "resale_terms",
    "holders",
    "currencies",
    "instruments",
    "branch_rules",
    "guard_terms",
}


async def test_rows_that_swapped_their_contents_are_seen_and_named(populated_lane: Lane) -> None:
    async with tampering_of(populated_lane) as tampering:
        for tables in handfuls(tampering, KEYS_OF):
            async with tampering.undone():
                swapped = [(table, key) for table in tables for key in await _swap(tampering, table)]
                report = await tampering.verify()
                for table, key in swapped:
                    assert names(report, table, key), (table, key, report)
        assert (await tampering.verify()).sound


async def _swap(tampering: Tampering, table: str) -> tuple[str, ...]:
    """Give the first row of a table the last one's content, and the other way round; returns their keys."""
    one_place, one_key = await tampering.any_row(table, 0)
    other_place, other_key = await tampering.any_row(table, -1)
    content = ", ".join(column["name"] for column in tampering.columns[table] if column["name"] not in KEYS_OF[table])
    contents = await tampering.connection.fetchval(
        f"select count(distinct ({content})) from {table} where ctid in ('{one_place}', '{other_place}')"
    )
    if contents == 1:
        assert table in _ALIKE
        return ()
    await tampering.connection.execute(
        f"update {table} as t set ({content}) = (select {content} from {table} as o where o.ctid ="
        f" case t.ctid when '{one_place}'::tid then '{other_place}'::tid else '{one_place}'::tid end)"
        f" where ctid in ('{one_place}'::tid, '{other_place}'::tid)"
    )
    return one_key, other_key


async def test_rows_restored_to_an_older_version_are_seen_and_named(populated_lane: Lane) -> None:
    """Every row that moved on since, with the content and the batch that it had: true once, but not now."""
    lane = populated_lane
    connection = await asyncpg.connect(populated_lane.dsn)
    for table in CHANGING:
        await connection.execute(f"create table older_{table} as table {table}")
    async with make_engine(populated_lane.dsn, clock=lane.clock) as engine:
        story = Story(engine, lane)
        await _move_every_changing_row(story, connection)
    await connection.close()
    tampering = await Tampering.at(populated_lane.dsn, lane.number, random.Random(new_seed()))
    restored = 0
    for tables in handfuls(tampering, CHANGING):
        async with tampering.undone():
            moved = [(table, key) for table in tables for key in await _restore(tampering, table)]
            report = await tampering.verify()
            for table, key in moved:
                assert names(report, table, key), (table, key, report)
            restored += len(moved)
    assert restored >= 20
    assert (await tampering.verify()).sound
    await tampering.connection.close()


async def _restore(tampering: Tampering, table: str) -> list[str]:
    """Put every row of a table that moved on back to what its older copy has; returns the keys of these."""
    names_of = ", ".join(column["name"] for column in tampering.columns[table])
    same = " and ".join(f"t.{field} = o.{field}" for field in ("lane", *KEYS_OF[table]))
    moved = await tampering.connection.fetch(
        f"update {table} as t set ({names_of}) = (select {names_of} from older_{table} as o where {same})"
        f" where exists (select from older_{table} as o where {same} and o.seq < t.seq)"
        f" returning {printed_key(table)}"
    )
    return [key for (key,) in moved]


async def _move_every_changing_row(story: Story, connection: asyncpg.Connection) -> None:
    await story.tell(SetClock(offset_ms=7, frozen_at=None))
    await story.tell(SetFault(rail="chain", mode="up", delay_ms=0))
    await story.tell(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=True))
    paying = await story.approve(await story.confirm(await story.buy()))
    waiting = await connection.fetch(
        "select id, rail_reference from orders where product = 'conversion' and waits_for is not null and id <> $1",
        paying.id,
    )
    for order_id, reference in waiting:
        assert (await story.tell(RecordLeg(order_id=order_id, reference=reference, outcome="done"))).applied
    await story.tell(SetDebitSettlement(after_ms=5))
    for order_id, reference in await connection.fetch(
        "select id, rail_reference from orders where waits_for = 'venue' and lane = $1", story.lane
    ):
        executed = RecordExecution(order_id=order_id, reference=reference, outcome="done", price=Decimal(50_000))
        assert (await story.tell(executed)).applied
    await story.tell(quoting("buy", "6.00"), P)
    await story.tell(SwitchTrading(asset="BTC", dividend_pending=True))
    await story.tell(SetParty(party_id=V, status="active", level_id=None, tax_bps=None))
    changed = OFFERS_WORLD
    for name, value, other in (
        ("validity_seconds", "60", "61"),
        ("margin_bps", "50", "51"),
        ("broker_cost", '"0.25"', '"0.26"'),
        ("title", '"General terms"', '"Terms"'),
        ("revenue_share_bps", "2000", "1999"),
    ):
        assert f"{name} = {value}" in changed
        changed = changed.replace(f"{name} = {value}", f"{name} = {other}")
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(changed))))
    await _move_what_payouts_are_made_from(story, connection)
    await guards_moved(story)


async def _move_what_payouts_are_made_from(story: Story, connection: asyncpg.Connection) -> None:
    for order_id, reference in await connection.fetch(
        "select id, rail_reference from orders where waits_for = 'payout' and lane = $1", story.lane
    ):
        assert (await story.tell(RecordPayout(order_id=order_id, reference=reference, outcome="done"))).applied
    unsold = (await story.tell(preparing("30.00"), B1)).prepared
    sell = selling(unsold)
    await story.tell(sell, B1, "at last")
    await story.tell(preparing(given=given(details="{}")), B1)
    changed = RAMP_WORLD
    for told, other in (
        ("slippage_bps = 100", "slippage_bps = 101"),
        ('fixed_fee = "0.50"', 'fixed_fee = "0.51"'),
        ('surcharge_percent = "0.5"', 'surcharge_percent = "0.6"'),
        ('"FirstName": "Ada"', '"FirstName": "Eva"'),
    ):
        assert told in changed
        changed = changed.replace(told, other)
    await story.tell(DeclareWorld(declaration=declaration_of(parse_world(changed))))


async def test_a_tail_that_was_cut_is_seen(populated_lane: Lane) -> None:
    """With its rows left behind it is seen by itself; with all its rows taken along only an exported head shows it."""
    async with tampering_of(populated_lane) as tampering:
        lane, connection = tampering.lane, tampering.connection
        newest = await connection.fetchval("select max(seq) from batches where lane = $1", lane)
        (head,) = await export_heads(populated_lane.dsn, lane)
        assert (await tampering.verify(head=head)).sound
        for cut in (1, 2, 9, newest):
            async with tampering.undone():
                await connection.execute("delete from batches where lane = $1 and seq > $2", lane, newest - cut)
                report = await tampering.verify()
                left = [f for f in report.findings if "which does not exist" in f.what]
                assert left, (cut, report)
        async with tampering.undone():
            # The last batch only quoted, so taking its rows along leaves the books as they were before it.
            await connection.execute("delete from batches where lane = $1 and seq = $2", lane, newest)
            await connection.execute("delete from orders where lane = $1 and seq = $2", lane, newest)
            assert (await tampering.verify()).sound
            report = await tampering.verify(head=head)
            assert report.findings == [
                Finding(lane, "batches", str(newest), "is gone, but its head was exported: the chain was cut before it")
            ]
        assert (await tampering.verify(head=head)).sound


async def test_a_chain_that_was_cut_and_grew_again_is_seen_by_an_exported_head(populated_lane: Lane) -> None:
    lane = populated_lane
    (head,) = await export_heads(populated_lane.dsn, lane.number)
    assert head is not None
    tampering = await Tampering.at(populated_lane.dsn, lane.number, random.Random(0))
    await tampering.connection.execute("set session_replication_role = replica")
    for table in ("batches", "orders"):
        await tampering.connection.execute(f"delete from {table} where lane = $1 and seq = $2", lane.number, head.seq)
    async with make_engine(populated_lane.dsn, clock=lane.clock) as engine:
        await Story(engine, lane).buy()
    assert (await tampering.verify()).sound
    kept = msgspec.json.decode(msgspec.json.encode(head), type=ExportedHead)
    assert names(await tampering.verify(head=kept), "batches", str(head.seq))
    with pytest.raises(ValueError, match="exported head"):
        await tampering.verify(lane=lane.number + 1, head=kept)
    await tampering.connection.close()


async def test_a_batch_under_another_key_is_seen_and_named(populated_lane: Lane) -> None:
    """Somebody without the audit key rewrites a row, its batch, and all hashes after it, with a key of their own."""
    async with tampering_of(populated_lane) as tampering:
        lane, connection = tampering.lane, tampering.connection
        for first in (1, tampering.rng.randrange(2, 30)):
            async with tampering.undone():
                previous = ""
                for record in await connection.fetch("select * from batches where lane = $1 order by seq", lane):
                    if record["seq"] < first:
                        previous = record["hash"]
                        continue
                    fields = dict(record) | {"previous_hash": previous or chain.GENESIS, "rows": ()}
                    previous = chain.link_hash(b"another key, of whoever rewrites", Batch(**fields))
                    await connection.execute(
                        "update batches set previous_hash = $3, hash = $4 where lane = $1 and seq = $2",
                        lane,
                        record["seq"],
                        fields["previous_hash"],
                        previous,
                    )
                report = await tampering.verify()
                newest = await connection.fetchval("select max(seq) from batches where lane = $1", lane)
                for seq in range(first, newest + 1):
                    assert names(report, "batches", str(seq))
                assert {finding.table for finding in report.findings} == {"batches"}
        assert (await tampering.verify()).sound


async def test_a_batch_that_was_changed_proves_no_row_missing(populated_lane: Lane) -> None:
    """Whoever adds rows to a batch's list names no row by it, not even one whose key no table could have."""
    async with tampering_of(populated_lane) as tampering:
        for name in ("orders", "postings", "faults"):
            key = [UUID(int=1), 2**40] if name == "postings" else ["a\0b" if name == "faults" else UUID(int=1)]
            packed = pack_key(tuple(key))
            listed = bytes([KIND_NAMED[name].number]) + len(packed).to_bytes(2, "big") + packed + bytes(16)
            async with tampering.undone():
                await tampering.connection.execute(
                    "update batches set writes = writes || $2 where lane = $1 and seq = 9", tampering.lane, listed
                )
                report = await tampering.verify()
                said = "does not have the hash that the audit key makes of its content"
                assert report.findings == [Finding(tampering.lane, "batches", "9", said)]


async def test_batches_of_meanwhile_are_checked_too(populated_lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the desk wrote since the run began vouches for rows, so its hashes are looked at before the end."""
    async with tampering_of(populated_lane) as tampering:
        now = await newest(tampering.connection, tampering.lane)
        assert now is not None
        heads = [msgspec.structs.replace(now, seq=now.seq - 20), now]

        async def older_at_first(_: Any, lane: int) -> ExportedHead:
            assert lane == now.lane
            return heads.pop(0)

        monkeypatch.setattr("otcdesk.storage.verify_lane.newest", older_at_first)
        assert (await tampering.verify()).sound
        async with tampering.undone():
            await tampering.connection.execute(
                "update batches set writer = 'me' where lane = $1 and seq = $2", now.lane, now.seq - 3
            )
            heads[:] = [msgspec.structs.replace(now, seq=now.seq - 20), now]
            assert names(await tampering.verify(), "batches", str(now.seq - 3))
        heads[:] = [msgspec.structs.replace(now, seq=now.seq + 1), now]
        assert names(await tampering.verify(), "batches", str(now.seq + 1))


async def test_a_batch_of_another_past_is_seen(populated_lane: Lane) -> None:
    """A link that the desk itself once made, before somebody cut it off: its hash is right, its place is not."""
    async with tampering_of(populated_lane) as tampering:
        lane, connection = tampering.lane, tampering.connection
        record = await connection.fetchrow("select * from batches where lane = $1 and seq = 7", lane)
        assert record is not None
        past = Batch(**dict(record) | {"notes": "[]", "rows": ()})
        async with tampering.undone():
            await connection.execute(
                "update batches set notes = $3, hash = $4 where lane = $1 and seq = $2",
                lane,
                past.seq,
                past.notes,
                chain.link_hash(AUDIT_KEY, past),
            )
            report = await tampering.verify()
            assert report.findings == [Finding(lane, "batches", "8", "does not name the hash of the batch before")]


async def test_rows_in_lanes_that_do_not_exist_are_seen_and_named(populated_lane: Lane) -> None:
    async with tampering_of(populated_lane) as tampering:
        for tables in handfuls(tampering, KEYS_OF):
            async with tampering.undone():
                keys = {}
                for table in tables:
                    place, keys[table] = await tampering.any_row(table)
                    await tampering.connection.execute(f"update {table} set lane = 99 where ctid = '{place}'")
                report = await tampering.verify()
                for table, key in keys.items():
                    assert Finding(99, table, key, "is in a lane that does not exist") in report.findings
        async with tampering.undone():
            await tampering.connection.execute("delete from lanes where lane = $1", tampering.lane)
            assert not (await tampering.verify()).sound
            assert names(await tampering.verify(lane=tampering.lane), "lanes", str(tampering.lane))
        async with tampering.undone():
            await tampering.connection.execute("insert into lanes values (99, 'empty', 'live', '2021-03-01', null)")
            report = await tampering.verify()
            assert [describe(finding) for finding in report.findings] == [
                "lane 99, lanes '99': has no batches, not even the first"
            ]
        async with tampering.undone():
            await tampering.connection.execute("insert into lanes values (99, 'begins', 'sandbox', now(), null)")
            assert (await tampering.verify()).sound


async def test_so_many_findings_are_kept_and_the_others_counted(
    populated_lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tampering_of(populated_lane) as tampering:
        monkeypatch.setattr("otcdesk.storage.verify.FINDINGS_MAX", 10)
        report = await verify_over(tampering.connection, b"not the audit key", pages=SMALL)
        batches = await tampering.connection.fetchval("select count(*) from batches")
        assert len(report.findings) == 10
        assert report.left_out == batches - 10


async def test_a_batch_that_cannot_be_read_is_named(populated_lane: Lane) -> None:
    """What only somebody with the audit key can write, or a fault of the engine: lists that are no lists."""
    async with tampering_of(populated_lane) as tampering:
        lane, connection = tampering.lane, tampering.connection
        (head,) = await export_heads(populated_lane.dsn, lane)
        assert head is not None
        order = KIND_NAMED["orders"].number
        for writes, said in (
            (b"\x07\xff", "legibly"),
            (b"\x63\x00\x00" + bytes(16), "kind 99"),
            (bytes([order]) + b"\x00\x03abc" + bytes(16), "cannot be read"),
            (bytes([order]) + b"\x00\x10" + bytes(16) + bytes(16), "is gone"),
        ):
            link = chain.link(AUDIT_KEY, lane=lane, seq=head.seq + 1, previous_hash=head.hash, at=LATER, writer="w")
            link = msgspec.structs.replace(link, writes=writes)
            link = msgspec.structs.replace(link, hash=chain.link_hash(AUDIT_KEY, link))
            async with tampering.undone():
                await connection.execute(
                    "insert into batches values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    *(getattr(link, name) for name in ("lane", "seq", "previous_hash", "hash", "kind", "at")),
                    *(link.writer, link.notes, link.writes),
                )
                report = await tampering.verify()
                assert [said in finding.what for finding in report.findings] == [True], (said, report)


async def test_a_desk_at_work_is_sound(
    populated_lane: Lane, monkeypatch: pytest.MonkeyPatch, fuzz_seconds: int | None
) -> None:
    """Rows move on between any two pages; none of it is a finding, and the sums agree at the first look."""

    async def look_closer(_: LaneReplay, kind: Kind, groups: set[int]) -> None:
        raise AssertionError(f"the sums of {kind.name} differ in {groups}")

    monkeypatch.setattr(LaneReplay, "_look_closer", look_closer)
    lane = populated_lane
    lane = Lane(number=lane.number, dsn=lane.dsn, clock=SystemClock())
    stop = asyncio.Event()
    async with make_engine(populated_lane.dsn, clock=lane.clock) as engine:
        story = Story(engine, lane)
        await _unsteered(story)

        async def work() -> int:
            done = 0
            while not stop.is_set():
                await story.leg(await story.approve(await story.confirm(await story.buy(A, units=100))))
                await story.leg(await story.approve(await story.confirm(await story.sell(A, units=90_000))))
                done += 1
            return done

        workers = [asyncio.create_task(work()) for _ in range(6)]
        connection = await reading_connection(populated_lane.dsn)
        batches = []
        for pages in (MEDIUM, Pages(), MEDIUM) if fuzz_seconds is None else (MEDIUM, Pages()) * 3:
            report = await verify_over(connection, AUDIT_KEY, pages=pages)
            assert report.findings == []
            batches.append(report.batches)
            await asyncio.sleep(0.01)
        stop.set()
        assert sum(await asyncio.gather(*workers)) >= 10
        await connection.close()
    assert batches[0] < batches[-1]
    assert (await verify(populated_lane.dsn, AUDIT_KEY)).sound


async def _unsteered(story: Story) -> None:
    pair = {"source_asset": "EUR", "destination_asset": "USDC"}
    await story.tell(SetClock(offset_ms=0, frozen_at=None))
    await story.tell(SwitchFeed(**pair, up=True))
    await story.tell(PublishPrice(**pair, rate=Decimal("1.09"), feed="ticker", stale_after_ms=None))


async def test_keys_are_read_back_as_they_were_packed() -> None:
    rng = random.Random(new_seed())
    samples: dict[Any, Callable[[], Any]] = {
        UUID: lambda: UUID(int=rng.getrandbits(128)),
        int: lambda: rng.randrange(-(2**63), 2**63),
        str: lambda: "".join(rng.choice("aé/\n€") for _ in range(rng.randrange(9))),
    }
    for kind in KINDS:
        types = {field.name: field.type for field in msgspec.structs.fields(kind.noun)}
        key = tuple(samples[types[name]]() for name in kind.key_fields)
        packed = pack_key(key)
        assert unpack_key(kind, packed) == key
        for wrong in (packed[:-1], packed + b"x", b""):
            with pytest.raises(ValueError):
                unpack_key(kind, wrong)
