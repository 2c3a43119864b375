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
from otcdesk.rails.chains import Chains, RealRail, open_chains
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt, Transfer
from otcdesk.rails.simulated.custody import CHAIN, SimulatedRail
from otcdesk.storage.database import Reads
from tests.support.desk import Lane
from tests.support.program import ScriptedRail


def wallet(network: str) -> Account:
    return Account(id=uuid4(), owner_id=uuid4(), purpose=CUSTODY, asset="USDC", network=network, balance=len(network))


def transfer(source: str, destination: str, lane: int) -> Transfer:
    amount = Amount(1, Asset("USDC", 6))
    return Transfer(lane=lane, reference="r", source=wallet(source), destination=wallet(destination), amount=amount)


class RealScripted(ScriptedRail):
    """A rail as a network of the chains file has it."""

    tended = 0

    async def tend(self) -> None:
        self.tended += 1


def said(detail: str) -> Receipt:
    return Receipt(done=True, detail=detail)


async def live_lane(reads: Reads) -> int:
    lane: int = await reads.value("lanes", "next_number")
    await reads.pool.execute(
        "insert into lanes (lane, name, kind, created_at) values ($1, $2, 'live', now())", lane, f"live-{uuid4()}"
    )
    return lane


async def test_a_network_of_a_live_lane_is_asked_by_its_own_rail(reads: Reads) -> None:
    real = RealScripted(said("r"))
    chains = Chains(ScriptedRail(said("s")), {"ethereum": real}, reads, pretended=frozenset({"base"}))
    lane = await live_lane(reads)
    assert (await chains.transfer(transfer("ethereum", "ethereum", lane))).detail == "r"
    assert (await chains.cancel(transfer("ethereum", "ethereum", lane))).detail == "r"
    assert (await chains.transfer(transfer("base", "base", lane))).detail == "s"
    assert await chains.balance(lane, wallet("ethereum")) == 8
    for one, other in (("ethereum", "base"), ("base", "ethereum")):
        with pytest.raises(RailUnavailable, match=f"from '{one}' to '{other}'"):
            await chains.transfer(transfer(one, other, lane))
        assert not (await chains.cancel(transfer(one, other, lane))).done
    await chains.tend()
    assert real.tended == 1


class Untouchable:
    """A real rail that nobody may ask."""

    async def balance(self, lane: int, account: Account) -> int:
        raise AssertionError(lane, account)

    async def transfer(self, transfer: Transfer) -> Receipt:
        raise AssertionError(transfer)

    async def cancel(self, transfer: Transfer) -> Receipt:
        raise AssertionError(transfer)

    async def tend(self) -> None:
        raise AssertionError


async def test_a_sandbox_never_reaches_a_real_chain(reads: Reads, lane: Lane) -> None:
    """Whoever makes one says which addresses its accounts have, also those whose keys the desk has."""
    simulated = SimulatedRail(reads, CHAIN)
    chains = Chains(simulated, {"ethereum": Untouchable()}, reads)
    for number in (lane.number, await reads.value("lanes", "next_number")):  # the second is of no lane at all
        asked = transfer("ethereum", "ethereum", number)
        assert await chains.transfer(asked) == await simulated.transfer(asked)
        assert await chains.cancel(asked) == await simulated.cancel(asked)
        with pytest.raises(RailUnavailable, match="no wallet"):  # the simulated one's word
            await chains.balance(number, wallet("ethereum"))
        assert not await chains.serves(number, "ethereum")


async def test_a_network_of_tests_may_serve_sandboxes(reads: Reads, lane: Lane) -> None:
    real: dict[str, RealRail] = {"sepolia": RealScripted(said("r")), "ethereum": Untouchable()}
    chains = Chains(SimulatedRail(reads, CHAIN), real, reads, shared=frozenset({"sepolia"}))
    assert (await chains.transfer(transfer("sepolia", "sepolia", lane.number))).detail == "r"
    assert (await chains.transfer(transfer("ethereum", "ethereum", lane.number))).detail != "r"


async def test_nothing_happens_on_a_network_that_the_file_does_not_tell_of(reads: Reads, lane: Lane) -> None:
    chains = Chains(ScriptedRail(said("s"), said("s")), {"ethereum": RealScripted()}, reads)
    live = await live_lane(reads)
    asked = transfer("base", "base", live)
    with pytest.raises(RailUnavailable, match="base is not in the chains file"):
        await chains.transfer(asked)
    with pytest.raises(RailUnavailable, match="base is not in the chains file"):
        await chains.balance(live, wallet("base"))
    with pytest.raises(RailUnknown, match="base is not in the chains file"):
        await chains.cancel(asked)
    assert (await chains.transfer(transfer("base", "base", lane.number))).detail == "s"
    assert (await chains.transfer(transfer("", "", live))).detail == "s"


