"""What an operator does to a desk as a whole: back it up, restore it, upgrade its data. Words for people included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from otcdesk.config import Settings, SettingsError
from otcdesk.sealed import SEALING_KEY, KeyRing
from otcdesk.secret_files import KeyUnusable
from otcdesk.storage.audit_key import audit_key_of
from otcdesk.storage.backup import Backup, Manifest, back_up
from otcdesk.storage.restore import Restored, restore, restore_beside
from otcdesk.storage.upgrade import upgrade_embedded


class Done(msgspec.Struct, frozen=True):
    """What was done, in lines for a person, and what the replay of the restored audit chain found."""

    lines: list[str]
    restored: Restored


async def back_up_desk(settings: Settings, dsn: str, file: Path, *, replace: bool) -> str:
    """Write a backup and say what is in it; see `back_up`."""
    connection = await asyncpg.connect(dsn)
    try:
        key = await audit_key_of(connection, settings.home_path)
    finally:
        await connection.close()
    manifest = await back_up(dsn, file, audit_key=key, replace=replace)
    return f"{file}: {_told(manifest)}; {manifest.dump_bytes} bytes of data."


async def restore_desk(
    settings: Settings,
    backup: Backup,
    audit_key: bytes,
    database: tuple[str, Any],
    *,
    replace: bool,
    despite_findings: bool,
) -> Done:
    """Restore a backup into the database that runs: its address and, if it is embedded, its server."""
    dsn, server = database
    lines = [f"{backup.file}: {_told(backup.manifest)}."]
    kept = None
    if replace:
        if server is None:
            raise SettingsError(
                "--replace is for the embedded database: make an empty database, let DATABASE_URL name it, restore "
                "into it, and drop the old one when nothing needs it."
            )
        restored, kept = await restore_beside(server, backup, audit_key=audit_key, despite_findings=despite_findings)
    else:
        restored = await restore(dsn, backup, audit_key=audit_key, despite_findings=despite_findings)
    lines += [f"Migration {name} was applied." for name in restored.migrations]
    lines += restored.counts
    if kept is not None:
        lines.append(f"The database before it is kept as {kept}; otcdesk psql can drop it.")
    if missing := _missing_keys(settings, backup.manifest):
        lines.append(f"secrets/{SEALING_KEY} lacks {', '.join(missing)}: secrets sealed with it will not open.")
    if restored.sound:
        lines.append("All of it is there: rows as counted, and every head of the backup in its chain.")
    elif not despite_findings:
        lines.append("Something does not fit, so the desk will not use it; --despite-findings would make it do so.")
    return Done(lines, restored)


def upgrade_data(settings: Settings, old_binaries: Path | None, *, tell: Callable[[str], None]) -> list[str]:
    """Bring the embedded data to this program's PostgreSQL and say what was done; see `upgrade_embedded`."""
    if settings.database_url:
        return ["The database is a server of its own, whose version is not this command's business."]
    done = upgrade_embedded(settings.home_path, old_binaries=old_binaries, tell=tell)
    if done is None:
        return ["The embedded data are of this version of PostgreSQL."]
    report = done.restored.report
    return [
        f"The embedded data went from PostgreSQL {done.from_major} to {done.to_major}; {report.rows} rows verified.",
        f"The old data are kept in {done.kept}; remove that folder when you no longer need it.",
        *(f"Left behind there: {what}" for what in done.left_behind),
    ]


def _told(manifest: Manifest) -> str:
    rows, lanes = sum(manifest.rows.values()), len(manifest.heads)
    return (
        f"{rows} rows and {lanes} {'lane' if lanes == 1 else 'lanes'} as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"of the audit key {manifest.audit_key}"
    )


def _missing_keys(settings: Settings, manifest: Manifest) -> list[str]:
    """Return the fingerprints of the sealing keys that a backup needs and the home does not have."""
    if not manifest.sealing_keys:
        return []
    try:
        known = KeyRing.load(settings.home_path, may_make=False).key_ids
    except KeyUnusable:
        known = []
    return sorted(set(manifest.sealing_keys) - set(known))
