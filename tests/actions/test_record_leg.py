"""Legs: each outcome is booked once, whatever comes twice or late; what was taken always goes back."""

from decimal import Decimal
from typing import Literal

import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Hold, LedgerTransaction
from otcdesk.domain.orders import Order, Trade
from otcdesk.errors import Code
from tests.support.conversions import OPENING, approved, balances, confirmed, leg
from tests.support.desk import FA1
from tests.support.pure import PureDesk


def open_holds(desk: PureDesk) -> int:
    return sum(hold.state == "open" for hold in desk.all(Hold))


def test_a_buy_that_is_paid_is_complete_as_in_case_31() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    desk.act(ApproveConversion(order_id=order.id, rate=Decimal("1.0838")), caller="operator")
    reply = leg(desk, order)
    assert reply.applied
    assert (reply.order.state, reply.order.rate, reply.order.destination_units) == (
        "completed",
        Decimal("1.0838"),
        2_709_500_000,
    )
    assert balances(desk) == {
        "FA1": (750_000, 0),
        "WA1": (7_709_500_000, 0),
        "EUR": (100_250_000, 0),
        "USDC": (997_290_500_000, 0),
    }
    assert open_holds(desk) == 0
    (trade,) = desk.all(Trade)
    assert (trade.executed_rate, trade.quoted_rate, trade.market_rate) == (
        Decimal("1.0838"),
        Decimal("1.0842"),
        Decimal("1.0842"),
    )
    assert (trade.executed_by, trade.destination_units) == ("operator", 2_709_500_000)
    assert (reply.order.waits_for, reply.order.rail_reference, reply.order.pay_hold_id) == (None, None, None)


def test_a_sell_is_collected_then_paid() -> None:
    desk = PureDesk()
    order = approved(desk, "sell")
    first_reference = order.rail_reference
    after = leg(desk, order).order
    assert (after.state, after.waits_for) == ("paying", "fiat")
    assert after.rail_reference not in {None, first_reference}
    # The collected tokens stay reserved, so that they can always go back.
    assert balances(desk) == {
        "FA1": (1_000_000, 0),
        "WA1": (3_200_000_000, 0),
        "EUR": (100_000_000, 165_780),
        "USDC": (1_001_800_000_000, 1_800_000_000),
    }
    assert leg(desk, order).order.state == "completed"
    assert balances(desk) == {
        "FA1": (1_165_780, 0),
        "WA1": (3_200_000_000, 0),
        "EUR": (99_834_220, 0),
        "USDC": (1_001_800_000_000, 0),
    }
    assert open_holds(desk) == 0
    assert len(desk.all(Trade)) == 1


def test_a_buy_whose_payout_was_refused_waits_again() -> None:
    desk = PureDesk()
    order = approved(desk)
    after = leg(desk, order, "refused", "no such address").order
    assert (after.state, after.reason, after.waits_for) == ("pending_approval", "no such address", None)
    assert (after.approved_rate, after.approved_units, after.approved_by) == (None, None, None)
    assert balances(desk) == {**OPENING, "FA1": (750_000, 0), "EUR": (100_250_000, 0)}
    assert open_holds(desk) == 0
    again = desk.act(ApproveConversion(order_id=order.id)).order
    assert again.rail_reference != order.rail_reference  # another outside call, not the refused one
    assert leg(desk, order).order.state == "completed"


def test_a_sell_whose_collection_was_refused_waits_again() -> None:
    desk = PureDesk()
    order = approved(desk, "sell")
    assert leg(desk, order, "refused").order.state == "pending_approval"
    assert balances(desk) == OPENING
    assert open_holds(desk) == 0


def test_a_sell_that_cannot_be_paid_goes_back_and_fails() -> None:
    desk = PureDesk()
    order = approved(desk, "sell")
    leg(desk, order)
    after = leg(desk, order, "refused", "account closed").order
    assert (after.state, after.waits_for) == ("returning", "chain")
    assert balances(desk)["EUR"] == (100_000_000, 0)
    assert balances(desk)["USDC"] == (1_001_800_000_000, 1_800_000_000)
    assert leg(desk, order).order.state == "failed"
    assert balances(desk) == OPENING
    assert open_holds(desk) == 0
    assert not desk.all(Trade)


def test_a_return_that_is_refused_is_asked_for_again_under_another_reference() -> None:
    desk = PureDesk()
    order = approved(desk, "sell")
    leg(desk, order)
    leg(desk, order, "refused", "account closed")
    before = balances(desk)
    references = [desk.get(Order, order.id).rail_reference]
    for _ in range(3):
        reply = leg(desk, order, "refused", "the token is paused")
        after = reply.order
        assert reply.applied
        assert (after.state, after.waits_for, after.reason) == ("returning", "chain", "account closed")
        references.append(after.rail_reference)
    assert len({*references}) == 4
    assert balances(desk) == before
    assert [(one.name, one.detail) for one in desk.all(Event)][-3:] == [
        ("conversion.return_refused", "the token is paused")
    ] * 3
    late = RecordLeg(order_id=order.id, reference=references[0] or "", outcome="done")
    assert not desk.act(late).applied
    ended = leg(desk, order).order
    assert (ended.state, ended.reason, ended.rail_reference) == ("failed", "account closed", None)
    assert balances(desk) == OPENING
    assert open_holds(desk) == 0


@pytest.mark.parametrize("outcome", ["done", "refused"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_same_outcome_twice_is_booked_once(side: str, outcome: Literal["done", "refused"]) -> None:
    desk = PureDesk()
    order = approved(desk, side)
    assert order.rail_reference is not None
    command = RecordLeg(order_id=order.id, reference=order.rail_reference, outcome=outcome)
    assert desk.act(command).applied
    before = (balances(desk), len(desk.all(LedgerTransaction)))
    again = desk.act(command)
    assert not again.applied
    assert again.order == desk.get(Order, order.id)
    assert (balances(desk), len(desk.all(LedgerTransaction))) == before


def test_an_outcome_for_another_call_is_passed_over() -> None:
    desk = PureDesk()
    order = approved(desk)
    assert not desk.act(RecordLeg(order_id=order.id, reference="another", outcome="done")).applied
    assert not desk.act(RecordLeg(order_id=confirmed(desk).id, reference="any", outcome="done")).applied


def test_an_unknown_order_is_refused() -> None:
    assert PureDesk().refuse(RecordLeg(order_id=FA1, reference="r", outcome="done")) is Code.ORDER_NOT_FOUND
