"""One PostgreSQL server for a whole test run, one migrated database for each worker, clocks that tests steer.

The server is the product's own embedded one, in a home that is gone afterwards, or the one of TEST_DATABASE_URL. Each
worker copies its database from a migrated template, and each test that wants lanes of its own takes fresh numbers, so
tests side by side never meet.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import asyncpg
import hypothesis
import pytest
import structlog

from otcdesk.storage.database import Reads
from otcdesk.storage.embedded import EmbeddedServer
from tests.support.databases import copied, create_template, drop, run_apart, with_database
from tests.support.desk import Lane, new_lane

# A failing example is printed as code that repeats it, and the seed of every run with it.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True, max_examples=200)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    cache_logger_on_first_use=False,
)


class _Node(Protocol):
    """A worker as the controller of pytest-xdist sees it."""

    workerinput: dict[str, Any]


class _Server:
    """The server of this run, known in every process of it by an address and the name of the template."""

    def __init__(self) -> None:
        self.embedded: EmbeddedServer | None = None
        self.home: Path | None = None
        self.dsn = ""
        self.template = ""

    def start(self) -> None:
        self.dsn = os.environ.get("TEST_DATABASE_URL", "")
        if not self.dsn:
            self.home = Path(tempfile.mkdtemp(prefix="otcdesk-tests-"))
            self.embedded = EmbeddedServer(self.home / "home")
            self.dsn = self.embedded.start()
        self.template = f"otcdesk_test_{uuid4().hex[:12]}"
        run_apart(create_template(self.dsn, self.template))

    def stop(self) -> None:
        if self.template:
            run_apart(drop(self.dsn, self.template))
        if self.embedded is not None:
            folder = self.embedded._places.data.parent
            self.embedded.stop()
            shutil.rmtree(folder)
        if self.home is not None:
            shutil.rmtree(self.home, ignore_errors=True)


_server = _Server()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", action="store", type=int, default=None, help="seconds for each random test")


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", None)
    if given is not None:
        _server.dsn, _server.template = given["server_dsn"], given["template"]
        return
    if not config.option.collectonly and not config.option.help:
        _server.start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    node.workerinput["server_dsn"] = _server.dsn
    node.workerinput["template"] = _server.template


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _server.stop()


@pytest.fixture(scope="session")
def server_dsn() -> str:
    """Return the address of the server's first database; tests only make and drop databases through it."""
    return _server.dsn


@pytest.fixture(scope="session")
def dsn(worker_id: str) -> Iterator[str]:
    """Give this worker's database, migrated."""
    name = f"{_server.template}_{worker_id}"
    run_apart(copied(_server.dsn, _server.template, name))
    yield with_database(_server.dsn, name)
    run_apart(drop(_server.dsn, name))


@pytest.fixture
def fresh_dsn() -> Iterator[str]:
    """Give a migrated database of the test's own, for tests that break things."""
    name = f"{_server.template}_{uuid4().hex[:12]}"
    run_apart(copied(_server.dsn, _server.template, name))
    yield with_database(_server.dsn, name)
    run_apart(drop(_server.dsn, name))


@pytest.fixture
def empty_dsn() -> Iterator[str]:
    """Give a database with nothing in it."""
    name = f"{_server.template}_{uuid4().hex[:12]}"
    run_apart(copied(_server.dsn, "template1", name))
    yield with_database(_server.dsn, name)
    run_apart(drop(_server.dsn, name))


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection for the test's own questions."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def reads(dsn: str) -> AsyncIterator[Reads]:
    """Give the product's own reads over this worker's database."""
    opened = await Reads.open(dsn, connections_max=4, statement_timeout_ms=10_000)
    yield opened
    await opened.pool.close()


@pytest.fixture
async def lane(dsn: str) -> Lane:
    """Give a lane of the test's own with the world of the exchanges contract."""
    return await new_lane(dsn)


@pytest.fixture(scope="session")
def fuzz_seconds(request: pytest.FixtureRequest) -> int | None:
    """Return for how long each random test may run; None outside of `make fuzz`."""
    asked: int | None = request.config.getoption("--fuzz")
    if asked is None and "FUZZ_SECONDS" in os.environ:
        asked = int(os.environ["FUZZ_SECONDS"])
    if asked is None and os.environ.get("HYPOTHESIS_PROFILE") == "fuzz":
        asked = 300
    return asked
