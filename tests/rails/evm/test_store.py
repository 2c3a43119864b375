"""The rail's memory: what is recorded once stays, whoever else is at it."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from otcdesk.rails.evm.store import ChainMoved, Draft, Fees, Store
from otcdesk.rails.protocols import RailUnavailable, Receipt
from otcdesk.storage.database import Reads
from tests.support.anvil.chain import CHAIN_ID, GWEI
from tests.support.anvil.site import FAR, SOURCE, Site
from tests.support.waiting import until

FEES = Fees(max_fee_wei=9 * GWEI, priority_fee_wei=GWEI)

NEW = {"chain_id": CHAIN_ID, "mined": 5, "seen_block": 0}


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
    replaced = await site.store.replace(stale, chain_id=CHAIN_ID, fees=FEES, sign=sign, now=now)
    assert len(replaced.transactions) == 2
    assert await site.store.replace(stale, chain_id=CHAIN_ID, fees=FEES, sign=sign, now=now) == replaced
    assert await site.store.move(stale, **NEW, fees=FEES, sign=sign, now=now) == replaced
    moved = await site.store.move(replaced, **NEW, fees=FEES, sign=sign, now=now)
    assert [one.nonce for one in moved.transactions] == [5, 0, 0]
    assert moved.nonce == 5
    ended = await site.store.conclude(moved, "refused", "why", now)
    assert await site.store.replace(moved, chain_id=CHAIN_ID, fees=FEES, sign=sign, now=now) == ended


async def test_a_networks_name_stands_for_one_chain(site: Site) -> None:
    transfer = site.transfer()
    await site.pending(transfer)
    send = await site.recorded(transfer)
    draft = Draft(**{name: getattr(send, name) for name in Draft.__struct_fields__} | {"reference": "another"})
    with pytest.raises(ChainMoved, match="is chain 5 now and was chain 31337"):
        await site.store.record(draft, chain_id=5, mined=0, fees=FEES, sign=sign, now=site.clock.now())
    with pytest.raises(ChainMoved):
        await site.store.replace(send, chain_id=5, fees=FEES, sign=sign, now=site.clock.now())
    with pytest.raises(ChainMoved):
        await site.store.move(send, **NEW | {"chain_id": 5}, fees=FEES, sign=sign, now=site.clock.now())
    assert await site.recorded(transfer) == send
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
    entry, _ = re.findall(r"^```sql\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
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


async def test_a_send_that_has_not_ended_is_ended_by_hand(site: Site) -> None:
    """As the guide says, for what only a person can decide."""
    guide = (Path(__file__).parents[3] / "docs" / "chains.md").read_text(encoding="utf-8")
    _, ending = re.findall(r"^```sql\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    transfer = site.transfer()
    await site.pending(transfer)
    for word, value in {"LANE": str(site.lane.number), "REFERENCE": transfer.reference, "HASH": "0x12"}.items():
        ending = re.sub(rf"\b{word}\b", value, ending)
    connection = await asyncpg.connect(site.lane.dsn)
    await connection.execute(ending)
    await connection.close()
    assert await site.rail.transfer(transfer) == Receipt(done=True, detail="0x12")


@pytest.mark.parametrize("moves", [False, True], ids=["higher fees", "another nonce"])
async def test_what_ends_meanwhile_is_not_signed_for(site: Site, moves: bool) -> None:
    """The word is being written when another process wants to sign: no nonce is given to what has ended."""
    transfer = site.transfer()
    await site.pending(transfer)
    send, now = await site.recorded(transfer), site.clock.now()
    connection = await asyncpg.connect(site.lane.dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "update chain_sends set outcome = 'done', detail = '0x12', ended_at = now() where reference = $1",
                transfer.reference,
            )
            if moves:
                signing = asyncio.create_task(site.store.move(send, **NEW, fees=FEES, sign=sign, now=now))
            else:
                signing = asyncio.create_task(
                    site.store.replace(send, chain_id=CHAIN_ID, fees=FEES, sign=sign, now=now)
                )
            await until(lambda: _waits_for_a_lock(connection), "it waits for the word")
    finally:
        await connection.close()
    ended = await signing
    assert (ended.outcome, ended.transactions) == ("done", send.transactions)


async def _waits_for_a_lock(connection: asyncpg.Connection) -> bool:
    waiting: int = await connection.fetchval(
        "select count(*) from pg_locks where not granted and locktype in ('transactionid', 'tuple')"
    )
    return waiting > 0


async def test_what_is_recorded_is_on_disk_before_it_is_sent(site: Site) -> None:
    """Also where a database answers commits before they are: it is asked at each row what it is going to do."""
    connection = await asyncpg.connect(site.lane.dsn)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f'''
        alter database "{name}" set synchronous_commit = off;
        create function must_be_kept() returns trigger language plpgsql as $$
        begin
            assert current_setting('synchronous_commit') = 'on', 'a crash could lose it';
            return new;
        end
        $$;
        create trigger kept before insert or update on chain_sends for each row execute function must_be_kept();
        create trigger kept before insert on chain_transactions for each row execute function must_be_kept();
    ''')
    await connection.close()
    hurried = await Reads.open(site.lane.dsn, connections_max=1, statement_timeout_ms=10_000)
    try:
        assert await hurried.pool.fetchval("select current_setting('synchronous_commit')") == "off"
        store, now = Store(hurried), site.clock.now()
        draft = Draft(
            lane=site.lane.number,
            reference="r",
            network="n",
            purpose="transfer",
            sender=SOURCE,
            recipient=FAR,
            contract=FAR,
            amount=1,
            gas_limit=1,
            seen_block=0,
        )
        send = await store.record(draft, chain_id=CHAIN_ID, mined=0, fees=FEES, sign=sign, now=now)
        assert send is not None
        higher = Fees(max_fee_wei=10 * GWEI, priority_fee_wei=GWEI)
        send = await store.replace(send, chain_id=CHAIN_ID, fees=higher, sign=sign, now=now)
        send = await store.move(send, **NEW, fees=FEES, sign=sign, now=now)
        await store.conclude(send, "done", "0x12", now)
        await store.cancel(site.lane.number, "another", "n", "why", now)
    finally:
        await hurried.pool.close()
