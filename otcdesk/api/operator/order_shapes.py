"""Orders of every product on the operator's wire: what all have in common, and under its own name what one adds."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api import brokerage_shapes, conversion_shapes, payout_shapes
from otcdesk.api.brokerage_shapes import QuoteDetail
from otcdesk.api.operator.shapes import exact_rate
from otcdesk.api.payout_shapes import PaymentAnswer
from otcdesk.api.wire import DecimalText, PageQuery, TimeText, UuidText, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.domain import conversions
from otcdesk.domain.brokerage import FirmQuote
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import Payment
from otcdesk.domain.products import LIFECYCLES
from otcdesk.errors import Code, Refusal
from otcdesk.money import print_units

#: The words for the states of a product that has others than the desk's own.
_WORDS: Mapping[str, Mapping[str, str]] = {conversions.PRODUCT: conversion_shapes.STATUSES}

#: The words for the states of each product.
STATUSES: Mapping[str, Mapping[str, str]] = {
    product: {
        state: _WORDS[product][state] if product in _WORDS else state
        for machine in lifecycle.machines.values()
        for state in sorted(machine.states)
    }
    for product, lifecycle in LIFECYCLES.items()
}


class AllOrdersQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only orders of one product, or of one status."""

    product: (
        Annotated[str, Meta(description="What kind of order.", extra_json_schema={"enum": sorted(LIFECYCLES)})]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET


class AnyOrder(msgspec.Struct, kw_only=True):
    """An order of any product; amounts have all decimals of their assets.

    `brokerage`: its quote, if it is of one; `payout`: what a payout, its return or its correction is about.
    """

    id: UuidText
    product: str
    side: str
    status: str
    deskState: str  # noqa: N815  (wire name)
    version: int
    customerId: UuidText  # noqa: N815
    sourceAccountId: UuidText  # noqa: N815
    sourceAsset: str  # noqa: N815
    sourceAmount: DecimalText  # noqa: N815
    destinationAccountId: UuidText  # noqa: N815
    destinationAsset: str  # noqa: N815
    destinationAmount: DecimalText  # noqa: N815
    rate: DecimalText
    reason: str | None
    waitsFor: str | None  # noqa: N815
    railReference: str | None  # noqa: N815
    createdAt: TimeText  # noqa: N815
    expiresAt: TimeText  # noqa: N815
    updatedAt: TimeText  # noqa: N815
    confirmedAt: TimeText | None  # noqa: N815
    endedAt: TimeText | None  # noqa: N815
    brokerage: QuoteDetail | None = None
    payout: PaymentAnswer | None = None


class Facts(msgspec.Struct, frozen=True):
    """What products add to their orders, by the orders' ids."""

    quotes: dict[UUID, FirmQuote]
    payments: dict[UUID, Payment]


def any_order_answer(order: Order, facts: Facts, scales: Mapping[str, int]) -> AnyOrder:
    """Render an order of any product."""
    quote, payment = facts.quotes.get(order.id), facts.payments.get(order.id)
    return AnyOrder(
        id=str(order.id),
        product=order.product,
        side=order.side,
        status=STATUSES[order.product][order.state],
        deskState=order.state,
        version=order.version,
        customerId=str(order.tenant_id),
        sourceAccountId=str(order.source_account_id),
        sourceAsset=order.source_asset,
        sourceAmount=print_units(order.source_units, scales[order.source_asset]),
        destinationAccountId=str(order.destination_account_id),
        destinationAsset=order.destination_asset,
        destinationAmount=print_units(order.destination_units, scales[order.destination_asset]),
        rate=exact_rate(order.rate),
        reason=order.reason,
        waitsFor=order.waits_for,
        railReference=order.rail_reference,
        createdAt=iso_milliseconds(order.created_at),
        expiresAt=iso_milliseconds(order.expires_at),
        updatedAt=iso_milliseconds(order.updated_at),
        confirmedAt=time_text(order.confirmed_at),
        endedAt=time_text(order.ended_at),
        brokerage=None if quote is None else brokerage_shapes.quote_detail(quote, scales),
        payout=None if payment is None else payout_shapes.payment_answer(order, payment, scales),
    )


def product_of(name: str | None) -> str | None:
    """Return the product that is wanted, None for all; refuses REQUEST_INVALID."""
    if name and name not in STATUSES:
        raise Refusal(Code.REQUEST_INVALID, f"There is no product {name[:40]!r}.")
    return name or None


def states_of(status: str | None, product: str | None) -> list[str] | None:
    """Return the states that a status stands for, in one product or in all, None for all; refuses REQUEST_INVALID."""
    if not status:
        return None
    tables: list[Any] = [STATUSES[product]] if product else list(STATUSES.values())
    states = {state for table in tables for state, word in table.items() if word == status}
    if not states:
        raise Refusal(Code.REQUEST_INVALID, f"There is no status {status[:40]!r}.")
    return sorted(states)
