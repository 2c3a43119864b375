"""Tokens of the deals dialect over real HTTP (deals contract 2, cases 10 and 11), and what comes before a handler."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from otcdesk.world_loading import shipped_world
from tests.support import forked
from tests.support.closing import closed_in_live_lanes
from tests.support.databases import run_apart
from tests.support.deals import (
    DEALS,
    N3,
    READER,
    REFRESH,
    ROOT,
    THIRD,
    U1,
    U3,
    UNAUTHENTICATED,
    DealsWorld,
    T,
    assert_error,
    encoded,
    minted,
    seconds_now,
    signing_key,
)
from tests.support.offers import OffersWorld, P
from tests.support.served import NewServer
from tests.support.server import ROOT as PROJECT
from tests.support.server import DeskServer, at_once, lane_of, run_cli, wait_until
from tests.support.tokens import claims_of, signed

CANCEL = f"/v2/users/otcs/users/{U1}/tokens/{T}/cancel"
SELL = f"/v2/users/otcs/users/{U1}/tokens/{T}/sell"
DENIED = "Insufficient permissions to create OTC offers"


@pytest.fixture
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def assert_unauthenticated(answer: httpx.Response) -> None:
    """Assert the 401 of the contract, to the byte."""
    assert (answer.status_code, answer.content) == (401, b'{"error":"Authentication required"}')
    assert answer.headers["www-authenticate"] == "Bearer"


def assert_let_in(answer: httpx.Response) -> None:
    """Assert what a bearer that is let in is told of the request that `as_bearer` sends."""
    assert answer.status_code == 400, answer.text


def asked(world: DealsWorld, question: str) -> Any:
    """Ask the server's database."""

    async def ask() -> Any:
        connection = await asyncpg.connect(world.server.environ["DATABASE_URL"])
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return run_apart(ask())


# -- cases 10 and 11 ---------------------------------------------------------------------------------------------------


def test_case_10_what_is_not_let_in(world: DealsWorld) -> None:
    token, claims = world.bearer(), world.claims()
    payload = token.split(".")[1]
    key = signing_key(world.server)
    refused: list[dict[str, str]] = [
        {},
        {"Authorization": "Basic x"},
        {"Authorization": "Bearer " + signed(claims, b"another key, which is as long as a key must be")},
        {"Authorization": "Bearer " + signed(claims, key, algorithm="none")},
        {"Authorization": f"Bearer {encoded({'alg': 'none'})}.{payload}.{token.split('.')[2]}"},
        {"Authorization": "Bearer " + world.minted(expiration=seconds_now() - 1)},
    ]
    for headers in refused:
        assert_unauthenticated(world.sell(how={"client": None, "headers": headers}))
    assert world.sell(how={"client": None, "headers": {"Authorization": f"Bearer {world.minted()}"}}).status_code == 200


def test_case_11_what_is_not_permitted_and_what_is_out_of_reach(world: DealsWorld) -> None:
    assert_error(world.sell(how={"client": READER}), 403, "Access denied", DENIED)
    assert_error(world.sell(U3, how={"client": THIRD}), 403, "Access denied", DENIED)
    assert world.sell(U3).status_code == 200
    assert world.claims(THIRD)["supervisorNodeID"] == N3


# -- the bearer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_spelt_as_one_likes(world: DealsWorld, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {world.bearer()}"}
    assert_let_in(world.ask("POST", CANCEL, {}, client=None, headers=headers))


@pytest.mark.parametrize("header", ["Bearer", "", "{token}", "Token {token}", "Bearer:{token}", "Bearer{token}"])
def test_a_header_that_bears_nothing(world: DealsWorld, header: str) -> None:
    headers = {"Authorization": header.format(token=world.bearer())}
    assert_unauthenticated(world.ask("POST", CANCEL, {}, client=None, headers=headers))


