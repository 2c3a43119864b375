"""Selectors and quotes of the exchanges contract (3.1 to 3.4): who may take part, and what is refused first."""

from decimal import Decimal
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest

from tests.support.desk import CONTRACT_WORLD
from tests.support.served import NewWorld
from tests.support.server import START, World, assert_refused, treasury


def test_wallets_are_the_callers_that_may_take_part(world: World) -> None:
    assert world.get("/wallets").json() == {
        "data": [
            {
                "id": world.ids["WA1"],
                "displayName": "A's wallet",
                "network": "ethereum",
                "address": "0x00000000000000000000000000000000000000a1",
            }
        ]
    }


@pytest.mark.parametrize("wallet", ["WB1", "WAT", "WA2", "FA1", "unknown", "no-uuid", "braces", "bare"])
def test_balances_of_no_wallet(world: World, wallet: str) -> None:
    good = world.ids["WA1"]
    odd = {"unknown": str(uuid4()), "no-uuid": "x", "braces": f"{{{good}}}", "bare": good.replace("-", "")}
    wallet_id = odd.get(wallet) or world.ids[wallet]
    assert_refused(world.get(f"/wallets/{wallet_id}/balance"), 404, "WALLET_NOT_FOUND")


def test_the_treasurys_wallet_has_no_balance_for_customers(world: World) -> None:
    assert_refused(world.get(f"/wallets/{treasury('USDC', 'ethereum')}/balance"), 404, "WALLET_NOT_FOUND")


def test_an_unknown_wallet_is_told_before_a_dead_balance_source(world: World) -> None:
    world.fault("balance", "unavailable")
    assert_refused(world.get(f"/wallets/{uuid4()}/balance"), 404, "WALLET_NOT_FOUND")


@pytest.mark.parametrize("mode", ["unavailable", "unknown"])
def test_a_dead_balance_source_stops_sells_and_not_buys(world: World, mode: str) -> None:
    world.fault("balance", mode)
    assert_refused(world.get(f"/wallets/{world.ids['WA1']}/balance"), 502, "BALANCE_UNAVAILABLE")
    assert_refused(world.post("/quote", world.sell_body()), 502, "QUOTE_UNAVAILABLE")
    assert world.post("/quote", world.buy_body()).status_code == 200
    assert world.get("").json()["meta"]["pagination"]["total"] == 1


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_no_price_no_quote_and_then_again(world: World, side: str) -> None:
    body = world.buy_body() if side == "buy" else world.sell_body()
    world.fault("price", "unavailable")
    assert_refused(world.post("/quote", body), 502, "QUOTE_UNAVAILABLE")
    assert world.get("").json()["data"] == []
    world.fault("price", "up")
    assert world.post("/quote", body).status_code == 200


def test_a_stale_price_is_no_price(world: World) -> None:
    world.steer("prices", sourceAsset="EUR", destinationAsset="USDC", rate="1.2", staleAfterMs=1000)
    assert world.post("/quote", world.buy_body()).json()["data"]["rate"] == "1.20"
    world.advance(milliseconds=1000)
    assert world.post("/quote", world.buy_body()).status_code == 200
    world.advance(milliseconds=1)
    assert_refused(world.post("/quote", world.buy_body()), 502, "QUOTE_UNAVAILABLE")


