"""A payout provider that pays by itself, after a while, or when it is told, as the lane's fault says.

Like the simulated venue it stays true to its word: once it has said that a payout is done or refused it says so for
ever, after a restart and whichever process asks. It has a memory of its own, a table that nobody else reads or writes,
and remembers before it answers; the primary key decides between two who ask at once, a payout and its cancellation
among them. Its delay goes by the lane's business clock, so a sandbox that moves its clock moves the provider's as well.

In lanes of sandboxes the beginning of the tenant's own reference may say how a payout ends (`RESERVED`).
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec

from otcdesk.clock import Clock
from otcdesk.domain.lanes import SANDBOX, Fault, LaneClock
from otcdesk.domain.payouts import PAYOUT_RAIL
from otcdesk.rails.protocols import PayoutInstruction, PayoutReturn, PayoutWord
from otcdesk.rails.simulated.faults import check_answered, check_reached, met
from otcdesk.rails.simulated.together import Together
from otcdesk.storage.database import Reads

#: The name that it goes by.
NAME: Final = "simulated payout provider"

#: Why a payout is refused whose cancellation came first.
CANCELLED: Final = "cancelled"

_REFUSED: Final = f"the {NAME} refused the payout"
_RETURNED: Final = "the receiving bank sent it back"

#: How the tenant's own reference begins where it says how the payout ends (ramp contract 8.9): refused at once; refused
#: after the provider's delay; made after it, and sent back; not decided until the provider is told.
RESERVED: Final = ("refuse-", "fail-", "return-", "wait-")

_encode = msgspec.json.Encoder().encode


class _Conditions(msgspec.Struct, frozen=True):
    """What the provider meets in a lane."""

    lane: int
    kind: str
    clock: LaneClock | None = None
    fault: Fault | None = None


class _Taken(msgspec.Struct, frozen=True):
    """What is decided under a reference; without an outcome, nothing yet."""

    lane: int
    reference: str
    outcome: Literal["done", "refused"] | None
    detail: str


class _Heard(NamedTuple):
    """How the provider behaves towards a request, and what it says, None if it was not reached."""

    fault: Fault
    word: PayoutWord | None


class SimulatedPayouts:
    """Implements `PayoutRail`; a sandbox may also tell it how payouts end."""

    def __init__(self, reads: Reads, clock: Clock) -> None:
        self.reads = reads
        self._clock = clock
        self._paying = Together(NAME, self._pay_all)
        self._cancelling = Together(NAME, self._cancel_all)

    async def pay(self, instruction: PayoutInstruction) -> PayoutWord:
        """Take a payout and say what has become of it; the delay is counted from when it was first asked."""
        return _answered(await self._paying.ask(instruction))

    async def cancel(self, instruction: PayoutInstruction) -> PayoutWord:
        """Refuse a payout for ever, unless it is decided."""
        return _answered(await self._cancelling.ask(instruction))

    async def returns(self, at_most: int, lane: int | None = None) -> list[PayoutReturn]:
        """Return what has come back and is not acknowledged."""
        return await self.reads.rows("simulated", "returned_payouts", PayoutReturn, lane, at_most)

    async def acknowledge(self, returned: PayoutReturn) -> None:
        """Tell of a return no more."""
        await self.reads.value("simulated", "acknowledge_return", returned.lane, returned.reference)

    # -- what a sandbox tells it -----------------------------------------------------------------------------------

    async def end(
        self, instruction: PayoutInstruction, outcome: Literal["done", "refused"], detail: str, *, also_unheard: bool
    ) -> PayoutWord | None:
        """End a payout so, and return what the provider says from now on; None where it never heard of the payout.

        Where it has said something before, it stays with that. `also_unheard`: end it also before it is asked for it.
        `detail` is kept as in `PayoutWord`; without one the provider finds its own.
        """
        now = (await self._conditions([instruction.lane]))[instruction.lane][1]
        kept = detail or (_number(instruction.reference) if outcome == "done" else _REFUSED)
        told = (instruction.lane, instruction.reference, instruction.order_id, instruction.channel_type)
        amount = (instruction.amount.asset.code, instruction.amount.units)
        how = (outcome, kept, now, also_unheard)
        return await self.reads.row("simulated", "end_payout", PayoutWord, *told, *amount, *how)

    async def send_back(self, lane: int, reference: str, units: int, reason: str) -> bool:
        """Let a payout that it has made come back; returns whether it does: it can do so once."""
        said = reason or _RETURNED
        returned: bool | None = await self.reads.value("simulated", "return_payout", lane, reference, units, said)
        return returned is True

    # -- many at once ----------------------------------------------------------------------------------------------

    async def _pay_all(self, instructions: list[PayoutInstruction]) -> list[_Heard]:
        return await self._hear("take_payouts", instructions, _decision)

    async def _cancel_all(self, instructions: list[PayoutInstruction]) -> list[_Heard]:
        return await self._hear("cancel_payouts", instructions, _cancellation)

    async def _hear(
        self,
        statement: str,
        instructions: list[PayoutInstruction],
        decision_of: Callable[[PayoutInstruction, Fault, str, datetime], dict[str, Any]],
    ) -> list[_Heard]:
        conditions = await self._conditions([one.lane for one in instructions])
        behaviour = [met(conditions[one.lane][0].fault, PAYOUT_RAIL, one.reference) for one in instructions]
        reached = {}
        for one, fault in zip(instructions, behaviour, strict=True):
            if fault.mode != "unavailable":
                condition, now = conditions[one.lane]
                reached[one.lane, one.reference] = decision_of(one, fault, condition.kind, now)
        words = {}
        if reached:
            decisions = _encode(list(reached.values())).decode()
            for row in await self.reads.rows("simulated", statement, _Taken, decisions):
                words[row.lane, row.reference] = PayoutWord(outcome=row.outcome or "pending", detail=row.detail)
        return [
            _Heard(fault, words.get((one.lane, one.reference)) if fault.mode != "unavailable" else None)
            for one, fault in zip(instructions, behaviour, strict=True)
        ]

    async def _conditions(self, lanes: Sequence[int]) -> dict[int, tuple[_Conditions, datetime]]:
        """Return what the provider meets in some lanes, and their business time."""
        machine_now = self._clock.now()
        rows = await self.reads.rows("simulated", "payout_conditions", _Conditions, [*{*lanes}], PAYOUT_RAIL)
        return {row.lane: (row, (row.clock or LaneClock()).business_time(machine_now)) for row in rows}


def _answered(heard: _Heard) -> PayoutWord:
    """Return what the provider says; raises RailUnavailable or RailUnknown as its fault has it."""
    check_reached(heard.fault)
    check_answered(heard.fault)
    assert heard.word is not None, "who is reached has an answer"
    return heard.word


def _decision(instruction: PayoutInstruction, fault: Fault, kind: str, now: datetime) -> dict[str, Any]:
    """Return what the provider decides if it is asked for the first time."""
    due = now + timedelta(milliseconds=fault.delay_ms)
    done = {**_row(instruction, now), "outcome": "done", "detail": _number(instruction.reference), "due_at": due}
    refused = {**done, "outcome": "refused", "detail": fault.reason or _REFUSED}
    match _reserved(instruction, kind):
        case "refuse-":
            return {**refused, "detail": _REFUSED, "due_at": now}
        case "fail-":
            return {**refused, "detail": _REFUSED}
        case "return-":
            return {**done, "returned_units": instruction.amount.units, "return_reason": _RETURNED}
        case "wait-":
            return {**done, "outcome": None}
    if fault.mode == "pending":
        return {**done, "outcome": None}
    return refused if fault.mode == "refuse" else done


def _cancellation(instruction: PayoutInstruction, fault: Fault, kind: str, now: datetime) -> dict[str, Any]:
    """Return what the provider decides on a cancellation, unless the payout is decided."""
    del fault, kind
    return {**_row(instruction, now), "detail": CANCELLED}


def _row(instruction: PayoutInstruction, now: datetime) -> dict[str, Any]:
    return {
        "lane": instruction.lane,
        "reference": instruction.reference,
        "order_id": instruction.order_id,
        "channel_type": instruction.channel_type,
        "fiat": instruction.amount.asset.code,
        "units": instruction.amount.units,
        "now": now,
    }


def _reserved(instruction: PayoutInstruction, kind: str) -> str | None:
    """Return how the tenant's reference says that the payout ends; in a lane whose business counts it says nothing."""
    if kind != SANDBOX:
        return None
    given = instruction.external_id or ""
    return next((prefix for prefix in RESERVED if given.startswith(prefix)), None)


def _number(reference: str) -> str:
    """Return the provider's own number for a payout."""
    return hashlib.sha256(f"{NAME}:{reference}".encode()).hexdigest()[:16]
