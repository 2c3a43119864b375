"""The supervisor of several server processes: it opens the address once, starts them on it, and keeps them running.

It does nothing else, so that there is nothing in it that could fail: no database, no event loop. Each process has a
channel to it. That a channel ends tells either side of the other's death, whatever it died of, and no signal or
process id has to be trusted for it.

- A process that ends is started again: at once the first time, then after pauses that double. One that dies too often
  within a minute of its start ends everything, and the log says so.
- SIGTERM or SIGINT stops in order: the address is closed here, then all are told, and whoever is not done after
  the patience of `stop_seconds_max` is killed.
- When the supervisor itself is killed, the processes stop as if they had been told.
"""

import fcntl
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

import otcdesk
from otcdesk.accepting import forget_share, prepare_shares
from otcdesk.config import Settings
from otcdesk.handover.places import run_folder
from otcdesk.metrics import forget_process

log = structlog.get_logger()

#: What a process says once it listens.
LISTENS = b"1"

#: A process that lived so long was well: its next death is the first one again.
_WELL_AFTER_NS = 60_000_000_000

_FIRST_PAUSE_NS = 100_000_000
_PAUSE_NS_MAX = 10_000_000_000

_KILL_AGAIN_NS = 1_000_000_000

#: A process whose channel has ended is gone, or will be in a moment.
_GONE_SECONDS = 5

_STOPS = (signal.SIGTERM, signal.SIGINT)

_SHARED = "shared-"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a server process is told: what to serve on which open socket, and the folder that all share.

    `restarts`: how often its place had to be filled again since anybody in it was told that.
    """

    settings: Settings
    listener: int
    shared: str
    with_workers: bool
    restarts: int


def patience_seconds(settings: Settings) -> int:
    """Return how long a process may take to stop: requests and rails have their time, one after the other."""
    return 2 * settings.stop_seconds_max + 10


class _Seat:
    """The place of one process, which one after another may fill."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.started_ns = 0
        self.due_ns: int | None = 0
        self.deaths = 0
        self.restarts = 0
        self.listens = False


