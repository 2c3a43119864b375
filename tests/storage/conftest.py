"""Books in which everything has happened, made once for each worker and copied for each test."""

import copy
from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest

from tests.support.databases import copied, create_template, drop, run_apart, with_database
from tests.support.desk import Lane
from tests.support.populated import populated


@pytest.fixture(scope="session")
def populated_template(server_dsn: str) -> Iterator[tuple[str, Lane]]:
    """Give the name of a database to be copied, and its lane."""
    name = f"otcdesk_populated_{uuid4().hex[:12]}"
    run_apart(create_template(server_dsn, name))
    yield name, run_apart(populated(with_database(server_dsn, name)))
    run_apart(drop(server_dsn, name))


@pytest.fixture
def populated_lane(server_dsn: str, populated_template: tuple[str, Lane]) -> Iterator[Lane]:
    """Give such a lane in a database of the test's own, with a clock that goes on where the making of it stopped."""
    template, lane = populated_template
    name = f"{template}_{uuid4().hex[:12]}"
    run_apart(copied(server_dsn, template, name))
    yield msgspec.structs.replace(lane, dsn=with_database(server_dsn, name), clock=copy.deepcopy(lane.clock))
    run_apart(drop(server_dsn, name))
