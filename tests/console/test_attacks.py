"""What somebody tries who wishes ill: forged forms, planted and stolen sessions, broken requests, ids of others."""

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest

from otcdesk.console.page import FormRoute
from otcdesk.console.routes import ROUTES
from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.storage.queries import queries
from tests.support.busy_desk import BusyDesk
from tests.support.console_pages import CONSOLE, Site, everybody
from tests.support.consoles import COOKIE, Person, make_operator, signed_in
from tests.support.databases import run_apart
from tests.support.served import NewServer
from tests.support.server import DeskServer, World, lane_of

FORMS = [route for route in ROUTES if isinstance(route, FormRoute)]
PAGES = [route for route in ROUTES if route.method == "GET" and route.path != "/events"]

#: The only form that may be sent without a session's mark, as there is no session yet.
SIGN_IN = "POST /sign-in"

_STRUCK = "<script>window.struck=1</script>"


@pytest.fixture(scope="module")
def busy(server: DeskServer) -> BusyDesk:
    desk = BusyDesk(server, frozen=True)  # so that nothing happens by itself
    desk.live()
    return desk


@pytest.fixture(scope="module")
def person(busy: BusyDesk) -> Person:
    return everybody(busy)


@pytest.fixture(scope="module")
def site(person: Person) -> Site:
    return Site(person)


@pytest.fixture(scope="module")
def stranger(server: DeskServer) -> Person:
    """Somebody with every role, of another lane."""
    return everybody(World(server))


def filled(path: str) -> str:
    """Return a path with something in the place of each parameter."""
    return CONSOLE + re.sub(r"\{\w+\}", str(uuid4()), path)


def asked(world: World, query: str, *values: object) -> object:
    """Ask a world's database."""

    async def ask() -> object:
        connection = await asyncpg.connect(world.server.environ["DATABASE_URL"])
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()

    return run_apart(ask())


def head_of(world: World) -> object:
    """Return the number of the newest batch of a world's lane: as long as it stays, nothing was written."""
    lane = lane_of(world)
    return asked(world, f"select head from ({queries('lanes')['heads_of']}) as found", [lane])


# -- forms ------------------------------------------------------------------------------------------------------------


def test_no_form_is_taken_that_is_not_of_this_session(busy: BusyDesk, person: Person, stranger: Person) -> None:
    before, mark = head_of(busy), person.mark
    forged: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"another": "field"}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": stranger.mark}, {}),
        ({"csrf": mark[:-1]}, {}),
        ({"csrf": mark}, {"origin": "https://evil.example"}),
        ({"csrf": mark}, {"origin": "null"}),
        ({"csrf": mark}, {"origin": f"{busy.server.url}.evil.example"}),
        ({"csrf": mark}, {"sec-fetch-site": "cross-site"}),
        ({"csrf": mark}, {"sec-fetch-site": "same-site"}),
    ]
    taken = [
        (route.label, fields.keys(), headers)
        for route in FORMS
        for fields, headers in forged
        if person.post(filled(route.path), fields, mark=False, headers=headers).status_code != 403
        and not (route.label == SIGN_IN and not headers)
    ]
    assert taken == []
    assert head_of(busy) == before
    assert person.get("/account").status_code == 200


def test_signing_in_is_not_done_by_a_page_of_somebody_else(world: World) -> None:
    made, person = make_operator(world, "trader"), Person(world.server)
    fields = {"email": made.email, "password": made.password}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = person.post("/sign-in", fields, mark=False, headers=headers)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)


def test_no_form_is_sent_by_an_address(person: Person) -> None:
    """What changes something is a POST; asked for by GET it is a page, or nothing."""
    paths = {route.path for route in PAGES}
    for route in FORMS:
        if route.path not in paths:
            assert person.get(filled(route.path)).status_code in {404, 405}, route.label


