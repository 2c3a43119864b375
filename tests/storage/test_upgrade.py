"""Upgrades of embedded data: from a real older PostgreSQL, killed at each step, and refused with a sentence."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from otcdesk.storage import embedded_places, upgrade
from otcdesk.storage.database import DatabaseUnusable, migrate
from otcdesk.storage.embedded import EmbeddedServer, EmbeddedServerError
from otcdesk.storage.embedded_cluster import Cluster
from otcdesk.storage.tools import installed_binaries, version_of
from otcdesk.storage.upgrade import upgrade_embedded
from otcdesk.storage.verify import ExportedHead, export_heads, verify
from tests.support.databases import run_apart
from tests.support.desk import AUDIT_KEY
from tests.support.populated import populated
from tests.support.program import put_audit_key

ROOT = Path(__file__).parents[2]

#: Every older PostgreSQL of this machine; the embedded server's package itself brings one for upgrades.
OLD = {
    version: folder
    for folder in installed_binaries()
    if (version := version_of(folder / "postgres")) is not None
    and version < int(embedded_places.major_version(embedded_places.wheel_binaries()))
}


class OldHome:
    """A home whose embedded data an older PostgreSQL wrote, with a desk's history in them."""

    def __init__(self, home: Path, major: int) -> None:
        self.home = home
        self.major = major
        put_audit_key(home)
        with EmbeddedServer(home).alone() as cluster:
            self.data = cluster.places.data
            self.cluster = cluster.beside(binaries=upgrade._binaries_of(str(major), None, cluster))
            self.heads = self._fill()

    def _fill(self) -> list[ExportedHead]:
        """Make the data as an embedded server of that version would have; older ones know no builtin locale."""
        make(self.cluster)
        self.cluster.start()
        try:
            run_apart(migrate(self.cluster.dsn()))
            run_apart(populated(self.cluster.dsn()))
            return run_apart(export_heads(self.cluster.dsn()))
        finally:
            self.cluster.shut_down()

    @property
    def beside(self) -> list[str]:
        """Return the data folders that are there."""
        return sorted(path.name for path in self.data.parent.glob(f"{self.data.name}*") if path.is_dir())

    @property
    def kept(self) -> Path:
        return self.data.with_name(f"{self.data.name}.postgresql-{self.major}")

    def assert_upgraded(self) -> None:
        """Assert that a desk on this home has all of the history, and that the old data are still there."""
        with EmbeddedServer(self.home) as server:
            assert run_apart(export_heads(server.dsn())) == self.heads
            assert run_apart(verify(server.dsn(), AUDIT_KEY, heads=self.heads)).sound
            assert run_apart(migrate(server.dsn())) == []
        assert self.beside == [self.data.name, self.kept.name]
        assert (self.kept / "PG_VERSION").read_text().strip() == str(self.major)
        assert list(self.home.glob("*.backup")) == []

    def upgrade(self) -> upgrade.Upgraded | None:
        return upgrade_embedded(self.home, old_binaries=None, tell=lambda _: None)


def make(cluster: Cluster) -> None:
    """Run an older initdb, which has no builtin locale provider; else as `Cluster.make`, in less room for each log."""
    real = cluster._run

    def run(command: list[str | Path], **how: object) -> subprocess.CompletedProcess[str]:
        if Path(command[0]).name == "initdb":
            command = [*(part for part in command if "builtin" not in str(part)), "--wal-segsize=1"]
        return real(command, **how)  # type: ignore[arg-type]

    cluster._run = run  # type: ignore[method-assign, assignment]
    cluster.make()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldHome]:
    """Give a home of the oldest version; tests put its data back as they were."""
    home = OldHome(tmp_path_factory.mktemp("old") / "home", min(OLD))
    yield home
    remove(home)


def remove(home: OldHome) -> None:
    with EmbeddedServer(home.home).alone() as cluster:
        shutil.rmtree(cluster.places.data.parent if cluster.places.run_as else home.home)


