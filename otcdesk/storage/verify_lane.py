"""Replay one lane's audit chain against its tables, in statements that each read one page, while the desk goes on.

What holds of sound books at every instant, and so can be checked with each page at its own instant:

* The batches number from 1, each names the hash of the one before, and each has the hash that the audit key makes.
* Chain to row: a row is never older than the newest batch that lists it. (It may be newer: it moved on since.)
* Row to chain: the batch that a row names lists it, with the digest of its content. Batches never change, so this
  can be asked at any time, also of a row written a moment ago.

A row that is gone, new, older, changed or swapped with another breaks one of the last two. For kinds whose rows change
both are asked row by row. Append-only kinds are most of the books, and the batches of neighbouring rows can be far
apart, so for these both are asked at once by sums: what the batches list and what the tables hold is added up, row by
row, under a key drawn for this run (so that nobody can make wrong rows that add up). Only where the sums of some
batches differ are their rows looked at one by one.

A batch that fails its own check is a finding; what it lists still vouches for rows, so that other rows are not named in
vain, but is no proof that a row is missing.
"""

import hashlib
import hmac
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec

from otcdesk.domain.registry import KINDS, Kind, pack_key
from otcdesk.engine import chain
from otcdesk.engine.store import Batch
from otcdesk.storage.queries import queries
from otcdesk.storage.verify_findings import Findings, shown, unpack_key

T = TypeVar("T")

#: Before the first batch that could be there, and above the last: the bounds of a bigint.
_LOWEST_SEQ = -(2**63)
_SUM_MODULUS = 2**128
_SUM_BYTES = 16
_SEQ_BYTES = 8


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """How much is read and kept at once."""

    batches: int = 500
    batch_bytes: int = 8_000_000
    rows: int = 5_000
    lookups: int = 100
    sums: int = 2_000


class Progress(msgspec.Struct, frozen=True):
    """How far a run is: what it reads of which lane, how many of them so far, and of how many, where that is known.

    `found` is how many findings there are by then. Who is told may raise, which ends the run.
    """

    lane: int | None
    stage: str
    done: int
    of: int | None = None
    found: int = 0


