"""What the deals dialect shows of users, and what sell and cancel make of odd requests, beyond the numbered cases."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support.deals import N2, READER, THIRD, U1, U2, U3, C, DealsWorld, N, T, assert_error
from tests.support.server import DeskServer

UNKNOWN = "65a1b2c3d4e5f60718290fff"
FORMAT = "Invalid user ID or token ID format"
NOBODY = "User or token not found"
DENIED = ("Access denied", "Insufficient permissions")
NO_DEAL = ("Deal not found", "The specified deal does not exist")

DAYS_31 = 31 * 86_400

LISTS = [f"/v2/users/otcs/users/{{user}}/tokens/{T}", "/v2/users/otcs/users/{user}/group-search"]
READS = [
    "/v2/users/users/{user}",
    "/v2/users/users/{user}/wallet/summary",
    "/v2/users/users/{user}/transactions?page=1&per_page=10",
    f"/v2/users/purchases/users/{{user}}/tokens/{T}/quantity",
]


@pytest.fixture(scope="module")
def shared(server: DeskServer) -> DealsWorld:
    """Give a world that tests which change nothing share."""
    return DealsWorld(server)


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def exact(answer: httpx.Response) -> Any:
    """Return a body whose numbers lose no digit."""
    return json.loads(answer.content, parse_float=Decimal)


# -- who may read ------------------------------------------------------------------------------------------------------


def asked(world: DealsWorld, path: str, **how: Any) -> httpx.Response:
    """Read a path, by POST where it is one of the lists."""
    if path.startswith("/v2/users/otcs/"):
        return world.ask("POST", path, {"page": 1, "per_page": 10}, **how)
    return world.ask("GET", path, **how)


@pytest.mark.parametrize("path", [*LISTS, *READS])
def test_every_role_reads_what_is_of_its_node_and_below(shared: DealsWorld, path: str) -> None:
    assert asked(shared, path.format(user=U1), client=READER).status_code == 200
    assert asked(shared, path.format(user=U3), client=READER).status_code == 200
    for user in (U1, U3):
        assert_error(asked(shared, path.format(user=user), client=THIRD), 403, *DENIED)


@pytest.mark.parametrize("path", [*LISTS, *READS])
def test_users_that_there_are_not(shared: DealsWorld, path: str) -> None:
    said = NOBODY if T in path else "User not found"
    assert_error(asked(shared, path.format(user=UNKNOWN)), 404, "Resource not found", said)
    assert_error(asked(shared, path.format(user=UNKNOWN), client=THIRD), 404, "Resource not found", said)
    for user in (U1[:-1], U1 + "0", "x" * 24, "%C3%A9" * 24):
        answer = asked(shared, path.format(user=user))
        if path in LISTS or "per_page" in path:
            assert_error(answer, 400, "Invalid request parameters")
        else:
            assert_error(answer, 400, "Invalid parameters", FORMAT if T in path else "Invalid user ID format")


def test_ids_may_be_written_in_capitals(shared: DealsWorld) -> None:
    assert shared.holding(U1.upper(), T.upper())["user_id"] == U1


def test_a_token_that_there_is_not(shared: DealsWorld) -> None:
    for path in (
        f"/v2/users/otcs/users/{U1}/tokens/{UNKNOWN}",
        f"/v2/users/purchases/users/{U1}/tokens/{UNKNOWN}/quantity",
    ):
        assert_error(asked(shared, path), 404, "Resource not found", NOBODY)


@pytest.mark.parametrize(
    "page, per_page",
    [
        (1, 101),
        (0, 10),
        (-1, 10),
        (10**9 + 1, 10),
        (10**30, 10),
        (1.5, 10),
        ("1", 10),
        (None, 10),
        (True, 10),
        ([1], 10),
        (1, None),
    ],
)
def test_pages_that_are_none(shared: DealsWorld, page: Any, per_page: Any) -> None:
    for path in LISTS:
        answer = shared.ask("POST", path.format(user=U1), {"page": page, "per_page": per_page})
        assert_error(answer, 400, "Invalid request parameters")


def test_the_widest_and_the_last_page(shared: DealsWorld) -> None:
    for path in LISTS:
        answer = shared.ask("POST", path.format(user=U1), {"page": 10**9, "per_page": 100.0})
        assert answer.json()["data"] == []
        assert answer.json()["pagination"] == {
            "current_page": 10**9,
            "per_page": 100,
            "total": 0,
            "total_pages": 0,
        }


@pytest.mark.parametrize(
    "query",
    [
        "",
        "page=1",
        "per_page=10",
        "page=0&per_page=10",
        "page=1&per_page=101",
        "page=x&per_page=10",
        "page=1.0&per_page=10",
        "page=%D9%A1&per_page=10",
        "page=1&per_page=10&types=x",
        "page=1&per_page=10&types=",
        "page=1&per_page=10&types=-6",
        "page=1&per_page=10&types=6,7",
    ],
)
def test_queries_that_are_none(shared: DealsWorld, query: str) -> None:
    answer = shared.ask("GET", f"/v2/users/users/{U1}/transactions?{query}")
    assert_error(answer, 400, "Invalid request parameters")


RIVAL = """
[[tenants]]
ref = "rival"

