"""The load: connections that quote and confirm as fast as they are answered, each answer checked.

Runs in a process of its own (`python -m otcdesk.bench.load`, its plan as JSON on standard input, its result as JSON on
standard output), on bare sockets, so that it takes as little as possible from what it measures.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import uvloop


class Customer(msgspec.Struct):
    """One tenant: its key, and what it converts between."""

    api_key: str
    account_id: str
    wallet_id: str


class Plan(msgspec.Struct):
    """Where to, how many connections, and how long."""

    host: str
    port: int
    prefix: str
    customers: list[Customer]
    connections: int
    seconds: int


class Result(msgspec.Struct):
    """What came of it: whole pairs, and the microseconds of every quote and confirm. `wrong`: the first bad answer."""

    pairs: int
    elapsed_us: int
    quote_us: list[int]
    confirm_us: list[int]
    wrong: str | None


class Connection(asyncio.Protocol):
    """One keep-alive connection that quotes and confirms in turn."""

    def __init__(self, plan: Plan, customer: Customer, until_ns: int, finished: Callable[[], None]) -> None:
        self.until_ns = until_ns
        self.finished = finished
        self.pairs = 0
        self.quote_us: list[int] = []
        self.confirm_us: list[int] = []
        self.wrong: str | None = None
        self.done = False
        self._buffer = b""
        self._quoting = True
        self._sent_ns = 0
        common = (
            f"host: {plan.host}:{plan.port}\r\nx-api-key: {customer.api_key}\r\nx-csrf-token: {'0' * 64}\r\n"
            "content-type: application/json\r\n"
        )
        quote = (
            f'{{"sourceFrAccountId":"{customer.account_id}","destinationUtilaWalletId":"{customer.wallet_id}",'
            '"sourceAmountEur":"25.00"}'
        )
        self._quote = (
            f"POST {plan.prefix}/otc-exchanges/quote HTTP/1.1\r\n{common}content-length: {len(quote)}\r\n\r\n{quote}"
        ).encode()
        self._confirm = f"POST {plan.prefix}/otc-exchanges HTTP/1.1\r\n{common}content-length: 50\r\n".encode()
        self._key_head = str(uuid4())[:-12].encode()  # and the number of the pair: a key of its own for each
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin with a quote."""
        self._transport = transport
        self._send(self._quote)

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
        if self._quoting:
            self._quoted(head, body, taken_us)
        else:
            self._confirmed(head, body, taken_us)

    def _quoted(self, head: bytes, body: bytes, taken_us: int) -> None:
        start = body.find(b'"quoteId":"') + 11
        if b" 200 " not in head[:16] or b'"destinationAmount":"27.10"' not in body:
            self._stop(f"quote answered {head[:40]!r} {body[:200]!r}")
            return
        self.quote_us.append(taken_us)
        self._quoting = False
        quote_id = body[start : start + 36]
        self._quote_id = quote_id
        key = self._key_head + b"%012x" % self.pairs
        self._send(self._confirm + b"idempotency-key: " + key + b'\r\n\r\n{"quoteId":"' + quote_id + b'"}')

    def _confirmed(self, head: bytes, body: bytes, taken_us: int) -> None:
        if b" 201 " not in head[:16] or self._quote_id not in body or b'"debit_pending"' not in body:
            self._stop(f"confirm answered {head[:40]!r} {body[:200]!r}")
            return
        self.confirm_us.append(taken_us)
        self.pairs += 1
        self._quoting = True
        if time.perf_counter_ns() >= self.until_ns:
            self._stop(None)
        else:
            self._send(self._quote)

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
        connection = Connection(plan, plan.customers[number % len(plan.customers)], until, finished)
        connections.append(connection)
        await loop.create_connection(lambda made=connection: made, plan.host, plan.port)  # type: ignore[misc]
    await over.wait()
    return Result(
        pairs=sum(connection.pairs for connection in connections),
        elapsed_us=(time.perf_counter_ns() - started) // 1000,
        quote_us=[taken for connection in connections for taken in connection.quote_us],
        confirm_us=[taken for connection in connections for taken in connection.confirm_us],
        wrong=next((connection.wrong for connection in connections if connection.wrong), None),
    )


if __name__ == "__main__":
    made = uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(made))
