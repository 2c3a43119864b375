"""One PostgreSQL data folder and the server on it: made, started, asked, stopped.

Decided here: how a cluster is made, with which settings it runs, when it counts as started, how it ends. Not decided
here: who may use it when (`embedded.py`), where it lies (`embedded_places.py`). These hold:

- Durability is never traded for speed: fsync, synchronous_commit and full_page_writes keep their defaults,
  the cluster has data checksums, and a new cluster gets its name only after initdb has synced it to disk.
- Nobody is trusted: there is no TCP listener, the socket lies in a folder of mode 0700, and every connection
  proves the random password in `<home>/secrets/postgres_password` by SCRAM.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from otcdesk.secret_files import sync_folder
from otcdesk.storage.embedded_log import ServerLog, last_lines
from otcdesk.storage.embedded_places import (
    SOCKET_FILE,
    EmbeddedServerError,
    Places,
    major_version,
    private_folder,
    user_name,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLE = "otcdesk"
DATABASE = "otcdesk"

POLL_MILLISECONDS = 10
CUT_SHORT_SECONDS = 30
ANSWER_SECONDS = 10

SETTINGS = """\
# Written by otcdesk at every start. Own settings go in with ALTER SYSTEM, which is read after this file and
# wins.
include '{data}/postgresql.conf'
data_directory = '{data}'
hba_file = '{data}/pg_hba.conf'
ident_file = '{data}/pg_ident.conf'

# Reached through the socket only; its folder is closed to other users, root excepted.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
max_connections = 400

# fsync, synchronous_commit and full_page_writes stay on. wal_compression stays off: the wheel's PostgreSQL is
# built without lz4 and zstd.
shared_buffers = '256MB'
jit = off

# Seven log files, one for each day of the week, each begun anew when its day comes round.
logging_collector = on
log_directory = 'log'
log_filename = 'postgres-%a.log'
log_truncate_on_rotation = on
log_rotation_age = '1d'
log_rotation_size = 0
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'

