"""PostgreSQL's own programs for a copy of the database: pg_dump, pg_restore and psql of one version, found and run.

A pg_dump must not be older than the server that it reads, and a pg_restore not older than the pg_dump, so a version is
chosen for both: the oldest that is new enough, since that is the one closest to the server. The embedded server's
package is always there as the newest. A password travels in the environment, never among the arguments, which every
user of the machine may read.
"""

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import msgspec

from otcdesk.storage.database import DatabaseUnusable, without_password
from otcdesk.storage.embedded_log import last_lines
from otcdesk.storage.embedded_places import wheel_installs

#: Where distributions put the programs of each major version.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_NEEDED = ("pg_dump", "pg_restore", "psql")


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The programs of one major version, in one folder."""

    folder: Path
    major: int


def installed_binaries() -> list[Path]:
    """Return every folder of PostgreSQL programs on this machine, those of the embedded server's package last."""
    return [*distribution_binaries(), *wheel_installs()]


def distribution_binaries() -> list[Path]:
    """Return the folders of the PostgreSQL programs that distributions' packages put on this machine."""
    return [folder for pattern in _FOLDERS for folder in sorted(Path("/").glob(pattern.removeprefix("/")))]


def over_network(dsn: str) -> bool:
    """Tell whether a database is reached over a network, where what travels must be encrypted."""
    parts = urlsplit(dsn)
    host = parts.hostname or "".join(parse_qs(parts.query).get("host", []))
    return bool(host) and not host.startswith("/") and host not in _LOOPBACK


def tools_for(major_min: int, *, dsn: str = "", among: Iterable[Path] | None = None) -> Tools:
    """Return the oldest programs of at least this major version; raises DatabaseUnusable if there are none.

    Those of the embedded server's package are built without TLS, so a database across a network gets none of them.
    """
    if among is None:
        among = distribution_binaries() if over_network(dsn) else installed_binaries()
    fitting = [
        Tools(folder=folder, major=major)
        for folder in among
        if all(os.access(folder / name, os.X_OK) for name in _NEEDED)
        and (major := version_of(folder / "pg_dump")) is not None
        and major >= major_min
    ]
    if not fitting:
        raise DatabaseUnusable(
            f"There is no pg_dump of PostgreSQL {major_min} or newer here: install postgresql-client-{major_min}."
        )
    return min(fitting, key=lambda tools: tools.major)


def version_of(program: Path) -> int | None:
    """Return a program's major version, None if it does not run here."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(found.group(1)) if found else None


class Running:
    """A program under way and what it complained of."""

    def __init__(self, process: asyncio.subprocess.Process, complaints: IO[bytes]) -> None:
        self.process = process
        self._complaints = complaints

    async def ended(self, what: str) -> None:
        """Wait for the end; raises DatabaseUnusable, beginning with `what`, unless it is a good one."""
        code = await self.process.wait()
        if code != 0:
            self._complaints.seek(0)
            words = last_lines(self._complaints.read().decode(errors="replace")).replace("\n", " ")
            raise DatabaseUnusable(f"{what}: {words or f'the program ended with {code}'}")


@asynccontextmanager
async def running(
    program: Path, *arguments: str, dsn: str | None = None, reads: bool = False
) -> AsyncIterator[Running]:
    """Start a program whose output is read, or which with `reads` reads; it does not outlive the context.

    `dsn` is added to the arguments without its password.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    connect: list[str] = []
    if dsn is not None:
        address, password = without_password(dsn)
        connect = [f"--dbname={address}", "--no-password"]
        if password:
            environment["PGPASSWORD"] = password
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            *connect,
            stdin=asyncio.subprocess.PIPE if reads or dsn is None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL if reads else asyncio.subprocess.PIPE,
            stderr=complaints,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us, who then end it in order
        )
        try:
            yield Running(process, complaints)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
