"""Make, copy and drop databases of the test server."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from otcdesk.storage.database import migrate

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own in a thread of its own, whatever loop the caller's thread has."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()


def with_database(dsn: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


#: The first version that can be told how long to chew on a password.
_ITERATIONS_VERSION = 16


async def hurry(dsn: str) -> None:
    """Let a throw-away server not wait for its disk: it survives the kill of any process, not that of the machine.

    Nor does it make a secret of its password, which every connection of every test proves anew. The desk's own servers
    are durable and take their time; the tests that start them, and kill them, see to that.
    """
    connection = await asyncpg.connect(dsn)
    try:
        for setting in ("fsync", "full_page_writes"):
            await connection.execute(f"alter system set {setting} = off")
        await connection.execute("select pg_reload_conf()")
        if connection.get_server_version().major >= _ITERATIONS_VERSION:
            await connection.execute("set scram_iterations = 1")
            password = await connection.fetchval(
                "select quote_literal($1::text)", unquote(urlsplit(dsn).password or "")
            )
            await connection.execute(f"alter role current_user password {password}")
    finally:
        await connection.close()


async def create_template(dsn: str, name: str) -> None:
    """Make a migrated database that others are copied from."""
    await copied(dsn, "template1", name)
    await migrate(with_database(dsn, name))


async def copied(dsn: str, template: str, name: str) -> None:
    """Make a database as a copy of another; nobody may be connected to that."""
    await _tell(dsn, f'create database "{name}" template "{template}"')


async def drop(dsn: str, name: str) -> None:
    """Drop a database and end whoever is still connected to it."""
    await _tell(dsn, f'drop database if exists "{name}" with (force)')


async def _tell(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
