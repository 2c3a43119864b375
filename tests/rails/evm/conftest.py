"""A chain for each test, a token on it, and the rail between two wallets of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from otcdesk.storage.database import Reads
from tests.support.anvil.chain import Anvil, running_anvil
from tests.support.anvil.relay import Relay
from tests.support.anvil.site import Site
from tests.support.desk import Lane


@pytest.fixture
def dsn(fresh_dsn: str) -> str:
    """Give a database of the test's own: a desk does not open on one with transfers under way that it cannot follow."""
    return fresh_dsn


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with running_anvil() as one:
        yield one


@pytest.fixture
async def relay(anvil: Anvil) -> AsyncIterator[Relay]:
    async with Relay(anvil.url) as one:
        yield one


@pytest.fixture
async def new_site(anvil: Anvil, lane: Lane, reads: Reads) -> AsyncIterator[Callable[..., Site]]:
    async with AsyncExitStack() as closing:

        def make(**settings: Any) -> Site:
            site = Site(anvil, lane, reads, **settings)
            closing.push_async_callback(site.close)
            return site

        yield make


@pytest.fixture
def site(new_site: Callable[..., Site]) -> Site:
    """Give a rail straight to the chain, whose source has tokens and coin."""
    return new_site()
