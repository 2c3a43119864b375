"""The queue before a lane: bounded, and fair between owners.

Every owner may have so many commands waiting and all together so many; past either, the caller is told to come back.
A batch takes from all owners in turn, so one owner's flood never delays another's single command by more than a batch.
Within a batch commands stand in the order of their arrival.
"""

import asyncio
from collections import deque
from datetime import datetime
from typing import Any
from uuid import UUID

from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command, Reply, Verb
from otcdesk.errors import Code, Refusal


class Ticket:
    """One submitted command on its way through the engine, and the future its caller waits on."""

    __slots__ = (
        "arrived_at",
        "caller",
        "command",
        "command_id",
        "fingerprint",
        "future",
        "in_person",
        "key",
        "number",
        "owner_id",
        "request_id",
        "verb",
    )

    def __init__(
        self,
        *,
        command: Command,
        verb: Verb,
        caller: str,
        owner_id: UUID,
        key: str | None,
        fingerprint: str | None,
        arrived_at: datetime,
        command_id: UUID,
        request_id: str,
        future: "asyncio.Future[Reply]",
        in_person: InPerson | None = None,
    ) -> None:
        self.command = command
        self.verb = verb
        self.caller = caller
        self.owner_id = owner_id
        self.key = key
        self.fingerprint = fingerprint
        self.arrived_at = arrived_at
        self.command_id = command_id
        self.request_id = request_id
        self.future = future
        self.in_person = in_person
        self.number = 0


class FairQueue:
    """Tickets waiting for one lane's next batch."""

    def __init__(self, *, waiting_max: int, waiting_per_owner_max: int) -> None:
        self.waiting_max = waiting_max
        self.waiting_per_owner_max = waiting_per_owner_max
        self.waiting = 0
        self._numbers = 0
        self._by_owner: dict[Any, deque[Ticket]] = {}

    def put(self, ticket: Ticket) -> None:
        """Let a ticket wait; refuses OVERLOADED when the queue or its owner's share of it is full."""
        line = self._by_owner.get(ticket.owner_id)
        if self.waiting >= self.waiting_max or (line is not None and len(line) >= self.waiting_per_owner_max):
            raise Refusal(Code.OVERLOADED, retry_after_seconds=1)
        if line is None:
            line = self._by_owner[ticket.owner_id] = deque()
        self._numbers += 1
        ticket.number = self._numbers
        line.append(ticket)
        self.waiting += 1

    def take(self, tickets_max: int) -> list[Ticket]:
        """Take at most so many tickets, from all owners in turn; those whose callers hung up are dropped."""
        taken: list[Ticket] = []
        while self._by_owner and len(taken) < tickets_max:
            for owner in list(self._by_owner):
                line = self._by_owner[owner]
                ticket = line.popleft()
                self.waiting -= 1
                if not line:
                    del self._by_owner[owner]
                else:  # the owners that were not reached this time come first the next
                    self._by_owner[owner] = self._by_owner.pop(owner)
                if not ticket.future.cancelled():
                    taken.append(ticket)
                if len(taken) == tickets_max:
                    break
        taken.sort(key=lambda ticket: ticket.number)
        return taken
