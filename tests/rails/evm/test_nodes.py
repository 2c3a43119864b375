"""Nodes that are away, slow, behind, of another chain, or talk nonsense: nothing that they do moves money twice."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from otcdesk.rails.protocols import RailPending, RailUnavailable, Receipt
from tests.support.anvil.relay import Relay, Stopped
from tests.support.anvil.site import CONFIRMATIONS, SOURCE, Site, account

NewSite = Callable[..., Site]

#: What a node is asked before a transfer is recorded, and after.
BEFORE = (
    *("eth_chainId", "eth_blockNumber", "eth_call", "eth_getBlockByNumber", "eth_estimateGas", "eth_getBalance"),
    "eth_getTransactionCount",
)
AFTER = ("eth_chainId", "eth_blockNumber", "eth_getTransactionReceipt", "eth_getBlockByNumber")

NONSENSE: dict[str, Callable[[Any], bytes | None]] = {
    "a page": lambda _: b"<html>bad gateway</html>",
    "nothing": lambda _: b"",
    "no answer": lambda _: None,
    "cut short": lambda answer: json.dumps(answer).encode()[:-5],
    "of another kind": lambda answer: json.dumps({**answer, "result": {"x": [1]}}).encode(),
    "a word that is no number": lambda answer: json.dumps({**answer, "result": "0xzz"}).encode(),
    "neither result nor error": lambda answer: json.dumps({"jsonrpc": "2.0", "id": answer["id"]}).encode(),
    "for another question": lambda answer: json.dumps({**answer, "id": 0}).encode(),
    "an error without words": lambda answer: json.dumps({"jsonrpc": "2.0", "id": answer["id"], "error": {}}).encode(),
    "brackets": lambda _: b"[" * 100_000 + b"]" * 100_000,
    "an error of brackets": lambda answer: (
        b'{"id":%d,"error":{"data":' % answer["id"] + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    ),
    "not UTF-8": lambda _: b'{"jsonrpc":"2.0","id":1,"result":"\xff"}',
}


@pytest.fixture
def through(new_site: NewSite, relay: Relay) -> Site:
    """Give a rail that reaches its chain through the relay only."""
    return new_site(rpc_urls=(relay.url,))


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_believed_neither_before_nor_after(
    through: Site, relay: Relay, nonsense: Callable[[Any], bytes | None]
) -> None:
    transfer = through.transfer()
    for method in BEFORE:
        relay.answering = {method: nonsense}
        with pytest.raises(RailUnavailable):
            await through.rail.transfer(transfer)
        assert await through.store.find(transfer.lane, transfer.reference) is None, method
    relay.answering = {"eth_sendRawTransaction": nonsense}
    digest = await through.pending(transfer)
    through.anvil.mine(CONFIRMATIONS)
    for method in AFTER:
        relay.answering = {method: nonsense}
        assert await through.pending(transfer) == digest, method
    relay.answering = {}
    assert await through.rail.transfer(transfer) == Receipt(done=True, detail=digest)
    assert len(through.anvil.transactions_of(SOURCE)) == 1
    through.paid()


async def test_a_node_that_is_away_and_comes_back_changes_nothing(through: Site, relay: Relay) -> None:
    transfer = through.transfer()
    relay.away = True
    with pytest.raises(RailUnavailable, match="cannot be reached"):
        await through.rail.transfer(transfer)
    relay.away = False
    digest = await through.pending(transfer)
    relay.away = True
    through.anvil.mine(CONFIRMATIONS)
    assert await through.pending(transfer) == digest
    relay.away = False
    assert await through.rail.transfer(transfer) == Receipt(done=True, detail=digest)
    through.paid()


@pytest.mark.parametrize(
    "said",
    [
        "already known",
        "nonce too low",
        "replacement transaction underpriced",
        "insufficient funds for gas * price + value",
        "txpool is full",
        "transaction underpriced",
    ],
)
async def test_what_a_node_says_of_a_transaction_decides_nothing(through: Site, relay: Relay, said: str) -> None:
    """The chain alone says whether it is mined: it is told to be on its way, and sent again, the same."""
    transfer = through.transfer()
    relay.fails_with("eth_sendRawTransaction", said)
    digest = await through.pending(transfer)
    assert await through.pending(transfer) == digest
    assert not through.anvil.waiting()
    relay.answering = {}
    assert await through.pending(transfer) == digest
    assert (await through.confirmed(transfer)).detail == digest
    through.paid()


async def test_an_answer_that_was_lost_is_not_asked_for_with_another_transaction(through: Site, relay: Relay) -> None:
    transfer = through.transfer()
    relay.answer("eth_sendRawTransaction", NONSENSE["no answer"])
    digest = await through.pending(transfer)
    assert await through.pending(transfer) == digest
    assert [one["hash"] for one in through.anvil.waiting()] == [digest]
    assert (await through.confirmed(transfer)).done
    through.paid()


async def test_a_node_of_another_chain_is_not_believed(new_site: NewSite, relay: Relay) -> None:
    site = new_site(chain_id=1)
    with pytest.raises(RailUnavailable, match="is of chain 31337, not of 1"):
        await site.rail.transfer(site.transfer())
    relay.results_in("eth_chainId", "0x1")
    mixed = new_site(rpc_urls=(relay.url, site.anvil.url))
    transfer = mixed.transfer()
    await mixed.pending(transfer)
    assert (await mixed.confirmed(transfer)).done
    assert set(relay.forwarded) <= {"eth_chainId", "eth_blockNumber"}, "nothing is handed to it"


async def test_of_two_nodes_the_one_that_is_not_behind_is_asked(new_site: NewSite, relay: Relay, anvil: object) -> None:
    relay.results_in("eth_blockNumber", "0x1")
    relay.results_in("eth_getTransactionCount", "0x0")
    relay.results_in("eth_getTransactionReceipt", None)
    site = new_site(rpc_urls=(relay.url, new_site().anvil.url))
    one, two = site.transfer(), site.transfer()
    assert await site.pending(one) != await site.pending(two)
    site.anvil.mine(CONFIRMATIONS)
    assert [(await site.rail.transfer(each)).done for each in (one, two)] == [True, True]
    site.paid(times=2)


async def test_a_node_that_is_behind_confirms_nothing(through: Site, relay: Relay) -> None:
    transfer = through.transfer()
    digest = await through.pending(transfer)
    behind = hex(through.anvil.number("eth_blockNumber") + 1)
    through.anvil.mine(CONFIRMATIONS)
    relay.results_in("eth_blockNumber", behind)
    assert await through.pending(transfer) == digest
    relay.answering = {}
    assert (await through.rail.transfer(transfer)).done


async def test_a_slow_node_is_left_for_another(new_site: NewSite, relay: Relay) -> None:
    relay.stopped["eth_blockNumber"] = slow = Stopped()
    site = new_site(rpc_urls=(relay.url, new_site().anvil.url), timeout_ms=200)
    transfer = site.transfer()
    await site.pending(transfer)
    assert (await site.confirmed(transfer)).done
    assert slow.came.is_set()
    slow.go.set()


async def test_a_node_that_fails_half_way_is_left_for_another(new_site: NewSite, relay: Relay) -> None:
    """It is as far as the other, so it may be chosen first; the next look goes through the other."""
    relay.answer("eth_getTransactionReceipt", NONSENSE["a page"])
    relay.answer("eth_call", NONSENSE["a page"])
    site = new_site(rpc_urls=(relay.url, new_site().anvil.url))
    wallet = account(SOURCE, network=site.network)
    with pytest.raises(RailUnavailable):
        await site.rail.balance(site.lane.number, wallet)
    transfer = site.transfer()
    await site.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)
    with contextlib.suppress(RailPending):
        await site.rail.transfer(transfer)
    assert (await site.rail.transfer(transfer)).done
    site.paid()


async def test_the_path_of_a_node_is_no_bodys_business(new_site: NewSite, capsys: pytest.CaptureFixture[str]) -> None:
    site = new_site(rpc_urls=("http://127.0.0.1:9/v1/secret-of-an-account",))
    with pytest.raises(RailUnavailable) as caught:
        await site.rail.transfer(site.transfer())
    assert "secret" not in str(caught.value)
    told = capsys.readouterr()
    assert "chain_node_failing" in told.out
    assert "secret" not in told.out + told.err


async def test_a_node_that_refuses_is_left_for_another(new_site: NewSite, relay: Relay) -> None:
    """As one that answers only so many questions, or has forgotten the past; what contracts refuse is no reason."""
    site = new_site()
    mixed = new_site(like=site, rpc_urls=(relay.url, site.anvil.url))
    relay.fails_with("eth_estimateGas", "rate limited")
    transfer = site.transfer()
    with pytest.raises(RailUnavailable, match="rate limited"):
        await mixed.rail.transfer(transfer)
    digest = await mixed.pending(transfer)
    site.anvil.mine(CONFIRMATIONS)
    relay.fails_with("eth_getTransactionReceipt", "limit exceeded")
    with contextlib.suppress(RailPending):
        await mixed.rail.transfer(transfer)
    assert await mixed.rail.transfer(transfer) == Receipt(done=True, detail=digest)
    site.paid()


async def test_a_node_without_an_archive_is_left_for_another_that_proves(new_site: NewSite, relay: Relay) -> None:
    site = new_site()
    mixed = new_site(like=site, rpc_urls=(relay.url, site.anvil.url))
    transfer = site.transfer()
    digest = await site.pending(transfer)
    site.anvil.drop(digest)
    site.anvil.send_as(SOURCE, 0)
    site.anvil.mine(CONFIRMATIONS)
    relay.refuse_past("eth_getTransactionCount", "missing trie node")
    assert digest in {await mixed.pending(transfer) for _ in range(2)}
    assert len((await site.recorded(transfer)).transactions) == 2
    assert (await site.confirmed(transfer)).done
    site.paid()


@pytest.mark.parametrize("count", [10**8, 2**63, 2**64 - 1, 2**256 - 1])
async def test_a_count_of_nonces_that_cannot_be_is_not_believed(through: Site, relay: Relay, count: int) -> None:
    relay.results_in("eth_getTransactionCount", hex(count))
    transfer = through.transfer()
    with pytest.raises(RailUnavailable, match="which cannot be"):
        await through.rail.transfer(transfer)
    relay.answering = {}
    assert await through.pending(transfer)
    relay.results_in("eth_getTransactionCount", hex(count))
    await through.pending(transfer)
    assert (await through.recorded(transfer)).nonce == 0


async def test_one_node_alone_is_not_believed_that_a_wallet_has_sent_by_the_thousand(
    through: Site, relay: Relay
) -> None:
    await through.pending(through.transfer())
    relay.results_in("eth_getTransactionCount", hex(10_002))
    transfer = through.transfer()
    with pytest.raises(RailUnavailable, match="one node alone counts 10002 nonces"):
        await through.rail.transfer(transfer)
    assert await through.store.find(transfer.lane, transfer.reference) is None


async def test_nodes_that_count_nonces_differently_give_out_none(new_site: NewSite, relay: Relay) -> None:
    relay.results_in("eth_getTransactionCount", "0x40")
    site = new_site()
    mixed = new_site(like=site, rpc_urls=(relay.url, site.anvil.url))
    transfer = site.transfer()
    for _ in range(2):
        with pytest.raises(RailUnavailable, match="do not agree about the nonces"):
            await mixed.rail.transfer(transfer)
    relay.answering = {}
    await mixed.pending(transfer)
    assert (await site.recorded(transfer)).nonce == 0


async def test_a_node_that_says_nothing_holds_nobody_up(new_site: NewSite, relay: Relay) -> None:
    """The others are not waited for until they have had all their time."""
    site = new_site()
    mixed = new_site(like=site, rpc_urls=(site.anvil.url, relay.url), timeout_ms=60_000)
    for method in ("eth_chainId", "eth_blockNumber", "eth_sendRawTransaction"):
        relay.stopped[method] = Stopped()
    transfer = site.transfer()
    async with asyncio.timeout(20):
        digest = await mixed.pending(transfer)
        site.anvil.mine(CONFIRMATIONS)
        assert await mixed.rail.transfer(transfer) == Receipt(done=True, detail=digest)
