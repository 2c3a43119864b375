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
from tests.support.databases import copied, create_template, drop, run_apart, with_database


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")


@pytest.fixture(scope="session")
def loaded_template(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Give the name of a database and a home, both to be copied."""
    name, home = f"otcdesk_loaded_{uuid4().hex[:12]}", tmp_path_factory.mktemp("loaded") / "home"
    run_apart(create_template(server_dsn, name))
    assert Desk(home, with_database(server_dsn, name)).run("world", "load", WORLD).code == 0
    yield name, home
    run_apart(drop(server_dsn, name))


@pytest.fixture
def loaded(server_dsn: str, loaded_template: tuple[str, Path], tmp_path: Path) -> Iterator[Desk]:
    """Give a desk with the contract's world, on a home and a database of the test's own."""
    template, home = loaded_template
    name = f"{template}_{uuid4().hex[:12]}"
    run_apart(copied(server_dsn, template, name))
    shutil.copytree(home, tmp_path / "home")
    yield Desk(tmp_path / "home", with_database(server_dsn, name))
    run_apart(drop(server_dsn, name))