# -- eligibility (3.4) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"sourceFrAccountId": "unknown"}, "SOURCE_NOT_FOUND"),
        ({"sourceFrAccountId": "WA1"}, "SOURCE_NOT_FOUND"),
        ({"sourceFrAccountId": "treasury EUR"}, "SOURCE_NOT_FOUND"),
        ({"destinationUtilaWalletId": "unknown"}, "DESTINATION_NOT_FOUND"),
        ({"destinationUtilaWalletId": "WB1"}, "DESTINATION_NOT_FOUND"),
        ({"destinationUtilaWalletId": "WAT"}, "DESTINATION_NOT_FOUND"),
        ({"destinationUtilaWalletId": "treasury USDC"}, "DESTINATION_NOT_FOUND"),
        ({"destinationUtilaWalletId": "FA1"}, "DESTINATION_NOT_FOUND"),
        ({"destinationUtilaWalletId": "WA2"}, "DESTINATION_NO_USDC_ADDRESS"),
    ],
)
def test_a_buy_between_what_may_not(world: World, changes: dict[str, str], code: str) -> None:
    body = world.buy_body(**{field: _id(world, name) for field, name in changes.items()})
    assert_refused(world.post("/quote", body), 422, code)
    assert world.get("").json()["data"] == []


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"sourceUtilaWalletId": "unknown"}, "SOURCE_WALLET_NOT_FOUND"),
        ({"sourceUtilaWalletId": "WAT"}, "SOURCE_WALLET_NOT_FOUND"),
        ({"sourceUtilaWalletId": "treasury USDC"}, "SOURCE_WALLET_NOT_FOUND"),
        ({"sourceUtilaWalletId": "FA1"}, "SOURCE_WALLET_NOT_FOUND"),
        ({"destinationFrAccountId": "unknown"}, "DESTINATION_ACCOUNT_NOT_FOUND"),
        ({"destinationFrAccountId": "treasury EUR"}, "DESTINATION_ACCOUNT_NOT_FOUND"),
        ({"destinationFrAccountId": "WA1"}, "DESTINATION_ACCOUNT_NOT_FOUND"),
    ],
)
def test_a_sell_between_what_may_not(world: World, changes: dict[str, str], code: str) -> None:
    body = world.sell_body(**{field: _id(world, name) for field, name in changes.items()})
    assert_refused(world.post("/quote", body), 422, code)
    assert world.get("").json()["data"] == []


def _id(world: World, name: str) -> str:
    known = {
        "unknown": str(uuid4()),
        "treasury EUR": treasury("EUR"),
        "treasury USDC": treasury("USDC", "ethereum"),
    }
    return known.get(name) or world.ids[name]


#: What may be wrong with a quote, in the order of the contract's table: the code, and what makes it so.
_BUY_FAULTS = [
    ("SOURCE_NOT_FOUND", {"sourceFrAccountId": "FB1"}),
    ("SOURCE_WRONG_CURRENCY", {"sourceFrAccountId": "FA3"}),
    ("SOURCE_INACTIVE", {"sourceFrAccountId": "FA2"}),
    ("DESTINATION_NOT_FOUND", {"destinationUtilaWalletId": "WB1"}),
    ("DESTINATION_NO_USDC_ADDRESS", {"destinationUtilaWalletId": "WA2"}),
    ("QUOTE_UNAVAILABLE", {"price": "unavailable"}),
]
_SELL_FAULTS = [
    ("SOURCE_WALLET_NOT_FOUND", {"sourceUtilaWalletId": "WB1"}),
    ("SOURCE_WALLET_NO_USDC", {"sourceUtilaWalletId": "WA2"}),
    ("SOURCE_WALLET_INSUFFICIENT", {"amount": "5000.000001"}),
    ("DESTINATION_ACCOUNT_NOT_FOUND", {"destinationFrAccountId": "FB1"}),
    ("DESTINATION_ACCOUNT_WRONG_CURRENCY", {"destinationFrAccountId": "FA3"}),
    ("DESTINATION_ACCOUNT_INACTIVE", {"destinationFrAccountId": "FA2"}),
    ("QUOTE_UNAVAILABLE", {"balance": "unavailable"}),
]


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_of_two_faults_the_first_in_the_table_is_told(world: World, side: str) -> None:
    faults = _BUY_FAULTS if side == "buy" else _SELL_FAULTS
    for (code, first), (_, second) in combinations(faults, 2):
        if first.keys() & second.keys():
            continue  # one account cannot be wrong in two ways that exclude each other
        if "amount" in second and first.keys() != {"sourceUtilaWalletId"}:
            continue
        _quote_with(world, side, {**second, **first}, code)


