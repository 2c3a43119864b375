"""A checkout that pays out ends as its payout does."""

import pytest

from otcdesk.actions.record_payout import RecordPayout, RecordReturn
from otcdesk.actions.review_payout import CancelPayout, HoldPayout
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from tests.support.checkouts import confirmed, opened
from tests.support.payouts import ramp_desk, settled


@pytest.mark.parametrize("outcome, state", [("done", "settled"), ("refused", "failed")])
def test_it_follows_in_the_same_batch(outcome: str, state: str) -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    payout = confirmed(desk, order_id).payout
    assert payout is not None
    assert payout.rail_reference is not None
    command = RecordPayout(
        order_id=payout.id,
        reference=payout.rail_reference,
        outcome=outcome,  # type: ignore[arg-type]
        detail="the rail's word",
    )
    desk.act(command)
    order = desk.get(Order, order_id)
    assert (order.state, order.version) == (state, 4)
    assert desk.get(Order, payout.id).ended_at == order.ended_at
    assert desk.get(Event, (order_id, 4)).state == state
    desk.act(command)  # told again
    assert desk.get(Order, order_id) == order


def test_a_payout_that_comes_back_later_changes_it_no_more() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    payout = confirmed(desk, order_id).payout
    assert payout is not None
    desk.act(RecordPayout(order_id=payout.id, reference=payout.rail_reference or "", outcome="done"))
    desk.act(RecordReturn(order_id=payout.id, fiat_units=10_000, reference="bank-1"))
    assert desk.get(Order, order_id).state == "settled"


def test_it_follows_a_payout_that_the_operator_cancels() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    payout = confirmed(desk, order_id).payout
    assert payout is not None
    desk.act(HoldPayout(order_id=payout.id, reason="odd"))
    desk.act(CancelPayout(order_id=payout.id, reason="no"))
    assert desk.get(Order, order_id).state == "confirmed"  # its rail must say first that it will not pay
    desk.act(RecordPayout(order_id=payout.id, reference=payout.rail_reference or "", outcome="refused", detail="no"))
    assert desk.get(Order, order_id).state == "failed"


def test_other_payouts_have_nobody_who_follows() -> None:
    desk = ramp_desk()
    settled(desk)
    assert not [event for event in desk.all(Event) if event.name.startswith("checkout.")]
