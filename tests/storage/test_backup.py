"""Backups: whole or refused, of one moment while others write, and restored in full or not at all."""

import asyncio
import re
import shutil
import signal
import stat
import sys
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest

from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.secret_files import fingerprint
from otcdesk.storage import backup as backups
from otcdesk.storage.backup import Manifest, back_up, opened
from otcdesk.storage.database import MIGRATION_LOCK, DatabaseUnusable, migrate
from otcdesk.storage.restore import Restored, restore
from otcdesk.storage.tools import Tools, installed_binaries, over_network, tools_for, version_of
from otcdesk.storage.verify import ExportedHead, export_heads, key_fits, verify
from tests.support.databases import run_apart, with_database
from tests.support.desk import AUDIT_KEY, FA1, WA1, A, Lane, make_engine, new_lane, submit
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def books(populated_lane: Lane) -> str:
    """Give a database in which everything has happened."""
    return populated_lane.dsn


@pytest.fixture(scope="module")
def made(server_dsn: str, populated_template: tuple[str, Lane], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a backup of what all those books are copied from."""
    path = tmp_path_factory.mktemp("backup") / "desk.backup"
    run_apart(back_up(with_database(server_dsn, populated_template[0]), path, audit_key=AUDIT_KEY))
    return path


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """Give a backup of those books."""
    return Path(shutil.copy(made, tmp_path / "desk.backup"))


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_dsn)
    yield connection
    await connection.close()


async def restored_from(file: Path, dsn: str, *, despite_findings: bool = False) -> Restored:
    with opened(file, audit_key=AUDIT_KEY) as backup:
        return await restore(dsn, backup, audit_key=AUDIT_KEY, despite_findings=despite_findings)


async def relations(connection: asyncpg.Connection) -> list[str]:
    found = await connection.fetch("select relname from pg_class where relnamespace = 'public'::regnamespace")
    return [row[0] for row in found]


async def content(dsn: str) -> dict[str, list[str]]:
    """Return every row of every table as text."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        return {
            table: [row[0] for row in await connection.fetch(f"select t::text from {table} t order by 1")]
            for (table,) in tables
        }
    finally:
        await connection.close()


# -- what a backup is ----------------------------------------------------------------------------------------------


async def test_a_backup_is_restored_to_the_same_rows_and_verified(books: str, file: Path, empty_dsn: str) -> None:
    restored = await restored_from(file, empty_dsn)
    assert restored.sound
    assert restored.report.heads == await export_heads(books)
    assert restored.report.rows
    assert await content(empty_dsn) == await content(books)
    assert await migrate(empty_dsn) == []
    assert (await verify(empty_dsn, AUDIT_KEY)).sound


