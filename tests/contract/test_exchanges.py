"""The numbered acceptance cases of the exchanges contract (section 9), one test for each, over real HTTP.

The fixture is the world file `contract.toml`. Times stand still unless a test moves them.
"""

from uuid import uuid4

import pytest

from tests.support.server import EXCHANGES, START, World, assert_refused

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_case_01_accounts_are_the_callers_that_may_take_part(world: World) -> None:
    response = world.get("/accounts")
    assert response.status_code == 200
    assert response.json() == {
        "data": [
            {
                "id": world.ids["FA1"],
                "accountName": "A's euro account",
                "currency": "EUR",
                "balance": "10000.00",
                "iban": "DE89370400440532013000",
                "status": "active",
            }
        ]
    }


def test_case_03_balance_of_a_wallet(world: World) -> None:
    response = world.get(f"/wallets/{world.ids['WA1']}/balance")
    assert response.status_code == 200
    assert response.json()["data"] == {
        "walletId": world.ids["WA1"],
        "network": "ethereum",
        "usdcBalance": "5000.000000",
    }


def test_case_05_balance_source_switched_off(world: World) -> None:
    world.fault("balance", "unavailable")
    assert_refused(world.get(f"/wallets/{world.ids['WA1']}/balance"), 502, "BALANCE_UNAVAILABLE")
    world.fault("balance", "up")
    assert world.get(f"/wallets/{world.ids['WA1']}/balance").status_code == 200


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/accounts"),
        ("GET", "/wallets"),
        ("GET", f"/wallets/{UNKNOWN}/balance"),
        ("POST", "/quote"),
        ("POST", ""),
        ("GET", ""),
        ("GET", f"/{UNKNOWN}"),
        ("POST", f"/{UNKNOWN}/cancel"),
    ],
)
def test_case_06_no_credential(world: World, method: str, path: str) -> None:
    response = world.call(method, EXCHANGES + path, key=None)
    assert_refused(response, 401, "UNAUTHORIZED")
    assert "data" not in response.json()


def test_case_07_scopes_are_apart(world: World) -> None:
    assert_refused(world.post("/quote", world.buy_body(), key="KAr"), 403, "INSUFFICIENT_SCOPE")
    assert_refused(world.get("", key="KAw"), 403, "INSUFFICIENT_SCOPE")


def test_case_08_the_key_as_bearer(world: World) -> None:
    world.buy()
    as_bearer = world.get("", key=None, headers={"Authorization": f"Bearer {world.keys['KA']}"})
    assert as_bearer.status_code == 200
    assert as_bearer.json() == world.get("").json()
    assert as_bearer.json()["data"]


def test_case_09_quote_a_buy(world: World) -> None:
    world.steer("clock", set="2031-07-01T09:14:30.250Z", frozen=True)
    response = world.post("/quote", world.buy_body("2500.00"))
    assert response.status_code == 200
    quote = response.json()["data"]
    assert quote == {
        "quoteId": quote["quoteId"],
        "rate": "1.0842",
        "destinationAmount": "2710.50",
        "sourceCurrency": "EUR",
        "destinationCurrency": "USDC",
        "sourceAmountEur": "2500.00",
        "ttlExpiresAt": "2031-07-01T09:15:30.250Z",
        "ttlSeconds": 60,
        "indicative": True,
    }
    assert world.order(quote["quoteId"])["status"] == "quoted"
    assert world.balances() == START


def test_case_10_quote_a_sell(world: World) -> None:
    world.steer("clock", set="2031-07-01T09:14:30.250Z", frozen=True)
    response = world.post("/quote", world.sell_body("1800"))
    assert response.status_code == 200
    quote = response.json()["data"]
    assert quote == {
        "quoteId": quote["quoteId"],
        "rate": "0.921",
        "destinationAmount": "1657.80",
        "sourceCurrency": "USDC",
        "destinationCurrency": "EUR",
        "sourceAmountUsdc": "1800.000000",
        "ttlExpiresAt": "2031-07-01T09:15:30.250Z",
        "ttlSeconds": 60,
        "indicative": True,
    }
    assert world.balances() == START


