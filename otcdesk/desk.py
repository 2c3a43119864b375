"""The desk as its edges and workers hold it: submit a command, run a read, ask a rail.

Nothing is decided here. `Caller` is who asks: the lane and owner that a credential stands for, and the name by which
the audit chain knows it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from otcdesk.clock import Clock
from otcdesk.config import Settings
from otcdesk.credentials import OPERATOR
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.products import by_the_clock
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.handover.member import Handover
from otcdesk.outcomes import Outcomes
from otcdesk.rails.protocols import ChainRail, ExecutionVenue, FiatRail, PayoutRail, TaxProvider
from otcdesk.storage.database import Reads
from otcdesk.storage.leadership import Leadership

#: Kinds of callers whose commands are kept as acts: people who are signed in, and programs with an operator's token.
PERSON = "person"
OPERATORS = frozenset({PERSON, OPERATOR})


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what they may; a person's scopes are the duties that their roles carry.

    A client of a tenant has the id of its credential, by which it is counted.
    """

    lane: int
    owner_id: UUID
    name: str
    kind: str
    scopes: frozenset[str]
    csrf_token: str | None = None
    client_id: UUID | None = None


class OrderPage(msgspec.Struct, frozen=True):
    """Orders as stored, the lane's clock, and how many there are in all."""

    rows: list[Order]
    clock: LaneClock | None = None
    total: int = 0


class Desk:
    """The running desk of this process."""

    def __init__(
        self,
        *,
        engine: Engine,
        reads: Reads,
        handover: Handover,
        chain: ChainRail,
        fiat: FiatRail,
        venue: ExecutionVenue,
        payouts: PayoutRail,
        tax: TaxProvider,
        outcomes: Outcomes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.engine = engine
        self.reads = reads
        self.handover = handover
        self.chain = chain
        self.fiat = fiat
        self.venue = venue
        self.payouts = payouts
        self.tax = tax
        self.outcomes = outcomes
        self.clock = clock
        self.settings = settings

    async def submit(
        self,
        caller: Caller,
        command: Command,
        *,
        request_id: str,
        key: str | None = None,
        in_person: InPerson | None = None,
    ) -> Any:
        """Carry out a command for a caller; see `Handover.submit`. A process that stands by refuses UNAVAILABLE.

        Refuses DUTY_MISSING for a person whose roles do not carry what the command asks for, whatever page they used.
        Their duties go with the command: an action may ask for more, and who leads asks again.
        """
        if caller.kind == PERSON:
            duty = self.engine.catalogue[type(command)].duty
            if duty is None or duty not in caller.scopes:
                raise Refusal(Code.DUTY_MISSING, duty=duty)
            in_person = msgspec.structs.replace(in_person or InPerson(address=""), duties=caller.scopes)
        return await self.handover.submit(
            caller.lane,
            command,
            caller=caller.name,
            owner_id=caller.owner_id,
            request_id=request_id,
            key=key,
            in_person=in_person,
            stands_by=self.settings.stand_by,
        )

    async def submit_as_worker(self, lane: int, worker: str, command: Command) -> Any:
        """Carry out a command that no caller asked for."""
        return await self.handover.submit(lane, command, caller=worker, owner_id=DESK_ID, request_id=worker)

    @property
    def leadership(self) -> Leadership:
        """Return this process's claim to lead."""
        return self.handover.leadership

    async def forget_closed(self) -> None:
        """Let the engine forget lanes that are closed, whichever process closed them."""
        known = list(self.engine.lanes)
        if known:
            for record in await self.reads.records("lanes", "closed_among", known):
                self.engine.forget(record[0])

    async def business_time(self, lane: int) -> datetime:
        """Return a lane's time now."""
        clock = await self.reads.row("lanes", "clock", LaneClock, lane)
        return (clock or LaneClock()).business_time(self.clock.now())

    def orders_now(self, page: OrderPage) -> list[Order]:
        """Return a page's orders in the states that the clock has brought them to."""
        now = (page.clock or LaneClock()).business_time(self.clock.now())
        return [by_the_clock(order, now) for order in page.rows]

    async def order(self, lane: int, order_id: UUID) -> Order | None:
        """Return an order as it is now."""
        page = await self.reads.row("orders", "order", OrderPage, lane, order_id)
        orders = self.orders_now(page) if page else []
        return orders[0] if orders else None
