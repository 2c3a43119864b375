"""Rows from before their kind got a column are still what their batches wrote."""

import asyncpg

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy
from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.commands import Books, Command, Moment, Reply, Verb
from otcdesk.domain.conversions import CANCEL, event_of, moved
from otcdesk.domain.events import Event
from otcdesk.domain.lanes import Fault
from otcdesk.domain.noun import as_written
from otcdesk.domain.orders import Order
from otcdesk.storage.verify import verify
from tests.support.brokerage import OFFERS_WORLD, V
from tests.support.desk import AUDIT_KEY, FA1, WA1, A, make_engine, new_lane, submit


class CancelAsBefore(Command, frozen=True, kw_only=True):
    """Cancel an order and say of it what was said before there were callbacks."""

    order: Order


def cancel_as_before(command: CancelAsBefore, books: Books, moment: Moment) -> OrderReply:
    books.want((Order, command.order.id))
    order = moved(command.order, CANCEL, moment.now)
    books.put(order)
    said = event_of(order, CANCEL, moment.caller)
    terms = {"rate", "destination_units"}
    books.add(Event(**{name: getattr(said, name) for name in said.__struct_fields__ if name not in terms}))
    return OrderReply(order=order)


async def test_an_event_without_terms_verifies(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    verbs: dict[type[Command], Verb] = {
        **CATALOGUE,
        CancelAsBefore: Verb(name="cancel", action=cancel_as_before, reply=OrderReply),
    }
    async with make_engine(fresh_dsn, clock=lane.clock, catalogue=verbs) as engine:
        quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=2_500)
        order = (await submit(engine, lane.number, quote, owner_id=A)).order
        await submit(engine, lane.number, CancelAsBefore(order=order))
    assert (await verify(fresh_dsn, AUDIT_KEY)).findings == []
    connection = await asyncpg.connect(fresh_dsn)
    assert await connection.fetchval("select rate is null and destination_units is null from events")
    await connection.execute("set session_replication_role = replica")
    await connection.execute("update events set rate = 1")  # saying it later is a change like any other
    await connection.close()
    assert [finding.table for finding in (await verify(fresh_dsn, AUDIT_KEY)).findings] != []


class SetFaultAsBefore(Command, frozen=True, kw_only=True):
    """Say of a rail how it behaves, as it was said before there was a venue."""

    rail: str


def set_fault_as_before(command: SetFaultAsBefore, books: Books, moment: Moment) -> Reply:
    known = books.find(Fault, command.rail)
    (books.put if known else books.add)(Fault(rail=command.rail, delay_ms=1 if known else 0))
    return Reply()


async def test_a_fault_without_its_later_fields_verifies_and_may_get_them(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    verbs: dict[type[Command], Verb] = {
        **CATALOGUE,
        SetFaultAsBefore: Verb(name="set_fault", action=set_fault_as_before, reply=Reply),
    }
    connection = await asyncpg.connect(fresh_dsn)
    unsaid = "select reason is null and percent is null and price_bps is null from faults where rail = 'chain'"
    async with make_engine(fresh_dsn, clock=lane.clock, catalogue=verbs) as engine:
        for _ in range(2):
            await submit(engine, lane.number, SetFaultAsBefore(rail="chain"))
            assert await connection.fetchval(unsaid)
            assert (await verify(fresh_dsn, AUDIT_KEY)).findings == []
    async with make_engine(fresh_dsn, clock=lane.clock) as engine:  # one that remembers nothing of it
        await submit(engine, lane.number, SetFault(rail="chain", mode="refuse", delay_ms=7))
    assert (await verify(fresh_dsn, AUDIT_KEY)).findings == []
    await connection.execute("set session_replication_role = replica")
    await connection.execute("update faults set percent = 50, reason = 'late', price_bps = 1")
    await connection.close()
    assert [finding.table for finding in (await verify(fresh_dsn, AUDIT_KEY)).findings] == ["faults"]


async def test_what_was_said_is_left_as_it_is(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn)
    async with make_engine(fresh_dsn, clock=lane.clock) as engine:
        quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=2_500)
        order: Order = (await submit(engine, lane.number, quote, owner_id=A)).order
    said = event_of(moved(order, CANCEL, order.updated_at), CANCEL, "test")
    assert as_written(order) is order
    assert as_written(said) is said


async def test_a_row_that_was_read_and_changed_still_says_nothing_of_its_later_fields(fresh_dsn: str) -> None:
    lane = await new_lane(fresh_dsn, OFFERS_WORLD)
    for status in ("inactive", "active"):
        async with make_engine(fresh_dsn, clock=lane.clock) as engine:  # one that has only what it reads
            await submit(engine, lane.number, SetParty(party_id=V, status=status, level_id=None, tax_bps=None))
        assert (await verify(fresh_dsn, AUDIT_KEY)).findings == []
