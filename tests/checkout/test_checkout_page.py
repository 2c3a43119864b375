"""The page of a checkout in a real browser: on a phone, in the dark, without scripts, by keyboard, and all the way."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.checkout.conftest import Shop
from tests.support.hosted import CHANNEL, Hosted, opened
from tests.support.ramp import IBAN, START, RampWorld

pytestmark = pytest.mark.asyncio(loop_scope="session")

_PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

#: A way through an interface that is read aloud: contrast of text (WCAG 2.2, AA), and targets that a thumb can hit.
_CONTRAST = 4.5
_TARGET_PIXELS = 44


@asynccontextmanager
async def page_of(browser: Browser, **how: Any) -> AsyncIterator[Page]:
    """Open a window; nothing may go anywhere but to this machine, and the page must not complain."""
    context = await browser.new_context(**how)
    page = await context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda one: said.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page
    await context.close()
    assert {urlsplit(url).hostname for url in asked} <= {"127.0.0.1"}
    told = ("Failed to load resource: the server responded with a status of 4", "\"frame-ancestors 'none'\"")
    assert [text for text in said if not any(word in text for word in told)] == []


async def fill_in(page: Page, number: str = IBAN) -> None:
    await page.get_by_label("Account type").select_option("Checking")
    await page.get_by_label("IBAN").fill(number)


async def at_the_shop(page: Page, shop: Shop) -> None:
    """Wait until the browser is there, whatever navigation another one has broken off meanwhile."""
    await expect(page).to_have_url(re.compile(re.escape(f"{shop.url}&")))
    await expect(page).to_have_title("The shop")


def came_back(shop: Shop) -> list[dict[str, str]]:
    return [{name: values[0] for name, values in parse_qs(urlsplit(path).query).items()} for path in shop.visits]


@pytest.mark.parametrize("scripts", [False, True])
async def test_all_the_way_to_the_shop(browser: Browser, world: RampWorld, shop: Shop, scripts: bool) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser, java_script_enabled=scripts) as page:
        await page.goto(hosted.url)
        await page.get_by_role("link", name="SEPA transfer to an account in DE").click()
        await fill_in(page)
        await page.get_by_role("button", name="Get 100.00 EUR").click()
        await at_the_shop(page, shop)
    expected = {"cart": "7", "CheckoutSessionID": hosted.id, "ExternalID": "cart-7", "Status": "Pending"}
    assert came_back(shop) == [expected]
    (paid,) = world.transactions()
    assert (paid["Amount"], paid["FiatPaymentMethod"]["DisplayDetails"]["AccountNumber"]) == ("110.326087", IBAN)


async def test_a_double_click_and_the_back_button_pay_once(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        await fill_in(page)
        await page.get_by_role("button", name="Get").dblclick()
        await at_the_shop(page, shop)
        await page.go_back()
        assert "on its way" in await page.inner_text("main")
    assert {visit["Status"] for visit in came_back(shop)} == {"Pending"}
    assert len(world.transactions()) == 1


async def test_two_tabs_pay_once(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as one, page_of(browser) as other:
        for page in (one, other):
            await page.goto(f"{hosted.url}&channel={CHANNEL}")
            await fill_in(page)
        for page in (one, other):
            await page.get_by_role("button", name="Get").click()
            await at_the_shop(page, shop)
    assert len(world.transactions()) == 1


async def test_by_keyboard_alone(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        await page.keyboard.press("Tab")
        assert await focused(page) == "Skip to the payment"
        for expected in ("SEPA transfer", "SEPA transfer to an account in DE", "SELECT"):
            await page.keyboard.press("Tab")
            assert expected in await focused(page)
            assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.keyboard.type("Checking")
        await page.keyboard.press("Tab")
        await page.keyboard.type(" de89 3704 0044 0532 0130 00 ")
        await page.keyboard.press("Enter")
        await at_the_shop(page, shop)
    assert came_back(shop)[0]["Status"] == "Pending"
    assert len(world.transactions()) == 1


async def focused(page: Page) -> str:
    """Return what the element with the focus says, or is."""
    text: str = await page.evaluate(
        "e => (e = document.activeElement, e.tagName === 'SELECT' ? 'SELECT' : e.innerText.split('\\n')[0])"
    )
    return text


async def test_turning_it_down_needs_nothing_filled_in(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        await page.get_by_role("button", name="Cancel").click()
        await at_the_shop(page, shop)
        answer = await page.goto(hosted.url)
        assert answer is not None
        assert answer.status == 410
        assert "cancelled" in await page.inner_text("main")
        await page.get_by_role("link", name="Back to user-b1").click()
        await at_the_shop(page, shop)
    assert [visit["Status"] for visit in came_back(shop)] == ["Failed", "Failed"]
    assert world.balance() == START


async def test_mistakes_are_said_where_they_are(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser, **_PHONE) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        await fill_in(page, "DE89370400440532013001")
        await page.get_by_role("button", name="Get").click()
        alert = page.get_by_role("alert")
        assert "Please check what you entered" in await alert.inner_text()
        field = page.get_by_label("IBAN")
        assert await field.get_attribute("aria-invalid") == "true"
        described = await field.get_attribute("aria-describedby")
        assert "not an IBAN" in await page.inner_text(f"#{described}")
        assert await field.input_value() == "DE89370400440532013001"
        assert (await page.title()).startswith("Error: ")
        await alert.get_by_role("link").click()
        assert await page.evaluate("document.activeElement.id") == await field.get_attribute("id")
        await field.fill(IBAN)
        await page.get_by_role("button", name="Get").click()
        await at_the_shop(page, shop)


@pytest.mark.parametrize("kind", ["payout/fiat", "payin/fiat", "payin/crypto"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_and_touched_on_a_phone(
    browser: Browser, world: RampWorld, shop: Shop, kind: str, scheme: Any
) -> None:
    long = [{"Description": "W" * 140, "Quantity": "1", "UnitAmount": "9" * 30, "TotalAmount": "9" * 30}]
    hosted = opened(world, kind, ReturnURL=shop.url, LineItems=long)
    async with page_of(browser, color_scheme=scheme, **_PHONE) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await page.evaluate("document.documentElement.lang") == "en"
        for height in await page.evaluate(
            "[...document.querySelectorAll('button, input[type=text], select, .ways a')].map(e => e.offsetHeight)"
        ):
            assert height >= _TARGET_PIXELS
        assert await page.evaluate("[...document.querySelectorAll('input[type=text], select')].every(e => e.labels[0])")
        assert await worst_contrast(page) >= _CONTRAST


async def worst_contrast(page: Page) -> Any:
    """Return the least contrast of any text with what is behind it, as WCAG counts it."""
    return await page.evaluate("""() => {
        const parts = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = e => {
            for (; e; e = e.parentElement) {
                const found = parts(getComputedStyle(e).backgroundColor);
                if (found.length < 4 || found[3] > 0) return found;
            }
            return [255, 255, 255];
        };
        const shown = [...document.querySelectorAll('body *')].filter(e => e.offsetHeight > 0
            && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
        return Math.min(...shown.map(e => {
            const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }));
    }""")


async def test_what_is_paid_in_is_shown_and_promised(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, "payin/crypto", ReturnURL=shop.url)
    async with page_of(browser, java_script_enabled=False, **_PHONE) as page:
        await page.goto(hosted.url)
        said = await page.inner_text("main")
        assert "25.500000" in said
        assert "0x" in said
        await page.get_by_role("button", name="I have sent 25.500000 USDC_TEST").click()
        await at_the_shop(page, shop)
        await page.goto(hosted.url)
        assert "We are waiting for your payment" in await page.inner_text("main")
    assert came_back(shop)[0]["Status"] == "Pending"


async def test_no_page_can_show_it_in_a_frame(browser: Browser, world: RampWorld, shop: Shop) -> None:
    hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as page:
        await page.goto(shop.url)
        await page.evaluate(
            "url => new Promise(done => { const f = document.createElement('iframe'); f.onload = done; f.src = url;"
            " document.body.append(f); })",
            hosted.url,
        )
        frames = [frame.url for frame in page.frames if frame != page.main_frame]
        assert not any(hosted.path in url for url in frames)


async def test_expired_and_tampered_pages_are_pages_of_their_own(
    browser: Browser, world: RampWorld, shop: Shop
) -> None:
    hosted: Hosted = opened(world, ReturnURL=shop.url)
    async with page_of(browser) as page:
        await page.goto(f"{hosted.url}&channel={CHANNEL}")
        await fill_in(page)
        world.advance(seconds=3_600)
        await page.get_by_role("button", name="Get").click()
        assert "This payment is over" in await page.inner_text("h1")
        await page.goto(hosted.url)
        assert "expired" in await page.inner_text("h1")
        answer = await page.goto(hosted.url[:-4])
        assert answer is not None
        assert answer.status == 404
        assert "user-b1" not in await page.content()
