"""Looking into a payout: held, released, cancelled; and only its rail says that a payout was not made."""

from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.domain.commands import Command
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FILE, moved
from otcdesk.errors import Code
from tests.support.brokerage import assert_balanced, open_holds
from tests.support.payouts import (
    BR,
    JP,
    SEPA_FILE,
    current,
    done,
    held_of,
    pending,
    ramp_desk,
    recorded,
    refused,
    returning,
    settled,
    told_of,
)
from tests.support.pure import PureDesk

CHANNELS = {"payout": (BR, "10"), "bank_file": (SEPA_FILE, "10"), "by_hand": (JP, "1000")}


def hold(desk: PureDesk, order: Order, reason: str = "looked into") -> Order:
    after: Order = desk.act(HoldPayout(order_id=order.id, reason=reason), caller="operator").order
    return after


def waiting(desk: PureDesk, rail: str) -> Order:
    channel_id, arrives = CHANNELS[rail]
    return pending(desk, arrives, channel_id=channel_id)


@pytest.mark.parametrize("rail", CHANNELS)
def test_a_held_payout_waits_for_no_rail_and_stays_reserved(rail: str) -> None:
    desk = ramp_desk()
    order = waiting(desk, rail)
    before = current(desk)
    desk.clock.advance(seconds=9)
    held = hold(desk, order, "no papers")
    assert held == desk.get(Order, order.id)
    assert (held.state, held.version, held.waits_for, held.reason) == ("held", 3, None, "no papers")
    assert (held.updated_at, held.ended_at, held.rail_reference) == (desk.clock.now(), None, f"{order.id}:payout")
    assert (held.pay_hold_id, held.collect_hold_id) == (order.pay_hold_id, order.collect_hold_id)
    assert {state for _, state in held_of(desk, order).values()} == {"open"}
    assert current(desk) == before
    assert told_of(desk, order)[1:] == [(3, "payout.hold", "held", "no papers")]


@pytest.mark.parametrize("rail", CHANNELS)
def test_a_released_payout_waits_for_its_own_rail_again(rail: str) -> None:
    desk = ramp_desk()
    order = waiting(desk, rail)
    hold(desk, order)
    after = desk.act(ReleasePayout(order_id=order.id)).order
    assert (after.state, after.version, after.waits_for, after.reason) == ("pending", 4, rail, None)
    assert after.rail_reference == order.rail_reference  # asked again under the same, so it is paid once
    assert told_of(desk, order)[2:] == [(4, "payout.release", "pending", None)]
    assert recorded(desk, done(order)).state == "settled"
    assert_balanced(desk)


def test_cancelling_what_a_provider_may_have_been_asked_for_waits_for_its_word() -> None:
    desk = ramp_desk()
    order = waiting(desk, "payout")
    hold(desk, order)
    after = desk.act(CancelPayout(order_id=order.id, reason="fraud")).order
    assert (after.state, after.waits_for, after.reason, after.ended_at) == ("cancelling", "payout", "fraud", None)
    assert after.rail_reference == order.rail_reference
    assert {state for _, state in held_of(desk, order).values()} == {"open"}
    assert told_of(desk, order)[2:] == [(4, "payout.cancel", "cancelling", "fraud")]
    assert recorded(desk, refused(order, "cancelled")).state == "failed"
    assert current(desk) == (500_000_000, 500_000_000)
    assert_balanced(desk)


@pytest.mark.parametrize("rail", ["bank_file", "by_hand"])
def test_cancelling_what_nobody_else_can_have_paid_is_final_at_once(rail: str) -> None:
    desk = ramp_desk()
    order = waiting(desk, rail)
    hold(desk, order)
    after = desk.act(CancelPayout(order_id=order.id, reason="fraud")).order
    assert after == desk.get(Order, order.id)
    assert (after.state, after.waits_for, after.reason, after.ended_at) == ("failed", None, "fraud", desk.clock.now())
    assert (after.rail_reference, after.pay_hold_id, after.collect_hold_id) == (None, None, None)
    assert {state for _, state in held_of(desk, order).values()} == {"released"}
    assert current(desk) == (500_000_000, 500_000_000)
    assert told_of(desk, order)[2:] == [(4, "payout.fail", "failed", "fraud")]
    assert desk.act(done(order)).agrees is False
    assert_balanced(desk)


def test_a_payout_can_be_held_again() -> None:
    desk = ramp_desk()
    order = waiting(desk, "payout")
    for _ in range(3):
        hold(desk, order)
        desk.act(ReleasePayout(order_id=order.id))
    assert desk.get(Order, order.id).version == 8
    assert open_holds(desk) == 2


def in_state(desk: PureDesk, state: str) -> Order:
    """Bring a payout to a state."""
    order = waiting(desk, "payout")
    if state in {"held", "cancelling"}:
        hold(desk, order)
    if state == "cancelling":
        desk.act(CancelPayout(order_id=order.id, reason="no"))
    if state == "filed":
        desk.put(moved(order, FILE, desk.clock.now()))
    if state in {"settled", "failed"}:
        recorded(desk, done(order) if state == "settled" else refused(order))
    after = desk.get(Order, order.id)
    assert after.state == state
    return after


@pytest.mark.parametrize("state", ["pending", "held", "filed", "cancelling", "settled", "failed"])
def test_what_can_be_done_in_which_state(state: str) -> None:
    allowed: dict[str, tuple[type, ...]] = {"pending": (HoldPayout,), "held": (ReleasePayout, CancelPayout)}
    asked: tuple[tuple[Any, dict[str, str]], ...] = (
        (HoldPayout, {"reason": "r"}),
        (ReleasePayout, {}),
        (CancelPayout, {"reason": "r"}),
    )
    for verb, fields in asked:
        desk = ramp_desk()
        command: Command = verb(order_id=in_state(desk, state).id, **fields)
        if isinstance(command, allowed.get(state, ())):
            assert desk.act(command).order.state != state
        else:
            assert desk.refuse(command) is Code.INVALID_STATE


def test_only_payouts_are_looked_into() -> None:
    desk = ramp_desk()
    back = desk.act(returning(settled(desk))).order
    order = pending(desk)
    desk.put(order.with_(product="conversion"))
    for order_id, code in (
        (UUID(int=7), Code.ORDER_NOT_FOUND),
        (order.id, Code.ORDER_NOT_FOUND),
        (back.id, Code.INVALID_STATE),
    ):
        assert desk.refuse(HoldPayout(order_id=order_id, reason="r")) is code
        assert desk.refuse(ReleasePayout(order_id=order_id)) is code
        assert desk.refuse(CancelPayout(order_id=order_id, reason="r")) is code
