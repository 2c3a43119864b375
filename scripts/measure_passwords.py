"""How long a sign-in's password takes to verify, alone and from 16 callers at once, and what memory it needs."""

import asyncio
import resource
import time

from otcdesk.passwords import Passwords, made_password

_CALLERS = 16


async def measure() -> None:
    """Print milliseconds and mebibytes."""
    passwords, password = Passwords(), made_password()
    kept = await passwords.hash(password)
    for callers in (1, _CALLERS):
        begun = time.perf_counter_ns()
        assert all(await asyncio.gather(*(passwords.verify(kept, password) for _ in range(callers))))
        print(f"{callers} at once: {(time.perf_counter_ns() - begun) // 1_000_000} ms")
    begun = time.perf_counter_ns()
    assert not await passwords.verify(None, password)
    print(f"nobody's: {(time.perf_counter_ns() - begun) // 1_000_000} ms")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    asyncio.run(measure())
