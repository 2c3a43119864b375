"""How each dialect says that its caller is frozen or at its limit, and the operator's routes that make it so.

None of the contracts has a page about either; the answers are our reading of the words that each of them has.
"""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.contract.test_deals_extension import Negotiation
from tests.support import deals, offers, ramp
from tests.support.brokerage import P
from tests.support.deals import DealsWorld
from tests.support.desk import A, B
from tests.support.four_eyes import GUARDED_WORLD
from tests.support.hosted import opened, opening
from tests.support.offers import OffersWorld
from tests.support.payouts import B1
from tests.support.ramp import RampWorld
from tests.support.served import NewWorld, assert_books_sound
from tests.support.server import DeskServer, World, assert_refused
from tests.support.trading import ESTATE, U2

OPERATOR = "/operator"
NOBODY = "00000000-0000-4000-8000-000000000007"
NO_BOUND: dict[str, Any] = {"perOrder": None, "perDay": None, "perMonth": None, "reason": "risk"}


def shown(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def tenants(world: World) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in shown(world.operator("GET", f"{OPERATOR}/tenants"))}


def freeze(world: World, tenant_id: UUID, verb: str = "freeze") -> dict[str, Any]:
    answer = world.operator("POST", f"{OPERATOR}/tenants/{tenant_id}/{verb}", {"reason": "as ordered"})
    frozen: dict[str, Any] = shown(answer)
    return frozen


def limit(world: World, subject_id: UUID, asset: str, **bounds: str) -> dict[str, Any]:
    answer = world.operator("PUT", f"{OPERATOR}/limits/{subject_id}/{asset}", {**NO_BOUND, **bounds})
    kept: dict[str, Any] = shown(answer)
    return kept


# -- exchanges ---------------------------------------------------------------------------------------------------------


def test_exchanges_a_frozen_customer_starts_nothing_reads_on_and_ends_what_it_began(world: World) -> None:
    first, second, key = world.buy(), world.buy(), str(uuid4())
    waiting = world.confirmed_sell()
    told = world.confirm(first, idempotency=key)
    assert freeze(world, A)["frozen"] is True
    assert_refused(world.post("/quote", world.buy_body()), 403, "FORBIDDEN")
    assert_refused(world.post("/quote", world.sell_body()), 403, "FORBIDDEN")
    again = str(uuid4())
    refused = world.confirm(second, idempotency=again)
    assert_refused(refused, 403, "FORBIDDEN")
    assert refused.json()["error"]["message"] == "This account is frozen: nothing new can be started."
    assert world.confirm(first, idempotency=key).json() == told.json()
    assert world.status(second) == "quoted"
    assert world.get().status_code == 200
    assert world.approve(waiting, "0.9195").json()["data"]["status"] == "completed"
    assert world.post(f"/{second}/cancel").status_code == 200
    assert freeze(world, A, "unfreeze")["frozen"] is False
    third = world.buy()
    assert world.confirm(third, idempotency=again).status_code == 201
    assert_books_sound(world)


def test_exchanges_other_customers_are_not_frozen(world: World) -> None:
    freeze(world, B)
    assert world.confirm(world.buy()).status_code == 201


def test_exchanges_a_limit_refuses_the_confirm_and_its_key_says_so_again(world: World) -> None:
    kept = limit(world, A, "EUR", perOrder="3000", perDay="4000.00")
    assert (kept["perOrder"], kept["perDay"], kept["perMonth"], kept["dayUsed"]) == ("3000.00", "4000.00", None, "0.00")
    assert_refused(world.post("/quote", world.buy_body("3000.01")), 422, "LIMIT_EXCEEDED")
    world.confirmed_buy("2500.00")
    order_id, key = world.buy("1500.01"), str(uuid4())
    refused = world.confirm(order_id, idempotency=key)
    assert_refused(refused, 422, "LIMIT_EXCEEDED")
    assert refused.json()["error"]["message"] == "Of what may be ordered in a day, 1500.00 EUR is left."
    limit(world, A, "EUR")
    assert world.confirm(order_id, idempotency=key).json() == refused.json()
    assert world.confirm(order_id).status_code == 201
    (row,) = shown(world.operator("GET", f"{OPERATOR}/limits"))
    assert (row["dayUsed"], row["monthUsed"]) == ("4000.01", "4000.01")
    assert_books_sound(world)


# -- offers ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def brokerage(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


