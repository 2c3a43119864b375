"""A second store, in memory, that answers as the one on PostgreSQL does: same failures, same fence, same constraints.

`tests/storage/test_stores.py` holds the two to one behaviour. Columns, types, nulls, checks and primary keys are read
from the migrations themselves, so that no rule is written down twice. Rows are kept as the JSON that was hashed and are
decoded at each load. `MemoryDatabase` is the server: it knows sessions and saves that have begun and not ended, so that
a simulation can cut the two apart. `MemoryStore` is the way to it that never fails.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.domain.noun import Noun
from otcdesk.domain.registry import KIND_OF, KINDS, Kind, pack_key
from otcdesk.engine.chain import GENESIS
from otcdesk.engine.store import BadData, Batch, Encoded, FenceLost, Head, Kept, KeyTaken, Loaded, StoreDown

#: What a lane's head is before its first batch.
BEFORE_FIRST = Head(0, GENESIS, datetime(1970, 1, 1, tzinfo=UTC))

#: The most that `numeric(40, 0)` keeps, and one more.
_NUMERIC_END = 10**40

_TYPES: dict[str, Any] = {
    "integer": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    "bigint": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "numeric(40, 0)": int,
    "numeric": Decimal,
    "text": str,
    "uuid": UUID,
    "timestamptz": datetime,
    "date": date,
    "boolean": bool,
    "bytea": bytes,
    "uuid[]": list[UUID],
    "text[]": list[str],
}

_TABLE = re.compile(r"^create table (\w+) \(\n(.*?)^\)", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(
    rf"(\w+) ({'|'.join(map(re.escape, _TYPES))})( not null)?(?: references \w+)?(?: check \((.*)\))?,?"
)
_CHECK = re.compile(r"constraint \w+ check \((.*)\),?")
_ALTERED = re.compile(r"^alter table (?:only )?(\w+)", re.MULTILINE)
_ADDED = re.compile(r"^alter table (\w+) add column (.*);$", re.MULTILINE)

#: A NUL in a JSON text: an escape that is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_encode = msgspec.json.Encoder().encode

Check = Callable[[Any], bool]


class Session:
    """One connection as the server sees it; what it holds of the lane's turn is known by its identity."""


class _Table(NamedTuple):
    """What a table asks of its rows: `columns` reads one and refuses wrong types and missing values."""

    kind: Kind
    columns: msgspec.json.Decoder[Any]
    keys: msgspec.json.Decoder[list[Any]]
    rows: msgspec.json.Decoder[Any]
    checks: tuple[Check, ...]


class _Stored(NamedTuple):
    seq: int
    json: bytes


_Rows = dict[tuple[str, Any], _Stored]


@cache
def _tables() -> dict[str, _Table]:
    """Return the tables of all kinds as the migrations make them."""
    folder = files("otcdesk.storage") / "migrations"
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.iterdir(), key=lambda file: file.name))
    bodies = dict(_TABLE.findall(text))
    for name, column in _ADDED.findall(text):
        bodies[name] += f"    {column}\n"
    text = _ADDED.sub("", text)
    altered = {kind.name for kind in KINDS} & set(_ALTERED.findall(text))
    assert not altered, f"read here what a later migration makes of {altered}"
    return {kind.name: _table(kind, bodies[kind.name]) for kind in KINDS}


def _table(kind: Kind, body: str) -> _Table:
    types: dict[str, Any] = {}
    columns: list[Any] = []
    conditions: list[str] = []
    checks: list[Check] = []
    for line in map(str.strip, re.sub(r"\(\n\s+", "(", body).splitlines()):
        if line.rstrip(",") == f"primary key (lane, {', '.join(kind.key_fields)})":
            continue
        if (constraint := _CHECK.fullmatch(line)) is not None:
            conditions.append(constraint[1])
            continue
        column = _COLUMN.fullmatch(line)
        assert column is not None, f"{kind.name}: {line}"
        name, type_name, not_null, condition = column.groups()
        if name in {"lane", "seq"}:
            continue
        types[name] = _TYPES[type_name]
        columns.append((name, types[name]) if not_null else (name, types[name] | None, None))
        if type_name == "numeric(40, 0)":
            checks.append(_fits(name))
        if condition is not None:
            conditions.append(condition)
    assert set(types) == set(kind.fields), kind.name
    key = msgspec.defstruct(f"{kind.name}_key", [(name, types[name]) for name in kind.key_fields])
    return _Table(
        kind=kind,
        columns=msgspec.json.Decoder(msgspec.defstruct(kind.name, columns, kw_only=True)),
        keys=msgspec.json.Decoder(list[key]),  # type: ignore[valid-type]
        rows=msgspec.json.Decoder(kind.noun),
        checks=(*checks, *(_condition(condition, tuple(types)) for condition in conditions)),
    )


def _fits(name: str) -> Check:
    return lambda row: (units := getattr(row, name)) is None or -_NUMERIC_END < units < _NUMERIC_END


