"""A process is killed wherever it may be with a transfer: nothing is paid twice, and nothing is forgotten."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from otcdesk.rails.protocols import Receipt
from tests.support.anvil.child import carrying_out
from tests.support.anvil.relay import Relay, Stopped
from tests.support.anvil.site import CONFIRMATIONS, FAR, SOURCE, Site
from tests.support.waiting import until

PREPARING, SENDING, RECEIPT = "eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"
WAITING = "eth_getTransactionByHash"
AFTER_SENDING = "after it"


@pytest.mark.parametrize(
    "method, recorded, sent",
    [(PREPARING, False, False), (SENDING, True, False), (AFTER_SENDING, True, True)],
    ids=["before it is recorded", "between recording and sending", "between sending and hearing that it is taken"],
)
async def test_a_transfer_whose_process_was_killed_is_paid_once(
    site: Site, relay: Relay, tmp_path: Path, method: str, recorded: bool, sent: bool
) -> None:
    held = Stopped()
    if method is AFTER_SENDING:
        relay.stopped_after[SENDING] = held
    else:
        relay.stopped[method] = held
    transfer = site.transfer()
    with carrying_out(site.lane.dsn, site.write_files(tmp_path, relay.url), [transfer]) as process:
        await asyncio.wait_for(held.came.wait(), 30)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    send = await site.store.find(transfer.lane, transfer.reference)
    assert (send is not None) is recorded
    assert len(site.anvil.waiting()) == int(sent)
    digest = await site.pending(transfer)
    assert send is None or send.newest.hash == digest
    assert [one["hash"] for one in site.anvil.waiting()] == [digest]
    assert await site.confirmed(transfer) == Receipt(done=True, detail=digest)
    held.go.set()  # what the dead process had sent and nobody had forwarded comes now
    await until(lambda: relay.forwarded[-1] in {PREPARING, SENDING}, "it is forwarded")
    site.anvil.mine(CONFIRMATIONS)
    assert len(site.anvil.transactions_of(SOURCE)) == 1
    site.paid()


async def test_an_outcome_that_was_not_recorded_is_found_again(site: Site, relay: Relay, tmp_path: Path) -> None:
    before, after = Stopped(), Stopped()
    relay.stopped[WAITING] = before
    transfer = site.transfer()
    with carrying_out(site.lane.dsn, site.write_files(tmp_path, relay.url), [transfer]) as process:
        await asyncio.wait_for(before.came.wait(), 30)
        site.anvil.mine(CONFIRMATIONS)
        relay.stopped_after[RECEIPT] = after
        before.go.set()
        await asyncio.wait_for(after.came.wait(), 30)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    send = await site.recorded(transfer)
    assert send.outcome is None
    assert await site.rail.transfer(transfer) == Receipt(done=True, detail=send.newest.hash)
    after.go.set()
    site.paid()


async def test_two_processes_pay_each_reference_once(site: Site, tmp_path: Path) -> None:
    """Both have one sender, and some references in common."""
    transfers = [site.transfer(1_000 + number) for number in range(9)]
    file = site.write_files(tmp_path)
    with (
        carrying_out(site.lane.dsn, file, transfers[:6]) as one,
        carrying_out(site.lane.dsn, file, transfers[3:]) as two,
    ):

        async def both_have_ended() -> bool:
            site.anvil.mine()
            return one.poll() is not None and two.poll() is not None

        await until(both_have_ended, "both processes have ended")
        told = [json.loads(process.stdout.read()) for process in (one, two) if process.stdout is not None]
    assert {reference: told[1].get(reference, digest) for reference, digest in told[0].items()} == told[0]
    mined = site.anvil.transactions_of(SOURCE)
    assert [int(each["nonce"], 16) for each in mined] == list(range(9))
    assert {each["hash"] for each in mined} == {*told[0].values(), *told[1].values()}
    assert site.token.of(FAR) == sum(transfer.amount.units for transfer in transfers)
