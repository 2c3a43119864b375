"""What a browser with scripts does about forms that a browser alone would not."""

import pytest
from playwright.async_api import Browser, Request, expect

from tests.support.consoles import context_of, signed_in
from tests.support.server import World


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_form_that_is_clicked_twice_is_sent_once(browser: Browser, world: World) -> None:
    person, order_id = signed_in(world, "approver"), world.confirmed_buy("100.00")
    context = await context_of(browser, person)
    page, sent = await context.new_page(), []

    def note(request: Request) -> None:
        if request.method == "POST":
            sent.append(request.url)

    page.on("request", note)
    await page.goto(f"/console/approvals/{order_id}")
    await page.get_by_text("Reject", exact=True).click()
    await page.get_by_label("The reason").fill("not today")
    await page.get_by_role("button", name="Reject").dblclick()
    await expect(page.get_by_role("status")).to_contain_text("Rejected")
    await context.close()
    assert len(sent) == 1
