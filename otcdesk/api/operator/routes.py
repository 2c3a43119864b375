"""The operator's routes: the orders' queue and unwinding, the desk's own bookings, accounts, prices, and webhooks.

Conversions are acted on under their own path; `/orders` shows orders of every product.

An approval waits a bounded time for the rail. If the rail provably did nothing the answer is 502 and the order is as
it was; if its outcome is not known in time the answer is the order, still pending. What a guard does not leave to one
person is answered 202, with the proposal that waits for a second one.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.api.conversion_shapes import STATUSES
from otcdesk.api.dialect import Call, Dialect, Reply, Route
from otcdesk.api.http import Answer, Request
from otcdesk.api.operator import (
    bank_routes,
    brokerage_routes,
    deposit_routes,
    limit_routes,
    order_shapes,
    payout_routes,
    proposal_routes,
    resale_routes,
    shapes,
    webhook_routes,
)
from otcdesk.api.operator.answers import WAITS, answer_to, scales_of
from otcdesk.api.operator.callbacks import StandardCallbacks
from otcdesk.api.operator.errors import FACTS, REPLIES
from otcdesk.api.wire import PageQuery, error_body, page_of, paged, uuid_of
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.desk import OrderPage
from otcdesk.domain.brokerage import PRODUCT as BROKERAGE
from otcdesk.domain.brokerage import FirmQuote
from otcdesk.domain.conversions import PRODUCT as CONVERSION
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import PRODUCT as PAYOUT
from otcdesk.domain.payouts import Payment
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal

_KEY_PATTERN = r"[\x21-\x7e]{1,200}"
_KEY = re.compile(_KEY_PATTERN, re.ASCII)


async def list_orders(call: Call) -> Answer:
    """List the conversions of all tenants, newest first, perhaps of one status."""
    found, page = await _page(call, CONVERSION)
    rows = [shapes.order_answer(order) for order in call.desk.orders_now(found)]
    return Answer(200, paged(rows, page, found.total))


async def list_all_orders(call: Call) -> Answer:
    """List the orders of all tenants and products, newest first, perhaps of one product or status."""
    found, page = await _page(call, order_shapes.product_of(call.request.query.get("product")))
    scales, facts = await scales_of(call), await _facts(call, found.rows)
    orders = call.desk.orders_now(found)
    rows = [order_shapes.any_order_answer(order, facts, scales) for order in orders]
    return Answer(200, paged(rows, page, found.total))


async def _page(call: Call, product: str | None) -> tuple[OrderPage, PageQuery]:
    page, lane = page_of(call.request.query), call.caller.lane
    states = order_shapes.states_of(call.request.query.get("status"), product)
    now = await call.desk.business_time(lane)
    wanted = (states, now, page.limit, page.offset, product)
    found = await call.desk.reads.row("orders", "page_of_lane", OrderPage, lane, *wanted)
    return found or OrderPage([]), page


async def _facts(call: Call, orders: Sequence[Order]) -> order_shapes.Facts:
    reads, lane = call.desk.reads, call.caller.lane
    quoted = [order.id for order in orders if order.product == BROKERAGE]
    paid = [order.id for order in orders if order.product == PAYOUT]
    quotes = await reads.rows("brokerage", "quotes", FirmQuote, lane, quoted) if quoted else []
    payments = await reads.rows("orders", "payments", Payment, lane, paid) if paid else []
    return order_shapes.Facts({row.order_id: row for row in quotes}, {row.order_id: row for row in payments})


async def read_order(call: Call) -> Any:
    """Show a conversion with its audit trail, entries, holds and trade."""
    order = await _order(call)
    if order.product != CONVERSION:
        raise Refusal(Code.ORDER_NOT_FOUND)
    scales = await scales_of(call)
    return shapes.conversion_detail(order, await _record(call, order, scales))


async def read_any_order(call: Call) -> Any:
    """Show an order of any product with its audit trail, entries, holds and trade."""
    order, scales = await _order(call), await scales_of(call)
    answer = order_shapes.any_order_answer(order, await _facts(call, [order]), scales)
    return {**msgspec.to_builtins(answer), **await _record(call, order, scales)}


async def _order(call: Call) -> Order:
    order = await call.desk.order(call.caller.lane, call.path_id("id", Code.ORDER_NOT_FOUND))
    if order is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return order


async def _record(call: Call, order: Order, scales: dict[str, int]) -> dict[str, Any]:
    lane, reads = call.caller.lane, call.desk.reads
    return shapes.record_answer(
        order,
        await reads.rows("orders", "events", Event, lane, order.id),
        await reads.rows("orders", "entries", shapes.StoredEntry, lane, order.id),
        await reads.rows("orders", "holds", Hold, lane, order.id),
        await reads.row("orders", "trade", Trade, lane, order.id),
        scales,
    )


async def approve(call: Call) -> Answer:
    """Approve an order and wait a while for its rail, or propose to."""
    command = shapes.approve_command(call.path_id("id", Code.ORDER_NOT_FOUND), call.body)
    return await answer_to(call, await call.submit(command))


async def reject(call: Call) -> shapes.OperatorOrder:
    """Reject an order; a buy is refunded."""
    command = RejectConversion(order_id=call.path_id("id", Code.ORDER_NOT_FOUND), reason=call.body.reason)
    return shapes.order_answer((await call.submit(command)).order)


async def requote(call: Call) -> shapes.OperatorOrder:
    """Requote an order; the customer must confirm again."""
    command = shapes.requote_command(call.path_id("id", Code.ORDER_NOT_FOUND), call.body)
    return shapes.order_answer((await call.submit(command)).order)


async def settle_debit(call: Call) -> shapes.OperatorOrder:
    """Tell how a buy's debit went."""
    command = SettleDebit(order_id=call.path_id("id", Code.ORDER_NOT_FOUND), outcome=call.body.outcome)
    return shapes.order_answer((await call.submit(command)).order)


