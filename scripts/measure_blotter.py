"""Measure what the console's blotter, search and order page cost: milliseconds of each, over a lane of many orders.

`python scripts/measure_blotter.py [orders] [accounts] [home]`. The lane is generated, with the triggers off, in an
embedded database: a throw-away one, or one of `home` that is kept for the next run. Of its three tenants one has nine
tenths of the orders; one order in a hundred is under way. Each order has one ledger transaction, which the treasury
takes part in.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from otcdesk.console.books.reads import transaction
from otcdesk.console.orders.filters import Filters
from otcdesk.console.orders.order_page import order_page
from otcdesk.console.orders.reads import blotter, count
from otcdesk.console.orders.search import found
from otcdesk.console.orders.timeline import timeline
from otcdesk.domain.products import LIFECYCLES
from otcdesk.storage.database import Reads, migrate
from otcdesk.storage.embedded import EmbeddedServer

LANE = 1
START = datetime(2026, 1, 1, tzinfo=UTC)
GAP_SECONDS = 25
RUNS = 9

TENANTS = [UUID(f"{n:032}") for n in (1, 2, 3)]

#: How often an order has ended so, in ten-thousandths or so of all: product, side, state, source, destination, weight.
ENDED = [
    ("conversion", "buy", "completed", "EUR", "USDC", 1000),
    ("conversion", "sell", "completed", "USDC", "EUR", 600),
    ("conversion", "buy", "expired", "EUR", "USDC", 200),
    ("conversion", "sell", "expired", "USDC", "EUR", 120),
    ("conversion", "buy", "cancelled", "EUR", "USDC", 80),
    ("conversion", "sell", "rejected", "USDC", "EUR", 15),
    ("conversion", "sell", "failed", "USDC", "EUR", 3),
    ("brokerage", "buy", "expired", "EUR", "BTC", 2000),
    ("brokerage", "sell", "expired", "BTC", "EUR", 800),
    ("brokerage", "buy", "finished", "EUR", "BTC", 1000),
    ("brokerage", "sell", "finished", "BTC", "EUR", 600),
    ("brokerage", "buy", "finished", "EUR", "GOLD", 1),
    ("brokerage", "buy", "failed", "EUR", "BTC", 20),
    ("payout", "sell", "settled", "USDC", "EUR", 1400),
    ("payout", "sell", "failed", "USDC", "EUR", 60),
    ("payout", "buy", "settled", "EUR", "USDC", 20),
    ("payout", "credit", "settled", "USDC", "USDC", 2),
    ("deposit", "fiat", "settled", "EUR", "EUR", 600),
    ("deposit", "asset", "settled", "USDC", "USDC", 350),
    ("deposit", "fiat", "refunded", "EUR", "EUR", 10),
    ("chain_payout", "send", "settled", "USDC", "USDC", 200),
    ("chain_payout", "send", "failed", "USDC", "USDC", 5),
    ("checkout", "fiat_out", "settled", "USDC", "EUR", 200),
    ("checkout", "fiat_in", "expired", "EUR", "USDC", 90),
    ("resale", "sell", "completed", "TOWER", "ECUR", 200),
    ("resale", "buy", "completed", "ECUR", "TOWER", 250),
    ("resale", "sell", "cancelled", "TOWER", "ECUR", 30),
    ("resale", "bid", "declined", "ECUR", "TOWER", 20),
]

#: And of those that are under way.
UNDER_WAY = [
    ("conversion", "buy", "debit_pending", "EUR", "USDC", 5),
    ("conversion", "buy", "pending_approval", "EUR", "USDC", 20),
    ("conversion", "buy", "paying", "EUR", "USDC", 10),
    ("conversion", "sell", "pending_approval", "USDC", "EUR", 10),
    ("brokerage", "buy", "created", "EUR", "BTC", 10),
    ("brokerage", "buy", "in_progress", "EUR", "BTC", 5),
    ("payout", "sell", "pending", "USDC", "EUR", 12),
    ("payout", "sell", "held", "USDC", "EUR", 3),
    ("payout", "sell", "filed", "USDC", "EUR", 5),
    ("deposit", "fiat", "pending", "EUR", "EUR", 5),
    ("chain_payout", "send", "pending", "USDC", "USDC", 2),
    ("checkout", "fiat_out", "open", "USDC", "EUR", 5),
    ("resale", "sell", "active", "TOWER", "ECUR", 20),
]

#: What waits for a rail in which state.
RAILS = {"paying": "chain", "in_progress": "venue", "pending": "payout"}

FACTS = """
select setseed(0.5);
insert into lanes (lane, name, kind, created_at) values (1, 'measured', 'sandbox', '2026-01-01');
insert into assets (lane, seq, code, scale)
select 1, 1, a.code, a.scale
from (values ('EUR', 2), ('USDC', 6), ('BTC', 8), ('GOLD', 3), ('TOWER', 0), ('ECUR', 2)) as a (code, scale);
insert into tenants (lane, seq, id, name, status)
select 1, 1, lpad(n::text, 32, '0')::uuid, 'Tenant ' || n, 'active' from generate_series(1, 3) as n;
"""

ACCOUNTS = """
insert into accounts (lane, seq, id, owner_id, purpose, asset, status, network, address, floor, balance, held, version)
select 1, 1, md5('account' || n)::uuid, lpad((1 + n % 3)::text, 32, '0')::uuid, 'cash', 'EUR', 'active', 'sepa',
    case n % 2
        when 0 then 'DE' || lpad((n % 97)::text, 2, '0') || lpad((n::bigint * 982451653)::text, 18, '0')
        else '0x' || substr(md5(n::text) || md5('x' || n), 1, 40)
    end,
    0, 1000, 0, 1
