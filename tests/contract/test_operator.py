"""The operator's side of the exchanges contract (sections 4, 5 and 7): every move, and none in a wrong state."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from tests.support.desk import CONTRACT_WORLD
from tests.support.served import NewWorld
from tests.support.server import ORDERS, START, DeskServer, World, assert_refused, at_once, treasury, wait_until

# -- the worked examples (4.4) -----------------------------------------------------------------------------------------


def test_worked_example_of_a_buy(world: World) -> None:
    totals = world.totals()
    order_id = world.buy("2500.00")
    assert world.balances() == START
    world.confirm(order_id)
    assert world.balances() == ("7500.00", "1002500.00", "5000.000000", "1000000.000000")
    approved = world.approve(order_id, "1.0838")
    assert approved.status_code == 200
    assert world.balances() == ("7500.00", "1002500.00", "7709.500000", "997290.500000")
    assert world.totals() == totals
    order = approved.json()["data"]
    assert (order["status"], order["rate"], order["destinationAmount"]) == ("completed", "1.0838", "2709.50")
    assert order["quotedRate"] == "1.0842"


def test_worked_example_of_a_buy_rejected(world: World) -> None:
    order_id = world.confirmed_buy("2500.00")
    assert world.reject(order_id).json()["data"]["status"] == "rejected"
    assert world.balances() == START


def test_worked_example_of_a_sell(world: World) -> None:
    totals = world.totals()
    order_id = world.sell("1800")
    world.confirm(order_id, "sell")
    assert world.balances() == START
    approved = world.approve(order_id, "0.9195")
    assert approved.status_code == 200
    assert world.balances() == ("11655.10", "998344.90", "3200.000000", "1001800.000000")
    assert world.totals() == totals
    assert world.held() == {}
    order = world.order(order_id)
    assert (order["status"], order["rate"]) == ("completed", "0.9195")
    assert (order["sourceAmount"], order["destinationAmount"]) == ("1800.000000", "1655.10")


def test_a_sell_rejected_moves_nothing(world: World) -> None:
    order_id = world.confirmed_sell()
    assert world.reject(order_id).json()["data"]["status"] == "rejected"
    assert world.balances() == START


# -- what an order shows before and after (7.4, 7.5) -------------------------------------------------------------------


def test_until_approval_the_indicative_rate_is_shown(world: World) -> None:
    order_id = world.confirmed_buy()
    world.price("EUR", "USDC", "2")
    for _ in range(2):
        order = world.order(order_id)
        assert (order["status"], order["rate"], order["destinationAmount"]) == ("pending_approval", "1.0842", "2710.50")
    world.fault("chain", "unknown")
    world.approve(order_id, "1.5")
    order = world.order(order_id)
    assert (order["status"], order["rate"], order["destinationAmount"]) == ("pending_approval", "1.0842", "2710.50")
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "completed", "the transfer goes through")
    order = world.order(order_id)
    assert (order["rate"], order["destinationAmount"], order["sourceAmount"]) == ("1.50", "3750.00", "2500.00")


@pytest.mark.parametrize("how", ["no body", "empty object", "null"])
def test_an_approval_without_a_rate_takes_the_live_price(world: World, how: str) -> None:
    order_id = world.confirmed_buy("100.00")
    world.price("EUR", "USDC", "1.25")
    bodies: dict[str, dict[str, Any]] = {"no body": {}, "empty object": {"json": {}}, "null": {"json": {"rate": None}}}
    body = bodies[how]
    approved = world.operator("POST", f"{ORDERS}/{order_id}/approve", **body)
    assert approved.status_code == 200
    assert approved.json()["data"]["rate"] == "1.25"
    assert approved.json()["data"]["destinationAmount"] == "125.00"


def test_an_approval_without_a_rate_or_price(world: World) -> None:
    order_id = world.confirmed_buy("100.00")
    world.fault("price", "unavailable")
    assert_refused(world.approve(order_id, None), 502, "QUOTE_UNAVAILABLE")
    assert world.status(order_id) == "pending_approval"
    assert world.approve(order_id, "1.1").status_code == 200


@pytest.mark.parametrize(
    "rate",
    [
        "0",
        "0.0",
        "-1",
        "+1",
        "1e3",
        "",
        " ",
        "abc",
        ".5",
        "1.",
        "1,1",
        "1.0000001",
        "9" * 40,
        "9" * 10_000,
        "NaN",
        "Infinity",
        "0x1",
        "\u0661",
        1,
        1.5,
        True,
        [],
        {},
    ],
)
@pytest.mark.parametrize("verb", ["approve", "requote"])
def test_rates_that_are_no_positive_decimal(world: World, verb: str, rate: Any) -> None:
    order_id = world.confirmed_sell()
    assert_refused(world.act(order_id, verb, {"rate": rate}), 400, "VALIDATION_ERROR")
    assert world.status(order_id) == "pending_approval"


def recorded_detail(world: World, order_id: str) -> dict[str, Any]:
    """Return an order's detail once what the clock did is recorded, so that it changes no more by itself."""
    world.steer("work")
    return world.detail(order_id)


