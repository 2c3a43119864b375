"""Buying, selling on the secondary market, and burning: what creates holdings and moves them (contract 3.12).

Every call but the burn answers the transaction to poll; the contract gives the burn an empty answer, and its
transaction stands in the user's list.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.actions.burn_holding import BurnHolding
from otcdesk.actions.buy_resale import BuyResale, BuyUnsold
from otcdesk.api.deals.callers import MARKET_TRADE
from otcdesk.api.deals.errors import NO_SUCH_DEAL, NOT_DELISTABLE, NOT_ON_SALE, NOT_PURCHASABLE, REPLIES
from otcdesk.api.deals.holders import holder_in, particulars_of
from otcdesk.api.deals.paging import PageRequest, Pagination, page_exceptions, page_of_body
from otcdesk.api.deals.prices import Price, price_of
from otcdesk.api.deals.sales import (
    LISTS,
    WITHDRAWS,
    CancelRequest,
    SellRequest,
    TransactionStarted,
    cancelled_on,
    number_of_deal,
    order_numbered,
    overdue_bids,
    overdue_listings,
    quantity_of,
    sold_on,
    started,
    submitted_by_the_clock,
)
from otcdesk.api.deals.tables import path_id, write
from otcdesk.api.deals.values import GivenId, Id, Number, Whole, id_of, id_text, time_text, units_number
from otcdesk.api.dialect import Call, Reply
from otcdesk.api.http import Answer
from otcdesk.api.wire import TimeText
from otcdesk.domain.jobs import Job
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import SECONDARY, Purchase
from otcdesk.errors import Code


class BuyRequest(msgspec.Struct, kw_only=True):
    """So many tokens of what the node has not sold yet."""

    quantity: Whole


class BuyDealRequest(msgspec.Struct, kw_only=True):
    """So many tokens of a deal."""

    quantity: Whole
    deal_id: Whole


class BurnRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing: all that is available is burnt, so a body that says how much would mean something else."""


class PurchasesRequest(PageRequest, kw_only=True):
    """Which page, and of which token only."""

    token_id: GivenId | UnsetType | None = UNSET


class Fees(msgspec.Struct, kw_only=True):
    """What is taken of the price; who sells bears it."""

    platform_fee: Number
    node_fee: Number


class PurchaseItem(msgspec.Struct, kw_only=True):
    """What a user has bought, or is about to: of a deal, or of the node (no deal)."""

    id: Id
    user_id: Id
    token_id: Id
    token_name: str
    token_symbol: str
    quantity: int
    price: Price
    total_price: Price
    purchase_type: Annotated[str, Meta(extra_json_schema={"enum": ["purchase", "counter"]})]
    market_type: Annotated[str, Meta(extra_json_schema={"enum": ["primary", "secondary", "otc"]})]
    status: Annotated[str, Meta(extra_json_schema={"enum": ["pending", "completed", "failed"]})]
    deal_id: int | None
    seller_id: Id
    seller_name: str
    fees: Fees
    transaction_id: Id | None
    transaction_hash: str | None
    created_at: TimeText
    updated_at: TimeText


class Purchases(msgspec.Struct, kw_only=True):
    """A page of what a user has bought."""

    data: list[PurchaseItem]
    pagination: Pagination


class KnownPurchase(msgspec.Struct, frozen=True):
    """A purchase as the books have it, with the deal's number, who sells, and the job that pays."""

    order: Order
    purchase: Purchase
    seller_id: UUID
    token_name: str
    token_symbol: str
    symbol: str
    scale: int
    number: int | None = None
    seller_name: str | None = None
    seller: PartyProfile | None = None
    job: Job | None = None


class KnownPurchases(msgspec.Struct, frozen=True):
    """A page of a party's purchases."""

    rows: list[KnownPurchase]
    total: int


async def buy_of_node(call: Call) -> TransactionStarted:
    """Buy what a node has issued and not sold."""
    command = BuyUnsold(
        party_id=path_id(call, "user_id"),
        instrument_id=path_id(call, "token_id"),
        quantity=quantity_of(call.body.quantity),
        mandate=call.caller.mandate(MARKET_TRADE),  # type: ignore[attr-defined]
    )
    return started(await submitted_by_the_clock(call, command, overdue_bids(command.party_id)))


