"""Which addresses a host has, asked anew for each connection and judged before any of them is used.

A host with even one address that may not be connected to is refused whole: a name that is half inside is an attack or
a mistake. Nothing is remembered beyond the lookup itself, so a name that leads elsewhere later is judged again.

The system's lookups block, and those of a dead name server for long, so only so many go on at the same time. One that
has begun cannot be broken off; one that still waits for its turn leaves when nobody asks for it any more.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from otcdesk.webhooks.addresses import may_connect

#: Finds the addresses of a host, as text; raises OSError if it has none.
Resolve = Callable[[str, int], Awaitable[list[str]]]

#: How many hosts are looked up at the same time, each on a thread of its own, so that a slow one delays no other.
AT_ONCE_MAX: Final = 64


class NotPublic(OSError):
    """A host has an address that may not be connected to."""


class _Lookup:
    """One lookup, and how many ask for it; `has_begun` once it has its turn."""

    def __init__(self) -> None:
        self.task: asyncio.Task[list[str]]
        self.askers = 0
        self.has_begun = False


class Lookups(AbstractResolver):
    """Finds and judges addresses; those who ask for the same host at the same time share one lookup."""

    def __init__(
        self, resolve: Resolve, *, local: bool, at_once_max: int = AT_ONCE_MAX, waiting_max: int | None = None
    ) -> None:
        """Take who knows addresses, and whether this machine may be among them.

        More than `at_once_max` hosts wait for their turn; if `waiting_max` wait already, the next is refused at once.
        """
        self._resolve = resolve
        self._local = local
        self._turns = asyncio.Semaphore(at_once_max)
        self._under_way_max = None if waiting_max is None else at_once_max + waiting_max
        self._under_way: dict[tuple[str, int], _Lookup] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return all addresses of a host, none of them closed; raises NotPublic, or OSError if there are none."""
        key = (host, port)
        lookup = self._under_way.get(key) or self._begin(key)
        lookup.askers += 1
        try:
            return await asyncio.shield(lookup.task)  # whoever gives up does so alone
        finally:
            lookup.askers -= 1
            if not lookup.askers and not lookup.has_begun:
                lookup.task.cancel()
                self._forget(key, lookup)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Answer as aiohttp's connector asks; see `addresses`."""
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self.addresses(host, port)
        ]
        return [each for each in found if family in {socket.AF_UNSPEC, each["family"]}]

    async def close(self) -> None:
        """Give up the lookups under way."""
        tasks = [lookup.task for lookup in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: tuple[str, int]) -> _Lookup:
        if self._under_way_max is not None and len(self._under_way) >= self._under_way_max:
            raise OSError("too many hosts wait to be looked up")
        lookup = _Lookup()
        lookup.task = asyncio.create_task(self._in_turn(lookup, *key))
        lookup.task.add_done_callback(lambda _: self._forget(key, lookup))
        self._under_way[key] = lookup
        return lookup

    def _forget(self, key: tuple[str, int], lookup: _Lookup) -> None:
        if self._under_way.get(key) is lookup:
            del self._under_way[key]

    async def _in_turn(self, lookup: _Lookup, host: str, port: int) -> list[str]:
        async with self._turns:  # until the answer is there, whether or not anybody still asks for it
            lookup.has_begun = True
            return await self._look_up(host, port)

    async def _look_up(self, host: str, port: int) -> list[str]:
        found = list(dict.fromkeys(await self._resolve(host, port)))
        if not found:
            raise OSError("the host has no address")
        for address in found:
            if not is_open(address, local=self._local):
                raise NotPublic("the host has an address that is not public")
        return found


def is_open(address: str, *, local: bool) -> bool:
    """Judge an address as a resolver or a socket has it; what cannot be read is closed."""
    try:
        return may_connect(ip_address(address), local=local)
    except ValueError:
        return False


def system_resolve() -> Resolve:
    """Return the system's way to find addresses: its files, its name servers, in its order."""

    async def resolve(host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str] | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(found or [])

        def look_up() -> None:
            found, error = _asked(host, port)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found, error)

        # A daemon, because a lookup cannot be broken off and must not hold up the end of the program.
        thread = threading.Thread(target=look_up, name="webhook-lookup", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            raise OSError("the host cannot be looked up now") from None
        return await answer

    return resolve


def _asked(host: str, port: int) -> tuple[list[str] | None, OSError | None]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return None, error
    except Exception:  # noqa: BLE001  (a name that Python's IDNA codec does not take, and whatever else: somebody waits)
        return None, OSError("the host cannot be looked up")
    return [str(row[4][0]) for row in rows], None
