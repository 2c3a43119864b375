"""Reading trades (offers contract 3.0, 3.5): histories, both searches, pages and cursors, one trade and its tax."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support.offers import ETH, SELL, OffersWorld, P, Q, assert_error
from tests.support.server import DeskServer

UNKNOWN = "01a1feaa-515a-798c-b765-844ef6dbb000"
NOON = "2025-03-04T12:00:00Z"


@pytest.fixture
def world(server: DeskServer) -> OffersWorld:
    return OffersWorld(server, clock=NOON)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


# -- a user's history --------------------------------------------------------------------------------------------------


def test_a_history_shows_what_is_finished_newest_first(world: OffersWorld) -> None:
    traded = []
    for number in range(3):
        traded.append(world.traded(external_id=f"ext-{number}")["id"])
        world.advance(seconds=1)
    world.offer()
    for version in ("v1", "v2"):
        assert ids(world.rows(f"/{version}/trades", user="U")) == traded[::-1]
        assert world.rows(f"/{version}/trades", user="V") == []
        assert world.rows(f"/{version}/trades", user="W", partner=Q) == []


def test_the_fields_of_a_row(world: OffersWorld) -> None:
    trade = world.traded(external_id="bank-1")
    (row,) = world.rows("/v1/trades", user="U")
    assert row == {
        "id": trade["id"],
        "offer_id": trade["id"],
        "type": "buy",
        "fiat_id": 1,
        "asset_id": 1,
        "fiat_amount": "100.00",
        "tax_amount": "0.00",
        "total_amount": "100.00",
        "asset_amount": "0.00196078",
        "asset_price": "51000.00000000",
        "time": "2025-03-04T12:00:00+00:00",
        "external_transaction_id": "bank-1",
        "user_pid": world.users["U"],
        "status": "finished",
        "fiat_symbol": "EUR",
        "asset_symbol": "BTC",
        "gross_fee": "1.96078000",
        "fees_after_cost": "1.71078000",
        "final_revenue_share": "0.00000000",
        "initiated_by": "user",
    }
    (newer,) = world.rows("/v2/trades", user="U")
    changed = {"fiat_id": world.pid("fiats", 1), "asset_id": world.pid("assets", 1), "user_id": row.pop("user_pid")}
    assert newer == {**row, **changed}


def test_a_share_of_the_revenue(world: OffersWorld) -> None:
    world.traded("W", amount="50.00", how={"partner": Q})
    (row,) = world.rows("/v1/trades/search", partner=Q)
    assert (row["gross_fee"], row["fees_after_cost"], row["final_revenue_share"]) == (
        "0.98039000",
        "0.73039000",
        "0.14607800",
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_history_of_some_sides_and_assets(world: OffersWorld, version: str) -> None:
    bought, ether = world.traded()["id"], world.traded(asset_id=ETH)["id"]
    sold = world.traded(**SELL)["id"]

    def asset(number: int) -> str:
        return str(number) if version == "v1" else world.pid("assets", number)

    def found(query: str) -> set[str]:
        return set(ids(world.rows(f"/{version}/trades?{query}", user="U")))

    assert found("") == found("types[]=buy&types[]=sell") == found("types=buy,sell") == {bought, ether, sold}
    assert found("types[]=sell") == found("types=sell") == {sold}
    assert found("types%5B%5D=buy") == {bought, ether}
    assert found(f"asset_id={asset(1)}") == {bought, sold}
    assert found(f"asset_id={asset(2)}&types[]=buy") == {ether}
    assert found(f"asset_id={asset(3)}") == set()
    assert found(f"asset_id={99 if version == 'v1' else UNKNOWN}") == set()


@pytest.mark.parametrize(
    "query, field",
    [
        ("types[]=swap", "types"),
        ("types=", "types"),
        ("types[]=buy&types[]=", "types"),
        ("asset_id=BTC", "asset_id"),
        ("asset_id=0", "asset_id"),
        ("asset_id=1&asset_id=2", "asset_id"),
        ("asset_id=99999999999999999999", "asset_id"),
        *((f"page={value}", "page") for value in ("0", "-1", "x", "", "1.5", "9" * 30, "%00")),
        *((f"page_size={value}", "page_size") for value in ("0", "101", "x", "", "10,0")),
    ],
)
def test_queries_of_a_history_that_are_wrong(world: OffersWorld, query: str, field: str) -> None:
    assert_error(world.ask("GET", f"/v1/trades?{query}", user="U"), 422, f"validation.{field}")


def test_who_may_see_a_history(world: OffersWorld) -> None:
    for version in ("v1", "v2"):
        path = f"/{version}/trades"
        assert_error(world.ask("GET", path), 422, "validation.bp-user-id")
        assert_error(world.ask("GET", path, user="x"), 422, "validation.bp-user-id")
        assert_error(world.ask("GET", path, user="U", partner=None), 401, "unauthorized")
        assert_error(world.ask("GET", path, user="inactive"), 403, "user.inactive")
        assert_error(world.ask("GET", path, user="U", partner=Q), 404, "user.not.found")
        assert_error(world.ask("GET", path, user=UNKNOWN), 404, "user.not.found")
        assert world.rows(path, user="unverified") == []


# -- pages -------------------------------------------------------------------------------------------------------------


def test_pages_and_their_links(world: OffersWorld) -> None:
    traded = []
    for _ in range(5):
        traded.append(world.traded()["id"])
        world.advance(seconds=1)
    answer = world.ask("GET", "/v1/trades?page=2&page_size=2&types[]=buy", user="U").json()
    assert ids(answer["data"]) == traded[::-1][2:4]
    assert answer["meta"] == {"total_count": 5, "page": 2, "page_size": 2}
    kept = "types%5B%5D=buy&"
    assert answer["links"] == {
        "first": f"?{kept}page=1&page_size=2",
        "last": f"?{kept}page=3&page_size=2",
        "prev": f"?{kept}page=1&page_size=2",
        "next": f"?{kept}page=3&page_size=2",
        "self": f"?{kept}page=2&page_size=2",
    }
    assert "links" not in world.ask("GET", "/v2/trades", user="U").json()
    far = world.ask("GET", "/v1/trades?page=1000000000&page_size=100", user="U").json()
    assert (far["data"], far["meta"]["total_count"], far["links"]["next"]) == ([], 5, None)


@pytest.mark.parametrize("path", ["/v1/trades", "/v1/trades/search"])
def test_following_the_links_shows_everything_once(world: OffersWorld, path: str) -> None:
    traded = {world.traded()["id"] for _ in range(5)}
    link, found = "?page_size=2", []
    while link:
        answer = world.ask("GET", path + link, user="U").json()
        found += ids(answer["data"])
        link = answer["links"]["next"]
    assert sorted(found) == sorted(traded)


def test_an_empty_list_has_one_page(world: OffersWorld) -> None:
    answer = world.ask("GET", "/v1/trades", user="U").json()
    only = "?page=1&page_size=10"
    assert answer["links"] == {"first": only, "last": only, "prev": None, "next": None, "self": only}
    assert answer["meta"] == {"total_count": 0, "page": 1, "page_size": 10}


# -- search by page ----------------------------------------------------------------------------------------------------


def test_a_search_shows_what_all_users_of_a_partner_have_traded_oldest_first(world: OffersWorld) -> None:
    traded = []
    for user in ("U", "V", "U"):
        traded.append(world.traded(user)["id"])
        world.advance(seconds=1)
    world.offer()
    world.traded("W", amount="10.00", how={"partner": Q})
    assert ids(world.rows("/v1/trades/search")) == traded
    assert len(world.rows("/v1/trades/search", partner=Q)) == 1
    assert ids(world.rows(f"/v1/trades/search?user_pid={world.users['V']}")) == [traded[1]]
    assert world.rows(f"/v1/trades/search?user_pid={world.users['W']}") == []


def test_a_search_by_ids(world: OffersWorld) -> None:
    trade, other = world.traded(external_id="ext-1")["id"], world.traded("V", external_id="ext-2")["id"]
    created = world.offer()["id"]

    def found(query: str, partner: str = P) -> list[str]:
        return ids(world.rows(f"/v1/trades/search?{query}", partner=partner))

    assert found(f"internal_trade_id={trade}") == found(f"offer_id={trade}") == [trade]
    assert found(f"internal_trade_id={trade}&offer_id={trade}&external_transaction_id=ext-1") == [trade]
    assert found(f"internal_trade_id={trade}&offer_id={other}") == []
    assert found(f"internal_trade_id={trade}&external_transaction_id=ext-2") == []
    assert found(f"external_transaction_id=ext-2&user_pid={world.users['V']}") == [other]
    assert found(f"external_transaction_id=ext-2&user_pid={world.users['U']}") == []
    assert (
        found(f"offer_id={created}") == found("external_transaction_id=nobodys") == found(f"offer_id={UNKNOWN}") == []
    )
    assert found(f"offer_id={trade}", Q) == found("external_transaction_id=ext-1", Q) == []
    assert found(f"offer_id={trade}&date_start=2025-03-04&date_end=2025-03-04") == [trade]
    assert found(f"offer_id={trade}&date_start=2025-03-05") == found(f"offer_id={trade}&date_end=2025-03-03") == []
    assert found(f"offer_id={trade}&page=2") == []


def test_a_search_by_days_which_are_utc_and_included(world: OffersWorld) -> None:
    world.steer("clock", set="2025-03-04T23:59:59Z", frozen=True)
    last_second = world.traded()["id"]
    world.advance(seconds=1)
    midnight = world.traded()["id"]

    def found(start: str, end: str) -> list[str]:
        return ids(world.rows(f"/v1/trades/search?date_start={start}&date_end={end}"))

    assert found("2025-03-04", "2025-03-04") == [last_second]
    assert found("2025-03-05", "2025-03-05") == [midnight]
    assert found("2025-03-04", "2025-03-05") == [last_second, midnight]
    assert found("2025-03-06", "2025-03-06") == []


def test_a_search_counts_the_day_on_which_a_trade_was_finished(world: OffersWorld) -> None:
    world.steer("clock", set="2025-03-04T23:59:59Z", frozen=True)
    made = world.offer()
    world.advance(seconds=30)
    assert world.accept(made["id"], "ext-1").status_code == 200
    assert ids(world.rows("/v1/trades/search?date_start=2025-03-05&date_end=2025-03-05")) == [made["id"]]
    assert world.rows("/v1/trades/search?date_start=2025-03-04&date_end=2025-03-04") == []


def test_without_days_a_search_shows_the_last_month_unless_it_names_a_trade(world: OffersWorld) -> None:
    old = world.traded(external_id="ext-old")["id"]
    world.advance(seconds=40 * 86_400)
    new = world.traded()["id"]
    assert ids(world.rows("/v1/trades/search")) == [new]
    assert ids(world.rows("/v1/trades/search?external_transaction_id=ext-old")) == [old]
    assert ids(world.rows("/v1/trades/search?date_start=2025-03-04")) == [old]
    assert ids(world.rows("/v1/trades/search?date_end=2025-04-01")) == [old]


@pytest.mark.parametrize(
    "query, field",
    [
        ("date_start=2025-03-01&date_end=2025-04-01", "date_end"),
        ("date_start=2025-03-02&date_end=2025-03-01", "date_end"),
        *(
            (f"date_start={day}", "date_start")
            for day in ("x", "", "2025-3-1", "2025-02-30", "0001-01-01", "9999-12-31")
        ),
        *((f"date_end={day}", "date_end") for day in ("2025-03-01T00:00:00Z", "20250301", "9999-12-31", "%00")),
        ("internal_trade_id=x", "internal_trade_id"),
        ("offer_id=", "offer_id"),
        ("user_pid=U", "user_pid"),
        ("external_transaction_id=", "external_transaction_id"),
        ("external_transaction_id=%00", "external_transaction_id"),
        (f"external_transaction_id={'x' * 101}", "external_transaction_id"),
        ("page_size=1000", "page_size"),
    ],
)
def test_searches_that_are_wrong(world: OffersWorld, query: str, field: str) -> None:
    assert_error(world.ask("GET", f"/v1/trades/search?{query}"), 422, f"validation.{field}")


@pytest.mark.parametrize(
    "query", ["date_start=2025-03-01&date_end=2025-03-31", "date_start=2025-03-01&date_end=2025-03-01"]
)
def test_periods_of_31_days_and_less(world: OffersWorld, query: str) -> None:
    assert world.ask("GET", f"/v1/trades/search?{query}").status_code == 200


def test_unknown_names_in_a_query_are_passed_over(world: OffersWorld) -> None:
    assert world.ask("GET", "/v1/trades/search?nonsense=1&&=&x").status_code == 200
    too_many = "&".join(f"a{number}=1" for number in range(200))
    assert_error(world.ask("GET", f"/v1/trades/search?{too_many}"), 422, "http.bad.request")


@pytest.mark.parametrize("hours", [0, 24])
def test_time_that_passes_between_two_pages_leaves_no_trade_out(world: OffersWorld, hours: int) -> None:
    """The first days of the default search leave it while its pages are being read."""
    traded = []
    for _ in range(6):
        traded.append(world.traded()["id"])
        world.advance(seconds=1)
    world.advance(seconds=30 * 86_400 - 10)
    link, found, links = "?page_size=2", [], {}
    while link:
        answer = world.ask("GET", f"/v1/trades/search{link}").json()
        found += ids(answer["data"])
        links = answer["links"]
        link = links["next"]
        world.advance(seconds=hours * 3600 + 6)
    assert found == traded
    first = parse_qs(links["first"][1:])
    assert (first["date_start"], first["date_end"]) == (["2025-03-04"], ["2025-04-03"])


def test_pages_that_are_counted_by_hand_stay_the_same_for_a_day(world: OffersWorld) -> None:
    traded = []
    for _ in range(4):
        traded.append(world.traded()["id"])
        world.advance(seconds=1)
    world.advance(seconds=30 * 86_400 - 6)
    first = ids(world.rows("/v1/trades/search?page_size=2&page=1"))
    world.advance(seconds=4)
    assert [*first, *ids(world.rows("/v1/trades/search?page_size=2&page=2"))] == traded


def test_links_of_a_search_that_names_a_trade_have_no_days(world: OffersWorld) -> None:
    trade = world.traded()["id"]
    links = world.ask("GET", f"/v1/trades/search?offer_id={trade}").json()["links"]
    assert links["self"] == f"?offer_id={trade}&page=1&page_size=10"


def test_trades_that_come_meanwhile_come_last(world: OffersWorld) -> None:
    for _ in range(3):
        world.traded()
        world.advance(seconds=1)
    first = ids(world.rows("/v1/trades/search?page=1&page_size=2"))
    newest = world.traded()["id"]
    assert ids(world.rows("/v1/trades/search?page=1&page_size=2")) == first
    assert ids(world.rows("/v1/trades/search?page=2&page_size=2"))[-1] == newest


# -- search by cursor --------------------------------------------------------------------------------------------------


def test_a_search_by_cursor_shows_everything_once_whatever_comes_meanwhile(world: OffersWorld) -> None:
    made = [world.offer()["id"] for _ in range(7)]
    cursor, found = "", []
    while True:
        answer = world.ask("GET", f"/v2/trades/search?page_size=3{cursor}").json()
        assert answer.keys() == {"data", "meta"}
        found += ids(answer["data"])
        world.offer()
        if answer["meta"]["cursor"] is None:
            break
        assert answer["meta"] == {"cursor": answer["data"][-1]["id"], "size": 3}
        cursor = f"&cursor={answer['meta']['cursor']}"
    assert found == made[::-1]


def test_without_times_a_search_by_cursor_shows_the_last_31_days_until_now(world: OffersWorld) -> None:
    world.offer()
    world.advance(seconds=1)
    kept = world.offer()["id"]
    world.advance(seconds=31 * 86_400 - 1)
    now = world.offer()["id"]
    assert ids(world.rows("/v2/trades/search")) == [now, kept]


def test_every_status_can_be_searched_for(world: OffersWorld) -> None:
    finished = world.traded()["id"]
    world.steer("faults", rail="venue", mode="refuse", reason="not_covered")
    failed = world.offer()["id"]
    assert world.accept(failed, "ext-f").status_code == 422
    expired = world.offer()["id"]
    world.advance(seconds=60)
    created = world.offer()["id"]

    def found(status: str) -> list[str]:
        rows = world.rows("/v2/trades/search", params={"status": status})
        assert all(row["status"] == status for row in rows)
        return ids(rows)

    assert [found(status) for status in ("finished", "failed", "expired", "created", "in progress")] == [
        [finished],
        [failed],
        [expired],
        [created],
        [],
    ]
    assert ids(world.rows("/v2/trades/search")) == [created, expired, failed, finished]
    assert ids(world.rows("/v2/trades/search?status=completed")) == [finished]  # as an earlier revision wrote


def test_filters_of_a_search_by_cursor(world: OffersWorld) -> None:
    bought, ether = world.offer()["id"], world.offer(asset_id=ETH)["id"]
    sold, others = world.offer(**SELL)["id"], world.offer("V")["id"]

    def found(query: str) -> set[str]:
        return set(ids(world.rows(f"/v2/trades/search?{query}")))

    assert found("type=sell") == {sold}
    assert found("asset_symbol=ETH") == {ether}
    assert found("asset_symbol=nothing") == found("asset_symbol=eth") == set()
    assert found(f"user_id={world.users['V']}") == {others}
    assert found(f"id={bought}") == {bought}
    assert found(f"id={bought}&type=sell") == found(f"id={UNKNOWN}") == set()
    assert found("initiated_by=user") == {bought, ether, sold, others}
    assert found("initiated_by=automated_order") == found("initiated_by=bitpanda_savings") == set()
    assert found(f"type=buy&asset_symbol=BTC&user_id={world.users['U']}&status=created&initiated_by=user") == {bought}
    assert ids(world.rows(f"/v2/trades/search?id={bought}", partner=Q)) == []


@pytest.mark.parametrize(
    "start, end",
    [
        ("2025-03-04T12:00:00Z", "2025-03-04T12:00:01Z"),
        ("2025-03-04T13:00:00%2B01:00", "2025-03-04T13:00:01%2B01:00"),
        ("2025-03-04T13:00:00+01:00", "2025-03-04T13:00:01+01:00"),
        ("2025-03-04T12:00:00", "2025-03-04T12:00:00.000001"),
        ("2025-03-04", "2025-03-05"),
    ],
)
def test_a_search_by_times(world: OffersWorld, start: str, end: str) -> None:
    made = world.offer()["id"]
    world.advance(seconds=86_400)
    world.offer()
    assert ids(world.rows(f"/v2/trades/search?start={start}&end={end}")) == [made]
    assert ids(world.rows(f"/v2/trades/search?date_start={start}&date_end={end}&id={made}")) == [made]
    assert world.rows(f"/v2/trades/search?end={start}") == []


def test_the_names_of_an_earlier_revision_take_whole_days(world: OffersWorld) -> None:
    made = world.offer()["id"]
    assert ids(world.rows("/v2/trades/search?date_start=2025-03-04&date_end=2025-03-04")) == [made]
    assert world.rows("/v2/trades/search?date_start=2025-03-05&date_end=2025-03-05") == []


@pytest.mark.parametrize(
    "query, field",
    [
        ("start=2025-03-01T00:00:00Z&end=2025-04-01T00:00:01Z", "end"),
        ("start=2025-03-02T00:00:00Z&end=2025-03-01T00:00:00Z", "end"),
        *((f"start={time}", "start") for time in ("x", "", "12:00", "2025-03-04T25:00:00Z", "2025-03-04T12:00:00X")),
        *(
            (f"end={time}", "end")
            for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-03-04T12:00:00%2B99:00")
        ),
        ("date_start=2025-03-02&date_end=2025-03-01", "date_end"),
        ("date_start=2025-03-01&date_end=2025-04-01", "date_end"),
        ("date_start=x", "date_start"),
        ("status=complete", "status"),
        ("status=", "status"),
        ("initiated_by=me", "initiated_by"),
        ("type=swap", "type"),
        ("id=x", "id"),
        ("user_id=x", "user_id"),
        ("cursor=x", "cursor"),
        (f"cursor={UNKNOWN}", "cursor"),
        ("page_size=0", "page_size"),
    ],
)
def test_searches_by_cursor_that_are_wrong(world: OffersWorld, query: str, field: str) -> None:
    assert_error(world.ask("GET", f"/v2/trades/search?{query}"), 422, f"validation.{field}")


def test_a_cursor_of_another_partner(world: OffersWorld) -> None:
    made = world.offer()["id"]
    assert_error(world.ask("GET", f"/v2/trades/search?cursor={made}", partner=Q), 422, "validation.cursor")


def test_a_symbol_with_a_nul(world: OffersWorld) -> None:
    assert_error(world.ask("GET", "/v2/trades/search?asset_symbol=%00"), 422, "validation.asset_symbol")


# -- one trade ---------------------------------------------------------------------------------------------------------


def test_one_trade(world: OffersWorld) -> None:
    trade = world.traded(external_id="ext-1", **SELL)
    shown = world.data(world.ask("GET", f"/v2/trades/{trade['id']}"))
    (row,) = world.rows("/v2/trades", user="U")
    assert shown == {**row, "taxable_amount": "90.00", "capital_gain": "90.00"}
    assert world.data(world.ask("GET", f"/v2/trades/{trade['id']}", user="U")) == shown


def test_a_trade_of_somebody_else(world: OffersWorld) -> None:
    trade = world.traded()["id"]
    for path in (f"/v2/trades/{trade}", f"/v1/trades/{trade}/tax-details"):
        assert_error(world.ask("GET", path, partner=Q), 404, "trade.not.found")
        assert_error(world.ask("GET", path, user="V"), 404, "trade.not.found")
        assert_error(world.ask("GET", path.replace(trade, UNKNOWN)), 404, "trade.not.found")
        assert_error(world.ask("GET", path, partner=None), 401, "unauthorized")
    assert_error(world.ask("GET", "/v2/trades/x"), 404, "trade.not.found")
    assert_error(world.ask("GET", f"/v2/trades/{trade}", user="x"), 422, "validation.bp-user-id")


def test_what_of_a_trade_is_taxed(world: OffersWorld) -> None:
    sold = world.traded(**SELL)["id"]
    details = world.data(world.ask("GET", f"/v1/trades/{sold}/tax-details"))
    assert details == {"type": "tax-details", "trade_id": sold, "taxable_amount": "90.00", "capital_gain": "90.00"}
    bought = world.traded()["id"]
    details = world.data(world.ask("GET", f"/v1/trades/{bought}/tax-details", user="U"))
    assert (details["taxable_amount"], details["capital_gain"]) == ("0.00", "0.00")


def test_what_is_not_finished_is_not_taxed(world: OffersWorld) -> None:
    """Case 8's sale, whose tax is known before, has gained nothing until it is carried out."""

    def shown(trade: str) -> tuple[str, str, str]:
        told = world.data(world.ask("GET", f"/v2/trades/{trade}"))
        assert_error(world.ask("GET", f"/v1/trades/{trade}/tax-details"), 404, "trade.not.found")
        return told["status"], told["taxable_amount"], told["capital_gain"]

    made = world.offer(**SELL)["id"]
    assert shown(made) == ("created", "0.00", "0.00")
    world.steer("faults", rail="venue", mode="refuse", reason="not_covered")
    assert world.accept(made, "ext-1").status_code == 422
    assert shown(made) == ("failed", "0.00", "0.00")


