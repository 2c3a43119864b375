"""The numbered cases of the deals contract (section 7) about sell, cancel, lists, transactions and holdings.

What needs the admin side is in `test_deals_admin.py`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.databases import run_apart
from tests.support.deals import DEALS, READER, THIRD, U1, U2, U3, C, DealsWorld, T, assert_error
from tests.support.server import DeskServer

ID = re.compile(r"[0-9a-f]{24}")
HASH = re.compile(r"0x[0-9a-f]{64}")


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def test_case_01_a_sell_answers_its_transaction_and_nothing_else(world: DealsWorld) -> None:
    answer = world.sell()
    assert answer.status_code == 200
    assert [*answer.json()] == ["transaction_id"]
    assert ID.fullmatch(answer.json()["transaction_id"])
    assert answer.json()["transaction_id"] != U1


def test_case_02_the_transaction_is_listed_before_it_is_settled(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    transaction_id = world.sold()
    (found,) = world.transactions(query="page=1&per_page=10&types=6")
    assert (found["id"], found["type"], found["external_id"]) == (transaction_id, 6, T)
    assert found["status"] in {1, 2}
    assert (found["hash"], found["error"], found["message"], found["data"]) == (None, None, None, None)
    assert world.transactions(query="page=1&per_page=10&types=7") == []


def test_case_04_a_settled_transaction_says_which_deal_came_of_it(world: DealsWorld) -> None:
    transaction_id = world.sold()
    world.run_workers()
    told = world.transaction(transaction_id)
    assert (told["status"], told["error"], told["token_id"]) == (3, None, T)
    assert HASH.fullmatch(told["hash"])
    data = told["data"]
    assert (data["quantity"], data["price_id"], data["price_amount"]) == (3, C, 12)
    assert type(data["deal_id"]) is int


def test_case_05_the_deal_is_listed(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    told = world.searched(f"/v2/users/otcs/users/{U1}/tokens/{T}")
    (deal,) = told["data"]
    assert (deal["deal_id"], deal["status"], deal["quantity"], deal["available_quantity"]) == (deal_id, "active", 3, 3)
    assert deal["price"] == {"amount": 12, "decimal": 6, "symbol": "VUSD"}
    assert told["pagination"] == {"current_page": 1, "per_page": 10, "total": 1, "total_pages": 1}


@pytest.mark.parametrize("quantity", [0, -1])
def test_case_07_a_quantity_that_is_not_above_zero(world: DealsWorld, quantity: int) -> None:
    assert_error(world.sell(quantity=quantity), 400, "Invalid parameters", "Quantity must be greater than 0")
    assert world.quantities() == (10, 10, 0)
    assert world.transactions() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": 1.5},
        {"quantity": "3"},
        {"quantity": None},
        {"price_id": None},
        {"price_amount": None},
        {"price_amount": 0},
        {"price_amount": -1},
        {"price_amount": 1.2345678},
    ],
)
def test_case_08_one_bad_field(world: DealsWorld, changes: dict[str, Any]) -> None:
    answer = world.sell(**changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert answer.json()["details"]
    assert world.quantities() == (10, 10, 0)
    assert world.transactions() == []


def test_case_11_who_may_not_sell_is_told_so(world: DealsWorld) -> None:
    for client, user in ((READER, U1), (THIRD, U3), (THIRD, U1)):
        answer = world.sell(user, how={"client": client})
        assert_error(answer, 403, "Access denied", "Insufficient permissions to create OTC offers")
    assert world.quantities() == (10, 10, 0)


def test_case_13_more_than_one_has(world: DealsWorld) -> None:
    for user, quantity in ((U1, 11), (U2, 1)):
        answer = world.sell(user, quantity=quantity)
        details = "User does not have enough tokens to create this offer"
        assert_error(answer, 422, "Insufficient token balance", details)
    assert world.quantities() == (10, 10, 0)


def test_case_14_what_is_offered_is_held_at_once(world: DealsWorld) -> None:
    world.sold(quantity=10)
    details = "User does not have enough tokens to create this offer"
    assert_error(world.sell(quantity=1), 422, "Insufficient token balance", details)
    assert world.quantities() == (10, 0, 10)


def test_case_17_a_cancelled_deal_gives_its_tokens_back(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    assert world.quantities() == (10, 7, 3)
    answer = world.cancel(deal_id)
    assert answer.status_code == 200
    assert [*answer.json()] == ["transaction_id"]
    told = world.finished(answer.json()["transaction_id"])
    assert (told["type"], told["data"]["deal_id"]) == (7, deal_id)
    (deal,) = world.deals()
    assert (deal["deal_id"], deal["status"], deal["available_quantity"]) == (deal_id, "cancelled", 0)
    assert world.quantities() == (10, 10, 0)


def test_case_22_what_the_chain_refuses_is_no_deal(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    transaction_id = world.sold()
    world.run_workers()
    told = world.transaction(transaction_id)
    assert told["status"] == 4
    assert told["error"]
    assert told["data"] is None
    assert world.quantities() == (10, 10, 0)
    assert world.deals() == []


@pytest.mark.parametrize("body", [{"per_page": 10}, {"page": 1, "per_page": 0}])
def test_case_23_a_page_that_is_no_page(world: DealsWorld, body: dict[str, int]) -> None:
    answer = world.ask("POST", f"/v2/users/otcs/users/{U1}/tokens/{T}", body)
    assert_error(answer, 400, "Invalid request parameters")


# -- a storage that breaks ---------------------------------------------------------------------------------------------


@pytest.fixture
def breakable(fresh_dsn: str, tmp_path: Path) -> Iterator[DeskServer]:
    """Give a server on a database of its own, which the test may break; it may log errors."""
    server = DeskServer(fresh_dsn, tmp_path)
    try:
        yield server.start()
    finally:
        server.stop()


def _carry_out(dsn: str, *statements: str) -> None:
    async def carry_out() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    run_apart(carry_out())


_BREAK = (
    "create function broken() returns trigger language plpgsql as 'begin raise exception $$the secret inside$$; end'",
    "create trigger broken before insert on jobs for each row execute function broken()",
)
_MEND = ("drop trigger broken on jobs",)


def test_case_25_a_storage_that_throws_leaves_nothing_and_tells_nothing(breakable: DeskServer) -> None:
    world = DealsWorld(breakable)
    sell = f"/v2/users/otcs/users/{U1}/tokens/{T}/sell"
    body = {"quantity": 3, "price_id": C, "price_amount": 12}
    headers = {"Authorization": f"Bearer {world.bearer()}"}
    _carry_out(breakable.environ["DATABASE_URL"], *_BREAK)
    with httpx.Client(base_url=breakable.url, timeout=30) as unchecked:
        answer = unchecked.post(DEALS + sell, json=body, headers=headers)
    assert_error(answer, 500, "Internal server error")
    assert "secret" not in str(answer.headers)
    assert world.quantities() == (10, 10, 0)
    assert world.transactions() == []
    _carry_out(breakable.environ["DATABASE_URL"], *_MEND)
    world.finished(world.sold(quantity=10))