class ExportedHead(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's newest link, to be kept where the database's owner cannot change it."""

    lane: int
    seq: int
    hash: str
    at: str


class ExportedHeads(msgspec.Struct, frozen=True, kw_only=True):
    """What `otcdesk head` writes: the heads of all lanes or of one, when, and the fingerprint of the audit key."""

    made_at: datetime
    audit_key: str
    heads: list[ExportedHead]


async def newest(connection: Any, lane: int) -> ExportedHead | None:
    """Return a lane's newest link, None if it has none."""
    record = await connection.fetchrow(queries("verify")["newest"], lane)
    if record is None:
        return None
    at = msgspec.json.decode(record["at"], type=str)
    return ExportedHead(lane=lane, seq=record["seq"], hash=record["hash"], at=at)


def has_its_hash(audit_key: bytes, lane: int, record: Any) -> bool:
    """Tell whether a link, as the query `links` gives it, has the hash that the key makes of its content."""
    try:
        at = msgspec.json.decode(record["at"], type=datetime)
    except msgspec.DecodeError:
        return False  # no clock says a time that cannot be read
    batch = Batch(
        lane=lane,
        seq=record["seq"],
        previous_hash=record["previous_hash"],
        hash=record["hash"],
        kind=record["kind"],
        at=at,
        writer=record["writer"],
        notes=record["notes"],
        writes=record["writes"],
        rows=(),
    )
    return hmac.compare_digest(chain.link_hash(audit_key, batch).encode(), batch.hash.encode())


class LaneReplay:
    """One run over one lane. Memory is bounded by `pages`, whatever the size of the books."""

    def __init__(
        self,
        connection: Any,
        lane: int,
        audit_key: bytes,
        *,
        findings: Findings,
        progress: Callable[[Progress], None],
        pages: Pages,
    ) -> None:
        self.connection = connection
        self.lane = lane
        self.audit_key = audit_key
        self.findings = findings
        self.progress = progress
        self.pages = pages
        self.batches = 0
        self.rows = 0
        self._walked = (0, chain.GENESIS)
        self._last = 0
        self._sum_batches = pages.batches
        self._sums: dict[tuple[int, int], int] = defaultdict(int)
        self._summing = hashlib.blake2b(digest_size=_SUM_BYTES, key=secrets.token_bytes(32))

    async def run(self) -> ExportedHead | None:
        """Replay the lane, as it is now and as far as it goes meanwhile; returns the newest link that was checked."""
        start = await newest(self.connection, self.lane)
        self._last = start.seq if start else 0
        self._sum_batches = max(self.pages.batches, -(-self._last // self.pages.sums))
        await self._walk(self._last, _LOWEST_SEQ)
        for kind in KINDS:
            await self._scan(kind)
        for kind in KINDS:
            unequal = {group for (number, group), total in self._sums.items() if number == kind.number and total}
            if unequal:
                await self._look_closer(kind, unequal)
        end = await newest(self.connection, self.lane)
        if end is not None:
            await self._walk(end.seq, self._walked[0])
        return end

    # -- the chain, and from the chain to the rows ------------------------------------------------------------------

    async def _walk(self, until: int, after: int) -> None:
        """Check the links after one number up to another, and that no row is older than what they list."""
        while page := await self._links(after, until):
            listed: dict[int, dict[bytes, int]] = {}
            for record in page:
                sound = self._check_link(record)
                self._list(record["seq"], self._writes(record, report=True), listed if sound else {})
            for number, keys in listed.items():
                await self._check_not_older(KINDS[number], keys)
            after = page[-1]["seq"]
            self.batches += len(page)
            self.progress(Progress(self.lane, "batches", self.batches, max(self._last, until), self.findings.found))
        if self._walked[0] < until:
            self._found("batches", str(until), "was the newest during this run, and now is gone")

    async def _links(self, after: int, until: int) -> list[Any]:
        limits = (self.pages.batches, self.pages.batch_bytes)
        found = await self.connection.fetch(queries("verify")["links"], self.lane, after, until, *limits)
        return list(found)

    def _check_link(self, record: Any) -> bool:
        """Check one link against the one before; tells whether it has the hash that the audit key makes."""
        seq, key = record["seq"], str(record["seq"])
        before, hash_before = self._walked
        if seq < 1:
            self._found("batches", key, "has a number that no batch has")
            return False
        if seq == before + 2:
            self._found("batches", str(before + 1), "is missing")
        elif seq > before + 1:
            self._found("batches", f"{before + 1} to {seq - 1}", "are missing")
        elif record["previous_hash"] != hash_before:
            self._found("batches", key, "does not name the hash of the batch before")
        self._walked = (seq, record["hash"])
        sound = has_its_hash(self.audit_key, self.lane, record)
        if not sound:
            self._found("batches", key, "does not have the hash that the audit key makes of its content")
        return sound

    def _writes(self, record: Any, *, report: bool) -> Iterator[chain.Write]:
        """Read what a batch lists, as far as it can be read."""
        try:
            for write in chain.unpack_writes(record["writes"]):
                if write.kind < len(KINDS):
                    yield write
                elif report:
                    self._found("batches", str(record["seq"]), f"lists a row of kind {write.kind}, which there is not")
        except ValueError as error:
            if report:
                self._found("batches", str(record["seq"]), f"does not list its rows legibly: {error}")

    def _list(self, seq: int, writes: Iterable[chain.Write], listed: dict[int, dict[bytes, int]]) -> None:
        """Note which keys of changing kinds a batch lists, and add the others to the sums."""
        totals: dict[int, int] = defaultdict(int)
        for write in writes:
            if KINDS[write.kind].changes:
                listed.setdefault(write.kind, {})[write.key] = seq
            elif seq <= self._last:
                totals[write.kind] += self._term(seq, write.key, write.digest)
        for number, total in totals.items():
            self._add(number, seq, total)

    async def _check_not_older(self, kind: Kind, listed: dict[bytes, int]) -> None:
        """Check that each of these keys has a row, of this batch or a later one."""
        statement = _outrun(kind)
        for some in _parts(listed.items(), self.pages.rows):
            wanted = []
            for packed, seq in some:
                try:
                    key = unpack_key(kind, packed)
                except ValueError:
                    self._found("batches", str(seq), f"lists a key of {kind.name} that cannot be read: {packed.hex()}")
                    continue
                wanted.append({**dict(zip(kind.key_fields, key, strict=True)), "seq": seq})
            text = msgspec.json.encode(wanted).decode()
            for record in await self.connection.fetch(statement, self.lane, text):
                seq, named = record["seq"], shown(tuple(record)[: len(kind.key_fields)])
                is_now = "is gone" if seq is None else f"is as batch {seq} left it"
                self._found(kind.name, named, f"{is_now}, but batch {record['listed']} wrote it")

    # -- the rows, and from the rows to the chain -------------------------------------------------------------------

    async def _scan(self, kind: Kind, only: set[int] | None = None) -> None:
        """Read all rows of a kind. With `only` look up those of these groups of batches, else add up what can be."""
        width = len(kind.key_fields)
        done = 0
        after: tuple[Any, ...] = ()
        while True:
            statement = _rows(kind, follows=bool(after))
            records = await self.connection.fetch(statement, self.lane, self.pages.rows, *after)
            looked_up: dict[int, dict[bytes, tuple[bytes, str]]] = defaultdict(dict)
            for record in records:
                key, seq = tuple(record)[:width], record["seq"]
                digest = self._digest(kind, key, record["row"])
                if digest is None:
                    continue
                if only is not None:
                    if self._group(seq) in only:
                        looked_up[seq][pack_key(key)] = (digest, shown(key))
                elif kind.changes or seq > self._last:
                    looked_up[seq][pack_key(key)] = (digest, shown(key))
                else:
                    self._add(kind.number, seq, -self._term(seq, pack_key(key), digest))
            await self._check_listed(kind, looked_up)
            done += len(records)
            self.progress(Progress(self.lane, kind.name, done, found=self.findings.found))
            if len(records) < self.pages.rows:
                break
            after = tuple(records[-1])[:width]
        if only is None:
            self.rows += done

    def _digest(self, kind: Kind, key: tuple[Any, ...], row_json: str) -> bytes | None:
        """Return the digest of a row as it was made when the row was written; None if that cannot be the row."""
        try:
            row = _DECODERS[kind.name].decode(row_json)
        except (msgspec.DecodeError, ValueError) as error:
            self._found(kind.name, shown(key), f"cannot be read: {error}")
            return None
        return chain.digest(chain.encode_row(row))

    async def _check_listed(self, kind: Kind, rows: dict[int, dict[bytes, tuple[bytes, str]]]) -> None:
        """Check that each row is listed by the batch that it names, with its digest."""
        for seqs in _parts(sorted(rows), self.pages.lookups):
            for record in await self.connection.fetch(queries("verify")["writes"], self.lane, seqs):
                if record["seq"] < 1:
                    continue  # nobody checks the hash of a batch outside of the chain
                unlisted = rows.pop(record["seq"])
                for write in self._writes(record, report=False):
                    if write.kind == kind.number and write.key in unlisted:
                        digest, key = unlisted.pop(write.key)
                        if digest != write.digest:
                            self._found(kind.name, key, f"is not what batch {record['seq']} wrote")
                for _, key in unlisted.values():
                    self._found(kind.name, key, f"names batch {record['seq']}, which did not write it")
        for seq, orphans in rows.items():
            for _, key in orphans.values():
                self._found(kind.name, key, f"names batch {seq}, which does not exist")

    # -- both at once, for rows that never change --------------------------------------------------------------------

    def _group(self, seq: int) -> int:
        """Return the number of the group of batches that has a sum of its own."""
        return (seq - 1) // self._sum_batches

    def _term(self, seq: int, key: bytes, digest: bytes) -> int:
        """Return what one row adds to its sum."""
        term = self._summing.copy()
        term.update(seq.to_bytes(_SEQ_BYTES, "big", signed=True) + digest + key)
        return int.from_bytes(term.digest(), "big")

    def _add(self, number: int, seq: int, total: int) -> None:
        place = (number, self._group(seq))
        self._sums[place] = (self._sums[place] + total) % _SUM_MODULUS

    async def _look_closer(self, kind: Kind, groups: set[int]) -> None:
        """Find out which rows of these groups of batches make the sums differ."""
        for group in sorted(groups):
            after, until = group * self._sum_batches, (group + 1) * self._sum_batches
            while page := await self._links(after, min(until, self._last)):
                listed: dict[bytes, int] = {}
                for record in page:
                    if has_its_hash(self.audit_key, self.lane, record):
                        writes = self._writes(record, report=False)
                        listed |= {write.key: record["seq"] for write in writes if write.kind == kind.number}
                await self._check_not_older(kind, listed)
                after = page[-1]["seq"]
        await self._scan(kind, only=groups)

    def _found(self, table: str, key: str, what: str) -> None:
        self.findings.add(self.lane, table, key, what)


_DECODERS: dict[str, Any] = {kind.name: msgspec.json.Decoder(kind.noun) for kind in KINDS}


def _outrun(kind: Kind) -> str:
    return queries("verify")["outrun"].format(
        name=kind.name,
        keys_listed=", ".join(f"k.{field}" for field in kind.key_fields),
        key_matches=" and ".join(f"t.{field} = k.{field}" for field in kind.key_fields),
    )


def _rows(kind: Kind, *, follows: bool) -> str:
    keys = ", ".join(f"t.{field}" for field in kind.key_fields)
    marks = ", ".join(f"${number}" for number in range(3, 3 + len(kind.key_fields)))
    after = f"and ({keys}) > ({marks})" if follows else ""
    return queries("verify")["rows"].format(name=kind.name, keys=keys, after=after)


def _parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
