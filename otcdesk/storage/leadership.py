"""Who leads: one process of all that share a database, by a session advisory lock on a connection of its own.

Leading is for speed and for doing each piece of work once, never for safety: the chain decides what is written, and
leases decide who works on what. The lock dies with its connection, so a leader that is gone is replaced within a
period, and one that lost its connection knows it by then. It also dies when the connection is silent for the lease, so
a leader that is stopped, or whose machine is, is replaced although nobody hung up.

Whoever leads is known to all by a number, which is that of a second lock that it holds beside the first.
"""

import secrets
from typing import Any

import asyncpg
import structlog

from otcdesk.storage.queries import queries

log = structlog.get_logger()

#: The class of the lock; its number is 0: the whole desk.
LEAD_CLASS = 20262

#: The class of the lock by whose number the leader is known.
LEADER_CLASS = 20263

#: The numbers of locks are signed, those that are shown are not: numbers of 31 bits are both.
_NUMBER_BITS = 31

#: A connection whose other side is gone without a word is noticed after about this many seconds.
_KEEPALIVE = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}


class Leadership:
    """This process's claim to lead; one that may not lead only finds out who does."""

    def __init__(self, dsn: str, *, timeout_ms: int, lease_ms: int = 5_000) -> None:
        self.dsn = dsn
        self.timeout_seconds = timeout_ms / 1000
        self.lease_ms = lease_ms
        self.may_lead = True
        self.number = secrets.randbits(_NUMBER_BITS)
        self.leads = False
        self.leader: int | None = None
        self._connection: Any = None

    async def claim(self) -> bool:
        """Try to lead, or see that this process still does, or who does; to be repeated within the lease.

        Returns False: there is no more to do.
        """
        led = self.leads
        try:
            self.leads = await self._locked()
            self.leader = self.number if self.leads else await self._who_leads()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._let_go()
            if led:
                self.leader = None
                log.warning("leadership_lost", error=repr(error))
        if self.leads and not led:
            log.info("leadership_taken")
        return False

    async def _locked(self) -> bool:
        if self._connection is None or self._connection.is_closed():
            self.leads = False
            self._connection = await asyncpg.connect(
                self.dsn,
                timeout=self.timeout_seconds,
                command_timeout=self.timeout_seconds,
                server_settings={
                    "application_name": "otcdesk leadership" if self.may_lead else "otcdesk following",
                    "idle_session_timeout": str(self.lease_ms),
                    **_KEEPALIVE,
                },
            )
        if self.leads:
            await self._connection.fetchval("select 1")
            return True
        if not self.may_lead:
            return False
        query = queries("batches")["lead"].format(lead_class=LEAD_CLASS, leader_class=LEADER_CLASS)
        taken: bool = await self._connection.fetchval(query, self.number)
        return taken

    async def _who_leads(self) -> int | None:
        number: int | None = await self._connection.fetchval(
            queries("batches")["who_leads"].format(leader_class=LEADER_CLASS)
        )
        return number

    async def resign(self) -> None:
        """Let somebody else lead."""
        self.leader = None
        self._let_go()

    def _let_go(self) -> None:
        """Drop the connection and with it the lock; whoever else leads is still believed to."""
        self.leads = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
