"""Approving: the rate that counts is fixed, what the desk owes is reserved, the rail is asked."""

from datetime import timedelta
from decimal import Decimal

import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.move_value import Withdraw
from otcdesk.actions.publish_price import SetPrice, SwitchFeed
from otcdesk.actions.steer_sandbox import SetDebitSettlement
from otcdesk.domain.ledger import Hold
from otcdesk.domain.orders import Order
from otcdesk.errors import Code
from tests.support.conversions import OPENING, approved, balances, confirmed, quoted
from tests.support.desk import TREASURY_EUR, TREASURY_USDC, WA1
from tests.support.pure import PureDesk


def test_a_buy_reserves_what_the_desk_will_pay() -> None:
    desk = PureDesk()
    order = approved(desk)
    assert (order.state, order.waits_for, order.rail_reference) == ("paying", "chain", f"{order.id}:4")
    assert (order.approved_rate, order.approved_units) == (Decimal("1.0842"), 2_710_500_000)
    assert (order.approved_by, order.approved_at) == ("operator", desk.clock.now())
    assert balances(desk)["USDC"] == (1_000_000_000_000, 2_710_500_000)
    assert order.pay_hold_id is not None
    hold = desk.get(Hold, order.pay_hold_id)
    assert (hold.account_id, hold.order_id, hold.units, hold.state) == (
        TREASURY_USDC,
        order.id,
        2_710_500_000,
        "open",
    )


def test_a_sell_reserves_both_sides() -> None:
    desk = PureDesk()
    order = approved(desk, "sell")
    assert (order.state, order.waits_for) == ("collecting", "chain")
    assert balances(desk) == {**OPENING, "EUR": (100_000_000, 165_780), "WA1": (5_000_000_000, 1_800_000_000)}


def test_the_clock_settles_a_debit_before_the_approval() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=1_000))
    order = confirmed(desk)
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.INVALID_STATE
    desk.clock.advance(seconds=1)
    assert desk.act(ApproveConversion(order_id=order.id)).order.version == 4


def test_the_operators_rate_counts_as_in_case_31() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    reply = desk.act(ApproveConversion(order_id=order.id, rate=Decimal("1.0838")))
    assert (reply.order.approved_units, reply.order.approved_market_rate) == (2_709_500_000, Decimal("1.0842"))
    assert (reply.order.rate, reply.order.quoted_rate) == (Decimal("1.0842"), Decimal("1.0842"))


def test_without_a_price_only_the_operators_rate_will_do() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    desk.act(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=False))
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.PRICE_UNAVAILABLE
    reply = desk.act(ApproveConversion(order_id=order.id, rate=Decimal("1.0838")))
    assert (reply.order.state, reply.order.approved_market_rate) == ("paying", None)


def test_a_set_price_is_live_until_its_end() -> None:
    desk = PureDesk()
    one, two = confirmed(desk), confirmed(desk)
    desk.act(
        SetPrice(source_asset="EUR", destination_asset="USDC", rate=Decimal("1.2"), lasts_seconds=30),
        caller="operator",
    )
    desk.clock.advance(seconds=29, milliseconds=999)
    reply = desk.act(ApproveConversion(order_id=one.id))
    assert (reply.order.approved_rate, reply.order.approved_market_source) == (Decimal("1.2"), "operator operator")
    desk.clock.advance(milliseconds=1)
    assert desk.act(ApproveConversion(order_id=two.id)).order.approved_rate == Decimal("1.0842")


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_only_an_order_that_waits_for_it_can_be_approved(side: str) -> None:
    desk = PureDesk()
    assert desk.refuse(ApproveConversion(order_id=TREASURY_EUR)) is Code.ORDER_NOT_FOUND
    assert desk.refuse(ApproveConversion(order_id=quoted(desk, side).id)) is Code.INVALID_STATE
    assert desk.refuse(ApproveConversion(order_id=approved(desk, side).id)) is Code.INVALID_STATE


@pytest.mark.parametrize(
    "side, rate, code",
    [
        ("buy", "0.000001", Code.AMOUNT_TOO_SMALL),
        ("buy", "1000", Code.TREASURY_INSUFFICIENT),
        ("sell", "1000", Code.TREASURY_INSUFFICIENT),
    ],
)
def test_what_a_rate_comes_to_is_checked(side: str, rate: str, code: Code) -> None:
    desk = PureDesk()
    order = confirmed(desk, side)
    assert desk.refuse(ApproveConversion(order_id=order.id, rate=Decimal(rate))) is code


def test_two_sells_of_3000_against_5000_cannot_both_be_approved() -> None:
    desk = PureDesk()
    one, two = (confirmed(desk, "sell", 3_000_000_000) for _ in range(2))
    desk.act(ApproveConversion(order_id=one.id))
    assert desk.refuse(ApproveConversion(order_id=two.id)) is Code.SOURCE_CUSTODY_INSUFFICIENT
    assert desk.get(Order, two.id).state == "pending_approval"


def test_a_sells_source_is_looked_at_before_the_treasury() -> None:
    desk = PureDesk()
    order = confirmed(desk, "sell")
    desk.act(Withdraw(account_id=WA1, units=5_000_000_000, reason="gone", reference="r"))
    desk.act(Withdraw(account_id=TREASURY_EUR, units=100_000_000, reason="gone", reference="r"))
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.SOURCE_CUSTODY_INSUFFICIENT


def test_an_approval_needs_what_is_not_held_already() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    other = approved(desk)
    assert other.approved_units is not None
    left = 1_000_000_000_000 - other.approved_units - 2_710_500_000
    desk.act(Withdraw(account_id=TREASURY_USDC, units=left + 1, reason="gone", reference="r"))
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.TREASURY_INSUFFICIENT
    desk.clock.advance(seconds=int(timedelta(days=1).total_seconds()))
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.TREASURY_INSUFFICIENT
