"""Passwords of people: argon2id, worked out beside the event loop, a bounded number at a time.

The parameters are the second recommended option of RFC 9106 (4): 64 MiB, three passes, four lanes. A hash that was made
with others still counts, and is made anew when its password is next presented.
"""

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from otcdesk.errors import Code, Refusal

#: The least and most characters of a password. Nobody waits for the longest to be hashed: it is hashed once by then.
LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256

#: Each thread needs 64 MiB while it works.
_THREADS: Final = 2
#: Those that wait are answered within about two seconds.
_WAITING_MAX: Final = 16

#: Made passwords have so many bits of randomness, which nobody guesses; in base32, so that they can be read out.
_MADE_BYTES: Final = 15
_GROUP: Final = 6


def made_password() -> str:
    """Return a password that nobody has: four groups of six letters and digits, 120 random bits."""
    text = base64.b32encode(secrets.token_bytes(_MADE_BYTES)).decode().lower()
    return "-".join(text[place : place + _GROUP] for place in range(0, len(text), _GROUP))


def check_strength(password: str) -> None:
    """Refuse PASSWORD_WEAK for one that is too short, or too long to be typed by a person.

    What it is made of is nobody's business: rules of that kind make passwords alike (NIST SP 800-63B, 3.1.1.2).
    """
    if not LENGTH_MIN <= len(unicodedata.normalize("NFKC", password)) <= LENGTH_MAX:
        raise Refusal(Code.PASSWORD_WEAK, length_min=LENGTH_MIN, length_max=LENGTH_MAX)


class Passwords:
    """Hashes passwords and verifies them."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        self._under_way = 0
        self._nobodys = self._hash_of_nothing()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take a turn at verifying; refuses OVERLOADED when too many wait for theirs, before anything is counted."""
        if self._under_way >= _THREADS + _WAITING_MAX:
            raise Refusal(Code.OVERLOADED, retry_after_seconds=1)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def hash(self, password: str) -> str:
        """Return what is kept of a password."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, _encoded(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Tell whether a password is the one that was kept; None takes as long and is never right."""
        given = _encoded(password)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, kept or self._nobodys, given)

    def is_outdated(self, kept: str) -> bool:
        """Tell whether a hash was made with other parameters than these."""
        return self._hasher.check_needs_rehash(kept)

    def _verify(self, kept: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except VerifyMismatchError:
            return False

    def _hash_of_nothing(self) -> str:
        """Return what looks like a hash with our parameters and belongs to no password."""
        made = self._hasher
        salt, digest = (_unpadded(secrets.token_bytes(length)) for length in (made.salt_len, made.hash_len))
        costs = f"m={made.memory_cost},t={made.time_cost},p={made.parallelism}"
        return f"$argon2id$v=19${costs}${salt}${digest}"


def _encoded(password: str) -> bytes:
    """Return the bytes that are hashed: equal for characters that look equal, and cut where nobody's is as long."""
    return unicodedata.normalize("NFKC", password[: 4 * LENGTH_MAX]).encode("utf-8", "surrogatepass")


def _unpadded(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")
