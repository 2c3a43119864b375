"""`otcdesk operators`: people made, listed, kept out, reset and signed out; codes of the demo's people."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from otcdesk.app import open_desk
from otcdesk.config import Settings
from otcdesk.errors import Code, Refusal
from otcdesk.one_time_codes import code_at, parsed_secret
from otcdesk.operators import SignedIn
from tests.cli.commands import Desk, Said, assert_one_sentence, environ, otcdesk
from tests.support.databases import run_apart

EMAIL = "tess@desk.example"
STAFF = """
[[staff]]
ref = "tess"
email = "tess@desk.example"
name = "Tess"
roles = ["trader"]
"""


class Told:
    """What a command printed for somebody to sign in with."""

    def __init__(self, said: Said) -> None:
        assert said.code == 0, said
        found = re.search(r"^(\S+): (\S+)\nTOTP secret: ([A-Z2-7]{32})\n(otpauth://totp/\S+)", said.out, re.MULTILINE)
        assert found is not None, said
        self.email, self.password, self.secret, self.uri = found.groups()

    @property
    def code(self) -> str:
        return code_at(parsed_secret(self.secret), datetime.now(UTC))


def created(desk: Desk, email: str = EMAIL, *roles: str) -> Told:
    given = [part for role in roles or ("trader",) for part in ("--role", role)]
    return Told(desk.run("operators", "create", email, "--name", "Tess", *given))


def signed_in(desk: Desk, told: Told) -> SignedIn:
    async def run() -> SignedIn:
        async with open_desk(Settings(home=str(desk.home)), desk.dsn) as program:
            return await program.operators.sign_in(
                email=told.email,
                password=told.password,
                code=told.code,
                desk=None,
                address="192.0.2.1",
                agent="a browser",
            )

    return run_apart(run())


def test_an_operator_is_made_and_signs_in(loaded: Desk) -> None:
    told = created(loaded, EMAIL, "approver", "trader")
    assert told.email == EMAIL
    asked = parse_qs(urlsplit(told.uri).query)
    assert asked["secret"] == [told.secret]
    assert asked["issuer"] == ["otcdesk main"]
    session = signed_in(loaded, told).session
    assert (session.name, session.roles, session.lane_name) == ("Tess", ["trader", "approver"], "main")
    listed = loaded.run("operators", "list").out
    assert re.fullmatch(r"\S+  tess@desk\.example  Tess  trader approver  -\n", listed)
    assert told.password not in listed
    shown = loaded.run("operators", "sessions", EMAIL).out
    assert shown.startswith(str(session.id))
    assert "192.0.2.1  a browser" in shown


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("create", EMAIL, "--name", "Tess", "--role", "trader"), "already"),
        (("create", "nobody", "--name", "Tess", "--role", "trader"), "'nobody' is not an e-mail address"),
        (("create", "a@desk.example", "--name", "Tess", "--role", "king"), "trader, approver, finance"),
        (("roles", EMAIL, "--role", "king"), "trader, approver, finance"),
    ],
)
def test_who_cannot_be_is_told_in_a_sentence(loaded: Desk, arguments: tuple[str, ...], told: str) -> None:
    created(loaded)
    said = loaded.run("operators", *arguments)
    assert_one_sentence(said)
    assert told in said.err


@pytest.mark.parametrize("command", ["roles", "disable", "enable", "reset", "sessions", "sign-out"])
def test_nobody_is_told_of(loaded: Desk, command: str) -> None:
    options = ("--role", "trader") if command == "roles" else ()
    said = loaded.run("operators", command, "nobody@desk.example", *options)
    assert said.code == 2
    assert "the lane has no operator nobody@desk.example" in said.words


def test_roles_change_and_sessions_end(loaded: Desk) -> None:
    told = created(loaded)
    signed = signed_in(loaded, told)
    assert (
        loaded.run("operators", "roles", EMAIL, "--role", "finance", "--role", "approver").out == "approver finance\n"
    )
    wrong = loaded.run("operators", "sign-out", EMAIL, "--session", "nothing")
    assert "has no session nothing" in wrong.words
    assert loaded.run("operators", "sign-out", EMAIL, "--session", signed.session.id).out == "1 session ended\n"
    assert loaded.run("operators", "sign-out", EMAIL).out == "0 sessions ended\n"
    assert loaded.run("operators", "sessions", EMAIL).out == ""


def test_a_lost_authenticator_is_replaced(loaded: Desk) -> None:
    told = created(loaded)
    fresh = Told(loaded.run("operators", "reset", EMAIL.upper()))
    assert fresh.password != told.password
    assert fresh.secret != told.secret
    assert signed_in(loaded, fresh).session.email == EMAIL
    with pytest.raises(Refusal) as caught:
        signed_in(loaded, told)
    assert caught.value.code is Code.SIGN_IN_FAILED


def test_who_is_disabled_is_let_in_again_with_the_same_password(loaded: Desk) -> None:
    told = created(loaded)
    assert loaded.run("operators", "disable", EMAIL).out == "disabled\n"
    assert loaded.run("operators", "list").out.endswith("  disabled\n")
    with pytest.raises(Refusal):
        signed_in(loaded, told)
    assert loaded.run("operators", "enable", EMAIL).out == "enabled\n"
    assert signed_in(loaded, told).session.email == EMAIL


def test_who_is_locked_out_is_listed_so(loaded: Desk) -> None:
    told = created(loaded)
    told.password = "a wrong password"
    for _ in range(5):
        with pytest.raises(Refusal):
            signed_in(loaded, told)
    assert loaded.run("operators", "list").out.endswith("  locked\n")


def test_a_world_file_makes_its_staff_once_and_keeps_names_and_roles(loaded: Desk, tmp_path: Path) -> None:
    file = tmp_path / "staffed.toml"
    file.write_text('name = "staffed"\nassets = []\n' + STAFF, encoding="utf-8")
    told = Told(loaded.run("world", "load", file))
    assert signed_in(loaded, told).session.roles == ["trader"]
    loaded.run("operators", "roles", EMAIL, "--role", "admin")
    file.write_text(file.read_text(encoding="utf-8").replace('"Tess"', '"Tessa"'), encoding="utf-8")
    again = loaded.run("world", "load", file)
    assert again.lines == ["staffed: 0 rows added, 0 changed."]
    assert "  Tessa  trader  -" in loaded.run("operators", "list").out


@pytest.mark.parametrize(
    "before, after, told",
    [
        ('"tess@desk.example"', '"tess"', "'tess' is not an e-mail address"),
        ('name = "Tess"', 'name = " "', "' ' is no name"),
        ('["trader"]', '["king"]', "needs at least one of the roles trader"),
        ('["trader"]', "[]", "needs at least one of the roles trader"),
        (STAFF, STAFF + STAFF.replace('"tess"', '"other"').replace("tess@", "TESS@"), "the same ref or e-mail address"),
        (STAFF, STAFF + STAFF.replace("tess@", "other@"), "the same ref or e-mail address"),
        (
            STAFF,
            "".join(STAFF.replace("tess", f"tess{number}") for number in range(51)),
            "the staff has more than 50 people",
        ),
    ],
    ids=["no address", "no name", "no role", "no roles", "an address twice", "a ref twice", "too many"],
)
def test_staff_that_cannot_be_is_told_before_anything_is_made(
    loaded: Desk, tmp_path: Path, before: str, after: str, told: str
) -> None:
    file = tmp_path / "staffed.toml"
    file.write_text('name = "staffed"\nassets = []\n' + STAFF.replace(before, after), encoding="utf-8")
    said = loaded.run("world", "load", file)
    assert_one_sentence(said)
    assert told in said.err
    assert loaded.run("operators", "list").out == ""


def test_the_code_of_somebody_of_the_demo(tmp_path: Path) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    person = {"email": EMAIL, "name": "Tess", "roles": ["trader"], "password": "", "totp_secret": secret}
    (tmp_path / "demo.json").write_text(json.dumps({"console": {"base_url": "", "users": [person]}}), encoding="utf-8")
    env = environ(tmp_path)
    codes = {code_at(parsed_secret(secret), datetime.now(UTC))}
    said = otcdesk("operators", "code", EMAIL.upper(), env=env)
    codes.add(code_at(parsed_secret(secret), datetime.now(UTC)))
    assert said.out.strip() in codes
    said = otcdesk("operators", "code", "nobody@desk.example", env=env)
    assert said.code == 2
    assert f"demo.json knows no operator nobody@desk.example; it knows {EMAIL}" in said.words
    (tmp_path / "demo.json").unlink()
    assert "it knows none" in otcdesk("operators", "code", EMAIL, env=env).words
