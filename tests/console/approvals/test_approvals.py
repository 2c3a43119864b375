"""Deciding about orders over real HTTP: alone, by two people, with a slip of the finger, and by whoever may not."""

from typing import Any

import pytest

from tests.support.consoles import Html, Person, guarded, signed_in
from tests.support.server import DeskServer, World


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server, frozen=True)


@pytest.fixture(scope="module")
def ada(world: World) -> Person:
    return signed_in(world, "approver", name="Ada")


@pytest.fixture(scope="module")
def ben(world: World) -> Person:
    return signed_in(world, "approver", "finance", name="Ben")


@pytest.fixture(scope="module")
def tess(world: World) -> Person:
    return signed_in(world, "trader", name="Tess")


def waiting(world: World, amount: str = "1000.00") -> str:
    """Make an order that waits for an approval."""
    return str(world.confirmed_buy(amount))


def state_of(world: World, order_id: str) -> Any:
    return world.detail(order_id)["status"]


def test_the_queue_shows_what_decides(world: World, ada: Person) -> None:
    order_id = waiting(world)
    page = ada.open("/approvals")
    assert f"/console/approvals/{order_id}" in page.links
    for said in ("Customer A", "1,000.00 EUR", "1,084.20 USDC", "1.0842"):
        assert said in page.text
    assert "1 waiting" in Html(ada.get("/approvals/count").text).text or "waiting" in ada.get("/approvals/count").text
    world.reject(order_id)


def test_one_person_approves_what_is_small(world: World, ada: Person) -> None:
    order_id = waiting(world)
    page = ada.open(f"/approvals/{order_id}")
    answer = ada.done(f"/approvals/{order_id}/approve", {"shown": page.hidden["shown"], "rate": "", "why": "as quoted"})
    assert answer.headers["location"] == f"/console/orders/{order_id}?said=approved"
    assert state_of(world, order_id) == "completed"


def test_two_people_approve_what_is_large(world: World, ada: Person, ben: Person, tess: Person) -> None:
    order_id = waiting(world, "2500.00")
    fields = {"rate": "1.09", "typed": "2,500.00", "why": "a good one"}
    there = ada.done(f"/approvals/{order_id}/approve", fields).headers["location"].partition("?")[0]
    assert there.startswith("/console/proposals/")
    assert state_of(world, order_id) == "pending_approval"
    watched = {"headers": {"hx-request": "true"}}
    assert "hx-redirect" not in ada.get(there, **watched).headers
    own = ada.open(there)
    assert "You have proposed it yourself" in own.text
    assert ada.post(f"{there}/second", {}).status_code == 403
    assert tess.post(f"{there}/second", {}).status_code == 403
    seen = ben.open(there).text
    for said in ("2,500.00 EUR", "2,725.00 USDC", "1.09", "a good one", "Approve as the second person"):
        assert said in seen
    assert ben.done(f"{there}/second", {"why": "seen"}).headers["location"].endswith("said=approved")
    detail = world.detail(order_id)
    assert (detail["status"], detail["rate"]) == ("completed", "1.09")
    assert ben.post(f"{there}/second", {}).status_code == 409
    assert ada.get(there, **watched).headers["hx-redirect"] == there  # who watched it is shown that it is over
    assert "hx-redirect" not in ben.get(there, **watched).headers


def test_it_is_turned_down_and_decided_anew(world: World, ada: Person, ben: Person) -> None:
    order_id = waiting(world, "2500.00")
    fields = {"rate": "1.08", "typed": "2500"}
    there = ada.done(f"/approvals/{order_id}/approve", fields).headers["location"].partition("?")[0]
    assert ada.post(f"/approvals/{order_id}/approve", fields).status_code == 409
    assert ben.post(f"{there}/withdraw", {"why": ""}).status_code == 400
    ben.done(f"{there}/withdraw", {"why": "too dear"})
    assert "too dear" in ada.open(there).text
    ben.done(f"/approvals/{order_id}/reject", {"why": "not today"})
    assert state_of(world, order_id) == "rejected"


def test_what_a_market_that_has_moved_would_bring_is_shown_everywhere(server: DeskServer) -> None:
    world = guarded(server, frozen=True)
    ada = signed_in(world, "approver", name="Ada")
    order_id, large = waiting(world), waiting(world, "2500.00")
    world.price("EUR", "USDC", "1.09")
    assert "0.54 % ( 5.80 USDC )" in ada.open("/approvals").text
    assert "0.54 % ( 5.80 USDC )" in ada.open(f"/approvals/{order_id}").text
    fields = {"shown": ada.open(f"/approvals/{large}").hidden["shown"], "typed": "2500"}
    there = ada.done(f"/approvals/{large}/approve", fields).headers["location"]
    assert "0.54 %" in ada.open(there).text


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"rate": "10.842"}, "further from the market"),
        ({"rate": "abc"}, "plain number"),
        ({"rate": "1,0842"}, "plain number"),
        ({"rate": "-1"}, "plain number"),
        ({"rate": "1.08420001"}, "plain number"),
        ({"shown": "1.02"}, "The live rate has moved"),
        ({"shown": "x"}, "plain number"),
        ({}, "no live price"),
        ({"rate": "1.08", "why": "a\x00b"}, ""),
        ({"rate": "1.08", "why": "x" * 501}, "at most 500"),
    ],
)
def test_a_slip_of_the_finger_is_told(world: World, ada: Person, fields: dict[str, str], told: str) -> None:
    order_id = waiting(world)
    answer = ada.post(f"/approvals/{order_id}/approve", fields)
    assert 400 <= answer.status_code < 500
    assert told in Html(answer.text).text
    assert state_of(world, order_id) == "pending_approval"
    world.reject(order_id)


def test_an_amount_of_some_size_is_typed(world: World, ada: Person) -> None:
    order_id = waiting(world, "1500.00")
    for typed in ("", "1501.00", "150.00", "1500.001"):
        answer = ada.post(f"/approvals/{order_id}/approve", {"rate": "1.08", "typed": typed})
        assert answer.status_code == 400
        assert state_of(world, order_id) == "pending_approval"
    ada.done(f"/approvals/{order_id}/approve", {"rate": "1.08", "typed": "1500"})
    assert state_of(world, order_id) == "completed"


def test_who_may_not_decides_nothing(world: World, tess: Person) -> None:
    order_id = waiting(world)
    assert "Approve" not in Html(tess.get(f"/approvals/{order_id}").text).actions
    assert tess.post(f"/approvals/{order_id}/approve", {"rate": "1.08"}).status_code == 403
    tess.done(f"/approvals/{order_id}/reject", {"why": "a trader may"})
    assert state_of(world, order_id) == "rejected"


def test_orders_of_other_desks_are_not_there(world: World, ada: Person, server: DeskServer) -> None:
    other = waiting(World(server))
    assert ada.get(f"/approvals/{other}").status_code == 404
    assert ada.post(f"/approvals/{other}/approve", {"rate": "1.08"}).status_code == 404
    assert ada.get("/approvals/x").status_code == 404
    assert ada.get(f"/proposals/{other}").status_code == 404
