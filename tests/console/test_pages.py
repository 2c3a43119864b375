"""Every page of the console, with orders of every product: for everybody, on a phone, in the dark, alone."""

import pytest
from playwright.async_api import Browser, ViewportSize

from otcdesk.console.routes import ROUTES
from tests.support.axe.checking import violations, watched, wider_than_its_window
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import Site, everybody
from tests.support.consoles import Person, context_of
from tests.support.server import DeskServer

#: What answers something else than a page, what nobody is led to by a link, and what this world has none of.
NO_PAGES = {"GET /static/{name}", "GET /events", "GET /", "GET /sign-in", "GET /proposals/{id}"}


@pytest.fixture(scope="module")
def busy(server: DeskServer) -> BusyDesk:
    """A world in which something of everything has happened."""
    desk = BusyDesk(server)
    desk.live()
    return desk


@pytest.fixture(scope="module")
def person(busy: BusyDesk) -> Person:
    return everybody(busy)


@pytest.fixture(scope="module")
def site(busy: BusyDesk, person: Person) -> Site:
    orders = [f"/console/orders/{ids[0]}" for ids in busy.orders.values()]
    return Site(person, *orders, "/console/search?q=EUR")


def test_every_link_leads_to_a_page_and_every_page_has_a_link(site: Site) -> None:
    """What answers no page, but JSON or a file, is known by the ending of its name."""
    assert site.broken == []
    gets = {route.label for route in ROUTES if route.method == "GET" and not _is_file(route.path)}
    assert gets - site.pages.keys() - NO_PAGES == set()


def _is_file(path: str) -> bool:
    return "." in path.rpartition("/")[2]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("width", [1280, 360])
async def test_every_page_is_for_everybody(browser: Browser, person: Person, site: Site, width: int) -> None:
    """In the light all that axe knows is asked; in the dark only colours are others."""
    found: list[str] = []
    viewport = ViewportSize(width=width, height=800)
    context = await context_of(browser, person, viewport=viewport, color_scheme="light", reduced_motion="reduce")
    async with watched(context, person.server.url) as window:
        page = await context.new_page()
        for path in site.paths:
            await page.emulate_media(color_scheme="light")
            await page.goto(path)
            wrong = [*await violations(page), *await wider_than_its_window(page)]
            await page.emulate_media(color_scheme="dark")
            wrong += [f"in the dark: {one}" for one in await violations(page, "color-contrast")]
            found += [f"{path}: {one}" for one in [*wrong, *window.complaints()]]
        await context.close()
    assert found == [], "\n".join(found)
