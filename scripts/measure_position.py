"""Measure what the console's page of the position costs: milliseconds, over a lane of many accounts.

`python scripts/measure_position.py [accounts] [orders] [home]`. The lane is generated, with the triggers off, in an
embedded database: a throw-away one, or one of `home` that is kept for the next run. Its accounts are of many purposes,
assets and networks, a few of them the desk's; its orders are those of `measure_blotter.py`.
"""

import asyncio
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import asyncpg
from measure_blotter import GAP_SECONDS, LANE, START, generate, measured

from otcdesk.console.books.reads import trial_balance
from otcdesk.console.position.reads import position
from otcdesk.storage.database import Reads, migrate
from otcdesk.storage.embedded import EmbeddedServer

#: Every eighth account keeps what the blotter's accounts have: cash in EUR.
ACCOUNTS = """
update accounts as a set
    owner_id = case
        when h.n % 1000 = 0 then '00000000-0000-7000-8000-000000000001' else md5('owner' || h.n % 5000)::uuid
    end,
    purpose = case
        when h.n % 1000 = 0 then (array['treasury', 'fee_income', 'opening', 'adjustment'])[1 + h.n / 1000 % 4]
        else (array['cash', 'custody', 'holding', 'current', 'corporate', 'funds', 'inventory', 'escrow'])[1 + h.n % 8]
    end,
    asset = (array['EUR', 'USDC', 'BTC', 'GOLD', 'TOWER', 'ECUR'])[1 + h.n / 8 % 6],
    network = (array['', 'base', 'solana'])[1 + h.n / 48 % 3],
    balance = h.n * 1000003::numeric,
    held = h.n % 7,
    floor = case when h.n % 4000 <> 2000 then 0 end
from (select c.id, row_number() over (order by c.id)::integer as n from accounts as c where c.lane = 1) as h
where a.lane = 1 and a.id = h.id
"""


async def filled(dsn: str, accounts: int, orders: int) -> None:
    """Fill lane 1, unless it is there from the last time."""
    connection = await asyncpg.connect(dsn)
    is_there = await connection.fetchval("select exists (select from accounts where lane = $1)", LANE)
    if not is_there:
        await generate(dsn, orders, accounts)
        await connection.execute("set session_replication_role = replica; set synchronous_commit = off")
        await connection.execute(ACCOUNTS)
        await connection.execute("vacuum full analyze accounts")
    await connection.close()


async def measure(dsn: str, orders: int) -> None:
    """Print a row for each read."""
    now = START + timedelta(seconds=GAP_SECONDS * orders + 60)
    async with Reads.opened(dsn, connections_max=2, statement_timeout_ms=60_000) as reads:
        found = await position(reads, LANE, now)
        sides = [side for each in found.assets for side in (*each.own, *each.owed, *each.counterparts)]
        print(f"{'milliseconds':28} {'median':>7} {'longest':>7}")
        took = await measured(lambda: position(reads, LANE, now))
        print(f"{'position':28} {took}   {sum(side.accounts for side in sides)} accounts in {len(sides)} groups")
        print(f"{'trial balance':28} {await measured(lambda: trial_balance(reads, LANE))}")


async def run(dsn: str, accounts: int, orders: int) -> None:
    """Measure on a database."""
    await migrate(dsn)
    await filled(dsn, accounts, orders)
    await measure(dsn, orders)


def main() -> None:
    """Start a database and measure on it."""
    accounts, orders = [int(text) for text in (sys.argv[1:3] + ["100000", "20000"][len(sys.argv) - 1 :])[:2]]
    with tempfile.TemporaryDirectory(prefix="otcdesk-position-") as folder:
        server = EmbeddedServer(Path(sys.argv[3] if len(sys.argv) > 3 else folder))
        try:
            asyncio.run(run(server.start(), accounts, orders))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
