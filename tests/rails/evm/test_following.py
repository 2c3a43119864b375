"""What becomes of a send: gas, nonces and reorganisations, on a real chain whose blocks a test makes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from otcdesk.rails.protocols import RailUnavailable, RailUnknown, Receipt
from tests.support.anvil import chain
from tests.support.anvil.chain import ETHER, GWEI, Token, running_anvil
from tests.support.anvil.relay import Relay
from tests.support.anvil.site import CONFIRMATIONS, FAR, GAS_WALLET, PLENTY, SOURCE, Site

NewSite = Callable[..., Site]


# -- what a token does ---------------------------------------------------------------------------------------------


async def test_a_reverted_transfer_is_refused_for_ever(site: Site) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.drop(digest)
    site.token.pause(on=True)
    assert await site.pending(transfer) == digest
    receipt = await site.confirmed(transfer)
    assert receipt == Receipt(done=False, detail=f"reverted in {digest}: transfers are paused")
    site.token.pause(on=False)
    assert await site.confirmed(transfer) == receipt
    site.paid(times=0)


async def test_a_token_that_does_not_say_that_it_moved_has_not(site: Site) -> None:
    site.token.keep_silent(on=True)
    transfer = site.transfer()
    await site.pending(transfer)
    receipt = await site.confirmed(transfer)
    assert not receipt.done
    assert "nothing moved" in receipt.detail
    site.paid(times=0)


async def test_a_token_that_moves_and_does_not_say_so_waits_for_a_person(
    site: Site, new_site: NewSite, relay: Relay
) -> None:
    """As one without the standard's log, and as through a node that leaves logs out: it was not refused."""
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)

    def silent(answer: Any) -> bytes:
        return json.dumps(answer | {"result": answer["result"] | {"logs": []}}).encode()

    relay.answer("eth_getTransactionReceipt", silent)
    through = new_site(like=site, rpc_urls=(relay.url,))
    with pytest.raises(RailUnknown, match=f"{digest} does not say whether it has moved anything"):
        await through.rail.transfer(transfer)
    relay.fails_with("eth_call", "missing trie node")
    assert await through.pending(transfer) == digest, "what cannot be found out is not decided"
    assert (await site.recorded(transfer)).outcome is None
    assert (await site.rail.transfer(transfer)).done
    site.paid()


# -- gas -----------------------------------------------------------------------------------------------------------


async def test_gas_dearer_than_the_cap_is_waited_for(site: Site) -> None:
    site.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(200 * GWEI))
    site.anvil.mine()
    transfer = site.transfer()
    with pytest.raises(RailUnavailable, match="more than 100000000000"):
        await site.rail.transfer(transfer)
    site.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    site.anvil.mine()
    await site.pending(transfer)
    assert (await site.confirmed(transfer)).done
    site.paid()


async def test_what_waits_too_long_is_sent_again_with_higher_fees(site: Site) -> None:
    transfer = site.transfer()
    first = await site.pending(transfer)
    fee = 30 * GWEI
    site.anvil.ask("anvil_setNextBlockBaseFeePerGas", hex(fee))
    site.anvil.mine()
    assert await site.pending(transfer) == first, "it has not waited for long"
    site.clock.advance(seconds=61)
    second = await site.pending(transfer)
    send = await site.recorded(transfer)
    assert [one.hash for one in send.transactions] == [second, first]
    assert len({one.nonce for one in send.transactions}) == 1
    assert await site.confirmed(transfer) == Receipt(done=True, detail=second)
    site.paid()


async def test_whichever_replacement_is_mined_counts(site: Site) -> None:
    transfer = site.transfer()
    first = await site.pending(transfer)
    site.clock.advance(seconds=61)
    second = await site.pending(transfer)
    assert first != second
    raw = (await site.recorded(transfer)).transactions[-1].raw
    site.anvil.drop(second)
    site.anvil.ask("eth_sendRawTransaction", raw)
    assert await site.confirmed(transfer) == Receipt(done=True, detail=first)
    site.paid()


