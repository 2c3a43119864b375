"""Cancelling before the confirm."""

import pytest

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from otcdesk.errors import Code
from tests.support.conversions import OPENING, balances, confirmed, quoted
from tests.support.desk import A, B
from tests.support.pure import PureDesk


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_quoted_order_can_be_cancelled_once_as_in_case_29(side: str) -> None:
    desk = PureDesk()
    order = quoted(desk, side)
    reply = desk.act(CancelConversion(order_id=order.id), owner_id=A)
    assert (reply.order.state, reply.order.ended_at) == ("cancelled", desk.clock.now())
    assert desk.refuse(CancelConversion(order_id=order.id), owner_id=A) is Code.NOT_CANCELLABLE
    assert balances(desk) == OPENING
    assert [event.name for event in desk.all(Event)] == ["conversion.cancel"]


def test_a_requoted_order_can_be_cancelled() -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.act(RequoteConversion(order_id=order.id))
    assert desk.act(CancelConversion(order_id=order.id), owner_id=A).order.state == "cancelled"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_confirmed_order_can_not(side: str) -> None:
    desk = PureDesk()
    order = confirmed(desk, side)
    assert desk.refuse(CancelConversion(order_id=order.id), owner_id=A) is Code.NOT_CANCELLABLE


def test_an_expired_order_can_not_though_nobody_recorded_it() -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.clock.set(order.expires_at)
    assert desk.refuse(CancelConversion(order_id=order.id), owner_id=A) is Code.NOT_CANCELLABLE
    assert desk.get(Order, order.id).state == "quoted"


def test_another_tenants_order_is_not_found() -> None:
    desk = PureDesk()
    assert desk.refuse(CancelConversion(order_id=quoted(desk).id), owner_id=B) is Code.ORDER_NOT_FOUND
