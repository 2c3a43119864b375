"""What the operator sees of brokerage and decides about it: orders of every product, users, listings, markets."""

from decimal import Decimal
from typing import Any

import pytest

from otcdesk.domain.world_brokerage import level_id
from tests.support.offers import SELL, OffersWorld, P, Q, assert_error
from tests.support.server import DeskServer, World, assert_refused

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


def data(world: World, method: str, path: str, body: Any = None) -> Any:
    """Return what the operator is answered."""
    answer = world.operator(method, f"/operator{path}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# -- orders ------------------------------------------------------------------------------------------------------------


def test_orders_of_brokerage_have_their_own_amounts(world: OffersWorld) -> None:
    trade = world.traded(external_id="ext-1", **SELL)
    (row,) = data(world, "GET", "/orders")
    assert (row["id"], row["product"], row["side"], row["status"]) == (trade["id"], "brokerage", "sell", "finished")
    assert (row["sourceAsset"], row["sourceAmount"]) == ("BTC", "0.01000000")
    assert (row["destinationAsset"], row["destinationAmount"]) == ("EUR", "466.60")
    assert (row["customerId"], row["rate"]) == (world.told["tenants"][P], "49000.00")
    assert row["brokerage"] == {
        "userId": world.users["U"],
        "asset": "BTC",
        "fiat": "EUR",
        "assetAmount": "0.01000000",
        "totalAmount": "490.00",
        "taxAmount": "23.40",
        "fiatAmount": "466.60",
        "price": "49000.00000000",
        "marketPrice": "50000.00000000",
        "marginBps": 200,
        "spread": "10.00000000",
        "brokerCost": "0.25000000",
        "feesAfterCost": "9.75000000",
        "revenueShare": "0.00000000",
        "warnings": [],
    }


def test_one_order_of_brokerage_with_its_record(world: OffersWorld) -> None:
    trade = world.traded()
    shown = data(world, "GET", f"/orders/{trade['id']}")
    assert [event["event"] for event in shown["auditTrail"]] == [
        "brokerage.quote",
        "brokerage.accept",
        "brokerage.finish",
    ]
    assert shown["auditTrail"][0]["state"] == "created"
    sums: dict[str, Decimal] = {}
    for entry in shown["entries"]:
        sums[entry["asset"]] = sums.get(entry["asset"], Decimal(0)) + Decimal(entry["amount"])
    assert sums == {"BTC": 0, "EUR": 0}
    assert [hold["state"] for hold in shown["holds"]] == ["captured"]
    assert shown["trade"]["executedRate"] == "51000.00"
    assert_refused(world.operator("GET", f"/operator/orders/{UNKNOWN}"), 404, "ORDER_NOT_FOUND")
    assert_refused(world.operator("GET", "/operator/orders/x"), 404, "ORDER_NOT_FOUND")


def test_orders_of_all_products_side_by_side(server: DeskServer) -> None:
    conversions = World(server, frozen=True)
    order_id = conversions.buy()
    (row,) = data(conversions, "GET", "/orders")
    assert (row["id"], row["product"], row["status"], row["brokerage"]) == (order_id, "conversion", "quoted", None)
    assert (row["sourceAmount"], row["destinationAsset"]) == ("2500.00", "USDC")
    assert data(conversions, "GET", f"/orders/{order_id}")["auditTrail"][0]["state"] == "quoted"


def test_orders_of_one_product_or_status(world: OffersWorld) -> None:
    trade = world.traded()["id"]
    expired = world.offer()["id"]
    world.advance(seconds=60)

    def found(query: str) -> list[str]:
        return [row["id"] for row in data(world, "GET", f"/orders?{query}")]

    assert found("") == found("product=brokerage") == [expired, trade]
    assert found("status=expired") == found("status=expired&product=brokerage") == [expired]
    assert found("status=finished") == [trade]
    assert found("product=conversion") == found("product=conversion&status=expired") == []
    assert found("limit=1&page=2") == [trade]
    for query in ("product=nothing", "status=nothing", "status=finished&product=conversion"):
        assert_refused(world.operator("GET", f"/operator/orders?{query}"), 400, "VALIDATION_ERROR")


# -- users -------------------------------------------------------------------------------------------------------------


def test_users(world: OffersWorld) -> None:
    rows = data(world, "GET", "/users")
    assert {row["externalId"] for row in rows} == {"U", "V", "W", "no-terms", "unverified", "inactive"}
    of_q = data(world, "GET", f"/users?customerId={world.told['tenants'][Q]}")
    assert [row["externalId"] for row in of_q] == ["W"]
    assert [row["externalId"] for row in data(world, "GET", "/users?status=inactive")] == ["inactive"]
    shown = data(world, "GET", f"/users/{world.users['U']}")
    assert (shown["status"], shown["taxBps"], shown["country"], shown["levelId"]) == ("active", 2600, "IT", None)
    assert shown in rows
    assert_refused(world.operator("GET", "/operator/users?status=x"), 400, "VALIDATION_ERROR")
    assert_refused(world.operator("GET", "/operator/users?customerId=x"), 400, "VALIDATION_ERROR")
    assert_refused(world.operator("GET", f"/operator/users/{UNKNOWN}"), 404, "USER_NOT_FOUND")
    answer = world.operator("GET", "/operator/users?limit=2&page=2").json()
    assert (len(answer["data"]), answer["meta"]["pagination"]["total"]) == (2, 6)


def test_a_users_standing_level_and_tax(world: OffersWorld) -> None:
    path = f"/users/{world.users['U']}"
    vip = str(level_id("vip"))
    assert data(world, "PUT", path, {"status": "active", "levelId": vip, "taxBps": 1000})["levelId"] == vip
    made = world.offer(**SELL)
    assert (made["asset_price"], made["tax_amount"]) == ("49750.00000000", "9.75")
    assert data(world, "PUT", path, {"status": "inactive"})["taxBps"] is None
    assert_error(world.create(), 403, "user.inactive")
    for body in ({}, {"status": "x"}, {"status": "active", "taxBps": 10_001}, {"status": "active", "levelId": "x"}):
        assert_refused(world.operator("PUT", f"/operator{path}", body), 400, "VALIDATION_ERROR")
    unknown = {"status": "active", "levelId": UNKNOWN}
    assert_refused(world.operator("PUT", f"/operator{path}", unknown), 404, "LEVEL_NOT_FOUND")
    assert_refused(world.operator("PUT", f"/operator/users/{UNKNOWN}", {"status": "active"}), 404, "USER_NOT_FOUND")


# -- listings and markets ----------------------------------------------------------------------------------------------


def test_listings(world: OffersWorld) -> None:
    assert [row["asset"] for row in data(world, "GET", "/listings")] == ["BTC", "ETH", "GOLD", "SHARE", "EUR", "CHF"]
    switched = data(world, "PUT", "/listings/BTC", {"sellEnabled": False})
    assert (switched["buyEnabled"], switched["sellEnabled"], switched["dividendPending"]) == (True, False, False)
    assert_error(world.create(**SELL), 422, "user.transaction.trading.disabled")
    assert world.create().status_code == 201
    assert data(world, "PUT", "/listings/BTC", {})["sellEnabled"] is False
    assert data(world, "PUT", "/listings/BTC", {"sellEnabled": True})["sellEnabled"] is True
    assert_refused(world.operator("PUT", "/operator/listings/NONE", {}), 404, "ASSET_NOT_FOUND")
    assert_refused(world.operator("PUT", "/operator/listings/BTC", {"buyEnabled": "no"}), 400, "VALIDATION_ERROR")


def test_markets(world: OffersWorld) -> None:
    rows = {(row["asset"], row["fiat"]): row for row in data(world, "GET", "/markets")}
    assert rows["BTC", "EUR"] == {
        "asset": "BTC",
        "fiat": "EUR",
        "minimum": "1.00",
        "maximum": None,
        "brokerCost": "0.25",
    }
    assert (rows["ETH", "EUR"]["maximum"], rows["ETH", "EUR"]["brokerCost"]) == ("100000.00", "0.00")


def test_prices_have_all_their_decimals(world: OffersWorld) -> None:
    rates = {row["sourceAsset"]: row["inForce"]["rate"] for row in data(world, "GET", "/prices") if row["inForce"]}
    assert rates["ETH"] == "2345.67891234"


@pytest.mark.parametrize("path", ["/orders", "/users", "/listings", "/markets", "/maintenance"])
def test_only_operators_see_it(world: OffersWorld, path: str) -> None:
    http = world.server.http
    assert_refused(http.get(f"/operator{path}"), 401, "UNAUTHORIZED")
    assert_refused(
        http.get(f"/operator{path}", headers={"Authorization": f"Bearer {world.bearer()}"}), 401, "UNAUTHORIZED"
    )
