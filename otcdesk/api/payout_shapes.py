"""A payout order as the operator sees it, and whoever listens in the desk's own words: states, and what it is about."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.api.wire import DecimalText, UuidText
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.payouts import Payment
from otcdesk.money import plain, print_units

#: Where an order of this product stands, in the desk's own words.
Status = Literal["created", "pending", "held", "filed", "cancelling", "settled", "failed"]

#: A payout, what came back of one or was paid in, and corrections in the tenant's favour and in the desk's.
Side = Literal["sell", "buy", "credit", "debit"]


class PaymentAnswer(msgspec.Struct, kw_only=True):
    """What a payout order is about; it never changes."""

    kind: Annotated[str, Meta(description="Why it was made: `payout`, `return`, `adjustment` and others.")]
    userId: Annotated[UuidText | None, Meta(description="Whom it pays; null for nobody in particular.")]  # noqa: N815  (wire name)
    externalId: Annotated[str | None, Meta(description="The tenant's own id for it.")]  # noqa: N815
    asset: Annotated[str, Meta(description="What is taken, or given back.")]
    assetAmount: Annotated[DecimalText, Meta(description="How much of it, with all of its decimals.")]  # noqa: N815
    fiat: Annotated[str | None, Meta(description="What arrives, or came back; null if no fiat moves.")]
    fiatAmount: Annotated[DecimalText | None, Meta(description="How much of it.")]  # noqa: N815
    feeAmount: Annotated[DecimalText | None, Meta(description="What the channel costs, in the fiat.")]  # noqa: N815
    surchargeAmount: Annotated[DecimalText | None, Meta(description="What is withheld for the tenant, in the fiat.")]  # noqa: N815
    rate: Annotated[DecimalText | None, Meta(description="Fiat for one of the asset.")]
    channelId: Annotated[UuidText | None, Meta(description="The channel by which it is paid.")]  # noqa: N815
    returnsId: Annotated[UuidText | None, Meta(description="The order that came back.")]  # noqa: N815
    adjustsId: Annotated[UuidText | None, Meta(description="The order that is corrected.")]  # noqa: N815
    adjustmentId: Annotated[UuidText | None, Meta(description="Shared by corrections that belong together.")]  # noqa: N815


def payment_answer(order: Order, payment: Payment, scales: Mapping[str, int]) -> PaymentAnswer:
    """Render what an order of this product is about."""
    return PaymentAnswer(**payment_fields(order, payment, scales))


def payment_fields(order: Order, payment: Payment, scales: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of `PaymentAnswer`."""
    fiat = payment.fiat
    return {
        "kind": payment.kind,
        "userId": _text(payment.party_id),
        "externalId": payment.external_id,
        "asset": payment.asset,
        "assetAmount": print_units(asset_units(order), scales[payment.asset]),
        "fiat": fiat,
        "fiatAmount": None if fiat is None else print_units(payment.fiat_units, scales[fiat]),
        "feeAmount": None if fiat is None else print_units(payment.fee_units, scales[fiat]),
        "surchargeAmount": None if fiat is None else print_units(payment.surcharge_units, scales[fiat]),
        "rate": None if payment.rate is None else plain(payment.rate),
        "channelId": _text(payment.channel_id),
        "returnsId": _text(payment.returns_id),
        "adjustsId": _text(payment.adjusts_id),
        "adjustmentId": _text(payment.adjustment_id),
    }


def asset_units(order: Order) -> int:
    """Return how much of the asset an order moves: what is bought is its destination."""
    return order.destination_units if order.side == BUY else order.source_units


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