def test_of_two_headers_the_first_counts(world: DealsWorld) -> None:
    good, bad = world.bearer(), "nonsense"

    def status(*tokens: str) -> int:
        lines = "".join(f"Authorization: Bearer {token}\r\n" for token in tokens)
        head = f"POST {DEALS}{CANCEL} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
        return world.server.raw(head.encode()).status

    assert (status(good, bad), status(bad, good), status(bad, bad)) == (400, 401, 401)


def test_bytes_that_are_no_text_bear_nothing(world: DealsWorld) -> None:
    for junk in (b"", b" ", b"\xff\xfe", "ä.ö.ü".encode(), b"..", b"a" * 60_000):
        head = f"POST {DEALS}{CANCEL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ".encode()
        answer = world.server.raw(head + junk + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert (answer.status, json.loads(answer.body)) == (401, UNAUTHENTICATED)


def test_tokens_of_other_dialects_and_other_worlds(world: DealsWorld) -> None:
    offers, other = OffersWorld(world.server), DealsWorld(world.server)
    assert_unauthenticated(world.as_bearer(offers.bearer()))
    assert_unauthenticated(world.as_bearer(world.token))
    assert_unauthenticated(world.as_bearer(world.pair()["refresh_token"]))
    for path in ("/offers/v1/assets", "/exchanges/otc-exchanges", "/operator/orders"):
        headers = {"Authorization": f"Bearer {world.bearer()}"}
        assert world.server.http.get(path, headers=headers).status_code == 401, path
    sold = other.sold()
    assert sold
    theirs = world.minted(clientID=other.claims()["clientID"])
    assert_let_in(world.as_bearer(theirs))  # which is the other world's own
    assert other.claims(ROOT) != world.claims(ROOT)


def test_a_client_of_one_dialect_gets_no_tokens_of_another(world: DealsWorld) -> None:
    offers = OffersWorld(world.server)
    theirs = offers.clients[P]
    body = {"api_key": theirs["clientId"], "secret_key": theirs["clientSecret"]}
    assert_unauthenticated(world.auth(body=body))
    assert_unauthenticated(world.auth(REFRESH, {"refresh_token": offers.pair()["refresh_token"]}))
    ours = world.clients[ROOT]
    grant = {"client_id": ours["clientId"]}
    by_secret = {**grant, "grant_type": "client_credentials", "client_secret": ours["clientSecret"]}
    assert offers.oauth("token", by_secret).status_code == 401
    by_token = {**grant, "grant_type": "refresh_token", "refresh_token": world.pair()["refresh_token"]}
    assert offers.oauth("token", by_token).status_code == 401
    assert world.auth(REFRESH, {"refresh_token": by_token["refresh_token"]}).status_code == 200


def test_a_revoked_client_is_out_within_a_second(world: DealsWorld) -> None:
    token, refresh_token = world.pair()["access_token"], world.pair()["refresh_token"]
    assert_let_in(world.as_bearer(token))
    run_cli(world.server, "keys", "revoke", world.clients[ROOT]["clientId"], "--lane", world.id)
    wait_until(lambda: world.as_bearer(token).status_code == 401, "it is out", seconds=1)
    assert_unauthenticated(world.auth(body=world.keys_of()))
    assert_unauthenticated(world.auth(REFRESH, {"refresh_token": refresh_token}))
    assert world.auth(body=world.keys_of(THIRD)).status_code == 200


def test_a_disabled_supervisor_is_out_within_a_second_until_it_is_enabled(world: DealsWorld) -> None:
    token, refresh_token = world.pair()["access_token"], world.pair()["refresh_token"]
    assert_let_in(world.as_bearer(token))
    run_cli(world.server, "deals", "disable", world.supervisors[ROOT], "--lane", world.id)
    wait_until(lambda: world.as_bearer(token).status_code == 401, "it is out", seconds=1)
    assert_unauthenticated(world.auth(body=world.keys_of()))
    assert_unauthenticated(world.auth(REFRESH, {"refresh_token": refresh_token}))
    run_cli(world.server, "deals", "enable", world.supervisors[ROOT], "--lane", world.id)
    wait_until(lambda: world.as_bearer(token).status_code == 400, "it is in again", seconds=1)
    assert world.auth(REFRESH, {"refresh_token": refresh_token}).status_code == 200


def test_a_closed_world_is_closed_to_its_bearers(world: DealsWorld) -> None:
    token = world.bearer()
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").status_code == 200
    wait_until(lambda: world.as_bearer(token).status_code == 401, "it is out", seconds=1)
    assert_unauthenticated(world.auth(body=world.keys_of()))


def test_the_sandboxs_clock_moves_no_token(world: DealsWorld) -> None:
    token = world.bearer()
    world.steer("clock", set="2090-01-01T00:00:00Z", frozen=True)
    assert_let_in(world.as_bearer(token))


def test_who_asked_is_in_the_audit_chain(world: DealsWorld) -> None:
    world.sold()
    told = f"client:root as {world.supervisors[ROOT]}"
    where = f"lane = {lane_of(world)} and notes like '%{told}%'"
    assert asked(world, f"select count(*) from batches where {where}") == 1


# -- a first pair ------------------------------------------------------------------------------------------------------


def test_a_pair_says_how_long_it_is_good(world: DealsWorld) -> None:
    before = seconds_now()
    answer = world.auth(body=world.keys_of())
    told = world.told_pair(answer)
    assert [*told] == ["access_token", "refresh_token", "token_type", "expires_in", "expires_at"]
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 36_000)
    claims = claims_of(told["access_token"])
    assert told["expires_at"].endswith("Z")
    assert datetime.fromisoformat(told["expires_at"]) == datetime.fromtimestamp(claims["expiration"], UTC)
    assert before + 36_000 <= claims["expiration"] <= seconds_now() + 36_000
    assert claims["clientID"] == world.clients[ROOT]["clientId"]
    assert json.loads(json.dumps(claims)) == world.claims() | {"expiration": claims["expiration"]}
    head, _, _ = told["access_token"].split(".")
    assert head == encoded(b'{"alg":"HS256","typ":"JWT"}')


