"""What partners need around offers (offers contract 3.6): users, terms, levels, listings, holdings, notices."""

from typing import Any
from uuid import uuid4

import pytest

from otcdesk.domain.world_brokerage import agreement_id, level_id
from tests.support.offers import SELL, OffersWorld, P, Q, assert_error, moment
from tests.support.server import DeskServer, at_once

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"
GENERAL, STOCKS, NEWS = (str(agreement_id(ref)) for ref in ("general-1", "stocks-1", "news-1"))


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


# -- users -------------------------------------------------------------------------------------------------------------


def test_a_user_is_made_accepts_terms_and_trades(world: OffersWorld) -> None:
    answer = world.ask("POST", "/v2/users", {"external_id": "ada"})
    assert answer.status_code == 201
    (user,) = answer.json()["data"].values()
    assert_error(world.create(user), 403, "user.terms.not.accepted")
    accepted = world.data(world.ask("POST", f"/v2/users/{user}/terms", {"terms": [GENERAL, NEWS, GENERAL]}))
    assert [row["id"] for row in accepted] == [GENERAL, NEWS]
    assert world.traded(user)["total_amount"] == "100.00"


def test_a_user_that_comes_with_everything(world: OffersWorld) -> None:
    body = {
        "external_id": "ada",
        "account_type": "business_user",
        "country": "DE",
        "account_level_id": str(level_id("vip")),
        "terms": [GENERAL],
        "email": "nobody asked for it",
    }
    user = world.data(world.ask("POST", "/v2/users", body))["id"]
    assert world.offer(user)["asset_price"] == "50250.00000000"
    assert [row["id"] for row in world.rows(f"/v1/users/{user}/terms")] == [GENERAL]


def test_an_external_id_is_taken_once_whatever_its_case_and_by_each_partner(world: OffersWorld) -> None:
    body = {"external_id": "Stra\u00dfe 1"}
    assert world.ask("POST", "/v2/users", body).status_code == 201
    for again in ("Stra\u00dfe 1", "STRASSE 1", "stra\u00dfe 1"):
        assert_error(world.ask("POST", "/v2/users", {"external_id": again}), 409, "user.external_id.exists")
    assert world.ask("POST", "/v2/users", body, partner=Q).status_code == 201
    answers = at_once([lambda: world.ask("POST", "/v2/users", {"external_id": "at once"})] * 6)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"external_id": None}, 422, "validation.external_id"),
        ({"external_id": ""}, 422, "validation.external_id"),
        ({"external_id": "  "}, 422, "validation.external_id"),
        ({"external_id": "x" * 101}, 422, "validation.external_id"),
        ({"external_id": "a\x00b"}, 422, "validation.external_id"),
        ({"external_id": 5}, 422, "validation.external_id"),
        ({"account_type": "robot"}, 422, "validation.account_type"),
        ({"country": "Italy"}, 422, "validation.country"),
        ({"country": "it"}, 422, "validation.country"),
        ({"country": "I\n"}, 422, "validation.country"),
        ({"terms": "x"}, 422, "validation.terms"),
        ({"terms": ["x"]}, 422, "validation.terms"),
        ({"terms": [GENERAL] * 101}, 422, "validation.terms"),
        ({"terms": [UNKNOWN]}, 404, "terms.not.found"),
        ({"account_level_id": "x"}, 422, "validation.account_level_id"),
        ({"account_level_id": UNKNOWN}, 404, "account.level.not.found"),
    ],
    ids=str,
)
def test_users_that_are_not_made(world: OffersWorld, change: dict[str, Any], status: int, code: str) -> None:
    assert_error(world.ask("POST", "/v2/users", {"external_id": "ada", **change}), status, code)


def test_a_body_that_is_no_json_is_400_here(world: OffersWorld) -> None:
    answer = world.ask("POST", "/v2/users", content=b"{", headers={"Content-Type": "application/json"})
    assert_error(answer, 400, "http.bad.request")


# -- terms -------------------------------------------------------------------------------------------------------------

MORE_TERMS = """
[[brokerage.agreements]]
ref = "general-2"
type = "general"
version = 2
url = "https://broker.example/terms/general-2"
effective_at = "2025-03-05T00:00:00Z"

[[brokerage.agreements]]
ref = "german"
type = "local"
url = "https://broker.example/terms/german"
country = "DE"

[[brokerage.agreements]]
ref = "business"
type = "business"
url = "https://broker.example/terms/business"
account_type = "business_user"
"""