[[tenants.branches]]
ref = "R"

[[tenants.roles]]
ref = "all"
permissions = ["*"]

[[tenants.supervisors]]
ref = "rival"
branch = "R"
role = "all"
email = "rival@example.com"

[[tenants.clients]]
ref = "rival"
supervisor = "rival"
"""


def test_another_tenant_sees_nothing_whatever_its_node(server: DeskServer) -> None:
    world = DealsWorld(server, template=None, world=DealsWorld.file() + RIVAL)
    transaction_id = world.sold()
    for path in [*LISTS, *READS]:
        said = NOBODY if T in path else "User not found"
        assert_error(asked(world, path.format(user=U1), client="rival"), 404, "Resource not found", said)
    path = f"/v2/admin/tokens/{T}/transactions/{transaction_id}"
    assert_error(world.ask("GET", path, client="rival"), 404, "Resource not found", "Transaction not found")
    answer = world.ask("POST", f"/v2/admin/token/{T}/transactions/search", {}, client="rival")
    assert_error(answer, 404, "Resource not found", "Token not found")
    assert_error(world.sell(how={"client": "rival"}), 404, "Resource not found", NOBODY)
    assert_error(world.cancel(1, client="rival"), 404, *NO_DEAL)


# -- deals -------------------------------------------------------------------------------------------------------------


def test_a_deal_as_the_contract_shows_it(world: DealsWorld) -> None:
    deal_id = world.active_deal(quantity=4, price_amount=2.5)
    told = world.searched(f"/v2/users/otcs/users/{U1}/tokens/{T}", per_page=2)
    (deal,) = told["data"]
    times = {name: deal.pop(name) for name in ("expires_at", "created_at", "updated_at")}
    assert all(text.endswith("Z") for text in times.values())
    assert deal == {
        "deal_id": deal_id,
        "quantity": 4,
        "available_quantity": 4,
        "price": {"amount": 2.5, "decimal": 6, "symbol": "VUSD"},
        "counterparty_id": N,
        "counterparty_name": "Example Node",
        "counterparty_rating": 0,
        "deal_type": "sell",
        "status": "active",
        "negotiable": False,
        "minimum_quantity": 4,
        "terms": {"settlement_period": "", "payment_method": "", "additional_notes": ""},
    }
    assert told["token_info"] == {
        "id": T,
        "name": "Example Tower",
        "symbol": "EXT",
        "description": "",
        "current_market_price": {"amount": 2, "decimal": 6, "symbol": "VUSD"},
    }
    assert told["pagination"] == {"current_page": 1, "per_page": 2, "total": 1, "total_pages": 1}


def test_a_deal_among_those_of_all_tokens(world: DealsWorld) -> None:
    deal_id = world.active_deal(quantity=4, price_amount=2.5)
    told = world.searched(f"/v2/users/otcs/users/{U1}/group-search")
    (deal,) = told["data"]
    for name in ("expires_at", "created_at", "updated_at"):
        assert deal.pop(name).endswith("Z")
    assert deal == {
        "deal_id": deal_id,
        "token_id": T,
        "token_name": "Example Tower",
        "token_symbol": "EXT",
        "quantity": 4,
        "available_quantity": 4,
        "price": {"amount": 2.5, "decimal": 6, "symbol": "VUSD"},
        "seller_id": U1,
        "seller_name": "Ada Seller",
        "buyer_id": None,
        "buyer_name": None,
        "deal_type": "sell",
        "status": "active",
    }
    assert told["pagination"]["total"] == 1
    assert world.searched(f"/v2/users/otcs/users/{U2}/group-search")["data"] == []


def test_prices_lose_no_digit(world: DealsWorld) -> None:
    price = "9007199254740993.000001"
    body = f'{{"quantity": 1, "price_id": "{C}", "price_amount": {price}}}'
    path = f"/v2/users/otcs/users/{U1}/tokens/{T}/sell"
    answer = world.ask("POST", path, headers={"Content-Type": "application/json"}, content=body)
    told = world.finished(answer.json()["transaction_id"])
    found = world.ask("GET", f"/v2/admin/tokens/{T}/transactions/{told['id']}")
    assert exact(found)["data"]["price_amount"] == Decimal(price)
    listed = world.ask("POST", f"/v2/users/otcs/users/{U1}/tokens/{T}", {"page": 1, "per_page": 1})
    assert exact(listed)["data"][0]["price"]["amount"] == Decimal(price)


def test_deals_come_newest_first_and_in_pages(world: DealsWorld) -> None:
    made = []
    for _ in range(5):
        made.append(world.active_deal(quantity=1))
        world.advance(seconds=1)
    assert made == sorted(set(made))
    for path in LISTS:
        pages = [world.searched(path.format(user=U1), page=page, per_page=2) for page in (1, 2, 3, 4)]
        assert [[deal["deal_id"] for deal in page["data"]] for page in pages] == [
            [made[4], made[3]],
            [made[2], made[1]],
            [made[0]],
            [],
        ]
        assert {(page["pagination"]["total"], page["pagination"]["total_pages"]) for page in pages} == {(5, 3)}


def test_what_is_not_active_yet_is_not_listed(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    world.sold()
    for path in LISTS:
        assert world.searched(path.format(user=U1))["data"] == []


def test_a_deal_that_is_being_taken_back_is_active_until_it_is(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    world.fault("chain", "unknown")
    transaction_id = world.cancel(deal_id).json()["transaction_id"]
    world.run_workers()
    assert world.transaction(transaction_id)["status"] == 2
    (deal,) = world.deals()
    assert (deal["status"], deal["available_quantity"]) == ("active", 3)
    assert_error(world.cancel(deal_id), 409, "Deal cannot be cancelled", "Deal is already completed or expired")


def test_a_deal_runs_out_by_the_clock_whether_that_is_recorded_or_not(idle: DeskServer) -> None:
    world = DealsWorld(idle)
    deal_id = world.active_deal(quantity=4)
    (before,) = world.deals()
    world.advance(seconds=DAYS_31 - 1)
    assert (world.deals()[0]["status"], world.quantities()) == ("active", (10, 6, 4))
    world.advance(seconds=1)
    for path in LISTS:
        (deal,) = world.searched(path.format(user=U1))["data"]
        assert (deal["status"], deal["available_quantity"]) == ("expired", 0)
        assert deal["updated_at"] == deal["expires_at"] == before["expires_at"]
    assert world.quantities() == (10, 10, 0)
    assert_error(world.cancel(deal_id), 409, "Deal cannot be cancelled", "Deal is already completed or expired")
    told = world.deals()
    world.sold(quantity=10)  # of what nobody has given back yet
    assert world.quantities() == (10, 0, 10)
    world.run_workers()
    assert world.quantities() == (10, 0, 10)
    (_, over) = world.deals()
    assert [over] == told


def test_a_deal_that_has_run_out_is_recorded_as_it_was_shown(idle: DeskServer) -> None:
    world = DealsWorld(idle)
    world.active_deal(quantity=4)
    world.advance(seconds=DAYS_31)
    told = world.deals()
    assert world.quantities() == (10, 10, 0)
    world.run_workers()
    assert (world.deals(), world.quantities()) == (told, (10, 10, 0))


def test_a_deal_that_never_runs_out(server: DeskServer) -> None:
    file = DealsWorld.file().replace("validity_days = 31", "validity_days = 0")
    world = DealsWorld(server, template=None, world=file)
    world.active_deal()
    assert world.deals()[0]["expires_at"] is None


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_finished_transaction_as_the_contract_shows_it(world: DealsWorld) -> None:
    transaction_id = world.sold(quantity=4, price_amount=2.5)
    told = world.finished(transaction_id)
    assert told.pop("created_at").endswith("Z")
    assert told.pop("updated_at").endswith("Z")
    assert len(told.pop("hash")) == 66
    deal_id = told["data"].pop("deal_id")
    assert deal_id > 0
    expected = {
        "id": transaction_id,
        "user_id": U1,
        "type": 6,
        "status": 3,
        "environment": 0,
        "internal_id": None,
        "external_id": T,
        "error": None,
        "message": None,
        "data": {
            "token_id": T,
            "quantity": 4,
            "price_id": C,
            "price_amount": 2.5,
            "price_decimal": 6,
            "price_symbol": "VUSD",
            "price_address": "0x00000000000000000000000000000000000000c1",
            "seller_address": "0x00000000000000000000000000000000000000a1",
        },
        "is_api": True,
    }
    assert told == {**expected, "token_id": T}


def test_both_ways_to_poll_read_the_same_record(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    world.advance(milliseconds=1)
    cancelled = world.cancel(deal_id).json()["transaction_id"]
    world.finished(cancelled)
    listed = world.transactions()
    assert [one["type"] for one in listed] == [7, 6]
    for one in listed:
        told = world.transaction(one["id"])
        assert told.pop("token_id") == T
        assert told == one
        assert world.read(f"/v2/admin/token/{T}/transactions/{one['id']}") == {**one, "token_id": T}


def test_transactions_of_some_types_and_in_pages(world: DealsWorld) -> None:
    deals = [world.active_deal(quantity=1) for _ in range(3)]
    world.advance(milliseconds=1)
    world.finished(world.cancel(deals[0]).json()["transaction_id"])
    answer = world.read(f"/v2/users/users/{U1}/transactions?page=2&per_page=2&types=6")
    assert (answer["total"], answer["page"], answer["per_page"], len(answer["data"])) == (3, 2, 2, 1)
    both = world.transactions(query="page=1&per_page=10&types=6&types=7")
    assert [one["type"] for one in both] == [7, 6, 6, 6]
    assert world.transactions(query="page=1&per_page=10&types=5&types=99") == []
    assert len(world.transactions(query="page=1&per_page=10&types=5&types=7")) == 1


def test_what_the_chain_does_by_itself_is_nobodys_transaction(world: DealsWorld) -> None:
    world.active_deal()
    world.advance(seconds=DAYS_31)
    world.run_workers()  # which gives the tokens back on the chain
    told = world.read(f"/v2/users/users/{U1}/transactions?page=1&per_page=10")
    assert ([one["type"] for one in told["data"]], told["total"]) == ([6], 1)
    told = world.read(f"/v2/users/users/{U2}/transactions?page=1&per_page=10")
    assert (told["data"], told["total"]) == ([], 0)


def test_transactions_that_there_are_not(world: DealsWorld) -> None:
    transaction_id = world.sold()
    missing = (404, "Resource not found", "Transaction not found")
    for token in ("token", "tokens"):
        path = f"/v2/admin/{token}"
        assert_error(world.ask("GET", f"{path}/{T}/transactions/{UNKNOWN}"), *missing)
        assert_error(world.ask("GET", f"{path}/{UNKNOWN}/transactions/{transaction_id}"), *missing)
        assert world.ask("GET", f"{path}/{T}/transactions/{transaction_id}", client=READER).status_code == 200
        assert_error(world.ask("GET", f"{path}/{T}/transactions/{transaction_id}", client=THIRD), 403, *DENIED)
        answer = world.ask("GET", f"{path}/{T}/transactions/nonsense")
        assert_error(answer, 400, "Invalid parameters", "Invalid transaction ID format")
    other = DealsWorld(world.server)
    assert_error(other.ask("GET", f"/v2/admin/tokens/{T}/transactions/{transaction_id}"), *missing)


def test_a_node_polls_what_its_own_users_have_asked_for_of_a_token_above_it(server: DeskServer) -> None:
    file = DealsWorld.file().replace(
        'id = "65a1b2c3d4e5f60718290f03"\nbranch = "N3"', 'id = "65a1b2c3d4e5f60718290f03"\nbranch = "N2"'
    )
    world = DealsWorld(server, template=None, world=file)
    transaction_id = world.sold(U3, quantity=1, how={"client": THIRD})
    world.run_workers()
    assert world.transaction(transaction_id, client=THIRD)["status"] == 3
    assert world.deals(U3, client=THIRD)[0]["counterparty_id"] == N
    assert_error(world.ask("GET", f"/v2/admin/tokens/{T}/transactions/{world.sold()}", client=THIRD), 403, *DENIED)


def test_the_history_of_a_token(shared: DealsWorld) -> None:
    path = f"/v2/admin/token/{T}/transactions/search"
    told = shared.ask("POST", path, {}).json()
    (made,) = told.pop("data")
    assert told == {"total": 1, "page": 1, "per_page": 20}
    assert made.pop("created_at").endswith("Z")
    assert len(made.pop("id")) == 24
    assert made == {
        "node_id": N,
        "user_id": None,
        "token_id": T,
        "hash": None,
        "type": 1,
        "status": 3,
        "error": None,
    }
    assert shared.ask("POST", path, {"page": 2}).json()["data"] == []
    assert_error(shared.ask("POST", path, {}, client=THIRD), 403, *DENIED)
    assert_error(shared.ask("POST", path, {"per_page": 0}), 400, "Invalid parameters", "per_page must be from 1 to 100")
    answer = shared.ask("POST", f"/v2/admin/token/{UNKNOWN}/transactions/search", {})
    assert_error(answer, 404, "Resource not found", "Token not found")


# -- users -------------------------------------------------------------------------------------------------------------

PERSON = {"email": "new@example.com", "name": "Nil", "surname": "Newman", "identity_number": "10000000999"}


def test_a_user_is_registered_once_with_the_callers_node(world: DealsWorld) -> None:
    answer = world.ask("POST", "/v2/users/users", PERSON)
    assert answer.status_code == 201
    user_id = answer.json()["id"]
    assert answer.json() == {"id": user_id, **PERSON, "address": "", "kyc": None}
    assert world.read(f"/v2/users/users/{user_id}") == answer.json()
    assert_error(
        world.ask("POST", "/v2/users/users", {**PERSON, "email": "other@example.com"}), 409, "User already exists"
    )
    assert world.quantities(user_id) == (0, 0, 0)
    elsewhere = world.ask("POST", "/v2/users/users", PERSON, client=THIRD)
    assert elsewhere.status_code == 201
    assert_error(world.ask("GET", f"/v2/users/users/{user_id}", client=THIRD), 403, *DENIED)
    assert world.ask("GET", f"/v2/users/users/{elsewhere.json()['id']}").status_code == 200


def test_a_user_of_the_fixture(shared: DealsWorld) -> None:
    assert shared.read(f"/v2/users/users/{U1}") == {
        "id": U1,
        "name": "Ada",
        "surname": "Seller",
        "email": "ada@example.com",
        "address": "0x00000000000000000000000000000000000000a1",
        "identity_number": "10000000146",
        "kyc": {"is_verified": True, "token_sent": False, "token_sent_at": "", "token_tx_hash": ""},
    }


@pytest.mark.parametrize("field", [*PERSON])
@pytest.mark.parametrize("value", [None, "", "   ", 1, "x\x00@y", "x" * 201 + "@y", ["a"]])
def test_users_that_cannot_be_registered(shared: DealsWorld, field: str, value: Any) -> None:
    answer = shared.ask("POST", "/v2/users/users", {**PERSON, field: value})
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert field in answer.json()["details"]


def test_what_is_missing_of_a_user_is_named(shared: DealsWorld) -> None:
    for field in PERSON:
        body = {name: value for name, value in PERSON.items() if name != field}
        answer = shared.ask("POST", "/v2/users/users", body)
        assert_error(answer, 400, "Invalid parameters", f"{field} is required")
    answer = shared.ask("POST", "/v2/users/users", {**PERSON, "email": "nowhere"})
    assert_error(answer, 400, "Invalid parameters", "email must be an e-mail address")
    answer = shared.ask("POST", "/v2/users/users", PERSON, client=READER)
    assert_error(answer, 403, "Access denied", "Insufficient permissions to create users")


def test_hostile_names_are_kept_as_they_are(world: DealsWorld) -> None:
    hostile = {**PERSON, "name": "<b>'; drop table jobs; --", "surname": '\u202eRobert \U0001f600"}'}
    answer = world.ask("POST", "/v2/users/users", hostile)
    assert answer.status_code == 201
    assert world.read(f"/v2/users/users/{answer.json()['id']}") == answer.json()
    assert (answer.json()["name"], answer.json()["surname"]) == (hostile["name"], hostile["surname"])


def test_a_wallet(shared: DealsWorld) -> None:
    told = shared.read(f"/v2/users/users/{U2}/wallet/summary")
    (currency,) = told.pop("stable_currencies")
    assert told == {"balance_native": 0, "balance_native_symbol": "", "balance_native_logo": ""}
    assert currency["amount"] == 500
    token = currency["currency_token"]
    for name in ("created_at", "updated_at"):
        assert token.pop(name).endswith("Z")
    assert token == {
        "id": C,
        "node_id": N,
        "type": 0,
        "status": 3,
        "name": "Vendor Dollar",
        "symbol": "VUSD",
        "total_supply": 1500,
        "description": "",
        "decimals": 6,
        "meta": {"logo": None},
        "contract": {"address": "0x00000000000000000000000000000000000000c1", "tx_hash": None},
        "is_active": True,
    }
    assert shared.read(f"/v2/users/users/{U3}/wallet/summary")["stable_currencies"][0]["amount"] == 0


# -- holdings ----------------------------------------------------------------------------------------------------------


def test_a_holding_as_the_contract_shows_it(world: DealsWorld) -> None:
    world.sold(quantity=4)
    told = world.holding()
    first, last = told.pop("first_purchase_date"), told.pop("last_purchase_date")
    assert first == last
    assert first.endswith("Z")
    assert told == {
        "user_id": U1,
        "token_id": T,
        "token_name": "Example Tower",
        "token_symbol": "EXT",
        "total_quantity": 10,
        "available_quantity": 6,
        "locked_quantity": 4,
        "purchase_summary": {
            "total_purchases": 1,
            "primary_market_quantity": 10,
            "secondary_market_quantity": 0,
            "otc_quantity": 0,
            "average_purchase_price": {"amount": 2, "decimal": 6, "symbol": "VUSD"},
            "total_invested": {"amount": 20, "decimal": 6, "symbol": "VUSD"},
        },
    }


def test_who_has_nothing_has_bought_nothing(shared: DealsWorld) -> None:
    told = shared.holding(U2)
    assert (told["total_quantity"], told["available_quantity"], told["locked_quantity"]) == (0, 0, 0)
    assert told["purchase_summary"] == {
        "total_purchases": 0,
        "primary_market_quantity": 0,
        "secondary_market_quantity": 0,
        "otc_quantity": 0,
        "average_purchase_price": {"amount": 0, "decimal": 6, "symbol": "VUSD"},
        "total_invested": {"amount": 0, "decimal": 6, "symbol": "VUSD"},
    }
    assert (told["first_purchase_date"], told["last_purchase_date"]) == (None, None)


def test_what_was_bought_on_each_market_adds_up(world: DealsWorld) -> None:
    def bought(market: str, **body: Any) -> None:
        path = f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-{market}-market"
        answer = world.ask("POST", path, body)
        assert answer.status_code == 200, answer.text
        world.finished(answer.json()["transaction_id"])

    bought("primary", quantity=7)
    world.advance(seconds=60)
    sell = {"quantity": 3, "price_id": C, "price_amount": 5.5}
    answer = world.ask("POST", f"/v2/users/secondary-markets/users/{U1}/tokens/{T}/sell", sell)
    told = world.finished(answer.json()["transaction_id"])
    assert told["type"] == 3
    bought("secondary", quantity=2, deal_id=told["data"]["deal_id"])
    holding = world.holding(U2)
    summary = holding["purchase_summary"]
    assert summary == {
        "total_purchases": 2,
        "primary_market_quantity": 7,
        "secondary_market_quantity": 2,
        "otc_quantity": 0,
        "average_purchase_price": {"amount": 2.777778, "decimal": 6, "symbol": "VUSD"},
        "total_invested": {"amount": 25, "decimal": 6, "symbol": "VUSD"},
    }
    assert holding["total_quantity"] == 9
    assert holding["first_purchase_date"] < holding["last_purchase_date"]
    assert world.quantities(U1) == (8, 7, 1)
    assert world.holding(U1)["purchase_summary"]["primary_market_quantity"] == 10  # what was sold was bought before
    types = [(one["type"], one["data"]["total_fee_amount"]) for one in world.transactions(U2)]
    assert types == [(2, 0), (1, 0)]


# -- sell and cancel ---------------------------------------------------------------------------------------------------

SELL = f"/v2/users/otcs/users/{U1}/tokens/{T}/sell"
CANCEL = f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel"


def written(**changes: str) -> str:
    """Return a sell's body as text, with fields written otherwise."""
    fields = {"quantity": "3", "price_id": f'"{C}"', "price_amount": "12", **changes}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"


