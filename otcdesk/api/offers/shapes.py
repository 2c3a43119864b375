"""Offers and trades on this wire: bodies that become commands, and orders with their quotes in the contract's words.

Money is text with fixed decimals: fiat 2, quantities, prices and fees 8; times have whole seconds and an offset
(contract 3.0, 6). What an accepted offer answers is made of rows that never change again, so it is equal each time.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.api.http import Request
from otcdesk.api.offers.errors import FAILED_STATUS, failure, invalid
from otcdesk.api.offers.listings import LaneListings
from otcdesk.api.offers.queries import Query
from otcdesk.api.wire import DecimalText, TimeText, UuidText, canonical_uuid
from otcdesk.domain import brokerage as b
from otcdesk.domain import products
from otcdesk.domain.brokerage import FirmQuote
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.money import PRICE_DECIMALS, print_decimal, print_units

USER = "bp-user-id"
EXTERNAL_ID = "external_transaction_id"

_EXTERNAL_ID_MAX = 100
_FIAT_DECIMALS = 2

#: A sibling page's pattern, and another's bound on the whole part (contract 3.1).
_AMOUNT = r"[0-9]{1,24}(\.[0-9]{1,8})?"
_AMOUNT_PATTERN = re.compile(_AMOUNT, re.ASCII)
Amount = Annotated[str, Meta(pattern=f"^{_AMOUNT}$")]
Price = Annotated[DecimalText, Meta(description="8 decimals.")]
Fiat = Annotated[DecimalText, Meta(description="2 decimals.")]

#: The contract's word for every state of an order of this product.
STATUSES: Mapping[str, str] = {
    b.CREATED: "created",
    b.IN_PROGRESS: "in progress",
    b.FINISHED: "finished",
    b.FAILED: "failed",
    b.EXPIRED: "expired",
}
if STATUSES.keys() != b.BROKERAGE_ORDER.states:
    raise AssertionError("the wire has no word for a state, or a word for none")

STATES: Mapping[str, str] = {word: state for state, word in STATUSES.items()}

Status = Literal["created", "in progress", "finished", "failed", "expired"]
Side = Literal["buy", "sell"]
DefinedFor = Literal["fiat", "asset"]
InitiatedBy = Literal[
    "user",
    "bitpanda_corporate_action",
    "bitpanda_manual_trade",
    "bitpanda_savings",
    "bitpanda_swaps",
    "automated_order",
]

#: The one way in which trades come about here.
BY_USER: Literal["user"] = "user"


class OfferRequest(msgspec.Struct, kw_only=True):
    """A request for an offer; asset and fiat are named by integer."""

    type: Side
    fiat_id: int
    asset_id: int
    amount: Amount
    amount_defined_for: DefinedFor


class OfferRequestV2(msgspec.Struct, kw_only=True):
    """A request for an offer; asset and fiat are named by pid."""

    type: Side
    fiat_id: UuidText
    asset_id: UuidText
    amount: Amount
    amount_defined_for: DefinedFor


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """What a user is to be told beside an offer."""

    message: str
    message_key: str
    helpdesk_article_id: str = ""
    link_message: str = ""
    link_message_key: str = ""


#: What is said beside an offer (contract 3.1).
WARNED: Mapping[str, Warned] = {
    b.TAX_UNAVAILABLE: Warned(
        message="Tax withholding provider is not available", message_key="tax.withholding.not.available"
    ),
    b.DIVIDEND_PENDING: Warned(
        message="A corporate action is pending for this asset; selling it now may cost its holder a dividend",
        message_key="corporate.action.dividend.warning.message.sell",
        link_message="More about dividends",
        link_message_key="corporate.action.dividend.warning.link.message",
    ),
}
if set(WARNED) != set(b.WARNINGS):
    raise AssertionError("a warning has no words, or words no warning")


class AcceptQuery(msgspec.Struct, kw_only=True):
    """What the query of an acceptance says: the partner's own id for its side of the trade."""

    external_transaction_id: Annotated[str, Meta(min_length=1, max_length=_EXTERNAL_ID_MAX)]


class _OfferAnswer(msgspec.Struct, kw_only=True):
    """An offer as it is made."""

    id: UuidText
    type: Side
    fiat_amount: Fiat
    tax_amount: Fiat
    total_amount: Fiat
    asset_amount: Price
    asset_price: Price
    offer_validity: Annotated[int, Meta(description="Seconds.")]
    expires_at: TimeText
    time: TimeText
    warning: list[Warned]


