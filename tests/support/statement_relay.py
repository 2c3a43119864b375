"""A relay between the desk and PostgreSQL that can stop one statement on its way, known by its text."""

import asyncio
import re
from enum import Enum

from tests.support.proxy import Proxy, _close

_CHUNK_BYTES = 1 << 20
_STOPPED_SECONDS = 20

#: PostgreSQL's last words of an answer after which no database transaction is open: everything before is committed.
_IDLE = b"Z\0\0\0\5I"
_COMMIT = b"COMMIT"
#: The driver names the statements that it keeps: by the first a name gets its text, by the second one is carried out.
_PARSE = re.compile(rb"P.{4}(__asyncpg_\w+__)\0([^\0]*)\0", re.DOTALL)
_BIND = re.compile(rb"B.{4}[^\0]*\0(__asyncpg_\w+__)\0", re.DOTALL)


class Stage(Enum):
    """How far a statement has come."""

    UNSENT = "the desk has sent it, PostgreSQL has not got it"
    DONE = "it is carried out and committed by itself, the desk does not know"
    COMMITTED = "the database transaction around it is committed, the desk does not know"


class Held:
    """A statement that stands still."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()

    def lose(self) -> None:
        """Cut its connection."""
        self._gone.set()

    async def wait(self) -> None:
        """Stand still until it is lost."""
        await self._gone.wait()


class StatementRelay(Proxy):
    """Relays everything, until it is told to stop a statement."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, marker="")
        self._wanted: tuple[Stage, bytes, asyncio.Future[Held]] | None = None

    async def stop(self, stage: Stage, statement: str) -> Held:
        """Stop the next statement of this text at a stage; returns it as it stands there."""
        stopped: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._wanted = stage, statement.encode(), stopped
        try:
            async with asyncio.timeout(_STOPPED_SECONDS):
                return await stopped
        except TimeoutError:
            raise AssertionError(f"nobody sent {statement[:60]!r} in {_STOPPED_SECONDS} s") from None
        finally:
            self._wanted = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._connect()
        self._writers.add(up_writer)
        line = _Line()
        back = asyncio.create_task(self._answer(line, up_reader, writer))
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._is_unsent_one(line, data):
                    await self._hold()
                    return
                up_writer.write(data)
                await up_writer.drain()
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            await _close(up_writer)
            self._writers.discard(up_writer)

    def _is_unsent_one(self, line: "_Line", data: bytes) -> bool:
        """Tell whether this is to be stopped before it is sent; notes on the line whether its answer is to be."""
        line.texts |= dict(_PARSE.findall(data))
        if self._wanted is None:
            return False
        stage, wanted, _ = self._wanted
        bound = _BIND.match(data)
        is_wanted = bound is not None and line.texts.get(bound[1]) == wanted
        line.carried_out = line.carried_out or is_wanted
        line.stops = (is_wanted and stage is Stage.DONE) or (line.carried_out and _COMMIT in data)
        return is_wanted and stage is Stage.UNSENT

    async def _answer(self, line: "_Line", up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bring answers back; one that is to be stopped is first waited for to its end."""
        try:
            while data := await up_reader.read(_CHUNK_BYTES):
                if line.stops:
                    while not data.endswith(_IDLE) and (more := await up_reader.read(_CHUNK_BYTES)):
                        data += more
                    if self._wanted is not None and data.endswith(_IDLE):
                        await self._hold()
                        break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one of both is gone
        writer.close()  # whoever relays the other way waits for it

    async def _hold(self) -> None:
        assert self._wanted is not None
        held, stopped = Held(), self._wanted[2]
        self._wanted = None
        stopped.set_result(held)
        await held.wait()


class _Line:
    """One connection of the desk: its statements, whether the wanted one is carried out, and whether to stop here."""

    def __init__(self) -> None:
        self.texts: dict[bytes, bytes] = {}
        self.carried_out = False
        self.stops = False
