"""Which addresses a host has, asked anew for each connection and judged before any of them is used.

A host with even one address that may not be connected to is refused whole: a name that is half inside is an attack or
a mistake. Nothing is remembered beyond the lookup itself, so a name that leads elsewhere later is judged again.
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

#: How many hosts are looked up at the same time. The system's lookups block, those of a dead name server for long; each
#: has a thread of its own while it lasts, so that it delays no other.
_THREADS_MAX: Final = 64


class NotPublic(OSError):
    """A host has an address that may not be connected to."""


class Lookups(AbstractResolver):
    """Finds and judges addresses; those who ask for the same host at the same time share one lookup."""

    def __init__(self, resolve: Resolve, *, local: bool) -> None:
        """Take who knows addresses, and whether this machine may be among them."""
        self._resolve = resolve
        self._local = local
        self._under_way: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return all addresses of a host, none of them closed; raises NotPublic, or OSError if there are none."""
        key = (host, port)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(host, port))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)  # whoever gives up does so alone

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
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
    slots = asyncio.Semaphore(_THREADS_MAX)

    async def resolve(host: str, port: int) -> list[str]:
        await slots.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str] | None, error: BaseException | None) -> None:
            slots.release()  # only when the thread is done, whether or not anybody still waits
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
            slots.release()
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
