"""What is said over the wire in edge cases: wrong ids, nulls, blanks, other JSON types, long forms, failures."""

import json
from typing import Any

import httpx
import pytest

from tests.api.test_connection import Wire, wired
from tests.support.deals import DEALS, N2, THIRD, U1, U2, U3, C, DealsWorld, N, T, assert_error
from tests.support.server import DeskServer

UNKNOWN = "65a1b2c3d4e5f60718290fff"
INVALID = "Invalid parameters"
NO_DEAL = (404, "Deal not found", "The specified deal does not exist")
FORM_BYTES = 8_388_608
TOKEN_FORM = {
    "category_id": "homes",
    "name": "House",
    "description": "A house",
    "total_value": "100",
    "currency_token_id": C,
    "salable_percentage": "100",
    "max_supply": "100",
    "token_name": "House token",
    "token_symbol": "HSE",
}
RULE = {"name": "r", "side": 3, "rule_type": 1, "consume_on_match": True, "status": 1, "priority": 1}


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


@pytest.fixture(scope="module")
def shared(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def post(world: DealsWorld, path: str, body: Any = None, **how: Any) -> httpx.Response:
    return world.ask("POST", path, body, **how)


def form(world: DealsWorld, path: str, fields: dict[str, Any], method: str = "POST", **how: Any) -> httpx.Response:
    parts = [(name, value if isinstance(value, tuple) else (None, value)) for name, value in fields.items()]
    return world.ask(method, path, files=parts, **how)


# -- forms -------------------------------------------------------------------------------------------------------------


def test_a_form_may_be_longer_than_other_bodies(world: DealsWorld) -> None:
    picture = ("house.png", b"x" * (FORM_BYTES - 4_000))
    answer = form(world, f"/v2/admin/token/nodes/{N}", TOKEN_FORM | {"images": picture})
    assert (answer.status_code, answer.content) == (200, b"")
    (token,) = [
        one for one in world.searched(f"/v2/admin/token/nodes/{N}/search")["data"] if one["token_symbol"] == "HSE"
    ]
    assert token["images"] == [{"name": "house.png", "size": FORM_BYTES - 4_000}]


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", f"/v2/admin/token/nodes/{N}"),
        ("POST", f"/v2/admin/currency-tokens/nodes/{N}"),
        ("PUT", f"/v2/admin/currency-tokens/{C}"),
    ],
)
def test_a_form_that_is_too_long(shared: DealsWorld, method: str, path: str) -> None:
    answer = form(shared, path, {"name": "x", "logo": ("a.png", b"x" * FORM_BYTES)}, method)
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")


def test_no_other_body_is_longer_for_being_a_form(shared: DealsWorld) -> None:
    path = f"/v2/users/otcs/users/{U1}/tokens/{T}/sell"
    content = b'{"quantity": 0' + b" " * 70_000 + b"}"
    for media, status in (("multipart/form-data; boundary=b", 415), ("application/json", 413)):
        assert post(shared, path, content=content, headers={"Content-Type": media}).status_code == status


def test_a_long_form_is_not_kept_for_who_may_not_send_it(shared: DealsWorld) -> None:
    answer = form(shared, f"/v2/admin/token/nodes/{N}", TOKEN_FORM | {"images": ("a", b"x" * 1_000_000)}, client=None)
    assert_error(answer, 401, "Authentication required")


def test_long_forms_that_are_sent_ahead_are_answered_in_turn(world: DealsWorld) -> None:
    """Of those that nobody reads yet no more is taken in than of any body; none is lost by it."""

    def sent(symbol: str) -> bytes:
        request = world.server.http.build_request(
            "POST",
            f"{DEALS}/v2/admin/currency-tokens/nodes/{N}",
            files=[("name", (None, "E")), ("symbol", (None, symbol)), ("logo", ("l", b"x" * 300_000))],
            headers={"Authorization": f"Bearer {world.bearer()}"},
        )
        head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in request.headers.items() if name != "connection"
        )
        return head.encode() + b"\r\n" + request.read()

    def answers(wire: Wire, symbols: list[str]) -> list[tuple[int, Any]]:
        wire.send(*map(sent, symbols))
        return [(answer.status, json.loads(answer.body).get("symbol")) for answer in (wire.answer() for _ in symbols)]

    symbols = [f"E{number}" for number in range(6)]
    with wired(world.server) as wire:
        assert answers(wire, symbols) == [(200, symbol) for symbol in symbols]


# -- who sees currency tokens ------------------------------------------------------------------------------------------


