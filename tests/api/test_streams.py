"""Answers that come in pieces: who leaves frees them, who is slow holds them up, and nothing follows them."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from otcdesk.api.connection import Connection, ConnectionLimits
from otcdesk.api.http import Answer, Request, Stream
from otcdesk.api.proxies import TrustedProxies

_LIMITS = ConnectionLimits(head_bytes=8_192, body_bytes=10_000, request_seconds=60, idle_seconds=60)
_STREAM = b"GET /stream HTTP/1.1\r\nHost: desk\r\n\r\n"
_OTHER = b"GET /other HTTP/1.1\r\nHost: desk\r\n\r\n"
_PIECE = b"x" * 10_000


class Site:
    """A server of one stream, whose pieces the test gives, on real sockets."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.state = SimpleNamespace(connections=set(), tasks=set())
        self.asked: list[str] = []
        self.given = 0
        self.open = 0
        self.ended = asyncio.Event()
        self.begins = asyncio.Event()
        self.begins.set()
        self.port = 0

    async def serve(self, request: Request) -> Answer | Stream:
        self.asked.append(f"{request.method} {request.path}")
        if request.path != "/stream":
            return Answer(200, {})
        await self.begins.wait()
        return Stream(200, self.told(), ((b"x-of-its-own", b"1"),))

    async def told(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            while (piece := await self.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                self.given += 1
                yield piece
        finally:
            self.open -= 1
            self.ended.set()

    def tell(self, *pieces: bytes | Exception | None) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)

    async def is_asked(self) -> None:
        """Wait until a request is here."""
        async with asyncio.timeout(10):
            while not self.asked:
                await asyncio.sleep(0.005)

    async def is_freed(self) -> None:
        """Wait until nobody holds a connection, a task or a stream."""
        async with asyncio.timeout(10):
            while self.state.connections or self.state.tasks or self.open:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(limits: ConnectionLimits = _LIMITS) -> AsyncIterator[Site]:
    site, loop = Site(), asyncio.get_running_loop()

    def connection() -> Any:
        return Connection(site.serve, limits, TrustedProxies(""), server_state=site.state)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()
    await site.is_freed()


class Listener:
    """A client that reads a stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    def reset(self) -> None:
        """Leave as a host does that breaks down and comes back."""
        at_once = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.writer.transport.abort()

    async def begun(self) -> None:
        async with asyncio.timeout(10):
            self.head = await self.reader.readuntil(b"\r\n\r\n")

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()


@asynccontextmanager
async def listening(site: Site, *sent: bytes) -> AsyncIterator[Listener]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"".join(sent))
    yield Listener(reader, writer)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_stream_comes_piece_by_piece_and_ends_the_connection() -> None:
    async with opened() as site, listening(site, _STREAM) as listener:
        await listener.begun()
        head = listener.head.lower()
        assert head.startswith(b"http/1.1 200 ok\r\n")
        assert b"\r\nconnection: close\r\n" in head
        assert b"\r\ncontent-type: text/event-stream\r\n" in head
        assert b"\r\ncache-control: no-store\r\n" in head
        assert b"\r\nx-of-its-own: 1\r\n" in head
        assert b"content-length" not in head
        site.tell(b"one")
        assert await listener.exactly(3) == b"one"
        site.tell(b"two", None)
        assert await listener.rest() == b"two"


@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
async def test_who_hangs_up_frees_the_stream_at_once(how: str) -> None:
    """However a client leaves, nothing has to be said before it is noticed."""
    async with opened() as site, listening(site, _STREAM) as listener:
        site.tell(b"one")
        await listener.begun()
        assert site.open == 1
        if how == "shutdown":
            listener.writer.write_eof()
        elif how == "reset":
            listener.reset()
        else:
            listener.writer.close()
        await site.is_freed()


@pytest.mark.parametrize("reset", [False, True])
async def test_who_hangs_up_before_the_stream_begins_gets_none(reset: bool) -> None:
    async with opened() as site:
        site.begins.clear()
        async with listening(site, _STREAM) as listener:
            await site.is_asked()
            (connection,) = site.state.connections
            if reset:
                listener.reset()
            else:
                listener.writer.close()
            async with asyncio.timeout(10):
                while site.state.connections and connection._last is None:
                    await asyncio.sleep(0.005)
        site.tell(b"one")
        site.begins.set()
        await site.is_freed()
        assert site.given == 0


async def test_a_slow_reader_gets_no_more_than_it_reads() -> None:
    """What the system's buffers take is taken; then the stream waits, and nothing piles up."""
    async with opened() as site, listening(site, _STREAM) as listener:
        listener.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        listener.writer.transport.pause_reading()  # type: ignore[attr-defined]
        site.tell(*[_PIECE] * 3_000, None)
        given = -1
        while given != site.given:
            given = site.given
            await asyncio.sleep(0.1)
        assert 0 < given < 2_000
        (connection,) = site.state.connections
        assert connection._transport.get_write_buffer_size() < 64 * 1_024 + 2 * len(_PIECE)
        listener.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await listener.begun()
        assert len(await listener.rest()) == 3_000 * len(_PIECE)


@pytest.mark.parametrize("is_over", [False, True])
async def test_who_never_reads_is_cut_off(is_over: bool) -> None:
    """While the stream goes on, and when it is over and only the last of it has not been taken."""
    limits = ConnectionLimits(head_bytes=8_192, body_bytes=10_000, request_seconds=1, idle_seconds=1)
    async with opened(limits) as site, listening(site) as listener:
        listener.writer.transport.pause_reading()  # type: ignore[attr-defined]
        listener.writer.write(_STREAM)
        await site.is_asked()
        (connection,) = site.state.connections
        while connection._transport.get_write_buffer_size() == 0:
            site.tell(_PIECE)
            await asyncio.sleep(0)
        site.tell(*([None] if is_over else [_PIECE] * 100))
        await site.is_freed()


async def test_stopping_ends_streams_at_once() -> None:
    async with opened() as site, listening(site, _STREAM) as listener:
        site.tell(b"one")
        await listener.begun()
        for connection in list(site.state.connections):
            connection.shutdown()
        assert await listener.rest() == b"one"
        await site.is_freed()


async def test_a_stream_that_begins_while_the_server_stops_has_only_a_head() -> None:
    async with opened() as site, listening(site, _STREAM) as listener:
        site.begins.clear()
        await site.is_asked()
        for connection in list(site.state.connections):
            connection.shutdown()
        site.tell(b"one")
        site.begins.set()
        await listener.begun()
        assert await listener.rest() == b""


async def test_a_head_alone_has_no_pieces() -> None:
    async with opened() as site, listening(site, _STREAM.replace(b"GET", b"HEAD")) as listener:
        site.tell(b"one", None)
        await listener.begun()
        assert await listener.rest() == b""
        assert b"content-length" not in listener.head
        assert site.given == 0


async def test_requests_before_a_stream_are_answered_and_those_after_it_are_not() -> None:
    async with opened() as site, listening(site, _OTHER, _OTHER, _STREAM, _OTHER * 50) as listener:
        for _ in range(2):
            await listener.begun()
            assert b"content-length: 2\r\n" in listener.head
            assert await listener.exactly(2) == b"{}"
        await listener.begun()
        site.tell(b"one", None)
        assert await listener.rest() == b"one"
        assert site.asked == ["GET /other", "GET /other", "GET /stream"]


@pytest.mark.parametrize(
    "more",
    [
        _OTHER * 200,
        b"POST /other HTTP/1.1\r\nHost: desk\r\nContent-Length: 900000\r\n\r\n" + b"x" * 400_000,
        b"\0" * 99,
    ],
    ids=["requests", "body", "garbage"],
)
async def test_who_sends_more_beside_a_stream_is_still_seen_to_leave(more: bytes) -> None:
    async with opened() as site, listening(site, _STREAM, more) as listener:
        await listener.begun()
        await listener.writer.drain()
        listener.writer.close()
        await site.is_freed()
        assert site.asked == ["GET /stream"]


async def test_an_error_in_the_middle_ends_the_stream_and_says_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with opened() as site, listening(site, _STREAM) as listener:
        site.tell(b"one", RuntimeError("secret"))
        await listener.begun()
        assert await listener.rest() == b"one"
        await asyncio.wait_for(site.ended.wait(), 10)
    assert "request_crashed" in capsys.readouterr().out
