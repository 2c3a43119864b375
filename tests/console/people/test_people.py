"""Keeping people over real HTTP: made, changed, kept out and signed out by others, never by themselves."""

import re
from uuid import UUID

import pytest

from otcdesk.domain.duties import DUTIES, ROLES
from otcdesk.errors import Code
from otcdesk.operators import MadeOperator
from tests.support.consoles import Html, Person, acts_of, code_of, make_operator, signed_in
from tests.support.server import DeskServer, World

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"


@pytest.fixture(scope="module")
def world(server: DeskServer) -> World:
    return World(server)


@pytest.fixture(scope="module")
def root(world: World) -> Person:
    return signed_in(world, "admin", name="Root")


def filled(**changes: str) -> dict[str, str]:
    fields = {"email": "nina@desk.example", "name": "Nina", "role:trader": "yes", "why": "she begins on Monday"}
    return {name: text for name, text in (fields | changes).items() if text != "-"}


def path_of(root: Person, email: str) -> str:
    """Return the page of somebody, as the list leads there."""
    page = root.open("/people").html
    found = re.search(rf'data-href="([^"]+)">(?:(?!</tr>).)*{re.escape(email)}', page, re.DOTALL)
    assert found, email
    return found.group(1)


def made_of(answer: Html, world: World) -> MadeOperator:
    """Read what somebody signs in with off the page that shows it this once."""
    email, password, secret, uri = re.findall(r'<code class="hash">([^<]+)</code>', answer.html)
    world.server.secrets |= {password, secret}
    assert uri.startswith("otpauth://totp/")
    assert secret in uri
    return MadeOperator(id=UUID(int=0), email=email, password=password, totp_secret=secret, provisioning_uri=uri)


def test_somebody_is_made_and_signs_in_with_what_is_shown_once(world: World, root: Person) -> None:
    answer = root.post("/people", filled())
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    nina, made = Person(world.server), made_of(Html(answer.text), world)
    assert nina.sign_in(made).status_code == 303
    assert "trader" in nina.open("/account").text
    assert nina.get("/people").status_code == 403
    assert made.password not in root.open("/people").html
    assert root.post("/people", filled(email="NINA@desk.example")).status_code == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "nobody"},
        {"email": ""},
        {"name": ""},
        {"name": "x" * 201},
        {"role:trader": "-"},
        {"role:king": "yes"},
        {"why": ""},
        {"why": "x" * 501},
    ],
    ids=str,
)
def test_what_is_wrong_is_told_and_kept_on_the_form(root: Person, changes: dict[str, str]) -> None:
    before = root.open("/people").rows
    answer = root.post("/people", filled(**{"email": "wrong@desk.example", **changes}))
    assert 400 <= answer.status_code < 500
    assert 'role="alert"' in answer.text
    assert len(root.open("/people").rows) == len(before)


def test_roles_change_in_every_session_at_once(world: World, root: Person) -> None:
    made, tess = make_operator(world, "trader", name="Tess"), Person(world.server)
    tess.sign_in(made)
    fields = {"name": HOSTILE, "role:approver": "yes", "role:finance": "yes", "why": HOSTILE}
    root.done(path_of(root, made.email), fields)
    page = tess.open("/account")
    assert "Approve orders" in page.text
    assert HOSTILE in page.text
    assert "<script>alert" not in page.html


def test_who_is_kept_out_is_out_at_once(world: World, root: Person) -> None:
    made, tess = make_operator(world, "trader"), Person(world.server)
    tess.sign_in(made)
    path = path_of(root, made.email)
    root.done(f"{path}/enabled", {"enabled": "no", "why": "left"})
    assert tess.get("/account").status_code == 303
    assert "kept out" in root.open(path).text
    root.done(f"{path}/enabled", {"enabled": "yes", "why": "is back"})
    assert "let in" in root.open(path).text