def _condition(sql: str, names: tuple[str, ...]) -> Check:
    """Make a check of its SQL, as far as the migrations go: comparisons, `in`, `between`, `is null` and two functions.

    What is not known to be false passes: a comparison with a null.
    """
    text = re.sub(r"(\w+) between (\d+) and (\d+)", r"\2 <= \1 <= \3", sql)
    text = text.replace(" = ", " == ").replace("<>", "!=").replace("is null", "is None")
    text = text.replace("is not null", "is not None")
    text = re.sub(rf"('[^']*')|\b({'|'.join(names)})\b", lambda found: found[1] or f"row.{found[2]}", text)
    known = {"__builtins__": {}, "cardinality": len, "num_nonnulls": _num_nonnulls}
    check: Check = eval(f"lambda row: {text}", known)  # noqa: S307  (the migrations are our own)
    if "None" in text or "num_nonnulls" in text:
        return check
    compared = [name for name in names if f"row.{name}" in text]
    return lambda row: any(getattr(row, name) is None for name in compared) or check(row)


def _num_nonnulls(*values: Any) -> int:
    return sum(value is not None for value in values)


class _Lane:
    """One lane: its links, its rows, and who has or wants the right to write it."""

    def __init__(self) -> None:
        self.links: list[Batch] = []
        self.rows: _Rows = {}
        self.holder: Session | None = None
        self.waiting: deque[tuple[Session, Callable[[], None]]] = deque()
        self.saving: Statement | None = None

    def copy(self) -> "_Lane":
        assert self.holder is None
        assert self.saving is None
        twin = _Lane()
        twin.links, twin.rows = [*self.links], {**self.rows}
        return twin

    @property
    def head(self) -> Head:
        return self.links[-1].head if self.links else BEFORE_FIRST

    def may_write(self, session: Session) -> bool:
        """Tell what `pg_try_advisory_xact_lock` tells: no while another has the turn, saves, or waits."""
        if self.holder is session:
            return True
        return self.holder is None and self.saving is None and not self.waiting

    def next_turn(self) -> None:
        if self.waiting and self.holder is None and self.saving is None:
            self.holder, granted = self.waiting.popleft()
            granted()


class Statement:
    """A save that passed the fence and every check, and neither committed nor was undone yet. Nobody sees it."""

    def __init__(self, lane: _Lane, batch: Batch, rows: _Rows) -> None:
        self.batch = batch
        self._lane = lane
        self._rows = rows
        lane.saving = self

    def commit(self) -> None:
        """Let everyone see it."""
        assert self._lane.saving is self
        self._lane.links.append(msgspec.structs.replace(self.batch, rows=()))
        self._lane.rows.update(self._rows)
        self.undo()

    def undo(self) -> None:
        """End it without a trace."""
        self._lane.saving = None
        self._lane.next_turn()


class MemoryDatabase:
    """The server: lanes, sessions, and saves that begin and end at two different times."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}

    def open_lane(self, lane: int) -> None:
        """Let a lane exist; batches of others are refused."""
        self._lanes[lane] = _Lane()

    def copy(self) -> "MemoryDatabase":
        """Return another that has the same in it; nobody may be at work."""
        twin = MemoryDatabase()
        twin._lanes = {number: lane.copy() for number, lane in self._lanes.items()}
        return twin

    def load(self, lane: int, wants: Mapping[type[Noun], Sequence[Any]]) -> Loaded:
        """Read what is committed; rows come in the order of kinds and keys, whatever the order of the wishes."""
        found = self._lanes.get(lane) or _Lane()
        rows = []
        for table in map(_table_of, sorted(wants, key=lambda noun: KIND_OF[noun].number)):
            for key in sorted(_keys(table, wants[table.kind.noun]), key=pack_key):
                stored = found.rows.get((table.kind.name, key))
                if stored is not None:
                    rows.append(_read_back(table, stored))
        return Loaded(found.head, rows)

    def all(self, lane: int, noun: type[Noun]) -> list[Kept]:
        """Return every row of a kind, and of each the batch that wrote it."""
        table = _table_of(noun)
        return [
            _read_back(table, stored) for (name, _), stored in self._lanes[lane].rows.items() if name == table.kind.name
        ]

    def written(self, lane: int) -> dict[tuple[int, bytes], tuple[int, bytes]]:
        """Return, by kind and packed key, which batch wrote each row last, and its JSON."""
        return {
            (_tables()[name].kind.number, pack_key(key)): (stored.seq, stored.json)
            for (name, key), stored in self._lanes[lane].rows.items()
        }

    def links(self, lane: int) -> Sequence[Batch]:
        """Return a lane's chain, without the rows."""
        found = self._lanes.get(lane)
        return found.links if found else ()

    def somebody_waits(self, lane: int) -> bool:
        """Tell whether a session waits for a lane's turn."""
        return bool(self._lanes[lane].waiting)

    def begin(self, session: Session, batch: Batch) -> Statement:
        """Begin a save; raises what `Store.save` raises, and then nothing has begun."""
        lane = self._lanes.get(batch.lane)
        if any("\x00" in text for text in (batch.previous_hash, batch.hash, batch.kind, batch.writer, batch.notes)):
            raise BadData("a NUL in the link")
        read = [(row, *_read(row)) for row in batch.rows]
        if lane is None:
            if batch.seq == 1:
                raise BadData(f"there is no lane {batch.lane}")
            raise FenceLost
        if not lane.may_write(session) or not _follows(lane, batch):
            raise FenceLost
        if batch.kind not in {"batch", "void"}:
            raise BadData(f"a link of kind {batch.kind}")
        rows: _Rows = {}
        for encoded, table, columns in read:
            slot = (table.kind.name, _key_in(table, columns))
            _check(table, columns, encoded, slot in rows, lane.rows.get(slot))
            rows[slot] = _Stored(batch.seq, encoded.json)
        return Statement(lane, batch, rows)

    def take_turn(self, session: Session, lane: int, granted: Callable[[], None]) -> None:
        """Queue for the right to write before anybody else, and be told when it is there."""
        found = self._lanes[lane]
        found.waiting.append((session, granted))
        found.next_turn()

    def end_turn(self, session: Session) -> None:
        """Give back every turn that a session has or waits for."""
        for lane in self._lanes.values():
            lane.waiting = deque(waits for waits in lane.waiting if waits[0] is not session)
            if lane.holder is session:
                lane.holder = None
            lane.next_turn()