def sent(world: DealsWorld, path: str, text: str | bytes, **headers: str) -> httpx.Response:
    """Send a body as it is written."""
    return world.ask("POST", path, headers={"Content-Type": "application/json", **headers}, content=text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "1",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        "{}",
        "[" * 50_000,
        '{"a":' * 10_000,
        written(quantity="NaN"),
        written(quantity="Infinity"),
        written(quantity="1e400"),
        written(quantity="01"),
        written(quantity="+1"),
        written(quantity="0x1"),
        written(quantity="[1]"),
        written(quantity="{}"),
        written(quantity="null"),
        written(quantity="true"),
        written(quantity='""'),
        written(quantity="9" * 5_000),
        written(quantity="-" + "9" * 50),
        written(quantity="1.00000000000000000000000000000000000000001"),
        written(quantity="1e-1"),
        written(price_amount="1e-7"),
        written(price_amount="1e99"),
        written(price_amount="-0"),
        written(price_amount="-0.0"),
        written(price_amount="null"),
        written(price_amount="NaN"),
        written(price_amount='"12"'),
        written(price_amount="0." + "0" * 70 + "1"),
        written(price_amount="9" * 40),
        written(price_id="null"),
        written(price_id="1"),
        written(price_id='""'),
        written(price_id=f'"{C[:-1]}"'),
        written(price_id=f'"{C}0"'),
        written(price_id='"\\u0661' + "1" * 23 + '"'),
        written(price_id=f'"{C}\\u0000"'),
        written()[:-1] + ', "quantity": 1}',
        written()[:-1] + ', "more": {"a": 1, "a": 2}}',
    ],
)
def test_bodies_that_are_no_offer(shared: DealsWorld, text: str | bytes) -> None:
    answer = sent(shared, SELL, text)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert answer.json()["details"]