@pytest.mark.parametrize(
    "account, code",
    [("FB1", "SOURCE_NOT_FOUND"), ("FA3", "SOURCE_WRONG_CURRENCY"), ("FA2", "SOURCE_INACTIVE")],
)
def test_case_11_buy_from_an_account_that_may_not(world: World, account: str, code: str) -> None:
    assert_refused(world.post("/quote", world.buy_body(sourceFrAccountId=world.ids[account])), 422, code)
    assert world.get("").json()["data"] == []


@pytest.mark.parametrize(
    "wallet, amount, code",
    [
        ("WB1", "1800", "SOURCE_WALLET_NOT_FOUND"),
        ("WA2", "1800", "SOURCE_WALLET_NO_USDC"),
        ("WA1", "5000.000001", "SOURCE_WALLET_INSUFFICIENT"),
    ],
)
def test_case_13_sell_from_a_wallet_that_may_not(world: World, wallet: str, amount: str, code: str) -> None:
    assert_refused(world.post("/quote", world.sell_body(amount, sourceUtilaWalletId=world.ids[wallet])), 422, code)
    assert world.get("").json()["data"] == []


@pytest.mark.parametrize(
    "account, code",
    [
        ("FB1", "DESTINATION_ACCOUNT_NOT_FOUND"),
        ("FA3", "DESTINATION_ACCOUNT_WRONG_CURRENCY"),
        ("FA2", "DESTINATION_ACCOUNT_INACTIVE"),
    ],
)
def test_case_14_sell_to_an_account_that_may_not(world: World, account: str, code: str) -> None:
    assert_refused(world.post("/quote", world.sell_body(destinationFrAccountId=world.ids[account])), 422, code)
    assert world.get("").json()["data"] == []


@pytest.mark.parametrize("amount", ["10.001", "-5", "1e3", "abc", "", 0.5, "0.00"])
def test_case_16_amounts_that_are_none(world: World, amount: object) -> None:
    assert_refused(world.post("/quote", world.buy_body(amount)), 400, "VALIDATION_ERROR")
    assert world.get("").json()["data"] == []


def test_case_17_sell_body_without_a_side(world: World) -> None:
    body = world.sell_body()
    del body["side"]
    assert_refused(world.post("/quote", body), 400, "VALIDATION_ERROR")


def test_case_18_confirm_a_buy(world: World) -> None:
    quote_id = world.buy()
    response = world.confirm(quote_id)
    assert response.status_code == 201
    assert response.json() == {"data": {"orderId": quote_id, "status": "debit_pending"}}
    assert world.balances() == ("7500.00", "1002500.00", "5000.000000", "1000000.000000")


def test_case_19_confirm_without_a_key(world: World) -> None:
    quote_id = world.buy()
    assert_refused(world.post("", {"quoteId": quote_id}), 400, "IDEMPOTENCY_KEY_REQUIRED")
    assert world.balances() == START
    assert world.status(quote_id) == "quoted"


def test_case_21_the_same_key_again_and_again(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key)
    assert first.json() == {"data": {"orderId": quote_id, "status": "debit_pending"}}
    again = [world.confirm(quote_id, idempotency=key) for _ in range(2)]
    assert world.approve(quote_id).status_code == 200
    again.append(world.confirm(quote_id, idempotency=key))
    assert [(answer.status_code, answer.content) for answer in again] == [(201, first.content)] * 3
    assert world.status(quote_id) == "completed"
    assert world.balances()[0] == "7500.00"


def test_case_23_confirm_again_with_another_key(world: World) -> None:
    quote_id = world.confirmed_buy()
    assert_refused(world.confirm(quote_id), 409, "NOT_CONFIRMABLE")
    assert world.balances()[0] == "7500.00"


def test_case_25_confirm_a_quote_of_somebody_else(world: World) -> None:
    quote_id = world.buy()
    assert_refused(world.confirm(quote_id, key="KB"), 404, "ORDER_NOT_FOUND")
    assert world.balances() == START
    assert world.confirm(quote_id).status_code == 201


def test_case_26_confirm_a_sell(world: World) -> None:
    quote_id = world.sell()
    response = world.confirm(quote_id, "sell")
    assert response.status_code == 201
    assert response.json() == {"data": {"orderId": quote_id, "status": "pending_approval"}}
    assert world.balances() == START


