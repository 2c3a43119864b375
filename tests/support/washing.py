"""Copies of a template database that are used again, as long as all that a test left behind are rows.

To make a copy takes a machine up to a second, most of it for files that nobody reads; to put rows back takes a
twentieth of that. A copy is used again only if its catalogs are, row by row, those that it was made with: where a test
altered, added, dropped or analyzed anything, the copy is dropped. It comes back under another name, so that whoever
still knows the old one, as a process on its way out, meets nobody there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple, Self
from uuid import uuid4

import asyncpg

from tests.support.databases import copied, drop, run_apart, with_database

#: Rows that were deleted leave their room behind; a copy that has grown to so many times its size is not worth keeping.
_GROWTH_MAX = 2
_END_MILLISECONDS = 5_000

_CATALOGS = (
    "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'"
    " and (not relisshared or relname = 'pg_db_role_setting')"
)
#: A catalog is the same if none of its rows was written since, as the newest writer tells, and none is gone.
_CATALOG = "select '{0}', count(*), max(xmin::text::bigint) from pg_catalog.{0} as c"
#: This one is shared by all databases of a server.
_SETTINGS = "pg_db_role_setting"
_OWN_SETTINGS = " where setdatabase = (select oid from pg_database where datname = current_database())"

_TABLES = (
    "select quote_ident(relname) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
)
_FILLED = "select '{0}' where exists (select from {0})"
_SEQUENCES = "select quote_ident(relname) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'"
_SIZE = "select pg_database_size(current_database())"


class _Content(NamedTuple):
    """What a database has when it is made."""

    tables: list[str]
    catalogs: list[tuple[str, int, int]]
    sequences: dict[str, tuple[int, bool]]
    rows: dict[str, bytes]
    size_bytes: int


class Copies:
    """The copies of one template that this process made."""

    def __init__(self, server_dsn: str, template: str) -> None:
        self._server_dsn = server_dsn
        self.template = template
        self._made: _Content | None = None
        self._free: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._free:
            run_apart(drop(self._server_dsn, name))

    @contextmanager
    def one(self) -> Iterator[str]:
        """Give the address of a copy that nobody else has meanwhile."""
        name = self._free.pop() if self._free else run_apart(self._new())
        yield with_database(self._server_dsn, name)
        run_apart(self._take_back(name))

    def _fresh_name(self) -> str:
        return f"{self.template}_{uuid4().hex[:12]}"

    async def _new(self) -> str:
        name = self._fresh_name()
        await copied(self._server_dsn, self.template, name)
        if self._made is None:
            self._made = await _content(with_database(self._server_dsn, name))
        return name

    async def _take_back(self, name: str) -> None:
        """Keep a copy for whoever comes next, or drop it."""
        again = self._fresh_name()
        if await self._renamed(name, again) and await self._washed(again):
            self._free.append(again)
            return
        for one in (name, again):
            await drop(self._server_dsn, one)

    async def _renamed(self, name: str, again: str) -> bool:
        """End whoever is still connected, and rename; False if somebody will not go."""
        connection = await asyncpg.connect(self._server_dsn)
        try:
            await connection.execute(
                "select pg_terminate_backend(pid, $2) from pg_stat_activity where datname = $1", name, _END_MILLISECONDS
            )
            await connection.execute(f'alter database "{name}" rename to "{again}"')
        except asyncpg.ObjectInUseError:
            return False
        finally:
            await connection.close()
        return True

    async def _washed(self, name: str) -> bool:
        """Put rows and sequences back; tells whether everything is as it was made."""
        made = self._made
        assert made is not None
        connection = await asyncpg.connect(with_database(self._server_dsn, name))
        try:
            if await connection.fetchval(_SIZE) > made.size_bytes * _GROWTH_MAX:
                return False
            if await _catalogs(connection, [name for name, *_ in made.catalogs]) != made.catalogs:
                return False
            await connection.execute("set session_replication_role = replica")  # no trigger has a say in this
            for table in {*await _filled(connection, made.tables), *made.rows}:
                await connection.execute(f"delete from {table}")
            for table, rows in made.rows.items():
                await connection.copy_to_table(table, source=BytesIO(rows), format="binary")
            for sequence, (last, is_called) in made.sequences.items():
                await connection.execute("select setval($1::text::regclass, $2, $3)", sequence, last, is_called)
        finally:
            await connection.close()
        return True


async def _content(dsn: str) -> _Content:
    connection = await asyncpg.connect(dsn)
    try:
        tables = [name for (name,) in await connection.fetch(_TABLES)]
        rows = {}
        for table in await _filled(connection, tables):
            rows[table] = BytesIO()
            await connection.copy_from_table(table, output=rows[table], format="binary")
        sequences = {}
        for (name,) in await connection.fetch(_SEQUENCES):
            found = await connection.fetch(f"select last_value, is_called from {name}")
            sequences[name] = (found[0]["last_value"], found[0]["is_called"])
        return _Content(
            tables=tables,
            catalogs=await _catalogs(connection, [name for (name,) in await connection.fetch(_CATALOGS)]),
            sequences=sequences,
            rows={table: file.getvalue() for table, file in rows.items()},
            size_bytes=await connection.fetchval(_SIZE),
        )
    finally:
        await connection.close()


async def _catalogs(connection: asyncpg.Connection, names: list[str]) -> list[tuple[str, int, int]]:
    """Return what tells whether a catalog was touched: how many rows each has, and who wrote last."""
    parts = [_CATALOG.format(name) + (_OWN_SETTINGS if name == _SETTINGS else "") for name in names]
    return [tuple(record) for record in await connection.fetch(" union all ".join(parts))]


async def _filled(connection: asyncpg.Connection, tables: list[str]) -> list[str]:
    """Return which of these tables have rows."""
    return [name for (name,) in await connection.fetch(" union all ".join(map(_FILLED.format, tables)))]