from generate_series(1, $1) as n
"""

ORDERS = """
insert into orders (
    lane, seq, id, tenant_id, product, side, state, version, source_account_id, source_asset, source_units,
    destination_account_id, destination_asset, destination_units, rate, quoted_rate, quoted_by, quoted_at,
    market_rate, market_source, market_at, ttl_seconds, expires_at, due_at, waits_for, rail_reference, created_at,
    updated_at, ended_at
)
select 1, n, d.id, lpad(case when t < 0.9 then '1' when t < 0.995 then '2' else '3' end, 32, '0')::uuid,
    s.product, s.side, s.state, 3, md5('account' || (1 + n % 1000))::uuid, s.source, 25000 + n % 1000,
    md5('account' || (1 + (n + 7) % 1000))::uuid, s.destination, 27000000, 1.08, 1.08, 'key', d.at, 1.0871,
    'ticker', d.at, 60, d.at + interval '1 minute',
    case when s.state in ('created', 'open', 'active') then d.at + interval '40 days' end, $6::jsonb ->> s.state,
    case when $6::jsonb ? s.state then d.id || ':2' end, d.at, d.at + interval '30 seconds',
    case when not r.under_way then d.at + interval '30 seconds' end
from (
    select g.n, random() as t, random() as p, g.n > $1 * 0.95 and random() < 0.2 as under_way
    from generate_series(1, $1::integer) as g (n)
) as r
cross join lateral (
    select $2::timestamptz + make_interval(secs => $3::double precision * n) as at,
        (lpad(to_hex((extract(epoch from $2::timestamptz) * 1000)::bigint + n::bigint * 25000), 12, '0')
            || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid as id
) as d
cross join lateral (
    select x ->> 0 as product, x ->> 1 as side, x ->> 2 as state, x ->> 3 as source, x ->> 4 as destination
    from (
        select m -> floor(r.p * jsonb_array_length(m))::integer as x
        from (select case when r.under_way then $5::jsonb else $4::jsonb end as m) as mix
    ) as picked
) as s
"""

ABOUT = """
insert into payments (
    lane, seq, order_id, tenant_id, kind, asset, fiat, rate, fiat_units, fee_units, surcharge_units, external_id,
    method_id
)
select 1, 1, id, tenant_id, 'payout', 'USDC', 'EUR', 0.92, 1000, 0, 0, 'pay-' || seq,
    md5('method' || seq % 100000)::uuid
from orders where product = 'payout';
insert into payment_methods (
    lane, seq, id, tenant_id, name, category, type, country, fiat, number, details, created_at
)
select 1, 1, md5('method' || n)::uuid, lpad('1', 32, '0')::uuid, 'm' || n, 'bank', 'BankSepa', 'DE', 'EUR',
    'DE' || lpad((n::bigint * 104729)::text, 20, '0'), '{}', '2026-01-01' from generate_series(0, 99999) as n;
insert into acceptances (lane, seq, order_id, tenant_id, party_id, external_id, accepted_at)
select 1, 1, id, tenant_id, id, 'ext-' || seq, created_at
from orders where product = 'brokerage' and state = 'finished';
insert into deposits (lane, seq, order_id, tenant_id, outside_id, method, network, address, hash)
select 1, 1, id, tenant_id, 'out-' || seq, case side when 'fiat' then 'bank' end,
    case side when 'asset' then 'base' end, case side when 'asset' then '0x1' end,
    case side when 'asset' then '0x' || md5(seq::text) || md5('h' || seq) end
from orders where product = 'deposit';
insert into events (lane, seq, order_id, order_version, tenant_id, name, state, caller, detail, happened_at)
select 1, seq, id, 3, tenant_id, product || '.settle', state, 'worker', 'rail-' || seq, updated_at
from orders where product in ('payout', 'chain_payout') and state = 'settled';
insert into idempotency_keys (lane, seq, owner_id, scope, idempotency_key, outcome, answer, used_at)
select 1, seq, tenant_id, 'confirm_conversion', 'key-' || seq, 'done',
    json_build_object('order', json_build_object('id', id))::text, created_at
from orders where product = 'conversion';
insert into ledger_transactions (lane, seq, id, reason, order_id, caller, booked_at)
select 1, seq, md5('booked' || seq)::uuid, 'conversion debit', id, 'worker', created_at from orders;
insert into postings (lane, seq, transaction_id, number, source_account_id, destination_account_id, asset, units)
select 1, seq, md5('booked' || seq)::uuid, 1, md5('payer' || seq)::uuid, md5('treasury')::uuid, 'EUR', 1 from orders;
insert into entries (
    lane, seq, account_id, account_version, transaction_id, posting_number, units, balance_after
)
select 1, o.seq, e.account_id, e.version, md5('booked' || o.seq)::uuid, 1, e.units, 1
from orders as o
cross join lateral (
    values (md5('treasury')::uuid, o.seq, 1), (md5('payer' || o.seq)::uuid, 1, -1)
) as e (account_id, version, units);
"""


def slots(mix: list[tuple[str, str, str, str, str, int]]) -> str:
    """Return each kind of order as often as it weighs, as JSON."""
    return json.dumps([row[:5] for row in mix for _ in range(row[5])])


async def generate(dsn: str, orders: int, accounts: int) -> None:
    """Fill lane 1."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("set session_replication_role = replica; set synchronous_commit = off")
    await connection.execute(FACTS)
    await connection.execute(ACCOUNTS, accounts)
    await connection.execute(ORDERS, orders, START, GAP_SECONDS, slots(ENDED), slots(UNDER_WAY), json.dumps(RAILS))
    await connection.execute(ABOUT)
    await connection.execute("vacuum analyze")
    await connection.close()


def filters_of(orders: int) -> dict[str, Filters]:
    """Return the filters to be measured: what people use, and what finds next to nothing."""
    month = {
        "created_from": START + timedelta(seconds=GAP_SECONDS * orders // 4),
        "created_to": START + timedelta(seconds=GAP_SECONDS * orders // 3),
    }
    large, middle, small = TENANTS
    return {
        "everything": Filters(),
        **{product: Filters(products=(product,)) for product in LIFECYCLES},
        "open": Filters(open_only=True),
        "needs attention": Filters(needs_attention=True),
        "pending approval": Filters(states=("pending_approval",)),
        "failed": Filters(states=("failed",)),
        "expired": Filters(states=("expired",)),
        "buy": Filters(sides=("buy",)),
        "EUR": Filters(asset="EUR"),
        "GOLD (1 in 10,000)": Filters(asset="GOLD"),
        "an asset of no order": Filters(asset="NONE"),
        "large tenant": Filters(tenant_id=large),
        "small tenant": Filters(tenant_id=small),
        "large tenant, open": Filters(tenant_id=large, open_only=True),
        "large tenant, bids": Filters(tenant_id=large, products=("resale",), sides=("bid",)),
        "middle tenant, failed": Filters(tenant_id=middle, states=("failed",)),
        "middle tenant, GOLD": Filters(tenant_id=middle, asset="GOLD"),
        "small tenant, open": Filters(tenant_id=small, open_only=True),
        "large tenant, open, EUR": Filters(tenant_id=large, open_only=True, asset="EUR"),
        "payouts settled, USDC": Filters(products=("payout",), states=("settled",), asset="USDC"),
        "an old month": Filters(**month),
        "an old month, rejected": Filters(states=("rejected",), **month),
    }


async def measured(work: Callable[[], Awaitable[object]]) -> str:
    """Return the median and the longest of several runs."""
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return f"{sorted(took)[RUNS // 2]:7.1f} {max(took):7.1f}"


async def measure(dsn: str, orders: int) -> None:
    """Print a row for each filter, search and page."""
    now = START + timedelta(seconds=GAP_SECONDS * orders + 60)
    async with Reads.opened(dsn, connections_max=2, statement_timeout_ms=60_000) as reads:
        print(f"{'blotter':28} {'median':>7} {'longest':>7}   {'of it the count':>15}   shown, counted")
        for name, filters in filters_of(orders).items():
            page = await blotter(reads, LANE, filters, now)
            both = await measured(lambda filters=filters: blotter(reads, LANE, filters, now))
            counting = await measured(lambda filters=filters: count(reads, LANE, filters, now))
            print(f"{name:28} {both}   {counting:>15}   {len(page.rows)}, {page.count.text}")
        quoted = await reads.pool.fetchrow(
            """select (select id::text from orders where seq = $1),
            (select hash from deposits where hash is not null limit 1),
            (select right(address, 6) from accounts limit 1), (select idempotency_key from idempotency_keys limit 1),
            (select external_id from acceptances limit 1), (select detail from events limit 1)""",
            orders // 2,
        )
        assert quoted is not None
        print(f"\n{'search':28} {'median':>7} {'longest':>7}   hits")
        for text in (*quoted, "%%%%", "x" * 200):
            hits = await found(reads, LANE, text)
            print(f"{text[:26]:28} {await measured(lambda text=text: found(reads, LANE, text))}   {len(hits)}")
        whole = await order_page(reads, LANE, UUID(quoted[0]), now)
        assert whole is not None
        moments = timeline(whole)
        page_ms = await measured(lambda: order_page(reads, LANE, UUID(quoted[0]), now))
        print(f"\n{'page of an order':28} {page_ms}   {len(moments)} moments")
        booked = whole.whole.transactions[0].id
        booked_ms = await measured(lambda: transaction(reads, LANE, booked))
        print(f"{'page of a ledger transaction':28} {booked_ms}")


def main(orders: int = 1_000_000, accounts: int = 100_000, home: str = "") -> None:
    """Generate the lane unless the home has one, and measure."""
    with tempfile.TemporaryDirectory() as throw_away:
        server = EmbeddedServer(Path(home or throw_away))
        dsn = server.start()
        try:
            asyncio.run(migrate(dsn))
            asyncio.run(_generated(dsn, orders, accounts))
            asyncio.run(measure(dsn, orders))
        finally:
            server.stop()


async def _generated(dsn: str, orders: int, accounts: int) -> None:
    async with Reads.opened(dsn, connections_max=1, statement_timeout_ms=60_000) as reads:
        there = await reads.value("orders", "count_of_lane", LANE)
    if not there:
        await generate(dsn, orders, accounts)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])
