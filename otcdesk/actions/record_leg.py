"""Take the outcome of a transfer that an approved conversion waited for, and book it.

A buy has one leg: the desk pays tokens. A sell has two: the tokens are collected, then the cash is paid; if the cash
cannot be paid the tokens go back. Until then the collected tokens stay reserved, so that they can always go back. A
rail that refuses to give them back has spoken for ever of that reference: the order takes the next one.
"""

from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, account, capture_hold, place_hold, post, release_hold
from otcdesk.actions.conversion_checks import found_conversion, treasury_ids
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.conversions import (
    COLLECTING,
    LEG_DONE,
    LEG_REFUSED,
    MACHINES,
    PAYING,
    RETURN_REFUSED,
    RETURNING,
    event_of,
    moved,
)
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import BUY, Order, Trade


class RecordLeg(Command, frozen=True, kw_only=True):
    """A rail's final word on the outside call made under `reference`: done, or provably not."""

    order_id: UUID
    reference: str
    outcome: Literal["done", "refused"]
    detail: str | None = None


class LegRecorded(Reply, frozen=True, kw_only=True):
    """The order after the outcome; `applied` is False when it was known already or the order waits for another."""

    order: Order
    applied: bool


def _event(order: Order, command: RecordLeg) -> str:
    if command.outcome == "done":
        return LEG_DONE
    return RETURN_REFUSED if order.state == RETURNING else LEG_REFUSED


class _Sides:
    """The four accounts of an order: the tenant's two and the desk's two."""

    def __init__(self, books: Books, order: Order) -> None:
        books.want((Account, order.source_account_id), (Account, order.destination_account_id))
        self.source = account(books, order.source_account_id)
        self.destination = account(books, order.destination_account_id)
        collects, pays = treasury_ids(self.source, self.destination)
        books.want((Account, collects), (Account, pays))
        self.treasury_collects = account(books, collects)
        self.treasury_pays = account(books, pays)


def record_leg(command: RecordLeg, books: Books, moment: Moment) -> LegRecorded:
    """Book a leg's outcome once, however often it is told; refuses ORDER_NOT_FOUND."""
    order = found_conversion(books, command.order_id, None)
    event = _event(order, command)
    expected = order.waits_for is not None and order.rail_reference == command.reference
    if not expected or not MACHINES[order.side].allows(order.state, event):
        return LegRecorded(order=order, applied=False)
    sides = _Sides(books, order)
    books.want(*[(Hold, hold_id) for hold_id in (order.pay_hold_id, order.collect_hold_id) if hold_id])
    after = _BOOKINGS[order.side == BUY, order.state, event](books, moment, order, sides)
    if event == LEG_REFUSED:  # a sell that fails keeps why it could not be paid
        after = after.with_(reason=command.detail)
    books.put(after)
    books.add(event_of(after, event, moment.caller, command.detail))
    return LegRecorded(order=after, applied=True)


def _paid(books: Books, moment: Moment, order: Order, sides: _Sides) -> Order:
    capture_hold(books, moment, _hold(order.pay_hold_id))
    if order.collect_hold_id is not None:
        release_hold(books, moment, order.collect_hold_id)
    rate, units = order.approved_rate, order.approved_units
    if rate is None or units is None:
        raise AssertionError(f"order {order.id} waits to be paid but was not approved")
    _post(books, moment, order, Move(sides.treasury_pays, sides.destination, units), "conversion payout")
    after = moved(
        order,
        LEG_DONE,
        moment.now,
        rate=rate,
        destination_units=units,
        pay_hold_id=None,
        collect_hold_id=None,
        rail_reference=None,
    )
    books.add(_trade(after, moment))
    return after


