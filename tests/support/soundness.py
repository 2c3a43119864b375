"""Questions that sound books answer with nothing, asked of the tables in SQL of the tests' own."""

import asyncpg

from otcdesk.domain.registry import KINDS, pack_key
from otcdesk.engine.chain import GENESIS, link_hash, unpack_writes
from otcdesk.engine.store import Batch
from tests.support.desk import AUDIT_KEY

_QUESTIONS = {
    "an asset's balances do not sum to zero": """
        select asset, sum(balance) from accounts where lane = $1 group by asset having sum(balance) <> 0""",
    "a balance is not the sum of its entries": """
        select a.id, a.balance from accounts a where a.lane = $1 and a.balance <> coalesce((
            select sum(e.units) from entries e where e.lane = a.lane and e.account_id = a.id), 0)""",
    "an account's version is not the number of its entries": """
        select a.id, a.version from accounts a where a.lane = $1 and a.version <>
        (select count(*) from entries e where e.lane = a.lane and e.account_id = a.id)""",
    "an entry does not follow from the one before it": """
        select account_id, account_version from (
            select e.*, lag(balance_after, 1, 0) over w as before, lag(account_version, 1, 0::bigint) over w as was
            from entries e where lane = $1 window w as (partition by account_id order by account_version)) as e
        where balance_after <> before + units or account_version <> was + 1""",
    "what is held is not the sum of open holds": """
        select a.id, a.held from accounts a where a.lane = $1 and a.held <> coalesce((
            select sum(h.units) from holds h
            where h.lane = a.lane and h.account_id = a.id and h.state = 'open'), 0)""",
    "an account is below its floor": """
        select id from accounts where lane = $1 and floor is not null and balance - held < floor""",
    "a posting has not exactly its two entries": """
        select p.transaction_id, p.number from postings p left join entries e
            on e.lane = p.lane and e.transaction_id = p.transaction_id and e.posting_number = p.number
        where p.lane = $1 group by p.transaction_id, p.number, p.units, p.source_account_id, p.destination_account_id
        having count(*) <> 2
            or count(*) filter (where e.account_id = p.source_account_id and e.units = -p.units) <> 1
            or count(*) filter (where e.account_id = p.destination_account_id and e.units = p.units) <> 1""",
    "a closed order has an open hold": """
        select o.id from orders o join holds h on h.lane = o.lane and h.order_id = o.id
        where o.lane = $1 and h.state = 'open' and o.ended_at is not null""",
    "a completed order and its trade do not match": """
        select coalesce(o.id, t.order_id)
        from (
            select * from orders where lane = $1 and (
                state in ('completed', 'finished') or (state = 'settled' and side in ('buy', 'sell'))
            ) and product <> 'resale'
        ) as o
        full join (
            select t.* from trades t join orders o on o.lane = t.lane and o.id = t.order_id
            where t.lane = $1 and o.product <> 'resale'
        ) as t on t.order_id = o.id
        where o.id is null or t.order_id is null or o.source_units <> t.source_units
            or o.destination_units <> t.destination_units or o.rate <> t.executed_rate""",
    "a completed purchase and its trade, which is told from the seller's side, do not match": """
        select coalesce(o.id, t.order_id)
        from (
            select o.* from orders o join purchases p on p.lane = o.lane and p.order_id = o.id
            where o.lane = $1 and o.state = 'completed'
        ) as o
        full join (
            select t.* from trades t join purchases p on p.lane = t.lane and p.order_id = t.order_id where t.lane = $1
        ) as t on t.order_id = o.id
        where o.id is null or t.order_id is null or o.source_units <> t.destination_units
            or o.destination_units <> t.source_units or o.rate <> t.executed_rate""",
    "an order's events are not one for each version after the first": """
        select o.id, o.version from orders o where o.lane = $1 and o.version - 1 <>
        (select count(*) from events e where e.lane = o.lane and e.order_id = o.id)""",
}


async def assert_sound(dsn: str, lane: int, audit_key: bytes = AUDIT_KEY) -> None:
    """Ask every question of a lane and check its chain."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for fault, question in _QUESTIONS.items():
                found = await connection.fetch(question, lane)
                assert not found, f"{fault}: {[tuple(record) for record in found]}"
            await _assert_chained(connection, lane, audit_key)
    finally:
        await connection.close()


async def _assert_chained(connection: asyncpg.Connection, lane: int, audit_key: bytes) -> None:
    hash_before, seq_before = GENESIS, 0
    last_written: dict[tuple[int, bytes], int] = {}
    for record in await connection.fetch("select * from batches where lane = $1 order by seq", lane):
        batch = Batch(rows=[], **record)
        assert (batch.seq, batch.previous_hash) == (seq_before + 1, hash_before)
        assert link_hash(audit_key, batch) == batch.hash
        hash_before, seq_before = batch.hash, batch.seq
        for write in unpack_writes(batch.writes):
            last_written[write.kind, write.key] = batch.seq
    in_tables: dict[tuple[int, bytes], int] = {}
    for kind in KINDS:
        columns = ", ".join(kind.key_fields)
        for record in await connection.fetch(f"select seq, {columns} from {kind.name} where lane = $1", lane):
            in_tables[kind.number, pack_key(tuple(record)[1:])] = record["seq"]
    assert in_tables == last_written
