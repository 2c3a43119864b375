"""What a lane knows of itself: its business clock and the faults that a sandbox asks of its rails."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from otcdesk.domain.noun import Noun

#: The one key of a row that a lane has once.
ONLY = 1


#: Kinds of lanes: one whose business counts, and one for trying things out.
LIVE = "live"
SANDBOX = "sandbox"


class LaneClock(Noun, frozen=True, kw_only=True, gc=False):
    """The lane's business time: the machine's time moved by an offset, or standing still.

    Only business time is steered: sessions, leases and signatures go by the machine's clock.
    """

    id: int = ONLY
    offset_ms: int = 0
    frozen_at: datetime | None = None

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id

    def business_time(self, machine_time: datetime) -> datetime:
        """Return the lane's time at a time of the machine."""
        if self.frozen_at is not None or not self.offset_ms:
            return self.frozen_at or machine_time
        return machine_time + timedelta(milliseconds=self.offset_ms)


FaultMode = Literal["up", "refuse", "unavailable", "unknown", "pending"]


class Fault(Noun, frozen=True, kw_only=True, gc=False):
    """How a simulated rail of this lane behaves: with what delay, and whether it works.

    `refuse`: it answers no, provably nothing moved; `unavailable`: it cannot be reached, nothing moved; `unknown`:
    it takes the request and its answer is lost, as after a timeout; `pending`: it takes a payout and says nothing of it
    until it is told how that ends (a rail that knows only yes and no is up). `percent` of all requests meet the mode,
    the others find the rail up; which do depends on their reference alone. `reason` is why it refuses, `price_bps` how
    far a venue's price is from the market's, in ten-thousandths.
    """

    rail: str
    mode: FaultMode = "up"
    delay_ms: int = 0
    reason: str | msgspec.UnsetType | None = msgspec.UNSET
    percent: int | msgspec.UnsetType | None = msgspec.UNSET
    price_bps: int | msgspec.UnsetType | None = msgspec.UNSET

    @property
    def key(self) -> str:
        """Return the rail's name."""
        return self.rail
