"""Restore: fill an empty database from a backup, and prove that it is whole before anyone may use it.

In this order, so that whatever ends it halfway leaves nothing that looks like a good desk:

1. The whole file is proved to be as it was written, before the database is touched.
2. The database must be empty. It is marked as unfinished; every command of the desk refuses a marked one.
3. All of the dump goes in within one database transaction: all of it, or nothing.
4. Migrations that the backup lacks are applied, rows are counted, and the audit chain is replayed against the tables
   and against the heads that the manifest names.
5. Only then is the mark taken away.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import msgspec

from otcdesk.storage.backup import CHUNK_BYTES, Backup, Manifest, counted
from otcdesk.storage.database import MIGRATION_LOCK, DatabaseUnusable, apply_migrations
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.embedded_cluster import DATABASE
from otcdesk.storage.queries import queries
from otcdesk.storage.tools import Tools, running, tools_for
from otcdesk.storage.verify import Report, verify

#: What pg_restore of 17 and newer sets first, and servers before 17 do not know.
_TOO_NEW: Final = re.compile(rb"^SET transaction_timeout = 0;\n", re.MULTILINE)

#: The name of a database that is to take the place of the desk's.
_BESIDE: Final = "otcdesk_restoring"

#: The settings stand at the very beginning of the script.
_SETTINGS_BYTES: Final = 8_192


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored, and what the replay of its audit chain found. `counts` are tables with other counts."""

    report: Report
    counts: list[str]
    migrations: list[str]

    @property
    def sound(self) -> bool:
        """Tell whether everything is there and fits."""
        return self.report.sound and not self.counts


async def restore(
    dsn: str, backup: Backup, *, audit_key: bytes, despite_findings: bool = False, tools: Tools | None = None
) -> Restored:
    """Fill the empty database from a backup and verify it.

    If something does not fit, the database stays marked as unfinished unless it is wanted `despite_findings`. Raises
    DatabaseUnusable, before anything is changed, for a database that holds anything or is too old for the backup; and
    if the dump cannot be brought in, of which then nothing is left.
    """
    connection: Any = await asyncpg.connect(dsn)
    try:
        server = await connection.fetchrow(queries("backup")["server"])
        chosen = tools or tools_for(max(server["major"], backup.manifest.dump_major), dsn=dsn)
        async with _prepared(connection, backup.manifest, server):
            await _bring_in(dsn, backup, tools=chosen, server_major=server["major"])
        counts = _differing(backup.manifest.rows, await counted(connection))
        migrations = await apply_migrations(connection)
        report = await verify(dsn, audit_key, heads=backup.manifest.heads)
        restored = Restored(report=report, counts=counts, migrations=migrations)
        if restored.sound or despite_findings:
            await connection.execute(queries("backup")["unmark"])
        return restored
    finally:
        await connection.close()


async def restore_beside(
    server: EmbeddedServer, backup: Backup, *, audit_key: bytes, despite_findings: bool = False
) -> tuple[Restored, str | None]:
    """Restore into a new database of the embedded server, which then takes the place of the desk's.

    Returns also under which name the desk's database is kept. Nothing takes its place, and the name is None, if
    something does not fit and is not wanted `despite_findings`. Raises DatabaseUnusable while anyone uses the desk's.
    """
    statements = queries("backup")
    used = DatabaseUnusable(f"The desk of {server.home} runs, or somebody has its database open: stop that first.")
    connection: Any = await asyncpg.connect(server.dsn("postgres"))
    try:
        if await connection.fetchval(statements["others"], DATABASE):
            raise used
        await connection.execute(statements["drop_database"].format(name=_BESIDE))
        await connection.execute(statements["create_database"].format(name=_BESIDE))
        try:
            restored = await restore(
                server.dsn(_BESIDE), backup, audit_key=audit_key, despite_findings=despite_findings
            )
            if not (restored.sound or despite_findings):
                return restored, None
            kept = f"{DATABASE}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}"
            async with connection.transaction():  # both names change, or none
                for name, other in ((DATABASE, kept), (_BESIDE, DATABASE)):
                    await connection.execute(statements["rename_database"].format(name=name, other=other))
        except asyncpg.ObjectInUseError:
            raise used from None
        else:
            return restored, kept
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.execute(statements["drop_database"].format(name=_BESIDE))
    finally:
        await connection.close()


