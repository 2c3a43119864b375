"""What verify finds: one finding for each row that is not as the chain or an invariant says, named as people read it.

A key is printed with its parts joined by `/`, in `invariants.sql` and here alike. The number of findings that are kept
is bounded: books that were destroyed altogether need no complete list.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from otcdesk.domain.registry import KINDS, Kind

_INTEGER_BYTES = 8
_ID_BYTES = 16
_LENGTH_BYTES = 4


class Finding(msgspec.Struct, frozen=True):
    """One row that is not as it must be: its lane, table and key, and what is wrong with it."""

    lane: int
    table: str
    key: str
    what: str


def describe(finding: Finding) -> str:
    """Write a finding as one line."""
    return f"lane {finding.lane}, {finding.table} {finding.key!r}: {finding.what}"


class Findings:
    """The findings of one run, each once, the first so many of them."""

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._kept: dict[Finding, None] = {}
        self.left_out = 0

    def add(self, lane: int, table: str, key: str, what: str) -> None:
        """Keep a finding, or count it when there is no room left."""
        finding = Finding(lane, table, key, what)
        if finding in self._kept:
            return
        if len(self._kept) >= self._kept_max:
            self.left_out += 1
            return
        self._kept[finding] = None

    @property
    def found(self) -> int:
        """Return how many there are, those that were left out among them."""
        return len(self._kept) + self.left_out

    def kept(self) -> list[Finding]:
        """Return what was kept, in the order in which it was found."""
        return list(self._kept)


def shown(parts: tuple[Any, ...]) -> str:
    """Print a key."""
    return "/".join(map(str, parts))


def unpack_key(kind: Kind, packed: bytes) -> tuple[Any, ...]:
    """Read what `registry.pack_key` wrote for a key of this kind; raises ValueError when the bytes are not that."""
    parts: list[Any] = []
    position = 0
    for read in _READERS[kind.name]:
        part, position = read(packed, position)
        parts.append(part)
    if position != len(packed):
        raise ValueError("the key has another length")
    return tuple(parts)


def _read_id(packed: bytes, start: int) -> tuple[UUID, int]:
    end = start + _ID_BYTES
    return UUID(bytes=packed[start:end]), end


def _read_integer(packed: bytes, start: int) -> tuple[int, int]:
    end = start + _INTEGER_BYTES
    return int.from_bytes(packed[start:end], "big", signed=True), end


def _read_text(packed: bytes, start: int) -> tuple[str, int]:
    text = start + _LENGTH_BYTES
    end = text + int.from_bytes(packed[start:text], "big")
    return packed[text:end].decode(), end


_READ: dict[Any, Callable[[bytes, int], tuple[Any, int]]] = {UUID: _read_id, int: _read_integer, str: _read_text}


def _readers(kind: Kind) -> list[Callable[[bytes, int], tuple[Any, int]]]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind.noun)}
    return [_READ[types[name]] for name in kind.key_fields]


_READERS = {kind.name: _readers(kind) for kind in KINDS}
