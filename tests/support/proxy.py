"""A relay before PostgreSQL that loses connections around a save, in each of the ways a network can."""

import asyncio
import contextlib
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

_CHUNK_BYTES = 1 << 20
_DEFAULT_PORT = 5432
_SOCKET_FILE = ".s.PGSQL.5432"


class Cut(Enum):
    """Where a save is lost."""

    BEFORE = "the request is never forwarded"
    AFTER = "the request is carried out, its answer is lost"
    BLIND = "the request is forwarded and the caller loses its connection at once"
    LATE = "the caller loses its connection, and the request is forwarded when it is released"


class Proxy:
    """Relays connections on a Unix socket of its own; loses those that send the marker, as often as it is told."""

    def __init__(self, dsn: str, marker: str) -> None:
        self._upstream = urlsplit(dsn)
        self._marker = marker.encode()
        self._folder = Path(tempfile.mkdtemp(prefix="otcdesk-proxy-"))
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._plan: list[Cut] = []
        self._released = asyncio.Event()
        self.refusing = False
        self.cuts = 0
        self.saves_seen = 0
        self.requests = 0
        self.refused = 0
        self.late_answered = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, path=self._folder / _SOCKET_FILE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.break_all()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for writer in list(self._writers):
            await _close(writer)
        shutil.rmtree(self._folder)

    @property
    def dsn(self) -> str:
        """Return the address of the same database through the relay."""
        user = self._upstream.netloc.rpartition("@")[0]
        host = urlencode({"host": self._folder})
        return urlunsplit((self._upstream.scheme, f"{user}@", self._upstream.path, host, ""))

    def cut(self, *plan: Cut) -> None:
        """Lose the next saves so, one after another."""
        self._plan += plan

    def release(self) -> None:
        """Forward what is held."""
        self._released.set()

    def break_all(self) -> None:
        """End every connection."""
        for task in list(self._connections):
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task of our own: one of asyncio's own complains when it is cancelled."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.close())  # which may have been cancelled before it began

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.refusing:
                self.refused += 1
            else:
                await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a lost connection is what this is for
        finally:
            await _close(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._connect()
        self._writers.add(up_writer)
        back = asyncio.create_task(_pump(up_reader, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                self.requests += 1
                if self._marker in data:
                    self.saves_seen += 1
                    if self._plan:
                        self.cuts += 1
                        back.cancel()
                        await asyncio.gather(back, return_exceptions=True)
                        await self._lose(self._plan.pop(0), data, up_reader, up_writer, writer)
                        return
                up_writer.write(data)
                await up_writer.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            await _close(up_writer)
            self._writers.discard(up_writer)

    async def _lose(
        self,
        cut: Cut,
        data: bytes,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        if cut is Cut.BEFORE:
            return
        if cut is Cut.LATE:
            await _close(writer)
            await self._released.wait()
        up_writer.write(data)
        await up_writer.drain()
        if cut is Cut.BLIND:
            await _close(writer)
        await up_reader.read(_CHUNK_BYTES)  # PostgreSQL answers only after the commit
        self.late_answered.set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = parse_qs(self._upstream.query).get("host", [self._upstream.hostname or "localhost"])[0]
        asked_port = parse_qs(self._upstream.query).get("port", [str(self._upstream.port or _DEFAULT_PORT)])[0]
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{asked_port}")
        return await asyncio.open_connection(host, int(asked_port))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()  # not waited for: who is cancelled while it waits spoils the wait of all others for this writer


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
