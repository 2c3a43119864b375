"""A chain and a bank that live in the books: balances are the accounts', transfers succeed unless a fault says no.

The lane's fault row for the rail decides each call: its delay, and whether the provider works, refuses, cannot be
reached, or takes the request and loses the answer. A repeated reference is answered the same, because the receipt is
made from the reference alone.
"""

import hashlib

from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Account
from otcdesk.rails.protocols import RailUnavailable, Receipt, Transfer
from otcdesk.rails.simulated.faults import LaneFault, check_answered, check_reached, met, take_time
from otcdesk.rails.simulated.together import Together
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
        self._together: Together[tuple[int, str], Fault | None] = Together(f"simulated {name} rail", self._faults)

    async def balance(self, lane: int, account: Account) -> int:
        """Return what the books have on the account now; books that cannot be read are no answer of the rail's."""
        fault = met(await self.reads.row("lanes", "fault", Fault, lane, BALANCE), BALANCE, str(account.id))
        await _behave(fault)
        found = await self.reads.row("accounts", "account", Account, lane, account.id)
        if found is None:
            raise RailUnavailable(f"no wallet {account.id}")
        return found.balance

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Say that the transfer is done, unless the rail's fault says otherwise."""
        fault = await self._fault(transfer.lane, self.name, transfer.reference)
        await _behave(fault)
        if fault.mode == "refuse":
            return Receipt(done=False, detail=f"the simulated {self.name} rail refused the transfer")
        digest = hashlib.sha256(f"{self.name}:{transfer.reference}".encode()).hexdigest()
        return Receipt(done=True, detail=f"0x{digest}" if self.name == CHAIN else digest[:16])

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Refuse a transfer for ever, unless the rail takes requests and loses its answers.

        Whatever else it does it says at once what has become of a transfer, so what nobody has heard of was not made.
        It remembers nothing of this, and need not: what it moves is in the books alone, which take one outcome for each
        reference, so of a refusal and of what another process is told at the same time only the first is so.
        """
        fault = await self._fault(transfer.lane, self.name, transfer.reference)
        await take_time(fault)
        check_answered(fault)
        return Receipt(done=False, detail=f"cancelled before the simulated {self.name} rail made it")

    async def _fault(self, lane: int, rail: str, reference: str) -> Fault:
        return met(await self._together.ask((lane, rail)), rail, reference)

    async def _faults(self, asked: list[tuple[int, str]]) -> list[Fault | None]:
        """Read how rails behave in lanes, each once however many ask."""
        found: dict[tuple[int, str], Fault] = {}
        for rail in {rail for _, rail in asked}:
            lanes = [*{lane for lane, its_rail in asked if its_rail == rail}]
            for row in await self.reads.rows("simulated", "faults", LaneFault, lanes, rail):
                found[row.lane, rail] = row.fault
        return [found.get(one) for one in asked]


async def _behave(fault: Fault) -> None:
    await take_time(fault)
    check_reached(fault)
    check_answered(fault)
