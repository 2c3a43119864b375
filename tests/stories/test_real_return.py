"""The USDC of a sell whose cash cannot be paid go back on a real chain, also after the token has refused it once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.rails.evm.keys import Keys
from otcdesk.rails.evm.settings import KeySettings
from tests.stories.test_real_chain import WALLET, _Stopped, chains_file
from tests.support.anvil.chain import ETHER, Anvil, Token, running_anvil
from tests.support.anvil.site import GAS_WALLET, MASTER, account
from tests.support.desk import CONTRACT_WORLD
from tests.support.served import assert_books_sound
from tests.support.server import DeskServer, World, lane_of, wait_until

OWNED = 5_000_000_000


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with running_anvil() as one:
        yield one


def test_tokens_go_back_after_a_refusal(fresh_dsn: str, tmp_path: Path, anvil: Anvil) -> None:
    token = Token(anvil)
    desk = DeskServer(
        fresh_dsn,
        tmp_path,
        DESK_CHAINS_FILE=str(chains_file(tmp_path, anvil, token)),
        DESK_APPROVAL_WAIT_MS="0",
        DESK_RAIL_TIMEOUT_MS="30000",
        DESK_RAIL_RETRY_MS="50",
        DESK_SETTLEMENT_PERIOD_MS="50",
    )
    with closing(_Stopped(desk)):
        desk.start()
        world = World(desk, world=CONTRACT_WORLD.replace("0x00000000000000000000000000000000000000a1", WALLET))
        own = account(None, desk_account_id(TREASURY, "USDC", "ethereum"))
        treasury = Keys(KeySettings(master=MASTER)).address_of(lane_of(world), own)
        assert treasury is not None
        for address in (GAS_WALLET, WALLET, treasury):
            anvil.give_coin(address, ETHER)
        token.mint(WALLET, OWNED)
        world.fault("fiat", "unavailable")
        sale = world.confirmed_sell("1800")
        world.approve(sale, "0.9")

        def returns() -> list[Any]:
            return [one for one in anvil.waiting() if one["from"] == treasury]

        def refused() -> bool:
            anvil.mine()
            return "conversion.return_refused" in [one["event"] for one in world.detail(sale)["auditTrail"]]

        def over() -> bool:
            anvil.mine()
            return world.status(sale) == "failed"

        wait_until(lambda: bool(anvil.waiting()), "the collection is sent")
        anvil.mine(3)
        wait_until(lambda: bool(returns()), "the return is sent")
        anvil.drop(returns()[0]["hash"])
        token.pause(on=True)
        wait_until(refused, "the token has refused it")
        assert world.detail(sale)["deskState"] == "returning"
        token.pause(on=False)
        wait_until(over, "the tokens are back")
        assert token.of(WALLET) == OWNED
        assert_books_sound(world)
