"""Webhooks of a desk of several processes, over real HTTP: told at once, by the one that leads, and counted for all."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import asyncpg
import httpx
import pytest

from tests.handover.group import Group, assert_sound
from tests.support.databases import run_apart
from tests.support.receiver import Answer, Held, Received, Receiver
from tests.support.server import World, wait_until
from tests.test_metrics import value

BOTH = ["otc_exchange.created", "otc_exchange.status_updated"]
ORDERS = 12


@pytest.fixture(scope="module")
def group(module_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Give two processes on a database of their own, which is sound in the end."""
    group = Group(module_dsn, tmp_path_factory.mktemp("group"), DESK_WEBHOOKS_TIMEOUT_MS="5000")
    try:
        group.start()
        yield group
    finally:
        group.stop()
    assert_sound(group)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def subscribed(world: World, url: str) -> str:
    made = world.call("POST", "/exchanges/webhooks", json={"url": url, "eventTypes": BOTH})
    assert made.status_code == 201, made.text
    webhook_id: str = made.json()["data"]["id"]
    return webhook_id


def events(receiver: Receiver, path: str = "/hook") -> Counter[str]:
    """Return how often each event has arrived."""
    return Counter(json.loads(one.body)["id"] for one in list(receiver.requests) if one.path == path)


def figure(client: httpx.Client, series: str) -> float:
    return float(value(client.get("/metrics").content, series) or 0)


def attempts(webhook_id: str, outcome: str) -> str:
    return f'otcdesk_webhook_attempts_total{{outcome="{outcome}",webhook="{webhook_id}"}}'


def test_callbacks_come_at_once_from_one_process_and_are_counted_for_all(group: Group, receiver: Receiver) -> None:
    leading = group.settle()
    world = World(group, frozen=True)

    def answer(request: Received) -> Answer:
        return (429, {"Retry-After": "3600"}, b"") if request.path == "/busy" else 200

    receiver.answer = answer
    quick, busy = subscribed(world, receiver.url()), subscribed(world, receiver.url("/busy"))
    began = {}
    for number in range(ORDERS):
        order_id = world.buy("1.00", key="KA")
        began[order_id] = time.monotonic_ns()
        assert world.confirm(order_id).status_code == 201, number
    wait_until(lambda: events(receiver).total() == 2 * ORDERS, "everything has arrived")
    for request in receiver.requests:
        order_id = json.loads(request.body)["data"]["id"]
        assert request.monotonic_ns - began[order_id] < 2_000_000_000
    clients = [group.connected(number) for number in (leading, 3 - leading)]
    for client in clients:
        wait_until(lambda: figure(client, attempts(quick, "received")) == 2 * ORDERS, "all are counted")  # noqa: B023
        wait_until(lambda: figure(client, attempts(busy, "failed")) >= 1, "failures are counted")  # noqa: B023
        assert figure(client, attempts(quick, "failed")) == figure(client, attempts(busy, "received")) == 0
        wait_until(lambda: figure(client, "otcdesk_webhooks_waiting") == 2 * ORDERS, "who is busy is waited for")  # noqa: B023
        assert figure(client, "otcdesk_webhooks_oldest_due_seconds") == 0, "the desk keeps nobody waiting"
        assert figure(client, "otcdesk_webhooks_untold_batches") == 0
    assert set(events(receiver).values()) == {1}, "somebody else has sent it as well"
    group.hang_up()


def test_a_killed_leader_loses_no_callback(group: Group, receiver: Receiver) -> None:
    """It is killed with messages in the air; the process that follows sends them when its claims have run out."""
    leading = group.settle()
    world = World(group, frozen=True)
    receiver.answer = Held()
    subscribed(world, receiver.url())
    other = group.connected(3 - leading)
    orders = [world.confirmed_buy("1.00") for _ in range(ORDERS)]
    held = receiver.wait_for(ORDERS)
    assert set(events(receiver).values()) == {1}
    os.kill(group.pids()[leading], signal.SIGKILL)

    async def run_out() -> None:
        connection = await asyncpg.connect(group.environ["DATABASE_URL"])
        try:
            await connection.execute("update deliveries set due_at = now(), sending_until = now() where attempts = 0")
        finally:
            await connection.close()

    run_apart(run_out())
    receiver.answer = 200
    receiver.release()
    wait_until(lambda: len(events(receiver)) == 2 * ORDERS, "everything has arrived")
    for request in held:
        assert events(receiver)[json.loads(request.body)["id"]] == 2, "what was in the air is sent again"
    assert {json.loads(body)["data"]["id"] for body in receiver.bodies} == set(orders)
    wait_until(lambda: other.get("/readyz").json()["leads"], "the other process leads")
    group.hang_up()
    group.http = group.fresh_client()
    group.settle()
