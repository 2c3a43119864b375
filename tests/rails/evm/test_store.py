"""The rail's memory: what is recorded once stays, whoever else is at it."""

import re
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from otcdesk.rails.evm.store import ChainMoved, Draft, Fees
from otcdesk.rails.protocols import RailUnavailable, Receipt
from tests.support.anvil.chain import GWEI
from tests.support.anvil.site import FAR, SOURCE, Site

FEES = Fees(max_fee_wei=9 * GWEI, priority_fee_wei=GWEI)


def sign(draft: Draft, nonce: int, fees: Fees) -> tuple[str, str]:
    return f"{draft.reference} {nonce} {fees.max_fee_wei}", "0x00"


async def test_a_word_is_never_taken_back(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    receipt = await site.confirmed(transfer)
    connection = await asyncpg.connect(site.lane.dsn)
    try:
        with pytest.raises(asyncpg.PostgresError, match="has ended"):
            await connection.execute(
                "update chain_sends set outcome = 'refused' where reference = $1", transfer.reference
            )
    finally:
        await connection.close()
    assert await site.confirmed(transfer) == receipt


async def test_the_first_word_counts(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    send = await site.recorded(transfer)
    first = await site.store.conclude(send, "refused", "why", site.clock.now())
    again = await site.store.conclude(send, "done", "0x12", site.clock.now() + timedelta(seconds=1))
    assert again == first
    assert (first.outcome, first.detail) == ("refused", "why")


async def test_what_somebody_else_has_changed_is_not_signed_for(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    stale, now = await site.recorded(transfer), site.clock.now()
    replaced = await site.store.replace(stale, fees=FEES, sign=sign, now=now)
    assert len(replaced.transactions) == 2
    assert await site.store.replace(stale, fees=FEES, sign=sign, now=now) == replaced
    assert await site.store.move(stale, mined=5, seen_block=0, fees=FEES, sign=sign, now=now) == replaced
    moved = await site.store.move(replaced, mined=5, seen_block=0, fees=FEES, sign=sign, now=now)
    assert [one.nonce for one in moved.transactions] == [5, 0, 0]
    assert moved.nonce == 5
    ended = await site.store.conclude(moved, "refused", "why", now)
    assert await site.store.replace(moved, fees=FEES, sign=sign, now=now) == ended


async def test_a_networks_name_stands_for_one_chain(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    send = await site.recorded(transfer)
    draft = Draft(**{name: getattr(send, name) for name in Draft.__struct_fields__} | {"reference": "another"})
    with pytest.raises(ChainMoved, match="is chain 5 now and was chain 31337"):
        await site.store.record(draft, chain_id=5, mined=0, fees=FEES, sign=sign, now=site.clock.now())
    assert await site.store.find(draft.lane, "another") is None
    assert not issubclass(ChainMoved, RailUnavailable)


async def test_what_is_not_confirmed_is_counted(site: Site) -> None:
    before, _ = await site.store.under_way(site.clock.now())
    transfer = site.transfer()
    await site.pending(transfer)
    number, longest_ms = await site.store.under_way(site.clock.now() + timedelta(seconds=90))
    assert number == before + 1
    assert longest_ms >= 90_000
    await site.confirmed(transfer)
    assert (await site.store.under_way(site.clock.now()))[0] == before


async def test_a_send_that_was_entered_by_hand_is_told(site: Site) -> None:
    """As the recovery guide says: what was paid after the backup that the books were restored from."""
    guide = (Path(__file__).parents[3] / "docs" / "chains.md").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^```sql\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    transfer = site.transfer()
    for word, value in {
        "LANE": str(site.lane.number),
        "REFERENCE": transfer.reference,
        "NETWORK": site.network,
        "SENDER": SOURCE,
        "RECIPIENT": FAR,
        "CONTRACT": site.token.address,
        "AMOUNT": str(transfer.amount.units),
        "HASH": "0x12",
    }.items():
        entry = re.sub(rf"\b{word}\b", value, entry)
    connection = await asyncpg.connect(site.lane.dsn)
    await connection.execute(entry)
    await connection.close()
    assert await site.rail.transfer(transfer) == Receipt(done=True, detail="0x12")
    site.paid(times=0)
