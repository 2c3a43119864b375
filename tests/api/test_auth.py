"""Who is let in: keys, tokens and sessions, each in every way in which it may be wrong (contract 2.1 to 2.3)."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from otcdesk.secret_files import load_or_make_key
from tests.support.desk import CONTRACT_WORLD
from tests.support.served import NewServer, NewWorld
from tests.support.server import CSRF, EXCHANGES, ORDERS, World, assert_refused, lane_of, run_cli, wait_until

TOKEN_CSRF = "ab" * 32


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "sk_test_wrong"},
        {"x-api-key": "{KA}x"},
        {"x-api-key": "{ka}"},
        {"x-api-key": "Bearer {KA}"},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic {KA}"},
        {"Authorization": "{KA}"},
        {"Authorization": "Bearer sk_test_wrong"},
        {"Authorization": "Bearer sk_test.with.dots"},
        {"x-api-key": "sk_wrong", "Authorization": "Bearer {KA}"},
        {"Cookie": "x-api-key={KA}"},
        {"x-api-key": "' or 1=1 --"},
        {"x-api-key": "\u00e9" * 100},
        {"x-api-key": "k" * 5_000},
    ],
)
def test_what_is_no_credential(world: World, headers: dict[str, str]) -> None:
    known = {"KA": world.keys["KA"], "ka": world.keys["KA"].swapcase()}
    sent = [(name.encode(), value.format(**known).encode("latin-1")) for name, value in headers.items()]
    answer = world.server.http.get(EXCHANGES, headers=sent)
    assert_refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_a_key_as_bearer_whatever_the_case_of_the_scheme(world: World, scheme: str) -> None:
    answer = world.get("", key=None, headers={"Authorization": f"{scheme} {world.keys['KA']}"})
    assert answer.status_code == 200


def test_the_keys_header_beats_the_bearer(world: World) -> None:
    world.buy()
    bearer_of_b = {"Authorization": f"Bearer {world.keys['KB']}"}
    assert len(world.get("", headers=bearer_of_b).json()["data"]) == 1
    assert world.get("", key=None, headers=bearer_of_b).json()["data"] == []
    assert world.get("", headers={"Authorization": "Bearer nonsense"}).status_code == 200


def test_a_key_in_the_query_is_no_credential(world: World) -> None:
    assert_refused(
        world.get(f"?x-api-key={world.keys['KA']}&api_key={world.keys['KA']}", key=None), 401, "UNAUTHORIZED"
    )


_KEYS = """
[[tenants.keys]]
ref = "{ref}"
scopes = ["otc-exchanges:read", "otc-exchanges:write"]
{more}

