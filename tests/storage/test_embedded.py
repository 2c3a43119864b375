"""The embedded PostgreSQL, run as root and as an ordinary user: each machine runs every kind that it can."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from otcdesk.storage import embedded_cluster, embedded_places
from otcdesk.storage.embedded import EmbeddedServer, EmbeddedServerError
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILD = Path(__file__).with_name("embedded_child.py")
ROOT = Path(__file__).parents[2]
NOBODY = 65534
KINDS = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]
BUSY_MACHINE_MILLISECONDS = 15_000


class Desk:
    """A desk's process, of one kind of user, over one home."""

    def __init__(self, home: Path, kind: str) -> None:
        """Start the process, not yet the server."""
        self.home = home
        uid = str(NOBODY) if kind == "ordinary" and os.geteuid() == 0 else "-"
        self.process = subprocess.Popen(
            [sys.executable, CHILD, home, uid],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            process_group=0,
        )

    def ask(self, word: str) -> dict[str, Any]:
        """Tell it `start` or `stop` and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def start(self) -> tuple[str, int]:
        """Start the server; return its address and pid."""
        answer = self.ask("start")
        assert "error" not in answer, answer["error"]
        return answer["dsn"], answer["pid"]

    def kill(self) -> None:
        """End it without a word, as `kill -9` or a power cut would."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Let it go and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Name the kind of user."""
    return str(request.param)


@pytest.fixture
def home(kind: str) -> Iterator[Path]:
    """Give a home that the kind of user owns; afterwards its server and data are gone."""
    folder = Path(tempfile.mkdtemp(prefix="otcdesk-test-"))
    if kind == "ordinary" and os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder / "home"
    for home in folder.glob("**/run/start.lock"):
        clean_up(home.parents[1])
    shutil.rmtree(folder)


def clean_up(home: Path) -> None:
    """End what is left of a home's server and remove data that lies outside of it."""
    place = place_of(home)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = server_pid(home)
        if b"-D" in Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGQUIT)
            wait_until(lambda: not is_alive(pid))
    if place.parent == embedded_places.SYSTEM_FOLDER:
        shutil.rmtree(place)


def place_of(home: Path) -> Path:
    pointer = home / "postgres.location"
    return Path(pointer.read_text().strip()) if pointer.exists() else home


def data_of(home: Path) -> Path:
    return place_of(home) / ("postgres" if place_of(home) == home else "data")


