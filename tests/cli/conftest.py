"""Tests here talk to a real server over real sockets; all folders of a worker share the same one.

A desk into which the contract's world is loaded is made once for each worker and copied for each test.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.commands import WORLD, Desk
from tests.support import served
from tests.support.databases import create_template, drop, run_apart, with_database
from tests.support.washing import Copies


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")


@pytest.fixture(scope="session")
def loaded_copies(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copies, Path]]:
    """Give copies of a database, and a home to be copied."""
    name, home = f"otcdesk_loaded_{uuid4().hex[:12]}", tmp_path_factory.mktemp("loaded") / "home"
    run_apart(create_template(server_dsn, name))
    assert Desk(home, with_database(server_dsn, name)).run("world", "load", WORLD).code == 0
    with Copies(server_dsn, name) as copies:
        yield copies, home
    run_apart(drop(server_dsn, name))


@pytest.fixture
def loaded(loaded_copies: tuple[Copies, Path], tmp_path: Path) -> Iterator[Desk]:
    """Give a desk with the contract's world, on a home and a database of the test's own."""
    copies, home = loaded_copies
    shutil.copytree(home, tmp_path / "home")
    with copies.one() as dsn:
        yield Desk(tmp_path / "home", dsn)
