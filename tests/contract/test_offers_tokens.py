"""Tokens of the offers dialect (offers contract 2): grants, rotation, revocation, and what no token is."""

from functools import partial
from typing import Any

import pytest

from otcdesk.secret_files import load_or_make_key
from tests.support.offers import OFFERS, OffersWorld, P, Q, assert_error
from tests.support.server import EXCHANGES, DeskServer, at_once, lane_of, run_cli, wait_until
from tests.support.tokens import aged, changed, claims_of, signed


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


def status_of(world: OffersWorld, token: str) -> int:
    """Return what a request with this bearer is answered."""
    how: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}, "partner": None}
    return world.ask("GET", "/v1/assets", **how).status_code


# -- what a request for a token must say -------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [None, ""], ids=["left out", "empty"])
@pytest.mark.parametrize("field", ["grant_type", "client_id", "client_secret"])
def test_a_field_that_is_missing(world: OffersWorld, field: str, missing: str | None) -> None:
    if field == "grant_type" and missing == "":
        assert_error(world.oauth("token", {**world.token_body(), field: missing}), 422, "validation.grant_type")
        return
    body = {**world.token_body(), field: missing}
    if missing is None:
        del body[field]
    assert_error(world.oauth("token", body), 422, f"the.{field}.field.is.required.")


def test_everything_that_is_missing_is_named(world: OffersWorld) -> None:
    answer = world.oauth("revoke", {})
    codes = [error["code"] for error in answer.json()["errors"]]
    assert codes == [f"the.{field}.field.is.required." for field in ("client_id", "client_secret", "refresh_token")]
    assert_error(
        world.oauth("token", {"grant_type": "refresh_token", "client_id": "x"}),
        422,
        "the.refresh_token.field.is.required.",
    )


@pytest.mark.parametrize(
    "body, missing",
    [
        ({}, ["grant_type", "client_id"]),
        ({"client_id": ""}, ["grant_type", "client_id"]),
        ({"grant_type": "client_credentials"}, ["client_id", "client_secret"]),
        ({"grant_type": "refresh_token"}, ["client_id", "refresh_token"]),
        ({"grant_type": "refresh_token", "client_secret": "x", "refresh_token": ""}, ["client_id", "refresh_token"]),
    ],
    ids=str,
)
def test_all_that_a_grant_lacks_is_named_at_once(world: OffersWorld, body: Any, missing: list[str]) -> None:
    answer = world.oauth("token", body)
    assert_error(answer, 422, f"the.{missing[0]}.field.is.required.")
    assert [error["code"] for error in answer.json()["errors"]] == [f"the.{m}.field.is.required." for m in missing]


@pytest.mark.parametrize("null", ["grant_type", "client_id", "client_secret"])
def test_null_is_missing(world: OffersWorld, null: str) -> None:
    assert_error(world.oauth("token", {**world.token_body(), null: None}), 422, f"the.{null}.field.is.required.")


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", "http.bad.request"),
        (b"nonsense", "http.bad.request"),
        (b"[]", "http.bad.request"),
        (b"null", "http.bad.request"),
        (b'{"grant_type":"client_credentials"', "http.bad.request"),
        (b'{"client_id":"a","client_id":"b"}', "http.bad.request"),
        (b"\xff\xfe", "http.bad.request"),
        (b"[" * 20_000, "http.bad.request"),
        (b'{"client_id":5}', "validation.client_id"),
        (b'{"client_id":"a","client_secret":["a"]}', "validation.client_secret"),
        (b'{"refresh_token":{}}', "validation.refresh_token"),
    ],
    ids=str,
)
@pytest.mark.parametrize("route", ["token", "revoke"])
def test_bodies_that_are_wrong(world: OffersWorld, route: str, body: bytes, code: str) -> None:
    answer = world.server.http.post(
        f"{OFFERS}/v1/oauth/{route}", content=body[:60_000], headers={"Content-Type": "application/json"}
    )
    assert_error(answer, 422, code)


@pytest.mark.parametrize("grant", ["password", "authorization_code", "CLIENT_CREDENTIALS", 5, ["refresh_token"]])
def test_grants_that_there_are_not(world: OffersWorld, grant: Any) -> None:
    assert_error(world.oauth("token", world.token_body(grant_type=grant)), 422, "validation.grant_type")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("route", ["token", "revoke"])
