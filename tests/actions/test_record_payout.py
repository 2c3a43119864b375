"""A rail's word on a payout is booked once, to the unit; and so is what comes back, in an order of its own."""

from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.actions.record_payout import RecordPayout
from otcdesk.actions.review_payout import CancelPayout, HoldPayout
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, LedgerTransaction, Posting, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import FEE_INCOME, Payment, current_id, return_id, surcharge_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.brokerage import assert_balanced, open_holds
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    BR,
    DE,
    JP,
    KW,
    SEPA_FILE,
    current,
    done,
    held_of,
    moved_price,
    of_the_desk,
    pending,
    prepared,
    ramp_desk,
    recorded,
    refused,
    returning,
    settled,
    sold,
    told_of,
    treasury_of,
    withheld,
)
from tests.support.pure import PureDesk

CURRENT = current_id(B1, "USDC")
EUROS = 100_000_000  # with which the treasury begins, in cents


def booked_for(desk: PureDesk, order: Order) -> list[LedgerTransaction]:
    return [row for row in desk.all(LedgerTransaction) if row.order_id == order.id]


def test_a_settled_payout_moves_both_sides_as_in_case_5() -> None:
    desk = ramp_desk()
    order = pending(desk)
    desk.clock.advance(seconds=60)
    after = recorded(desk, done(order, "UETR-1"))
    assert desk.get(Order, order.id) == after
    assert (after.state, after.version, after.ended_at) == ("settled", 3, desk.clock.now())
    assert (after.waits_for, after.rail_reference, after.pay_hold_id, after.collect_hold_id) == (None,) * 4
    assert current(desk) == (389_673_913, 389_673_913)
    assert of_the_desk(desk, "USDC") == {"treasury": 110_326_087}
    assert of_the_desk(desk, "EUR") == {"treasury": EUROS - 10_150, "outside": 10_000, "fee_income": 150}
    assert {state for _, state in held_of(desk, order).values()} == {"captured"}
    (transaction,) = booked_for(desk, order)
    assert (transaction.reason, transaction.reference) == ("payout", f"{order.id}:payout")
    postings = sorted(
        (row.number, row.asset, row.units) for row in desk.all(Posting) if row.transaction_id == transaction.id
    )
    assert postings == [(1, "USDC", 110_326_087), (2, "EUR", 10_000), (3, "EUR", 150)]
    assert told_of(desk, order)[1:] == [(3, "payout.settle", "settled", "UETR-1")]
    assert_balanced(desk)


def test_the_trade_says_every_rate_that_led_to_it() -> None:
    desk = ramp_desk()
    desk.act(moved_price("0.93"))
    order = pending(desk)
    desk.act(moved_price("0.5"))
    desk.clock.advance(seconds=60)
    after = recorded(desk, done(order))
    (trade,) = desk.all(Trade)
    assert (trade.order_id, trade.tenant_id) == (order.id, B1)
    assert (trade.source_asset, trade.source_units) == ("USDC", order.source_units)
    assert (trade.destination_asset, trade.destination_units) == ("EUR", 10_000)
    assert (trade.executed_rate, trade.executed_by, trade.executed_at) == (after.rate, "rail", desk.clock.now())
    assert (trade.market_rate, trade.market_source, trade.market_at) == (Decimal("0.93"), "tests", order.market_at)
    assert (trade.quoted_rate, trade.quoted_by, trade.quoted_at) == (Decimal("0.93"), "key", order.quoted_at)


def test_a_failed_payout_gives_everything_back_as_in_case_6() -> None:
    desk = ramp_desk()
    order = pending(desk)
    after = recorded(desk, refused(order, "account closed"))
    assert (after.state, after.reason, after.ended_at) == ("failed", "account closed", desk.clock.now())
    assert (after.waits_for, after.rail_reference, after.pay_hold_id, after.collect_hold_id) == (None,) * 4
    assert current(desk) == (500_000_000, 500_000_000)
    assert of_the_desk(desk, "EUR") == {"treasury": EUROS}
    assert treasury_of(desk, "EUR").held == 0
    assert {state for _, state in held_of(desk, order).values()} == {"released"}
    assert (booked_for(desk, order), desk.all(Trade)) == ([], [])
    assert told_of(desk, order)[1:] == [(3, "payout.fail", "failed", "account closed")]
    assert_balanced(desk)


def test_the_surcharge_is_the_tenants() -> None:
    desk = ramp_desk()
    order = settled(desk, tenant=B2)
    assert of_the_desk(desk, "EUR") == {"treasury": EUROS - 10_200, "outside": 10_000, "fee_income": 150}
    assert withheld(desk, B2) == 50
    kept = desk.get(Account, surcharge_id(B2, "EUR"))
    assert (kept.owner_id, kept.purpose, kept.floor) == (B2, "surcharge", 0)
    assert withheld(desk, B1) == 0
    assert current(desk, B2) == (1_000_000_000 - order.source_units,) * 2
    settled(desk, tenant=B2)
    assert withheld(desk, B2) == 100
    assert_balanced(desk)