def test_a_loss_is_not_taxed(world: OffersWorld) -> None:
    world.price("BTC", "EUR", "30000")
    sold = world.traded(**SELL)
    assert (sold["total_amount"], sold["tax_amount"]) == ("294.00", "0.00")
    details = world.data(world.ask("GET", f"/v1/trades/{sold['id']}/tax-details"))
    assert (details["taxable_amount"], details["capital_gain"]) == ("0.00", "-106.00")


def test_the_answers_of_the_routes_about_tax(world: OffersWorld) -> None:
    trade = world.traded()["id"]
    assert_error(world.ask("GET", "/v1/trades/x/tax-details"), 400, "validation.trade_id")
    assert_error(world.ask("GET", "/v1/tax-status"), 400, "validation.bp-user-id")
    assert_error(world.ask("GET", "/v1/tax-status", user="x"), 400, "validation.bp-user-id")
    assert_error(world.ask("GET", "/v1/tax-status", user="inactive"), 403, "user.inactive")
    assert_error(world.ask("GET", "/v1/tax-status", user=UNKNOWN), 404, "user.not.found")
    assert_error(world.ask("GET", "/v1/tax-status", user="U", partner=Q), 404, "user.not.found")
    unverified = world.ask("GET", "/v1/tax-status", user="unverified")
    assert_error(unverified, 422, "user.transaction.trading.disabled")
    assert unverified.json()["errors"][0]["title"] == "This user cannot trade: it is not verified."
    for status, answer in (
        ("inactive", (403, "user.inactive")),
        ("unverified", (422, "user.transaction.trading.disabled")),
    ):
        assert world.operator("PUT", f"/operator/users/{world.users['U']}", {"status": status}).status_code == 200
        assert_error(world.ask("GET", f"/v1/trades/{trade}/tax-details"), *answer)


def test_who_is_taxed(world: OffersWorld) -> None:
    taxed = {"type": "withholding", "eligible": True, "rate": "26.00", "country": "IT"}
    assert world.rows("/v1/tax-status", user="U") == [taxed]
    free = {"type": "withholding", "eligible": False, "rate": "0.00", "country": None}
    assert world.rows("/v1/tax-status", user="V") == [free]


def test_links_are_queries(world: OffersWorld) -> None:
    answer = world.ask("GET", "/v1/trades/search?external_transaction_id=a%26b%3Dc&page_size=5").json()
    assert parse_qs(answer["links"]["self"][1:]) == {
        "external_transaction_id": ["a&b=c"],
        "page": ["1"],
        "page_size": ["5"],
    }