def server_pid(home: Path) -> int:
    return int((data_of(home) / "postmaster.pid").read_text().split("\n")[0])


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not yet waited for does not."""
    with contextlib.suppress(OSError):
        return bool(Path("/proc", str(pid), "cmdline").read_bytes())
    return False


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def desks(home: Path, kind: str) -> Iterator[Callable[..., Desk]]:
    """Give a maker of desk processes, all ended afterwards."""
    made: list[Desk] = []

    def make(at: Path = home) -> Desk:
        made.append(Desk(at, kind))
        return made[-1]

    yield make
    for desk in made:
        desk.kill()


async def ask_sql(dsn: str, statement: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_fresh_server_is_durable_and_trusts_nobody(desks: Callable[..., Desk], home: Path, kind: str) -> None:
    answer = desks().ask("start")
    dsn = answer["dsn"]
    settings = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "shared_buffers": "256MB",
        "jit": "off",
        "lc_messages": "C",
    }
    for name, value in settings.items():
        assert await ask_sql(dsn, f"select current_setting('{name}')") == value, name
    assert await ask_sql(dsn, "select current_database()") == "otcdesk"
    assert await ask_sql(dsn, "select 'ä' < 'b'") is False, "text sorts by code point"
    rules = "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"
    assert await ask_sql(dsn, rules) == 0
    assert await ask_sql(dsn, "select rolpassword from pg_authid where rolname = 'otcdesk'") > "SCRAM-SHA-256"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(re.sub(r"otcdesk:[^@]*@", "otcdesk:wrong@", dsn))
    assert stat.S_IMODE(data_of(home).stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secrets" / "postgres_password").stat().st_mode) == 0o600
    sockets = Path(await ask_sql(dsn, "select current_setting('unix_socket_directories')"))
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert (data_of(home).stat().st_uid == home.stat().st_uid) is (kind == "ordinary")
    assert data_of(home).stat().st_uid != 0
    assert answer["milliseconds"] < BUSY_MACHINE_MILLISECONDS


async def test_what_was_committed_is_there_after_a_restart(desks: Callable[..., Desk]) -> None:
    desk = desks()
    dsn, pid = desk.start()
    await ask_sql(dsn, "create table kept as select 42 as answer")
    desk.ask("stop")
    assert not is_alive(pid)
    assert "error" not in desk.ask("stop"), "a stop may be repeated"
    again, other_pid = desk.start()
    assert (again == dsn, other_pid == pid) == (True, False)
    assert await ask_sql(again, "select answer from kept") == 42
    assert desk.start() == (again, other_pid), "a start may be repeated"


async def test_a_killed_server_is_recovered(desks: Callable[..., Desk]) -> None:
    desk = desks()
    dsn, pid = desk.start()
    await ask_sql(dsn, "create table kept as select 42 as answer")
    busy = await asyncpg.connect(dsn)
    work = asyncio.ensure_future(busy.execute("select count(*) from generate_series(1, 3e6)"))
    watch = await asyncpg.connect(dsn)
    running = """select exists (
        select from pg_stat_activity where state = 'active' and query like '%(1, 3e6)' and pid <> pg_backend_pid())"""
    await until(lambda: watch.fetchval(running), "the server is at work")
    os.kill(pid, signal.SIGKILL)
    watch.terminate()
    dsn, other_pid = desk.start()
    assert other_pid != pid
    assert await ask_sql(dsn, "select answer from kept") == 42
    await asyncio.gather(work, return_exceptions=True)
    busy.terminate()


def test_a_pid_file_that_names_a_stranger_is_stale(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    _, pid = desk.start()
    pid_file = data_of(home) / "postmaster.pid"
    before = pid_file.read_text()
    desk.ask("stop")
    pid_file.write_text(before.replace(str(pid), str(desk.process.pid), 1))
    os.chown(pid_file, pid_file.parent.stat().st_uid, -1)
    assert desk.start()[1] != desk.process.pid


def test_the_second_desk_of_a_home_uses_the_server_and_leaves_it(desks: Callable[..., Desk]) -> None:
    first, second = desks(), desks()
    _, pid = first.start()
    assert second.start()[1] == pid
    second.ask("stop")
    assert is_alive(pid)
    first.ask("stop")
    assert not is_alive(pid)


def test_the_first_desk_of_a_home_leaves_the_server_to_the_second(desks: Callable[..., Desk]) -> None:
    first, second = desks(), desks()
    _, pid = first.start()
    assert second.start()[1] == pid
    first.ask("stop")
    assert is_alive(pid)
    second.ask("stop")
    assert not is_alive(pid)


def test_who_finds_a_server_whose_desk_is_gone_answers_for_it(desks: Callable[..., Desk]) -> None:
    first, second = desks(), desks()
    _, pid = first.start()
    first.kill()
    assert is_alive(pid)
    assert second.start()[1] == pid
    second.ask("stop")
    assert not is_alive(pid)


def test_desks_that_start_at_once_share_one_server(desks: Callable[..., Desk]) -> None:
    many = [desks() for _ in range(4)]
    for desk in many:
        assert desk.process.stdin is not None
        desk.process.stdin.write("start\n")
        desk.process.stdin.flush()
    answers = [json.loads(desk.process.stdout.readline()) for desk in many if desk.process.stdout is not None]
    assert len({answer["pid"] for answer in answers}) == 1, answers


def test_a_server_whose_data_was_removed_is_stopped(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    _, pid = desk.start()
    (data_of(home) / "postmaster.pid").unlink()
    assert "error" not in desk.ask("stop")
    assert not is_alive(pid)


def test_ctrl_c_reaches_the_desk_and_not_the_server(desks: Callable[..., Desk]) -> None:
    desk = desks()
    _, pid = desk.start()
    assert os.getpgid(pid) != os.getpgid(desk.process.pid)
    os.killpg(desk.process.pid, signal.SIGINT)
    desk.close()
    assert is_alive(pid)


async def test_a_long_home_gets_a_short_socket(desks: Callable[..., Desk], home: Path) -> None:
    deep = home.joinpath(*["a long & strange 'name'"] * 6)
    desk = desks(deep)
    dsn, _ = desk.start()
    sockets = Path(await ask_sql(dsn, "select current_setting('unix_socket_directories')"))
    assert len(os.fsencode(sockets / embedded_places.SOCKET_FILE)) <= embedded_places.SOCKET_PATH_BYTES_MAX
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    desk.ask("stop")
    assert sockets.exists() is (place_of(deep) != deep), "what lay in the shared folder is gone"
    desk.start()
    desk.ask("stop")


def test_a_missing_password_is_named(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    desk.start()
    desk.ask("stop")
    (home / "secrets" / "postgres_password").unlink()
    assert "postgres_password is missing" in desks().ask("start")["error"]


def test_data_of_another_major_version_is_refused(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    desk.start()
    desk.ask("stop")
    (data_of(home) / "PG_VERSION").write_text("9\n")
    said = desk.ask("start")["error"]
    assert "written by PostgreSQL 9 and this is PostgreSQL 18: run otcdesk upgrade." in said


def test_a_server_that_dies_says_why_at_once(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    desk.start()
    desk.ask("stop")
    with (data_of(home) / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = on\n")
    answer = desk.ask("start")
    assert 'unrecognized configuration parameter "nonsense"' in answer["error"]
    assert answer["milliseconds"] < BUSY_MACHINE_MILLISECONDS


def test_a_first_start_that_was_cut_short_is_begun_anew(desks: Callable[..., Desk], home: Path) -> None:
    desk = desks()
    desk.start()
    desk.ask("stop")
    data = data_of(home)
    data.rename(data.with_name(f"{data.name}.new"))
    assert "error" not in desk.ask("start")
    assert not data.with_name(f"{data.name}.new").exists()


def test_the_tools_are_found(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "home")
    try:
        for name in ("initdb", "postgres", "pg_ctl", "psql", "pgbench", "pg_dump"):
            done = subprocess.run([server.bin(name), "--version"], capture_output=True, text=True, check=True)
            assert done.stdout.startswith(name)
        with pytest.raises(EmbeddedServerError, match="no program nonsense"):
            server.bin("nonsense")
    finally:
        clean_up(tmp_path / "home")


def test_a_wheel_without_binaries_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_places, "wheel_folder", lambda: tmp_path)
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL for this platform"):
        embedded_places.wheel_binaries()


def test_a_folder_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    private = embedded_places.private_folder(tmp_path / "private")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    link, opened = tmp_path / "link", tmp_path / "opened"
    link.symlink_to(private)
    opened.mkdir()
    opened.chmod(0o770)
    for path in (link, opened):
        with pytest.raises(EmbeddedServerError):
            embedded_places.private_folder(path)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device", str(tmp_path))
    assert "The disk that holds" in str(embedded_places.explain(full, tmp_path))


if os.geteuid() == 0:

    @pytest.fixture
    def homes(tmp_path: Path) -> Iterator[Path]:
        """Give a folder for several homes of root's, cleared of their data afterwards."""
        yield tmp_path
        for home in tmp_path.iterdir():
            clean_up(home)

    def test_the_binaries_for_another_user_are_complete_and_roots_own(tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        binaries = embedded_places.shared_binaries(tmp_path)
        assert embedded_places.shared_binaries(tmp_path) == binaries
        assert len(list((tmp_path / "bin").iterdir())) == 1, "nothing unfinished is left"
        for path in (tmp_path / "bin").rglob("*"):
            assert path.lstat().st_uid == 0
            assert path.is_symlink() or not path.stat().st_mode & 0o022
        for name in ("postgres", "initdb"):
            source, copy = embedded_places.wheel_binaries() / name, binaries / name
            assert source.read_bytes() == copy.read_bytes()

    def test_a_copied_home_does_not_share_the_books_and_a_moved_one_keeps_them(homes: Path) -> None:
        with EmbeddedServer(homes / "first"):
            pass
        shutil.copytree(homes / "first", homes / "second")
        with pytest.raises(EmbeddedServerError, match="is a copy of"):
            EmbeddedServer(homes / "second").start()
        shutil.rmtree(homes / "second")
        (homes / "first").rename(homes / "third")
        with EmbeddedServer(homes / "third") as server:
            assert server.pid is not None

    def test_a_home_made_anew_is_a_new_desk(homes: Path) -> None:
        with EmbeddedServer(homes / "home"):
            place = place_of(homes / "home")
        shutil.move(homes / "home", homes / "removed")
        with EmbeddedServer(homes / "home"):
            assert place_of(homes / "home") != place

    def test_root_refuses_the_home_of_another_user(tmp_path: Path) -> None:
        (tmp_path / "postgres").mkdir()
        (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
        os.chown(tmp_path / "postgres", NOBODY, NOBODY)
        with pytest.raises(EmbeddedServerError, match="run as nobody"):
            EmbeddedServer(tmp_path).start()


def test_durability_is_not_among_our_settings() -> None:
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert not re.search(rf"^{name}", embedded_cluster.SETTINGS, re.MULTILINE)
