"""The sites of the benchmark of webhooks: databases with one beginning, each with a home and a server of its own.

What is measured on a site is measured here: orders under load, the engine's time, and deliveries that are drained.
"""

import asyncio
import re
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from otcdesk.bench.callers import Caller
from otcdesk.bench.machine import Asked, Say, Server, execute, free_port, load, pairs_per_s, plan_of
from otcdesk.bench.receiver import Counted, Receiver
from otcdesk.config import Settings
from otcdesk.storage.embedded import EmbeddedServer
from otcdesk.storage.queries import queries

#: The envelope of everybody whose receiver is up.
ENVELOPE = "exchanges"

#: How many deliveries are drained in a slot, for each second of its load.
_DRAINED_EACH_SECOND = 1_000
_SETTLE_SECONDS_MAX = 300
_LOOK_MS = 20
_HELD = timedelta(hours=1)
_LOCAL = {"DESK_WEBHOOKS_LOCAL": "true"}


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: orders under load, what the engine and the server took for each, and deliveries drained after.

    The engine's time is how long its batches took, waits for the database and for a processor included. The server's is
    on a processor, with all that it does besides, up to the end of the last delivery.
    """

    pairs_per_s: int
    engine_us_per_order: int
    cpu_us_per_order: int
    drained_per_s: int


class Site:
    """A database, its home, and the server on it; `dead` is a subscription whose receiver is down, if there is one."""

    def __init__(self, settings: Settings, callers: Sequence[Caller]) -> None:
        self.settings = settings
        self.callers = callers
        self.dead: UUID | None = None

    @classmethod
    def made(cls, server: EmbeddedServer, home: Path, name: str) -> "Site":
        """Make a site of this name with an empty database."""
        asyncio.run(execute(server.dsn("postgres"), f"create database {name}"))
        return cls(_settings(server, home, name), [])

    def copied(self, server: EmbeddedServer, home: Path, name: str) -> "Site":
        """Make a site that begins as this one is now; nobody may be connected to this one."""
        asyncio.run(execute(server.dsn("postgres"), f"create database {name} template {Path(self.settings.home).name}"))
        shutil.copytree(self.settings.home, home / name)
        return Site(_settings(server, home, name), self.callers)

    def server(self, *arguments: str, processes: int = 1) -> Server:
        """Return a server on this site, or what the arguments name, that is yet to be started."""
        return Server(self.settings, processes, *arguments, environ=_LOCAL)

    def ask(self, name: str, *arguments: Any) -> Any:
        """Carry out a block of bench.sql and return its row."""

        async def asked() -> Any:
            connection = await asyncpg.connect(self.settings.database_url)
            try:
                return await connection.fetchrow(queries("bench")[name], *arguments)
            finally:
                await connection.close()

        return asyncio.run(asked())

    def switch(self, url: str, *, on: bool) -> None:
        """Let the receiver that is down be at this URL, and switch its subscription on or off."""
        self.ask("switch", self.dead, on, url)

    def settle(self) -> None:
        """Wait until everything is told, and received by who is up; raises RuntimeError if that takes too long."""
        self._wait_for("told")
        self._wait_for("received", ENVELOPE)

    def settle_telling(self) -> None:
        """Wait until everything is told; raises RuntimeError if that takes too long."""
        self._wait_for("told")

    def hold(self, *, on: bool) -> None:
        """Let everybody whose receiver is up wait for what is told from now on, or no longer."""
        self.ask("hold", ENVELOPE, datetime.now(UTC) + _HELD if on else None)

    def _wait_for(self, name: str, *arguments: str) -> None:
        until = time.monotonic() + _SETTLE_SECONDS_MAX
        while not self.ask(name, *arguments)[0]:
            if time.monotonic() > until:
                raise RuntimeError("the deliveries did not come to an end in time")
            time.sleep(_LOOK_MS / 1000)


class Measuring:
    """What the measurements share: the receiver, what was asked, and the messages that were received so far."""

    def __init__(self, receiver: Receiver, asked: Asked, say: Say) -> None:
        self.receiver = receiver
        self.asked = asked
        self.say = say
        self.slot_seconds = max(1, asked.seconds // 2)
        self.messages = 0
        self.events = 0

    def received(self) -> Counted:
        """Return what came since this was last asked."""
        counted = self.receiver.counted()
        self.messages += counted.messages
        self.events = counted.events
        return counted

    def slot(self, site: Site, server: Server, dead_url: str | None = None) -> Slot:
        """Measure a site once, with a receiver that is down at this URL if it is not None."""
        if dead_url is not None:
            site.switch(dead_url, on=True)
        slot = self.orders(site, server, self.slot_seconds, site.settle)
        slot = msgspec.structs.replace(slot, drained_per_s=self._drain(site))
        if dead_url is not None:
            site.switch(dead_url, on=False)
        return slot

    def held_slot(self, site: Site, server: Server) -> Slot:
        """Measure a site once while its deliveries are made and nobody sends them, and then let them be sent."""
        site.hold(on=True)
        slot = self.orders(site, server, self.slot_seconds, site.settle_telling)
        self.received()
        site.hold(on=False)
        site.settle()
        return msgspec.structs.replace(slot, drained_per_s=each_second(self.received()))

    def orders(self, site: Site, server: Server, seconds: int, settle: Callable[[], None]) -> Slot:
        """Put load on a site and let it settle; nothing is drained."""
        engine_us, cpu_us = _engine_us(server), server.cpu_us
        result = load(plan_of(site.settings, site.callers, self.asked, seconds))
        engine_us = _engine_us(server) - engine_us
        settle()
        return Slot(
            pairs_per_s=pairs_per_s(result),
            engine_us_per_order=engine_us // result.pairs,
            cpu_us_per_order=(server.cpu_us - cpu_us) // result.pairs,
            drained_per_s=0,
        )

    def _drain(self, site: Site) -> int:
        """Put deliveries there that are all due, and return how many were received each second; 0 where nobody is."""
        self.received()
        site.ask("pile_up", self.slot_seconds * _DRAINED_EACH_SECOND, ENVELOPE, None)
        site.settle()
        return each_second(self.received())


def each_second(counted: Counted) -> int:
    """Return how many messages came each second, from the first to the last."""
    return counted.messages * 1_000_000_000 // max(1, counted.last_ns - counted.first_ns)


def _settings(server: EmbeddedServer, home: Path, name: str) -> Settings:
    return Settings(
        home=str(home / name),
        database_url=server.dsn(name),
        port=free_port(),
        log_level="warning",
        webhooks_local=True,
    )


def _engine_us(server: Server) -> int:
    """Return how long all batches of a server have taken."""
    found = re.search(r"^otcdesk_batch_seconds_sum (\S+)", server.page("/metrics"), re.MULTILINE)
    if found is None:
        raise RuntimeError("the server does not say how long its batches took")
    return int(Decimal(found[1]) * 1_000_000)
