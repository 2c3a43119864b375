"""Two people over real HTTP: what waits is answered 202, and only another operator carries it out."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.four_eyes import GUARDED_WORLD
from tests.support.served import NewWorld, assert_books_sound
from tests.support.server import ORDERS, World, assert_refused, at_once, treasury

_TWO = f'{GUARDED_WORLD}\n[[operators]]\nref = "second"\n'


class Pair:
    """A world with guards, and its two operators."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = [one["token"] for one in world.told["operators"]]
        world.server.secrets |= set(self.tokens)

    def call(self, method: str, path: str, body: Any = None, *, by: int = 0, **how: Any) -> httpx.Response:
        """Call a path of the operator's as the first or as the second."""
        headers = {"Authorization": f"Bearer {self.tokens[by]}", **how.pop("headers", {})}
        if body is not None:
            how["json"] = body
        return self.world.server.http.request(method, f"/operator{path}", headers=headers, **how)

    def approve(self, order_id: str, rate: str | None = "1.0838", *, by: int = 0) -> httpx.Response:
        path = f"{ORDERS}/{order_id}/approve".removeprefix("/operator")
        return self.call("POST", path, {} if rate is None else {"rate": rate}, by=by)

    def proposed(self, order_id: str) -> str:
        """Propose to approve an order; returns the proposal's id."""
        answer = self.approve(order_id)
        assert answer.status_code == 202, answer.text
        proposal_id: str = answer.json()["data"]["proposal"]["id"]
        return proposal_id

    def second(self, proposal_id: str, *, by: int = 1, **body: Any) -> httpx.Response:
        return self.call("POST", f"/proposals/{proposal_id}/second", body or None, by=by)

    def withdraw(self, proposal_id: str, *, by: int = 0, **body: Any) -> httpx.Response:
        return self.call("POST", f"/proposals/{proposal_id}/withdraw", body or None, by=by)

    def read(self, proposal_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/proposals/{proposal_id}")
        assert answer.status_code == 200, answer.text
        proposal: dict[str, Any] = answer.json()["data"]
        return proposal


@pytest.fixture
def pair(new_world: NewWorld) -> Pair:
    return Pair(new_world(world=_TWO, frozen=True))


def test_an_approval_waits_for_a_second_person(pair: Pair) -> None:
    world = pair.world
    order_id = world.confirmed_buy()
    before = world.balances()
    answer = pair.approve(order_id)
    assert answer.status_code == 202
    told = answer.json()["data"]
    proposal = told.pop("proposal")
    assert (told["id"], told["status"], told["deskState"]) == (order_id, "pending_approval", "pending_approval")
    assert (told["approvedRate"], told["railReference"]) == (None, None)
    assert (proposal["verb"], proposal["duty"], proposal["state"]) == ("approve_conversion", "orders.approve", "open")
    assert (proposal["subjectId"], proposal["subjectVersion"]) == (order_id, told["version"])
    assert (proposal["asset"], proposal["amount"]) == ("EUR", "2500.00")
    assert proposal["command"] == {"order_id": order_id, "rate": "1.0838"}
    assert (proposal["seen"]["slippage_bps"], proposal["seen"]["destination_units"]) == ("-3.69", 2_709_500_000)
    assert (proposal["proposedBy"], proposal["decidedBy"]) == ("operator:operator", None)
    assert (world.balances(), world.held()) == (before, {})
    assert pair.read(proposal["id"]) == proposal
    assert_refused(pair.approve(order_id, by=1), 409, "PROPOSAL_OPEN")
    assert_refused(pair.second(proposal["id"], by=0), 403, "SAME_PERSON")

    done = pair.second(proposal["id"], reason="checked with the bank")
    assert done.status_code == 200, done.text
    order = done.json()["data"]
    assert (order["status"], order["rate"], order["approvedBy"]) == ("completed", "1.0838", "operator:second")
    assert world.balances() == ("7500.00", "1002500.00", "7709.500000", "997290.500000")
    after = pair.read(proposal["id"])
    assert (after["state"], after["decidedBy"], after["decidedWhy"]) == (
        "carried_out",
        "operator:second",
        "checked with the bank",
    )
    trail = {row["event"]: (row["by"], row["detail"]) for row in world.detail(order_id)["auditTrail"]}
    assert trail["conversion.approve"] == ("operator:second", "proposed by operator:operator")
    refused = pair.second(proposal["id"])
    assert_refused(refused, 409, "PROPOSAL_OVER")
    assert refused.json()["error"]["details"]["state"] == "carried_out"
    assert_books_sound(world)


def test_below_the_guard_one_operator_is_enough(pair: Pair) -> None:
    assert pair.approve(pair.world.confirmed_buy("900.00")).status_code == 200


def test_a_second_approval_that_the_rail_does_not_take_is_told_as_an_approval_is(pair: Pair) -> None:
    order_id = pair.world.confirmed_buy()
    proposal_id = pair.proposed(order_id)
    pair.world.fault("chain", "refuse")
    assert_refused(pair.second(proposal_id), 502, "TRANSFER_UNAVAILABLE")
    pair.world.fault("chain", "up")
    assert pair.read(proposal_id)["state"] == "carried_out"
    assert pair.second(pair.proposed(order_id)).json()["data"]["status"] == "completed"


def test_a_rate_that_deviates_is_refused_with_the_facts(pair: Pair) -> None:
    order_id = pair.world.confirmed_buy("500.00")
    refused = pair.approve(order_id, "10.838")
    assert_refused(refused, 409, "RATE_DEVIATES")
    details = refused.json()["error"]["details"]
    assert (details["market"], details["bps"], details["bpsMax"]) == ("1.0842", "89963.11", "300")
    quote = pair.world.buy("100.00")
    assert_refused(pair.world.requote(quote, rate="0.5"), 409, "RATE_DEVIATES")
    moved = {"sourceAsset": "EUR", "destinationAsset": "USDC", "rate": "10.838", "lastsSeconds": 60}
    assert_refused(pair.call("POST", "/prices", moved), 409, "RATE_DEVIATES")


@pytest.mark.parametrize("kind", ["deposits", "withdrawals", "adjustments"])
def test_a_large_booking_waits_for_a_second_person(pair: Pair, kind: str) -> None:
    account_id = pair.world.ids["FA1"]
    body = {"accountId": account_id, "amount": "1000.00", "reason": "wire", "reference": "ref 1"}
    key = {"Idempotency-Key": str(uuid4())}
    answers = [pair.call("POST", f"/{kind}", body, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    told, again = [answer.json()["data"] for answer in answers]
    assert told == again
    assert (told["account"]["balance"], "transactionId" in told) == ("10000.00", False)
    done = pair.second(told["proposal"]["id"])
    assert done.status_code == 200
    expected = "9000.00" if kind == "withdrawals" else "11000.00"
    assert (done.json()["data"]["account"]["balance"], done.json()["data"]["reference"]) == (expected, "ref 1")
    assert pair.world.accounts()[account_id]["balance"] == expected


def test_the_desks_fees_change_much_by_two_only(pair: Pair) -> None:
    body = {"otcPercent": "2", "secondaryPercent": "0", "primaryPercent": "0"}
    answer = pair.call("PUT", "/resale-fees", body)
    assert answer.status_code == 202
    told = answer.json()["data"]
    assert told["otcPercent"] == "0"
    assert pair.second(told["proposal"]["id"]).json()["data"]["otcPercent"] == "2"


def test_guards_change_by_two_only(pair: Pair) -> None:
    guards = pair.call("GET", "/guards").json()["data"]
    assert guards == {
        "deviationBpsMax": 300,
        "spreadChangeBpsMax": 50,
        "limitsSecond": True,
        "proposalSeconds": 600,
        "assets": [
            {"asset": "EUR", "secondFrom": "1000.00", "typedFrom": "500.00", "exposureMax": "100000.00"},
            {"asset": "GBP", "secondFrom": None, "typedFrom": None, "exposureMax": None},
            {"asset": "USDC", "secondFrom": "1000.000000", "typedFrom": None, "exposureMax": None},
        ],
    }
    body = {"secondFrom": "5000.00", "typedFrom": None, "exposureMax": None, "reason": "growth"}
    answer = pair.call("PUT", "/guards/EUR", body)
    assert (answer.status_code, answer.json()["data"]["secondFrom"]) == (202, "1000.00")
    assert_refused(pair.call("PUT", "/guards/EUR", body, by=1), 409, "PROPOSAL_OPEN")
    assert_refused(pair.call("PUT", "/guards/DOGE", body), 404, "ASSET_NOT_FOUND")
    done = pair.second(answer.json()["data"]["proposal"]["id"])
    assert done.json()["data"] == {"asset": "EUR", "secondFrom": "5000.00", "typedFrom": None, "exposureMax": None}
    terms = {
        "deviationBpsMax": None,
        "spreadChangeBpsMax": 50,
        "limitsSecond": False,
        "proposalSeconds": 60,
        "reason": "trial",
    }
    waits = pair.call("PUT", "/guards", terms)
    assert waits.status_code == 202
    del terms["reason"]
    assert pair.second(waits.json()["data"]["proposal"]["id"]).json()["data"] == terms


def test_proposals_are_listed_as_the_clock_and_their_orders_have_them(pair: Pair) -> None:
    world = pair.world
    orders = [world.confirmed_buy("1000.00") for _ in range(5)]
    late = pair.proposed(orders[0])
    world.advance(seconds=600)
    open_one, withdrawn, stale, done = [pair.proposed(order_id) for order_id in orders[1:]]
    assert pair.withdraw(withdrawn, reason="no").json()["data"]["state"] == "withdrawn"
    assert world.reject(orders[3]).status_code == 200
    assert pair.second(done).status_code == 200
    listed = pair.call("GET", "/proposals")
    assert listed.json()["meta"]["pagination"]["total"] == 5
    assert {row["id"]: row["state"] for row in listed.json()["data"]} == {
        late: "expired",
        open_one: "open",
        withdrawn: "withdrawn",
        stale: "stale",
        done: "carried_out",
    }
    for row in listed.json()["data"]:
        one = pair.call("GET", f"/proposals?state={row['state']}").json()
        assert ([each["id"] for each in one["data"]], one["meta"]["pagination"]["total"]) == ([row["id"]], 1)
        assert pair.read(row["id"]) == row
    assert_refused(pair.call("GET", "/proposals?state=done"), 400, "VALIDATION_ERROR")
    assert_refused(pair.second(stale), 409, "PROPOSAL_STALE")
    assert_refused(pair.second(late), 409, "PROPOSAL_OVER")
    assert_refused(pair.call("GET", f"/proposals/{uuid4()}"), 404, "PROPOSAL_NOT_FOUND")
    assert_refused(pair.second(str(uuid4())), 404, "PROPOSAL_NOT_FOUND")


def test_another_world_sees_no_proposal(pair: Pair, new_world: NewWorld) -> None:
    proposal_id = pair.proposed(pair.world.confirmed_buy())
    other = Pair(new_world(world=_TWO))
    assert_refused(other.call("GET", f"/proposals/{proposal_id}"), 404, "PROPOSAL_NOT_FOUND")
    assert_refused(other.second(proposal_id), 404, "PROPOSAL_NOT_FOUND")
    assert other.call("GET", "/proposals").json()["data"] == []


# -- races -------------------------------------------------------------------------------------------------------------


def _race(pair: Pair, *rivals: Callable[[], httpx.Response]) -> list[int]:
    answers = at_once(rivals)
    assert all(answer.status_code in {200, 409} for answer in answers), [answer.text for answer in answers]
    assert_books_sound(pair.world)
    return [answer.status_code for answer in answers]


def test_of_two_seconds_at_once_one_wins(pair: Pair) -> None:
    order_id = pair.world.confirmed_buy()
    proposal_id = pair.proposed(order_id)
    statuses = _race(pair, *[lambda: pair.second(proposal_id)] * 4)
    assert sorted(statuses) == [200, 409, 409, 409]
    assert pair.world.balances()[0] == "7500.00"
    assert pair.world.accounts()[treasury("USDC", "ethereum")]["balance"] == "997290.500000"


@pytest.mark.parametrize("turn", range(3))
def test_a_second_person_races_with_the_others(pair: Pair, turn: int) -> None:
    world = pair.world
    order_id = world.confirmed_buy()
    proposal_id = pair.proposed(order_id)
    rivals = [
        lambda: pair.second(proposal_id),
        lambda: pair.withdraw(proposal_id),
        lambda: world.reject(order_id),
    ]
    rivals = rivals[turn:] + rivals[:turn]
    statuses = dict(
        zip(
            (*("second", "withdraw", "reject")[turn:], *("second", "withdraw", "reject")[:turn]),
            _race(pair, *rivals),
            strict=True,
        )
    )
    state, order = pair.read(proposal_id)["state"], world.detail(order_id)
    if statuses["second"] == 200:
        assert (state, order["status"], statuses["withdraw"], statuses["reject"]) == (
            "carried_out",
            "completed",
            409,
            409,
        )
    else:
        assert order["status"] == "rejected"
        assert state == ("withdrawn" if statuses["withdraw"] == 200 else "stale")
