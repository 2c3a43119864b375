"""Take the rail's word on a payout: book it, or give back what was reserved; and what comes back after it was booked.

Sold is what the tenant had, at the price that was fixed with the sale. The treasury gets it and pays: what arrives to
the outside, the fee into the desk's income, the surcharge to the tenant.
"""

from typing import Literal
from uuid import UUID

from otcdesk.actions.booking import Move, account, capture_hold, check_fits, own_account, post, release_hold
from otcdesk.actions.follow_payout import follow_payout
from otcdesk.actions.move_value import counter_account
from otcdesk.actions.order_checks import amount_of, found_order
from otcdesk.actions.payout_checks import treasury_id
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Account, Hold, desk_account_id
from otcdesk.domain.orders import BUY, SELL, Order, Trade
from otcdesk.domain.payouts import (
    AT_ONCE,
    CANCELLING,
    CURRENT,
    FAIL,
    FAILED,
    FEE_INCOME,
    PAYOUTS,
    PRODUCT,
    RETURN,
    SETTLE,
    SETTLED,
    SURCHARGE,
    Payment,
    current_id,
    event_of,
    moved,
    return_id,
    surcharge_id,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import PAID_BY_DESK, Rate, convert_back


class RecordPayout(Command, frozen=True, kw_only=True):
    """The final word of a rail on the payout asked for under `reference`: done, or provably not.

    `detail` is the rail's own reference for what is done, and why for what is refused.
    """

    order_id: UUID
    reference: str
    outcome: Literal["done", "refused"]
    detail: str | None = None


class PayoutRecorded(Reply, frozen=True, kw_only=True):
    """The order after it; `applied` is False when it was known already or nobody waits for this.

    `agrees`: whether what is told is what the books say, as far as they say anything.
    """

    order: Order
    applied: bool
    agrees: bool = True


class RecordReturn(Command, frozen=True, kw_only=True):
    """A settled payout that came back: how many units of its fiat, and the bank's reference and reason."""

    order_id: UUID
    fiat_units: int
    reference: str
    reason: str | None = None


def record_payout(command: RecordPayout, books: Books, moment: Moment) -> PayoutRecorded:
    """Book a payout's outcome once, however often and whatever is told; refuses ORDER_NOT_FOUND."""
    books.want((Order, command.order_id), (Payment, command.order_id))
    order = found_order(books, command.order_id, PRODUCT, None)
    event = SETTLE if command.outcome == "done" else FAIL
    if order.rail_reference != command.reference or not PAYOUTS.allows(order, event):
        agrees = order.state not in {SETTLED, FAILED} or (order.state == SETTLED) == (event == SETTLE)
        return PayoutRecorded(order=order, applied=False, agrees=agrees)
    payment = payment_of(books, order)
    if order.pay_hold_id is None or order.collect_hold_id is None:
        raise AssertionError(f"payout {order.id} is {order.state} and reserves nothing")
    books.want((Hold, order.pay_hold_id), (Hold, order.collect_hold_id))
    if event == SETTLE:
        after = _settled(books, moment, order, payment, command)
    else:
        after = failed_payout(books, moment, order, command.detail)
    return PayoutRecorded(order=after, applied=True)


def payment_of(books: Books, order: Order) -> Payment:
    """Return what an order of this product is about."""
    payment = books.find(Payment, order.id)
    if payment is None:
        raise AssertionError(f"order {order.id} has no payment")
    return payment


def failed_payout(books: Books, moment: Moment, order: Order, reason: str | None) -> Order:
    """Give back what a payout reserves: provably nobody was paid; of one that was cancelled, that stays the reason."""
    if reason is None and order.state == CANCELLING:
        reason = order.reason
    for hold_id in (order.pay_hold_id, order.collect_hold_id):
        if hold_id is not None:
            release_hold(books, moment, hold_id)
    after = moved(order, FAIL, moment.now, reason=reason, **_DONE_WITH)
    books.put(after)
    books.add(event_of(after, FAIL, moment.caller, reason))
    follow_payout(books, moment, after)
    return after


#: What an order forgets when its rail has spoken.
_DONE_WITH: dict[str, object] = dict.fromkeys(("pay_hold_id", "collect_hold_id", "rail_reference"))


def _settled(books: Books, moment: Moment, order: Order, payment: Payment, command: RecordPayout) -> Order:
    asset, fiat = order.source_asset, order.destination_asset
    owed = {treasury_id(asset), treasury_id(fiat), desk_account_id(OUTSIDE, fiat), desk_account_id(FEE_INCOME, fiat)}
    if payment.surcharge_units:
        owed.add(surcharge_id(order.tenant_id, fiat))
    books.want((Account, order.source_account_id), *[(Account, account_id) for account_id in owed])
    for hold_id in (order.pay_hold_id, order.collect_hold_id):
        if hold_id is not None:
            capture_hold(books, moment, hold_id)
    post(
        books,
        moment,
        _moves(books, order, payment),
        transaction_id=moment.new_id(1),
        reason="payout",
        order_id=order.id,
        reference=command.reference,
    )
    after = moved(order, SETTLE, moment.now, reason=None, **_DONE_WITH)  # why it was held does not say how it ended
    books.put(after)
    books.add(event_of(after, SETTLE, moment.caller, command.detail))
    books.add(trade_of(after, moment))
    follow_payout(books, moment, after)
    return after


def _moves(books: Books, order: Order, payment: Payment) -> list[Move]:
    fiat = order.destination_asset
    treasury = account(books, treasury_id(fiat))
    collects = own_account(books, treasury_id(order.source_asset), TREASURY, order.source_asset)
    moves = [
        Move(account(books, order.source_account_id), collects, order.source_units),
        Move(treasury, counter_account(books, OUTSIDE, fiat), payment.fiat_units),
    ]
    if payment.fee_units:
        income = own_account(books, desk_account_id(FEE_INCOME, fiat), FEE_INCOME, fiat)
        moves.append(Move(treasury, income, payment.fee_units))
    if payment.surcharge_units:
        tenants = own_account(books, surcharge_id(order.tenant_id, fiat), SURCHARGE, fiat, order.tenant_id)
        moves.append(Move(treasury, tenants, payment.surcharge_units))
    return moves


def trade_of(order: Order, moment: Moment) -> Trade:
    """Return the trade that an order of this product leaves: its price was fixed when it was sold."""
    return Trade(
        order_id=order.id,
        tenant_id=order.tenant_id,
        source_asset=order.source_asset,
        source_units=order.source_units,
        destination_asset=order.destination_asset,
        destination_units=order.destination_units,
        executed_rate=order.rate,
        executed_by=moment.caller,
        executed_at=moment.now,
        quoted_rate=order.quoted_rate,
        quoted_by=order.quoted_by,
        quoted_at=order.quoted_at,
        market_rate=order.market_rate,
        market_source=order.market_source,
        market_at=order.market_at,
        approved_market_rate=None,
        approved_market_source=None,
        approved_market_at=None,
    )


def record_return(command: RecordReturn, books: Books, moment: Moment) -> PayoutRecorded:
    """Credit the tenant with what came back of a settled payout, at its price, in an order of its own, once.

    The fee is not given back: the payout was made. Refuses ORDER_NOT_FOUND, INVALID_STATE for what is not settled,
    RETURN_EXCEEDS_PAYOUT, AMOUNT_TOO_SMALL, TREASURY_INSUFFICIENT when the desk no longer has the asset, and
    AMOUNT_TOO_LARGE when an account could not count it.
    """
    books.want((Order, command.order_id), (Payment, command.order_id), (Order, return_id(command.order_id)))
    paid = found_order(books, command.order_id, PRODUCT, None)
    if paid.side != SELL or paid.state != SETTLED:
        raise Refusal(Code.INVALID_STATE)
    known = books.find(Order, return_id(paid.id))
    if known is not None:
        return PayoutRecorded(order=known, applied=False, agrees=known.source_units == command.fiat_units)
    payment = payment_of(books, paid)
    if not 0 < command.fiat_units <= payment.fiat_units or payment.rate is None:
        raise Refusal(Code.RETURN_EXCEEDS_PAYOUT)
    return PayoutRecorded(order=_returned(command, books, moment, paid, payment), applied=True)


def _returned(command: RecordReturn, books: Books, moment: Moment, paid: Order, payment: Payment) -> Order:
    asset, fiat = paid.source_asset, paid.destination_asset
    current = current_id(paid.tenant_id, asset)
    books.want(
        *[(ListedAsset, code) for code in (asset, fiat)],
        *[(Account, treasury_id(code)) for code in (asset, fiat)],
        *[(Account, account_id) for account_id in (current, desk_account_id(OUTSIDE, fiat))],
    )
    came = amount_of(books, fiat, command.fiat_units)
    brings = convert_back(came, Rate(asset, fiat, paid.rate), amount_of(books, asset, 0).asset, PAID_BY_DESK)
    if brings.units == 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    treasury = books.find(Account, treasury_id(asset))
    if treasury is None or not treasury.covers(brings.units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    check_fits(books, desk_account_id(OUTSIDE, fiat), treasury_id(fiat), came.units)
    check_fits(books, treasury.id, current, brings.units)
    order = Order(
        id=return_id(paid.id),
        tenant_id=paid.tenant_id,
        product=PRODUCT,
        side=BUY,
        state=AT_ONCE.start,
        version=1,
        source_account_id=desk_account_id(OUTSIDE, fiat),
        source_asset=fiat,
        source_units=came.units,
        destination_account_id=current,
        destination_asset=asset,
        destination_units=brings.units,
        rate=paid.rate,
        quoted_rate=paid.rate,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=paid.market_rate,
        market_source=paid.market_source,
        market_at=paid.market_at,
        ttl_seconds=0,
        expires_at=moment.now,
        created_at=moment.now,
        updated_at=moment.now,
    )
    after = moved(order, SETTLE, moment.now, reason=command.reason)
    moves = [
        Move(counter_account(books, OUTSIDE, fiat), own_account(books, treasury_id(fiat), TREASURY, fiat), came.units),
        Move(treasury, own_account(books, current, CURRENT, asset, paid.tenant_id), brings.units),
    ]
    post(
        books,
        moment,
        [move for move in moves if move.units],
        transaction_id=moment.new_id(1),
        reason="payout return",
        order_id=after.id,
        reference=command.reference,
    )
    books.add(after)
    books.add(
        Payment(
            order_id=after.id,
            tenant_id=paid.tenant_id,
            kind=RETURN,
            asset=asset,
            fiat=fiat,
            fiat_units=came.units,
            rate=paid.rate,
            party_id=payment.party_id,
            channel_id=payment.channel_id,
            method_id=payment.method_id,
            external_id=payment.external_id,
            returns_id=paid.id,
        )
    )
    books.add(event_of(after, SETTLE, moment.caller, command.reference))
    books.add(trade_of(after, moment))
    return after