@pytest.fixture
def termed(server: DeskServer) -> OffersWorld:
    """Give a world with terms of all kinds, on the eve of new ones."""
    text = OffersWorld.file().replace("\n[[tenants]]", MORE_TERMS + "\n[[tenants]]", 1)
    return OffersWorld(server, template=None, world=text, clock="2025-03-04T23:59:59Z")


def test_the_terms_that_count(termed: OffersWorld) -> None:
    def found(query: str = "", version: str = "v1") -> list[str]:
        return [row["id"] for row in termed.rows(f"/{version}/terms{query}")]

    german, business = str(agreement_id("german")), str(agreement_id("business"))
    assert found() == [GENERAL, STOCKS, NEWS, german, business]
    of = "?country={}&account_type={}"
    assert found(of.format("IT", "user"), "v2") == [GENERAL, STOCKS, NEWS]
    assert found(of.format("DE", "user"), "v2") == [GENERAL, STOCKS, NEWS, german]
    assert found(of.format("DE", "business_user"), "v2") == [business]
    assert found("?user_journey[]=trading_stocks_buy") == [STOCKS]
    assert found("?user_journey[]=onboarding&user_journey[]=trading_stocks_sell") == found()
    assert (
        found("?user_flow=trade_buy&asset_group=stocks")
        == found("?user_flow=saving_create&asset_group=stocks")
        == [STOCKS]
    )
    assert found("?user_flow=trade_sell&asset_group=metals") == []
    assert found("?user_flow=onboarding") == [GENERAL, NEWS, german, business]
    termed.advance(seconds=1)
    assert found() == [str(agreement_id("general-2")), STOCKS, NEWS, german, business]


def test_the_fields_of_terms(world: OffersWorld) -> None:
    row = world.rows("/v1/terms")[0]
    assert row.keys() == {"id", "content_type", "title", "type", "version", "mandatory", "effective_at", "url"}
    moment(row["effective_at"])
    answer = world.ask("GET", "/v1/terms?page=2&page_size=2").json()
    assert (len(answer["data"]), answer["meta"]) == (1, {"total_count": 3, "page": 2, "page_size": 2})
    assert answer["links"]["prev"] == "?page=1&page_size=2"


@pytest.mark.parametrize(
    "path, field",
    [
        ("/v2/terms", "country"),
        ("/v2/terms?account_type=user", "country"),
        ("/v2/terms?country=IT", "account_type"),
        ("/v2/terms?country=IT&account_type=robot", "account_type"),
        ("/v1/terms?country=Italy", "country"),
        ("/v1/terms?country=", "country"),
        ("/v1/terms?user_flow=trade_buy", "asset_group"),
        ("/v1/terms?user_flow=trade_sell", "asset_group"),
        ("/v1/terms?user_flow=saving_create", "asset_group"),
        ("/v1/terms?user_flow=dance", "user_flow"),
        ("/v1/terms?user_flow=trade_buy&asset_group=tulips", "asset_group"),
        ("/v1/terms?user_journey[]=dance", "user_journey"),
        ("/v1/terms?user_journey[]=appropriateness_consent", "user_journey"),
        ("/v1/terms?page=0", "page"),
    ],
)
def test_terms_that_cannot_be_asked_for(world: OffersWorld, path: str, field: str) -> None:
    assert_error(world.ask("GET", path), 422, f"validation.{field}")


def test_the_journeys_that_only_v2_has(world: OffersWorld) -> None:
    path = "/v2/terms?country=IT&account_type=user&user_journey[]=appropriateness_consent"
    assert world.rows(path) == []
    path = f"/v2/users/{world.users['V']}/terms?user_journey[]=appropriateness_warning"
    assert world.rows(path) == []
    old = f"/v1/users/{world.users['V']}/terms?user_journey[]=appropriateness_warning"
    assert_error(world.ask("GET", old), 422, "validation.user_journey")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_terms_that_a_user_has_accepted(world: OffersWorld, version: str) -> None:
    path = f"/{version}/users/{{}}/terms"
    user = world.users["V"]
    assert [row["id"] for row in world.rows(path.format(user))] == [GENERAL, STOCKS]
    assert [row["id"] for row in world.rows(path.format(user) + "?user_journey[]=trading_stocks_buy")] == [STOCKS]
    assert world.rows(path.format(world.users["no-terms"])) == []
    assert_error(world.ask("GET", path.format(user), partner=Q), 404, "user.not.found")
    assert_error(world.ask("GET", path.format(UNKNOWN)), 404, "user.not.found")
    assert_error(world.ask("GET", path.format("x")), 422, "validation.user_id")


