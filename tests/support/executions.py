"""Accepted quotes of the offers contract's world, and execution venues that a test scripts."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from otcdesk.actions.accept_quote import AcceptQuote, QuoteAccepted
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.app import Program
from otcdesk.clock import Clock
from otcdesk.domain.brokerage import IN_PROGRESS
from otcdesk.domain.orders import Order
from otcdesk.rails.protocols import Fill, Instruction
from tests.support.brokerage import OFFERS_WORLD, P, U
from tests.support.desk import Lane, new_lane

FILLED = Fill(done=True, price=Decimal(50_000), venue="scripted venue", detail="a trade of the venue's")
REFUSED = Fill(done=False, reason="trading_disabled", venue="scripted venue", detail="the market is closed")

Answer = Fill | Exception


class ScriptedVenue:
    """A venue that remembers what it was asked and answers as the test says; implements `ExecutionVenue`."""

    def __init__(self, *answers: Answer) -> None:
        """Give these answers in their order, the last one for ever."""
        self.asked: list[Instruction] = []
        self.answers = list(answers)
        self.before: Callable[[Instruction], Awaitable[None]] = _at_once

    @property
    def references(self) -> list[str]:
        """Return under which references it was asked."""
        return [instruction.reference for instruction in self.asked]

    async def execute(self, instruction: Instruction) -> Fill:
        """Give the next answer."""
        self.asked.append(instruction)
        await self.before(instruction)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _at_once(instruction: Instruction) -> None:
    del instruction


async def hang(instruction: Instruction) -> None:
    """Never answer."""
    del instruction
    await asyncio.Event().wait()


async def new_offers_lane(dsn: str, clock: Clock | None = None) -> Lane:
    """Open a lane with the world of the offers contract."""
    return await new_lane(dsn, OFFERS_WORLD, clock)


def script(program: Program, *answers: Answer) -> ScriptedVenue:
    """Let a program's desk trade with a scripted venue."""
    venue = program.desk.venue = ScriptedVenue(*answers)
    return venue


async def submit(program: Program, lane: int, command: Any, *, owner_id: UUID = P, key: str | None = None) -> Any:
    """Submit as the partner, by the way of every command of this process."""
    return await program.desk.handover.submit(
        lane, command, caller="client:P", owner_id=owner_id, request_id="request", key=key
    )


async def quoted(program: Program, lane: int, *, side: str = "buy", amount: str = "1.00", party: UUID = U) -> Order:
    """Quote bitcoin for so many euros."""
    ask = QuoteBrokerage(party_id=party, side=side, asset="BTC", fiat="EUR", amount=Decimal(amount), defined_for="fiat")
    order: Order = (await submit(program, lane, ask)).order
    return order


async def accept(
    program: Program, lane: int, order: Order, *, party: UUID = U, key: str | None = None
) -> QuoteAccepted:
    """Accept a quote under an external id, a new one unless it is given."""
    external_id = key or str(uuid4())
    command = AcceptQuote(order_id=order.id, party_id=party, external_id=external_id, repeats=True)
    reply: QuoteAccepted = await submit(program, lane, command, key=external_id)
    return reply


async def accepted(program: Program, lane: int, **how: Any) -> Order:
    """Return an order that waits for the venue."""
    order = await quoted(program, lane, **how)
    reply = await accept(program, lane, order, party=how.get("party", U))
    assert reply.state == IN_PROGRESS
    return await now(program, lane, order)


async def now(program: Program, lane: int, order: Order) -> Order:
    """Return an order as it is now."""
    found = await program.desk.order(lane, order.id)
    assert found is not None
    return found


async def fetch(dsn: str, question: str, *arguments: Any) -> list[Any]:
    """Ask the database."""
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(question, *arguments))
    finally:
        await connection.close()


async def leases(lane: Lane) -> list[tuple[str, str, int]]:
    """Return the claims of a lane: what is claimed, by whom, and how often it was."""
    rows = await fetch(lane.dsn, "select item, holder, attempts from leases where lane = $1 order by item", lane.number)
    return [tuple(row) for row in rows]
