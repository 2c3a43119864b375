"""A tenant's page in a real browser: what it uses of its limits moves as its orders become binding."""

from uuid import uuid4

import pytest
from playwright.async_api import Browser, expect

from otcdesk.domain.world import account_id
from tests.support.consoles import Person, context_of
from tests.support.server import CSRF, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_limit_s_meter_moves_by_itself(world: World, ann: Person, browser: Browser) -> None:
    path = f"/tenants/{world.told['tenants']['acme']}"
    ann.done(f"{path}/limits", {"asset": "EUR", "order": "", "day": "1000", "month": "", "why": "new tenant"})
    context = await context_of(browser, ann)
    page = await context.new_page()
    await page.goto(f"/console{path}")
    await expect(page.locator("[data-live]")).to_be_visible()
    await expect(page.locator("#limits-now")).to_contain_text("0.00 of 1,000.00 (0 %)")
    buy(world, "250.00")
    await expect(page.locator("#limits-now")).to_contain_text("250.00 of 1,000.00 (25 %)", timeout=20_000)
    await expect(page.locator("#limits-now progress").first).to_have_attribute("value", "25")
    await expect(page.locator("#orders-now tbody tr").first).to_contain_text("250.00 EUR")
    await context.close()


def buy(world: World, amount: str) -> None:
    sent = {"x-api-key": world.keys["acme"], "X-CSRF-Token": CSRF, "Idempotency-Key": str(uuid4())}
    body = {
        "sourceFrAccountId": str(account_id("acme", "main")),
        "destinationUtilaWalletId": str(account_id("acme", "ops")),
        "sourceAmountEur": amount,
    }
    quote = world.server.http.post("/exchanges/otc-exchanges/quote", json=body, headers=sent)
    quote_id = quote.json()["data"]["quoteId"]
    done = world.server.http.post("/exchanges/otc-exchanges", json={"quoteId": quote_id}, headers=sent)
    assert done.status_code == 201, done.text
