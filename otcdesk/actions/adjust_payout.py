"""Correct what a payout took, in an order of its own: the payout stays what it was.

No bank says how much is right, so it is a booking of the operator's like any other adjustment, and what is too large
for one person waits for a second one.
"""

from decimal import Decimal
from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, check_fits, own_account, post
from otcdesk.actions.four_eyes import second_needed
from otcdesk.actions.move_value import booking_seen, counter_account
from otcdesk.actions.order_checks import found_order
from otcdesk.actions.record_payout import payment_of
from otcdesk.domain import duties
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import ADJUSTMENT as ADJUSTMENTS
from otcdesk.domain.ledger import Account, desk_account_id
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.payouts import (
    ADJUSTMENT,
    AT_ONCE,
    CREDIT,
    CURRENT,
    DEBIT,
    PRODUCT,
    SETTLE,
    SETTLED,
    Payment,
    current_id,
    event_of,
    moved,
)
from otcdesk.domain.proposals import Proposal
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX

#: What one of an asset is worth in the same.
ONE = Decimal(1)


class AdjustPayout(Command, frozen=True, kw_only=True):
    """Give the tenant back so many units of what a settled payout took (credit), or take so many more (debit)."""

    order_id: UUID
    side: Literal["credit", "debit"]
    units: int
    reason: str
    adjustment_id: UUID | None = None


class PayoutAdjusted(Reply, frozen=True, kw_only=True):
    """The order that corrects, and what it is about; or the payout as it is, and the proposal that waits."""

    order: Order
    payment: Payment
    proposal: Proposal | None = None


def adjust_payout(command: AdjustPayout, books: Books, moment: Moment) -> PayoutAdjusted:
    """Correct the exchange rate of a settled payout, or propose to (ramp contract 3.1, `AdjustmentFor`).

    Corrections that belong together share an `adjustment_id`; without one it is the first of its own. Refuses
    ORDER_NOT_FOUND, INVALID_STATE for what is not settled, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, BALANCE_INSUFFICIENT.
    """
    books.want((Order, command.order_id), (Payment, command.order_id))
    corrected = found_order(books, command.order_id, PRODUCT, None)
    if corrected.side != SELL or corrected.state != SETTLED:
        raise Refusal(Code.INVALID_STATE)
    if command.units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if command.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    asset, about = corrected.source_asset, payment_of(books, corrected)
    current = current_id(corrected.tenant_id, asset)
    books.want((Account, current), (Account, desk_account_id(ADJUSTMENTS, asset)))
    theirs = own_account(books, current, CURRENT, asset, corrected.tenant_id)
    if command.side == DEBIT and not theirs.covers(command.units):
        raise Refusal(Code.BALANCE_INSUFFICIENT)
    given = command.units if command.side == CREDIT else -command.units
    check_fits(books, desk_account_id(ADJUSTMENTS, asset), current, given)
    proposal = second_needed(
        books,
        moment,
        action=adjust_payout,
        command=command,
        duty=duties.PAYOUTS_SETTLE,
        subject_id=current,
        stakes=((asset, given),),
        exclusive=False,
        seen=booking_seen(theirs, given, command.reason, str(corrected.id)),
    )
    if proposal is not None:
        return PayoutAdjusted(order=corrected, payment=about, proposal=proposal)
    ours = counter_account(books, ADJUSTMENTS, asset)
    source, destination = (ours, theirs) if command.side == CREDIT else (theirs, ours)
    order = _order(command, moment, corrected, source, destination)
    post(
        books,
        moment,
        [Move(source, destination, command.units)],
        transaction_id=moment.new_id(1),
        reason=f"payout adjustment: {command.reason}",
        order_id=order.id,
    )
    payment = Payment(
        order_id=order.id,
        tenant_id=order.tenant_id,
        kind=ADJUSTMENT,
        asset=asset,
        party_id=about.party_id,
        external_id=about.external_id,
        adjusts_id=corrected.id,
        adjustment_id=command.adjustment_id or moment.new_id(2),
    )
    books.add(order)
    books.add(payment)
    books.add(event_of(order, SETTLE, moment.caller, command.reason))
    return PayoutAdjusted(order=order, payment=payment)


def _order(command: AdjustPayout, moment: Moment, corrected: Order, source: Account, destination: Account) -> Order:
    """Return the order, settled: one of an asset is one of the same."""
    order = Order(
        id=moment.command_id,
        tenant_id=corrected.tenant_id,
        product=PRODUCT,
        side=command.side,
        state=AT_ONCE.start,
        version=1,
        source_account_id=source.id,
        source_asset=source.asset,
        source_units=command.units,
        destination_account_id=destination.id,
        destination_asset=destination.asset,
        destination_units=command.units,
        rate=ONE,
        quoted_rate=ONE,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=ONE,
        market_source="",
        market_at=moment.now,
        ttl_seconds=0,
        expires_at=moment.now,
        created_at=moment.now,
        updated_at=moment.now,
    )
    return moved(order, SETTLE, moment.now, reason=command.reason)
