"""The acceptance cases of the offers contract, section 9, by their numbers, over real HTTP."""

import time
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from otcdesk.secret_files import load_or_make_key
from tests.support.offers import ACCEPTED, OFFERS, OK_BUY, SELL, OffersWorld, assert_error, moment
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, at_once, wait_until
from tests.support.tokens import aged


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server)


@pytest.fixture
def slow(impatient: DeskServer) -> OffersWorld:
    """Give a world whose server waits 300 ms for a trade before it says that it is in progress."""
    return OffersWorld(impatient)


def at_books(world: OffersWorld) -> tuple[str, int]:
    """Return what a user has, and how many trades there are."""
    return world.balance("U"), len(world.rows("/v1/trades", user="U"))


def test_case_01_client_credentials_bring_both_tokens(world: OffersWorld) -> None:
    answer = world.oauth("token", world.token_body())
    assert answer.status_code == 200
    told = answer.json()
    assert told.keys() == {"token_type", "expires_in", "access_token", "refresh_token"}
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 600)
    assert told["access_token"].count(".") == told["refresh_token"].count(".") == 2
    assert told["access_token"] != told["refresh_token"]


def test_case_02_a_wrong_secret(world: OffersWorld) -> None:
    assert_error(world.oauth("token", world.token_body(client_secret="wrong")), 401, "credentials.invalid")


def test_case_04_how_long_an_access_token_lives_and_what_a_refresh_token_is_not(world: OffersWorld) -> None:
    pair, key = world.pair(), load_or_make_key(world.server.home, "session.key")

    def status(token: str) -> int:
        how = {"headers": {"Authorization": f"Bearer {token}"}, "partner": None}
        return world.ask("GET", "/v1/assets", **how).status_code  # type: ignore[arg-type]

    assert status(pair["access_token"]) == 200
    assert status(aged(pair["access_token"], key, seconds=590)) == 200  # ten more for this machine to ask
    assert status(aged(pair["access_token"], key, seconds=601)) == 401
    assert status(pair["refresh_token"]) == 401


def test_case_05_revoking_a_refresh_token(world: OffersWorld) -> None:
    body = world.token_body(grant_type=None)
    assert_error(world.oauth("revoke", body), 422, "the.refresh_token.field.is.required.")
    refresh_token = world.pair()["refresh_token"]
    done = world.revoked(refresh_token)
    assert (done.status_code, done.content) == (200, b"")
    assert_error(world.refreshed(refresh_token), 401, "refresh.token.invalid")


def test_case_06_an_offer_to_buy(world: OffersWorld) -> None:
    answer = world.create()
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert made.keys() == {
        *("id", "type", "fiat_id", "asset_id", "fiat_amount", "tax_amount", "total_amount", "asset_amount"),
        *("asset_price", "offer_validity", "expires_at", "time", "warning"),
    }
    assert (made["total_amount"], made["fiat_amount"], made["tax_amount"]) == ("100.00", "100.00", "0.00")
    assert (made["asset_price"], made["asset_amount"]) == ("51000.00000000", "0.00196078")
    assert (made["type"], made["fiat_id"], made["asset_id"], made["warning"]) == ("buy", 1, 1, [])
    assert made["offer_validity"] == 60
    assert (moment(made["expires_at"]) - moment(made["time"])).total_seconds() == 60


def test_case_08_an_offer_to_sell_with_tax_withheld(world: OffersWorld) -> None:
    made = world.offer(**SELL)
    assert (made["total_amount"], made["tax_amount"], made["fiat_amount"]) == ("490.00", "23.40", "466.60")
    assert made["asset_price"] == "49000.00000000"
    assert Decimal(made["total_amount"]) == Decimal(made["fiat_amount"]) + Decimal(made["tax_amount"])


def test_case_10_without_bearer_or_user(world: OffersWorld) -> None:
    assert_error(world.ask("POST", "/v1/offers", OK_BUY, user="U", partner=None), 401, "unauthorized")
    assert_error(world.ask("POST", "/v1/offers", OK_BUY), 422, "validation.bp-user-id")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "swap"},
        {"amount_defined_for": "btc"},
        *({"amount": amount} for amount in (100, 100.5, "-1", "0", "1.123456789")),
    ],
    ids=str,
)
def test_case_11_bodies_that_are_wrong(world: OffersWorld, change: dict[str, Any]) -> None:
    (field,) = change
    assert_error(world.create(**change), 422, f"validation.{field}")
    assert world.rows("/v2/trades/search") == []


