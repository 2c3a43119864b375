"""A chain and a bank that live in the books: balances are the accounts', transfers succeed unless a fault says no.

The lane's fault row for the rail decides each call: its delay, and whether the provider works, refuses, cannot be
reached, or takes the request and loses the answer. A repeated reference is answered the same, because the receipt is
made from the reference alone.
"""

import hashlib

from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Account
from otcdesk.rails.protocols import RailUnavailable, Receipt, Transfer
from otcdesk.rails.simulated.faults import check_answered, check_reached, met, take_time
from otcdesk.storage.database import Reads

# The names by which a sandbox steers them.
BALANCE = "balance"
CHAIN = "chain"
FIAT = "fiat"
RAILS = (BALANCE, CHAIN, FIAT)


class SimulatedRail:
    """Implements `ChainRail` and `FiatRail` for one named rail."""

    def __init__(self, reads: Reads, name: str) -> None:
        self.reads = reads
        self.name = name

    async def balance(self, lane: int, account: Account) -> int:
        """Return what the books have on the account now."""
        await self._behave(lane, BALANCE, str(account.id))
        found = await self.reads.row("accounts", "account", Account, lane, account.id)
        if found is None:
            raise RailUnavailable(f"no wallet {account.id}")
        return found.balance

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Say that the transfer is done, unless the rail's fault says otherwise."""
        mode = await self._behave(transfer.lane, self.name, transfer.reference)
        if mode == "refuse":
            return Receipt(done=False, detail=f"the simulated {self.name} rail refused the transfer")
        digest = hashlib.sha256(f"{self.name}:{transfer.reference}".encode()).hexdigest()
        return Receipt(done=True, detail=f"0x{digest}" if self.name == CHAIN else digest[:16])

    async def _behave(self, lane: int, rail: str, reference: str) -> str:
        fault = met(await self.reads.row("lanes", "fault", Fault, lane, rail), rail, reference)
        await take_time(fault)
        check_reached(fault)
        check_answered(fault)
        return fault.mode
