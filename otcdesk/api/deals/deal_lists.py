"""The deals of one user: of one token, and of all (contract 3.3, 3.4).

A deal whose time is over is expired here at once, recorded or not; while it is being taken back it is still active.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.api.deals.holders import KnownHolder, KnownInstrument, holder_in, holding_in, particulars_of
from otcdesk.api.deals.paging import Page, PageRequest, Pagination, page_exceptions, page_of_body
from otcdesk.api.deals.prices import Price, price_of
from otcdesk.api.deals.tables import write
from otcdesk.api.deals.values import Id, decimal_number, id_text, time_text
from otcdesk.api.dialect import Call
from otcdesk.api.wire import TimeText
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    EXPIRED,
    OTC,
    RESALES,
    WITHDRAWING,
    Branch,
    Resale,
)
from otcdesk.errors import Code

#: How users read the states of what is listed; the others are not listed (contract 4.1).
STATUSES: Final = {
    ACTIVE: "active",
    WITHDRAWING: "active",
    COMPLETED: "completed",
    CANCELLED: "cancelled",
    EXPIRED: "expired",
}
Status = Annotated[str, Meta(extra_json_schema={"enum": ["active", "completed", "cancelled", "expired"]})]


class Terms(msgspec.Struct, kw_only=True):
    """What parties could agree on; always empty."""

    settlement_period: str = ""
    payment_method: str = ""
    additional_notes: str = ""


class TokenDeal(msgspec.Struct, kw_only=True):
    """A deal of one token."""

    deal_id: int
    quantity: int
    available_quantity: int
    price: Price
    counterparty_id: Id
    counterparty_name: str
    counterparty_rating: int = 0
    deal_type: str = "sell"
    status: Status
    negotiable: bool
    minimum_quantity: int
    expires_at: TimeText | None
    created_at: TimeText
    updated_at: TimeText
    terms: Terms


class TokenInfo(msgspec.Struct, kw_only=True):
    """The token that the deals are of."""

    id: Id
    name: str
    symbol: str
    description: str
    current_market_price: Price


class TokenDeals(msgspec.Struct, kw_only=True):
    """A page of the deals of one token."""

    data: list[TokenDeal]
    token_info: TokenInfo
    pagination: Pagination


class UserDeal(msgspec.Struct, kw_only=True):
    """A deal among those of all tokens; a buyer only when somebody has bought."""

    deal_id: int
    token_id: Id
    token_name: str
    token_symbol: str
    quantity: int
    available_quantity: int
    price: Price
    seller_id: Id
    seller_name: str
    buyer_id: Id | None
    buyer_name: str | None
    deal_type: str = "sell"
    status: Status
    expires_at: TimeText | None
    created_at: TimeText
    updated_at: TimeText


class UserDeals(msgspec.Struct, kw_only=True):
    """A page of the deals of all tokens."""

    data: list[UserDeal]
    pagination: Pagination


class Buyer(msgspec.Struct, frozen=True):
    """A user who has bought a part of a deal."""

    id: UUID
    profile: PartyProfile | None = None


class ListedDeal(msgspec.Struct, frozen=True):
    """A deal as the books have it: its order, what it is about, and the node; `taken` by that node, or its buyer."""

    order: Order
    resale: Resale
    issuer: Branch
    token_name: str
    token_symbol: str
    symbol: str
    scale: int
    taken: bool
    buyer: Buyer | None = None

    @property
    def price(self) -> Price:
        """Return the price for one token."""
        return price_of(self.resale.price_units, self.scale, self.symbol)

    @property
    def bought_by(self) -> tuple[UUID | None, str | None]:
        """Return who has bought, and how they are called; the node where it has taken what was left."""
        if self.taken:
            return self.issuer.id, self.issuer.name
        if self.buyer is None:
            return None, None
        return self.buyer.id, particulars_of(self.buyer.profile).full_name


class ListedDeals(msgspec.Struct, frozen=True):
    """A page of a user's deals."""

    rows: list[ListedDeal]
    total: int


def by_the_clock(deal: ListedDeal, now: datetime) -> ListedDeal:
    """Return a deal as it is now: of one whose time is over nothing is available."""
    order = RESALES.by_the_clock(deal.order, now)
    if order is deal.order:
        return deal
    return msgspec.structs.replace(deal, order=order, resale=deal.resale.with_(available=0))


