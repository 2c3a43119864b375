"""Databases that tests have one after the other: rows go, whatever else was changed ends a database."""

from collections.abc import Callable, Iterator
from functools import partial

import asyncpg
import pytest

from tests.support.databases import run_apart
from tests.support.desk import Lane, new_lane
from tests.support.washing import Copies

_OID = "select oid from pg_database where datname = current_database()"


@pytest.fixture
def copies(server_dsn: str, migrated_copies: Copies) -> Iterator[Copies]:
    """Give copies that nobody had before, of the same template."""
    with Copies(server_dsn, migrated_copies.template) as own:
        yield own


def ask(dsn: str, statement: str) -> object:
    async def asked() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return run_apart(asked())


def used(copies: Copies, change: Callable[[str], object]) -> bool:
    """Let one test change a copy; tells whether the next one has the same."""
    with copies.one() as dsn:
        before = ask(dsn, _OID)
        change(dsn)
    with copies.one() as other:
        assert other != dsn
        return ask(other, _OID) == before


def test_rows_and_numbers_are_put_back(copies: Copies) -> None:
    lanes: list[Lane] = []
    assert used(copies, lambda dsn: lanes.append(run_apart(new_lane(dsn))))
    with copies.one() as dsn:
        for table in ("lanes", "batches", "accounts"):
            assert ask(dsn, f"select count(*) from {table}") == 0
        assert ask(dsn, "select count(*) from schema_migrations") != 0
        assert run_apart(new_lane(dsn)).number == lanes[0].number


def test_rows_of_the_template_are_put_back(copies: Copies) -> None:
    content = "select string_agg(m::text, ' ' order by m::text) from schema_migrations as m"
    with copies.one() as dsn:
        before = ask(dsn, content)
    for change in ("delete from schema_migrations", "update schema_migrations set applied_at = 'epoch'"):
        assert used(copies, partial(ask, statement=change))
        with copies.one() as dsn:
            assert ask(dsn, content) == before


async def test_who_is_still_there_is_sent_away(copies: Copies) -> None:
    with copies.one() as dsn:
        left = await asyncpg.connect(dsn)
    with pytest.raises(asyncpg.PostgresConnectionError):
        await left.execute("select 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(dsn)


def test_what_is_more_than_rows_ends_a_copy(copies: Copies) -> None:
    for change in (
        "alter table accounts drop constraint accounts_pkey cascade",
        "alter table accounts disable trigger all",
        "create table more ()",
        "drop function otcdesk_expect cascade",
        "create index more on accounts (label)",
        "analyze schema_migrations",
        "do $$ begin execute format('alter database %I set work_mem = 999', current_database()); end $$",
    ):
        assert not used(copies, partial(ask, statement=change)), change
