"""The embedded PostgreSQL: made, started, watched and stopped for one DESK_HOME.

Decided here: how a cluster is made, with which settings it runs, when it counts as started, who stops it.
Where it lies and as whom it runs is decided in `embedded_places.py`. These hold:

- Durability is never traded for speed: fsync, synchronous_commit and full_page_writes keep their defaults,
  the cluster has data checksums, and a new cluster gets its name only after initdb has synced it to disk.
- Nobody is trusted: there is no TCP listener, the socket lies in a folder of mode 0700, and every connection
  proves the random password in `<home>/secrets/postgres_password` by SCRAM.
- One server per home: starts and stops of a home take turns on a file lock, and whoever finds a live server
  uses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from otcdesk.storage.embedded_log import ServerLog, last_lines
from otcdesk.storage.embedded_places import (
    SOCKET_FILE,
    EmbeddedServerError,
    Places,
    explain,
    major_version,
    places_of,
    private_folder,
    sync_folder,
    user_name,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["EmbeddedServer", "EmbeddedServerError"]

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
max_connections = 100

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


class EmbeddedServer:
    """The PostgreSQL server of one home.

    `start` uses a live server of the home if there is one. `stop`, and leaving the context, let go of it; the
    last of all processes that use it stops it, whoever started it. Not for use by several threads at once.
    """

    def __init__(self, home: Path, *, start_timeout_seconds: int = 300, stop_timeout_seconds: int = 120) -> None:
        """Name the home; nothing is read or made before `start`.

        `start_timeout_seconds` is how long a start may show no progress, not how long it may take: recovery
        after a crash can be long. After `stop_timeout_seconds` a shutdown is cut short, which costs the next
        start a recovery and loses nothing.
        """
        self.home = Path(home).resolve()
        self.pid: int | None = None
        self._start_timeout_seconds = start_timeout_seconds
        self._stop_timeout_seconds = stop_timeout_seconds
        self._known_places: Places | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._membership: int | None = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, under the rule of the class."""
        self.stop()

    def start(self) -> str:
        """Start the server, making it if it is new, and return the address of the desk's database.

        Returns once the server answers and its database exists. Raises EmbeddedServerError.
        """
        try:
            with self._turn():
                return self._start()
        except OSError as error:
            raise explain(error, self.home) from error

    def stop(self) -> None:
        """Let go of the server, and stop it if nobody else uses it; harmless if repeated."""
        if self._membership is not None:
            with self._turn():
                with contextlib.suppress(BlockingIOError):  # somebody else uses it: the last one out stops it
                    fcntl.flock(self._membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._shut_down()
                self._let_go()
        self.pid = None

    def bin(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's own programs, as `psql`, `pgbench` or `pg_dump`."""
        path = self._places.binaries / name
        if not path.is_file():
            raise EmbeddedServerError(f"There is no program {name} in {path.parent}.")
        return path

    def dsn(self, database: str = DATABASE) -> str:
        """Return an address that asyncpg and psql take as it is; it contains the password."""
        password, host = quote(self._read_password(), safe=""), quote(str(self._places.sockets))
        return f"postgresql://{ROLE}:{password}@/{quote(database, safe='')}?host={host}"

    @property
    def _places(self) -> Places:
        if self._known_places is None:
            self._known_places = places_of(self.home)
        return self._known_places

    @property
    def _password_path(self) -> Path:
        return self.home / "secrets" / "postgres_password"

    def _start(self) -> str:
        self._make_cluster()
        self._join()
        pid = self._find()
        if pid is None or not self._answers(pid):
            self._find()  # a server that died meanwhile leaves its mark, which would stop the next one
            try:
                pid = self._launch()
            except BaseException:
                self._let_go()
                raise
        self.pid = pid
        self._make_database()
        return self.dsn()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Let starts and stops of one home take turns, across processes."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _open_lock(private_folder(self.home / "run") / "start.lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _join(self) -> None:
        """Become one of those who use the server.

        A shared file lock says so rather than a written pid: the kernel drops it with the process, however that
        ends.
        """
        if self._membership is None:
            with _open_lock(self.home / "run" / "users.lock") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH)
                self._membership = os.dup(handle)

    def _let_go(self) -> None:
        if self._membership is not None:
            os.close(self._membership)
            self._membership = None

    # A new cluster.

    def _make_cluster(self) -> None:
        """Run initdb once; the data folder appears under its name only when it is complete and on disk."""
        places = self._places
        if places.data.exists():
            self._check_cluster()
            return
        private_folder(self._password_path.parent)
        if not self._password_path.exists():
            write_whole(self._password_path, secrets.token_urlsafe(32), mode=0o600)
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
        data, expected = self._places.data, self._places.owner
        owner = data.stat().st_uid
        if owner != expected:
            raise EmbeddedServerError(
                f"{data} belongs to {user_name(owner)}, and the server would run as {user_name(expected)}."
            )
        mark, major = data / "PG_VERSION", major_version(self._places.binaries)
        written_by = mark.read_text(encoding="utf-8").strip() if mark.exists() else "of an unknown version"
        if written_by != major:
            raise EmbeddedServerError(
                f"{data} was written by PostgreSQL {written_by} and this is PostgreSQL {major}: "
                "dump it with the old version and restore it with this one."
            )

    def _read_password(self) -> str:
        try:
            return self._password_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{self._password_path} is missing, which opens the database in {self._places.data}."
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
        address = {"PGHOST": str(self._places.sockets), "PGUSER": ROLE, "PGDATABASE": "postgres"}
        environment = {**address, "PGPASSWORD": self._read_password()}
        return self._run([self.bin("psql"), *options, statement], environment=environment)

    # A running server.

    def _find(self) -> int | None:
        """Return the pid of a live server of this home; remove the mark of a dead one.

        PostgreSQL judges an old pid file by whether any process has that number, which says nothing after a
        reboot, in a container or with a child nobody waited for. We ask whether that process serves this
        folder. Removing the file is safe: PostgreSQL also refuses a folder whose shared memory is in use.
        """
        pid_file = self._places.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        if self._lives(pid):
            return pid
        # The lock beside the socket goes first: PostgreSQL takes its dead owner for alive as long as nobody reaped it.
        (self._places.sockets / f"{SOCKET_FILE}.lock").unlink(missing_ok=True)
        pid_file.unlink(missing_ok=True)
        return None

    def _lives(self, pid: int) -> bool:
        """Ask the kernel about our own child, whose arguments may not be set yet; judge others by theirs."""
        if self._child is not None and self._child.pid == pid:
            return self._child.poll() is None
        return _serves(pid, self._places.data)

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
                raise self._failed(f"The PostgreSQL of {self.home} runs and takes no connection", done.stdout)
            _pause()
        return True

    def _log(self) -> ServerLog:
        return ServerLog(first=self.home / "run" / "postgres-start.log", folder=self._places.data / "log")

    def _launch(self) -> int:
        """Start the server and wait for it; after kill -9 the old one's children need a moment to leave."""
        places = self._places
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
                lines = (self._places.data / "postmaster.pid").read_text(errors="replace").split("\n")
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

    def _shut_down(self) -> None:
        pid = self._find()
        if pid is None and self._child is not None and self._child.poll() is None:
            pid = self._child.pid  # somebody removed the data from under it
        if pid is not None:
            self._end(pid)
        if self._places.sockets_are_temporary:
            with contextlib.suppress(OSError):
                self._places.sockets.rmdir()
            self._known_places = None  # so that a later start makes the folder again

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
            return EmbeddedServerError(f"{sentence}: the disk that holds {self._places.data} is full.")
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


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


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
