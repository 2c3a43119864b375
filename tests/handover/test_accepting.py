"""Connections on one socket: shared out evenly, left to nobody for long, and none lost that was made before the end."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from otcdesk.accepting import Acceptor, Shares, forget_share, prepare_shares
from tests.support.waiting import until


class Side:
    """One process: what it accepted."""

    def __init__(self, listener: socket.socket, folder: Path, number: int) -> None:
        self.open: set[asyncio.BaseTransport] = set()
        side = self

        class Opened(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                side.open.add(transport)

        self.acceptor = Acceptor(listener.dup(), Opened, Shares(folder, number), self.open)

    async def close(self) -> None:
        self.acceptor.close()
        await self.acceptor.wait_closed()
        for transport in self.open:
            transport.abort()  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_shares(tmp_path)
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield listening


def connect(listener: socket.socket, number: int) -> list[socket.socket]:
    return [socket.create_connection(listener.getsockname()) for _ in range(number)]


async def test_a_burst_is_shared_out(listener: socket.socket, folder: Path) -> None:
    one = Side(listener, folder, 1)
    made = connect(listener, 20)
    await until(lambda: len(one.open) == 20, "all are accepted by who is alone")
    two = Side(listener, folder, 2)
    made += connect(listener, 20)
    await until(lambda: len(one.open) + len(two.open) == 40, "all are accepted")
    assert abs(len(one.open) - len(two.open)) <= 2
    for side in (one, two):
        await side.close()
    for connection in made:
        connection.close()


async def test_what_another_should_take_but_does_not_is_taken_after_all(listener: socket.socket, folder: Path) -> None:
    stopped = Shares(folder, 2)
    stopped.tell(0)
    one = Side(listener, folder, 1)
    made = connect(listener, 5)
    await until(lambda: len(one.open) == 5, "all are accepted")
    forget_share(folder, 2)
    assert not Shares(folder, 1).tell(5), "nobody waits for the dead"
    await one.close()
    for connection in made:
        connection.close()


async def test_what_was_connected_before_the_end_is_accepted(listener: socket.socket, folder: Path) -> None:
    one = Side(listener, folder, 1)
    made = connect(listener, 20)
    one.acceptor.close()
    one.acceptor.close()
    await one.acceptor.wait_closed()
    assert len(one.open) == 20
    await one.close()
    for connection in made:
        connection.close()