def test_headers_stand_for_an_empty_body_only(world: DealsWorld) -> None:
    keys = world.keys_of()
    headers = {"Api-Key": keys["api_key"], "Api-Secret": keys["secret_key"]}
    wrong = {"Api-Key": keys["api_key"], "Api-Secret": "wrong"}
    world.told_pair(world.auth(headers=headers))
    world.told_pair(world.auth(headers={**headers, "Content-Type": "text/plain"}))
    world.told_pair(world.auth(body=keys, headers=wrong))
    assert_unauthenticated(world.auth(headers=wrong))
    assert_unauthenticated(world.auth(body={**keys, "secret_key": "wrong"}, headers=headers))
    for body in ({}, {"api_key": keys["api_key"]}, {"secret_key": keys["secret_key"]}):
        assert_missing(world.auth(body=body, headers=headers))
    for name, value in headers.items():
        assert_missing(world.auth(headers={name: value}))


def assert_missing(answer: httpx.Response) -> None:
    assert_error(answer, 400, "Invalid parameters", "api_key and secret_key are required")


@pytest.mark.parametrize("missing", [None, ""], ids=["null", "empty"])
@pytest.mark.parametrize("field", ["api_key", "secret_key"])
def test_a_field_that_is_missing(world: DealsWorld, field: str, missing: str | None) -> None:
    assert_missing(world.auth(body={**world.keys_of(), field: missing}))
    body = world.keys_of()
    del body[field]
    assert_missing(world.auth(body=body))


@pytest.mark.parametrize(
    "change",
    [
        {"secret_key": "x"},
        {"secret_key": "ä" * 100},
        {"secret_key": "\u0000"},
        {"api_key": "x"},
        {"api_key": "00000000-0000-7000-8000-000000000000"},
        {"api_key": "{00000000-0000-7000-8000-000000000000}"},
        {"api_key": "x" * 36},
        {"api_key": "\u0000"},
    ],
    ids=ascii,
)
def test_credentials_that_are_wrong(world: DealsWorld, change: dict[str, str]) -> None:
    assert_unauthenticated(world.auth(body={**world.keys_of(), **change}))


