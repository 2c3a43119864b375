"""Limits where orders become binding: what counts, for whom, and that a refusal counts nothing."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.switch_trading import SwitchTrading
from otcdesk.actions.unwind_conversion import RejectConversion
from otcdesk.domain.limits import Limit
from otcdesk.domain.orders import Order
from otcdesk.domain.rules import RuleExecution
from otcdesk.errors import Code
from tests.support import brokerage, checkouts, deposits, payouts, trading
from tests.support.conversions import buying, confirmed, quoted, selling
from tests.support.desk import A, B
from tests.support.limits import limited, refusal, used
from tests.support.payouts import ADA, B1, ramp_desk
from tests.support.pure import PureDesk
from tests.support.trading import TradingDesk

CENT = 1


def stocked_desk() -> PureDesk:
    """Return a desk whose treasury has bought USDC that it can sell."""
    desk = ramp_desk()
    payouts.settled(desk, "400.00")
    return desk


def confirming(order: Order) -> ConfirmConversion:
    return ConfirmConversion(order_id=order.id, side=order.side)


# -- conversions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side, asset, units", [("buy", "EUR", 250_000), ("sell", "USDC", 1_800_000_000)])
def test_a_conversion_counts_as_what_it_is_paid_with_when_it_is_confirmed(side: str, asset: str, units: int) -> None:
    desk = PureDesk()
    limited(desk, A, asset, day=units)
    order = quoted(desk, side)
    assert used(desk, A, asset) == (0, 0)
    desk.act(confirming(order), owner_id=A)
    assert used(desk, A, asset) == (units, units)


@pytest.mark.parametrize("bound", ["day", "month"])
def test_what_is_left_may_be_used_up_to_the_last_unit(bound: str) -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", **{bound: 500_000})
    first, second, third = quoted(desk), quoted(desk, units=250_000), quoted(desk, units=CENT)
    desk.act(confirming(first), owner_id=A)
    desk.act(confirming(second), owner_id=A)
    refused = refusal(desk, confirming(third), A)
    assert (refused.code, refused.facts) == (
        Code.LIMIT_EXCEEDED,
        {"bound": bound, "asset": "EUR", "left_units": 0},
    )
    assert refused.detail == f"Of what may be ordered in a {bound}, 0.00 EUR is left."


def test_the_day_and_the_month_end_by_the_business_clock() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", day=250_000, month=500_000)
    confirmed(desk)
    assert desk.refuse(confirming(quoted(desk, units=CENT)), owner_id=A) is Code.LIMIT_EXCEEDED
    start = desk.clock.now()
    desk.clock.set(start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
    assert desk.clock.now().month == start.month
    confirmed(desk)
    assert used(desk, A, "EUR") == (250_000, 500_000)
    desk.clock.set(desk.clock.now() + timedelta(days=1))
    refused = refusal(desk, confirming(quoted(desk, units=CENT)), A)
    assert refused.facts["bound"] == "month"
    desk.clock.set(desk.clock.now() + timedelta(days=31))
    confirmed(desk)
    assert used(desk, A, "EUR") == (250_000, 250_000)


def test_no_quote_is_given_for_what_no_one_order_may_be() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", order=249_999)
    refused = refusal(desk, buying(), A)
    assert (refused.code, refused.facts["left_units"]) == (Code.LIMIT_EXCEEDED, 249_999)
    assert refused.detail == "One order may be of at most 2499.99 EUR."
    assert quoted(desk, units=249_999).state == "quoted"
    limited(desk, A, "USDC", order=1)
    assert desk.refuse(selling(), owner_id=A) is Code.LIMIT_EXCEEDED


def test_a_quote_is_given_for_what_a_day_would_not_leave() -> None:
    """By the time it is confirmed it may be another day; and what is quoted is not counted."""
    desk = PureDesk()
    limited(desk, A, "EUR", day=1)
    order = quoted(desk)
    assert used(desk, A, "EUR") == (0, 0)
    assert desk.refuse(confirming(order), owner_id=A) is Code.LIMIT_EXCEEDED


def test_a_limit_that_was_lowered_meanwhile_holds_at_the_confirm() -> None:
    desk = PureDesk()
    order = quoted(desk)
    limited(desk, A, "EUR", order=1)
    assert desk.refuse(confirming(order), owner_id=A) is Code.LIMIT_EXCEEDED


def test_limits_are_of_one_asset_and_one_tenant() -> None:
    desk = PureDesk()
    limited(desk, A, "USDC", order=0)
    limited(desk, B, "EUR", order=0)
    assert confirmed(desk).state == "pending_approval"
    assert desk.refuse(selling(), owner_id=A) is Code.LIMIT_EXCEEDED


def test_what_is_not_bounded_is_counted_all_the_same() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR")
    confirmed(desk)
    assert used(desk, A, "EUR") == (250_000, 250_000)


def test_what_was_counted_stays_counted_whatever_becomes_of_the_order() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", day=250_000)
    order = confirmed(desk)
    desk.act(RejectConversion(order_id=order.id, reason="no"))
    assert desk.refuse(confirming(quoted(desk)), owner_id=A) is Code.LIMIT_EXCEEDED


def test_what_was_requoted_counts_once() -> None:
    desk = PureDesk()
    limited(desk, A, "USDC", day=1_800_000_000)
    order = confirmed(desk, "sell")
    requoted = desk.act(RequoteConversion(order_id=order.id, rate=Decimal("0.9"))).order
    desk.act(confirming(requoted), owner_id=A)
    assert used(desk, A, "USDC") == (1_800_000_000, 1_800_000_000)


def test_everything_else_is_refused_before_the_limit() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", day=0)
    order = quoted(desk, units=2_000_000)
    assert desk.refuse(confirming(order), owner_id=A) is Code.SOURCE_CASH_INSUFFICIENT
    desk.clock.set(order.expires_at)
    assert desk.refuse(confirming(order), owner_id=A) is Code.QUOTE_EXPIRED


# -- quotes of brokerage -----------------------------------------------------------------------------------------------


def test_an_accepted_quote_counts_for_its_party_and_its_tenant() -> None:
    desk = brokerage.brokerage_desk()
    limited(desk, brokerage.U, "EUR", day=10_000)
    limited(desk, brokerage.P, "EUR", day=15_000)
    brokerage.accepted(desk, brokerage.quoted(desk).order)
    assert used(desk, brokerage.U, "EUR") == used(desk, brokerage.P, "EUR") == (10_000, 10_000)
    again = brokerage.quoted(desk).order
    refused = refusal(desk, brokerage.accepting(again, "ext-2"), brokerage.P, key="ext-2")
    assert refused.facts == {"bound": "day", "asset": "EUR", "left_units": 5_000}  # the tenant's, which is asked first
    other = brokerage.quoted(desk, amount="50.00", party_id=brokerage.V).order
    brokerage.accepted(desk, other, "ext-3", party_id=brokerage.V)
    assert (used(desk, brokerage.U, "EUR")[0], used(desk, brokerage.P, "EUR")[0]) == (10_000, 15_000)


def test_a_party_past_its_limit_uses_up_nothing_of_its_tenants() -> None:
    desk = brokerage.brokerage_desk()
    limited(desk, brokerage.U, "EUR", day=9_999)
    limited(desk, brokerage.P, "EUR", day=15_000)
    order = brokerage.quoted(desk).order
    assert refusal(desk, brokerage.accepting(order), brokerage.P).code is Code.LIMIT_EXCEEDED
    assert used(desk, brokerage.P, "EUR") == (0, 0)


def test_what_is_sold_counts_in_what_is_sold() -> None:
    desk = brokerage.brokerage_desk()
    limited(desk, brokerage.U, "BTC", order=0)
    sale = brokerage.quoting("sell", "10.00")
    assert desk.refuse(sale, owner_id=brokerage.P) is Code.LIMIT_EXCEEDED
    assert desk.refuse(brokerage.quoting(amount="10.00", party_id=brokerage.U), owner_id=brokerage.Q) is (
        Code.PARTY_NOT_FOUND
    )


def test_a_quote_that_fails_at_once_counts_nothing() -> None:
    desk = brokerage.brokerage_desk()
    limited(desk, brokerage.P, "EUR", day=0)
    order = brokerage.quoted(desk).order
    desk.act(SwitchTrading(asset="BTC", buy_enabled=False))
    accept: AcceptQuote = brokerage.accepting(order)
    assert desk.act(accept, owner_id=brokerage.P).state == "failed"
    assert used(desk, brokerage.P, "EUR") == (0, 0)


def test_a_quote_that_a_limit_has_refused_can_still_be_accepted() -> None:
    desk = brokerage.brokerage_desk()
    limited(desk, brokerage.P, "EUR", day=0)
    order = brokerage.quoted(desk).order
    assert desk.refuse(brokerage.accepting(order), owner_id=brokerage.P, key="ext-1") is Code.LIMIT_EXCEEDED
    limited(desk, brokerage.P, "EUR", day=10_000)
    assert brokerage.accepted(desk, order).state == "in_progress"


# -- payouts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [B1, ADA], ids=["tenant", "party"])
def test_a_payout_counts_as_what_it_costs_when_it_is_sold(subject: UUID) -> None:
    desk = ramp_desk()
    payout = payouts.prepared(desk).prepared
    cost = 110_326_087
    limited(desk, subject, "USDC", day=cost - 1)
    assert desk.refuse(payouts.selling(payout), owner_id=B1) is Code.LIMIT_EXCEEDED
    assert used(desk, subject, "USDC") == (0, 0)
    limited(desk, subject, "USDC", day=cost)
    payouts.sold(desk, payout)
    assert used(desk, subject, "USDC") == (cost, cost)


def test_nothing_is_prepared_that_no_one_payout_may_cost() -> None:
    desk = ramp_desk()
    limited(desk, ADA, "USDC", order=110_326_086)
    assert desk.refuse(payouts.preparing(), owner_id=B1) is Code.LIMIT_EXCEEDED
    limited(desk, ADA, "USDC", order=110_326_087)
    assert payouts.prepared(desk).cost_units == 110_326_087


def test_a_checkout_past_the_limit_stays_open() -> None:
    desk = ramp_desk()
    opened = checkouts.opened(desk).order_id
    limited(desk, B1, "USDC", day=1)
    assert desk.refuse(checkouts.confirming(opened), owner_id=B1) is Code.LIMIT_EXCEEDED
    assert desk.get(Order, opened).state == "open"
    limited(desk, B1, "USDC", day=10**9)
    payout = checkouts.confirmed(desk, opened).payout
    assert payout is not None
    assert used(desk, B1, "USDC")[0] == payout.source_units


def test_a_rules_sale_past_the_limit_is_not_made_and_its_deposit_is() -> None:
    desk = ramp_desk()
    deposits.open_places(desk)
    session = payouts.prepared(desk, delayed=True).prepared.id
    deposits.ruled(desk, deposits.selling_action(session), is_permanent=True)
    limited(desk, B1, "USDC", day=60_000_000)
    had = deposits.current(desk)[0]
    for number in range(2):
        deposits.deposited(desk, deposits.arriving(outside_id=str(number)))
    assert deposits.current(desk)[0] == had + 200_000_000
    first, second = sorted(desk.all(RuleExecution), key=lambda row: row.code is not None)
    assert first.order_id is not None
    assert (second.code, second.order_id) == ("LIMIT_EXCEEDED", None)
    assert used(desk, B1, "USDC")[0] == desk.get(Order, first.order_id).source_units


def test_a_rules_purchase_counts_once_as_the_deposit_that_it_spends() -> None:
    desk = stocked_desk()
    deposits.open_places(desk)
    rule: dict[str, Any] = {"conditions": (deposits.at_least("1", "EUR", None),), "is_permanent": True}
    deposits.ruled(desk, deposits.buying_action(), **rule)
    limited(desk, B1, "EUR", day=10_000)
    limited(desk, B1, "USDC", day=0)
    for number in range(2):
        deposits.deposited(desk, deposits.transferring(outside_id=str(number)))
    assert sorted(row.code or "" for row in desk.all(RuleExecution)) == ["", "LIMIT_EXCEEDED"]
    assert (used(desk, B1, "EUR")[0], used(desk, B1, "USDC")[0]) == (10_000, 0)
    brokerage.assert_balanced(desk)


@pytest.mark.parametrize("subject", [B1, ADA], ids=["tenant", "party"])
def test_a_checkout_that_is_paid_in_is_not_opened_past_the_limit(subject: UUID) -> None:
    desk = stocked_desk()
    for bound in ("order", "day", "month"):
        limited(desk, subject, "EUR", **{bound: 9_999})
        assert desk.refuse(checkouts.opening("fiat_in"), owner_id=B1) is Code.LIMIT_EXCEEDED
    limited(desk, subject, "EUR", day=10_000)
    paid, later = checkouts.opened(desk, "fiat_in"), checkouts.opened(desk, "fiat_in")
    assert paid.checkout is not None
    assert later.checkout is not None
    assert used(desk, subject, "EUR") == (0, 0)
    checkouts.wired(desk, 10_000, paid.checkout.reference)
    assert used(desk, subject, "EUR") == (10_000, 10_000)
    assert desk.refuse(checkouts.opening("fiat_in"), owner_id=B1) is Code.LIMIT_EXCEEDED
    checkouts.wired(desk, 10_000, later.checkout.reference)  # it was opened before
    assert used(desk, subject, "EUR") == (20_000, 20_000)


def test_what_completes_a_checkout_is_bought_whatever_the_limit() -> None:
    desk = stocked_desk()
    opened = checkouts.opened(desk, "fiat_in")
    limited(desk, B1, "EUR", order=0)
    assert opened.checkout is not None
    checkouts.confirmed(desk, opened.order_id, arrival_seconds=3_600)
    checkouts.wired(desk, 10_000, opened.checkout.reference)
    assert desk.get(Order, opened.order_id).state == "settled"
    assert used(desk, B1, "EUR") == (10_000, 10_000)


# -- resale ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [trading.ESTATE, trading.U2], ids=["tenant", "party"])
def test_a_purchase_counts_as_what_is_paid_for_it(subject: UUID) -> None:
    desk = TradingDesk()
    listed = desk.listed(4, "2.5")
    limited(desk, subject, "VUSD", day=7_500_000)
    assert desk.refused(trading.buying(listed, 4)) is Code.LIMIT_EXCEEDED
    desk.tell(trading.buying(listed, 3))
    assert used(desk, subject, "VUSD") == (7_500_000, 7_500_000)
    assert desk.refused(trading.buying(listed, 1)) is Code.LIMIT_EXCEEDED
    assert desk.refused(trading.buying_unsold(1)) is Code.LIMIT_EXCEEDED
    desk.assert_sound()


def test_listing_and_taking_count_nothing() -> None:
    desk = TradingDesk()
    for asset in ("VUSD", "EXT"):
        limited(desk, trading.ESTATE, asset, order=0)
    desk.tell(trading.taking(desk.listed(4, "2.5", "otc")))
    assert used(desk, trading.ESTATE, "VUSD") == used(desk, trading.ESTATE, "EXT") == (0, 0)


def test_a_bid_counts_for_its_bidder_when_it_is_accepted_and_the_lister_hears_no_more() -> None:
    desk = TradingDesk()
    listed = desk.listed(4, "2.5", "otc")
    limited(desk, trading.U2, "VUSD", order=4_000_000, day=5_000_000)
    assert desk.refused(trading.bidding(listed, 4)) is Code.LIMIT_EXCEEDED
    bids = [desk.tell(trading.bidding(listed, 2, "2")).order.id for _ in range(2)]
    assert used(desk, trading.U2, "VUSD") == (0, 0)
    desk.tell(trading.accepting(bids[0]))
    assert used(desk, trading.U2, "VUSD") == (4_000_000, 4_000_000)
    refused = refusal(desk, trading.accepting(bids[1]), trading.ESTATE)
    assert (refused.code, refused.facts) == (Code.LIMIT_EXCEEDED, {})
    assert refused.detail == "Whoever made this counter may not buy as much now."
    desk.assert_sound()


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_who_has_no_limits_is_asked_for_none() -> None:
    """A row that is not there would be looked for in the database, in every batch anew."""
    desk = PureDesk()
    looked_for: list[object] = []
    rows = desk.rows

    class Watched(dict):  # type: ignore[type-arg]
        def __contains__(self, key: object) -> bool:
            looked_for.append(key)
            return super().__contains__(key)

    desk.rows = Watched(rows)
    confirmed(desk)
    assert looked_for
    assert not [key for key in looked_for if isinstance(key, tuple) and key[0] is Limit]