@pytest.mark.parametrize("quantity", ["-0", "-0.0", "0e5", "-1e3", "-9" + "0" * 45, "0.0"])
def test_quantities_that_are_not_above_zero(shared: DealsWorld, quantity: str) -> None:
    answer = sent(shared, SELL, written(quantity=quantity))
    assert_error(answer, 400, "Invalid parameters", "Quantity must be greater than 0")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"quantity": None}, "Quantity is required"),
        ({"price_id": None}, "price_id is required"),
        ({"price_amount": None}, "price_amount is required"),
        ({"quantity": 1.5}, "Quantity must be an integer"),
        ({"quantity": "3"}, "Quantity must be a number"),
        ({"price_amount": 0}, "price_amount must be greater than 0"),
        ({"price_amount": 1.2345678}, "Price has more decimals than its currency"),
        ({"price_id": "x"}, "Invalid price_id format"),
        ({"price_id": UNKNOWN}, "Price currency token not found"),
        ({"price_id": T}, "Price currency token not found"),
        ({"price_amount": 10**32}, "The amount is out of range"),
    ],
)
def test_what_is_wrong_with_an_offer_is_said(shared: DealsWorld, changes: dict[str, Any], said: str) -> None:
    assert_error(shared.sell(**changes), 400, "Invalid parameters", said)


