"""An execution venue that trades at the market's price, unless a fault says otherwise.

It simulates an outside system, which stays true to its word: what it decided when it was first asked under a reference
it answers for ever, though the fault or the market has moved meanwhile, after a restart, and whichever process asks.
So it has a memory of its own, a table that nobody else reads or writes, and remembers before it answers. The primary
key decides between two who ask at once. An answer that is lost (`unknown`) was remembered all the same; a request
that did not reach the venue (`unavailable`) left nothing there.

Instructions that come together are taken together, in one statement (`together.py`).
"""

import hashlib
from decimal import Decimal
from typing import NamedTuple

import msgspec

from otcdesk.domain.brokerage import FAILURES, VENUE_REFUSED
from otcdesk.domain.lanes import Fault
from otcdesk.money import NEAREST, PRICE_DECIMALS, counted, with_margin
from otcdesk.rails.protocols import Fill, Instruction
from otcdesk.rails.simulated.faults import LaneFault, check_answered, check_reached, met, take_time
from otcdesk.rails.simulated.together import Together
from otcdesk.storage.database import Reads

# The name by which a sandbox steers it, and the one that it goes by itself.
VENUE = "venue"
NAME = "simulated venue"

_LEAST = counted(1, PRICE_DECIMALS)

_encode = msgspec.json.Encoder().encode


class _Taken(msgspec.Struct, frozen=True):
    """What was decided under a reference, and how many milliseconds ago."""

    lane: int
    reference: str
    price: Decimal | None
    reason: str
    milliseconds: int


class _Heard(NamedTuple):
    """How the venue behaves towards an instruction, and what it decided on it, None if it was not reached."""

    fault: Fault
    taken: _Taken | None


class SimulatedVenue:
    """Implements `ExecutionVenue`."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self._together = Together(NAME, self._take)

    async def execute(self, instruction: Instruction) -> Fill:
        """Trade at the market's rate with what the fault puts on it, or refuse for the fault's reason.

        The fault's delay is counted from when the venue was first asked: who asks again later waits for the rest.
        """
        fault, taken = await self._together.ask(instruction)
        await take_time(fault, taken.milliseconds if taken else 0)
        check_reached(fault)
        check_answered(fault)
        assert taken is not None, "who is reached has decided"
        number = hashlib.sha256(f"{NAME}:{taken.reference}".encode()).hexdigest()[:16]
        return Fill(done=taken.price is not None, price=taken.price, reason=taken.reason, venue=NAME, detail=number)

    async def _take(self, instructions: list[Instruction]) -> list[_Heard]:
        lanes = list({instruction.lane for instruction in instructions})
        faults = {row.lane: row.fault for row in await self.reads.rows("simulated", "faults", LaneFault, lanes, VENUE)}
        behaviour = [met(faults.get(one.lane), VENUE, one.reference) for one in instructions]
        reached = {
            (one.lane, one.reference): _decision(one, fault)
            for one, fault in zip(instructions, behaviour, strict=True)
            if fault.mode != "unavailable"
        }
        taken = {}
        if reached:
            decisions = _encode(list(reached.values())).decode()
            rows = await self.reads.rows("simulated", "take", _Taken, decisions)
            taken = {(row.lane, row.reference): row for row in rows}
        return [
            _Heard(fault, taken.get((one.lane, one.reference)) if fault.mode != "unavailable" else None)
            for one, fault in zip(instructions, behaviour, strict=True)
        ]


def _decision(instruction: Instruction, fault: Fault) -> dict[str, object]:
    """Return what the venue decides if it is asked for the first time."""
    price, reason = None, ""
    if fault.mode == "refuse":
        reason = fault.reason if fault.reason in FAILURES else VENUE_REFUSED
    else:
        bps = fault.price_bps if isinstance(fault.price_bps, int) else 0
        price = max(with_margin(instruction.market_rate, bps, NEAREST), _LEAST)
    return {
        "lane": instruction.lane,
        "reference": instruction.reference,
        "side": instruction.side,
        "asset": instruction.quantity.asset.code,
        "units": instruction.quantity.units,
        "fiat": instruction.fiat,
        "price": price,
        "reason": reason,
    }
