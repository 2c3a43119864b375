"""One PostgreSQL server for a whole test run, one migrated database for each worker, clocks that tests steer.

The server is the product's own embedded one, in a home that is gone afterwards; with `--postgres debian` a throw-away
one of the oldest version that Debian's packages put on this machine; or the one of TEST_DATABASE_URL. Each worker
copies its database from a migrated template, and each test that wants lanes of its own takes fresh numbers, so tests
side by side never meet.

On another server than the embedded one only those tests run that ask for it and are about what it does. Every fixture
that gives a database asks for `server_dsn`, so the first is seen from a test's fixtures and needs no marks: what is
left out touches no database, or starts the embedded server itself. The second goes by folders: what `ELSEWHERE` names
is about HTTP, processes, commands and chains, and sends no statement that is not sent, or prepared, by the tests that
stay.
"""

import logging
import os
import shutil
import sys
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
from tests.support.clusters import ThrowAwayCluster, debian_binaries
from tests.support.databases import copied, create_template, drop, hurry, run_apart, with_database
from tests.support.desk import Lane, new_lane
from tests.support.washing import Copies

#: How deep Python may go. A library that signs for chains raises it a hundredfold when it is imported, and readers of
#: JSON overflow the stack then, where they would have refused what is too deep. The program takes that back, as is done
#: here.
_RECURSION_LIMIT = sys.getrecursionlimit()

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
        self.cluster: ThrowAwayCluster | None = None
        self.home: Path | None = None
        self.dsn = ""
        self.template = ""

    def start(self, kind: str) -> None:
        self.dsn = os.environ.get("TEST_DATABASE_URL", "")
        if not self.dsn and kind == DEBIAN:
            found = debian_binaries()
            if not found:
                raise pytest.UsageError("--postgres debian: there is no PostgreSQL 15 to 18 in /usr/lib/postgresql")
            self.cluster = ThrowAwayCluster(found[min(found)])
            self.dsn = self.cluster.start()
        elif not self.dsn:
            self.home = Path(tempfile.mkdtemp(prefix="otcdesk-tests-"))
            self.embedded = EmbeddedServer(self.home / "home")
            self.dsn = self.embedded.start()
        if self.embedded is not None or self.cluster is not None:
            run_apart(hurry(self.dsn))
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
        if self.cluster is not None:
            self.cluster.stop()


_server = _Server()

EMBEDDED, DEBIAN = "embedded", "debian"

#: Folders of tests that would do the same again on another server.
ELSEWHERE = (
    "api",
    "bench",
    "checkout",
    "cli",
    "contract",
    "handover",
    "house",
    "properties",
    "rails/evm",
    "simulation",
    "stories",
)

#: Single tests of these take half a minute. Workers that begin with them do not wait for one another at the end.
LONGEST = ("crash", "house/test_recovery.py", "house/test_documents.py", "storage/test_upgrade.py", "simulation")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", choices=(EMBEDDED, DEBIAN), default=EMBEDDED, help="on which server to test")
    parser.addoption("--fuzz", action="store", type=int, default=None, help="seconds for each random test")


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", None)
    if given is not None:
        _server.dsn, _server.template = given["server_dsn"], given["template"]
        return
    if not config.option.collectonly and not config.option.help:
        _server.start(config.option.postgres)


def pytest_collection_finish() -> None:
    """Take back what the imports of test files have changed of the interpreter."""
    sys.setrecursionlimit(_RECURSION_LIMIT)


def pytest_report_header(config: pytest.Config) -> str:
    """Say on which server the tests run."""
    named = "that of TEST_DATABASE_URL" if os.environ.get("TEST_DATABASE_URL") else None
    return f"PostgreSQL: {named or (_server.cluster.binaries if _server.cluster else EMBEDDED)}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even load the files of folders that a run on another server leaves out."""
    leaves_out = config.option.postgres != EMBEDDED
    return True if leaves_out and _is_in(collection_path, ELSEWHERE, config) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a run on another server would only repeat, and begin with what takes longest."""
    if config.option.postgres != EMBEDDED:
        asking: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            asking["server_dsn" in getattr(item, "fixturenames", ())].append(item)
        config.hook.pytest_deselected(items=asking[False])
        items[:] = asking[True]
    items.sort(key=lambda item: not _is_in(item.path, LONGEST, config))


def _is_in(path: Path, places: tuple[str, ...], config: pytest.Config) -> bool:
    return any(path.is_relative_to(config.rootpath / "tests" / place) for place in places)


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
def dsn(worker_id: str, server_dsn: str) -> Iterator[str]:
    """Give this worker's database, migrated."""
    name = f"{_server.template}_{worker_id}"
    run_apart(copied(server_dsn, _server.template, name))
    yield with_database(server_dsn, name)
    run_apart(drop(server_dsn, name))


@pytest.fixture(scope="session")
def migrated_copies(server_dsn: str) -> Iterator[Copies]:
    """Give this worker's migrated databases that tests have one after the other."""
    with Copies(server_dsn, _server.template) as copies:
        yield copies


@pytest.fixture
def fresh_dsn(migrated_copies: Copies) -> Iterator[str]:
    """Give a migrated database of the test's own, for tests that break things."""
    with migrated_copies.one() as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """Give a database with nothing in it."""
    name = f"{_server.template}_{uuid4().hex[:12]}"
    run_apart(copied(server_dsn, "template1", name))
    yield with_database(server_dsn, name)
    run_apart(drop(server_dsn, name))


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