def test_a_reset_gives_another_password_and_secret(world: World, root: Person) -> None:
    made, tess = make_operator(world, "trader"), Person(world.server)
    tess.sign_in(made)
    answer = root.post(f"{path_of(root, made.email)}/reset", {"why": "lost the telephone"})
    fresh = made_of(Html(answer.text), world)
    assert tess.get("/account").status_code == 303
    assert tess.sign_in(made).status_code == 401
    assert tess.sign_in(fresh, code=code_of(fresh)).status_code == 303


def test_sessions_of_others_are_ended(world: World, root: Person) -> None:
    made, tess, other = make_operator(world, "trader"), signed_in(world, "trader"), Person(world.server)
    other.sign_in(made)
    path = path_of(root, made.email)
    page = root.open(path)
    session = next(part for part in re.findall(r'<option value="([^"]+)"', page.html) if part)
    elsewhere = next(
        part
        for row in root.open("/people").rows
        if str(row["data-href"]) != path
        for part in re.findall(r'<option value="([0-9a-f-]{36})"', root.open(str(row["data-href"])).html)
    )
    assert root.post(f"{path}/sessions/end", {"session": elsewhere, "why": "x"}).status_code == 400
    root.done(f"{path}/sessions/end", {"session": session, "why": "left it open"})
    assert other.get("/account").status_code == 303
    assert tess.get("/account").status_code == 200


def test_nobody_keeps_their_own_standing(root: Person) -> None:
    mine = next(str(row["data-href"]) for row in root.open("/people").rows if is_own(root, str(row["data-href"])))
    fields = {"name": "Root", "role:admin": "yes", "role:trader": "yes", "enabled": "no", "why": "more"}
    for what in ("", "/enabled", "/reset"):
        answer = root.post(f"{mine}{what}", fields)
        assert answer.status_code == 403
        assert Code.OPERATOR_IS_SELF.sentence in Html(answer.text).text
    assert root.get("/people").status_code == 200


def is_own(person: Person, path: str) -> bool:
    return "Yourself" in person.open(path).text


def test_what_is_done_stands_in_the_audit_chain(world: World, root: Person) -> None:
    made = make_operator(world, "trader")
    root.done(f"{path_of(root, made.email)}/enabled", {"enabled": "no", "why": "left for good"})
    act = acts_of(world)[0]
    assert (act.verb, act.why) == ("note_act", "left for good")
    assert act.caller.startswith("person:admin-")
    for part in ("kept an operator out", made.email, str(made.id)):
        assert part in act.content


@pytest.mark.parametrize("role", [role for role in ROLES if role != "admin"])
def test_who_does_not_keep_the_people_sees_nothing_of_them(world: World, root: Person, role: str) -> None:
    person = signed_in(world, role)
    other = path_of(root, make_operator(world, "trader").email)
    assert "/console/people" not in person.open("/account").links
    for path in ("/people", other):
        assert person.get(path).status_code == 403
    for path in ("/people", other, f"{other}/enabled", f"{other}/reset", f"{other}/sessions/end"):
        assert person.post(path, filled(enabled="no")).status_code == 403
    assert "let in" in root.open(other).text


def test_nobody_of_another_desk_is_there(world: World, root: Person, server: DeskServer) -> None:
    elsewhere = World(server)
    stranger = make_operator(elsewhere, "trader")
    path = f"/people/{stranger.id}"
    assert root.get(path).status_code == 404
    for what in ("", "/enabled", "/reset", "/sessions/end"):
        answer = root.post(f"{path}{what}", filled(enabled="no"))
        assert answer.status_code == 404
    assert Person(server).sign_in(stranger).status_code == 303


def test_the_matrix_says_what_each_role_carries(root: Person) -> None:
    page = root.open("/people").html
    for duty, said in DUTIES.items():
        row = page[page.index(said) :].partition("</tr>")[0]
        assert [cell == "yes" for cell in re.findall(r'class="hidden">(yes|no)<', row)] == [
            duty in carried for carried in ROLES.values()
        ]