def test_offers_a_frozen_partner_is_forbidden_to_trade(brokerage: OffersWorld) -> None:
    made = brokerage.offer()
    freeze(brokerage, P)
    for version in ("v1", "v2"):
        offers.assert_error(brokerage.create(version=version), 403, "forbidden")
    offers.assert_error(brokerage.accept(made["id"], "ext-frozen"), 403, "forbidden")
    assert brokerage.offer_status(made["id"])["status"] == "created"
    freeze(brokerage, P, "unfreeze")
    assert brokerage.accept(made["id"], "ext-frozen").status_code == 200
    freeze(brokerage, P)
    assert brokerage.accept(made["id"], "ext-frozen").status_code == 200
    assert_books_sound(brokerage)


@pytest.mark.parametrize("of", ["partner", "user"])
def test_offers_a_limit_is_a_failure_that_is_known_at_once(brokerage: OffersWorld, of: str) -> None:
    subject = P if of == "partner" else UUID(brokerage.users["U"])
    limit(brokerage, subject, "EUR", perOrder="150.00", perDay="150.00")
    exceeded = "user.transaction.limit.exceeded"
    offers.assert_error(brokerage.create(amount="150.01"), 422, exceeded)
    brokerage.traded()
    made = brokerage.offer()
    offers.assert_error(brokerage.accept(made["id"], "ext-limit"), 422, exceeded)
    refused = brokerage.accept(made["id"], "ext-limit")
    offers.assert_error(refused, 422, exceeded)
    assert refused.json()["errors"][0]["title"] == "Of what may be ordered in a day, 50.00 EUR is left."
    limit(brokerage, subject, "EUR", perDay="200.00")
    assert brokerage.accept(made["id"], "ext-limit").status_code == 200
    assert_books_sound(brokerage)


def test_offers_a_frozen_user_is_inactive(brokerage: OffersWorld) -> None:
    user_id = brokerage.users["U"]
    frozen = shown(brokerage.operator("POST", f"{OPERATOR}/parties/{user_id}/freeze", {"reason": "as ordered"}))
    assert (frozen["status"], frozen["frozen"]) == ("inactive", True)
    offers.assert_error(brokerage.create(), 403, "user.inactive")
    thawed = shown(brokerage.operator("POST", f"{OPERATOR}/parties/{user_id}/unfreeze", {"reason": "cleared"}))
    assert (thawed["status"], thawed["frozen"]) == ("active", False)
    assert brokerage.create().status_code == 201


# -- ramp --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def payouts(server: DeskServer) -> RampWorld:
    return RampWorld(server)


def test_ramp_a_frozen_business_is_suspended(payouts: RampWorld) -> None:
    session = payouts.session()["FormSessionID"]
    sold = payouts.sell(session, Nonce="before")
    freeze(payouts, B1)
    for refused in (payouts.prepare(), payouts.sell(session, Nonce="after")):
        body = ramp.assert_error(refused, 401, "Forbidden")
        assert body["Extensions"]["Features"] == {"Business": ["Suspended"]}
    assert payouts.sell(session, Nonce="before").json()["Transaction"]["ID"] == sold.json()["Transaction"]["ID"]
    payouts.finish(sold.json()["Transaction"]["ID"])
    assert payouts.transaction(sold.json()["Transaction"]["ID"])["Status"] == "Settled"
    assert_books_sound(payouts)


def test_ramp_a_limit_is_an_amount_that_is_not_valid(payouts: RampWorld) -> None:
    limit(payouts, B1, "USDC", perOrder="110.326087", perMonth="200")
    ramp.assert_error(payouts.prepare(FiatAmount="100.01"), 400, "InvalidMessage", "FiatAmount")
    payouts.sold()
    body = ramp.assert_error(payouts.sell(Nonce=uuid4().hex), 400, "InvalidMessage", "FiatAmount")
    assert body["Detail"] == "Of what may be ordered in a month, 89.673913 USDC is left."
    assert_books_sound(payouts)


def test_ramp_the_page_of_a_frozen_business_says_so_and_can_be_left(payouts: RampWorld) -> None:
    hosted = opened(payouts)
    freeze(payouts, B1)
    refused = hosted.confirm()
    assert refused.status_code == 409
    assert "cannot take or make payments at the moment. Nothing was paid." in refused.text
    ramp.assert_error(payouts.post("/v1/checkout/payout/fiat", opening()), 401, "Forbidden")
    page = hosted.page()
    assert hosted.send({**page.hidden, "action": "cancel"}).status_code == 303