def test_each_client_has_its_own_secret(world: DealsWorld) -> None:
    mixed = {**world.keys_of(ROOT), "secret_key": world.keys_of(THIRD)["secret_key"]}
    assert_unauthenticated(world.auth(body=mixed))
    operator = {**world.keys_of(ROOT), "secret_key": world.token}
    assert_unauthenticated(world.auth(body=operator))


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"null", b"5", b'"x"', b"\xff", b'{"api_key":5}', b'{"api_key":"a","api_key":"b"}', b"["]
)
@pytest.mark.parametrize("path", ["/v2/auth/authenticate", REFRESH])
def test_a_body_that_is_none(world: DealsWorld, path: str, content: bytes) -> None:
    if path == REFRESH:
        content = content.replace(b"api_key", b"refresh_token")
    answer = world.auth(path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert answer.json()["details"]


def test_a_body_of_another_kind_or_too_large(world: DealsWorld) -> None:
    for path in ("/v2/auth/authenticate", REFRESH):
        answer = world.auth(path, content=b"api_key=x", headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert (answer.status_code, answer.json()["error"]) == (415, "Unsupported media type")
        assert world.auth(path, {"api_key": "x" * 70_000}).status_code == 413


def test_secrets_are_kept_by_their_hashes_only(world: DealsWorld) -> None:
    pair = world.pair()
    secret = world.clients[ROOT]["clientSecret"]
    lane = lane_of(world)
    for text in (secret, pair["refresh_token"]):
        assert asked(world, f"select count(*) from credentials as c where c.lane = {lane} and c::text ~ '{text}'") == 0
        assert asked(world, f"select count(*) from refresh_tokens as t where t::text ~ '{text}'") == 0
    for text in (secret, pair["refresh_token"], pair["access_token"]):
        assert text not in world.server.log()


# -- the next pair -----------------------------------------------------------------------------------------------------


def test_a_refresh_token_is_good_once(world: DealsWorld) -> None:
    first = world.pair()
    second = world.told_pair(world.auth(REFRESH, {"refresh_token": first["refresh_token"]}))
    assert second.keys() == first.keys()
    assert second["refresh_token"] != first["refresh_token"]
    assert_unauthenticated(world.auth(REFRESH, {"refresh_token": first["refresh_token"]}))
    for pair in (first, second):
        assert_let_in(world.as_bearer(pair["access_token"]))
    world.told_pair(world.auth(REFRESH, {"refresh_token": second["refresh_token"]}))


def test_of_many_uses_at_once_one_buys_a_pair(world: DealsWorld) -> None:
    token = world.pair()["refresh_token"]
    answers = at_once([partial(world.auth, REFRESH, {"refresh_token": token})] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    (bought,) = [answer for answer in answers if answer.status_code == 200]
    world.told_pair(world.auth(REFRESH, {"refresh_token": world.told_pair(bought)["refresh_token"]}))


def test_a_second_use_is_noted_once_in_the_audit_chain_and_in_the_log(world: DealsWorld) -> None:
    counted = f"select count(*) from batches where lane = {lane_of(world)} and notes like '%report_token_reuse%'"
    token = world.pair()["refresh_token"]
    world.told_pair(world.auth(REFRESH, {"refresh_token": token}))
    assert asked(world, counted) == 0
    for _ in range(3):
        assert_unauthenticated(world.auth(REFRESH, {"refresh_token": token}))
        assert asked(world, counted) == 1
    assert "refresh_token_reused" in world.server.log()
    assert token not in world.server.log()


def test_a_refresh_token_lives_seven_days(world: DealsWorld) -> None:
    lane, token = lane_of(world), world.pair()["refresh_token"]
    lasts = f"select max(expires_at - issued_at) = interval '7 days' from refresh_tokens where lane = {lane}"
    assert asked(world, lasts)
    asked(world, f"update refresh_tokens set expires_at = now() where lane = {lane}")
    assert_unauthenticated(world.auth(REFRESH, {"refresh_token": token}))


@pytest.mark.parametrize("body", [None, {}, {"refresh_token": None}, {"refresh_token": ""}], ids=str)
def test_a_refresh_token_that_is_missing(world: DealsWorld, body: Any) -> None:
    assert_error(world.auth(REFRESH, body), 400, "Invalid parameters", "refresh_token is required")


def test_a_refresh_token_that_was_never_issued(world: DealsWorld) -> None:
    for token in ("x", "\u0000", "ä", world.bearer(), world.clients[ROOT]["clientSecret"]):
        assert_unauthenticated(world.auth(REFRESH, {"refresh_token": token}))


# -- before a handler --------------------------------------------------------------------------------------------------


def test_errors_have_the_dialects_shape_everywhere(world: DealsWorld) -> None:
    http = world.server.http
    for path in ("/deals", "/deals/", "/deals/v2", "/deals/v1/auth/authenticate", "/deals/v2/nothing"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()["error"]) == (404, "Resource not found"), path
    answer = http.get(f"{DEALS}/v2/auth/authenticate")
    assert (answer.status_code, answer.json()["error"]) == (405, "Method not allowed")
    assert answer.headers["allow"] == "POST"
    answer = world.ask("POST", CANCEL, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid parameters")
    assert answer.json()["details"]
    answer = world.ask("POST", CANCEL, content=b"x", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["error"]) == (415, "Unsupported media type")
    answer = world.ask("POST", CANCEL, {"deal_id": "x" * 70_000})
    assert (answer.status_code, answer.json()["error"]) == (413, "Payload too large")


def test_the_bearer_comes_before_the_body(world: DealsWorld) -> None:
    wrong: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "text/plain"}, "client": None}
    assert_unauthenticated(world.ask("POST", CANCEL, **wrong))
    assert_unauthenticated(world.ask("POST", CANCEL, {"deal_id": "x" * 70_000}, client=None))


def test_head_is_answered_as_get_without_a_body(world: DealsWorld) -> None:
    path = f"/v2/users/users/{U1}"
    told, head = world.ask("GET", path), world.ask("HEAD", path)
    assert (head.status_code, head.content) == (told.status_code, b"") == (200, b"")
    assert head.headers["content-length"] == str(len(told.content))
    assert world.ask("HEAD", path, client=None).status_code == 401


def test_a_key_makes_a_sale_once(world: DealsWorld) -> None:
    keyed = {"headers": {"Idempotency-Key": "sale-1"}}
    first = world.sell(how=keyed)
    assert first.status_code == 200
    again = world.sell(how=keyed)
    assert (again.status_code, again.content) == (200, first.content)
    answer = world.sell(quantity=2, how=keyed)
    assert (answer.status_code, answer.json()["error"]) == (409, "Conflict")
    assert world.sell(how={"headers": {"Idempotency-Key": "sale-2"}}).json() != first.json()
    for quantity in (3, 2):  # neither what was answered, nor that anything was
        for client in (READER, THIRD):
            assert_error(world.sell(quantity=quantity, how={**keyed, "client": client}), 403, "Access denied", DENIED)
    others = at_once([partial(world.sell, quantity=1, how={"headers": {"Idempotency-Key": "x" * 255}})] * 6)
    assert {answer.status_code for answer in others} == {200}
    assert len({answer.content for answer in others}) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
def test_a_key_that_is_none(world: DealsWorld, key: str) -> None:
    answer = world.sell(how={"headers": {"Idempotency-Key": key}})
    said = "The Idempotency-Key must be 1 to 255 visible ASCII characters."
    assert_error(answer, 400, "Invalid parameters", said)


def test_a_key_of_other_letters_or_of_none(world: DealsWorld) -> None:
    body = b'{"quantity":1,"price_id":"65a1b2c3d4e5f60718290c01","price_amount":1}'
    head = f"POST {DEALS}{SELL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.bearer()}\r\n".encode()
    for key in ("ä".encode(), b" ", b"\t", b"a\tb"):
        sent = head + b"Idempotency-Key: " + key + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        assert world.server.raw(sent).status == 400, key


# -- limits and maintenance --------------------------------------------------------------------------------------------


def until_refused(call: Callable[[], httpx.Response], good: int) -> tuple[int, httpx.Response]:
    """Call until told to slow down, from the start of a window; returns how often it went well, and the refusal."""
    wait_until(lambda: call().status_code == 429, "the limit is reached")
    wait_until(lambda: call().status_code == good, "a new window has begun")
    count = 1
    while (answer := call()).status_code == good:
        count += 1
        assert count < 100
    return count, answer


@pytest.fixture(scope="module")
def limited(new_server: NewServer) -> DeskServer:
    return new_server(DESK_DEALS_REQUESTS_PER_SECOND="4")


def assert_limited(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["error"]) == (429, "Too many requests")
    assert answer.headers["retry-after"] == "1"


def test_a_client_over_its_limit_is_told_so(limited: DeskServer) -> None:
    world = DealsWorld(limited)
    bearers = {name: world.bearer(name) for name in (ROOT, THIRD)}
    count, refused = until_refused(lambda: world.as_bearer(bearers[ROOT]), 400)
    assert count == 4
    assert_limited(refused)
    assert_let_in(world.as_bearer(bearers[THIRD]))


def test_requests_for_tokens_count_for_their_client(limited: DeskServer) -> None:
    world = DealsWorld(limited)
    count, refused = until_refused(lambda: world.auth(body=world.keys_of()), 200)
    assert count == 4
    assert_limited(refused)
    assert world.auth(body=world.keys_of(THIRD)).status_code == 200


def test_wrong_requests_for_tokens_count_for_their_address_and_not_for_the_client(limited: DeskServer) -> None:
    world = DealsWorld(limited)
    spent = world.pair()["refresh_token"]
    world.told_pair(world.auth(REFRESH, {"refresh_token": spent}))
    wrong: list[tuple[Callable[[], httpx.Response], int]] = [
        (lambda: world.auth(body={**world.keys_of(), "secret_key": "guess"}), 401),
        (lambda: world.auth(body={"api_key": world.keys_of()["api_key"]}), 400),
        (lambda: world.auth(content=b"{"), 400),
        (lambda: world.auth(REFRESH, {"refresh_token": "guess"}), 401),
        (lambda: world.auth(REFRESH, {"refresh_token": spent}), 401),
        (lambda: world.auth(REFRESH, {}), 400),
    ]
    for call, status in wrong:
        count, refused = until_refused(call, status)
        assert count == 4
        assert_limited(refused)
        world.told_pair(world.auth(body=world.keys_of()))


def test_a_closed_dialect_answers_503_before_anything_else(world: DealsWorld) -> None:
    token = world.bearer()
    assert world.operator("PUT", "/operator/maintenance/deals", {"reason": "new machines"}).status_code == 200
    calls: list[Callable[[], httpx.Response]] = [
        world.sell,
        lambda: world.as_bearer(token),
        lambda: world.auth(body=world.keys_of()),
        lambda: world.auth(body={**world.keys_of(), "secret_key": "wrong"}),
        lambda: world.auth(body={"api_key": world.keys_of()["api_key"]}),
    ]
    wait_until(lambda: calls[0]().status_code == 503, "it is closed", seconds=2)
    for call in calls:
        answer = call()
        assert (answer.status_code, answer.json()["error"]) == (503, "Service unavailable")
    assert_unauthenticated(world.sell(how={"client": None}))  # live lanes are open
    assert DealsWorld(world.server).sell().status_code == 200
    assert world.operator("DELETE", "/operator/maintenance/deals").status_code == 200
    wait_until(lambda: world.sell().status_code == 200, "it is open again", seconds=2)


def test_closing_all_live_lanes_closes_it_for_strangers_and_not_for_sandboxes(world: DealsWorld) -> None:
    token = world.pair()["refresh_token"]
    strangers: list[Callable[[], httpx.Response]] = [
        lambda: world.auth(body={"api_key": str(uuid4()), "secret_key": "x"}),
        lambda: world.auth(body={}),
        lambda: world.auth(content=b"{"),
        lambda: world.auth(REFRESH, {"refresh_token": "x"}),
        lambda: world.auth(REFRESH, {}),
        lambda: world.as_bearer("x"),
    ]
    with closed_in_live_lanes(world.server, "deals", 999998):
        wait_until(lambda: strangers[0]().status_code == 503, "it is closed", seconds=2)
        for call in strangers:
            assert call().status_code == 503
        assert_unauthenticated(world.auth(body={**world.keys_of(), "secret_key": "wrong"}))
        world.told_pair(world.auth(REFRESH, {"refresh_token": token}))
        assert world.sell().status_code == 200
    wait_until(lambda: strangers[0]().status_code == 401, "it is open again", seconds=2)


# -- settings and worlds -----------------------------------------------------------------------------------------------


def test_a_key_of_ones_own_a_prefix_and_a_lifetime(new_server: NewServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a secret of more than thirty-two bytes\n", encoding="utf-8")
    file.chmod(0o600)
    server = new_server(DESK_DEALS_KEY_FILE=str(file), DESK_DEALS_TOKEN_SECONDS="60", DESK_DEALS_PREFIX="/estate/api")
    world = DealsWorld(server)
    body = world.keys_of()
    told = server.http.post("/estate/api/v2/auth/authenticate", json=body).json()
    assert told["expires_in"] == 60
    claims = claims_of(told["access_token"])
    assert told["access_token"] == minted(
        json.dumps(claims, separators=(",", ":")).encode(), b"a secret of more than thirty-two bytes"
    )
    assert world.told["urls"]["deals"] == f"{server.url}/estate/api"
    path = f"/estate/api{CANCEL}"
    for token, status in ((told["access_token"], 400), (signed(claims, b"x" * 32), 401)):
        server.secrets.add(token)
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.post(server.url + path, json={}, headers=headers).status_code == status


@pytest.mark.parametrize("content", ["short", "x" * 31])
def test_a_key_that_is_too_short_does_not_start(server: DeskServer, tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    environ = {**server.environ, "DESK_DEALS_KEY_FILE": str(file), "DESK_PORT": "0"}
    done = forked.run("serve", cwd=PROJECT, env=environ, seconds_max=60)
    assert done.returncode == 1
    assert "at least 32 are needed" in done.stderr


def test_a_world_says_who_its_supervisors_are(world: DealsWorld) -> None:
    assert world.told["supervisors"].keys() == {"estate/root", "estate/reader", "estate/third"}
    assert {name: world.claims(name)["supervisorID"] for name in (ROOT, READER, THIRD)} == world.supervisors
    assert world.clients.keys() == {ROOT, READER, THIRD}


@pytest.mark.parametrize(
    "before, after",
    [
        ('permissions = ["*"]', 'permissions = ["everything"]'),
        ('supervisor = "third"', 'supervisor = "nobody"'),
        ('email = "root@example.com"', 'email = "root"'),
        ('branch = "N3"\nrole', 'branch = "N4"\nrole'),
    ],
)
def test_a_world_whose_supervisors_cannot_be_is_not_made(server: DeskServer, before: str, after: str) -> None:
    text = DealsWorld.file().replace(before, after)
    assert text != DealsWorld.file()
    answer = server.http.post("/sandbox/worlds", json={"world": text})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "WORLD_INVALID")


def test_the_shipped_world_has_clients_for_its_supervisors() -> None:
    (estate,) = shipped_world("deals").tenants
    assert [(row.ref, row.supervisor) for row in estate.clients] == [(name, name) for name in (ROOT, READER, THIRD)]
