"""Backup, restore and upgrade as an operator types them, on a database of the test's own and on embedded ones."""

import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.cli.commands import WORLD, Demo, Desk, Running, assert_one_sentence, get, otcdesk
from tests.support.databases import run_apart
from tests.support.server import DeskServer, World


@pytest.fixture
def desk(loaded: Desk) -> Desk:
    """A desk with the contract's world."""
    return loaded


@pytest.fixture
def elsewhere(desk: Desk, tmp_path: Path, empty_dsn: str) -> Desk:
    """A home on another machine, which has the keys and an empty database."""
    shutil.copytree(desk.home / "secrets", tmp_path / "elsewhere" / "secrets")
    return Desk(tmp_path / "elsewhere", empty_dsn)


#: A secret that was sealed under a key that nobody has.
FOREIGN_SECRET = """
    insert into sealed_secrets (id, purpose, owner, sealed, key_id, made_at)
    values (gen_random_uuid(), 'webhook', 'acme', '\\x00', '0123456789abcdef', now())"""


class Customer(threading.Thread):
    """Quotes and confirms in a world of its own until told to stop; keeps every answer and when it came."""

    def __init__(self, server: DeskServer) -> None:
        super().__init__()
        self.world = World(server, frozen=True)
        self.answers: list[tuple[str, str, bytes]] = []
        self.enough = threading.Event()
        self.stop = threading.Event()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                quote_id, key = self.world.buy("1.00"), str(uuid4())
                answer = self.world.confirm(quote_id, idempotency=key)
                assert answer.status_code == 201, answer.text
                self.answers.append((quote_id, key, answer.content))
                if len(self.answers) >= 5:
                    self.enough.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test's own thread tells it
            self.failed = error
            self.enough.set()


def test_a_backup_under_load_serves_elsewhere_with_everything_that_came_before_it(
    fresh_dsn: str, empty_dsn: str, tmp_path: Path
) -> None:
    """What was answered before the backup began is there, to the byte; what was asked after its end is not."""
    home = tmp_path / "home"
    home.mkdir()
    serving = DeskServer(fresh_dsn, home).start()
    desk = Desk(home, fresh_dsn)
    file, head = tmp_path / "desk.backup", tmp_path / "head.json"
    customers = [Customer(serving) for _ in range(2)]
    try:
        for customer in customers:
            customer.start()
        for customer in customers:
            assert customer.enough.wait(60)
        assert desk.run("head", "--output", head).code == 0
        before = [len(customer.answers) for customer in customers]
        said = desk.run("backup", file)
        after = [len(customer.answers) for customer in customers]
        for customer, known in zip(customers, after, strict=True):
            customer.enough.clear()
            while len(customer.answers) < known + 2:  # the first of them may have begun before the end of the backup
                assert customer.failed is None
                assert customer.enough.wait(60)
                customer.enough.clear()
    finally:
        for customer in customers:
            customer.stop.set()
            customer.join()
    assert [customer.failed for customer in customers] == [None, None]
    assert said.code == 0, said
    assert serving.stop() == 0

    shutil.copytree(home / "secrets", tmp_path / "elsewhere" / "secrets")
    elsewhere = Desk(tmp_path / "elsewhere", empty_dsn)
    restored = elsewhere.run("restore", file)
    assert restored.code == 0, restored
    assert "All of it is there: rows as counted, and every head of the backup in its chain." in restored.lines
    assert restored.out.endswith(" 0 findings.\n")
    assert elsewhere.run("verify", "--head", head).code == 0

    again = DeskServer(empty_dsn, elsewhere.home).start()
    try:
        for customer, known_before, known_after in zip(customers, before, after, strict=True):
            world = customer.world
            world.server = again
            for quote_id, key, answer in customer.answers[:known_before]:
                replayed = world.confirm(quote_id, idempotency=key)
                assert (replayed.status_code, replayed.content) == (201, answer)
            for quote_id, _, _ in customer.answers[known_after + 1 :]:
                assert world.get(f"/{quote_id}").status_code == 404
            assert world.confirmed_buy("2.00"), "and it goes on"
    finally:
        assert again.stop() == 0
    assert elsewhere.run("verify", "--head", head).code == 0


