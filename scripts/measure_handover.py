"""Measure what a hand-over costs: microseconds of processor time for each command, both sides together.

`python scripts/measure_handover.py [commands] [at once]`. Two processes speak over a real socket; the leader's engine
is replaced by one that answers at the next turn of the loop, so that nothing but the hand-over is measured.
"""

import asyncio
import os
import resource
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.confirm_conversion import ConfirmConversion, Confirmed
from otcdesk.handover.forwarding import Link
from otcdesk.handover.listening import Listener
from otcdesk.handover.places import listening_socket, socket_path
from otcdesk.handover.wire import Codec

NUMBER = 7


class Engine:
    """Answers every confirm of a turn of the loop together, as a batch would."""

    stopping = False

    def __init__(self) -> None:
        self.waiting: list[tuple[asyncio.Future[Any], Any]] = []

    def put(self, _lane: int, command: Any, **_: Any) -> Any:
        """Take a command as the engine does."""
        future = asyncio.get_running_loop().create_future()
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        self.waiting.append((future, command.order_id))
        return future

    def _answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, order_id in waiting:
            future.set_result(Confirmed(order_id=order_id, state="debit_pending"))


def _cpu_us() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1_000_000)


async def lead(folder: Path, ready: int, done: int, told: int) -> None:
    """Answer until the other side hangs up."""
    listener = Listener(Engine(), Codec(CATALOGUE), lambda: True)  # type: ignore[arg-type]
    server = await asyncio.get_running_loop().create_unix_server(
        listener.conversation, sock=listening_socket(folder, NUMBER)
    )
    before = _cpu_us()
    os.write(ready, b"1")
    await asyncio.get_running_loop().run_in_executor(None, os.read, done, 1)
    os.write(told, str(_cpu_us() - before).encode())
    server.close()


async def hand_over(folder: Path, commands: int, at_once: int) -> int:
    """Hand everything over, so many at once; returns the processor time."""
    link = await Link.connected(
        socket_path(folder, NUMBER),
        Codec(CATALOGUE),
        timeout_ms=60_000,
        leader=NUMBER,
        pending_max=100_000,
        on_end=lambda: None,
    )
    assert link is not None
    command = ConfirmConversion(order_id=uuid4(), side="buy")
    owner_id, key = uuid4(), str(uuid4())
    now = datetime.now(UTC)

    async def client(turns: int) -> None:
        for _ in range(turns):
            await link.hand_over(
                1,
                command,
                caller="api_key:measured",
                owner_id=owner_id,
                request_id="0123456789abcdef",
                key=key,
                arrived_at=now,
            )

    before = _cpu_us()
    await asyncio.gather(*[client(commands // at_once) for _ in range(at_once)])
    return _cpu_us() - before


def main() -> None:
    """Measure and print."""
    commands = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    ready, done, told = os.pipe(), os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        if not os.fork():
            uvloop.run(lead(folder, ready[1], done[0], told[1]))
            os._exit(0)
        os.read(ready[0], 1)
        ours = uvloop.run(hand_over(folder, commands, at_once))
        os.write(done[1], b"1")
        theirs = int(os.read(told[0], 64))
        os.wait()
    print(f"{commands} commands, {at_once} at once: {ours / commands:.1f} us here, {theirs / commands:.1f} us there")


if __name__ == "__main__":
    main()
