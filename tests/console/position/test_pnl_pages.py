"""Profit and loss over real HTTP and in a browser: its numbers add up and lead to the trades that make them."""

import csv
import io
import re
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, expect

from tests.support.axe.checking import watched
from tests.support.consoles import Html, Person, context_of, guarded, signed_in
from tests.support.server import DeskServer, World


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server, frozen=True)


@pytest.fixture(scope="module")
def orders(world: World) -> list[str]:
    """Three buys that are paid out, one of them at another rate than the quoted."""
    made = [world.confirmed_buy(amount) for amount in ("100.00", "250.00", "40.00")]
    for order_id, rate in zip(made, (None, "1.0800", None), strict=True):
        world.approve(order_id, rate)
    return made


@pytest.fixture(scope="module")
def person(world: World, orders: list[str]) -> Person:
    assert orders
    return signed_in(world, "finance", name="Fin")


def exported(person: Person, path: str) -> list[dict[str, str]]:
    answer = person.get(path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.csv"', answer.headers["content-disposition"])
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_a_day_s_numbers_lead_to_the_trades_that_make_them(person: Person, orders: list[str]) -> None:
    page = person.open("/pnl")
    days = [link for link in page.links if link.startswith("/console/pnl/trades?")]
    assert {"day", "asset"} <= parse_qs(urlsplit(days[0]).query).keys()
    every = person.open(days[0])
    assert {row["id"] for row in every.rows} == {f"row-{order}" for order in orders}
    [slipped] = {link for link in days if "component=slippage" in link}
    rows = person.open(slipped).rows
    assert [row["id"] for row in rows] == [f"row-{orders[1]}"]
    assert rows[0]["data-href"] == f"/console/orders/{orders[1]}"
    booked = [link for link in person.open(slipped).links if link.startswith("/console/transactions/")]
    assert booked
    for link in booked:
        assert f"/console/orders/{orders[1]}" in person.open(link).links


def test_the_file_has_every_trade_and_its_parts_add_up(person: Person, orders: list[str]) -> None:
    rows = exported(person, "/pnl/trades.csv")
    assert {row["order"] for row in rows} == set(orders)
    for row in rows:
        parts = [Decimal(row[f"{name} (of result asset)"]) for name in ("spread", "slippage", "fees", "other", "total")]
        assert sum(parts[:-1]) == parts[-1]


def test_ranges_are_links_and_hold_what_they_say(person: Person) -> None:
    page = person.open("/pnl")
    ranges = [link for link in page.links if link.startswith("/console/pnl?") and "asset=" not in link]
    assert len(ranges) >= 4
    for link in ranges:
        assert "3 trades" in person.open(link).text
    assert "Nothing was traded" in person.open("/pnl?from=2001-01-01&to=2001-02-01").text


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "yesterday"},
        {"from": "0001-01-01"},
        {"to": "9999-12-31"},
        {"from": "2026-02-02", "to": "2026-02-01"},
        {"component": "luck"},
        {"day": "2026-13-01"},
    ],
)
def test_what_is_wrong_is_told(person: Person, asked: dict[str, str]) -> None:
    answer = person.get("/pnl/trades", params=asked)
    assert answer.status_code == 400
    assert Html(answer.text).text


def test_what_is_no_chart_is_not_found_and_what_is_one_ends_with_the_sum(person: Person) -> None:
    assert person.get("/pnl/series.json", params={"of": "days", "asset": "XXX"}).status_code == 404
    assert person.get("/pnl/series.json").status_code == 404
    days, so_far = (
        person.get("/pnl/series.json", params={"of": name, "asset": "USDC"}).json() for name in ("days", "sum")
    )
    assert len(days["x"]) == 30
    assert sum(map(Decimal, map(str, days["series"][0]["values"]))) == Decimal(str(so_far["series"][0]["values"][-1]))


def test_pages_of_trades_go_on_after_their_last(person: Person, orders: list[str]) -> None:
    latest = person.open("/pnl/trades").rows[0]["id"]
    assert latest is not None
    after = person.open(f"/pnl/trades?after={latest.removeprefix('row-')}")
    assert {row["id"] for row in after.rows} == {f"row-{order}" for order in orders} - {latest}
    assert person.get("/pnl/trades?after=00000000-0000-7000-8000-000000000001").status_code == 200


def test_another_desk_s_trades_are_not_seen(orders: list[str], server: DeskServer) -> None:
    stranger = signed_in(World(server), "finance")
    assert "Nothing was traded" in stranger.open("/pnl").text
    assert exported(stranger, "/pnl/trades.csv") == []
    assert stranger.open(f"/pnl/trades?after={orders[0]}").rows == []


@pytest.mark.asyncio(loop_scope="session")
async def test_charts_draw_and_a_number_is_followed_to_its_order(browser: Browser, person: Person) -> None:
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto("/console/pnl")
        await expect(page.locator("figure.chart:not(.empty) canvas")).to_have_count(2, timeout=20_000)
        await page.locator("#scroll-days tbody a").last.click()
        await page.locator("tr[data-href] a").first.click()
        await expect(page).to_have_url(re.compile(r"/console/orders/[0-9a-f-]{36}"))
        await context.close()