async def book_deposit(call: Call) -> Any:
    """Book money that arrived."""
    return await _book(call, Deposit)


async def book_withdrawal(call: Call) -> Any:
    """Book money that left."""
    return await _book(call, Withdraw)


async def book_adjustment(call: Call) -> Any:
    """Book a correction."""
    return await _book(call, Adjust)


async def _book(call: Call, kind: type[Deposit | Withdraw | Adjust]) -> Any:
    account_id = uuid_of(call.body.accountId)
    account = await call.desk.reads.row("accounts", "account", Account, call.caller.lane, account_id)
    if account is None:
        raise Refusal(Code.ACCOUNT_NOT_FOUND)
    scales = await scales_of(call)
    booked = await call.submit(shapes.booking_command(kind, call.body, scales[account.asset]))
    return await answer_to(call, booked, 201)


async def list_accounts(call: Call) -> Answer:
    """List the ledger's accounts."""
    page, lane = page_of(call.request.query), call.caller.lane
    reads, scales = call.desk.reads, await scales_of(call)
    rows = await reads.rows("accounts", "all_of_lane", Account, lane, page.limit, page.offset)
    total = await reads.value("accounts", "count_of_lane", lane)
    return Answer(200, paged([shapes.account_answer(row, scales) for row in rows], page, total))


async def list_prices(call: Call) -> Any:
    """List the prices and which layer of each is in force."""
    now = await call.desk.business_time(call.caller.lane)
    rows = await call.desk.reads.rows("lanes", "prices", Price, call.caller.lane)
    return [shapes.price_answer(row, now) for row in rows]


async def set_price(call: Call) -> Any:
    """Set a pair's market rate for a while."""
    reply = await call.submit(shapes.set_price_command(call.body))
    return shapes.price_answer(reply.price, await call.desk.business_time(call.caller.lane))


_ORDERS = "/otc-exchanges"
_MOVES = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.TREASURY_INSUFFICIENT)
_PRICED = (Code.PRICE_UNAVAILABLE, Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE, Code.RATE_DEVIATES)
_BOOKS = (
    Code.ACCOUNT_NOT_FOUND,
    Code.BALANCE_INSUFFICIENT,
    Code.AMOUNT_TOO_LARGE,
    Code.KEY_REUSED,
    Code.KEY_IN_FLIGHT,
    Code.KEY_INVALID,
)


def _move(action: str, handler: Any, body: Any, summary: str, *more: Code, **how: Any) -> Route:
    return Route(
        method="POST",
        path=f"{_ORDERS}/{{id}}/{action}",
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        body=body,
        body_optional=body is not shapes.SettleDebitRequest,
        answer=shapes.OperatorOrder,
        refuses=(*_MOVES, *more),
        **how,
    )


def _booking(path: str, handler: Any, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        status=201,
        body=shapes.BookingRequest,
        answer=dict[str, Any],
        refuses=_BOOKS,
        keyed=True,
        also=WAITS,
    )


