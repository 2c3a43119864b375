"""The panel of a sandbox over real HTTP and in a browser: what it steers happens, and live desks have none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from playwright.async_api import Browser, expect

from otcdesk.console.sandbox_panel.reads import RAILS
from otcdesk.console.sandbox_panel.routes import ROUTES
from tests.support.axe.checking import violations, watched
from tests.support.consoles import Html, Person, context_of, signed_in
from tests.support.server import DeskServer, World, run_cli

LIVE_WORLD = """
name = "live"

[[assets]]
code = "EUR"
scale = 2
"""

FORMS = [
    route.path.replace("{id}", "0199c0de-0000-7000-8000-000000000000") for route in ROUTES if route.method == "POST"
]


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, frozen=True)


@pytest.fixture(scope="module")
def tess(world: World) -> Person:
    return signed_in(world, "trader")


def clock(world: World) -> dict[str, Any]:
    told: dict[str, Any] = world.operator("GET", "/sandbox/clock").json()["data"]
    return told


def test_the_clock_stops_moves_and_runs(world: World, tess: Person) -> None:
    tess.done("/sandbox/clock", {"how": "set", "time": "2031-05-06T07:08"})
    assert (clock(world)["now"], clock(world)["frozen"]) == ("2031-05-06T07:08:00.000Z", True)
    tess.done("/sandbox/clock", {"how": "advance", "minutes": "90"})
    assert clock(world)["now"] == "2031-05-06T08:38:00.000Z"
    assert "2031-05-06 08:38:00" in tess.open("/sandbox").text
    tess.done("/sandbox/clock", {"how": "run"})
    assert clock(world)["frozen"] is False
    tess.done("/sandbox/clock", {"how": "freeze"})
    assert clock(world)["frozen"] is True
    tess.done("/sandbox/clock", {"how": "reset"})
    assert clock(world)["offsetMs"] == 0


def test_a_fault_makes_the_rail_refuse_until_it_works_again(world: World, tess: Person) -> None:
    tess.done("/sandbox/faults", {"rail": "chain", "mode": "refuse", "why": "a drill"})
    assert "Transfers on chains refuses" in tess.open("/sandbox").text.replace("■ ", "")
    order_id = world.confirmed_buy("10.00")
    assert world.approve(order_id).status_code == 502
    assert world.status(order_id) == "pending_approval"
    tess.done("/sandbox/faults", {"rail": "chain", "mode": "up"})
    assert world.approve(order_id).status_code == 200
    assert world.status(order_id) == "completed"


def test_every_part_of_the_outside_can_fail(tess: Person) -> None:
    for rail in RAILS:
        tess.done("/sandbox/faults", {"rail": rail, "mode": "unavailable", "delay_ms": "5", "percent": "40"})
    assert tess.open("/sandbox").text.count("cannot be reached 5 ms 40 %") == len(RAILS)
    tess.done("/sandbox/faults", {"rail": "venue", "mode": "refuse", "reason": "venue_refused", "price_bps": "-12"})
    assert "venue_refused \u22120.12 %" in tess.open("/sandbox").text
    for rail in RAILS:
        tess.done("/sandbox/faults", {"rail": rail, "mode": "up"})


def test_prices_are_published_and_feeds_go_off(world: World, tess: Person) -> None:
    pair = {"source_asset": "EUR", "destination_asset": "USDC"}
    tess.done("/sandbox/prices", {**pair, "rate": "1.07", "stale_after_ms": "60000"})
    assert "1 EUR" not in tess.open("/sandbox").text
    assert "1.07" in tess.open("/prices").text
    tess.done("/sandbox/feeds", {"up": "no"})
    assert world.post("/quote", world.buy_body()).status_code == 502
    tess.done("/sandbox/feeds", {"up": "yes"})
    assert world.post("/quote", world.buy_body("10.00")).status_code == 200
    tess.done("/sandbox/prices", {**pair, "rate": "1.0842", "stale_after_ms": ""})


def test_debits_wait_and_workers_work(world: World, tess: Person) -> None:
    tess.done("/sandbox/debits", {"mode": "manual", "delay_ms": ""})
    assert "waits for somebody to say so" in tess.open("/sandbox").text
    order_id = world.confirmed_buy("10.00")
    assert world.status(order_id) == "debit_pending"
    tess.done("/sandbox/debits", {"mode": "automatic", "delay_ms": "0"})
    tess.done("/sandbox/work", {})
    world.settle_debit(order_id)
    world.reject(order_id)


@pytest.mark.parametrize(
    "path, fields",
    [
        ("clock", {"how": "nothing"}),
        ("clock", {"how": "set", "time": "tomorrow"}),
        ("clock", {"how": "set", "time": "9999-12-31T23:59"}),
        ("clock", {"how": "set", "time": ""}),
        ("clock", {"how": "advance", "minutes": "-1"}),
        ("clock", {"how": "advance", "minutes": "999999999"}),
        ("faults", {"rail": "moon", "mode": "up"}),
        ("faults", {"rail": "chain", "mode": "explode"}),
        ("faults", {"rail": "chain", "mode": "pending"}),
        ("faults", {"rail": "tax", "mode": "refuse"}),
        ("faults", {"rail": "chain", "mode": "refuse", "reason": "words"}),
        ("faults", {"rail": "chain", "mode": "up", "delay_ms": "600001"}),
        ("faults", {"rail": "chain", "mode": "up", "percent": "101"}),
        ("faults", {"rail": "venue", "mode": "up", "price_bps": "-10000"}),
        ("faults", {"rail": "venue", "mode": "up", "price_bps": "\u0664"}),
        ("prices", {"source_asset": "EUR", "destination_asset": "USDC", "rate": ""}),
        ("prices", {"source_asset": "E" * 21, "destination_asset": "USDC", "rate": "1"}),
        ("debits", {"mode": "never"}),
        ("payouts/0199c0de-0000-7000-8000-000000000000", {"outcome": "lost"}),
    ],
)
def test_what_cannot_be_read_is_refused_and_shown(tess: Person, path: str, fields: dict[str, str]) -> None:
    answer = tess.post(f"/sandbox/{path}", fields)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "Sandbox" in Html(answer.text).text


def test_what_is_not_there_is_not_found(tess: Person) -> None:
    pair = {"source_asset": "EUR", "destination_asset": "XYZ", "rate": "1"}
    assert tess.post("/sandbox/prices", pair).status_code == 404
    nobody = "/sandbox/payouts/0199c0de-0000-7000-8000-000000000000"
    assert tess.post(nobody, {"outcome": "settled"}).status_code == 404
    assert tess.post("/sandbox/payouts/none", {"outcome": "settled"}).status_code == 404


def test_who_may_not_steer_may_look(world: World) -> None:
    ben = signed_in(world, "approver")
    page = ben.open("/sandbox")
    assert "You may look" in page.text
    assert [action for action in page.actions if "/sandbox" in action] == []
    for path in FORMS:
        assert ben.post(path, {}).status_code == 403


def test_money_arrives_for_whom_it_is_sent(world: World) -> None:
    fay = signed_in(world, "finance")
    fields = {"tenant": "Customer A", "customer": "", "asset": "USDC", "network": "Ethereum", "amount": "12.5"}
    fay.done("/sandbox/chain-deposits", fields)
    (found,) = world.operator("GET", "/operator/tenant-deposits").json()["data"]
    assert (found["asset"], found["amount"], found["status"]) == ("USDC", "12.500000", "settled")
    for wrong, status in (
        ({"tenant": "Nobody"}, 404),
        ({"asset": "EUR"}, 409),
        ({"network": "Moon"}, 409),
        ({"amount": "1.0000001"}, 400),
        ({"amount": "9" * 40}, 400),
        ({"tenant": ""}, 400),
    ):
        assert fay.post("/sandbox/chain-deposits", {**fields, **wrong}).status_code == status, wrong


def test_a_live_desk_has_no_panel(server: DeskServer, tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text(LIVE_WORLD, encoding="utf-8")
    run_cli(server, "world", "load", str(file), "--lane", "panel-live")
    live = cast("World", SimpleNamespace(server=server, id="panel-live"))
    everything = signed_in(live, "trader", "admin", "finance")
    assert everything.get("/sandbox").status_code == 404
    for path in FORMS:
        assert everything.post(path, {"rail": "chain", "mode": "refuse"}).status_code == 404, path
    page = everything.open("/system")
    assert "/console/sandbox" not in page.links


@pytest.mark.asyncio(loop_scope="session")
async def test_the_panel_in_a_browser(browser: Browser, world: World, tess: Person) -> None:
    context = await context_of(browser, tess)
    async with watched(context, tess.server.url):
        page = await context.new_page()
        await page.goto("/console/sandbox")
        await page.get_by_text("Make a part of it fail").click()
        await page.get_by_label("Part", exact=True).select_option("chain")
        await page.get_by_label("It", exact=True).select_option("refuse")
        await page.get_by_role("button", name="Let it fail").click()
        row = page.get_by_role("row", name="Transfers on chains")
        await expect(row).to_contain_text("refuses")
        assert await violations(page) == []
        await row.get_by_role("button", name="Let it work").click()
        await expect(row).to_contain_text("works")
        world.steer("clock", set="2032-01-02T03:04:05Z", frozen=True)
        await expect(page.locator("#panel-clock")).to_contain_text("2032-01-02 03:04:05", timeout=10_000)
        await context.close()
    world.steer("clock", reset=True)
