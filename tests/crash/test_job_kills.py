"""Kill the desk while jobs are on their way to the chain: every one ends by itself, and what it moves is moved once.

Users sell, cancel and buy meanwhile, and an administrator accepts, so that withdrawals, purchases and acceptances race.
The load is drawn from a printed seed (TEST_SEED repeats it). Most kills are placed, by relays that stop a statement of
the desk on its way to PostgreSQL or the answer on its way back.
"""

import asyncio
import random
from collections import Counter

from otcdesk.secret_files import load_or_make_key
from otcdesk.storage import verify as storage
from tests.support.clocks import seeds
from tests.support.crash_site import Victim
from tests.support.rail_site import Kill, RailSite, Window
from tests.support.resale_site import WINDOWS, Asked, Traders, all_done, resale_site
from tests.support.server import run_cli
from tests.support.soundness import assert_sound

SCHEDULE = [Kill(Victim.DESK, window) for window in (Window.ANY, Window.TAKEN, Window.SENT, Window.RECORDED)]
SCHEDULE_FOR_FUZZ = [Kill(victim, window) for victim in (Victim.DESK, Victim.MACHINE) for window in WINDOWS]

#: What somebody was told would be done has ended, and under the one reference that was recorded before it was asked.
_NOT_ENDED = """
    select id, state, waits_for, reference from jobs
    where lane = $1 and (waits_for is not null or reference <> id::text || ':job' or tries <> 1)"""

#: Per purchase that is completed one ledger transaction, and per failed one none.
_BOOKED_OTHERWISE_THAN_ONCE = """
    select o.id, o.state, count(t.id)
    from orders as o
    join purchases as p on p.lane = o.lane and p.order_id = o.id
    left join ledger_transactions as t on t.lane = o.lane and t.order_id = o.id
    where o.lane = $1
    group by o.id, o.state
    having count(t.id) <> case o.state when 'completed' then 1 else 0 end"""

#: Nothing that is over still holds what it held.
_HELD_FOR_NOTHING = """
    select h.order_id from holds as h join orders as o on o.lane = h.lane and o.id = h.order_id
    where h.lane = $1 and h.state = 'open' and o.ended_at is not null"""


async def test_a_job_that_was_asked_for_ends_once_whoever_dies(fuzz_seconds: int | None) -> None:
    schedule = SCHEDULE if fuzz_seconds is None else SCHEDULE_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        kills: Counter[Kill] = Counter()
        async with resale_site(seed) as (site, traders):
            for kill in random.Random(seed).sample(schedule, k=len(schedule)):
                await site.strike(kill)
                kills[kill] += 1
                await _assert_resumed(site, traders)
            await _assert_sound(site)
            jobs = await site.rows(
                "select kind || ' ' || state, count(*) from jobs where lane = $1 group by 1 order by 1", site.lane
            )
        assert kills == Counter(schedule)
        ended = dict(map(tuple, jobs))
        print({"kills": kills.total(), **ended})
        assert {"list completed", "withdraw completed", "purchase completed", "follow completed"} <= ended.keys()


async def _assert_resumed(site: RailSite, traders: Traders) -> None:
    """Assert that a new desk sees everything through by itself, and that the same key is the same transaction."""
    await site.begin_anew()
    await all_done(site)
    async with asyncio.TaskGroup() as askers:
        for asked in traders.transactions:
            askers.create_task(_assert_same(traders, asked))
    await all_done(site)
    assert not await site.rows(_NOT_ENDED, site.lane)
    assert not await site.rows(_BOOKED_OTHERWISE_THAN_ONCE, site.lane)
    assert not await site.rows(_HELD_FOR_NOTHING, site.lane)
    known = {told for told in traders.transactions.values() if told is not None}
    assert len(known) == await site.ask("select count(*) from jobs where lane = $1 and kind <> 'follow'", site.lane), (
        "not one transaction for each key"
    )
    traders.transactions = {asked: told for asked, told in traders.transactions.items() if told is not None}


async def _assert_same(traders: Traders, asked: Asked) -> None:
    told = await traders.outcome(asked)
    assert traders.transactions[asked] in {None, told}
    traders.transactions[asked] = told


async def _assert_sound(site: RailSite) -> None:
    """Assert that the chain, the invariants and the books are sound, by the product's means and the tests' own."""
    key = load_or_make_key(site.desk.home, "audit.key", may_make=False)
    report = await storage.verify(site.postgres.dsn(), key)
    assert report.sound, [storage.describe(finding) for finding in report.findings[:20]]
    await assert_sound(site.postgres.dsn(), site.lane, key)
    printed = await asyncio.to_thread(run_cli, site.desk, "verify")
    assert printed.endswith(" 0 findings.\n"), printed
    assert '"level":"error"' not in site.desk.log()
    assert "Traceback" not in site.desk.log()
