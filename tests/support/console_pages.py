"""All pages of the console as somebody finds them who follows every link, and the routes that they belong to."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

from otcdesk.api.dialect import Route
from otcdesk.api.routing import Paths
from otcdesk.console.menu import MENU
from otcdesk.console.routes import ROUTES
from otcdesk.domain.duties import ROLES
from tests.support.consoles import Person, signed_in
from tests.support.server import World

CONSOLE = "/console"

#: So many pages of each route are looked at: those of one route differ in what they are about.
EACH_MAX = 2

#: Where everybody begins.
_STARTS = tuple(place.path for group in MENU for place in group.places)

GETS = Paths({route.path: route for route in ROUTES if route.method == "GET"})


def route_of(path: str) -> Route | None:
    """Return the route that a path of the console belongs to."""
    found, _ = GETS.find(urlsplit(path).path.removeprefix(CONSOLE) or "/")
    return found


class Links(HTMLParser):
    """Where a page leads, and what its scripts fetch."""

    _NAMES = frozenset({"href", "data-href", "hx-get", "data-chart"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "link":
            self.found += [value for name, value in attrs if name in self._NAMES and value]


def everybody(world: World) -> Person:
    """Sign in somebody with every role, who sees every button."""
    return signed_in(world, *ROLES, name="Eve Rybody")


class Site:
    """The pages that somebody finds: their HTML by their path, by the label of their route; and what leads nowhere."""

    def __init__(self, person: Person, *more: str) -> None:
        self._starts = (*_STARTS, *more)
        self.person = person
        self.pages: dict[str, dict[str, str]] = {}
        #: What scripts put into pages.
        self.parts: dict[str, str] = {}
        self.broken: list[str] = []
        self._pending = [("the menu", start) for start in self._starts]
        seen = set(self._starts)
        while self._pending:
            by, path = self._pending.pop(0)
            for link in self._followed(by, path):
                if link not in seen:
                    seen.add(link)
                    self._pending.append((path, link))

    @property
    def paths(self) -> list[str]:
        """Return the paths of all pages that were looked at."""
        return [path for found in self.pages.values() for path in found]

    def _followed(self, by: str, path: str) -> Iterator[str]:
        """Open a page unless enough of its kind were opened, and yield where it leads."""
        route = route_of(path)
        if route is None:
            self.broken.append(f"{by} leads to {path}, where there is nothing")
            return
        found = self.pages.setdefault(route.label, {})
        if (len(found) >= EACH_MAX and path not in self._starts) or route.path == "/events":
            return
        answer = self.person.get(path)
        if answer.status_code >= 400:
            self.broken.append(f"{by} leads to {path}, which answers {answer.status_code}")
        elif answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"):
            kept = found if answer.text.startswith("<!doctype html>") else self.parts
            kept[path] = answer.text
            yield from _within(path, Links(answer.text).found)


def _within(path: str, links: list[str]) -> Iterator[str]:
    for link in links:
        parts = urlsplit(link)
        assert parts.scheme in {"", "http", "https"}, f"{path} leads to {link}"
        if parts.scheme or parts.netloc or link.startswith("#"):
            continue
        target = parts.path or urlsplit(path).path
        if target.startswith(CONSOLE):
            yield f"{target}?{parts.query}" if parts.query else target
