"""Each invariant returns no rows of sound books, and the broken row of broken ones."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from otcdesk.domain.conversions import CONVERSIONS
from otcdesk.domain.products import LIFECYCLES
from otcdesk.domain.registry import KIND_NAMED
from otcdesk.storage.queries import queries
from tests.support.bank_breaches import BANK_BREACHES
from tests.support.breaches import DONE_KEY, Breach
from tests.support.checkout_breaches import CHECKOUT_BREACHES
from tests.support.deposit_breaches import DEPOSIT_BREACHES
from tests.support.desk import FA1, TREASURY_EUR, Lane
from tests.support.limit_breaches import LIMIT_BREACHES
from tests.support.payout_breaches import PAYOUT_BREACHES
from tests.support.populated import populated
from tests.support.proposal_breaches import PROPOSAL_BREACHES
from tests.support.resale_breaches import RESALE_BREACHES

INVARIANTS = queries("invariants")

#: The first order in a state, and the first row of a kind; $1 is the lane.
_BUY = "select id from orders where lane = $1 and side = 'buy' and state = '{state}' order by id limit 1"
_SELL = "select id from orders where lane = $1 and side = 'sell' and state = '{state}' order by id limit 1"
_BROKERAGE = """select id from orders where lane = $1 and product = 'brokerage' and state = '{state}'
    order by id limit 1"""
_FA1 = f"select id from accounts where lane = $1 and id = '{FA1}'"
_TREASURY_EUR = f"select id from accounts where lane = $1 and id = '{TREASURY_EUR}'"
_HOLD = "select id from holds where lane = $1 order by id limit 1"
_TRANSACTION = "select id from ledger_transactions where lane = $1 order by id limit 1"
_PAYOUT = "select id from ledger_transactions where lane = $1 and reason = 'conversion payout' order by id limit 1"

#: The first key of a booking that was booked: the keys of others lead to proposals.
_BOOKED_KEY = """select owner_id || '/booking/' || idempotency_key from idempotency_keys
    where lane = $1 and scope = 'booking' and outcome = 'done' and answer not like '{"transaction":null,%'
    order by 1 limit 1"""


BREACHES = [
    Breach("assets_sum_to_zero", "update accounts set balance = balance + 1 where id = $1", _FA1, "accounts", "EUR"),
    Breach("balance_is_sum_of_entries", "update accounts set balance = balance + 1 where id = $1", _FA1, "accounts"),
    Breach("balance_is_sum_of_entries", "update accounts set version = version + 1 where id = $1", _FA1, "accounts"),
    Breach("balance_is_sum_of_entries", "delete from entries where account_id = $1", _FA1, "accounts"),
    Breach(
        "entries_are_a_chain",
        "update entries set balance_after = balance_after + 1 where account_id = $1 and account_version = 2",
        _FA1,
        "entries",
        "{chosen}/2",
    ),
    Breach(
        "entries_are_a_chain",
        "delete from entries where account_id = $1 and account_version = 2",
        _FA1,
        "entries",
        "{chosen}/3",
    ),
    Breach(
        "entries_are_a_chain",
        "delete from entries where account_id = $1 and account_version = 1",
        _FA1,
        "entries",
        "{chosen}/2",
    ),
    Breach("held_is_sum_of_open_holds", "update accounts set held = held + 1 where id = $1", _TREASURY_EUR, "accounts"),
    Breach(
        "held_is_sum_of_open_holds",
        "update holds set units = units + 1 where state = 'open' and account_id = $1",
        "select account_id from holds where lane = $1 and state = 'open' order by id limit 1",
        "accounts",
    ),
    Breach(
        "available_never_below_floor", "update accounts set floor = balance - held + 1 where id = $1", _FA1, "accounts"
    ),
    Breach("hold_belongs", "update holds set account_id = gen_random_uuid() where id = $1", _HOLD, "holds"),
    Breach("hold_belongs", "update holds set order_id = gen_random_uuid() where id = $1", _HOLD, "holds"),
    Breach(
        "closed_order_has_no_open_hold",
        "update holds set state = 'open' where order_id = $1",
        _BUY.format(state="completed"),
        "orders",
    ),
    Breach(
        "closed_order_has_no_open_hold",
        "update orders set state = 'expired' where id = $1",
        _BUY.format(state="paying"),
        "orders",
    ),
    *(
        Breach("waiting_order_has_open_holds", by, chosen, "orders")
        for by, chosen in (
            ("update holds set state = 'released' where order_id = $1", _BUY.format(state="paying")),
            ("delete from holds where order_id = $1", _SELL.format(state="collecting")),
            ("update orders set pay_hold_id = null where id = $1", _BUY.format(state="paying")),
            ("update orders set collect_hold_id = null where id = $1", _SELL.format(state="paying")),
            ("update orders set collect_hold_id = null where id = $1", _SELL.format(state="returning")),
            ("update orders set pay_hold_id = gen_random_uuid() where id = $1", _BUY.format(state="quoted")),
            ("update orders set waits_for = null where id = $1", _BUY.format(state="paying")),
            ("update orders set waits_for = 'chain' where id = $1", _BUY.format(state="quoted")),
            ("update orders set rail_reference = null where id = $1", _BUY.format(state="paying")),
        )
    ),
    Breach(
        "open_hold_is_named_by_its_order",
        "update holds set state = 'open' where id = $1",
        "select id from holds where lane = $1 and state = 'released' limit 1",
        "holds",
    ),
    Breach(
        "completed_order_has_its_trade",
        "delete from trades where order_id = $1",
        _BUY.format(state="completed"),
        "orders",
    ),
    Breach(
        "completed_order_has_its_trade",
        "update orders set state = 'completed' where id = $1",
        _BUY.format(state="quoted"),
        "orders",
    ),
    *(
        Breach("trade_agrees_with_its_order", by, _SELL.format(state="completed"), "trades")
        for by in (
            "delete from orders where id = $1",
            "update orders set state = 'failed' where id = $1",
            "update trades set tenant_id = gen_random_uuid() where order_id = $1",
            "update trades set source_units = source_units + 1 where order_id = $1",
            "update trades set destination_units = destination_units + 1 where order_id = $1",
            "update trades set executed_rate = executed_rate + 0.000001 where order_id = $1",
            "update trades set source_asset = 'BTC' where order_id = $1",
            "update trades set destination_asset = 'BTC' where order_id = $1",
        )
    ),
    *(
        Breach("buy_is_debited_once", by, chosen, "orders")
        for by, chosen in (
            ("delete from ledger_transactions where order_id = $1", _BUY.format(state="debit_pending")),
            ("update orders set confirmed_at = null where id = $1", _BUY.format(state="debit_pending")),
            (
                "update ledger_transactions set reason = 'conversion debit' where order_id = $1",
                _BUY.format(state="completed"),
            ),
            (
                "update ledger_transactions set reason = 'conversion debit' where order_id = $1",
                _SELL.format(state="completed"),
            ),
        )
    ),
    *(
        Breach("confirm_key_has_one_effect", by, DONE_KEY.format(scope="confirm_conversion"), "idempotency_keys")
        for by in (
            "delete from events where name = 'conversion.confirm' and $1 <> ''",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
            """update idempotency_keys set answer = 'nothing'
            where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
    *(
        Breach("booking_key_has_one_effect", by, _BOOKED_KEY, "idempotency_keys")
        for by in (
            "delete from ledger_transactions where $1 <> ''",
            "update idempotency_keys set answer = 'nothing' where scope = 'booking' and $1 <> ''",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
    Breach(
        "booking_key_has_one_effect",
        "delete from proposals where $1 <> ''",
        """select owner_id || '/booking/' || idempotency_key from idempotency_keys
        where lane = $1 and scope = 'booking' and answer like '{"transaction":null,%' limit 1""",
        "idempotency_keys",
    ),
    *(
        Breach("posting_has_its_two_entries", by, _PAYOUT, "postings", "{chosen}/1")
        for by in (
            "delete from entries where transaction_id = $1 and units > 0",
            "update entries set units = units + 1 where transaction_id = $1 and units > 0",
            "update entries set units = -units where transaction_id = $1",
            "update entries set account_id = gen_random_uuid() where transaction_id = $1 and units < 0",
            """insert into entries select lane, seq, account_id, account_version + 1000, transaction_id, posting_number,
            units, balance_after from entries where transaction_id = $1""",
        )
    ),
    Breach(
        "posting_is_of_its_accounts_asset",
        "update postings set asset = 'BTC' where transaction_id = $1",
        _PAYOUT,
        "postings",
        "{chosen}/1",
    ),
    Breach(
        "posting_is_of_its_accounts_asset",
        "update postings set source_account_id = gen_random_uuid() where transaction_id = $1",
        _PAYOUT,
        "postings",
        "{chosen}/1",
    ),
    Breach(
        "ledger_transaction_has_postings",
        "delete from postings where transaction_id = $1",
        _TRANSACTION,
        "ledger_transactions",
    ),
    Breach(
        "ledger_transaction_has_postings",
        "update postings set number = 2 where transaction_id = $1",
        _TRANSACTION,
        "ledger_transactions",
    ),
    Breach(
        "posting_has_its_ledger_transaction",
        "delete from ledger_transactions where id = $1",
        _TRANSACTION,
        "postings",
        "{chosen}/1",
    ),
    Breach(
        "entry_has_its_posting",
        "update entries set posting_number = 9 where account_id = $1 and account_version = 1",
        _FA1,
        "entries",
        "{chosen}/1",
    ),
    Breach("entry_has_its_posting", "delete from accounts where id = $1", _FA1, "entries", "{chosen}/1"),
    *(
        Breach("order_has_its_events", by, _BUY.format(state="completed"), "orders")
        for by in (
            "delete from events where order_id = $1 and order_version = 3",
            "delete from events where order_id = $1",
            "update orders set version = version + 1 where id = $1",
            "update orders set state = 'paying' where id = $1",
            "update events set order_version = 1 where order_id = $1 and order_version = 2",
        )
    ),
    Breach(
        "order_has_its_events", "update orders set version = 2 where id = $1", _BUY.format(state="quoted"), "orders"
    ),
    *(
        Breach("last_event_has_the_terms", by, _BUY.format(state="completed"), "orders")
        for by in (
            "update orders set rate = rate + 1 where id = $1",
            "update events set destination_units = 1 where order_id = $1",
        )
    ),
    Breach(
        "event_has_its_order",
        "delete from orders where id = $1",
        _BUY.format(state="completed"),
        "events",
        "{chosen}/2",
    ),
    Breach(
        "event_has_its_order",
        "update events set tenant_id = gen_random_uuid() where order_id = $1",
        _BUY.format(state="completed"),
        "events",
        "{chosen}/2",
    ),
    Breach(
        "closed_order_has_no_open_hold",
        "update holds set state = 'open' where order_id = $1",
        _BROKERAGE.format(state="finished"),
        "orders",
    ),
    Breach(
        "completed_order_has_its_trade",
        "delete from trades where order_id = $1",
        _BROKERAGE.format(state="finished"),
        "orders",
    ),
    Breach(
        "trade_agrees_with_its_order",
        "update orders set state = 'in_progress' where id = $1",
        _BROKERAGE.format(state="finished"),
        "trades",
    ),
    *(
        Breach("firm_quote_has_its_order", by, _BROKERAGE.format(state=state), "firm_quotes")
        for state in ("created", "finished")
        for by in (
            "delete from firm_quotes where order_id = $1",
            "delete from orders where id = $1",
            "update orders set product = 'conversion' where id = $1",
            "update orders set rate = rate + 1 where id = $1",
            "update firm_quotes set tenant_id = gen_random_uuid() where order_id = $1",
            "update firm_quotes set asset = 'ETH' where order_id = $1",
            "update firm_quotes set fiat = 'CHF' where order_id = $1",
            "update firm_quotes set asset_units = asset_units + 1 where order_id = $1",
            "update firm_quotes set total_units = total_units + 1, fiat_units = fiat_units + 1 where order_id = $1",
        )
    ),
    *(
        Breach("brokerage_in_progress_has_its_hold", by, _BROKERAGE.format(state=state), "orders")
        for by, state in (
            ("update holds set state = 'released' where order_id = $1", "in_progress"),
            ("delete from holds where order_id = $1", "in_progress"),
            ("update holds set units = units + 1 where order_id = $1", "in_progress"),
            ("update holds set account_id = gen_random_uuid() where order_id = $1", "in_progress"),
            ("update holds set order_id = gen_random_uuid() where order_id = $1", "in_progress"),
            ("update orders set collect_hold_id = null where id = $1", "in_progress"),
            ("update orders set waits_for = null where id = $1", "in_progress"),
            ("update orders set rail_reference = null where id = $1", "in_progress"),
            ("update orders set state = 'finished' where id = $1", "in_progress"),
            ("update orders set waits_for = 'venue' where id = $1", "created"),
            ("update orders set rail_reference = 'again' where id = $1", "finished"),
            ("update orders set collect_hold_id = gen_random_uuid() where id = $1", "failed"),
        )
    ),
    *(
        Breach("accepted_quote_has_its_acceptance", by, _BROKERAGE.format(state=state), "acceptances")
        for by, state in (
            ("delete from acceptances where order_id = $1", "finished"),
            ("update orders set confirmed_at = null where id = $1", "in_progress"),
            ("update orders set confirmed_at = created_at where id = $1", "expired"),
            ("update acceptances set party_id = gen_random_uuid() where order_id = $1", "failed"),
            ("update acceptances set tenant_id = gen_random_uuid() where order_id = $1", "finished"),
            ("delete from orders where id = $1", "finished"),
        )
    ),
    Breach(
        "external_id_accepts_one_quote",
        """update acceptances set external_id = split_part($1, '/', 2)
        where tenant_id::text = split_part($1, '/', 1)""",
        """select tenant_id || '/' || min(external_id) from acceptances
        where lane = $1 group by tenant_id having count(*) > 1 order by 1 limit 1""",
        "acceptances",
    ),
    *(
        Breach("accept_key_has_its_acceptance", by, DONE_KEY.format(scope="accept_quote"), "idempotency_keys")
        for by in (
            "delete from acceptances where $1 <> ''",
            "update acceptances set external_id = external_id || '!' where $1 <> ''",
            "update acceptances set external_id = null where $1 <> ''",
            """update idempotency_keys as k set answer = (
                select o.answer from idempotency_keys as o
                where o.scope = k.scope and o.outcome = 'done' and o.answer <> k.answer and o.lane = k.lane limit 1
            ) where owner_id || '/' || scope || '/' || idempotency_key = $1""",
            """update idempotency_keys set answer = 'nothing'
            where owner_id || '/' || scope || '/' || idempotency_key = $1""",
        )
    ),
    *(
        Breach("executed_quote_is_booked_once", by, _BROKERAGE.format(state=state), "orders")
        for by, state in (
            ("delete from ledger_transactions where order_id = $1", "finished"),
            ("update ledger_transactions set reason = 'another' where order_id = $1", "finished"),
            ("update orders set state = 'failed' where id = $1", "finished"),
            ("update orders set state = 'finished' where id = $1", "in_progress"),
            (
                """insert into ledger_transactions select lane, seq, gen_random_uuid(), reason, order_id, reference,
                caller, booked_at from ledger_transactions where order_id = $1""",
                "finished",
            ),
        )
    ),
    Breach(
        "position_is_of_its_party",
        "delete from parties where id = $1",
        "select party_id from positions where lane = $1 order by party_id, asset limit 1",
        "positions",
        "{chosen}/BTC",
    ),
    *PAYOUT_BREACHES,
    *BANK_BREACHES,
    *DEPOSIT_BREACHES,
    *CHECKOUT_BREACHES,
    *RESALE_BREACHES,
    *PROPOSAL_BREACHES,
    *LIMIT_BREACHES,
]


@asynccontextmanager
async def owner_of(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection on which nothing is enforced."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("alter table accounts drop constraint available_never_below_floor")
    await connection.execute("alter table proposals drop constraint two_people")
    await connection.execute("set session_replication_role = replica")
    try:
        yield connection
    finally:
        await connection.close()


async def broken(connection: asyncpg.Connection, name: str, lane: int | None) -> set[tuple[int, str, str]]:
    found = await connection.fetch(INVARIANTS[name], lane)
    assert all(row["detail"] for row in found), name  # a null would hide how it broke
    return {(row["lane"], row["what"], row["key"]) for row in found}


async def test_every_invariant_sees_its_breach(fresh_dsn: str) -> None:
    lane, other = await populated(fresh_dsn), await populated(fresh_dsn)
    async with owner_of(fresh_dsn) as connection:
        for name in INVARIANTS:
            assert await broken(connection, name, None) == set(), name
        for breach in BREACHES:
            transaction = connection.transaction()
            await transaction.start()
            chosen = await connection.fetchval(breach.chosen, lane.number)
            assert chosen is not None, breach
            done = await connection.execute(_in_lane(breach.by, lane), str(chosen))
            assert done.split()[-1] != "0", breach
            named = (lane.number, breach.table, breach.key.format(chosen=chosen))
            assert named in await broken(connection, breach.invariant, lane.number), breach
            assert named in await broken(connection, breach.invariant, None), breach
            assert await broken(connection, breach.invariant, other.number) == set(), breach
            await transaction.rollback()


def _in_lane(statement: str, lane: Lane) -> str:
    """Let a statement change rows of this lane only: both lanes' worlds declare the same accounts."""
    change, where, rows = " ".join(statement.split()).rpartition(" where ")
    return f"{change}{where}lane = {lane.number} and {rows}"


def test_every_invariant_has_a_breach() -> None:
    assert {breach.invariant for breach in BREACHES} == set(INVARIANTS)


@pytest.mark.parametrize("name", INVARIANTS)
def test_invariants_name_tables(name: str) -> None:
    table = re.search(r"'(\w+)' as what", INVARIANTS[name])
    assert table is not None
    assert table[1] in KIND_NAMED


def test_states_in_sql_are_the_machines() -> None:
    closed = re.search(r"o\.state in \((.*?)\)", INVARIANTS["closed_order_has_no_open_hold"])
    waiting = re.search(r"o\.state in \((.*?)\)", INVARIANTS["waiting_order_has_open_holds"])
    assert closed is not None
    assert waiting is not None
    assert set(re.findall(r"\w+", closed[1])) == set().union(*(one.ended for one in LIFECYCLES.values()))
    assert set(re.findall(r"\w+", waiting[1])) == {state for _, state in CONVERSIONS.waits_for}
