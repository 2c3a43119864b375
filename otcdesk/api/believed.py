"""What was looked up outside of this process, right or wrong, and is believed for a fraction of a second.

A request asks who it is from, and the answer may end at any time elsewhere: a key is revoked, a lane is closed. Nobody
tells the other processes. Each looks again when the time is up, so what has ended is dead everywhere within it.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

#: How many answers are believed at once, unless somebody says otherwise.
_BELIEVED_MAX = 10_000

_NS_PER_MS = 1_000_000

K = TypeVar("K")
V = TypeVar("V")


class Believed(Generic[K, V]):
    """Looks up what a key stands for, and believes the answer for a while; the oldest answers are forgotten first.

    An answer that nothing was found is believed like any other. A look-up that fails is no answer.
    """

    def __init__(self, look_up: Callable[[K], Awaitable[V]], milliseconds: int, most: int = _BELIEVED_MAX) -> None:
        """Believe `most` answers of `look_up` at once, each for `milliseconds`; none at all if that is 0."""
        self._look_up = look_up
        self._lasts_ns = milliseconds * _NS_PER_MS
        self._most = most
        #: When each was asked for and what was found, by a clock that nobody sets back: what has ended must stay dead.
        self._answers: OrderedDict[K, tuple[int, V]] = OrderedDict()

    async def find(self, key: K) -> V:
        """Return what a key stands for, or stood for less than that time ago."""
        known, now = self._answers.get(key), time.monotonic_ns()
        if known is not None and now - known[0] < self._lasts_ns:
            return known[1]
        found = await self._look_up(key)
        self._answers[key] = now, found  # it may have ended while it was looked up: its time has begun before
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)
        return found
