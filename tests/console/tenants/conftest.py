"""One desk with every kind of tenant, shared by the tests of a file, and those who work at it."""

import pytest

from tests.support.busy_desk import world_file
from tests.support.consoles import Person, signed_in
from tests.support.server import DeskServer, World


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, world=world_file())


@pytest.fixture(scope="module")
def root(world: World) -> Person:
    return signed_in(world, "admin", name="Root")


@pytest.fixture(scope="module")
def ann(world: World) -> Person:
    return signed_in(world, "approver", name="Ann")


@pytest.fixture(scope="module")
def bob(world: World) -> Person:
    return signed_in(world, "approver", name="Bob")


@pytest.fixture(scope="module")
def cora(world: World) -> Person:
    return signed_in(world, "compliance", name="Cora")
