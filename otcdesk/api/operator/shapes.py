"""The operator's wire: bodies that become commands, and orders with everything that the desk knows of them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.move_value import Adjust, Booked, Deposit, Withdraw
from otcdesk.actions.publish_price import SetPrice
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.api import conversion_shapes as conversions
from otcdesk.api.wire import KEPT_TEXT, AssetCode, PageQuery, Uuid, rate_text, time_text, uuid_of
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.brokerage import PRODUCT as BROKERAGE
from otcdesk.domain.conversions import PRODUCT as CONVERSION
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.pricing import Price
from otcdesk.domain.products import lifecycle_of
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_rate, parse_units, plain, print_decimal, print_rate, print_units

_RATE_DECIMALS_MIN = 2

RateText = Annotated[str, Meta(max_length=64)]
AmountText = Annotated[str, Meta(max_length=64)]
Words = Annotated[str, Meta(min_length=1, max_length=500, pattern=KEPT_TEXT)]


class OrdersQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only orders of one status."""

    status: conversions.Status | msgspec.UnsetType = msgspec.UNSET


class ApproveRequest(msgspec.Struct, kw_only=True):
    """Approve at a rate; without one, at the live price."""

    rate: RateText | None = None


class RejectRequest(msgspec.Struct, kw_only=True):
    """Reject, and why."""

    reason: Words = "rejected by the operator"


class RequoteRequest(msgspec.Struct, kw_only=True):
    """Requote at a rate (without one, at the live price) for a while."""

    rate: RateText | None = None
    ttlSeconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None  # noqa: N815  (wire name)


class SettleDebitRequest(msgspec.Struct, kw_only=True):
    """How a buy's debit went."""

    outcome: Literal["settled", "failed"]


class BookingRequest(msgspec.Struct, kw_only=True):
    """A deposit, withdrawal or adjustment: account, decimal amount, why, and the outside reference."""

    accountId: Uuid  # noqa: N815
    amount: AmountText
    reason: Words
    reference: Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]


class SetPriceRequest(msgspec.Struct, kw_only=True):
    """The operator's own market rate of a pair, in force for a while."""

    sourceAsset: AssetCode  # noqa: N815
    destinationAsset: AssetCode  # noqa: N815
    rate: RateText
    lastsSeconds: Annotated[int, Meta(ge=1, le=604_800)]  # noqa: N815


class OperatorOrder(conversions.OrderAnswer, kw_only=True):
    """The customer's order object and what only the desk sees."""

    side: Literal["buy", "sell"]
    customerId: str  # noqa: N815
    product: str
    desk_state: str = msgspec.field(name="deskState")
    version: int
    sourceAccountId: str  # noqa: N815
    destinationAccountId: str  # noqa: N815
    quotedRate: str  # noqa: N815
    marketRate: str  # noqa: N815
    approvedRate: str | None  # noqa: N815
    approvedBy: str | None  # noqa: N815
    reason: str | None
    waitsFor: str | None  # noqa: N815
    railReference: str | None  # noqa: N815
    travelRulePayload: msgspec.Raw  # noqa: N815
    ttlExpiresAt: str  # noqa: N815
    updatedAt: str  # noqa: N815
    confirmedAt: str | None  # noqa: N815
    approvedAt: str | None  # noqa: N815
    endedAt: str | None  # noqa: N815


class StoredEntry(msgspec.Struct):
    """An entry with its transaction and posting, as the query gives them."""

    entry: Entry
    transaction: LedgerTransaction
    posting: Posting | None = None


def approve_command(order_id: UUID, body: ApproveRequest) -> ApproveConversion:
    """Return the command of an approval."""
    return ApproveConversion(order_id=order_id, rate=_rate(body.rate))


def requote_command(order_id: UUID, body: RequoteRequest) -> RequoteConversion:
    """Return the command of a requote."""
    return RequoteConversion(order_id=order_id, rate=_rate(body.rate), ttl_seconds=body.ttlSeconds)