async def test_fees_are_never_raised_above_the_cap(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    for _ in range(40):
        site.clock.advance(seconds=61)
        await site.pending(transfer)
    fees = [one.max_fee_wei for one in (await site.recorded(transfer)).transactions]
    assert fees == sorted(fees, reverse=True)
    assert len(fees) > 3
    assert 80 * GWEI < fees[0] <= 100 * GWEI
    assert (await site.confirmed(transfer)).done
    site.paid()


async def test_a_wallet_without_coin_is_given_some_once(new_site: NewSite) -> None:
    site = new_site(gas_wallet=GAS_WALLET)
    site.anvil.give_coin(SOURCE, 0)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    one, two = site.transfer(), site.transfer()
    assert [await site.pending(each) for each in (one, two, one)] == ["", "", ""]
    (gas,) = site.anvil.waiting()
    assert (gas["from"], gas["to"], int(gas["value"], 16)) == (GAS_WALLET, SOURCE, site.settings.top_up_wei)
    site.anvil.mine()
    assert site.anvil.coin(SOURCE) == site.settings.top_up_wei
    assert all([await site.pending(one), await site.pending(two)])
    assert [(await site.confirmed(each)).done for each in (one, two)] == [True, True]
    assert await site.store.gas_under_way(site.network, SOURCE) is None
    site.paid(times=2)


async def test_a_wallet_is_given_gas_so_often_in_a_day(new_site: NewSite, capsys: pytest.CaptureFixture[str]) -> None:
    """Who shares its key moves the coin away each time: that is not paid for without end."""
    site = new_site(gas_wallet=GAS_WALLET, top_ups_per_day=2)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    transfer = site.transfer()
    for _ in range(2):
        site.anvil.give_coin(SOURCE, 0)
        await site.pending(transfer)
        site.anvil.mine(CONFIRMATIONS)
    site.anvil.give_coin(SOURCE, 0)
    with pytest.raises(RailUnavailable, match="was given gas 2 times within a day"):
        await site.rail.transfer(transfer)
    assert "chain_gas_given_too_often" in capsys.readouterr().out
    assert len(site.anvil.transactions_of(GAS_WALLET)) == 2
    site.clock.advance(seconds=86_401)
    await site.pending(transfer)
    assert len(site.anvil.waiting()) == 1


async def test_without_anybody_who_gives_gas_a_wallet_without_it_sends_nothing(site: Site, new_site: NewSite) -> None:
    site.anvil.give_coin(SOURCE, 0)
    with pytest.raises(RailUnavailable, match="nobody gives it any"):
        await site.rail.transfer(site.transfer())
    poor = new_site(like=site, gas_wallet=GAS_WALLET)
    with pytest.raises(RailUnavailable, match=r"the gas wallet .* is empty"):
        await poor.rail.transfer(poor.transfer())
    assert not site.anvil.waiting()


async def test_a_send_whose_coin_is_gone_is_given_more(new_site: NewSite) -> None:
    site = new_site(gas_wallet=GAS_WALLET)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.drop(digest)
    site.anvil.give_coin(SOURCE, 0)
    assert await site.pending(transfer) == digest, "no node takes it now"
    assert [one["to"] for one in site.anvil.waiting()] == [SOURCE]
    site.anvil.mine()
    assert await site.pending(transfer) == digest
    assert (await site.confirmed(transfer)).done
    site.paid()


# -- nonces --------------------------------------------------------------------------------------------------------


async def test_transfers_at_once_have_nonces_without_a_gap(site: Site, new_site: NewSite) -> None:
    """Two rails as two processes have them, on one sender; some references are asked for by both."""
    other = new_site(like=site)
    transfers = [site.transfer(1_000 + number) for number in range(6)]

    async def ask(rail_of: Site, number: int) -> str:
        return await rail_of.pending(transfers[number])

    asked = [(site, number) for number in range(4)] + [(other, number) for number in range(2, 6)]
    digests = await asyncio.gather(*(ask(*each) for each in asked))
    assert len(set(digests)) == 6
    assert sorted(int(one["nonce"], 16) for one in site.anvil.waiting()) == list(range(6))
    site.anvil.mine(CONFIRMATIONS)
    assert all([(await other.rail.transfer(each)).done for each in transfers])
    assert site.token.of(FAR) == sum(1_000 + number for number in range(6))


async def test_gas_is_counted_without_what_only_waits(site: Site) -> None:
    """A recipient's first token takes more, and the transfer that would have brought it is never mined."""
    first, second = site.transfer(), site.transfer()
    await site.pending(first)
    await site.pending(second)
    assert (await site.recorded(first)).gas_limit == (await site.recorded(second)).gas_limit


async def test_a_transaction_that_nodes_forgot_is_sent_again_also_by_those_after_it(site: Site) -> None:
    first, second = site.transfer(), site.transfer()
    digest = await site.pending(first)
    await site.pending(second)
    site.anvil.drop(digest)
    site.anvil.mine()
    assert site.token.of(FAR) == 0
    await site.pending(second)  # nobody asks for the first
    site.anvil.mine(CONFIRMATIONS)
    assert (await site.rail.transfer(second)).done
    assert await site.rail.transfer(first) == Receipt(done=True, detail=digest)
    site.paid(times=2)


async def test_a_nonce_that_another_used_up_makes_room_for_a_new_one(site: Site) -> None:
    transfer = site.transfer()
    first = await site.pending(transfer)
    site.anvil.drop(first)
    site.anvil.send_as(SOURCE, 0)
    for _ in range(CONFIRMATIONS):
        assert await site.pending(transfer) == first, "nothing is proved yet"
        site.anvil.mine()
    second = await site.pending(transfer)
    assert second != first
    assert [one.nonce for one in (await site.recorded(transfer)).transactions] == [1, 0]
    assert await site.confirmed(transfer) == Receipt(done=True, detail=second)
    site.paid()


async def test_a_node_that_forgets_a_receipt_proves_nothing(site: Site, new_site: NewSite, relay: Relay) -> None:
    """The nonce is used up deep enough, by ours: a node that does not tell so must not make us send another."""
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)
    relay.results_in("eth_getTransactionReceipt", None)
    forgetful = new_site(like=site, rpc_urls=(relay.url,))
    assert await forgetful.pending(transfer) == digest
    assert len((await site.recorded(transfer)).transactions) == 1
    assert await site.rail.transfer(transfer) == Receipt(done=True, detail=digest)
    site.paid()


