"""The USDC of a sell and of buys on a real chain: what the chain says that everybody has is what the books say."""

import re
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.rails.evm.keys import Keys
from otcdesk.rails.evm.settings import KeySettings
from tests.support.anvil.chain import CHAIN_ID, ETHER, Anvil, Token, running_anvil
from tests.support.anvil.site import GAS_KEY, GAS_WALLET, MASTER, SOURCE, SOURCE_KEY, account
from tests.support.desk import CONTRACT_WORLD
from tests.support.served import assert_books_sound, assert_discreet
from tests.support.server import DeskServer, World, lane_of, run_cli, wait_until

WALLET = SOURCE


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with running_anvil() as one:
        yield one


def chains_file(folder: Path, anvil: Anvil, token: Token, *, sandboxes: bool = True) -> Path:
    keys, file = folder / "keys.toml", folder / "chains.toml"
    keys.touch(mode=0o600)
    keys.write_text(f'master = "{MASTER}"\n[keys]\n{WALLET} = "{SOURCE_KEY}"\n{GAS_WALLET} = "{GAS_KEY}"\n')
    file.write_text(f"""
        key_file = "keys.toml"
        [networks.ethereum]
        rpc_urls = ["{anvil.url}"]
        chain_id = {CHAIN_ID}
        confirmations = 2
        max_fee_wei = 100000000000
        wait_ms = 0
        timeout_ms = 1000
        sandboxes = {str(sandboxes).lower()}
        gas_wallet = "{GAS_WALLET}"
        [networks.ethereum.tokens.USDC]
        contract = "{token.address}"
        decimals = 6
    """)
    return file


def test_the_chain_says_what_the_books_say(fresh_dsn: str, tmp_path: Path, anvil: Anvil) -> None:
    token = Token(anvil)
    desk = DeskServer(
        fresh_dsn,
        tmp_path,
        DESK_CHAINS_FILE=str(chains_file(tmp_path, anvil, token)),
        DESK_APPROVAL_WAIT_MS="0",
        DESK_RAIL_TIMEOUT_MS="2000",
    )
    desk.secrets |= {MASTER, SOURCE_KEY, GAS_KEY}
    with closing(_Stopped(desk)):
        desk.start()
        world = World(desk, world=CONTRACT_WORLD.replace("0x00000000000000000000000000000000000000a1", WALLET))
        own = account(None, desk_account_id(TREASURY, "USDC", "ethereum"))
        treasury = Keys(KeySettings(master=MASTER)).address_of(lane_of(world), own)
        assert treasury is not None
        for address, units in ((WALLET, 5_000_000_000), (treasury, 1_000_000_000_000)):
            token.mint(address, units)
        anvil.give_coin(GAS_WALLET, ETHER)

        def agree() -> None:
            _, _, wallet_usdc, treasury_usdc = world.balances()
            on_chain = [Decimal(token.of(address)).scaleb(-6) for address in (WALLET, treasury)]
            assert on_chain == [Decimal(wallet_usdc), Decimal(treasury_usdc)]

        def approved(order_id: str) -> None:
            assert world.approve(order_id, "0.9" if order_id == sale else "1.0838").status_code in {200, 202}
            assert world.status(order_id) != "completed"
            wait_until(lambda: bool(anvil.waiting()), "something is sent")

        def ends(order_id: str) -> bool:
            anvil.mine()
            return world.status(order_id) == "completed"

        agree()
        shown = [line.split("  ") for line in run_cli(desk, "wallets", "--lane", world.id).splitlines()]
        assert ["ethereum", WALLET, "ours", "USDC", "5000.000000", "5000.000000", "A's wallet"] in shown
        assert [treasury, "ours", "1000000.000000"] in [[one[1], one[2], one[4]] for one in shown]
        assert {one[2] for one in shown if "B's wallet" in one} == {"not ours"}

        sale = world.confirmed_sell("1800")
        approved(sale)
        wait_until(lambda: ends(sale), "the sale is completed")
        agree()
        assert token.of(WALLET) == 3_200_000_000

        purchase = world.confirmed_buy("2500.00")
        approved(purchase)
        wait_until(lambda: unconfirmed(desk) > 0, "it is counted")
        wait_until(lambda: ends(purchase), "the purchase is completed")
        agree()

        another = world.confirmed_buy("100.00")
        approved(another)
        assert desk.process is not None
        desk.process.kill()
        desk.process.wait()
        desk.start()
        wait_until(lambda: ends(another), "the purchase is completed after all")
        agree()
        sent = [*anvil.transactions_of(WALLET), *anvil.transactions_of(treasury)]
        assert len(sent) == 3, "one transaction for each order"
        assert_books_sound(world)
    assert_discreet(desk, tmp_path)


def test_a_sandbox_does_not_reach_a_real_chain(fresh_dsn: str, tmp_path: Path, anvil: Anvil) -> None:
    """Anybody may make one, with accounts at addresses whose keys the desk has: nothing is sent for them."""
    token = Token(anvil)
    file = chains_file(tmp_path, anvil, token, sandboxes=False)
    desk = DeskServer(fresh_dsn, tmp_path, DESK_CHAINS_FILE=str(file), DESK_RAIL_TIMEOUT_MS="2000")
    token.mint(WALLET, 5_000_000_000)
    for address in (WALLET, GAS_WALLET):
        anvil.give_coin(address, ETHER)
    with closing(_Stopped(desk)):
        desk.start()
        world = World(desk, world=CONTRACT_WORLD.replace("0x00000000000000000000000000000000000000a1", WALLET))
        sale = world.confirmed_sell("1800")
        assert world.approve(sale, "0.9").status_code in {200, 202}
        wait_until(lambda: world.status(sale) == "completed", "it is sold in the sandbox's books")
        assert not anvil.waiting()
        assert token.of(WALLET) == 5_000_000_000
        assert WALLET not in run_cli(desk, "wallets", "--lane", world.id)


def unconfirmed(desk: DeskServer) -> int:
    (told,) = re.findall(
        r"^otcdesk_chain_sends_unconfirmed ([0-9]+)\.0$", httpx.get(f"{desk.url}/metrics").text, re.MULTILINE
    )
    return int(told)


class _Stopped:
    def __init__(self, desk: DeskServer) -> None:
        self.desk = desk

    def close(self) -> None:
        self.desk.stop()
