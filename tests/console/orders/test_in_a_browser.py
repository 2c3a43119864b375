"""The pages of orders in a real browser: what happens is seen as it happens, and hands stay on the keys."""

import re

import pytest
from playwright.async_api import Browser, expect

from tests.support.axe.checking import watched
from tests.support.consoles import code_of, context_of, make_operator, signed_in
from tests.support.server import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_order_appears_and_is_marked(browser: Browser, world: World) -> None:
    world.confirmed_buy("20.00")
    person = signed_in(world, "trader")
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto("/console/orders?open=1")
        await expect(page.locator("[data-live]")).to_be_visible()
        await expect(page.locator("tbody tr[data-href]")).to_have_count(1)
        await page.keyboard.press("j")
        order = world.confirmed_buy("31.00")
        row = page.locator(f"[id='row-{order}']")
        await expect(row).to_have_class(re.compile("new"))
        await expect(row).to_contain_text("31.00 EUR")
        await expect(page.locator("tr.here")).to_contain_text("20.00 EUR")
        world.reject(order)
        await expect(row).to_have_count(0)
        await context.close()


async def test_filters_are_in_the_address_and_stay(browser: Browser, world: World) -> None:
    buy, sell = world.confirmed_buy("20.00"), world.confirmed_sell("15")
    person = signed_in(world, "trader")
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto("/console/orders")
        await page.get_by_label("Side").select_option("sell")
        await expect(page).to_have_url(re.compile("side=sell"))
        await expect(page.locator(f"[id='row-{sell}']")).to_be_visible()
        await page.reload()
        await expect(page.get_by_label("Side")).to_have_value("sell")
        await expect(page.locator(f"[id='row-{buy}']")).to_have_count(0)
        await page.get_by_role("link", name="Waiting for us").click()
        await expect(page.locator(f"[id='row-{buy}']")).to_be_visible()
        await context.close()


async def test_an_open_order_follows_and_leaves_what_is_typed(browser: Browser, world: World) -> None:
    order = world.confirmed_buy("20.00")
    person = signed_in(world, "trader")
    context = await context_of(browser, person)
    async with watched(context, person.server.url):
        page = await context.new_page()
        await page.goto(f"/console/orders/{order}")
        await expect(page.locator("[data-live]")).to_be_visible()
        await page.get_by_text("Reject", exact=True).click()
        await page.get_by_label("The reason").fill("half a rea")
        world.approve(order)
        await expect(page.locator("#order .state")).to_have_text("completed")
        await expect(page.locator("#record")).to_contain_text("Booked: conversion payout")
        await expect(page.get_by_label("The reason")).to_have_value("half a rea")
        await context.close()


async def test_from_signing_in_to_an_approval_without_a_mouse(browser: Browser, world: World) -> None:
    order = world.confirmed_buy("20.00")
    made = make_operator(world, "approver")
    context = await browser.new_context(base_url=world.server.url)
    page = await context.new_page()
    await page.goto("/console/orders")
    for label, text in (("E-mail", made.email), ("Password", made.password), ("Code", code_of(made))):
        while not await page.get_by_label(label, exact=True).evaluate("one => one === document.activeElement"):
            await page.keyboard.press("Tab")
        await page.keyboard.type(text)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("/console/orders$"))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/console/orders/{order}"))
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await expect(page).to_have_url(re.compile("/console/approvals$"))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/console/approvals/{order}"))
    await context.close()


async def test_without_scripts_an_order_is_rejected(browser: Browser, world: World) -> None:
    order = world.confirmed_buy("20.00")
    person = signed_in(world, "trader")
    context = await context_of(browser, person, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/console/orders")
    await page.locator("tbody a").first.click()
    await page.get_by_text("Reject", exact=True).click()
    await page.get_by_label("The reason").fill("by hand")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("status")).to_have_text("Rejected.")
    assert world.detail(order)["status"] == "rejected"
    await context.close()