@pytest.mark.parametrize(
    "terms, status, code",
    [
        ([UNKNOWN], 404, "terms.not.found"),
        ([GENERAL, UNKNOWN], 404, "terms.not.found"),
        ([], 422, "validation.terms"),
        ("x", 422, "validation.terms"),
        ([5], 422, "validation.terms"),
        (["x"], 422, "validation.terms"),
        (None, 422, "validation.terms"),
    ],
    ids=str,
)
def test_terms_that_cannot_be_accepted(world: OffersWorld, terms: Any, status: int, code: str) -> None:
    path = f"/v2/users/{world.users['no-terms']}/terms"
    assert_error(world.ask("POST", path, {"terms": terms}), status, code)
    assert world.rows(path) == []


def test_terms_are_accepted_for_ones_own_users(world: OffersWorld) -> None:
    path = f"/v2/users/{world.users['no-terms']}/terms"
    assert_error(world.ask("POST", path, {"terms": [GENERAL]}, partner=Q), 404, "user.not.found")
    assert_error(world.ask("POST", "/v2/users/x/terms", {"terms": [GENERAL]}), 422, "validation.user_id")
    assert world.rows(path) == []


# -- what is listed, and what a user has -------------------------------------------------------------------------------


def test_levels_assets_and_fiats(world: OffersWorld) -> None:
    levels = world.rows("/v1/account-levels")
    assert {"id": str(level_id("vip")), "name_key": "account.level.vip"} in levels
    assert [row["symbol"] for row in world.rows("/v1/assets")] == ["BTC", "ETH", "GOLD", "SHARE"]
    first = world.rows("/v1/assets")[0]
    assert first == {
        "id": 1,
        "pid": first["pid"],
        "symbol": "BTC",
        "name": "Bitcoin",
        "asset_group": "coin",
        "buy_enabled": True,
        "sell_enabled": True,
    }
    assert [(row["id"], row["symbol"]) for row in world.rows("/v1/fiats")] == [(1, "EUR"), (2, "CHF")]
    assert world.operator("PUT", "/operator/listings/BTC", {"sellEnabled": False}).status_code == 200
    assert world.rows("/v1/assets")[0]["sell_enabled"] is False
    assert len(world.rows("/v1/assets?page_size=3")) == 3


def test_a_portfolio(world: OffersWorld) -> None:
    assert world.rows("/v1/portfolio", user="U") == [{"asset_id": 1, "asset_symbol": "BTC", "balance": "0.05000000"}]
    world.traded("V", asset_id=2)
    assert [row["asset_symbol"] for row in world.rows("/v1/portfolio", user="V")] == ["BTC", "ETH"]
    assert world.rows("/v1/portfolio", user="no-terms") == []
    assert_error(world.ask("GET", "/v1/portfolio"), 422, "validation.bp-user-id")
    assert_error(world.ask("GET", "/v1/portfolio", user="U", partner=Q), 404, "user.not.found")
    assert_error(world.ask("GET", "/v1/portfolio", user="inactive"), 403, "user.inactive")


# -- notices of bank transfers -----------------------------------------------------------------------------------------


