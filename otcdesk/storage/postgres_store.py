"""The engine's store on PostgreSQL: one statement to load, one to save, and every error sorted into what it means.

A lane holds its connection while it has work, because a held connection answers much faster than one that is fetched
for each statement. The saving statement is its own database transaction, so it is one round trip and one fsync.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import structlog

from otcdesk.domain.noun import Noun
from otcdesk.domain.registry import KIND_NAMED, KIND_OF, Kind
from otcdesk.engine.chain import GENESIS
from otcdesk.engine.store import (
    BadData,
    Batch,
    CommitUnknown,
    Encoded,
    FenceLost,
    Head,
    Kept,
    KeyTaken,
    Loaded,
    StoreDown,
)
from otcdesk.storage.queries import queries
from otcdesk.storage.statements import MORE_PARTS, TURN_CLASS, load_statement, save_statement

log = structlog.get_logger()

#: Every statement of the engine reaches its rows by primary key. Without these a plan made while a table was small
#: would go on reading it from end to end when it has grown.
BY_INDEX = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
SESSION_SETTINGS = {**BY_INDEX, "jit": "off", "timezone": "UTC", "application_name": "otcdesk engine"}

#: Who holds what others wait for, a lane's turn or rows, and says nothing to the database for so long has been stopped:
#: between two statements there is only work of our own, of milliseconds. As long as a silent leader is waited for.
SILENCE_MS_MAX = 5_000

#: Saves on a connection before its plans are made anew for the first time.
_FIRST_PLANNED_ANEW = 16

_KEYS_CONSTRAINT = "idempotency_keys_pkey"
_LANE_BEFORE_FIRST = {"seq": 0, "hash": GENESIS, "at": "1970-01-01T00:00:00Z"}

#: Data exceptions, integrity violations, limits of a program (SQLSTATE classes).
_DATA_CLASSES = frozenset({"22", "23", "54"})

#: After an error of this severity the server process is gone, and nothing is known of the statement that was on it.
_FATAL_SEVERITIES = frozenset({"FATAL", "PANIC"})


def _loaded_type(kind: Kind) -> Any:
    row = msgspec.defstruct(f"Loaded{kind.noun.__name__}", [("seq", int), ("row", kind.noun)])
    return msgspec.json.Decoder(list[row] | None)  # type: ignore[valid-type]


_DECODE_ROWS = {kind.name: _loaded_type(kind) for kind in KIND_NAMED.values()}
_DECODE_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class PostgresStore:
    """Implements `engine.store.Store` over a pool of direct connections."""

    def __init__(
        self, pool: asyncpg.Pool, *, acquire_timeout_ms: int = 30_000, silence_ms_max: int = SILENCE_MS_MAX
    ) -> None:
        self.pool = pool
        self.acquire_seconds = acquire_timeout_ms / 1000
        self.silence_ms_max = silence_ms_max
        self._waiting = 0
        self._saves: dict[int, int] = {}
        self._held: dict[int, Any] = {}

    async def load(self, lane: int, wants: Mapping[type[Noun], Sequence[Any]]) -> Loaded:
        """Read the head and the rows with these keys; see `engine.store.Store`."""
        names = tuple(sorted(KIND_OF[noun].name for noun in wants))
        try:
            keys = [_keys_json(KIND_NAMED[name], wants[KIND_NAMED[name].noun]) for name in names]
        except UnicodeEncodeError as error:  # half a surrogate pair: no row has such a key
            raise BadData(str(error)) from None
        try:
            connection = await self._connection(lane)
            text = await connection.fetchval(load_statement(names), lane, *keys)
        except Exception as error:
            if _is_of_the_data(error):
                raise BadData(str(error)) from error
            await self._lost(lane)
            raise _down(error) from error
        parts = _DECODE_PARTS.decode(text)
        while MORE_PARTS in parts:
            parts |= _DECODE_PARTS.decode(parts.pop(MORE_PARTS))
        head = msgspec.json.decode(parts["head"], type=Head | None) or msgspec.convert(_LANE_BEFORE_FIRST, Head)
        rows = [
            Kept(loaded.row, loaded.seq) for name in names for loaded in _DECODE_ROWS[name].decode(parts[name]) or ()
        ]
        return Loaded(head, rows)

    async def save(self, batch: Batch) -> None:
        """Commit a batch on top of the head it names; see `engine.store.Store`."""
        inserted, updated = _by_kind(batch.rows)
        statement = save_statement(tuple(inserted), tuple(updated))
        try:
            connection = await self._connection(batch.lane)
        except Exception as error:
            await self._lost(batch.lane)
            raise _down(error) from error
        try:
            fenced = await connection.fetchval(
                statement,
                batch.lane,
                batch.seq,
                batch.previous_hash,
                batch.hash,
                batch.kind,
                batch.at,
                batch.writer,
                batch.notes,
                batch.writes,
                *(_array([row.json for row in rows]) for rows in inserted.values()),
                *(_array([_with_seq(row) for row in rows]) for rows in updated.values()),
                *(len(rows) for rows in updated.values()),
            )
        except Exception as error:
            failure = _save_failure(error)
            if not isinstance(failure, BadData | KeyTaken):
                await self._lost(batch.lane)
            raise failure from error
        except asyncio.CancelledError:
            await self._lost(batch.lane)
            raise
        await self._plan_anew(batch.lane, connection)
        if not fenced:
            raise FenceLost

    async def _plan_anew(self, lane: int, connection: Any) -> None:
        """Forget the plans of a connection after 16, 64, 256 ... saves on it.

        A plan that was made while a table was empty may walk through the whole lane, and is kept until the database
        gathers statistics, which may take a minute. By its size alone a grown table gets the right plan.
        """
        try:
            pid = connection.get_server_pid()
            saves = self._saves[pid] = self._saves.get(pid, 0) + 1
            if saves >= _FIRST_PLANNED_ANEW and saves & (saves - 1) == 0 and saves.bit_length() % 2:
                await connection.execute("discard plans")
        except Exception as error:  # noqa: BLE001  (the batch is committed: nothing here may say otherwise)
            log.warning("plans_not_discarded", error=repr(error))
            await self._lost(lane)

    async def standing(self, lane: int, seq: int) -> str | None:
        """Return the hash at a place of a lane; see `engine.store.Store`."""
        try:
            connection = await self._connection(lane)
            found: str | None = await connection.fetchval(queries("batches")["standing"], lane, seq)
        except Exception as error:
            await self._lost(lane)
            raise _down(error) from error
        return found

    @asynccontextmanager
    async def turn(self, lane: int) -> AsyncIterator[None]:
        """Hold the lane's advisory lock on its connection; a lost connection gives it back by itself.

        So does one that is silent for longer than `silence_ms_max`: the connection of a process that was stopped stays.
        """
        blocks = queries("batches")
        try:
            connection = await self._connection(lane)
            await connection.fetchval(blocks["take_turn"].format(turn_class=TURN_CLASS), lane, str(self.silence_ms_max))
        except Exception as error:
            await self._lost(lane)
            raise _down(error) from error
        try:
            yield
        finally:
            held = self._held.get(lane)
            if held is not None and held is connection:
                try:
                    await connection.fetchval(blocks["give_turn"].format(turn_class=TURN_CLASS), lane)
                except Exception as error:  # noqa: BLE001  (whatever it was, the lock must not outlive it)
                    log.warning("turn_not_given_back", lane=lane, error=repr(error))
                    await self._lost(lane)

    def crowded(self) -> bool:
        """Tell whether a lane waits for a connection."""
        return self._waiting > 0

    async def rest(self, lane: int) -> None:
        """Give the lane's connection back to the pool; a lane must be able to rest whatever became of it."""
        connection = self._held.pop(lane, None)
        if connection is not None:
            try:
                await self.pool.release(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("connection_not_given_back", lane=lane, error=repr(error))

    async def _connection(self, lane: int) -> Any:
        connection = self._held.get(lane)
        if connection is not None and _is_over(connection):
            await self._lost(lane)
            connection = None
        if connection is None:
            self._waiting += 1
            try:
                connection = self._held[lane] = await self.pool.acquire(timeout=self.acquire_seconds)
            finally:
                self._waiting -= 1
        return connection

    async def _lost(self, lane: int) -> None:
        """End a connection of which nothing more can be expected."""
        connection = self._held.pop(lane, None)
        if connection is not None:
            if not _is_over(connection):
                self._saves.pop(connection.get_server_pid(), None)
                connection.terminate()
            await self.pool.release(connection)


def _is_over(connection: Any) -> bool:
    """Tell whether a connection broke; the pool takes such a one back by itself, and then it answers nothing more."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def _keys_json(kind: Kind, keys: Sequence[Any]) -> str:
    fields = kind.key_fields
    if len(fields) == 1:
        return _encode([{fields[0]: key} for key in keys]).decode()
    return _encode([dict(zip(fields, key, strict=True)) for key in keys]).decode()


def _by_kind(rows: Sequence[Encoded]) -> tuple[dict[str, list[Encoded]], dict[str, list[Encoded]]]:
    inserted: dict[str, list[Encoded]] = defaultdict(list)
    updated: dict[str, list[Encoded]] = defaultdict(list)
    for row in rows:
        (inserted if row.was is None else updated)[KIND_OF[type(row.row)].name].append(row)
    return dict(sorted(inserted.items())), dict(sorted(updated.items()))


def _array(rows: list[bytes]) -> str:
    return (b"[" + b",".join(rows) + b"]").decode()


def _with_seq(row: Encoded) -> bytes:
    return b'{"seq":%d,' % (row.was or 0) + row.json[1:]


def _down(error: Exception) -> StoreDown:
    return StoreDown(f"{type(error).__name__}: {error}")


def _is_of_the_data(error: Exception) -> bool:
    """Tell whether the data of some command is to blame: such an error comes again with the same data."""
    state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else None
    return (state or "")[:2] in _DATA_CLASSES


def _save_failure(error: Exception) -> Exception:
    """Sort an error of the saving statement by what is known after it (SQLSTATE classes).

    Only the server's own word that it failed proves that nothing was committed; anything else leaves it open.
    """
    if not isinstance(error, asyncpg.PostgresError):
        return CommitUnknown(repr(error))
    state = error.sqlstate or ""
    if state == "23505" and getattr(error, "constraint_name", None) == _KEYS_CONSTRAINT:
        return KeyTaken()
    if _is_of_the_data(error):
        return BadData(str(error))
    if state[:2] == "08" or state.startswith("57P") or getattr(error, "severity_en", None) in _FATAL_SEVERITIES:
        return CommitUnknown(repr(error))
    if state[:2] in {"40", "53", "57"} or state in {"25006", "55P03", "OT001"}:
        return _down(error)  # OT001: rows were not as they were read; reading them again is the cure
    return error
