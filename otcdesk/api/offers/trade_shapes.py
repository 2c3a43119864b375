"""Trades on this wire: rows of histories and searches, one trade with its tax, and pages of them (contract 3.5).

A trade has the id of the offer that it came from and the same five states. Fees are earned when it is finished: before
that, and for what never is, they are zero.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from otcdesk.api.http import Answer, Request
from otcdesk.api.offers.errors import failure
from otcdesk.api.offers.listings import LaneListings
from otcdesk.api.offers.queries import Page, PageNumber, PageSize, Query, linked
from otcdesk.api.offers.shapes import (
    BY_USER,
    STATES,
    STATUSES,
    Brokered,
    BrokeredPage,
    Fiat,
    InitiatedBy,
    Price,
    Side,
    Status,
    amounts,
    fiat_text,
    timestamp,
)
from otcdesk.api.wire import TimeText, UuidText
from otcdesk.domain.brokerage import FAILED, FINISHED, FirmQuote
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.money import PRICE_DECIMALS, print_decimal

SIDES = (BUY, SELL)

#: What a search may ask for: an earlier revision wrote `completed` (contract 3.5).
SearchedStatus = Status | Literal["completed"]
_SEARCHED_STATES = {**STATES, "completed": FINISHED}

INITIATORS = InitiatedBy.__args__  # type: ignore[attr-defined]

_NOTHING = Decimal(0)


class _Row(msgspec.Struct, kw_only=True):
    """What all rows of trades have."""

    id: Annotated[UuidText, Meta(description="The trade.")]
    offer_id: Annotated[UuidText, Meta(description="The offer that it came from; the same id.")]
    type: Annotated[Side, Meta(description="Whether the user buys or sells.")]
    fiat_amount: Annotated[Fiat, Meta(description="What is paid: the total without the tax; 2 decimals.")]
    tax_amount: Annotated[Fiat, Meta(description="What is withheld of the total; 2 decimals.")]
    total_amount: Annotated[Fiat, Meta(description="The gross value of the trade; 2 decimals.")]
    asset_amount: Annotated[Price, Meta(description="How much of the asset; 8 decimals.")]
    asset_price: Annotated[Price, Meta(description="Fiat for one of the asset, with the margin in it; 8 decimals.")]
    time: Annotated[TimeText, Meta(description="When it was finished; before that, and without that, when offered.")]
    external_transaction_id: Annotated[
        str | None, Meta(description="The partner's own id for it; null if it was accepted without one, or not at all.")
    ]
    status: Annotated[Status, Meta(description="Where it stands.")]
    fiat_symbol: Annotated[str, Meta(description="The fiat's symbol.")]
    asset_symbol: Annotated[str, Meta(description="The asset's symbol.")]
    gross_fee: Annotated[Price, Meta(description="What the margin is worth, in the fiat; 8 decimals.")]
    fees_after_cost: Annotated[Price, Meta(description="The same less what trading cost; negative for a loss.")]
    final_revenue_share: Annotated[Price, Meta(description="The partner's share of it; 8 decimals.")]
    initiated_by: Annotated[Literal["user"], Meta(description="How it came about.")]


class TradeRow(_Row, kw_only=True):
    """A trade in v1 resources."""

    fiat_id: Annotated[int, Meta(description="The fiat.")]
    asset_id: Annotated[int, Meta(description="The asset.")]
    user_pid: Annotated[UuidText, Meta(description="The user.")]


class TradeRowV2(_Row, kw_only=True):
    """A trade in v2 resources."""

    fiat_id: Annotated[UuidText, Meta(description="The fiat.")]
    asset_id: Annotated[UuidText, Meta(description="The asset.")]
    user_id: Annotated[UuidText, Meta(description="The user.")]


class TradeError(msgspec.Struct, kw_only=True):
    """Why a trade failed."""

    error_code: str
    error_message: str


class TradeAnswer(TradeRowV2, kw_only=True, omit_defaults=True):
    """One trade: its row, what of it is taxed, and why it failed."""

    taxable_amount: Fiat
    capital_gain: Fiat
    error: TradeError | msgspec.UnsetType = msgspec.UNSET


class TaxDetailsAnswer(msgspec.Struct, kw_only=True):
    """What of a trade is taxed."""

    type: Literal["tax-details"]
    trade_id: UuidText
    taxable_amount: Fiat
    capital_gain: Fiat


class PageMeta(msgspec.Struct, kw_only=True):
    """Which page it is, and how many rows there are in all."""

    total_count: Annotated[int, Meta(ge=0)]
    page: Annotated[int, Meta(ge=1)]
    page_size: Annotated[int, Meta(ge=1, le=100)]


class CursorMeta(msgspec.Struct, kw_only=True):
    """Where the next page begins, null after the last one."""

    cursor: UuidText | None
    size: Annotated[int, Meta(ge=1, le=100)]


class HistoryQuery(msgspec.Struct, kw_only=True):
    """What of a user's history is wanted; an asset by its integer."""

    types: list[Side] = msgspec.field(name="types[]")
    asset_id: Annotated[int, Meta(ge=1)]
    page: PageNumber = 1
    page_size: PageSize = 10


class HistoryQueryV2(msgspec.Struct, kw_only=True):
    """What of a user's history is wanted; an asset by its pid."""

    types: list[Side] = msgspec.field(name="types[]")
    asset_id: UuidText
    page: PageNumber = 1
    page_size: PageSize = 10


class SearchQuery(msgspec.Struct, kw_only=True):
    """What of a partner's trades is wanted, by page; a day that is named is included."""

    date_start: str
    date_end: str
    internal_trade_id: UuidText
    external_transaction_id: str
    offer_id: UuidText
    user_pid: UuidText
    page: PageNumber = 1
    page_size: PageSize = 10


