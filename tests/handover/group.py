"""A desk of several server processes, as tests see it: each process by connections of its own, and by its pid."""

import os
import signal
import subprocess
from pathlib import Path

import httpx

from otcdesk.secret_files import load_or_make_key
from otcdesk.storage.verify import describe, verify
from tests.support.databases import run_apart
from tests.support.server import NO_AUTHORITIES, DeskServer, check_answer, wait_until


def _check(response: httpx.Response) -> None:
    """Assert what holds of every answer of every dialect; figures are none."""
    if response.request.url.path != "/metrics":
        check_answer(response)


class Group(DeskServer):
    """A server of several processes that leads by itself."""

    def __init__(self, dsn: str, home: Path, *, processes: int = 2, **settings: str) -> None:
        quick = {"DESK_HANDOVER": "true", "DESK_LEADERSHIP_PERIOD_MS": "100", "DESK_CREDENTIAL_CACHE_MS": "500"}
        super().__init__(dsn, home, DESK_PROCESSES=str(processes), **quick, **settings)
        self.processes = processes
        self._clients: list[httpx.Client] = []

    def fresh_client(self) -> httpx.Client:
        """Return a client for all, whose connections nobody has cut."""
        self.http.close()
        return httpx.Client(base_url=self.url, timeout=30, verify=NO_AUTHORITIES, event_hooks={"response": [_check]})

    def answers(self) -> bool:
        """Tell whether somebody takes connections."""
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5, verify=NO_AUTHORITIES).status_code == 200
        except httpx.TransportError:
            return False

    def pids(self) -> dict[int, int]:
        """Return the pid of each process by its number, of those that live."""
        assert self.process is not None
        told = subprocess.run(
            ["ps", "-ww", "--ppid", str(self.process.pid), "-o", "pid=,stat=,args="],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found = {}
        for line in told.splitlines():
            pid, state, *words = line.split()
            if "otcdesk.server_process" in words and not state.startswith("Z"):
                found[int(words[words.index("otcdesk.server_process") + 1])] = int(pid)
        return found

    def connected(self, process: int) -> httpx.Client:
        """Return a client whose one connection leads to a process, whichever the system gives it to."""

        def leads_there() -> bool:
            client = httpx.Client(
                base_url=self.url,
                timeout=30,
                verify=NO_AUTHORITIES,
                limits=httpx.Limits(max_connections=1),
                event_hooks={"response": [_check]},
            )
            self._clients.append(client)  # it stays open: who has fewer connections gets the next
            return bool(client.get("/readyz").json()["process"] == process)

        wait_until(leads_there, f"a connection leads to process {process}, which may have been killed a moment ago")
        return self._clients[-1]

    def each(self) -> dict[int, httpx.Client]:
        """Return a client for each process."""
        return {number: self.connected(number) for number in range(1, self.processes + 1)}

    def leader(self) -> int:
        """Return the number of the process that leads."""
        leading = [number for number, client in self.each().items() if client.get("/readyz").json()["leads"]]
        assert len(leading) <= 1
        return leading[0] if leading else 0

    def settle(self) -> int:
        """Wait until one leads and all others hand over to it; returns its number."""

        def settled() -> bool:
            told = [client.get("/readyz").json() for client in self.each().values()]
            return sorted((one["leads"], one["hands_over"]) for one in told) == [
                *[(False, True)] * (self.processes - 1),
                (True, False),
            ]

        def all_live() -> bool:
            return len(self.pids()) == self.processes

        wait_until(all_live, "all processes live")
        wait_until(settled, f"one process leads, the others hand over; {self.log()[-2000:]}")
        return self.leader()

    def hang_up(self) -> None:
        """Close all connections that were made."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def stop(self) -> int:
        self.hang_up()
        for pid in self.pids().values():  # what a test has stopped could not stop in order
            os.kill(pid, signal.SIGCONT)
        return super().stop()


def assert_sound(group: Group) -> None:
    """Replay all chains of a group's database against its tables and run every invariant."""
    report = run_apart(verify(group.environ["DATABASE_URL"], load_or_make_key(group.home, "audit.key")))
    assert report.sound, [describe(finding) for finding in report.findings[:20]]
    assert report.rows
    assert "Traceback" not in group.log()


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, even if nobody has asked how."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
