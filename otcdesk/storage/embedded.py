"""The embedded PostgreSQL of one DESK_HOME, and who may use it when.

Decided here: whose turn it is to start and stop it, and that an upgrade is finished before it starts. How a server is
made and run is decided in `embedded_cluster.py`, where it lies and as whom it runs in `embedded_places.py`. One server
per home: starts and stops of a home take turns on a file lock, and whoever finds a live server uses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from otcdesk.storage.embedded_cluster import DATABASE, Cluster
from otcdesk.storage.embedded_places import EmbeddedServerError, Places, explain, places_of, private_folder
from otcdesk.storage.embedded_swap import finish_upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["EmbeddedServer", "EmbeddedServerError"]


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
        self._timeouts = {
            "start_timeout_seconds": start_timeout_seconds,
            "stop_timeout_seconds": stop_timeout_seconds,
        }
        self._known_cluster: Cluster | None = None
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

    @contextlib.contextmanager
    def alone(self) -> Iterator[Cluster]:
        """Give the cluster, its server stopped, to nobody else, who may wait.

        Raises EmbeddedServerError if a desk uses it.
        """
        try:
            with self._turn(), _open_lock(self.home / "run" / "users.lock") as membership:
                try:
                    fcntl.flock(membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise EmbeddedServerError(f"The desk of {self.home} runs: stop it first.") from None
                finish_upgrade(self._cluster.places)
                self._cluster.shut_down()  # one whose desk was killed may still run
                yield self._cluster
        except OSError as error:
            raise explain(error, self.home) from error

    def bin(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's own programs, as `psql`, `pgbench` or `pg_dump`."""
        return self._cluster.bin(name)

    def dsn(self, database: str = DATABASE) -> str:
        """Return an address that asyncpg and psql take as it is; it contains the password."""
        return self._cluster.dsn(database)

    @property
    def _cluster(self) -> Cluster:
        if self._known_cluster is None:
            self._known_cluster = Cluster(self.home, places_of(self.home), **self._timeouts)
        return self._known_cluster

    @property
    def _places(self) -> Places:
        return self._cluster.places

    def _start(self) -> str:
        cluster = self._cluster
        finish_upgrade(cluster.places)
        cluster.make()
        self._join()
        try:
            self.pid = cluster.start()
        except BaseException:
            self._let_go()
            raise
        return self.dsn()

    def _shut_down(self) -> None:
        self._cluster.shut_down()
        if self._places.sockets_are_temporary:
            with contextlib.suppress(OSError):
                self._places.sockets.rmdir()
            self._known_cluster = None  # so that a later start makes the folder again

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


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
