"""Transfers on a real chain: each moves once, and what is said of its end is said for ever."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from otcdesk.money import Asset
from otcdesk.rails.protocols import RailPending, RailUnavailable, RailUnknown, Receipt
from otcdesk.storage.database import Reads
from tests.support.anvil.chain import ETHER, Anvil, Token, key_of
from tests.support.anvil.site import CONFIRMATIONS, FAR, GAS_WALLET, PLENTY, SOURCE, Site, account
from tests.support.desk import WA1

NewSite = Callable[..., Site]


async def test_a_transfer_is_done_when_its_block_is_deep_enough(site: Site) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    assert [one["hash"] for one in site.anvil.waiting()] == [digest]
    for _ in range(CONFIRMATIONS - 1):
        site.anvil.mine()
        assert await site.pending(transfer) == digest
    site.anvil.mine()
    assert await site.rail.transfer(transfer) == Receipt(done=True, detail=digest)
    site.paid()


async def test_a_repeated_reference_is_the_same_transaction(site: Site) -> None:
    transfer = site.transfer()
    digests = {await site.pending(transfer) for _ in range(3)}
    receipts = [await site.confirmed(transfer) for _ in range(3)]
    assert digests == {receipts[0].detail}
    assert len(set(map(str, receipts))) == 1
    assert len(site.anvil.transactions_of(SOURCE)) == 1
    site.paid()


async def test_what_has_ended_is_told_without_a_chain(site: Site, new_site: NewSite) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    receipt = await site.confirmed(transfer)
    elsewhere = new_site(like=site, rpc_urls=("http://127.0.0.1:9/",))
    assert await elsewhere.rail.transfer(transfer) == receipt


async def test_a_call_may_wait_for_the_end(new_site: NewSite) -> None:
    site = new_site(wait_ms=20_000)
    transfer = site.transfer()
    call = asyncio.create_task(site.rail.transfer(transfer))
    while not site.anvil.waiting():
        await asyncio.sleep(0)
    site.anvil.mine(CONFIRMATIONS)
    assert (await call).done


async def test_a_reference_of_another_transfer_is_not_answered(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    with pytest.raises(RailUnknown, match="another transfer"):
        await site.rail.transfer(site.transfer(2, reference=transfer.reference))
    await site.confirmed(transfer)
    site.paid()


# -- wallets and amounts -------------------------------------------------------------------------------------------


async def test_a_wallet_without_an_address_has_a_key_of_its_own(site: Site) -> None:
    wallet = account(network=site.network)
    address = site.keys.address_of(site.lane.number, wallet)
    assert address is not None
    there = site.transfer(destination=wallet)
    await site.pending(there)
    assert (await site.confirmed(there)).done
    assert site.token.of(address) == 1_500_000
    site.anvil.give_coin(address, ETHER)
    back = site.transfer(source=wallet)
    await site.pending(back)
    assert (await site.confirmed(back)).done
    assert (site.token.of(address), site.token.of(FAR)) == (0, 1_500_000)


@pytest.mark.parametrize(
    "source, destination, why",
    [
        (FAR, SOURCE, "no key"),
        (SOURCE, "0x12", "not an address"),
        (SOURCE, "0x" + "0" * 40, "not an address"),
        (SOURCE, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD".replace("5a", "5A"), "not an address"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_happens(
    site: Site, source: str, destination: str, why: str
) -> None:
    transfer = site.transfer(
        source=account(source, network=site.network), destination=account(destination, network=site.network)
    )
    with pytest.raises(RailUnavailable, match=why):
        await site.rail.transfer(transfer)
    assert await site.store.find(transfer.lane, transfer.reference) is None


async def test_a_wallet_sends_nothing_to_itself(site: Site) -> None:
    with pytest.raises(RailUnavailable, match="source and destination"):
        await site.rail.transfer(site.transfer(destination=account(SOURCE, network=site.network)))


async def test_the_address_of_another_accounts_wallet_sends_nothing(site: Site) -> None:
    address = site.keys.address_of(site.lane.number, account(network=site.network))
    assert address is not None
    site.token.mint(address, 5_000_000)
    site.anvil.give_coin(address, ETHER)
    with pytest.raises(RailUnavailable, match="no key"):
        await site.rail.transfer(site.transfer(source=account(address, network=site.network)))


async def test_an_address_that_is_changed_meanwhile_changes_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    elsewhere = account(key_of(77)[0], network=site.network)
    again = site.transfer(reference=transfer.reference, destination=elsewhere)
    assert await site.pending(again) == digest
    assert await site.confirmed(again) == Receipt(done=True, detail=digest)
    assert "chain_recipient_changed" in capsys.readouterr().out
    site.paid()


async def test_tokens_are_not_sent_to_their_own_contract(site: Site) -> None:
    with pytest.raises(RailUnavailable, match="is lost"):
        await site.rail.transfer(site.transfer(destination=account(site.token.address.lower(), network=site.network)))


async def test_an_asset_that_the_network_does_not_have_is_refused(site: Site) -> None:
    with pytest.raises(RailUnavailable, match="no token for EURC"):
        await site.rail.transfer(site.transfer(asset=Asset("EURC", 6)))


async def test_more_than_the_wallet_has_is_refused_before_anything_happens(site: Site) -> None:
    with pytest.raises(RailUnavailable, match="has 1000000000 of 1000000001"):
        await site.rail.transfer(site.transfer(PLENTY + 1))
    assert not site.anvil.waiting()


async def test_what_would_be_reverted_is_refused_before_anything_happens(site: Site) -> None:
    site.token.pause(on=True)
    with pytest.raises(RailUnavailable, match="transfers are paused"):
        await site.rail.transfer(site.transfer())
    assert not site.anvil.waiting()


async def test_amounts_are_counted_as_the_contract_counts(anvil: Anvil, new_site: NewSite) -> None:
    from otcdesk.rails.evm.settings import TokenSettings

    token = Token(anvil, 4)
    site = new_site(token=token, tokens={"USDC": TokenSettings(contract=token.address, decimals=4)})
    with pytest.raises(RailUnavailable, match="cannot be counted with 4 decimals"):
        await site.rail.transfer(site.transfer(1_500_001))
    transfer = site.transfer(1_500_000)
    await site.pending(transfer)
    assert (await site.confirmed(transfer)).done
    assert token.of(FAR) == 15_000


async def test_decimals_that_are_not_the_contracts_stop_everything(anvil: Anvil, new_site: NewSite) -> None:
    site = new_site(token=Token(anvil, 18))
    with pytest.raises(RailUnavailable, match="has 18 decimals, not 6"):
        await site.rail.transfer(site.transfer())
    with pytest.raises(RailUnavailable, match="has 18 decimals, not 6"):
        await site.rail.balance(site.lane.number, account(SOURCE, network=site.network))


async def test_a_balance_is_what_the_contract_says(anvil: Anvil, new_site: NewSite) -> None:
    from otcdesk.rails.evm.settings import TokenSettings

    site = new_site()
    wallet = account(SOURCE, WA1, network=site.network)
    assert await site.rail.balance(site.lane.number, wallet) == PLENTY
    fine = Token(anvil, 18)
    finer = new_site(token=fine, tokens={"USDC": TokenSettings(contract=fine.address, decimals=18)})
    fine.mint(SOURCE, 10**18 + 10**11)
    assert await finer.rail.balance(site.lane.number, wallet) == 1_000_000, "what is finer than a unit is not told"
    with pytest.raises(RailUnavailable, match="cannot be reached"):
        await new_site(like=site, rpc_urls=("http://127.0.0.1:9/",)).rail.balance(site.lane.number, wallet)


async def test_while_it_is_paused_nothing_new_is_sent_and_the_rest_ends(site: Site, new_site: NewSite) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    paused = new_site(like=site, paused=True)
    with pytest.raises(RailUnknown, match="is paused"):
        await paused.rail.transfer(paused.transfer())
    assert await paused.confirmed(transfer) == Receipt(done=True, detail=digest)


# -- cancelling ----------------------------------------------------------------------------------------------------


async def test_what_was_never_asked_for_is_cancelled_for_ever(site: Site) -> None:
    transfer = site.transfer()
    refused = await site.rail.cancel(transfer)
    assert refused == Receipt(done=False, detail="cancelled before anything was sent")
    assert await site.rail.transfer(transfer) == refused
    assert await site.rail.cancel(transfer) == refused
    assert not site.anvil.waiting()


async def test_what_is_on_its_way_is_not_cancelled(site: Site) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    with pytest.raises(RailPending, match=digest):
        await site.rail.cancel(transfer)
    site.anvil.mine(CONFIRMATIONS)
    done = Receipt(done=True, detail=digest)
    assert [await site.rail.cancel(transfer), await site.rail.transfer(transfer)] == [done, done]
    site.paid()


async def test_cancelling_while_it_is_asked_for_has_one_outcome(site: Site, new_site: NewSite) -> None:
    other = new_site(like=site)
    cancelled = 0
    for number in range(12):
        transfer = site.transfer(1_000)
        asked = await asyncio.gather(
            *(site.rail.transfer(transfer), _later(other.rail.cancel(transfer), number)), return_exceptions=True
        )
        site.anvil.mine(CONFIRMATIONS)
        word = await site.rail.transfer(transfer)
        for one in asked:
            assert one == word or (isinstance(one, RailPending) and word.done), asked
        cancelled += not word.done
    assert site.token.of(FAR) == 1_000 * (12 - cancelled)
    assert cancelled


async def _later(call: Awaitable[Receipt], turns: int) -> Receipt:
    for _ in range(turns * turns):
        await asyncio.sleep(0)
    return await call


# -- paused ------------------------------------------------------------------------------------------------------------


async def test_while_it_is_paused_nothing_is_signed(site: Site, new_site: NewSite) -> None:
    """No higher fees, no other nonce, no gas, nothing in a gap; what was signed is sent again, the same."""
    paused = new_site(like=site, paused=True, gas_wallet=GAS_WALLET)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.clock.advance(seconds=61)
    assert await paused.pending(transfer) == digest
    site.anvil.drop(digest)
    assert await paused.pending(transfer) == digest
    assert [one["hash"] for one in site.anvil.waiting()] == [digest]
    site.anvil.drop(digest)
    site.anvil.give_coin(SOURCE, 0)
    assert await paused.pending(transfer) == digest
    assert site.anvil.waiting() == []
    site.anvil.give_coin(SOURCE, ETHER)
    site.anvil.send_as(SOURCE, 0)
    site.anvil.mine(CONFIRMATIONS)
    assert await paused.pending(transfer) == digest
    assert (await site.recorded(transfer)).nonce == 0
    assert await site.pending(transfer) != digest


async def test_while_it_is_paused_no_gap_is_filled(site: Site, new_site: NewSite) -> None:
    site.anvil.send_as(SOURCE, 0)
    snapshot = site.anvil.ask("evm_snapshot")
    site.anvil.mine()
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.ask("evm_revert", snapshot)
    site.anvil.ask("anvil_dropAllTransactions")
    assert await new_site(like=site, paused=True).pending(transfer) == digest
    assert [one["hash"] for one in site.anvil.waiting()] == [digest]


@pytest.mark.parametrize("paused", [False, True])
async def test_what_was_sent_after_a_backup_is_not_sent_again(
    site: Site, new_site: NewSite, reads: Reads, paused: bool
) -> None:
    """The fees were raised after the backup, and that transaction was mined: the database does not know its hash."""
    transfer = site.transfer()
    await site.pending(transfer)
    site.clock.advance(seconds=61)
    digest = await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)
    site.paid()
    await reads.pool.execute("delete from chain_transactions where hash = $1", digest)
    restored = new_site(like=site, paused=paused)
    for _ in range(2):
        with pytest.raises(RailUnknown, match=f"{digest} has moved the same under its nonce") as caught:
            await restored.rail.transfer(transfer)
        assert not isinstance(caught.value, RailPending)
        site.anvil.mine(CONFIRMATIONS)
    assert len((await site.recorded(transfer)).transactions) == 1
    site.paid()


# -- the rail's own ----------------------------------------------------------------------------------------------------


async def test_what_the_rail_sends_for_itself_ends_although_nobody_asks(site: Site, new_site: NewSite) -> None:
    giving = new_site(like=site, gas_wallet=GAS_WALLET)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    site.anvil.give_coin(SOURCE, 0)
    await giving.pending(site.transfer())
    (gas,) = await site.store.own_under_way(site.network)
    site.anvil.mine(CONFIRMATIONS - 1)
    await giving.rail.tend()
    assert await site.store.own_under_way(site.network) == [gas]
    site.anvil.mine()
    await giving.rail.tend()
    assert await site.store.own_under_way(site.network) == []
    ended = await site.store.find(gas.lane, gas.reference)
    assert ended is not None
    assert ended.outcome == "done"


async def test_a_node_that_is_away_does_not_disturb_who_tends(site: Site, new_site: NewSite) -> None:
    giving = new_site(like=site, gas_wallet=GAS_WALLET)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    site.anvil.give_coin(SOURCE, 0)
    await giving.pending(site.transfer())
    await new_site(like=site, rpc_urls=("http://127.0.0.1:9/",)).rail.tend()
    assert len(await site.store.own_under_way(site.network)) == 1
