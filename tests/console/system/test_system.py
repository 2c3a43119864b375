"""The page of the system over real HTTP and in a browser: what it shows, of whom, and that its charts move."""

import re

import pytest
from playwright.async_api import Browser, Page, expect

from otcdesk.console.system.charts import TITLES
from tests.support.axe.checking import violations, watched
from tests.support.consoles import Html, Person, context_of, signed_in
from tests.support.server import DeskServer, World, wait_until


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server, frozen=True)


@pytest.fixture(scope="module")
def person(world: World) -> Person:
    return signed_in(world, "compliance")


def test_whoever_reads_sees_how_the_desk_is(world: World, person: Person) -> None:
    world.approve(world.confirmed_buy("10.00"))
    text = person.open("/system").text
    for said in ("Process 1 leads", "settlement", "otcdesk engine", "EUR → USDC", "Durable commits", "All chains are"):
        assert said in text
    assert re.search(r"chain [1-9]\d* \d+ ", text), "the rail was called, by whichever test of this server"
    assert re.search(r"exchanges \d+", text)
    assert Person(world.server).get("/system").status_code == 303


def test_what_waits_is_shown_to_its_own_desk(world: World, person: Person, server: DeskServer) -> None:
    other = World(server, frozen=True)
    other.fault("chain", "unknown")
    other.approve(other.confirmed_buy("10.00"))
    stuck = signed_in(other, "trader")
    wait_until(lambda: "chain orders 1" in stuck.open("/system").text, "the order waits for the chain")
    wait_until(lambda: re.search(r"chain \d+ ■?\s*[1-9]", stuck.open("/system").text) is not None, "calls fail")
    assert "Nothing of this desk waits for a rail." in person.open("/system").text
    other.fault("chain", "up")
    wait_until(lambda: "Nothing of this desk waits" in stuck.open("/system").text, "it has arrived")


@pytest.mark.parametrize("chart", TITLES)
def test_every_chart_has_its_data(person: Person, chart: str) -> None:
    answer = person.get("/system/series.json", params={"chart": chart, "dialect": "console"})
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["series"]
    assert all(len(one["values"]) == len(told["x"]) for one in told["series"])


def test_what_is_no_chart_is_not_found(person: Person) -> None:
    assert person.get("/system/series.json", params={"chart": "nothing"}).status_code == 404
    assert person.get("/system/series.json").status_code == 404
    hostile = '"><script>alert(1)</script>'
    answer = person.get("/system", params={"dialect": hostile})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "every dialect" in Html(answer.text).text


@pytest.mark.asyncio(loop_scope="session")
async def test_charts_draw_and_tables_follow(browser: Browser, world: World, person: Person) -> None:
    context = await context_of(browser, person)
    async with watched(context, person.server.url) as window:
        page = await context.new_page()
        await page.goto("/console/system")
        charts = page.locator("figure.chart:not(.empty) canvas")
        await expect(charts).to_have_count(len(TITLES), timeout=20_000)
        drawn, steps = await pixels(page, "commands"), page.locator("#scroll-workers tr", has_text="settlement")
        before = await steps.inner_text()
        for _ in range(3):
            world.buy("10.00")
        await expect(steps).not_to_have_text(before, timeout=20_000)
        await page.wait_for_function(
            "before => document.querySelector('#chart-commands canvas').toDataURL() !== before",
            arg=drawn,
            timeout=20_000,
        )
        assert await violations(page) == []
        assert window.complaints() == []
        await context.close()


async def pixels(page: Page, name: str) -> str:
    """Return what a chart looks like."""
    drawn: str = await page.evaluate("name => document.querySelector(`#chart-${name} canvas`).toDataURL()", name)
    return drawn


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_is_whole_without_scripts(browser: Browser, person: Person) -> None:
    context = await context_of(browser, person, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/console/system?dialect=console")
    await page.locator("#chart-commands summary").click()
    await expect(page.get_by_role("group", name=f"{TITLES['commands']}, as a table")).to_be_visible()
    assert await page.get_by_label("Times of").input_value() == "console"
    await context.close()