def test_content_types_that_are_not_json(world: OffersWorld, route: str, kind: str) -> None:
    answer = world.server.http.post(f"{OFFERS}/v1/oauth/{route}", content=b"{}", headers={"Content-Type": kind})
    assert_error(answer, 422, "header.content.type")


def test_a_body_that_is_too_large(world: OffersWorld) -> None:
    answer = world.oauth("token", world.token_body(client_secret="x" * 100_000))
    assert_error(answer, 413, "body.too.large")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": "01a1feaa-515a-798c-b765-844ef6dbb000"},
        {"client_id": "{" + "01a1feaa-515a-798c-b765-844ef6dbb000" + "}"},
        {"client_secret": "cs_test_wrong"},
        {"client_secret": "\x00"},
        {"client_secret": "\u00e9" * 200},
    ],
    ids=str,
)
def test_credentials_that_are_wrong(world: OffersWorld, changes: dict[str, str]) -> None:
    assert_error(world.oauth("token", world.token_body(**changes)), 401, "credentials.invalid")
    body = world.token_body(grant_type=None, refresh_token="x", **changes)
    assert_error(world.oauth("revoke", body), 422, "credentials.invalid")


def test_one_clients_id_with_anothers_secret(world: OffersWorld) -> None:
    secret = world.clients[Q]["clientSecret"]
    assert_error(world.oauth("token", world.token_body(P, client_secret=secret)), 401, "credentials.invalid")
    other = OffersWorld(world.server).clients[P]["clientSecret"]
    assert_error(world.oauth("token", world.token_body(P, client_secret=other)), 401, "credentials.invalid")


def test_a_key_or_an_operators_token_is_no_clients_secret(world: OffersWorld) -> None:
    assert_error(world.oauth("token", world.token_body(client_secret=world.token)), 401, "credentials.invalid")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(world: OffersWorld, method: str) -> None:
    answer = world.server.http.request(method, f"{OFFERS}/v1/oauth/token")
    assert_error(answer, 405, "method.not.allowed")
    assert answer.headers["allow"] == "POST"


# -- rotation ----------------------------------------------------------------------------------------------------------


def test_a_refresh_token_buys_one_pair_and_several_chains_live_side_by_side(world: OffersWorld) -> None:
    first, other = world.pair(), world.pair()
    answer = world.refreshed(first["refresh_token"])
    assert answer.status_code == 200
    second = answer.json()
    world.server.secrets |= {second["access_token"], second["refresh_token"]}
    assert second["refresh_token"] != first["refresh_token"]
    tokens = [pair["access_token"] for pair in (first, second, other)]
    assert [status_of(world, token) for token in tokens] == [200, 200, 200]  # an issued access token is not cut off
    assert world.refreshed(other["refresh_token"]).status_code == 200
    assert_error(world.refreshed(first["refresh_token"]), 401, "refresh.token.invalid")
    assert world.refreshed(second["refresh_token"]).status_code == 200


def test_a_refresh_token_used_by_many_at_once_buys_one_pair(world: OffersWorld) -> None:
    for _ in range(5):
        token = world.pair()["refresh_token"]
        answers = at_once([partial(world.refreshed, token)] * 8)
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


def test_a_reused_refresh_token_is_noted_in_the_audit_chain_and_in_the_log(world: OffersWorld) -> None:
    token = world.pair()["refresh_token"]
    assert world.refreshed(token).status_code == 200
    before = audited(world, "report_token_reuse")
    assert_error(world.refreshed(token), 401, "refresh.token.invalid")
    assert audited(world, "report_token_reuse") == before + 1
    assert "refresh_token_reused" in world.server.log()
    assert token not in world.server.log()
    answers = at_once([partial(world.refreshed, token)] * 8)
    assert {answer.status_code for answer in answers} == {401}
    assert audited(world, "report_token_reuse") == before + 1  # once for each token
    other = world.pair()["refresh_token"]
    assert [world.refreshed(other).status_code for _ in range(2)] == [200, 401]
    assert audited(world, "report_token_reuse") == before + 2


