"""Look into a payout before it is paid: hold it, let it go, or cancel it. To its tenant it stays pending meanwhile."""

from uuid import UUID

from otcdesk.actions.order_checks import found_order
from otcdesk.actions.record_payout import failed_payout, payment_of
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import (
    CANCEL,
    HOLD,
    PAYOUT_RAIL,
    PAYOUTS,
    PRODUCT,
    RELEASE,
    Channel,
    Payment,
    event_of,
    moved,
)
from otcdesk.errors import Code, Refusal


class HoldPayout(Command, frozen=True, kw_only=True):
    """Keep a payout from being paid, and say why."""

    order_id: UUID
    reason: str


class ReleasePayout(Command, frozen=True, kw_only=True):
    """Let a payout that is held be paid."""

    order_id: UUID


class CancelPayout(Command, frozen=True, kw_only=True):
    """Do not pay a payout that is held, and say why."""

    order_id: UUID
    reason: str


class PayoutReviewed(Reply, frozen=True, kw_only=True):
    """The order after it."""

    order: Order


def hold_payout(command: HoldPayout, books: Books, moment: Moment) -> PayoutReviewed:
    """Hold a payout that waits for its rail; refuses ORDER_NOT_FOUND, INVALID_STATE.

    A rail that was asked already may still pay it: what it says is booked also while the payout is held.
    """
    order, _ = _found(books, command.order_id, HOLD)
    return _moved(books, moment, order, HOLD, command.reason, reason=command.reason)


def release_payout(command: ReleasePayout, books: Books, moment: Moment) -> PayoutReviewed:
    """Let a held payout wait for its rail again; refuses ORDER_NOT_FOUND, INVALID_STATE."""
    order, channel = _found(books, command.order_id, RELEASE)
    return _moved(books, moment, order, RELEASE, None, reason=None, waits_for=channel.rail)


def cancel_payout(command: CancelPayout, books: Books, moment: Moment) -> PayoutReviewed:
    """Cancel a held payout; refuses ORDER_NOT_FOUND, INVALID_STATE.

    One that nobody but the operator can have paid fails at once. A rail that may have been asked must say first that it
    will not pay.
    """
    order, channel = _found(books, command.order_id, CANCEL)
    if channel.rail == PAYOUT_RAIL:
        return _moved(books, moment, order, CANCEL, command.reason, reason=command.reason)
    books.want(*[(Hold, hold_id) for hold_id in (order.pay_hold_id, order.collect_hold_id) if hold_id])
    return PayoutReviewed(order=failed_payout(books, moment, order, command.reason))


def _found(books: Books, order_id: UUID, event: str) -> tuple[Order, Channel]:
    books.want((Order, order_id), (Payment, order_id))
    order = found_order(books, order_id, PRODUCT, None)
    if not PAYOUTS.allows(order, event):
        raise Refusal(Code.INVALID_STATE)
    payment = payment_of(books, order)
    channel = books.find(Channel, payment.channel_id) if payment.channel_id else None
    if channel is None:
        raise AssertionError(f"payout {order.id} has no channel")
    return order, channel


def _moved(
    books: Books, moment: Moment, order: Order, event: str, detail: str | None, **changes: object
) -> PayoutReviewed:
    after = moved(order, event, moment.now, **changes)
    books.put(after)
    books.add(event_of(after, event, moment.caller, detail))
    return PayoutReviewed(order=after)