def currency(world: DealsWorld, node: str, symbol: str) -> str:
    made = form(world, f"/v2/admin/currency-tokens/nodes/{node}", {"name": symbol, "symbol": symbol}).json()["id"]
    wanted = {"status": "deployed", "address": "0x" + made[:24] + "0" * 16}
    assert world.operator("PUT", f"/operator/resale-currencies/{made}", wanted).status_code == 200
    return str(made)


def test_currency_tokens_are_seen_from_above_and_from_below_and_not_from_beside(world: DealsWorld) -> None:
    of_second = currency(world, N2, "BES")
    active = "/v2/admin/currency-tokens/active"
    seen = world.read(active)
    assert ({row["id"] for row in seen["data"]}, seen["total"]) == ({C, of_second}, 2)
    seen = world.read(active, client=THIRD)  # of the node N3, below N and beside N2
    assert ([row["id"] for row in seen["data"]], seen["total"]) == ([C], 1)
    assert world.read(f"/v2/admin/currency-tokens/{of_second}")["id"] == of_second
    assert world.read(f"/v2/admin/currency-tokens/{C}", client=THIRD)["id"] == C
    denied = world.ask("GET", f"/v2/admin/currency-tokens/{of_second}", client=THIRD)
    assert_error(denied, 403, "Access denied", "Insufficient permissions to manage currency tokens")
    for node_only in (f"/v2/admin/currency-tokens/{C}/transactions",):
        assert world.ask("GET", node_only, client=THIRD).status_code == 403


# -- sentences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user, token", [(UNKNOWN, T), (U1, UNKNOWN)])
def test_where_there_is_no_user_or_token_there_is_no_deal_to_delist(shared: DealsWorld, user: str, token: str) -> None:
    path = f"/v2/users/secondary-markets/users/{user}/tokens/{token}/delist"
    assert_error(post(shared, path, {"deal_id": 1}), *NO_DEAL)


def test_a_token_that_there_is_not_is_not_available_on_the_primary_market(shared: DealsWorld) -> None:
    path = f"/v2/users/purchases/users/{U1}/tokens/{UNKNOWN}/buy-on-primary-market"
    said = "Token not available for primary market purchase"
    assert_error(post(shared, path, {"quantity": 1}), 404, "Resource not found", said)


PAGE = {"page": 1, "per_page": 10}


@pytest.mark.parametrize(
    "method, path, body, what",
    [
        ("GET", "/v2/users/users/x", None, "user ID"),
        ("GET", f"/v2/admin/tokens/x/transactions/{UNKNOWN}", None, "token ID"),
        ("GET", f"/v2/admin/tokens/{T}/transactions/x", None, "transaction ID"),
        ("POST", "/v2/admin/token/x/transactions/search", {}, "token ID"),
        ("POST", f"/v2/admin/otcs/nodes/x/tokens/{T}", PAGE, "node ID"),
        ("POST", f"/v2/admin/otcs/nodes/{N}/tokens/x", PAGE, "token ID"),
        ("POST", f"/v2/admin/otcs/nodes/{N}/tokens/{T}/deals/x/accept", None, "deal ID"),
        ("POST", f"/v2/admin/otcs/nodes/{N}/tokens/x/deals/1/accept", None, "token ID"),
        ("POST", "/v2/admin/otcs/nodes/x/negotiation", {"is_open": True}, "node ID"),
        ("POST", f"/v2/users/otcs/users/{U1}/tokens/{T}/counters/x/decline", None, "counter ID"),
        ("POST", f"/v2/users/otcs/users/{U1}/tokens/x/cancel", {"deal_id": 1}, "user ID or token ID"),
        ("GET", f"/v2/users/purchases/users/x/tokens/{T}/quantity", None, "user ID or token ID"),
    ],
)
def test_the_id_that_is_wrong_is_named(shared: DealsWorld, method: str, path: str, body: Any, what: str) -> None:
    assert_error(shared.ask(method, path, body), 400, INVALID, f"Invalid {what} format")


@pytest.mark.parametrize(
    "path, body, said",
    [
        (f"/v2/users/otcs/users/{U1}/tokens/{T}/sell", {"price_id": 5}, "price_id must be a string"),
        (f"/v2/users/otcs/users/{U1}/tokens/{T}/sell", None, "The body must be an object"),
        (f"/v2/admin/token/{T}/open-to-otc", {"is_open": "yes"}, "is_open must be true or false"),
        (f"/v2/admin/otc-order-rules/nodes/{N}", RULE | {"name": None}, "name must be a string"),
        (f"/v2/admin/otc-order-rules/nodes/{N}", RULE | {"token_id": 5}, "token_id must be a string or null"),
        (f"/v2/admin/otc-order-rules/nodes/{N}", RULE | {"name": "  "}, "name is required"),
        (f"/v2/fees/nodes/{N}", {"secondary_market": 5}, "secondary_market must be an object"),
        (f"/v2/fees/nodes/{N}", {"secondary_market": {"otc_sale": {}}}, "otc_sale.value is required"),
        ("/v2/users/users", [1], "The body must be an object"),
    ],
)
def test_other_json_types_are_named_in_the_words_of_json(shared: DealsWorld, path: str, body: Any, said: str) -> None:
    given: dict[str, Any] = {"body": body} if body is not None else {"content": b"null"}
    if body is None:
        given["headers"] = {"Content-Type": "application/json"}
    if isinstance(body, dict) and "price_id" in body:
        given["body"] = {"quantity": 1, "price_id": C, "price_amount": 1} | body
    assert_error(shared.ask("POST", path, **given), 400, INVALID, said)


