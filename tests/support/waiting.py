"""Wait for something to become true, and no longer than it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

DEADLINE_SECONDS = 20
_POLL_SECONDS = 0.005


async def until(holds: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Poll until it holds; fail when it does not in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, f"not in {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(_POLL_SECONDS)
