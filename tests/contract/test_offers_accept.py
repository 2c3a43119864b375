"""Accepting offers (offers contract 3.3, 4): the order of its checks, repeats, v1 beside v2, and hostile requests."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.offers import OK_BUY, SELL, SHARE, OffersWorld, P, Q, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once, wait_until

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


def set_user(world: OffersWorld, user: str, status: str) -> None:
    """Change a user's standing."""
    path = f"/operator/users/{world.users[user]}"
    tax_bps = world.operator("GET", path).json()["data"]["taxBps"]
    assert world.operator("PUT", path, {"status": status, "taxBps": tax_bps}).status_code == 200


# -- the order of checks (contract 4) ----------------------------------------------------------------------------------
#
# Each hindrance is one that a request may meet, with the answer that it leads to; of two that meet the same request the
# earlier one answers.


class Case:
    """A request to accept a fresh offer, which hindrances change."""

    def __init__(self, world: OffersWorld) -> None:
        self.world = world
        self.partner: str | None = P
        self.user = "U"
        self.external_id: str | None = "ext-new"
        self.offer_id: str = world.offer()["id"]
        self.later: list[Callable[[], None]] = []

    def send(self) -> httpx.Response:
        for change in self.later:
            change()
        return self.world.accept(self.offer_id, self.external_id, self.user, partner=self.partner)


def no_bearer(case: Case) -> None:
    case.partner = None


def no_external_id(case: Case) -> None:
    case.external_id = None


def malformed_user(case: Case) -> None:
    case.user = "not-a-uuid"


def inactive(case: Case) -> None:
    case.later.append(lambda: set_user(case.world, "U", "inactive"))


def unknown_offer(case: Case) -> None:
    case.offer_id = UNKNOWN


def taken_external_id(case: Case) -> None:
    """Used for another offer, of another user, so that this one stays the newest of its own."""
    case.external_id = "ext-taken"
    case.world.traded("V", external_id="ext-taken")


def accepted_before(case: Case) -> None:
    assert case.world.accept(case.offer_id, version="v1").status_code == 200


def accepted_under_another(case: Case) -> None:
    assert case.world.accept(case.offer_id, "ext-other").status_code == 200


def expired(case: Case) -> None:
    case.later.append(lambda: case.world.advance(seconds=60))


def superseded(case: Case) -> None:
    case.world.offer()


STEPS: list[tuple[Callable[[Case], None], int, str]] = [
    (no_bearer, 401, "unauthorized"),
    (malformed_user, 422, "validation.bp-user-id"),
    (no_external_id, 422, "validation.external_transaction_id"),
    (inactive, 403, "user.inactive"),
    (unknown_offer, 410, "offer.gone"),
    (taken_external_id, 406, "external.transaction.exists"),
    (accepted_under_another, 406, "offer.external.transaction.mismatch"),
    (accepted_before, 409, "offer.already.accepted"),
    (expired, 410, "offer.gone"),
    (superseded, 409, "offer.superseded"),
]

#: What cannot be true of one request at once.
_EXCLUDE = [
    {accepted_under_another, accepted_before},
    {taken_external_id, no_external_id},
    {unknown_offer, accepted_before},
    {unknown_offer, accepted_under_another},
    {unknown_offer, expired},
    {unknown_offer, superseded},
    {accepted_before, expired},
    {accepted_under_another, expired},
    {accepted_before, superseded},
    {accepted_under_another, superseded},
]
PAIRS = [
    (one, other)
    for place, one in enumerate(STEPS)
    for other in STEPS[place + 1 :]
    if {one[0], other[0]} not in _EXCLUDE
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0].__name__)
def test_each_hindrance_alone(world: OffersWorld, step: tuple[Callable[[Case], None], int, str]) -> None:
    case = Case(world)
    hinder, status, code = step
    hinder(case)
    assert_error(case.send(), status, code)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0][0].__name__}, {pair[1][0].__name__}")
def test_of_two_hindrances_the_earlier_one_answers(world: OffersWorld, pair: Any) -> None:
    case = Case(world)
    (earlier, status, code), (later, _, _) = pair
    later(case)
    earlier(case)
    assert_error(case.send(), status, code)


def test_what_is_refused_binds_no_external_id(world: OffersWorld) -> None:
    older, newer = world.offer(), world.offer()
    assert_error(world.accept(older["id"], "ext-1"), 409, "offer.superseded")
    assert_error(world.accept(UNKNOWN, "ext-1"), 410, "offer.gone")
    assert_error(world.accept(newer["id"], "ext-1", "V"), 410, "offer.gone")
    assert world.accept(newer["id"], "ext-1").status_code == 200
    assert_error(world.accept(newer["id"], "ext-2"), 406, "offer.external.transaction.mismatch")
    assert world.traded(external_id="ext-2")


