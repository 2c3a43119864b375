"""Carry what leaves for an address to its chain, each until the chain's rail has said for ever what became of it.

The tenant's account is in the books only; on the chain it is the desk's treasury of that network that sends. What the
rail will never take, as where there is no such treasury, it is made to refuse; what passes is waited out. How orders
are claimed, rest and are asked for again is in `waves.py`.
"""

from uuid import UUID

import msgspec

from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.desk import Desk
from otcdesk.domain.chain_payouts import CHAIN_PAYOUT_RAIL
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, desk_account_id
from otcdesk.domain.parties import DESK_ID
from otcdesk.money import Amount, Asset
from otcdesk.rails.protocols import RailUnavailable, Transfer
from otcdesk.storage.database import Reads
from otcdesk.workers.deciding import decided
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
    def treasury_id(self) -> UUID:
        """Return the desk's wallet on the network, from which it is sent."""
        return desk_account_id(TREASURY, self.asset.code, self.network)

    def transfer(self, wallet: Account | None) -> Transfer:
        """Return what the rail is asked for: from that wallet, or where the desk has none from the tenant's account.

        Such an account lies on no network, so only a simulated one takes it (`rails.chains`).
        """
        return Transfer(
            lane=self.lane,
            reference=self.reference,
            source=wallet or self.source,
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
        wallet = await self.reads.row("accounts", "account", Account, one.lane, one.treasury_id)
        transfer = one.transfer(wallet)
        try:
            receipt = await self.answer(self.desk.chain.transfer(transfer))
        except RailUnavailable as error:
            if not error.lasting:
                raise
            receipt = await self.answer(decided(self.desk.chain, transfer, error))
        self.watch("done" if receipt.done else "refused")
        command = RecordChainPayout(
            order_id=one.order_id,
            reference=one.reference,
            outcome="done" if receipt.done else "refused",
            detail=kept(receipt.detail),
        )
        await self.desk.submit_as_worker(one.lane, WORKER, command)
