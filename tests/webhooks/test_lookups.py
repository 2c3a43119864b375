"""Which addresses a host has: asked once for those who ask together, anew for those who come later."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from otcdesk.webhooks.lookups import Lookups, NotPublic, is_open, system_resolve
from tests.support.waiting import until


class Names:
    """Implements `Resolve`: answers when it is told to."""

    def __init__(self, *found: str) -> None:
        self.found: list[str] | OSError = list(found)
        self.asked: list[tuple[str, int]] = []
        self.told = asyncio.Event()

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        await self.told.wait()
        if isinstance(self.found, OSError):
            raise self.found
        return self.found


@pytest.fixture
def names() -> Names:
    return Names("8.8.8.8", "2606:4700::1111", "8.8.8.8")


async def test_those_who_ask_together_share_a_lookup(names: Names) -> None:
    lookups = Lookups(names, local=False)
    asking = [asyncio.create_task(lookups.addresses("a.example", 443)) for _ in range(10)]
    other = asyncio.create_task(lookups.addresses("b.example", 443))
    await until(lambda: len(names.asked) == 2, "both hosts are asked for")
    names.told.set()
    assert await asyncio.gather(*asking, other) == [["8.8.8.8", "2606:4700::1111"]] * 11
    assert names.asked == [("a.example", 443), ("b.example", 443)]


async def test_nothing_is_remembered(names: Names) -> None:
    names.told.set()
    lookups = Lookups(names, local=False)
    assert await lookups.addresses("a.example", 443)
    names.found = ["10.0.0.1"]
    with pytest.raises(NotPublic):
        await lookups.addresses("a.example", 443)
    names.found = socket.gaierror()
    with pytest.raises(socket.gaierror):
        await lookups.addresses("a.example", 443)
    assert len(names.asked) == 3


async def test_who_gives_up_does_so_alone(names: Names) -> None:
    lookups = Lookups(names, local=False)
    first, second = (asyncio.create_task(lookups.addresses("a.example", 443)) for _ in range(2))
    await until(lambda: len(names.asked) == 1, "the host is asked for")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    names.told.set()
    assert await second == ["8.8.8.8", "2606:4700::1111"]


async def test_a_failure_that_nobody_waits_for_makes_no_noise(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    names.found = OSError()
    lookups = Lookups(names, local=False)
    task = asyncio.create_task(lookups.addresses("a.example", 443))
    await until(lambda: len(names.asked) == 1, "the host is asked for")
    task.cancel()
    names.told.set()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not lookups._under_way, "the lookup has ended")
    assert caplog.records == []


async def test_closing_gives_up_what_is_under_way(names: Names) -> None:
    lookups = Lookups(names, local=False)
    task = asyncio.create_task(lookups.addresses("a.example", 443))
    await until(lambda: len(names.asked) == 1, "the host is asked for")
    await lookups.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_answer_is_what_the_connector_takes(names: Names) -> None:
    names.told.set()
    lookups = Lookups(names, local=False)
    both = await lookups.resolve("a.example", 8443)
    assert [(row["hostname"], row["host"], row["port"], row["family"]) for row in both] == [
        ("a.example", "8.8.8.8", 8443, socket.AF_INET),
        ("a.example", "2606:4700::1111", 8443, socket.AF_INET6),
    ]
    assert await lookups.resolve("a.example", 8443, socket.AF_INET) == both[:1]


@pytest.mark.parametrize("text", ["", "127.1", "0x7f.1", "localhost", "8.8.8.8 ", "8.8.8.8/32", "٨.8.8.8", "[::1]"])
def test_what_is_no_address_is_closed(text: str) -> None:
    assert not is_open(text, local=True)


# -- turns ---------------------------------------------------------------------------------------------------------


def asked_for(lookups: Lookups, *hosts: str) -> list[asyncio.Task[list[str]]]:
    return [asyncio.create_task(lookups.addresses(host, 1)) for host in hosts]


async def test_what_nobody_asks_for_any_more_leaves_the_queue(names: Names) -> None:
    lookups = Lookups(names, local=False, at_once_max=1)
    first, *given_up = asked_for(lookups, "first", "left", "left", "other")
    await until(lambda: len(names.asked) == 1, "the first is under way")
    (last,) = asked_for(lookups, "last")
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    assert {host for host, _ in lookups._under_way} == {"first", "last"}
    names.told.set()
    assert await first == await last
    assert [host for host, _ in names.asked] == ["first", "last"]


async def test_who_stays_keeps_a_lookup_in_the_queue_and_it_can_be_asked_for_anew(names: Names) -> None:
    lookups = Lookups(names, local=False, at_once_max=1)
    first, one, other = asked_for(lookups, "first", "shared", "shared")
    await until(lambda: len(names.asked) == 1, "the first is under way")
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    assert len(lookups._under_way) == 2
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    (again,) = asked_for(lookups, "shared")
    names.told.set()
    assert await first == await again
    assert len(names.asked) == 2


async def test_one_that_was_just_given_up_is_not_shared(names: Names) -> None:
    lookups = Lookups(names, local=False, at_once_max=1)

    async def insisting() -> list[str]:
        try:
            return await lookups.addresses("again", 1)
        except asyncio.CancelledError:
            return await lookups.addresses("again", 1)

    (first,) = asked_for(lookups, "first")
    second = asyncio.create_task(insisting())
    await until(lambda: len(lookups._under_way) == 2, "one is under way, and one waits")
    second.cancel()
    await asyncio.sleep(0)
    names.told.set()
    assert await first == await second


async def test_one_that_has_begun_keeps_its_turn_though_nobody_asks_for_it(names: Names) -> None:
    lookups = Lookups(names, local=False, at_once_max=1)
    (first,) = asked_for(lookups, "first")
    await until(lambda: len(names.asked) == 1, "the first is under way")
    first.cancel()
    (second, again) = asked_for(lookups, "second", "first")
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.sleep(0)
    assert len(names.asked) == 1
    names.told.set()
    assert await second == await again
    assert len(names.asked) == 2


async def test_a_full_queue_refuses_at_once_but_for_hosts_that_are_in_it(names: Names) -> None:
    lookups = Lookups(names, local=False, at_once_max=2, waiting_max=3)
    waiting = asked_for(lookups, *"abcde")
    over, shared = asked_for(lookups, "f", "e")
    with pytest.raises(OSError, match="too many"):
        await over
    names.told.set()
    assert len({tuple(found) for found in await asyncio.gather(*waiting, shared)}) == 1
    assert await lookups.addresses("f", 1)


# -- the system's lookups ------------------------------------------------------------------------------------------


class Slow:
    """Stands for the system's lookup, which waits for as long as it is held."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        if host.startswith("slow"):
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self.held.wait(20)
            with self._lock:
                self.running -= 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.held.set()