def test_what_costs_nothing_books_nothing() -> None:
    desk = ramp_desk()
    order = settled(desk, "10", channel_id=BR)
    assert of_the_desk(desk, "BRL") == {"treasury": 100_000_000 - 1_009, "outside": 1_000, "fee_income": 9}
    income = desk_account_id(FEE_INCOME, "JPY")
    desk.put(desk.get(Account, desk_account_id(TREASURY, "JPY")))
    free = pending(desk, "100", channel_id=JP)
    desk.put(desk.get(Payment, free.id).with_(fee_units=0))
    recorded(desk, done(free))
    assert (Account, income) not in desk.rows
    (transaction,) = booked_for(desk, free)
    assert [row.asset for row in desk.all(Posting) if row.transaction_id == transaction.id] == ["USDC", "JPY"]
    assert order.state == "settled"


@pytest.mark.parametrize(
    "channel_id, arrives, fiat, moved",
    [
        (JP, "1000", "JPY", (1_150, 1_000, 150)),
        (KW, "1.001", "KWD", (1_007, 1_001, 6)),
        (SEPA_FILE, "1", "EUR", (135, 100, 35)),
    ],
)
def test_every_fiat_and_rail_is_booked_alike(
    channel_id: UUID, arrives: str, fiat: str, moved: tuple[int, int, int]
) -> None:
    desk = ramp_desk()
    opened = treasury_of(desk, fiat).balance
    settled(desk, arrives, channel_id=channel_id)
    left, outside, income = opened - moved[0], moved[1], moved[2]
    assert of_the_desk(desk, fiat) == {"treasury": left, "outside": outside, "fee_income": income}
    assert_balanced(desk)


@pytest.mark.parametrize("outcome, other", [("done", "refused"), ("refused", "done")])
def test_a_word_is_booked_once_however_often_and_whatever_is_told(outcome: str, other: str) -> None:
    desk = ramp_desk()
    order = pending(desk)
    say = {"done": done(order), "refused": refused(order)}
    after = recorded(desk, say[outcome])
    rows = dict(desk.rows)
    for again, agrees in ((outcome, True), (other, False)):
        reply = desk.act(say[again])
        assert (reply.order, reply.applied, reply.agrees) == (after, False, agrees)
    assert desk.rows == rows


def test_another_references_word_is_not_booked_and_says_nothing_of_one_that_waits() -> None:
    desk = ramp_desk()
    order = pending(desk)
    rows = dict(desk.rows)
    for stray in (done(order, reference="another"), refused(order, reference=f"{order.id}:return")):
        reply = desk.act(stray)
        assert (reply.order, reply.applied, reply.agrees) == (order, False, True)
    assert desk.rows == rows


def test_a_word_on_a_payout_that_is_held_or_cancelling_is_booked() -> None:
    for word, state in ((done, "settled"), (refused, "failed")):
        desk = ramp_desk()
        order = pending(desk)
        desk.act(HoldPayout(order_id=order.id, reason="looked into"))
        after = recorded(desk, word(order))
        assert (after.state, after.reason) == (state, {"settled": None, "failed": "account closed"}[state])
        assert open_holds(desk) == 0
        assert_balanced(desk)
        order = pending(desk)
        desk.act(HoldPayout(order_id=order.id, reason="looked into"))
        desk.act(CancelPayout(order_id=order.id, reason="no"))
        assert recorded(desk, word(order)).state == state
        assert open_holds(desk) == 0
        assert_balanced(desk)


def test_why_it_was_cancelled_stays_unless_the_rail_knows_better() -> None:
    for detail, reason in ((None, "no papers"), ("recalled", "recalled")):
        desk = ramp_desk()
        order = pending(desk)
        desk.act(HoldPayout(order_id=order.id, reason="looked into"))
        desk.act(CancelPayout(order_id=order.id, reason="no papers"))
        assert recorded(desk, refused(order, detail)).reason == reason
    desk = ramp_desk()
    order = pending(desk)
    desk.act(HoldPayout(order_id=order.id, reason="looked into"))
    assert recorded(desk, refused(order, None)).reason is None  # that it was looked into is not why it failed


def test_a_payout_that_does_not_exist_has_no_outcome() -> None:
    desk = ramp_desk()
    assert desk.refuse(RecordPayout(order_id=UUID(int=7), reference="r", outcome="done")) is Code.ORDER_NOT_FOUND


def test_an_order_of_another_product_has_no_payout() -> None:
    desk = ramp_desk()
    order = pending(desk)
    desk.put(order.with_(product="conversion"))
    assert desk.refuse(done(order)) is Code.ORDER_NOT_FOUND
    assert desk.refuse(returning(order)) is Code.ORDER_NOT_FOUND


# -- what comes back --------------------------------------------------------------------------------------------------