# -- every verb in every state -----------------------------------------------------------------------------------------


def _quoted(world: World, side: str) -> str:
    order_id: str = getattr(world, side)("100")
    return order_id


def _requoted(world: World, side: str) -> str:
    order_id = _quoted(world, side)
    assert world.requote(order_id).status_code == 200
    return order_id


def _expired(world: World, side: str) -> str:
    order_id = _quoted(world, side)
    world.advance(seconds=60)
    return order_id


def _cancelled(world: World, side: str) -> str:
    order_id = _quoted(world, side)
    assert world.post(f"/{order_id}/cancel").status_code == 200
    return order_id


def _debit_pending(world: World, side: str) -> str:
    world.debits_settle_by_hand()
    return _pending_approval(world, side)


def _pending_approval(world: World, side: str) -> str:
    order_id = _quoted(world, side)
    assert world.confirm(order_id, side).status_code == 201
    return order_id


def _at_the_rail(world: World, side: str) -> str:
    order_id = _pending_approval(world, side)
    world.fault("chain", "unknown")
    assert world.approve(order_id, "1").status_code == 200
    return order_id


def _completed(world: World, side: str) -> str:
    order_id = _pending_approval(world, side)
    assert world.approve(order_id, "1").status_code == 200
    return order_id


def _rejected(world: World, side: str) -> str:
    order_id = _pending_approval(world, side)
    assert world.reject(order_id).status_code == 200
    return order_id


def _failed(world: World, side: str) -> str:
    if side == "buy":
        order_id = _debit_pending(world, side)
        assert world.settle_debit(order_id, "failed").status_code == 200
        return order_id
    order_id = _pending_approval(world, side)
    world.fault("fiat", "refuse")
    assert world.approve(order_id, "1").status_code == 200
    return order_id


_STATES = {
    "quoted": _quoted,
    "requoted": _requoted,
    "expired": _expired,
    "cancelled": _cancelled,
    "debit_pending": _debit_pending,
    "pending_approval": _pending_approval,
    "at the rail": _at_the_rail,
    "completed": _completed,
    "rejected": _rejected,
    "failed": _failed,
}

_VERBS: dict[str, dict[str, str]] = {
    "approve": {"rate": "1"},
    "reject": {"reason": "no"},
    "requote": {"rate": "1"},
    "settle-debit": {"outcome": "settled"},
}

#: What the contract's tables allow (4.2 and 4.3): side, state and verb, and the status that comes of it.
_ALLOWED = {
    **{(side, state, "requote"): "requoted" for side in ("buy", "sell") for state in ("quoted", "requoted", "expired")},
    ("sell", "pending_approval", "requote"): "requoted",
    **{(side, "pending_approval", "approve"): "completed" for side in ("buy", "sell")},
    **{(side, "pending_approval", "reject"): "rejected" for side in ("buy", "sell")},
    ("buy", "debit_pending", "reject"): "rejected",
    ("buy", "debit_pending", "settle-debit"): "pending_approval",
}


