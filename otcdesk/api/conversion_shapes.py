"""The conversion on the wire, as its customers and its operators both see it: statuses, the order object, amounts."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.api.wire import DecimalText, TimeText, UuidText
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.conversions import (
    CANCELLED,
    CASH_SCALE,
    COLLECTING,
    COMPLETED,
    CUSTODY_SCALE,
    DEBIT_PENDING,
    DESTINATION_DECIMALS,
    EXPIRED,
    FAILED,
    MACHINES,
    PAYING,
    PENDING_APPROVAL,
    QUOTED,
    REJECTED,
    REQUOTED,
    RETURNING,
)
from otcdesk.domain.orders import BUY, Order
from otcdesk.money import print_rate, print_units

EUR_SCALE = CASH_SCALE
USDC_SCALE = CUSTODY_SCALE

#: The contract's word for every state of a conversion; work between approval and completion stays `pending_approval`.
STATUSES = {
    QUOTED: "quoted",
    REQUOTED: "requoted",
    DEBIT_PENDING: "debit_pending",
    PENDING_APPROVAL: "pending_approval",
    COLLECTING: "pending_approval",
    PAYING: "pending_approval",
    RETURNING: "pending_approval",
    COMPLETED: "completed",
    CANCELLED: "cancelled",
    REJECTED: "rejected",
    EXPIRED: "expired",
    FAILED: "failed",
}

_unsaid = {state for machine in MACHINES.values() for state in machine.states} - STATUSES.keys()
if _unsaid:
    raise AssertionError(f"the wire has no word for {sorted(_unsaid)}")

Status = Literal[
    "quoted", "requoted", "debit_pending", "pending_approval", "completed", "cancelled", "rejected", "expired", "failed"
]
Currency = Literal["EUR", "USDC"]


class OrderAnswer(msgspec.Struct, kw_only=True):
    """The order object: eight fields."""

    id: Annotated[UuidText, Meta(description="The order.")]
    status: Annotated[Status, Meta(description="Where it stands.")]
    sourceCurrency: Annotated[Currency, Meta(description="What the customer gives.")]  # noqa: N815
    sourceAmount: Annotated[DecimalText, Meta(description="How much of it; EUR with 2 decimals, USDC with 6.")]  # noqa: N815
    destinationCurrency: Annotated[Currency, Meta(description="What the customer gets.")]  # noqa: N815
    destinationAmount: Annotated[DecimalText, Meta(description="How much of it, with 2 decimals.")]  # noqa: N815
    rate: Annotated[
        DecimalText,
        Meta(description="Destination per one source, 2 to 6 decimals: quoted, and once it is completed executed."),
    ]
    createdAt: Annotated[TimeText, Meta(description="When it was quoted; milliseconds, UTC.")]  # noqa: N815


class _DialectData(msgspec.Struct):
    travelRulePayload: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815


def travel_rule_payload(order: Order) -> msgspec.Raw:
    """Return what the customer sent with its confirm, untouched; `null` if nothing."""
    return msgspec.json.decode(order.dialect_data or "{}", type=_DialectData).travelRulePayload


def currency(asset: str) -> Any:
    """Return an asset's code as the wire's currency."""
    return asset


def source_amount(order: Order) -> str:
    """Print what an order gives, in the decimals of its asset (contract 3.6)."""
    return print_units(order.source_units, EUR_SCALE if order.side == BUY else USDC_SCALE)


def destination_amount(order: Order) -> str:
    """Print what an order brings: two decimals on both sides (contract 2.10)."""
    scale = USDC_SCALE if order.side == BUY else EUR_SCALE
    return print_units(order.destination_units, scale, DESTINATION_DECIMALS)


def order_answer(order: Order) -> OrderAnswer:
    """Render an order."""
    return OrderAnswer(
        id=str(order.id),
        status=STATUSES[order.state],  # type: ignore[arg-type]
        sourceCurrency=currency(order.source_asset),
        sourceAmount=source_amount(order),
        destinationCurrency=currency(order.destination_asset),
        destinationAmount=destination_amount(order),
        rate=print_rate(order.rate),
        createdAt=iso_milliseconds(order.created_at),
    )
