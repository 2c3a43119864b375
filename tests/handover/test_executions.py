"""Accepted offers at a desk of several processes, over real HTTP: whoever is asked answers, the leader executes."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.handover.group import Group, assert_sound
from tests.support.databases import run_apart
from tests.support.offers import OFFERS, OffersWorld
from tests.support.server import lane_of, wait_until
from tests.test_metrics import value

_TIMEOUT_MS = 1_000


@pytest.fixture(scope="module")
def group(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Give two processes on a database of their own, which is sound in the end."""
    group = Group(
        module_dsn,
        tmp_path_factory.mktemp("group"),
        DESK_OFFERS_REQUESTS_PER_SECOND="0",
        DESK_OFFERS_ACCEPT_WAIT_MS="20000",
        DESK_VENUE_TIMEOUT_MS=str(_TIMEOUT_MS),
    )
    try:
        group.start()
        yield group
    finally:
        group.stop()
    assert_sound(group)


def accept(client: httpx.Client, world: OffersWorld, offer_id: str, user: str = "U") -> httpx.Response:
    """Accept an offer at the process that a client leads to."""
    return client.patch(
        f"{OFFERS}/v2/offers/{offer_id}/accept",
        params={"external_transaction_id": str(uuid4())},
        headers={"Authorization": f"Bearer {world.bearer()}", "bp-user-id": world.users[user]},
    )


def executions(group: Group, world: OffersWorld) -> list[Any]:
    """Return what the venue has done for a world, with the trade that the books have for it."""
    lane = lane_of(world)

    async def look() -> list[Any]:
        connection = await asyncpg.connect(group.environ["DATABASE_URL"])
        try:
            return list(
                await connection.fetch(
                    """select v.asked, v.done, t.approved_market_rate = v.price as booked
                    from simulated_executions as v
                    left join trades as t on t.lane = v.lane and t.order_id::text = split_part(v.reference, ':', 1)
                    where v.lane = $1""",
                    lane,
                )
            )
        finally:
            await connection.close()

    return run_apart(look())


def test_whoever_is_asked_answers_as_soon_as_the_leader_has_executed(group: Group) -> None:
    leading = group.settle()
    world = OffersWorld(group)
    clients = group.each()
    for client in (clients[3 - leading], clients[leading]):
        for _ in range(10):
            offer = world.offer()
            began = time.monotonic()
            answer = accept(client, world, offer["id"])
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"]["id"] == offer["id"]
            assert time.monotonic() - began < 2
    assert [tuple(row) for row in executions(group, world)] == [(1, True, True)] * 20
    for client in clients.values():
        counted = value(client.get("/metrics").content, 'otcdesk_venue_calls_total{outcome="done"}')
        assert counted == "20.0", "all calls are the leader's, and told by all"
    group.hang_up()


def test_a_failure_is_told_by_whoever_was_asked(group: Group) -> None:
    leading = group.settle()
    world = OffersWorld(group)
    follower = group.connected(3 - leading)
    world.steer("faults", rail="venue", mode="refuse", reason="trading_disabled", delayMs=300)
    offer = world.offer()
    answer = accept(follower, world, offer["id"])
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["code"] == "user.transaction.trading.disabled"
    assert world.offer_status(offer["id"])["status"] == "failed"
    group.hang_up()


def test_a_killed_leader_leaves_nobody_without_an_answer(group: Group) -> None:
    """It is killed with the venue asked and its answer under way; the process that follows asks again, and hears it."""
    leading = group.settle()
    world = OffersWorld(group)
    world.steer("faults", rail="venue", mode="up", delayMs=_TIMEOUT_MS - 200)
    users = ["U", "V"]
    offers = {user: world.offer(user)["id"] for user in users}
    followers = {user: group.connected(3 - leading) for user in users}
    world.bearer()
    with ThreadPoolExecutor() as threads:
        asked: list[Future[httpx.Response]] = [
            threads.submit(accept, followers[user], world, offers[user], user) for user in users
        ]
        wait_until(lambda: len(executions(group, world)) == len(users), "the venue has taken both")
        os.kill(group.pids()[leading], signal.SIGKILL)
        assert not any(row["booked"] for row in executions(group, world))
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    assert [tuple(row) for row in executions(group, world)] == [(2, True, True)] * 2
    group.hang_up()
    group.http = group.fresh_client()
    group.settle()