def test_a_restore_without_the_audit_key_or_with_another_one_says_so(desk: Desk, elsewhere: Desk) -> None:
    file = desk.home / "desk.backup"
    assert desk.run("backup", file).code == 0
    key = elsewhere.home / "secrets" / "audit.key"
    right = key.read_text(encoding="ascii")
    key.unlink()
    said = elsewhere.run("restore", file)
    assert_one_sentence(said)
    assert f"{key} is missing" in said.err
    assert not key.exists()
    key.write_text("cd" * 32, encoding="ascii")
    said = elsewhere.run("restore", file)
    assert_one_sentence(said)
    assert "belongs to the audit key" in said.err
    key.write_text(right, encoding="ascii")
    assert elsewhere.run("restore", file).code == 0
    said = elsewhere.run("restore", file)
    assert_one_sentence(said)
    assert "is not empty" in said.err
    said = elsewhere.run("restore", file, "--replace")
    assert_one_sentence(said)
    assert "--replace is for the embedded database" in said.err
    assert elsewhere.run("verify").code == 0


def test_what_a_backup_cannot_be_is_told(desk: Desk, elsewhere: Desk, tmp_path: Path) -> None:
    file = tmp_path / "desk.backup"
    assert desk.run("backup", file).code == 0
    for path, why in (
        (file, "File exists; --replace replaces it"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "file", "No such file"),
    ):
        said = desk.run("backup", path)
        assert_one_sentence(said)
        assert f"{path}: {why}" in said.err
    assert desk.run("backup", file, "--replace").code == 0
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file"), (WORLD, "is not a backup")):
        said = elsewhere.run("restore", path)
        assert_one_sentence(said)
        assert why in said.err
    file.write_bytes(file.read_bytes()[:-4_000])
    said = elsewhere.run("restore", file)
    assert_one_sentence(said)
    assert "is cut short" in said.err
    assert elsewhere.ask("select to_regclass('batches') is null")


def test_ctrl_c_in_the_middle_of_a_backup_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    """Somebody has a table to himself, so the backup cannot end."""
    folder = tmp_path / "backups"
    folder.mkdir()

    async def abort() -> None:
        connection = await asyncpg.connect(desk.dsn)
        await connection.execute("begin; lock table leases in access exclusive mode")
        backup = Running("backup", str(folder / "desk.backup"), env=desk.env, ready=lambda: run_apart(_waits(desk.dsn)))
        with backup:
            assert len(list(folder.iterdir())) == 1, "a draft"
            said = backup.stop(signal.SIGINT)
        assert said.code == 128 + signal.SIGINT
        assert "Traceback" not in said.err
        await connection.close()

    run_apart(abort())
    assert list(folder.iterdir()) == []


