"""The database's owner at work on the books, and everything put back afterwards."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from otcdesk.domain.registry import KINDS
from otcdesk.storage.verify import ExportedHead, Pages, Report, reading_connection, verify_over
from tests.support.desk import AUDIT_KEY

#: So small that every list of these books takes several pages.
SMALL = Pages(batches=7, batch_bytes=500, rows=5, lookups=3, sums=4)

#: Small pages take several times as long.
_LARGE_FOR_EACH_SMALL = 7

KEYS_OF = {"batches": ("seq",), **{kind.name: kind.key_fields for kind in KINDS}}


def printed_key(table: str) -> str:
    """Return the SQL that prints a row's key."""
    return "(" + " || '/' || ".join(KEYS_OF[table]) + ")::text"


class Tampering:
    """The database's owner at work: every rule is switched off, and what was done is undone at the end."""

    def __init__(self, connection: asyncpg.Connection, lane: int, rng: random.Random) -> None:
        self.connection = connection
        self.lane = lane
        self.rng = rng
        self.columns: dict[str, list[Any]] = {}

    @classmethod
    async def at(cls, dsn: str, lane: int, rng: random.Random) -> "Tampering":
        connection = await reading_connection(dsn)
        await connection.execute("set default_transaction_read_only = off")
        tampering = cls(connection, lane, rng)
        for table in KEYS_OF:
            found = await connection.fetch(
                """select attname as name, format_type(atttypid, atttypmod) as type, not attnotnull as nullable
                from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attnum""",
                table,
            )
            tampering.columns[table] = [dict(column) for column in found]
        for table, name in await connection.fetch(
            "select conrelid::regclass::text, conname from pg_constraint where contype = 'c' and conrelid > 16384"
        ):
            await connection.execute(f"alter table {table} drop constraint {name}")
        for (name,) in await connection.fetch(
            "select indexrelid::regclass::text from pg_index where indisunique and not indisprimary"
            " and indrelid::regclass::text = any($1::text[])",
            list(KEYS_OF),
        ):
            await connection.execute(f"drop index {name}")
        return tampering

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await self.connection.execute("set local session_replication_role = replica")
            yield
        finally:
            await transaction.rollback()

    async def verify(self, *, lane: int | None = None, head: ExportedHead | None = None) -> Report:
        (pages,) = self.rng.choices([SMALL, Pages()], [1, _LARGE_FOR_EACH_SMALL])
        heads = () if head is None else (head,)
        return await verify_over(self.connection, AUDIT_KEY, lane=lane, heads=heads, pages=pages)

    async def any_row(self, table: str, offset: int | None = None) -> tuple[str, str]:
        """Return where a random row lies, and its key as it is printed."""
        rows = await self.connection.fetch(
            f"select ctid::text, {printed_key(table)} from {table} where lane = $1"
            f" order by {', '.join(KEYS_OF[table])}",
            self.lane,
        )
        row = self.rng.choice(rows) if offset is None else rows[offset]
        return row[0], row[1]

    async def change(self, table: str, column: dict[str, Any], place: str) -> str:
        """Change a value to one that its type allows; returns what was done."""
        name = column["name"]
        before = await self.connection.fetchval(f"select {name} from {table} where ctid = '{place}'")
        for _ in range(100):
            value = self._other(before, column)
            savepoint = self.connection.transaction()
            await savepoint.start()
            try:
                done = await self.connection.fetchval(
                    f"update {table} set {name} = $1::text::{column['type']} where ctid = '{place}'"
                    f" and {name}::text is distinct from $1::text::{column['type']}::text returning true",
                    value,
                )
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
                done = False
            if done:
                await savepoint.commit()
                return f"{table}.{name} from {before!r} to {value!r}"
            await savepoint.rollback()
        raise AssertionError(f"no way was found to change {table}.{name} = {before!r}")

    def _other(self, before: Any, column: dict[str, Any]) -> str | None:
        rng, kind = self.rng, column["type"]
        if before is None:
            return {"uuid": str(UUID(int=rng.getrandbits(128))), "text": rng.choice(["", "x"])}.get(
                kind, "1" if kind in {"bigint", "integer"} or kind.startswith("numeric") else "2021-03-01 09:00:00Z"
            )
        if column["nullable"] and rng.random() < 0.2:
            return None
        if isinstance(before, bool):
            return str(not before)
        if isinstance(before, UUID):
            return str(UUID(int=before.int ^ 1 << rng.randrange(128)))
        if isinstance(before, list):
            texts = [str(one) for one in before]
            other = rng.choice([texts[:-1] or [str(UUID(int=7))], [*texts, str(UUID(int=7))]])
            return "{" + ",".join(f'"{text}"' for text in other) + "}"
        if isinstance(before, int):
            return str(before ^ 1 << rng.randrange(10))
        if isinstance(before, bytes):
            changed = bytearray(before or b"\0")
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            return "\\x" + bytes(changed).hex()
        if isinstance(before, datetime):
            moved = before + timedelta(microseconds=rng.choice([-1, 1, 10**6, 3600 * 10**6]))
            return rng.choice([moved.isoformat(), "infinity", "0044-03-15 12:00:00+00 BC"])
        return self._other_text(str(before), digits=kind.startswith("numeric"))

    def _other_text(self, text: str, *, digits: bool) -> str:
        rng = self.rng
        place = rng.randrange(len(text) + 1)
        other = rng.choice("0123456789.-" if digits else "aZ0 /\"'\\é\n{}-")
        if digits and "." in text and rng.random() < 0.2:
            return text + "0"  # the same number, written otherwise
        return rng.choice(
            [
                text[:place] + other + text[place:],
                text[:place] + text[place + 1 :],
                text[:place] + other + text[place + 1 :],
                text.swapcase(),
            ]
        )