@pytest.mark.parametrize(
    "text",
    [
        written(quantity="2.0"),
        written(quantity="2e0"),
        written(quantity="20e-1"),
        written(quantity="0.2E1"),
        written(quantity="2.000"),
        written(quantity=" 2 "),
        written(quantity="2", price_amount="1.2e1"),
        written(quantity="2", price_amount="12.000000000"),
        written(quantity="2", price_id=f'"{C.upper()}"'),
        written(quantity="2", note='"clients may send more"', quantities="[1, 2]"),
    ],
)
def test_offers_in_other_words(world: DealsWorld, text: str) -> None:
    answer = sent(world, SELL, text)
    assert answer.status_code == 200, answer.text
    data = world.finished(answer.json()["transaction_id"])["data"]
    assert (data["quantity"], data["price_amount"], data["price_id"]) == (2, 12, C)


def test_a_body_of_another_kind_or_size(shared: DealsWorld) -> None:
    answer = sent(shared, SELL, written(), **{"Content-Type": "text/plain"})
    assert_error(answer, 415, "Unsupported media type", "The body must be application/json.")
    answer = sent(shared, SELL, written()[:-1] + " " * 70_000 + "}")
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")
    assert sent(shared, SELL, "{}", **{"Content-Type": "application/json; charset=utf-8"}).status_code == 400


