"""The simulated tax provider knows what the books say, and fails as a fault says."""

import pytest

from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.domain.lanes import FaultMode
from otcdesk.domain.world_brokerage import party_id
from otcdesk.rails.protocols import RailUnavailable, RailUnknown
from otcdesk.rails.simulated.tax import TAX, SimulatedTax
from otcdesk.storage.database import Reads
from tests.support.brokerage import U, V
from tests.support.desk import make_engine, submit
from tests.support.executions import new_offers_lane


async def test_it_tells_what_the_books_say(dsn: str, reads: Reads) -> None:
    lane = await new_offers_lane(dsn)
    tax = SimulatedTax(reads)
    assert await tax.rate_bps(lane.number, U) == 2_600
    assert await tax.rate_bps(lane.number, V) is None
    assert await tax.rate_bps(lane.number, party_id("P", "nobody")) is None
    assert await tax.rate_bps(2**31 - 1, U) is None


@pytest.mark.parametrize("mode, error", [("unavailable", RailUnavailable), ("unknown", RailUnknown)])
async def test_a_fault_keeps_it_from_answering(dsn: str, reads: Reads, mode: FaultMode, error: type[Exception]) -> None:
    lane = await new_offers_lane(dsn)
    tax = SimulatedTax(reads)
    async with make_engine(dsn, clock=lane.clock) as engine:
        await submit(engine, lane.number, SetFault(rail=TAX, mode=mode, delay_ms=1))
        with pytest.raises(error):
            await tax.rate_bps(lane.number, U)
        await submit(engine, lane.number, SetFault(rail=TAX, mode=mode, delay_ms=1, percent=0))
        assert await tax.rate_bps(lane.number, U) == 2_600