class OfferAnswer(_OfferAnswer, kw_only=True):
    """An offer as it is made; asset and fiat are named by integer."""

    fiat_id: int
    asset_id: int


class OfferAnswerV2(_OfferAnswer, kw_only=True):
    """An offer as it is made; asset and fiat are named by pid."""

    fiat_id: UuidText
    asset_id: UuidText


class AcceptedAnswer(msgspec.Struct, kw_only=True):
    """An offer that was accepted and carried out: the fourteen fields of the reference."""

    id: UuidText
    trade_id: UuidText
    type: Side
    fiat_id: Annotated[int | UuidText, Meta(description="Of the kind that the offer was made with.")]
    asset_id: Annotated[int | UuidText, Meta(description="Of the kind that the offer was made with.")]
    fiat_amount: Fiat
    tax_amount: Fiat
    total_amount: Fiat
    asset_amount: Price
    asset_price: Price
    time: TimeText
    spread: Price
    fees_after_cost: Price
    warning: list[Warned]


class StatusErrors(msgspec.Struct, kw_only=True):
    """Why an offer failed, as offer-status nests it: a status in `code`, the key in `title`."""

    code: str
    title: str


class StatusAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where an offer stands."""

    status: Status
    errors: StatusErrors | msgspec.UnsetType = msgspec.UNSET


class Brokered(msgspec.Struct, frozen=True, kw_only=True):
    """A quote with the order that is its life, what it was accepted under, and the lane's clock, as they are read."""

    order: Order
    quote: FirmQuote
    external_id: str | None = None
    clock: LaneClock | None = None


class BrokeredPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of them, and how many there are in all."""

    rows: list[Brokered]
    total: int = 0


def user_of(request: Request) -> UUID:
    """Return for whom a request is, by its header; refuses REQUEST_INVALID."""
    given = request.header(USER)
    if given is None:
        raise invalid(USER, f"The header {USER} is required.")
    try:
        return canonical_uuid(given)
    except ValueError:
        raise invalid(USER, f"The header {USER} must be a UUID.") from None


def user_or_none(request: Request) -> UUID | None:
    """Return for whom a request is, where it need not say."""
    return None if request.header(USER) is None else user_of(request)


def path_id(text: str, name: str) -> UUID:
    """Return an id of the path; refuses REQUEST_INVALID."""
    try:
        return canonical_uuid(text)
    except ValueError:
        raise invalid(name, f"{name} must be a UUID.") from None


def pid_of(text: str, field: str) -> UUID:
    """Return a pid of a body; refuses REQUEST_INVALID."""
    return path_id(text, field)


def named_ids(body: OfferRequest | OfferRequestV2) -> tuple[tuple[str, int | UUID], tuple[str, int | UUID]]:
    """Return how a request names asset and fiat; refuses REQUEST_INVALID for what is no pid."""
    if isinstance(body, OfferRequest):
        return (b.ASSET, body.asset_id), (b.FIAT, body.fiat_id)
    return (b.ASSET, pid_of(body.asset_id, "asset_id")), (b.FIAT, pid_of(body.fiat_id, "fiat_id"))


def quote_command(
    body: OfferRequest | OfferRequestV2, party_id: UUID, codes: Sequence[str], tax: tuple[int | None, bool]
) -> QuoteBrokerage:
    """Return the command of a request; `tax`: the rate, and whether nobody could tell it."""
    asset, fiat = codes
    tax_bps, tax_unavailable = tax
    return QuoteBrokerage(
        party_id=party_id,
        side=body.type,
        asset=asset,
        fiat=fiat,
        amount=amount_of(body.amount, "amount"),
        defined_for=body.amount_defined_for,
        by_pid=isinstance(body, OfferRequestV2),
        tax_bps=tax_bps,
        tax_unavailable=tax_unavailable,
    )


def amount_of(text: str, field: str) -> Decimal:
    """Return an amount of a body; refuses REQUEST_INVALID for zero."""
    if not _AMOUNT_PATTERN.fullmatch(text) or not Decimal(text):
        raise invalid(field, f"{field} must be a decimal above zero.")
    return Decimal(text)


def accept_command(order_id: str, request: Request, *, repeats: bool) -> AcceptQuote:
    """Return the command of an acceptance; where it may be repeated it needs an external id (contract 3.3)."""
    return AcceptQuote(
        order_id=path_id(order_id, "offer_id"),
        party_id=user_of(request),
        external_id=_external_id(Query(request), required=repeats),
        repeats=repeats,
    )


def _external_id(query: Query, *, required: bool) -> str | None:
    value = query.text(EXTERNAL_ID)
    if value is None and not required:
        return None
    if value is None or not value.strip():
        raise invalid(EXTERNAL_ID, f"{EXTERNAL_ID} is required.")
    if len(value) > _EXTERNAL_ID_MAX or "\x00" in value:
        raise invalid(EXTERNAL_ID, f"{EXTERNAL_ID} must have 1 to {_EXTERNAL_ID_MAX} characters.")
    return value


def searched_external_id(query: Query) -> str | None:
    """Return the external id that a search names."""
    return _external_id(query, required=False)


def by_the_clock(found: Brokered, now: datetime) -> Brokered:
    """Return an offer in the state that it has by now."""
    return msgspec.structs.replace(found, order=products.by_the_clock(found.order, now))


def timestamp(moment: datetime) -> str:
    """Write a time as the contract does: whole seconds and an offset (contract 3.0)."""
    return moment.isoformat(timespec="seconds")


def offer_answer(order: Order, quote: FirmQuote, listings: LaneListings) -> OfferAnswer:
    """Render an offer that was just made, with integers as ids."""
    return OfferAnswer(**_made(order, quote, listings))


def offer_answer_v2(order: Order, quote: FirmQuote, listings: LaneListings) -> OfferAnswerV2:
    """Render an offer that was just made, with pids as ids."""
    return OfferAnswerV2(**_made(order, quote, listings))


def _made(order: Order, quote: FirmQuote, listings: LaneListings) -> dict[str, Any]:
    return {
        **amounts(quote, listings),
        "id": str(order.id),
        "type": order.side,
        "fiat_id": listings.named(quote.fiat, by_pid=quote.by_pid),
        "asset_id": listings.named(quote.asset, by_pid=quote.by_pid),
        "offer_validity": order.ttl_seconds,
        "expires_at": timestamp(order.expires_at),
        "time": timestamp(order.created_at),
        "warning": warnings(quote),
    }


def accepted_answer(order: Order, quote: FirmQuote, listings: LaneListings) -> AcceptedAnswer:
    """Render an offer that was carried out; `time` is when (contract 8)."""
    return AcceptedAnswer(
        **amounts(quote, listings),
        id=str(order.id),
        trade_id=str(order.id),
        type=order.side,  # type: ignore[arg-type]
        fiat_id=listings.named(quote.fiat, by_pid=quote.by_pid),
        asset_id=listings.named(quote.asset, by_pid=quote.by_pid),
        time=timestamp(order.ended_at or order.updated_at),
        spread=print_decimal(quote.spread, PRICE_DECIMALS),
        fees_after_cost=print_decimal(quote.fees_after_cost, PRICE_DECIMALS),
        warning=warnings(quote),
    )


def status_answer(order: Order) -> StatusAnswer:
    """Render where an offer stands, and why it failed."""
    answer = StatusAnswer(status=STATUSES[order.state])  # type: ignore[arg-type]
    if order.state == b.FAILED:
        answer.errors = StatusErrors(code=FAILED_STATUS, title=failure(order.reason)[0])
    return answer


def warnings(quote: FirmQuote) -> list[Warned]:
    """Return what is said beside an offer."""
    return [WARNED[warning] for warning in quote.warnings]


def amounts(quote: FirmQuote, listings: LaneListings) -> dict[str, Any]:
    """Return the five amounts that every form of an offer has."""
    fiat_scale, asset_scale = listings.scale(quote.fiat), listings.scale(quote.asset)
    return {
        "fiat_amount": print_units(quote.fiat_units, fiat_scale, _FIAT_DECIMALS),
        "tax_amount": print_units(quote.tax_units, fiat_scale, _FIAT_DECIMALS),
        "total_amount": print_units(quote.total_units, fiat_scale, _FIAT_DECIMALS),
        "asset_amount": print_units(quote.asset_units, asset_scale, PRICE_DECIMALS),
        "asset_price": print_decimal(quote.price, PRICE_DECIMALS),
    }


def fiat_text(units: int, scale: int) -> str:
    """Write an amount of a fiat."""
    return print_units(units, scale, _FIAT_DECIMALS)