class SearchQueryV2(msgspec.Struct, kw_only=True):
    """What of a partner's trades is wanted, by cursor; the times are those at which they were offered."""

    start: TimeText
    end: TimeText
    status: Annotated[SearchedStatus, Meta(description="`completed` is an earlier word for `finished`.")]
    initiated_by: InitiatedBy
    asset_symbol: str
    type: Side
    id: UuidText
    user_id: UuidText
    cursor: UuidText
    page_size: PageSize = 10


def trade_row(found: Brokered, listings: LaneListings) -> TradeRow:
    """Render a trade with integers as ids."""
    quote = found.quote
    return TradeRow(
        **_row(found, listings),
        fiat_id=_number(quote.fiat, listings),
        asset_id=_number(quote.asset, listings),
        user_pid=str(quote.party_id),
    )


def trade_row_v2(found: Brokered, listings: LaneListings) -> TradeRowV2:
    """Render a trade with pids as ids."""
    return TradeRowV2(**_row(found, listings), **_pids(found.quote, listings))


def trade_answer(found: Brokered, listings: LaneListings) -> TradeAnswer:
    """Render one trade."""
    answer = TradeAnswer(**_row(found, listings), **_pids(found.quote, listings), **_taxed(found, listings))
    if found.order.state == FAILED:
        code, message = failure(found.order.reason)
        answer.error = TradeError(error_code=code, error_message=message)
    return answer


def tax_details_answer(found: Brokered, listings: LaneListings) -> TaxDetailsAnswer:
    """Render what of a trade is taxed."""
    return TaxDetailsAnswer(type="tax-details", trade_id=str(found.order.id), **_taxed(found, listings))


def _number(code: str, listings: LaneListings) -> int:
    return int(listings.named(code, by_pid=False))


def _pids(quote: FirmQuote, listings: LaneListings) -> dict[str, Any]:
    return {
        "fiat_id": listings.named(quote.fiat, by_pid=True),
        "asset_id": listings.named(quote.asset, by_pid=True),
        "user_id": str(quote.party_id),
    }


def _row(found: Brokered, listings: LaneListings) -> dict[str, Any]:
    order, quote = found.order, found.quote
    gross, net, share = _NOTHING, _NOTHING, _NOTHING
    if order.state == FINISHED:
        gross, net, share = quote.spread, quote.fees_after_cost, quote.revenue_share
    return {
        **amounts(quote, listings),
        "id": str(order.id),
        "offer_id": str(order.id),
        "type": order.side,
        "time": timestamp(_time(order)),
        "external_transaction_id": found.external_id,
        "status": STATUSES[order.state],
        "fiat_symbol": quote.fiat,
        "asset_symbol": quote.asset,
        "gross_fee": print_decimal(gross, PRICE_DECIMALS),
        "fees_after_cost": print_decimal(net, PRICE_DECIMALS),
        "final_revenue_share": print_decimal(share, PRICE_DECIMALS),
        "initiated_by": BY_USER,
    }


def _time(order: Order) -> datetime:
    """Return when a trade was finished; before that, and without that, when it was offered."""
    return order.ended_at if order.state == FINISHED and order.ended_at is not None else order.created_at


def _taxed(found: Brokered, listings: LaneListings) -> dict[str, Any]:
    """Return the gain of a sale over its cost basis, and as much of it as is taxed: a loss is not (contract R5).

    What was not carried out has gained nothing.
    """
    gain_units, scale = (found.quote.gain_units or 0) * is_finished(found), listings.scale(found.quote.fiat)
    return {"taxable_amount": fiat_text(max(gain_units, 0), scale), "capital_gain": fiat_text(gain_units, scale)}


def states_of(query: Query) -> list[str] | None:
    """Return the states that a search wants, all if None; what nobody initiated but users is in none of them."""
    word, initiator = query.word("status", _SEARCHED_STATES), query.word("initiated_by", INITIATORS)
    if initiator not in {None, BY_USER}:
        return []
    return None if word is None else [_SEARCHED_STATES[word]]


def page_answer(rows: Sequence[Any], query: Query, total: int) -> Answer:
    """Return the page that a query asks for with its meta and links, as v1 has them (contract 3.0)."""
    page = query.page()
    meta = PageMeta(total_count=total, page=page.page, page_size=page.page_size)
    return Answer(200, {"data": rows, "meta": meta, "links": linked(query, page, total)})


def unlinked_answer(rows: Sequence[Any], page: Page, total: int) -> Answer:
    """Return a page with its meta."""
    return Answer(200, {"data": rows, "meta": PageMeta(total_count=total, page=page.page, page_size=page.page_size)})


def cursor_answer(rows: Sequence[TradeRowV2], size: int) -> Answer:
    """Return the first rows of one more than were wanted, and where those after them begin."""
    shown = rows[:size]
    cursor = shown[-1].id if len(rows) > size else None
    return Answer(200, {"data": shown, "meta": CursorMeta(cursor=cursor, size=size)})


def whole(rows: Sequence[Any], request: Request) -> Answer:
    """Return a page of rows that are all there."""
    query = Query(request)
    page = query.page()
    return page_answer(rows[page.offset : page.offset + page.page_size], query, len(rows))


def part(found: BrokeredPage, page: Page) -> BrokeredPage:
    """Return a page of rows that are all there, and how many there are."""
    return BrokeredPage(rows=found.rows[page.offset : page.offset + page.page_size], total=found.total)


def is_finished(found: Brokered) -> bool:
    """Tell whether a trade is one: carried out, and to be settled."""
    return found.order.state == FINISHED
