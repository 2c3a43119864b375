"""Prices over real HTTP: a rate of one's own for a while, slips of the finger, feeds switched, and who may do it."""

import pytest
from playwright.async_api import Browser, expect

from otcdesk.errors import Code
from tests.support.axe.checking import violations, watched
from tests.support.consoles import Html, Person, context_of, guarded, signed_in
from tests.support.server import DeskServer, World

PAIR = {"source_asset": "EUR", "destination_asset": "USDC"}


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, frozen=True)


@pytest.fixture(scope="module")
def tess(world: World) -> Person:
    return signed_in(world, "trader", email=f"tess@{world.id}.example")


def in_force(world: World) -> tuple[str | None, bool]:
    """Return the rate in force, and whether the feed is up."""
    (found,) = [one for one in world.operator("GET", "/operator/prices").json()["data"] if one["sourceAsset"] == "EUR"]
    return found["inForce"] and found["inForce"]["rate"], found["feedUp"]


def test_a_rate_is_set_for_a_while_and_ended(world: World, tess: Person) -> None:
    tess.done("/prices/set", {**PAIR, "rate": "1.0900", "minutes": "15", "why": "thin market"})
    assert in_force(world)[0] == "1.09"
    page = tess.open("/prices")
    for said in ("set by hand", f"by tess@{world.id}.example", "+0.54 %"):
        assert said in page.text
    tess.done("/prices/end", PAIR)
    assert in_force(world)[0] == "1.0842"
    tess.done("/prices/set", {**PAIR, "rate": "1.09", "minutes": "15", "why": "again"})
    world.advance(seconds=15 * 60)
    assert in_force(world)[0] == "1.0842"
    assert tess.post("/prices/end", PAIR).status_code == 400


def test_a_slip_of_the_finger_is_asked_about(world: World, tess: Person) -> None:
    slip = {**PAIR, "rate": "10.842", "minutes": "5", "why": "slip"}
    answer = tess.post("/prices/set", slip)
    assert answer.status_code == 400
    page = Html(answer.text)
    assert "+900.00 % away from the market" in page.text
    assert page.inputs["rate"]["value"] == "10.842"
    assert in_force(world)[0] == "1.0842"
    tess.done("/prices/set", {**slip, "sure": "yes"})
    assert in_force(world)[0] == "10.842"
    tess.done("/prices/end", PAIR)


def test_where_rates_are_guarded_nobody_can_insist(server: DeskServer) -> None:
    world = guarded(server, frozen=True)
    answer = signed_in(world, "trader").post("/prices/set", {**PAIR, "rate": "10.842", "minutes": "5", "sure": "yes"})
    assert answer.status_code == 409
    assert Code.RATE_DEVIATES.sentence in Html(answer.text).text
    assert in_force(world)[0] == "1.0842"


def test_a_feed_is_switched_off_and_on(world: World, tess: Person) -> None:
    tess.done("/prices/feed", {**PAIR, "up": "no"})
    assert in_force(world) == (None, False)
    assert "feed switched off" in tess.open("/prices").text
    tess.done("/prices/feed", {**PAIR, "up": "yes"})
    assert in_force(world) == ("1.0842", True)


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"rate": "-1"}, 400),
        ({"rate": "0"}, 400),
        ({"rate": "1e3"}, 400),
        ({"rate": "1.0000001"}, 400),
        ({"rate": "9" * 500}, 400),
        ({"rate": "<script>"}, 400),
        ({"rate": ""}, 400),
        ({"minutes": ""}, 400),
        ({"minutes": "0"}, 400),
        ({"minutes": "10081"}, 400),
        ({"minutes": "NaN"}, 400),
        ({"source_asset": ""}, 400),
        ({"source_asset": "E" * 21}, 400),
        ({"source_asset": "\x01"}, 400),
        ({"source_asset": "USDT"}, 404),
        ({"source_asset": "<b>"}, 404),
        ({"why": "x" * 501}, 400),
    ],
)
def test_what_cannot_be_read_is_refused_and_shown(
    world: World, tess: Person, changes: dict[str, str], status: int
) -> None:
    answer = tess.post("/prices/set", {**PAIR, "rate": "1.09", "minutes": "15", "why": "", **changes})
    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert "<script>" not in answer.text.replace('<script src="', "")
    assert in_force(world)[0] == "1.0842"


def test_only_who_sets_prices_sets_them(world: World) -> None:
    ben = signed_in(world, "approver")
    page = ben.open("/prices")
    assert "1.0842" in page.text
    assert [action for action in page.actions if "/prices" in action] == []
    for form in ("set", "end", "feed"):
        assert ben.post(f"/prices/{form}", PAIR).status_code == 403
    assert Person(world.server).get("/prices").status_code == 303


def test_each_desk_has_its_own(world: World, tess: Person, server: DeskServer) -> None:
    other = World(server, frozen=True)
    tess.done("/prices/set", {**PAIR, "rate": "1.1", "minutes": "5", "why": ""})
    assert in_force(other)[0] == "1.0842"
    tess.done("/prices/end", PAIR)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_follows_the_market(browser: Browser, world: World, tess: Person) -> None:
    context = await context_of(browser, tess)
    async with watched(context, tess.server.url):
        page = await context.new_page()
        await page.goto("/console/prices")
        row = page.locator("#prices tr", has_text="EUR → USDC").first
        await expect(row).to_contain_text("1.0842")
        await expect(page.locator("[data-live]")).to_be_visible()
        world.price("EUR", "USDC", "1.0850")
        await expect(row).to_contain_text("1.085")
        await row.get_by_role("link", name="Set").click()
        await page.get_by_label("Rate", exact=True).fill("1.08")
        await page.get_by_label("Why").fill("by hand")
        await page.get_by_role("button", name="Set it").click()
        await expect(row).to_contain_text("set by hand")
        await row.get_by_role("button", name="End").click()
        await expect(row).to_contain_text("the feed")
        assert await violations(page) == []
        await context.close()
    world.price("EUR", "USDC", "1.0842")