async def test_without_a_file_all_chains_are_simulated(reads: Reads) -> None:
    async with open_chains("", reads, SystemClock(), rail_timeout_ms=30_000) as chain:
        assert isinstance(chain, SimulatedRail)


async def test_a_file_that_is_not_there_stops_the_program(reads: Reads, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DESK_CHAINS_FILE"):
        async with open_chains(str(tmp_path / "chains.toml"), reads, SystemClock(), rail_timeout_ms=30_000):
            pass


def written(folder: Path, network: str, **settings: str) -> str:
    keys, file = folder / "keys.toml", folder / "chains.toml"
    keys.touch(mode=0o600)
    more = "".join(f"{name} = {value}\n" for name, value in settings.items())
    file.write_text(
        f'key_file = "keys.toml"\n[networks.{network}]\nrpc_urls = ["http://127.0.0.1:9/"]\nchain_id = 1\n'
        f"confirmations = 1\nmax_fee_wei = 1000000000\n{more}[networks.{network}.tokens]\n"
    )
    return str(file)


async def opens(file: str, reads: Reads, rail_timeout_ms: int = 30_000) -> None:
    async with open_chains(file, reads, SystemClock(), rail_timeout_ms=rail_timeout_ms):
        pass


async def test_what_is_under_way_must_be_followed(fresh_dsn: str, tmp_path: Path) -> None:
    """Else it would be done in the books alone, or sent again once the file is back."""
    async with Reads.opened(fresh_dsn, connections_max=2, statement_timeout_ms=10_000) as reads:
        lane = await live_lane(reads)
        ethereum, base = written(tmp_path, "ethereum"), tmp_path / "base"
        base.mkdir()
        record = """
            insert into chain_sends (
                lane, reference, network, purpose, sender, recipient, contract, amount, gas_limit, nonce, seen_block,
                recorded_at
            )
            values ($1, 'r', 'ethereum', 'transfer', '0x1', '0x2', '0x3', 1, 1, 0, 0, now())
        """
        await opens("", reads)
        await reads.pool.execute(record, lane)
        await opens(ethereum, reads)
        for file in ("", written(base, "base")):
            with pytest.raises(SettingsError, match="under way on 'ethereum'"):
                await opens(file, reads)
        await reads.pool.execute("update lanes set kind = 'sandbox' where lane = $1", lane)
        with pytest.raises(SettingsError, match="sandboxes have transfers under way on 'ethereum'"):
            await opens(ethereum, reads)
        await opens(written(tmp_path, "ethereum", sandboxes="true"), reads)
        await reads.pool.execute("update chain_sends set outcome = 'done', ended_at = now()")
        for file in ("", written(base, "base")):
            await opens(file, reads)


async def test_a_call_must_be_able_to_end_before_it_is_given_up(reads: Reads, tmp_path: Path) -> None:
    file = written(tmp_path, "ethereum", wait_ms="1000", timeout_ms="2000")
    await opens(file, reads, 5_000)
    with pytest.raises(SettingsError, match=r"networks.ethereum: .* DESK_RAIL_TIMEOUT_MS \(4999\)"):
        await opens(file, reads, 4_999)


def test_what_signs_does_not_let_calls_nest_deeper() -> None:
    """A hundred times deeper than Python's own limit, and a body of brackets ends the process."""
    asked = (
        "import sys; depth = sys.getrecursionlimit(); from otcdesk.rails.evm.keys import Keys, Payload, sign;"
        "from otcdesk.rails.evm.settings import KeySettings; from otcdesk.domain.ledger import CUSTODY, Account;"
        "from uuid import UUID; keys = Keys(KeySettings(master='ab' * 32));"
        "address = keys.address_of(1, Account("
        "id=UUID(int=1), owner_id=UUID(int=1), purpose=CUSTODY, asset='A', network='n'));"
        "sign(keys.signer(address), Payload(chain_id=1, nonce=1, to=address, value=1, data='0x', gas_limit=1,"
        "max_fee_wei=1, priority_fee_wei=1)); print(sys.getrecursionlimit() - depth)"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "0"


def test_a_desk_without_real_chains_does_not_load_what_signs() -> None:
    asked = "import sys, otcdesk.cli, otcdesk.serving; print([name for name in sys.modules if name.startswith('eth')])"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_what_is_pending_is_unknown_and_names_its_transaction() -> None:
    pending = RailPending("0x12")
    assert isinstance(pending, RailUnknown)
    assert (pending.detail, str(pending)) == ("0x12", "not confirmed yet: 0x12")
