"""What the exchanges contract says of all routes (section 2): scopes, CSRF, versions, paging, formats, order."""

import re
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.server import CSRF, EXCHANGES, World, assert_refused

READS = ["/accounts", "/wallets", "/wallets/{WA1}/balance", "", "/{quote}"]
WRITES = ["/quote", "", "/{quote}/cancel"]


def _path(world: World, path: str, quote_id: str = "") -> str:
    return path.format(WA1=world.ids["WA1"], quote=quote_id)


def _body(world: World, path: str, quote_id: str) -> dict[str, Any] | None:
    return {"/quote": world.buy_body(), "": {"quoteId": quote_id}}.get(path)


# -- scopes (2.2) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READS)
def test_reads_need_the_read_scope_and_no_other(world: World, path: str) -> None:
    place = _path(world, path, world.buy())
    assert world.get(place, key="KAr").status_code == 200
    assert_refused(world.get(place, key="KAw"), 403, "INSUFFICIENT_SCOPE")


@pytest.mark.parametrize("path", WRITES)
def test_writes_need_the_write_scope_and_no_other(world: World, path: str) -> None:
    quote_id = world.buy()
    place, body = _path(world, path, quote_id), _body(world, path, quote_id)
    assert_refused(world.post(place, body, key="KAr", idempotency=str(uuid4())), 403, "INSUFFICIENT_SCOPE")
    assert world.status(quote_id) == "quoted"
    assert world.post(place, body, key="KAw", idempotency=str(uuid4())).is_success


# -- the CSRF header (2.3) ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("token", [None, "", "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\u0660"])
def test_writes_need_a_csrf_token_of_64_hexadecimal_characters(world: World, path: str, token: str | None) -> None:
    quote_id = world.buy()
    place, body = _path(world, path, quote_id), _body(world, path, quote_id)
    headers = [(b"x-api-key", world.keys["KA"].encode()), (b"idempotency-key", str(uuid4()).encode())]
    if token is not None:
        headers.append((b"x-csrf-token", token.encode("utf-8")))
    response = world.server.http.post(EXCHANGES + place, json=body, headers=headers)
    assert_refused(response, 403, "CSRF_TOKEN_INVALID")
    assert world.status(quote_id) == "quoted"


def test_csrf_tokens_may_be_in_capitals_and_reads_need_none(world: World) -> None:
    assert world.post("/quote", world.buy_body(), csrf="ABCDEF0123456789" * 4).status_code == 200
    assert world.get("", csrf=None).status_code == 200


# -- versions (2.5) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "segment, header, used",
    [
        ("", None, "v1"),
        ("", "v1", "v1"),
        ("", "v2", "v2"),
        ("", "V2", "v2"),
        ("", "v3", "v1"),
        ("", "", "v1"),
        ("/v1", "v2", "v1"),
        ("/v2", None, "v2"),
        ("/v2", "v1", "v2"),
    ],
)
def test_version_by_path_then_header_then_one(world: World, segment: str, header: str | None, used: str) -> None:
    headers = {} if header is None else {"X-API-Version": header}
    path = f"/exchanges{segment}/otc-exchanges"
    good = world.call("GET", path, headers=headers)
    assert good.status_code == 200
    bad = world.call("GET", f"{path}/{uuid4()}", headers=headers)
    assert_refused(bad, 404, "ORDER_NOT_FOUND")
    nobody = world.call("GET", path, headers=headers, key=None)
    assert_refused(nobody, 401, "UNAUTHORIZED")
    nowhere = world.call("GET", f"{path}/a/b/c", headers=headers)
    assert_refused(nowhere, 404, "NOT_FOUND")
    assert [answer.headers["x-api-version"] for answer in (good, bad, nobody, nowhere)] == [used] * 4


