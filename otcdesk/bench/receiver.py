"""A receiver of webhooks: takes what comes, looks at each message, and counts; beside it two that never take anything.

Runs in a process of its own (`python -m otcdesk.bench.receiver`), on bare sockets, so that it takes as little as
possible from what it measures. It says where it listens in a line of JSON, then answers each line that it is sent with
what came since the line before, and ends with its input.
"""

import asyncio
import re
import socket
import subprocess
import sys
import time
from typing import Any, Self

import msgspec
import uvloop

_HOST = "127.0.0.1"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_SIGNATURE = b"\r\nX-Webhook-Signature: sha256="
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")
_BODY = b'{"id":"evt_'
_SHOWN_BYTES = 300
_END_SECONDS_MAX = 10


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The URLs: of who answers 200, of a port that refuses connections, and of who accepts them and keeps silent."""

    live: str
    refusing: str
    silent: str


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What came since it was last asked for, and from when to when, in nanoseconds of the machine's steady clock.

    `events` are all distinct events so far, and `again` what came of them a second time; `wrong` is the first message
    without a signature or an event.
    """

    messages: int
    first_ns: int
    last_ns: int
    events: int
    again: int
    wrong: str | None


class Counter:
    """What the connections of one receiver count together. A message has to have a signature and an event's id."""

    def __init__(self) -> None:
        self._messages = self._again = self._first_ns = self._last_ns = 0
        self._events: set[bytes] = set()
        self._wrong: str | None = None

    def take(self, head: bytes, body: bytes) -> None:
        """Count a message."""
        self._last_ns = time.monotonic_ns()
        if not self._messages:
            self._first_ns = self._last_ns
        self._messages += 1
        if not head.startswith(b"POST ") or _SIGNATURE not in head or not body.startswith(_BODY):
            self._wrong = self._wrong or repr(head[:_SHOWN_BYTES] + body[:_SHOWN_BYTES])
        event = body[len(_BODY) : body.find(b'"', len(_BODY))]
        self._again += event in self._events
        self._events.add(event)

    def counted(self) -> Counted:
        """Return what came since this was last called."""
        counted = Counted(
            messages=self._messages,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            events=len(self._events),
            again=self._again,
            wrong=self._wrong,
        )
        self._messages = 0
        return counted


class _Connection(asyncio.Protocol):
    """Answers every message with 200, on a connection that is kept."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return
        self._buffer = b""
        self._counter.take(head, body)
        self._transport.write(_ANSWER)


async def receive() -> None:
    """Listen until the input ends."""
    loop = asyncio.get_running_loop()
    counter = Counter()
    live = await loop.create_server(lambda: _Connection(counter), _HOST, 0)
    silent = await loop.create_server(asyncio.Protocol, _HOST, 0)
    with socket.socket() as refusing:
        refusing.bind((_HOST, 0))  # and not listened on: nobody else gets the port, and whoever connects is refused
        urls = [f"http://{_HOST}:{one.getsockname()[1]}/hook" for one in (live.sockets[0], refusing, silent.sockets[0])]
        _say(Places(live=urls[0], refusing=urls[1], silent=urls[2]))
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while await lines.readline():
            _say(counter.counted())


def _say(value: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


class Receiver:
    """The receiver's process while the context lasts; `places` are its URLs."""

    places: Places

    def __enter__(self) -> Self:
        arguments = [sys.executable, "-m", "otcdesk.bench.receiver"]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self.places = self._heard(Places)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=_END_SECONDS_MAX)

    def counted(self) -> Counted:
        """Return what came since this was last asked; raises RuntimeError if some of it was not as it must be."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        counted: Counted = self._heard(Counted)
        if counted.wrong is not None:
            raise RuntimeError(f"a message was not as it must be: {counted.wrong}")
        return counted

    def _heard(self, kind: Any) -> Any:
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline(), type=kind)


if __name__ == "__main__":
    uvloop.run(receive())