def settlement(trade: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a good notice of a settled trade, with changes; what is changed to None is left out."""
    good = {
        "reference": trade["id"],
        "transaction_id": trade["id"],
        "amount": "100.00",
        "currency": "EUR",
        "balance_after": "-5.50",
        "status": "finished",
        "direction": "debit",
        "timestamp": "2025-03-04T13:00:00+01:00",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def test_a_settled_trade_is_noted_once_and_books_nothing(world: OffersWorld) -> None:
    trade = world.traded()
    before = world.accounts()
    answer = world.ask("POST", "/v1/fiat-stock", settlement(trade))
    assert answer.status_code == 200
    told = answer.json()["data"]
    assert (told["transaction_id"], told["timestamp"]) == (trade["id"], "2025-03-04T12:00:00+00:00")
    world.advance(seconds=5)
    assert world.ask("POST", "/v1/fiat-stock", settlement(trade)).json() == answer.json()
    different = world.ask("POST", "/v1/fiat-stock", settlement(trade, amount="99.00"))
    assert_error(different, 409, "notice.differs")
    refunded = world.ask("POST", "/v1/fiat-stock", settlement(trade, direction="refund"))
    assert refunded.status_code == 200
    assert world.accounts() == before


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"transaction_id": UNKNOWN}, 404, "trade.not.found"),
        ({"transaction_id": "x"}, 422, "validation.transaction_id"),
        ({"transaction_id": None}, 422, "validation.transaction_id"),
        ({"reference": None}, 422, "validation.reference"),
        ({"reference": ""}, 422, "validation.reference"),
        ({"amount": 5}, 422, "validation.amount"),
        ({"amount": "0"}, 422, "validation.amount"),
        ({"amount": "-1"}, 422, "validation.amount"),
        ({"amount": "1.123456789"}, 422, "validation.amount"),
        *(({"currency": currency}, 422, "validation.currency") for currency in ("USD", "BTC", "CHF", "eur")),
        *(({"reference": reference}, 422, "validation.reference") for reference in (UNKNOWN, "nonsense")),
        ({"direction": "credit"}, 422, "validation.direction"),
        ({"status": "pending"}, 422, "validation.status"),
        ({"direction": "sideways"}, 422, "validation.direction"),
        ({"balance_after": "x"}, 422, "validation.balance_after"),
        ({"balance_after": "1\n"}, 422, "validation.balance_after"),
        ({"timestamp": "yesterday"}, 422, "validation.timestamp"),
        ({"timestamp": "2025-03-04T13:00:00"}, 422, "validation.timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, 422, "validation.timestamp"),
        ({"timestamp": "2025-02-30T13:00:00Z"}, 422, "validation.timestamp"),
        ({"timestamp": 1_741_089_600}, 422, "validation.timestamp"),
    ],
    ids=str,
)
def test_notices_that_are_wrong(world: OffersWorld, change: dict[str, Any], status: int, code: str) -> None:
    body = settlement(world.traded(), **change)
    assert_error(world.ask("POST", "/v1/fiat-stock", body), status, code)


def test_only_ones_own_finished_trades_are_settled(world: OffersWorld) -> None:
    trade, offer = world.traded(), world.offer()
    assert_error(world.ask("POST", "/v1/fiat-stock", settlement(trade), partner=Q), 404, "trade.not.found")
    assert_error(world.ask("POST", "/v1/fiat-stock", settlement(offer)), 404, "trade.not.found")
    sold = world.traded(**SELL)
    assert world.ask("POST", "/v1/fiat-stock", settlement(sold, direction="credit")).status_code == 200
    assert_error(world.ask("POST", "/v1/fiat-stock", settlement(sold)), 422, "validation.direction")
    assert world.ask("POST", "/v1/fiat-stock", settlement(sold, refund=True)).json()["data"]["direction"] == "refund"


def test_a_notice_in_other_letters_is_the_same(world: OffersWorld) -> None:
    trade = world.traded()
    first = world.ask("POST", "/v1/fiat-stock", settlement(trade))
    upper = trade["id"].upper()
    again = settlement(trade, reference=upper, transaction_id=upper)
    assert world.ask("POST", "/v1/fiat-stock", again).json() == first.json()
    assert_error(world.ask("POST", "/v1/fiat-stock", {**again, "amount": "99.00"}), 409, "notice.differs")


def test_a_top_up_that_is_on_its_way(world: OffersWorld) -> None:
    body = {"reference": str(uuid4()), "amount": "5000.00", "currency": "EUR", "timestamp": "2025-03-04T12:00:00Z"}
    before = world.accounts()
    answer = world.ask("POST", "/v1/deposit", body)
    assert answer.status_code == 201
    assert world.ask("POST", "/v1/deposit", body).json() == answer.json()
    assert_error(world.ask("POST", "/v1/deposit", {**body, "amount": "1.00"}), 409, "notice.differs")
    assert_error(world.ask("POST", "/v1/deposit", {**body, "currency": "USD"}), 404, "fiat.not.found")
    assert world.ask("POST", "/v1/deposit", body, partner=Q).json()["data"]["id"] != answer.json()["data"]["id"]
    assert world.accounts() == before


# -- everything needs a bearer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path",
    [
        *(("GET", f"/v1/{path}") for path in ("terms", "account-levels", "assets", "fiats", "portfolio", "tax-status")),
        *(("GET", f"/v1/{path}") for path in ("trades", "trades/search", f"users/{UNKNOWN}/terms")),
        *(("GET", f"/v2/{path}") for path in ("terms", "trades", "trades/search", f"trades/{UNKNOWN}")),
        *(("POST", path) for path in ("/v2/users", f"/v2/users/{UNKNOWN}/terms", "/v1/fiat-stock", "/v1/deposit")),
        *(("POST", path) for path in ("/v1/offers", "/v2/offers")),
        *(("PATCH", f"/{version}/offers/{UNKNOWN}/accept") for version in ("v1", "v2")),
        ("GET", f"/v1/offer-status/{UNKNOWN}"),
    ],
)
def test_no_route_answers_without_a_bearer(world: OffersWorld, method: str, path: str) -> None:
    assert_error(world.ask(method, path, partner=None), 401, "unauthorized")
    assert world.ask(method, path, partner=P).status_code != 401
