"""What people do about orders over real HTTP: each move once, refused with a sentence, and by nobody else."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.console.orders.moves import MOVES
from otcdesk.domain.world import tenant_id
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import everybody
from tests.support.consoles import Html, Person, signed_in
from tests.support.receiver import Receiver
from tests.support.server import DeskServer, World

ADDRESS = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, frozen=True)


@pytest.fixture(scope="module")
def eve(world: World) -> Person:
    return everybody(world)


@pytest.fixture(scope="module")
def busy(server: DeskServer) -> BusyDesk:
    desk = BusyDesk(server, frozen=True)
    desk.pay_out()
    desk.run_workers()
    return desk


@pytest.fixture(scope="module")
def ann(busy: BusyDesk) -> Person:
    return everybody(busy)


def state_of(world: World, order_id: str) -> Any:
    return world.operator("GET", f"/operator/orders/{order_id}").json()["data"]["status"]


def refused(person: Person, path: str, fields: dict[str, str], status: int, said: str) -> None:
    """Assert that a form is refused, and the page shown again with why and with what was typed."""
    answer = person.post(path, fields)
    assert answer.status_code == status, Html(answer.text).text[:500]
    page = Html(answer.text)
    assert said in page.text
    if status in {400, 409}:
        assert "What happened" in page.text


# -- conversions -------------------------------------------------------------------------------------------------------


def test_a_conversion_is_rejected_with_a_reason(world: World, eve: Person) -> None:
    order = world.confirmed_buy("20.00")
    path = f"/orders/{order}/reject"
    assert f"/console{path}" in eve.open(f"/orders/{order}").actions
    refused(eve, path, {"why": ""}, 400, "The reason is missing.")
    refused(eve, path, {"why": "x" * 501}, 400, "at most 500 characters")
    assert eve.post(path, {"why": "a\x00b"}).status_code == 400
    answer = eve.done(path, {"why": "papers are missing"})
    assert answer.headers["location"] == f"/console/orders/{order}?said=rejected"
    page = eve.open(answer.headers["location"])
    for said in ("Rejected.", "papers are missing", "Reject conversion by"):
        assert said in page.text
    assert world.detail(order)["status"] == "rejected"
    refused(eve, path, {"why": "again"}, 409, "not in a state that allows this")


def test_a_conversion_is_requoted(world: World, eve: Person) -> None:
    order = world.buy("20.00")
    path = f"/orders/{order}/requote"
    for fields, said in (
        ({"rate": "x"}, "plain number"),
        ({"rate": "1.00000001"}, "plain number"),
        ({"rate": "1.08", "ttl_seconds": "0"}, "from 1 to"),
        ({"rate": "1.08", "ttl_seconds": "1.5"}, "whole number"),
    ):
        refused(eve, path, fields, 400, said)
    assert 'value="1.00000001"' in eve.post(path, {"rate": "1.00000001"}).text
    eve.done(path, {"rate": "1.0800", "ttl_seconds": "120", "why": "as agreed"})
    assert "1.08" in eve.open(f"/orders/{order}").text
    assert world.detail(order)["status"] == "requoted"


def test_a_debit_is_settled_or_failed(server: DeskServer) -> None:
    world = World(server, frozen=True)
    world.debits_settle_by_hand()
    person = everybody(world)
    there, gone = world.confirmed_buy("20.00"), world.confirmed_buy("30.00")
    assert "waits for word of its debit" in person.open("/orders?attention=1").text
    refused(person, f"/orders/{there}/settle-debit", {"outcome": "maybe"}, 400, "Say how the debit went")
    person.done(f"/orders/{there}/settle-debit", {"outcome": "settled"})
    person.done(f"/orders/{gone}/settle-debit", {"outcome": "failed", "why": "no funds"})
    assert [world.detail(order)["status"] for order in (there, gone)] == ["pending_approval", "failed"]


def test_who_may_approve_is_led_there(world: World, eve: Person) -> None:
    order = world.confirmed_buy("20.00")
    assert f"/console/approvals/{order}" in eve.open(f"/orders/{order}").links
    trader = signed_in(world, "trader").open(f"/orders/{order}")
    assert f"/console/approvals/{order}" not in trader.links
    assert f"/console/orders/{order}/reject" in trader.actions
    finance = signed_in(world, "finance").open(f"/orders/{order}")
    assert not [action for action in finance.actions if "/orders/" in action]
    assert "Your roles do nothing about it now." in finance.text


# -- payouts -----------------------------------------------------------------------------------------------------------


def test_a_payout_is_held_released_and_cancelled(busy: BusyDesk, ann: Person) -> None:
    order = busy.orders["payout"][3]
    refused(ann, f"/orders/{order}/hold", {}, 400, "The reason is missing.")
    ann.done(f"/orders/{order}/hold", {"why": "name differs"})
    assert "name differs" in ann.open(f"/orders/{order}").text
    ann.done(f"/orders/{order}/release", {})
    refused(ann, f"/orders/{order}/release", {}, 409, "not in a state")
    ann.done(f"/orders/{order}/hold", {"why": "again"})
    ann.done(f"/orders/{order}/cancel", {"why": "withdrawn"})
    assert state_of(busy, order) == "failed"


def test_a_payout_by_hand_is_settled_comes_back_and_is_corrected(busy: BusyDesk, ann: Person) -> None:
    order = busy.orders["payout"][4]
    refused(ann, f"/orders/{order}/settle", {"reference": "x" * 201}, 400, "The reference has at most")
    ann.done(f"/orders/{order}/settle", {"reference": "bank-1"})
    assert state_of(busy, order) == "settled"
    key = ann.open(f"/orders/{order}").hidden["key"]
    fields = {"side": "credit", "amount": "1.5", "why": "wrong rate", "key": key}
    for wrong, said in (
        ({"amount": "0"}, "must not be zero"),
        ({"amount": "1.0000001"}, "plain number with at most 6 decimals"),
        ({"amount": "9" * 60}, ""),
        ({"side": "both"}, "Say whether"),
        ({"key": "short"}, "Open the page again"),
        ({"why": ""}, "The reason is missing"),
    ):
        refused(ann, f"/orders/{order}/adjust", {**fields, **wrong}, 400, said)
    once, twice = (ann.done(f"/orders/{order}/adjust", fields).headers["location"] for _ in range(2))
    assert once == twice
    assert "what is corrected" in ann.open(once).text.lower()
    back = {"reference": "bank-2", "why": "account closed", "amount": "2.50"}
    refused(ann, f"/orders/{order}/return", {**back, "amount": "999"}, 409, "")
    first = ann.done(f"/orders/{order}/return", back).headers["location"]
    again = ann.done(f"/orders/{order}/return", back).headers["location"]
    assert (first.partition("?")[0], again.partition("?")[2]) == (again.partition("?")[0], "said=known")


def test_a_provider_ends_its_own_payouts(busy: BusyDesk, ann: Person) -> None:
    order = busy.orders["payout"][0]
    assert f"/console/orders/{order}/settle" not in ann.open(f"/orders/{order}").actions
    assert ann.post(f"/orders/{order}/settle", {"reference": "bank-3"}).status_code == 409
    assert ann.post(f"/orders/{order}/fail", {"why": "no"}).status_code == 409


# -- deposits and listings ---------------------------------------------------------------------------------------------


def deposit_of(busy: BusyDesk) -> str:
    """Record a deposit that is pending."""
    told = {"destination": ADDRESS, "network": "Ethereum", "asset": "USDC", "amount": "5", "outsideId": uuid4().hex}
    answer = busy.operate("POST", "/tenant-deposits", {**told, "stage": "pending", "senderName": "Ann"})
    return str(answer.json()["data"]["id"])


def test_a_deposit_is_accepted_or_sent_back(busy: BusyDesk, ann: Person) -> None:
    place = {"customerId": str(tenant_id("paylane")), "network": "Ethereum", "address": ADDRESS}
    busy.operate("POST", "/deposit-places", place)
    there, gone = deposit_of(busy), deposit_of(busy)
    refused(ann, f"/orders/{there}/conclude", {"stage": "lost"}, 400, "Say what became of the deposit")
    refused(ann, f"/orders/{there}/conclude", {"stage": "failed"}, 400, "The reason is missing.")
    ann.done(f"/orders/{there}/conclude", {"stage": "settled"})
    ann.done(f"/orders/{gone}/conclude", {"stage": "failed", "why": "unknown sender"})
    assert "is to be sent back" in ann.open("/orders?attention=1").text
    ann.done(f"/orders/{gone}/conclude", {"stage": "refunded"})
    assert [state_of(busy, order) for order in (there, gone)] == ["settled", "refunded"]
    assert ann.post(f"/orders/{there}/conclude", {"stage": "refunded"}).status_code == 409


def test_listings_are_taken_and_closed_and_their_jobs_kept(server: DeskServer) -> None:
    desk = BusyDesk(server)
    desk.resell()
    person = everybody(desk)
    listed = [str(row["data-href"]) for row in person.open("/orders?product=resale&open=1").rows]
    taken, closed = listed
    desk.fault("chain", "unavailable")
    person.done(f"{taken}/take", {"why": "house rule"})
    person.done(f"{closed}/close", {})
    page = person.open(taken)
    assert "Take resale by" in page.text, "the act is the order's"
    retry = next(action for action in page.actions if action.endswith("/retry"))
    fail = retry.removesuffix("retry") + "fail"
    person.done(retry, {"why": "the chain is back"})
    assert person.post(fail, {"why": ""}).status_code == 400
    person.done(fail, {"why": "never sent"})
    page = person.open(taken)
    for said in ("Fail job by", "never sent", "has a job that failed on its chain"):
        assert said in page.text
    refused(person, fail, {"why": "once more"}, 409, "not in a state that allows this")
    desk.fault("chain", "up")
    person.done(retry, {})
    assert "has a job that failed" not in person.open(taken).text
    other = retry.replace(taken.rpartition("/")[2], closed.rpartition("/")[2])
    assert person.post(other, {}).status_code == 404
    assert person.post(f"{taken}/take", {}).status_code == 409


# -- callbacks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def test_a_callback_is_sent_again(server: DeskServer, receiver: Receiver) -> None:
    world = World(server)
    answer = world.operator(
        "POST", "/operator/webhooks", {"url": receiver.url(), "eventTypes": ["conversion.rejected"]}
    )
    assert answer.status_code == 201, answer.text
    order = world.confirmed_buy("20.00")
    world.reject(order)
    world.run_workers()
    receiver.wait_for(1)
    person = signed_in(world, "admin")
    page = person.open(f"/orders/{order}")
    again = next(action for action in page.actions if action.endswith("/send"))
    assert person.done(again, {}).headers["location"].endswith("said=taken_in")
    assert len({request.body for request in receiver.wait_for(2)}) == 1
    receiver.answer = 500
    assert person.done(again, {}).headers["location"].endswith("said=not_taken_in")
    assert person.open(f"/orders/{order}").text.count("attempt") >= 3
    assert "Send callback again by" in person.open(f"/orders/{order}").text
    trader = signed_in(world, "trader")
    assert again not in trader.open(f"/orders/{order}").actions
    assert trader.post(again, {}).status_code == 403
    elsewhere = again.replace(order, world.confirmed_buy("20.00"))
    assert person.post(elsewhere, {}).status_code == 404


# -- whoever may not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", MOVES, ids=[move.name for move in MOVES])
def test_nothing_is_done_to_orders_of_others_or_of_another_product(
    world: World, eve: Person, server: DeskServer, move: Any
) -> None:
    other = World(server).confirmed_buy("10.00")
    form = {"why": "x", "reference": "x", "outcome": "settled", "stage": "settled", "side": "credit", "amount": "1"}
    form["key"] = uuid4().hex
    assert eve.post(f"/orders/{other}/{move.name}", form).status_code == 404
    mine = world.confirmed_buy("10.00")
    if move.name not in {"reject", "requote", "settle-debit"}:
        assert eve.post(f"/orders/{mine}/{move.name}", form).status_code in {404, 409}
        assert world.detail(mine)["status"] == "pending_approval"
