"""Who leads: one process of all that share a database, by a session advisory lock on a connection of its own.

Leading is for speed and for doing each piece of work once, never for safety: the chain decides what is written, and
leases decide who works on what. The lock dies with its connection, so a leader that is gone is replaced within a
period, and one that lost its connection knows it by then.
"""

from typing import Any

import asyncpg
import structlog

from otcdesk.storage.queries import queries

log = structlog.get_logger()

#: The class of the lock; its number is 0: the whole desk.
LEAD_CLASS = 20262

#: A connection whose other side is gone without a word is noticed after about this many seconds.
_KEEPALIVE = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}


class Leadership:
    """This process's claim to lead."""

    def __init__(self, dsn: str, *, timeout_ms: int) -> None:
        self.dsn = dsn
        self.timeout_seconds = timeout_ms / 1000
        self.leads = False
        self._connection: Any = None

    async def claim(self) -> bool:
        """Try to lead, or see that this process still does; to be repeated. Returns False: there is no more to do."""
        led = self.leads
        try:
            self.leads = await self._locked()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self.leads = False
            await self.resign()
            if led:
                log.warning("leadership_lost", error=repr(error))
        if self.leads and not led:
            log.info("leadership_taken")
        return False

    async def _locked(self) -> bool:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self.dsn,
                timeout=self.timeout_seconds,
                command_timeout=self.timeout_seconds,
                server_settings={"application_name": "otcdesk leadership", **_KEEPALIVE},
            )
            self.leads = False
        if self.leads:
            await self._connection.fetchval("select 1")
            return True
        taken: bool = await self._connection.fetchval(queries("batches")["lead"].format(lead_class=LEAD_CLASS))
        return taken

    async def resign(self) -> None:
        """Let somebody else lead."""
        self.leads = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
