"""Dialects that are closed in every live lane of a server's database, whichever tests have opened some."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tests.support.databases import run_apart
from tests.support.server import DeskServer


@contextmanager
def closed_in_live_lanes(server: DeskServer, dialect: str, lane: int) -> Iterator[None]:
    """Close a dialect in all live lanes and in one more, of this number, so that there is one."""

    async def run(*statements: str) -> None:
        connection = await asyncpg.connect(server.environ["DATABASE_URL"])
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    run_apart(
        run(
            f"insert into lanes (lane, name, kind, created_at) values ({lane}, 'live {lane}', 'live', now())",
            f"insert into maintenance select lane, '{dialect}', now(), 'x' from lanes where kind = 'live'",
        )
    )
    try:
        yield
    finally:
        of_live = "lane in (select lane from lanes where kind = 'live')"
        run_apart(
            run(
                f"delete from maintenance where dialect = '{dialect}' and {of_live}",
                f"delete from lanes where lane = {lane}",
            )
        )
