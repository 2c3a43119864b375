"""What admins of nodes do over HTTP: deals, rules, tokens, currency tokens, fees, money (deals contract 3.5 to 3.15).

The numbered cases 16, 19, 20 and 23 of section 7, and every route with what it refuses.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from tests.support.deals import N2, N3, READER, THIRD, U1, U2, C, DealsWorld, N, T, assert_error
from tests.support.server import DeskServer, at_once

DEALS_OF = f"/v2/admin/otcs/nodes/{N}/tokens/{T}"
RULES = f"/v2/admin/otc-order-rules/nodes/{N}"
FEES = f"/v2/fees/nodes/{N}"
CURRENCIES = f"/v2/admin/currency-tokens/nodes/{N}"
TOKENS = f"/v2/admin/token/nodes/{N}"
UNKNOWN = "65a1b2c3d4e5f60718290fff"
DENIED = "Access denied"
INVALID = "Invalid parameters"
NOT_FOUND = "Resource not found"
U2_WALLET = "0x00000000000000000000000000000000000000a2"
U1_WALLET = "0x00000000000000000000000000000000000000A1"
NOBODYS_WALLET = "0x000000000000000000000000000000000000dEaD"
N_WALLET = "0x00000000000000000000000000000000000000d1"


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def post(world: DealsWorld, path: str, body: Any = None, **how: Any) -> httpx.Response:
    return world.ask("POST", path, body, **how)


def assert_empty(answer: httpx.Response, status: int = 200) -> None:
    assert (answer.status_code, answer.content) == (status, b""), answer.text


def accept(world: DealsWorld, deal_id: Any, **how: Any) -> httpx.Response:
    return post(world, f"{DEALS_OF}/deals/{deal_id}/accept", **how)


def close(world: DealsWorld, deal_id: Any, **how: Any) -> httpx.Response:
    return post(world, f"{DEALS_OF}/deals/{deal_id}/cancel", **how)


def rule(world: DealsWorld, *, how: Mapping[str, Any] | None = None, **changes: Any) -> httpx.Response:
    """Make a rule that accepts what is within ten percent of the reference price, with changes."""
    body = {
        "name": "near the price",
        "side": 3,
        "rule_type": 2,
        "consume_on_match": True,
        "status": 2,
        "priority": 1,
        "above_percent": 10,
        "below_percent": 10,
        **changes,
    }
    return post(world, RULES, {name: value for name, value in body.items() if value is not ...}, **(how or {}))


def made(world: DealsWorld, **changes: Any) -> dict[str, Any]:
    answer = rule(world, **changes)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def rules(world: DealsWorld, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.read(f"{RULES}{query}")["data"]
    return found


def money(world: DealsWorld, user: str = U1) -> Decimal:
    """Return what a user has of the currency."""
    told = world.read(f"/v2/users/users/{user}/wallet/summary")["stable_currencies"]
    return sum((Decimal(str(row["amount"])) for row in told), Decimal(0))


def funds(world: DealsWorld, node: str = N) -> Decimal:
    """Return what a node has of the currency."""
    (row,) = world.read(f"/v2/admin/node/{node}/summary")["stable_currencies"]
    return Decimal(str(row["amount"]))


def balance(world: DealsWorld, purpose: str, asset: str) -> Decimal:
    """Return what the books have on all accounts for a purpose."""
    found = [
        row for row in world.operator("GET", "/operator/accounts?limit=100").json()["data"] if row["asset"] == asset
    ]
    return sum((Decimal(row["balance"]) for row in found if row["purpose"] == purpose), Decimal(0))


def form(
    world: DealsWorld, path: str, fields: Mapping[str, Any], *, method: str = "POST", **how: Any
) -> httpx.Response:
    """Send a form; what is a tuple is a file, and what is a list several."""
    parts: list[tuple[str, Any]] = []
    for name, value in fields.items():
        each = value if isinstance(value, list) else [value]
        parts += [(name, one if isinstance(one, tuple) else (None, one)) for one in each]
    return world.ask(method, path, files=parts, **how)


TOKEN = {
    "category_id": "65a1b2c3d4e5f60718290aaa",
    "name": "Second tower",
    "description": "Flats and <script>alert(1)</script>",
    "total_value": "1500.5",
    "currency_token_id": C,
    "salable_percentage": "80",
    "max_supply": "100",
    "token_name": "Second Tower",
    "token_symbol": "TWR2",
}


# -- the numbered cases ------------------------------------------------------------------------------------------------


def test_case_16_a_token_that_is_closed_to_otc_cannot_be_offered(world: DealsWorld) -> None:
    closed = post(world, f"/v2/admin/token/{T}/open-to-otc", {"is_open": False})
    assert (closed.status_code, closed.json()) == (200, {})
    assert_error(world.sell(), 422, "Offer not possible", "Token is not open to OTC trading")
    assert post(world, f"/v2/admin/token/{T}/open-to-otc", {"is_open": True}).json() == {}
    assert world.sell().status_code == 200


def test_case_19_an_accepted_deal_is_paid_once_less_the_fee(world: DealsWorld) -> None:
    assert_empty(post(world, FEES, {"secondary_market": {"otc_sale": {"id": 6, "value": 4}}}), 204)
    deal_id = world.active_deal(quantity=7, price_amount=1)
    assert_empty(accept(world, deal_id))
    (deal,) = world.deals()
    assert (deal["status"], deal["available_quantity"]) == ("completed", 0)

    def books() -> tuple[Any, ...]:
        return (
            world.quantities(),
            money(world),
            funds(world),
            balance(world, "inventory", "EXT"),
            balance(world, "resale_fees", "VUSD"),
        )

    settled = ((3, 3, 0), Decimal("6.72"), Decimal(993), Decimal(7), Decimal("0.28"))
    assert books() == settled
    completed = "Deal is already completed or expired"
    assert_error(accept(world, deal_id), 409, "Deal cannot be accepted", completed)
    assert_error(close(world, deal_id), 409, "Deal cannot be cancelled", completed)
    assert books() == settled


def test_case_20_a_rule_is_consumed_by_the_first_deal_that_it_takes(world: DealsWorld) -> None:
    rule_id = made(world)["id"]
    world.active_deal(price_amount=2.2)
    (first,) = world.deals()
    assert first["status"] == "completed"
    ((kept),) = rules(world)
    assert (kept["id"], kept["status"]) == (rule_id, 1)
    world.active_deal(price_amount=2.2)
    assert [deal["status"] for deal in world.deals()] == ["active", "completed"]


def test_case_23_the_deals_of_a_node_and_pages_that_are_none(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    told = world.searched(DEALS_OF)
    assert [*told] == ["data", "total", "page", "per_page"]
    assert (told["total"], told["page"], told["per_page"]) == (1, 1, 10)
    (deal,) = told["data"]
    assert deal | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "token_id": T,
        "node_id": N,
        "user_id": U1,
        "deal_id": deal_id,
        "price": {
            "amount": 12,
            "decimal": 6,
            "symbol": "VUSD",
            "address": "0x00000000000000000000000000000000000000c1",
        },
        "quantity": 3,
        "available_quantity": 3,
        "status": 0,
        "created_at": "",
        "updated_at": "",
    }
    assert type(deal["status"]) is int
    for body in ({"per_page": 10}, {"page": 1, "per_page": 0}):
        read = post(world, f"/v2/users/otcs/users/{U1}/tokens/{T}", body)
        assert_error(read, 400, "Invalid request parameters")


# -- deals of a node ---------------------------------------------------------------------------------------------------


def test_a_deal_in_every_state_has_its_number(world: DealsWorld) -> None:
    states = {}
    deal_id = world.active_deal(quantity=1)
    states[deal_id] = 2
    assert_empty(close(world, deal_id))
    deal_id = world.active_deal(quantity=1)
    states[deal_id] = 1
    assert_empty(accept(world, deal_id))
    states[world.active_deal(quantity=1)] = 3
    world.advance(seconds=31 * 86_400)
    states[world.active_deal(quantity=1)] = 0
    shown = {deal["deal_id"]: deal["status"] for deal in world.searched(DEALS_OF)["data"]}
    assert shown == states
    assert [*shown] == sorted(states, reverse=True)


def test_a_deal_that_has_run_out_is_expired_before_anybody_records_it(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    world.advance(seconds=31 * 86_400)
    (deal,) = world.searched(DEALS_OF)["data"]
    assert (deal["status"], deal["available_quantity"]) == (3, 0)
    assert_error(accept(world, deal_id), 409, "Deal cannot be accepted", "Deal is already completed or expired")
    assert world.quantities() == (10, 10, 0)


def test_pages_of_deals_follow_one_another(world: DealsWorld) -> None:
    numbers = [world.active_deal(quantity=1) for _ in range(3)]
    pages = [world.searched(DEALS_OF, page=page, per_page=2) for page in (1, 2, 3)]
    assert [[deal["deal_id"] for deal in page["data"]] for page in pages] == [numbers[:0:-1], numbers[:1], []]
    assert {page["total"] for page in pages} == {3}


@pytest.mark.parametrize("body", [{}, {"page": 1}, {"page": 0, "per_page": 1}, {"page": 1, "per_page": 101}])
def test_a_page_of_deals_must_be_said(world: DealsWorld, body: dict[str, int]) -> None:
    answer = post(world, DEALS_OF, body)
    assert (answer.status_code, answer.json()["error"]) == (400, INVALID)
    assert answer.json()["details"]


def test_a_cancelled_deal_gives_the_tokens_back(world: DealsWorld) -> None:
    deal_id = world.active_deal()
    assert world.quantities() == (10, 7, 3)
    assert_empty(close(world, deal_id))
    assert world.quantities() == (10, 10, 0)
    assert_error(close(world, deal_id), 409, "Deal cannot be cancelled", "Deal is already completed or expired")


def test_a_node_that_cannot_pay_accepts_nothing(world: DealsWorld) -> None:
    deal_id = world.active_deal(quantity=10, price_amount=101)
    assert_error(accept(world, deal_id), 422, "Deal cannot be accepted", "Node does not have enough of the currency")
    assert world.deals()[0]["status"] == "active"


@pytest.mark.parametrize("verb", [accept, close])
def test_who_may_decide_about_deals(world: DealsWorld, verb: Any) -> None:
    deal_id = world.active_deal()
    for client in (READER, THIRD):
        assert_error(verb(world, deal_id, client=client), 403, DENIED, "Insufficient permissions to manage OTC offers")
    assert_error(verb(world, deal_id, client=None), 401, "Authentication required")
    assert_error(verb(world, deal_id + 1), 404, "Deal not found", "The specified deal does not exist")
    for wrong in ("0", "x", "-1", "1.0", "9" * 30, "%D9%A1"):
        assert_error(verb(world, wrong), 400, INVALID, "Invalid deal ID format")
    assert world.deals()[0]["status"] == "active"


def test_ids_that_lead_nowhere(world: DealsWorld) -> None:
    listed = {"page": 1, "per_page": 10}
    for node, token, status, details in (
        (UNKNOWN, T, 404, "Node not found"),
        (N, UNKNOWN, 404, "Token not found"),
        (N2, T, 404, "Token not found"),
        ("x", T, 400, "Invalid node ID format"),
        (N, "x", 400, "Invalid token ID format"),
    ):
        path = f"/v2/admin/otcs/nodes/{node}/tokens/{token}"
        for answer in (post(world, path, listed), post(world, f"{path}/deals/1/accept")):
            assert_error(answer, status, INVALID if status == 400 else NOT_FOUND, details)
    answer = post(world, DEALS_OF, listed, client=THIRD)
    assert_error(answer, 403, DENIED, "Insufficient permissions to manage OTC offers")


def test_accept_and_cancel_at_once_never_both_win(world: DealsWorld) -> None:
    for _ in range(5):
        deal_id = world.active_deal(quantity=1, price_amount=1)
        answers = at_once([lambda: accept(world, deal_id), lambda: close(world, deal_id)])  # noqa: B023
        assert sorted(answer.status_code for answer in answers) == [200, 409]


# -- rules -------------------------------------------------------------------------------------------------------------


def test_a_rule_is_shown_as_it_was_made(world: DealsWorld) -> None:
    told = made(
        world,
        rule_type=3,
        match_action=2,
        token_id=T,
        above_percent=...,
        below_percent=...,
        above_amount=0.1,
        below_amount=0.000001,
        min_offer_quantity=1,
        max_offer_quantity=9,
        valid_from="2026-01-01T03:00:00+03:00",
        valid_until="2027-01-01",
    )
    assert told | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "node_id": N,
        "name": "near the price",
        "side": 3,
        "rule_type": 3,
        "match_action": 2,
        "consume_on_match": True,
        "status": 2,
        "priority": 1,
        "token_id": T,
        "above_percent": None,
        "below_percent": None,
        "above_amount": 0.1,
        "below_amount": 0.000001,
        "min_offer_quantity": 1,
        "max_offer_quantity": 9,
        "valid_from": "2026-01-01T00:00:00.000Z",
        "valid_until": "2027-01-01T00:00:00.000Z",
        "created_by": world.claims()["supervisorID"],
        "is_api": True,
        "created_at": "",
        "updated_at": "",
    }
    assert rules(world) == [told]


def test_rules_are_listed_in_their_turn_twenty_on_a_page(world: DealsWorld) -> None:
    for number in range(22):
        made(world, name=f"rule {number}", priority=100 - number)
    told = world.read(RULES)
    assert (told["total"], told["page"], told["per_page"], len(told["data"])) == (22, 1, 20, 20)
    assert [row["priority"] for row in told["data"]] == [*range(79, 99)]
    assert [row["priority"] for row in rules(world, "?page=2")] == [99, 100]
    assert_error(world.ask("GET", f"{RULES}?page=0"), 400, INVALID, "page must be from 1 to 1000000000")


def test_a_subset_of_a_rule_is_changed(world: DealsWorld) -> None:
    told = made(world)
    path = f"/v2/admin/otc-order-rules/{told['id']}"
    answer = world.ask("PUT", path, {"priority": 7, "above_percent": None})
    changed = answer.json()
    assert answer.status_code == 200
    assert changed == {**told, "priority": 7, "above_percent": None, "updated_at": changed["updated_at"]}
    assert world.ask("PUT", path, {}).json() == changed


def test_a_rule_that_was_consumed_may_be_made_active_again(world: DealsWorld) -> None:
    told = made(world, rule_type=1)
    world.active_deal(quantity=1)
    assert rules(world)[0]["status"] == 1
    assert world.ask("PUT", f"/v2/admin/otc-order-rules/{told['id']}", {"status": 2}).json()["status"] == 2
    world.active_deal(quantity=1)
    assert [deal["status"] for deal in world.deals()] == ["completed", "completed"]


def test_a_rule_that_was_deleted_is_no_more(world: DealsWorld) -> None:
    path = f"/v2/admin/otc-order-rules/{made(world)['id']}"
    assert_empty(world.ask("DELETE", path), 204)
    assert rules(world) == []
    for answer in (world.ask("DELETE", path), world.ask("PUT", path, {"priority": 1})):
        assert_error(answer, 404, NOT_FOUND, "OTC order rule not found")
    world.active_deal(price_amount=2)
    assert world.deals()[0]["status"] == "active"


def test_a_rule_that_rejects_cancels_the_deal(world: DealsWorld) -> None:
    made(world, match_action=2, rule_type=1, consume_on_match=False)
    world.active_deal()
    assert world.deals()[0]["status"] == "cancelled"
    assert world.quantities() == (10, 10, 0)


@pytest.mark.parametrize(
    "changes, details",
    [
        ({"name": ...}, "name is required"),
        ({"side": ...}, "side is required"),
        ({"side": 4}, "side must be one of 1, 2, 3"),
        ({"side": "3"}, "side must be a number"),
        ({"side": True}, "side must be a number"),
        ({"rule_type": 0}, "rule_type must be one of 1, 2, 3"),
        ({"match_action": 3}, "match_action must be one of 1, 2"),
        ({"status": 1.5}, "status must be an integer"),
        ({"priority": 2**31}, "priority is out of range"),
        ({"priority": None}, "priority is required"),
        ({"token_id": "x"}, "Invalid token_id format"),
        ({"above_percent": -1}, "above_percent must be from 0 to 1000000, with at most 18 decimals"),
        ({"below_percent": 101}, "below_percent must be from 0 to 100, with at most 18 decimals"),
        ({"above_amount": 1e-19}, "above_amount must be from 0 to 1000000000000, with at most 18 decimals"),
        ({"min_offer_quantity": 0}, "min_offer_quantity must be greater than 0"),
        ({"min_offer_quantity": 1.5}, "min_offer_quantity must be an integer"),
        ({"min_offer_quantity": 5, "max_offer_quantity": 4}, "The least quantity is more than the greatest."),
        ({"valid_from": "tomorrow"}, "valid_from must be a time in ISO 8601"),
        ({"valid_from": "2026-13-01"}, "valid_from must be a time in ISO 8601"),
        ({"valid_until": "0001-01-01T00:00:00+09:00"}, "valid_until must be a time in ISO 8601"),
        (
            {"valid_from": "2026-02-01", "valid_until": "2026-01-01"},
            "The rule is valid until before it is valid from.",
        ),
    ],
)
def test_rules_that_make_no_sense(world: DealsWorld, changes: dict[str, Any], details: str) -> None:
    assert_error(rule(world, **changes), 400, INVALID, details)
    assert rules(world) == []


def test_bodies_of_rules_that_are_none(world: DealsWorld) -> None:
    for changes in ({"name": ""}, {"name": "a\0b"}, {"name": 1}, {"consume_on_match": 1}, {"valid_from": 5}):
        answer = rule(world, **changes)
        assert (answer.status_code, answer.json()["error"]) == (400, INVALID), changes
        assert answer.json()["details"]


def test_hostile_names_of_rules_are_data(world: DealsWorld) -> None:
    name = "'; drop table rules; -- <b>\u202e\N{PILE OF POO}"
    assert made(world, name=name)["name"] == rules(world)[0]["name"] == name


def test_a_node_has_so_many_active_rules_and_no_more(world: DealsWorld) -> None:
    for _ in range(100):
        made(world, priority=2)
    assert_error(rule(world), 409, "Conflict", "A node has at most 100 active rules")
    spare = made(world, status=1)
    path = f"/v2/admin/otc-order-rules/{spare['id']}"
    assert_error(world.ask("PUT", path, {"status": 2}), 409, "Conflict", "A node has at most 100 active rules")
    assert_empty(world.ask("DELETE", f"/v2/admin/otc-order-rules/{rules(world)[-1]['id']}"), 204)
    assert world.ask("PUT", path, {"status": 2}).json()["status"] == 2


def test_who_may_manage_rules(world: DealsWorld) -> None:
    told = made(world)
    path = f"/v2/admin/otc-order-rules/{told['id']}"
    said = "Insufficient permissions to manage OTC order rules"
    for client in (READER, THIRD):
        assert_error(post(world, RULES, {**told}, client=client), 403, DENIED, said)
        assert_error(world.ask("PUT", path, {"priority": 2}, client=client), 403, DENIED, said)
        assert_error(world.ask("DELETE", path, client=client), 403, DENIED, said)
    assert_error(world.ask("GET", RULES, client=THIRD), 403, DENIED, said)
    assert world.read(RULES, client=READER)["total"] == 1
    assert_error(post(world, RULES.replace(N, UNKNOWN), {**told}), 404, NOT_FOUND, "Node not found")
    assert_error(rule(world, token_id=UNKNOWN), 404, NOT_FOUND, "Token not found")
    assert_error(
        world.ask("DELETE", f"/v2/admin/otc-order-rules/{UNKNOWN}"), 404, NOT_FOUND, "OTC order rule not found"
    )
    assert_error(world.ask("DELETE", "/v2/admin/otc-order-rules/x"), 400, INVALID, "Invalid rule ID format")
    assert rules(world) == [told]


# -- tokens ------------------------------------------------------------------------------------------------------------


def token(world: DealsWorld, **changes: Any) -> httpx.Response:
    return form(world, TOKENS, {name: value for name, value in {**TOKEN, **changes}.items() if value is not None})


def tokens(world: DealsWorld, node: str = N) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.searched(f"/v2/admin/token/nodes/{node}/search")["data"]
    return found


def test_a_token_is_shown_the_same_at_all_its_paths(world: DealsWorld) -> None:
    told = world.read(f"/v2/admin/tokens/{T}")
    assert told == world.read(f"/v2/admin/token/{T}") == world.read(f"/v2/users/tokens/{T}") == tokens(world)[0]
    price = {"id": C, "decimal": 6, "symbol": "VUSD", "address": "0x00000000000000000000000000000000000000c1"}
    assert (told["node_id"], told["status"], told["type"], told["is_public"]) == (N, 6, 0, False)
    assert told["value"] == {
        "token_price": {**price, "amount": 2},
        "total_value": {**price, "amount": 2010},
        "salable_percentage": 100,
        "salable_value": {**price, "amount": 2010},
    }
    assert told["contract"] == {"address": "0x00000000000000000000000000000000000000b1", "tx_hash": None}
    assert told["metrics"] == {
        "max_supply": 1005,
        "available_supply": 990,
        "min_purchase_quantity": 1,
        "max_purchase_quantity": 1005,
    }


def test_who_sees_a_token(world: DealsWorld) -> None:
    denied = "Insufficient permissions to manage tokens"
    assert_error(world.ask("GET", f"/v2/admin/tokens/{T}", client=THIRD), 403, DENIED, denied)
    assert_error(world.ask("GET", f"/v2/admin/token/{T}", client=THIRD), 403, DENIED, denied)
    assert world.read(f"/v2/users/tokens/{T}", client=THIRD)["id"] == T  # of the node above: its users may hold it
    assert world.read(f"/v2/admin/tokens/{T}", client=READER)["id"] == T
    for path in ("/v2/admin/tokens/", "/v2/admin/token/", "/v2/users/tokens/"):
        assert_error(world.ask("GET", path + UNKNOWN), 404, NOT_FOUND, "Token not found")
        assert_error(world.ask("GET", path + "x"), 400, INVALID, "Invalid token ID format")
        assert_error(world.ask("GET", path + T, client=None), 401, "Authentication required")


def test_an_issued_token_is_a_draft_with_all_its_supply(world: DealsWorld) -> None:
    files = [("a.png", b"12345"), ("../../etc/passwd", b"")]
    assert_empty(token(world, images=files, documents=("plan.pdf", b"%PDF"), oracle_code="TWR"))
    told, _ = tokens(world)
    assert (told["name"], told["token_name"], told["token_symbol"]) == ("Second tower", "Second Tower", "TWR2")
    assert (told["description"], told["category_id"]) == (TOKEN["description"], TOKEN["category_id"])
    assert (told["status"], told["contract"], told["oracle"]) == (1, None, {"id": None, "code": "TWR"})
    amounts = {name: value["amount"] for name, value in told["value"].items() if isinstance(value, dict)}
    assert amounts == {"token_price": 15.005, "total_value": 1500.5, "salable_value": 1200.4}
    assert (told["value"]["salable_percentage"], told["metrics"]["available_supply"]) == (80, 80)
    assert told["images"] == [{"name": "a.png", "size": 5}, {"name": "../../etc/passwd", "size": 0}]
    assert told["documents"] == [{"name": "plan.pdf", "size": 4}]
    assert [balance(world, purpose, "TWR2") for purpose in ("unsold", "inventory")] == [80, 20]
    assert balance(world, "equity", "TWR2") == -100


def test_a_draft_is_neither_offered_nor_sold_until_it_is_listed(world: DealsWorld) -> None:
    assert_empty(token(world))
    token_id = tokens(world)[0]["id"]
    assert [row["id"] for row in world.searched("/v2/admin/token/users/search")["data"]] == [T]
    buy = f"/v2/users/purchases/users/{U2}/tokens/{token_id}/buy-on-primary-market"
    assert post(world, buy, {"quantity": 1}).status_code == 404
    listed = world.operator("PUT", f"/operator/resale-instruments/{token_id}", {"status": "listed", "address": "0xabc"})
    assert listed.json()["data"]["status"] == "listed"
    assert [row["id"] for row in world.searched("/v2/admin/token/users/search")["data"]] == [token_id, T]
    assert world.read(f"/v2/users/tokens/{token_id}")["contract"] == {"address": "0xabc", "tx_hash": None}
    assert post(world, buy, {"quantity": 2}).status_code == 200
    world.run_workers()
    assert world.quantities(U2, token_id) == (2, 2, 0)
    assert post(world, f"/v2/admin/token/{token_id}/open-to-otc", {"is_open": True}).json() == {}
    world.active_deal(U2, token_id, quantity=2, price_amount=15)


@pytest.mark.parametrize(
    "changes, details",
    [
        *[({name: None}, f"{name} is required") for name in TOKEN],
        ({"name": ""}, "name is required"),
        ({"total_value": "1,5"}, "total_value must be a number"),
        ({"total_value": "0"}, "total_value must be greater than 0"),
        ({"max_supply": "1.5"}, "max_supply must be an integer"),
        ({"max_supply": "0"}, "max_supply must be greater than 0"),
        ({"max_supply": "7"}, "total_value is not max_supply times a price in the currency's decimals"),
        ({"total_value": "0.0000001"}, "total_value is not max_supply times a price in the currency's decimals"),
        ({"total_value": "1" + "0" * 38, "max_supply": "1"}, "total_value or max_supply is out of range"),
        ({"max_supply": "1" + "0" * 39}, "max_supply is out of range"),
        ({"salable_percentage": "100.1"}, "salable_percentage must be from 0 to 100, with at most 6 decimals"),
        ({"salable_percentage": "-1"}, "salable_percentage must be from 0 to 100, with at most 6 decimals"),
        ({"currency_token_id": "x"}, "Invalid currency_token_id format"),
        ({"currency_token_id": UNKNOWN}, "Currency token not found, or not deployed"),
        ({"token_symbol": "EXT"}, "There is a token with this symbol already"),
        ({"token_symbol": "ext"}, "There is a token with this symbol already"),
        ({"token_symbol": "VUSD"}, "There is a token with this symbol already"),
        (
            {"token_symbol": "T\N{LATIN CAPITAL LETTER U WITH DIAERESIS}"},
            "token_symbol must be 1 to 20 Latin letters, digits, dots, dashes or underscores",
        ),
        ({"name": "n" * 201}, "name has more than 200 characters"),
        ({"description": "a\0b"}, "A text of the form has a character that cannot be kept"),
        ({"description": ["a", "b"]}, "description is told twice"),
    ],
)
def test_tokens_that_cannot_be_issued(world: DealsWorld, changes: dict[str, Any], details: str) -> None:
    assert_error(token(world, **changes), 400, INVALID, details)
    assert len(tokens(world)) == 1


def test_bodies_that_are_no_form(world: DealsWorld) -> None:
    json_body = post(world, TOKENS, TOKEN)
    assert_error(json_body, 415, "Unsupported media type", "The body must be multipart/form-data.")
    for content_type, body, details in (
        ("multipart/form-data", b"", "The form has no boundary"),
        ("multipart/form-data; boundary=x", b"", "The body is not a valid form"),
        ("multipart/form-data; boundary=x", b"--x\r\n", "The body is not a valid form"),
        ("multipart/form-data; boundary=x", b'{"name": 1}', "The body is not a valid form"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--x--\r\n',
            "The body is not a valid form",
        ),
    ):
        answer = post(world, TOKENS, content=body, headers={"Content-Type": content_type})
        assert_error(answer, 400, INVALID, details)


def test_forms_that_are_too_large(world: DealsWorld) -> None:
    too_many = token(world, images=[(f"{number}.png", b"x") for number in range(21)])
    said = "At most 20 images, and as many documents, may be sent."
    assert_error(too_many, 413, "Payload too large", said)
    parts = token(world, images=[(f"{number}.png", b"x") for number in range(70)])
    assert_error(parts, 413, "Payload too large", "The form has too many parts, or too long ones.")
    text = token(world, description="d" * 20_001)
    assert_error(text, 413, "Payload too large", "A text of the form has more than 20000 bytes.")
    whole = token(world, images=("large.png", b"x" * 8_388_608))
    assert_error(whole, 413, "Payload too large", "The body is larger than the server accepts.")
    assert len(tokens(world)) == 1


def test_one_symbol_is_issued_once_however_many_ask(world: DealsWorld) -> None:
    answers = at_once([lambda: token(world)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert len(tokens(world)) == 2
    assert balance(world, "equity", "TWR2") == -100


@pytest.mark.parametrize(
    "switch, field, shown",
    [
        ("open-to-otc", "is_open", "is_open_to_otc"),
        ("open-to-secondary-market", "is_open", "is_open_to_secondary_market"),
        ("public-transfer", "is_public", "is_public"),
    ],
)
def test_a_token_is_switched(world: DealsWorld, switch: str, field: str, shown: str) -> None:
    path = f"/v2/admin/token/{T}/{switch}"
    for wanted in (True, False, False, True):
        answer = post(world, path, {field: wanted})
        assert (answer.status_code, answer.json()) == (200, {})
        assert world.read(f"/v2/admin/tokens/{T}")[shown] is wanted
    assert_error(post(world, path, {}), 400, INVALID, f"{field} is required")
    for wrong in (1, "true", None):
        assert post(world, path, {field: wrong}).status_code == 400
    denied = "Insufficient permissions to manage tokens"
    for client in (READER, THIRD):
        assert_error(post(world, path, {field: False}, client=client), 403, DENIED, denied)
    assert_error(post(world, path.replace(T, UNKNOWN), {field: True}), 404, NOT_FOUND, "Token not found")
    assert_error(post(world, path.replace(T, "x"), {field: True}), 400, INVALID, "Invalid token ID format")
    assert_error(post(world, path, {field: True}, client=None), 401, "Authentication required")
    assert world.read(f"/v2/admin/tokens/{T}")[shown] is True


def test_lists_of_tokens_by_node(world: DealsWorld) -> None:
    assert tokens(world, N2) == []
    assert [row["id"] for row in world.searched("/v2/admin/token/users/search")["data"]] == [T]
    assert world.searched("/v2/admin/token/users/search", client=THIRD)["data"] == []
    path = f"{TOKENS}/search"
    assert_error(post(world, path, {"page": 1}), 400, INVALID, "per_page is required")
    answer = post(world, path, {"page": 1, "per_page": 1}, client=THIRD)
    assert_error(answer, 403, DENIED, "Insufficient permissions to manage tokens")


# -- currency tokens ---------------------------------------------------------------------------------------------------


def test_a_new_currency_token_is_a_draft(world: DealsWorld) -> None:
    answer = form(
        world,
        CURRENCIES,
        {"name": "Lira", "symbol": "VTRY", "description": "=cmd()", "fiat_currency": "TRY", "logo": ("l.png", b"x")},
    )
    told = answer.json()
    assert answer.status_code == 200
    assert told | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "node_id": N,
        "type": told["type"],
        "status": 1,
        "name": "Lira",
        "symbol": "VTRY",
        "total_supply": 0,
        "description": "=cmd()",
        "decimals": 6,
        "meta": {"logo": "l.png"},
        "contract": None,
        "is_active": False,
        "created_at": "",
        "updated_at": "",
    }
    assert world.read(f"/v2/admin/currency-tokens/{told['id']}") == told
    listed = world.read(CURRENCIES)
    assert ([row["id"] for row in listed["data"]], listed["total"], listed["per_page"]) == ([told["id"], C], 2, 20)
    assert [row["id"] for row in world.read("/v2/admin/currency-tokens/active")["data"]] == [C]
    assert_error(world.sell(price_id=told["id"]), 400, INVALID, "Price currency token not found")
    deployed = world.operator(
        "PUT", f"/operator/resale-currencies/{told['id']}", {"status": "deployed", "address": "0xc2"}
    )
    assert deployed.status_code == 200
    shown = world.read(f"/v2/admin/currency-tokens/{told['id']}")
    assert (shown["status"], shown["contract"]) == (3, {"address": "0xc2", "tx_hash": None})
    assert world.sell(price_id=told["id"], price_amount=1.5).status_code == 200


def test_a_currency_token_is_changed(world: DealsWorld) -> None:
    path = f"/v2/admin/currency-tokens/{C}"
    before = world.read(path)
    assert_empty(form(world, path, {"name": "Dollar of the vendor", "description": "new"}, method="PUT"))
    after = world.read(path)
    assert after == {**before, "name": "Dollar of the vendor", "description": "new", "updated_at": after["updated_at"]}
    assert_empty(form(world, path, {"fiat_currency": "USD"}, method="PUT"))
    assert world.read(path)["name"] == "Dollar of the vendor"
    unsupported = world.ask("PUT", path, {"name": "x"})
    assert_error(unsupported, 415, "Unsupported media type", "The body must be multipart/form-data.")
    assert_error(form(world, path, {"name": ""}, method="PUT"), 400, INVALID, "name must not be blank")
    wrong = form(world, path, {"fiat_currency": "ZZZ"}, method="PUT")
    assert_error(wrong, 400, INVALID, "fiat_currency must be a code of ISO 4217")
    unknown = form(world, path.replace(C, UNKNOWN), {"name": "x"}, method="PUT")
    assert_error(unknown, 404, NOT_FOUND, "Currency token not found")
    for client in (READER, THIRD):
        denied = form(world, path, {"name": "x"}, method="PUT", client=client)
        assert_error(denied, 403, DENIED, "Insufficient permissions to manage currency tokens")


@pytest.mark.parametrize(
    "changes, details",
    [
        ({"name": ""}, "name is required"),
        ({"symbol": ""}, "symbol is required"),
        ({"symbol": "V USD"}, "symbol must be 1 to 20 Latin letters, digits, dots, dashes or underscores"),
        ({"symbol": "vusd"}, "There is a token with this symbol already"),
        ({"symbol": "EXT"}, "There is a token with this symbol already"),
        ({"fiat_currency": "US"}, "fiat_currency must be a code of ISO 4217"),
    ],
)
def test_currency_tokens_that_cannot_be_made(world: DealsWorld, changes: dict[str, str], details: str) -> None:
    answer = form(world, CURRENCIES, {"name": "New", "symbol": "NEW", **changes})
    assert_error(answer, 400, INVALID, details)
    assert world.read(CURRENCIES)["total"] == 1


def test_who_may_make_and_see_currency_tokens(world: DealsWorld) -> None:
    said = "Insufficient permissions to manage currency tokens"
    for client in (READER, THIRD):
        denied = form(world, CURRENCIES, {"name": "New", "symbol": "NEW"}, client=client)
        assert_error(denied, 403, DENIED, said)
    for path in (CURRENCIES, f"/v2/admin/currency-tokens/{C}", f"/v2/admin/currency-tokens/{C}/transactions"):
        if not path.endswith(C):  # that of a node above is shown: its users trade in it
            assert_error(world.ask("GET", path, client=THIRD), 403, DENIED, said)
        assert world.ask("GET", path, client=READER).status_code == 200
        assert_error(world.ask("GET", path, client=None), 401, "Authentication required")
    unknown = f"/v2/admin/currency-tokens/{UNKNOWN}"
    assert_error(world.ask("GET", unknown), 404, NOT_FOUND, "Currency token not found")
    assert_error(world.ask("GET", unknown + "/transactions"), 404, NOT_FOUND, "Currency token not found")
    assert_error(world.ask("GET", "/v2/admin/currency-tokens/x"), 400, INVALID, "Invalid currency token ID format")
    assert form(world, CURRENCIES.replace(N, N3), {"name": "Of N3", "symbol": "N3"}, client=THIRD).status_code == 200


# -- sending money -----------------------------------------------------------------------------------------------------


def send(world: DealsWorld, amount: Any, wallet: str = U2_WALLET, *, currency: str = C, **how: Any) -> httpx.Response:
    body = {"amount": amount, "recipient_wallet": wallet}
    return post(world, f"/v2/admin/currency-tokens/{currency}/send", body, **how)


def test_money_is_sent_to_a_users_wallet_and_the_chain_follows(world: DealsWorld) -> None:
    world.fault("chain", "unavailable")
    world.fault("chain", "unavailable")
    assert_empty(send(world, 12.345678), 204)
    assert (money(world, U2), funds(world)) == (Decimal("512.345678"), Decimal("987.654322"))
    path = f"/v2/admin/currency-tokens/{C}/transactions"
    (sent,) = world.read(path)["data"]
    assert (sent["status"], sent["hash"], sent["type"]) == (1, None, 2)
    world.fault("chain", "up")
    world.fault("chain", "up")
    world.run_workers()
    told = world.read(path)
    (sent,) = told["data"]
    assert (told["total"], told["page"], told["per_page"]) == (1, 1, 20)
    assert sent | {"id": "", "hash": "", "created_at": ""} == {
        "id": "",
        "node_id": N,
        "user_id": U2,
        "currency_token_id": C,
        "hash": "",
        "type": 2,
        "status": 3,
        "error": None,
        "data": {"amount": 12.345678, "recipient_wallet": U2_WALLET},
        "next_transaction": None,
        "created_at": "",
    }


def test_a_wallet_that_has_only_tokens_gets_money_as_well(world: DealsWorld) -> None:
    assert_empty(send(world, 1, U1_WALLET), 204)
    assert [money(world, U1), funds(world)] == [1, 999]
    (account,) = [
        row
        for row in world.operator("GET", "/operator/accounts?limit=100").json()["data"]
        if (row["asset"], row["balance"]) == ("VUSD", "1.000000")
    ]
    assert account["address"] == U1_WALLET.lower()


def test_a_key_sends_once_and_answers_only_who_may_send(world: DealsWorld) -> None:
    keyed: dict[str, Any] = {"headers": {"Idempotency-Key": "pay-1"}}
    for wallet in (U1_WALLET, U1_WALLET.lower(), U1_WALLET):  # by the second it has an account for money as well
        assert_empty(send(world, 10, wallet, **keyed), 204)
    answers = at_once([partial(send, world, 20, headers={"Idempotency-Key": "pay-2"})] * 4)
    assert [answer.status_code for answer in answers] == [204] * 4
    assert [money(world, U1), money(world, U2), funds(world)] == [10, 520, 970]
    said = "This key was used before with different content."
    for amount, wallet in ((11, U1_WALLET), (10, U2_WALLET)):
        assert_error(send(world, amount, wallet, **keyed), 409, "Conflict", said)
    for client in (READER, THIRD):
        for amount in (10, 11):
            denied = send(world, amount, U1_WALLET, client=client, **keyed)
            assert_error(denied, 403, DENIED, "Insufficient permissions to manage currency tokens")
    assert send(world, 10, headers={"Idempotency-Key": "a b"}).status_code == 400
    assert world.read(f"/v2/admin/currency-tokens/{C}/transactions")["total"] == 2


def test_a_key_makes_a_rule_a_token_and_a_currency_token_once(world: DealsWorld) -> None:
    keyed: dict[str, Any] = {"headers": {"Idempotency-Key": "make-1"}}
    made = rule(world, how=keyed)
    assert (made.status_code, rule(world, how=keyed).content) == (201, made.content)
    assert world.read(RULES)["total"] == 1
    assert rule(world, priority=2, how=keyed).status_code == 409
    denied = rule(world, how={**keyed, "client": READER})
    assert_error(denied, 403, DENIED, "Insufficient permissions to manage OTC order rules")
    fields = {"name": "New", "symbol": "NEW"}
    assert form(world, CURRENCIES, fields, **keyed).status_code == 409  # the key is the rule's
    keyed = {"headers": {"Idempotency-Key": "make-2"}}
    first = form(world, CURRENCIES, fields, **keyed)
    assert (first.status_code, form(world, CURRENCIES, fields, **keyed).content) == (200, first.content)
    assert form(world, CURRENCIES, {**fields, "name": "Newer"}, **keyed).status_code == 409
    assert form(world, CURRENCIES, fields, client=READER, **keyed).status_code == 403
    assert world.read(CURRENCIES)["total"] == 2
    keyed = {"headers": {"Idempotency-Key": "make-3"}}
    for _ in range(2):
        assert_empty(form(world, TOKENS, TOKEN, **keyed))
    assert form(world, TOKENS, TOKEN, client=READER, **keyed).status_code == 403
    assert len(tokens(world)) == 2


def test_the_wallet_that_money_was_sent_to_is_told(world: DealsWorld) -> None:
    """Also where its account was opened by a payment, which says nothing of an address."""
    world.finished(world.sold(U1, quantity=1))
    assert_empty(accept(world, world.deals()[0]["deal_id"]))
    world.run_workers()
    assert_empty(send(world, 1, U1_WALLET), 204)
    (sent,) = world.read(f"/v2/admin/currency-tokens/{C}/transactions")["data"]
    assert sent["data"]["recipient_wallet"] == U1_WALLET.lower()


def test_what_is_burnt_is_nobodys_wallet(world: DealsWorld) -> None:
    for burnt in (False, True):
        if burnt:
            assert_empty(post(world, f"/v2/users/tokens/{T}/users/{U1}/burn"))
            world.run_workers()
        for wallet in (NOBODYS_WALLET, NOBODYS_WALLET.lower(), "0x" + "0" * 40):
            assert_error(send(world, 1, wallet), 404, NOT_FOUND, "Recipient wallet not found")
    assert funds(world) == 1000
    bought = post(world, f"/v2/users/purchases/users/{U2}/tokens/{T}/buy-on-primary-market", {"quantity": 1})
    told = world.finished(bought.json()["transaction_id"])["data"]
    assert (told["seller_address"], told["buyer_address"]) == (N_WALLET, U2_WALLET)


def test_who_sells_is_nowhere_rather_than_where_burnt_tokens_are(world: DealsWorld) -> None:
    """A node whose money has no address yet has one for what was burnt of its tokens, which is not its own."""
    assert_empty(form(world, TOKENS.replace(N, N2), TOKEN))
    (token,) = tokens(world, N2)
    listed = {"status": "listed", "address": "0xc2"}
    assert world.operator("PUT", f"/operator/resale-instruments/{token['id']}", listed).status_code == 200
    path = f"/v2/users/purchases/users/{U2}/tokens/{token['id']}/buy-on-primary-market"
    for _ in range(2):
        started = post(world, path, {"quantity": 1}).json()["transaction_id"]
        told = world.finished(started, token["id"])["data"]
        assert (told["seller_address"], told["buyer_address"]) == ("", U2_WALLET)
        assert_empty(post(world, f"/v2/users/tokens/{token['id']}/users/{U2}/burn"))
        world.run_workers()


@pytest.mark.parametrize(
    "amount, details",
    [
        (0, "amount must be greater than 0"),
        (-1, "amount must be greater than 0"),
        ("1", "amount must be a number"),
        (True, "amount must be a number"),
        (None, "amount is required"),
        (0.0000001, "amount has more decimals than its currency"),
        (1000.000001, "Node does not have enough of the currency"),
        (10**50, "The amount is out of range"),
    ],
)
def test_amounts_that_cannot_be_sent(world: DealsWorld, amount: Any, details: str) -> None:
    assert_error(send(world, amount), 400, INVALID, details)
    assert [money(world, U2), funds(world)] == [500, 1000]


def test_places_where_no_money_can_be_sent(world: DealsWorld) -> None:
    for wallet in ("", "x", "0x1", U2_WALLET + "0", "0x" + "g" * 40):
        assert_error(send(world, 1, wallet), 400, INVALID, "recipient_wallet must be an address")
    for wallet in ("0x" + "9" * 40, N_WALLET):  # nobody's, and its own
        assert_error(send(world, 1, wallet), 404, NOT_FOUND, "Recipient wallet not found")
    assert_error(send(world, 1, currency=UNKNOWN), 404, NOT_FOUND, "Currency token not found")
    for client in (READER, THIRD):
        denied = send(world, 1, client=client)
        assert_error(denied, 403, DENIED, "Insufficient permissions to manage currency tokens")
    assert_error(send(world, 1, client=None), 401, "Authentication required")
    assert [money(world, U2), funds(world)] == [500, 1000]


def test_no_more_is_sent_than_there_is_however_many_ask(world: DealsWorld) -> None:
    answers = at_once([lambda: send(world, 600)] * 4)
    assert sorted(answer.status_code for answer in answers) == [204, 400, 400, 400]
    assert [money(world, U2), funds(world)] == [1100, 400]


# -- fees --------------------------------------------------------------------------------------------------------------


def test_fees_of_a_node_and_of_the_platform(world: DealsWorld) -> None:
    told = world.read(FEES)
    leaves = {group: {name: leaf["value"] for name, leaf in table.items()} for group, table in told["value"].items()}
    assert (told["id"], told["entity"], told["node_id"], told["categories"]) == (N, 3, N, None)
    assert leaves == {
        "tokenization": {"asset_tokenization": 0, "tokenized_asset_sales": 0, "management": 0},
        "secondary_market": {"buy_order": 0, "sell_order": 0, "otc_sale": 0},
        "lending": {},
    }
    ids = [leaf["id"] for table in told["value"].values() for leaf in table.values()]
    assert ids == [1, 2, 3, 4, 5, 6]
    percents = {"otcPercent": "1.5", "secondaryPercent": "2", "primaryPercent": "0.25"}
    assert world.operator("PUT", "/operator/resale-fees", percents).status_code == 200
    platform = world.read(f"/v2/fees/platforms/{N}", client=THIRD)
    assert (platform["id"], platform["entity"], "node_id" in platform) == (N, 2, False)
    assert platform["value"]["secondary_market"]["otc_sale"]["value"] == 1.5
    assert platform["value"]["secondary_market"]["sell_order"]["value"] == 2
    assert platform["value"]["tokenization"]["tokenized_asset_sales"]["value"] == 0.25
    for other in (N2, UNKNOWN):
        assert_error(world.ask("GET", f"/v2/fees/platforms/{other}"), 404, NOT_FOUND, "Platform not found")


def test_fees_are_kept_as_they_are_given(world: DealsWorld) -> None:
    value = {
        "tokenization": {
            "asset_tokenization": {"id": 11, "value": 1},
            "tokenized_asset_sales": {"id": 12, "value": 2.5},
            "management": {"id": 13, "value": 0.1},
        },
        "secondary_market": {
            "buy_order": {"id": 14, "value": 3},
            "sell_order": {"id": 15, "value": 4.000001},
            "otc_sale": {"id": 16, "value": 49.999999},
        },
        "lending": {"origination": {"id": 17, "value": 5}},
    }
    assert_empty(post(world, FEES, {"value": value}), 204)
    assert world.read(FEES)["value"] == value
    assert_empty(post(world, FEES, {**value, "lending": {"origination": 6}}), 204)
    assert world.read(FEES)["value"]["lending"] == {"origination": {"id": 7, "value": 6}}
    assert_empty(post(world, FEES, world.read(FEES)), 204)
    assert world.read(FEES)["value"]["secondary_market"] == value["secondary_market"]


def test_both_fees_are_taken_of_a_sale(world: DealsWorld) -> None:
    assert_empty(post(world, FEES, {"secondary_market": {"otc_sale": 4}}), 204)
    percents = {"otcPercent": "1", "secondaryPercent": "0", "primaryPercent": "0"}
    world.operator("PUT", "/operator/resale-fees", percents)
    assert_empty(accept(world, world.active_deal(quantity=10, price_amount=10)))
    assert [money(world), funds(world)] == [95, 900]
    assert [balance(world, purpose, "VUSD") for purpose in ("resale_fees", "fee_income")] == [4, 1]


@pytest.mark.parametrize(
    "body, details",
    [
        ({"secondary_market": {"otc_sale": 50}}, "otc_sale must be at least 0 and less than 50"),
        ({"secondary_market": {"otc_sale": {"value": 50}}}, "otc_sale must be at least 0 and less than 50"),
        ({"secondary_market": {"otc_sale": -0.1}}, "otc_sale must be at least 0 and less than 50"),
        ({"secondary_market": {"otc_sale": 0.0000001}}, "otc_sale has more than 6 decimals"),
        ({"secondary_market": {"otc_sale": "4"}}, "otc_sale must be a number"),
        ({"secondary_market": {"otc_sale": None}}, "otc_sale is required"),
        ({"secondary_market": {"otc_sail": 4}}, "secondary_market has no fee otc_sail"),
        ({"value": {"secondary": {}}}, "secondary is no group of fees"),
        ({"lending": {"x" * 61: 1}}, "lending has more than 20 fees, or a name that is too long"),
        ({"secondary_market": {"otc_sale": {"id": -1, "value": 4}}}, "otc_sale.id is out of range"),
        ({"secondary_market": {"otc_sale": 4}, "otc_sale": 5}, "otc_sale is no field of this request"),
        ({}, "at least one of tokenization, secondary_market, lending is required"),
        ({"value": {"lending": {}}, "lending": {}}, "groups of fees are in value or beside it, not both"),
    ],
)
def test_fees_that_cannot_be(world: DealsWorld, body: dict[str, Any], details: str) -> None:
    before = world.read(FEES)
    assert_error(post(world, FEES, body), 400, INVALID, details)
    assert world.read(FEES) == before


def test_who_may_set_and_see_fees(world: DealsWorld) -> None:
    body = {"secondary_market": {"otc_sale": 4}}
    for client in (READER, THIRD):
        assert_error(post(world, FEES, body, client=client), 403, DENIED, "Insufficient permissions to set fees")
    assert_error(world.ask("GET", FEES, client=THIRD), 403, DENIED, "Insufficient permissions")
    assert world.ask("GET", FEES, client=READER).status_code == 200
    for node, status, error, details in (
        (UNKNOWN, 404, NOT_FOUND, "Node not found"),
        ("x", 400, INVALID, "Invalid node ID format"),
    ):
        for answer in (world.ask("GET", FEES.replace(N, node)), post(world, FEES.replace(N, node), body)):
            assert_error(answer, status, error, details)
    assert_error(post(world, FEES, body, client=None), 401, "Authentication required")


# -- the node's money --------------------------------------------------------------------------------------------------


def test_what_a_node_has(world: DealsWorld) -> None:
    told = world.read(f"/v2/admin/node/{N}/summary")
    assert told == {
        "stable_currencies": [{"currency_token": world.read(f"/v2/admin/currency-tokens/{C}"), "amount": 1000}],
        "balance_native": 0,
        "balance_native_symbol": "",
        "balance_native_logo": "",
    }
    assert funds(world, N2) == 0  # it may use the currency of the node above
    path = "/v2/admin/node/{}/summary"
    assert_error(
        world.ask("GET", path.format(N), client=THIRD), 403, DENIED, "Insufficient permissions to manage tokens"
    )
    assert_error(world.ask("GET", path.format(UNKNOWN)), 404, NOT_FOUND, "Node not found")
    assert_error(world.ask("GET", path.format("x")), 400, INVALID, "Invalid node ID format")
    assert_error(world.ask("GET", path.format(N), client=None), 401, "Authentication required")


def test_nodes_of_other_worlds_are_not_found(world: DealsWorld, server: DeskServer) -> None:
    other = DealsWorld(server)
    rule_id = made(other)["id"]
    currency = form(other, CURRENCIES, {"name": "Other", "symbol": "OTH"}).json()["id"]
    assert_error(
        world.ask("DELETE", f"/v2/admin/otc-order-rules/{rule_id}"), 404, NOT_FOUND, "OTC order rule not found"
    )
    assert_error(world.ask("GET", f"/v2/admin/currency-tokens/{currency}"), 404, NOT_FOUND, "Currency token not found")
    assert_error(send(world, 1, currency=currency), 404, NOT_FOUND, "Currency token not found")
    assert len(rules(other)) == 1
