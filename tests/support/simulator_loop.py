"""An event loop in which time is a number, nothing comes from outside, and dice say what runs next.

What one step makes ready keeps its order, as asyncio promises; between steps that know nothing of each other the dice
choose. When nothing is ready the time jumps to the next timer. So a run depends on its dice and on nothing else.
Whatever needs a socket, a file or a thread is not implemented here.
"""

import asyncio
import contextlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: To whom a task belongs: whatever a task of theirs starts is theirs as well.
OWNER: ContextVar[object] = ContextVar("OWNER", default=None)

#: Many times what a run takes: who never comes to an end is found by this.
STEPS_MAX = 100_000


class Stuck(AssertionError):
    """What was waited for has not happened and never will."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Just enough of a loop for tasks, futures and timers."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.steps = 0
        self.failures: list[BaseException] = []
        self.tasks: dict[asyncio.Task[Any], object] = {}
        self._now = 0.0
        #: What is ready, by the step that made it so; the last of them is of the step that runs.
        self._ready: list[deque[asyncio.Handle]] = [deque()]
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_set = 0

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Start a task and remember whose it is."""
        task = asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context)
        self.tasks[task] = OWNER.get() if context is None else context.get(OWNER)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        del self.tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready[-1].append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_set += 1
        heapq.heappush(self._timers, (when, self._timers_set, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it is passed over when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take what a callback raised."""
        self.failures.append(context.get("exception") or AssertionError(context["message"]))

    # How it runs.

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to the end of `main`, and then until nothing is ready and no timer is set."""
        asyncio.events._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                if not self._step():
                    raise Stuck(f"at {self._now:.6f} nothing will ever happen again")
            while self._step():
                pass
            return task.result()
        finally:
            self._abandon()
            asyncio.events._set_running_loop(None)

    def _abandon(self) -> None:
        """Let whatever is still at work after a failure end here, and not when its garbage is collected."""
        while self.tasks:
            self.steps = 0
            for task in [*self.tasks]:
                task.cancel()
            self.failures.clear()
            with contextlib.suppress(Exception):
                while self._step():
                    pass

    def _step(self) -> bool:
        """Run one thing, if there is one; the time passes only when nothing is ready."""
        ready = self._ready
        if not ready[-1]:
            ready.pop()
        if not ready and not self._wake():
            ready.append(deque())
            return False
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"at {self._now:.6f} it still goes on, and will for ever")
        chosen = int(self.dice.random() * len(ready))
        handle = ready[chosen].popleft()
        if not ready[chosen]:
            ready[chosen] = ready[-1]
            ready.pop()
        ready.append(deque())
        if not handle.cancelled():
            handle._run()
        if self.failures:  # no task and no callback of a run may fail
            raise self.failures[0]
        return True

    def _wake(self) -> bool:
        """Let the time jump to the next timer and make everything ready that is due then."""
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._now = max(self._now, when)
                self._ready.append(deque([handle]))
                while self._timers and self._timers[0][0] <= self._now:
                    self._ready.append(deque([heapq.heappop(self._timers)[2]]))
                return True
        return False


def new_loop(dice: random.Random) -> SimulatedLoop:
    """Make a loop; what it does not have of sockets, files and signals is not missed."""
    return SimulatedLoop(dice)  # type: ignore[abstract]
