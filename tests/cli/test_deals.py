"""`otcdesk deals`, and supervisors of a live lane: made, changed, kept out, and called as."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from otcdesk.cli import cli
from otcdesk.cli_deals import CLIENT_VARIABLE, SECRET_VARIABLE
from otcdesk.domain.world import tenant_id
from tests.cli.commands import Desk, Said, assert_one_sentence
from tests.support.deals import DEALS, N2, ROOT, THIRD, DealsWorld
from tests.support.server import DeskServer, free_port
from tests.support.tokens import claims_of

WORLD = (files("otcdesk") / "worlds" / "deals.toml").read_text(encoding="utf-8")
ESTATE = str(tenant_id("estate"))
SUPERVISOR = "65a1b2c3d4e5f60718290f01"
ADMIN = "65a1b2c3d4e5f60718290f10"


@pytest.fixture
def desk(loaded: Desk, tmp_path: Path) -> Desk:
    """Give a desk with the world of deals in a live lane of its own."""
    said = load(loaded, tmp_path, WORLD)
    assert said.code == 0, said
    return loaded


def load(desk: Desk, folder: Path, text: str) -> Said:
    file = folder / "deals.toml"
    file.write_text(text, encoding="utf-8")
    return desk.run("world", "load", file, "--lane", "estate")


def estate(desk: Desk, *arguments: str) -> Said:
    """Run a command on that lane."""
    return desk.run(*arguments, "--lane", "estate")


def listed(desk: Desk) -> str:
    said = estate(desk, "deals", "supervisors")
    assert said.code == 0, said
    return said.out


def standing(desk: Desk, client_id: str) -> object:
    """Return what of a client's supervisor the database tells."""
    return desk.ask(
        "select s.email || ' ' || array_to_string(r.permissions, ',') from credentials as c"
        " join supervisors as s on s.lane = c.lane and s.id = c.supervisor_id and s.enabled"
        f" join roles as r on r.lane = s.lane and r.id = s.role_id where c.id = '{client_id}'"
    )


# -- world files -------------------------------------------------------------------------------------------------------


def test_a_world_tells_its_supervisors_and_their_clients(loaded: Desk, tmp_path: Path) -> None:
    said = load(loaded, tmp_path, WORLD)
    assert f"supervisor estate/root: {SUPERVISOR}" in said.lines
    assert len(re.findall(r"client id \S+, secret cs_live_\S+ ", said.out)) == 3
    again = load(loaded, tmp_path, WORLD)
    assert again.lines[0] == "deals: 0 rows added, 0 changed."
    assert "secret" not in again.out
    assert listed(loaded).count("supervisor  ") == 3


def test_loading_again_changes_permissions_and_who_is_let_in(desk: Desk, tmp_path: Path) -> None:
    changed = WORLD.replace("permissions = []", 'permissions = ["read", "otc.create"]')
    changed = changed.replace('email = "third@example.com"', 'email = "third@example.com"\nenabled = false')
    assert load(desk, tmp_path, changed).code == 0
    rows = listed(desk)
    assert "reader  priority 10  otc.create read" in rows
    assert re.search(rf"third@example\.com  branch \S+  role {ADMIN}  disabled", rows)
    assert load(desk, tmp_path, WORLD).code == 0
    assert "disabled" not in listed(desk)


@pytest.mark.parametrize(
    "before, after",
    [
        ('ref = "root"\nsupervisor = "root"', 'ref = "root"\nsupervisor = "third"'),
        ('ref = "root"\nsupervisor = "root"', 'ref = "root"'),
    ],
)
def test_a_known_client_cannot_call_as_somebody_else(desk: Desk, tmp_path: Path, before: str, after: str) -> None:
    changed = WORLD.replace(before, after).replace('permissions = ["*"]', 'permissions = ["read"]')
    said = load(desk, tmp_path, changed)
    assert_one_sentence(said)
    assert "the client 'root' calls as another supervisor" in said.err
    assert "admin  priority 100  *" in listed(desk)  # refused before anything was done


def test_a_supervisor_keeps_its_branch(desk: Desk, tmp_path: Path) -> None:
    said = load(desk, tmp_path, WORLD.replace('branch = "N3"\nrole', 'branch = "N2"\nrole'))
    assert_one_sentence(said)
    assert "keeps its branch" in said.err


# -- commands ----------------------------------------------------------------------------------------------------------


def test_a_role_a_supervisor_and_a_client_are_made_and_changed(desk: Desk) -> None:
    made = estate(desk, "deals", "role", "clerk", "--tenant", ESTATE, "--permission", "read", "--priority", "5")
    role = made.out.strip()
    assert re.fullmatch("[0-9a-f]{24}", role), made
    one = ("deals", "supervisor", "clerk@example.com", "--tenant", ESTATE, "--branch", N2)
    supervisor = estate(desk, *one, "--role", role).out.strip()
    assert re.fullmatch("[0-9a-f]{24}", supervisor)
    client = estate(desk, "keys", "create-client", "clerk", "--tenant", ESTATE, "--supervisor", supervisor)
    found = re.fullmatch(r"client id (\S+), secret (cs_live_\S+)\n", client.out)
    assert found is not None, client
    assert standing(desk, found[1]) == "clerk@example.com read"

    more = ("--permission", "otc.create", "--permission", "read", "--id", role)
    assert estate(desk, "deals", "role", "clerk", "--tenant", ESTATE, *more).out.strip() == role
    assert standing(desk, found[1]) == "clerk@example.com otc.create,read"
    assert estate(desk, "deals", "disable", supervisor).out == "disabled\n"
    assert standing(desk, found[1]) is None
    promoted = ("deals", "supervisor", "boss@example.com", "--tenant", ESTATE, "--branch", N2, "--role", ADMIN)
    assert estate(desk, *promoted, "--id", supervisor).code == 0
    assert standing(desk, found[1]) is None  # who is kept out stays so
    assert estate(desk, "deals", "enable", supervisor).out == "enabled\n"
    assert standing(desk, found[1]) == "boss@example.com *"
    (row,) = [line for line in estate(desk, "keys", "list").lines if " clerk " in line]
    assert " deals " in row


