"""Extension: users trade with each other over the counter, and negotiate, where their node lets them.

The contract mentions negotiation and has no endpoint for it (6); these are ours. A node is closed to it unless its
world file or its admin opens it. What is sold is a transaction like any other, of type 101; what is bid is a counter
with an id of its own.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.actions.bid_resale import AcceptBid, AnswerBid, DeclineBid, PlaceBid, WithdrawBid
from otcdesk.actions.switch_negotiation import SwitchNegotiation
from otcdesk.api.deals.callers import OTC_CREATE, OTC_MANAGE
from otcdesk.api.deals.deal_lists import ListedDeal, TokenDeal, TokenDeals, token_deal, token_info
from otcdesk.api.deals.errors import (
    COUNTER_NOT_ACCEPTABLE,
    COUNTER_NOT_POSSIBLE,
    NOT_PURCHASABLE,
)
from otcdesk.api.deals.holders import holding_in, particulars_of
from otcdesk.api.deals.market import BUYS_OF_DEAL, BuyDealRequest, bought_on
from otcdesk.api.deals.paging import PageRequest, Pagination, page_exceptions, page_of_body
from otcdesk.api.deals.prices import Price, price_of
from otcdesk.api.deals.sales import (
    TransactionStarted,
    number_of_deal,
    order_numbered,
    overdue_bids,
    quantity_of,
    started,
    submitted_by_the_clock,
)
from otcdesk.api.deals.tables import NODE, path_id, write
from otcdesk.api.deals.values import (
    Id,
    Number,
    Whole,
    WholeOrNull,
    id_text,
    invalid,
    is_null,
    number_of,
    time_text,
    whole_of,
)
from otcdesk.api.dialect import Call, Reply
from otcdesk.api.wire import TimeText
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    DECLINED,
    EXPIRED,
    FAILED,
    OTC,
    PENDING,
    RESALES,
    Purchase,
)
from otcdesk.errors import Code

#: A counter may be made to last so long.
EXPIRES_SECONDS_MAX: Final = 366 * 86_400

#: How users read the states of counters.
COUNTER_STATUSES: Final = {
    ACTIVE: "active",
    PENDING: "accepted",
    COMPLETED: "completed",
    FAILED: "failed",
    DECLINED: "declined",
    CANCELLED: "withdrawn",
    EXPIRED: "expired",
}

MADE, RECEIVED = "made", "received"


class CounterRequest(msgspec.Struct, kw_only=True):
    """A counter-offer for a part of a deal, at another price; it lasts as the node's terms say unless told."""

    deal_id: Whole
    quantity: Whole
    price_amount: Number
    expires_in_seconds: WholeOrNull | UnsetType = UNSET


class CountersRequest(PageRequest, kw_only=True):
    """Which page of the counters that the user has made, or has received; of both unless told."""

    side: Annotated[str, Meta(extra_json_schema={"enum": [MADE, RECEIVED]})] | UnsetType | None = UNSET


class NegotiationRequest(msgspec.Struct, kw_only=True):
    """Whether users may trade with each other."""

    is_open: bool


class CounterMade(msgspec.Struct, kw_only=True):
    """A counter that was made."""

    counter_id: Id
    expires_at: TimeText


class CounterEnded(msgspec.Struct, kw_only=True):
    """What has become of a counter."""

    counter_id: Id
    status: str


class Counter(msgspec.Struct, kw_only=True):
    """A counter as both sides see it; the transaction is there once it is accepted."""

    counter_id: Id
    deal_id: int
    token_id: Id
    quantity: int
    price: Price
    total_price: Price
    buyer_id: Id
    buyer_name: str
    seller_id: Id
    seller_name: str
    status: Annotated[str, Meta(extra_json_schema={"enum": list(COUNTER_STATUSES.values())})]
    transaction_id: Id | None
    expires_at: TimeText
    created_at: TimeText
    updated_at: TimeText


class Counters(msgspec.Struct, kw_only=True):
    """A page of counters."""

    data: list[Counter]
    pagination: Pagination


class OthersDeal(ListedDeal, frozen=True):
    """A deal of another user as the books have it."""

    seller: PartyProfile | None = None


class OthersDeals(msgspec.Struct, frozen=True):
    """A page of other users' deals."""

    rows: list[OthersDeal]
    total: int


class KnownBid(msgspec.Struct, frozen=True):
    """A bid as the books have it, with the deal's number, both sides, and the job that pays."""

    order: Order
    purchase: Purchase
    number: int
    lister_id: UUID
    symbol: str
    scale: int
    buyer: PartyProfile | None = None
    lister: PartyProfile | None = None
    job_id: UUID | None = None


class KnownBids(msgspec.Struct, frozen=True):
    """A page of bids."""

    rows: list[KnownBid]
    total: int


async def list_offers(call: Call) -> TokenDeals:
    """List other users' deals of a token that can be bought."""
    page = page_of_body(call.body)
    holder, known = await holding_in(call)
    found = OthersDeals([], 0)
    if known.issuer.parties_trade:
        found = await call.desk.reads.row(
            "resales",
            "buyable",
            OthersDeals,
            call.caller.lane,
            known.instrument.id,
            OTC,
            holder.party.id,
            holder.now(call),
            page.size,
            page.offset,
        ) or OthersDeals([], 0)
    return TokenDeals(
        data=[_offer(deal) for deal in found.rows],
        token_info=token_info(known),
        pagination=page.pagination(found.total),
    )


