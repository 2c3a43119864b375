"""Confirm a checkout, or turn it down, as the person on its page says.

Confirmed is what was opened: amounts and ceiling are the checkout's own, whatever the page was made to send.
"""

from datetime import timedelta
from uuid import UUID

from otcdesk.actions.freeze import check_party_active
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.payout_checks import found_channel
from otcdesk.actions.prepare_payout import GivenMethod, PreparePayout, prepare_payout
from otcdesk.actions.sell_payout import sell_prepared
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.checkouts import (
    CANCEL,
    CHECKOUTS,
    CONFIRM,
    FIAT_OUT,
    OPENED,
    PRODUCT,
    Checkout,
    event_of,
    moved,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PAYOUT, Channel, Payment
from otcdesk.errors import Code, Refusal
from otcdesk.money import counted

#: What is told of a checkout that the person did not want.
TURNED_DOWN = "turned down"


class ConfirmCheckout(Command, frozen=True, kw_only=True):
    """Complete a checkout: by which channel and to whom fiat is to be paid out, or that it will be paid in.

    `arrival_seconds`: for how long what is paid in is waited for from now on.
    """

    order_id: UUID
    channel_id: UUID | None = None
    given: GivenMethod | None = None
    arrival_seconds: int = 0


class CancelCheckout(Command, frozen=True, kw_only=True):
    """Turn a checkout down."""

    order_id: UUID


class CheckoutMoved(Reply, frozen=True, kw_only=True):
    """The checkout after it, and the payout that was sold for it."""

    order: Order
    payout: Order | None = None


def confirm_checkout(command: ConfirmCheckout, books: Books, moment: Moment) -> CheckoutMoved:
    """Confirm a checkout that is open; one that pays out sells for its payout in the same step.

    Refuses CHECKOUT_NOT_FOUND, CHECKOUT_OVER, PARTY_INACTIVE, and for what is paid out CHANNEL_NOT_FOUND,
    PARTY_NOT_FOUND, PARTY_UNVERIFIED, CHANNEL_CLOSED, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, PRICE_UNAVAILABLE,
    CEILING_EXCEEDED, PAYOUT_NOT_COVERED, TREASURY_INSUFFICIENT, LIMIT_EXCEEDED, in this order.
    """
    order, checkout = _open(command.order_id, books, moment)
    check_party_active(books, checkout.party_id)
    if order.side != FIAT_OUT:
        due_at = moment.now + timedelta(seconds=command.arrival_seconds)
        return CheckoutMoved(order=_put(books, moment, order, CONFIRM, due_at=due_at, confirmed_at=moment.now))
    payout = _sold(command, books, moment, order, checkout)
    after = _put(
        books,
        moment,
        order,
        CONFIRM,
        confirmed_at=moment.now,
        source_units=payout.source_units,
        rate=payout.rate,
    )
    return CheckoutMoved(order=after, payout=payout)


def cancel_checkout(command: CancelCheckout, books: Books, moment: Moment) -> CheckoutMoved:
    """Turn down a checkout that is open; refuses CHECKOUT_NOT_FOUND, CHECKOUT_OVER."""
    order, _ = _open(command.order_id, books, moment)
    return CheckoutMoved(order=_put(books, moment, order, CANCEL, TURNED_DOWN, reason=TURNED_DOWN))


def _open(order_id: UUID, books: Books, moment: Moment) -> tuple[Order, Checkout]:
    books.want((Order, order_id), (Checkout, order_id))
    order, checkout = books.find(Order, order_id), books.find(Checkout, order_id)
    if order is None or checkout is None or order.product != PRODUCT or order.tenant_id != moment.owner_id:
        raise Refusal(Code.CHECKOUT_NOT_FOUND)
    order = CHECKOUTS.by_the_clock(order, moment.arrived_at)
    if order.state != OPENED:
        raise Refusal(Code.CHECKOUT_OVER, state=order.state)
    return order, checkout


def _put(books: Books, moment: Moment, order: Order, event: str, detail: str | None = None, **changes: object) -> Order:
    after = moved(order, event, moment.now, **changes)
    books.put(after)
    books.add(event_of(after, event, moment.caller, detail))
    return after


def _sold(command: ConfirmCheckout, books: Books, moment: Moment, order: Order, checkout: Checkout) -> Order:
    """Prepare the payout and sell for it at once: what it costs now must be within the checkout's ceiling."""
    if command.channel_id is None or command.given is None:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    books.want((Channel, command.channel_id), (ListedAsset, order.destination_asset))
    if found_channel(books, command.channel_id).fiat != order.destination_asset:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    arrives = amount_of(books, order.destination_asset, order.destination_units)
    wanted = PreparePayout(
        channel_id=command.channel_id,
        asset=checkout.asset,
        arrives=counted(arrives.units, arrives.asset.scale),
        party_id=checkout.party_id,
        given=command.given,
        delayed=True,  # the sale asks right afterwards
    )
    prepared = prepare_payout(wanted, books, moment).prepared
    facts = Payment(
        order_id=moment.command_id,
        tenant_id=order.tenant_id,
        kind=PAYOUT,
        asset=checkout.asset,
        ceiling=checkout.ceiling,
        external_id=checkout.external_id,
        checkout_id=order.id,
    )
    payout = sell_prepared(books, moment, prepared, facts)
    books.put(prepared.with_(order_id=payout.id))
    return payout