@pytest.mark.parametrize("verb", _VERBS)
@pytest.mark.parametrize("state", _STATES)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_every_verb_in_every_state(world: World, side: str, state: str, verb: str) -> None:
    if (side, state) == ("sell", "debit_pending"):
        return  # a sell has no debit
    order_id = _STATES[state](world, side)
    before, balances = recorded_detail(world, order_id), world.balances()
    assert before["status"] == ("pending_approval" if state == "at the rail" else state)
    answer = world.act(order_id, verb, _VERBS[verb])
    if (side, state, verb) in _ALLOWED:
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["status"] == _ALLOWED[side, state, verb]
        return
    assert_refused(answer, 409, "INVALID_STATE")
    assert answer.json()["error"]["details"]["state"] == before["status"]
    after = world.detail(order_id)
    if state != "at the rail":  # the worker asks the rail again and again meanwhile
        assert after == before
    assert world.balances() == balances


@pytest.mark.parametrize("verb", _VERBS)
@pytest.mark.parametrize("order_id", ["x", "00000000-0000-4000-8000-000000000000"])
def test_every_verb_on_no_order(world: World, verb: str, order_id: str) -> None:
    assert_refused(world.act(order_id, verb, _VERBS[verb]), 404, "ORDER_NOT_FOUND")
    assert_refused(world.operator("GET", f"{ORDERS}/{order_id}"), 404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    "verb, body",
    [
        ("settle-debit", None),
        ("settle-debit", {}),
        ("settle-debit", {"outcome": "maybe"}),
        ("reject", {"reason": ""}),
        ("reject", {"reason": "x" * 501}),
        ("reject", {"reason": 1}),
        ("requote", {"ttlSeconds": 0}),
        ("requote", {"ttlSeconds": -1}),
        ("requote", {"ttlSeconds": 86_401}),
        ("requote", {"ttlSeconds": "60"}),
        ("requote", {"ttlSeconds": 1.5}),
        ("requote", []),
    ],
)
def test_bodies_of_verbs_that_are_wrong(world: World, verb: str, body: Any) -> None:
    order_id = world.confirmed_sell()
    before = recorded_detail(world, order_id)
    assert_refused(world.act(order_id, verb, body), 400, "VALIDATION_ERROR")
    assert world.detail(order_id) == before


# -- debits (4.2) ------------------------------------------------------------------------------------------------------


def test_a_debit_settles_by_the_clock(world: World) -> None:
    world.steer("debit-settlement", mode="automatic", delayMs=5000)
    order_id = world.confirmed_buy()
    world.advance(milliseconds=4999)
    assert world.status(order_id) == "debit_pending"
    assert_refused(world.approve(order_id), 409, "INVALID_STATE")
    world.advance(milliseconds=1)
    assert world.status(order_id) == "pending_approval"
    assert world.approve(order_id).status_code == 200


def test_a_debit_settled_by_hand(world: World) -> None:
    world.debits_settle_by_hand()
    order_id = world.confirmed_buy()
    world.advance(seconds=86_400)
    assert world.status(order_id) == "debit_pending"
    after_confirm = world.balances()
    assert world.settle_debit(order_id).json()["data"]["status"] == "pending_approval"
    assert world.balances() == after_confirm


def test_a_debit_that_failed_is_given_back(world: World) -> None:
    world.debits_settle_by_hand()
    order_id = world.confirmed_buy()
    assert world.settle_debit(order_id, "failed").json()["data"]["status"] == "failed"
    assert world.balances() == START


def test_a_rejection_of_a_pending_debit_refunds_all_of_it(world: World) -> None:
    world.debits_settle_by_hand()
    order_id = world.confirmed_buy("1234.56")
    assert world.balances()[0] == "8765.44"
    assert world.reject(order_id).status_code == 200
    assert world.balances() == START