def test_a_retry_learns_the_outcome_though_the_user_is_inactive_by_now(world: OffersWorld) -> None:
    trade = world.offer()
    first = world.accept(trade["id"], "ext-1")
    set_user(world, "U", "inactive")
    again = world.accept(trade["id"], "ext-1")
    assert (again.status_code, again.content) == (200, first.content)
    assert_error(world.accept(trade["id"], "ext-2"), 403, "user.inactive")
    assert_error(world.ask("GET", f"/v1/offer-status/{trade['id']}", user="U"), 403, "user.inactive")


# -- users and partners do not meet ------------------------------------------------------------------------------------


def test_anothers_offer_looks_as_if_it_did_not_exist(world: OffersWorld) -> None:
    made = world.offer("U")
    assert_error(world.accept(made["id"], "ext-1", "V"), 410, "offer.gone")
    assert_error(world.accept(made["id"], "ext-1", "W", partner=Q), 410, "offer.gone")
    assert_error(world.accept(made["id"], "ext-1", "U", partner=Q), 410, "offer.gone")
    assert world.offer_status(made["id"]) == {"status": "created"}
    for user, partner in (("V", P), ("W", Q), ("U", Q)):
        answer = world.ask("GET", f"/v1/offer-status/{made['id']}", user=user, partner=partner)
        assert_error(answer, 404, "offer.not_found")


def test_external_ids_are_a_partners_own(world: OffersWorld) -> None:
    world.traded("U", external_id="ext-1")
    trade = world.traded("W", external_id="ext-1", amount="10.00", how={"partner": Q})
    assert trade["total_amount"] == "10.00"


def test_the_same_external_id_for_another_users_offer(world: OffersWorld) -> None:
    world.traded("U", external_id="ext-1")
    assert_error(world.accept(world.offer("V")["id"], "ext-1", "V"), 406, "external.transaction.exists")


def test_an_external_id_stays_used_forever(world: OffersWorld) -> None:
    world.traded(external_id="ext-1")
    world.advance(seconds=10 * 365 * 86_400)
    assert_error(world.accept(world.offer()["id"], "ext-1"), 406, "external.transaction.exists")


def test_newer_offers_of_others_supersede_nothing(world: OffersWorld) -> None:
    made = world.offer("U")
    world.offer("V")
    world.offer("W", amount="10.00", how={"partner": Q})
    assert world.accept(made["id"], "ext-1").status_code == 200


def test_newer_offers_in_other_assets_and_directions_supersede(world: OffersWorld) -> None:
    older = world.offer()
    world.offer(**SELL)
    assert_error(world.accept(older["id"], "ext-1"), 409, "offer.superseded")


# -- v1 beside v2 ------------------------------------------------------------------------------------------------------


def test_v1_with_an_external_id_binds_it(world: OffersWorld) -> None:
    made = world.offer()
    first = world.accept(made["id"], "ext-1", version="v1")
    assert first.status_code == 200
    assert_error(world.accept(made["id"], "ext-1", version="v1"), 409, "offer.already.accepted")
    again = world.accept(made["id"], "ext-1")
    assert (again.status_code, again.content) == (200, first.content)
    assert_error(world.accept(made["id"], "ext-2"), 406, "offer.external.transaction.mismatch")
    assert_error(world.accept(world.offer()["id"], "ext-1", version="v1"), 406, "external.transaction.exists")


def test_a_second_v1_acceptance_is_409_whatever_the_id(world: OffersWorld) -> None:
    world.traded("V", external_id="taken")
    made = world.offer()
    assert_error(world.accept(made["id"], "taken", version="v1"), 406, "external.transaction.exists")
    assert world.accept(made["id"], "ext-1", version="v1").status_code == 200
    for external_id in ("ext-1", "ext-2", "taken", None):
        assert_error(world.accept(made["id"], external_id, version="v1"), 409, "offer.already.accepted")
    assert_error(world.accept(made["id"], "ext-2"), 406, "offer.external.transaction.mismatch")
    assert_error(world.accept(made["id"], "taken"), 406, "external.transaction.exists")


@pytest.mark.parametrize("blank", ["", "%20", "%00", "x" * 101])
def test_v1_with_an_external_id_that_is_none(world: OffersWorld, blank: str) -> None:
    path = f"/v1/offers/{world.offer()['id']}/accept?external_transaction_id={blank}"
    assert_error(world.ask("PATCH", path, user="U"), 422, "validation.external_transaction_id")


def test_v1_after_a_202_is_told_to_read_the_status(impatient: DeskServer) -> None:
    world = OffersWorld(impatient)
    world.fault("venue", "up", delay_ms=1_500)
    made = world.offer()
    assert world.accept(made["id"], version="v1").status_code == 202
    assert_error(world.accept(made["id"], version="v1"), 409, "offer.already.accepted")
    wait_until(lambda: world.offer_status(made["id"])["status"] == "finished", "it is finished")