def test_blanks_around_the_versions_header_are_nothing(world: World) -> None:
    head = f"GET {EXCHANGES} HTTP/1.1\r\nHost: desk\r\nx-api-key: {world.keys['KA']}\r\nX-API-Version: \t V2 \t\r\n\r\n"
    answer = world.server.raw(head.encode())
    assert (answer.status, answer.headers["x-api-version"]) == (200, "v2")


def test_both_versions_serve_every_route_alike(world: World) -> None:
    quote = world.call("POST", "/exchanges/v2/otc-exchanges/quote", json=world.buy_body())
    quote_id = world.quoted(quote)
    confirmed = world.call("POST", "/exchanges/v1/otc-exchanges", json={"quoteId": quote_id}, idempotency=str(uuid4()))
    assert confirmed.status_code == 201
    for path in READS:
        place = "/otc-exchanges" + _path(world, path, quote_id)
        answers = [world.call("GET", f"/exchanges{version}{place}") for version in ("", "/v1", "/v2")]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("path", ["/exchanges/v3/otc-exchanges", "/exchanges/v1/v2/otc-exchanges", "/exchanges/v1"])
def test_no_other_versions_segment_is_known(world: World, path: str) -> None:
    assert_refused(world.call("GET", path), 404, "NOT_FOUND")


# -- paging (2.6) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, page, limit, places",
    [
        ("", 1, 50, [2, 1, 0]),
        ("?page=1&limit=1", 1, 1, [2]),
        ("?page=2&limit=2", 2, 2, [0]),
        ("?page=3&limit=2", 3, 2, []),
        ("?page=0", 1, 50, [2, 1, 0]),
        ("?page=-1&limit=-5", 1, 50, [2, 1, 0]),
        ("?limit=0", 1, 50, [2, 1, 0]),
        ("?limit=100", 1, 100, [2, 1, 0]),
        ("?limit=101", 1, 100, [2, 1, 0]),
        ("?limit=99999999999999999999999999", 1, 100, [2, 1, 0]),
        ("?page=x&limit=two", 1, 50, [2, 1, 0]),
        ("?page=&limit=", 1, 50, [2, 1, 0]),
        ("?page=1.5&limit=1e1", 1, 50, [2, 1, 0]),
        ("?page=%D9%A2&limit=%2B2", 1, 50, [2, 1, 0]),
        ("?page=%20%202", 1, 50, [2, 1, 0]),
        ("?page=007&limit=01", 7, 1, []),
    ],
)
def test_pages_and_what_falls_back(world: World, query: str, page: int, limit: int, places: list[int]) -> None:
    ids = []
    for _ in range(3):
        ids.append(world.buy("1.00"))
        world.advance(milliseconds=1)
    for answer in (world.get(query), world.operator("GET", f"/operator/otc-exchanges{query}")):
        assert answer.status_code == 200
        assert [row["id"] for row in answer.json()["data"]] == [ids[place] for place in places]
        assert answer.json()["meta"] == {"pagination": {"page": page, "limit": limit, "total": 3}}


def test_a_page_past_all_counting_is_empty(world: World) -> None:
    world.buy()
    answer = world.get(f"?page={'9' * 30}&limit=100")
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert answer.json()["meta"]["pagination"]["total"] == 1


def test_orders_of_one_instant_are_ordered_by_id(world: World) -> None:
    ids = [world.buy("1.00") for _ in range(5)]
    listed = [row["id"] for row in world.get("").json()["data"]]
    assert len({row["createdAt"] for row in world.get("").json()["data"]}) == 1
    assert listed == sorted(ids, reverse=True)


def test_pages_cover_everything_once(world: World) -> None:
    ids = {world.buy("1.00") for _ in range(7)}
    seen = [row["id"] for page in (1, 2, 3) for row in world.get(f"?page={page}&limit=3").json()["data"]]
    assert len(seen) == 7
    assert set(seen) == ids


