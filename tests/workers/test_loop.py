"""The workers' loop: repeats, outlives failures, is nudged, stops."""

import asyncio

from otcdesk.workers.loop import Loop
from tests.support.waiting import until


async def test_a_failing_step_does_not_end_the_loop() -> None:
    calls = 0

    async def step() -> bool:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise RuntimeError("no luck")
        return False

    loop = Loop("test", step, period_ms=1)
    told: list[tuple[str, str]] = []
    loop.watch = lambda worker, outcome: told.append((worker, outcome))
    task = asyncio.create_task(loop.run())
    await until(lambda: calls >= 5, "the loop goes on")
    loop.stop()
    await task
    assert told[:4] == [("test", "failed"), ("test", "failed"), ("test", "done"), ("test", "done")]


async def test_more_work_is_taken_at_once_and_a_nudge_ends_the_pause() -> None:
    calls = 0

    async def step() -> bool:
        nonlocal calls
        calls += 1
        return calls < 10

    loop = Loop("test", step, period_ms=3_600_000)
    task = asyncio.create_task(loop.run())
    await until(lambda: calls == 10, "ten steps without a pause")
    loop.nudge()
    await until(lambda: calls == 11, "a step after the nudge")
    loop.stop()
    await task
