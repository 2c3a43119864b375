"""Requoting an order whose source was not taken."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.publish_price import PublishPrice, SwitchFeed
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.errors import Code
from tests.support.conversions import OPENING, approved, balances, confirmed, quoted
from tests.support.desk import FA1, A
from tests.support.pure import PureDesk


def test_a_requote_gives_a_new_rate_and_a_new_lifetime() -> None:
    desk = PureDesk()
    order = quoted(desk)
    now = desk.clock.advance(seconds=50)
    after = desk.act(RequoteConversion(order_id=order.id, rate=Decimal("1.1"), ttl_seconds=30), caller="op").order
    assert (after.state, after.rate, after.destination_units) == ("requoted", Decimal("1.1"), 2_750_000_000)
    assert after.expires_at == after.due_at == now + timedelta(seconds=30)
    assert (after.quoted_by, after.quoted_at, after.ttl_seconds) == ("op", now, 30)
    assert desk.act(ConfirmConversion(order_id=order.id, side="buy"), owner_id=A).state == "debit_pending"


def test_without_a_rate_the_live_price_counts_for_the_terms_lifetime() -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.act(
        PublishPrice(
            source_asset="EUR", destination_asset="USDC", rate=Decimal("1.2"), feed="feed", stale_after_ms=None
        )
    )
    after = desk.act(RequoteConversion(order_id=order.id)).order
    assert (after.rate, after.market_source, after.ttl_seconds) == (Decimal("1.2"), "feed", 60)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_expired_order_lives_again(recorded: bool) -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.clock.advance(seconds=3_600)
    if recorded:
        assert desk.act(RecordDue(order_ids=[order.id])).recorded == 1
    after = desk.act(RequoteConversion(order_id=order.id)).order
    assert (after.state, after.ended_at, after.version) == ("requoted", None, 3)


def test_a_sell_that_waits_for_approval_must_be_confirmed_again() -> None:
    desk = PureDesk()
    order = confirmed(desk, "sell")
    assert desk.act(RequoteConversion(order_id=order.id)).order.state == "requoted"
    assert desk.act(ConfirmConversion(order_id=order.id, side="sell"), owner_id=A).state == "pending_approval"
    assert balances(desk) == OPENING


def test_what_was_taken_or_approved_can_not_be_requoted() -> None:
    desk = PureDesk()
    assert desk.refuse(RequoteConversion(order_id=FA1)) is Code.ORDER_NOT_FOUND
    for order in (confirmed(desk), approved(desk), approved(desk, "sell")):
        assert desk.refuse(RequoteConversion(order_id=order.id)) is Code.INVALID_STATE


def test_prices_and_amounts_are_checked() -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.act(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=False))
    assert desk.refuse(RequoteConversion(order_id=order.id)) is Code.PRICE_UNAVAILABLE
    small = RequoteConversion(order_id=order.id, rate=Decimal("0.000001"))
    assert desk.refuse(small) is Code.AMOUNT_TOO_SMALL
    large = quoted_large(desk)
    assert desk.refuse(RequoteConversion(order_id=large, rate=Decimal(10**12))) is Code.AMOUNT_TOO_LARGE


def quoted_large(desk: PureDesk) -> UUID:
    desk.act(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=True))
    return quoted(desk, units=10**26).id
