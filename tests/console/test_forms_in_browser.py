"""What a browser with scripts does about forms that a browser alone would not."""

import asyncio

import pytest
from playwright.async_api import Browser, Route, expect

from tests.support.consoles import context_of, signed_in
from tests.support.server import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: What somebody does who is not sure that the first click was one.
_CLICKS = """() => new Promise((done) => {
  const button = document.querySelector("button.danger");
  button.click();
  window.setTimeout(() => button.click(), 50);
  window.setTimeout(() => { button.click(); done(); }, 100);
})"""


async def test_a_form_that_is_under_way_is_not_sent_again(browser: Browser, world: World) -> None:
    person, order_id = signed_in(world, "approver"), world.confirmed_buy("100.00")
    context = await context_of(browser, person)
    page, sent, clicked_again = await context.new_page(), [], asyncio.Event()

    async def held(route: Route) -> None:
        sent.append(route.request.url)
        await clicked_again.wait()
        await route.continue_()

    await page.route("**/reject", held)
    await page.goto(f"/console/approvals/{order_id}")
    await page.get_by_text("Reject", exact=True).first.click()
    await page.get_by_label("The reason").fill("not today")
    await page.evaluate(_CLICKS)
    clicked_again.set()
    await expect(page.get_by_role("status")).to_contain_text("Rejected")
    await context.close()
    assert len(sent) == 1