def test_ramp_the_page_says_that_the_payment_is_too_large_now(payouts: RampWorld) -> None:
    hosted = opened(payouts)
    limit(payouts, B1, "USDC", perDay="1")
    refused = hosted.confirm()
    assert refused.status_code == 409
    assert "cannot make a payment of this size now. Nothing was paid." in refused.text
    assert "1.000000" not in refused.text
    limit(payouts, B1, "USDC")
    assert hosted.confirm().status_code == 303


# -- deals -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def estate(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


FROZEN = (403, "Access denied", "This account is frozen: nothing new can be started.")


def buy(world: DealsWorld, quantity: int) -> httpx.Response:
    path = f"/v2/users/purchases/users/{deals.U2}/tokens/{deals.T}/buy-on-primary-market"
    return world.ask("POST", path, {"quantity": quantity})


def test_deals_a_frozen_tenant_is_denied_access_and_may_cancel(estate: DealsWorld) -> None:
    deal_id = estate.active_deal()
    freeze(estate, ESTATE)
    deals.assert_error(estate.sell(), *FROZEN)
    deals.assert_error(buy(estate, 1), *FROZEN)
    assert estate.deals()
    assert estate.cancel(deal_id).status_code == 200
    assert_books_sound(estate)


def accepted(world: DealsWorld, counter_id: str) -> httpx.Response:
    path = f"/v2/users/otcs/users/{deals.U1}/tokens/{deals.T}/counters/{counter_id}/accept"
    return world.ask("POST", path)


@pytest.mark.parametrize("subject_id", [ESTATE, U2], ids=["tenant", "user"])
def test_deals_a_limit_makes_a_purchase_impossible(estate: DealsWorld, subject_id: UUID) -> None:
    limit(estate, subject_id, "VUSD", perDay="4")
    assert buy(estate, 2).status_code == 200
    deals.assert_error(
        buy(estate, 1), 422, "Purchase not possible", "Of what may be ordered in a day, 0.000000 VUSD is left."
    )
    assert_books_sound(estate)


def test_deals_a_limit_lets_a_counter_be_neither_made_nor_accepted(server: DeskServer) -> None:
    estate = Negotiation(server)
    deal_id = estate.active_deal(quantity=4)
    limit(estate, U2, "VUSD", perOrder="3", perDay="4")
    deals.assert_error(
        estate.counter(deal_id, 2, 2), 422, "Counter not possible", "One order may be of at most 3.000000 VUSD."
    )
    first, second = estate.countered(deal_id, 2, 1.5), estate.countered(deal_id, 2, 1.5)
    assert accepted(estate, first).status_code == 200
    deals.assert_error(
        accepted(estate, second),
        422,
        "Counter cannot be accepted",
        "Whoever made this counter may not buy as much now.",
    )
    frozen = estate.operator("POST", f"{OPERATOR}/parties/{U2}/freeze", {"reason": "as ordered"})
    assert shown(frozen)["status"] == "inactive"
    deals.assert_error(accepted(estate, second), 403, "Access denied", "Whoever made this counter is not active.")
    deals.assert_error(estate.counter(deal_id, 2, 1), 403, "Access denied", "User is not active")


# -- the operator's routes ---------------------------------------------------------------------------------------------


def test_tenants_are_listed_with_how_they_stand(world: World) -> None:
    limit(world, A, "EUR", perDay="1")
    freeze(world, B)
    listed = tenants(world)
    assert [(row["status"], row["frozen"], row["limited"]) for row in (listed[str(A)], listed[str(B)])] == [
        ("active", False, True),
        ("suspended", True, False),
    ]
    page = world.operator("GET", f"{OPERATOR}/tenants?limit=1&page=2").json()
    assert (len(page["data"]), page["meta"]["pagination"]["total"]) == (1, 2)


def test_what_there_is_not_is_not_found(world: World) -> None:
    reason = {"reason": "why not"}
    spread = {"bps": 1, **reason}
    for method, path, body, word in (
        ("POST", f"tenants/{NOBODY}/freeze", reason, "TENANT_NOT_FOUND"),
        ("POST", f"parties/{A}/freeze", reason, "USER_NOT_FOUND"),
        ("POST", "parties/none/unfreeze", reason, "USER_NOT_FOUND"),
        ("PUT", f"limits/{NOBODY}/EUR", NO_BOUND, "LIMIT_SUBJECT_NOT_FOUND"),
        ("PUT", f"limits/{A}/XXX", NO_BOUND, "ASSET_NOT_FOUND"),
        ("PUT", f"spreads/{NOBODY}/EUR/USDC", spread, "TENANT_NOT_FOUND"),
        ("PUT", f"spreads/{A}/EUR/EUR", spread, "SPREAD_NOT_FOUND"),
    ):
        assert_refused(world.operator(method, f"{OPERATOR}/{path}", body), 404, word)


