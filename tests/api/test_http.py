"""HTTP itself: bodies, paths, methods and texts that no good client sends, each answered in the dialect's shape."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from otcdesk.api.http import Request
from otcdesk.errors import Refusal
from tests.support.served import NewServer
from tests.support.server import CSRF, EXCHANGES, ORDERS, DeskServer, World, assert_refused, check_error, read_raw

JSON = {"content-type": "application/json"}
BODY_BYTES_MAX = 65_536


def quote_with(world: World, content: Any, **headers: str) -> httpx.Response:
    """Send bytes as a quote's body."""
    return world.post("/quote", content=content, headers={**JSON, **headers})


def good(world: World) -> bytes:
    """Return a good quote's body."""
    return json.dumps(world.buy_body()).encode()


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"}",
        b"nothing",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 01}',
        b'\xef\xbb\xbf{"a": 1}',
        b"\xff\xfe{\x00}\x00",
        b'{"sourceAmountEur": "\xff"}',
        b'{"sourceAmountEur": "\xed\xa0\x80"}',
        b'{"sourceAmountEur": "\\ud800"}',
        b'{"sourceAmountEur": "\\udc00\\ud800"}',
        b'{"sourceAmountEur": "\\u0000"}',
        b'{"\\u0000": "\\u0000"}',
        b'{"sourceAmountEur": "1\x00"}',
        b'{"sourceAmountEur": "\\x"}',
        b"1" * 10_000,
        b'{"sourceAmountEur": ' + b"9" * 10_000 + b"}",
        b'{"sourceAmountEur": 1e999999999}',
        b"[" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'"' + b"\\" * 9_999 + b'"',
    ],
    ids=lambda content: repr(content[:30]),
)
@pytest.mark.parametrize("path", ["/quote", "", "operator", "sandbox"])
def test_bodies_that_are_none(world: World, path: str, content: bytes) -> None:
    if path == "operator":
        answer = world.operator("POST", "/operator/deposits", content=content, headers=JSON)
    elif path == "sandbox":
        answer = world.operator("POST", "/sandbox/prices", content=content, headers=JSON)
    else:
        answer = world.post(path, content=content, headers=JSON, idempotency=str(uuid4()))
    assert_refused(answer, 400, "VALIDATION_ERROR")


