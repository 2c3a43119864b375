"""A rail between wallets on a chain of the test's own: what a test holds of both."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from otcdesk.domain.ledger import CUSTODY, Account
from otcdesk.money import Amount, Asset
from otcdesk.rails.evm.keys import Keys
from otcdesk.rails.evm.rail import EvmRail
from otcdesk.rails.evm.settings import KeySettings, NetworkSettings, TokenSettings
from otcdesk.rails.evm.store import Send, Store
from otcdesk.rails.protocols import RailPending, Receipt, Transfer
from otcdesk.storage.database import Reads
from tests.support.anvil.chain import CHAIN_ID, ETHER, GWEI, Anvil, Token, key_of
from tests.support.clocks import SteeredClock
from tests.support.desk import Lane

USDC = Asset("USDC", 6)
MASTER = "ab" * 32
SOURCE, SOURCE_KEY = key_of(0x51)
GAS_WALLET, GAS_KEY = key_of(0x6A5)
FAR, _ = key_of(0xFA2)  # a key that the desk does not have

CONFIRMATIONS = 3
PLENTY = 1_000_000_000


def account(address: str | None = None, account_id: UUID | None = None, *, network: str = "") -> Account:
    """Return a wallet of USDC."""
    return Account(
        id=account_id or uuid4(), owner_id=uuid4(), purpose=CUSTODY, asset="USDC", network=network, address=address
    )


class Site:
    """One rail; a network of a name of its own, for the nonces that the database remembers are of one chain."""

    def __init__(
        self,
        anvil: Anvil,
        lane: Lane,
        reads: Reads,
        *,
        token: Token | None = None,
        like: "Site | None" = None,
        **changes: Any,
    ) -> None:
        self.anvil = anvil
        self.lane = lane
        self.clock = SteeredClock()
        self.store = Store(reads)
        self.network: str = f"anvil-{uuid4().hex[:8]}" if like is None else like.network
        if like is None:
            self.token = token or Token(anvil)
            self.token.mint(SOURCE, PLENTY)
            anvil.give_coin(SOURCE, ETHER)
        else:
            self.token, self.clock = like.token, like.clock
        settings = NetworkSettings(
            rpc_urls=(anvil.url,),
            chain_id=CHAIN_ID,
            confirmations=CONFIRMATIONS,
            max_fee_wei=100 * GWEI,
            priority_fee_wei=GWEI,
            wait_ms=0,
            poll_ms=10,
            replace_after_seconds=60,
            timeout_ms=2_000,
            tokens={"USDC": TokenSettings(contract=self.token.address, decimals=6)},
        )
        keys = KeySettings(master=MASTER, keys={SOURCE: SOURCE_KEY, GAS_WALLET: GAS_KEY})
        self.settings = msgspec.structs.replace(settings, **changes)
        self.keys = Keys(keys)
        self.rail = EvmRail(self.network, self.settings, keys=self.keys, reads=reads, clock=self.clock)

    async def close(self) -> None:
        await self.rail.close()

    def transfer(
        self,
        units: int = 1_500_000,
        *,
        reference: str | None = None,
        source: Account | None = None,
        destination: Account | None = None,
        asset: Asset = USDC,
    ) -> Transfer:
        """Return a transfer to somebody far away, of a reference of its own."""
        return Transfer(
            lane=self.lane.number,
            reference=reference or str(uuid4()),
            source=source or account(SOURCE, network=self.network),
            destination=destination or account(FAR, network=self.network),
            amount=Amount(units, asset),
        )

    async def pending(self, transfer: Transfer) -> str:
        """Ask for a transfer that must not be confirmed yet; returns the hash that is told."""
        with pytest.raises(RailPending) as caught:
            await self.rail.transfer(transfer)
        return caught.value.detail

    async def confirmed(self, transfer: Transfer) -> Receipt:
        """Make blocks until a transfer has ended."""
        self.anvil.mine(CONFIRMATIONS)
        return await self.rail.transfer(transfer)

    async def recorded(self, transfer: Transfer) -> Send:
        """Return what the rail remembers of a transfer."""
        send = await self.store.find(transfer.lane, transfer.reference)
        assert send is not None
        return send

    def paid(self, times: int = 1, units: int = 1_500_000) -> None:
        """Assert how much has left the source and come to who is far away, by the token's own count."""
        assert (self.token.of(FAR), self.token.of(SOURCE)) == (times * units, PLENTY - times * units)

    def write_files(self, folder: Path, url: str | None = None) -> Path:
        """Write the chains file that says what this rail is told, and its keys; returns where the first is."""
        keys = folder / "keys.toml"
        keys.touch(mode=0o600)
        keys.write_text(f'master = "{MASTER}"\n[keys]\n{SOURCE} = "{SOURCE_KEY}"\n{GAS_WALLET} = "{GAS_KEY}"\n')
        file = folder / "chains.toml"
        file.write_text(
            f"""key_file = "keys.toml"

                [networks.{self.network}]
                rpc_urls = ["{url or self.anvil.url}"]
                chain_id = {CHAIN_ID}
                confirmations = {CONFIRMATIONS}
                max_fee_wei = {self.settings.max_fee_wei}
                gas_wallet = "{GAS_WALLET}"
                wait_ms = 0
                sandboxes = true

                [networks.{self.network}.tokens.USDC]
                contract = "{self.token.address}"
                decimals = 6
            """
        )
        return file
