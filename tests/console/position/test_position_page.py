"""The page of the position over real HTTP and in a browser: where its numbers lead, and that it moves."""

import pytest
from playwright.async_api import Browser, expect

from tests.support.axe.checking import watched
from tests.support.consoles import Person, context_of, guarded, signed_in
from tests.support.server import DeskServer, World


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server, frozen=True)


@pytest.fixture(scope="module")
def person(world: World) -> Person:
    return signed_in(world, "trader", name="Tess")


def test_every_number_leads_to_what_makes_it(world: World, person: Person) -> None:
    world.approve(world.confirmed_buy("100.00"))
    world.confirmed_buy("250.00")
    page = person.open("/position")
    assert "past the limit of exposure" in page.text
    assert "of exposure" in page.text
    wanted = [link for link in page.links if link.startswith("/console/accounts") or "state=pending_approval" in link]
    assert any("side=own" in link for link in wanted)
    assert any("side=owed" in link for link in wanted)
    assert any("state=pending_approval" in link for link in wanted)
    for link in dict.fromkeys(wanted):
        opened = person.open(link)
        assert opened.rows or "Statement" in opened.text, link


def test_accounts_by_the_side_of_the_position_are_those_that_the_position_adds_up(person: Person) -> None:
    by_side = {
        side: {row["id"] for row in person.open(f"/accounts?asset=EUR&side={side}").rows}
        for side in ("own", "owed", "counterpart")
    }
    assert sum(map(len, by_side.values())) == len(set().union(*by_side.values()))
    assert set().union(*by_side.values()) == {row["id"] for row in person.open("/accounts?asset=EUR").rows}
    assert all(by_side.values())


def test_a_chart_has_its_data_and_what_is_none_is_not_found(person: Person) -> None:
    for name in ("position", "turnover"):
        told = person.get("/position/series.json", params={"asset": "EUR", "of": name, "days": "7"}).json()
        assert len(told["x"]) == len(told["series"][0]["values"]) == 7
        assert told["unit"] == "EUR"
        assert told["series"][0]["values"][-1] > 0
    for wrong in (
        {"asset": "EUR", "of": "x"},
        {"asset": "XXX", "of": "position"},
        {},
        {"asset": "\0", "of": "position"},
    ):
        assert person.get("/position/series.json", params=wrong).status_code == 404
    assert "<b>x" not in person.get("/position", params={"asset": "<b>x", "days": "<b>x"}).text


def test_another_desk_s_position_is_not_seen(person: Person, server: DeskServer) -> None:
    other = World(server)
    other.confirmed_buy("777.00")
    seen = signed_in(other, "trader").open("/position").text
    assert "no limit" in seen
    assert seen != person.open("/position").text
    assert Person(server).get("/position").status_code == 303


@pytest.mark.asyncio(loop_scope="session")
async def test_it_moves_with_the_books_and_its_charts_draw(browser: Browser, world: World, person: Person) -> None:
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto("/console/position")
        await expect(page.locator("figure.chart:not(.empty) canvas")).to_have_count(2, timeout=20_000)
        await expect(page.locator("[data-live]")).to_be_visible(timeout=20_000)
        row = page.locator("#row-USDC")
        before = await row.get_attribute("data-version")
        world.confirmed_buy("130.00")
        await expect(row).not_to_have_attribute("data-version", before or "", timeout=20_000)
        await context.close()
