"""A relay between the desk and PostgreSQL that sees every save, and can stop one on its way."""

import asyncio
import re
import socket
from collections.abc import Callable
from enum import Enum

from tests.support.proxy import Proxy, _close

_CHUNK_BYTES = 1 << 20
_STOPPED_SECONDS = 30

#: How the engine's connections name themselves; workers write their names down on other ones.
_ENGINE = b"otcdesk engine"
#: Who wrote a batch: host, process, and a mark of its start. Only a save says so.
_WRITER = re.compile(re.escape(socket.gethostname().encode()) + rb":\d+:[0-9a-f]{8}")
#: What ends a request, by which a save that came in pieces is known to be whole.
_SYNC = b"S\0\0\0\4"
#: By which PostgreSQL tells a new connection the server process that it talks to.
_BACKEND = re.compile(rb"K\0\0\0\x0c(.{4})", re.DOTALL)


class Stage(Enum):
    """How far a save has come."""

    UNSENT = "the desk has sent it, PostgreSQL has not got it"
    COMMITTED = "it is committed, the desk does not know"


class Save:
    """A save that the desk, as `writer`, has sent and not heard of; the server process `backend` carries it out."""

    def __init__(self, data: bytes, writer: str, backend: int) -> None:
        self.data = data
        self.writer = writer
        self.backend = backend
        self.answer = b""
        self._passes: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def pass_on(self) -> None:
        """Let a stopped save go on as if nothing had been."""
        self._passes.set_result(True)

    def lose(self) -> None:
        """Cut a stopped save's connection, unless that ended already."""
        if not self._passes.done():
            self._passes.set_result(False)

    async def passes(self) -> bool:
        """Stand still; returns whether to go on in the end."""
        return await self._passes


class SaveRelay(Proxy):
    """Relays everything; a save is in flight from when the desk has sent it until its answer is on the way back."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, marker="")
        self.in_flight: list[Save] = []
        self.something_flies = asyncio.Event()
        self._wanted: tuple[Stage, Callable[[bytes], bool], asyncio.Future[Save]] | None = None

    async def stop(self, stage: Stage, is_wanted: Callable[[bytes], bool]) -> Save:
        """Stop the next save at a stage that is wanted for what it writes; returns it as it stands there."""
        stopped: asyncio.Future[Save] = asyncio.get_running_loop().create_future()
        self._wanted = stage, is_wanted, stopped
        try:
            async with asyncio.timeout(_STOPPED_SECONDS):
                return await stopped
        except TimeoutError:
            raise AssertionError(f"no save that is wanted came in {_STOPPED_SECONDS} s") from None
        finally:
            self._wanted = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._connect()
        self._writers.add(up_writer)
        line = _Line()
        back = asyncio.create_task(self._answer(line, up_reader, writer))
        try:
            data = await reader.read(_CHUNK_BYTES)
            of_engine = _ENGINE in data
            while data:
                if of_engine and (signed := _WRITER.search(data)):
                    while not data.endswith(_SYNC):
                        if not (more := await reader.read(_CHUNK_BYTES)):
                            return  # the desk died in the middle of sending it
                        data += more
                    line.save = Save(data, signed[0].decode(), line.backend)
                    self._takes_off(line.save)
                    if not await self._passes(Stage.UNSENT, line.save):
                        return
                await _send(data, up_writer)
                data = await reader.read(_CHUNK_BYTES)
        finally:
            self._lands(line)
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            await _close(up_writer)
            self._writers.discard(up_writer)

    async def _answer(self, line: "_Line", up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bring answers back; PostgreSQL answers a save only when it is over, and then that is committed."""
        try:
            while data := await up_reader.read(_CHUNK_BYTES):
                if not line.backend and (told := _BACKEND.search(data)):
                    line.backend = int.from_bytes(told[1])
                if line.save is not None and not await self._passes(Stage.COMMITTED, line.save):
                    break
                self._lands(line, data)
                await _send(data, writer)
        except OSError:
            pass  # one of both is gone
        await _close(writer)

    async def _passes(self, stage: Stage, save: Save) -> bool:
        if self._wanted is None or self._wanted[0] is not stage or not self._wanted[1](save.data):
            return True
        stopped, self._wanted = self._wanted[2], None
        stopped.set_result(save)
        return await save.passes()

    def _takes_off(self, save: Save) -> None:
        self.in_flight.append(save)
        self.something_flies.set()

    def _lands(self, line: "_Line", answer: bytes = b"") -> None:
        if line.save is not None:
            line.save.answer = answer
            self.in_flight.remove(line.save)
            line.save = None
        if not self.in_flight:
            self.something_flies.clear()


class _Line:
    """One connection of the desk: its server process, and the save that is on it."""

    backend = 0
    save: Save | None = None


async def _send(data: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(data)
    await writer.drain()