@asynccontextmanager
async def _prepared(connection: Any, manifest: Manifest, server: Any) -> AsyncIterator[None]:
    """Mark the database as unfinished; if what happens inside fails, it is as empty as before and the mark is gone."""
    statements = queries("backup")
    if server["major"] < manifest.postgres_major:
        raise DatabaseUnusable(
            f"The backup is of PostgreSQL {manifest.postgres_major}, and the server is PostgreSQL {server['major']}: "
            "restore into one that is not older."
        )
    if server["schema"] != manifest.schema:
        raise DatabaseUnusable(
            f"The backup is of the schema {manifest.schema}, and the connection's first schema is {server['schema']}."
        )
    if not await connection.fetchval(statements["try_turn"], MIGRATION_LOCK):
        raise DatabaseUnusable("Another restore or migration of this database is under way.")
    if await connection.fetchval(statements["is_marked"]):
        for thing in await connection.fetch(statements["contents"]):  # all of it is of the restore that was broken off
            await connection.execute(statements["drop"].format(**thing))
    if await connection.fetch(statements["contents"]):
        raise DatabaseUnusable(
            f"The database {server['database']} is not empty: a backup is restored into an empty one."
        )
    await connection.execute(statements["mark"])
    try:
        yield
    except DatabaseUnusable:
        # If the commit got through all the same, or the server cannot be asked, or we were broken off while it may be
        # under way, the mark stays.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if not await connection.fetch(statements["contents"]):
                await connection.execute(statements["unmark"])
        raise


async def _bring_in(dsn: str, backup: Backup, *, tools: Tools, server_major: int) -> None:
    """Let pg_restore turn the dump into a script and psql run it, as one transaction that is committed at its end.

    The commit is a line of ours that is sent once pg_restore has ended well: a script that ends early, for whatever
    reason, is one that is rolled back.
    """
    said = "The backup could not be brought in"
    writing = running(tools.folder / "pg_restore", f"--schema={backup.manifest.schema}", "--no-owner", "--file=-")
    quiet = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-")
    async with (
        writing as script,
        running(tools.folder / "psql", *quiet, dsn=dsn, reads=True) as filling,
    ):
        assert script.process.stdin is not None
        assert script.process.stdout is not None
        assert filling.process.stdin is not None
        feeding = asyncio.create_task(_feed(backup.pieces(), script.process.stdin))
        try:
            with suppress(ConnectionError):  # psql ended: it says why
                await _send(filling.process.stdin, b"begin;\n")
                head = await _head(script.process.stdout)
                await _send(filling.process.stdin, _TOO_NEW.sub(b"", head) if server_major < 17 else head)
                while chunk := await script.process.stdout.read(CHUNK_BYTES):
                    await _send(filling.process.stdin, chunk)
                await script.ended(said)
                await _send(filling.process.stdin, b"\ncommit;\n")
                filling.process.stdin.close()
            await filling.ended(said)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def _feed(content: Iterator[bytes], into: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):  # pg_restore ended: it says why
            for chunk in content:
                await _send(into, chunk)
    finally:
        into.close()  # whatever became of the file, pg_restore must not wait for more of it


async def _send(into: asyncio.StreamWriter, content: bytes) -> None:
    into.write(content)
    await into.drain()


async def _head(script: asyncio.StreamReader) -> bytes:
    """Return the beginning of a script, in which its settings are."""
    try:
        return await script.readexactly(_SETTINGS_BYTES)
    except asyncio.IncompleteReadError as short:
        return short.partial


def _differing(told: dict[str, int], found: dict[str, int]) -> list[str]:
    return [
        f"{table} has {found.get(table, 0)} rows, and the backup counted {told.get(table, 0)}"
        for table in sorted(told.keys() | found.keys())
        if told.get(table) != found.get(table)
    ]
