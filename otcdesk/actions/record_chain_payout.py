"""Take the chain's word on a transfer to an address: book it, or give back what was reserved."""

from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, account, capture_hold, post, release_hold
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import found_order
from otcdesk.domain.chain_payouts import CHAIN_PAYOUTS, FAIL, PRODUCT, SETTLE, event_of, moved
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import OUTSIDE, Account, Hold, desk_account_id
from otcdesk.domain.orders import Order


class RecordChainPayout(Command, frozen=True, kw_only=True):
    """The chain's final word on what was asked for under `reference`: `detail` is the hash, or why it refused."""

    order_id: UUID
    reference: str
    outcome: Literal["done", "refused"]
    detail: str | None = None


class ChainPayoutRecorded(Reply, frozen=True, kw_only=True):
    """The order after it; `applied` is False when it was known already, or nobody waits for this."""

    order: Order
    applied: bool


def record_chain_payout(command: RecordChainPayout, books: Books, moment: Moment) -> ChainPayoutRecorded:
    """Book a transfer's outcome once, however often it is told; refuses ORDER_NOT_FOUND."""
    order = found_order(books, command.order_id, PRODUCT, None)
    event = SETTLE if command.outcome == "done" else FAIL
    if order.rail_reference != command.reference or not CHAIN_PAYOUTS.allows(order, event):
        return ChainPayoutRecorded(order=order, applied=False)
    if order.collect_hold_id is None:
        raise AssertionError(f"chain payout {order.id} is {order.state} and reserves nothing")
    books.want(
        (Hold, order.collect_hold_id),
        (Account, order.source_account_id),
        (Account, desk_account_id(OUTSIDE, order.source_asset)),
    )
    if event == SETTLE:
        capture_hold(books, moment, order.collect_hold_id)
        source, outside = account(books, order.source_account_id), counter_account(books, OUTSIDE, order.source_asset)
        post(
            books,
            moment,
            [Move(source, outside, order.source_units)],
            transaction_id=moment.new_id(1),
            reason="chain payout",
            order_id=order.id,
            reference=command.detail,
        )
    else:
        release_hold(books, moment, order.collect_hold_id)
    after = moved(order, event, moment.now, reason=command.detail, collect_hold_id=None, rail_reference=None)
    books.put(after)
    books.add(event_of(after, event, moment.caller, command.detail))
    return ChainPayoutRecorded(order=after, applied=True)
