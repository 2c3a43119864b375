"""Approvals and bookings in a real browser: two people, a live second window, the keyboard alone, and no scripts."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.consoles import Person, code_of, context_of, guarded, make_operator, signed_in
from tests.support.server import DeskServer, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

_QUEUE = "/console/approvals"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return guarded(server)


@pytest.fixture(scope="module")
def ada(world: World) -> Person:
    return signed_in(world, "approver", "finance", name="Ada")


@pytest.fixture(scope="module")
def ben(world: World) -> Person:
    return signed_in(world, "approver", "finance", name="Ben")


@asynccontextmanager
async def window(browser: Browser, person: Person, **how: Any) -> AsyncIterator[Page]:
    """Open a window of somebody's, on a page that must not complain."""
    context = await context_of(browser, person, **how)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    await context.close()
    assert [text for text in said if "the server responded with a status of 4" not in text] == []


def state_of(world: World, order_id: str) -> Any:
    return world.detail(order_id)["status"]


async def test_two_people_in_two_windows(browser: Browser, world: World, ada: Person, ben: Person) -> None:
    order_id = world.confirmed_buy("2500.00")
    async with window(browser, ada) as first, window(browser, ben) as second:
        await second.goto(_QUEUE)
        await first.goto(f"{_QUEUE}/{order_id}")
        await first.get_by_label("Rate", exact=True).fill("1.0838")
        await first.get_by_label("Type the amount").fill("2,500.00")
        await first.get_by_role("button", name="Approve").click()
        await expect(first.get_by_role("status")).to_contain_text("second person")
        await expect(first.get_by_text("You have proposed it yourself")).to_be_visible()
        await expect(first.get_by_role("button", name="Approve as the second person")).to_have_count(0)
        proposed = second.get_by_role("region", name="What waits for a second person")
        await proposed.get_by_role("link", name=re.compile("^Look")).first.click()  # it came without a reload
        for seen in ("2,500.00 EUR", "2,709.50 USDC", "1.0838"):
            await expect(second.locator("dl").first).to_contain_text(seen)
        await second.get_by_role("button", name="Approve as the second person").click()
        await expect(second.get_by_role("status")).to_contain_text("Approved")
        assert state_of(world, order_id) == "completed"


async def test_an_order_comes_into_a_window_that_is_open(browser: Browser, world: World, ada: Person) -> None:
    async with window(browser, ada) as page:
        await page.goto(_QUEUE)
        await expect(page.locator("[data-live]")).to_be_visible()
        order_id = world.confirmed_buy("333.00")
        row = page.locator(f"#row-{order_id}")
        await expect(row).to_contain_text("333.00 EUR")
        await expect(page.locator(".count")).to_be_visible()
        world.reject(order_id)
        await expect(row).to_have_count(0)


async def test_what_is_typed_outlives_the_market(browser: Browser, world: World, ada: Person) -> None:
    order_id = world.confirmed_buy("500.00")
    async with window(browser, ada) as page:
        await page.goto(f"{_QUEUE}/{order_id}")
        await page.get_by_label("Note").first.fill("half a sentence")
        world.price("EUR", "USDC", "1.0900")
        await expect(page.locator("#market")).to_contain_text("1.09")
        await expect(page.get_by_label("Note").first).to_have_value("half a sentence")
        await page.get_by_role("button", name="Approve").click()  # at the rate that is shown by now
        await expect(page.get_by_role("status")).to_contain_text("Approved")
    assert world.detail(order_id)["rate"] == "1.09"
    world.price("EUR", "USDC", "1.0842")


async def test_the_keyboard_is_enough(browser: Browser, world: World) -> None:
    made = make_operator(world, "approver", name="Kay")
    order_id = world.confirmed_buy("250.00")
    context = await browser.new_context(base_url=world.server.url)
    page = await context.new_page()
    await page.goto("/console/sign-in?next=%2Fconsole%2Faccount")
    for text in (made.email, made.password, code_of(made)):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Kay")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Approvals")
    for _ in range(await page.locator("tbody tr[data-href]").count()):
        await page.keyboard.press("j")
        if await page.locator("tr.here").get_attribute("id") == f"row-{order_id}":
            break
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(order_id))
    await page.get_by_label("Rate", exact=True).focus()
    await page.keyboard.type("1.08")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_contain_text("Approved")
    await context.close()
    assert state_of(world, order_id) == "completed"


async def test_money_moves_without_scripts(browser: Browser, world: World, ada: Person, ben: Person) -> None:
    small, large, turned, sold = (
        world.confirmed_buy("200.00"),
        world.confirmed_buy("2500.00"),
        world.confirmed_buy("2600.00"),
        world.confirmed_sell("100"),
    )
    async with (
        window(browser, ada, java_script_enabled=False) as first,
        window(browser, ben, java_script_enabled=False) as second,
    ):
        await first.goto(f"{_QUEUE}/{small}")
        await first.get_by_role("button", name="Approve").click()
        await expect(first.get_by_role("status")).to_contain_text("Approved")

        for order_id, button in ((large, "Approve as the second person"), (turned, "Turn it down")):
            await first.goto(f"{_QUEUE}/{order_id}")
            await first.get_by_label("Type the amount").fill("2500" if order_id == large else "2600")
            await first.get_by_role("button", name="Approve").click()
            await second.goto(first.url.partition("?")[0])
            if order_id == turned:
                await second.get_by_text("Turn it down").first.click()
                await second.get_by_label("The reason").fill("not at this rate")
            await second.get_by_role("button", name=button).click()
            await expect(second.get_by_role("status")).to_be_visible()

        for order_id, what, fields in (
            (turned, "Reject", {"The reason": "not today"}),
            (sold, "Requote", {"New rate": "0.92"}),
        ):
            await first.goto(f"{_QUEUE}/{order_id}")
            await first.get_by_text(what, exact=True).first.click()
            for label, text in fields.items():
                await first.get_by_label(label).fill(text)
            await first.get_by_role("button", name=re.compile(f"^{what}")).click()
            await expect(first.get_by_role("status")).to_be_visible()

        before = Decimal(world.accounts()[world.ids["FA1"]]["balance"])
        for kind, amount in (("Deposit", "150.00"), ("Withdrawal", "20.00"), ("Adjustment", "-5.00")):
            await first.goto(f"/console/bookings?account={world.ids['FA1']}")
            options = first.get_by_label("What", exact=True)
            await options.select_option(label=await options.locator("option", has_text=kind).inner_text())
            await first.get_by_label("Amount in EUR").fill(amount)
            await first.get_by_label("The reason").fill("by hand")
            await first.get_by_label("Reference", exact=True).fill(f"slip {kind}")
            await first.get_by_role("button", name="Book").click()
            await expect(first.get_by_role("status")).to_contain_text("Booked")
    assert [state_of(world, one) for one in (small, large, turned)] == ["completed", "completed", "rejected"]
    assert state_of(world, sold) == "requoted"
    assert Decimal(world.accounts()[world.ids["FA1"]]["balance"]) - before == 125
