"""The extension by which users of a node trade with each other over the counter, and negotiate."""

from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.deals import N2, READER, THIRD, U1, U2, U3, DealsWorld, N, T, assert_error
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once

NOBODY = "65a1b2c3d4e5f60718290fff"
DENIED = "Access denied"
CLOSED = (403, DENIED, "Users of this node do not trade with each other")
NOT_PERMITTED = (403, DENIED, "Insufficient permissions to trade OTC offers")
NO_DEAL = (404, "Deal not found", "The specified deal does not exist")
NO_COUNTER = (404, "Counter not found", "The specified counter does not exist")
OVER = (409, "Counter cannot be answered", "Counter is already answered, withdrawn or expired")
PAGE = {"page": 1, "per_page": 10}


def base(user: str, what: str, token: str = T) -> str:
    return f"/v2/users/otcs/users/{user}/tokens/{token}/{what}"


class Negotiation(DealsWorld):
    """A world whose root node lets users trade, unless told; U3 has money as well."""

    def __init__(self, server: DeskServer, *, is_open: bool = True, **asked: Any) -> None:
        file = self.file().replace(
            'holdings = [{ asset = "EXT", balance = "5" }]',
            'holdings = [{ asset = "EXT", balance = "5" }, { asset = "VUSD", balance = "100" }]',
        )
        super().__init__(server, template=None, world=asked.pop("file", file), **asked)
        if is_open:
            assert self.switch(is_open=True).status_code == 200

    def switch(self, node: str = N, *, is_open: Any, **how: Any) -> httpx.Response:
        return self.ask("POST", f"/v2/admin/otcs/nodes/{node}/negotiation", {"is_open": is_open}, **how)

    def offers(self, user: str = U2, **body: Any) -> Any:
        answer = self.ask("POST", base(user, "offers"), {**PAGE, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def bought(self, deal_id: Any, quantity: Any = 1, user: str = U2, **how: Any) -> httpx.Response:
        return self.ask("POST", base(user, "buy"), {"deal_id": deal_id, "quantity": quantity}, **how)

    def counter(
        self, deal_id: Any, quantity: Any = 2, price: Any = 1.5, user: str = U2, *, how: Any = None, **more: Any
    ) -> httpx.Response:
        body = {"deal_id": deal_id, "quantity": quantity, "price_amount": price, **more}
        return self.ask("POST", base(user, "counters"), body, **(how or {}))

    def countered(self, *given: Any, **more: Any) -> str:
        answer = self.counter(*given, **more)
        assert answer.status_code == 200, answer.text
        counter_id: str = answer.json()["counter_id"]
        return counter_id

    def answered(self, verb: str, counter_id: str, user: str = U1, **how: Any) -> httpx.Response:
        return self.ask("POST", base(user, f"counters/{counter_id}/{verb}"), **how)

    def counters(self, user: str = U2, **body: Any) -> Any:
        answer = self.ask("POST", base(user, "counters/search"), {**PAGE, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, counter_id: str, user: str = U2) -> str:
        (told,) = (row for row in self.counters(user)["data"] if row["counter_id"] == counter_id)
        status: str = told["status"]
        return status

    def money(self, user: str) -> Any:
        rows = self.read(f"/v2/users/users/{user}/wallet/summary")["stable_currencies"]
        return {row["currency_token"]["symbol"]: row["amount"] for row in rows}.get("VUSD", 0)


@pytest.fixture
def world(server: DeskServer) -> Negotiation:
    return Negotiation(server)


def started(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert [*answer.json()] == ["transaction_id"]
    transaction_id: str = answer.json()["transaction_id"]
    return transaction_id


# -- the switch ----------------------------------------------------------------------------------------------------


def test_a_node_is_closed_unless_its_admin_opens_it(server: DeskServer) -> None:
    world = Negotiation(server, is_open=False)
    deal_id = world.active_deal(quantity=3, price_amount=2)
    (deal,) = world.deals()
    assert (deal["negotiable"], deal["minimum_quantity"]) == (False, 3)
    assert world.offers()["data"] == []
    assert_error(world.bought(deal_id), *CLOSED)
    assert_error(world.counter(deal_id), *CLOSED)
    opened = world.switch(is_open=True)
    assert (opened.status_code, opened.content) == (200, b"{}")
    (deal,) = world.deals()
    assert (deal["negotiable"], deal["minimum_quantity"]) == (True, 1)
    counter_id = world.countered(deal_id)
    assert world.switch(is_open=False).status_code == 200
    assert_error(world.answered("accept", counter_id), *CLOSED)
    assert world.answered("decline", counter_id).status_code == 200
    assert world.offers()["data"] == []


def test_who_may_open_a_node(world: Negotiation) -> None:
    said = (403, DENIED, "Insufficient permissions to manage OTC offers")
    for client in (READER, THIRD):
        assert_error(world.switch(is_open=True, client=client), *said)
    assert_error(world.switch(is_open=True, client=None), 401, "Authentication required")
    assert_error(world.switch(NOBODY, is_open=True), 404, "Resource not found", "Node not found")
    assert world.switch("x", is_open=True).status_code == 400
    for wrong in (1, "true", None):
        assert world.switch(is_open=wrong).json()["error"] == "Invalid parameters"
    assert world.switch(N2, is_open=True).status_code == 200


def test_a_world_file_may_open_it(server: DeskServer) -> None:
    file = DealsWorld.file().replace('name = "Example Node"', 'name = "Example Node"\nparties_trade = true')
    world = Negotiation(server, is_open=False, file=file)
    world.finished(started(world.bought(world.active_deal())))
    assert world.quantities(U2) == (1, 1, 0)


# -- what can be bought --------------------------------------------------------------------------------------------


def test_offers_are_other_users_deals_that_can_be_bought(world: Negotiation) -> None:
    first = world.active_deal(quantity=3, price_amount=2.5)
    second = world.active_deal(U3, quantity=2, price_amount=3)
    told = world.offers()
    assert [row["deal_id"] for row in told["data"]] == [second, first]
    assert told["pagination"] == {"current_page": 1, "per_page": 10, "total": 2, "total_pages": 1}
    assert told["token_info"]["id"] == T
    deal = told["data"][1]
    assert (deal["counterparty_id"], deal["counterparty_name"]) == (U1, "Ada Seller")
    assert (deal["available_quantity"], deal["negotiable"], deal["minimum_quantity"]) == (3, True, 1)
    assert [row["deal_id"] for row in world.offers(U1)["data"]] == [second]
    assert [row["deal_id"] for row in world.offers(U3)["data"]] == [first]
    assert [row["deal_id"] for row in world.offers(page=2, per_page=1)["data"]] == [first]
    world.finished(started(world.bought(first, 3)))
    assert [row["deal_id"] for row in world.offers()["data"]] == [second]
    world.advance(seconds=31 * 86_400)
    assert world.offers()["data"] == []
    assert_books_sound(world)


def test_a_page_must_be_said(world: Negotiation) -> None:
    for what in ("offers", "counters/search"):
        for body in ({}, {"page": 1}, {"page": 1, "per_page": 0}, {"page": "1", "per_page": 1}):
            assert_error(world.ask("POST", base(U2, what), body), 400, "Invalid request parameters")
        assert world.ask("POST", base(NOBODY, what), PAGE).status_code == 404
        assert world.ask("POST", base(U2, what, NOBODY), PAGE).status_code == 404
        assert world.ask("POST", base(U2, what), PAGE, client=THIRD).status_code == 403
        assert world.ask("POST", base(U2, what), PAGE, client=READER).status_code == 200
    wrong = world.ask("POST", base(U2, "counters/search"), {**PAGE, "side": "other"})
    assert_error(wrong, 400, "Invalid request parameters")


def test_a_user_buys_a_part_and_the_node_takes_the_rest(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4, price_amount=2.5)
    told = world.finished(started(world.bought(deal_id, 3)))
    assert (told["type"], told["user_id"], told["data"]["deal_id"]) == (101, U2, deal_id)
    (deal,) = world.deals()
    assert (deal["status"], deal["quantity"], deal["available_quantity"]) == ("active", 4, 1)
    assert (world.quantities(), world.quantities(U2)) == ((7, 6, 1), (3, 3, 0))
    assert world.holding(U2)["purchase_summary"]["otc_quantity"] == 3
    taken = world.ask("POST", f"/v2/admin/otcs/nodes/{N}/tokens/{T}/deals/{deal_id}/accept")
    assert (taken.status_code, taken.content) == (200, b"")
    assert (world.quantities(), world.money(U1), world.money(U2)) == ((6, 6, 0), 10, 492.5)
    assert_error(world.bought(deal_id), 409, "Purchase not possible", "Deal is already completed or expired")
    world.run_workers()
    assert_books_sound(world)


def test_what_may_not_be_bought(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=3, price_amount=200)
    assert_error(world.bought(deal_id + 1), *NO_DEAL)
    assert_error(world.bought(deal_id, user=U1), 403, DENIED, "You cannot buy your own deal")
    assert_error(world.bought(deal_id, 4), 409, "Purchase not possible", "Less than this quantity is available")
    assert_error(world.bought(deal_id, 3), 422, "Purchase not possible", "User does not have enough of the currency")
    assert_error(world.bought(deal_id, 0), 400, "Invalid parameters", "Quantity must be greater than 0")
    for client in (READER, THIRD):
        assert_error(world.bought(deal_id, client=client), *NOT_PERMITTED)
    assert world.quantities() == (10, 7, 3)


# -- counters ------------------------------------------------------------------------------------------------------


def test_a_counter_is_accepted_at_its_price(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4, price_amount=2.5)
    answer = world.counter(deal_id, 3, 2.25)
    assert [*answer.json()] == ["counter_id", "expires_at"]
    counter_id = answer.json()["counter_id"]
    assert world.money(U2) == 500
    assert world.quantities() == (10, 6, 4)
    transaction_id = started(world.answered("accept", counter_id))
    told = world.finished(transaction_id)
    assert (told["type"], told["user_id"]) == (101, U2)
    assert (told["data"]["quantity"], told["data"]["price_amount"]) == (3, 2.25)
    assert (world.quantities(), world.quantities(U2)) == ((7, 6, 1), (3, 3, 0))
    assert (world.money(U1), world.money(U2)) == (6.75, 493.25)
    (row,) = world.counters()["data"]
    assert row == {
        "counter_id": counter_id,
        "deal_id": deal_id,
        "token_id": T,
        "quantity": 3,
        "price": {"amount": 2.25, "decimal": 6, "symbol": "VUSD"},
        "total_price": {"amount": 6.75, "decimal": 6, "symbol": "VUSD"},
        "buyer_id": U2,
        "buyer_name": "Ben Buyer",
        "seller_id": U1,
        "seller_name": "Ada Seller",
        "status": "completed",
        "transaction_id": transaction_id,
        "expires_at": answer.json()["expires_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
    page = world.searched(f"/v2/users/purchases/users/{U2}/search")["data"]
    assert [(one["purchase_type"], one["market_type"], one["deal_id"]) for one in page] == [("counter", "otc", deal_id)]
    world.run_workers()
    assert_books_sound(world)


def test_several_counters_for_the_same_tokens(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4, price_amount=2.5)
    ours = world.countered(deal_id, 4, 2)
    world.advance(seconds=1)
    theirs = world.countered(deal_id, 4, 2.1, U3)
    assert [row["counter_id"] for row in world.counters(U1)["data"]] == [theirs, ours]
    assert [row["counter_id"] for row in world.counters(U1, side="received", per_page=1)["data"]] == [theirs]
    assert world.counters(U1, side="made")["data"] == []
    assert [row["counter_id"] for row in world.counters(U3, side="made")["data"]] == [theirs]
    assert world.counters(U3, side="received")["pagination"]["total"] == 0
    world.finished(started(world.answered("accept", theirs)))
    over = world.answered("accept", ours)
    assert_error(over, 409, "Counter cannot be accepted", "Deal is already completed or expired")
    assert_error(world.answered("accept", theirs), *OVER)
    assert world.status(ours) == "active"
    assert world.answered("decline", ours).json() == {"counter_id": ours, "status": "declined"}
    assert (world.money(U2), world.quantities(U3)) == (500, (9, 9, 0))
    assert_books_sound(world)


def test_too_little_is_left(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4)
    counter_id = world.countered(deal_id, 3)
    world.finished(started(world.bought(deal_id, 2)))
    late = world.answered("accept", counter_id)
    assert_error(late, 409, "Counter cannot be accepted", "Less than this quantity is available")
    more = world.counter(deal_id, 3)
    assert_error(more, 409, "Counter not possible", "Less than this quantity is available")


@pytest.mark.parametrize("verb, user, status", [("decline", U1, "declined"), ("withdraw", U2, "withdrawn")])
def test_a_counter_that_is_declined_or_withdrawn(world: Negotiation, verb: str, user: str, status: str) -> None:
    counter_id = world.countered(world.active_deal(), 3, 100)
    assert_error(world.counter(1, 3, 100), 422, "Counter not possible", "User does not have enough of the currency")
    told = world.answered(verb, counter_id, user)
    assert (told.status_code, told.json()) == (200, {"counter_id": counter_id, "status": status})
    assert world.status(counter_id) == status
    for again in ("accept", "decline"):
        assert_error(world.answered(again, counter_id), *OVER)
    assert_error(world.answered("withdraw", counter_id, U2), *OVER)
    world.countered(1, 3, 100)
    assert_books_sound(world)


def test_a_counter_runs_out(world: Negotiation) -> None:
    deal_id = world.active_deal()
    short, usual = world.countered(deal_id, 1, 1, expires_in_seconds=60), world.countered(deal_id, 1, 2)
    world.advance(seconds=60)
    assert (world.status(short), world.status(usual)) == ("expired", "active")
    for verb, user in (("accept", U1), ("decline", U1), ("withdraw", U2)):
        assert_error(world.answered(verb, short, user), *OVER)
    world.advance(seconds=86_400)
    assert world.status(usual) == "expired"
    world.run_workers()
    assert_books_sound(world)


def test_money_is_available_that_counters_held_which_have_run_out(idle: DeskServer) -> None:
    """Nobody has recorded that they have; whoever buys or bids finds it out."""
    world = Negotiation(idle)
    deal_id = world.active_deal(quantity=10)
    for _ in range(2):
        world.countered(deal_id, 1, 500, expires_in_seconds=60)
        refused = world.counter(deal_id, 1, 500)
        assert_error(refused, 422, "Counter not possible", "User does not have enough of the currency")
        world.advance(seconds=60)
    for path, body, price in (
        (base(U2, "buy"), {"deal_id": deal_id, "quantity": 1}, 500),
        (f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-primary-market", {"quantity": 1}, 488),
    ):
        world.countered(deal_id, 1, price, expires_in_seconds=60)
        refused = world.ask("POST", path, body)
        assert_error(refused, 422, "Purchase not possible", "User does not have enough of the currency")
        world.advance(seconds=60)
        started(world.ask("POST", path, body))
    assert_books_sound(world)


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "60", True, 366 * 86_400 + 1])
def test_how_long_a_counter_may_not_last(world: Negotiation, seconds: Any) -> None:
    answer = world.counter(world.active_deal(), expires_in_seconds=seconds)
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert answer.json()["details"]


def test_what_may_not_be_bid(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=3)
    assert_error(world.counter(deal_id + 1), *NO_DEAL)
    assert_error(world.counter(deal_id, user=U1), 403, DENIED, "You cannot counter your own deal")
    for price, details in (
        (0, "Price must be greater than 0"),
        (-1, "Price must be greater than 0"),
        (1.2345678, "Price has more decimals than its currency"),
        (10**37, "The amount is out of range"),
    ):
        assert_error(world.counter(deal_id, 2, price), 400, "Invalid parameters", details)
    for client in (READER, THIRD):
        assert_error(world.counter(deal_id, how={"client": client}), *NOT_PERMITTED)
    cancelled = world.ask("POST", f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel", {"deal_id": deal_id})
    world.finished(cancelled.json()["transaction_id"])
    assert_error(world.counter(deal_id), 409, "Counter not possible", "Deal is already completed or expired")
    assert world.counters()["data"] == []


def test_who_answers_a_counter(world: Negotiation) -> None:
    counter_id = world.countered(world.active_deal())
    for verb in ("accept", "decline"):
        said = (403, DENIED, "You can only answer counters to your own deals")
        assert_error(world.answered(verb, counter_id, U2), *said)
    assert_error(world.answered("withdraw", counter_id, U1), 403, DENIED, "You can only withdraw your own counters")
    for verb in ("accept", "decline", "withdraw"):
        assert_error(world.answered(verb, NOBODY), *NO_COUNTER)
        assert world.answered(verb, "x").status_code == 400
        for client in (READER, THIRD):
            assert_error(world.answered(verb, counter_id, client=client), *NOT_PERMITTED)
        assert_error(world.answered(verb, counter_id, client=None), 401, "Authentication required")
    assert world.status(counter_id) == "active"


def test_an_accepted_counter_that_the_chain_refuses(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4)
    counter_id = world.countered(deal_id, 3, 100)
    world.fault("chain", "refuse")
    transaction_id = started(world.answered("accept", counter_id))
    world.run_workers()
    assert world.transaction(transaction_id)["status"] == 4
    assert world.status(counter_id) == "failed"
    (deal,) = world.deals()
    assert (deal["status"], deal["available_quantity"], world.money(U2)) == ("active", 4, 500)
    assert_books_sound(world)


def test_a_counter_is_accepted_once_by_many(world: Negotiation) -> None:
    deal_id = world.active_deal(quantity=4)
    mine, other = world.countered(deal_id, 3, 2), world.countered(deal_id, 3, 2, U3)
    calls = [partial(world.answered, "accept", one) for one in (mine, other)] * 4
    answers = at_once([*calls, partial(world.answered, "withdraw", mine, U2), partial(world.bought, deal_id, 3)])
    sold = [answer for answer in answers if answer.status_code == 200 and "transaction_id" in answer.json()]
    assert len(sold) == 1, [answer.text for answer in answers]
    world.run_workers()
    assert world.quantities() == (7, 6, 1)
    assert_books_sound(world)


def test_a_key_makes_one_counter_and_sells_once(world: Negotiation) -> None:
    deal_id = world.active_deal()
    how: dict[str, Any] = {"headers": {"Idempotency-Key": "c-1"}}
    first, again = world.counter(deal_id, how=how), world.counter(deal_id, how=how)
    assert (first.status_code, first.json()) == (200, again.json())
    assert world.counter(deal_id, 1, how=how).status_code == 409
    counter_id = first.json()["counter_id"]
    sold = [started(world.answered("accept", counter_id, **how)) for _ in range(2)]
    assert sold[0] == sold[1]
    assert len(world.counters()["data"]) == 1
