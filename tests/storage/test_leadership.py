"""Leadership: one at a time, handed on when the leader's connection dies, never needed for safety."""

import asyncpg

from otcdesk.storage.leadership import Leadership
from tests.support.waiting import until


def leaders(*claimants: Leadership) -> tuple[bool, ...]:
    return tuple(claimant.leads for claimant in claimants)


async def _leads(claimant: Leadership) -> bool:
    await claimant.claim()
    return claimant.leads


async def test_one_leads_and_the_next_takes_over(fresh_dsn: str) -> None:
    one, two = Leadership(fresh_dsn, timeout_ms=5_000), Leadership(fresh_dsn, timeout_ms=5_000)
    await one.claim()
    await two.claim()
    assert leaders(one, two) == (True, False)
    await one.claim()
    assert leaders(one, two) == (True, False)
    await one.resign()
    await until(lambda: _leads(two), "the database knows that the first has hung up")
    assert leaders(one, two) == (False, True)
    await two.resign()


async def test_a_leader_whose_connection_died_knows_it_at_its_next_claim(fresh_dsn: str) -> None:
    one, two = Leadership(fresh_dsn, timeout_ms=5_000), Leadership(fresh_dsn, timeout_ms=5_000)
    await one.claim()
    connection = await asyncpg.connect(fresh_dsn)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'otcdesk leadership'"
            " and datname = current_database()"
        )
    finally:
        await connection.close()
    await two.claim()
    assert leaders(two) == (True,)
    await one.claim()
    assert leaders(one, two) == (False, True)
    await one.claim()
    assert leaders(one, two) == (False, True)
    await two.resign()
    await until(lambda: _leads(one), "the database knows that the second has hung up")
    assert leaders(one, two) == (True, False)
    await one.resign()


async def test_an_unreachable_database_leads_nobody() -> None:
    nobody = Leadership("postgresql://nobody@127.0.0.1:1/nowhere", timeout_ms=1_000)
    await nobody.claim()
    assert not nobody.leads