# -- requotes (4.2, 4.3, 8.10) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("state", ["quoted", "requoted", "expired"])
def test_a_requoted_order_has_a_new_rate_and_life_and_is_confirmed_again(world: World, side: str, state: str) -> None:
    order_id = _STATES[state](world, side)
    requoted = world.requote(order_id, rate="2", ttlSeconds=5)
    assert requoted.status_code == 200
    order = world.order(order_id)
    assert (order["status"], order["rate"], order["destinationAmount"]) == ("requoted", "2.00", "200.00")
    assert order["sourceAmount"] == ("100.00" if side == "buy" else "100.000000")
    assert world.balances() == START
    world.advance(milliseconds=4999)
    confirmed = world.confirm(order_id, side)
    assert confirmed.status_code == 201
    assert confirmed.json()["data"]["status"] == ("debit_pending" if side == "buy" else "pending_approval")
    assert world.approve(order_id, "2").status_code == 200


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_requote_expires_can_be_cancelled_and_defaults_to_the_live_price(world: World, side: str) -> None:
    order_id = _quoted(world, side)
    world.price("EUR", "USDC", "3")
    world.price("USDC", "EUR", "4")
    assert world.requote(order_id).json()["data"]["rate"] == ("3.00" if side == "buy" else "4.00")
    world.advance(seconds=59)
    assert world.status(order_id) == "requoted"
    world.advance(seconds=1)
    assert world.status(order_id) == "expired"
    assert_refused(world.confirm(order_id, side), 400, "QUOTE_EXPIRED")
    assert world.requote(order_id).status_code == 200
    assert world.post(f"/{order_id}/cancel").json()["data"]["status"] == "cancelled"
    assert world.balances() == START


def test_a_requote_without_rate_or_price(world: World) -> None:
    order_id = world.buy()
    world.fault("price", "unavailable")
    before = recorded_detail(world, order_id)
    assert_refused(world.requote(order_id), 502, "QUOTE_UNAVAILABLE")
    assert world.detail(order_id) == before


def test_a_confirmed_sell_that_is_requoted_needs_a_new_key(world: World) -> None:
    order_id, key = world.sell("100"), str(uuid4())
    first = world.confirm(order_id, "sell", idempotency=key)
    assert world.requote(order_id, rate="0.5").json()["data"]["status"] == "requoted"
    again = world.confirm(order_id, "sell", idempotency=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert world.status(order_id) == "requoted"
    assert_refused(world.approve(order_id), 409, "INVALID_STATE")
    assert world.confirm(order_id, "sell").status_code == 201
    assert world.status(order_id) == "pending_approval"


@pytest.mark.parametrize("state", ["debit_pending", "pending_approval"])
def test_a_buy_whose_debit_was_taken_is_not_requoted(world: World, state: str) -> None:
    order_id = _STATES[state](world, "buy")
    assert_refused(world.requote(order_id), 409, "INVALID_STATE")
    assert world.status(order_id) == state


# -- insufficiency (5, 7.11) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_treasury_that_cannot_pay(world: World, side: str) -> None:
    order_id = _pending_approval(world, side)
    before, balances = recorded_detail(world, order_id), world.balances()
    assert_refused(world.approve(order_id, "10000.01"), 422, "TREASURY_INSUFFICIENT")
    assert world.detail(order_id) == before
    assert (world.balances(), world.held()) == (balances, {})
    assert world.approve(order_id, "9999").status_code == 200


def test_a_treasury_that_was_emptied_cannot_refund(world: World) -> None:
    order_id = world.confirmed_buy()
    assert world.book("withdrawals", treasury("EUR"), "1000000.01").status_code == 201
    before = recorded_detail(world, order_id)
    assert_refused(world.reject(order_id), 422, "TREASURY_INSUFFICIENT")
    assert world.detail(order_id) == before
    assert world.book("deposits", treasury("EUR"), "0.01").status_code == 201
    assert world.reject(order_id).status_code == 200


def test_a_wallet_that_no_longer_covers_a_sell_at_approval(world: World) -> None:
    order_id = world.confirmed_sell("1800")
    assert world.book("withdrawals", world.ids["WA1"], "3200.000001").status_code == 201
    before, balances = recorded_detail(world, order_id), world.balances()
    assert_refused(world.approve(order_id, "0.9"), 422, "SOURCE_WALLET_INSUFFICIENT")
    assert world.detail(order_id) == before
    assert world.balances() == balances
    world.book("deposits", world.ids["WA1"], "0.000001")
    assert world.approve(order_id, "0.9").status_code == 200
    assert world.balances()[2] == "0.000000"


# -- rails that fail (4.2, 4.3, 5) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("mode", ["unavailable", "refuse"])
def test_a_chain_that_does_nothing_leaves_the_order_as_it_was(world: World, side: str, mode: str) -> None:
    order_id = _pending_approval(world, side)
    shown, seen, balances = world.order(order_id), world.detail(order_id), world.balances()
    world.fault("chain", mode)
    assert_refused(world.approve(order_id, "1.5"), 502, "TRANSFER_UNAVAILABLE")
    assert world.order(order_id) == shown
    after = world.detail(order_id)
    history = {"auditTrail", "holds", "version", "updatedAt", "reason"}
    assert {name for name in seen if seen[name] != after[name]} <= history
    assert all(hold["state"] == "released" for hold in after["holds"])
    assert (world.balances(), world.held()) == (balances, {})
    world.fault("chain", "up")
    assert world.approve(order_id, "1.5").json()["data"]["status"] == "completed"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_chain_whose_answer_is_lost_is_asked_until_it_answers_and_pays_once(world: World, side: str) -> None:
    order_id = _pending_approval(world, side)
    balances = world.balances()
    world.fault("chain", "unknown")
    approved = world.approve(order_id, "1.5")
    assert (approved.status_code, approved.json()["data"]["status"]) == (200, "pending_approval")
    assert_refused(world.approve(order_id, "1.5"), 409, "INVALID_STATE")
    assert_refused(world.reject(order_id), 409, "INVALID_STATE")
    assert world.balances() == balances
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "completed", "the transfer goes through")
    assert world.balances() == (
        ("9900.00", "1000100.00", "5150.000000", "999850.000000")
        if side == "buy"
        else ("10150.00", "999850.00", "4900.000000", "1000100.000000")
    )
    assert world.held() == {}
    done = [event for event in world.detail(order_id)["auditTrail"] if event["state"] == "completed"]
    assert len(done) == 1


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_chain_that_may_have_moved_is_not_believed_to_have_done_nothing(world: World, side: str) -> None:
    order_id = _pending_approval(world, side)
    world.fault("chain", "unknown")
    assert world.approve(order_id, "1.5").status_code == 200
    reference = world.detail(order_id)["railReference"]
    world.fault("chain", "unavailable")

    def asked_again() -> bool:
        lines = [line for line in world.server.log().splitlines() if reference in line]
        return any("cannot be reached" in line for line in lines)

    wait_until(asked_again, "the rail was asked again and could not be reached")
    detail = world.detail(order_id)
    assert (detail["status"], detail["railReference"]) == ("pending_approval", reference)
    assert_refused(world.reject(order_id), 409, "INVALID_STATE")
    assert len(world.held()) == (1 if side == "buy" else 2)
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "completed", "the transfer goes through")
    assert world.held() == {}


