"""An execution venue that trades at the market's price, unless a fault says otherwise.

It simulates an outside system, which stays true to its word: what it decided when it was first asked under a reference
it answers for ever, though the fault or the market has moved meanwhile, after a restart, and whichever process asks.
So it has a memory of its own, a table that nobody else reads or writes, and remembers before it answers. The primary
key decides between two who ask at once. An answer that is lost (`unknown`) was remembered all the same; a request
that did not reach the venue (`unavailable`) left nothing there.

Instructions that come together are taken together, in one statement: a venue that were slower than the desk would be
measured in its place.
"""

import asyncio
import hashlib
from decimal import Decimal
from typing import NamedTuple

import msgspec

from otcdesk.domain.brokerage import FAILURES, VENUE_REFUSED
from otcdesk.domain.lanes import Fault
from otcdesk.money import NEAREST, PRICE_DECIMALS, counted, with_margin
from otcdesk.rails.protocols import Fill, Instruction, RailUnknown
from otcdesk.rails.simulated.faults import check_answered, check_reached, met, take_time
from otcdesk.storage.database import Reads

# The name by which a sandbox steers it, and the one that it goes by itself.
VENUE = "venue"
NAME = "simulated venue"

_LEAST = counted(1, PRICE_DECIMALS)

_encode = msgspec.json.Encoder().encode


class _LaneFault(msgspec.Struct, frozen=True):
    lane: int
    fault: Fault


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
        self._asked: list[tuple[Instruction, asyncio.Future[_Heard]]] = []
        self._taking: asyncio.Task[None] | None = None

    async def execute(self, instruction: Instruction) -> Fill:
        """Trade at the market's rate with what the fault puts on it, or refuse for the fault's reason.

        The fault's delay is counted from when the venue was first asked: who asks again later waits for the rest.
        """
        heard: asyncio.Future[_Heard] = asyncio.get_running_loop().create_future()
        self._asked.append((instruction, heard))
        if self._taking is None:
            self._taking = asyncio.create_task(self._take_all(), name=NAME)
        fault, taken = await heard
        await take_time(fault, taken.milliseconds if taken else 0)
        check_reached(fault)
        check_answered(fault)
        assert taken is not None, "who is reached has decided"
        number = hashlib.sha256(f"{NAME}:{taken.reference}".encode()).hexdigest()[:16]
        return Fill(done=taken.price is not None, price=taken.price, reason=taken.reason, venue=NAME, detail=number)

    async def _take_all(self) -> None:
        """Take everything that was asked in this turn of the loop, and what comes while it is taken."""
        while self._asked:
            asked, self._asked = self._asked, []
            try:
                heard = await self._take([instruction for instruction, _ in asked])
            except Exception as error:  # noqa: BLE001  (its memory is out of reach: it may have been written)
                heard = [RailUnknown(f"the {NAME} lost its memory: {type(error).__name__}")] * len(asked)
            for (_, future), one in zip(asked, heard, strict=True):
                if future.done():
                    continue  # whoever asked has not waited for it
                if isinstance(one, RailUnknown):
                    future.set_exception(one)
                else:
                    future.set_result(one)
        self._taking = None

    async def _take(self, instructions: list[Instruction]) -> list[_Heard | RailUnknown]:
        lanes = list({instruction.lane for instruction in instructions})
        faults = {row.lane: row.fault for row in await self.reads.rows("simulated", "faults", _LaneFault, lanes, VENUE)}
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
