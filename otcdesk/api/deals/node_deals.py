"""The deals of a node's tokens, for its admins: list them, accept one, cancel one (contract 3.5, 3.6)."""

from datetime import datetime
from typing import Any, Final

import msgspec

from otcdesk.actions.take_resale import BranchCommand, TakeResale
from otcdesk.actions.withdraw_resale import CloseResale
from otcdesk.api.deals.callers import OTC_MANAGE
from otcdesk.api.deals.holders import found_instrument
from otcdesk.api.deals.node_reads import DONE, branch_in, caller_of
from otcdesk.api.deals.paging import PageRequest, listed, page_of_body
from otcdesk.api.deals.sales import order_numbered
from otcdesk.api.deals.tables import NODE, TOKEN, path_id, write
from otcdesk.api.deals.values import NUMBER_OF_DEAL_MAX, Id, Number, id_text, invalid, time_text, units_number
from otcdesk.api.dialect import Call, Reply
from otcdesk.api.http import Answer
from otcdesk.api.wire import TimeText
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.domain.resales import ACTIVE, CANCELLED, COMPLETED, EXPIRED, OTC, RESALES, WITHDRAWING, Resale
from otcdesk.errors import Code, Refusal

#: How admins read the states of what is listed (contract 4.1).
STATUSES: Final = {ACTIVE: 0, WITHDRAWING: 0, COMPLETED: 1, CANCELLED: 2, EXPIRED: 3}

#: As many digits as the largest number of a deal has.
_DIGITS_MAX: Final = len(str(NUMBER_OF_DEAL_MAX))


class AdminPrice(msgspec.Struct, kw_only=True):
    """So much of a currency token with so many decimals, and where its contract is."""

    amount: Number
    decimal: int
    symbol: str
    address: str | None


class AdminDeal(msgspec.Struct, kw_only=True):
    """A deal; `status` is 0 active, 1 completed, 2 cancelled, 3 expired."""

    id: Id
    token_id: Id
    node_id: Id
    user_id: Id
    deal_id: int
    price: AdminPrice
    quantity: int
    available_quantity: int
    status: int
    created_at: TimeText
    updated_at: TimeText


class AdminDeals(msgspec.Struct, kw_only=True):
    """A page of deals."""

    data: list[AdminDeal]
    total: int
    page: int
    per_page: int


class StoredDeal(msgspec.Struct, frozen=True):
    """A deal as the books have it."""

    order: Order
    resale: Resale
    symbol: str
    scale: int
    address: str | None = None


class StoredDeals(msgspec.Struct, frozen=True):
    """A page of them, and the lane's clock."""

    rows: list[StoredDeal]
    total: int
    clock: LaneClock | None = None


async def list_node_deals(call: Call) -> dict[str, Any]:
    """List the deals of a token under a node."""
    page = page_of_body(call.body)
    path_id(call, "token_id", TOKEN)
    branch = await branch_in(call)
    known = await found_instrument(call, TOKEN)
    if known.instrument.branch_id != branch.id:
        raise Refusal(Code.INSTRUMENT_NOT_FOUND)
    found = await call.desk.reads.row(
        "resales",
        "listings_of_instrument",
        StoredDeals,
        call.caller.lane,
        known.instrument.id,
        OTC,
        page.size,
        page.offset,
    )
    assert found is not None, "the statement always has a row"
    now = (found.clock or LaneClock()).business_time(call.desk.clock.now())
    return listed([_admin_deal(deal, now) for deal in found.rows], page, found.total)


def _admin_deal(deal: StoredDeal, now: datetime) -> AdminDeal:
    order, resale = RESALES.by_the_clock(deal.order, now), deal.resale
    return AdminDeal(
        id=id_text(order.id),
        token_id=id_text(resale.instrument_id),
        node_id=id_text(resale.branch_id),
        user_id=id_text(resale.party_id),
        deal_id=resale.number or 0,
        price=AdminPrice(
            amount=units_number(resale.price_units, deal.scale),
            decimal=deal.scale,
            symbol=deal.symbol,
            address=deal.address,
        ),
        quantity=resale.quantity,
        available_quantity=resale.available if order is deal.order else 0,
        status=STATUSES[order.state],
        created_at=time_text(order.created_at),
        updated_at=time_text(order.updated_at),
    )


async def accept_node_deal(call: Call) -> Answer:
    """Take a deal for the node."""
    await call.submit(await _command(call, TakeResale))
    return DONE


async def cancel_node_deal(call: Call) -> Answer:
    """Close a deal for the node."""
    await call.submit(await _command(call, CloseResale))
    return DONE


async def _command(call: Call, kind: type[BranchCommand]) -> BranchCommand:
    branch_id, instrument_id = path_id(call, "node_id", NODE), path_id(call, "token_id", TOKEN)
    text = call.path_text("deal_id")
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and 0 < int(text) <= NUMBER_OF_DEAL_MAX):
        raise invalid("Invalid deal ID format")
    return kind(
        branch_id=branch_id,
        instrument_id=instrument_id,
        order_id=await order_numbered(call, instrument_id, int(text)),
        mandate=caller_of(call).mandate(OTC_MANAGE),
    )


_DEAL = "/v2/admin/otcs/nodes/{node_id}/tokens/{token_id}"
_FOUND = (Code.BRANCH_NOT_FOUND, Code.INSTRUMENT_NOT_FOUND, Code.NOT_PERMITTED)

NODE_DEAL_ROUTES = (
    write(
        _DEAL,
        list_node_deals,
        "The deals of a token under a node, in every state, newest first",
        PageRequest,
        AdminDeals,
        *_FOUND,
    ),
    write(
        f"{_DEAL}/deals/{{deal_id}}/accept",
        accept_node_deal,
        "Accept a deal: the node buys all that is left of it, at once",
        None,
        None,
        *_FOUND,
        Code.ORDER_NOT_FOUND,
        Code.NOT_TAKEABLE,
        Code.BRANCH_NOT_COVERED,
        Code.AMOUNT_TOO_LARGE,
    ),
    write(
        f"{_DEAL}/deals/{{deal_id}}/cancel",
        cancel_node_deal,
        "Cancel a deal: its tokens are available to the user again",
        None,
        None,
        *_FOUND,
        Code.ORDER_NOT_FOUND,
        Code.NOT_CANCELLABLE,
    ),
)

_ACCEPT = NODE_DEAL_ROUTES[1].label

#: What these routes answer otherwise than the others.
NODE_DEAL_EXCEPTIONS = {(_ACCEPT, Code.AMOUNT_TOO_LARGE): Reply(422, "Deal cannot be accepted")}
NODE_DEAL_DETAILS = {
    (route.label, code): said
    for route in NODE_DEAL_ROUTES
    for code, said in (
        (Code.NOT_PERMITTED, "Insufficient permissions to manage OTC offers"),
        (Code.INSTRUMENT_NOT_FOUND, "Token not found"),
    )
}