@pytest.mark.parametrize("mode", ["unavailable", "refuse"])
def test_a_sell_whose_cash_cannot_be_paid_fails_and_the_tokens_go_back(world: World, mode: str) -> None:
    order_id = world.confirmed_sell("1800")
    world.fault("fiat", mode)
    approved = world.approve(order_id, "0.9195")
    assert (approved.status_code, approved.json()["data"]["status"]) == (200, "failed")
    assert world.balances() == START
    assert world.held() == {}
    order = world.order(order_id)
    assert (order["rate"], order["destinationAmount"]) == ("0.921", "1657.80")
    detail = world.detail(order_id)
    assert [entry["reason"] for entry in detail["entries"][::2]] == ["conversion collection", "conversion return"]
    assert detail["trade"] is None


def test_tokens_that_cannot_go_back_at_once_go_back_later(world: World) -> None:
    order_id = world.confirmed_sell("1800")
    world.fault("fiat", "unknown")
    assert world.approve(order_id, "0.9").json()["data"]["status"] == "pending_approval"
    assert world.balances()[2:] == ("3200.000000", "1001800.000000")
    world.fault("chain", "unavailable")
    world.fault("fiat", "refuse")
    wait_until(lambda: world.detail(order_id)["deskState"] == "returning", "the desk knows that the cash was refused")
    assert world.status(order_id) == "pending_approval"
    assert_refused(world.reject(order_id), 409, "INVALID_STATE")
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "failed", "the tokens are back")
    assert world.balances() == START
    assert world.held() == {}


