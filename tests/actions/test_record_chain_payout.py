"""What leaves for a chain: reserved, then gone once, or the tenant's again."""

from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.domain.ledger import Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.rules import Condition
from otcdesk.errors import Code
from tests.support.brokerage import assert_balanced
from tests.support.deposits import RULE_BANK_NAME, bank, buying_action, current, deposited, ruled, transferring
from tests.support.payouts import done, pending, ramp_desk, recorded
from tests.support.pure import PureDesk


@pytest.fixture
def desk() -> PureDesk:
    made = ramp_desk()
    recorded(made, done(pending(made, "300.00")))
    ruled(made, buying_action(), conditions=(Condition(asset="EUR"),), bank=bank(RULE_BANK_NAME))
    deposited(made, transferring(destination=RULE_BANK_NAME))
    return made


def sending(desk: PureDesk) -> Order:
    (order,) = [order for order in desk.all(Order) if order.product == "chain_payout"]
    return order


def told(order: Order, outcome: Any, **fields: Any) -> RecordChainPayout:
    asked = {"reference": order.rail_reference, "detail": "0xhash", **fields}
    return RecordChainPayout(order_id=order.id, outcome=outcome, **asked)


@pytest.mark.parametrize("outcome, state, leaves", [("done", "settled", 108_695_652), ("refused", "failed", 0)])
def test_the_chains_word_is_booked_once(desk: PureDesk, outcome: str, state: str, leaves: int) -> None:
    order, before = sending(desk), current(desk)
    after = desk.act(told(order, outcome)).order
    assert (after.state, after.reason, after.waits_for, after.rail_reference) == (state, "0xhash", None, None)
    assert current(desk) == (before[0] - leaves, 0)
    assert not [hold for hold in desk.all(Hold) if hold.order_id == order.id and hold.state == "open"]
    for again in ("done", "refused"):
        assert not desk.act(told(order, again)).applied
    assert current(desk) == (before[0] - leaves, 0)
    assert_balanced(desk)


def test_a_word_on_something_else_is_not_heard(desk: PureDesk) -> None:
    order = sending(desk)
    assert not desk.act(told(order, "done", reference="another")).applied
    assert desk.refuse(RecordChainPayout(order_id=uuid4(), reference="r", outcome="done")) is Code.ORDER_NOT_FOUND
