"""The engine: one door for every command of every lane in this process.

`submit` gives a command its ticket, lets it wait its turn, and returns its reply or raises its refusal. A caller that
hangs up before its batch is taken withdraws its command; after that the command is carried out all the same.
"""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from otcdesk.clock import Clock
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Catalogue, Command, InFlight, Reply
from otcdesk.engine.idempotency import fingerprint
from otcdesk.engine.lane import LaneLimits, LaneWriter, Watch, nobody_watches
from otcdesk.engine.queue import Ticket
from otcdesk.engine.store import Store
from otcdesk.errors import Code, Refusal

log = structlog.get_logger()

_KeySpace = tuple[int, UUID, str | None, str]


class Engine:
    """All lanes that this process writes."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        catalogue: Catalogue,
        audit_key: bytes,
        writer: str,
        limits: LaneLimits,
        watch: Watch = nobody_watches,
    ) -> None:
        self.store = store
        self.clock = clock
        self.catalogue = catalogue
        self.audit_key = audit_key
        self.writer = writer
        self.limits = limits
        self.watch = watch
        self.lanes: dict[int, LaneWriter] = {}
        self.stopping = False
        self._in_flight: dict[_KeySpace, Ticket] = {}

    async def submit(
        self,
        lane: int,
        command: Command,
        *,
        caller: str,
        owner_id: UUID,
        request_id: str,
        key: str | None = None,
        arrived_at: datetime | None = None,
        in_person: InPerson | None = None,
    ) -> Any:
        """Carry a command out in its lane; returns its reply.

        `caller` is the credential as the audit chain names it, `owner_id` the tenant (or the desk) it acts for,
        `arrived_at` when it came if that was not now and here, `in_person` from where an operator asks. Raises the
        refusal of the action, or KEY_IN_FLIGHT, KEY_REUSED, OVERLOADED, STOPPING, UNAVAILABLE, CRASHED.
        """
        return await self.put(
            lane,
            command,
            caller=caller,
            owner_id=owner_id,
            request_id=request_id,
            key=key,
            arrived_at=arrived_at,
            in_person=in_person,
        )

    def put(
        self,
        lane: int,
        command: Command,
        *,
        caller: str,
        owner_id: UUID,
        request_id: str,
        key: str | None = None,
        arrived_at: datetime | None = None,
        in_person: InPerson | None = None,
    ) -> "asyncio.Future[Reply]":
        """Let a command wait its turn; returns what will be its reply. As `submit`, for whoever waits for many."""
        if self.stopping:
            raise Refusal(Code.STOPPING, retry_after_seconds=1)
        verb = self.catalogue[type(command)]
        ticket = Ticket(
            command=command,
            verb=verb,
            caller=caller,
            owner_id=owner_id,
            key=key if verb.policy.scope is not None else None,
            fingerprint=fingerprint(command) if key is not None and verb.policy.compares_body else None,
            arrived_at=arrived_at or self.clock.now(),
            command_id=self.clock.new_id(),
            request_id=request_id,
            future=asyncio.get_running_loop().create_future(),
            in_person=in_person,
        )
        if ticket.key is not None:
            self._reserve(lane, ticket)
        try:
            self._writer(lane).put(ticket)
        except Refusal:
            ticket.future.cancel()  # which frees its key
            raise
        return ticket.future

    def _reserve(self, lane: int, ticket: Ticket) -> None:
        space = (lane, ticket.owner_id, ticket.verb.policy.scope, ticket.key or "")
        if space in self._in_flight and ticket.verb.policy.in_flight is InFlight.REFUSE:
            raise Refusal(Code.KEY_IN_FLIGHT, retry_after_seconds=1)
        self._in_flight.setdefault(space, ticket)

        def free(_: "asyncio.Future[Reply]") -> None:
            if self._in_flight.get(space) is ticket:
                del self._in_flight[space]

        ticket.future.add_done_callback(free)

    def _writer(self, lane: int) -> LaneWriter:
        writer = self.lanes.get(lane)
        if writer is None:
            writer = self.lanes[lane] = LaneWriter(
                lane,
                store=self.store,
                clock=self.clock,
                audit_key=self.audit_key,
                writer=self.writer,
                limits=self.limits,
                watch=self.watch,
            )
        return writer

    def waiting(self) -> int:
        """Return how many commands wait in all lanes."""
        return sum(writer.queue.waiting for writer in self.lanes.values())

    def forget(self, lane: int) -> None:
        """Drop a lane that is closed, unless it is at work: two writers of one lane would fight for its connection."""
        writer = self.lanes.get(lane)
        if writer is not None and writer.task is None:
            del self.lanes[lane]

    async def stop(self) -> None:
        """Take nothing more, and return once everything that waits is answered."""
        self.stopping = True
        while tasks := [writer.task for writer in self.lanes.values() if writer.task is not None]:
            await asyncio.wait(tasks)