def test_the_order_of_the_checks_of_a_sell(server: DeskServer) -> None:
    file = DealsWorld.file().replace('unsold = "990"', 'unsold = "990"\nopen_to_resale = false')
    world = DealsWorld(server, template=None, world=file)
    path = "/v2/users/otcs/users/{}/tokens/{}/sell"

    def sell(user: str = U1, token: str = T, client: str | None = READER, **changes: Any) -> httpx.Response:
        body = {"quantity": 99, "price_id": UNKNOWN, "price_amount": 1.2345678, **changes}
        return world.ask("POST", path.format(user, token), body, client=client)

    assert_error(sell("x", client=None), 401, "Authentication required")
    assert_error(sell("x"), 400, "Invalid parameters", FORMAT)
    assert_error(sell(UNKNOWN, quantity=0), 400, "Invalid parameters", "Quantity must be greater than 0")
    assert_error(sell(UNKNOWN), 404, "Resource not found", NOBODY)
    assert_error(sell(token=UNKNOWN), 404, "Resource not found", NOBODY)
    assert_error(sell(), 403, "Access denied", "Insufficient permissions to create OTC offers")
    assert_error(sell(client="root"), 422, "Offer not possible", "Token is not open to OTC trading")


def test_a_token_that_is_not_listed_cannot_be_offered(server: DeskServer) -> None:
    file = DealsWorld.file().replace('unsold = "990"', 'unsold = "990"\nstate = "passive"')
    world = DealsWorld(server, template=None, world=file)
    assert_error(world.sell(), 422, "Offer not possible", "Token is not open to OTC trading")


