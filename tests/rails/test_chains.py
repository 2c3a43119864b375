"""Which rail a network has, and what a desk without real chains does not load."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from otcdesk.clock import SystemClock
from otcdesk.config import SettingsError
from otcdesk.domain.ledger import CUSTODY, Account
from otcdesk.money import Amount, Asset
from otcdesk.rails.chains import Chains, open_chains
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.rails.simulated.custody import SimulatedRail
from otcdesk.storage.database import Reads
from tests.support.program import ScriptedRail


def wallet(network: str) -> Account:
    return Account(id=uuid4(), owner_id=uuid4(), purpose=CUSTODY, asset="USDC", network=network, balance=len(network))


def transfer(source: str, destination: str) -> Transfer:
    amount = Amount(1, Asset("USDC", 6))
    return Transfer(lane=1, reference="r", source=wallet(source), destination=wallet(destination), amount=amount)


async def test_a_network_is_asked_by_its_own_rail_and_others_are_simulated() -> None:
    simulated, real = ScriptedRail(Receipt(done=True, detail="s")), ScriptedRail(Receipt(done=True, detail="r"))
    chains = Chains(simulated, {"ethereum": real})
    assert (await chains.transfer(transfer("ethereum", "ethereum"))).detail == "r"
    assert (await chains.transfer(transfer("base", "base"))).detail == "s"
    assert await chains.balance(1, wallet("ethereum")) == 8
    for one, other in (("ethereum", "base"), ("base", "ethereum")):
        with pytest.raises(RailUnavailable, match=f"from '{one}' to '{other}'"):
            await chains.transfer(transfer(one, other))


async def test_without_a_file_all_chains_are_simulated(reads: Reads) -> None:
    async with open_chains("", reads, SystemClock()) as chain:
        assert isinstance(chain, SimulatedRail)


async def test_a_file_that_is_not_there_stops_the_program(reads: Reads, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DESK_CHAINS_FILE"):
        async with open_chains(str(tmp_path / "chains.toml"), reads, SystemClock()):
            pass


def test_a_desk_without_real_chains_does_not_load_what_signs() -> None:
    asked = "import sys, otcdesk.cli, otcdesk.serving; print([name for name in sys.modules if name.startswith('eth')])"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_what_is_pending_is_unknown_and_names_its_transaction() -> None:
    pending = RailPending("0x12")
    assert isinstance(pending, RailUnknown)
    assert (pending.detail, str(pending)) == ("0x12", "not confirmed yet: 0x12")
