"""Confirming a checkout: once, at the price of the moment, and within what its tenant has allowed."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.confirm_checkout import CancelCheckout
from otcdesk.domain.checkouts import ASSET_IN, FIAT_IN, Checkout
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import Payment, PreparedPayout
from otcdesk.errors import Code
from tests.support.checkouts import confirmed, confirming, opened
from tests.support.payouts import ADA, B1, B2, DE, US, moved_price, ramp_desk


def test_it_prepares_and_sells_in_one_step() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    moved = confirmed(desk, order_id)
    assert moved.payout is not None
    order, payout, payment = (
        desk.get(Order, order_id),
        desk.get(Order, moved.payout.id),
        desk.get(Payment, moved.payout.id),
    )
    assert (order.state, order.due_at, order.confirmed_at) == ("confirmed", None, order.updated_at)
    assert (payout.product, payout.state, payout.source_units) == ("payout", "pending", 110_326_087)
    assert (payment.checkout_id, payment.party_id, payment.channel_id) == (order_id, ADA, DE)
    assert (payment.ceiling, payment.external_id) == (Decimal("111.429348"), "cart-7")
    assert desk.get(PreparedPayout, payment.prepared_id).order_id == payout.id
    assert {event.name for event in desk.all(Event) if event.order_id == order_id} == {
        "checkout.open",
        "checkout.confirm",
    }


def test_a_second_confirmation_pays_nothing_more() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    confirmed(desk, order_id)
    holds, payments = desk.all(Hold), desk.all(Payment)
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.CHECKOUT_OVER
    assert (desk.all(Hold), desk.all(Payment)) == (holds, payments)


def test_the_price_is_that_of_the_moment() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    desk.act(moved_price("0.95"))
    payout = confirmed(desk, order_id).payout
    assert payout is not None
    assert payout.source_units == 106_842_106


@pytest.mark.parametrize(
    "fields, code",
    [
        ({"channel_id": uuid4()}, Code.CHANNEL_NOT_FOUND),
        ({"channel_id": None}, Code.CHANNEL_NOT_FOUND),
        ({"given": None}, Code.CHANNEL_NOT_FOUND),
        ({"channel_id": US}, Code.CHANNEL_NOT_FOUND),  # it pays another fiat
        ({"order_id": uuid4()}, Code.CHECKOUT_NOT_FOUND),
    ],
)
def test_what_is_refused(fields: dict[str, Any], code: Code) -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    assert desk.refuse(confirming(**{"order_id": order_id, **fields}), owner_id=B1) is code
    assert desk.get(Order, order_id).state == "open"


def test_above_its_ceiling_it_stays_open() -> None:
    desk = ramp_desk()
    order_id = opened(desk, ceiling=Decimal("110.326086")).order_id
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.CEILING_EXCEEDED
    assert desk.get(Order, order_id).state == "open"
    exact = opened(desk, ceiling=Decimal("110.326087")).order_id
    assert confirmed(desk, exact).order.state == "confirmed"


def test_what_its_tenant_does_not_have_is_refused() -> None:
    desk = ramp_desk()
    order_id = opened(desk, amount="500.00", ceiling=Decimal(1_000)).order_id
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.PAYOUT_NOT_COVERED


@pytest.mark.parametrize(
    "name, code", [("cust-unverified", Code.PARTY_UNVERIFIED), ("cust-inactive", Code.PARTY_INACTIVE)]
)
def test_who_may_not_be_paid_is_refused(name: str, code: Code) -> None:
    desk = ramp_desk()
    assert desk.refuse(confirming(opened(desk, party=name).order_id), owner_id=B1) is code


def test_another_tenants_checkout_is_unknown() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    assert desk.refuse(confirming(order_id), owner_id=B2) is Code.CHECKOUT_NOT_FOUND
    assert desk.refuse(CancelCheckout(order_id=order_id), owner_id=B2) is Code.CHECKOUT_NOT_FOUND


def test_too_late_is_too_late_and_in_time_is_in_time() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    in_time = desk.clock.now()
    desk.clock.advance(seconds=3_600)
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.CHECKOUT_OVER
    assert desk.refuse(CancelCheckout(order_id=order_id), owner_id=B1) is Code.CHECKOUT_OVER
    desk.act(confirming(order_id), owner_id=B1, arrived_at=in_time)
    assert desk.get(Order, order_id).state == "confirmed"


def test_turned_down_it_is_over() -> None:
    desk = ramp_desk()
    order_id = opened(desk).order_id
    after = desk.act(CancelCheckout(order_id=order_id), owner_id=B1).order
    assert (after.state, after.reason, after.due_at) == ("failed", "turned down", None)
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.CHECKOUT_OVER
    assert not desk.all(Payment)


@pytest.mark.parametrize("side", [ASSET_IN, FIAT_IN])
def test_what_is_to_be_paid_in_is_waited_for(side: str) -> None:
    desk = ramp_desk()
    order_id = opened(desk, side).order_id
    moved = confirmed(desk, order_id, arrival_seconds=86_400)
    assert moved.payout is None
    assert (moved.order.state, moved.order.due_at) == ("confirmed", moved.order.updated_at + timedelta(days=1))
    desk.clock.advance(seconds=86_400)
    assert desk.refuse(confirming(order_id), owner_id=B1) is Code.CHECKOUT_OVER


def test_what_it_is_about_never_changes() -> None:
    desk = ramp_desk()
    first = opened(desk)
    confirmed(desk, first.order_id)
    assert desk.get(Checkout, first.order_id) == first.checkout
