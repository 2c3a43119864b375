"""All chains of the desk: each network of the chains file by its own rail for live lanes, every other one simulated.

A sandbox is anybody's: whoever makes one says which accounts it has, at which addresses. So what is real serves it only
where the file says that its network is one of tests.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from otcdesk.clock import Clock
from otcdesk.config import SettingsError
from otcdesk.domain.lanes import LIVE
from otcdesk.domain.ledger import Account
from otcdesk.rails.protocols import ChainRail, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.rails.simulated.custody import CHAIN, SimulatedRail
from otcdesk.storage.database import Reads

if TYPE_CHECKING:
    from otcdesk.rails.evm.settings import ChainsSettings


class RealRail(ChainRail, Protocol):
    """A rail that also has sends of its own, for which nobody asks."""

    async def tend(self) -> None:
        """Carry them to their end."""
        ...


class Chains:
    """Implements `ChainRail` by those of the networks: `real` ones, of which `shared` also serve sandboxes.

    On a network of a live lane that is neither real nor among the `pretended` nothing happens at all.
    """

    def __init__(
        self,
        simulated: ChainRail,
        real: Mapping[str, RealRail],
        reads: Reads,
        *,
        shared: frozenset[str] = frozenset(),
        pretended: frozenset[str] = frozenset(),
    ) -> None:
        self._simulated = simulated
        self._real = real
        self._reads = reads
        self._shared = shared
        self._pretended = pretended | {""}
        self._live: set[int] = set()

    async def balance(self, lane: int, account: Account) -> int:
        """Return a wallet's live balance in units, as its network's rail tells it."""
        return await (await self._rail(lane, account.network)).balance(lane, account)

    async def transfer(self, transfer: Transfer) -> Receipt:
        """Move tokens within a network; raises RailUnavailable for two."""
        rail = await self._rail(transfer.lane, transfer.source.network)
        if rail is not await self._rail(transfer.lane, transfer.destination.network):
            networks = f"{transfer.source.network!r} to {transfer.destination.network!r}"
            raise RailUnavailable(f"nothing moves from {networks}", lasting=True)
        return await rail.transfer(transfer)

    async def cancel(self, transfer: Transfer) -> Receipt:
        """Decide that a transfer is not made, as its network's rail does; between two networks none ever is.

        Raises RailUnknown for networks on which nothing happens: there may have been a rail before.
        """
        try:
            rail = await self._rail(transfer.lane, transfer.source.network)
            other = await self._rail(transfer.lane, transfer.destination.network)
        except RailUnavailable as unavailable:
            raise RailUnknown(str(unavailable)) from None
        if rail is not other:
            return Receipt(done=False, detail="nothing moves from one network to another")
        return await rail.cancel(transfer)

    async def tend(self) -> None:
        """Carry to its end what the real rails have sent for themselves."""
        for rail in self._real.values():
            await rail.tend()

    async def serves(self, lane: int, network: str) -> bool:
        """Tell whether a network is real for a lane."""
        return network in self._real and (network in self._shared or await self._is_live(lane))

    async def _rail(self, lane: int, network: str) -> ChainRail:
        """Return who answers for a network of a lane; raises RailUnavailable where nobody does."""
        if await self.serves(lane, network):
            return self._real[network]
        if network not in self._real and network not in self._pretended and await self._is_live(lane):
            raise RailUnavailable(f"{network} is not in the chains file: neither real nor simulated")
        return self._simulated

    async def _is_live(self, lane: int) -> bool:
        if lane not in self._live and await self._reads.value("lanes", "kind", lane) == LIVE:
            self._live.add(lane)  # a lane never becomes another kind
        return lane in self._live


@asynccontextmanager
async def open_chains(file: str, reads: Reads, clock: Clock, *, rail_timeout_ms: int) -> AsyncIterator[ChainRail]:
    """Give the rail for all networks, and close its connections on leaving; without a file all are simulated.

    Raises SettingsError for a file that is not valid or does not fit how long one answer of a rail is waited for, and
    where transfers were sent that the file does not make real any more: they would be done in the books alone. What
    signs is loaded only for a file: it takes time and memory.
    """
    simulated = SimulatedRail(reads, CHAIN)
    if not file:
        await _check_unfinished(reads, None)
        yield simulated
        return
    from otcdesk.rails.evm.keys import Keys
    from otcdesk.rails.evm.rail import EvmRail
    from otcdesk.rails.evm.settings import chains_settings

    settings, key_settings = chains_settings(Path(file))
    _check_times(settings, rail_timeout_ms)
    await _check_unfinished(reads, settings)
    keys = Keys(key_settings)
    async with AsyncExitStack() as closing:
        rails: dict[str, EvmRail] = {}
        for network, one in settings.networks.items():
            rail = rails[network] = EvmRail(network, one, keys=keys, reads=reads, clock=clock)
            closing.push_async_callback(rail.close)
        yield Chains(simulated, rails, reads, shared=settings.shared, pretended=settings.simulated)


def _check_times(settings: "ChainsSettings", rail_timeout_ms: int) -> None:
    """See that a call ends by itself before its caller gives it up; raises SettingsError."""
    for network, one in settings.networks.items():
        if one.wait_ms + 2 * one.timeout_ms > rail_timeout_ms:
            raise SettingsError(
                f"DESK_CHAINS_FILE: networks.{network}: wait_ms and twice timeout_ms are more than"
                f" DESK_RAIL_TIMEOUT_MS ({rail_timeout_ms}): no transfer would ever end in time"
            )


async def _check_unfinished(reads: Reads, settings: "ChainsSettings | None") -> None:
    """See that every transfer that is under way is still followed; raises SettingsError."""
    for row in await reads.records("chain_sends", "unfinished"):
        network, live = row["network"], row["live"]
        if settings is None or network not in settings.networks:
            raise SettingsError(f"DESK_CHAINS_FILE: transfers are under way on {network!r}, which is not in it")
        if not live and network not in settings.shared:
            raise SettingsError(
                f"DESK_CHAINS_FILE: sandboxes have transfers under way on {network!r}: let it serve them"
            )