def _quote_with(world: World, side: str, wrong: dict[str, str], code: str) -> None:
    rails = {rail: mode for rail, mode in wrong.items() if rail in {"price", "balance"}}
    changes = {field: world.ids[name] for field, name in wrong.items() if field.endswith("Id")}
    body = world.buy_body(**changes) if side == "buy" else world.sell_body(wrong.get("amount", "1800"), **changes)
    for rail, mode in rails.items():
        world.fault(rail, mode)
    assert_refused(world.post("/quote", body), 502 if code == "QUOTE_UNAVAILABLE" else 422, code)
    for rail in rails:
        world.fault(rail, "up")


def test_a_sell_of_all_there_is_and_one_unit_more(world: World) -> None:
    assert world.post("/quote", world.sell_body("5000.000000")).status_code == 200
    assert_refused(world.post("/quote", world.sell_body("5000.000001")), 422, "SOURCE_WALLET_INSUFFICIENT")


def test_a_buys_balance_is_not_looked_at(world: World) -> None:
    assert world.post("/quote", world.buy_body("99999999.99")).status_code == 200


def test_what_brings_nothing_is_not_quoted(world: World) -> None:
    world.price("EUR", "USDC", "0.5")
    assert_refused(world.post("/quote", world.buy_body("0.01")), 400, "VALIDATION_ERROR")
    world.price("USDC", "EUR", "0.921")
    assert_refused(world.post("/quote", world.sell_body("0.010000")), 400, "VALIDATION_ERROR")
    assert world.get("").json()["data"] == []


def test_quotes_move_nothing_and_hold_nothing(world: World) -> None:
    world.sell("5000")
    world.sell("5000")
    world.buy("10000.00")
    assert world.balances() == START
    assert world.held() == {}


# -- selectors agree with quotes (7.16) --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["KA", "KB"])
def test_selectors_list_exactly_what_a_quote_takes(world: World, key: str) -> None:
    accounts = {row["id"] for row in world.get("/accounts", key=key).json()["data"]}
    wallets = {row["id"] for row in world.get("/wallets", key=key).json()["data"]}
    everything = [*world.ids.values(), treasury("EUR"), treasury("USDC", "ethereum"), str(uuid4())]
    good_account, good_wallet = min(accounts), min(wallets)
    taken: dict[str, set[str]] = {"source": set(), "into": set(), "from": set(), "destination": set(), "balance": set()}

    def quoted(body: dict[str, Any]) -> bool:
        return world.post("/quote", body, key=key).status_code == 200

    for one in everything:
        buys = {"sourceFrAccountId": good_account, "destinationUtilaWalletId": good_wallet}
        sells = {"sourceUtilaWalletId": good_wallet, "destinationFrAccountId": good_account}
        if quoted(world.buy_body("1", **{**buys, "sourceFrAccountId": one})):
            taken["source"].add(one)
        if quoted(world.buy_body("1", **{**buys, "destinationUtilaWalletId": one})):
            taken["into"].add(one)
        if quoted(world.sell_body("1", **{**sells, "sourceUtilaWalletId": one})):
            taken["from"].add(one)
        if quoted(world.sell_body("1", **{**sells, "destinationFrAccountId": one})):
            taken["destination"].add(one)
        if world.get(f"/wallets/{one}/balance", key=key).status_code == 200:
            taken["balance"].add(one)
    assert taken["source"] == taken["destination"] == accounts
    assert taken["into"] == taken["from"] == taken["balance"] == wallets


def test_nobody_is_eligible(new_world: NewWorld) -> None:
    world = new_world(world=CONTRACT_WORLD.replace('ref = "FA1"\nasset = "EUR"', 'ref = "FA1"\nasset = "GBP"'))
    response = world.get("/accounts")
    assert (response.status_code, response.json()) == (200, {"data": []})
    assert_refused(world.post("/quote", world.buy_body()), 422, "SOURCE_WRONG_CURRENCY")


