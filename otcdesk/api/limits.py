"""Rate limits: so many requests in each second of the machine's clock, for each owner of a credential or other name.

All processes of a home count in one file that they share as memory. It has room for a fixed number of owners in any
one second, and a new second forgets the last, so it never grows and is never cleaned. A process that dies, even in the
middle of counting, takes nothing with it: its lock is the system's, and what it counted is counted.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import time
from pathlib import Path

from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal

#: Who counts, the second, and how many. The digest alone tells owners apart: 96 bits do not meet by chance.
_SLOT = struct.Struct("=12sIQ")

#: An owner's slot is one of those of its group, which is locked as a whole.
_GROUP_SLOTS = 8
_GROUP_BYTES = _GROUP_SLOTS * _SLOT.size
_GROUPS = 8_192
_FILE_BYTES = _GROUPS * _GROUP_BYTES

_DIGEST_BYTES = 12

#: A lock is held for microseconds. Whoever holds it longer has been stopped, and then counting goes on without it.
_LOCK_NS_MAX = 50_000_000
_UNLOCKED_NS = 1_000_000_000

#: So many digests are remembered, since making one costs as much as counting.
_REMEMBERED_MAX = 10_000


class SharedCounts:
    """The counts of one second, of all processes that open the same file."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it at its first use; what is in it is believed, since only this user may write it."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._file, 0, _FILE_BYTES)  # a full disk is told now, not by a signal at a store
            self._memory = mmap.mmap(self._file, _FILE_BYTES)
        except BaseException:
            os.close(self._file)
            raise
        self._unlocked: dict[int, int] = {}

    def close(self) -> None:
        """Close the file; what is counted stays."""
        self._memory.close()
        os.close(self._file)

    def take(self, owner: bytes, second: int, at_most: int) -> bool:
        """Count one more for an owner in a second, unless that were more than so many; tells whether it was counted."""
        group = int.from_bytes(owner[:4], "little") % _GROUPS * _GROUP_BYTES
        locked = self._lock(group)
        try:
            return self._count(group, owner, second & 0xFFFFFFFF, at_most)
        finally:
            if locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _GROUP_BYTES, group)

    def _count(self, group: int, owner: bytes, second: int, at_most: int) -> bool:
        free = None
        for place in range(group, group + _GROUP_BYTES, _SLOT.size):
            found, counted_in, count = _SLOT.unpack_from(self._memory, place)
            if counted_in != second:  # what was counted in another second is forgotten
                if free is None or found == owner:
                    free = place
            elif found == owner:
                if count >= at_most:
                    return False
                _SLOT.pack_into(self._memory, place, owner, second, count + 1)
                return True
        if free is None:  # more owners than there is room for in this second: nobody is let in unseen
            return False
        _SLOT.pack_into(self._memory, free, owner, second, 1)
        return True

    def _lock(self, group: int) -> bool:
        """Lock a group; tells whether it is locked, which it is not while a stopped process has it."""
        if self._unlocked and time.monotonic_ns() < self._unlocked.get(group, 0):
            return False
        deadline_ns = 0
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _GROUP_BYTES, group)
            except OSError:
                now_ns = time.monotonic_ns()
                deadline_ns = deadline_ns or now_ns + _LOCK_NS_MAX
                if now_ns >= deadline_ns:
                    self._unlocked[group] = now_ns + _UNLOCKED_NS
                    return False
                os.sched_yield()
            else:
                self._unlocked.pop(group, None)
                return True


class RateLimit:
    """A fixed window of one second; 0 requests per second means no limit, and nothing is opened or counted."""

    def __init__(self, requests_per_second: int, counts: SharedCounts | None = None, *, name: str = "") -> None:
        """Count under a `name` that tells this limit from others in the same counts."""
        if requests_per_second and counts is None:
            raise ValueError("a limit needs counts to be kept in")
        self.requests_per_second = requests_per_second
        self._counts = counts
        self._name = name.encode()
        self._owners: dict[tuple[int, bytes], bytes] = {}

    def take(self, caller: Caller) -> None:
        """Count a caller's request; refuses RATE_LIMITED past the limit."""
        self.count(caller.lane, caller.owner_id.bytes)

    def count(self, lane: int, name: bytes) -> None:
        """Count a request under any name; refuses RATE_LIMITED past the limit, which is among its facts."""
        most = self.requests_per_second
        if self._counts is None or not most:
            return
        # The machine's monotonic clock is one for all processes, so they agree on the second.
        if not self._counts.take(self._digest(lane, name), int(time.monotonic()), most):
            raise Refusal(Code.RATE_LIMITED, retry_after_seconds=1, requests_per_second=most)

    def _digest(self, lane: int, name: bytes) -> bytes:
        key = (lane, name)
        digest = self._owners.get(key)
        if digest is None:
            if len(self._owners) >= _REMEMBERED_MAX:
                self._owners.clear()
            told = b"%s\n%d\n%s" % (self._name, lane, name)
            digest = self._owners[key] = hashlib.blake2b(told, digest_size=_DIGEST_BYTES).digest()
        return digest
