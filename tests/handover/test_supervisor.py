"""The supervisor: its processes count together, are started again, and never outlive it."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.handover.group import Group, assert_sound, is_gone
from tests.support.server import EXCHANGES, World, assert_refused, wait_until

PER_SECOND = 20
THREADS = 4


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home whose name is too long for sockets in it."""
    return tmp_path / ("a long name " * 8).strip() / "home"


@pytest.fixture
def limited(module_dsn: str, home: Path) -> Iterator[Group]:
    home.mkdir(parents=True)
    group = Group(module_dsn, home, DESK_EXCHANGES_REQUESTS_PER_SECOND=str(PER_SECOND))
    try:
        group.start()
        yield group
    finally:
        group.stop()


def _in_one_second(world: World, clients: list[httpx.Client]) -> "Counter[int] | None":
    """Ask from all sides within one second of the machine's clock; None if that took longer."""
    key = {"x-api-key": world.keys["KA"]}

    def ask(client: httpx.Client) -> list[int]:
        return [client.get(EXCHANGES, headers=key).status_code for _ in range(PER_SECOND)]

    with ThreadPoolExecutor(len(clients)) as threads:
        second = int(time.monotonic()) + 1
        wait_until(lambda: time.monotonic() >= second, "a second begins")
        answers = [status for answers in threads.map(ask, clients) for status in answers]
        return Counter(answers) if time.monotonic() < second + 1 else None


def test_a_limit_is_one_for_all_processes_and_no_process_outlives_its_supervisor(limited: Group) -> None:
    """Two things in one desk, because starting one takes seconds."""
    limited.settle()
    world = World(limited)
    clients = [limited.connected(number) for number in (1, 2) for _ in range(THREADS // 2)]
    counted = None
    for _ in range(20):  # a machine that is busy needs more than one second to begin with
        counted = _in_one_second(world, clients)
        if counted is not None:
            break
    assert counted == {200: PER_SECOND, 429: (THREADS - 1) * PER_SECOND}
    wait_until(
        lambda: clients[0].get(EXCHANGES, headers={"x-api-key": world.keys["KA"]}).status_code == 200, "a new second"
    )
    assert_refused(_last_of(clients[1], world), 429, "RATE_LIMITED")

    pids = list(limited.pids().values())
    assert len(pids) == 2
    assert limited.process is not None
    os.kill(pids[0], signal.SIGSTOP)  # even one that hears nothing, once it goes on
    limited.process.kill()
    limited.process.wait()
    limited.hang_up()
    wait_until(lambda: is_gone(pids[1]), "the process stops by itself")
    os.kill(pids[0], signal.SIGCONT)
    wait_until(lambda: is_gone(pids[0]), "the other one stops too")
    assert not limited.answers()
    assert '"event": "supervisor_gone"' in limited.log()
    assert_sound(limited)


def _last_of(client: httpx.Client, world: World) -> httpx.Response:
    """Ask until it is refused, which happens in any second in which one asks often enough."""
    for _ in range(100 * PER_SECOND):
        answer = client.get(EXCHANGES, headers={"x-api-key": world.keys["KA"]})
        if answer.status_code != 200:
            return answer
    raise AssertionError("never refused")


def test_a_process_that_dies_too_often_ends_everything_and_the_exit_tells(fresh_dsn: str, tmp_path: Path) -> None:
    group = Group(fresh_dsn, tmp_path, DESK_PROCESS_DEATHS_MAX="1")
    try:
        group.start()
        group.settle()
        first = group.pids()
        os.kill(first[1], signal.SIGKILL)
        wait_until(lambda: group.pids().get(1, first[1]) != first[1], "it is started again")
        second = group.pids()
        assert second[2] == first[2]
        os.kill(second[1], signal.SIGKILL)
        assert group.process is not None
        assert group.process.wait(timeout=30) == 1
        assert all(is_gone(pid) for pid in (*first.values(), *second.values()))
        assert '"event": "server_process_given_up"' in group.log()
        assert "otcdesk: server processes died too often" in group.log()
    finally:
        group.stop()