[[tenants]]
ref = "B"
"""


def _world_with_key(new_world: NewWorld, ref: str, more: str) -> World:
    return new_world(world=CONTRACT_WORLD.replace('[[tenants]]\nref = "B"\n', _KEYS.format(ref=ref, more=more)))


@pytest.mark.parametrize(
    "addresses, status",
    [
        ('["127.0.0.1"]', 200),
        ('["10.0.0.0/8", "127.0.0.0/8"]', 200),
        ('["::ffff:127.0.0.1", "127.0.0.1/32"]', 200),
        ('["10.0.0.0/8"]', 403),
        ('["127.0.0.2"]', 403),
        ('["::1"]', 403),
    ],
)
def test_a_key_with_source_addresses(new_world: NewWorld, addresses: str, status: int) -> None:
    world = _world_with_key(new_world, "limited", f"source_ips = {addresses}")
    answer = world.get("", key="limited", headers={"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1"})
    assert answer.status_code == status
    if status == 403:
        assert_refused(answer, 403, "FORBIDDEN")
        assert_refused(world.post("/quote", world.buy_body(), key="limited", csrf=None), 403, "FORBIDDEN")


def test_a_key_that_has_expired_whatever_the_worlds_clock_says(new_world: NewWorld) -> None:
    world = _world_with_key(new_world, "old", 'expires_at = "2020-01-01T00:00:00Z"')
    world.steer("clock", set="2019-01-01T00:00:00Z", frozen=True)
    assert_refused(world.get("", key="old"), 403, "FORBIDDEN")


def test_a_key_that_will_expire(new_world: NewWorld) -> None:
    world = _world_with_key(new_world, "good", 'expires_at = "2090-01-01T00:00:00Z"')
    world.steer("clock", set="2090-01-02T00:00:00Z", frozen=True)
    assert world.get("", key="good").status_code == 200


def test_a_revoked_key_is_dead_within_a_second(world: World) -> None:
    assert world.get("").status_code == 200
    run_cli(world.server, "keys", "revoke", world.keys["KA"][:16], "--lane", world.id)
    revoked_at = time.monotonic()
    wait_until(lambda: world.get("").status_code == 401, "the key is dead", seconds=5)
    assert time.monotonic() - revoked_at < 1
    assert_refused(world.get(""), 401, "UNAUTHORIZED")
    assert world.get("", key="KAr").status_code == 200


def test_the_keys_of_a_deleted_world_are_dead_within_a_second(world: World) -> None:
    assert world.get("").status_code == 200
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").json()["data"]["deleted"] is True
    deleted_at = time.monotonic()
    wait_until(lambda: world.get("").status_code == 401, "the key is dead", seconds=5)
    assert time.monotonic() - deleted_at < 1
    wait_until(lambda: world.operator("GET", ORDERS).status_code == 401, "the token is dead", seconds=5)


# -- each side's credentials on the other's routes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", ORDERS),
        ("GET", f"{ORDERS}/x"),
        ("POST", f"{ORDERS}/x/approve"),
        ("POST", f"{ORDERS}/x/reject"),
        ("POST", f"{ORDERS}/x/requote"),
        ("POST", f"{ORDERS}/x/settle-debit"),
        ("POST", "/operator/deposits"),
        ("POST", "/operator/withdrawals"),
        ("POST", "/operator/adjustments"),
        ("GET", "/operator/accounts"),
        ("GET", "/operator/prices"),
        ("POST", "/operator/prices"),
        ("DELETE", "/sandbox/worlds/x"),
        ("GET", "/sandbox/clock"),
        ("POST", "/sandbox/clock"),
        ("POST", "/sandbox/prices"),
        ("POST", "/sandbox/faults"),
        ("POST", "/sandbox/debit-settlement"),
        ("POST", "/sandbox/work"),
    ],
)
def test_customers_are_not_operators(world: World, method: str, path: str) -> None:
    assert_refused(world.call(method, path, key=None), 401, "UNAUTHORIZED")
    assert_refused(world.call(method, path, key="KA"), 403, "INSUFFICIENT_SCOPE")
    session = {"Authorization": f"Bearer {signed(world)}"}
    assert_refused(world.call(method, path, key=None, headers=session), 403, "INSUFFICIENT_SCOPE")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/accounts"),
        ("GET", "/wallets"),
        ("GET", "/wallets/x/balance"),
        ("POST", "/quote"),
        ("POST", ""),
        ("GET", ""),
        ("GET", "/x"),
        ("POST", "/x/cancel"),
    ],
)
def test_operators_are_not_customers(world: World, method: str, path: str) -> None:
    assert_refused(world.operator(method, EXCHANGES + path), 403, "INSUFFICIENT_SCOPE")


def test_worlds_do_not_see_each_other(world: World, new_world: NewWorld) -> None:
    other = new_world()
    order_id = world.confirmed_buy()
    assert_refused(other.get(f"/{order_id}"), 404, "ORDER_NOT_FOUND")
    assert_refused(other.operator("GET", f"{ORDERS}/{order_id}"), 404, "ORDER_NOT_FOUND")
    assert_refused(other.approve(order_id), 404, "ORDER_NOT_FOUND")
    assert_refused(other.operator("DELETE", f"/sandbox/worlds/{world.id}"), 404, "WORLD_NOT_FOUND")
    assert other.get("").json()["data"] == []
    other.fault("price", "unavailable")
    other.advance(seconds=3600)
    assert world.status(world.buy()) == "quoted"


# -- sessions ----------------------------------------------------------------------------------------------------------


def claims_of(world: World, *, ends_in: int = 600, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good session of customer A; a change to `...` leaves a claim out."""
    good = {
        "sub": "user 1",
        "customer_id": world.told["tenants"]["A"],
        "lane": lane_of(world),
        "scopes": ["otc-exchanges:read", "otc-exchanges:write"],
        "csrf": TOKEN_CSRF,
        "exp": int(time.time()) + ends_in,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def signed(
    world: World,
    *,
    algorithm: str = "HS256",
    key: bytes | None = None,
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Sign a session by hand, as an attacker would."""
    if key is None:
        key = load_or_make_key(world.server.home, "session.key")
    parts = [header if header is not None else {"alg": algorithm, "typ": "JWT"}, claims_of(world, **changes)]
    message = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
    signature = b"" if algorithm == "none" else hmac.new(key, message.encode(), digest).digest()
    token = f"{message}.{_base64(signature)}"
    world.server.secrets.add(token)
    return token


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_session(world: World, token: str, method: str = "GET", path: str = "", **how: Any) -> httpx.Response:
    """Call the exchanges with a session."""
    return world.call(method, EXCHANGES + path, key=None, headers={"Authorization": f"Bearer {token}"}, **how)


def test_a_session_reads_and_writes_for_its_customer(world: World) -> None:
    token = signed(world)
    quote = with_session(world, token, "POST", "/quote", json=world.buy_body(), csrf=TOKEN_CSRF)
    quote_id = world.quoted(quote)
    confirmed = with_session(
        world, token, "POST", "", json={"quoteId": quote_id}, csrf=TOKEN_CSRF.upper(), idempotency=str(uuid4())
    )
    assert confirmed.status_code == 201
    assert [row["id"] for row in with_session(world, token).json()["data"]] == [quote_id]
    assert world.detail(quote_id)["auditTrail"][1]["by"] == "session:user 1"


def test_a_session_in_the_keys_header(world: World) -> None:
    assert world.get("", key=None, headers={"x-api-key": signed(world)}).status_code == 200


def test_the_programs_own_tool_signs_sessions(world: World) -> None:
    token = run_cli(
        world.server,
        *("session", world.told["tenants"]["A"], "--lane", world.id, "--csrf-token", TOKEN_CSRF),
    ).strip()
    world.server.secrets.add(token)
    assert with_session(world, token).status_code == 200
    assert with_session(world, token, "POST", "/quote", json=world.buy_body(), csrf=TOKEN_CSRF).status_code == 200


@pytest.mark.parametrize("token", [CSRF, TOKEN_CSRF[:-2] + "aa", "", None])
def test_a_sessions_write_needs_the_sessions_own_csrf_token(world: World, token: str | None) -> None:
    answer = with_session(world, signed(world), "POST", "/quote", json=world.buy_body(), csrf=token)
    assert_refused(answer, 403, "CSRF_TOKEN_INVALID")


def test_a_session_without_a_csrf_token_cannot_write(world: World) -> None:
    session = signed(world, csrf=...)
    assert with_session(world, session).status_code == 200
    for token in (CSRF, "", "0" * 64):
        answer = with_session(world, session, "POST", "/quote", json=world.buy_body(), csrf=token)
        assert_refused(answer, 403, "CSRF_TOKEN_INVALID")


def test_a_sessions_scopes(world: World) -> None:
    reads = signed(world, scopes=["otc-exchanges:read"])
    assert with_session(world, reads).status_code == 200
    answer = with_session(world, reads, "POST", "/quote", json=world.buy_body(), csrf=TOKEN_CSRF)
    assert_refused(answer, 403, "INSUFFICIENT_SCOPE")
    assert with_session(world, signed(world, scopes=...)).status_code == 200
    assert_refused(with_session(world, signed(world, scopes=[])), 403, "INSUFFICIENT_SCOPE")
    everything = signed(world, scopes=["otc-operator", "otc-exchanges:read"])
    answer = world.call("GET", ORDERS, key=None, headers={"Authorization": f"Bearer {everything}"})
    assert_refused(answer, 403, "INSUFFICIENT_SCOPE")


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "none"},
        {"algorithm": "None"},
        {"algorithm": "HS384"},
        {"algorithm": "HS512"},
        {"algorithm": "RS256"},
        {"header": {}},
        {"header": {"alg": None}},
        {"header": {"alg": ["HS256"]}},
        {"header": {"alg": "HS256", "crit": ["x"]}},
        {"header": {"alg": "HS256", "b64": False, "crit": ["b64"]}},
        {"key": b"another key of thirty-two bytes!"},
        {"key": b""},
        {"exp": 0},
        {"ends_in": -1},
        {"exp": ...},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": []},
        {"sub": ...},
        {"customer_id": ...},
        {"customer_id": "x"},
        {"customer_id": 5},
        {"customer_id": None},
        {"lane": ...},
        {"lane": "x"},
        {"lane": None},
        {"lane": 10**30},
        {"lane": -1},
        {"scopes": 5},
        {"scopes": [[]]},
    ],
    ids=str,
)
def test_sessions_that_are_none(world: World, wrong: dict[str, Any]) -> None:
    assert_refused(with_session(world, signed(world, **wrong)), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "token", ["..", "a.b.c", "e30.e30.", "e30.e30.e30", "\u00e9.\u00e9.\u00e9", "=.=.=", "a.b.c.d"]
)
def test_tokens_that_are_none(world: World, token: str) -> None:
    headers = [(b"authorization", b"Bearer " + token.encode("latin-1"))]
    assert_refused(world.server.http.get(EXCHANGES, headers=headers), 401, "UNAUTHORIZED")


def test_a_session_with_a_changed_claim(world: World) -> None:
    head, _, signature = signed(world).split(".")
    claims = claims_of(world, customer_id=world.told["tenants"]["B"])
    forged = f"{head}.{_base64(json.dumps(claims).encode())}.{signature}"
    assert_refused(with_session(world, forged), 401, "UNAUTHORIZED")


def test_a_session_ends_by_the_machines_clock(world: World) -> None:
    session = signed(world)
    world.advance(seconds=86_400)
    assert with_session(world, session).status_code == 200


def test_a_session_dies_with_its_world(world: World) -> None:
    session = signed(world)
    assert with_session(world, session).status_code == 200
    world.operator("DELETE", f"/sandbox/worlds/{world.id}")
    wait_until(lambda: with_session(world, session).status_code == 401, "the session is dead", seconds=5)


def test_csrf_can_be_switched_off(new_server: NewServer, world: World) -> None:
    relaxed = new_server(DESK_EXCHANGES_CSRF="false")
    answer = relaxed.http.post(f"{EXCHANGES}/quote", json=world.buy_body(), headers={"x-api-key": world.keys["KA"]})
    assert answer.status_code == 200