async def test_a_gap_that_another_left_is_filled(site: Site) -> None:
    """Another's transaction was on the chain when a nonce was given out, and a reorganisation lost it."""
    site.anvil.send_as(SOURCE, 0)
    snapshot = site.anvil.ask("evm_snapshot")
    site.anvil.mine()
    transfer = site.transfer()
    digest = await site.pending(transfer)
    assert (await site.recorded(transfer)).nonce == 1
    site.anvil.ask("evm_revert", snapshot)
    site.anvil.ask("anvil_dropAllTransactions")
    assert await site.pending(transfer) == digest
    assert sorted(int(one["nonce"], 16) for one in site.anvil.waiting()) == [0, 1]
    assert (await site.confirmed(transfer)).done
    site.paid()


async def test_gas_whose_nonce_another_used_up_is_given_anew(new_site: NewSite) -> None:
    site = new_site(gas_wallet=GAS_WALLET)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    site.anvil.give_coin(SOURCE, 0)
    transfer = site.transfer()
    await site.pending(transfer)
    (gas,) = await site.store.own_under_way(site.network)
    site.anvil.drop(gas.newest.hash)
    site.anvil.send_as(GAS_WALLET, 0)
    site.anvil.mine(CONFIRMATIONS)
    await site.pending(transfer)
    ended = await site.store.find(gas.lane, gas.reference)
    assert ended is not None
    assert ended.outcome == "refused"
    site.anvil.mine(CONFIRMATIONS)
    await site.pending(transfer)
    assert (await site.confirmed(transfer)).done
    site.paid()


async def test_a_name_that_stands_for_another_chain_now_sends_nothing_there(
    site: Site, new_site: NewSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.mine()
    monkeypatch.setattr(chain, "CHAIN_ID", 4_242)
    with running_anvil() as elsewhere:
        token = Token(elsewhere)
        assert token.address == site.token.address
        token.mint(SOURCE, PLENTY)
        elsewhere.give_coin(SOURCE, ETHER)
        other = new_site(like=site, rpc_urls=(elsewhere.url,), chain_id=4_242)
        site.clock.advance(seconds=61)
        assert await other.pending(transfer) == digest
        elsewhere.send_as(SOURCE, 0)
        elsewhere.mine(CONFIRMATIONS)
        assert await other.pending(transfer) == digest
        assert elsewhere.waiting() == []
        assert token.of(FAR) == 0
    assert (await site.confirmed(transfer)).done


# -- reorganisations -----------------------------------------------------------------------------------------------


async def test_a_receipt_that_vanished_is_waited_for_anew(site: Site) -> None:
    transfer = site.transfer()
    snapshot = site.anvil.ask("evm_snapshot")
    digest = await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS - 1)
    assert await site.pending(transfer) == digest
    site.anvil.ask("evm_revert", snapshot)
    site.anvil.ask("anvil_dropAllTransactions")
    site.anvil.mine(CONFIRMATIONS)
    assert site.token.of(FAR) == 0
    assert await site.pending(transfer) == digest, "it is sent again, the same"
    site.anvil.mine(CONFIRMATIONS - 1)
    assert await site.pending(transfer) == digest, "and counted anew"
    site.anvil.mine()
    assert (await site.rail.transfer(transfer)).done
    site.paid()


