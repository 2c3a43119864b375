"""Carry what leaves for an address to its chain, each until the chain's rail has said for ever what became of it.

How orders are claimed, rest and are asked for again is in `waves.py`.
"""

from uuid import UUID

import msgspec

from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.desk import Desk
from otcdesk.domain.chain_payouts import CHAIN_PAYOUT_RAIL
from otcdesk.domain.ledger import OUTSIDE, Account, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import Transfer
from otcdesk.storage.database import Reads
from otcdesk.workers.waves import Pace, Watch, Waves, kept, nobody_watches

WORKER = "worker:chain payouts"


class Sending(msgspec.Struct, frozen=True, gc=False):
    """An order that this process has claimed: how much of what leaves which account for which address."""

    lane: int
    order_id: UUID
    reference: str
    source: Account
    asset: Asset
    units: int
    network: str
    address: str

    @property
    def transfer(self) -> Transfer:
        """Return what the rail is asked for."""
        return Transfer(
            lane=self.lane,
            reference=self.reference,
            source=self.source,
            destination=Account(
                id=desk_account_id(OUTSIDE, self.asset.code),
                owner_id=DESK_ID,
                purpose=OUTSIDE,
                asset=self.asset.code,
                network=self.network,
                address=self.address,
                floor=None,
            ),
            amount=Amount(self.units, self.asset),
        )


class ChainPayouts(Waves[Sending]):
    """The worker of chain payouts of this process."""

    rail = CHAIN_PAYOUT_RAIL
    claims = "claim_chain_payouts"
    kind = Sending

    def __init__(self, desk: Desk, holder: str, reads: Reads, watch: Watch = nobody_watches) -> None:
        settings = desk.settings
        pace = Pace(
            orders_max=settings.settlement_orders_max,
            timeout_ms=settings.rail_timeout_ms,
            retry_ms=settings.rail_retry_ms,
        )
        super().__init__(desk, holder, reads, pace, watch)

    async def conclude(self, one: Sending) -> None:
        """Ask the rail and record what it says; raises RailUnavailable or RailUnknown where it says nothing."""
        receipt = await self.answer(self.desk.chain.transfer(one.transfer))
        command = RecordChainPayout(
            order_id=one.order_id,
            reference=one.reference,
            outcome="done" if receipt.done else "refused",
            detail=kept(receipt.detail),
        )
        await self.desk.submit_as_worker(one.lane, WORKER, command)
