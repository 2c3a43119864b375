"""Whether everybody can use a page, as axe-core judges it, and whether the page keeps to itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page, Response

from tests.support.server import ROOT

_INSTALLED = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"

#: Everything of WCAG 2.2 up to AA that a program can judge, and what the makers of axe hold to be good beside.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

_RUN = "asked => axe.run(document, { runOnly: asked, resultTypes: ['violations'] })"


@cache
def _script() -> str:
    assert _INSTALLED.exists(), "there is no axe: scripts/setup.sh npm"
    return _INSTALLED.read_text(encoding="utf-8")


async def violations(page: Page, *rules: str) -> list[str]:
    """Return what is wrong with a page as it is shown now, one sentence each, with where and why; by some rules or all.

    The page's own policy keeps out scripts of others, also this one, so it is put in from outside of the page: in a
    context of its own, which policies of pages do not reach.
    """
    if not await page.evaluate("typeof axe !== 'undefined'"):
        await page.evaluate(_script())
    asked = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(TAGS)}
    found = await page.evaluate(_RUN, asked)
    return [_sentence(one) for one in found["violations"]]


def _sentence(one: dict[str, Any]) -> str:
    places = "; ".join(f"{' '.join(map(str, node['target']))} {node['html'][:200]}" for node in one["nodes"][:5])
    return f"{one['id']} ({one['help']}) at {places}: {one['nodes'][0].get('failureSummary', '')[:400]}"


class Watched:
    """What a window asks for, and what it complains of."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._host = urlsplit(url).netloc
        self.asked: list[str] = []
        self.said: list[str] = []
        self.broken: list[str] = []
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("console", lambda one: self.said.append(one.text) if one.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", self._look)

    def _look(self, response: Response) -> None:
        if response.status >= 500:
            self.broken.append(f"{response.status} {response.url}")

    def complaints(self) -> list[str]:
        """Return what must not be: complaints, answers that tell of faults, requests that go elsewhere."""
        elsewhere = [url for url in self.asked if urlsplit(url).netloc != self._host]
        told, self.said, self.broken, self.asked = [*self.said, *self.broken, *elsewhere], [], [], []
        return told


@asynccontextmanager
async def watched(context: BrowserContext, url: str) -> AsyncIterator[Watched]:
    """Watch a context's pages; afterwards nothing may be left to complain of."""
    one = Watched(context, url)
    yield one
    assert one.complaints() == []


async def wider_than_its_window(page: Page) -> list[str]:
    """Return what sticks out of a page to the right, so that the whole page has to be moved to be read."""
    told: list[str] = await page.evaluate(_STICKS_OUT)
    return [f"the page is wider than its window: {one}" for one in told]


#: What scrolls by itself may hold what is wider than the window.
_STICKS_OUT = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const sticks = (one) => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll');
  const out = [...document.body.querySelectorAll('*')].filter(sticks).slice(0, 4);
  return out.length ? out.map((one) => one.outerHTML.slice(0, 150)) : ['something that is not seen'];
}"""
