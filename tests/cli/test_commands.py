"""Every command on a database of the test's own: what it says, and its exit code."""

import base64
import json
import re
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from otcdesk import __version__
from otcdesk.domain.world import tenant_id
from tests.cli.commands import WORLD, Demo, Desk, Running, assert_one_sentence, get, otcdesk
from tests.support.server import free_port

A = str(tenant_id("A"))


@pytest.fixture
def desk(tmp_path: Path, fresh_dsn: str) -> Desk:
    return Desk(tmp_path / "home", fresh_dsn)


@pytest.fixture
def opened(loaded: Desk) -> Desk:
    """A desk into which the contract's world is loaded."""
    return loaded


# -- mistakes of the person ----------------------------------------------------------------------------------------


def test_help_names_every_command(desk: Desk) -> None:
    said = desk.run("--help")
    assert said.code == 0
    named = {"demo", "serve", "work", "migrate", "session", "verify", "head", "doctor"}
    named |= {"bench", "psql", "docs", "version", "keys", "world", "backup", "restore", "upgrade"}
    assert {name for name in named if f" {name} " not in said.out} == set()


def test_without_a_command_there_is_help(desk: Desk) -> None:
    said = desk.run()
    assert said.code == 2
    assert "Usage" in said.out + said.err


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["sevre"], "No such command 'sevre'"),
        (["doctor", "--bogus"], "No such option: --bogus"),
        (["keys", "create"], "Missing argument"),
        (["serve", "--port", "many"], "--port"),
        (["session", A, "--minutes", "0"], "--minutes"),
    ],
)
def test_a_command_that_is_none_is_told(desk: Desk, arguments: list[str], told: str) -> None:
    said = desk.run(*arguments)
    assert said.code == 2
    assert told in said.words


@pytest.mark.parametrize(
    "variable, value, told",
    [
        ("DESK_PROT", "1", "did you mean DESK_PORT?"),
        ("DESK_NOTHING_LIKE_IT_AT_ALL_XYZ", "1", "There is no setting DESK_NOTHING_LIKE_IT_AT_ALL_XYZ"),
        ("DESK_PORT", "99999", "DESK_PORT is not valid"),
        ("DESK_PORT", "many", "DESK_PORT is not valid"),
        ("DESK_SANDBOX", "perhaps", "DESK_SANDBOX is not valid"),
        ("DESK_LOG_LEVEL", "loud", "DESK_LOG_LEVEL is not valid"),
        ("DESK_HOME", "/proc/none", "/proc/none"),
    ],
)
def test_a_setting_that_is_wrong_is_named(desk: Desk, variable: str, value: str, told: str) -> None:
    said = desk.run("doctor", **{variable: value})
    assert_one_sentence(said)
    assert told in said.err


@pytest.mark.parametrize(
    "dsn",
    ["nonsense", "postgresql://otcdesk:wrong@127.0.0.1:1/otcdesk"],
)
def test_a_database_that_cannot_be_used_is_told(desk: Desk, dsn: str) -> None:
    said = desk.run("doctor", DATABASE_URL=dsn)
    assert_one_sentence(said)
    assert "The database cannot be used" in said.err
    assert "wrong" not in said.err


def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Demo(tmp_path / "home") as demo:
            for command in ("demo", "serve"):
                said = otcdesk(command, "--port", port, env=demo.env)
                assert_one_sentence(said)
                assert f"127.0.0.1:{port}" in said.err
                assert "in use" in said.err
            assert demo.servers() == []
            assert not demo.data.exists()


# -- world files ---------------------------------------------------------------------------------------------------


def test_a_world_is_loaded_and_loading_it_again_changes_nothing(desk: Desk) -> None:
    first = desk.run("world", "load", WORLD)
    assert first.code == 0
    assert first.lines[0].startswith("contract: ")
    assert " 0 rows" not in first.lines[0]
    assert f"tenant A: {A}" in first.lines
    secrets = [line.split()[1] for line in first.lines if "(shown this once)" in line]
    assert [secret[:3] for secret in secrets] == ["sk_"] * 4 + ["op_"]

    again = desk.run("world", "load", WORLD)
    assert again.code == 0
    assert again.lines[0] == "contract: 0 rows added, 0 changed."
    assert "shown this once" not in again.out


def test_a_worlds_webhooks_show_their_secrets_once(desk: Desk, tmp_path: Path) -> None:
    hook = 'url = "https://8.8.8.8/hook"\nevent_types = ["webhook.test"]\n'
    file = tmp_path / "hooked.toml"
    file.write_text(f'name = "hooked"\nassets = []\n[[webhooks]]\n{hook}', encoding="utf-8")
    said = desk.run("world", "load", file)
    assert said.code == 0
    assert said.lines[1].startswith("webhook https://8.8.8.8/hook: whsec_")
    assert said.lines[1].endswith("(shown this once)")
    again = desk.run("world", "load", file)
    assert (again.code, again.lines) == (0, ["hooked: 0 rows added, 0 changed."])
    file.write_text(file.read_text(encoding="utf-8").replace("8.8.8.8", "10.0.0.1"), encoding="utf-8")
    said = desk.run("world", "load", file)
    assert_one_sentence(said)
    assert "'https://10.0.0.1/hook'" in said.err


