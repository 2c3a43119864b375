"""A database for tests whose webhooks do not meet, each on a lane of its own; all secrets lie under one home's key."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.databases import create_template, drop, run_apart, with_database


@pytest.fixture(scope="session")
def shared_dsn(server_dsn: str) -> Iterator[str]:
    name = f"otcdesk_hooked_{uuid4().hex[:12]}"
    run_apart(create_template(server_dsn, name))
    yield with_database(server_dsn, name)
    run_apart(drop(server_dsn, name))


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hooked")
