"""Kill the desk between an offer's acceptance and its outcome: it resumes by itself, and is executed once.

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
from tests.support.execution_site import Asked, Traders, execution_site
from tests.support.rail_site import Kill, RailSite, Window
from tests.support.server import run_cli
from tests.support.soundness import assert_sound

WINDOWS = [window for window in Window if window is not Window.CANCELLED]  # nobody cancels a trade
SCHEDULE = [*[Kill(Victim.DESK, window) for window in WINDOWS], Kill(Victim.MACHINE, Window.RECORDED)]
SCHEDULE_FOR_FUZZ = [Kill(victim, window) for victim in (Victim.DESK, Victim.MACHINE) for window in WINDOWS]

#: What the venue has done, what the books say of it, and what was accepted, agree.
_DISAGREEING = """
    select coalesce(o.id::text, v.reference), o.state, o.reason, v.done, v.price, t.approved_market_rate
    from (select * from orders where lane = $1 and confirmed_at is not null) as o
    full join (select * from simulated_executions where lane = $1) as v on split_part(v.reference, ':', 1) = o.id::text
    left join trades as t on t.lane = o.lane and t.order_id = o.id
    where o.id is null or v.reference is null
        or o.state is distinct from case when v.done then 'finished' else 'failed' end
        or t.approved_market_rate is distinct from v.price"""


async def test_an_offer_that_was_accepted_is_executed_once_whoever_dies(fuzz_seconds: int | None) -> None:
    schedule = SCHEDULE if fuzz_seconds is None else SCHEDULE_FOR_FUZZ
    for seed in seeds(fuzz_seconds):
        kills: Counter[Kill] = Counter()
        async with execution_site(seed) as (site, traders):
            for kill in random.Random(seed).sample(schedule, k=len(schedule)):
                await site.strike(kill)
                kills[kill] += 1
                await _assert_resumed(site, traders)
            await _assert_sound(site)
            states = await site.rows(
                "select state, count(*) from orders where lane = $1 and confirmed_at is not null group by 1", site.lane
            )
            asked_again = await site.ask("select coalesce(sum(asked - 1), 0) from simulated_executions")
        assert kills == Counter(schedule)
        assert asked_again > 0, "no kill made anybody ask the venue again"
        print({"kills": kills.total(), "asked again": asked_again, **dict(map(tuple, states))})


async def _assert_resumed(site: RailSite, traders: Traders) -> None:
    """Assert that a new desk sees everything through by itself, and that whoever asks again hears how it went."""
    under_way = await site.rows("select id from orders where lane = $1 and waits_for is not null", site.lane)
    await site.begin_anew()
    await site.all_ended()
    ended = await site.rows(
        "select id::text from orders where lane = $1 and id = any($2) and state in ('finished', 'failed')",
        site.lane,
        [row["id"] for row in under_way],
    )
    assert len(ended) == len(under_way), "an accepted offer was lost"
    assert not await site.rows(_DISAGREEING, site.lane)
    async with asyncio.TaskGroup() as askers:
        for asked in traders.asked.values():
            askers.create_task(_assert_same(traders, asked))
    await site.all_ended()
    assert not await site.rows(_DISAGREEING, site.lane)


async def _assert_same(traders: Traders, asked: Asked) -> None:
    """Assert that the same acceptance is answered the same, whatever has happened since."""
    first, again = asked.answer, await traders.outcome(asked)
    asked.answer = again
    if first is not None and first[0] == 200:
        assert again == first
    elif first is not None:
        assert again[0] == 409, again  # it failed, which only the first is told as a failure (contract 3.3)


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