def set_price_command(body: SetPriceRequest) -> SetPrice:
    """Return the command that sets a price."""
    rate = _rate(body.rate)
    if rate is None:
        raise AssertionError("a body without a rate is refused by its shape")
    return SetPrice(
        source_asset=body.sourceAsset,
        destination_asset=body.destinationAsset,
        rate=rate,
        lasts_seconds=body.lastsSeconds,
    )


def booking_command(
    kind: type[Deposit | Withdraw | Adjust], body: BookingRequest, scale: int
) -> Deposit | Withdraw | Adjust:
    """Return the command of a booking; only an adjustment may be negative."""
    text = body.amount
    sign = -1 if kind is Adjust and text.startswith("-") else 1
    units = parse_units(text[1:] if sign < 0 else text, scale)
    if not units:
        raise Refusal(Code.REQUEST_INVALID, f"The amount must be a decimal above zero with at most {scale} places.")
    return kind(
        account_id=uuid_of(body.accountId),
        units=sign * units,
        reason=body.reason,
        reference=body.reference,
    )


def _rate(text: str | None) -> Decimal | None:
    if text is None:
        return None
    rate = parse_rate(text)
    if rate is None:
        raise Refusal(Code.REQUEST_INVALID, "The rate must be a positive decimal with at most 6 places.")
    return rate


def order_answer(order: Order) -> OperatorOrder:
    """Render an order for the desk."""
    return OperatorOrder(
        **msgspec.structs.asdict(conversions.order_answer(order)),
        side=order.side,  # type: ignore[arg-type]
        customerId=str(order.tenant_id),
        product=order.product,
        desk_state=order.state,
        version=order.version,
        sourceAccountId=str(order.source_account_id),
        destinationAccountId=str(order.destination_account_id),
        quotedRate=print_rate(order.quoted_rate),
        marketRate=print_rate(order.market_rate),
        approvedRate=rate_text(order.approved_rate),
        approvedBy=order.approved_by,
        reason=order.reason,
        waitsFor=order.waits_for,
        railReference=order.rail_reference,
        travelRulePayload=conversions.travel_rule_payload(order),
        ttlExpiresAt=iso_milliseconds(order.expires_at),
        updatedAt=iso_milliseconds(order.updated_at),
        confirmedAt=time_text(order.confirmed_at),
        approvedAt=time_text(order.approved_at),
        endedAt=time_text(order.ended_at),
    )


def conversion_detail(order: Order, record: dict[str, Any]) -> dict[str, Any]:
    """Render a conversion with everything that was recorded of it."""
    return {
        **msgspec.to_builtins(order_answer(order), builtin_types=(msgspec.Raw,)),
        "travelRulePayload": conversions.travel_rule_payload(order),
        **record,
    }


#: What the first version of an order is called, of which no event was written: the products that begin with a quote.
_FIRST = {CONVERSION: "quote", BROKERAGE: "quote"}


def record_answer(
    order: Order,
    events: list[Event],
    entries: list[StoredEntry],
    holds: list[Hold],
    trade: Trade | None,
    scales: dict[str, int],
) -> dict[str, Any]:
    """Render the audit trail of an order, its ledger entries, holds and trade."""
    return {
        "auditTrail": [
            {
                "version": 1,
                "event": f"{order.product}.{_FIRST.get(order.product, 'create')}",
                "state": lifecycle_of(order).machines[order.side].start,
                "by": None if any(event.name.endswith(".requote") for event in events) else order.quoted_by,
                "detail": None,
                "at": iso_milliseconds(order.created_at),
            },
            *(_event(event) for event in events),
        ],
        "entries": [_entry(row, scales) for row in entries],
        "holds": [_hold(hold) for hold in holds],
        "trade": None if trade is None else _trade(trade, scales),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "version": event.order_version,
        "event": event.name,
        "state": event.state,
        "by": event.caller,
        "detail": event.detail,
        "at": iso_milliseconds(event.happened_at),
    }