async def test_a_block_that_was_replaced_is_counted_anew(site: Site) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.mine(2)
    before = site.anvil.ask("eth_getTransactionReceipt", digest)
    raw = (await site.recorded(transfer)).newest.raw
    site.anvil.ask("anvil_reorg", 2, [[raw, 1]])
    after = site.anvil.ask("eth_getTransactionReceipt", digest)
    assert (before["blockHash"], before["blockNumber"]) != (after["blockHash"], after["blockNumber"])
    assert await site.pending(transfer) == digest
    assert (await site.confirmed(transfer)).done
    site.paid()


async def test_a_receipt_of_a_block_that_is_not_on_the_chain_ends_nothing(
    site: Site, new_site: NewSite, relay: Relay
) -> None:
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)

    def elsewhere(answer: Any) -> bytes:
        return json.dumps(answer | {"result": answer["result"] | {"blockHash": f"0x{7:064x}"}}).encode()

    relay.answer("eth_getTransactionReceipt", elsewhere)
    assert await new_site(like=site, rpc_urls=(relay.url,)).pending(transfer) == digest
    assert (await site.rail.transfer(transfer)).done
    site.paid()


async def test_two_processes_give_a_wallet_gas_once(new_site: NewSite) -> None:
    site = new_site(gas_wallet=GAS_WALLET)
    other = new_site(like=site, gas_wallet=GAS_WALLET)
    site.anvil.give_coin(SOURCE, 0)
    site.anvil.give_coin(GAS_WALLET, ETHER)
    asked = [one.pending(one.transfer(1_000)) for one in (site, other) for _ in range(3)]
    assert await asyncio.gather(*asked) == [""] * 6
    assert [(one["from"], one["to"]) for one in site.anvil.waiting()] == [(GAS_WALLET, SOURCE)]


async def test_a_transaction_that_did_something_else_waits_for_a_person(
    site: Site, new_site: NewSite, relay: Relay
) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)

    def less(answer: Any) -> bytes:
        result = answer["result"]
        (log,) = result["logs"]
        return json.dumps(answer | {"result": result | {"logs": [log | {"data": f"0x{1_499_999:064x}"}]}}).encode()

    relay.answer("eth_getTransactionReceipt", less)
    with pytest.raises(RailUnknown, match="moved something else"):
        await new_site(like=site, rpc_urls=(relay.url,)).rail.transfer(transfer)
    assert (await site.recorded(transfer)).outcome is None


async def test_what_was_refused_never_moves_after_a_deep_reorganisation(new_site: NewSite) -> None:
    """The chain loses a reverted transaction, which would succeed now: its nonce is used up by something else."""
    site = new_site(confirmations=1)
    refused, another = site.transfer(), site.transfer(7)
    site.anvil.drop(await site.pending(refused))
    site.token.pause(on=True)
    snapshot = site.anvil.ask("evm_snapshot")
    digest = await site.pending(refused)
    site.anvil.mine()
    word = await site.rail.transfer(refused)
    assert not word.done
    site.anvil.ask("evm_revert", snapshot)
    site.anvil.ask("anvil_dropAllTransactions")
    site.token.pause(on=False)
    raw = (await site.recorded(refused)).newest.raw
    site.anvil.ask("eth_sendRawTransaction", raw)  # a node puts back what a reorganisation lost
    await site.pending(another)
    await site.pending(another)
    assert digest not in {one["hash"] for one in site.anvil.waiting()}
    site.anvil.mine()
    assert (await site.rail.transfer(another)).done
    await site.rail.tend()
    assert await site.store.own_under_way(site.network) == []
    assert await site.rail.transfer(refused) == word
    assert site.token.of(FAR) == 7


async def test_what_was_done_is_sent_again_after_a_deep_reorganisation(new_site: NewSite) -> None:
    site = new_site(confirmations=1)
    done, another = site.transfer(), site.transfer(7)
    snapshot = site.anvil.ask("evm_snapshot")
    await site.pending(done)
    site.anvil.mine()
    word = await site.rail.transfer(done)
    assert word.done
    site.anvil.ask("evm_revert", snapshot)
    site.anvil.ask("anvil_dropAllTransactions")
    await site.pending(another)
    await site.pending(another)
    site.anvil.mine()
    assert (await site.rail.transfer(another)).done
    assert site.token.of(FAR) == 1_500_007