def test_fields_named_twice_are_refused_wherever_they_are(world: World) -> None:
    twice = good(world).replace(b"{", b'{"side": "buy", "side": "buy", ', 1)
    assert_refused(quote_with(world, twice), 400, "VALIDATION_ERROR")
    inside = b'{"quoteId": "%s", "travelRulePayload": {"a": {"b": 1, "b": 2}}}' % world.buy().encode()
    assert_refused(world.post("", content=inside, headers=JSON, idempotency=str(uuid4())), 400, "VALIDATION_ERROR")
    escaped = good(world).replace(b"{", b'{"si\\u0064e": "buy", "side": "buy", ', 1)
    assert_refused(quote_with(world, escaped), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("depth", [100, 500, 900, 2_000, 10_000])
def test_deep_payloads_are_kept_or_refused(world: World, depth: int) -> None:
    quote_id = world.buy("1.00")
    payload = b'{"a":' * depth + b"1" + b"}" * depth
    content = b'{"quoteId": "%s", "travelRulePayload": %s}' % (quote_id.encode(), payload)
    answer = world.post("", content=content, headers=JSON, idempotency=str(uuid4()))
    assert answer.status_code in {201, 400}
    shown = world.operator("GET", f"{ORDERS}/{quote_id}")
    assert shown.status_code == 200
    assert (payload in shown.content) is (answer.status_code == 201)


@pytest.mark.parametrize("digits", [60, 61, 64, 65, 1_000, 10_000])
@pytest.mark.parametrize("place", ["whole", "fraction"])
def test_amounts_of_many_digits(world: World, digits: int, place: str) -> None:
    amount = "9" * digits if place == "whole" else "0." + "1" * digits
    assert_refused(world.post("/quote", world.buy_body(amount)), 400, "VALIDATION_ERROR")
    assert_refused(world.post("/quote", world.sell_body(amount)), 400, "VALIDATION_ERROR")
    assert_refused(world.book("deposits", world.ids["FA1"], amount), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("amount", ["9" * 36, "9" * 37 + ".99", "0" * 50 + "1"])
def test_the_largest_amounts_are_counted_or_refused(world: World, amount: str) -> None:
    assert world.post("/quote", world.buy_body(amount)).status_code in {200, 400}
    assert world.post("/quote", world.sell_body(amount)).status_code in {200, 400, 422}
    assert world.totals()


@pytest.mark.parametrize("limit", ["announced", "chunked"])
def test_bodies_over_the_limit(world: World, limit: str) -> None:
    fits = good(world).replace(b"{", b'{"more": "' + b"x" * (BODY_BYTES_MAX - len(good(world)) - 12) + b'", ', 1)
    assert len(fits) == BODY_BYTES_MAX

    def sent(content: bytes) -> bytes | Iterator[bytes]:
        return content if limit == "announced" else iter([content[:1000], content[1000:]])

    assert quote_with(world, sent(fits)).status_code == 200
    too_large = fits.replace(b"xx", b"xxx", 1)
    assert_refused(quote_with(world, sent(too_large)), 413, "PAYLOAD_TOO_LARGE")
    assert_refused(quote_with(world, sent(b"[" * 1_000_000)), 413, "PAYLOAD_TOO_LARGE")


def test_a_large_body_that_comes_in_one_piece_with_its_headers_is_no_large_header(world: World) -> None:
    head = _head(world, "POST", f"{EXCHANGES}/quote", "Content-Type: application/json", "Transfer-Encoding: chunked")
    for _ in range(5):  # how much of it the server reads at once is up to the system
        answer = world.server.raw(head + b"80000\r\n" + b"[" * 0x80000 + b"\r\n0\r\n\r\n")
        assert answer.status == 413
        check_error(413, json.loads(answer.body))


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(world: World) -> None:
    head = _head(world, "POST", f"{EXCHANGES}/quote", "Content-Type: application/json", "Content-Length: 99999999999")
    answer = world.server.raw(head)
    assert answer.status == 413
    check_error(413, json.loads(answer.body))


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "9" * 5_000])
def test_lengths_that_are_none(world: World, length: str) -> None:
    answer = world.server.raw(_head(world, "POST", f"{EXCHANGES}/quote", f"Content-Length: {length}") + b"{}")
    assert 400 <= answer.status < 500
    assert b"Traceback" not in answer.body


def _head(world: World, method: str, target: str, *lines: str) -> bytes:
    common = [f"x-api-key: {world.keys['KA']}", f"X-CSRF-Token: {CSRF}", f"Idempotency-Key: {uuid4()}"]
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: desk", *common, *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "given, taken",
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON ;charset=UTF-8", True),
        ("application/vnd.desk+json", True),
        (None, True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/xml", False),
        ("json", False),
        ("", False),
        ("text/json; application/json", False),
    ],
)
def test_content_types(world: World, given: str | None, taken: bool) -> None:
    headers = {} if given is None else {"content-type": given}
    for path, content in (("/quote", good(world)), ("", json.dumps({"quoteId": world.buy("1")}).encode())):
        answer = world.post(path, content=content, headers=headers, idempotency=str(uuid4()))
        if taken:
            assert answer.is_success
        else:
            assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("verb", ["approve", "reject", "requote", "settle-debit"])
def test_operators_bodies_must_be_json_too(world: World, verb: str) -> None:
    order_id = world.confirmed_sell()
    answer = world.operator(
        "POST", f"{ORDERS}/{order_id}/{verb}", content=b"a=1", headers={"content-type": "text/plain"}
    )
    assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert world.status(order_id) == "pending_approval"