async def _waits(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return bool(
            await connection.fetchval(
                """select exists (select from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock')"""
            )
        )
    finally:
        await connection.close()


# -- secrets -------------------------------------------------------------------------------------------------------


def test_secrets_are_sealed_anew_and_doctor_tells_of_those_that_do_not_open(desk: Desk) -> None:
    said = desk.run("keys", "rotate-secrets")
    assert said.out == "0 secrets sealed anew; the older keys are kept.\n"
    assert "0 sealed secrets, 0 that do not open" in desk.run("doctor").out
    desk.tell(FOREIGN_SECRET)
    sick = desk.run("doctor")
    assert sick.code == 1
    assert "1 sealed secrets, 1 that do not open" in sick.out
    assert "lacks the key 0123456789abcdef, with which the secret webhook acme is sealed" in sick.out
    refused = desk.run("keys", "rotate-secrets", "--retire")
    assert_one_sentence(refused)
    assert "lacks the key 0123456789abcdef" in refused.err


def test_a_backup_says_which_sealing_keys_it_needs(desk: Desk, elsewhere: Desk, tmp_path: Path) -> None:
    desk.tell(FOREIGN_SECRET)
    assert desk.run("backup", tmp_path / "desk.backup").code == 0
    said = elsewhere.run("restore", tmp_path / "desk.backup")
    assert said.code == 0
    assert "secrets/sealing.key lacks 0123456789abcdef: secrets sealed with it will not open." in said.lines


# -- embedded ------------------------------------------------------------------------------------------------------


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with Demo(tmp_path / "home") as made:
        yield made


def test_an_embedded_desk_is_restored_into_a_new_home_and_over_itself(demo: Demo, tmp_path: Path) -> None:
    file = tmp_path / "desk.backup"
    with demo.run() as running:
        told = demo.told
        exchanges = told["exchanges"]
        said = otcdesk("backup", file, env=demo.env)
        assert said.code == 0, said
        body = {
            "sourceFrAccountId": exchanges["account_id"],
            "destinationUtilaWalletId": exchanges["wallet_id"],
            "sourceAmountEur": "7.00",
        }
        headers = {"x-api-key": exchanges["api_key"], "X-CSRF-Token": "0" * 64}
        later = httpx.post(f"{exchanges['base_url']}/otc-exchanges/quote", headers=headers, json=body).json()
        refused = otcdesk("restore", file, "--replace", env=demo.env)
        assert_one_sentence(refused)
        assert "runs, or somebody has its database open" in refused.err
        busy = otcdesk("upgrade", env=demo.env)
        assert_one_sentence(busy)
        assert "runs: stop it first" in busy.err
        assert running.stop(signal.SIGINT).code == 0

    with Demo(tmp_path / "elsewhere") as elsewhere:
        shutil.copytree(demo.home / "secrets", elsewhere.home / "secrets")
        damaged = tmp_path / "damaged"
        damaged.write_bytes(file.read_bytes()[:-5_000])
        assert_one_sentence(otcdesk("restore", damaged, env=elsewhere.env))
        assert not elsewhere.data.exists(), "nothing was begun"
        restored = otcdesk("restore", file, env=elsewhere.env)
        assert restored.code == 0, restored
        shutil.copy(demo.home / "demo.json", elsewhere.home)
        with elsewhere.run() as running:
            assert running.process.poll() is None
            url = f"{elsewhere.url}/exchanges/otc-exchanges"
            assert get(url, {"x-api-key": exchanges["api_key"]})[0] == 200
            assert get(f"{url}/{later['data']['quoteId']}", {"x-api-key": exchanges["api_key"]})[0] == 404

    again = otcdesk("restore", file, env=demo.env)
    assert_one_sentence(again)
    assert "is not empty" in again.err
    replaced = otcdesk("restore", file, "--replace", env=demo.env)
    assert replaced.code == 0, replaced
    kept = re.findall(r" is kept as (\w+);", replaced.out)
    assert len(kept) == 1
    listed = otcdesk("psql", env=demo.env, stdin="select datname from pg_database order by 1;\n").out
    assert kept[0] in listed
    assert "otcdesk_restoring" not in listed
    assert otcdesk("verify", env=demo.env).code == 0
    assert "durability: on" in otcdesk("doctor", env=demo.env).out
    assert "of this version of PostgreSQL" in otcdesk("upgrade", env=demo.env).out


def test_data_of_an_unknown_version_are_refused_with_what_to_do(demo: Demo) -> None:
    assert otcdesk("migrate", env=demo.env).code == 0
    (demo.data / "PG_VERSION").write_text("9\n")
    refused = otcdesk("doctor", env=demo.env)
    assert_one_sentence(refused)
    assert "run otcdesk upgrade" in refused.err
    told = otcdesk("upgrade", env=demo.env)
    assert_one_sentence(told)
    assert "name their folder with --old-bin" in told.err


def test_a_server_of_ones_own_is_not_upgraded(desk: Desk) -> None:
    said = desk.run("upgrade")
    assert said.code == 0
    assert "whose version is not this command's business" in said.lines[0]
    assert said.lines[1] == "The schema is up to date."
