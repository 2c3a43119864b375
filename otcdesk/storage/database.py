"""Connections: one pool for the engine's statements, one for reads and the edges, and the migrations."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
import msgspec
import structlog

from otcdesk.storage.postgres_store import SESSION_SETTINGS, SILENCE_MS_MAX
from otcdesk.storage.queries import queries

log = structlog.get_logger()

T = TypeVar("T")

#: A read that failed with one of these met a database that cannot be reached or does not answer now.
DATABASE_DOWN = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection says that was just told of its end and is not closed yet
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

#: Two migrations at once would run the same file twice; a restore keeps migrations out.
MIGRATION_LOCK = 20261

#: For statements that are rare and look at few rows of many: a plan that is kept from when the tables were empty would
#: go through all of a lane's rows for each of them.
PLANNED_EACH_TIME = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off"}

_encode = msgspec.json.Encoder().encode


class DatabaseUnusable(Exception):
    """The database or a copy of it cannot be used as it stands; the message is one sentence for the operator."""


async def _keep_session(connection: Any) -> None:
    """Skip the pool's reset, a round trip for each use: nothing here leaves session state behind."""


async def engine_pool(dsn: str, *, connections_max: int, statement_timeout_ms: int) -> asyncpg.Pool:
    """Open the connections on which lanes are written."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=connections_max,
        max_inactive_connection_lifetime=0,
        command_timeout=statement_timeout_ms / 1000 * 2,
        statement_cache_size=1000,
        max_cacheable_statement_size=0,
        reset=_keep_session,
        server_settings={**SESSION_SETTINGS, "statement_timeout": str(statement_timeout_ms)},
    )


class Reads:
    """Reads of any lane, outside batches: what the edges show. Every query is a named block of `sql/*.sql`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    @classmethod
    async def open(
        cls, dsn: str, *, connections_max: int, statement_timeout_ms: int, session: Mapping[str, str] | None = None
    ) -> "Reads":
        """Open the connections for reads; `session` names settings of theirs beside the usual ones."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=connections_max,
            max_inactive_connection_lifetime=0,
            command_timeout=statement_timeout_ms / 1000 * 2,
            max_cacheable_statement_size=0,
            reset=_keep_session,
            server_settings={
                "statement_timeout": str(statement_timeout_ms),
                "idle_in_transaction_session_timeout": str(SILENCE_MS_MAX),  # who is stopped lets go of its rows
                "timezone": "UTC",
                "jit": "off",
                "application_name": "otcdesk reads",
                **(session or {}),
            },
        )
        return cls(pool)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, dsn: str, *, connections_max: int, statement_timeout_ms: int, session: Mapping[str, str] | None = None
    ) -> "AsyncIterator[Reads]":
        """Open the connections for reads, and close them on leaving."""
        reads = await cls.open(
            dsn, connections_max=connections_max, statement_timeout_ms=statement_timeout_ms, session=session
        )
        try:
            yield reads
        finally:
            await reads.pool.close()

    async def rows(self, file: str, name: str, kind: type[T], *arguments: Any) -> list[T]:
        """Return what a query yields, each row as a `kind`; the query selects one column `row` of JSON."""
        found = await self.pool.fetch(queries(file)[name], *arguments)
        return [msgspec.json.decode(record[0], type=kind) for record in found]

    async def row(self, file: str, name: str, kind: type[T], *arguments: Any) -> T | None:
        """Return a query's one row as a `kind`, None if there is none."""
        found = await self.pool.fetchval(queries(file)[name], *arguments)
        return None if found is None else msgspec.json.decode(found, type=kind)

    async def value(self, file: str, name: str, *arguments: Any) -> Any:
        """Return a query's one value as the driver gives it."""
        return await self.pool.fetchval(queries(file)[name], *arguments)

    async def records(self, file: str, name: str, *arguments: Any) -> list[Any]:
        """Return a query's rows as the driver gives them."""
        return list(await self.pool.fetch(queries(file)[name], *arguments))


def without_password(dsn: str) -> tuple[str, str]:
    """Return a database address without its password, and the password."""
    parts = urlsplit(dsn)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    asked = parse_qsl(parts.query)
    also = dict(asked).get("password", "")
    if not password and not also:
        return dsn, ""
    rest = urlencode([pair for pair in asked if pair[0] != "password"], safe="/") if also else parts.query
    netloc = f"{user}@{host}" if password else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, query=rest)), unquote(password) or also


async def migrate(dsn: str) -> list[str]:
    """Bring the schema up to date, each migration in its own transaction; returns the names of those applied.

    Raises DatabaseUnusable for a restore that was not finished, and for a schema that is newer than this program.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await refuse_unfinished(connection)  # before the wait: a restore has the lock for as long as it takes
        await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        await refuse_unfinished(connection)
        return await apply_migrations(connection)
    finally:
        await connection.close()


async def refuse_unfinished(connection: Any) -> None:
    """Raise DatabaseUnusable over a database into which a backup is being restored, or was in part."""
    if await connection.fetchval(queries("backup")["is_marked"]):
        raise DatabaseUnusable(
            "A restore into this database is under way or was broken off: run otcdesk restore again, or wait for it."
        )


async def apply_migrations(connection: Any) -> list[str]:
    """Apply what is missing; the caller has MIGRATION_LOCK. Raises DatabaseUnusable for a schema newer than ours."""
    await connection.execute(queries("migrations")["create_table"])
    done = {record[0] for record in await connection.fetch(queries("migrations")["applied"])}
    refuse_newer(done, "The database")
    applied = []
    for name, file in sorted(_migrations().items()):
        if name in done:
            continue
        async with connection.transaction():
            await connection.execute(file.read_text(encoding="utf-8"))
            await connection.execute(queries("migrations")["record"], name)
        log.info("migrated", migration=name)
        applied.append(name)
    return applied


def refuse_newer(applied: Iterable[str], what: str) -> None:
    """Raise DatabaseUnusable if there are migrations among `applied` that this program does not have."""
    unknown = sorted(set(applied) - set(_migrations()))
    if unknown:
        raise DatabaseUnusable(f"{what} is of a newer otcdesk: this one does not know the migration {unknown[0]}.")


def _migrations() -> dict[str, Traversable]:
    found = (files("otcdesk.storage") / "migrations").iterdir()
    return {file.name: file for file in found if file.name.endswith(".sql")}
