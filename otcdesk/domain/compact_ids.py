"""Ids of 96 bits, as systems write them that keep no UUIDs: 24 hexadecimal digits, time first.

In the books such an id is a UUID of version 8 (RFC 9562) that has it inside, so each has exactly one UUID and nothing
need be looked up to turn one into the other.
"""

import re
from datetime import datetime
from hashlib import sha256
from uuid import UUID

_DIGITS = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_BYTES = 12
_LAST = (1 << 36) - 1
_SECONDS_MAX = 2**32 - 1


def compact_id(base: UUID, at: datetime) -> UUID:
    """Return the 96-bit id that belongs to an id of the desk's own: 32 bits of seconds, then what is random of it."""
    seconds = min(max(int(at.timestamp()), 0), _SECONDS_MAX)
    random = (base.int >> 64 & 0xFFF) << 52 | base.int & (1 << 52) - 1
    return _within(seconds << 64 | random)


def declared_compact_id(*path: str) -> UUID:
    """Return the 96-bit id of something that a world file declares under this path of names."""
    return _within(int.from_bytes(sha256("/".join(path).encode()).digest()[:_BYTES]))


def parse_compact_id(text: str) -> UUID | None:
    """Read 24 hexadecimal digits; None if it is anything else."""
    return _within(int(text, 16)) if _DIGITS.fullmatch(text) else None


def print_compact_id(value: UUID) -> str:
    """Write an id that is one of 96 bits as its 24 digits."""
    digits = value.hex
    return digits[:12] + digits[13:16] + digits[17:26]


def is_compact(value: UUID) -> bool:
    """Tell whether an id is one of 96 bits."""
    return _within(int(print_compact_id(value), 16)) == value


def _within(number: int) -> UUID:
    """Return the UUID with these 96 bits around its version and variant; the bits after them are 0."""
    return UUID(int=number >> 48 << 80 | 8 << 76 | (number >> 36 & 0xFFF) << 64 | 8 << 60 | (number & _LAST) << 24)
