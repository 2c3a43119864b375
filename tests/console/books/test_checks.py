"""The checks that are run from pages: they find what is wrong, go on in the background, and end when told."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from otcdesk.console.books import checks as module
from otcdesk.console.books.board import SILENCE_SECONDS_MAX
from otcdesk.console.books.checks import Checks
from otcdesk.storage.queries import purposes, queries
from otcdesk.storage.verify import Pages
from tests.support.databases import with_database
from tests.support.desk import AUDIT_KEY, FA1, Lane


@pytest.fixture
async def checks(populated_lane: Lane) -> AsyncIterator[Checks]:
    made = Checks(populated_lane.dsn, AUDIT_KEY, populated_lane.clock)
    yield made
    await made.stop()


async def broken(lane: Lane) -> None:
    """Change what an account has without anybody's batch."""
    connection = await asyncpg.connect(lane.dsn)
    await connection.execute("set session_replication_role = replica")
    await connection.execute("update accounts set balance = balance + 1 where lane = $1 and id = $2", lane.number, FA1)
    await connection.close()


async def test_sound_books_break_no_invariant(populated_lane: Lane, checks: Checks) -> None:
    assert checks.invariants(populated_lane.number) is None
    run = checks.start_invariants(populated_lane.number, "person:ada")
    assert run.state == "running"
    assert checks.start_invariants(populated_lane.number, "person:bob") is run
    await checks.ended(populated_lane.number)
    assert (run.state, run.started_by, run.started_at) == ("finished", "person:ada", populated_lane.clock.now())
    assert run.ended_at is not None
    assert [result.name for result in run.results] == list(queries("invariants"))
    assert run.broken == ()
    assert all(result.purpose and not result.purpose.startswith("-") for result in run.results)
    assert checks.invariants(populated_lane.number) is run


async def test_a_broken_invariant_names_its_rows(populated_lane: Lane, checks: Checks) -> None:
    await broken(populated_lane)
    run = checks.start_invariants(populated_lane.number, "person:ada")
    await checks.ended(populated_lane.number)
    found = {result.name: result for result in run.broken}
    assert {"assets_sum_to_zero", "balance_is_sum_of_entries"} <= set(found)
    result = found["balance_is_sum_of_entries"]
    assert result.broken == 1
    assert [(row.table, row.key) for row in result.rows] == [("accounts", str(FA1))]
    assert result.purpose == "An account's balance is the sum of its entries, and its version their count."


async def test_an_invariant_that_takes_too_long_is_said_to_and_the_others_are_run(populated_lane: Lane) -> None:
    checks = Checks(populated_lane.dsn, AUDIT_KEY, populated_lane.clock, invariant_timeout_ms=1_000)
    connection = await asyncpg.connect(populated_lane.dsn)
    async with connection.transaction():
        await connection.execute("lock table positions in access exclusive mode")
        run = checks.start_invariants(populated_lane.number, "person:ada")
        await checks.ended(populated_lane.number)
    await connection.close()
    assert run.state == "finished"
    assert [(result.name, result.broken) for result in run.broken] == [("position_is_of_its_party", None)]


async def test_a_sound_chain_has_no_findings_and_its_links_are_counted(populated_lane: Lane, checks: Checks) -> None:
    connection = await asyncpg.connect(populated_lane.dsn)
    links = await connection.fetchval("select count(*) from batches where lane = $1", populated_lane.number)
    await connection.close()
    run = checks.start_chain(populated_lane.number, "person:ada")
    assert checks.start_chain(populated_lane.number, "person:bob") is run
    await checks.ended(populated_lane.number)
    assert (run.state, run.found, run.findings, run.started_by) == ("finished", 0, (), "person:ada")
    assert run.links == run.links_of == links
    assert run.rows > links


