"""How a sandbox makes a simulated rail behave: whose request meets the rail's fault, and what the fault does to it."""

import asyncio
import hashlib

import msgspec

from otcdesk.domain.lanes import Fault
from otcdesk.rails.protocols import RailUnavailable, RailUnknown


class LaneFault(msgspec.Struct, frozen=True):
    """How a rail behaves in a lane."""

    lane: int
    fault: Fault


def met(fault: Fault | None, rail: str, reference: str) -> Fault:
    """Return how a rail behaves towards a request: as its fault says, or as if there were none.

    Which of all requests meet a fault for some `percent` of them depends on the reference alone, so that a request
    that is repeated meets the same again.
    """
    if fault is None:
        return Fault(rail=rail)
    percent = fault.percent if isinstance(fault.percent, int) else 100
    digest = hashlib.sha256(f"{rail}:{reference}".encode()).digest()
    return fault if int.from_bytes(digest[:8], "big") % 100 < percent else Fault(rail=rail)


async def take_time(fault: Fault, since_ms: int = 0) -> None:
    """Wait for as long as a request takes that came so long ago."""
    if fault.delay_ms > since_ms:
        await asyncio.sleep((fault.delay_ms - since_ms) / 1000)


def check_reached(fault: Fault) -> None:
    """Raise RailUnavailable if the rail cannot be reached."""
    if fault.mode == "unavailable":
        raise RailUnavailable(f"the simulated {fault.rail} rail cannot be reached")


def check_answered(fault: Fault) -> None:
    """Raise RailUnknown if the rail takes requests and its answers are lost."""
    if fault.mode == "unknown":
        raise RailUnknown(f"the simulated {fault.rail} rail lost its answer")
