"""A database for each module here, that only its own processes write."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.databases import create_template, drop, run_apart, with_database


@pytest.fixture(scope="module")
def module_dsn(server_dsn: str) -> Iterator[str]:
    """Give a module a migrated database of its own."""
    name = f"otcdesk_handover_{uuid4().hex[:12]}"
    run_apart(create_template(server_dsn, name))
    yield with_database(server_dsn, name)
    run_apart(drop(server_dsn, name))