def test_collected_tokens_are_reserved_so_that_they_can_go_back(world: World) -> None:
    order_id = world.confirmed_sell("1800")
    world.book("withdrawals", treasury("USDC", "ethereum"), "1000000")
    world.fault("fiat", "unknown")
    assert world.approve(order_id, "0.9").status_code == 200
    assert_refused(world.book("withdrawals", treasury("USDC", "ethereum"), "0.000001"), 422, "BALANCE_INSUFFICIENT")
    world.fault("fiat", "refuse")
    wait_until(lambda: world.status(order_id) == "failed", "the tokens are back")
    assert world.balances()[2:] == ("5000.000000", "0.000000")


def test_a_slow_rail_is_not_waited_for_for_ever(server: DeskServer, impatient: DeskServer) -> None:
    world = World(server, via=impatient, frozen=True)
    order_id = world.confirmed_buy("100.00")
    world.fault("chain", "up", delay_ms=200)
    approved = world.approve(order_id, "1")
    assert (approved.status_code, approved.json()["data"]["status"]) == (200, "pending_approval")
    wait_until(lambda: world.status(order_id) == "completed", "the slow rail has answered")
    assert world.balances()[2] == "5100.000000"


def test_a_rail_slower_than_its_time_limit_is_unknown_and_pays_once(server: DeskServer, impatient: DeskServer) -> None:
    world = World(server, via=impatient, frozen=True)
    order_id = world.confirmed_buy("100.00")
    world.fault("chain", "up", delay_ms=5_000)
    assert world.approve(order_id, "1").json()["data"]["status"] == "pending_approval"
    wait_until(lambda: "rail_unknown" in impatient.log() and order_id in impatient.log(), "the rail's time is up")
    world.fault("chain", "up")
    wait_until(lambda: world.status(order_id) == "completed", "the transfer goes through")
    assert world.balances() == ("9900.00", "1000100.00", "5100.000000", "999900.000000")


# -- parallel operators ------------------------------------------------------------------------------------------------


def test_approvals_in_parallel_complete_once(world: World) -> None:
    order_id = world.confirmed_buy("100.00")
    answers = at_once([lambda: world.approve(order_id, "1")] * 6)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert world.balances() == ("9900.00", "1000100.00", "5100.000000", "999900.000000")


def test_approve_and_reject_in_parallel_exclude_each_other(world: World) -> None:
    for _ in range(4):
        order_id = world.confirmed_buy("100.00")
        answers = at_once([lambda: world.approve(order_id, "1"), lambda: world.reject(order_id)])  # noqa: B023
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert world.status(order_id) == ("completed" if answers[0].status_code == 200 else "rejected")
    assert sum(world.totals().values()) == Decimal(2030000)


# -- what the operator sees (5) ----------------------------------------------------------------------------------------


def test_the_operator_sees_all_customers_and_filters_by_status(world: World) -> None:
    of_a = world.buy()
    world.advance(milliseconds=1)
    of_b = world.quoted(
        world.post(
            "/quote",
            world.buy_body(sourceFrAccountId=world.ids["FB1"], destinationUtilaWalletId=world.ids["WB1"]),
            key="KB",
        )
    )
    world.confirm(of_b, key="KB")
    listed = world.operator("GET", ORDERS).json()
    assert [row["id"] for row in listed["data"]] == [of_b, of_a]
    assert [row["customerId"] for row in listed["data"]] == [world.told["tenants"]["B"], world.told["tenants"]["A"]]
    row = listed["data"][0]
    assert (row["side"], row["sourceAccountId"], row["destinationAccountId"]) == (
        "buy",
        world.ids["FB1"],
        world.ids["WB1"],
    )
    for status, ids in (("quoted", [of_a]), ("pending_approval", [of_b]), ("completed", [])):
        found = world.operator("GET", f"{ORDERS}?status={status}").json()
        assert [row["id"] for row in found["data"]] == ids
        assert found["meta"]["pagination"]["total"] == len(ids)
    assert_refused(world.operator("GET", f"{ORDERS}?status=nonsense"), 400, "VALIDATION_ERROR")