def _offer(deal: OthersDeal) -> TokenDeal:
    """Return a deal as its buyers see it: the counterparty is who sells."""
    seller = particulars_of(deal.seller)
    return msgspec.structs.replace(
        token_deal(deal), counterparty_id=id_text(deal.resale.party_id), counterparty_name=seller.full_name
    )


async def make_counter(call: Call) -> CounterMade:
    """Bid for a part of a deal."""
    party_id, instrument_id, body = path_id(call, "user_id"), path_id(call, "token_id"), call.body
    number, quantity = number_of_deal(body.deal_id), quantity_of(body.quantity)
    price, seconds = number_of(body.price_amount, "price_amount"), _seconds(body.expires_in_seconds)
    command = PlaceBid(
        party_id=party_id,
        instrument_id=instrument_id,
        order_id=await order_numbered(call, instrument_id, number),
        quantity=quantity,
        price=price,
        validity_seconds=seconds,
        mandate=call.caller.mandate(OTC_CREATE),  # type: ignore[attr-defined]
    )
    order: Order = (await submitted_by_the_clock(call, command, overdue_bids(party_id))).order
    return CounterMade(counter_id=id_text(order.id), expires_at=time_text(order.expires_at))


def _seconds(raw: msgspec.Raw | UnsetType) -> int | None:
    if isinstance(raw, UnsetType) or is_null(raw):
        return None
    seconds = whole_of(raw, "expires_in_seconds")
    if not 1 <= seconds <= EXPIRES_SECONDS_MAX:
        raise invalid(f"expires_in_seconds must be from 1 to {EXPIRES_SECONDS_MAX}")
    return seconds


async def list_counters(call: Call) -> Counters:
    """List the counters that a user has made, and those for its own deals."""
    page, side = page_of_body(call.body), call.body.side or None
    if side not in {None, MADE, RECEIVED}:
        raise invalid(f"side must be {MADE} or {RECEIVED}")
    holder, known = await holding_in(call)
    found = await call.desk.reads.row(
        "resales",
        "bids",
        KnownBids,
        call.caller.lane,
        holder.party.id,
        known.instrument.id,
        side != RECEIVED,
        side != MADE,
        page.size,
        page.offset,
    ) or KnownBids([], 0)
    now = holder.now(call)
    data = [_counter(one, RESALES.by_the_clock(one.order, now)) for one in found.rows]
    return Counters(data=data, pagination=page.pagination(found.total))


def _counter(one: KnownBid, order: Order) -> Counter:
    purchase = one.purchase
    return Counter(
        counter_id=id_text(order.id),
        deal_id=one.number,
        token_id=id_text(purchase.instrument_id),
        quantity=purchase.quantity,
        price=price_of(purchase.price_units, one.scale, one.symbol),
        total_price=price_of(purchase.price_units * purchase.quantity, one.scale, one.symbol),
        buyer_id=id_text(purchase.party_id),
        buyer_name=particulars_of(one.buyer).full_name,
        seller_id=id_text(one.lister_id),
        seller_name=particulars_of(one.lister).full_name,
        status=COUNTER_STATUSES[order.state],
        transaction_id=None if one.job_id is None else id_text(one.job_id),
        expires_at=time_text(order.expires_at),
        created_at=time_text(order.created_at),
        updated_at=time_text(order.updated_at),
    )


def _answer(call: Call, kind: type[AnswerBid]) -> AnswerBid:
    return kind(
        party_id=path_id(call, "user_id"),
        instrument_id=path_id(call, "token_id"),
        order_id=path_id(call, "counter_id", "counter ID"),
        mandate=call.caller.mandate(OTC_CREATE),  # type: ignore[attr-defined]
    )


async def accept_counter(call: Call) -> TransactionStarted:
    """Sell to whoever has made a counter."""
    return started(await call.submit(_answer(call, AcceptBid)))


async def decline_counter(call: Call) -> CounterEnded:
    """Turn a counter down."""
    return _ended((await call.submit(_answer(call, DeclineBid))).order)


async def withdraw_counter(call: Call) -> CounterEnded:
    """Take a counter back."""
    return _ended((await call.submit(_answer(call, WithdrawBid))).order)


def _ended(order: Order) -> CounterEnded:
    return CounterEnded(counter_id=id_text(order.id), status=COUNTER_STATUSES[order.state])


async def open_negotiation(call: Call) -> dict[str, str]:
    """Let the users of a node's tokens trade with each other, or no longer."""
    command = SwitchNegotiation(
        branch_id=path_id(call, "node_id", NODE),
        is_open=call.body.is_open,
        mandate=call.caller.mandate(OTC_MANAGE),  # type: ignore[attr-defined]
    )
    await call.submit(command)
    return {}


