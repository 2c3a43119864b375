"""The offers dialect's limit and its maintenance switch (offers contract 3.0), and what of it others can see."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.closing import closed_in_live_lanes
from tests.support.offers import OK_BUY, OffersWorld, P, Q, assert_error
from tests.support.served import NewServer
from tests.support.server import EXCHANGES, ORDERS, DeskServer, World, assert_refused, run_cli, wait_until

LIMIT_HEADERS = {
    "x-ratelimit-limit": "5, 5;w=1",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "1",
    "x-envoy-ratelimited": "true",
    "retry-after": "1",
}


@pytest.fixture(scope="module")
def limited(new_server: NewServer) -> DeskServer:
    return new_server(DESK_OFFERS_REQUESTS_PER_SECOND="5")


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


# -- the limit ---------------------------------------------------------------------------------------------------------


def until_refused(call: Callable[[], httpx.Response], good: int) -> tuple[int, httpx.Response]:
    """Call until told to slow down, from the start of a window; returns how often it went well, and the refusal."""
    wait_until(lambda: call().status_code == 429, "the limit is reached")
    wait_until(lambda: call().status_code == good, "a new window has begun")
    count = 1
    while (answer := call()).status_code == good:
        count += 1
        assert count < 100
    return count, answer


def test_a_client_over_its_limit_is_told_so_in_four_headers(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    bearers = {partner: world.bearer(partner) for partner in (P, Q)}
    count, refused = until_refused(lambda: world.ask("GET", "/v1/assets"), 200)
    assert count == 5
    assert_error(refused, 429, "too.many.requests")
    assert LIMIT_HEADERS.items() <= dict(refused.headers).items()
    assert bearers[Q]
    assert world.ask("GET", "/v1/assets", partner=Q).status_code == 200
    assert "x-ratelimit-limit" not in world.ask("GET", "/v1/assets", partner=Q).headers


def test_the_limit_comes_before_the_body_and_after_the_bearer(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    wrong: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    _, refused = until_refused(lambda: world.ask("POST", "/v1/offers", user="U", **wrong), 422)
    assert_error(refused, 429, "too.many.requests")
    assert_error(world.ask("GET", "/v1/assets", partner=None), 401, "unauthorized")


def test_requests_for_tokens_count_for_their_client(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    count, refused = until_refused(lambda: world.oauth("token", world.token_body()), 200)
    assert count == 5
    assert_error(refused, 429, "too.many.requests")
    assert LIMIT_HEADERS.items() <= dict(refused.headers).items()
    assert world.oauth("token", world.token_body(Q)).status_code == 200


def made_client(world: OffersWorld, partner: str, name: str) -> dict[str, str]:
    """Make a further client of a partner, and add it to the world's."""
    tenant = world.told["tenants"][partner]
    told = run_cli(world.server, "keys", "create-client", name, "--tenant", tenant, "--lane", world.id)
    found = re.search(r"client id (\S+), secret (\S+)", told)
    assert found is not None, told
    world.server.secrets.add(found[2])
    return {"clientId": found[1], "clientSecret": found[2]}