# Crash recovery reports this often; a waiting start takes a report as progress.
log_startup_progress_interval = '2s'
"""


class Cluster:
    """The data folder that `places` names, and its server. The caller sees to it that nobody else handles them."""

    def __init__(
        self, home: Path, places: Places, *, start_timeout_seconds: int = 300, stop_timeout_seconds: int = 120
    ) -> None:
        """Take the home, for its password and its log, and the places; see `EmbeddedServer` for the timeouts."""
        self.places = places
        self._home = home
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None

    def beside(self, *, data: Path | None = None, binaries: Path | None = None) -> Cluster:
        """Return the same cluster with other programs, or another one with the same password and the same socket."""
        places = replace(self.places, data=data or self.places.data, binaries=binaries or self.places.binaries)
        return Cluster(
            self._home,
            places,
            start_timeout_seconds=self._start_timeout_seconds,
            stop_timeout_seconds=self._stop_timeout_seconds,
        )

    def start(self) -> int:
        """Start the server unless it runs, with the desk's database in it; returns its pid once it answers."""
        pid = self.find()
        if pid is None or not self._answers(pid):
            self.find()  # a server that died meanwhile leaves its mark, which would stop the next one
            pid = self._launch()
        self._make_database()
        return pid

    def shut_down(self) -> None:
        """Stop the server if there is one."""
        pid = self.find()
        if pid is None and self._child is not None and self._child.poll() is None:
            pid = self._child.pid  # somebody removed the data from under it
        if pid is not None:
            self._end(pid)

    def bin(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's own programs, as `psql`, `pgbench` or `pg_dump`."""
        path = self.places.binaries / name
        if not path.is_file():
            raise EmbeddedServerError(f"There is no program {name} in {path.parent}.")
        return path

    def dsn(self, database: str = DATABASE) -> str:
        """Return an address that asyncpg and psql take as it is; it contains the password."""
        password, host = quote(self._read_password(), safe=""), quote(str(self.places.sockets))
        return f"postgresql://{ROLE}:{password}@/{quote(database, safe='')}?host={host}"

    @property
    def password_path(self) -> Path:
        """The file of the password."""
        return self._home / "secrets" / "postgres_password"

    def written_by(self) -> str | None:
        """Return the major version that wrote the data, None if there are none yet."""
        mark = self.places.data / "PG_VERSION"
        if not self.places.data.exists():
            return None
        return mark.read_text(encoding="utf-8").strip() if mark.exists() else "of an unknown version"

    # A new cluster.

    def make(self) -> None:
        """Run initdb once; the data folder appears under its name only when it is complete and on disk."""
        places = self.places
        if places.data.exists():
            self._check_cluster()
            return
        private_folder(self.password_path.parent)
        if not self.password_path.exists():
            write_whole(self.password_path, secrets.token_urlsafe(32), mode=0o600)
        fresh = places.data.with_name(f"{places.data.name}.new")
        password_file = places.settings.with_name("initdb.password")
        shutil.rmtree(fresh, ignore_errors=True)  # left by a start that was killed; it never held data
        try:
            fresh.mkdir(mode=0o700)
            write_whole(password_file, self._read_password(), mode=0o600)
            if places.run_as is not None:
                for path in (fresh, password_file):
                    os.chown(path, *places.run_as, follow_symlinks=False)
            done = self._run(
                [
                    places.binaries / "initdb",
                    f"--pgdata={fresh}",
                    f"--username={ROLE}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",  # text sorts by code point, the same on every machine
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",  # and yet upper() and lower() know more than ASCII
                    "--data-checksums",
                    "--no-instructions",
                ],
                run_as=places.run_as,
            )
            if done.returncode != 0:
                raise self._failed(f"A new database cannot be made in {fresh}", done.stdout)
            fresh.rename(places.data)
            sync_folder(places.data.parent)
        finally:
            password_file.unlink(missing_ok=True)
            shutil.rmtree(fresh, ignore_errors=True)

    def _check_cluster(self) -> None:
        data, expected = self.places.data, self.places.owner
        owner = data.stat().st_uid
        if owner != expected:
            raise EmbeddedServerError(
                f"{data} belongs to {user_name(owner)}, and the server would run as {user_name(expected)}."
            )
        major, written_by = major_version(self.places.binaries), self.written_by()
        if written_by != major:
            raise EmbeddedServerError(
                f"{data} was written by PostgreSQL {written_by} and this is PostgreSQL {major}: run otcdesk upgrade."
            )

    def _read_password(self) -> str:
        try:
            return self.password_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{self.password_path} is missing, which opens the database in {self.places.data}."
            ) from None

    def _make_database(self) -> None:
        """Create the desk's database if it is missing, which also proves that the server answers us."""
        done = self._psql("select 1 from pg_database where datname = 'otcdesk'")
        if done.returncode == 0 and not done.stdout.strip():
            done = self._psql("create database otcdesk")
        if done.returncode != 0:
            raise self._failed("The embedded PostgreSQL does not answer as it should", done.stdout)

    def _psql(self, statement: str) -> subprocess.CompletedProcess[str]:
        """Run one statement as the caller: another user must not see the environment with the password."""
        options = ("--no-psqlrc", "--no-password", "--tuples-only", "--command")
        address = {"PGHOST": str(self.places.sockets), "PGUSER": ROLE, "PGDATABASE": "postgres"}
        environment = {**address, "PGPASSWORD": self._read_password()}
        return self._run([self.bin("psql"), *options, statement], environment=environment)

    # A running server.

    def find(self) -> int | None:
        """Return the pid of a live server of this home; remove the mark of a dead one.

        PostgreSQL judges an old pid file by whether any process has that number, which says nothing after a
        reboot, in a container or with a child nobody waited for. We ask whether that process serves this
        folder. Removing the file is safe: PostgreSQL also refuses a folder whose shared memory is in use.
        """
        pid_file = self.places.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        if self._lives(pid):
            return pid
        # The lock beside the socket goes first: PostgreSQL takes its dead owner for alive as long as nobody reaped it.
        (self.places.sockets / f"{SOCKET_FILE}.lock").unlink(missing_ok=True)
        pid_file.unlink(missing_ok=True)
        return None

    def _lives(self, pid: int) -> bool:
        """Ask the kernel about our own child, whose arguments may not be set yet; judge others by theirs."""
        if self._child is not None and self._child.pid == pid:
            return self._child.poll() is None
        return _serves(pid, self.places.data)

    def _answers(self, pid: int) -> bool:
        """Tell whether a server that was found takes a connection; False if it dies.

        One that was killed a moment ago can still have its process and a pid file that calls it ready.
        """
        if not self._is_ready(pid, self._log()):
            return False
        deadline = time.monotonic() + ANSWER_SECONDS
        while (done := self._psql("select 1")).returncode != 0:
            if not self._lives(pid):
                return False
            if time.monotonic() > deadline:
                raise self._failed(f"The PostgreSQL of {self._home} runs and takes no connection", done.stdout)
            _pause()
        return True

    def _log(self) -> ServerLog:
        return ServerLog(first=self._home / "run" / "postgres-start.log", folder=self.places.data / "log")

    def _launch(self) -> int:
        """Start the server and wait for it; after kill -9 the old one's children need a moment to leave."""
        places = self.places
        names = {"data": places.data, "sockets": places.sockets}
        quoted = {name: str(path).replace("'", "''") for name, path in names.items()}
        write_whole(places.settings, SETTINGS.format_map(quoted), mode=0o644)
        deadline = time.monotonic() + self._start_timeout_seconds
        while True:
            log = self._log()
            with log.first.open("wb") as output:
                self._child = subprocess.Popen(  # noqa: S603 - our own program, no shell
                    [places.binaries / "postgres", "-D", places.data, "-c", f"config_file={places.settings}"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=_environment(),
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C is for the desk, which then stops us in order
                    user=places.run_as[0] if places.run_as else None,
                    group=places.run_as[1] if places.run_as else None,
                    extra_groups=[] if places.run_as else None,
                )
            pid = self._child.pid
            try:
                if self._is_ready(pid, log):
                    return pid
            except BaseException:
                self._end(pid)
                raise
            words = log.tail()
            if "is still in use" not in words or time.monotonic() > deadline:
                raise self._failed("The embedded PostgreSQL did not start", words)
            _pause()

    def _is_ready(self, pid: int, log: ServerLog) -> bool:
        """Wait as long as there is progress, which is a log that grows; tell whether the server lives."""
        size, deadline = -1, time.monotonic() + self._start_timeout_seconds
        while self._lives(pid):
            with contextlib.suppress(FileNotFoundError):
                lines = (self.places.data / "postmaster.pid").read_text(errors="replace").split("\n")
                # As pg_ctl reads it: the pid in line 1, the state in line 8.
                if lines[0] == str(pid) and lines[7:8] and lines[7].strip() == "ready":
                    return True
            if (now := log.size_bytes()) != size:
                size, deadline = now, time.monotonic() + self._start_timeout_seconds
            elif time.monotonic() > deadline:
                seconds = self._start_timeout_seconds
                raise self._failed(f"The embedded PostgreSQL stood still for {seconds} seconds", log.tail())
            _pause()
        return False

    def _end(self, pid: int) -> None:
        """Ask for a fast shutdown, which writes a checkpoint; cut it short only after the time allowed."""
        steps = ((signal.SIGINT, self._stop_timeout_seconds), (signal.SIGQUIT, CUT_SHORT_SECONDS))
        for demand, seconds in steps:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, demand)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not self._lives(pid):
                    return
                _pause()
        raise EmbeddedServerError(f"The embedded PostgreSQL, process {pid}, does not stop.")

    def _failed(self, sentence: str, words: str) -> EmbeddedServerError:
        if "No space left on device" in words:
            return EmbeddedServerError(f"{sentence}: the disk that holds {self.places.data} is full.")
        return EmbeddedServerError(f"{sentence}; its last words: {last_lines(words)}")

    def _run(
        self,
        command: Sequence[str | Path],
        *,
        run_as: tuple[int, int] | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=_environment() | (environment or {}),
            umask=0o077,
            start_new_session=True,
            user=run_as[0] if run_as else None,
            group=run_as[1] if run_as else None,
            extra_groups=[] if run_as else None,
        )


def _serves(pid: int, data: Path) -> bool:
    """Tell whether a process is the server of a data folder; one that ended unwaited for is not."""
    arguments = Path("/proc", str(pid), "cmdline")
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            return arguments.read_bytes().split(b"\0")[1:3] == [b"-D", os.fsencode(data)]
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a fixed program
    return b"-D " + os.fsencode(data) + b" " in listed.stdout


def _environment() -> dict[str, str]:
    """Start from nothing, so that no PG* variable of the caller changes what our programs do."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _pause() -> None:
    time.sleep(POLL_MILLISECONDS / 1000)