def _table_of(noun: type[Noun]) -> _Table:
    return _tables()[KIND_OF[noun].name]


def _read_back(table: _Table, stored: _Stored) -> Kept:
    """Return a row as the server gives it: null where nothing was said."""
    row = table.rows.decode(stored.json)
    unsaid = [name for name in table.kind.fields if getattr(row, name) is msgspec.UNSET]
    return Kept(row.with_(**dict.fromkeys(unsaid)) if unsaid else row, stored.seq)


def _follows(lane: _Lane, batch: Batch) -> bool:
    if batch.seq != len(lane.links) + 1:
        return False
    return batch.seq == 1 or lane.links[-1].hash == batch.previous_hash


def _keys(table: _Table, keys: Sequence[Any]) -> list[Any]:
    fields = table.kind.key_fields
    named = [dict(zip(fields, key if len(fields) > 1 else (key,), strict=True)) for key in keys]
    try:
        return [_key_in(table, key) for key in table.keys.decode(_without_nul(_encode(named)))]
    except (UnicodeEncodeError, msgspec.ValidationError) as error:
        raise BadData(str(error)) from None


def _key_in(table: _Table, row: Any) -> Any:
    values = tuple(getattr(row, field) for field in table.kind.key_fields)
    return values if len(values) > 1 else values[0]


def _without_nul(json: bytes) -> bytes:
    if b"\\u0000" in json and _NUL.search(json):
        raise BadData("unsupported Unicode escape sequence")
    return json


def _read(encoded: Encoded) -> tuple[_Table, Any]:
    table = _table_of(type(encoded.row))
    try:
        return table, table.columns.decode(_without_nul(encoded.json))
    except msgspec.ValidationError as error:
        raise BadData(str(error)) from None


def _check(table: _Table, columns: Any, encoded: Encoded, twice: bool, stored: _Stored | None) -> None:
    """Refuse a row that its table would refuse."""
    if encoded.was is not None and not table.kind.changes:
        raise AssertionError(f"rows of {table.kind.name} are never updated")
    if encoded.was is not None and (twice or stored is None or stored.seq != encoded.was):
        raise StoreDown(f"batch changed 0 rows of {table.kind.name} where 1 were expected")
    if not all(check(columns) for check in table.checks):
        raise BadData(f"{table.kind.name}: a check constraint refuses {encoded.json!r}")
    if encoded.was is None and (twice or stored is not None):
        raise KeyTaken if table.kind.name == "idempotency_keys" else BadData(f"{table.kind.name}: duplicate key")


class MemoryStore:
    """Implements `engine.store.Store` over a `MemoryDatabase`, as one process on a connection that never fails."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.session = Session()

    async def load(self, lane: int, wants: Mapping[type[Noun], Sequence[Any]]) -> Loaded:
        """Read the head and the rows with these keys; see `engine.store.Store`."""
        return self.database.load(lane, wants)

    async def save(self, batch: Batch) -> None:
        """Commit a batch on top of the head it names; see `engine.store.Store`."""
        self.database.begin(self.session, batch).commit()

    async def standing(self, lane: int, seq: int) -> str | None:
        """Return the hash at a place of a lane; see `engine.store.Store`."""
        links = self.database.links(lane)
        return links[seq - 1].hash if 0 < seq <= len(links) else None

    @asynccontextmanager
    async def turn(self, lane: int) -> AsyncIterator[None]:
        """Hold the lane's turn."""
        granted = asyncio.Event()
        try:
            self.database.take_turn(self.session, lane, granted.set)
            await granted.wait()
            yield
        finally:
            self.database.end_turn(self.session)

    def crowded(self) -> bool:
        """Tell that nobody waits for a connection: there is one for each process."""
        return False

    async def rest(self, lane: int) -> None:
        """Keep nothing."""