def test_no_price_is_more_than_a_hundred_percent_below(shared: DealsWorld) -> None:
    body = RULE | {"rule_type": 2, "below_percent": 100.5}
    said = "below_percent must be from 0 to 100, with at most 18 decimals"
    assert_error(post(shared, f"/v2/admin/otc-order-rules/nodes/{N}", body), 400, INVALID, said)


@pytest.mark.parametrize("name", ["", " ", "\t\u2003"])
def test_blank_names_of_forms_and_rules(shared: DealsWorld, name: str) -> None:
    rule = shared.ask("POST", f"/v2/admin/otc-order-rules/nodes/{N}", RULE).json()["id"]
    answers = [
        shared.ask("PUT", f"/v2/admin/otc-order-rules/{rule}", {"name": name}),
        form(shared, f"/v2/admin/currency-tokens/nodes/{N}", {"name": name, "symbol": "BLANK"}),
        form(shared, f"/v2/admin/currency-tokens/{C}", {"name": name}, "PUT"),
        form(shared, f"/v2/admin/token/nodes/{N}", TOKEN_FORM | {"token_name": name}),
    ]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(400, INVALID)] * 4


def test_what_the_chain_says_of_a_failure_is_the_operators_to_know(world: DealsWorld) -> None:
    world.fault("chain", "refuse")
    transaction = world.sold(quantity=1)
    world.run_workers()
    told = world.transaction(transaction)
    assert (told["status"], told["error"]) == (4, "The transaction was not carried out.")
    (job,) = world.operator("GET", "/operator/jobs?state=failed&limit=100").json()["data"]
    assert job["error"] not in {None, told["error"]}


# -- what is left out --------------------------------------------------------------------------------------------------


def test_the_history_of_a_token_may_be_asked_for_without_a_body(shared: DealsWorld) -> None:
    path = f"/v2/admin/token/{T}/transactions/search"
    asked = [post(shared, path), post(shared, path, {}), post(shared, path, {"page": None, "per_page": None})]
    assert [answer.status_code for answer in asked] == [200] * 3
    assert {answer.text for answer in asked} == {asked[0].text}
    assert (asked[0].json()["page"], asked[0].json()["per_page"]) == (1, 20)


def test_null_for_what_may_be_left_out(world: DealsWorld) -> None:
    rule = post(world, f"/v2/admin/otc-order-rules/nodes/{N}", RULE | {"match_action": None})
    assert (rule.status_code, rule.json()["match_action"]) == (201, 1)
    path = f"/v2/admin/otc-order-rules/{rule.json()['id']}"
    assert world.ask("PUT", path, {"match_action": 2}).json()["match_action"] == 2
    assert world.ask("PUT", path, {"match_action": None}).json()["match_action"] == 2
    assert post(world, f"/v2/admin/otcs/nodes/{N}/negotiation", {"is_open": True}).status_code == 200
    deal = world.active_deal(U1, quantity=2)
    trade = f"/v2/users/otcs/users/{U2}/tokens/{T}/counters"
    counter = {"deal_id": deal, "quantity": 1, "price_amount": 1, "expires_in_seconds": None}
    told = [post(world, trade, counter), post(world, trade, {k: v for k, v in counter.items() if v is not None})]
    assert [answer.status_code for answer in told] == [200, 200], told[0].text
    assert told[0].json()["expires_at"] == told[1].json()["expires_at"]
    assert post(world, f"{trade}/search", PAGE | {"side": None}).json()["pagination"]["total"] == 2
    assert post(world, f"/v2/users/purchases/users/{U3}/search", PAGE | {"token_id": None}).status_code == 200


def test_ids_may_be_in_upper_case(shared: DealsWorld) -> None:
    assert shared.read(f"/v2/users/users/{U1.upper()}")["id"] == U1
    assert shared.read(f"/v2/admin/tokens/{T.upper()}")["id"] == T