def test_case_28_buy_for_more_than_there_is(world: World) -> None:
    quote_id = world.buy("10000.01")
    assert_refused(world.confirm(quote_id), 422, "SOURCE_INSUFFICIENT")
    assert world.balances() == START
    assert world.status(quote_id) == "quoted"


def test_case_29_cancel(world: World) -> None:
    quote_id = world.buy()
    response = world.post(f"/{quote_id}/cancel")
    assert (response.status_code, response.json()) == (200, {"data": {"orderId": quote_id, "status": "cancelled"}})
    assert_refused(world.post(f"/{quote_id}/cancel"), 409, "NOT_CANCELLABLE")
    assert_refused(world.confirm(quote_id), 409, "NOT_CONFIRMABLE")
    assert world.balances() == START


def test_case_31_approve_a_buy(world: World) -> None:
    order_id = world.confirmed_buy()
    assert world.approve(order_id, "1.0838").status_code == 200
    order = world.order(order_id)
    assert order["status"] == "completed"
    assert (order["rate"], order["sourceAmount"], order["destinationAmount"]) == ("1.0838", "2500.00", "2709.50")
    assert world.balances() == ("7500.00", "1002500.00", "7709.500000", "997290.500000")


def test_case_32_reject_a_buy(world: World) -> None:
    order_id = world.confirmed_buy()
    response = world.reject(order_id)
    assert response.status_code == 200
    assert world.status(order_id) == "rejected"
    assert world.balances() == START


def test_case_34_list_in_pages(world: World) -> None:
    ids = []
    for _ in range(3):
        ids.append(world.buy("1.00"))
        world.advance(milliseconds=1)
    of_b = world.quoted(
        world.post(
            "/quote",
            world.buy_body(sourceFrAccountId=world.ids["FB1"], destinationUtilaWalletId=world.ids["WB1"]),
            key="KB",
        )
    )
    first, second, all_of_it = (
        world.get(query).json() for query in ("?page=1&limit=2", "?page=2&limit=2", "?limit=1000")
    )
    assert [row["id"] for row in first["data"]] == [ids[2], ids[1]]
    assert first["meta"] == {"pagination": {"page": 1, "limit": 2, "total": 3}}
    assert [row["id"] for row in second["data"]] == [ids[0]]
    assert second["meta"] == {"pagination": {"page": 2, "limit": 2, "total": 3}}
    assert [row["id"] for row in all_of_it["data"]] == ids[::-1]
    assert all_of_it["meta"] == {"pagination": {"page": 1, "limit": 100, "total": 3}}
    assert of_b not in str((first, second, all_of_it))
    for row in all_of_it["data"]:
        assert row.keys() == ORDER_FIELDS
    assert [row["id"] for row in world.get("", key="KB").json()["data"]] == [of_b]


ORDER_FIELDS = {
    "id",
    "status",
    "sourceCurrency",
    "sourceAmount",
    "destinationCurrency",
    "destinationAmount",
    "rate",
    "createdAt",
}


def test_case_extra_a_write_without_a_csrf_token(world: World) -> None:
    quote_id = world.buy()
    for path, body in (("/quote", world.buy_body()), ("", {"quoteId": quote_id}), (f"/{quote_id}/cancel", None)):
        assert_refused(world.post(path, body, csrf=None, idempotency=str(uuid4())), 403, "CSRF_TOKEN_INVALID")
    assert world.status(quote_id) == "quoted"
    assert world.get("").json()["meta"]["pagination"]["total"] == 1


def test_case_extra_the_path_beats_the_versions_header(world: World) -> None:
    response = world.call("GET", "/exchanges/v2/otc-exchanges", headers={"X-API-Version": "v1"})
    assert response.status_code == 200
    assert response.headers["x-api-version"] == "v2"


def test_case_extra_two_sells_and_a_wallet_that_covers_one(world: World) -> None:
    first, second = world.sell("3000"), world.sell("3000")
    for order_id in (first, second):
        assert world.confirm(order_id, "sell").status_code == 201
    assert world.approve(first, None).status_code == 200
    assert world.status(first) == "completed"
    assert_refused(world.approve(second, None), 422, "SOURCE_WALLET_INSUFFICIENT")
    assert world.status(second) == "pending_approval"
    assert world.balances() == ("12763.00", "997237.00", "2000.000000", "1003000.000000")
