"""The load: connections that make pairs of requests as fast as they are answered, each answer checked.

Runs in a process of its own (`python -m otcdesk.bench.load`, its plan as JSON on standard input, its result as JSON on
standard output), on bare sockets, so that it takes as little as possible from what it measures.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any
from uuid import uuid4

import msgspec
import uvloop

from otcdesk.bench.callers import Caller


class Plan(msgspec.Struct):
    """Where to, as whom, how many connections, and how long."""

    host: str
    port: int
    callers: list[Caller]
    connections: int
    seconds: int


class Result(msgspec.Struct):
    """What came of it: whole pairs, and the microseconds of the first and second request of each.

    `wrong`: the first bad answer.
    """

    pairs: int
    elapsed_us: int
    first_us: list[int]
    second_us: list[int]
    wrong: str | None


class Connection(asyncio.Protocol):
    """One keep-alive connection that makes pairs, for one caller after another of those that are its own."""

    def __init__(self, plan: Plan, callers: list[Caller], until_ns: int, finished: Callable[[], None]) -> None:
        self.until_ns = until_ns
        self.finished = finished
        self.pairs = 0
        self.first_us: list[int] = []
        self.second_us: list[int] = []
        self.wrong: str | None = None
        self._buffer = b""
        self._scripts = cycle([caller.script(f"{plan.host}:{plan.port}") for caller in callers])
        self._script = next(self._scripts)
        self._opened: bytes | None = None
        self._unique = str(uuid4())[:-12]  # and the number of the pair: a key of its own for each
        self._sent_ns = 0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin with the first request of a pair."""
        self._transport = transport
        self._send(self._script.first)

    def _send(self, request: bytes) -> None:
        self._sent_ns = time.perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer; check it; send the next request."""
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark or not body.endswith(b"}"):
            return
        taken_us = (time.perf_counter_ns() - self._sent_ns) // 1000
        self._buffer = b""
        if self._opened is None:
            self._take_first(head, body, taken_us)
        else:
            self._take_second(head, body, taken_us)

    def _take_first(self, head: bytes, body: bytes, taken_us: int) -> None:
        order_id = self._script.opened(head, body)
        if order_id is None:
            self._stop(f"the first request was answered {head[:40]!r} {body[:200]!r}")
            return
        self.first_us.append(taken_us)
        self._opened = order_id
        self._send(self._script.second(order_id, f"{self._unique}{self.pairs:012x}".encode()))

    def _take_second(self, head: bytes, body: bytes, taken_us: int) -> None:
        if self._opened is None or not self._script.closed(head, body, self._opened):
            self._stop(f"the second request was answered {head[:40]!r} {body[:200]!r}")
            return
        self.second_us.append(taken_us)
        self.pairs += 1
        self._opened = None
        self._script = next(self._scripts)
        if time.perf_counter_ns() >= self.until_ns:
            self._stop(None)
        else:
            self._send(self._script.first)

    def _stop(self, wrong: str | None) -> None:
        self.wrong = self.wrong or wrong
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that this connection is over, and if it should not be."""
        if exc is not None or (self.wrong is None and time.perf_counter_ns() < self.until_ns):
            self.wrong = self.wrong or f"the connection broke: {exc!r}"
        self.finished()


async def run(plan: Plan) -> Result:
    """Carry out a plan."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    left = plan.connections

    def finished() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    started = time.perf_counter_ns()
    until = started + plan.seconds * 1_000_000_000
    connections = []
    for number in range(plan.connections):
        own = plan.callers[number :: plan.connections] or [plan.callers[number % len(plan.callers)]]
        connection = Connection(plan, own, until, finished)
        connections.append(connection)
        await loop.create_connection(lambda made=connection: made, plan.host, plan.port)  # type: ignore[misc]
    await over.wait()
    return Result(
        pairs=sum(connection.pairs for connection in connections),
        elapsed_us=(time.perf_counter_ns() - started) // 1000,
        first_us=[taken for connection in connections for taken in connection.first_us],
        second_us=[taken for connection in connections for taken in connection.second_us],
        wrong=next((connection.wrong for connection in connections if connection.wrong), None),
    )


if __name__ == "__main__":
    made = uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(made))
