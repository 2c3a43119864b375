"""One HTTP/1.1 connection: bytes become requests, in turn, and answers become bytes.

uvicorn keeps the sockets, the signals and the order of stopping; httptools reads the protocol. What is here is what
lies between: bounds on all that may come before anybody has said who he is, and one write for each answer. It is
reached by uvicorn as its `http` protocol class, in place of its own, which speaks ASGI (decision 0011).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec
import structlog

from otcdesk.api.http import Answer, ClientGone, Request, Stream, answer_bytes, stream_head
from otcdesk.api.proxies import TrustedProxies

log = structlog.get_logger()

Serve = Callable[[Request], Awaitable[Answer | Stream]]

#: How many requests may be sent ahead of their answers before the connection is not read any more.
_AHEAD_MAX = 16

#: The parser gets so many bytes at once: a request has at least 18, and each becomes a thousand bytes of ours.
_PIECE_BYTES = 4_096

_CRASHED = Answer(500, {"error": {"code": "INTERNAL_ERROR", "message": "Something broke."}})
_FORWARDED_FOR = b"x-forwarded-for"
_FORWARDED_PROTO = b"x-forwarded-proto"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a connection: bytes of a head, bytes of a body, and seconds.

    `request_seconds`: from the first byte of a request to its last. `idle_seconds`: between two requests.
    """

    head_bytes: int
    body_bytes: int
    request_seconds: int
    idle_seconds: int