def test_a_body_that_never_comes(new_server: NewServer) -> None:
    server = new_server(DESK_BODY_SECONDS_MAX="1")
    world = World(server)
    head = _head(world, "POST", f"{EXCHANGES}/quote", "Content-Type: application/json", "Content-Length: 500")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head + b'{"side": ')
        answer = read_raw(connection)
    assert answer.status in {400, 408}
    check_error(answer.status, json.loads(answer.body))


def test_a_client_that_hangs_up_in_its_body_leaves_no_trace(world: World) -> None:
    head = _head(world, "POST", f"{EXCHANGES}/quote", "Content-Type: application/json", "Content-Length: 500")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=10) as connection:
            connection.sendall(head + b'{"side": ')
    assert world.get("").json()["data"] == []


# -- texts -------------------------------------------------------------------------------------------------------------

ODD_TEXTS = ["\u0000", "a\u0000b", "\u0001\u001f\u007f", "\u202eabc", "\U0001f600" * 10, "\ufffe\uffff", "<b>&'\"</b>"]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_odd_texts_in_every_field_are_kept_or_refused(world: World, text: str) -> None:
    kept = "\u0000" not in text
    order_id = world.confirmed_sell("1")
    body = {"accountId": world.ids["FA1"], "amount": "1", "reason": text, "reference": text}
    answers = [
        world.operator("POST", "/operator/deposits", body),
        world.act(order_id, "reject", {"reason": text}),
    ]
    for answer in answers:
        assert answer.is_success if kept else answer.status_code == 400
    if kept:
        assert answers[0].json()["data"]["reference"] == text
        assert world.detail(order_id)["reason"] == text
    for refused in (
        world.post("/quote", world.buy_body(text)),
        world.post("/quote", world.buy_body(sourceFrAccountId=text)),
        world.post("/quote", world.buy_body(side=text)),
        world.post("", {"quoteId": text}, idempotency=str(uuid4())),
        world.act(order_id, "approve", {"rate": text}),
        world.act(order_id, "settle-debit", {"outcome": text}),
        world.book("deposits", text, "1"),
        world.book("deposits", world.ids["FA1"], text),
    ):
        assert refused.status_code == 400, refused.text