def test_a_revoked_refresh_token_that_is_used_is_not_noted(world: OffersWorld) -> None:
    token = world.pair()["refresh_token"]
    assert world.revoked(token).status_code == 200
    before = audited(world, "report_token_reuse")
    assert_error(world.refreshed(token), 401, "refresh.token.invalid")
    assert audited(world, "report_token_reuse") == before


def audited(world: OffersWorld, verb: str) -> int:
    """Return how often the lane's chain has a command of a verb among what was asked for."""
    told = run_sql(world, f"select count(*) from batches where lane = {lane_of(world)} and notes like '%{verb}%'")
    return int(told)


def run_sql(world: OffersWorld, statement: str) -> Any:
    """Ask the server's database."""
    import asyncpg

    from tests.support.databases import run_apart

    async def ask() -> Any:
        connection = await asyncpg.connect(world.server.environ["DATABASE_URL"])
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return run_apart(ask())


def test_a_refresh_token_of_another_client_was_never_issued(world: OffersWorld) -> None:
    token = world.pair(Q)["refresh_token"]
    assert_error(world.refreshed(token, P), 401, "refresh.token.unknown")
    assert_error(world.revoked(token, P), 422, "refresh.token.unknown")
    assert world.refreshed(token, Q).status_code == 200


@pytest.mark.parametrize("token", ["x", "a.b.c", "\x00", "\u00e9", "x" * 50_000])
def test_a_refresh_token_that_was_never_issued(world: OffersWorld, token: str) -> None:
    assert_error(world.refreshed(token), 401, "refresh.token.unknown")
    assert_error(world.revoked(token), 422, "refresh.token.unknown")


def test_an_access_token_is_no_refresh_token(world: OffersWorld) -> None:
    assert_error(world.refreshed(world.bearer()), 401, "refresh.token.unknown")


def test_a_wrong_secret_beside_a_refresh_token(world: OffersWorld) -> None:
    token = world.pair()["refresh_token"]
    body = world.token_body(grant_type="refresh_token", refresh_token=token, client_secret="wrong")
    assert_error(world.oauth("token", body), 401, "credentials.invalid")
    assert world.refreshed(token).status_code == 200


def test_a_refresh_token_lives_a_day_by_the_machines_clock(world: OffersWorld) -> None:
    token = world.pair()["refresh_token"]
    world.advance(seconds=100 * 86_400)  # which is the business's, and moves no token
    assert claims_of(token)["exp"] - claims_of(token)["iat"] == 86_400
    run_sql(
        world,
        f"update refresh_tokens set expires_at = now() - interval '1 second' where lane = {lane_of(world)}",
    )
    before = audited(world, "report_token_reuse")
    assert_error(world.refreshed(token), 401, "refresh.token.invalid")
    assert_error(world.revoked(token), 422, "refresh.token.invalid")
    assert audited(world, "report_token_reuse") == before  # nobody has used it before


def test_revoking_twice(world: OffersWorld) -> None:
    token = world.pair()["refresh_token"]
    assert world.revoked(token).status_code == 200
    assert_error(world.revoked(token), 422, "refresh.token.invalid")


def test_revoking_leaves_access_tokens_and_other_chains_alone(world: OffersWorld) -> None:
    pair, other = world.pair(), world.pair()
    assert world.revoked(pair["refresh_token"]).status_code == 200
    assert status_of(world, pair["access_token"]) == 200
    assert world.refreshed(other["refresh_token"]).status_code == 200


# -- bearers -----------------------------------------------------------------------------------------------------------


def test_the_sandboxs_clock_moves_no_token(world: OffersWorld) -> None:
    token = world.bearer()
    world.steer("clock", set="2090-01-01T00:00:00Z", frozen=True)
    assert status_of(world, token) == 200
    world.steer("clock", set="2001-01-01T00:00:00Z", frozen=True)
    assert status_of(world, token) == 200
    assert status_of(world, world.pair()["access_token"]) == 200


@pytest.mark.parametrize(
    "change", [{"aud": "offers refresh"}, {"aud": "exchanges"}, {"aud": None}, {"aud": ["offers"]}]
)
def test_a_token_for_somebody_else(world: OffersWorld, change: dict[str, Any]) -> None:
    key = load_or_make_key(world.server.home, "session.key")
    assert status_of(world, changed(world.bearer(), key, **change)) == 401


