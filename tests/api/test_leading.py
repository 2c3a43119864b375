"""Two servers on one database: one leads, one stands by, and takes over when the leader is killed."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.server import NO_AUTHORITIES, DeskServer, World, wait_until

SOON = {"DESK_LEADERSHIP_PERIOD_MS": "50"}


class StandingBy(DeskServer):
    """A server that is up, but not ready before it leads."""

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5, verify=NO_AUTHORITIES).status_code == 200
        except httpx.TransportError:
            return False

    def readiness(self) -> httpx.Response:
        return httpx.get(f"{self.url}/readyz", timeout=5, verify=NO_AUTHORITIES)


@pytest.fixture
def leader(fresh_dsn: str, tmp_path: Path) -> Iterator[DeskServer]:
    server = DeskServer(fresh_dsn, tmp_path, **SOON).start()
    yield server
    server.stop()


@pytest.fixture
def standing_by(leader: DeskServer, fresh_dsn: str, tmp_path: Path) -> Iterator[StandingBy]:
    del leader  # only started first
    server = StandingBy(fresh_dsn, tmp_path, DESK_STAND_BY="true", **SOON)
    server.start()
    yield server
    server.stop()


def test_a_server_that_stands_by_takes_over_and_answers_as_the_leader_did(
    leader: DeskServer, standing_by: StandingBy
) -> None:
    world = World(leader)
    quote = world.buy("100.00")
    key = str(uuid4())
    first = world.confirm(quote, idempotency=key)
    assert first.status_code == 201
    assert standing_by.readiness().status_code == 503
    assert standing_by.readiness().json()["stands_by"] is True

    world.server = standing_by
    refused = world.confirm(quote)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert refused.headers["retry-after"] == "1"
    assert world.get(f"/{quote}").status_code == 200  # reading needs no leader

    assert leader.process is not None
    leader.process.kill()
    leader.process.wait()
    wait_until(lambda: standing_by.readiness().status_code == 200, "the other server leads", seconds=15)
    again = world.confirm(quote, idempotency=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert world.get(f"/{quote}").json()["data"]["status"] == "pending_approval"
