"""What is told of trades (offers contract 7): `user.trade`, ours, to a partner, and every move to the operator."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support.offers import SELL, OffersWorld, P, Q
from tests.support.receiver import Receiver
from tests.support.server import DeskServer, wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


def listen(world: OffersWorld, url: str, envelope: str, *event_types: str, partner: str | None = None) -> None:
    """Subscribe a partner, or the operator."""
    body: dict[str, Any] = {"url": url, "envelope": envelope, "eventTypes": list(event_types)}
    if partner is not None:
        body["tenantId"] = world.told["tenants"][partner]
    answer = world.operator("POST", "/operator/webhooks", body)
    assert answer.status_code == 201, answer.text
    secret = answer.json()["data"].get("signingSecret")
    if secret:
        world.server.secrets.add(secret)


def bodies(receiver: Receiver) -> list[Any]:
    """Return what has arrived."""
    return [msgspec.json.decode(one.body) for one in receiver.requests]


def test_a_partner_that_subscribed_is_told_of_its_finished_trades_only(world: OffersWorld, receiver: Receiver) -> None:
    listen(world, receiver.url("/p"), "offers", "user.trade", partner=P)
    trade = world.traded(external_id="ext-1", **SELL)
    world.traded("W", amount="10.00", how={"partner": Q})
    world.steer("faults", rail="venue", mode="refuse", reason="not_covered")
    assert world.accept(world.offer()["id"], "ext-2").status_code == 422
    wait_until(lambda: len(receiver.requests) >= 1, "it is told")
    world.run_workers()
    (body,) = bodies(receiver)
    (row,) = world.rows("/v1/trades/search")
    assert body == {"params": row}
    assert row["id"] == trade["id"]
    assert receiver.requests[0].headers["webhook-event-type"] == "user.trade"


def test_the_operator_is_told_of_every_move(world: OffersWorld, receiver: Receiver) -> None:
    types = [f"brokerage.{name}" for name in ("accepted", "finished", "failed", "expired")]
    listen(world, receiver.url("/o"), "standard", *types)
    trade = world.traded(external_id="ext-1")
    world.steer("faults", rail="venue", mode="refuse", reason="not_covered")
    failed = world.offer()["id"]
    assert world.accept(failed, "ext-2").status_code == 422
    expired = world.offer()["id"]
    world.advance(seconds=60)
    world.run_workers()
    wait_until(lambda: len(receiver.requests) >= 5, "all is told")
    told = {(body["type"], body["data"]["id"]): body["data"] for body in bodies(receiver)}
    assert told.keys() == {
        ("brokerage.accepted", trade["id"]),
        ("brokerage.finished", trade["id"]),
        ("brokerage.accepted", failed),
        ("brokerage.failed", failed),
        ("brokerage.expired", expired),
    }
    finished = told["brokerage.finished", trade["id"]]
    assert (finished["externalId"], finished["assetAmount"], finished["userId"]) == (
        "ext-1",
        "0.00196078",
        world.users["U"],
    )
    assert told["brokerage.failed", failed]["reason"] == "not_covered"
    assert told["brokerage.expired", expired]["externalId"] is None
