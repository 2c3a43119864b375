"""The audit chain: one link for each batch, keyed, over everything that the batch wrote and everyone who asked.

A link's hash is an HMAC-SHA-256, under a key that the database never sees, over the lane, the number, the hash before,
the time, the writer, the notes (which command, for whom, with what outcome) and the writes. The writes name every row
by kind and key with a digest of its new content, so that a later check can say which row is not what was written.
"""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from otcdesk.domain.noun import Noun, as_written
from otcdesk.domain.registry import KIND_OF, pack_key
from otcdesk.engine.store import Batch, Encoded

#: The hash before a lane's first batch.
GENESIS: Final = "0" * 64

BATCH: Final = "batch"
VOID: Final = "void"

DIGEST_BYTES: Final = 16
_LENGTH_BYTES: Final = 2

_encode = msgspec.json.Encoder().encode


class Write(msgspec.Struct, frozen=True):
    """One row as a batch wrote it: the kind's number, the packed key, and the digest of its content."""

    kind: int
    key: bytes
    digest: bytes


def encode_row(row: Noun) -> bytes:
    """Write a row as the JSON that is both hashed and stored.

    A later field that says nothing is not written, whether it was never said or was read as the null that is stored.
    """
    return _encode(as_written(row))


def digest(row_json: bytes) -> bytes:
    """Return the digest of a row's content."""
    return hashlib.sha256(row_json).digest()[:DIGEST_BYTES]


def pack_writes(rows: list[Encoded]) -> bytes:
    """Write down which rows a batch writes, and with what content."""
    parts: list[bytes] = []
    for encoded in rows:
        key = pack_key(encoded.row.key)
        parts += (_HEADS[KIND_OF[type(encoded.row)].number, len(key)], key, digest(encoded.json))
    return b"".join(parts)


class _Heads(dict[tuple[int, int], bytes]):
    """What stands before a key: its kind's number and its length. There are few, and each is met all the time."""

    def __missing__(self, kind_and_length: tuple[int, int]) -> bytes:
        number, length = kind_and_length
        head = self[kind_and_length] = number.to_bytes(1, "big") + length.to_bytes(_LENGTH_BYTES, "big")
        return head


_HEADS = _Heads()


def unpack_writes(packed: bytes) -> Iterator[Write]:
    """Read what `pack_writes` wrote; raises ValueError when the bytes are not that."""
    position = 0
    while position < len(packed):
        kind = packed[position]
        start = position + 1 + _LENGTH_BYTES
        length = int.from_bytes(packed[position + 1 : start], "big")
        position = start + length + DIGEST_BYTES
        if position > len(packed):
            raise ValueError("the writes end in the middle of a row")
        yield Write(kind, packed[start : start + length], packed[start + length : position])


def link_hash(key: bytes, batch: Batch) -> str:
    """Return the hash that a batch must have under the desk's audit key."""
    told = (
        batch.lane,
        batch.seq,
        batch.previous_hash,
        batch.kind,
        batch.at,
        batch.writer,
        batch.notes,
        hashlib.sha256(batch.writes).hexdigest(),
    )
    return hmac.new(key, _encode(told), hashlib.sha256).hexdigest()


def link(
    key: bytes,
    *,
    lane: int,
    seq: int,
    previous_hash: str,
    at: datetime,
    writer: str,
    kind: str = BATCH,
    notes: str = "[]",
    rows: list[Encoded] | None = None,
) -> Batch:
    """Make the next link of a lane's chain."""
    batch = Batch(
        lane=lane,
        seq=seq,
        previous_hash=previous_hash,
        hash="",
        kind=kind,
        at=at,
        writer=writer,
        notes=notes,
        writes=pack_writes(rows or []),
        rows=rows or [],
    )
    return msgspec.structs.replace(batch, hash=link_hash(key, batch))