def test_the_audit_trail_tells_the_whole_story(world: World) -> None:
    order_id = world.confirmed_buy("100.00")
    world.approve(order_id, "1")
    detail = world.detail(order_id)
    assert [(event["event"], event["state"]) for event in detail["auditTrail"]] == [
        ("conversion.quote", "quoted"),
        ("conversion.confirm", "debit_pending"),
        ("conversion.debit_settled", "pending_approval"),
        ("conversion.approve", "paying"),
        ("conversion.leg_done", "completed"),
    ]
    assert [event["by"] for event in detail["auditTrail"]][1::2] == ["api_key:KA", "operator:operator"]
    amounts = {(entry["accountId"], entry["amount"]) for entry in detail["entries"]}
    assert amounts == {
        (world.ids["FA1"], "-100.00"),
        (treasury("EUR"), "100.00"),
        (world.ids["WA1"], "100.000000"),
        (treasury("USDC", "ethereum"), "-100.000000"),
    }
    assert detail["trade"]["executedRate"] == "1.00"
    assert detail["trade"]["executedBy"] == "operator:operator"


def test_the_audit_trail_names_who_requoted(world: World) -> None:
    order_id = world.buy()
    world.requote(order_id, rate="2")
    assert [event["by"] for event in world.detail(order_id)["auditTrail"]][1] == "operator:operator"


# -- the desk's own bookings -------------------------------------------------------------------------------------------


def test_bookings_are_refused_past_what_there_is_and_done_once_per_key(world: World) -> None:
    account, key = world.ids["FA1"], str(uuid4())
    body = {"accountId": account, "amount": "1.50", "reason": "counted", "reference": "bank 1"}
    first = world.operator("POST", "/operator/deposits", body, headers={"Idempotency-Key": key})
    again = world.operator("POST", "/operator/deposits", body, headers={"Idempotency-Key": key})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert world.balances()[0] == "10001.50"
    other = {**body, "amount": "2.50"}
    assert_refused(
        world.operator("POST", "/operator/deposits", other, headers={"Idempotency-Key": key}),
        409,
        "IDEMPOTENCY_KEY_REUSED",
    )
    assert_refused(world.book("withdrawals", account, "10001.51"), 422, "BALANCE_INSUFFICIENT")
    assert_refused(world.book("adjustments", account, "-10001.51"), 422, "BALANCE_INSUFFICIENT")
    assert_refused(world.book("deposits", str(uuid4()), "1"), 404, "ACCOUNT_NOT_FOUND")
    for amount in ("0", "-1", "1.001", "", "x", "1e2", "9" * 50):
        assert_refused(world.book("deposits", account, amount), 400, "VALIDATION_ERROR")
    assert world.book("adjustments", account, "-10001.50").status_code == 201
    assert world.balances()[0] == "0.00"


def test_prices_set_by_the_operator_win_while_they_last(world: World) -> None:
    body = {"sourceAsset": "EUR", "destinationAsset": "USDC", "rate": "1.5", "lastsSeconds": 10}
    assert world.operator("POST", "/operator/prices", body).status_code == 200
    assert world.post("/quote", world.buy_body()).json()["data"]["rate"] == "1.50"
    world.fault("price", "unavailable")
    assert world.post("/quote", world.buy_body()).status_code == 200
    world.advance(seconds=10)
    assert_refused(world.post("/quote", world.buy_body()), 502, "QUOTE_UNAVAILABLE")
    assert_refused(world.operator("POST", "/operator/prices", {**body, "sourceAsset": "XXX"}), 404, "PRICE_NOT_FOUND")
    for rate in ("0", "-1", "x"):
        assert_refused(world.operator("POST", "/operator/prices", {**body, "rate": rate}), 400, "VALIDATION_ERROR")


# -- invariants (7.10) -------------------------------------------------------------------------------------------------


def test_no_transition_changes_what_there_is_of_an_asset(new_world: NewWorld) -> None:
    world = new_world(world=CONTRACT_WORLD, frozen=True)
    totals = world.totals()

    def unchanged() -> None:
        assert world.totals() == totals

    for side in ("buy", "sell"):
        for make in _STATES.values():
            if (side, make) == ("sell", _debit_pending):
                continue
            make(world, side)
            unchanged()
            world.fault("chain", "up")
            world.fault("fiat", "up")
            world.steer("debit-settlement", mode="automatic")
    wait_until(lambda: not world.held(), "all rails have answered")
    unchanged()
