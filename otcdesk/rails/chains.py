"""All chains of the desk: each network of the chains file by its own rail, every other one simulated."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from otcdesk.clock import Clock
from otcdesk.domain.ledger import Account
from otcdesk.rails.protocols import ChainRail, RailUnavailable, Receipt, Transfer
from otcdesk.rails.simulated.custody import CHAIN, SimulatedRail
from otcdesk.storage.database import Reads


class Chains:
    """Implements `ChainRail` by those of the networks."""

    def __init__(self, otherwise: ChainRail, networks: Mapping[str, ChainRail]) -> None:
        self._otherwise = otherwise
        self._networks = networks

    async def balance(self, lane: int, account: Account) -> int:
        """Return a wallet's live balance in units, as its network's rail tells it."""
        return await self._rail(account.network).balance(lane, account)

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Move tokens within a network; raises RailUnavailable for two."""
        rail = self._rail(transfer.source.network)
        if rail is not self._rail(transfer.destination.network):
            networks = f"{transfer.source.network!r} to {transfer.destination.network!r}"
            raise RailUnavailable(f"nothing moves from {networks}")
        return await rail.transfer(transfer)

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Decide that a transfer is not made, as its network's rail does; between two networks none ever is."""
        rail = self._rail(transfer.source.network)
        if rail is not self._rail(transfer.destination.network):
            return Receipt(done=False, detail="nothing moves from one network to another")
        return await rail.cancel(transfer)

    def _rail(self, network: str) -> ChainRail:
        return self._networks.get(network, self._otherwise)


@asynccontextmanager
async def open_chains(file: str, reads: Reads, clock: Clock) -> AsyncIterator[ChainRail]:
    """Give the rail for all networks, and close its connections on leaving; without a file all are simulated.

    Raises SettingsError for a file that is not valid. What signs is loaded only for a file: it takes time and memory.
    """
    simulated = SimulatedRail(reads, CHAIN)
    if not file:
        yield simulated
        return
    from otcdesk.rails.evm.keys import Keys
    from otcdesk.rails.evm.rail import EvmRail
    from otcdesk.rails.evm.settings import chains_settings

    settings, key_settings = chains_settings(Path(file))
    keys = Keys(key_settings)
    async with AsyncExitStack() as closing:
        rails: dict[str, ChainRail] = {}
        for network, one in settings.networks.items():
            rail = rails[network] = EvmRail(network, one, keys=keys, reads=reads, clock=clock)
            closing.push_async_callback(rail.close)
        yield Chains(simulated, rails)