@pytest.mark.parametrize(
    "body, content_type, status",
    [
        (b"csrf=MARK&a=%00", None, 400),
        (b"csrf=MARK&a=%ff%fe", None, 400),
        (b"csrf=MARK&a=\xff\xfe", None, 400),
        (b"csrf=MARK&csrf=MARK", None, 400),
        (b"csrf=MARK" + b"".join(b"&a%d=1" % number for number in range(10_000)), None, {400, 413}),
        (b'{"csrf":"MARK"}', "application/json", 415),
        (b"--x\r\n\r\nMARK\r\n--x--", "multipart/form-data; boundary=x", 415),
        (b"csrf=MARK", "text/plain", 415),
        (b"csrf=MARK", "", 415),
    ],
    ids=["nul", "no utf-8", "no ascii", "twice", "very many", "json", "multipart", "plain", "none"],
)
def test_a_form_that_cannot_be_read_is_refused_everywhere(
    busy: BusyDesk, person: Person, body: bytes, content_type: str | None, status: int | set[int]
) -> None:
    before, sent = head_of(busy), body.replace(b"MARK", person.mark.encode())
    headers = {"content-type": "application/x-www-form-urlencoded" if content_type is None else content_type}
    answers = {
        route.label: person.http.post(filled(route.path), content=sent, headers=headers).status_code for route in FORMS
    }
    allowed = status if isinstance(status, set) else {status}
    assert {label: found for label, found in answers.items() if found not in allowed} == {}
    assert head_of(busy) == before


def test_a_giant_form_is_refused_before_it_is_kept(person: Person) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    content = b"csrf=" + b"x" * 10_000_000
    with contextlib.suppress(httpx.WriteError):  # it may hang up while it is still being sent to
        assert person.http.post(f"{CONSOLE}/sign-out", content=content, headers=headers).status_code == 413
    assert person.get("/account").status_code == 200


def test_every_field_of_every_form_bears_anything(busy: BusyDesk, person: Person, site: Site) -> None:
    """What is hostile, huge, or another kind of thing is refused with a sentence: never a fault, never carried out."""
    hostile = (_STRUCK, "x" * 60_000, "1e999999", "-1", "0" * 400, "\u202e\ud7ff\U0010ffff", "' or 1=1 --", "../..")
    faults, mark = [], person.mark
    for action, fields in forms_of(site):
        for text in hostile:
            answer = person.post(action, {**dict.fromkeys(fields, text), "csrf": mark}, mark=False)
            if answer.status_code >= 500 or _STRUCK in answer.text:
                faults.append((action, text[:20], answer.status_code))
    assert faults == []
    assert busy.server.http.get("/healthz").status_code == 200


def forms_of(site: Site) -> Iterator[tuple[str, list[str]]]:
    """Yield each form of the pages that were found, but those about the session itself, with its fields' names."""
    seen = set()
    for found in site.pages.values():
        for html in found.values():
            for form in re.findall(r"<form\b.*?</form>", html, re.DOTALL):
                action = re.search(r'action="(/console/[^"]*)"', form)
                if 'method="post"' not in form or action is None or action[1] in seen:
                    continue
                if not action[1].startswith((f"{CONSOLE}/sign-", f"{CONSOLE}/account")):
                    seen.add(action[1])
                    yield action[1], re.findall(r'name="(\w+)"', form)


# -- what is of another lane ------------------------------------------------------------------------------------------


def test_nothing_of_another_lane_can_be_opened(person: Person, stranger: Person, site: Site) -> None:
    """Every page with an id in its path is there for its own lane's people, and for others as if it had never been."""
    own = {str(desk_account_id(TREASURY, asset, network)) for asset in ("EUR", "USDC") for network in ("", "ethereum")}
    paths = [path for label, found in site.pages.items() if "{" in label for path in found]
    paths = [path for path in paths if not own.intersection(path.split("/"))]  # each desk has accounts of these ids
    assert paths
    shown = {path: stranger.get(path).status_code for path in paths}
    assert {path: status for path, status in shown.items() if status != 404} == {}


def test_nothing_of_another_lane_can_be_changed(busy: BusyDesk, stranger: Person, site: Site) -> None:
    before = head_of(busy)
    ids = {one for found in site.pages.values() for path in found for one in re.findall(r"[0-9a-f-]{36}", path)}
    changed = []
    for action, fields in forms_of(site):
        about = {name: next(iter(ids)) for name in fields if name != "csrf"}
        answer = stranger.post(action, about)
        if any(one in action for one in ids) and answer.status_code != 404:
            changed.append((action, answer.status_code))
    assert changed == []
    assert head_of(busy) == before


