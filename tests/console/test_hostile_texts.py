"""Scripts in everything that customers and operators can fill: every page shows them as text, and none of them runs."""

import pytest
from playwright.async_api import Browser, Page

from tests.support.axe.checking import watched
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import Site, everybody
from tests.support.consoles import Person, context_of
from tests.support.server import DeskServer

#: What runs where a text is taken for a page, for a value between quotes, or without them; by how much room it needs.
_SCRIPTS = (
    '<script>window.struck=1</script>"><img src=x onerror=window.struck=2>&lt;b&gt;{{7*7}}\u202e',
    '"><script>window.struck=3</script>',
    "<img src=x onerror=struck=4>",
    "<b onclick=a()>",
)

#: Whether anything has run, and what the page's policy had to stop.
_WATCH = """
window.stopped = [];
document.addEventListener('securitypolicyviolation', (event) => window.stopped.push(event.violatedDirective));
"""


def hostile(text: str, longest: int = 100) -> str:
    """Say a text with the longest script behind it that there is room for."""
    return next(said for script in _SCRIPTS if len(said := f"{text[-6:]}{script}") <= longest)


@pytest.fixture(scope="module")
def busy(server: DeskServer) -> BusyDesk:
    desk = BusyDesk(server, hostile)
    desk.live()
    return desk


@pytest.fixture(scope="module")
def person(busy: BusyDesk) -> Person:
    return everybody(busy)


@pytest.fixture(scope="module")
def site(busy: BusyDesk, person: Person) -> Site:
    orders = [f"/console/orders/{ids[0]}" for ids in busy.orders.values()]
    return Site(person, *orders, "/console/search?q=EUR")


@pytest.mark.asyncio(loop_scope="session")
async def test_nothing_that_anybody_said_runs(browser: Browser, person: Person, site: Site) -> None:
    struck = []
    context = await context_of(browser, person, viewport={"width": 1280, "height": 800})
    await context.add_init_script(_WATCH)
    async with watched(context, person.server.url) as window:
        page = await context.new_page()
        for path in site.paths:
            await page.goto(path)
            struck += [f"{path}: {one}" for one in [*await faults(page), *window.complaints()]]
        await context.close()
    assert struck == [], "\n".join(struck)


async def faults(page: Page) -> list[str]:
    """Return what has run, what the policy had to stop, and what became an element of what is a text."""
    told: list[str] = await page.evaluate(
        """() => [
            ...(window.struck ? [`struck ${window.struck}`] : []),
            ...window.stopped.map((one) => `stopped by ${one}`),
            ...[...document.querySelectorAll('img, script:not([src]), [onerror], [onclick]')].map((e) => e.outerHTML),
            ...[...document.querySelectorAll('a[href], [action], [data-href]')]
                .map((e) => e.getAttribute('href') || e.getAttribute('action') || e.dataset.href)
                .filter((to) => !/^([/?#]|$)/.test(to)),
        ]"""
    )
    return told


def test_what_was_said_is_shown_as_it_was_said(site: Site) -> None:
    """Otherwise the test above would pass where nothing is shown."""
    text = "\n".join(html for found in site.pages.values() for html in found.values())
    for script in _SCRIPTS[0], _SCRIPTS[2]:
        assert script[:20].replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in text
    assert "<script>window" not in text
    assert "<img src=x" not in text
