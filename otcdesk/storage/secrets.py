"""Sealed secrets in their table: kept, opened, forgotten, and all sealed anew under another key.

The keys are read from their file at each use, which is rare, so that every process of a desk sees a rotation. Whoever
writes a secret does so in a database transaction that keeps rotations out, so no secret is sealed with a key that is
being retired.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from otcdesk.clock import Clock
from otcdesk.sealed import KeyRing, Sealed, SecretDamaged
from otcdesk.secret_files import KeyUnusable
from otcdesk.storage.queries import queries


class Secrets:
    """The secrets of one database, under the keys of one home. `owner` is whatever names whose a secret is."""

    def __init__(self, pool: asyncpg.Pool, home: Path, clock: Clock) -> None:
        self._pool = pool
        self._home = home
        self._clock = clock

    async def keep(self, purpose: str, owner: str, secret: bytes) -> UUID:
        """Seal a secret in the place of the one before, if there is one; returns its id.

        Raises KeyUnusable if there are secrets and no sealing keys.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            return await self.keep_on(connection, purpose, owner, secret)

    async def keep_on(self, connection: Any, purpose: str, owner: str, secret: bytes) -> UUID:
        """Do as `keep` does, in the database transaction that the caller has open on this connection."""
        secret_id = self._clock.new_id()
        await connection.execute(queries("secrets")["share"])
        sealed = (await self._keys(connection)).seal(secret, bound_to=_bound(secret_id, purpose, owner))
        row = (secret_id, purpose, owner, sealed.content, sealed.key_id, self._clock.now())
        await connection.execute(queries("secrets")["keep"], *row)
        return secret_id

    async def open(self, purpose: str, owner: str) -> bytes | None:
        """Return a secret, None if there is none; raises KeyUnusable and SecretDamaged."""
        row = await self._pool.fetchrow(queries("secrets")["find"], purpose, owner)
        return None if row is None else _opened(KeyRing.load(self._home, may_make=False), row)

    async def forget(self, purpose: str, owner: str) -> bool:
        """Remove a secret; False if there is none."""
        return await self._pool.fetchval(queries("secrets")["forget"], purpose, owner) is not None

    async def faults(self) -> tuple[int, list[str]]:
        """Try to open every secret; returns how many there are, and a sentence for each that does not open."""
        rows = await self._pool.fetch(queries("secrets")["all"])
        faults = []
        if rows:
            try:
                keys = KeyRing.load(self._home, may_make=False)
            except KeyUnusable as error:
                return len(rows), [str(error)]
            for row in rows:
                try:
                    _opened(keys, row)
                except (KeyUnusable, SecretDamaged) as error:
                    faults.append(str(error))
        return len(rows), faults

    async def rotate(self, *, retire: bool) -> int:
        """Make a new key, seal every secret with it, and with `retire` take the older keys out of the file.

        Returns how many secrets were sealed anew. Raises KeyUnusable or SecretDamaged for one that cannot be opened:
        then nothing in the database is changed, and no key is gone. Cut short anywhere it can be repeated.
        """
        statements = queries("secrets")
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await connection.execute(statements["exclude"])
                rows = await connection.fetch(statements["all"])
                keys = await self._keys(connection)
                opened = [(row, _opened(keys, row)) for row in rows]
                keys = keys.with_new_key()  # in the file before the first row needs it
                for row, secret in opened:
                    sealed = keys.seal(secret, bound_to=_bound(row["id"], row["purpose"], row["owner"]))
                    await connection.execute(statements["seal_anew"], row["id"], sealed.content, sealed.key_id)
            if retire:
                # Another transaction, so that no key goes before the commit that makes it superfluous is known.
                async with connection.transaction():
                    await connection.execute(statements["exclude"])
                    rows = await connection.fetch(statements["all"])
                    keys = await self._keys(connection)
                    if {row["key_id"] for row in rows} <= {keys.key_ids[0]}:
                        keys.with_key_in_use_only()
        return len(opened)

    async def _keys(self, connection: Any) -> KeyRing:
        return KeyRing.load(self._home, may_make=not await connection.fetchval(queries("secrets")["any"]))


def _opened(keys: KeyRing, row: Any) -> bytes:
    bound_to = _bound(row["id"], row["purpose"], row["owner"])
    return keys.open(Sealed(row["sealed"], row["key_id"]), bound_to=bound_to)


def _bound(secret_id: UUID, purpose: str, owner: str) -> tuple[str, str, str]:
    return (str(secret_id), purpose, owner)