def test_a_changed_opening_balance_is_refused_with_the_difference(opened: Desk, tmp_path: Path) -> None:
    text = WORLD.read_text(encoding="utf-8")
    changed = tmp_path / "changed.toml"
    changed.write_text(text.replace('balance = "10000.00"', 'balance = "10000.01"', 1), encoding="utf-8")
    said = opened.run("world", "load", changed)
    assert_one_sentence(said)
    assert "+1." in said.err
    assert opened.run("verify").code == 0


@pytest.mark.parametrize(
    "text, told",
    [
        ('name = "x"\nassets = []\nassests = []\n', "assests"),
        ('name = "x"\n', "assets"),
        ("name = \n", "The world file is not valid"),
        ('name = "x"\nassets = [{code = "EUR", scale = 40}]\n', "EUR"),
        ("\xff\xfe", "not UTF-8"),
    ],
)
def test_a_world_file_that_is_wrong_is_told_where(desk: Desk, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text, encoding="latin-1")
    said = desk.run("world", "load", file)
    assert said.code in {1, 2}
    assert told in said.words


def test_a_world_file_that_is_not_there_is_named(desk: Desk, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        said = desk.run("world", "load", path)
        assert_one_sentence(said)
        assert str(path) in said.err
        assert why in said.err


# -- credentials ---------------------------------------------------------------------------------------------------


def test_keys_are_made_listed_and_revoked(opened: Desk) -> None:
    made = opened.run("keys", "create", "reporting", "--tenant", A, "--scope", "otc-exchanges:read", "--days", "30")
    assert made.code == 0
    secret = made.out.strip()
    assert secret.startswith("sk_live_")
    token = opened.run("keys", "create", "bob", "--source-ip", "192.0.2.0/24").out.strip()
    assert token.startswith("op_")

    listed = {line.split()[3]: line for line in opened.run("keys", "list").lines}
    assert {"KA", "KB", "operator", "reporting", "bob"} <= listed.keys()
    assert "otc-exchanges:read  expires 20" in listed["reporting"]
    assert "otc-operator" in listed["bob"]
    assert secret not in str(listed)

    shown = listed["reporting"].split()[1]
    assert secret.startswith(shown.removesuffix("..."))
    assert opened.run("keys", "revoke", shown).out == "revoked\n"
    assert opened.run("keys", "revoke", listed["bob"].split()[0]).code == 0
    ended = [line for line in opened.run("keys", "list").lines if line.endswith("revoked")]
    assert len(ended) == 2
    again = opened.run("keys", "revoke", shown)
    assert again.code != 0
    assert "no live credential" in again.words


def test_a_client_is_made_listed_and_revoked(opened: Desk) -> None:
    made = opened.run("keys", "create-client", "northbank", "--tenant", A)
    assert made.code == 0
    found = re.fullmatch(r"client id (\S+), secret (\S+)\n", made.out)
    assert found is not None
    listed = opened.run("keys", "list")
    (row,) = [line for line in listed.lines if "northbank" in line]
    assert row.split()[2] == "client"
    assert found[2] not in listed.out
    again = opened.run("keys", "create-client", "northbank", "--tenant", A)
    assert again.code in {1, 2}
    assert "already" in again.words
    assert opened.run("keys", "revoke", found[1]).out == "revoked\n"


@pytest.mark.parametrize(
    "options, told",
    [
        (["--tenant", "nobody"], "'nobody' is not a UUID"),
        (["--tenant", "00000000-0000-4000-8000-000000000000"], "has no tenant"),
        (["--scope", "everything"], "otc-operator"),
        (["--tenant", A, "--scope", "otc-operator"], "otc-exchanges:read"),
        (["--source-ip", "300.1.1.1"], "'300.1.1.1' is not an address"),
        (["--lane", "elsewhere"], "no lane 'elsewhere'"),
    ],
)
def test_credentials_that_cannot_be_are_not_made(opened: Desk, options: list[str], told: str) -> None:
    said = opened.run("keys", "create", "someone", *options)
    assert said.code in {1, 2}
    assert told in said.words
    assert "someone" not in opened.run("keys", "list").out


def test_the_desks_key_pairs_for_webhooks_are_rotated_live_and_of_sandboxes_apart(desk: Desk) -> None:
    def published() -> list[Any]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        serving = Running(
            "serve", "--port", str(port), "--no-workers", env=desk.env, ready=lambda: get(f"{url}/readyz")[0] == 200
        )
        with serving:
            keys: list[Any] = get(f"{url}/webhooks/keys")[1]["keys"]
        return keys

    def shown(envelope: str, environment: str) -> list[tuple[str, bool]]:
        """Return the published keys, the newest first, and whether each is to retire."""
        mine = [key for key in published() if (key["envelope"], key["environment"]) == (envelope, environment)]
        mine.sort(key=lambda key: key["madeAt"], reverse=True)
        return [(key["pem"], key["retiresAt"] is not None) for key in mine]

    first = shown("ramp", "live")
    others = shown("ramp", "sandbox"), shown("offers", "live")
    assert [retires for _, retires in first] == [False]
    rotated = desk.run("keys", "rotate-webhooks", "ramp")
    assert rotated.code == 0, rotated
    assert rotated.out.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert rotated.out.endswith("-----END PUBLIC KEY-----\n")
    assert shown("ramp", "live") == [(rotated.out, False), (first[0][0], True)]
    assert (shown("ramp", "sandbox"), shown("offers", "live")) == others

    sandboxes = desk.run("keys", "rotate-webhooks", "ramp", "--sandbox")
    assert sandboxes.code == 0, sandboxes
    assert shown("ramp", "sandbox") == [(sandboxes.out, False), (others[0][0][0], True)]
    assert shown("ramp", "live")[0] == (rotated.out, False)
    again = desk.run("keys", "rotate-webhooks", "ramp")
    assert shown("ramp", "live")[0] == (again.out, False)


@pytest.mark.parametrize("envelope", ["standard", "exchanges", "soap"])
def test_only_an_envelope_that_the_desks_pair_signs_can_be_rotated(desk: Desk, envelope: str) -> None:
    said = desk.run("keys", "rotate-webhooks", envelope)
    assert said.code == 2
    assert "the desk has key pairs for offers and ramp" in said.words


def test_a_session_is_signed_for_a_known_tenant(opened: Desk) -> None:
    token = opened.run("session", A, "--user", "maria", "--minutes", "5", "--csrf-token", "ab" * 32).out.strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert (claims["sub"], claims["customer_id"], claims["csrf"]) == ("maria", A, "ab" * 32)
    for arguments, told in (
        ([A, "--csrf-token", "short"], "64 hexadecimal"),
        (["00000000-0000-4000-8000-000000000000"], "has no tenant"),
    ):
        said = opened.run("session", *arguments)
        assert said.code != 0
        assert told in said.words


# -- verify --------------------------------------------------------------------------------------------------------


def test_verify_names_what_was_changed_behind_the_programs_back(opened: Desk) -> None:
    sound = opened.run("verify")
    assert sound.code == 0
    assert sound.out.endswith(" 0 findings.\n")

    opened.tell("""
        set session_replication_role = replica;
        update accounts set label = 'changed' where label = 'A''s wallet'""")
    said = opened.run("verify", "--lane", "main")
    assert said.code == 1
    assert said.lines[-1].endswith(" 1 findings.")
    assert "accounts" in said.lines[0]
    assert str(opened.ask("select id from accounts where label = 'changed'")) in said.lines[0]


def test_verify_holds_the_chain_against_an_exported_head(opened: Desk, tmp_path: Path) -> None:
    exported = opened.run("head")
    assert exported.code == 0
    head = tmp_path / "head.json"
    head.write_text(exported.out, encoding="utf-8")
    assert opened.run("keys", "create", "later").code == 0
    assert opened.run("world", "load", WORLD).code == 0
    assert opened.run("verify", "--head", head).code == 0, "a head that is not the newest proves what came before it"

    told = json.loads(exported.out)
    (only,) = told["heads"]
    for change in ({"hash": "0" * 64}, {"seq": only["seq"] + 1_000}, {"lane": only["lane"] + 1_000}):
        foreign = {**only, **change}
        head.write_text(json.dumps({**told, "heads": [only, foreign]}), encoding="utf-8")
        said = opened.run("verify", "--head", head)
        assert said.code == 1
        assert f"'{foreign['seq']}'" in said.lines[0]

    head.write_text(json.dumps({**told, "heads": []}), encoding="utf-8")
    other_lane = opened.run("verify", "--lane", "main", "--head", head)
    assert other_lane.code != 0
    assert "has no head of the lane 'main'" in other_lane.words
    head.write_text(json.dumps({**told, "audit_key": "0" * 16}), encoding="utf-8")
    foreign_key = opened.run("verify", "--head", head)
    assert_one_sentence(foreign_key)
    assert f"belongs to the audit key {'0' * 16}, and ours is {told['audit_key']}" in foreign_key.err
    for text in ("", "{}"):
        head.write_text(text, encoding="utf-8")
        assert_one_sentence(opened.run("verify", "--head", head))
    assert_one_sentence(opened.run("verify", "--head", tmp_path / "none.json"))
    assert "no lane" in opened.run("verify", "--lane", "elsewhere").words


def test_heads_of_all_lanes_are_exported_to_a_file_that_is_never_overwritten(opened: Desk, tmp_path: Path) -> None:
    assert opened.run("world", "load", WORLD, "--lane", "second").code == 0
    file = tmp_path / "head.json"
    assert opened.run("head", "--output", file).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    told = json.loads(file.read_text(encoding="utf-8"))
    lanes = opened.ask("select array_agg(lane order by lane) from lanes")
    assert [head["lane"] for head in told["heads"]] == lanes
    assert told["audit_key"] in opened.run("doctor").out
    before = file.read_bytes()
    again = opened.run("head", "--output", file)
    assert_one_sentence(again)
    assert "File exists" in again.err
    assert file.read_bytes() == before
    one = json.loads(opened.run("head", "--lane", "second").out)
    assert [head["lane"] for head in one["heads"]] == [max(told["heads"], key=lambda head: head["lane"])["lane"]]
    assert opened.run("verify", "--head", file).code == 0
    assert opened.run("verify", "--lane", "second", "--head", file).code == 0


def test_another_audit_key_is_told_by_every_command_but_verify(opened: Desk) -> None:
    key = opened.home / "secrets" / "audit.key"
    key.write_text("ab" * 32, encoding="ascii")
    for command in (["doctor"], ["keys", "list"], ["head"], ["backup", opened.home / "file"]):
        said = opened.run(*command)
        assert_one_sentence(said)
        assert "is not the key that this database was written with" in said.err
    assert not (opened.home / "file").exists()
    verified = opened.run("verify")
    assert verified.code == 1
    assert "does not have the hash that the audit key makes" in verified.out


def test_a_database_of_a_newer_otcdesk_is_refused(opened: Desk) -> None:
    opened.tell("insert into schema_migrations (name) values ('9999_later.sql')")
    said = opened.run("doctor")
    assert_one_sentence(said)
    assert "is of a newer otcdesk: this one does not know the migration 9999_later.sql" in said.err


# -- the others ----------------------------------------------------------------------------------------------------


def test_doctor_migrate_and_version(desk: Desk) -> None:
    doctor = desk.run("doctor")
    assert doctor.code == 0
    assert "PostgreSQL 1" in doctor.out
    assert "durability: OFF" in doctor.out, "the tests' own server does not wait for its disk"
    assert str(desk.home) in doctor.out
    assert desk.run("migrate").out == "The schema is up to date.\n"
    assert desk.run("version").out == f"{__version__}\n"


def test_an_empty_database_is_migrated_by_any_command(tmp_path: Path, empty_dsn: str) -> None:
    desk = Desk(tmp_path / "home", empty_dsn)
    assert "0 open lanes" in desk.run("doctor").out
    assert "there is no lane 'main'" in desk.run("keys", "list").words


def test_docs_are_written_and_their_freshness_is_checked(desk: Desk, tmp_path: Path) -> None:
    stale = otcdesk("docs", "--check", env=desk.env, cwd=tmp_path)
    assert stale.code == 1
    assert "settings.md is stale" in stale.out
    assert not (tmp_path / "docs").exists()
    assert otcdesk("docs", env=desk.env, cwd=tmp_path).code == 0
    fresh = otcdesk("docs", "--check", env=desk.env, cwd=tmp_path)
    assert (fresh.code, fresh.out) == (0, "")
    refusals = tmp_path / "docs" / "reference" / "refusals.md"
    refusals.write_text("something else", encoding="utf-8")
    edited = otcdesk("docs", "--check", env=desk.env, cwd=tmp_path)
    assert edited.code == 1
    assert [line.split()[0] for line in edited.lines] == [str(refusals)]


def test_a_shell_on_the_database(desk: Desk) -> None:
    if shutil.which("psql") is None:
        assert_one_sentence(desk.run("psql"))
        return
    said = otcdesk("psql", env=desk.env, stdin="select 6 * 7 as answer;\n")
    assert said.code == 0
    assert "42" in said.out


def test_serving_and_working_apart_stop_in_order(opened: Desk) -> None:
    port = free_port()
    serving = Running(
        "serve",
        "--port",
        str(port),
        "--no-workers",
        env=opened.env,
        ready=lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200,
    )

    def leads() -> bool:
        question = "select count(*) from pg_stat_activity where application_name = 'otcdesk leadership'"
        return opened.ask(f"{question} and datname = current_database()") == 1

    with serving, Running("work", env=opened.env, ready=leads) as working:
        assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
        for running in (working, serving):
            said = running.stop(signal.SIGTERM)
            assert said.code == 0, said
            assert "Traceback" not in said.err