def bought_on(market: str, permission: str) -> object:
    """Return a handler that buys of a deal on a market."""

    async def buy(call: Call) -> TransactionStarted:
        party_id, instrument_id = path_id(call, "user_id"), path_id(call, "token_id")
        quantity, number = quantity_of(call.body.quantity), number_of_deal(call.body.deal_id)
        command = BuyResale(
            party_id=party_id,
            instrument_id=instrument_id,
            order_id=await order_numbered(call, instrument_id, number),
            quantity=quantity,
            market=market,
            mandate=call.caller.mandate(permission),  # type: ignore[attr-defined]
        )
        return started(await submitted_by_the_clock(call, command, overdue_bids(party_id)))

    buy.__name__ = f"buy_{market}"
    return buy


async def burn(call: Call) -> Answer:
    """Burn all tokens that a user has available."""
    command = BurnHolding(
        party_id=path_id(call, "user_id"),
        instrument_id=path_id(call, "token_id"),
        mandate=call.caller.mandate(MARKET_TRADE),  # type: ignore[attr-defined]
    )
    await submitted_by_the_clock(call, command, overdue_listings(command.party_id, command.instrument_id))
    return Answer(200, b"")


async def search_purchases(call: Call) -> Purchases:
    """List what a user has bought."""
    page = page_of_body(call.body)
    wanted = call.body.token_id
    instrument_id = id_of(wanted, "token_id") if isinstance(wanted, str) else None
    holder = await holder_in(call)
    found = await call.desk.reads.row(
        "resales",
        "purchases",
        KnownPurchases,
        call.caller.lane,
        holder.party.id,
        instrument_id,
        page.size,
        page.offset,
    )
    rows, total = (found.rows, found.total) if found else ([], 0)
    return Purchases(data=[_item(one) for one in rows], pagination=page.pagination(total))


def _item(one: KnownPurchase) -> PurchaseItem:
    order, purchase = one.order, one.purchase
    return PurchaseItem(
        id=id_text(order.id),
        user_id=id_text(purchase.party_id),
        token_id=id_text(purchase.instrument_id),
        token_name=one.token_name,
        token_symbol=one.token_symbol,
        quantity=purchase.quantity,
        price=price_of(purchase.price_units, one.scale, one.symbol),
        total_price=price_of(purchase.price_units * purchase.quantity, one.scale, one.symbol),
        purchase_type="purchase" if order.side == "buy" else "counter",
        market_type=purchase.market,
        status=order.state,
        deal_id=one.number,
        seller_id=id_text(one.seller_id),
        seller_name=one.seller_name or particulars_of(one.seller).full_name,
        fees=Fees(
            platform_fee=units_number(purchase.desk_fee_units, one.scale),
            node_fee=units_number(purchase.fee_units, one.scale),
        ),
        transaction_id=None if one.job is None else id_text(one.job.id),
        transaction_hash=None if one.job is None else one.job.hash,
        created_at=time_text(order.created_at),
        updated_at=time_text(order.updated_at),
    )


_BUYS: Final = (
    Code.PARTY_NOT_FOUND,
    Code.INSTRUMENT_NOT_FOUND,
    Code.NOT_PERMITTED,
    Code.PARTY_INACTIVE,
    Code.PARTY_UNVERIFIED,
)
BUYS_OF_DEAL: Final = (
    *_BUYS,
    Code.PARTIES_DO_NOT_TRADE,
    Code.ORDER_NOT_FOUND,
    Code.OWN_RESALE,
    Code.NOT_TAKEABLE,
    Code.QUANTITY_UNAVAILABLE,
    Code.BUYER_NOT_COVERED,
    Code.LIMIT_EXCEEDED,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
)