def test_case_13_selling_more_than_there_is(world: OffersWorld) -> None:
    assert_error(world.create(**{**SELL, "amount": "1.0"}), 409, "insufficient.funds")


def test_case_14_terms_that_are_not_accepted(world: OffersWorld) -> None:
    assert_error(world.create("no-terms"), 403, "user.terms.not.accepted")


def test_case_15_an_acceptance(world: OffersWorld) -> None:
    made = world.offer()
    answer = world.accept(made["id"], "ext-1")
    assert answer.status_code == 200
    trade = answer.json()["data"]
    assert trade.keys() == ACCEPTED
    same = ("id", "type", "fiat_id", "asset_id", "fiat_amount", "tax_amount", "total_amount", "asset_amount")
    assert {name: trade[name] for name in (*same, "asset_price")} == {
        name: made[name] for name in (*same, "asset_price")
    }
    assert (trade["spread"], trade["fees_after_cost"]) == ("1.96078000", "1.71078000")
    assert trade["trade_id"] == trade["id"]
    assert moment(trade["time"]) >= moment(made["time"])


def test_case_16_the_same_acceptance_again(world: OffersWorld) -> None:
    made = world.offer()
    first = world.accept(made["id"], "ext-1")
    after = at_books(world)
    world.advance(seconds=86_400)
    for _ in range(3):
        again = world.accept(made["id"], "ext-1")
        assert (again.status_code, again.content) == (200, first.content)
    assert at_books(world) == after == ("0.05196078", 1)
    assert_books_sound(world)


def test_case_17_two_acceptances_at_once(world: OffersWorld) -> None:
    for number in range(5):
        made = world.offer()
        calls = [partial(world.accept, made["id"], f"ext-{number}") for _ in range(2)]
        answers = at_once(calls)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
    assert at_books(world) == ("0.05980390", 5)
    assert_books_sound(world)


def test_case_19_an_accepted_offer_with_another_external_id(world: OffersWorld) -> None:
    trade = world.traded(external_id="ext-1")
    assert_error(world.accept(trade["id"], "ext-9"), 406, "offer.external.transaction.mismatch")


def test_case_20_only_the_newest_offer_can_be_accepted(world: OffersWorld) -> None:
    older, newer = world.offer(), world.offer()
    assert_error(world.accept(older["id"], "ext-1"), 409, "offer.superseded")
    assert world.accept(newer["id"], "ext-1").status_code == 200


def test_case_22_an_offer_that_was_not_made_supersedes_nothing(world: OffersWorld) -> None:
    made = world.offer()
    assert world.create(amount="0").status_code == 422
    assert world.accept(made["id"], "ext-1").status_code == 200


def test_case_23_an_offer_that_has_expired(world: OffersWorld) -> None:
    made = world.offer()
    world.advance(seconds=60)
    assert_error(world.accept(made["id"], "ext-1"), 410, "offer.gone")
    assert world.offer_status(made["id"]) == {"status": "expired"}
    assert [(row["id"], row["status"]) for row in world.rows("/v2/trades/search")] == [(made["id"], "expired")]
    assert world.accept(world.offer()["id"], "ext-1").status_code == 200


def test_case_23_an_offer_can_be_accepted_to_the_last_millisecond(world: OffersWorld) -> None:
    made = world.offer()
    world.advance(milliseconds=59_999)
    assert world.accept(made["id"], "ext-1").status_code == 200


@pytest.mark.parametrize("query", ["", "?external_transaction_id=", "?external_transaction_id=%20%09"])
def test_case_25_without_an_external_id(world: OffersWorld, query: str) -> None:
    made = world.offer()
    answer = world.ask("PATCH", f"/v2/offers/{made['id']}/accept{query}", user="U")
    assert_error(answer, 422, "validation.external_transaction_id")
    assert world.offer_status(made["id"]) == {"status": "created"}