def test_the_answer_names_assets_as_the_offer_did(world: OffersWorld) -> None:
    by_pid = world.offer(version="v2")
    assert (by_pid["asset_id"], by_pid["fiat_id"]) == (world.pid("assets", 1), world.pid("fiats", 1))
    trade = world.accept(by_pid["id"], "ext-1").json()["data"]
    assert (trade["asset_id"], trade["fiat_id"]) == (by_pid["asset_id"], by_pid["fiat_id"])
    by_number = world.offer(version="v1")
    trade = world.accept(by_number["id"], version="v1").json()["data"]
    assert (trade["asset_id"], trade["fiat_id"]) == (1, 1)


# -- what becomes of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason, key",
    [
        ("trading_disabled", "user.transaction.trading.disabled"),
        ("not_covered", "insufficient.wallet.balance"),
        ("venue_refused", "trade.execution.refused"),
    ],
)
def test_a_trade_that_fails_while_the_request_waits(world: OffersWorld, reason: str, key: str) -> None:
    world.steer("faults", rail="venue", mode="refuse", reason=reason)
    made = world.offer()
    assert_error(world.accept(made["id"], "ext-1"), 422, key)
    assert world.offer_status(made["id"]) == {"status": "failed", "errors": {"code": "422", "title": key}}
    assert_error(world.accept(made["id"], "ext-1"), 409, "offer.previously.failed")
    shown = world.data(world.ask("GET", f"/v2/trades/{made['id']}"))
    assert (shown["status"], shown["error"]["error_code"]) == ("failed", key)
    assert shown["error"]["error_message"]
    assert (shown["gross_fee"], shown["external_transaction_id"]) == ("0.00000000", "ext-1")
    assert_error(world.accept(world.offer()["id"], "ext-1"), 406, "external.transaction.exists")
    assert_books_sound(world)


def test_an_asset_that_is_switched_off_after_the_offer(world: OffersWorld) -> None:
    made = world.offer()
    assert world.operator("PUT", "/operator/listings/BTC", {"buyEnabled": False}).status_code == 200
    assert_error(world.accept(made["id"], "ext-1"), 422, "user.transaction.trading.disabled")
    assert_error(world.accept(made["id"], "ext-1"), 409, "offer.previously.failed")
    assert_error(world.create(), 422, "user.transaction.trading.disabled")


def test_money_that_is_gone_after_the_offer(world: OffersWorld) -> None:
    how = {"partner": Q}
    first = world.offer("W", amount="30.00", how=how)
    assert world.accept(first["id"], "ext-1", "W", **how).status_code == 200
    assert_error(world.create("W", amount="30.00", how=how), 409, "insufficient.funds")
    accounts = [row for row in world.accounts().values() if row["purpose"] == "corporate" and row["balance"] == "20.00"]
    second = world.offer("W", amount="20.00", how=how)
    assert world.book("withdrawals", accounts[0]["id"], "10.00").status_code == 201
    assert_error(world.accept(second["id"], "ext-2", "W", **how), 422, "insufficient.wallet.balance")
    assert world.offer_status(second["id"], "W", **how)["errors"]["title"] == "insufficient.wallet.balance"


def test_a_sale_with_tax_is_paid_net(world: OffersWorld) -> None:
    trade = world.traded(**SELL)
    assert (trade["total_amount"], trade["tax_amount"], trade["fiat_amount"]) == ("490.00", "23.40", "466.60")
    assert (trade["spread"], trade["fees_after_cost"]) == ("10.00000000", "9.75000000")
    assert world.balance("U") == "0.04000000"
    corporate = [row["balance"] for row in world.accounts().values() if row["purpose"] == "corporate"]
    assert "100466.60" in corporate
    assert_books_sound(world)


def test_what_an_outage_of_the_tax_provider_looks_like(world: OffersWorld) -> None:
    world.fault("tax", "unavailable")
    made = world.offer(**SELL)
    assert (made["tax_amount"], made["fiat_amount"]) == ("0.00", "490.00")
    warning = {
        "message": "Tax withholding provider is not available",
        "message_key": "tax.withholding.not.available",
        "helpdesk_article_id": "",
        "link_message": "",
        "link_message_key": "",
    }
    assert made["warning"] == [warning]
    assert world.accept(made["id"], "ext-1").json()["data"]["warning"] == [warning]
    assert world.offer()["warning"] == []  # a purchase is not taxed
    answer = world.ask("GET", "/v1/tax-status", user="U")
    assert_error(answer, 503, "service.unavailable")
    assert answer.json()["errors"][0]["title"] == "Nobody can tell now what is withheld of this user's gains."


