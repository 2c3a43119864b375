"""How often signing in may fail: of one operator in a row, and from one address in a minute.

Counted in the database, so that all processes count together. An attempt counts as failed before it is looked at, and
is forgiven when it was right, so guesses at the same time are no more than guesses one after another.
"""

import ipaddress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from otcdesk.credentials import hash_of
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads

log = structlog.get_logger()

#: So many failures in a row lock an operator: for so long, twice as long after each further one, at most so long.
FAILURES_MAX: Final = 5
LOCKED_SECONDS: Final = 30
LOCKED_SECONDS_MAX: Final = 3_600

#: So many failures of whomever within a minute stop an address until the minute is over.
FAILURES_OF_ADDRESS_MAX: Final = 30
_MINUTE: Final = timedelta(minutes=1)

#: The IPv6 network of one household or host, which changes its addresses within it as it likes.
_HOUSEHOLD_BITS: Final = 64


class SignInAttempts:
    """Counts attempts, and refuses those that are too many."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def count(self, operator_id: UUID | None, name: str, now: datetime) -> None:
        """Count an attempt as failed, of an operator or of the `name` of nobody; refuses SIGN_IN_LOCKED.

        Nobody is locked as an operator would be: else being locked would tell who is one.
        """
        query, key, ends = (
            ("attempt_of_nobody", f"nobody {hash_of(name)}", "brake_ends")
            if operator_id is None
            else ("attempt", operator_id, "locked_until")
        )
        rule = (FAILURES_MAX, LOCKED_SECONDS, LOCKED_SECONDS_MAX)
        if await self._reads.value("operators", query, key, now, *rule) is None:
            log.warning("sign_in_locked", operator=operator_id and str(operator_id))
            raise Refusal(Code.SIGN_IN_LOCKED, retry_after_seconds=await self._seconds_until(ends, key, now))

    async def forgive(self, operator_id: UUID) -> None:
        """Forget an operator's failures: an attempt was right."""
        await self._reads.value("operators", "forgive", operator_id)

    async def count_from(self, address: str, now: datetime) -> str:
        """Count an attempt from an address as failed, and return what gives it back; refuses RATE_LIMITED."""
        name = f"address {_network(address)}"
        values = (name, now, now + _MINUTE, FAILURES_OF_ADDRESS_MAX)
        if await self._reads.value("operators", "attempt_from", *values) is None:
            wait = await self._seconds_until("brake_ends", name, now)
            raise Refusal(Code.RATE_LIMITED, "Too many failures to sign in; wait a minute.", retry_after_seconds=wait)
        return name

    async def give_back(self, name: str) -> None:
        """Take back that an attempt has failed."""
        await self._reads.value("operators", "give_back_from", name)

    async def _seconds_until(self, query: str, key: UUID | str, now: datetime) -> int:
        ends: datetime | None = await self._reads.value("operators", query, key)
        return 1 if ends is None else max(1, -((now - ends) // timedelta(seconds=1)))


def _network(address: str) -> str:
    """Return whom failures from an address are counted for."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return hash_of(address)
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, _HOUSEHOLD_BITS), strict=False))