def test_case_26_a_trade_that_takes_longer_than_a_request_waits(slow: OffersWorld) -> None:
    slow.fault("venue", "up", delay_ms=2_500)
    made = slow.offer()
    started = time.monotonic()
    answer = slow.accept(made["id"], "ext-1")
    taken = time.monotonic() - started
    assert (answer.status_code, answer.content) == (202, b"")
    assert 0.3 <= taken < 2, taken
    assert slow.offer_status(made["id"]) == {"status": "in progress"}


def test_case_27_repeating_while_it_runs_and_afterwards(slow: OffersWorld) -> None:
    slow.fault("venue", "up", delay_ms=2_500)
    made = slow.offer()
    assert [slow.accept(made["id"], "ext-1").status_code for _ in range(2)] == [202, 202]
    last: list[httpx.Response] = []

    def finished() -> bool:
        last[:] = [slow.accept(made["id"], "ext-1")]
        return last[0].status_code != 202

    wait_until(finished, "the trade is finished")
    assert last[0].status_code == 200
    assert last[0].json()["data"].keys() == ACCEPTED
    assert slow.offer_status(made["id"]) == {"status": "finished"}
    assert slow.accept(made["id"], "ext-1").content == last[0].content


def test_case_29_a_trade_that_fails_after_a_202(slow: OffersWorld) -> None:
    slow.steer("faults", rail="venue", mode="refuse", delayMs=1_200, reason="trading_disabled")
    made = slow.offer()
    assert slow.accept(made["id"], "ext-1").status_code == 202
    wait_until(lambda: slow.offer_status(made["id"])["status"] == "failed", "it has failed")
    failed = {"status": "failed", "errors": {"code": "422", "title": "user.transaction.trading.disabled"}}
    assert slow.offer_status(made["id"]) == failed
    assert_error(slow.accept(made["id"], "ext-1"), 409, "offer.previously.failed")
    assert slow.rows("/v1/trades", user="U") == []
    assert [row["id"] for row in slow.rows("/v2/trades/search?status=failed")] == [made["id"]]
    assert_books_sound(slow)


def test_case_31_v1_accepts_once(world: OffersWorld) -> None:
    made = world.offer()
    assert world.accept(made["id"], version="v1").status_code == 200
    assert_error(world.accept(made["id"], version="v1"), 409, "offer.already.accepted")
    assert_error(world.accept(made["id"], "ext-9"), 409, "offer.already.accepted")


@pytest.fixture
def with_news(server: DeskServer) -> OffersWorld:
    """Give a world in which new general terms come into effect ten seconds after noon."""
    later = """
[[brokerage.agreements]]
ref = "general-2"
type = "general"
version = 2
title = "General terms, revised"
url = "https://broker.example/terms/general-2"
effective_at = "2025-03-04T12:00:10Z"
"""
    text = OffersWorld.file().replace("\n[[tenants]]", later + "\n[[tenants]]", 1)
    return OffersWorld(server, template=None, world=text, clock="2025-03-04T12:00:00Z")


def test_case_32_terms_that_change_after_the_offer(with_news: OffersWorld) -> None:
    world = with_news
    made = world.offer()
    world.advance(seconds=10)
    assert_error(world.accept(made["id"], "ext-1"), 403, "user.terms.not.accepted")
    (general,) = [row["id"] for row in world.rows("/v1/terms") if row["type"] == "general"]
    answer = world.ask("POST", f"/v2/users/{world.users['U']}/terms", {"terms": [general]})
    assert answer.status_code == 200
    assert world.accept(made["id"], "ext-1").status_code == 200


def test_case_34_searching_by_the_external_id(world: OffersWorld) -> None:
    trade = world.traded(external_id="ext-1")
    world.traded(external_id="ext-2")
    rows = world.rows("/v1/trades/search?external_transaction_id=ext-1")
    assert [(row["id"], row["offer_id"]) for row in rows] == [(trade["trade_id"], trade["id"])]
    days = "?date_start=2025-03-01&date_end=2025-04-01"  # which are 32, as both are included
    assert_error(world.ask("GET", f"/v1/trades/search{days}"), 422, "validation.date_end")
    assert world.ask("GET", "/v1/trades/search?date_start=2025-03-01&date_end=2025-03-31").status_code == 200
    assert world.server.http.get(f"{OFFERS}/v1/trades/search").status_code == 401