def test_a_dividend_that_a_seller_is_warned_of(world: OffersWorld) -> None:
    assert world.operator("PUT", "/operator/listings/BTC", {"dividendPending": True}).status_code == 200
    (warning,) = world.offer(**SELL)["warning"]
    assert warning["message_key"] == "corporate.action.dividend.warning.message.sell"
    assert warning["link_message_key"] == "corporate.action.dividend.warning.link.message"
    assert all(isinstance(value, str) for value in warning.values())
    assert world.offer()["warning"] == []


def test_many_accept_the_same_at_once_under_many_ids(world: OffersWorld) -> None:
    made = world.offer()
    answers = at_once([partial(world.accept, made["id"], f"ext-{n}") for n in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] + [406] * 7
    assert len(world.rows("/v1/trades", user="U")) == 1


def test_one_id_for_many_offers_at_once(world: OffersWorld) -> None:
    users = ["U", "V"]
    offers = {user: world.offer(user)["id"] for user in users}
    answers = at_once([partial(world.accept, offers[user], "ext-1", user) for user in users])
    assert sorted(answer.status_code for answer in answers) == [200, 406]


# -- hostile requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offer_id", ["x", "1", "..", "%00", "{}", UNKNOWN.replace("-", ""), f"{{{UNKNOWN}}}", "é" * 36]
)
def test_offer_ids_that_are_none(world: OffersWorld, offer_id: str) -> None:
    answer = world.accept(offer_id, "ext-1")
    if offer_id == "..":
        assert_error(answer, 404, "not.found")
    else:
        assert_error(answer, 422, "validation.offer_id")
        assert_error(world.ask("GET", f"/v1/offer-status/{offer_id}", user="U"), 404, "offer.not_found")


@pytest.mark.parametrize(
    "external_id",
    [
        "x",
        "x" * 100,
        "é" * 100,
        "\U0001f600" * 100,
        "a b+c&d=e%f#g",
        "'; drop table orders; --",
        "\t1\n",
        "\ufeff",
        "null",
    ],
)
def test_external_ids_of_all_kinds(world: OffersWorld, external_id: str) -> None:
    trade = world.traded(external_id=external_id)
    (row,) = world.rows("/v1/trades/search", params={"external_transaction_id": external_id})
    assert (row["id"], row["external_transaction_id"]) == (trade["id"], external_id)


@pytest.mark.parametrize("query", ["x" * 101, "%00", "a%00b", "a&external_transaction_id=b"])
def test_external_ids_that_are_none(world: OffersWorld, query: str) -> None:
    path = f"/v2/offers/{world.offer()['id']}/accept?external_transaction_id={query}"
    assert_error(world.ask("PATCH", path, user="U"), 422, "validation.external_transaction_id")


def test_an_external_id_that_is_no_utf_8(world: OffersWorld) -> None:
    path = f"/v2/offers/{world.offer()['id']}/accept?external_transaction_id=%ff%fe"
    assert_error(world.ask("PATCH", path, user="U"), 422, "http.bad.request")


@pytest.mark.parametrize("user", ["", "x", "{}", "0", UNKNOWN.replace("-", ""), f"{UNKNOWN} x", "\u00e9" * 36])
def test_users_that_are_none(world: OffersWorld, user: str) -> None:
    headers = [(b"bp-user-id", user.encode("latin-1")), (b"authorization", f"Bearer {world.bearer()}".encode())]
    answer = world.server.http.post("/offers/v1/offers", json=OK_BUY, headers=headers)
    assert_error(answer, 422, "validation.bp-user-id")


def test_a_user_in_other_letters_is_the_same(world: OffersWorld) -> None:
    assert world.create(world.users["U"].upper()).status_code == 201


def test_a_user_of_nobody(world: OffersWorld) -> None:
    assert_error(world.create(str(uuid4())), 404, "user.not.found")
    assert_error(world.create(world.users["W"]), 404, "user.not.found")


def test_a_body_of_an_acceptance_is_not_looked_at(world: OffersWorld) -> None:
    made = world.offer()
    answer = world.accept(made["id"], "ext-1", content=b"\xff not json", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_other_methods(world: OffersWorld, method: str) -> None:
    answer = world.ask(method, f"/v2/offers/{world.offer()['id']}/accept", user="U")
    assert_error(answer, 405, "method.not.allowed")


def test_shares_are_traded_whole_and_need_their_own_terms(world: OffersWorld) -> None:
    whole: dict[str, Any] = {"asset_id": SHARE, "amount": "3", "amount_defined_for": "asset"}
    assert_error(world.create("U", **whole), 403, "user.terms.not.accepted")
    assert_error(world.create("V", **{**whole, "amount": "3.5"}), 422, "validation.amount")
    made = world.offer("V", **whole)
    assert (made["asset_amount"], made["asset_price"]) == ("3.00000000", "12.40170000")
    assert made["total_amount"] == "37.21"
