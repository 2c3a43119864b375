"""Buying on both markets, listing on the secondary one, what was bought, and burning (deals contract 3.12)."""

from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.deals import READER, THIRD, U1, U2, U3, C, DealsWorld, N, T, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once

NOBODY = "65a1b2c3d4e5f60718290fff"
DENIED = "Access denied"
DAYS_31 = 31 * 86_400


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def primary(world: DealsWorld, quantity: Any = 5, user: str = U2, token: str = T, **how: Any) -> httpx.Response:
    path = f"/v2/users/purchases/users/{user}/tokens/{token}/buy-on-primary-market"
    return world.ask("POST", path, {"quantity": quantity}, **how)


def secondary(
    world: DealsWorld, deal_id: Any, quantity: Any = 1, user: str = U2, token: str = T, **how: Any
) -> httpx.Response:
    path = f"/v2/users/purchases/users/{user}/tokens/{token}/buy-on-secondary-market"
    return world.ask("POST", path, {"deal_id": deal_id, "quantity": quantity}, **how)


def sell(world: DealsWorld, quantity: Any = 3, price: Any = 2.5, user: str = U1, **how: Any) -> httpx.Response:
    path = f"/v2/users/secondary-markets/users/{user}/tokens/{T}/sell"
    return world.ask("POST", path, {"quantity": quantity, "price_id": C, "price_amount": price}, **how)


def delist(world: DealsWorld, deal_id: Any, user: str = U1, **how: Any) -> httpx.Response:
    path = f"/v2/users/secondary-markets/users/{user}/tokens/{T}/delist"
    return world.ask("POST", path, {"deal_id": deal_id}, **how)


def burn(world: DealsWorld, user: str = U1, token: str = T, **how: Any) -> httpx.Response:
    return world.ask("POST", f"/v2/users/tokens/{token}/users/{user}/burn", **how)


def started(answer: httpx.Response) -> str:
    """Return the transaction of an answer that has nothing else."""
    assert answer.status_code == 200, answer.text
    assert [*answer.json()] == ["transaction_id"]
    transaction_id: str = answer.json()["transaction_id"]
    return transaction_id


def on_sale(world: DealsWorld, quantity: int = 3, price: Any = 2.5, user: str = U1) -> int:
    """Return the number of a deal on the secondary market that is active."""
    deal_id: int = world.finished(started(sell(world, quantity, price, user)))["data"]["deal_id"]
    return deal_id


