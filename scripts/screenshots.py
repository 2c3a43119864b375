"""Take the pictures of the console that `docs/console.md` shows: `python scripts/screenshots.py`.

A throw-away desk with the demo's world, a clock that this program steers and ids from a fixed seed: the pictures change
when the pages do, and hardly otherwise. It needs Chromium. With `--check` nothing is drawn: it looks whether the
document shows every picture and names every page of the menu.
"""

import asyncio
import base64
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from otcdesk.api.connection import Connection, ConnectionLimits  # noqa: E402  (the folder of the tests is found first)
from otcdesk.api.proxies import TrustedProxies  # noqa: E402
from otcdesk.app import open_desk, web_app  # noqa: E402
from otcdesk.config import Settings  # noqa: E402
from otcdesk.console.menu import MENU  # noqa: E402
from otcdesk.one_time_codes import code_at, parsed_secret  # noqa: E402
from otcdesk.serving import among_others  # noqa: E402
from otcdesk.storage.database import migrate  # noqa: E402
from otcdesk.storage.embedded import EmbeddedServer  # noqa: E402
from tests.support.busy_desk import BusyDesk  # noqa: E402
from tests.support.clocks import SteeredClock  # noqa: E402
from tests.support.consoles import COOKIE  # noqa: E402

DOCUMENT = ROOT / "docs" / "console.md"
PICTURES = ROOT / "docs" / "console"

_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_STEP_SECONDS = 7
_CODE_SECONDS = 30
_BYTES_MAX = 150_000
_WEBP_QUALITY = 85
_SIZE = {"width": 1280, "height": 800}

#: What is shown, by whom it is looked at, and the first link on it that is followed before the picture is taken.
SHOTS: tuple[tuple[str, str, str, str], ...] = (
    ("sign-in", "", "/console/sign-in", ""),
    ("orders", "ada", "/console/orders", ""),
    ("order", "ada", "/console/orders?product=conversion", "tr[data-href] a"),
    ("approvals", "ada", "/console/approvals", ""),
    ("approval", "ada", "/console/approvals", "tr[data-href] a"),
    ("position", "ada", "/console/position", ""),
    ("pnl", "ada", "/console/pnl", ""),
    ("prices", "ada", "/console/prices", ""),
    ("accounts", "ben", "/console/accounts", ""),
    ("bookings", "ben", "/console/bookings", ""),
    ("invariants", "ben", "/console/invariants", ""),
    ("audit", "ben", "/console/audit", ""),
    ("tenants", "cora", "/console/tenants", ""),
    ("guards", "ben", "/console/guards", ""),
    ("webhooks", "root", "/console/webhooks", ""),
    ("people", "root", "/console/people", ""),
    ("system", "root", "/console/system", ""),
    ("sandbox", "ada", "/console/sandbox", ""),
)

#: Charts of the last minutes have something to show after a while of looking.
_LOOKED_MS = 25_000

_DRAWN = """() => [...document.querySelectorAll('[data-chart]')]
    .every((figure) => figure.classList.contains('empty') || figure.querySelector('canvas'))"""


def faults() -> list[str]:
    """Return what the document lacks, or has too much of."""
    text = DOCUMENT.read_text(encoding="utf-8")
    there = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    named = {f"{name}.webp" for name, *_ in SHOTS}
    found = [f"{name} is not shown" for name in sorted(named) if f"(console/{name})" not in text]
    found += [f"docs/console/{name} is missing: run make docs" for name in sorted(named - there.keys())]
    found += [f"docs/console/{name} is nobody's" for name in sorted(there.keys() - named)]
    found += [
        f"docs/console/{path.name} is too large" for path in PICTURES.iterdir() if path.stat().st_size > _BYTES_MAX
    ]
    pages = [place for group in MENU for place in group.places]
    return found + [f"the page {page.name} is not named" for page in pages if f"`{page.path}`" not in text]


class Site:
    """A desk of this process, as what the tests' worlds are made on."""

    def __init__(self, url: str, clock: SteeredClock) -> None:
        self.url = url
        self.secrets: set[str] = set()
        self.clock = clock

        def go_on(_: httpx.Request) -> None:
            clock.advance(seconds=_STEP_SECONDS)

        self.http = httpx.Client(base_url=url, timeout=60, event_hooks={"request": [go_on]})


