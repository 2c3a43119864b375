"""Confirm and cancel of the exchanges contract (3.5, 3.8) and idempotency (2.7)."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.desk import CONTRACT_WORLD
from tests.support.served import NewWorld
from tests.support.server import CSRF, EXCHANGES, START, DeskServer, World, assert_refused, at_once, run_cli

IN_PARALLEL = 8


def code_of(response: httpx.Response) -> str:
    """Return an error's code."""
    code: str = response.json()["error"]["code"]
    return code


# -- the key's form ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "   "])
def test_an_empty_key_is_no_key(world: World, key: str) -> None:
    quote_id = world.buy()
    head = (
        f"POST {EXCHANGES} HTTP/1.1\r\nHost: desk\r\nx-api-key: {world.keys['KA']}\r\nX-CSRF-Token: {CSRF}\r\n"
        f"Idempotency-Key:{key}\r\nContent-Type: application/json\r\n"
    )
    body = json.dumps({"quoteId": quote_id})
    answer = world.server.raw(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert world.status(quote_id) == "quoted"


V4 = "7f2c1a9e-8b3d-4e6f-9a1b-2c3d4e5f6071"


@pytest.mark.parametrize(
    "key",
    [
        "x",
        V4[:-1],
        V4 + "0",
        V4.replace("-", ""),
        f"{{{V4}}}",
        f"urn:uuid:{V4}",
        V4.replace("-4e6f", "-1e6f"),  # version 1
        V4.replace("-4e6f", "-7e6f"),  # version 7
        V4.replace("-9a1b", "-ca1b"),  # another variant
        "00000000-0000-0000-0000-000000000000",
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",  # a version 1 out of the book
    ],
)
def test_a_key_must_be_a_uuid_of_version_4(world: World, key: str) -> None:
    quote_id = world.buy()
    assert_refused(world.confirm(quote_id, idempotency=key), 400, "IDEMPOTENCY_KEY_INVALID")
    assert world.status(quote_id) == "quoted"


def test_a_key_in_capitals_is_the_same_key(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key.upper())
    assert first.status_code == 201
    again = world.confirm(quote_id, idempotency=key)
    assert (again.status_code, again.content) == (201, first.content)


# -- what a replay answers ---------------------------------------------------------------------------------------------


def test_another_body_under_the_same_key_is_not_looked_at(world: World) -> None:
    quote_id, other, key = world.buy(), world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key)
    for body in (
        {"quoteId": other},
        {"quoteId": str(uuid4())},
        {"quoteId": quote_id, "side": "sell"},
        {"quoteId": quote_id, "travelRulePayload": {"a": 1}},
    ):
        again = world.post("", body, idempotency=key)
        assert (again.status_code, again.content) == (201, first.content)
    assert world.status(other) == "quoted"
    assert world.detail(quote_id)["travelRulePayload"] is None


def _expired(world: World) -> tuple[str, str]:
    quote_id = world.buy()
    world.advance(seconds=60)
    return quote_id, "buy"


def _cancelled(world: World) -> tuple[str, str]:
    quote_id = world.buy()
    world.post(f"/{quote_id}/cancel")
    return quote_id, "buy"