# -- values (2.10) -----------------------------------------------------------------------------------------------------

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_DECIMALS = {"sourceAmountEur": 2, "sourceAmountUsdc": 6, "destinationAmount": 2, "usdcBalance": 6, "balance": 2}
_IDS = {"id", "quoteId", "orderId", "walletId"}


def assert_formats(value: Any, name: str = "") -> None:
    """Walk an answer and see that every value is written as the contract says."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert_formats(item, key)
        if value.keys() >= {"sourceAmount", "sourceCurrency"}:
            places = 2 if value["sourceCurrency"] == "EUR" else 6
            assert re.fullmatch(rf"\d+\.\d{{{places}}}", value["sourceAmount"])
    elif isinstance(value, list):
        for item in value:
            assert_formats(item, name)
    elif name in _IDS:
        assert str(UUID(value)) == value
    elif name.endswith("At") and value is not None:
        assert _TIME.fullmatch(value), (name, value)
    elif name in _DECIMALS:
        assert re.fullmatch(rf"\d+\.\d{{{_DECIMALS[name]}}}", value), (name, value)
    elif name == "rate":
        assert re.fullmatch(r"\d+\.\d{2}|\d+\.\d{2,5}[1-9]", value), (name, value)


def test_every_answer_is_written_in_the_contracts_formats(world: World) -> None:
    bought, sold = world.confirmed_buy(), world.confirmed_sell()
    answers = [
        world.post("/quote", world.buy_body()),
        world.post("/quote", world.sell_body()),
        world.confirm(world.buy()),
        world.post(f"/{world.buy()}/cancel"),
        world.get("/accounts"),
        world.get("/wallets"),
        world.get(f"/wallets/{world.ids['WA1']}/balance"),
        world.approve(bought),
        world.approve(sold, "0.9"),
        world.get(f"/{bought}"),
        world.get(""),
        world.operator("GET", "/operator/otc-exchanges"),
    ]
    for answer in answers:
        assert answer.is_success
        assert_formats(answer.json()["data"])


@pytest.mark.parametrize(
    "rate, amount, written, brings",
    [
        ("1", "10.00", "1.00", "10.00"),
        ("1.1", "10.00", "1.10", "11.00"),
        ("1.08420", "10.00", "1.0842", "10.84"),
        ("0.000001", "100000.00", "0.000001", "0.10"),
        ("1.999999", "0.01", "1.999999", "0.01"),
        ("1.084299", "9.99", "1.084299", "10.83"),
        ("123456.789012", "3333.33", "123456.789012", "411522218.51"),
    ],
)
def test_rates_are_trimmed_and_amounts_cut_exactly(
    world: World, rate: str, amount: str, written: str, brings: str
) -> None:
    world.price("EUR", "USDC", rate)
    quote = world.post("/quote", world.buy_body(amount)).json()["data"]
    assert (quote["rate"], quote["destinationAmount"]) == (written, brings)
    assert Decimal(brings) == (Decimal(rate) * Decimal(amount)).quantize(Decimal("0.01"), "ROUND_DOWN")


@pytest.mark.parametrize(
    "amount, said", [("1", "1.00"), ("1.5", "1.50"), ("007.00", "7.00"), ("0.01", "0.01"), ("9" * 20, "9" * 20 + ".00")]
)
def test_euro_amounts_are_said_with_two_decimals(world: World, amount: str, said: str) -> None:
    quote = world.post("/quote", world.buy_body(amount)).json()["data"]
    assert quote["sourceAmountEur"] == said
    assert world.order(quote["quoteId"])["sourceAmount"] == said


@pytest.mark.parametrize("amount, said", [("1", "1.000000"), ("1.5", "1.500000"), ("0.123456", "0.123456")])
def test_token_amounts_are_said_with_six_decimals(world: World, amount: str, said: str) -> None:
    quote = world.post("/quote", world.sell_body(amount)).json()["data"]
    assert quote["sourceAmountUsdc"] == said
    assert world.order(quote["quoteId"])["sourceAmount"] == said


# -- the order of checks (2.9) -----------------------------------------------------------------------------------------


def test_each_check_comes_before_the_next(world: World) -> None:
    """Start with a confirm in which everything is wrong, and mend one thing after another in the contract's order."""
    quote_id = world.buy("10000.01")
    world.post(f"/{quote_id}/cancel")
    headers: dict[str, str] = {"content-type": "application/json"}
    content = b"{"

    def confirm() -> httpx.Response:
        return world.server.http.post(EXCHANGES, headers=headers, content=content)

    assert_refused(confirm(), 401, "UNAUTHORIZED")
    headers["x-api-key"] = world.keys["KAr"]
    assert_refused(confirm(), 403, "INSUFFICIENT_SCOPE")
    headers["x-api-key"] = world.keys["KB"]
    assert_refused(confirm(), 403, "CSRF_TOKEN_INVALID")
    headers["x-csrf-token"] = CSRF
    assert_refused(confirm(), 400, "IDEMPOTENCY_KEY_REQUIRED")
    headers["idempotency-key"] = "no uuid"
    assert_refused(confirm(), 400, "IDEMPOTENCY_KEY_INVALID")
    headers["idempotency-key"] = str(uuid4())
    assert_refused(confirm(), 400, "VALIDATION_ERROR")
    content = b'{"quoteId": "%s", "side": "sell"}' % quote_id.encode()
    assert_refused(confirm(), 404, "ORDER_NOT_FOUND")
    headers |= {"x-api-key": world.keys["KA"], "idempotency-key": str(uuid4())}
    assert_refused(confirm(), 409, "NOT_CONFIRMABLE")
    world.requote(world.buy())  # another's requote changes nothing
    other = world.buy("10000.01")
    content = b'{"quoteId": "%s", "side": "sell"}' % other.encode()
    headers["idempotency-key"] = str(uuid4())
    assert_refused(confirm(), 422, "SIDE_MISMATCH")
    content = b'{"quoteId": "%s"}' % other.encode()
    headers["idempotency-key"] = str(uuid4())
    assert_refused(confirm(), 422, "SOURCE_INSUFFICIENT")