async def test_this_machine_is_found() -> None:
    found = await system_resolve()("localhost", 80)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
async def test_what_cannot_be_a_name_has_no_address(host: str) -> None:
    with pytest.raises(OSError, match=r"name|host"):
        await system_resolve()(host, 80)


async def test_want_of_threads_is_a_failed_lookup_and_passes(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    del slow

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(system_resolve(), local=False, at_once_max=1)
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="now"):
                await lookups.addresses("quick", 1)
    assert await lookups.addresses("quick", 1) == ["8.8.8.8"]


async def test_a_slow_lookup_delays_no_other(slow: Slow) -> None:
    resolve = system_resolve()
    waiting = [asyncio.ensure_future(resolve(f"slow-{number}", 1)) for number in range(50)]
    assert await resolve("quick", 1) == ["8.8.8.8"]
    assert not any(task.done() for task in waiting)
    slow.held.set()
    assert await asyncio.gather(*waiting) == [["8.8.8.8"]] * 50


async def test_only_so_many_are_under_way_also_when_nobody_waits_for_them(slow: Slow) -> None:
    lookups = Lookups(system_resolve(), local=False, at_once_max=3)
    waiting = [asyncio.ensure_future(lookups.addresses(f"slow-{number}", 1)) for number in range(6)]
    await until(lambda: slow.running == 3, "three are under way")
    for task in waiting[:3]:
        task.cancel()
    await asyncio.gather(*waiting[:3], return_exceptions=True)
    await asyncio.sleep(0.02)
    assert slow.running == 3
    slow.held.set()
    assert await asyncio.gather(*waiting[3:]) == [["8.8.8.8"]] * 3
    assert slow.most == 3


def test_a_lookup_outlives_the_loop_quietly(slow: Slow, caplog: pytest.LogCaptureFixture) -> None:
    async def give_up() -> None:
        task = asyncio.ensure_future(system_resolve()("slow", 1))
        await until(lambda: slow.running == 1, "it is under way")
        task.cancel()

    asyncio.run(give_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "webhook-lookup"]
    assert thread.daemon
    slow.held.set()
    thread.join(20)
    assert not thread.is_alive()
    assert caplog.records == []
