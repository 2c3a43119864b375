"""Tests here talk to a real server over real sockets; all folders of a worker share the same one."""

import pytest

from tests.support import served


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("served"):
        config.pluginmanager.register(served, "served")