def test_what_comes_back_is_credited_at_the_price_of_the_payout_without_the_fee() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    desk.act(moved_price("0.5"))
    desk.clock.advance(seconds=3_600)
    reply = desk.act(returning(paid), caller="bank")
    order = desk.get(Order, return_id(paid.id))
    assert (reply.order, reply.applied, reply.agrees) == (order, True, True)
    assert (order.side, order.state, order.version, order.reason) == ("buy", "settled", 2, "no such account")
    assert (order.source_asset, order.source_units) == ("EUR", 10_000)
    assert (order.destination_account_id, order.destination_asset) == (CURRENT, "USDC")
    assert (order.destination_units, order.rate) == (108_695_652, Decimal("0.92"))  # cut
    assert (order.created_at, order.ended_at, order.tenant_id) == (desk.clock.now(), desk.clock.now(), B1)
    assert desk.get(Order, paid.id) == paid
    about, payout = desk.get(Payment, order.id), desk.get(Payment, paid.id)
    assert (about.kind, about.returns_id, about.fiat_units, about.fee_units) == ("return", paid.id, 10_000, 0)
    assert (about.party_id, about.channel_id, about.method_id) == (ADA, DE, payout.method_id)
    assert (about.external_id, about.rate, about.ceiling, about.prepared_id) == ("inv-1", paid.rate, None, None)
    assert current(desk) == (389_673_913 + 108_695_652,) * 2
    assert of_the_desk(desk, "EUR") == {"treasury": EUROS - 150, "fee_income": 150}
    assert of_the_desk(desk, "USDC") == {"treasury": 110_326_087 - 108_695_652}
    (transaction,) = booked_for(desk, order)
    assert (transaction.reason, transaction.reference) == ("payout return", "bank-9")
    assert told_of(desk, order) == [(2, "payout.settle", "settled", "bank-9")]
    trade = desk.get(Trade, order.id)
    assert (trade.source_units, trade.destination_units, trade.executed_by) == (10_000, 108_695_652, "bank")
    assert_balanced(desk)


def test_the_price_of_the_sale_counts_and_not_that_of_its_preparation() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    desk.act(moved_price("0.8"))
    order = sold(desk, payout).order
    assert order is not None
    back = desk.act(returning(recorded(desk, done(order)), 8_000)).order
    assert (back.destination_units, back.rate, back.quoted_rate) == (100_000_000, Decimal("0.8"), Decimal("0.8"))


def test_a_part_may_come_back() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    order = desk.act(returning(paid, 1)).order
    assert (order.source_units, order.destination_units) == (1, 10_869)
    assert of_the_desk(desk, "EUR")["outside"] == 9_999
    assert_balanced(desk)


def test_it_comes_back_once() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    first = desk.act(returning(paid, 5_000)).order
    rows = dict(desk.rows)
    for units, agrees in ((5_000, True), (4_999, False), (10_000, False), (10_001, False)):
        reply = desk.act(returning(paid, units))
        assert (reply.order, reply.applied, reply.agrees) == (first, False, agrees)
    assert desk.rows == rows


@pytest.mark.parametrize("units", [0, -1, 10_001, 10**38])
def test_not_more_comes_back_than_was_paid_and_not_nothing(units: int) -> None:
    desk = ramp_desk()
    assert desk.refuse(returning(settled(desk), units)) is Code.RETURN_EXCEEDS_PAYOUT


def test_only_what_is_settled_comes_back() -> None:
    desk = ramp_desk()
    order = pending(desk)
    assert desk.refuse(returning(order)) is Code.INVALID_STATE
    recorded(desk, refused(order))
    assert desk.refuse(returning(order)) is Code.INVALID_STATE
    back = desk.act(returning(settled(desk), 5_000)).order
    assert desk.refuse(returning(back, 1)) is Code.INVALID_STATE  # what came back does not come back
    assert desk.refuse(returning(order.with_(id=UUID(int=7)))) is Code.ORDER_NOT_FOUND


def test_what_buys_nothing_is_too_small() -> None:
    desk = ramp_desk()
    desk.act(moved_price("1000000", "BTC"))
    paid = settled(desk, tenant=B2, asset="BTC")
    desk.put(desk.get(Order, paid.id).with_(rate=Decimal(2_000_000)))
    assert desk.refuse(returning(paid, 1)) is Code.AMOUNT_TOO_SMALL
    assert desk.act(returning(paid, 2)).order.destination_units == 1


def test_the_desk_gives_back_only_what_it_still_has() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    treasury = treasury_of(desk, "USDC")
    desk.put(treasury.with_(held=treasury.balance - 108_695_651))
    assert desk.refuse(returning(paid)) is Code.TREASURY_INSUFFICIENT
    desk.put(treasury.with_(held=treasury.balance - 108_695_652))
    assert desk.act(returning(paid)).applied


def test_what_comes_back_is_counted_or_refused() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    outside = desk.get(Account, desk_account_id(OUTSIDE, "EUR"))
    desk.put(outside.with_(balance=-UNITS_MAX + 9_999))
    assert desk.refuse(returning(paid)) is Code.AMOUNT_TOO_LARGE
    desk.put(outside.with_(balance=-UNITS_MAX + 10_000))
    assert desk.act(returning(paid)).applied
