"""Backup: the database as of one moment, in one file that knows what it must contain.

The file is a plain tar archive of three members, so that a person can get at the data without this program:

- `desk.dump`: what pg_dump wrote in its custom format, read under a snapshot that everything else was read under;
- `manifest.json`: what a complete restore must show, above all the head of every lane's audit chain;
- `manifest.hmac`: a proof under the audit key that the manifest is as it was written.

No key is in the file. Whoever steals it can neither rewrite the chain nor open a sealed secret, and it cannot be
verified or continued without the audit key of the home folder; the manifest has that key's fingerprint. A file is
written under another name, synced and then renamed, so that under its own name it is always complete.
"""

import hashlib
import hmac
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import asyncpg
import msgspec

from otcdesk import __version__
from otcdesk.secret_files import fingerprint, private_file
from otcdesk.storage.database import DatabaseUnusable, refuse_newer, refuse_unfinished
from otcdesk.storage.queries import queries
from otcdesk.storage.tools import Tools, running, tools_for
from otcdesk.storage.verify import ExportedHead, heads_over

FORMAT = 1

DUMP, MANIFEST, PROOF = "desk.dump", "manifest.json", "manifest.hmac"

CHUNK_BYTES = 1 << 20

_MANIFEST_BYTES_MAX = 256 * CHUNK_BYTES


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup contains, as of its snapshot.

    Keys are named by their fingerprints; `dump_major` is the version of pg_dump, which may be newer than the server.
    """

    format: int
    made_at: datetime
    desk_version: str
    postgres_version: str
    postgres_major: int
    schema: str
    migrations: list[str]
    heads: list[ExportedHead]
    rows: dict[str, int]
    audit_key: str
    sealing_keys: list[str]
    dump_major: int
    dump_bytes: int
    dump_sha256: str


async def back_up(
    dsn: str, file: Path, *, audit_key: bytes, replace: bool = False, tools: Tools | None = None
) -> Manifest:
    """Write a backup of the database to `file` while the desk works, and return what it contains.

    Raises FileExistsError unless it may `replace` a file, another OSError for a place that cannot be written, and
    DatabaseUnusable for a database that is not whole or that no installed pg_dump can read.
    """
    with private_file(file, replace=replace) as archive:
        async with _snapshot(dsn) as connection:
            await refuse_unfinished(connection)
            await refuse_empty(connection)
            manifest = await _described(connection, audit_key)
            snapshot = await connection.fetchval(queries("backup")["snapshot"])
            chosen = tools or tools_for(manifest.postgres_major, dsn=dsn)
            archive.write(_header(DUMP, 0))
            digest, size = hashlib.sha256(), 0
            async with running(
                chosen.folder / "pg_dump",
                "--format=custom",
                f"--snapshot={snapshot}",
                f"--schema={_quoted(manifest.schema)}",
                *("--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions"),
                *("--no-security-labels", "--exclude-table=unfinished_restore"),
                dsn=dsn,
            ) as dumping:
                assert dumping.process.stdout is not None
                while chunk := await dumping.process.stdout.read(CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    archive.write(chunk)
                await dumping.ended("The database could not be read")
        manifest = msgspec.structs.replace(
            manifest, dump_major=chosen.major, dump_bytes=size, dump_sha256=digest.hexdigest()
        )
        told = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        archive.write(_padding(size))
        for name, content in ((MANIFEST, told), (PROOF, _proof(audit_key, told))):
            archive.write(_header(name, len(content)) + content + _padding(len(content)))
        archive.write(bytes(2 * tarfile.BLOCKSIZE))
        archive.seek(0)
        archive.write(_header(DUMP, size))  # only now is it known
    return manifest


async def refuse_empty(connection: Any) -> None:
    """Raise DatabaseUnusable over a database in which there never was a desk."""
    if not await connection.fetchval(queries("backup")["is_desk"]):
        raise DatabaseUnusable("The database holds no desk, so there is nothing to keep.")


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[Any]:
    """Give a connection that sees one moment for as long as it takes."""
    settings = {"application_name": "otcdesk backup", "timezone": "UTC", "jit": "off"}
    endless = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    connection = await asyncpg.connect(dsn, server_settings={**settings, **endless})
    try:
        await connection.transaction(isolation="repeatable_read", readonly=True).start()
        yield connection
    finally:
        connection.terminate()


async def _described(connection: Any, audit_key: bytes) -> Manifest:
    """Return the manifest of what a connection sees; what concerns the dump is filled in later."""
    statements = queries("backup")
    server = await connection.fetchrow(statements["server"])
    sealed = await connection.fetchval(statements["has_secrets"])
    return Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC),
        desk_version=__version__,
        postgres_version=server["version"],
        postgres_major=server["major"],
        schema=server["schema"],
        migrations=sorted(record[0] for record in await connection.fetch(queries("migrations")["applied"])),
        heads=await heads_over(connection),
        rows=await counted(connection),
        audit_key=fingerprint(audit_key),
        sealing_keys=[record[0] for record in await connection.fetch(statements["sealing_keys"])] if sealed else [],
        dump_major=0,
        dump_bytes=0,
        dump_sha256="",
    )


async def counted(connection: Any) -> dict[str, int]:
    """Return how many rows each of the desk's tables has."""
    tables = await connection.fetch(queries("backup")["tables"])
    count = queries("backup")["count"]
    return {table["name"]: await connection.fetchval(count.format(table=table["quoted"])) for table in tables}


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """An open backup that was proved to be as it was written."""

    file: Path
    archive: IO[bytes]
    manifest: Manifest
    dump: tarfile.TarInfo

    def pieces(self) -> Iterator[bytes]:
        """Yield the dump in pieces."""
        return _pieces(self.archive, self.dump)


