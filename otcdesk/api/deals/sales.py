"""Selling over the counter: create an offer, cancel it; both are transactions to poll (contract 3.1, 3.2)."""

from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from otcdesk.actions.list_resale import JobStarted, ListResale
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.withdraw_resale import WithdrawResale
from otcdesk.api.deals.callers import OTC_CREATE
from otcdesk.api.deals.errors import NO_SUCH_DEAL, REPLIES
from otcdesk.api.deals.tables import path_id, write
from otcdesk.api.deals.values import (
    NUMBER_OF_DEAL_MAX,
    GivenId,
    Id,
    Number,
    Whole,
    id_of,
    id_text,
    invalid,
    number_of,
    whole_of,
)
from otcdesk.api.dialect import Call
from otcdesk.domain.commands import Command
from otcdesk.domain.resales import OTC
from otcdesk.errors import Code, Refusal


class SellRequest(msgspec.Struct, kw_only=True):
    """So many tokens, at a price for each in a currency token."""

    quantity: Whole
    price_id: GivenId
    price_amount: Number


class CancelRequest(msgspec.Struct, kw_only=True):
    """The number of a deal."""

    deal_id: Whole


class TransactionStarted(msgspec.Struct, kw_only=True):
    """The transaction to poll."""

    transaction_id: Id


def sold_on(market: str, permission: str) -> Any:
    """Return a handler that lists tokens on a market."""

    async def sell(call: Call) -> TransactionStarted:
        body = call.body
        command = ListResale(
            party_id=path_id(call, "user_id"),
            instrument_id=path_id(call, "token_id"),
            currency_id=id_of(body.price_id, "price_id"),
            quantity=quantity_of(body.quantity),
            price=price_amount_of(body.price_amount),
            market=market,
            mandate=call.caller.mandate(permission),  # type: ignore[attr-defined]
        )
        overdue = overdue_listings(command.party_id, command.instrument_id)
        return started(await submitted_by_the_clock(call, command, overdue))

    sell.__name__ = f"sell_{market}"
    return sell


def cancelled_on(market: str, permission: str) -> Any:
    """Return a handler that takes back what is listed on a market."""

    async def cancel(call: Call) -> TransactionStarted:
        party_id, instrument_id = path_id(call, "user_id"), path_id(call, "token_id")
        command = WithdrawResale(
            party_id=party_id,
            instrument_id=instrument_id,
            order_id=await order_numbered(call, instrument_id, number_of_deal(call.body.deal_id)),
            market=market,
            mandate=call.caller.mandate(permission),  # type: ignore[attr-defined]
        )
        return started(await call.submit(command))

    cancel.__name__ = f"cancel_{market}"
    return cancel


class Overdue(NamedTuple):
    """A refusal that what is over by the clock may have caused, and the statement that finds it, of whom and what."""

    code: Code
    statement: str
    about: tuple[UUID, ...]


def overdue_listings(party_id: UUID, instrument_id: UUID) -> Overdue:
    """Say what may hold the tokens that a user does not have available."""
    return Overdue(Code.RESALE_NOT_COVERED, "overdue", (party_id, instrument_id))


def overdue_bids(party_id: UUID) -> Overdue:
    """Say what may hold the money that a user does not have available."""
    return Overdue(Code.BUYER_NOT_COVERED, "overdue_bids", (party_id,))


async def submitted_by_the_clock(call: Call, command: Command, overdue: Overdue) -> Any:
    """Submit; where too little is available, have what is over by the clock recorded first, which gives back more.

    That is asked for as the caller: what it has asked for before stands before it, and came in time if it did.
    """
    try:
        reply = await call.submit(command)
    except Refusal as refusal:
        desk, lane = call.desk, call.caller.lane
        if refusal.code is not overdue.code:
            raise
        now, most = await desk.business_time(lane), desk.settings.deadlines_orders_max
        found = await desk.reads.records("resales", overdue.statement, lane, *overdue.about, now, most)
        if not found:
            raise
        due = RecordDue(order_ids=[record[0] for record in found])
        await desk.submit(call.caller, due, request_id=call.request.id)
        reply = await call.submit(command)
    return reply


