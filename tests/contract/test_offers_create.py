"""Creating offers (offers contract 3.1, 3.2, 6): every status of its table, v1 beside v2, sums, hostile bodies."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.offers import BTC, CHF, ETH, EUR, GOLD, OFFERS, OK_BUY, SELL, OffersWorld, Q, assert_error
from tests.support.server import DeskServer

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


# -- the table of answers ----------------------------------------------------------------------------------------------


def test_a_user_that_is_not_verified_is_401_in_v1_and_403_in_v2(world: OffersWorld) -> None:
    first = world.create("unverified", version="v1")
    assert_error(first, 401, "user.not.verified")
    assert_error(world.create("unverified", version="v2"), 403, "user.not.verified")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_other_refusal_is_the_same_in_both_versions(world: OffersWorld, version: str) -> None:
    other = {"how": {"partner": Q}}
    unknown = {"v1": 99, "v2": UNKNOWN}[version]
    assert_error(world.create("inactive", version=version), 403, "user.inactive")
    assert_error(world.create("no-terms", version=version), 403, "user.terms.not.accepted")
    assert_error(world.create(UNKNOWN, version=version), 404, "user.not.found")
    assert_error(world.create("U", version=version, **other), 404, "user.not.found")
    assert_error(world.create(version=version, asset_id=unknown), 404, "asset.not.found")
    assert_error(world.create(version=version, fiat_id=unknown), 404, "fiat.not.found")
    assert_error(world.create("W", version=version, **other), 409, "insufficient.funds")
    assert_error(world.create(version=version, amount="0.99"), 422, "validation.amount")
    assert world.operator("PUT", "/operator/listings/BTC", {"buyEnabled": False}).status_code == 200
    assert_error(world.create(version=version), 422, "user.transaction.trading.disabled")
    assert world.rows("/v2/trades/search") == []


def test_the_first_of_several_that_are_unknown(world: OffersWorld) -> None:
    assert_error(world.create(UNKNOWN, asset_id=99, fiat_id=99), 404, "user.not.found")
    assert_error(world.create(asset_id=99, fiat_id=99), 404, "asset.not.found")


def test_an_asset_and_a_fiat_are_numbered_apart(world: OffersWorld) -> None:
    assert_error(world.create(asset_id=BTC, fiat_id=3), 404, "fiat.not.found")
    fiat_pid, asset_pid = world.pid("fiats", EUR), world.pid("assets", BTC)
    assert_error(world.create(version="v2", asset_id=fiat_pid), 404, "asset.not.found")
    assert_error(world.create(version="v2", fiat_id=asset_pid), 404, "fiat.not.found")


def test_a_market_that_there_is_not(world: OffersWorld) -> None:
    assert_error(world.create(asset_id=ETH, fiat_id=CHF), 422, "user.transaction.trading.disabled")


def test_a_price_that_nobody_knows(world: OffersWorld) -> None:
    world.fault("price", "unavailable")
    assert_error(world.create(), 503, "service.unavailable")
    world.fault("price", "up")
    assert world.create().status_code == 201


def test_a_market_with_a_maximum(world: OffersWorld) -> None:
    assert_error(world.create(asset_id=ETH, amount="100000.01"), 422, "validation.amount")
    assert world.create(asset_id=ETH, amount="99999.00").status_code == 201


# -- arithmetic (contract 6) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, total, quantity",
    [
        ({"amount": "100.00"}, "100.00", "0.00196078"),
        ({"amount": "100"}, "100.00", "0.00196078"),
        ({"amount": "100.5"}, "100.50", "0.00197058"),
        ({"amount": "0.00050000", "amount_defined_for": "asset"}, "25.50", "0.00050000"),
        ({"amount": "00100.00"}, "100.00", "0.00196078"),
        ({"amount": "1.00"}, "1.00", "0.00001960"),
    ],
    ids=str,
)
def test_worked_values(world: OffersWorld, change: dict[str, str], total: str, quantity: str) -> None:
    made = world.offer(**change)
    assert (made["total_amount"], made["fiat_amount"], made["tax_amount"]) == (total, total, "0.00")
    assert made["asset_amount"] == quantity


def test_an_asset_with_eighteen_decimals_is_quoted_with_eight(world: OffersWorld) -> None:
    made = world.offer(asset_id=ETH, amount="100.00")
    assert made["asset_price"] == "2392.59249059"
    assert len(made["asset_amount"].partition(".")[2]) == 8
    left_over = Decimal(made["total_amount"]) - Decimal(made["asset_amount"]) * Decimal(made["asset_price"])
    assert 0 <= left_over < Decimal(made["asset_price"]) * Decimal("1e-8")


def test_an_asset_with_few_decimals(world: OffersWorld) -> None:
    assert world.offer(asset_id=GOLD, amount="100.00")["asset_amount"] == "1.59400000"
    too_fine: dict[str, Any] = {"asset_id": GOLD, "amount": "1.5941", "amount_defined_for": "asset"}
    assert_error(world.create(**too_fine), 422, "validation.amount")


def test_a_better_level_has_a_better_price(world: OffersWorld) -> None:
    assert world.offer("V")["asset_price"] == "50250.00000000"
    assert world.offer("V", **SELL)["asset_price"] == "49750.00000000"
    assert world.offer("V", **SELL)["tax_amount"] == "0.00"


def test_fiats_have_cents(world: OffersWorld) -> None:
    assert_error(world.create(amount="1.001"), 422, "validation.amount")
    assert world.create(amount="1.000").status_code == 201
    assert world.create(amount="1.00000000").status_code == 201


def test_another_fiat_has_a_market_of_its_own(world: OffersWorld) -> None:
    made = world.offer(fiat_id=CHF)
    assert (made["asset_price"], made["fiat_id"]) == ("47940.00000000", CHF)


# -- bodies that are wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", sorted(OK_BUY))
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_field_is_required_and_may_not_be_null(world: OffersWorld, field: str, version: str) -> None:
    body = world.as_version(OK_BUY, version)
    without = {name: value for name, value in body.items() if name != field}
    for wrong in (without, {**body, field: None}):
        answer = world.ask("POST", f"/{version}/offers", wrong, user="U")
        assert_error(answer, 422, f"validation.{field}")


WRONG: dict[str, list[Any]] = {
    "type": ["", "BUY", " buy", 1, True, ["buy"], {}],
    "amount_defined_for": ["", "Fiat", "eur", 1, False],
    "fiat_id": ["1", 1.5, True, [1], {}],
    "asset_id": ["1", "BTC", 1.5, True],
    "amount": [
        *(5, 5.5, True, [], {}, "", " ", "5 ", " 5", "+5", "-5", "5e2", "1E3", "0x10", "1,000.00", "1_000", ".5", "5."),
        *("5..0", "NaN", "Infinity", "0.0", "0" * 24, "1" * 25, "1" * 10_000, "1.1\n", "1\x00", "1.123456789"),
        *("\u0661\u0662", "\uff11"),  # digits, but not ours
    ],
}


@pytest.mark.parametrize(
    "field, value", [(field, value) for field, values in WRONG.items() for value in values], ids=repr
)
def test_values_that_are_wrong(world: OffersWorld, field: str, value: Any) -> None:
    assert_error(world.create(**{field: value}), 422, f"validation.{field}")


@pytest.mark.parametrize(
    "value", [1, "1", "", "BTC", UNKNOWN.replace("-", ""), f"{{{UNKNOWN}}}", "urn:uuid:" + UNKNOWN]
)
@pytest.mark.parametrize("field", ["asset_id", "fiat_id"])
def test_pids_that_are_none(world: OffersWorld, field: str, value: Any) -> None:
    assert_error(world.create(version="v2", **{field: value}), 422, f"validation.{field}")


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**63, 2**64, 10**30, -(10**30)])
def test_numbers_that_nothing_has(world: OffersWorld, value: int) -> None:
    answer = world.create(asset_id=value)
    assert answer.status_code in {404, 422}
    assert answer.json()["errors"][0]["code"] in {"asset.not.found", "validation.asset_id"}


def test_amounts_at_the_edge_of_what_can_be_counted(world: OffersWorld) -> None:
    for amount in ("9" * 24, "9" * 24 + ".99999999"):
        for measured in ("fiat", "asset"):
            answer = world.create(amount=amount, amount_defined_for=measured)
            assert answer.status_code in {409, 422}, answer.text


@pytest.mark.parametrize(
    "content, status, code",
    [
        (b"", 422, "http.bad.request"),
        (b"{", 422, "http.bad.request"),
        (b"[]", 422, "http.bad.request"),
        (b'"text"', 422, "http.bad.request"),
        (b"\xef\xbb\xbf{}", 422, "http.bad.request"),
        (b'{"type":"\xff"}', 422, "http.bad.request"),
        (b"[" * 50_000, 422, "http.bad.request"),
        (b'{"amount":"1","amount":"2"}', 422, "http.bad.request"),
        (b'{"x":"' + b"x" * 70_000 + b'"}', 413, "body.too.large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bodies_that_are_no_request(world: OffersWorld, content: bytes, status: int, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = world.ask("POST", "/v1/offers", user="U", content=content, headers=headers)
    if b'"amount":"1"' in content:
        code = "validation.type"  # the first mistake is told
    assert_error(answer, status, code)


def test_a_field_that_is_named_twice(world: OffersWorld) -> None:
    content = json.dumps(OK_BUY)[:-1].encode() + b',"amount":"1.00"}'
    answer = world.ask("POST", "/v1/offers", user="U", content=content, headers={"Content-Type": "application/json"})
    assert_error(answer, 422, "http.bad.request")


def test_a_body_that_is_not_json(world: OffersWorld) -> None:
    answer = world.ask("POST", "/v1/offers", user="U", data=OK_BUY)
    assert_error(answer, 415, "header.content.type")


def test_fields_that_nobody_knows_are_passed_over(world: OffersWorld) -> None:
    assert world.create(payment_option_id="x", note={"a": [1]}).status_code == 201


@pytest.mark.parametrize("path", ["/v3/offers", "/offers", "/v1/offers/", "/v1", "/", "", "/v1/offers/x", "/V1/offers"])
def test_paths_that_there_are_not(world: OffersWorld, path: str) -> None:
    assert_error(world.ask("POST", path, OK_BUY, user="U"), 404, "not.found")


def test_methods_that_a_path_does_not_take(world: OffersWorld) -> None:
    answer = world.ask("GET", "/v1/offers", user="U")
    assert_error(answer, 405, "method.not.allowed")
    assert answer.headers["allow"] == "POST"


def test_the_bearer_is_checked_before_the_body_and_the_user(world: OffersWorld) -> None:
    answer = world.server.http.post(f"{OFFERS}/v1/offers", content=b"nonsense")
    assert_error(answer, 401, "unauthorized")


def test_an_amount_below_the_markets_least_is_called_that(world: OffersWorld) -> None:
    answer = world.create(amount="0.99")
    assert_error(answer, 422, "validation.amount")
    assert answer.json()["errors"][0]["title"] == "The amount is less than can be traded."
