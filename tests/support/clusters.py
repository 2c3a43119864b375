"""A throw-away PostgreSQL of the machine's own version: made for one run of the tests, gone afterwards."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

#: The versions that the desk says it runs on.
MAJORS = range(15, 19)

_START_SECONDS_MAX = 120
_STOP_SECONDS_MAX = 60
#: Nobody asks for it on this socket; but addresses have passwords, and nothing of ours may show them.
_PASSWORD = secrets.token_urlsafe(16)


def debian_binaries() -> dict[int, Path]:
    """Return the folders of the server programs that Debian's packages put here, by major version."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    found = {int(folder.parent.name): folder for folder in folders if (folder / "postgres").is_file()}
    return {major: found[major] for major in sorted(found) if major in MAJORS}


class ThrowAwayCluster:
    """A cluster in a temporary folder, on a socket only, which is as closed as the folder. As root it is postgres's."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="otcdesk-cluster-"))
        self.data = self.folder / "data"
        self._user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Make the cluster, start its server and return its address once it answers; undone if anything fails."""
        try:
            self._make()
            self._launch()
        except BaseException:
            self.stop()
            raise
        host = quote(str(self.folder), safe="")
        return f"postgresql://otcdesk:{_PASSWORD}@/postgres?host={host}"

    def stop(self) -> None:
        """Stop the server and remove everything."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(timeout=_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._server.send_signal(signal.SIGQUIT)
                self._server.wait(timeout=_STOP_SECONDS_MAX)
        shutil.rmtree(self.folder)

    def _make(self) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user, self._user)
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        subprocess.run(
            [self.binaries / "initdb", f"--pgdata={self.data}", "--username=otcdesk", *options],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "",
            "max_connections": "400",
            "unix_socket_directories": str(self.folder),
            "logging_collector": "off",
        }
        with (self.folder / "server.log").open("wb") as log:
            self._server = subprocess.Popen(
                [
                    self.binaries / "postgres",
                    "-D",
                    self.data,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,  # Ctrl-C is for pytest, which then stops it
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self._is_ready():
            words = (self.folder / "server.log").read_text(errors="replace")[-2_000:]
            assert self._server.poll() is None, f"PostgreSQL did not start: {words}"
            assert time.monotonic() < deadline, f"PostgreSQL is not ready: {words}"
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return lines[7:8] != [] and lines[7].strip() == "ready"
