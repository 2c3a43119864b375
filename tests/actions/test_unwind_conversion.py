"""Rejecting an order, and how a debit went."""

import pytest

from otcdesk.actions.move_value import Withdraw
from otcdesk.actions.steer_sandbox import SetDebitSettlement
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.errors import Code
from tests.support.conversions import OPENING, approved, balances, confirmed, quoted
from tests.support.desk import FA1, TREASURY_EUR
from tests.support.pure import PureDesk


def test_a_rejected_buy_is_refunded_as_in_case_32() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    reply = desk.act(RejectConversion(order_id=order.id, reason="no"))
    assert (reply.order.state, reply.order.reason, reply.order.ended_at) == ("rejected", "no", desk.clock.now())
    assert balances(desk) == OPENING
    assert desk.refuse(RejectConversion(order_id=order.id, reason="no")) is Code.INVALID_STATE


def test_a_rejected_sell_has_nothing_to_refund() -> None:
    desk = PureDesk()
    order = confirmed(desk, "sell")
    assert desk.act(RejectConversion(order_id=order.id, reason="no")).order.state == "rejected"
    assert balances(desk) == OPENING


def test_a_buy_whose_debit_is_pending_can_be_rejected() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=None))
    order = confirmed(desk)
    assert desk.act(RejectConversion(order_id=order.id, reason="no")).order.version == 3
    assert balances(desk) == OPENING


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_what_was_not_confirmed_or_is_on_its_way_can_not_be_rejected(side: str) -> None:
    desk = PureDesk()
    for order in (quoted(desk, side), approved(desk, side)):
        assert desk.refuse(RejectConversion(order_id=order.id, reason="no")) is Code.INVALID_STATE
    assert desk.refuse(RejectConversion(order_id=FA1, reason="no")) is Code.ORDER_NOT_FOUND


def test_a_settled_debit_moves_the_buy_on() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=None))
    order = confirmed(desk)
    assert desk.act(SettleDebit(order_id=order.id, outcome="settled")).order.state == "pending_approval"
    assert desk.refuse(SettleDebit(order_id=order.id, outcome="settled")) is Code.INVALID_STATE


def test_a_failed_debit_takes_the_money_back() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=None))
    order = confirmed(desk)
    assert desk.act(SettleDebit(order_id=order.id, outcome="failed")).order.state == "failed"
    assert balances(desk) == OPENING


def test_a_debit_that_the_clock_has_settled_can_no_longer_fail() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=1_000))
    order = confirmed(desk)
    desk.clock.advance(seconds=1)
    assert desk.refuse(SettleDebit(order_id=order.id, outcome="failed")) is Code.INVALID_STATE


def test_a_refund_that_the_treasury_does_not_cover_is_refused() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    desk.act(Withdraw(account_id=TREASURY_EUR, units=100_250_000, reason="gone", reference="r"))
    assert desk.refuse(RejectConversion(order_id=order.id, reason="no")) is Code.TREASURY_INSUFFICIENT
