"""The audit key that belongs to a database: read from the home, and held against what was written with it."""

from pathlib import Path
from typing import Any

from otcdesk.secret_files import KeyUnusable, fingerprint, load_or_make_key
from otcdesk.storage.queries import queries
from otcdesk.storage.verify import key_fits

AUDIT_KEY = "audit.key"


async def audit_key_of(connection: Any, home: Path) -> bytes:
    """Return the audit key of the home; made anew only for a database that nobody has written yet.

    Raises KeyUnusable if it is missing or damaged, or another one than the books were written with: links under two
    keys could never be verified as one chain.
    """
    written = await connection.fetchval(queries("batches")["any_written"])
    key = load_or_make_key(home, AUDIT_KEY, may_make=not written)
    if not await key_fits(connection, key):
        raise KeyUnusable(
            f"{home / 'secrets' / AUDIT_KEY} (fingerprint {fingerprint(key)}) is not the key that this database was "
            "written with: put that one in its place."
        )
    return key
