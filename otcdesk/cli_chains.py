"""The command about real chains: which wallets there are, and whether chain and books agree."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from otcdesk.app import Program
from otcdesk.commandline import MAIN_LANE, Home, LaneName, lane_number, on_desk, settings_of
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.ledger import Account
from otcdesk.money import print_units
from otcdesk.rails.chains import Chains
from otcdesk.rails.protocols import RailUnavailable, RailUnknown

if TYPE_CHECKING:
    from otcdesk.rails.evm.keys import Keys

chains = typer.Typer()

#: So many wallets of a lane are shown.
_WALLETS_MAX = 10_000


@chains.command()
def wallets(lane: LaneName = MAIN_LANE, home: Home = None) -> None:
    """List the wallets of a lane on real chains: where each is, whose key it has, what is there and in the books."""
    settings = settings_of(home=home and str(home))
    if not settings.chains_file:
        raise typer.BadParameter("DESK_CHAINS_FILE names no file: all chains are simulated")
    from otcdesk.rails.evm.keys import Keys  # only now: what signs takes time and memory
    from otcdesk.rails.evm.settings import chains_settings

    networks, key_settings = chains_settings(Path(settings.chains_file))
    keys = Keys(key_settings)

    async def run(program: Program) -> None:
        number = await lane_number(program, lane)
        reads = program.desk.reads
        scales = {one.code: one.scale for one in await reads.rows("lanes", "assets", ListedAsset, number)}
        chain = program.desk.chain
        assert isinstance(chain, Chains), "there is a file"
        names = [name for name in networks.networks if await chain.serves(number, name)]
        typer.echo("network  address  key  asset  on chain  in the books  label")
        for account in await reads.rows("chain_sends", "wallets", Account, number, names, _WALLETS_MAX):
            address = _address(keys, number, account)
            key = "ours" if address and keys.signer(address) else "not ours"
            booked = print_units(account.balance, scales[account.asset])
            there = await _there(program, number, account, scales[account.asset])
            label = account.label or account.purpose
            typer.echo("  ".join((account.network, address or "none", key, account.asset, there, booked, label)))

    on_desk(settings, run)


def _address(keys: "Keys", lane: int, account: Account) -> str | None:
    try:
        return keys.address_of(lane, account)
    except ValueError:
        return None


async def _there(program: Program, lane: int, account: Account, scale: int) -> str:
    try:
        return print_units(await program.desk.chain.balance(lane, account), scale)
    except (RailUnavailable, RailUnknown):
        return "unknown"