def test_the_first_network_of_the_settings_is_the_one(new_world: NewWorld) -> None:
    world = new_world(
        world=CONTRACT_WORLD.replace(
            'addresses = { ethereum = "0x00000000000000000000000000000000000000a1" }',
            'addresses = { solana = "So1", base = "0xb", polygon = "0xp" }',
        )
    )
    assert world.get("/wallets").json()["data"][0]["network"] == "polygon"
    assert world.get("/wallets").json()["data"][0]["address"] == "0xp"
    assert world.get(f"/wallets/{world.ids['WA1']}/balance").json()["data"]["network"] == "polygon"
    order_id = world.confirmed_sell("100")
    assert world.approve(order_id, "0.9").status_code == 200
    assert world.accounts()[treasury("USDC", "polygon")]["balance"] == "100.000000"


# -- schema (3.4) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["sourceFrAccountId", "destinationUtilaWalletId", "sourceAmountEur"])
@pytest.mark.parametrize("value", ["missing", None, 7, True, [], {}, "x", ""])
def test_fields_of_a_buy_that_are_wrong(world: World, field: str, value: Any) -> None:
    body = world.buy_body(**{field: value})
    if value == "missing":
        del body[field]
    assert_refused(world.post("/quote", body), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("field", ["sourceUtilaWalletId", "destinationFrAccountId", "sourceAmountUsdc"])
@pytest.mark.parametrize("value", ["missing", None, 7, True, [], {}, "x", ""])
def test_fields_of_a_sell_that_are_wrong(world: World, field: str, value: Any) -> None:
    body = world.sell_body(**{field: value})
    if value == "missing":
        del body[field]
    assert_refused(world.post("/quote", body), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("side", ["BUY", "Sell", "", "both", None, 1, ["buy"], {}])
def test_sides_that_are_none(world: World, side: Any) -> None:
    assert_refused(world.post("/quote", world.buy_body(side=side)), 400, "VALIDATION_ERROR")
    assert_refused(world.post("/quote", world.sell_body(side=side)), 400, "VALIDATION_ERROR")


def test_a_side_with_the_other_sides_fields(world: World) -> None:
    assert_refused(world.post("/quote", {**world.sell_body(), "side": "buy"}), 400, "VALIDATION_ERROR")
    assert_refused(world.post("/quote", {**world.buy_body(), "side": "sell"}), 400, "VALIDATION_ERROR")


def test_a_buy_may_say_its_side_and_more_than_is_known(world: World) -> None:
    assert world.post("/quote", world.buy_body(side="buy", umbrellaLinkId=str(uuid4()))).status_code == 200


def test_a_buys_ids_may_be_in_capitals(world: World) -> None:
    body = world.buy_body(sourceFrAccountId=world.ids["FA1"].upper())
    assert world.post("/quote", body).status_code == 200


@pytest.mark.parametrize(
    "amount",
    ["1.", ".5", "+1", " 1", "1 ", "1,00", "1_000", "0x1", "1\n", "\u0661", "1.0000001", "0", "0.000000", "NaN", "1e3"],
)
def test_token_amounts_that_are_none(world: World, amount: str) -> None:
    assert_refused(world.post("/quote", world.sell_body(amount)), 400, "VALIDATION_ERROR")


def test_the_quotes_key_header_is_ignored(world: World) -> None:
    answers = [world.post("/quote", world.buy_body(), idempotency=key) for key in ("x", "x")]
    ids = {world.quoted(answer) for answer in answers}
    assert len(ids) == 2


def test_a_spread_is_the_desks(new_world: NewWorld) -> None:
    world = new_world(world=CONTRACT_WORLD.replace('name = "Customer A"', 'name = "Customer A"\nbuy_spread_bps = 100'))
    quote = world.post("/quote", world.buy_body("100")).json()["data"]
    assert quote["rate"] == "1.073358"
    assert Decimal(quote["destinationAmount"]) == Decimal("107.33")
