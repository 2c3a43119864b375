"""Books in which everything has happened, and reads over them; no test here writes into them unless it says so."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from otcdesk.domain.orders import Order
from otcdesk.storage.database import Reads
from tests.storage.conftest import populated_lane, populated_template
from tests.support.desk import Lane

__all__ = ["populated_lane", "populated_template"]


@pytest.fixture
async def book(populated_lane: Lane) -> AsyncIterator[Reads]:
    """Give reads over the populated lane."""
    async with Reads.opened(populated_lane.dsn, connections_max=2, statement_timeout_ms=10_000) as reads:
        yield reads


@pytest.fixture
async def orders(book: Reads, populated_lane: Lane) -> list[Order]:
    """Give every order of the populated lane as it is stored, newest first."""
    found = await book.pool.fetch(
        "select row_to_json(o) from orders as o where lane = $1 order by created_at desc, id desc",
        populated_lane.number,
    )

    return [msgspec.json.decode(record[0], type=Order) for record in found]