def test_users_that_must_be_verified(server: DeskServer) -> None:
    file = DealsWorld.file().replace("validity_days = 31", "validity_days = 31\nverifies_parties = true")
    file = file.replace('identity_number = "10000000146"', 'identity_number = "10000000146"\nstatus = "unverified"')
    world = DealsWorld(server, template=None, world=file)
    assert_error(world.sell(), 403, "Access denied", "User is not verified")
    assert world.read(f"/v2/users/users/{U1}")["kyc"] is None
    file = file.replace('"unverified"', '"inactive"')
    world = DealsWorld(server, template=None, world=file)
    assert_error(world.sell(), 403, "Access denied", "User is not active")
    assert world.read(f"/v2/users/users/{U1}")["kyc"]["is_verified"] is False


def test_a_token_of_a_node_beside_the_users_is_not_found(server: DeskServer) -> None:
    file = DealsWorld.file().replace(
        'ref = "T"\nid = "65a1b2c3d4e5f60718290b01"\nbranch = "N"', f'ref = "T"\nid = "{T}"\nbranch = "N3"'
    )
    world = DealsWorld(server, template=None, world=file)
    assert_error(world.sell(U3), 404, "Resource not found", NOBODY)
    assert_error(asked(world, f"/v2/users/purchases/users/{U3}/tokens/{T}/quantity"), 404, "Resource not found", NOBODY)
    world.active_deal(U1)
    assert N2 not in str(world.deals(U1))


