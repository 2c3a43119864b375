"""Rate limits: so many requests in each second of the machine's clock, for each owner of a credential."""

import time

from otcdesk.desk import Caller
from otcdesk.errors import Code, Refusal


class RateLimit:
    """A fixed window of one second; 0 requests per second means no limit. Bounded: a new second forgets the last."""

    def __init__(self, requests_per_second: int) -> None:
        self.requests_per_second = requests_per_second
        self._second = 0
        self._counts: dict[tuple[int, object], int] = {}

    def take(self, caller: Caller) -> None:
        """Count a request; refuses RATE_LIMITED past the limit."""
        if not self.requests_per_second:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._counts.clear()
        key = (caller.lane, caller.owner_id)
        count = self._counts.get(key, 0)
        if count >= self.requests_per_second:
            raise Refusal(Code.RATE_LIMITED, retry_after_seconds=1)
        self._counts[key] = count + 1