@pytest.mark.parametrize(
    "prepare, status, code",
    [
        (lambda _: (str(uuid4()), "buy"), 404, "ORDER_NOT_FOUND"),
        (_expired, 400, "QUOTE_EXPIRED"),
        (_cancelled, 409, "NOT_CONFIRMABLE"),
        (lambda world: (world.buy(), "sell"), 422, "SIDE_MISMATCH"),
        (lambda world: (world.sell(), "buy"), 422, "SIDE_MISMATCH"),
        (lambda world: (world.buy("10000.01"), "buy"), 422, "SOURCE_INSUFFICIENT"),
    ],
)
def test_failures_are_stored_and_replayed(world: World, prepare: Any, status: int, code: str) -> None:
    quote_id, side = prepare(world)
    key = str(uuid4())
    first = world.confirm(quote_id, side, idempotency=key)
    assert_refused(first, status, code)
    good = world.buy("1.00")
    again = world.confirm(good, idempotency=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert world.status(good) == "quoted"


def test_a_stored_insufficiency_outlives_its_cause(world: World) -> None:
    quote_id, key = world.buy("10000.01"), str(uuid4())
    assert_refused(world.confirm(quote_id, idempotency=key), 422, "SOURCE_INSUFFICIENT")
    assert world.book("deposits", world.ids["FA1"], "0.01").status_code == 201
    assert_refused(world.confirm(quote_id, idempotency=key), 422, "SOURCE_INSUFFICIENT")
    assert world.confirm(quote_id).status_code == 201
    assert world.balances()[0] == "0.00"


def test_what_comes_before_the_reservation_is_not_stored(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    body = {"quoteId": quote_id}
    assert_refused(world.post("", body, idempotency=key, key=None), 401, "UNAUTHORIZED")
    assert_refused(world.post("", body, idempotency=key, key="KAr"), 403, "INSUFFICIENT_SCOPE")
    assert_refused(world.post("", body, idempotency=key, csrf=None), 403, "CSRF_TOKEN_INVALID")
    wrong: list[Any] = [{}, {"quoteId": "x"}, {"quoteId": quote_id, "side": "up"}, [], {**body, "travelRulePayload": 1}]
    for bad in wrong:
        assert_refused(world.post("", bad, idempotency=key), 400, "VALIDATION_ERROR")
    for content in (b"", b"{", b"\xff", b'{"quoteId": "a", "quoteId": "b"}'):
        answer = world.post("", idempotency=key, content=content, headers={"content-type": "application/json"})
        assert_refused(answer, 400, "VALIDATION_ERROR")
    assert_refused(
        world.post("", idempotency=key, content=b"{}", headers={"content-type": "text/plain"}),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    assert world.post("", body, idempotency=key).status_code == 201


def test_keys_are_each_customers_own(world: World) -> None:
    key = str(uuid4())
    of_a = world.buy()
    of_b = world.quoted(world.post("/quote", _of_b(world, "1"), key="KB"))
    assert world.confirm(of_a, idempotency=key).json()["data"]["orderId"] == of_a
    assert world.confirm(of_b, idempotency=key, key="KB").json()["data"]["orderId"] == of_b


def test_two_keys_of_one_customer_share_their_idempotency_keys(world: World) -> None:
    quote_id, other, key = world.buy(), world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key, key="KA")
    again = world.confirm(other, idempotency=key, key="KAw")
    assert (again.status_code, again.content) == (201, first.content)


def test_a_replay_after_a_rejection_still_says_debit_pending(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key)
    world.reject(quote_id)
    again = world.confirm(quote_id, idempotency=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert world.status(quote_id) == "rejected"
    assert world.balances() == START


def test_a_replay_outlives_the_quote(world: World) -> None:
    quote_id, key = world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key)
    world.advance(seconds=86_400 * 400)
    again = world.confirm(quote_id, idempotency=key)
    assert (again.status_code, again.content) == (201, first.content)


def test_a_replay_comes_from_the_books_and_not_from_a_process(world: World, impatient: DeskServer) -> None:
    quote_id, key = world.buy(), str(uuid4())
    first = world.confirm(quote_id, idempotency=key)
    again = impatient.http.post(
        EXCHANGES,
        json={"quoteId": quote_id},
        headers={"x-api-key": world.keys["KA"], "X-CSRF-Token": CSRF, "Idempotency-Key": key},
    )
    assert (again.status_code, again.content) == (201, first.content)


# -- many at once (7.6) ------------------------------------------------------------------------------------------------


def test_the_same_key_in_parallel_acts_once(world: World) -> None:
    for _ in range(5):
        quote_id, key = world.buy("100.00"), str(uuid4())
        answers = at_once([lambda: world.confirm(quote_id, idempotency=key)] * IN_PARALLEL)  # noqa: B023
        good = [answer for answer in answers if answer.status_code == 201]
        assert good
        assert len({answer.content for answer in good}) == 1
        for answer in answers:
            if answer.status_code != 201:
                assert_refused(answer, 409, "IDEMPOTENCY_IN_PROGRESS")
        assert world.confirm(quote_id, idempotency=key).content == good[0].content
    assert world.balances()[:2] == ("9500.00", "1000500.00")


def test_other_keys_in_parallel_confirm_once(world: World) -> None:
    for _ in range(5):
        quote_id = world.buy("100.00")
        answers = at_once([lambda: world.confirm(quote_id)] * IN_PARALLEL)  # noqa: B023
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * (IN_PARALLEL - 1)
        assert {code_of(answer) for answer in answers if answer.status_code == 409} == {"NOT_CONFIRMABLE"}
    assert world.balances()[:2] == ("9500.00", "1000500.00")


def test_the_same_key_through_two_processes_acts_once(world: World, impatient: DeskServer) -> None:
    headers = {"x-api-key": world.keys["KA"], "X-CSRF-Token": CSRF}
    for _ in range(5):
        quote_id, key = world.buy("100.00"), str(uuid4())

        def confirm(server: DeskServer, quote_id: str = quote_id, key: str = key) -> httpx.Response:
            sent = {**headers, "Idempotency-Key": key}
            return server.http.post(EXCHANGES, json={"quoteId": quote_id}, headers=sent)

        answers = at_once([lambda: confirm(world.server), lambda: confirm(impatient)] * (IN_PARALLEL // 2))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
        assert {code_of(answer) for answer in answers if answer.status_code == 409} <= {"IDEMPOTENCY_IN_PROGRESS"}
    assert world.balances()[:2] == ("9500.00", "1000500.00")


def test_confirms_in_parallel_never_spend_more_than_there_is(world: World) -> None:
    quotes = [world.buy("3000.00") for _ in range(IN_PARALLEL)]
    answers = at_once([partial(world.confirm, one) for one in quotes])
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [422] * (IN_PARALLEL - 3)
    assert {code_of(answer) for answer in answers if answer.status_code == 422} == {"SOURCE_INSUFFICIENT"}
    assert world.balances()[:2] == ("1000.00", "1009000.00")


def test_confirm_and_cancel_in_parallel_exclude_each_other(world: World) -> None:
    for _ in range(5):
        quote_id = world.buy("100.00")
        confirmed, cancelled = at_once(
            [lambda: world.confirm(quote_id), lambda: world.post(f"/{quote_id}/cancel")]  # noqa: B023
        )
        assert {confirmed.status_code, cancelled.status_code} in ({201, 409}, {409, 200})
        moved = "cancelled" if cancelled.status_code == 200 else "pending_approval"
        assert world.status(quote_id) == moved


# -- the body ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 1, True, "x", "", [], {}])
def test_quote_ids_that_are_none(world: World, value: Any) -> None:
    assert_refused(world.post("", {"quoteId": value}, idempotency=str(uuid4())), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("body", [[], "x", 1, None, True, [{"quoteId": V4}]])
def test_a_body_must_be_an_object(world: World, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    for path in ("", "/quote"):
        answer = world.post(path, idempotency=str(uuid4()), content=content, headers=headers)
        assert_refused(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("side", ["BUY", "", None, 1, "both"])
def test_sides_that_are_none(world: World, side: Any) -> None:
    quote_id = world.buy()
    answer = world.post("", {"quoteId": quote_id, "side": side}, idempotency=str(uuid4()))
    assert_refused(answer, 400, "VALIDATION_ERROR")
    assert world.status(quote_id) == "quoted"


def test_without_a_side_a_sell_cannot_be_confirmed(world: World) -> None:
    quote_id = world.sell()
    assert_refused(world.confirm(quote_id), 422, "SIDE_MISMATCH")
    assert world.status(quote_id) == "quoted"
    assert world.confirm(quote_id, "sell").status_code == 201


def test_a_quotes_id_may_be_in_capitals(world: World) -> None:
    quote_id = world.buy()
    assert world.confirm(quote_id.upper()).json()["data"]["orderId"] == quote_id
    assert world.get(f"/{quote_id.upper()}").status_code == 200


# -- the travel rule payload -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        "{}",
        '{"originator": {"name": "Ünï", "legs": [1, 2.50, -0.0, 1e400, true, null]}}',
        '{ "spaced" :\t[ ] ,\n "same": {"b": 1, "a": 2} }',
        '{"escaped": "\\u0041\\u0000\\ud83d\\ude00\\/"}',
        '{"large": 123456789012345678901234567890.123456789012345678901234567890}',
        '{"html": "<script>&amp;\'\\"</script>"}',
        '{"sql": "\'; drop table orders; --"}',
        '{"travelRulePayload": {"travelRulePayload": null}}',
    ],
)
def test_a_payload_is_kept_byte_by_byte_and_never_shown_to_the_customer(world: World, payload: str) -> None:
    quote_id = world.buy()
    content = f'{{"quoteId": "{quote_id}", "travelRulePayload": {payload}}}'.encode()
    confirmed = world.post("", idempotency=str(uuid4()), content=content, headers={"content-type": "application/json"})
    assert confirmed.status_code == 201
    world.approve(quote_id)
    for path in ("", f"/{quote_id}"):
        shown = world.operator("GET", f"/operator/otc-exchanges{path}")
        assert shown.status_code == 200
        assert f'"travelRulePayload":{payload}'.encode() in shown.content
    for answer in (confirmed, world.get(""), world.get(f"/{quote_id}")):
        assert b"travelRule" not in answer.content


@pytest.mark.parametrize("payload", ["null", "1", '"{}"', "[]", "[{}]", "true", "1.5"])
def test_a_payload_must_be_an_object(world: World, payload: str) -> None:
    quote_id = world.buy()
    content = f'{{"quoteId": "{quote_id}", "travelRulePayload": {payload}}}'.encode()
    answer = world.post("", idempotency=str(uuid4()), content=content, headers={"content-type": "application/json"})
    assert_refused(answer, 400, "VALIDATION_ERROR")
    assert world.status(quote_id) == "quoted"


# -- expiry (7.15) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_quote_can_be_confirmed_until_just_before_its_end(world: World, side: str) -> None:
    in_time, too_late = (getattr(world, side)("100") for _ in range(2))
    expires_at = world.detail(in_time)["ttlExpiresAt"]
    world.advance(seconds=59, milliseconds=999)
    assert world.confirm(in_time, side).status_code == 201
    world.advance(milliseconds=1)
    assert world.operator("GET", "/sandbox/clock").json()["data"]["now"] == expires_at
    assert world.status(too_late) == "expired"
    assert_refused(world.confirm(too_late, side), 400, "QUOTE_EXPIRED")


def test_expired_quotes_stay_expired_and_cannot_be_cancelled(world: World) -> None:
    quote_id = world.buy()
    world.advance(seconds=60)
    for _ in range(2):
        assert world.status(quote_id) == "expired"
        assert world.get("").json()["data"][0]["status"] == "expired"
        assert_refused(world.post(f"/{quote_id}/cancel"), 409, "NOT_CANCELLABLE")
        assert_refused(world.confirm(quote_id), 400, "QUOTE_EXPIRED")
        world.steer("work")  # lets the worker record what every reader already sees
    assert [event["event"] for event in world.detail(quote_id)["auditTrail"]] == [
        "conversion.quote",
        "conversion.expire",
    ]
    assert world.balances() == START


def test_an_expired_order_is_found_by_its_status_before_a_worker_has_seen_it(world: World) -> None:
    quote_id = world.buy()
    world.advance(seconds=60)
    found = world.operator("GET", "/operator/otc-exchanges?status=expired").json()
    assert [row["id"] for row in found["data"]] == [quote_id]
    assert world.operator("GET", "/operator/otc-exchanges?status=quoted").json()["data"] == []


def test_the_lifetime_is_the_worlds(new_world: NewWorld) -> None:
    world = new_world(world=CONTRACT_WORLD.replace("ttl_seconds = 60", "ttl_seconds = 5"), frozen=True)
    quote = world.post("/quote", world.buy_body()).json()["data"]
    assert quote["ttlSeconds"] == 5
    world.advance(seconds=5)
    assert world.status(quote["quoteId"]) == "expired"


# -- eligibility lost since the quote (3.5) ----------------------------------------------------------------------------


def test_a_sell_that_is_no_longer_covered_cannot_be_confirmed(world: World) -> None:
    quote_id = world.sell("1800")
    assert world.book("withdrawals", world.ids["WA1"], "3200.000001").status_code == 201
    assert_refused(world.confirm(quote_id, "sell"), 422, "SOURCE_WALLET_INSUFFICIENT")
    assert world.status(quote_id) == "quoted"
    assert world.book("deposits", world.ids["WA1"], "0.000001").status_code == 201
    assert world.confirm(quote_id, "sell").status_code == 201


def test_an_account_that_lost_its_eligibility_since_the_quote(world: World, tmp_path: Path) -> None:
    bought, sold = world.buy("1.00"), world.sell("1")
    file = tmp_path / "changed.toml"
    changed = CONTRACT_WORLD.replace('iban = "DE89', 'status = "inactive"\niban = "DE89')
    file.write_text(changed, encoding="utf-8")
    run_cli(world.server, "world", "load", str(file), "--lane", world.id)
    assert_refused(world.confirm(bought), 422, "SOURCE_INACTIVE")
    assert_refused(world.confirm(sold, "sell"), 422, "DESTINATION_ACCOUNT_INACTIVE")
    assert [world.status(one) for one in (bought, sold)] == ["quoted", "quoted"]
    assert world.get("/accounts").json()["data"] == []
    file.write_text(CONTRACT_WORLD, encoding="utf-8")
    run_cli(world.server, "world", "load", str(file), "--lane", world.id)
    assert world.confirm(bought).status_code == 201
    assert world.confirm(sold, "sell").status_code == 201


def _of_b(world: World, amount: str) -> dict[str, Any]:
    return world.buy_body(amount, sourceFrAccountId=world.ids["FB1"], destinationUtilaWalletId=world.ids["WB1"])


# -- cancel (3.8) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_cancel_ignores_body_and_key(world: World, side: str) -> None:
    quote_id = getattr(world, side)()
    answer = world.post(
        f"/{quote_id}/cancel", content=b"not json at all", headers={"content-type": "text/plain"}, idempotency="x"
    )
    assert answer.json() == {"data": {"orderId": quote_id, "status": "cancelled"}}
    assert world.balances() == START


@pytest.mark.parametrize("order_id", [V4, "x", V4.replace("-", "")])
def test_orders_that_are_none(world: World, order_id: str) -> None:
    assert_refused(world.get(f"/{order_id}"), 404, "ORDER_NOT_FOUND")
    assert_refused(world.post(f"/{order_id}/cancel"), 404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize("name", ["accounts", "wallets", "quote"])
def test_routes_with_names_are_not_taken_for_orders(world: World, name: str) -> None:
    assert world.call("DELETE", f"{EXCHANGES}/{name}").status_code == 405
    assert_refused(world.post(f"/{name}/cancel"), 404, "ORDER_NOT_FOUND")


def test_nothing_but_unconfirmed_orders_can_be_cancelled(world: World) -> None:
    world.debits_settle_by_hand()
    pending = world.confirmed_buy("100.00")
    assert world.status(pending) == "debit_pending"
    waiting = world.confirmed_sell("100")
    completed, rejected = world.confirmed_sell("100"), world.confirmed_sell("100")
    world.approve(completed, "0.9")
    world.reject(rejected)
    failed = world.confirmed_buy("100.00")
    world.settle_debit(failed, "failed")
    before = world.balances()
    for order_id in (pending, waiting, completed, rejected, failed):
        assert_refused(world.post(f"/{order_id}/cancel"), 409, "NOT_CANCELLABLE")
        side = "buy" if order_id in {pending, failed} else "sell"
        assert_refused(world.confirm(order_id, side), 409, "NOT_CONFIRMABLE")
    assert world.balances() == before