@pytest.mark.parametrize(
    "body",
    [
        {**NO_BOUND, "perDay": "1.001"},
        {**NO_BOUND, "perDay": "-1"},
        {**NO_BOUND, "perDay": 1},
        {**NO_BOUND, "perDay": "1" * 41},
        {**NO_BOUND, "reason": ""},
        {"perDay": "1", "reason": "all of it is said"},
    ],
    ids=["too fine", "negative", "number", "too large", "no reason", "not all"],
)
def test_limits_are_told_in_full_as_decimals_with_a_reason(world: World, body: dict[str, Any]) -> None:
    assert_refused(world.operator("PUT", f"{OPERATOR}/limits/{A}/EUR", body), 400, "VALIDATION_ERROR")
    assert shown(world.operator("GET", f"{OPERATOR}/limits")) == []


def test_limits_are_listed_of_one_or_of_all(world: World) -> None:
    for tenant_id in (A, B):
        limit(world, tenant_id, "EUR", perDay="1")
    assert len(shown(world.operator("GET", f"{OPERATOR}/limits"))) == 2
    (row,) = shown(world.operator("GET", f"{OPERATOR}/limits?subject={B}"))
    assert row["subjectId"] == str(B)
    assert_refused(world.operator("GET", f"{OPERATOR}/limits?subject=none"), 400, "VALIDATION_ERROR")


def test_a_spread_is_set_at_once_and_from_a_time_on(world: World) -> None:
    path = f"{OPERATOR}/spreads/{A}/EUR/USDC"
    told = shown(world.operator("PUT", path, {"bps": 100, "reason": "agreed"}))
    assert (told["bps"], told["nextBps"], told["nextFrom"]) == (100, None, None)
    assert world.order(world.buy("100.00"))["rate"] == "1.073358"
    ahead = shown(world.operator("PUT", path, {"bps": 50, "effectiveFrom": "2990-01-01T00:00:00Z", "reason": "agreed"}))
    assert (ahead["bps"], ahead["nextBps"], ahead["nextFrom"]) == (100, 50, "2990-01-01T00:00:00.000Z")
    listed = shown(world.operator("GET", f"{OPERATOR}/spreads"))
    assert [row for row in listed if row["tenantId"] == str(A) and row["source"] == "EUR"] == [ahead]
    for body in (
        {"bps": 1, "effectiveFrom": "2001-01-01T00:00:00Z", "reason": "too late"},
        {"bps": 1, "effectiveFrom": "2990-01-01T00:00:00", "reason": "no zone"},
        {"bps": 10_000, "reason": "all of it"},
    ):
        assert_refused(world.operator("PUT", path, body), 400, "VALIDATION_ERROR")


def test_what_one_person_may_not_change_alone_is_accepted_and_waits(new_world: NewWorld) -> None:
    world = new_world(world=GUARDED_WORLD)
    limit(world, A, "EUR", perDay="100.00")
    raised = world.operator("PUT", f"{OPERATOR}/limits/{A}/EUR", {**NO_BOUND, "perDay": "200.00"})
    waits = shown(raised, 202)
    assert (waits["perDay"], waits["proposal"]["state"], waits["proposal"]["verb"]) == ("100.00", "open", "set_limit")
    again = world.operator("PUT", f"{OPERATOR}/limits/{A}/EUR", {**NO_BOUND, "perDay": "300.00"})
    assert_refused(again, 409, "PROPOSAL_OPEN")
    path = f"{OPERATOR}/spreads/{A}/EUR/USDC"
    spread = shown(world.operator("PUT", path, {"bps": 51, "reason": "agreed"}), 202)
    assert (spread["bps"], spread["proposal"]["verb"]) == (0, "set_spread")


def test_customers_may_not_call_these_routes(world: World) -> None:
    for path in ("tenants", "limits", "spreads"):
        assert_refused(world.call("GET", f"{OPERATOR}/{path}"), 403, "INSUFFICIENT_SCOPE")
