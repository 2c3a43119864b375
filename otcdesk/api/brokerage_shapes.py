"""A brokerage order as the operator sees it, and whoever listens in the desk's own words: states, sides, amounts."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.api.wire import DecimalText, UuidText
from otcdesk.domain import brokerage as b
from otcdesk.domain.brokerage import FirmQuote
from otcdesk.money import PRICE_DECIMALS, print_decimal, print_units

#: The word for every state; the desk's own.
STATUSES: Mapping[str, str] = {state: state for state in sorted(b.BROKERAGE_ORDER.states)}

Status = Literal["created", "in_progress", "finished", "failed", "expired"]


class QuoteAnswer(msgspec.Struct, kw_only=True):
    """What a firm quote says; it never changes."""

    userId: Annotated[UuidText, Meta(description="The party that it was made to.")]  # noqa: N815  (wire name)
    asset: Annotated[str, Meta(description="What is bought or sold.")]
    fiat: Annotated[str, Meta(description="For what.")]
    assetAmount: Annotated[DecimalText, Meta(description="How much of the asset; 8 decimals.")]  # noqa: N815
    totalAmount: Annotated[DecimalText, Meta(description="What it is worth, in the fiat.")]  # noqa: N815
    taxAmount: Annotated[DecimalText, Meta(description="What of it is withheld.")]  # noqa: N815
    fiatAmount: Annotated[DecimalText, Meta(description="What is paid: the rest of it.")]  # noqa: N815
    price: Annotated[DecimalText, Meta(description="Fiat for one of the asset; 8 decimals.")]


class QuoteDetail(QuoteAnswer, kw_only=True):
    """The same with what is the desk's alone."""

    marketPrice: DecimalText  # noqa: N815
    marginBps: int  # noqa: N815
    spread: DecimalText
    brokerCost: DecimalText  # noqa: N815
    feesAfterCost: DecimalText  # noqa: N815
    revenueShare: DecimalText  # noqa: N815
    warnings: list[str]


def quote_answer(quote: FirmQuote, scales: Mapping[str, int]) -> QuoteAnswer:
    """Render a quote."""
    return QuoteAnswer(**_said(quote, scales))


def quote_detail(quote: FirmQuote, scales: Mapping[str, int]) -> QuoteDetail:
    """Render a quote for the desk."""
    return QuoteDetail(
        **_said(quote, scales),
        marketPrice=print_decimal(quote.reference, PRICE_DECIMALS),
        marginBps=quote.margin_bps,
        spread=print_decimal(quote.spread, PRICE_DECIMALS),
        brokerCost=print_decimal(quote.broker_cost, PRICE_DECIMALS),
        feesAfterCost=print_decimal(quote.fees_after_cost, PRICE_DECIMALS),
        revenueShare=print_decimal(quote.revenue_share, PRICE_DECIMALS),
        warnings=list(quote.warnings),
    )


def _said(quote: FirmQuote, scales: Mapping[str, int]) -> dict[str, Any]:
    scale = scales[quote.fiat]
    return {
        "userId": str(quote.party_id),
        "asset": quote.asset,
        "fiat": quote.fiat,
        "assetAmount": print_units(quote.asset_units, scales[quote.asset], PRICE_DECIMALS),
        "totalAmount": print_units(quote.total_units, scale),
        "taxAmount": print_units(quote.tax_units, scale),
        "fiatAmount": print_units(quote.fiat_units, scale),
        "price": print_decimal(quote.price, PRICE_DECIMALS),
    }
