"""A receiver of webhooks: a real HTTP server of this machine that keeps what arrives and answers as a test scripts it.

It runs in a thread with a loop of its own, so tests of either kind, and programs that they start, can post to it.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

import msgspec
import uvloop

from tests.support.waiting import until

HOST = "127.0.0.1"
_DEADLINE_SECONDS = 20
_HEAD_BYTES_MAX = 1 << 20

Whole = tuple[int, Mapping[str, str], bytes]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came. `number` counts from 0 in the order of arrival; header names are lower case in `headers`.

    `connection` counts the receiver's connections, `url` is the address as the sender has it, and `server_name` what
    it asked for in the TLS handshake.
    """

    number: int
    connection: int
    method: str
    path: str
    url: str
    headers: dict[str, str]
    raw_headers: list[tuple[str, str]]
    body: bytes
    monotonic_ns: int
    server_name: str | None = None


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """Answer after a pause."""

    milliseconds: int
    answer: "int | Whole" = 200


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Answer once the test says `receiver.release()`; never, if it does not say so."""

    answer: "int | Whole" = 200


class Bytes(msgspec.Struct, frozen=True, kw_only=True):
    """Write these parts just as they are, with a pause after each, and close the connection."""

    parts: Iterable[bytes]
    pause_ms: int = 0


NEVER = Held()
CLOSED = Bytes(parts=())

Answer = int | Whole | Later | Held | Bytes
Script = Callable[[Received], Answer]


class Receiver:
    """Listens while the context lasts. `answer` may be replaced at any time: an answer, or what decides on one.

    An answer is a status, `(status, headers, body)`, or one of the special ones. `tls` makes it speak HTTPS; if it
    should note server names, they are noted by this class, which sets the context's `sni_callback`.
    """

    def __init__(
        self, answer: Answer | Script = 200, *, tls: ssl.SSLContext | None = None, port: int = 0, host: str = HOST
    ) -> None:
        self.answer = answer
        self.requests: list[Received] = []
        self.connections = 0
        self.bytes_sent = 0
        self.hung_up = 0
        self._host = host
        self._port = port
        self._tls = tls
        self._server_names: dict[int, str | None] = {}
        self._arrival = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        if tls is not None:
            tls.sni_callback = self._note_server_name

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_DEADLINE_SECONDS)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._port

    def url(self, path: str = "/hook", *, host: str | None = None) -> str:
        """Return the address of a path, under any name that the sender resolves to this machine."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host or self._host}:{self._port}{path}"

    @property
    def bodies(self) -> list[bytes]:
        """Return the bodies in the order of their arrival."""
        return [request.body for request in self.requests]

    def wait_for(self, number: int, *, seconds: int = _DEADLINE_SECONDS) -> list[Received]:
        """Block until so many requests have arrived in all, and return them; fail when they do not in time."""
        with self._arrival:
            came = self._arrival.wait_for(lambda: len(self.requests) >= number, timeout=seconds)
            assert came, f"{len(self.requests)} of {number} requests arrived in {seconds} s"
            return list(self.requests)

    async def arrived(self, number: int) -> list[Received]:
        """Do as `wait_for` does, without blocking the caller's loop."""
        await until(lambda: len(self.requests) >= number, f"{number} requests have arrived")
        return list(self.requests)

    def release(self) -> None:
        """Let everything be answered that is held now."""
        self._loop.call_soon_threadsafe(self._let_go)

    def stop(self) -> None:
        """Close all connections and stop listening; asked again it does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_DEADLINE_SECONDS)
            assert not self._thread.is_alive()
            if self._failure is not None:
                raise self._failure

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001  (told to whoever starts it)
            self._failure = error
            self._ready.set()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(lambda _, __: None)  # of handshakes that the sender broke off
        self._stopping = asyncio.Event()
        self._held = asyncio.Event()
        server = await asyncio.start_server(
            self._accept, self._host, self._port, ssl=self._tls, limit=_HEAD_BYTES_MAX, backlog=1_024
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        await asyncio.sleep(0)  # whoever has just connected has a task from here on
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was broken off is closed from here on

    def _let_go(self) -> None:
        self._held.set()
        self._held = asyncio.Event()

    def _note_server_name(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._server_names[id(connection)] = name

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self._stopping.is_set():
                return
            connection = self.connections - 1
            name = self._server_names.get(id(writer.get_extra_info("ssl_object")))
            while request := await self._read(reader, connection, name):
                with self._arrival:
                    self.requests.append(request)
                    self._arrival.notify_all()
                answer = self.answer(request) if callable(self.answer) else self.answer
                if not await self._answer(reader, writer, answer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.hung_up += 1
        except Exception as error:  # noqa: BLE001  (a script that fails makes the test fail, at the end)
            self._failure = error
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if self._stopping.is_set() else writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int, server_name: str | None) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        raw_headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        headers = {name.lower(): value for name, value in raw_headers}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        scheme = "https" if self._tls else "http"
        return Received(
            number=len(self.requests),
            connection=connection,
            method=method,
            path=path,
            url=f"{scheme}://{headers.get('host', '')}{path}",
            headers=headers,
            raw_headers=raw_headers,
            body=body,
            monotonic_ns=time.monotonic_ns(),
            server_name=server_name,
        )

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Write an answer; returns whether the connection may be used again."""
        if isinstance(answer, Bytes):
            for part in answer.parts:
                writer.write(part)
                await writer.drain()
                self.bytes_sent += len(part)
                if answer.pause_ms:
                    await asyncio.sleep(answer.pause_ms / 1_000)
            return False
        if isinstance(answer, Later | Held):
            if not await self._patient(reader, answer):
                return False
            answer = answer.answer
        status, headers, body = (answer, {}, b"") if isinstance(answer, int) else answer
        sent = {"Content-Length": str(len(body))} | dict(headers)
        lines = [f"HTTP/1.1 {status} {_reason(status)}", *(f"{name}: {value}" for name, value in sent.items())]
        whole = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        writer.write(whole)
        await writer.drain()
        self.bytes_sent += len(whole)
        return True

    async def _patient(self, reader: asyncio.StreamReader, answer: Later | Held) -> bool:
        """Wait as long as the answer is to wait; returns whether somebody still listens."""
        wait = self._held.wait() if isinstance(answer, Held) else asyncio.sleep(answer.milliseconds / 1_000)
        waiting = asyncio.ensure_future(wait)
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.hung_up += 1
            return not leaving.done()
        finally:
            for task in (waiting, leaving):
                task.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