async def test_a_changed_row_is_found_and_the_next_run_forgets_the_last(populated_lane: Lane, checks: Checks) -> None:
    first = checks.start_chain(populated_lane.number, "person:ada")
    await checks.ended(populated_lane.number)
    await broken(populated_lane)
    second = checks.start_chain(populated_lane.number, "person:bob")
    assert second is not first
    await checks.ended(populated_lane.number)
    assert second.found == len(second.findings) == 1
    assert (second.findings[0].table, second.findings[0].key) == ("accounts", str(FA1))
    assert checks.chain(populated_lane.number) is second


async def test_a_replay_that_is_cancelled_ends_and_says_by_whom(
    populated_lane: Lane, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGES", Pages(batches=1, rows=1, lookups=1))
    assert not checks.cancel_chain(populated_lane.number, "person:bob")
    run = checks.start_chain(populated_lane.number, "person:ada")
    while not run.links:
        await asyncio.sleep(0)
    assert checks.cancel_chain(populated_lane.number, "person:bob")
    await checks.ended(populated_lane.number)
    assert (run.state, run.cancelled_by) == ("cancelled", "person:bob")
    assert run.links_of is not None
    assert run.links < run.links_of
    assert not checks.cancel_chain(populated_lane.number, "person:bob")


async def test_the_loop_goes_on_while_a_chain_is_replayed(populated_lane: Lane, checks: Checks) -> None:
    run = checks.start_chain(populated_lane.number, "person:ada")
    turns, longest, before = 0, 0.0, time.monotonic()
    while run.state == "running":
        await asyncio.sleep(0)
        turns, longest, before = turns + 1, max(longest, time.monotonic() - before), time.monotonic()
    assert run.state == "finished"
    assert turns > 1_000
    assert longest < 0.5


async def test_a_database_that_is_gone_fails_the_run(populated_lane: Lane) -> None:
    checks = Checks(with_database(populated_lane.dsn, "nowhere"), AUDIT_KEY, populated_lane.clock)
    run = checks.start_chain(populated_lane.number, "person:ada")
    other = checks.start_invariants(populated_lane.number, "person:ada")
    await checks.ended(populated_lane.number)
    assert run.state == other.state == "failed"


def test_every_invariant_says_what_it_is_for() -> None:
    assert set(purposes("invariants")) == set(queries("invariants"))
    assert all(text.endswith((".", ".)")) for text in purposes("invariants").values())


async def test_processes_that_share_a_folder_tell_one_another(populated_lane: Lane, tmp_path: Path) -> None:
    lane = populated_lane.number
    one, other, alone = (
        Checks(populated_lane.dsn, AUDIT_KEY, populated_lane.clock, shared=shared)
        for shared in (tmp_path, tmp_path, None)
    )
    one.start_invariants(lane, "person:ada")
    told = other.start_invariants(lane, "person:bob")
    assert (told.state, told.started_by) == ("running", "person:ada")
    await one.ended(lane)
    assert other.invariants(lane) == one.invariants(lane)
    assert alone.invariants(lane) is None
    run = one.start_chain(lane, "person:ada")
    assert other.cancel_chain(lane, "person:bob")
    await one.ended(lane)
    assert (run.state, run.cancelled_by) == ("cancelled", "person:bob")
    assert not other.cancel_chain(lane, "person:bob")
    populated_lane.clock.advance(seconds=1)  # type: ignore[attr-defined]
    again = other.start_chain(lane, "person:bob")
    await other.ended(lane)
    assert (again.state, again.cancelled_by) == ("finished", None)
    assert one.chain(lane) == again


async def test_a_run_of_a_process_that_is_gone_has_failed(populated_lane: Lane, tmp_path: Path) -> None:
    lane = populated_lane.number
    one, other = (Checks(populated_lane.dsn, AUDIT_KEY, populated_lane.clock, shared=tmp_path) for _ in range(2))
    one.start_invariants(lane, "person:ada")
    await one.ended(lane)
    [path] = tmp_path.glob("check-invariants-*")
    path.write_bytes(path.read_bytes().replace(b'"finished"', b'"running"'))
    long_ago = time.time() - SILENCE_SECONDS_MAX - 1
    os.utime(path, (long_ago, long_ago))
    found = other.invariants(lane)
    assert found is not None
    assert found.state == "failed"
