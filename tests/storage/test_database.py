"""Addresses are shown without their passwords, and nothing else of them changes."""

import pytest

from otcdesk.storage.database import Reads, without_password
from otcdesk.storage.postgres_store import SILENCE_MS_MAX


@pytest.mark.parametrize(
    "dsn, address, password",
    [
        ("postgresql://u:s%40cret@h:5/d?host=/x", "postgresql://u@h:5/d?host=/x", "s@cret"),
        ("postgresql://u:p@/d?host=/tmp/s", "postgresql://u@/d?host=/tmp/s", "p"),
        ("postgresql://u@h/d", "postgresql://u@h/d", ""),
        ("postgresql://u@/d?host=/x&password=s%40cret", "postgresql://u@/d?host=/x", "s@cret"),
        ("postgresql:///d", "postgresql:///d", ""),
    ],
)
def test_a_password_is_taken_out_of_an_address(dsn: str, address: str, password: str) -> None:
    assert without_password(dsn) == (address, password)


async def test_a_transaction_of_who_is_stopped_ends_as_soon_as_a_turn_does(dsn: str) -> None:
    """Its rows are locked: deliveries are skipped and senders waited for until it ends."""
    async with Reads.opened(dsn, connections_max=1, statement_timeout_ms=1_000) as reads:
        found = await reads.pool.fetchval(
            "select setting::int from pg_settings where name = 'idle_in_transaction_session_timeout'"
        )
    assert found == SILENCE_MS_MAX