def purchases(world: DealsWorld, user: str = U2, **body: Any) -> Any:
    path = f"/v2/users/purchases/users/{user}/search"
    answer = world.ask("POST", path, {"page": 1, "per_page": 10, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def money(world: DealsWorld, user: str) -> Any:
    """Return how much of the currency a user has."""
    rows = world.read(f"/v2/users/users/{user}/wallet/summary")["stable_currencies"]
    return {row["currency_token"]["symbol"]: row["amount"] for row in rows}.get("VUSD", 0)


# -- the primary market --------------------------------------------------------------------------------------------


def test_a_primary_purchase_is_a_transaction_and_then_a_holding(world: DealsWorld) -> None:
    transaction_id = started(primary(world, 5))
    told = world.finished(transaction_id)
    assert (told["type"], told["user_id"], told["external_id"]) == (1, U2, T)
    assert told["data"]["quantity"] == 5
    assert (world.quantities(U2), money(world, U2)) == ((5, 5, 0), 490)
    assert world.holding(U2)["purchase_summary"]["primary_market_quantity"] == 5
    assert_books_sound(world)


@pytest.mark.parametrize("quantity", [0, -1, -0.0])
def test_a_quantity_that_is_not_above_zero(world: DealsWorld, quantity: Any) -> None:
    said = (400, "Invalid parameters", "Quantity must be greater than 0")
    assert_error(primary(world, quantity), *said)
    assert_error(secondary(world, 1, quantity), *said)
    assert_error(sell(world, quantity), *said)


@pytest.mark.parametrize("quantity", [1.5, "3", True, None, [], {}, 1e300, 10**40])
def test_a_quantity_that_is_none(world: DealsWorld, quantity: Any) -> None:
    for answer in (primary(world, quantity), secondary(world, 1, quantity), sell(world, quantity)):
        assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
        assert answer.json()["details"]


def test_two_is_two_however_it_is_written(world: DealsWorld) -> None:
    path = f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-primary-market"
    for text in (b'{"quantity":2.0}', b'{"quantity":2e0}', b'{"quantity":0.2e1,"more":null}'):
        answer = world.ask("POST", path, content=text, headers={"Content-Type": "application/json"})
        world.finished(started(answer))
    assert world.quantities(U2) == (6, 6, 0)


def test_what_may_not_be_bought_on_the_primary_market(world: DealsWorld) -> None:
    not_there = (404, "Resource not found", "User or token not found")
    assert_error(primary(world, user=NOBODY), *not_there)
    assert_error(primary(world, token=NOBODY), *not_there[:2], "Token not available for primary market purchase")
    assert_error(primary(world, token="x"), 400, "Invalid parameters", "Invalid user ID or token ID format")
    for client in (READER, THIRD):
        said = "Insufficient permissions to purchase tokens"
        assert_error(primary(world, client=client), 403, DENIED, said)
    assert_error(primary(world, client=None), 401, "Authentication required")
    assert_error(primary(world, 991), 422, "Purchase not possible", "Insufficient token supply available")
    assert_error(primary(world, 251), 422, "Purchase not possible", "User does not have enough of the currency")
    assert_error(primary(world, 10**37), 400, "Invalid parameters", "The amount is out of range")
    assert world.transactions(U2) == []


def test_a_primary_purchase_that_the_chain_refuses(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    transaction_id = started(primary(world, 5))
    world.run_workers()
    told = world.transaction(transaction_id)
    assert told["status"] == 4
    assert told["error"]
    assert (world.quantities(U2), money(world, U2)) == ((0, 0, 0), 500)
    assert_books_sound(world)


# -- the secondary market ------------------------------------------------------------------------------------------


def test_listing_and_delisting_on_the_secondary_market(world: DealsWorld) -> None:
    transaction_id = started(sell(world))
    assert world.quantities() == (10, 7, 3)
    told = world.finished(transaction_id)
    assert (told["type"], told["data"]["quantity"]) == (3, 3)
    assert world.deals() == []  # those are over the counter
    gone = world.finished(started(delist(world, told["data"]["deal_id"])))
    assert (gone["type"], world.quantities()) == (4, (10, 10, 0))
    again = delist(world, told["data"]["deal_id"])
    assert_error(again, 409, "Deal cannot be delisted", "Deal is already completed or cancelled")
    assert_books_sound(world)


def test_a_deal_is_bought_in_parts(world: DealsWorld) -> None:
    deal_id = on_sale(world, 3, 2.5)
    told = world.finished(started(secondary(world, deal_id, 2)))
    assert (told["type"], told["user_id"], told["data"]["deal_id"]) == (2, U2, deal_id)
    assert (world.quantities(U1), world.quantities(U2)) == ((8, 7, 1), (2, 2, 0))
    assert (money(world, U1), money(world, U2)) == (5, 495)
    too_many = secondary(world, deal_id, 2)
    assert_error(too_many, 409, "Purchase not possible", "Less than this quantity is available")
    world.finished(started(secondary(world, deal_id, 1)))
    over = secondary(world, deal_id, 1)
    assert_error(over, 409, "Purchase not possible", "Deal is already completed or expired")
    assert (world.quantities(U1), world.quantities(U2)) == ((7, 7, 0), (3, 3, 0))
    assert_books_sound(world)


def test_what_is_promised_is_locked(world: DealsWorld) -> None:
    deal_id = on_sale(world, 3)
    world.fault("chain", "unavailable")
    started(secondary(world, deal_id, 3))
    assert (world.quantities(U1), world.quantities(U2)) == ((10, 7, 3), (0, 0, 0))
    assert_error(delist(world, deal_id), 409, "Deal cannot be delisted", "Deal is already completed or cancelled")
    assert_books_sound(world)


def test_what_may_not_be_bought_on_the_secondary_market(world: DealsWorld) -> None:
    deal_id, counter = on_sale(world), world.active_deal()
    unknown = (404, "Deal not found", "The specified deal does not exist")
    for other in (deal_id + 9, counter, 2**63):
        assert_error(secondary(world, other), *unknown)
    for none in (0, -1):
        assert_error(secondary(world, none), 400, "Invalid parameters", "Deal ID is required")
    for nothing in (None, "1", 1.5, True):
        assert secondary(world, nothing).json()["error"] == "Invalid parameters"
    assert_error(secondary(world, deal_id, user=U1), 403, DENIED, "You cannot buy your own deal")
    for client in (READER, THIRD):
        said = "Insufficient permissions to purchase tokens"
        assert_error(secondary(world, deal_id, client=client), 403, DENIED, said)
    poor = secondary(world, deal_id, user=U3)
    assert_error(poor, 422, "Purchase not possible", "User does not have enough of the currency")
    assert_error(secondary(world, deal_id, token=NOBODY), 404, "Resource not found", "User or token not found")
    assert world.quantities() == (10, 4, 6)


def test_what_may_not_be_listed_on_the_secondary_market(world: DealsWorld) -> None:
    for client in (READER, THIRD):
        assert_error(sell(world, client=client), 403, DENIED, "Insufficient permissions to sell tokens")
    for quantity, user in ((11, U1), (1, U2)):
        answer = sell(world, quantity, user=user)
        assert_error(answer, 422, "Insufficient token balance", "User does not have enough tokens to sell")
    file = DealsWorld.file().replace("open_to_market = true", "open_to_market = false")
    closed = DealsWorld(world.server, template=None, world=file)
    assert_error(sell(closed), 422, "Offer not possible", "Token is not open to secondary market trading")


def test_who_may_delist(world: DealsWorld) -> None:
    deal_id, counter = on_sale(world), world.active_deal()
    assert_error(delist(world, deal_id, U2), 403, DENIED, "You can only delist your own deals")
    assert_error(delist(world, deal_id, client=READER), 403, DENIED, "Insufficient permissions to delist tokens")
    for other in (counter, deal_id + 9):
        assert_error(delist(world, other), 404, "Deal not found", "The specified deal does not exist")
    cancel = world.ask("POST", f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel", {"deal_id": deal_id})
    assert_error(cancel, 404, "Deal not found", "The specified deal does not exist")


def test_a_deal_that_runs_out_while_a_part_is_promised(world: DealsWorld) -> None:
    deal_id = on_sale(world, 3)
    world.fault("chain", "unavailable")
    transaction_id = started(secondary(world, deal_id, 2))
    world.advance(seconds=31 * 86_400)
    assert world.quantities() == (10, 8, 2)
    world.fault("chain", "up")
    world.finished(transaction_id)
    assert (world.quantities(), world.quantities(U2)) == ((8, 8, 0), (2, 2, 0))
    world.run_workers()
    assert_books_sound(world)


def test_many_buy_the_last_of_it_at_once(world: DealsWorld) -> None:
    deal_id = on_sale(world, 3)
    answers = at_once([partial(secondary, world, deal_id, 2)] * 8)
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
    world.run_workers()
    assert world.quantities(U2) == (2, 2, 0)
    assert_books_sound(world)


def test_the_same_key_buys_once(world: DealsWorld) -> None:
    how: dict[str, Any] = {"headers": {"Idempotency-Key": "buy-1"}}
    first = started(primary(world, 5, **how))
    assert started(primary(world, 5, **how)) == first
    assert primary(world, 6, **how).status_code == 409
    world.finished(first)
    assert world.quantities(U2) == (5, 5, 0)


# -- what was bought -----------------------------------------------------------------------------------------------


def test_what_was_bought_is_listed(world: DealsWorld) -> None:
    world.finished(started(primary(world, 5)))
    deal_id = on_sale(world, 3, 2.5)
    world.advance(seconds=1)
    world.fault("chain", "unavailable")
    transaction_id = started(secondary(world, deal_id, 2))
    pending = purchases(world)["data"][0]
    assert (pending["status"], pending["transaction_hash"]) == ("pending", None)
    world.fault("chain", "up")
    told_of = world.finished(transaction_id)
    told = purchases(world)
    assert told["pagination"] == {"current_page": 1, "per_page": 10, "total": 2, "total_pages": 1}
    second, first = told["data"]
    assert second == {
        "id": pending["id"],
        "user_id": U2,
        "token_id": T,
        "token_name": "Example Tower",
        "token_symbol": "EXT",
        "quantity": 2,
        "price": {"amount": 2.5, "decimal": 6, "symbol": "VUSD"},
        "total_price": {"amount": 5, "decimal": 6, "symbol": "VUSD"},
        "purchase_type": "purchase",
        "market_type": "secondary",
        "status": "completed",
        "deal_id": deal_id,
        "seller_id": U1,
        "seller_name": "Ada Seller",
        "fees": {"platform_fee": 0, "node_fee": 0},
        "transaction_id": transaction_id,
        "transaction_hash": told_of["hash"],
        "created_at": pending["created_at"],
        "updated_at": second["updated_at"],
    }
    assert (first["market_type"], first["deal_id"], first["seller_id"]) == ("primary", None, N)
    assert first["seller_name"] == "Example Node"
    assert purchases(world, per_page=1, page=2)["data"] == [first]
    assert purchases(world, token_id=T)["pagination"]["total"] == 2
    assert purchases(world, token_id=NOBODY)["data"] == []
    assert purchases(world, U1)["data"] == []


def test_fees_are_told_with_what_was_bought(world: DealsWorld) -> None:
    file = DealsWorld.file().replace("validity_days = 31", 'validity_days = 31\nfees = { secondary = "0.1" }')
    file = file.replace('name = "Example Node"', 'name = "Example Node"\nfees = { secondary = "2.5" }')
    with_fees = DealsWorld(world.server, template=None, world=file)
    deal_id = on_sale(with_fees, 3, 0.333333)
    with_fees.finished(started(secondary(with_fees, deal_id, 3)))
    (bought,) = purchases(with_fees)["data"]
    assert bought["fees"] == {"platform_fee": 0.000999, "node_fee": 0.025}
    assert (money(with_fees, U1), money(with_fees, U2)) == (0.974, 499.000001)
    assert_books_sound(with_fees)


@pytest.mark.parametrize(
    "body", [{}, {"page": 1}, {"page": 0, "per_page": 1}, {"page": 1, "per_page": 101}, {"page": 1, "per_page": "1"}]
)
def test_a_page_must_be_said(world: DealsWorld, body: Any) -> None:
    answer = world.ask("POST", f"/v2/users/purchases/users/{U2}/search", body)
    assert_error(answer, 400, "Invalid request parameters")


def test_who_sees_what_was_bought(world: DealsWorld) -> None:
    path, page = f"/v2/users/purchases/users/{U2}/search", {"page": 1, "per_page": 1}
    assert world.ask("POST", path, page, client=READER).status_code == 200
    assert world.ask("POST", path, page, client=THIRD).status_code == 403
    assert world.ask("POST", path, page, client=None).status_code == 401
    assert world.ask("POST", f"/v2/users/purchases/users/{NOBODY}/search", page).status_code == 404
    wrong = world.ask("POST", path, {**page, "token_id": "x"})
    assert_error(wrong, 400, "Invalid request parameters")


# -- burning -------------------------------------------------------------------------------------------------------


def test_burning_answers_nothing_and_burns_what_is_available(world: DealsWorld) -> None:
    world.active_deal(quantity=3)
    world.fault("chain", "unavailable")
    answer = burn(world)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert world.quantities() == (10, 0, 10)
    (told,) = world.transactions(query="page=1&per_page=10&types=8")
    assert (told["type"], told["user_id"], told["external_id"]) == (8, U1, T)
    world.fault("chain", "up")
    world.finished(told["id"])
    assert world.quantities() == (3, 0, 3)
    assert_error(burn(world), 422, "Insufficient token balance", "User does not have enough tokens to burn")
    assert_books_sound(world)


def test_a_burn_counts_what_a_deal_held_that_has_run_out(idle: DeskServer) -> None:
    world = DealsWorld(idle)
    world.active_deal(quantity=10)
    assert burn(world).status_code == 422
    world.advance(seconds=DAYS_31)
    world.fault("chain", "unavailable")  # the worker is quicker than who looks
    assert burn(world).status_code == 200
    assert world.quantities() == (10, 0, 10)


def test_a_burn_takes_no_quantity(world: DealsWorld) -> None:
    """Whoever says how much means something else than all."""
    assert_error(burn(world, body={"quantity": 1}), 400, "Invalid parameters", "quantity is no field of this request")
    for content in (b"[]", b"1", b"{", b"null"):
        how: dict[str, Any] = {"content": content, "headers": {"Content-Type": "application/json"}}
        assert burn(world, **how).status_code == 400, content
    assert world.quantities() == (10, 10, 0)
    world.fault("chain", "unavailable")  # the worker is quicker than who looks
    assert burn(world, body={}).status_code == 200
    assert world.quantities() == (10, 0, 10)


def test_a_burn_that_the_chain_refuses(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    assert burn(world).status_code == 200
    world.run_workers()
    (told,) = world.transactions()
    assert (told["status"], world.quantities()) == (4, (10, 10, 0))
    assert_books_sound(world)


def test_who_may_burn_what(world: DealsWorld) -> None:
    for client in (READER, THIRD):
        assert_error(burn(world, client=client), 403, DENIED, "Insufficient permissions to burn tokens")
    assert_error(burn(world, U2), 422, "Insufficient token balance", "User does not have enough tokens to burn")
    assert_error(burn(world, NOBODY), 404, "Resource not found", "User or token not found")
    assert_error(burn(world, token="x"), 400, "Invalid parameters", "Invalid user ID or token ID format")