@contextmanager
def opened(file: Path, *, audit_key: bytes) -> Iterator[Backup]:
    """Open a backup and read it once to its end.

    Raises DatabaseUnusable, naming the file, for what is no backup, is damaged, or is of another desk or a newer one.
    """
    with file.open("rb") as archive:
        members = _members(archive, file)
        told, proof = (_content(archive, members[member], file) for member in (MANIFEST, PROOF))
        manifest = _manifest(told, proof, file, audit_key)
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(archive, members[DUMP]):
            digest.update(piece)
            size += len(piece)
        if (size, digest.hexdigest()) != (manifest.dump_bytes, manifest.dump_sha256):
            raise _damaged(file)
        yield Backup(file=file, archive=archive, manifest=manifest, dump=members[DUMP])


def _manifest(told: bytes, proof: bytes, file: Path, audit_key: bytes) -> Manifest:
    """Read a manifest; a wrong key is told before the wrong proof that follows from it."""
    try:
        manifest = msgspec.json.decode(told, type=Manifest)
    except msgspec.MsgspecError:
        raise _damaged(file) from None
    if manifest.format > FORMAT:
        raise DatabaseUnusable(f"{file} was written by otcdesk {manifest.desk_version}, which is newer than this one.")
    ours = fingerprint(audit_key)
    if manifest.audit_key != ours:
        raise DatabaseUnusable(
            f"{file} belongs to the audit key {manifest.audit_key}, and secrets/audit.key is {ours}: "
            "put the key of the desk that was backed up in its place."
        )
    if not hmac.compare_digest(_proof(audit_key, told), proof):
        raise _damaged(file)
    refuse_newer(manifest.migrations, f"The backup {file}")
    return manifest


def _pieces(archive: IO[bytes], member: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield a member's content in pieces, as far as the file goes."""
    archive.seek(member.offset_data)
    left = member.size
    while left and (chunk := archive.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk


def _members(archive: IO[bytes], name: Path) -> dict[str, tarfile.TarInfo]:
    """Return the three members by name."""
    archive.seek(0)
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            while (member := tar.next()) is not None and len(found) < len((DUMP, MANIFEST, PROOF)):
                found[member.name] = member
    except (tarfile.TarError, EOFError):
        if DUMP not in found:
            raise DatabaseUnusable(f"{name} is not a backup of a desk.") from None
    if DUMP not in found:
        raise DatabaseUnusable(f"{name} is not a backup of a desk.")
    if not {MANIFEST, PROOF} <= found.keys():
        raise DatabaseUnusable(f"{name} is cut short: the backup was not written to its end.")
    return found


def _content(archive: IO[bytes], member: tarfile.TarInfo, name: Path) -> bytes:
    if member.size > _MANIFEST_BYTES_MAX:
        raise _damaged(name)
    archive.seek(member.offset_data)
    return archive.read(member.size)


def _damaged(name: Path) -> DatabaseUnusable:
    return DatabaseUnusable(f"{name} is damaged: it is not what was written when the backup was made.")


def _proof(audit_key: bytes, told: bytes) -> bytes:
    return hmac.new(audit_key, b"otcdesk backup manifest\n" + told, hashlib.sha256).hexdigest().encode()


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _quoted(pattern: str) -> str:
    """Return a name as a pattern of pg_dump that matches nothing else."""
    return '"' + pattern.replace('"', '""') + '"'
