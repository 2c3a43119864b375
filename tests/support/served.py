"""Fixtures of tests over real HTTP: a database that only servers write, a server on it for each worker, worlds.

A plugin that the conftest of each folder that serves registers, so that they share what it makes. At the end of a
worker's session its database is verified as a whole: after everything that the tests did and tried it must be sound.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.secret_files import load_or_make_key
from otcdesk.storage.verify import describe, verify
from tests.support.databases import create_template, drop, run_apart, with_database
from tests.support.server import DeskServer, World, lane_of

NewServer = Callable[..., DeskServer]
NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """Give the folder that all servers of this worker share, as they share its keys."""
    with tempfile.TemporaryDirectory(prefix="otcdesk-served-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def served_dsn(server_dsn: str, home: Path) -> Iterator[str]:
    """Give the database of this worker's servers, and verify it when they have stopped."""
    name = f"otcdesk_served_{uuid4().hex[:12]}"
    run_apart(create_template(server_dsn, name))
    dsn = with_database(server_dsn, name)
    yield dsn
    report = run_apart(verify(dsn, load_or_make_key(home, "audit.key")))
    run_apart(drop(server_dsn, name))
    print(f"{report.rows} rows in {report.batches} batches of {len(report.heads)} lanes verified")
    assert report.sound, [describe(finding) for finding in report.findings[:20]]


@pytest.fixture(scope="session")
def new_server(served_dsn: str, home: Path) -> Iterator[NewServer]:
    """Give a way to start servers with settings of their own; they are stopped at the end, and have kept secrets."""
    started: list[DeskServer] = []
    with ExitStack() as stopping:

        def start(**settings: str) -> DeskServer:
            server = DeskServer(served_dsn, home, **settings)
            started.append(server)
            stopping.callback(server.stop)
            return server.start()

        yield start
    for server in started:
        assert_discreet(server, home)


def assert_discreet(server: DeskServer, home: Path) -> None:
    """Assert that a server's log has none of the secrets that went through it, and no error."""
    log = server.log()
    keys = {path.read_text(encoding="ascii").strip() for path in (home / "secrets").iterdir()}
    for secret in {*server.secrets, *keys}:
        assert secret not in log, f"a secret is in the log, beginning {secret[:8]}"
    errors = [line for line in log.splitlines() if _tells_an_error(line)]
    assert not errors, "\n".join(errors)[:5_000]


def _tells_an_error(line: str) -> bool:
    """Tell whether a line is an event of level error, or none of the program's own and the beginning of a trace."""
    try:
        event = json.loads(line)
    except ValueError:
        return "Traceback" in line
    return event.get("level") in {"error", "critical"} or "exception" in event


@pytest.fixture(scope="session")
def server(new_server: NewServer) -> DeskServer:
    """Give this worker's server, with all settings as they come but the workers' pace."""
    return new_server()


@pytest.fixture(scope="session")
def impatient(new_server: NewServer) -> DeskServer:
    """Give a second server on the same database that waits neither long for a rail nor for its answer."""
    return new_server(DESK_APPROVAL_WAIT_MS="50", DESK_RAIL_TIMEOUT_MS="300", DESK_OFFERS_ACCEPT_WAIT_MS="300")


@pytest.fixture
def world(server: DeskServer) -> World:
    """Give a world of the test's own, as the contract's acceptance cases want it, at a time that stands still."""
    return World(server, frozen=True)


@pytest.fixture
def new_world(server: DeskServer) -> NewWorld:
    """Give a way to make worlds that are different."""

    def make(**asked: Any) -> World:
        return World(server, **asked)

    return make


def assert_books_sound(world: World) -> None:
    """Replay the world's audit chain against its tables and run every invariant."""
    key = load_or_make_key(world.server.home, "audit.key")
    report = run_apart(verify(world.server.environ["DATABASE_URL"], key, lane=lane_of(world)))
    assert report.sound, report.findings
    assert report.rows
