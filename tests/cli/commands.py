"""The `otcdesk` command as a person uses it: real processes, their words and exit codes, and nothing left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import asyncpg

from tests.support import forked
from tests.support.databases import run_apart
from tests.support.server import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "otcdesk" / "worlds" / "contract.toml"

SECONDS_MAX = 60


def environ(home: Path, dsn: str | None = None, **settings: str) -> dict[str, str]:
    """Return an environment in which only these settings are made."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DESK_", "PG", "COLUMNS", "TERMINAL_WIDTH")) and name != "DATABASE_URL"
    }
    database = {} if dsn is None else {"DATABASE_URL": dsn}
    return {**kept, **database, "DESK_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1", **settings}


class Said:
    """What a command said and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"

    @property
    def words(self) -> str:
        """Return what went to standard error as one line, without the frame that is drawn around it."""
        return re.sub(r"[\s╭╮╰╯│─]+", " ", self.err).strip()

    @property
    def lines(self) -> list[str]:
        """Return the lines of standard output."""
        return self.out.splitlines()


def otcdesk(*arguments: object, env: dict[str, str], cwd: Path | None = None, stdin: str = "") -> Said:
    """Run a command to its end; whatever it says, it is no stack trace."""
    done = forked.run(
        *map(str, arguments),
        cwd=cwd or ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        seconds_max=SECONDS_MAX,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def assert_one_sentence(said: Said) -> None:
    """Assert that a failure was told in one line that begins with the program's name."""
    assert said.code == 1, said
    assert re.fullmatch(r"otcdesk: [^\n]+\n", said.err), said


class Running:
    """A command that runs until it is told to stop."""

    def __init__(
        self, *arguments: str, env: dict[str, str], ready: Callable[[], bool], cwd: Path | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "otcdesk", *arguments],
            cwd=cwd or ROOT,
            env={**env, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ready = ready

    def __enter__(self) -> Self:
        wait_until(self._is_ready, f"{self.process.args!r} is ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        return self._ready()

    def stop(self, number: signal.Signals) -> Said:
        """Send a signal and return what the command said in all, and how it ended."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SECONDS_MAX)
        return Said(self.process.returncode, out, err)


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Return the status and the JSON of an answer; status 0 if nobody answers."""
    try:
        with urlopen(Request(url, headers=headers or {}), timeout=10) as answer:  # noqa: S310  (our own address)
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, None


class Desk:
    """A home and a database, and commands on them."""

    def __init__(self, home: Path, dsn: str) -> None:
        self.home = home
        self.dsn = dsn
        self.env = environ(home, dsn, DESK_LOG_LEVEL="warning")

    def run(self, *arguments: object, **settings: str) -> Said:
        return otcdesk(*arguments, env={**self.env, **settings})

    def tell(self, statement: str) -> None:
        async def tell() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        run_apart(tell())

    def ask(self, question: str) -> object:
        async def ask() -> object:
            connection = await asyncpg.connect(self.dsn)
            try:
                return await connection.fetchval(question)
            finally:
                await connection.close()

        return run_apart(ask())


class Demo:
    """A home for demos on an embedded server, and everything that is left of it afterwards taken away."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = environ(home)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self.servers():
            os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not self.servers(), "the server of the demo is gone")
        if self.data.parent != self.home:  # as root the data lies outside of the home
            shutil.rmtree(self.data.parent)
        shutil.rmtree(self.home, ignore_errors=True)

    def run(self) -> Running:
        """Return the demo, to be entered."""
        return Running(
            "demo", "--port", str(self.port), env=self.env, ready=lambda: get(f"{self.url}/readyz")[0] == 200
        )

    @property
    def data(self) -> Path:
        """Return where the database lies."""
        pointer = self.home / "postgres.location"
        return (
            Path(pointer.read_text(encoding="utf-8").strip()) / "data" if pointer.exists() else self.home / "postgres"
        )

    @property
    def told(self) -> Any:
        """Return what is in `demo.json`."""
        return json.loads((self.home / "demo.json").read_text(encoding="utf-8"))

    def servers(self) -> list[int]:
        """Return the processes that serve the database of this home."""
        listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        mark = f" -D {self.data} "
        return [int(line.split()[0]) for line in listed.splitlines() if mark in f"{line} "]

    def order(self, order_id: str) -> Any:
        """Return an order as the customer sees it."""
        exchanges = self.told["exchanges"]
        status, body = get(f"{exchanges['base_url']}/otc-exchanges/{order_id}", {"x-api-key": exchanges["api_key"]})
        assert status == 200, body
        return body["data"]


def paste(blocks: list[str], cwd: Path) -> Said:
    """Paste blocks into bash, one after another; any command that fails ends it."""
    script = "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environ(cwd / ".desk"),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def until_gone(demo: Demo) -> None:
    """Wait until no server of the demo is left."""
    deadline = time.monotonic() + SECONDS_MAX
    while left := demo.servers():
        assert time.monotonic() < deadline, f"processes {left} are left"
        time.sleep(0.02)