@pytest.fixture(scope="module")
def saved(filled: OldHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the old data that no test touches."""
    copy = tmp_path_factory.mktemp("saved") / "data"
    subprocess.run(["cp", "-a", filled.data, copy], check=True)
    return copy


@pytest.fixture
def old(filled: OldHome, saved: Path) -> Iterator[OldHome]:
    """Give the old data back as they were before the test."""
    yield filled
    with EmbeddedServer(filled.home).alone() as cluster:
        Cluster(filled.home, cluster.beside(data=upgrading(filled)).places).shut_down()
        for name in filled.beside:
            shutil.rmtree(filled.data.with_name(name))
    for left in filled.home.glob("*.backup"):
        left.unlink()
    subprocess.run(["cp", "-a", saved, filled.data], check=True)


def upgrading(home: OldHome) -> Path:
    return home.data.with_name(f"{home.data.name}.upgrading")


def test_a_start_refuses_older_data_and_says_what_to_do(old: OldHome) -> None:
    with pytest.raises(
        EmbeddedServerError, match=rf"was written by PostgreSQL {old.major} and .*: run otcdesk upgrade\."
    ):
        EmbeddedServer(old.home).start()
    assert old.beside == [old.data.name]


def test_older_data_are_upgraded_and_verified_and_kept(old: OldHome) -> None:
    done = old.upgrade()
    assert done is not None
    assert (done.from_major, done.kept) == (str(old.major), old.kept)
    assert done.restored.sound
    assert done.left_behind == []
    old.assert_upgraded()
    assert old.upgrade() is None, "it is done"


@pytest.mark.parametrize("major", sorted(OLD)[1:] or sorted(OLD))
def test_every_older_version_is_upgraded(major: int, tmp_path: Path) -> None:
    home = OldHome(tmp_path / "home", major)
    assert home.upgrade() is not None
    home.assert_upgraded()
    remove(home)


def test_what_does_not_come_along_is_told(old: OldHome) -> None:
    with EmbeddedServer(old.home).alone():
        old.cluster.start()

        async def own() -> None:
            connection = await asyncpg.connect(old.cluster.dsn())
            await connection.execute("alter system set work_mem = '12MB'")
            await connection.execute("create database mine")
            await connection.close()

        run_apart(own())
        old.cluster.shut_down()
    done = old.upgrade()
    assert done is not None
    assert done.left_behind == ["the database mine", "the setting work_mem = '12MB'"]


KILLED = """
import os, signal, sys
from pathlib import Path
from otcdesk.storage import embedded_swap, upgrade
from otcdesk.storage.embedded_cluster import Cluster

point, home = sys.argv[1], Path(sys.argv[2])

def dies(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

def dies_at_rename(number):
    real, renames = Path.rename, []
    def rename(self, target):
        if self.suffix in {".upgrading", ".upgraded"} or ".postgresql-" in Path(target).name:
            renames.append(target)
            if len(renames) == number:
                dies()
        return real(self, target)
    Path.rename = rename

match point:
    case "the old server runs":
        upgrade.back_up = dies
    case "the new server runs":
        upgrade.restore = dies
    case "the new data are complete":
        dies_at_rename(1)
    case "it is decided":
        dies_at_rename(2)
    case "the name is free":
        dies_at_rename(3)
upgrade.upgrade_embedded(home, old_binaries=None, tell=print)
"""


@pytest.mark.parametrize(
    "point, is_decided",
    [
        ("the old server runs", False),
        ("the new server runs", False),
        ("the new data are complete", False),
        ("it is decided", True),
        ("the name is free", True),
    ],
)
def test_a_killed_upgrade_leaves_old_data_or_new_and_can_be_begun_again(
    old: OldHome, point: str, *, is_decided: bool
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, point, old.home], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if not is_decided:
        with pytest.raises(EmbeddedServerError, match="run otcdesk upgrade"):
            EmbeddedServer(old.home).start()
        done = old.upgrade()
        assert done is not None
        assert done.restored.sound
    old.assert_upgraded()


def test_old_data_that_were_used_after_the_decision_are_not_passed_over(old: OldHome) -> None:
    """An older otcdesk was started once more between the decision and the renames that carry it out."""
    subprocess.run(
        [sys.executable, "-c", KILLED, "it is decided", old.home], cwd=ROOT, check=False, capture_output=True
    )
    old.cluster.start()
    old.cluster.shut_down()
    with pytest.raises(EmbeddedServerError, match="was used since"):
        EmbeddedServer(old.home).start()
    shutil.rmtree(old.data.with_name(f"{old.data.name}.upgraded"))
    assert old.upgrade() is not None
    old.assert_upgraded()


def test_data_that_do_not_verify_are_not_upgraded(old: OldHome) -> None:
    with EmbeddedServer(old.home).alone():
        old.cluster.start()

        async def tamper() -> None:
            connection = await asyncpg.connect(old.cluster.dsn())
            await connection.execute("set session_replication_role = replica")
            await connection.execute("update accounts set label = 'changed' where label = 'A''s wallet'")
            await connection.close()

        run_apart(tamper())
        old.cluster.shut_down()
    with pytest.raises(DatabaseUnusable, match="were not upgraded: otcdesk verify finds fault"):
        old.upgrade()
    assert old.beside == [old.data.name]


def test_a_full_disk_is_told_before_anything_is_done(old: OldHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "_SPARE_BYTES", 10**18)
    with pytest.raises(DatabaseUnusable, match=r"needs 1\d{12} MB free on its disk, and there are \d+ MB"):
        old.upgrade()
    assert old.beside == [old.data.name]


def test_programs_that_are_not_there_are_told(old: OldHome, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=f"whose programs .* are not in {tmp_path}: .* --old-bin"):
        upgrade_embedded(old.home, old_binaries=tmp_path, tell=lambda _: None)
    (old.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        DatabaseUnusable, match=r"was written by PostgreSQL 9, whose programs .* are not on this machine"
    ):
        old.upgrade()
    (old.data / "PG_VERSION").write_text(f"{old.major}\n")


def test_a_wrong_audit_key_is_told_and_nothing_is_done(old: OldHome) -> None:
    key = old.home / "secrets" / "audit.key"
    key.write_text("ab" * 32)
    try:
        with pytest.raises(Exception, match="is not the key that this database was written with"):
            old.upgrade()
    finally:
        put_audit_key(old.home)
    assert old.beside == [old.data.name]


def test_a_desk_that_runs_is_not_upgraded(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "home")
    try:
        server.start()
        with pytest.raises(EmbeddedServerError, match="runs: stop it first"):
            upgrade_embedded(tmp_path / "home", old_binaries=None, tell=lambda _: None)
    finally:
        server.stop()
        if server._places.run_as is not None:
            shutil.rmtree(server._places.data.parent)
