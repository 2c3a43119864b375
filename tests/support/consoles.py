"""The console as people use it: operators of a world, signed in over real HTTP, by forms as a browser sends them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from playwright.async_api import Browser, BrowserContext

from otcdesk.clock import SystemClock
from otcdesk.config import Settings
from otcdesk.domain.acts import Act
from otcdesk.one_time_codes import code_at, parsed_secret
from otcdesk.operators import MadeOperator, Operators
from otcdesk.storage.database import Reads
from otcdesk.storage.secrets import Secrets
from tests.support.databases import run_apart
from tests.support.server import NO_AUTHORITIES, DeskServer, World, lane_of

COOKIE = "otcdesk_session"


def code_of(made: MadeOperator, at: datetime | None = None) -> str:
    """Return the code that an authenticator shows."""
    return code_at(parsed_secret(made.totp_secret), at or datetime.now(UTC))


def make_operator(world: World, *roles: str, email: str | None = None, name: str = "Test Person") -> MadeOperator:
    """Make an operator of a world's lane, as the command line does."""

    async def made() -> MadeOperator:
        async with Reads.opened(
            world.server.environ["DATABASE_URL"], connections_max=2, statement_timeout_ms=30_000
        ) as reads:
            clock = SystemClock()
            sealed = Secrets(reads.pool, world.server.home, clock)
            operators = Operators(reads, sealed, clock, Settings())
            address = email or f"{'-'.join(roles)}-{uuid4().hex[:8]}@desk.example"
            return await operators.create(lane=lane_of(world), email=address, name=name, roles=roles)

    one: MadeOperator = run_apart(made())
    world.server.secrets |= {one.password, one.totp_secret}
    return one


def acts_of(world: World) -> list[Act]:
    """Return what people have done in a world, the latest first."""

    async def read() -> list[Act]:
        dsn = world.server.environ["DATABASE_URL"]
        async with Reads.opened(dsn, connections_max=1, statement_timeout_ms=30_000) as reads:
            rows = await reads.pool.fetch(
                "select row_to_json(a) from acts as a where a.lane = $1 order by a.happened_at desc, a.id desc",
                lane_of(world),
            )
            return [msgspec.json.decode(row[0], type=Act) for row in rows]

    found: list[Act] = run_apart(read())
    return found


class Person:
    """Somebody at the console: a browser without scripts, with its cookies."""

    def __init__(self, server: DeskServer) -> None:
        self.server = server
        none_kept = httpx.Limits(max_keepalive_connections=0)  # so that nobody has to say when they leave
        self.http = httpx.Client(base_url=server.url, verify=NO_AUTHORITIES, timeout=60, limits=none_kept)

    def get(self, path: str, **how: Any) -> httpx.Response:
        """Open a page; redirects are not followed."""
        return self.http.get(path if path.startswith("/console") else f"/console{path}", **how)

    def open(self, path: str) -> "Html":
        """Open a page that must be there."""
        answer = self.get(path, follow_redirects=True)
        assert answer.status_code == 200, (answer.status_code, answer.text[:2_000])
        return Html(answer.text)

    def post(self, path: str, fields: dict[str, str], *, mark: bool = True, **how: Any) -> httpx.Response:
        """Send a form, with the mark of this session unless told otherwise."""
        given = {"csrf": self.mark, **fields} if mark else fields
        return self.http.post(path if path.startswith("/console") else f"/console{path}", data=given, **how)

    def done(self, path: str, fields: dict[str, str]) -> httpx.Response:
        """Send a form that must be accepted."""
        answer = self.post(path, fields)
        assert answer.status_code == 303, (answer.status_code, Html(answer.text).text[:2_000])
        return answer

    @property
    def mark(self) -> str:
        """Return what the session's forms carry."""
        return Html(self.get("/account").text).hidden["csrf"]

    @property
    def token(self) -> str:
        """Return the session's token."""
        return self.http.cookies.get(COOKIE) or ""

    def sign_in(self, made: MadeOperator, **changes: str) -> httpx.Response:
        """Send the form of the sign-in page."""
        fields = {"email": made.email, "password": made.password, "code": code_of(made), **changes}
        return self.post("/sign-in", fields, mark=False)


def signed_in(world: World, *roles: str, **how: Any) -> Person:
    """Make an operator with these roles and sign them in."""
    made, person = make_operator(world, *roles, **how), Person(world.server)
    answer = person.sign_in(made)
    assert answer.status_code == 303, Html(answer.text).text
    world.server.secrets |= {person.token}
    return person


async def context_of(browser: Browser, person: Person, **how: Any) -> BrowserContext:
    """Return a browser's window that is signed in as somebody."""
    context = await browser.new_context(base_url=person.server.url, **how)
    await context.add_cookies(
        [{"name": COOKIE, "value": person.token, "url": f"{person.server.url}/console", "httpOnly": True}]
    )
    return context


class Html(HTMLParser):
    """What a page has: its text, its forms with their fields, its links and rows."""

    _UNSEEN = frozenset({"script", "style"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.hidden: dict[str, str] = {}
        self.links: list[str] = []
        self.actions: list[str] = []
        self.rows: list[dict[str, str | None]] = []
        self.inputs: dict[str, dict[str, str | None]] = {}
        self._pieces: list[str] = []
        self._within: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        """Return what people read, in one line."""
        return " ".join(" ".join(self._pieces).split())

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in self._UNSEEN:
            self._within.append(tag)
        if tag == "input" and found.get("type") == "hidden":
            self.hidden.setdefault(found.get("name") or "", found.get("value") or "")
        elif tag in {"input", "select", "textarea"}:
            self.inputs[found.get("name") or ""] = found
        elif tag == "a":
            self.links.append(found.get("href") or "")
        elif tag == "form":
            self.actions.append(found.get("action") or "")
        elif tag == "tr" and "data-href" in found:
            self.rows.append(found)

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within:
            self._pieces.append(data)


#: What takes two people, and is typed, in worlds of tests: small enough for what their tenants have.
_GUARDS = """
[guards]
deviation_bps_max = 300
spread_change_bps_max = 25
limits_second = true
proposal_seconds = 900

[[guards.assets]]
asset = "EUR"
second_from = "2000.00"
typed_from = "1500.00"
exposure_max = "500000.00"
"""


def guarded(server: DeskServer, **asked: Any) -> World:
    """Make a world as the contract's cases want it, in which two people look at what is large."""
    text = (files("otcdesk") / "worlds" / "contract.toml").read_text(encoding="utf-8")
    text = text.replace('balance = "10000.00"', 'balance = "100000.00"', 1)  # for more orders than one test makes
    return World(server, world=text + _GUARDS, **asked)