# -- sessions ---------------------------------------------------------------------------------------------------------


def with_cookie(server: DeskServer, token: str) -> Person:
    person = Person(server)
    person.http.cookies.set(COOKIE, token, path=CONSOLE)
    return person


def is_out(person: Person) -> bool:
    """Tell whether every kind of route sends somebody to sign in, and no form is taken."""
    with person.http.stream("GET", f"{CONSOLE}/events") as stream:  # it would never end
        told = stream.status_code
    page, script = person.get("/account"), person.get("/account", headers={"hx-request": "true"})
    form = person.post("/sign-out", {"csrf": "x"}, mark=False)
    found = [told, page.status_code, script.status_code, form.status_code]
    assert found in ([303, 303, 204, 401], [200, 200, 200, 403]), found
    return told == 303


@pytest.mark.parametrize("token", ["", "x", "x" * 4_000, "'", "%00", "null"])
def test_a_token_that_nobody_was_given_is_nobodys(server: DeskServer, token: str) -> None:
    assert is_out(with_cookie(server, token))


def test_who_signed_out_is_out_with_the_same_token(world: World) -> None:
    person = signed_in(world, "trader")
    stolen = with_cookie(world.server, person.token)
    assert not is_out(stolen)
    answer = person.done("/sign-out", {})
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert is_out(stolen)


def test_a_session_is_not_put_in_the_place_of_another(world: World) -> None:
    """Nobody is signed in as somebody else by a form of somebody else; and every session has a token of its own."""
    person, again = signed_in(world, "trader"), make_operator(world, "approver")
    before = person.token
    assert person.sign_in(again).status_code == 403
    assert person.token == before
    person.done("/sign-out", {})
    assert person.sign_in(again).status_code == 303
    assert person.token != before
    assert is_out(with_cookie(world.server, before))


@pytest.mark.parametrize(
    "query",
    [
        "update operators set enabled = false where lane = $1",
        "update operator_sessions set ended_at = now() where lane = $1",
        f"update operator_sessions set seen_at = now() - interval '{timedelta(hours=2)}' where lane = $1",
        f"update operator_sessions set created_at = now() - interval '{timedelta(days=2)}' where lane = $1",
    ],
    ids=["disabled", "ended", "idle", "old"],
)
def test_who_may_not_be_in_any_more_is_out_at_once(world: World, query: str) -> None:
    person = signed_in(world, "trader")
    assert not is_out(person)
    asked(world, query, lane_of(world))
    assert is_out(person)


@pytest.mark.parametrize("there", [{"sec-fetch-mode": "navigate"}, {"hx-request": "true", "x-somebody-there": "yes"}])
def test_what_an_open_page_asks_for_by_itself_keeps_nobody_signed_in(world: World, there: dict[str, str]) -> None:
    person = signed_in(world, "trader")
    seen = "select date_trunc('second', seen_at) from operator_sessions where lane = $1"
    lane = lane_of(world)
    asked(world, "update operator_sessions set seen_at = now() - interval '20 minutes' where lane = $1", lane)
    before = asked(world, seen, lane)
    for headers in ({"hx-request": "true"}, {"sec-fetch-mode": "cors"}, {"sec-fetch-mode": "no-cors"}):
        assert person.get("/account", headers=headers).status_code == 200
        assert asked(world, seen, lane) == before
    assert person.get("/account", headers=there).status_code == 200
    assert asked(world, seen, lane) != before


def test_who_works_in_a_world_that_is_closed_is_out(world: World) -> None:
    person = signed_in(world, "trader")
    assert world.operator("DELETE", f"/sandbox/worlds/{world.id}").is_success
    assert is_out(person)


def test_the_cookie_goes_to_the_console_only_and_no_script_sees_it(world: World, new_server: NewServer) -> None:
    made = make_operator(world, "trader")
    plain = Person(world.server).sign_in(made).headers["set-cookie"]
    assert re.fullmatch(rf"{COOKIE}=[\w-]{{43}}; Path=/console; HttpOnly; SameSite=Lax", plain)
    behind = new_server(DESK_TRUSTED_PROXIES="127.0.0.1")
    person = Person(behind)
    person.http.headers["x-forwarded-proto"] = "https"
    answer = person.sign_in(make_operator(world, "trader"))
    assert answer.headers["set-cookie"].endswith("; HttpOnly; SameSite=Lax; Secure")