def expiry_of(order: Order) -> str | None:
    """Return when a deal expires; None where deals never do."""
    return time_text(order.expires_at) if order.ttl_seconds else None


async def list_token_deals(call: Call) -> TokenDeals:
    """List a user's deals of one token."""
    page = page_of_body(call.body)
    holder, known = await holding_in(call)
    found = await _deals(call, holder, page, known.instrument.id)
    return TokenDeals(
        data=[token_deal(deal) for deal in found.rows],
        token_info=token_info(known),
        pagination=page.pagination(found.total),
    )


def token_info(known: KnownInstrument) -> TokenInfo:
    """Say which token it is, and what its issuer asks for one."""
    instrument = known.instrument
    return TokenInfo(
        id=id_text(instrument.id),
        name=instrument.name,
        symbol=instrument.symbol,
        description=instrument.description,
        current_market_price=Price(
            amount=decimal_number(instrument.price), decimal=known.scale, symbol=known.currency.symbol
        ),
    )


async def list_user_deals(call: Call) -> UserDeals:
    """List a user's deals of all tokens."""
    page = page_of_body(call.body)
    holder = await holder_in(call)
    found = await _deals(call, holder, page, None)
    name = holder.particulars.full_name
    return UserDeals(data=[_user_deal(deal, name) for deal in found.rows], pagination=page.pagination(found.total))


async def _deals(call: Call, holder: KnownHolder, page: Page, instrument_id: UUID | None) -> ListedDeals:
    found = await call.desk.reads.row(
        "resales",
        "listings",
        ListedDeals,
        call.caller.lane,
        holder.party.id,
        OTC,
        instrument_id,
        page.size,
        page.offset,
    )
    now = holder.now(call)
    return ListedDeals([by_the_clock(deal, now) for deal in found.rows] if found else [], found.total if found else 0)


def token_deal(deal: ListedDeal) -> TokenDeal:
    """Say a deal as one of a token's; the counterparty is the node."""
    order, resale, trade_freely = deal.order, deal.resale, deal.issuer.parties_trade
    return TokenDeal(
        deal_id=resale.number or 0,
        quantity=resale.quantity,
        available_quantity=resale.available,
        price=deal.price,
        counterparty_id=id_text(deal.issuer.id),
        counterparty_name=deal.issuer.name,
        status=STATUSES[order.state],
        negotiable=trade_freely,
        minimum_quantity=1 if trade_freely else resale.quantity,
        expires_at=expiry_of(order),
        created_at=time_text(order.created_at),
        updated_at=time_text(order.updated_at),
        terms=Terms(),
    )


def _user_deal(deal: ListedDeal, seller_name: str) -> UserDeal:
    order, resale = deal.order, deal.resale
    buyer_id, buyer_name = deal.bought_by
    return UserDeal(
        deal_id=resale.number or 0,
        token_id=id_text(resale.instrument_id),
        token_name=deal.token_name,
        token_symbol=deal.token_symbol,
        quantity=resale.quantity,
        available_quantity=resale.available,
        price=deal.price,
        seller_id=id_text(resale.party_id),
        seller_name=seller_name,
        buyer_id=None if buyer_id is None else id_text(buyer_id),
        buyer_name=buyer_name,
        status=STATUSES[order.state],
        expires_at=expiry_of(order),
        created_at=time_text(order.created_at),
        updated_at=time_text(order.updated_at),
    )


DEAL_ROUTES = (
    write(
        "/v2/users/otcs/users/{user_id}/tokens/{token_id}",
        list_token_deals,
        "A user's deals of one token, in every state, newest first",
        PageRequest,
        TokenDeals,
        Code.PARTY_NOT_FOUND,
        Code.INSTRUMENT_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
    write(
        "/v2/users/otcs/users/{user_id}/group-search",
        list_user_deals,
        "A user's deals of all tokens, in every state, newest first",
        PageRequest,
        UserDeals,
        Code.PARTY_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
)

#: What these routes answer otherwise than the others.
DEAL_EXCEPTIONS = page_exceptions(DEAL_ROUTES)

#: What they say beside their errors otherwise than the others.
DEAL_DETAILS = {(DEAL_ROUTES[1].label, Code.PARTY_NOT_FOUND): "User not found"}
