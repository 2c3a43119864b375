"""The page of public keys, where the database does not answer; what it says else is among the operator's webhooks."""

from pathlib import Path

import asyncpg

from otcdesk.api.http import Request
from otcdesk.api.webhook_keys import published_keys
from otcdesk.app import ENVELOPES
from otcdesk.clock import SystemClock
from otcdesk.storage.secrets import Secrets
from otcdesk.webhooks.keys import SigningKeys
from tests.support.server import check_error


async def test_without_a_database_the_page_says_so(dsn: str, tmp_path: Path) -> None:
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=1)
    await pool.close()
    clock = SystemClock()
    keys = SigningKeys(pool, Secrets(pool, tmp_path, clock), ENVELOPES, clock, overlap_hours=1)
    request = Request(
        method="GET",
        path="/webhooks/keys",
        query_string=b"",
        headers={},
        client_address="127.0.0.1",
        keep_alive=True,
        body_bytes_max=10,
    )
    answer = await published_keys(keys)(request)
    assert answer.status == 503
    check_error(answer.status, answer.body)
    assert answer.body["error"]["code"] == "SERVICE_UNAVAILABLE"