ROUTES = (
    Route(
        method="GET",
        path=_ORDERS,
        handler=list_orders,
        summary="List all conversions, newest first",
        scope=OPERATOR_SCOPE,
        answer=list[shapes.OperatorOrder],
        query=shapes.OrdersQuery,
    ),
    Route(
        method="GET",
        path=f"{_ORDERS}/{{id}}",
        handler=read_order,
        summary="Show a conversion with its audit trail and entries",
        scope=OPERATOR_SCOPE,
        answer=dict[str, Any],
        refuses=(Code.ORDER_NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/orders",
        handler=list_all_orders,
        summary="List the orders of every product, newest first",
        scope=OPERATOR_SCOPE,
        answer=list[order_shapes.AnyOrder],
        query=order_shapes.AllOrdersQuery,
    ),
    Route(
        method="GET",
        path="/orders/{id}",
        handler=read_any_order,
        summary="Show an order of any product with its audit trail and entries",
        scope=OPERATOR_SCOPE,
        answer=dict[str, Any],
        refuses=(Code.ORDER_NOT_FOUND,),
    ),
    _move(
        "approve",
        approve,
        shapes.ApproveRequest,
        "Approve an order at a rate",
        *_PRICED,
        Code.SOURCE_CUSTODY_INSUFFICIENT,
        Code.PROPOSAL_OPEN,
        Code.RAIL_UNAVAILABLE,
        also=WAITS,
    ),
    _move("reject", reject, shapes.RejectRequest, "Reject an order, refunding a buy"),
    _move("requote", requote, shapes.RequoteRequest, "Give an unexecuted order a new rate", *_PRICED),
    _move("settle-debit", settle_debit, shapes.SettleDebitRequest, "Tell how a buy's debit went"),
    _booking("/deposits", book_deposit, "Book money that arrived"),
    _booking("/withdrawals", book_withdrawal, "Book money that left"),
    _booking("/adjustments", book_adjustment, "Book a correction"),
    Route(
        method="GET",
        path="/accounts",
        handler=list_accounts,
        summary="List the ledger's accounts",
        scope=OPERATOR_SCOPE,
        answer=list[dict[str, Any]],
        query=PageQuery,
    ),
    Route(
        method="GET",
        path="/prices",
        handler=list_prices,
        summary="List prices",
        scope=OPERATOR_SCOPE,
        answer=list[dict[str, Any]],
    ),
    Route(
        method="POST",
        path="/prices",
        handler=set_price,
        summary="Set a market rate for a while",
        scope=OPERATOR_SCOPE,
        body=shapes.SetPriceRequest,
        answer=dict[str, Any],
        refuses=(Code.PRICE_NOT_FOUND, Code.RATE_DEVIATES),
    ),
    *brokerage_routes.ROUTES,
    *deposit_routes.ROUTES,
    *bank_routes.ROUTES,
    *limit_routes.ROUTES,
    *payout_routes.ROUTES,
    *proposal_routes.ROUTES,
    *resale_routes.ROUTES,
    *webhook_routes.ROUTES,
)


class OperatorDialect(Dialect):
    """The operator's routes; errors have the exchanges' shape. A booking may carry an idempotency key."""

    name = "operator"
    key_pattern = _KEY_PATTERN
    title = "Operator"
    routes = ROUTES
    replies = REPLIES
    callbacks = StandardCallbacks()

    def before_body(self, call: Call, route: Route) -> None:
        """Take a booking's key."""
        given = call.request.header("idempotency-key") if route.keyed else None
        if given is not None and not _KEY.fullmatch(given):
            raise Refusal(Code.KEY_INVALID, "The Idempotency-Key must be 1 to 200 visible ASCII characters.")
        call.key = given

    async def read_body(self, request: Request, route: Route) -> Any:
        """Read a body; an approval, rejection or requote may come without any."""
        if route.body_optional and not await self.raw_body(request):
            return route.body()
        return await super().read_body(request, route)

    def enveloped(self, value: Any) -> Any:
        """Wrap a value in the envelope."""
        return {"data": value}

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the structured error; the operator sees the request's id and the state that was in the way."""
        details: dict[str, object] = {"requestId": request.id}
        if "state" in refusal.facts:
            details["state"] = STATUSES.get(refusal.facts["state"], refusal.facts["state"])
        details |= {said: refusal.facts[fact] for fact, said in FACTS.items() if fact in refusal.facts}
        return error_body(reply.word, refusal.detail, details)