@pytest.mark.parametrize(
    "change",
    [
        {"sub": None},
        {"sub": "nobody"},
        {"sub": "01a1feaa-515a-798c-b765-844ef6dbb000"},
        {"sub": 5},
        {"lane": None},
        {"lane": 0},
        {"lane": "1"},
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e400},
        {"exp": 0},
        {"exp": -(10**30)},
    ],
    ids=str,
)
def test_a_token_that_says_nonsense_whoever_signed_it(world: OffersWorld, change: dict[str, Any]) -> None:
    key = load_or_make_key(world.server.home, "session.key")
    assert status_of(world, changed(world.bearer(), key, **change)) == 401


def test_tokens_that_others_signed(world: OffersWorld) -> None:
    claims, key = claims_of(world.bearer()), load_or_make_key(world.server.home, "session.key")
    assert status_of(world, signed(claims, key)) == 200
    assert status_of(world, signed(claims, b"another key of thirty-two bytes.")) == 401
    assert status_of(world, signed(claims, b"", algorithm="none")) == 401
    assert status_of(world, world.bearer()[:-4] + "AAAA") == 401


def test_a_session_or_a_key_is_no_bearer_here_and_a_token_none_elsewhere(world: OffersWorld) -> None:
    key = load_or_make_key(world.server.home, "session.key")
    claims = {"sub": "ada", "customer_id": world.told["tenants"][P], "lane": lane_of(world), "exp": 4_000_000_000}
    session = signed(claims, key)
    assert status_of(world, session) == 401
    assert status_of(world, world.token) == 401
    assert status_of(world, world.clients[P]["clientSecret"]) == 401
    http = world.server.http
    for bearer in (world.bearer(), world.pair()["refresh_token"], world.clients[P]["clientSecret"]):
        headers = {"Authorization": f"Bearer {bearer}"}
        assert http.get(EXCHANGES, headers=headers).status_code == 401
        assert http.get("/operator/accounts", headers=headers).status_code == 401
        assert http.get("/sandbox/clock", headers=headers).status_code == 401
    assert http.get(EXCHANGES, headers={"Authorization": f"Bearer {session}"}).status_code == 200
    both = signed({**claims, "aud": "offers"}, key)
    assert http.get(EXCHANGES, headers={"Authorization": f"Bearer {both}"}).status_code == 401


@pytest.mark.parametrize("value", ["", "Bearer", "Basic {token}", "{token}", "Bearer {token}x", "Bearer x.y.z"])
def test_headers_that_bear_no_token(world: OffersWorld, value: str) -> None:
    headers = {"Authorization": value.format(token=world.bearer())}
    answer = world.ask("GET", "/v1/assets", headers=headers, partner=None)
    assert_error(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_key_header_is_not_looked_at(world: OffersWorld) -> None:
    how: dict[str, Any] = {"headers": {"x-api-key": world.bearer()}, "partner": None}
    assert_error(world.ask("GET", "/v1/assets", **how), 401, "unauthorized")


def test_a_token_that_was_believed_dies_when_its_time_is_over(world: OffersWorld) -> None:
    """What was read of a token once is kept, but not its end."""
    key = load_or_make_key(world.server.home, "session.key")
    short = aged(world.bearer(), key, seconds=598)
    assert status_of(world, short) == 200
    wait_until(lambda: status_of(world, short) == 401, "it has run out", seconds=10)


def test_a_revoked_clients_tokens_die_within_a_second(world: OffersWorld) -> None:
    token, refresh_token = world.bearer(), world.pair()["refresh_token"]
    assert status_of(world, token) == 200
    run_cli(world.server, "keys", "revoke", world.clients[P]["clientId"], "--lane", world.id)
    assert_error(world.oauth("token", world.token_body()), 401, "credentials.invalid")
    assert_error(world.refreshed(refresh_token), 401, "credentials.invalid")
    wait_until(lambda: status_of(world, token) == 401, "its tokens are dead", seconds=2)


def test_a_closed_worlds_tokens_die_within_a_second(world: OffersWorld) -> None:
    token = world.bearer()
    assert status_of(world, token) == 200
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").status_code == 200
    wait_until(lambda: status_of(world, token) == 401, "its tokens are dead", seconds=2)
    assert_error(world.oauth("token", world.token_body()), 401, "credentials.invalid")
