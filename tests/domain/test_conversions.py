"""The conversion's two machines, pair by pair, and what the clock does to an order."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from uuid import UUID

import pytest

from otcdesk.domain.conversions import (
    CONFIRMABLE,
    CONVERSION_BUY,
    CONVERSION_SELL,
    CONVERSIONS,
    MACHINES,
    ConversionTerms,
    destination_amount,
    event_of,
    moved,
    settles_at,
)
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.machine import IllegalMove, Machine
from otcdesk.money import Amount, Asset
from tests.support.clocks import START

# Written down a second time, state by state, so that a slip in the tables shows.
EXPECTED: dict[str, dict[str, dict[str, str]]] = {
    BUY: {
        "quoted": {"confirm": "debit_pending", "cancel": "cancelled", "expire": "expired", "requote": "requoted"},
        "requoted": {"confirm": "debit_pending", "cancel": "cancelled", "expire": "expired", "requote": "requoted"},
        "expired": {"requote": "requoted"},
        "debit_pending": {"debit_settled": "pending_approval", "debit_failed": "failed", "reject": "rejected"},
        "pending_approval": {"approve": "paying", "reject": "rejected"},
        "paying": {"leg_done": "completed", "leg_refused": "pending_approval"},
        "completed": {},
        "cancelled": {},
        "rejected": {},
        "failed": {},
    },
    SELL: {
        "quoted": {"confirm": "pending_approval", "cancel": "cancelled", "expire": "expired", "requote": "requoted"},
        "requoted": {
            "confirm": "pending_approval",
            "cancel": "cancelled",
            "expire": "expired",
            "requote": "requoted",
        },
        "expired": {"requote": "requoted"},
        "pending_approval": {"approve": "collecting", "reject": "rejected", "requote": "requoted"},
        "collecting": {"leg_done": "paying", "leg_refused": "pending_approval"},
        "paying": {"leg_done": "completed", "leg_refused": "returning"},
        "returning": {"leg_done": "failed", "return_refused": "returning"},
        "completed": {},
        "cancelled": {},
        "rejected": {},
        "failed": {},
    },
}

EVENTS = CONVERSION_BUY.events | CONVERSION_SELL.events
PAIRS = [
    (side, state, event) for side in (BUY, SELL) for state, event in product(sorted(EXPECTED[side]), sorted(EVENTS))
]


def order(side: str = BUY, state: str = "quoted", due_at: datetime | None = None) -> Order:
    return Order(
        id=UUID(int=1),
        tenant_id=UUID(int=2),
        version=1,
        product="conversion",
        side=side,
        state=state,
        source_account_id=UUID(int=3),
        source_asset="EUR",
        source_units=100,
        destination_account_id=UUID(int=4),
        destination_asset="USDC",
        destination_units=100,
        rate=Decimal(1),
        quoted_rate=Decimal(1),
        quoted_by="test",
        quoted_at=START,
        market_rate=Decimal(1),
        market_source="fixed",
        market_at=START,
        ttl_seconds=60,
        expires_at=START,
        due_at=due_at,
        created_at=START,
        updated_at=START,
    )


@pytest.mark.parametrize("side, state, event", PAIRS)
def test_every_state_meets_every_event(side: str, state: str, event: str) -> None:
    machine = MACHINES[side]
    if event in EXPECTED[side][state]:
        assert machine.move(state, event) == EXPECTED[side][state][event]
        after = moved(order(side, state), event, START)
        assert (after.state, after.version) == (EXPECTED[side][state][event], 2)
    else:
        with pytest.raises(IllegalMove):
            machine.move(state, event)
        with pytest.raises(IllegalMove):
            moved(order(side, state), event, START)


@pytest.mark.parametrize("side, machine", MACHINES.items())
def test_every_state_is_expected_and_can_be_reached(side: str, machine: Machine) -> None:
    assert machine.states == set(EXPECTED[side])
    reached, fresh = {machine.start}, {machine.start}
    while fresh:
        fresh = {machine.moves[pair] for pair in machine.moves if pair[0] in fresh} - reached
        reached |= fresh
    assert reached == machine.states
    assert machine.ends == {state for state, moves in EXPECTED[side].items() if not moves}


def test_an_order_waits_for_a_rail_exactly_in_the_states_that_a_leg_ends() -> None:
    ended_by_a_leg = {
        (side, state) for side in EXPECTED for state, moves in EXPECTED[side].items() if "leg_done" in moves
    }
    assert set(CONVERSIONS.waits_for) == ended_by_a_leg


def test_confirmable_states_are_those_that_confirm_leaves() -> None:
    for expected in EXPECTED.values():
        assert {state for state, moves in expected.items() if "confirm" in moves} == CONFIRMABLE


def test_a_move_stamps_and_forgets_what_was_due() -> None:
    at = START + timedelta(seconds=5)
    after = moved(order(due_at=START), "cancel", at, reason="because")
    assert (after.updated_at, after.ended_at, after.due_at, after.reason) == (at, at, None, "because")
    assert moved(order(), "confirm", at).ended_at is None
    assert moved(order(state="expired"), "requote", at).ended_at is None
    assert moved(order(SELL, "pending_approval"), "approve", at).waits_for == "chain"


@pytest.mark.parametrize("state", ["quoted", "requoted", "debit_pending"])
def test_the_clock_moves_an_order_at_its_due_time_and_not_before(state: str) -> None:
    due = START + timedelta(seconds=60)
    waiting = order(state=state, due_at=due)
    assert CONVERSIONS.overdue_event(waiting, due - timedelta(microseconds=1)) is None
    assert CONVERSIONS.by_the_clock(waiting, due - timedelta(microseconds=1)) is waiting
    event = "debit_settled" if state == "debit_pending" else "expire"
    assert CONVERSIONS.overdue_event(waiting, due) == event
    after = CONVERSIONS.by_the_clock(waiting, due + timedelta(days=1))
    assert after.state == ("pending_approval" if state == "debit_pending" else "expired")
    assert after.updated_at == due
    assert CONVERSIONS.by_the_clock(after, due + timedelta(days=1)) is after


def test_an_order_without_a_due_time_is_left_alone() -> None:
    assert CONVERSIONS.overdue_event(order(state="pending_approval"), START + timedelta(days=365)) is None


def test_closed_states_are_ends_of_both_machines() -> None:
    assert {"completed", "cancelled", "rejected", "failed", "expired"} == CONVERSIONS.ended


def test_debits_settle_after_the_delay_or_by_hand() -> None:
    assert settles_at(ConversionTerms(debit_settles_after_ms=0), START) == START
    assert settles_at(ConversionTerms(debit_settles_after_ms=1_500), START) == START + timedelta(seconds=1.5)
    assert settles_at(ConversionTerms(debit_settles_after_ms=None), START) is None


def test_both_sides_pay_two_decimals_cut() -> None:
    usdc = Asset("USDC", 6)
    assert destination_amount(Amount(1, Asset("EUR", 2)), Decimal("1.999999"), usdc).units == 10_000


def test_an_event_records_the_change() -> None:
    after = moved(order(), "cancel", START)
    event = event_of(after, "cancel", "somebody", "detail")
    assert (event.name, event.state, event.order_version) == ("conversion.cancel", "cancelled", 2)
    assert (event.caller, event.detail, event.happened_at) == ("somebody", "detail", START)
    assert event.key == (after.id, 2)
