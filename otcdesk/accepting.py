"""How several processes accept connections on the one socket that they share, so that each gets its share.

The system wakes all that wait and gives the connection to the first, and who is awake takes the next ones too: a client
that opens many connections at once would find nearly all of them at one process. So each process says in shared memory
how many it has, and one that has more than another leaves what comes to that one for a moment.
"""

import asyncio
import mmap
import os
import socket
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()

PROCESSES_MAX = 64

_NAME = "connections"
_CELL_BYTES = 8

#: Who is not there has more than anybody.
_NOBODY = b"\xff" * _CELL_BYTES

#: A process that waits in its loop takes a connection within microseconds; who is slower than this has enough to do.
_LEFT_TO_OTHERS_SECONDS = 0.002

#: Too many files were open; some are closed by then, or it is logged again.
_ACCEPT_AGAIN_SECONDS = 1


def prepare_shares(folder: Path) -> None:
    """Make the memory of a folder's processes; nobody is there."""
    (folder / _NAME).write_bytes(_NOBODY * PROCESSES_MAX)


def forget_share(folder: Path, process: int) -> None:
    """Say that a process is not there any more."""
    with (folder / _NAME).open("r+b") as file:
        file.seek(_CELL_BYTES * (process - 1))
        file.write(_NOBODY)


class Shares:
    """How many connections each process has, as one of them sees and says it."""

    def __init__(self, folder: Path, process: int) -> None:
        handle = os.open(folder / _NAME, os.O_RDWR)
        try:
            self._cells = memoryview(mmap.mmap(handle, _CELL_BYTES * PROCESSES_MAX)).cast("Q")
        finally:
            os.close(handle)
        self._own = process - 1

    def tell(self, connections: int) -> bool:
        """Say how many this process has; tells whether that is more than it should take."""
        self._cells[self._own] = connections
        return connections > min(self._cells)


class Acceptor:
    """Accepts on a shared socket, as the servers that uvicorn knows do."""

    def __init__(
        self,
        listener: socket.socket,
        connection: Callable[[], asyncio.BaseProtocol],
        shares: Shares,
        connections: Sized,
    ) -> None:
        self._listener = listener
        self._connection = connection
        self._shares = shares
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        listener.settimeout(0)
        shares.tell(0)
        self._listen()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._come)

    def _come(self) -> None:
        """Take a connection, or leave it to who has fewer and take it only if nobody does."""
        if self._shares.tell(len(self._connections) + len(self._opening)):
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_LEFT_TO_OTHERS_SECONDS, self._take_after_all)
        else:
            self._take()

    def _take_after_all(self) -> None:
        if self._listener.fileno() >= 0:
            self._take()
            self._listen()

    def _take(self) -> bool:
        """Take one connection; tells whether there was one."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False  # another process was faster, or the client gave up
        except OSError as error:
            log.warning("accept_failed", error=repr(error))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._listen)
            return False
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._connection, connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    def close(self) -> None:
        """Accept nothing more but what is there; may be repeated."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener)
        while self._take():
            pass
        self._listener.close()

    async def wait_closed(self) -> None:
        """Return once every connection that was accepted is open."""
        if self._opening:
            await asyncio.wait(set(self._opening))
