"""Bodies of the operator's decisions about payouts, and what they answer."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.adjust_payout import AdjustPayout
from otcdesk.actions.record_payout import RecordReturn
from otcdesk.actions.settle_payout import SettlePayout
from otcdesk.api.operator.shapes import AmountText, Words
from otcdesk.api.wire import KEPT_TEXT, DecimalText, Uuid, UuidText, uuid_of
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import Channel, Payment
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units, plain, print_units

Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]


class ReasonRequest(msgspec.Struct, kw_only=True):
    """Why a payout is held, cancelled or failed."""

    reason: Words


class SettleRequest(msgspec.Struct, kw_only=True):
    """What the bank calls a payout that the operator has made."""

    reference: Reference


class ReturnRequest(msgspec.Struct, kw_only=True):
    """A settled payout that came back: the bank's reference, why, and how much of its fiat, all of it unless told."""

    reference: Reference
    reason: Words | None = None
    fiatAmount: AmountText | None = None  # noqa: N815  (wire name)


class AdjustRequest(msgspec.Struct, kw_only=True):
    """Give a tenant so much of the asset of a settled payout (`credit`), or take it (`debit`).

    Corrections that belong together share an `adjustmentId`.
    """

    side: Literal["credit", "debit"]
    amount: AmountText
    reason: Words
    adjustmentId: Uuid | None = None  # noqa: N815


class ChannelRequest(msgspec.Struct, kw_only=True):
    """Whether payouts may be sold through a channel."""

    enabled: bool


class ChannelAnswer(msgspec.Struct, kw_only=True):
    """A channel; amounts are of its fiat."""

    id: UuidText
    category: str
    type: str
    country: str
    fiat: str
    minimum: DecimalText
    maximum: DecimalText | None
    fixedFee: DecimalText  # noqa: N815
    feePercent: DecimalText  # noqa: N815
    spreadBps: int  # noqa: N815
    processingSeconds: int  # noqa: N815
    rail: Literal["payout", "bank_file", "by_hand"]
    reviewFrom: DecimalText | None  # noqa: N815
    enabled: bool


def settle_command(order: Order, body: SettleRequest) -> SettlePayout:
    """Return the command that books a payout which the operator has made."""
    return SettlePayout(order_id=order.id, outcome="done", detail=body.reference)


def fail_command(order: Order, body: ReasonRequest) -> SettlePayout:
    """Return the command that gives back what a payout took which nobody will make."""
    return SettlePayout(order_id=order.id, outcome="refused", detail=body.reason)


def return_command(order: Order, payment: Payment, body: ReturnRequest, scale: int) -> RecordReturn:
    """Return the command that books what came back; refuses REQUEST_INVALID."""
    units = payment.fiat_units if body.fiatAmount is None else _units(body.fiatAmount, scale, "fiatAmount")
    return RecordReturn(order_id=order.id, fiat_units=units, reference=body.reference, reason=body.reason)


def adjust_command(order: Order, body: AdjustRequest, scale: int) -> AdjustPayout:
    """Return the command that corrects a payout; refuses REQUEST_INVALID."""
    return AdjustPayout(
        order_id=order.id,
        side=body.side,
        units=_units(body.amount, scale, "amount"),
        reason=body.reason,
        adjustment_id=None if body.adjustmentId is None else uuid_of(body.adjustmentId),
    )


def _units(text: str, scale: int, field: str) -> int:
    units = parse_units(text, scale)
    if not units:
        raise Refusal(Code.REQUEST_INVALID, f"The {field} must be a positive decimal with at most {scale} places.")
    return units


def channel_answer(channel: Channel, scale: int) -> ChannelAnswer:
    """Render a channel."""

    def amount(units: int | None) -> Any:
        return None if units is None else print_units(units, scale)

    return ChannelAnswer(
        id=str(channel.id),
        category=channel.category,
        type=channel.type,
        country=channel.country,
        fiat=channel.fiat,
        minimum=amount(channel.min_units),
        maximum=amount(channel.max_units),
        fixedFee=amount(channel.fixed_fee_units),
        feePercent=str(plain(channel.fee_percent)),
        spreadBps=channel.spread_bps,
        processingSeconds=channel.processing_seconds,
        rail=channel.rail,  # type: ignore[arg-type]
        reviewFrom=amount(channel.review_from_units),
        enabled=channel.enabled,
    )