def test_expiry_is_told_before_a_wrong_side(world: World) -> None:
    quote_id = world.buy()
    world.advance(seconds=60)
    assert_refused(world.confirm(quote_id, "sell"), 400, "QUOTE_EXPIRED")


# -- who may see what (7.1, 7.14) --------------------------------------------------------------------------------------


def test_another_customers_things_look_as_if_they_did_not_exist(world: World) -> None:
    order_id = world.confirmed_buy()
    nothing = str(uuid4())
    for mine, unknown in (
        (world.get(f"/{order_id}", key="KB"), world.get(f"/{nothing}", key="KB")),
        (world.post(f"/{order_id}/cancel", key="KB"), world.post(f"/{nothing}/cancel", key="KB")),
        (world.confirm(order_id, key="KB"), world.confirm(nothing, key="KB")),
        (
            world.get(f"/wallets/{world.ids['WA1']}/balance", key="KB"),
            world.get(f"/wallets/{nothing}/balance", key="KB"),
        ),
    ):
        assert mine.status_code == 404
        assert mine.content == unknown.content
    assert world.get("", key="KB").json()["data"] == []


def test_no_identifier_of_a_vendor_and_nothing_of_others_is_shown(world: World) -> None:
    order_id = world.confirmed_buy()
    world.approve(order_id)
    detail = str(world.detail(order_id))
    reference = detail.partition("0x")[2][:20]
    assert reference, "the operator sees the rail's own reference"
    shown = "".join(world.get(path.format(WA1=world.ids["WA1"], quote=order_id)).text for path in READS)
    assert reference not in shown
    for name in ("FB1", "WB1", "WAT", "FA2", "FA3", "WA2"):
        assert world.ids[name] not in shown
    assert "lane" not in shown
    assert "operator" not in shown
