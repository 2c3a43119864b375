"""Kill the desk between a sale and its payout: it resumes by itself, and everybody is paid once, or not at all.

While it is killed an operator holds payouts and cancels some, so that a cancellation and a payout race at the provider.
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
from tests.support.payout_site import Asked, Sellers, payout_site
from tests.support.rail_site import Kill, RailSite, Window
from tests.support.server import run_cli
from tests.support.soundness import assert_sound

SCHEDULE = [*[Kill(Victim.DESK, window) for window in Window], Kill(Victim.MACHINE, Window.RECORDED)]
SCHEDULE_FOR_FUZZ = [Kill(victim, window) for victim in (Victim.DESK, Victim.MACHINE) for window in Window]

#: What the provider has done, what the books say of it, and what was sold, agree: each payout was paid once, by exactly
#: what was taken for it, or not at all. Each was asked for under one reference, the order's.
_DISAGREEING = """
    select o.id, v.reference, o.state, v.outcome
    from (select * from orders where lane = $1 and product = 'payout' and side = 'sell') as o
    full join (select * from simulated_payouts where lane = $1) as v on v.order_id = o.id
    left join payments as p on p.lane = o.lane and p.order_id = o.id
    where o.id is null or v.reference is null or not v.decided
        or v.reference <> o.id::text || ':payout' or v.units <> p.fiat_units or v.fiat <> p.fiat
        or o.state is distinct from case v.outcome when 'done' then 'settled' else 'failed' end"""

#: Per payout that is settled, one ledger transaction that pays it; per failed one, none.
_PAID_OTHERWISE_THAN_ONCE = """
    select o.id, o.state, count(t.id)
    from orders as o left join ledger_transactions as t on t.lane = o.lane and t.order_id = o.id
    where o.lane = $1 and o.product = 'payout' and o.side = 'sell'
    group by o.id, o.state
    having count(t.id) <> case o.state when 'settled' then 1 else 0 end"""


async def test_a_payout_that_was_sold_is_made_once_whoever_dies(fuzz_seconds: int | None) -> None:
    schedule = SCHEDULE if fuzz_seconds is None else SCHEDULE_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        kills: Counter[Kill] = Counter()
        async with payout_site(seed) as (site, sellers):
            for kill in random.Random(seed).sample(schedule, k=len(schedule)):
                await site.strike(kill)
                kills[kill] += 1
                await _assert_resumed(site, sellers)
            await _assert_sound(site)
            states = await site.rows(
                "select state, count(*) from orders where lane = $1 and product = 'payout' group by 1", site.lane
            )
            asked_again = await site.ask("select coalesce(sum(asked - 1), 0) from simulated_payouts")
            cancelled = await site.ask("select count(*) from simulated_payouts where detail = 'cancelled'")
        assert kills == Counter(schedule)
        assert asked_again > 0, "no kill made anybody ask the provider again"
        assert cancelled > 0, "nothing was cancelled"
        told = {"asked again": asked_again, "cancelled": cancelled}
        print({"kills": kills.total(), **told, **dict(map(tuple, states))})


async def _assert_resumed(site: RailSite, sellers: Sellers) -> None:
    """Assert that a new desk sees everything through by itself, and that the same nonce is the same payout."""
    sold = await site.rows(
        "select id from orders where lane = $1 and product = 'payout' and ended_at is null", site.lane
    )
    await site.begin_anew()
    await sellers.let_go()
    await site.all_ended()
    ended = await site.rows(
        "select id from orders where lane = $1 and id = any($2) and state in ('settled', 'failed')",
        site.lane,
        [row["id"] for row in sold],
    )
    assert len(ended) == len(sold), "a payout was lost"
    async with asyncio.TaskGroup() as askers:
        for asked in sellers.asked:
            askers.create_task(_assert_same(sellers, asked))
    await site.all_ended()
    assert not await site.rows(_DISAGREEING, site.lane)
    assert not await site.rows(_PAID_OTHERWISE_THAN_ONCE, site.lane)
    per_nonce = await site.ask("select count(*) from orders where lane = $1 and product = 'payout'", site.lane)
    assert per_nonce == len(sellers.asked), "not one payout for each nonce"


async def _assert_same(sellers: Sellers, asked: Asked) -> None:
    """Assert that the same nonce is answered with the same transaction, and with how it is now."""
    transaction = await sellers.outcome(asked)
    assert asked.transaction_id in {None, transaction["ID"]}
    if asked.transaction_id is not None:
        assert transaction["Status"] in {"Settled", "Failed"}
    asked.transaction_id = transaction["ID"]


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
