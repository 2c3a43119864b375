"""Approve a conversion: fix the rate that counts, reserve what the desk owes, and hand the order to its rail.

The order now waits for the rail; its outcome comes back as `record_leg`. Nothing is posted here. What is too large for
one person waits for a second one instead, at the rate that the first was shown, and nothing is reserved meanwhile.
"""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec

from otcdesk.actions.booking import account, place_hold
from otcdesk.actions.conversion_checks import (
    Offered,
    Pair,
    check_deviation,
    found_conversion,
    offered_rate,
    priced,
    treasury_ids,
)
from otcdesk.actions.four_eyes import second_needed, want_guards
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.quote_conversion import OrderReply
from otcdesk.domain import duties
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.conversions import APPROVE, MACHINES, event_of, moved
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.parties import Tenant
from otcdesk.domain.pricing import Price, Spread
from otcdesk.domain.proposals import Proposal
from otcdesk.errors import Code, Refusal
from otcdesk.money import bps_apart, plain


class ApproveConversion(Command, frozen=True, kw_only=True):
    """Approve at `rate`, or at the live price less the tenant's spread when it is None."""

    order_id: UUID
    rate: Decimal | None = None


class ApprovalReply(OrderReply, frozen=True, kw_only=True):
    """The order, and the proposal if its approval waits for a second person."""

    proposal: Proposal | None = None


class ApprovalSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the first person is shown of an approval: amounts in units, the market only where there is one.

    `slippage_bps`: how far the approved rate is from the quoted one; negative: the tenant gets less than was quoted.
    """

    version: int
    tenant: str
    source_asset: str
    source_units: int
    destination_asset: str
    destination_units: int
    quoted_rate: Decimal
    approved_rate: Decimal
    slippage_bps: Decimal
    market_rate: Decimal | None
    market_source: str | None
    market_at: datetime | None
    treasury_available_before: int
    treasury_available_after: int


class _Sides(NamedTuple):
    """The accounts that an approval takes holds on: whose tokens are collected, and what the desk pays from."""

    source: Account
    treasury_pays: Account


def approve_conversion(command: ApproveConversion, books: Books, moment: Moment) -> ApprovalReply:
    """Approve an order that waits for it, or propose to.

    Refuses, in this order: ORDER_NOT_FOUND, INVALID_STATE, PRICE_UNAVAILABLE (without a rate, or where the guards
    compare it with the market), AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, RATE_DEVIATES, for a sell
    SOURCE_CUSTODY_INSUFFICIENT, TREASURY_INSUFFICIENT (contract 5), PROPOSAL_OPEN.
    """
    order = found_conversion(books, command.order_id, None)
    pair = Pair(order.source_asset, order.destination_asset)
    want_guards(
        books,
        pair,
        (Account, order.source_account_id),
        (Account, order.destination_account_id),
        (Price, tuple(pair)),
        (Spread, (order.tenant_id, *pair)),
        (ListedAsset, pair.source),
        (ListedAsset, pair.destination),
        (Tenant, order.tenant_id),
    )
    order = order_by_the_clock(books, moment, order)
    if not MACHINES[order.side].allows(order.state, APPROVE):
        raise Refusal(Code.INVALID_STATE, state=order.state)
    live = _live(books, moment, order, pair)
    rate = command.rate if command.rate is not None else live and live.rate
    if rate is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    rate = plain(rate)
    units = priced(books, order.source_units, pair, rate).units
    check_deviation(books, moment, pair, rate)
    sides = _covered(books, order, units)
    proposal = second_needed(
        books,
        moment,
        action=approve_conversion,
        command=ApproveConversion(order_id=order.id, rate=rate),
        duty=duties.ORDERS_APPROVE,
        subject_id=order.id,
        subject_version=order.version,
        stakes=((pair.source, order.source_units), (pair.destination, units)),
        seen=_seen(books, order, live, rate, units, sides.treasury_pays),
    )
    if proposal is not None:
        return ApprovalReply(order=order, proposal=proposal)
    approved = moved(
        order,
        APPROVE,
        moment.now,
        approved_rate=rate,
        approved_units=units,
        approved_by=moment.caller,
        approved_at=moment.now,
        approved_market_rate=live.market.value if live else None,
        approved_market_source=live.market.source if live else None,
        approved_market_at=live.market.at if live else None,
        rail_reference=f"{order.id}:{order.version + 1}",
        **_reserved(books, moment, order, units, sides),
    )
    books.put(approved)
    first = f"proposed by {moment.proposed.proposed_by}" if moment.proposed else None
    books.add(event_of(approved, APPROVE, moment.caller, first))
    return ApprovalReply(order=approved)


def _live(books: Books, moment: Moment, order: Order, pair: Pair) -> Offered | None:
    try:
        return offered_rate(books, moment, order.tenant_id, pair)
    except Refusal:
        return None


def _seen(
    books: Books, order: Order, live: Offered | None, rate: Decimal, destination_units: int, treasury_pays: Account
) -> ApprovalSeen:
    tenant = books.find(Tenant, order.tenant_id)
    return ApprovalSeen(
        version=order.version,
        tenant=tenant.name if tenant else "",
        source_asset=order.source_asset,
        source_units=order.source_units,
        destination_asset=order.destination_asset,
        destination_units=destination_units,
        quoted_rate=order.quoted_rate,
        approved_rate=rate,
        slippage_bps=bps_apart(rate, order.quoted_rate),
        market_rate=live.market.value if live else None,
        market_source=live.market.source if live else None,
        market_at=live.market.at if live else None,
        treasury_available_before=treasury_pays.available,
        treasury_available_after=treasury_pays.available - destination_units,
    )


def _covered(books: Books, order: Order, destination_units: int) -> _Sides:
    """Return the accounts that must cover the order, and do."""
    source, destination = account(books, order.source_account_id), account(books, order.destination_account_id)
    treasury_pays = account(books, treasury_ids(source, destination)[1])
    if order.side != BUY and not source.covers(order.source_units):
        raise Refusal(Code.SOURCE_CUSTODY_INSUFFICIENT)
    if not treasury_pays.covers(destination_units):
        raise Refusal(Code.TREASURY_INSUFFICIENT)
    return _Sides(source, treasury_pays)


def _reserved(books: Books, moment: Moment, order: Order, destination_units: int, sides: _Sides) -> dict[str, UUID]:
    holds = {"pay_hold_id": moment.new_id(1)}
    place_hold(books, moment, sides.treasury_pays, destination_units, hold_id=holds["pay_hold_id"], order_id=order.id)
    if order.side != BUY:
        holds["collect_hold_id"] = moment.new_id(2)
        place_hold(books, moment, sides.source, order.source_units, hold_id=holds["collect_hold_id"], order_id=order.id)
    return holds