_PRIMARY = write(
    "/v2/users/purchases/users/{user_id}/tokens/{token_id}/buy-on-primary-market",
    buy_of_node,
    "Buy tokens of the node that has issued them; answers the transaction to poll",
    BuyRequest,
    TransactionStarted,
    *_BUYS,
    Code.NOT_ON_SALE,
    Code.CURRENCY_NOT_FOUND,
    Code.AMOUNT_TOO_LARGE,
    Code.SUPPLY_INSUFFICIENT,
    Code.BUYER_NOT_COVERED,
    Code.LIMIT_EXCEEDED,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    keyed=True,
)
_SECONDARY = write(
    "/v2/users/purchases/users/{user_id}/tokens/{token_id}/buy-on-secondary-market",
    bought_on(SECONDARY, MARKET_TRADE),
    "Buy tokens of a deal on the secondary market; answers the transaction to poll",
    BuyDealRequest,
    TransactionStarted,
    *BUYS_OF_DEAL,
    keyed=True,
)
_SELL = write(
    "/v2/users/secondary-markets/users/{user_id}/tokens/{token_id}/sell",
    sold_on(SECONDARY, MARKET_TRADE),
    "List tokens on the secondary market; answers the transaction to poll",
    SellRequest,
    TransactionStarted,
    *LISTS,
    keyed=True,
)
_DELIST = write(
    "/v2/users/secondary-markets/users/{user_id}/tokens/{token_id}/delist",
    cancelled_on(SECONDARY, MARKET_TRADE),
    "Take a deal off the secondary market; answers the transaction to poll",
    CancelRequest,
    TransactionStarted,
    *WITHDRAWS,
    keyed=True,
)
_PURCHASES = write(
    "/v2/users/purchases/users/{user_id}/search",
    search_purchases,
    "What a user has bought, newest first",
    PurchasesRequest,
    Purchases,
    Code.PARTY_NOT_FOUND,
    Code.NOT_PERMITTED,
)
_BURN = write(
    "/v2/users/tokens/{token_id}/users/{user_id}/burn",
    burn,
    "Burn all tokens that a user has available",
    BurnRequest,
    None,
    *_BUYS,
    Code.RESALE_NOT_COVERED,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    keyed=True,
    body_optional=True,
)

MARKET_ROUTES = (_PRIMARY, _SECONDARY, _SELL, _DELIST, _PURCHASES, _BURN)

#: What these routes say beside their errors otherwise than the others.
MARKET_DETAILS = {
    (_PRIMARY.label, Code.NOT_PERMITTED): "Insufficient permissions to purchase tokens",
    (_SECONDARY.label, Code.NOT_PERMITTED): "Insufficient permissions to purchase tokens",
    (_PRIMARY.label, Code.INSTRUMENT_NOT_FOUND): NOT_ON_SALE,
    (_SELL.label, Code.NOT_PERMITTED): "Insufficient permissions to sell tokens",
    (_SELL.label, Code.RESALE_NOT_COVERED): "User does not have enough tokens to sell",
    (_SELL.label, Code.RESALE_CLOSED): "Token is not open to secondary market trading",
    (_DELIST.label, Code.NOT_PERMITTED): "Insufficient permissions to delist tokens",
    (_DELIST.label, Code.PARTY_NOT_FOUND): NO_SUCH_DEAL,
    (_DELIST.label, Code.INSTRUMENT_NOT_FOUND): NO_SUCH_DEAL,
    (_DELIST.label, Code.RESALE_NOT_OWN): "You can only delist your own deals",
    (_DELIST.label, Code.NOT_CANCELLABLE): "Deal is already completed or cancelled",
    (_BURN.label, Code.NOT_PERMITTED): "Insufficient permissions to burn tokens",
    (_BURN.label, Code.RESALE_NOT_COVERED): "User does not have enough tokens to burn",
}

#: What these routes answer otherwise than the others.
MARKET_EXCEPTIONS = {
    (_SECONDARY.label, Code.NOT_TAKEABLE): Reply(409, NOT_PURCHASABLE),
    (_SECONDARY.label, Code.QUANTITY_UNAVAILABLE): Reply(409, NOT_PURCHASABLE),
    (_DELIST.label, Code.NOT_CANCELLABLE): Reply(409, NOT_DELISTABLE),
    (_DELIST.label, Code.PARTY_NOT_FOUND): REPLIES[Code.ORDER_NOT_FOUND],
    (_DELIST.label, Code.INSTRUMENT_NOT_FOUND): REPLIES[Code.ORDER_NOT_FOUND],
    **page_exceptions((_PURCHASES,)),
}
