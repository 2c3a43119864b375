"""One of several server processes, as its supervisor starts it: `python -m otcdesk.server_process NUMBER CHANNEL`.

Everything else that it must know comes over a channel that it inherits, since arguments and environments can be read by
others. The channel's end is the supervisor's end: whatever became of it, this process then stops as if it were told.
"""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog
import uvloop

from otcdesk.app import Place, database_dsn, open_desk
from otcdesk.config import Settings
from otcdesk.logs import configure_logging
from otcdesk.serving import serve
from otcdesk.supervisor import LISTENS, Order, patience_seconds

log = structlog.get_logger()

_ORDER_BYTES_MAX = 1 << 20


def main() -> None:
    """Serve until told to stop, by a signal or by the end of the supervisor."""
    process, channel = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        order = _read_order(channel)
        if order is None:
            return
        threading.Thread(target=_watch, args=(channel, order.settings), daemon=True).start()
        _serve(process, order, channel)
    except KeyboardInterrupt:
        return  # as it was told


def _stop(*_: object) -> NoReturn:
    """Stop in order, and be told only once: a second signal would disturb that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _read_order(channel: socket.socket) -> Order | None:
    """Return what the supervisor wants; None if it is gone already."""
    told = b""
    while not told.endswith(b"\n") and len(told) < _ORDER_BYTES_MAX:
        piece = channel.recv(65_536)
        if not piece:
            return None
        told += piece
    return msgspec.json.decode(told, type=Order)


def _watch(channel: socket.socket, settings: Settings) -> None:
    """Wait for the supervisor's end, and then for ours: nothing may keep an orphan."""
    try:
        while channel.recv(1):
            pass
    except OSError:
        pass  # it ended with something unread
    log.warning("supervisor_gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience_seconds(settings))
    os._exit(1)


def _serve(process: int, order: Order, channel: socket.socket) -> None:
    settings = order.settings
    configure_logging(settings)
    structlog.contextvars.bind_contextvars(process=process)
    place = Place(process=process, shared=Path(order.shared))
    dsn, server = database_dsn(settings)  # as all of the home use it: the last of them stops it
    try:
        uvloop.run(_run(place, order, dsn, channel))
    finally:
        if server is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            server.stop()


async def _run(place: Place, order: Order, dsn: str, channel: socket.socket) -> None:
    async with open_desk(order.settings, dsn, place=place) as program:
        program.metrics.restarted(order.restarts)
        await serve(
            program,
            with_workers=order.with_workers,
            on_ready=lambda: _say_that_it_listens(channel),
            listener=socket.socket(fileno=order.listener),
        )


def _say_that_it_listens(channel: socket.socket) -> None:
    with suppress(OSError):  # the supervisor is gone, and `_watch` knows it
        channel.sendall(LISTENS)


if __name__ == "__main__":
    main()
