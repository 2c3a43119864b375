"""The page of an order has everything that the books know of it, and its timeline leaves nothing out."""

from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from otcdesk.console.names import account_name
from otcdesk.console.orders.order_page import OrderPage, Whole, order_page, rates_of
from otcdesk.console.orders.timeline import (
    ACT,
    BANK,
    CALLBACK,
    CHAIN,
    EVENT,
    HOLD,
    JOB,
    LEDGER,
    PROPOSAL,
    timeline,
)
from otcdesk.domain.ledger import TREASURY, Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.products import LIFECYCLES, by_the_clock
from otcdesk.storage.database import Reads
from tests.support.desk import Lane

#: What of its own the order of a product always has.
OWN = {
    "conversion": (),
    "brokerage": ("quote", "party"),
    "payout": ("payment",),
    "deposit": ("deposit",),
    "chain_payout": ("chain_payout",),
    "checkout": ("checkout", "party"),
    "resale": ("instrument", "party"),
}


async def page_of(book: Reads, lane: Lane, order_id: UUID) -> OrderPage:
    page = await order_page(book, lane.number, order_id, lane.clock.now())
    assert page is not None
    return page


async def test_every_order_has_a_page_with_what_its_product_adds(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    assert {order.product for order in orders} == set(LIFECYCLES)
    for order in orders:
        page = await page_of(book, populated_lane, order.id)
        assert page.whole.order == order
        assert page.order == by_the_clock(order, page.now)
        assert page.whole.tenant is not None
        assert all(getattr(page.whole, name) is not None for name in OWN[order.product]), order
        assert {order.source_account_id, order.destination_account_id} & set(page.account_names)
        assert [rate.name for rate in page.rates][:2] == ["market", "quoted"]
        assert ("executed" in [rate.name for rate in page.rates]) is (page.whole.trade is not None)


async def test_the_products_have_their_own_facts_among_them(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    had: set[str] = set()
    for order in orders:
        whole = (await page_of(book, populated_lane, order.id)).whole
        had |= {name for name in whole.__struct_fields__ if getattr(whole, name)}
    assert set(Whole.__struct_fields__) - had <= {"sends", "leases", "deliveries", "proposals", "acts"}


async def test_the_secret_of_a_checkouts_page_is_not_among_them(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    order = next(order for order in orders if order.product == "checkout")
    page = await page_of(book, populated_lane, order.id)
    assert "token_hash" not in repr(page.whole)


async def test_the_page_of_an_order_of_another_lane_is_not_found(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    at = populated_lane.clock.now()
    assert await order_page(book, populated_lane.number + 1, orders[0].id, at) is None
    assert await order_page(book, populated_lane.number, uuid4(), at) is None


async def test_the_page_goes_by_the_clock_of_the_lane(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    quoted = next(order for order in orders if order.product == "brokerage" and order.state == "created")
    assert quoted.due_at is not None
    shown = []
    connection = await asyncpg.connect(populated_lane.dsn)
    await connection.execute("set session_replication_role = replica")
    for stands_at in (quoted.due_at - timedelta(microseconds=1), quoted.due_at):
        await connection.execute("update lane_clocks set frozen_at = $1", stands_at)
        shown.append(await page_of(book, populated_lane, quoted.id))
    await connection.close()
    assert [(page.order.state, page.kind) for page in shown] == [("created", "open"), ("expired", "stopped")]
    assert shown[1].whole.order.state == "created"


async def test_the_timeline_leaves_nothing_out(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    totals: Counter[str] = Counter()
    for order in orders:
        moments = timeline(await page_of(book, populated_lane, order.id))
        assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
        totals.update(moment.kind for moment in moments)
        for moment in moments:
            if moment.kind == LEDGER:
                totals["entry"] += len(moment.amounts)
                assert all(figure.account and figure.balance_after is not None for figure in moment.amounts)
                for asset in {figure.asset for figure in moment.amounts}:
                    assert sum(figure.units for figure in moment.amounts if figure.asset == asset) == 0
    wanted = await book.pool.fetchrow(
        """select
            (select count(*) from events where lane = $1) as event,
            (select count(*) from ledger_transactions as t join orders as o on o.lane = t.lane and o.id = t.order_id
                where t.lane = $1) as ledger,
            (select count(*) from entries as e
                join ledger_transactions as t on t.lane = e.lane and t.id = e.transaction_id
                join orders as o on o.lane = t.lane and o.id = t.order_id where e.lane = $1) as entry,
            (select count(*) + count(ended_at) from holds where lane = $1) as hold,
            (select count(*) + count(*) filter (where j.version > 1) from jobs as j
                join orders as o on o.lane = j.lane and o.id = j.order_id where j.lane = $1) as job""",
        populated_lane.number,
    )
    assert {name: totals[name] for name in (EVENT, LEDGER, "entry", HOLD, JOB)} == dict(wanted or {})
    assert totals[BANK] > 0


async def test_rates_say_where_they_are_from(book: Reads, populated_lane: Lane, orders: list[Order]) -> None:
    completed = next(order for order in orders if order.product == "conversion" and order.state == "completed")
    page = await page_of(book, populated_lane, completed.id)
    names = [rate.name for rate in page.rates]
    assert names == ["market", "quoted", "market at the approval", "approved", "executed"]
    assert all(rate.source and rate.at for rate in page.rates)
    assert rates_of(page.order, None) == page.rates[:-1]


async def test_callbacks_proposals_acts_and_sends_are_told(
    book: Reads, populated_lane: Lane, orders: list[Order]
) -> None:
    order = next(order for order in orders if order.product == "conversion" and order.state == "completed")
    delivery, proposal, act = uuid4(), uuid4(), uuid4()
    connection = await asyncpg.connect(populated_lane.dsn)
    await beside(connection, populated_lane, order, delivery=delivery, proposal=proposal, act=act)
    await connection.close()
    page = await page_of(book, populated_lane, order.id)
    [callback] = page.whole.deliveries
    assert (callback.id, callback.state, callback.attempts, len(callback.made)) == (delivery, "failed", 1, 1)
    [send] = page.whole.sends
    assert send.hashes == ["0xabc"]
    moments = timeline(page)
    assert [moment.id for moment in moments if moment.kind == ACT] == [str(act)]
    assert [moment.id for moment in moments if moment.kind == PROPOSAL] == [str(proposal)] * 2
    assert [moment.id for moment in moments if moment.kind == CALLBACK] == [str(delivery)] * 2
    assert len([moment for moment in moments if moment.kind == CHAIN]) == 2


async def beside(
    connection: asyncpg.Connection, lane: Lane, order: Order, *, delivery: UUID, proposal: UUID, act: UUID
) -> None:
    """Put rows beside an order as they are when its story went on outside: told, decided by two, sent on a chain."""
    at = order.updated_at
    await connection.execute("set session_replication_role = replica")
    subscription = uuid4()
    await connection.execute(
        """insert into subscriptions (id, lane, lane_kind, owner_id, place, envelope, url, event_types, from_seq,
            is_active, created_at, updated_at)
        values ($1, $2, 'sandbox', $3, 1, 'standard', 'https://a.example', '{}', 1, true, $4, $4)""",
        subscription,
        lane.number,
        order.tenant_id,
        at,
    )
    await connection.execute(
        """insert into deliveries (id, lane, subscription_id, event_id, event_type, subject_id, subject_version, body,
            state, attempts, created_at, attempted_at)
        values ($1, $2, $3, 'evt_1', 'conversion.leg_done', $4, 3, '', 'failed', 1, $5, $5)""",
        delivery,
        lane.number,
        subscription,
        order.id,
        at,
    )
    await connection.execute(
        """insert into delivery_attempts (delivery_id, number, attempted_at, response_status, response_ms)
        values ($1, 1, $2, 500, 12)""",
        delivery,
        at,
    )
    await connection.execute(
        """insert into proposals (lane, seq, id, verb, duty, command, subject_id, subject_version, seen, why,
            proposed_by, proposed_at, expires_at, state, decided_by, decided_at)
        values ($1, 1, $2, 'approve_conversion', 'orders.approve', '{}', $3, 3, '{}', 'large', 'person:tess', $4, $4,
            'carried_out', 'person:ada', $4)""",
        lane.number,
        proposal,
        order.id,
        at,
    )
    await connection.execute(
        """insert into acts (lane, seq, id, verb, content, subject_id, caller, address, why, request_id, happened_at)
        values ($1, 1, $2, 'approve_conversion', '{}', $3, 'person:ada', '::1', '', 'req-of-ada', $4)""",
        lane.number,
        act,
        order.id,
        at,
    )
    await connection.execute(
        """insert into chain_sends (lane, reference, network, purpose, sender, recipient, contract, amount, gas_limit,
            nonce, seen_block, outcome, recorded_at, ended_at)
        values ($1, $2, 'base', 'transfer', '0x1', '0x2', '0x3', 5, 1, 1, 1, 'done', $3, $3)""",
        lane.number,
        f"{order.id}:3",
        at,
    )
    await connection.execute("insert into chain_senders (network, address, chain_id) values ('base', '0x1', 1)")
    await connection.execute(
        """insert into chain_transactions (lane, reference, number, network, sender, nonce, hash, raw, max_fee_wei,
            priority_fee_wei, signed_at)
        values ($1, $2, 1, 'base', '0x1', 1, '0xabc', '0x', 1, 1, $3)""",
        lane.number,
        f"{order.id}:3",
        at,
    )


@pytest.mark.parametrize(
    "account, owner, name",
    [
        ({"owner_id": DESK_ID, "purpose": TREASURY, "network": "ethereum"}, None, "Desk · treasury (USDC on ethereum)"),
        ({"owner_id": DESK_ID, "purpose": "fee_income"}, None, "Desk · fee income (USDC)"),
        ({"purpose": "cash", "label": "main"}, "Acme", "Acme · main (USDC)"),
        ({"purpose": "custody", "network": "base"}, "Acme", "Acme · custody (USDC on base)"),
        ({"purpose": "holding"}, None, "Somebody · holding (USDC)"),
    ],
)
def test_accounts_have_names_for_people(account: dict[str, object], owner: str | None, name: str) -> None:
    made = Account(**{"id": uuid4(), "owner_id": uuid4(), "asset": "USDC", **account})  # type: ignore[arg-type]
    assert account_name(made, owner) == name
