"""Payouts at a desk of several processes, over real HTTP: whoever is asked sells, the leader pays, and pays once."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest

from tests.handover.group import Group, assert_sound
from tests.support.databases import run_apart
from tests.support.ramp import RAMP, RampWorld
from tests.support.server import lane_of, wait_until
from tests.test_metrics import value

_TIMEOUT_MS = 1_000


@pytest.fixture(scope="module")
def group(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Give two processes on a database of their own, which is sound in the end."""
    group = Group(
        module_dsn,
        tmp_path_factory.mktemp("group"),
        DESK_PAYOUT_TIMEOUT_MS=str(_TIMEOUT_MS),
        DESK_PAYOUT_RETRY_MS="100",
        DESK_PAYOUT_REST_MS_MAX="200",
    )
    try:
        group.start()
        yield group
    finally:
        group.stop()
    assert_sound(group)


def sell(client: httpx.Client, world: RampWorld, nonce: str) -> str:
    """Sell at the process that a client leads to; returns the transaction."""
    answer = client.post(
        f"{RAMP}/v1/transactions/sell",
        headers={"X-Api-Key": world.request_keys["K0"]},
        json=world.sell_body(Nonce=nonce),
    )
    assert answer.status_code == 202, answer.text
    transaction_id: str = answer.json()["Transaction"]["ID"]
    return transaction_id


def paid(group: Group, world: RampWorld) -> list[Any]:
    """Return what the provider has for a world: how often it was asked, what it decided, and what the books say."""
    lane = lane_of(world)

    async def look() -> list[Any]:
        connection = await asyncpg.connect(group.environ["DATABASE_URL"])
        try:
            return list(
                await connection.fetch(
                    """select v.asked, v.outcome, o.state from simulated_payouts as v
                    left join orders as o on o.lane = v.lane and o.id = v.order_id where v.lane = $1""",
                    lane,
                )
            )
        finally:
            await connection.close()

    return run_apart(look())


def test_the_leader_pays_what_was_sold_at_any_process(group: Group) -> None:
    leading = group.settle()
    world = RampWorld(group)
    world.steer("faults", rail="payout", mode="up")
    clients = group.each()
    began = time.monotonic()
    ids = [sell(clients[number], world, f"n-{number}") for number in (leading, 3 - leading)]
    wait_until(lambda: all(world.transaction(one)["Status"] == "Settled" for one in ids), "both are paid")
    assert time.monotonic() - began < 10
    assert [(row["outcome"], row["state"]) for row in paid(group, world)] == [("done", "settled")] * 2
    for client in clients.values():
        counted = value(client.get("/metrics").content, 'otcdesk_payout_calls_total{outcome="done"}')
        assert counted == "2.0", "all calls are the leader's, and told by all"
    group.hang_up()


def test_whoever_is_asked_tells_the_provider_how_a_payout_ends(group: Group) -> None:
    leading = group.settle()
    world = RampWorld(group)
    follower = group.connected(3 - leading)
    order_id = sell(follower, world, "n-1")
    answer = follower.post(
        f"/sandbox/payouts/{order_id}",
        headers={"Authorization": f"Bearer {world.token}"},
        json={"outcome": "failed", "reason": "account closed"},
    )
    assert answer.json()["data"]["state"] == "failed", answer.text
    assert world.balance() == ("500.000000", "500.000000")
    group.hang_up()


def test_a_killed_leader_leaves_nobody_unpaid_and_nobody_paid_twice(group: Group) -> None:
    """It is killed with the provider asked and undecided; the process that follows asks again under the reference."""
    leading = group.settle()
    world = RampWorld(group)
    follower = group.connected(3 - leading)
    order_id = sell(follower, world, "n-1")
    wait_until(lambda: len(paid(group, world)) == 1, "the provider has taken it")
    os.kill(group.pids()[leading], signal.SIGKILL)
    asked = paid(group, world)[0]["asked"]
    wait_until(lambda: paid(group, world)[0]["asked"] > asked, "the process that follows asks again")
    assert world.transaction(order_id)["Status"] == "Pending"
    group.hang_up()
    group.http = group.fresh_client()
    world.finish(order_id)
    assert world.transaction(order_id)["Status"] == "Settled"
    assert [(row["outcome"], row["state"]) for row in paid(group, world)] == [("done", "settled")]
    group.settle()
