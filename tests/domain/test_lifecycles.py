"""What every lifecycle does with the tables that a product gives it."""

from datetime import timedelta
from uuid import UUID

import pytest

from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.orders import BUY, SELL
from otcdesk.machine import IllegalMove, Machine
from tests.domain.test_brokerage import order
from tests.support.clocks import START

LATER = START + timedelta(seconds=5)

PARCEL = Lifecycle(
    product="parcel",
    machines={
        BUY: Machine(start="packed", moves={("packed", "send"): "sent", ("sent", "arrive"): "there"}),
        SELL: Machine(start="packed", moves={("packed", "burn"): "there"}),
    },
    waits_for={(BUY, "sent"): "post"},
    overdue={"packed": "send"},
    ended=frozenset({"there"}),
)


def test_a_side_has_a_machine_of_its_own() -> None:
    packed = order(BUY, "packed"), order(SELL, "packed")
    assert [PARCEL.allows(one, "send") for one in packed] == [True, False]
    with pytest.raises(IllegalMove):
        PARCEL.moved(packed[1], "send", LATER)


def test_a_move_stamps_the_order_and_forgets_its_deadline() -> None:
    sent = PARCEL.moved(order(BUY, "packed").with_(due_at=START), "send", LATER)
    assert (sent.state, sent.version, sent.updated_at, sent.due_at) == ("sent", 2, LATER, None)
    assert (sent.waits_for, sent.ended_at) == ("post", None)
    there = PARCEL.moved(sent, "arrive", LATER)
    assert (there.waits_for, there.ended_at) == (None, LATER)


def test_a_move_may_change_more_and_set_the_next_deadline() -> None:
    sent = PARCEL.moved(order(BUY, "packed"), "send", LATER, reason="because", pay_hold_id=UUID(int=7), due_at=LATER)
    assert (sent.reason, sent.pay_hold_id, sent.due_at) == ("because", UUID(int=7), LATER)


def test_the_deadline_counts_from_its_very_moment_and_is_stamped_with_it() -> None:
    due = order(BUY, "packed").with_(due_at=LATER)
    assert PARCEL.overdue_event(due, LATER - timedelta(microseconds=1)) is None
    assert PARCEL.overdue_event(due, LATER) == "send"
    assert PARCEL.by_the_clock(due, LATER + timedelta(days=1)).updated_at == LATER
    assert PARCEL.by_the_clock(due.with_(due_at=None), LATER).state == "packed"


def test_an_event_carries_the_terms_of_the_order() -> None:
    event = PARCEL.event_of(order(BUY, "sent"), "send", "somebody", "detail")
    assert (event.name, event.caller, event.detail) == ("parcel.send", "somebody", "detail")
    assert event.destination_units == order().destination_units
