"""What all workers share: a loop that runs one step again and again, is nudged, outlives failures, and stops."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()

#: Told the name of a worker whose step has ended, and how.
Watch = Callable[[str, str], None]

DONE, FAILED = "done", "failed"


def _nobody_watches(worker: str, outcome: str) -> None:
    pass


class Loop:
    """Runs `step` every `period_ms`, or at once when nudged, until it is stopped."""

    def __init__(self, name: str, step: Callable[[], Awaitable[bool]], *, period_ms: int) -> None:
        self.name = name
        self.step = step
        self.period_ms = period_ms
        self.watch: Watch = _nobody_watches
        self._nudge = asyncio.Event()
        self._stopping = False
        self._failing = False

    def nudge(self) -> None:
        """Let the next step begin at once."""
        self._nudge.set()

    def stop(self) -> None:
        """End the loop after the step that is under way."""
        self._stopping = True
        self._nudge.set()

    async def run(self) -> None:
        """Run until stopped; a step that returns True found as much as it could take and is repeated at once."""
        while not self._stopping:
            more = await self._step()
            if not more and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), self.period_ms / 1000)
            if not self._stopping:
                self._nudge.clear()

    async def _step(self) -> bool:
        try:
            more = await self.step()
        except Exception as error:  # noqa: BLE001  (a worker outlives whatever a step meets)
            if not self._failing:
                log.warning("worker_failing", worker=self.name, error=repr(error))
            self._failing = True
            self.watch(self.name, FAILED)
            return False
        if self._failing:
            log.info("worker_recovered", worker=self.name)
        self._failing = False
        self.watch(self.name, DONE)
        return more