def _entry(row: StoredEntry, scales: dict[str, int]) -> dict[str, Any]:
    asset = row.posting.asset if row.posting else ""
    scale = scales.get(asset, 0)
    return {
        "transactionId": str(row.transaction.id),
        "reason": row.transaction.reason,
        "accountId": str(row.entry.account_id),
        "asset": asset,
        "amount": print_units(row.entry.units, scale),
        "balanceAfter": print_units(row.entry.balance_after, scale),
        "bookedAt": iso_milliseconds(row.transaction.booked_at),
        "by": row.transaction.caller,
    }


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "id": str(hold.id),
        "accountId": str(hold.account_id),
        "units": str(hold.units),
        "state": hold.state,
        "placedAt": iso_milliseconds(hold.placed_at),
        "endedAt": time_text(hold.ended_at),
    }


def _trade(trade: Trade, scales: dict[str, int]) -> dict[str, Any]:
    return {
        "sourceAmount": print_units(trade.source_units, scales[trade.source_asset]),
        "destinationAmount": print_units(trade.destination_units, scales[trade.destination_asset]),
        "executedRate": exact_rate(trade.executed_rate),
        "executedBy": trade.executed_by,
        "executedAt": iso_milliseconds(trade.executed_at),
        "quotedRate": exact_rate(trade.quoted_rate),
        "marketRateAtQuote": exact_rate(trade.market_rate),
        "marketSourceAtQuote": trade.market_source,
        "marketRateAtApproval": _exact_or_none(trade.approved_market_rate),
        "marketSourceAtApproval": trade.approved_market_source,
    }


def account_answer(account: Account, scales: dict[str, int]) -> dict[str, Any]:
    """Render a ledger account."""
    scale = scales.get(account.asset, 0)
    return {
        "id": str(account.id),
        "ownerId": str(account.owner_id),
        "purpose": account.purpose,
        "asset": account.asset,
        "label": account.label,
        "status": account.status,
        "network": account.network,
        "address": account.address,
        "balance": print_units(account.balance, scale),
        "held": print_units(account.held, scale),
        "available": print_units(account.available, scale),
        "version": account.version,
    }


def booked_answer(booked: Booked, scales: dict[str, int]) -> dict[str, Any]:
    """Render a booking: the ledger transaction, if it was made already, and the account after it."""
    account = {"account": account_answer(booked.account, scales)}
    if booked.transaction is None:
        return account
    return {
        "transactionId": str(booked.transaction.id),
        "reason": booked.transaction.reason,
        "reference": booked.transaction.reference,
        "bookedAt": iso_milliseconds(booked.transaction.booked_at),
        **account,
    }


def price_answer(price: Price, now: datetime) -> dict[str, Any]:
    """Render a price: what the feed says, what the operator set, and which of them is in force."""
    market = price.market(now)
    return {
        "sourceAsset": price.source_asset,
        "destinationAsset": price.destination_asset,
        "inForce": None if market is None else {"rate": exact_rate(market.value), "source": market.source},
        "feedRate": _exact_or_none(price.feed_rate),
        "feedSource": price.feed_source,
        "feedAt": time_text(price.feed_at),
        "feedUp": price.feed_up,
        "setRate": _exact_or_none(price.set_rate),
        "setBy": price.set_by,
        "setUntil": time_text(price.set_until),
    }


def exact_rate(rate: Decimal) -> str:
    """Write a rate with all its decimals, at least 2: those of brokerage have up to 8."""
    fraction = format(plain(rate), "f").partition(".")[2]
    return print_decimal(rate, max(len(fraction), _RATE_DECIMALS_MIN))


def _exact_or_none(rate: Decimal | None) -> str | None:
    return None if rate is None else exact_rate(rate)
