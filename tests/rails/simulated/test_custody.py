"""The simulated chain decides that a transfer is not made, unless it takes requests and loses its answers."""

from typing import Any
from uuid import uuid4

import pytest

from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Account
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import RailUnknown, Transfer
from otcdesk.rails.simulated.custody import CHAIN, SimulatedRail
from otcdesk.rails.simulated.faults import LaneFault


class Steered:
    """Reads that know one fault."""

    def __init__(self, mode: str | None) -> None:
        self.faults = [] if mode is None else [LaneFault(lane=1, fault=Fault(rail=CHAIN, mode=mode))]  # type: ignore[arg-type]

    async def rows(self, *asked: Any) -> list[LaneFault]:
        return self.faults if asked[1] == "faults" else []


def rail(mode: str | None) -> SimulatedRail:
    return SimulatedRail(Steered(mode), CHAIN)  # type: ignore[arg-type]


def transfer() -> Transfer:
    wallet = Account(id=uuid4(), owner_id=uuid4(), purpose="custody", asset="USDC")
    return Transfer(lane=1, reference="r", source=wallet, destination=wallet, amount=Amount(1, Asset("USDC", 6)))


@pytest.mark.parametrize("mode", [None, "up", "refuse", "unavailable", "pending"])
async def test_what_was_not_made_is_refused(mode: str | None) -> None:
    receipt = await rail(mode).cancel(transfer())
    assert (receipt.done, receipt.detail) == (False, "cancelled before the simulated chain rail made it")


async def test_what_may_have_been_made_stays_open() -> None:
    with pytest.raises(RailUnknown):
        await rail("unknown").cancel(transfer())
