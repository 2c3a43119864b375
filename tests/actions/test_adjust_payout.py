"""Adjusting: what a settled payout took is corrected either way, in an order of its own."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from otcdesk.actions.adjust_payout import AdjustPayout, PayoutAdjusted
from otcdesk.actions.move_value import BookingSeen
from otcdesk.actions.second_proposal import SecondProposal
from otcdesk.domain import duties
from otcdesk.domain.guards import Guard
from otcdesk.domain.ledger import Account, LedgerTransaction
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import Payment, current_id
from otcdesk.errors import Code
from tests.support.brokerage import assert_balanced
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    current,
    of_the_desk,
    pending,
    ramp_desk,
    recorded,
    refused,
    returning,
    settled,
    told_of,
)
from tests.support.pure import PureDesk

AVAILABLE = 389_673_913  # after a payout of the contract's example


def adjusting(order: Order, side: Any = "credit", units: int = 5, **fields: Any) -> AdjustPayout:
    return AdjustPayout(order_id=order.id, side=side, units=units, reason="wrong rate", **fields)


def adjusted(desk: PureDesk, order: Order, side: str = "credit", units: int = 5, **fields: Any) -> PayoutAdjusted:
    reply: PayoutAdjusted = desk.act(adjusting(order, side, units, **fields), caller="operator")
    return reply


@pytest.mark.parametrize("side, units, ours", [("credit", 5, -5), ("debit", 7, 7)])
def test_an_adjustment_moves_the_asset_and_leaves_the_payout_as_it_was(side: str, units: int, ours: int) -> None:
    desk = ramp_desk()
    paid = settled(desk)
    about = desk.get(Payment, paid.id)
    desk.clock.advance(seconds=60)
    reply = adjusted(desk, paid, side, units)
    order, payment = reply.order, reply.payment
    assert (desk.get(Order, order.id), desk.get(Payment, order.id)) == (order, payment)
    assert (desk.get(Order, paid.id), desk.get(Payment, paid.id)) == (paid, about)
    assert (order.side, order.state, order.version, order.reason) == (side, "settled", 2, "wrong rate")
    assert (order.tenant_id, order.source_units, order.destination_units) == (B1, units, units)
    assert (order.source_asset, order.destination_asset, order.rate) == ("USDC", "USDC", Decimal(1))
    theirs = order.destination_account_id if side == "credit" else order.source_account_id
    assert theirs == current_id(B1, "USDC")
    assert (order.created_at, order.ended_at) == (desk.clock.now(), desk.clock.now())
    assert (payment.kind, payment.asset, payment.adjusts_id) == ("adjustment", "USDC", paid.id)
    assert (payment.party_id, payment.external_id, payment.returns_id) == (ADA, "inv-1", None)
    assert (payment.fiat, payment.fiat_units, payment.fee_units, payment.rate) == (None, 0, 0, None)
    assert payment.adjustment_id not in {None, order.id, paid.id}
    assert current(desk) == (AVAILABLE - ours, AVAILABLE - ours)
    assert of_the_desk(desk, "USDC") == {"treasury": 110_326_087, "adjustment": ours}
    (transaction,) = [row for row in desk.all(LedgerTransaction) if row.order_id == order.id]
    assert (transaction.reason, transaction.caller) == ("payout adjustment: wrong rate", "operator")
    assert told_of(desk, order) == [(2, "payout.settle", "settled", "wrong rate")]
    assert [row.order_id for row in desk.all(Trade)] == [paid.id]  # nothing was sold or bought
    assert_balanced(desk)


def test_adjustments_that_belong_together_share_an_id() -> None:
    desk = ramp_desk()
    one, two = settled(desk), settled(desk, "20")
    first = adjusted(desk, one).payment.adjustment_id
    assert first is not None
    assert adjusted(desk, two, adjustment_id=first).payment.adjustment_id == first
    assert adjusted(desk, one).payment.adjustment_id != first


def test_a_key_adjusts_once_and_means_one_adjustment() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    first = desk.act(adjusting(paid), key="a-1")
    rows = dict(desk.rows)
    assert desk.act(adjusting(paid), key="a-1") == first
    assert desk.rows == rows
    assert desk.refuse(adjusting(paid, units=6), key="a-1") is Code.KEY_REUSED


def test_a_debit_takes_what_is_available_and_not_more() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    waiting = pending(desk)
    available = AVAILABLE - waiting.source_units
    assert desk.refuse(adjusting(paid, "debit", available + 1)) is Code.BALANCE_INSUFFICIENT
    adjusted(desk, paid, "debit", available)
    assert current(desk) == (0, waiting.source_units)
    largest = 10**38 - waiting.source_units  # with what is held it fills the account
    assert desk.refuse(adjusting(paid, "credit", largest + 1)) is Code.AMOUNT_TOO_LARGE
    adjusted(desk, paid, "credit", largest)
    assert_balanced(desk)


def test_a_credit_needs_no_balance() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    adjusted(desk, paid, "debit", AVAILABLE)
    adjusted(desk, paid, "credit", 1)
    assert current(desk) == (1, 1)
    assert desk.get(Account, current_id(B2, "USDC")).version == 1


@pytest.mark.parametrize(
    "units, code", [(0, Code.AMOUNT_TOO_SMALL), (-1, Code.AMOUNT_TOO_SMALL), (10**38 + 1, Code.AMOUNT_TOO_LARGE)]
)
@pytest.mark.parametrize("side", ["credit", "debit"])
def test_amounts_that_cannot_be_booked(side: str, units: int, code: Code) -> None:
    desk = ramp_desk()
    assert desk.refuse(adjusting(settled(desk), side, units)) is code


def test_only_a_settled_payout_is_adjusted() -> None:
    desk = ramp_desk()
    paid = settled(desk)
    order = pending(desk)
    others = [
        (order, Code.INVALID_STATE),
        (desk.act(returning(paid)).order, Code.INVALID_STATE),
        (adjusted(desk, paid).order, Code.INVALID_STATE),
        (order.with_(id=UUID(int=7)), Code.ORDER_NOT_FOUND),
    ]
    for other, code in others:
        assert desk.refuse(adjusting(other)) is code
        assert desk.refuse(adjusting(other, units=0)) is code  # before the amount is looked at
    recorded(desk, refused(order))
    assert desk.refuse(adjusting(order)) is Code.INVALID_STATE
    desk.put(order.with_(product="conversion"))
    assert desk.refuse(adjusting(order)) is Code.ORDER_NOT_FOUND


@pytest.mark.parametrize("side, units", [("credit", 2_000_000), ("debit", -2_000_000)])
def test_a_large_adjustment_takes_two_people(side: str, units: int) -> None:
    desk = ramp_desk()
    paid = settled(desk)
    desk.put(Guard(asset="USDC", second_from_units=2_000_000))
    adjusted(desk, paid, side, 1_999_999)
    before = current(desk)
    waits = adjusted(desk, paid, side, 2_000_000)
    assert waits.proposal is not None
    assert (waits.order, waits.payment, current(desk)) == (paid, desk.get(Payment, paid.id), before)
    seen = msgspec.json.decode(waits.proposal.seen, type=BookingSeen)
    assert (waits.proposal.duty, waits.proposal.subject_id) == (duties.PAYOUTS_SETTLE, current_id(B1, "USDC"))
    assert (seen.units, seen.balance_after, seen.reference) == (units, before[0] + units, str(paid.id))
    command = SecondProposal(proposal_id=waits.proposal.id)
    assert desk.refuse(command, caller="operator") is Code.SAME_PERSON
    answered = desk.act(command, caller="another").answered()
    assert (answered.proposal, answered.order.side, answered.payment.adjusts_id) == (None, side, paid.id)
    assert current(desk) == (before[0] + units, before[1] + units)