#: What cannot be, and what is told of it.
IMPOSSIBLE = [
    (["deals", "role", "x", "--tenant", ESTATE, "--permission", "everything"], "there is no permission"),
    (["deals", "role", "x", "--tenant", ESTATE, "--id", "65a1b2c3d4e5f60718290fff"], "no role"),
    (["deals", "role", "x", "--tenant", "nobody"], "not a UUID"),
    (["deals", "supervisor", "x", "--tenant", ESTATE, "--branch", N2, "--role", ADMIN], "not an e-mail address"),
    (["deals", "supervisor", "a@b", "--tenant", ESTATE, "--branch", "N2", "--role", ADMIN], "24 hexadecimal"),
    (["deals", "supervisor", "a@b", "--tenant", ESTATE, "--branch", ADMIN, "--role", ADMIN], "needs a branch"),
    (["deals", "supervisor", "a@b", "--tenant", ESTATE, "--branch", N2, "--role", N2], "needs a branch"),
    (
        ["deals", "supervisor", "a@b", "--tenant", ESTATE, "--branch", N2, "--role", ADMIN, "--id", N2],
        "no supervisor",
    ),
    (["deals", "disable", N2], "no supervisor"),
    (["deals", "enable", "x"], "24 hexadecimal"),
    (["keys", "create-client", "x", "--tenant", ESTATE, "--supervisor", N2], "no supervisor"),
    (["keys", "create-client", "x", "--tenant", ESTATE, "--supervisor", "x"], "24 hexadecimal"),
]


def test_what_cannot_be_is_told(desk: Desk) -> None:
    before = listed(desk)
    for arguments, told in IMPOSSIBLE:
        said = estate(desk, *arguments)
        assert said.code in {1, 2}
        assert told in said.words, arguments
    assert listed(desk) == before


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(server: DeskServer) -> DealsWorld:
    return DealsWorld(server)


def token(*arguments: str, stdin: str | None = None, **env: str) -> Result:
    """Ask for a token in this process."""
    clean = {CLIENT_VARIABLE: "", SECRET_VARIABLE: "", "NO_COLOR": "1", "COLUMNS": "200", **env}
    return CliRunner().invoke(cli, ["deals", "token", *arguments], env=clean, input=stdin)


def test_a_token_is_printed_to_be_used(world: DealsWorld) -> None:
    client = world.clients[THIRD]
    url = world.server.url + DEALS
    by_variables = {CLIENT_VARIABLE: client["clientId"], SECRET_VARIABLE: client["clientSecret"]}
    said = token("--url", url, **by_variables)
    assert said.exit_code == 0, said.output
    assert claims_of(said.stdout.strip())["supervisorID"] == world.supervisors[THIRD]
    assert world.as_bearer(said.stdout.strip()).status_code == 400
    asked = token("--url", url + "/v2/", "--client-id", client["clientId"], stdin=client["clientSecret"] + "\n")
    assert asked.exit_code == 0, asked.output
    assert claims_of(asked.stdout.strip().splitlines()[-1])["clientID"] == client["clientId"]
    assert client["clientSecret"] not in asked.output


def test_the_demos_client_is_asked_for_without_any_words(world: DealsWorld, tmp_path: Path) -> None:
    keys = world.keys_of(THIRD)
    told = {"deals": {"base_url": f"{world.server.url}{DEALS}/v2", **keys}}
    (tmp_path / "demo.json").write_text(json.dumps(told), encoding="utf-8")
    said = token("--home", str(tmp_path))
    assert claims_of(said.stdout.strip())["clientID"] == keys["api_key"]
    other = token("--home", str(tmp_path), "--client-id", world.keys_of(ROOT)["api_key"], stdin="guess\n")
    assert other.exit_code == 1


def test_a_token_that_is_refused(world: DealsWorld) -> None:
    client_id = world.clients[ROOT]["clientId"]
    said = token("--url", world.server.url + DEALS, "--client-id", client_id, **{SECRET_VARIABLE: "guess"})
    assert (said.exit_code, said.stdout) == (1, "")
    assert json.loads(said.stderr.partition("401 ")[2]) == {"error": "Authentication required"}


def test_nobody_and_nowhere(world: DealsWorld, tmp_path: Path) -> None:
    assert "say who asks" in token("--url", world.server.url, "--home", str(tmp_path)).stderr
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = token("--url", nowhere, "--client-id", "x", **{SECRET_VARIABLE: "x"})
    assert said.exit_code == 2
    assert "does not answer" in said.stderr