# -- addresses, headers, files ----------------------------------------------------------------------------------------


def test_nothing_that_an_address_says_becomes_part_of_a_page(person: Person, site: Site) -> None:
    faults = []
    for path in site.paths:
        bare = path.partition("?")[0]
        own = set(re.findall(r'<(?:input|select)[^>]* name="(\w+)"', "".join(_filters(person.get(path).text))))
        for name in {"said", "next", "q", "page", "unheard-of", _STRUCK, *own}:
            answer = person.get(bare, params={name: _STRUCK})
            if _STRUCK in answer.text or answer.status_code >= 500:
                faults.append((bare, name, answer.status_code))
    assert faults == []


def _filters(html: str) -> list[str]:
    """Return the forms of a page that only ask."""
    return [form for form in re.findall(r"<form\b.*?</form>", html, re.DOTALL) if 'method="post"' not in form]


@pytest.mark.parametrize("name", ["next", "said", "q"])
def test_no_header_is_written_by_an_address(person: Person, name: str) -> None:
    for broken in ("/console/x\r\nset-cookie: a=1", "/console/\n\nx", "/console/\u560d\u560a", "/console/x\x00"):
        for path in ("/sign-in", "/account"):
            answer = person.get(path, params={name: broken})
            assert answer.status_code in {200, 303, 400}
            assert "set-cookie" not in answer.headers
            assert "\n" not in answer.headers.get("location", "")


def test_every_answer_keeps_itself_to_itself(server: DeskServer, person: Person, site: Site) -> None:
    paths = [*site.paths, f"{CONSOLE}/nowhere", f"{CONSOLE}/account?said=%ff", f"{CONSOLE}/static/console.css"]
    paths += [f"{CONSOLE}/static/{name}" for name in ("htmx.js", "icon.svg", "none.js")]
    nobody = Person(server)
    answers = [person.get(path) for path in paths]
    answers += [nobody.get(path) for path in ("/", "/sign-in", "/orders", "/events", "/static/console.js")]
    answers += [nobody.post("/sign-out", {}, mark=False), nobody.post("/sign-in", {}, mark=False)]
    answers += [nobody.http.request("PUT", f"{CONSOLE}/account"), nobody.http.head(f"{CONSOLE}/sign-in")]
    for answer in answers:
        headers, about = answer.headers, (answer.request.method, str(answer.url), answer.status_code)
        assert "x-content-type-options" in headers, about
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, about
        assert "frame-ancestors 'none'" in policy, about
        assert "unsafe" not in policy, about
        assert "http" not in policy, about
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY"), about
        assert headers["referrer-policy"] == "no-referrer", about
        assert headers["cross-origin-opener-policy"] == "same-origin", about
        assert headers["cross-origin-resource-policy"] == "same-origin", about
        assert headers["cache-control"] == "no-store", about
        assert "server" not in headers, about


def test_a_file_is_kept_by_browsers_under_the_digest_of_its_content_only(server: DeskServer) -> None:
    """A page of another version asks for another digest: what it is given now must not be kept as that."""
    person = Person(server)
    (current,) = re.findall(r'href="(/console/static/console.css\?v=\w+)"', person.get("/sign-in").text)
    assert person.get(current).headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in ("/static/console.css", "/static/console.css?v=0", f"{current}0"):
        answer = person.get(other)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name",
    [
        "../routes.py",
        "..%2froutes.py",
        "%2e%2e/%2e%2e/app.py",
        "..\\routes.py",
        "....//routes.py",
        "/etc/passwd",
        "%00console.css",
        "console.css%00.js",
        "VENDORED.md",
        "",
    ],
)
def test_only_what_pages_need_is_a_file(server: DeskServer, name: str) -> None:
    answer = server.raw(f"GET /console/static/{name} HTTP/1.1\r\nHost: desk\r\nConnection: close\r\n\r\n".encode())
    assert answer.status == 404