class Supervisor:
    """Keeps server processes running on an open socket until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        *,
        with_workers: bool = True,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings
        self.listener = listener
        self.with_workers = with_workers
        self.on_ready = on_ready
        self.seats = [_Seat(number) for number in range(1, settings.processes + 1)]
        self.code = 0
        self._selector = selectors.DefaultSelector()
        self._shared = Path()
        self._kill_ns: int | None = None

    def run(self) -> int:
        """Run until told to stop; returns the exit code: 1 when processes died too often."""
        with self._signals(), _shared_folder(self.settings.home_path) as (self._shared, kept):
            while self._kill_ns is None or any(seat.process for seat in self.seats):
                self._start_due(kept)
                self._wait()
                if self._kill_ns is not None and time.monotonic_ns() >= self._kill_ns:
                    log.warning("server_processes_killed")
                    self._signal_all(signal.SIGKILL)
                    self._kill_ns = time.monotonic_ns() + _KILL_AGAIN_NS  # not at once: it may wait for a disk
        return self.code

    # -- signals ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals wake the loop, and nothing else, while inside."""
        ear, mouth = socket.socketpair()
        ear.settimeout(0)
        mouth.settimeout(0)
        before = {number: signal.signal(number, lambda *_: None) for number in _STOPS}
        woken = signal.set_wakeup_fd(mouth.fileno())
        self._selector.register(ear, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            ear.close()
            mouth.close()

    def _heard(self, ear: socket.socket) -> None:
        for number in ear.recv(64):
            if self._kill_ns is None:
                log.info("stopping", signal=signal.Signals(number).name)
                self._stop()
            elif number == signal.SIGINT:  # impatient: open requests are not waited for
                self._signal_all(signal.SIGINT)

    def _stop(self) -> None:
        """Take no more connections, and tell everybody to finish."""
        self._kill_ns = time.monotonic_ns() + patience_seconds(self.settings) * 1_000_000_000
        self.listener.close()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for seat in self.seats:
            if seat.process is not None:
                seat.process.send_signal(number)

    # -- processes -------------------------------------------------------------------------------------------------

    def _start_due(self, kept: int) -> None:
        now_ns = time.monotonic_ns()
        for seat in self.seats:
            if self._kill_ns is None and seat.due_ns is not None and seat.due_ns <= now_ns:
                self._start(seat, kept)

    def _start(self, seat: _Seat, kept: int) -> None:
        """Start a process that knows nothing of this one but its end of the channel, the socket, and a lock to keep."""
        ours, theirs = socket.socketpair()
        root = str(Path(otcdesk.__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with theirs:
            seat.process = subprocess.Popen(  # noqa: S603  (ourselves)
                [sys.executable, "-P", "-m", "otcdesk.server_process", str(seat.number), str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self.listener.fileno(), kept),
                process_group=0,  # a terminal's Ctrl-C is for the supervisor, which tells the others
            )
        order = Order(
            settings=self.settings,
            listener=self.listener.fileno(),
            shared=str(self._shared),
            with_workers=self.with_workers,
            restarts=seat.restarts,
        )
        with suppress(OSError):  # dead already, and then its channel tells
            ours.sendall(msgspec.json.encode(order) + b"\n")
        seat.channel, seat.due_ns, seat.started_ns = ours, None, time.monotonic_ns()
        self._selector.register(ours, selectors.EVENT_READ, seat)

    def _wait(self) -> None:
        """Wait for a signal, a word of a process, the end of one, or the time of the next thing to do."""
        times = [seat.due_ns for seat in self.seats if seat.due_ns is not None and self._kill_ns is None]
        if self._kill_ns is not None:
            times.append(self._kill_ns)
        timeout = max(0, min(times) - time.monotonic_ns()) / 1e9 if times else None
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, _Seat):
                self._listen_to(key.data)
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._heard(key.fileobj)

    def _listen_to(self, seat: _Seat) -> None:
        assert seat.channel is not None
        try:
            said = seat.channel.recv(64)
        except OSError:
            said = b""
        if not said:
            self._ended(seat)
            return
        seat.listens, seat.restarts = True, 0
        if self.on_ready is not None and all(seat.listens for seat in self.seats):
            on_ready, self.on_ready = self.on_ready, None
            on_ready()

    def _ended(self, seat: _Seat) -> None:
        """Take leave of a process, and see when it is to be followed by another."""
        assert seat.channel is not None
        assert seat.process is not None
        self._selector.unregister(seat.channel)
        seat.channel.close()
        try:
            code = seat.process.wait(_GONE_SECONDS)
        except subprocess.TimeoutExpired:
            seat.process.kill()
            code = seat.process.wait()
        seat.process = seat.channel = None
        forget_process(self._shared, seat.number)
        forget_share(self._shared, seat.number)
        if self._kill_ns is not None:
            return
        now_ns = time.monotonic_ns()
        seat.deaths = 1 if now_ns - seat.started_ns >= _WELL_AFTER_NS else seat.deaths + 1
        if seat.deaths > self.settings.process_deaths_max:
            log.error("server_process_given_up", process=seat.number, deaths=seat.deaths, code=code)
            self.code = 1
            self._stop()
            return
        pause_ns = 0 if seat.deaths == 1 else min(_FIRST_PAUSE_NS << (seat.deaths - 2), _PAUSE_NS_MAX)
        log.warning("server_process_ended", process=seat.number, code=code, pause_ms=pause_ns // 1_000_000)
        seat.due_ns = now_ns + pause_ns
        seat.restarts += 1


@contextmanager
def _shared_folder(home: Path) -> Iterator[tuple[Path, int]]:
    """Yield a fresh folder for all processes and a lock that says it is in use; those that nobody uses are removed."""
    run = run_folder(home)
    for left in run.glob(f"{_SHARED}*"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(handle)
    folder = Path(tempfile.mkdtemp(prefix=_SHARED, dir=run))
    kept = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(kept, fcntl.LOCK_SH)
        prepare_shares(folder)
        yield folder, kept
    finally:
        os.close(kept)
        shutil.rmtree(folder, ignore_errors=True)