def test_clients_of_one_name_have_limits_of_their_own(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    for partner in (P, Q):
        world.clients[f"{partner} too"] = made_client(world, partner, "main")
    bearers = [world.bearer(f"{partner} too") for partner in (P, Q)]
    count, refused = until_refused(lambda: world.ask("GET", "/v1/assets", partner=f"{P} too"), 200)
    assert count == 5
    assert_error(refused, 429, "too.many.requests")
    assert len(set(bearers)) == 2
    assert world.ask("GET", "/v1/assets", partner=f"{Q} too").status_code == 200
    assert world.ask("GET", "/v1/assets", partner=P).status_code == 200


def test_who_does_not_prove_to_be_a_client_uses_up_its_own_limit_and_not_the_clients(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    token = world.pair()["refresh_token"]
    client_id = world.clients[P]["clientId"]
    spent = world.pair()["refresh_token"]
    world.refreshed(spent)
    wrong: list[tuple[str, dict[str, Any], int]] = [
        ("token", world.token_body(client_secret="guess"), 401),
        ("token", {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": "guess"}, 401),
        ("token", {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": spent}, 401),
        ("revoke", world.token_body(grant_type=None, client_secret="guess", refresh_token=token), 422),
        ("token", {"client_id": client_id}, 422),
        ("token", {"client_id": client_id, "grant_type": "password"}, 422),
    ]
    for path, body, status in wrong:
        count, refused = until_refused(partial(world.oauth, path, body), status)
        assert count == 5
        assert_error(refused, 429, "too.many.requests")
        assert world.oauth("token", world.token_body()).status_code == 200, body
    assert world.refreshed(token).status_code == 200


def test_wrong_requests_for_tokens_count_for_their_address(limited: DeskServer) -> None:
    world = OffersWorld(limited)
    count, refused = until_refused(lambda: world.oauth("token", world.token_body(client_id="nobody")), 401)
    assert count == 5
    assert_error(refused, 429, "too.many.requests")


def test_other_dialects_are_not_limited_with_it(limited: DeskServer) -> None:
    world = World(limited)
    assert {world.get("").status_code for _ in range(20)} == {200}


# -- maintenance -------------------------------------------------------------------------------------------------------


def close(world: World, dialect: str = "offers", **body: Any) -> httpx.Response:
    return world.operator("PUT", f"/operator/maintenance/{dialect}", body or None)


def test_a_closed_dialect_answers_503_before_anything_else(world: OffersWorld) -> None:
    made, client_id = world.offer(), world.clients[P]["clientId"]
    answer = close(world, reason="new machines")
    assert answer.status_code == 200
    closed = answer.json()["data"]
    assert (closed["dialect"], closed["reason"]) == ("offers", "new machines")
    assert world.operator("GET", "/operator/maintenance").json()["data"] == [closed]
    calls: list[Callable[[], httpx.Response]] = [
        world.create,
        lambda: world.ask("POST", "/v1/offers", {"nonsense": 1}),
        lambda: world.accept(made["id"], "ext-1"),
        lambda: world.ask("GET", f"/v1/offer-status/{made['id']}", user="x"),
        lambda: world.ask("GET", "/v2/trades/search?status=nonsense"),
        lambda: world.oauth("token", world.token_body()),
        lambda: world.oauth("token", world.token_body(client_secret="wrong")),
        lambda: world.oauth("revoke", world.token_body(grant_type=None, refresh_token="x")),
        lambda: world.oauth("token", {"client_id": client_id}),
        lambda: world.oauth("revoke", {"client_id": client_id}),
        lambda: world.oauth("token", {"client_id": client_id, "grant_type": "password"}),
        lambda: world.oauth("token", {"client_id": client_id, "client_secret": 5}),
    ]
    wait_until(lambda: calls[0]().status_code == 503, "it is closed", seconds=2)
    for call in calls:
        assert_error(call(), 503, "service.unavailable")
    assert_error(world.create(version="v1", how={"partner": None}), 401, "unauthorized")  # live lanes are open
    assert_error(world.oauth("token", {}), 422, "the.grant_type.field.is.required.")  # whose it is nobody knows
    assert_error(world.oauth("token", world.token_body(client_id=str(uuid4()))), 401, "credentials.invalid")
    assert world.operator("DELETE", "/operator/maintenance/offers").status_code == 200
    wait_until(lambda: world.accept(made["id"], "ext-1").status_code == 200, "it is open again", seconds=2)
    assert world.operator("GET", "/operator/maintenance").json()["data"] == []


def test_closing_all_live_lanes_closes_it_for_strangers_and_not_for_sandboxes(world: OffersWorld) -> None:
    stranger: list[tuple[str, dict[str, Any]]] = [
        ("token", world.token_body(client_id=str(uuid4()))),
        ("revoke", {}),
        ("token", {"grant_type": 5}),
    ]
    token = world.pair()["refresh_token"]
    with closed_in_live_lanes(world.server, "offers", 999999):
        wait_until(lambda: world.oauth(*stranger[0]).status_code == 503, "it is closed", seconds=2)
        for request in stranger:
            assert_error(world.oauth(*request), 503, "service.unavailable")
        assert_error(world.ask("GET", "/v1/assets", partner=None), 503, "service.unavailable")
        assert world.pair().keys() >= {"access_token"}
        assert world.revoked(token).status_code == 200
        assert_error(world.oauth("token", world.token_body(client_secret="wrong")), 401, "credentials.invalid")
        assert_error(world.oauth("token", world.token_body(grant_type=5)), 422, "validation.grant_type")
        assert world.ask("GET", "/v1/assets").status_code == 200
    wait_until(lambda: world.oauth(*stranger[0]).status_code == 401, "it is open again", seconds=2)


def test_a_lane_is_closed_alone_and_a_dialect_is(world: OffersWorld) -> None:
    other = OffersWorld(world.server)
    assert world.create().status_code == 201
    close(world)
    wait_until(lambda: world.create().status_code == 503, "it is closed", seconds=2)
    assert other.create().status_code == 201
    assert world.operator("GET", "/operator/accounts").status_code == 200


def test_any_dialect_can_be_closed(server: DeskServer) -> None:
    world = World(server)
    assert close(world, "exchanges").status_code == 200
    wait_until(lambda: world.get("").status_code == 503, "it is closed", seconds=2)
    assert_refused(world.get(""), 503, "SERVICE_UNAVAILABLE")
    assert_refused(world.get("", key=None), 401, "UNAUTHORIZED")
    assert world.operator("GET", ORDERS).status_code == 200
    assert world.operator("DELETE", "/operator/maintenance/exchanges").status_code == 200
    wait_until(lambda: world.get("").status_code == 200, "it is open again", seconds=2)


@pytest.mark.parametrize("dialect", ["operator", "sandbox", "bonds", "nothing", "Offers"])
def test_what_cannot_be_closed(world: OffersWorld, dialect: str) -> None:
    for method in ("PUT", "DELETE"):
        assert_refused(world.operator(method, f"/operator/maintenance/{dialect}"), 404, "NOT_FOUND")
    assert world.operator("GET", "/operator/accounts").status_code == 200


def test_closing_twice_keeps_since_when(world: OffersWorld) -> None:
    first = close(world, reason="first").json()["data"]
    second = close(world, reason="second").json()["data"]
    assert (second["since"], second["reason"]) == (first["since"], "second")
    assert world.operator("DELETE", "/operator/maintenance/offers").status_code == 200
    assert world.operator("DELETE", "/operator/maintenance/offers").status_code == 200


# -- products do not meet ----------------------------------------------------------------------------------------------


def test_the_exchanges_dialect_shows_no_offers_and_no_verb_of_conversions_touches_one(server: DeskServer) -> None:
    keyed = '\n[[tenants.keys]]\nref = "KP"\nscopes = ["otc-exchanges:read", "otc-exchanges:write"]\n'
    text = OffersWorld.file().replace(
        '\n[[tenants.clients]]\nref = "P"\n', keyed + '\n[[tenants.clients]]\nref = "P"\n'
    )
    world = OffersWorld(server, template=None, world=text)
    trade = world.traded()["id"]
    answer = world.get("", key="KP").json()
    assert (answer["data"], answer["meta"]["pagination"]["total"]) == ([], 0)
    assert_refused(world.get(f"/{trade}", key="KP"), 404, "ORDER_NOT_FOUND")
    assert_refused(world.post(f"/{trade}/cancel", key="KP"), 404, "ORDER_NOT_FOUND")
    assert_refused(world.confirm(trade, key="KP"), 404, "ORDER_NOT_FOUND")
    assert world.operator("GET", ORDERS).json()["data"] == []
    assert_refused(world.operator("GET", f"{ORDERS}/{trade}"), 404, "ORDER_NOT_FOUND")
    verbs: dict[str, dict[str, str]] = {
        "approve": {"rate": "1"},
        "reject": {},
        "requote": {},
        "settle-debit": {"outcome": "settled"},
    }
    for verb, body in verbs.items():
        assert_refused(world.act(trade, verb, body), 404, "ORDER_NOT_FOUND")
    created = world.offer()["id"]
    for verb, body in verbs.items():
        assert_refused(world.act(created, verb, body), 404, "ORDER_NOT_FOUND")
    assert world.offer_status(created) == {"status": "created"}


def test_a_conversion_is_no_offer(server: DeskServer) -> None:
    world = OffersWorld(server)
    conversions = World(server)
    order = conversions.buy()
    assert_error(world.accept(order, "ext-1"), 410, "offer.gone")
    assert_error(world.ask("GET", f"/v2/trades/{order}"), 404, "trade.not.found")


def test_errors_of_the_offers_dialect_have_its_own_shape_everywhere(world: OffersWorld) -> None:
    http = world.server.http
    for path in ("/offers", "/offers/", "/offers/x", "/offers/v1/nothing"):
        assert http.get(path).json() == {"errors": [{"code": "not.found", "title": "There is nothing at this path."}]}
    assert http.get(f"{EXCHANGES}/x/y").json()["error"]["code"] == "NOT_FOUND"
    assert http.post("/offers/v1/offers", json=OK_BUY, headers={"bp-user-id": "x"}).status_code == 401