def test_offers_of_several_prices_side_by_side(world: DealsWorld) -> None:
    made = [world.active_deal(quantity=quantity, price_amount=quantity) for quantity in (1, 2, 3, 4)]
    assert [deal["deal_id"] for deal in world.deals()] == made[::-1]
    assert world.quantities() == (10, 0, 10)
    assert_error(
        world.sell(quantity=1),
        422,
        "Insufficient token balance",
        "User does not have enough tokens to create this offer",
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("{}", "Deal ID is required"),
        ('{"deal_id": null}', "Deal ID is required"),
        ('{"deal_id": 0}', "Deal ID is required"),
        ('{"deal_id": -1}', "Deal ID is required"),
        ('{"deal_id": "1"}', "Deal ID must be a number"),
        ('{"deal_id": 1.5}', "Deal ID must be an integer"),
        ('{"deal_id": true}', "Deal ID must be a number"),
        ('{"deal_id": [1]}', "Deal ID must be a number"),
        ('{"deal_id": 1e400}', "Deal ID must be a number"),
        ('{"deal_id": 1, "deal_id": 2}', "The body names a field twice."),
        ("[1]", "The body must be an object"),
        ("", "The body is not valid JSON in UTF-8."),
    ],
)
def test_cancels_that_name_no_deal(shared: DealsWorld, text: str, said: str) -> None:
    assert_error(sent(shared, CANCEL, text), 400, "Invalid parameters", said)


@pytest.mark.parametrize("deal_id", ["1", "1.0", "1e0", "9223372036854775807", "9223372036854775808", "9" * 38])
def test_deals_that_there_are_not(shared: DealsWorld, deal_id: str) -> None:
    assert_error(sent(shared, CANCEL, f'{{"deal_id": {deal_id}}}'), 404, *NO_DEAL)


def test_the_order_of_the_checks_of_a_cancel(world: DealsWorld) -> None:
    deal_id = world.active_deal(U3, quantity=1)
    done = world.active_deal(U1, quantity=1)
    world.finished(world.cancel(done).json()["transaction_id"])
    assert_error(world.cancel(None, "x", client=READER), 400, "Invalid parameters", FORMAT)
    assert_error(world.cancel(0, UNKNOWN, client=READER), 400, "Invalid parameters", "Deal ID is required")
    assert_error(world.cancel(deal_id, UNKNOWN, client=READER), 404, *NO_DEAL)
    assert_error(world.cancel(deal_id, U3, UNKNOWN, client=READER), 404, *NO_DEAL)
    denied = (403, "Access denied", "Insufficient permissions to cancel OTC offers")
    assert_error(world.cancel(deal_id, U3, client=READER), *denied)
    assert_error(world.cancel(deal_id, U3, client=THIRD), *denied)
    assert_error(world.cancel(10**6, U1), 404, *NO_DEAL)
    assert_error(world.cancel(deal_id, U1), 403, "Access denied", "You can only cancel your own deals")
    assert_error(world.cancel(done, U2), 403, "Access denied", "You can only cancel your own deals")
    assert_error(world.cancel(done, U1), 409, "Deal cannot be cancelled", "Deal is already completed or expired")
    assert world.cancel(deal_id, U3).status_code == 200


def test_a_deal_of_the_secondary_market_is_none_over_the_counter(world: DealsWorld) -> None:
    sell = {"quantity": 3, "price_id": C, "price_amount": 5.5}
    answer = world.ask("POST", f"/v2/users/secondary-markets/users/{U1}/tokens/{T}/sell", sell)
    told = world.finished(answer.json()["transaction_id"])
    assert_error(world.cancel(told["data"]["deal_id"]), 404, *NO_DEAL)
    assert world.deals() == []


def test_a_cancel_that_the_chain_refuses_leaves_the_deal_active(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    world.fault("chain", "refuse")
    transaction_id = world.cancel(deal_id).json()["transaction_id"]
    world.run_workers()
    told = world.transaction(transaction_id)
    assert (told["type"], told["status"], told["data"]) == (7, 4, None)
    assert told["error"]
    assert world.deals()[0]["status"] == "active"
    assert world.quantities() == (10, 7, 3)
    world.fault("chain", "up")
    world.finished(world.cancel(deal_id).json()["transaction_id"])
    assert world.quantities() == (10, 10, 0)


def test_of_two_cancels_at_once_one_wins(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: world.cancel(deal_id), range(2)))
    world.run_workers()
    taken = [answer.json()["transaction_id"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert sorted(world.transaction(one)["status"] for one in taken) in ([3], [3, 4])
    assert world.quantities() == (10, 10, 0)
