"""What processes that have ended, and worlds that were closed elsewhere, leave behind is taken away."""

import fcntl
import os
from pathlib import Path

import asyncpg

from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.handover.places import run_folder
from otcdesk.supervisor import _shared_folder
from tests.support.desk import FA1, WA1, A, Lane, new_lane, submit
from tests.support.program import opened


async def test_a_lane_that_another_process_closed_is_forgotten_and_no_other(
    lane: Lane, dsn: str, tmp_path: Path, database: asyncpg.Connection
) -> None:
    kept = await new_lane(dsn, clock=lane.clock)
    async with opened(lane, tmp_path) as program:
        await program.desk.forget_closed()
        for number in (lane.number, kept.number):
            ask = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
            await submit(program.desk.engine, number, ask, owner_id=A)
        await database.execute("update lanes set closed_at = now() where lane = $1", lane.number)
        await program.desk.forget_closed()
        assert set(program.desk.engine.lanes) == {kept.number}


def test_figures_of_who_was_killed_are_removed_and_those_of_who_lives_are_kept(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    dead, living = run / "shared-dead", run / "shared-living"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "counter_1.db").write_bytes(b"")
    held = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        with _shared_folder(tmp_path) as (folder, _):
            assert sorted(run.glob("shared-*")) == sorted([folder, living])
            assert folder.stat().st_mode & 0o777 == 0o700
        assert list(run.glob("shared-*")) == [living]
    finally:
        os.close(held)