@contextlib.asynccontextmanager
async def desk(home: Path, dsn: str, clock: SteeredClock) -> AsyncIterator[Site]:
    """Serve a desk on a port of this machine."""
    settings = Settings(home=str(home), sandbox=True, webhooks_local=True)
    limits = ConnectionLimits(head_bytes=32_768, body_bytes=1_000_000, request_seconds=60, idle_seconds=60)
    state = SimpleNamespace(connections=set(), tasks=set())
    async with open_desk(settings, dsn, clock) as program, among_others(program, may_lead=True):
        front = web_app(program)
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(front, limits, TrustedProxies(""), server_state=state), "127.0.0.1", 0
        )
        site = Site(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", clock)
        yield site
        site.http.close()
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def signed_in(site: Site, told: dict[str, Any]) -> str:
    """Sign one of the world's people in, and return the token; each code is good once."""
    site.clock.advance(seconds=_CODE_SECONDS)
    code = code_at(parsed_secret(told["totpSecret"]), site.clock.now())
    form = {"email": told["email"], "password": told["password"], "code": code}
    with httpx.Client(base_url=site.url, timeout=60) as http:
        answer = http.post("/console/sign-in", data=form)
        assert answer.status_code == 303, answer.text
        return http.cookies[COOKIE]


def lived(site: Site) -> BusyDesk:
    """Let a day pass at a desk."""
    world = BusyDesk(site)  # type: ignore[arg-type]  # it is reached as the tests' servers are
    world.live()
    site.clock.advance(seconds=400)
    return world


async def go_on(clock: SteeredClock) -> None:
    """Let time pass as it does, so that what is measured by it has a length."""
    while True:
        await asyncio.sleep(1)
        clock.advance(seconds=1)


async def named(dsn: str, world: str) -> None:
    """Give a world the name that a desk would have: its own is an id."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("update lanes set name = 'demo' where name = $1", world)
    await connection.close()


async def take(browser: Browser, site: Site, token: str, name: str, path: str, link: str) -> None:
    """Open a page and write its picture."""
    context = await browser.new_context(base_url=site.url, viewport=_SIZE, reduced_motion="reduce")  # type: ignore[arg-type]
    if token:
        await context.add_cookies([{"name": COOKIE, "value": token, "url": f"{site.url}/console", "httpOnly": True}])
    page = await context.new_page()
    answer = await page.goto(path)
    if link and answer is not None and answer.ok:
        path = await page.locator(link).first.get_attribute("href", timeout=5_000) or ""
        answer = await page.goto(path)
    if answer is None or not answer.ok:
        print(f"{path} answers {answer.status if answer else 'nothing'}")
    else:
        await page.wait_for_function(_DRAWN)
        if await page.locator("[data-chart][data-every-seconds]").count():
            await page.wait_for_timeout(_LOOKED_MS)
        (PICTURES / f"{name}.webp").write_bytes(await picture(page))
    await context.close()


async def picture(page: Page) -> bytes:
    """Return what a page shows; Playwright itself knows no format that is small and sharp."""
    session = await page.context.new_cdp_session(page)
    asked = {"format": "webp", "quality": _WEBP_QUALITY}
    return base64.b64decode((await session.send("Page.captureScreenshot", asked))["data"])


async def draw(dsn: str, home: Path) -> None:
    """Take all pictures."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    assert chromium is not None, "there is no Chromium: scripts/setup.sh browser"
    await migrate(dsn)
    PICTURES.mkdir(exist_ok=True)
    clock = SteeredClock(_NOON, seed=1)
    async with desk(home, dsn, clock) as site, async_playwright() as playwright:
        world = await asyncio.to_thread(lived, site)
        await named(dsn, world.id)
        going = asyncio.create_task(go_on(clock))
        told = world.told["staff"]
        tokens = {"": "", **{name: await asyncio.to_thread(signed_in, site, told[name]) for name in told}}
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, who, path, link in SHOTS:
            await take(browser, site, tokens[who], name, path, link)
        await browser.close()
        going.cancel()


def main() -> int:
    """Draw, or look; returns how many faults the document has."""
    if "--check" not in sys.argv:
        with tempfile.TemporaryDirectory(prefix="otcdesk-pictures-") as folder:
            server = EmbeddedServer(Path(folder))
            dsn = server.start()
            try:
                asyncio.run(draw(dsn, Path(folder)))
            finally:
                server.stop()
                shutil.rmtree(server._places.data.parent, ignore_errors=True)  # noqa: SLF001  (it keeps what it made)
    found = faults()
    print("\n".join(found), end="\n" if found else "")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
