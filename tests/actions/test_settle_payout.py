"""The operator ends the payouts that it makes itself, and no others."""

from typing import Literal
from uuid import UUID, uuid4

import pytest

from otcdesk.actions.review_payout import HoldPayout
from otcdesk.actions.settle_payout import SettlePayout
from otcdesk.domain.orders import Order
from otcdesk.errors import Code
from tests.support.payouts import JP, SEPA_FILE, current, given, pending, ramp_desk, settled, told_of
from tests.support.pure import PureDesk

START = (500_000_000, 500_000_000)


def by_hand(desk: PureDesk, channel_id: UUID = JP) -> Order:
    """Return a payout that no provider makes."""
    return pending(desk, "1000" if channel_id == JP else "100.00", channel_id=channel_id, given=given(country="JP"))


def ending(order: Order, outcome: Literal["done", "refused"] = "done", detail: str = "wire-1") -> SettlePayout:
    return SettlePayout(order_id=order.id, outcome=outcome, detail=detail)


@pytest.mark.parametrize("channel_id", [JP, SEPA_FILE])
def test_what_the_operator_has_made_is_settled_under_the_banks_reference(channel_id: UUID) -> None:
    desk = ramp_desk()
    order = by_hand(desk, channel_id)
    after = desk.act(ending(order)).order
    assert (after.state, after.waits_for, after.rail_reference) == ("settled", None, None)
    assert told_of(desk, order)[-1][1:] == ("payout.settle", "settled", "wire-1")
    available, total = current(desk)
    assert available == total == START[1] - order.source_units


def test_what_nobody_makes_fails_and_is_given_back() -> None:
    desk = ramp_desk()
    order = by_hand(desk)
    after = desk.act(ending(order, "refused", "no such branch")).order
    assert (after.state, after.reason) == ("failed", "no such branch")
    assert current(desk) == START


def test_what_a_provider_makes_is_the_providers_to_end() -> None:
    desk = ramp_desk()
    order = pending(desk)
    assert desk.refuse(ending(order)) is Code.INVALID_STATE
    assert desk.refuse(ending(order, "refused")) is Code.INVALID_STATE


def test_what_is_held_is_released_first_and_what_has_ended_stays_so() -> None:
    desk = ramp_desk()
    held, ended = by_hand(desk), by_hand(desk)
    desk.act(HoldPayout(order_id=held.id, reason="who is that?"))
    desk.act(ending(ended))
    for order in (held, ended, settled(desk)):
        assert desk.refuse(ending(order)) is Code.INVALID_STATE


def test_what_is_no_payout_is_not_found() -> None:
    command = SettlePayout(order_id=uuid4(), outcome="done")
    assert ramp_desk().refuse(command) is Code.ORDER_NOT_FOUND
