"""What the operator sees and does of resale: listings and why rules took them, the chain's jobs, contracts, fees."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from otcdesk.domain.compact_ids import parse_compact_id
from tests.support.deals import READER, U1, U2, C, DealsWorld, N, T
from tests.support.server import DeskServer, assert_refused, wait_until

RULES = f"/v2/admin/otc-order-rules/nodes/{N}"
RULE = {"name": "any", "side": 3, "rule_type": 1, "consume_on_match": True, "status": 2, "priority": 5}


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def shown(world: DealsWorld, path: str) -> Any:
    answer = world.operator("GET", f"/operator{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def act(world: DealsWorld, job: dict[str, Any], verb: str, body: Any = None) -> httpx.Response:
    return world.operator("POST", f"/operator/jobs/{job['id']}/{verb}", body)


def failed_by_hand(world: DealsWorld, transaction_id: str, reason: str = "not now") -> dict[str, Any]:
    """Fail a job as soon as no worker is asking for it; it must be failed then."""
    job = job_of(world, transaction_id)
    answers: list[httpx.Response] = []

    def is_decided() -> bool:
        answers.append(act(world, job, "fail", {"reason": reason}))
        return answers[-1].status_code != 409

    wait_until(is_decided, "the job is failed")
    assert answers[-1].status_code == 200, answers[-1].text
    told: dict[str, Any] = answers[-1].json()["data"]
    return told


def job_of(world: DealsWorld, transaction_id: str) -> dict[str, Any]:
    told: dict[str, Any] = shown(world, f"/jobs/{transaction_id}")
    assert told["compactId"] == transaction_id
    return told


def send(world: DealsWorld, amount: Any = 5) -> None:
    body = {"amount": amount, "recipient_wallet": "0x00000000000000000000000000000000000000a2"}
    assert world.ask("POST", f"/v2/admin/currency-tokens/{C}/send", body).status_code == 204


# -- listings and what rules said --------------------------------------------------------------------------------------


def test_a_listing_is_shown_with_its_jobs(world: DealsWorld) -> None:
    world.active_deal(price_amount=2.5)
    (listing,) = shown(world, "/resales")
    order_id = listing["id"]
    assert {name: listing[name] for name in ("market", "status", "quantity", "available", "promised", "sold")} == {
        "market": "otc",
        "status": "active",
        "quantity": 3,
        "available": 3,
        "promised": 0,
        "sold": 0,
    }
    assert (listing["price"], listing["currency"], listing["symbol"]) == ("2.500000", "VUSD", "EXT")
    assert (listing["partyId"], listing["branchId"], listing["instrumentId"]) == (U1, N, T)
    assert (listing["number"], listing["decision"]) == (1, None)
    detail = shown(world, f"/resales/{order_id}")
    assert detail == shown(world, f"/resales/{listing['compactId']}")
    (job,) = detail.pop("jobs")
    assert detail == listing
    assert (job["kind"], job["state"], job["amount"], job["asset"]) == ("list", "completed", "3", "EXT")
    assert (job["attempts"], job["restingUntil"]) == (0, None)
    assert shown(world, f"/orders/{order_id}")["status"] == "active"


def test_listings_by_market_and_state(world: DealsWorld) -> None:
    deal_id = world.active_deal(quantity=1)
    body = {"quantity": 2, "price_id": C, "price_amount": 3}
    sold = world.ask("POST", f"/v2/users/secondary-markets/users/{U1}/tokens/{T}/sell", body)
    assert sold.status_code == 200
    world.run_workers()
    world.cancel(deal_id)
    world.run_workers()
    assert [row["status"] for row in shown(world, "/resales?market=otc")] == ["cancelled"]
    assert [row["status"] for row in shown(world, "/resales?market=secondary")] == ["active"]
    assert [row["market"] for row in shown(world, "/resales?status=active")] == ["secondary"]
    world.advance(seconds=31 * 86_400)
    assert shown(world, "/resales?status=active") == []
    (expired,) = shown(world, "/resales?status=expired")
    assert (expired["market"], expired["available"]) == ("secondary", 0)
    orders = shown(world, "/orders?product=resale")
    assert {row["status"] for row in orders} == {"expired", "cancelled"}
    for query in ("market=primary", "status=nothing"):
        assert_refused(world.operator("GET", f"/operator/resales?{query}"), 400, "VALIDATION_ERROR")


def test_why_a_rule_took_a_listing_and_others_did_not(world: DealsWorld) -> None:
    passed = world.ask("POST", RULES, {**RULE, "name": "many", "min_offer_quantity": 9, "priority": 1}).json()
    paused = world.ask("POST", RULES, {**RULE, "name": "paused", "status": 1, "priority": 2}).json()
    dear = world.ask("POST", RULES, {**RULE, "name": "cheap", "rule_type": 2, "above_percent": 0, "priority": 3}).json()
    taker = world.ask("POST", RULES, RULE).json()
    world.active_deal(price_amount=2.5)
    (listing,) = shown(world, "/resales")
    decision = listing["decision"]
    assert (decision["ruleId"], decision["action"]) == (taker["id"], "accept")
    assert decision["verdicts"] == [
        {"ruleId": passed["id"], "name": "many", "said": "3 is less than 9"},
        {"ruleId": dear["id"], "name": "cheap", "said": "the price 2.5 is above 2"},
        {"ruleId": taker["id"], "name": "any", "said": "accept"},
    ]
    assert paused["status"] == 1
    assert shown(world, "/resale-decisions") == [decision]
    assert shown(world, f"/resales/{decision['orderId']}")["decision"] == decision


def test_what_is_no_listing(world: DealsWorld) -> None:
    for wrong in ("x", str(uuid4()), T, "6" * 24):
        assert_refused(world.operator("GET", f"/operator/resales/{wrong}"), 404, "ORDER_NOT_FOUND")


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_jobs_by_kind_state_and_order(world: DealsWorld) -> None:
    transaction_id = world.sold()
    send(world)
    assert {job["kind"] for job in shown(world, "/jobs")} == {"send", "list"}
    world.run_workers()
    (listed,) = shown(world, "/jobs?kind=list")
    assert (listed["compactId"], listed["state"], listed["caller"]) == (transaction_id, "completed", listed["caller"])
    assert listed["hash"].startswith("0x")
    assert shown(world, f"/jobs?orderId={listed['orderId']}") == [listed]
    assert len(shown(world, "/jobs?state=completed")) == 2
    assert len(shown(world, "/jobs?state=completed&limit=1")) == 1
    assert shown(world, "/jobs?state=failed") == []
    for query in ("kind=other", "state=other", "orderId=x"):
        assert_refused(world.operator("GET", f"/operator/jobs?{query}"), 400, "VALIDATION_ERROR")
    for wrong in ("x", str(uuid4()), "6" * 24):
        assert_refused(world.operator("GET", f"/operator/jobs/{wrong}"), 404, "JOB_NOT_FOUND")
        assert_refused(world.operator("POST", f"/operator/jobs/{wrong}/retry"), 404, "JOB_NOT_FOUND")
        failed = world.operator("POST", f"/operator/jobs/{wrong}/fail", {"reason": "r"})
        assert_refused(failed, 404, "JOB_NOT_FOUND")


def test_a_job_that_rests_is_asked_for_at_once(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    transaction_id = world.sold()
    world.run_workers()
    resting = job_of(world, transaction_id)
    assert (resting["state"], resting["attempts"] >= 1) == ("started", True)
    assert resting["restingUntil"] is not None
    world.fault("chain", "up")
    answer = act(world, resting, "retry")
    assert answer.status_code == 200
    assert answer.json()["data"]["id"] == resting["id"]
    world.run_workers()
    assert job_of(world, transaction_id)["state"] == "completed"
    assert_refused(act(world, resting, "retry"), 409, "INVALID_STATE")


def test_a_stuck_job_is_failed_and_gives_back_what_it_held(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    transaction_id = world.sold()
    world.run_workers()
    assert world.quantities() == (10, 7, 3)
    told = failed_by_hand(world, transaction_id, "the chain is gone")
    assert told["state"] == "failed"
    assert told["error"].startswith("the chain is gone (")
    assert world.quantities() == (10, 10, 0)
    assert (world.transaction(transaction_id)["status"], world.deals()) == (4, [])
    world.fault("chain", "up")
    world.run_workers()
    assert (world.transaction(transaction_id)["status"], world.deals()) == (4, [])
    assert_refused(act(world, told, "fail", {"reason": "again"}), 409, "INVALID_STATE")
    assert_refused(act(world, told, "retry"), 409, "INVALID_STATE")


def test_a_job_that_the_chain_may_have_taken_is_not_failed(world: DealsWorld) -> None:
    world.fault("chain", "unknown")
    transaction_id = world.sold()
    world.run_workers()
    job = job_of(world, transaction_id)
    assert_refused(act(world, job, "fail", {"reason": "it takes long"}), 409, "JOB_IN_PROGRESS")
    assert (job_of(world, transaction_id)["state"], world.quantities()) == ("started", (10, 7, 3))
    world.fault("chain", "up")
    world.run_workers()
    assert (job_of(world, transaction_id)["state"], len(world.deals())) == ("completed", 1)


def test_a_withdrawal_that_is_failed_leaves_the_listing_active(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    world.fault("chain", "unavailable")
    transaction_id = world.cancel(deal_id).json()["transaction_id"]
    world.run_workers()
    assert shown(world, "/resales")[0]["status"] == "withdrawing"
    failed_by_hand(world, transaction_id)
    assert (shown(world, "/resales")[0]["status"], world.quantities()) == ("active", (10, 7, 3))


def test_a_purchase_that_is_failed_gives_both_sides_back(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    path = f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-primary-market"
    transaction_id = world.ask("POST", path, {"quantity": 4}).json()["transaction_id"]
    failed_by_hand(world, transaction_id)
    world.fault("chain", "up")
    world.run_workers()
    assert world.quantities(U2) == (0, 0, 0)
    assert world.read(f"/v2/admin/tokens/{T}")["metrics"]["available_supply"] == 990


def test_what_follows_the_books_and_was_refused_is_made_by_another_job_once(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    send(world)
    world.run_workers()
    (failed,) = shown(world, "/jobs?kind=send")
    assert (failed["state"], failed["tries"]) == ("failed", 1)
    assert shown(world, "/jobs?retryable=true") == shown(world, "/jobs?retryable=false") == [failed]
    assert_refused(world.operator("GET", "/operator/jobs?retryable=x"), 400, "VALIDATION_ERROR")
    world.fault("chain", "unavailable")
    answer = act(world, failed, "retry")
    assert answer.status_code == 200, answer.text
    world.fault("chain", "up")
    assert shown(world, "/jobs?retryable=true") == []
    again = answer.json()["data"]
    assert (again["state"], again["tries"], again["kind"]) == ("started", 2, "send")
    assert again["reference"] not in {failed["reference"], ""}
    moved = ("sourceAccountId", "destinationAccountId", "asset", "amount", "orderId", "instrumentId")
    assert [again[name] for name in moved] == [failed[name] for name in moved]
    assert_refused(act(world, failed, "retry"), 409, "INVALID_STATE")
    world.run_workers()
    assert {job["id"]: job["state"] for job in shown(world, "/jobs?kind=send")} == {
        failed["id"]: "failed",
        again["id"]: "completed",
    }


def test_a_refused_listing_is_not_asked_for_anew_by_the_operator(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    transaction_id = world.sold()
    world.run_workers()
    assert_refused(act(world, job_of(world, transaction_id), "retry"), 409, "INVALID_STATE")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 301}, {"reason": "a\0b"}])
def test_a_job_is_failed_for_a_reason(world: DealsWorld, body: dict[str, str]) -> None:
    world.fault("chain", "unavailable")
    transaction_id = world.sold()
    assert_refused(act(world, job_of(world, transaction_id), "fail", body), 400, "VALIDATION_ERROR")


# -- contracts and fees ------------------------------------------------------------------------------------------------


def test_currencies_and_instruments_are_listed_and_their_contracts_recorded(world: DealsWorld) -> None:
    (currency,) = shown(world, "/resale-currencies")
    (instrument,) = shown(world, "/resale-instruments")
    assert (currency["compactId"], currency["status"]) == (C, "deployed")
    assert (instrument["compactId"], instrument["status"], instrument["price"]) == (T, "listed", "2")
    path = f"/operator/resale-currencies/{currency['id']}"
    body = {"status": "error", "address": "0xdead", "hash": "0xbeef"}
    told = world.operator("PUT", path, body).json()["data"]
    assert (told["status"], told["address"], told["hash"]) == ("error", "0xdead", "0xbeef")
    assert world.sell().status_code == 400
    told = world.operator("PUT", path, {"status": "deployed"}).json()["data"]
    assert (told["status"], told["address"]) == ("deployed", "0xdead")
    assert world.sell().status_code == 200
    path = f"/operator/resale-instruments/{T}"
    assert world.operator("PUT", path, {"status": "passive"}).json()["data"]["status"] == "passive"
    assert world.sell().status_code == 422
    for body in ({"status": "burning"}, {}, {"status": "listed", "address": ""}):
        assert_refused(world.operator("PUT", path, body), 400, "VALIDATION_ERROR")
    for what, code in (("currencies", "CURRENCY_NOT_FOUND"), ("instruments", "INSTRUMENT_NOT_FOUND")):
        status = "deployed" if what == "currencies" else "listed"
        for wrong in ("x", str(uuid4()), str(parse_compact_id("6" * 24))):
            answer = world.operator("PUT", f"/operator/resale-{what}/{wrong}", {"status": status})
            assert_refused(answer, 404, code)


def test_the_desks_fees(world: DealsWorld) -> None:
    assert shown(world, "/resale-fees") == {
        "otcPercent": "0",
        "secondaryPercent": "0",
        "primaryPercent": "0",
        "validitySeconds": 31 * 86_400,
        "verifiesParties": False,
    }
    fees = {"otcPercent": "1.50", "secondaryPercent": "49.999999", "primaryPercent": "0"}
    assert world.operator("PUT", "/operator/resale-fees", fees).status_code == 200
    assert shown(world, "/resale-fees")["otcPercent"] == "1.5"
    for wrong in ("50", "-1", "1e1", "1.0000001", "x", ""):
        answer = world.operator("PUT", "/operator/resale-fees", {**fees, "otcPercent": wrong})
        assert_refused(answer, 400, "VALIDATION_ERROR")
    assert shown(world, "/resale-fees")["otcPercent"] == "1.5"


def test_nobody_else_asks_as_the_operator(world: DealsWorld) -> None:
    for path in ("/operator/resales", "/operator/jobs", "/operator/resale-fees"):
        headers = {"Authorization": f"Bearer {world.bearer(READER)}"}
        assert world.server.http.get(path, headers=headers).status_code == 401
        assert world.server.http.get(path).status_code == 401


def test_a_job_of_another_world_is_not_found(world: DealsWorld, server: DeskServer) -> None:
    other = DealsWorld(server)
    transaction_id = other.sold()
    assert_refused(world.operator("GET", f"/operator/jobs/{transaction_id}"), 404, "JOB_NOT_FOUND")
    failed = world.operator("POST", f"/operator/jobs/{transaction_id}/fail", {"reason": "r"})
    assert_refused(failed, 404, "JOB_NOT_FOUND")