def _pay_refused(books: Books, moment: Moment, order: Order, _: _Sides) -> Order:
    release_hold(books, moment, _hold(order.pay_hold_id))
    if order.side == BUY:
        return moved(order, LEG_REFUSED, moment.now, pay_hold_id=None, rail_reference=None, **_UNAPPROVED)
    return moved(order, LEG_REFUSED, moment.now, pay_hold_id=None, rail_reference=_next_reference(order))


def _collected(books: Books, moment: Moment, order: Order, sides: _Sides) -> Order:
    capture_hold(books, moment, _hold(order.collect_hold_id))
    _post(
        books, moment, order, Move(sides.source, sides.treasury_collects, order.source_units), "conversion collection"
    )
    hold_id = moment.new_id(2)
    place_hold(books, moment, sides.treasury_collects, order.source_units, hold_id=hold_id, order_id=order.id)
    return moved(order, LEG_DONE, moment.now, collect_hold_id=hold_id, rail_reference=_next_reference(order))


def _collect_refused(books: Books, moment: Moment, order: Order, _: _Sides) -> Order:
    release_hold(books, moment, _hold(order.pay_hold_id))
    release_hold(books, moment, _hold(order.collect_hold_id))
    return moved(
        order,
        LEG_REFUSED,
        moment.now,
        pay_hold_id=None,
        collect_hold_id=None,
        rail_reference=None,
        **_UNAPPROVED,
    )


def _returned(books: Books, moment: Moment, order: Order, sides: _Sides) -> Order:
    capture_hold(books, moment, _hold(order.collect_hold_id))
    _post(books, moment, order, Move(sides.treasury_collects, sides.source, order.source_units), "conversion return")
    return moved(order, LEG_DONE, moment.now, collect_hold_id=None, rail_reference=None)


def _return_refused(_books: Books, moment: Moment, order: Order, _: _Sides) -> Order:
    return moved(order, RETURN_REFUSED, moment.now, rail_reference=_next_reference(order))


#: What an order forgets when its approval came to nothing.
_UNAPPROVED: dict[str, object] = dict.fromkeys(
    (
        "approved_rate",
        "approved_units",
        "approved_by",
        "approved_at",
        "approved_market_rate",
        "approved_market_source",
        "approved_market_at",
    )
)

_BOOKINGS = {
    (True, PAYING, LEG_DONE): _paid,
    (True, PAYING, LEG_REFUSED): _pay_refused,
    (False, COLLECTING, LEG_DONE): _collected,
    (False, COLLECTING, LEG_REFUSED): _collect_refused,
    (False, PAYING, LEG_DONE): _paid,
    (False, PAYING, LEG_REFUSED): _pay_refused,
    (False, RETURNING, LEG_DONE): _returned,
    (False, RETURNING, RETURN_REFUSED): _return_refused,
}


def _hold(hold_id: UUID | None) -> UUID:
    if hold_id is None:
        raise AssertionError("an order in this state has a hold")
    return hold_id


def _next_reference(order: Order) -> str:
    return f"{order.id}:{order.version + 1}"


def _post(books: Books, moment: Moment, order: Order, move: Move, reason: str) -> None:
    post(
        books,
        moment,
        [move],
        transaction_id=moment.new_id(1),
        reason=reason,
        order_id=order.id,
        reference=order.rail_reference,
    )


def _trade(order: Order, moment: Moment) -> Trade:
    return Trade(
        order_id=order.id,
        tenant_id=order.tenant_id,
        source_asset=order.source_asset,
        source_units=order.source_units,
        destination_asset=order.destination_asset,
        destination_units=order.destination_units,
        executed_rate=order.rate,
        executed_by=order.approved_by or moment.caller,
        executed_at=moment.now,
        quoted_rate=order.quoted_rate,
        quoted_by=order.quoted_by,
        quoted_at=order.quoted_at,
        market_rate=order.market_rate,
        market_source=order.market_source,
        market_at=order.market_at,
        approved_market_rate=order.approved_market_rate,
        approved_market_source=order.approved_market_source,
        approved_market_at=order.approved_market_at,
    )