@pytest.mark.parametrize(
    "raw",
    [b'"\\ud800"', b'"a\\udfffb"', b'"\\udc00\\ud83d"', b'"\xed\xa0\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xc0\x80"'],
)
def test_broken_characters_in_every_field_are_refused(world: World, raw: bytes) -> None:
    order_id = world.confirmed_sell("1")
    account = world.ids["FA1"].encode()
    for path, content in (
        ("/operator/deposits", b'{"accountId":"%s","amount":"1","reason":%s,"reference":"x"}' % (account, raw)),
        ("/operator/deposits", b'{"accountId":"%s","amount":"1","reason":"x","reference":%s}' % (account, raw)),
        (f"{ORDERS}/{order_id}/reject", b'{"reason":%s}' % raw),
        ("/sandbox/prices", b'{"sourceAsset":%s,"destinationAsset":"USDC","rate":"1"}' % raw),
    ):
        answer = world.operator("POST", path, content=content, headers=JSON)
        assert_refused(answer, 400, "VALIDATION_ERROR")
    answer = world.server.http.post("/sandbox/worlds", content=b'{"template":%s}' % raw, headers=JSON)
    assert_refused(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("raw", [b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\\udc00"'])
def test_broken_characters_in_a_payload_are_refused(world: World, raw: bytes) -> None:
    quote_id = world.buy("1.00")
    content = b'{"quoteId": "%s", "travelRulePayload": {"a": %s}}' % (quote_id.encode(), raw)
    answer = world.post("", content=content, headers=JSON, idempotency=str(uuid4()))
    assert answer.status_code in {201, 400}
    shown = world.operator("GET", f"{ORDERS}/{quote_id}")
    assert shown.status_code == 200
    json.loads(shown.content.decode("utf-8"))
    assert world.operator("GET", ORDERS).status_code == 200


ODD_SEGMENTS = [
    "%00",
    "%2f",
    "a%2Fb",
    "%2e%2e",
    "..%2f..",
    "%ff",
    "%ed%a0%80",
    "%F0%9F%98%80",
    "%",
    "%zz",
    "%25",
    "a;b",
    "a b".replace(" ", "+"),
    "'%20or%201=1--",
    "a" * 5_000,
]


@pytest.mark.parametrize("segment", ODD_SEGMENTS, ids=lambda segment: segment[:20])
def test_odd_segments_are_no_ids(world: World, segment: str) -> None:
    targets = [
        ("GET", f"{EXCHANGES}/{segment}"),
        ("POST", f"{EXCHANGES}/{segment}/cancel"),
        ("GET", f"{EXCHANGES}/wallets/{segment}/balance"),
    ]
    for method, target in targets:
        answer = world.server.raw(_head(world, method, target, "Content-Length: 0"))
        assert answer.status == 404, (target, answer.body)
        check_error(404, json.loads(answer.body))
        assert answer.headers["x-api-version"] == "v1"


# -- paths and methods -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/nowhere",
        "/exchanges",
        "/exchanges/",
        "/exchangesotc-exchanges",
        "/exchanges/otc-exchange",
        "/exchanges/otc-exchanges/",
        "/exchanges//otc-exchanges",
        "//exchanges/otc-exchanges",
        "/exchanges/v3/otc-exchanges",
        "/exchanges/V1/otc-exchanges",
        "/exchanges/v1/v1/otc-exchanges",
        "/exchanges/otc-exchanges/../otc-exchanges/x/y",
        "/exchanges/otc-exchanges/a/b",
        "/otc-exchanges",
        "/otc-exchanges/quote",
        "/accounts",
        "/prices",
        "/deposits",
        "/operator",
        "/operator/",
        "/operator/nowhere",
        "/operator/v1/otc-exchanges",
        "/sandbox",
        "/sandbox/nowhere",
        "/sandbox/worlds/",
        "/openapi",
        "/openapi/nowhere.json",
        "/admin",
        "/.env",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PURGE"])
def test_paths_at_which_there_is_nothing(world: World, method: str, target: str) -> None:
    for credential in (f"x-api-key: {world.keys['KA']}", f"Authorization: Bearer {world.token}", "X-None: 1"):
        lines = [f"{method} {target} HTTP/1.1", "Host: desk", "Content-Length: 0", f"X-CSRF-Token: {CSRF}", credential]
        answer = world.server.raw("\r\n".join([*lines, "", ""]).encode())
        assert answer.status == 404, (answer.status, answer.body)
        assert answer.headers["content-type"] == "application/json"
        check_error(404, json.loads(answer.body))
        assert json.loads(answer.body)["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "target, allowed",
    [
        ("/otc-exchanges", "GET, POST"),
        ("/otc-exchanges/accounts", "GET"),
        ("/otc-exchanges/wallets", "GET"),
        ("/otc-exchanges/wallets/x/balance", "GET"),
        ("/otc-exchanges/quote", "POST"),
        ("/otc-exchanges/x", "GET"),
        ("/otc-exchanges/x/cancel", "POST"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_methods_that_a_path_does_not_take(world: World, method: str, target: str, allowed: str) -> None:
    taken = {*allowed.split(", "), *(["HEAD"] if "GET" in allowed else [])}
    if method in taken:
        return
    answer = world.call(method, f"/exchanges{target}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    if method != "HEAD":
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_methods_that_operators_paths_do_not_take(world: World, method: str) -> None:
    for path in (ORDERS, f"{ORDERS}/x", f"{ORDERS}/x/approve", "/operator/accounts", "/sandbox/clock"):
        answer = world.operator(method, path)
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"]


def test_head_is_get_without_the_body(world: World) -> None:
    world.buy()
    for path in ("", "/accounts", "/wallets", f"/wallets/{world.ids['WA1']}/balance", f"/{world.buy()}"):
        head, get = world.call("HEAD", EXCHANGES + path), world.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == "application/json"
    assert world.call("HEAD", f"{EXCHANGES}/{uuid4()}").status_code == 404
    assert world.call("HEAD", EXCHANGES, key=None).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "?" + "a" * 60_000,
        "?" + "&".join(f"a{n}=1" for n in range(5_000)),
        "?page=1&page=2",
        "?%00=%00",
        "?page=%ff",
        "??",
        "?&&&=",
    ],
    ids=lambda query: query[:12],
)
def test_odd_queries_do_no_harm(world: World, query: str) -> None:
    for answer in (world.get(query), world.operator("GET", ORDERS + query)):
        assert answer.status_code in {200, 400, 414, 431}


def test_very_many_and_very_long_headers_do_no_harm(server: DeskServer) -> None:
    for headers in ({f"x-{n}": "y" for n in range(500)}, {"x-long": "y" * 60_000}):
        answer = httpx.get(f"{server.url}{EXCHANGES}", headers=headers)
        assert 400 <= answer.status_code < 500
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100]
)
def test_what_is_not_http_does_no_harm(server: DeskServer, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        told = connection.recv(65_536)
    assert b"Traceback" not in told
    assert server.http.get(EXCHANGES).status_code == 401


# -- the request's id --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["abcdefgh", "A.b_c-1234567", "0" * 64, "7f2c1a9e-request"])
def test_a_good_request_id_comes_back(world: World, given: str) -> None:
    for answer in (world.get("", headers={"X-Request-Id": given}), world.get("/x", headers={"X-Request-Id": given})):
        assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "short", "0" * 65, "a b c d e", "<script>alert(1)</script>", "\u00e9" * 10, "{${jndi:x}}"]
)
def test_a_bad_request_id_does_not_come_back(world: World, given: str) -> None:
    answer = world.server.http.get(EXCHANGES, headers=[(b"x-request-id", given.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 16
    assert given not in answer.headers["x-request-id"] or not given


def test_health_is_told_without_credentials(server: DeskServer) -> None:
    assert server.http.get("/healthz").json() == {"status": "ok"}
    ready = server.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["database"]) == (200, "ready", "ok")


# -- bodies that are held back -----------------------------------------------------------------------------------------


def a_request(body_bytes_max: int = 10) -> Request:
    return Request(
        method="POST",
        path="/",
        query_string=b"",
        headers={},
        client_address="127.0.0.1",
        keep_alive=True,
        body_bytes_max=body_bytes_max,
    )


def is_held_back(request: Request) -> bool:
    return request.is_held_back


async def test_a_longer_body_is_held_back_until_somebody_asks_for_it() -> None:
    request = a_request()
    for _ in range(3):
        assert not is_held_back(request)
        request.add_body(b"four")
    assert is_held_back(request)
    request.complete_body()
    assert await request.body(seconds_max=1, bytes_max=12) == b"four" * 3
    assert not is_held_back(request)
    assert await request.body(seconds_max=1) == b"four" * 3


@pytest.mark.parametrize("bytes_max", [None, 11])
async def test_a_longer_body_than_who_asks_wants_is_refused(bytes_max: int | None) -> None:
    request = a_request()
    request.add_body(b"x" * 12)
    with pytest.raises(Refusal, match="BODY_TOO_LARGE"):
        await request.body(seconds_max=1, bytes_max=bytes_max)
    assert not is_held_back(request)  # what still comes is read, and dropped
    request.add_body(b"x")
    with pytest.raises(Refusal, match="BODY_TOO_LARGE"):
        await request.body(seconds_max=1)


async def test_who_waits_for_a_body_has_the_rest_of_it_read() -> None:
    request = a_request()
    request.add_body(b"x" * 11)

    def read_on() -> None:
        request.add_body(b"y" * 11)
        request.complete_body()

    request.on_waiting = read_on
    assert await request.body(seconds_max=1, bytes_max=22) == b"x" * 11 + b"y" * 11


def test_a_body_is_not_held_back_once_the_request_is_answered() -> None:
    request = a_request()
    request.add_body(b"x" * 11)
    request.drop_body()
    assert not is_held_back(request)
    request.add_body(b"x" * 11)
    assert not is_held_back(request)