async def test_a_backup_is_private_and_tells_what_is_in_it(books: str, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["desk.dump", "manifest.json", "manifest.hmac"]
        member = tar.extractfile("manifest.json")
        assert member is not None
        manifest = msgspec.json.decode(member.read(), type=Manifest)
    assert manifest.audit_key == fingerprint(AUDIT_KEY)
    assert manifest.heads == await export_heads(books)
    assert manifest.rows == {table: len(rows) for table, rows in (await content(books)).items()}
    assert AUDIT_KEY not in file.read_bytes()
    assert AUDIT_KEY.hex().encode() not in file.read_bytes()


async def test_the_dump_inside_is_one_that_pg_restore_reads(file: Path, tmp_path: Path) -> None:
    """A person without this program gets at the data with tar and pg_restore."""
    with tarfile.open(file) as tar:
        tar.extract("desk.dump", tmp_path, filter="data")
    pg_restore = max(installed_binaries(), key=lambda folder: version_of(folder / "pg_restore") or 0) / "pg_restore"
    listing = await asyncio.create_subprocess_exec(
        pg_restore, "--list", tmp_path / "desk.dump", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await listing.communicate()
    assert listing.returncode == 0
    assert b"TABLE DATA public batches" in out


async def test_a_backup_of_a_desk_that_writes_is_of_one_moment(fresh_dsn: str, empty_dsn: str, tmp_path: Path) -> None:
    """Whatever committed before the snapshot is in it, nothing of what came later, and the chain ends at its head."""
    lane = await new_lane(fresh_dsn)
    stop = asyncio.Event()
    async with make_engine(fresh_dsn, clock=lane.clock) as engine:

        async def trade() -> None:
            while not stop.is_set():
                quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100)
                await submit(engine, lane.number, quote, owner_id=A)

        traders = [asyncio.create_task(trade()) for _ in range(4)]
        try:
            (before,) = await export_heads(fresh_dsn, lane.number)
            manifest = await back_up(fresh_dsn, tmp_path / "desk.backup", audit_key=AUDIT_KEY)
            (head,) = manifest.heads
            await until(lambda: _has_grown(fresh_dsn, head), "the desk writes on")
        finally:
            stop.set()
            await asyncio.gather(*traders)
    assert before.seq <= head.seq
    restored = await restored_from(tmp_path / "desk.backup", empty_dsn)
    assert restored.sound
    assert restored.report.heads == [head]


async def _has_grown(dsn: str, head: ExportedHead) -> bool:
    (now,) = await export_heads(dsn, head.lane)
    return now.seq > head.seq


# -- where it is written -------------------------------------------------------------------------------------------


async def test_a_file_is_replaced_only_if_that_is_wanted(books: str, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match=r"desk\.backup"):
        await back_up(books, file, audit_key=AUDIT_KEY)
    assert file.read_bytes() == before
    await back_up(books, file, audit_key=AUDIT_KEY, replace=True)
    assert file.read_bytes() != before
    assert [path.name for path in file.parent.iterdir()] == ["desk.backup"]


async def test_a_place_that_cannot_be_written_is_named(books: str, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        await back_up(books, tmp_path, audit_key=AUDIT_KEY)
    with pytest.raises(FileNotFoundError, match=r"nowhere/desk\.backup"):
        await back_up(books, tmp_path / "nowhere" / "desk.backup", audit_key=AUDIT_KEY)
    with pytest.raises(OSError, match=r"/proc/desk\.backup"):
        await back_up(books, Path("/proc/desk.backup"), audit_key=AUDIT_KEY)


async def test_a_dump_that_fails_leaves_no_file(books: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    pg_dump = tmp_path / "bin" / "pg_dump"
    pg_dump.write_text("#!/bin/sh\nprintf half\necho 'it broke' >&2\nexit 1\n")
    pg_dump.chmod(0o755)
    with pytest.raises(DatabaseUnusable, match="The database could not be read: it broke"):
        await back_up(
            books, tmp_path / "desk.backup", audit_key=AUDIT_KEY, tools=Tools(folder=tmp_path / "bin", major=18)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


async def test_a_backup_that_is_ended_leaves_neither_a_file_nor_a_pg_dump(books: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    told = tmp_path / "bin" / "pid"
    pg_dump = tmp_path / "bin" / "pg_dump"
    pg_dump.write_text(f"#!/bin/sh\necho $$ > {told}.new\nmv {told}.new {told}\nexec sleep 600\n")
    pg_dump.chmod(0o755)
    tools = Tools(folder=tmp_path / "bin", major=18)
    backup = asyncio.create_task(back_up(books, tmp_path / "desk.backup", audit_key=AUDIT_KEY, tools=tools))
    await until(told.exists, "pg_dump is under way")
    backup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await backup
    assert not Path("/proc", told.read_text().strip()).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


async def _is_none(connection: asyncpg.Connection, question: str) -> bool:
    return bool(await connection.fetchval(question) == 0)


async def test_no_argument_of_a_program_has_the_password(books: str, tmp_path: Path) -> None:
    """A pg_dump of ours writes down how it was called; then it fails."""
    (tmp_path / "bin").mkdir()
    pg_dump = tmp_path / "bin" / "pg_dump"
    pg_dump.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit 1\n')
    pg_dump.chmod(0o755)
    tools = Tools(folder=tmp_path / "bin", major=18)
    with pytest.raises(DatabaseUnusable) as caught:
        await back_up(books, tmp_path / "desk.backup", audit_key=AUDIT_KEY, tools=tools)
    password = re.search(r"//[^:]*:([^@]*)@", books)
    assert password is not None
    arguments = (tmp_path / "arguments").read_text()
    assert "--dbname=postgresql://" in arguments
    for text in (arguments, str(caught.value)):
        assert password[1] not in text


async def test_a_database_without_a_desk_is_not_backed_up(empty_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="holds no desk"):
        await back_up(empty_dsn, tmp_path / "desk.backup", audit_key=AUDIT_KEY)
    assert list(tmp_path.iterdir()) == []


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm, told",
    [
        (lambda _: b"", "is not a backup of a desk"),
        (lambda _: b"not a tar archive" * 1000, "is not a backup of a desk"),
        (lambda whole: whole[:511], "is not a backup of a desk"),
        (lambda whole: whole[:512], "is cut short"),
        (lambda whole: whole[: len(whole) // 2], "is cut short"),
        (lambda whole: whole[:-2_048], "is cut short"),
        (lambda whole: whole[:5_000] + bytes([whole[5_000] ^ 1]) + whole[5_001:], "is damaged"),
        (lambda whole: whole.replace(b'"format": 1', b'"format": 9', 1), "which is newer than this one"),
        (lambda whole: whole.replace(b'"0001_books.sql"', b'"9001_books.sql"', 1), "is damaged"),
    ],
)
async def test_a_file_that_is_not_whole_is_refused_before_the_database_is_touched(
    file: Path, empty: asyncpg.Connection, empty_dsn: str, harm: Callable[[bytes], bytes], told: str
) -> None:
    whole = file.read_bytes()
    harmed = harm(whole)
    assert harmed != whole
    file.write_bytes(harmed)
    with pytest.raises(DatabaseUnusable, match=told) as caught:
        await restored_from(file, empty_dsn)
    assert str(file) in str(caught.value)
    assert await relations(empty) == []


@pytest.mark.parametrize("place", range(8))
async def test_no_byte_can_change(file: Path, place: int) -> None:
    """Every member's content is covered; headers and padding carry nothing that is used but sizes."""
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        spans = [(member.offset_data, member.size) for member in tar.getmembers()]
    for start, size in spans:
        at = start + (size - 1) * place // 7
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(DatabaseUnusable, match=r"damaged|audit key|newer"), opened(file, audit_key=AUDIT_KEY):
            pass


async def test_a_backup_of_another_desk_is_told_by_its_key(file: Path) -> None:
    other = bytes(32)
    with (
        pytest.raises(DatabaseUnusable, match=f"audit key {fingerprint(AUDIT_KEY)}.*{fingerprint(other)}"),
        opened(file, audit_key=other),
    ):
        pass


async def test_a_manifest_cannot_be_written_without_the_key(file: Path) -> None:
    """Somebody changes the manifest and makes a proof under a key of their own."""
    with tarfile.open(file) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        told = member.read()
    forged = told.replace(b'"heads": [', b'"heads":[ ', 1)
    whole = file.read_bytes().replace(told, forged)
    proof = backups._proof(AUDIT_KEY, told)
    file.write_bytes(whole.replace(proof, backups._proof(b"another key", forged)))
    with pytest.raises(DatabaseUnusable, match="is damaged"), opened(file, audit_key=AUDIT_KEY):
        pass


async def test_a_database_that_holds_anything_is_left_alone(file: Path, books: str, empty_dsn: str) -> None:
    before = await content(books)
    with pytest.raises(DatabaseUnusable, match="is not empty"):
        await restored_from(file, books)
    assert await content(books) == before
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("create function mine() returns int language sql as 'select 1'")
    with pytest.raises(DatabaseUnusable, match="is not empty"):
        await restored_from(file, empty_dsn)
    await connection.close()


async def test_an_older_server_is_refused(file: Path, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(file, audit_key=AUDIT_KEY) as backup:
        newer = msgspec.structs.replace(backup.manifest, postgres_major=99)
        with pytest.raises(DatabaseUnusable, match="is of PostgreSQL 99, and the server is PostgreSQL"):
            await restore(empty_dsn, msgspec.structs.replace(backup, manifest=newer), audit_key=AUDIT_KEY)


# -- restores that go wrong ----------------------------------------------------------------------------------------


async def test_a_restore_that_fails_in_the_middle_leaves_an_empty_database(
    file: Path, empty: asyncpg.Connection, empty_dsn: str, tmp_path: Path
) -> None:
    """A pg_restore of ours gives half of the script and fails; another one gives SQL that fails."""
    real = tools_for(_major(await empty.fetchval("show server_version_num")))
    for number, end in enumerate(("exit 1", "echo 'select 1/0;'")):
        folder = tmp_path / f"bin{number}"
        folder.mkdir()
        (folder / "pg_restore").write_text(f'#!/bin/sh\n"{real.folder}/pg_restore" "$@" | head -n 400\n{end}\n')
        (folder / "pg_restore").chmod(0o755)
        (folder / "psql").symlink_to(real.folder / "psql")
        with (
            opened(file, audit_key=AUDIT_KEY) as backup,
            pytest.raises(DatabaseUnusable, match="The backup could not be brought in"),
        ):
            await restore(empty_dsn, backup, audit_key=AUDIT_KEY, tools=Tools(folder=folder, major=real.major))
        assert await relations(empty) == []
    assert (await restored_from(file, empty_dsn)).sound


def _major(version_num: str) -> int:
    return int(version_num) // 10_000


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from otcdesk.storage import restore as restoring
from otcdesk.storage.backup import opened

async def dies(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

point, dsn, file, key = sys.argv[1:]
if point == "commit":  # the whole dump was sent, and its commit was not
    send = restoring._send
    async def send_until_commit(into, content):
        if content.endswith(b"commit;\\n"):
            await dies()
        await send(into, content)
    restoring._send = send_until_commit
else:
    setattr(restoring, point, dies)
with opened(Path(file), audit_key=bytes.fromhex(key)) as backup:
    asyncio.run(restoring.restore(dsn, backup, audit_key=bytes.fromhex(key)))
"""


@pytest.mark.parametrize("point", ["_bring_in", "_head", "commit", "counted", "apply_migrations", "verify"])
async def test_a_killed_restore_is_no_desk_and_can_be_begun_again(
    file: Path, empty: asyncpg.Connection, empty_dsn: str, point: str
) -> None:
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, point, empty_dsn, file, AUDIT_KEY.hex(), cwd=ROOT
    )
    assert await killed.wait() == -signal.SIGKILL
    with pytest.raises(DatabaseUnusable, match="was broken off: run otcdesk restore again"):
        await migrate(empty_dsn)
    with pytest.raises(DatabaseUnusable, match="was broken off"):
        await back_up(empty_dsn, file.with_name("other"), audit_key=AUDIT_KEY)
    await until(lambda: _is_free(empty), "the server has seen that the restore is gone")
    assert (await restored_from(file, empty_dsn)).sound
    assert await migrate(empty_dsn) == []


async def _is_free(connection: asyncpg.Connection) -> bool:
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    return await _is_none(connection, others)


async def test_two_restores_do_not_meet(file: Path, empty: asyncpg.Connection, empty_dsn: str) -> None:
    await empty.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
    with pytest.raises(DatabaseUnusable, match="is under way"):
        await restored_from(file, empty_dsn)
    await empty.execute("create table unfinished_restore (begun_at timestamptz)")
    with pytest.raises(DatabaseUnusable, match="is under way or was broken off"):  # at once: the other may take hours
        await migrate(empty_dsn)
    await empty.execute("drop table unfinished_restore")
    await empty.execute("select pg_advisory_unlock($1)", MIGRATION_LOCK)
    assert (await restored_from(file, empty_dsn)).sound


async def test_books_that_were_unsound_are_restored_only_despite_the_findings(
    books: str, tmp_path: Path, empty_dsn: str
) -> None:
    connection = await asyncpg.connect(books)
    await connection.execute("set session_replication_role = replica")
    await connection.execute("update accounts set label = 'changed' where label = 'A''s wallet'")
    await connection.close()
    await back_up(books, tmp_path / "desk.backup", audit_key=AUDIT_KEY)
    restored = await restored_from(tmp_path / "desk.backup", empty_dsn)
    assert not restored.sound
    assert [finding.table for finding in restored.report.findings] == ["accounts"]
    with pytest.raises(DatabaseUnusable, match="was broken off"):
        await migrate(empty_dsn)
    again = await restored_from(tmp_path / "desk.backup", empty_dsn, despite_findings=True)
    assert not again.sound
    assert await migrate(empty_dsn) == []


async def test_rows_that_the_chain_does_not_protect_are_counted(
    file: Path, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(file, audit_key=AUDIT_KEY) as backup:
        more = msgspec.structs.replace(backup.manifest, rows={**backup.manifest.rows, "leases": 1})
        restored = await restore(empty_dsn, msgspec.structs.replace(backup, manifest=more), audit_key=AUDIT_KEY)
    assert not restored.sound
    assert restored.counts == ["leases has 0 rows, and the backup counted 1"]


# -- which programs ------------------------------------------------------------------------------------------------


def test_the_oldest_programs_that_are_new_enough_are_taken(tmp_path: Path) -> None:
    for major in (14, 16, 18):
        for name in ("pg_dump", "pg_restore", "psql"):
            program = tmp_path / str(major) / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.3'\n")
            program.chmod(0o755)
    (tmp_path / "16" / "psql").unlink()
    among = [tmp_path / str(major) for major in (18, 14, 16, 13)]
    assert tools_for(14, among=among).major == 14
    assert tools_for(15, among=among).major == 18, "16 has no psql"
    with pytest.raises(DatabaseUnusable, match="no pg_dump of PostgreSQL 19 or newer here"):
        tools_for(19, among=among)


async def test_a_dump_by_newer_programs_than_the_servers_is_restored_by_such(
    books: str, empty_dsn: str, tmp_path: Path
) -> None:
    """An older pg_restore would not read it, and whatever server this is takes what the newest one makes of it."""
    manifest = await back_up(books, tmp_path / "desk.backup", audit_key=AUDIT_KEY, tools=tools_for(18))
    assert manifest.dump_major == 18
    assert (await restored_from(tmp_path / "desk.backup", empty_dsn)).sound


# -- the key of a database -----------------------------------------------------------------------------------------


async def test_a_key_fits_as_long_as_one_link_is_its_own(books: str) -> None:
    connection = await asyncpg.connect(books)
    assert await key_fits(connection, AUDIT_KEY)
    assert not await key_fits(connection, bytes(32))
    await connection.execute("set session_replication_role = replica")
    await connection.execute("update batches set notes = '[1]' where seq = 1")
    assert await key_fits(connection, AUDIT_KEY), "the newest link still shows it"
    await connection.close()


@pytest.mark.parametrize(
    "dsn, over",
    [
        ("postgresql://desk@db.example/desk", True),
        ("postgresql://desk@10.0.0.1:5432/desk?sslmode=require", True),
        ("postgresql://desk@/desk?host=db.example", True),
        ("postgresql://desk@localhost/desk", False),
        ("postgresql://desk@[::1]/desk", False),
        ("postgresql://desk@/desk?host=%2Fvar%2Frun%2Fpostgresql", False),
        ("postgresql:///desk", False),
    ],
)
def test_programs_without_encryption_are_for_databases_of_this_machine(dsn: str, over: bool) -> None:
    assert over_network(dsn) is over
