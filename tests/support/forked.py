"""Processes of the program, forked from one which has loaded it.

To load the program takes a second of work, far longer than most commands do. `multiprocessing` keeps a process that has
loaded it; what is forked from it has its own environment, folder, streams and signals, and ends as any other process.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.connection import wait
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["otcdesk.cli", "otcdesk.server_process", __name__])

_NO_INPUT = Path(os.devnull)


class Forked:
    """A process of the program, as `subprocess.Popen` shows one; what it says is appended to files."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str],
        out: Path,
        err: Path,
        stdin: Path = _NO_INPUT,
    ) -> None:
        self.args = arguments
        streams = (stdin, out, err)
        self._turn = threading.Lock()  # its end is told once, to whoever asks first
        self._process = _CONTEXT.Process(target=_become, args=(arguments, cwd, dict(env), streams), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Return how it ended, negative for a signal; None while it runs."""
        with self._turn:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and return how."""
        wait([self._process.sentinel], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str], stdin: str = "", seconds_max: int
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said; it is killed when it takes longer."""
    with tempfile.TemporaryDirectory(prefix="otcdesk-forked-") as name:
        told, out, err = (Path(name) / stream for stream in ("in", "out", "err"))
        told.write_text(stdin, encoding="utf-8")
        process = Forked(*arguments, cwd=cwd, env=env, out=out, err=err, stdin=told)
        try:
            code = process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(arguments, code, *(path.read_text(encoding="utf-8") for path in (out, err)))


def _become(arguments: tuple[str, ...], cwd: Path, env: dict[str, str], streams: tuple[Path, ...]) -> None:
    """Be `python -m otcdesk` with these arguments."""
    flags = (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT | os.O_APPEND] * 2)
    for number, (path, flag) in enumerate(zip(streams, flags, strict=True)):
        opened = os.open(path, flag, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["otcdesk", *arguments]
    from otcdesk.__main__ import main

    main()
