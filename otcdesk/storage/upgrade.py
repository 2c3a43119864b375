"""Upgrade: an embedded database that another major version of PostgreSQL wrote becomes one of this version.

The old server is started with programs of its own version, backed up, and stopped. The backup is restored into a new
folder beside the old one and verified there like any other restore. Only then does the new folder take the old one's
name (`embedded_swap.py`), and the old one is kept under another. Killed at any point, the desk has either the old data,
untouched, or the new, verified; the next `upgrade` begins anew and clears away what was left.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg
import msgspec

from otcdesk.storage.audit_key import audit_key_of
from otcdesk.storage.backup import back_up, opened, refuse_empty
from otcdesk.storage.database import DatabaseUnusable
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.embedded_cluster import DATABASE, Cluster
from otcdesk.storage.embedded_places import SYSTEM_FOLDER, major_version, shared_binaries, wheel_installs
from otcdesk.storage.embedded_swap import decide_upgrade
from otcdesk.storage.queries import queries
from otcdesk.storage.restore import Restored, restore
from otcdesk.storage.tools import Tools, installed_binaries, version_of
from otcdesk.storage.verify import describe

#: What a new cluster takes at first, its write-ahead log included.
_SPARE_BYTES = 256 * 1024 * 1024


class Upgraded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the data. `left_behind` are databases and settings of one's own that did not come along."""

    from_major: str
    to_major: str
    kept: Path
    restored: Restored
    left_behind: list[str]


def upgrade_embedded(home: Path, *, old_binaries: Path | None, tell: Callable[[str], None]) -> Upgraded | None:
    """Bring the embedded data of a home to this version of PostgreSQL; None if they are of it or there are none.

    `old_binaries` is the folder of the programs of the old version, looked for where they usually are if it is None;
    `tell` hears of each step. Raises EmbeddedServerError if a desk runs, and DatabaseUnusable if it cannot be done; the
    old data are then as they were.
    """
    with EmbeddedServer(home).alone() as cluster:
        major, written_by = major_version(cluster.places.binaries), cluster.written_by()
        if written_by in {None, major}:
            return None
        assert written_by is not None
        old = cluster.beside(binaries=_binaries_of(written_by, old_binaries, cluster))
        new = cluster.beside(data=cluster.places.data.with_name(f"{cluster.places.data.name}.upgrading"))
        file = home / f"upgrade-from-postgresql-{written_by}.backup"
        _clear_away(new, file)
        _check_space(cluster.places.data)
        newest = Tools(folder=cluster.places.binaries, major=int(major))
        try:
            tell(f"reading {cluster.places.data} with PostgreSQL {written_by}")
            key, left_behind = _back_up(old, file, tools=newest, home=home)
            tell(f"writing {new.places.data} with PostgreSQL {major} and verifying it")
            restored = _restore(new, file, audit_key=key, tools=newest)
            file.unlink()
            kept = decide_upgrade(cluster.places, new.places.data, from_major=written_by)
        finally:
            _clear_away(new, file)
        return Upgraded(from_major=written_by, to_major=major, kept=kept, restored=restored, left_behind=left_behind)


def _binaries_of(major: str, given: Path | None, cluster: Cluster) -> Path:
    """Return the folder of the old version's programs, such that the server's own user can run them."""
    for folder in installed_binaries() if given is None else [given]:
        if str(version_of(folder / "postgres")) != major or not os.access(folder / "psql", os.X_OK):
            continue
        if folder in wheel_installs() and cluster.places.run_as is not None:
            return shared_binaries(SYSTEM_FOLDER, folder)
        return folder.resolve()
    where = "on this machine" if given is None else f"in {given}"
    raise DatabaseUnusable(
        f"{cluster.places.data} was written by PostgreSQL {major}, whose programs (postgres, psql) are not {where}: "
        "install them or name their folder with --old-bin, or make a backup with the otcdesk that wrote the data and "
        "restore it with this one."
    )


def _check_space(data: Path) -> None:
    log = data / "pg_wal"
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file() and not path.is_relative_to(log))
    needed, free = 2 * size + _SPARE_BYTES, shutil.disk_usage(data).free
    if free < needed:
        raise DatabaseUnusable(
            f"An upgrade of {data} needs {_megabytes(needed)} free on its disk, and there are {_megabytes(free)}."
        )


def _megabytes(size: int) -> str:
    return f"{-(-size // 1_000_000)} MB"


def _clear_away(new: Cluster, file: Path) -> None:
    """Stop and remove what an upgrade that did not end has made."""
    for left in (file, *file.parent.glob(f".{file.name}.*")):
        left.unlink(missing_ok=True)
    if new.places.data.exists():
        new.shut_down()
        shutil.rmtree(new.places.data)


def _back_up(old: Cluster, file: Path, *, tools: Tools, home: Path) -> tuple[bytes, list[str]]:
    async def back_up_all() -> tuple[bytes, list[str]]:
        connection = await asyncpg.connect(old.dsn())
        try:
            await refuse_empty(connection)
            key = await audit_key_of(connection, home)
            names = [record["name"] for record in await connection.fetch(queries("backup")["databases"])]
        finally:
            await connection.close()
        await back_up(old.dsn(), file, audit_key=key, replace=True, tools=tools)
        return key, [f"the database {name}" for name in names if name != DATABASE]

    old.start()
    try:
        key, left_behind = asyncio.run(back_up_all())
    finally:
        old.shut_down()
    return key, [*left_behind, *_own_settings(old.places.data)]


def _own_settings(data: Path) -> list[str]:
    """Return what was set with ALTER SYSTEM, which the new version may not understand."""
    lines = (data / "postgresql.auto.conf").read_text(encoding="utf-8").splitlines()
    return [f"the setting {line}" for line in lines if line.strip() and not line.startswith("#")]


def _restore(new: Cluster, file: Path, *, audit_key: bytes, tools: Tools) -> Restored:
    new.make()
    new.start()
    try:
        with opened(file, audit_key=audit_key) as backup:
            restored = asyncio.run(restore(new.dsn(), backup, audit_key=audit_key, tools=tools))
    finally:
        new.shut_down()
    if not restored.sound:
        first = [*restored.counts, *map(describe, restored.report.findings)][0]
        raise DatabaseUnusable(f"The data were not upgraded: otcdesk verify finds fault with them. First: {first}")
    return restored
