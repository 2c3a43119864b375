"""Tests here talk to a real server over real sockets; all folders of a worker share the same one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import served
from tests.support.served import assert_discreet
from tests.support.server import DeskServer


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")


@pytest.fixture
def idle(fresh_dsn: str, tmp_path: Path) -> Iterator[DeskServer]:
    """Give a server alone on its database, which records nothing that the clock brings about unless it is told to."""
    server = DeskServer(fresh_dsn, tmp_path, DESK_DEADLINES_PERIOD_MS="600000")
    try:
        yield server.start()
    finally:
        server.stop()
    assert_discreet(server, tmp_path)