_BASE: Final = "/v2/users/otcs/users/{user_id}/tokens/{token_id}"
_FOUND: Final = (Code.PARTY_NOT_FOUND, Code.INSTRUMENT_NOT_FOUND, Code.NOT_PERMITTED)
_ANSWERS: Final = (*_FOUND, Code.BID_NOT_FOUND, Code.RESALE_NOT_OWN, Code.BID_OVER)

_OFFERS = write(
    f"{_BASE}/offers",
    list_offers,
    "Extension: other users' deals of a token that can be bought, newest first",
    PageRequest,
    TokenDeals,
    *_FOUND,
)
_BUY = write(
    f"{_BASE}/buy",
    bought_on(OTC, OTC_CREATE),
    "Extension: buy tokens of another user's deal; answers the transaction to poll",
    BuyDealRequest,
    TransactionStarted,
    *BUYS_OF_DEAL,
    keyed=True,
)
_COUNTER = write(
    f"{_BASE}/counters",
    make_counter,
    "Extension: make a counter-offer for another user's deal; its price is held",
    CounterRequest,
    CounterMade,
    *BUYS_OF_DEAL,
    Code.AMOUNT_TOO_FINE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    keyed=True,
)
_COUNTERS = write(
    f"{_BASE}/counters/search",
    list_counters,
    "Extension: counter-offers that a user has made and received, newest first",
    CountersRequest,
    Counters,
    *_FOUND,
)
_ACCEPT = write(
    f"{_BASE}/counters/{{counter_id}}/accept",
    accept_counter,
    "Extension: sell to whoever has made a counter-offer; answers the transaction to poll",
    None,
    TransactionStarted,
    *_ANSWERS,
    Code.PARTY_INACTIVE,
    Code.PARTY_UNVERIFIED,
    Code.PARTIES_DO_NOT_TRADE,
    Code.NOT_TAKEABLE,
    Code.QUANTITY_UNAVAILABLE,
    Code.LIMIT_EXCEEDED,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    keyed=True,
)
_DECLINE = write(
    f"{_BASE}/counters/{{counter_id}}/decline",
    decline_counter,
    "Extension: decline a counter-offer",
    None,
    CounterEnded,
    *_ANSWERS,
)
_WITHDRAW = write(
    f"{_BASE}/counters/{{counter_id}}/withdraw",
    withdraw_counter,
    "Extension: take a counter-offer back",
    None,
    CounterEnded,
    *_ANSWERS,
)
_OPEN = write(
    "/v2/admin/otcs/nodes/{node_id}/negotiation",
    open_negotiation,
    "Extension: let users of a node's tokens trade with each other and negotiate, or no longer",
    NegotiationRequest,
    dict[str, str],
    Code.BRANCH_NOT_FOUND,
    Code.NOT_PERMITTED,
)

NEGOTIATION_ROUTES = (_OFFERS, _BUY, _COUNTER, _COUNTERS, _ACCEPT, _DECLINE, _WITHDRAW, _OPEN)

_NOT_PERMITTED: Final = "Insufficient permissions to trade OTC offers"

#: What these routes say beside their errors otherwise than the others.
NEGOTIATION_DETAILS = {
    **{(route.label, Code.NOT_PERMITTED): _NOT_PERMITTED for route in (_BUY, _COUNTER, _ACCEPT, _DECLINE, _WITHDRAW)},
    (_OPEN.label, Code.NOT_PERMITTED): "Insufficient permissions to manage OTC offers",
    (_COUNTER.label, Code.OWN_RESALE): "You cannot counter your own deal",
    (_ACCEPT.label, Code.RESALE_NOT_OWN): "You can only answer counters to your own deals",
    (_DECLINE.label, Code.RESALE_NOT_OWN): "You can only answer counters to your own deals",
    (_WITHDRAW.label, Code.RESALE_NOT_OWN): "You can only withdraw your own counters",
}

#: What these routes answer otherwise than the others.
NEGOTIATION_EXCEPTIONS = {
    (_BUY.label, Code.NOT_TAKEABLE): Reply(409, NOT_PURCHASABLE),
    (_BUY.label, Code.QUANTITY_UNAVAILABLE): Reply(409, NOT_PURCHASABLE),
    (_COUNTER.label, Code.NOT_TAKEABLE): Reply(409, COUNTER_NOT_POSSIBLE),
    (_COUNTER.label, Code.QUANTITY_UNAVAILABLE): Reply(409, COUNTER_NOT_POSSIBLE),
    (_COUNTER.label, Code.BUYER_NOT_COVERED): Reply(422, COUNTER_NOT_POSSIBLE),
    (_COUNTER.label, Code.LIMIT_EXCEEDED): Reply(422, COUNTER_NOT_POSSIBLE),
    (_ACCEPT.label, Code.LIMIT_EXCEEDED): Reply(422, COUNTER_NOT_ACCEPTABLE),
    (_ACCEPT.label, Code.NOT_TAKEABLE): Reply(409, COUNTER_NOT_ACCEPTABLE),
    (_ACCEPT.label, Code.QUANTITY_UNAVAILABLE): Reply(409, COUNTER_NOT_ACCEPTABLE),
    **page_exceptions((_OFFERS, _COUNTERS)),
}