class Connection(asyncio.Protocol):
    """Reads requests, has each served in a task, and writes their answers in the order of the requests."""

    def __init__(
        self,
        serve: Serve,
        limits: ConnectionLimits,
        proxies: TrustedProxies,
        *,
        server_state: Any,
        **_of_uvicorn: Any,
    ) -> None:
        self._serve = serve
        self._limits = limits
        self._proxies = proxies
        self._open: set[Any] = server_state.connections
        self._tasks: set[asyncio.Task[None]] = server_state.tasks
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._peer = ""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._in_head = True
        self._coming: Request | None = None
        self._ahead: deque[Request] = deque()
        self._unread = b""
        self._paused = False
        self._task: asyncio.Task[None] | None = None
        self._streams = False
        self._last: bytes | None = None
        self._writable = asyncio.Event()
        self._since = self._stalled_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- what the transport says -----------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        self._transport = transport
        self._open.add(self)
        self._writable.set()
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._since = self._loop.time()
        soon = min(self._limits.idle_seconds, self._limits.request_seconds)
        self._timer = self._loop.call_later(soon, self._look_at_the_clock)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The client is gone. What it asked for is carried out all the same, if it was whole."""
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._break_off()
        self._end_stream()
        self._ahead.clear()
        self._unread, self._headers = b"", {}
        self._parser = None  # it knows our methods: without this only the collector would ever free us
        self._writable.set()

    def pause_writing(self) -> None:
        """The client does not read its answers: the next request waits until it does."""
        self._writable.clear()
        self._stalled_since = self._loop.time()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable.set()

    def eof_received(self) -> bool:
        """The client sends nothing more, but may be waiting for an answer: keep its side open until then.

        Who listens to a stream and says that they are done has left: browsers close so.
        """
        self._break_off()
        self._end_stream()
        self._close_after(b"")
        return self._task is not None

    def data_received(self, data: bytes) -> None:
        """Take bytes, and read them as far as not too many requests wait for their answers."""
        self._unread = self._unread + data if self._unread else data
        self._read_on()

    def _read_on(self) -> None:
        while self._unread and len(self._ahead) < _AHEAD_MAX and not (self._coming and self._coming.is_held_back):
            piece, self._unread = self._unread[:_PIECE_BYTES], self._unread[_PIECE_BYTES:]
            self._read(piece)
        if self._paused != bool(self._unread):
            self._paused = bool(self._unread)
            (self._transport.pause_reading if self._paused else self._transport.resume_reading)()

    def _read(self, data: bytes) -> None:
        """Read bytes; past the bound of a head it is 431, and what is not HTTP is 400."""
        if self._last is not None and self._coming is None:
            return
        if self._in_head and not self._head_bytes:
            self._since = self._loop.time()
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:  # the answer is plain HTTP, and then there is nothing more to say
            self._close_after(b"")
        except httptools.HttpParserError:
            answered = self._coming is not None and self._coming.taken and self._task is None
            self._break_off()
            self._close_after(b"" if answered else _refusal(HTTPStatus.BAD_REQUEST))
        request = self._coming
        if request is not None:
            self._take(request)  # whoever may not ask is told before its body is here

    def _feed(self, data: bytes) -> None:
        """Let the parser have what a head may have, and the rest only once the head is known to be over."""
        most = self._limits.head_bytes
        while self._in_head and self._head_bytes + len(data) > most:
            piece, data = data[: most - self._head_bytes], data[most - self._head_bytes :]
            self._head_bytes += len(piece)
            self._parser.feed_data(piece)
            if self._head_bytes >= most and self._in_head:
                self._close_after(_refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
                return
        self._head_bytes += len(data)
        self._parser.feed_data(data)

    # -- what the parser says --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        """Keep a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a repeated one keeps its first value, but each proxy adds a line of its own."""
        if not self._in_head:  # what follows a body was not there when the request was looked at (RFC 9110, 6.5.1)
            return
        name = name.lower()
        if name not in self._headers:
            self._headers[name] = value
        elif name == _FORWARDED_FOR:
            self._headers[name] += b"," + value

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        raw_path, query = _target(self._url)
        self._coming = Request(
            method=self._parser.get_method().decode("ascii"),
            path=unquote(raw_path) if "%" in raw_path else raw_path,
            raw_path=raw_path,
            query_string=query,
            headers=self._headers,
            client_address=self._proxies.client(self._peer, self._headers.get(_FORWARDED_FOR)),
            came_by_tls=self._proxies.came_by_tls(self._peer, self._headers.get(_FORWARDED_PROTO)),
            keep_alive=self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0",
            body_bytes_max=self._limits.body_bytes,
        )
        waits = (
            self._headers.get(b"expect", b"").lower() == b"100-continue" and self._parser.get_http_version() != "1.0"
        )
        self._coming.on_waiting = self._continue if waits else self._read_on

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, as far as anybody may want it."""
        if self._coming is not None:
            self._coming.add_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; the next one may begin."""
        self._in_head = True
        self._head_bytes = 0
        request, self._coming = self._coming, None
        if request is not None:
            request.complete_body()
            self._take(request)

    # -- requests, in turn -----------------------------------------------------------------------------------------

    def _take(self, request: Request) -> None:
        """Serve a request now, or once those before it are answered; unless it was taken, or comes too late."""
        if request.taken or self._last is not None:
            return
        request.taken = True
        if self._task is None:
            self._start(request)
            return
        self._ahead.append(request)

    def _start(self, request: Request) -> None:
        task = self._task = self._loop.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._serve(request)
            if isinstance(answer, Stream):
                await self._stream(answer, request)
                return
            more = self._last is None or bool(self._last) or bool(self._ahead)
            keep_alive = more and self._may_go_on(request)
            said = answer_bytes(answer, request, keep_alive=keep_alive)
        except ClientGone:
            self._next(keep_alive=True)
            return
        except Exception:
            log.exception("request_crashed", request_id=request.id, method=request.method, path=request.path)
            keep_alive, said = False, answer_bytes(_CRASHED, request, keep_alive=False)
        request.drop_body()
        if not self._transport.is_closing():
            self._transport.write(said)
        if not self._writable.is_set():
            await self._writable.wait()
        self._next(keep_alive=keep_alive)

    async def _stream(self, stream: Stream, request: Request) -> None:
        """Send an answer piece by piece, each once the last was taken; it ends with the connection, or ends it."""
        is_awaited = request.method != "HEAD" and self._last is None and not self._transport.is_closing()
        self._take_no_more(request)
        self._streams = True
        try:
            self._transport.write(stream_head(stream, request))
            if is_awaited:
                async for piece in stream.pieces:
                    self._transport.write(piece)
                    await self._writable.wait()
        finally:
            await stream.pieces.aclose()
            self._next(keep_alive=False)

    def _take_no_more(self, request: Request) -> None:
        """Throw away what is asked beside a stream, and read on: a client that is not read cannot be seen to leave."""
        self._last = self._last or b""
        self._ahead.clear()
        request.drop_body()
        if self._coming is not None:
            self._coming.drop_body()
        self._read_on()

    def _end_stream(self) -> None:
        """Stop sending a stream, if one is being sent: nobody is there any more, or the server stops."""
        if self._streams and self._task is not None:
            self._task.cancel()

    def _may_go_on(self, request: Request) -> bool:
        """Tell whether another request may follow: not when nobody knows whether a body will come before it."""
        held_back = request is self._coming and request.on_waiting == self._continue and not request.waited
        return request.keep_alive and not held_back

    def _next(self, *, keep_alive: bool) -> None:
        """Go on to the next request, unless the answer just given was the last or no other will come."""
        self._task = None
        self._since = self._loop.time()
        if keep_alive and self._ahead:
            self._start(self._ahead.popleft())
            self._read_on()
        elif not keep_alive or self._last is not None:
            self._ahead.clear()
            if keep_alive and self._last and not self._transport.is_closing():
                self._transport.write(self._last)
            self._transport.close()
        else:
            self._read_on()  # what was held back of a body that nobody has asked for

    def _break_off(self) -> None:
        """Know that the request that is coming in will never be whole."""
        if self._coming is not None:
            self._coming.break_off()
            self._coming = None

    def _close_after(self, last: bytes) -> None:
        """Take no new request; answer those that were taken, say `last`, and hang up."""
        if self._last is None:
            self._last = last
        if self._task is None:
            self._next(keep_alive=True)

    def _continue(self) -> None:
        """Tell a client to send the body that it announced."""
        if self._task is not None and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
        self._read_on()

    def _look_at_the_clock(self) -> None:
        """Hang up on a client that is silent, sends one request, or leaves its answers unread, for too long."""
        limits, now = self._limits, self._loop.time()
        if not self._writable.is_set():
            left = self._stalled_since + limits.request_seconds - now
        elif self._task is not None:
            left = limits.request_seconds
        elif self._in_head and not self._head_bytes:
            left = self._since + limits.idle_seconds - now
        else:
            left = self._since + limits.request_seconds - now
        if left <= 0:
            self._transport.abort()  # a close would wait for who does not read
        else:
            soon = min(max(left, 1), limits.request_seconds)
            self._timer = self._loop.call_later(soon, self._look_at_the_clock)

    def shutdown(self) -> None:
        """Stop after the answer that is under way, a stream at once; uvicorn calls this when it stops."""
        self._end_stream()
        self._close_after(b"")


def _target(url: bytes) -> tuple[str, bytes]:
    """Return path and query of a request's target as they are written.

    Raises for what is none, which the parser turns into its error.
    """
    if url.startswith(b"/") and b"#" not in url:
        raw, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        raw, query = parsed.path or b"/", parsed.query or b""
    return raw.decode("ascii"), query


def _refusal(status: HTTPStatus) -> bytes:
    """Return an answer to what is no request, so that it belongs to no dialect."""
    return b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, status.phrase.encode("ascii"))
