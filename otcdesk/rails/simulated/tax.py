"""A tax provider that knows what the books say of each party; a fault makes it slow or keeps it from answering."""

from uuid import UUID

import msgspec

from otcdesk.domain.lanes import Fault
from otcdesk.rails.simulated.faults import check_answered, check_reached, met, take_time
from otcdesk.storage.database import Reads

# The name by which a sandbox steers it.
TAX = "tax"


class _Known(msgspec.Struct, frozen=True):
    fault: Fault | None
    tax_bps: int | None


class SimulatedTax:
    """Implements `TaxProvider`."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads

    async def rate_bps(self, lane: int, party_id: UUID) -> int | None:
        """Return what the books have for the party; of one that they do not have nothing is withheld."""
        known = await self.reads.row("simulated", "tax", _Known, lane, party_id, TAX)
        assert known is not None, "the statement always has a row"
        fault = met(known.fault, TAX, str(party_id))
        await take_time(fault)
        check_reached(fault)
        check_answered(fault)
        return known.tax_bps
