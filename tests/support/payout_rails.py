"""Payouts of the ramp contract's world in a running program, and payout providers that a test scripts."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from otcdesk.actions.sell_payout import PayoutSold
from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.app import Program
from otcdesk.clock import Clock
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.payouts import PAYOUT_RAIL
from otcdesk.rails.protocols import PayoutInstruction, PayoutReturn, PayoutWord
from tests.support.desk import Lane, new_lane
from tests.support.payouts import B1, RAMP_WORLD, preparing, selling

PAID = PayoutWord(outcome="done", detail="a number of the provider's")
TURNED_DOWN = PayoutWord(outcome="refused", detail="account closed")
NOT_YET = PayoutWord(outcome="pending")

Answer = PayoutWord | Exception


class ScriptedPayouts:
    """A provider that remembers what it was asked and answers as the test says; implements `PayoutRail`."""

    def __init__(self, *answers: Answer) -> None:
        """Give these answers in their order, the last one for ever."""
        self.asked: list[tuple[str, str]] = []
        self.instructions: list[PayoutInstruction] = []
        self.answers = list(answers)
        self.returned: list[PayoutReturn] = []
        self.before: Callable[[PayoutInstruction], Awaitable[None]] = _at_once

    async def pay(self, instruction: PayoutInstruction) -> PayoutWord:
        """Give the next answer."""
        return await self._answer("pay", instruction)

    async def cancel(self, instruction: PayoutInstruction) -> PayoutWord:
        """Give the next answer."""
        return await self._answer("cancel", instruction)

    async def returns(self, at_most: int, lane: int | None = None) -> list[PayoutReturn]:
        """Tell what the test says has come back."""
        del lane
        return self.returned[:at_most]

    async def acknowledge(self, returned: PayoutReturn) -> None:
        """Forget a return."""
        self.returned.remove(returned)

    async def _answer(self, what: str, instruction: PayoutInstruction) -> PayoutWord:
        self.asked.append((what, instruction.reference))
        self.instructions.append(instruction)
        await self.before(instruction)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _at_once(instruction: PayoutInstruction) -> None:
    del instruction


async def new_ramp_lane(dsn: str, clock: Clock | None = None, world: str = RAMP_WORLD) -> Lane:
    """Open a lane with the world of the ramp contract."""
    return await new_lane(dsn, world, clock)


def script(program: Program, *answers: Answer) -> ScriptedPayouts:
    """Let a program's desk pay through a scripted provider."""
    rail = program.desk.payouts = ScriptedPayouts(*answers)
    return rail


async def told(program: Program, lane: int, command: Any, *, owner_id: UUID = DESK_ID, key: str | None = None) -> Any:
    """Submit a command, the operator's unless a tenant is named."""
    caller = "operator" if owner_id == DESK_ID else "key"
    return await program.desk.handover.submit(
        lane, command, caller=caller, owner_id=owner_id, request_id="request", key=key
    )


async def behave(program: Program, lane: int, mode: Any = "up", delay_ms: int = 0, **more: Any) -> None:
    """Let the simulated provider behave so."""
    await told(program, lane, SetFault(rail=PAYOUT_RAIL, mode=mode, delay_ms=delay_ms, **more))


async def waiting(
    program: Program, lane: int, arrives: str = "20.00", *, external_id: str = "inv-1", **how: Any
) -> Order:
    """Return a payout that waits for its rail."""
    prepared = (await told(program, lane, preparing(arrives, **how), owner_id=B1)).prepared
    command = selling(prepared, external_id=external_id)
    reply: PayoutSold = await told(program, lane, command, owner_id=B1, key=str(uuid4()))
    assert reply.order is not None
    return reply.order
