"""The books' pages: every account and entry is on one page once, and statements add up wherever they are cut."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.move_value import Deposit
from otcdesk.console.books import reads as books
from otcdesk.console.books.reads import AccountFilter, AccountRow
from otcdesk.storage.database import Reads
from tests.support.clocks import START, SteeredClock
from tests.support.desk import FA1, TREASURY_EUR, TREASURY_USDC, A, B, Lane, make_engine, new_lane, submit

LANE = 1


@pytest.fixture
async def full(populated_lane: Lane) -> AsyncIterator[Reads]:
    assert populated_lane.number == LANE
    async with Reads.opened(populated_lane.dsn, connections_max=4, statement_timeout_ms=10_000) as opened:
        yield opened


async def every_account(reads: Reads, wanted: AccountFilter | None = None, limit: int = 7) -> list[AccountRow]:
    found: list[AccountRow] = []
    while page := await books.chart(reads, LANE, wanted, after=found[-1] if found else None, limit=limit):
        found += page
    return found


async def test_each_account_is_on_one_page_with_a_name_of_its_own(full: Reads) -> None:
    found = await every_account(full)
    ids = {record["id"] for record in await full.pool.fetch("select id from accounts where lane = $1", LANE)}
    assert Counter(row.id for row in found) == Counter(ids)
    assert found == await every_account(full, limit=500)
    names = {row.id: row.name for row in found}
    assert names[FA1] == "A · FA1 (EUR)" or names[FA1].endswith("(EUR)")
    assert names[TREASURY_EUR] == "Desk · treasury (EUR)"
    assert names[TREASURY_USDC] == "Desk · treasury (USDC on ethereum)"
    assert all(row.tenant or row.name.startswith("Desk") for row in found)
    assert found[0].name.startswith("Desk")


async def test_filters_are_what_a_slow_obvious_filter_finds(full: Reads) -> None:
    every = await every_account(full)
    texts = [None, "treasury", "FA", str(FA1)[:13], "no such thing", "%", "\0", " ", "x" * 10_000]
    for wanted in [
        *(AccountFilter(tenant_id=tenant) for tenant in {A, B, uuid4(), *(row.tenant_id for row in every)} if tenant),
        *(AccountFilter(asset=asset, purpose=purpose) for asset in ("EUR", "NO\0") for purpose in (None, "cash")),
        *(AccountFilter(text=text) for text in texts),
    ]:
        text = (wanted.text or "").replace("\0", "").strip().lower()
        expected = [
            row
            for row in every
            if (wanted.tenant_id is None or row.tenant_id == wanted.tenant_id)
            and (wanted.asset is None or row.asset == wanted.asset)
            and (wanted.purpose is None or row.purpose == wanted.purpose)
            and text
            in " ".join(
                str(part)
                for part in (row.tenant, row.party, row.branch, row.label, row.address, row.id)
                if part is not None
            ).lower()
        ]
        assert await every_account(full, wanted) == expected, wanted


async def test_statements_add_up_and_hold_each_entry_once(full: Reads) -> None:
    for row in await every_account(full):
        whole = await books.statement(full, LANE, row.id, limit=500)
        assert whole is not None
        assert whole.extent.closing == row.balance
        assert [entry.version for entry in whole.rows] == list(range(row.version, 0, -1))
        balance = whole.extent.opening
        for entry in reversed(whole.rows):
            balance += entry.units
            assert entry.balance_after == balance
            assert entry.counter_account
            assert entry.counter_account_id != row.id
        assert balance == row.balance


async def test_pages_of_a_statement_follow_one_another_both_ways(full: Reads) -> None:
    seen: list[int] = []
    page = await books.statement(full, LANE, TREASURY_EUR, limit=3)
    assert page is not None
    assert page.newer is None
    while True:
        seen += [entry.version for entry in page.rows]
        if page.older is None:
            break
        following = await books.statement(full, LANE, TREASURY_EUR, from_version=page.older, limit=3)
        assert following is not None
        back = await books.statement(full, LANE, TREASURY_EUR, from_version=following.newer, limit=3)
        assert back is not None
        assert back.rows == page.rows
        page = following
    assert seen == list(range(page.extent.last, 0, -1))


async def test_a_period_is_every_entry_in_it_and_opens_with_what_was_there(dsn: str, reads: Reads) -> None:
    clock = SteeredClock()
    lane = await new_lane(dsn, clock=clock)
    async with make_engine(dsn, clock=clock) as engine:
        for number in range(10):
            command = Deposit(account_id=FA1, units=100 + number, reason="wire", reference=f"bank-{number}")
            await submit(engine, lane.number, command)
            clock.advance(seconds=60)
    whole = await books.statement(reads, lane.number, FA1)
    assert whole is not None
    for since in range(-2, 13):
        for until in range(-2, 13):
            begins, ends = (START + timedelta(seconds=60 * minute) for minute in (since, until))
            page = await books.statement(reads, lane.number, FA1, since=begins, until=ends)
            assert page is not None
            assert list(page.rows) == [row for row in whole.rows if begins <= row.booked_at < ends]
            assert page.extent.closing - page.extent.opening == sum(row.units for row in page.rows)
            before = [row for row in whole.rows if row.booked_at < begins]
            assert page.extent.opening == (before[0].balance_after if before else 0)


async def test_a_ledger_transaction_shows_both_sides_of_each_posting(full: Reads) -> None:
    ids = [record["id"] for record in await full.pool.fetch("select id from ledger_transactions where lane = $1", LANE)]
    for transaction_id in ids:
        found = await books.transaction(full, LANE, transaction_id)
        assert found is not None
        assert [posting.number for posting in found.postings] == list(range(1, len(found.postings) + 1))
        for posting in found.postings:
            for account_id, version, balance, units, name in (
                (
                    posting.source_account_id,
                    posting.source_version,
                    posting.source_balance,
                    -posting.units,
                    posting.source_account,
                ),
                (
                    posting.destination_account_id,
                    posting.destination_version,
                    posting.destination_balance,
                    posting.units,
                    posting.destination_account,
                ),
            ):
                (entry,) = await books.entries(full, LANE, account_id, version, version, size=1)
                assert (entry.units, entry.balance_after, entry.transaction_id) == (units, balance, transaction_id)
                assert name


async def test_the_trial_balance_is_nothing_in_every_asset_and_says_where_it_is_not(full: Reads) -> None:
    found = await books.trial_balance(full, LANE)
    assert {each.total for each in found} == {0}
    assert sum(each.accounts for each in found) == len(await every_account(full))
    async with full.pool.acquire() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute("update accounts set balance = balance + 3 where lane = $1 and id = $2", LANE, FA1)
    assert {each.asset: each.total for each in await books.trial_balance(full, LANE) if each.total} == {"EUR": 3}


async def test_what_is_of_another_lane_is_not_found(full: Reads) -> None:
    transaction_id: UUID = await full.pool.fetchval("select id from ledger_transactions limit 1")
    assert await books.account(full, LANE + 1, FA1) is None
    assert await books.statement(full, LANE + 1, FA1) is None
    assert await books.transaction(full, LANE + 1, transaction_id) is None
    assert await books.chart(full, LANE + 1) == []
    assert await books.trial_balance(full, LANE + 1) == []