async def order_numbered(call: Call, instrument_id: UUID, number: int) -> UUID | None:
    """Return the order that a deal's number stands for, None if there is none."""
    if number > NUMBER_OF_DEAL_MAX:
        return None
    found: UUID | None = await call.desk.reads.value("resales", "numbered", call.caller.lane, instrument_id, number)
    return found


def quantity_of(raw: msgspec.Raw) -> int:
    """Read a number of tokens; refuses REQUEST_INVALID with the contract's sentence."""
    if number_of(raw, "Quantity") <= 0:
        raise invalid("Quantity must be greater than 0")
    return whole_of(raw, "Quantity")


def price_amount_of(raw: msgspec.Raw) -> Decimal:
    """Read what one token costs; refuses REQUEST_INVALID."""
    price = number_of(raw, "price_amount")
    if price <= 0:
        raise invalid("price_amount must be greater than 0")
    return price


def number_of_deal(raw: msgspec.Raw) -> int:
    """Read a deal's number; refuses REQUEST_INVALID."""
    number = whole_of(raw, "Deal ID")
    if number <= 0:
        raise invalid("Deal ID is required")
    return number


def started(reply: JobStarted) -> TransactionStarted:
    """Say which transaction to poll."""
    return TransactionStarted(transaction_id=id_text(reply.job.id))


LISTS = (
    Code.PARTY_NOT_FOUND,
    Code.INSTRUMENT_NOT_FOUND,
    Code.NOT_PERMITTED,
    Code.PARTY_INACTIVE,
    Code.PARTY_UNVERIFIED,
    Code.RESALE_CLOSED,
    Code.CURRENCY_NOT_FOUND,
    Code.AMOUNT_TOO_FINE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    Code.RESALE_NOT_COVERED,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
)
WITHDRAWS = (
    Code.PARTY_NOT_FOUND,
    Code.INSTRUMENT_NOT_FOUND,
    Code.NOT_PERMITTED,
    Code.ORDER_NOT_FOUND,
    Code.RESALE_NOT_OWN,
    Code.NOT_CANCELLABLE,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
)

SALES_ROUTES = (
    write(
        "/v2/users/otcs/users/{user_id}/tokens/{token_id}/sell",
        sold_on(OTC, OTC_CREATE),
        "Offer tokens over the counter; answers the transaction to poll",
        SellRequest,
        TransactionStarted,
        *LISTS,
    ),
    write(
        "/v2/users/otcs/users/{user_id}/tokens/{token_id}/cancel",
        cancelled_on(OTC, OTC_CREATE),
        "Take an offer back; answers the transaction to poll",
        CancelRequest,
        TransactionStarted,
        *WITHDRAWS,
    ),
)

#: What these routes say beside their errors otherwise than the others.
SALES_DETAILS = {
    (SALES_ROUTES[0].label, Code.NOT_PERMITTED): "Insufficient permissions to create OTC offers",
    (SALES_ROUTES[1].label, Code.NOT_PERMITTED): "Insufficient permissions to cancel OTC offers",
    (SALES_ROUTES[1].label, Code.PARTY_NOT_FOUND): NO_SUCH_DEAL,
    (SALES_ROUTES[1].label, Code.INSTRUMENT_NOT_FOUND): NO_SUCH_DEAL,
}

#: What they answer otherwise: where there is no such user or token there is no such deal (contract 3.2).
SALES_EXCEPTIONS = {
    (SALES_ROUTES[1].label, Code.PARTY_NOT_FOUND): REPLIES[Code.ORDER_NOT_FOUND],
    (SALES_ROUTES[1].label, Code.INSTRUMENT_NOT_FOUND): REPLIES[Code.ORDER_NOT_FOUND],
}
