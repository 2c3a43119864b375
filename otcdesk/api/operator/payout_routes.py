"""What the operator decides about payouts: hold, release, cancel; end those that it makes itself; correct; channels.

Orders of payouts are shown under `/orders`. Those whom payouts are made to are users like all others (`/users`).
"""

from collections.abc import Callable
from typing import Any

from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.actions.switch_channel import SwitchChannel
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.operator import order_shapes, payout_shapes
from otcdesk.api.operator.answers import WAITS, answer_to
from otcdesk.api.operator.order_shapes import AnyOrder
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Command
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PRODUCT, Channel, Payment
from otcdesk.errors import Code, Refusal


async def hold(call: Call) -> AnyOrder:
    """Keep a payout from being made."""
    return await _decide(call, lambda order: HoldPayout(order_id=order.id, reason=call.body.reason))


async def release(call: Call) -> AnyOrder:
    """Let a held payout be made."""
    return await _decide(call, lambda order: ReleasePayout(order_id=order.id))


async def cancel(call: Call) -> AnyOrder:
    """Cancel a held payout."""
    return await _decide(call, lambda order: CancelPayout(order_id=order.id, reason=call.body.reason))


async def settle(call: Call) -> AnyOrder:
    """Book a payout that the operator has made."""
    return await _decide(call, lambda order: payout_shapes.settle_command(order, call.body))


async def fail(call: Call) -> AnyOrder:
    """Give back what a payout took that nobody will make."""
    return await _decide(call, lambda order: payout_shapes.fail_command(order, call.body))


async def record_return(call: Call) -> AnyOrder:
    """Book a settled payout that came back; answers the order by which it did."""
    order, payment = await _payout(call)
    scales = await _scales(call)
    scale = scales[payment.fiat] if payment.fiat else 0
    return await _answer(
        call, (await call.submit(payout_shapes.return_command(order, payment, call.body, scale))).order
    )


async def adjust(call: Call) -> Answer:
    """Correct what a settled payout took; answers the order that corrects it."""
    order, payment = await _payout(call)
    scales = await _scales(call)
    command = payout_shapes.adjust_command(order, call.body, scales[payment.asset])
    return await answer_to(call, await call.submit(command, why=call.body.reason), status=201)


async def list_channels(call: Call) -> list[payout_shapes.ChannelAnswer]:
    """List the channels, with their bounds and fees."""
    scales = await _scales(call)
    rows = await call.desk.reads.rows("orders", "channels", Channel, call.caller.lane)
    return [payout_shapes.channel_answer(row, scales[row.fiat]) for row in rows]


async def switch_channel(call: Call) -> payout_shapes.ChannelAnswer:
    """Say whether a channel may be used."""
    channel_id = call.path_id("id", Code.CHANNEL_NOT_FOUND)
    channel = (await call.submit(SwitchChannel(channel_id=channel_id, enabled=call.body.enabled))).channel
    return payout_shapes.channel_answer(channel, (await _scales(call))[channel.fiat])


async def _decide(call: Call, command_of: Callable[[Order], Command]) -> AnyOrder:
    order, _ = await _payout(call)
    return await _answer(call, (await call.submit(command_of(order))).order)


async def _payout(call: Call) -> tuple[Order, Payment]:
    """Return an order of this product and what it is about; refuses ORDER_NOT_FOUND."""
    order = await call.desk.order(call.caller.lane, call.path_id("id", Code.ORDER_NOT_FOUND))
    if order is None or order.product != PRODUCT:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return order, await _payment(call, order)


async def _payment(call: Call, order: Order) -> Payment:
    (payment,) = await call.desk.reads.rows("orders", "payments", Payment, call.caller.lane, [order.id])
    return payment


async def _answer(call: Call, order: Order) -> AnyOrder:
    facts = order_shapes.Facts(quotes={}, payments={order.id: await _payment(call, order)})
    return order_shapes.any_order_answer(order, facts, await _scales(call))


async def _scales(call: Call) -> dict[str, int]:
    rows = await call.desk.reads.rows("lanes", "assets", ListedAsset, call.caller.lane)
    return {row.code: row.scale for row in rows}


_FOUND = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE)
_KEYED = (Code.KEY_REUSED, Code.KEY_IN_FLIGHT, Code.KEY_INVALID)


def _move(action: str, handler: Any, summary: str, body: Any, *more: Code, **how: Any) -> Route:
    return Route(
        method="POST",
        path=f"/payouts/{{id}}/{action}",
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        body=body,
        answer=AnyOrder,
        refuses=(*_FOUND, *more),
        **how,
    )


ROUTES = (
    _move("hold", hold, "Keep a payout from being made", payout_shapes.ReasonRequest),
    _move("release", release, "Let a held payout be made", None),
    _move("cancel", cancel, "Cancel a held payout", payout_shapes.ReasonRequest),
    _move("settle", settle, "Book a payout that the operator has made", payout_shapes.SettleRequest),
    _move("fail", fail, "Give back what a payout took that nobody will make", payout_shapes.ReasonRequest),
    _move(
        "return",
        record_return,
        "Book a settled payout that came back",
        payout_shapes.ReturnRequest,
        Code.RETURN_EXCEEDS_PAYOUT,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.TREASURY_INSUFFICIENT,
        status=201,
    ),
    _move(
        "adjust",
        adjust,
        "Correct what a settled payout took",
        payout_shapes.AdjustRequest,
        Code.AMOUNT_TOO_SMALL,
        Code.AMOUNT_TOO_LARGE,
        Code.BALANCE_INSUFFICIENT,
        *_KEYED,
        status=201,
        keyed=True,
        also=WAITS,
    ),
    Route(
        method="GET",
        path="/channels",
        handler=list_channels,
        summary="List the channels of payouts",
        scope=OPERATOR_SCOPE,
        answer=list[payout_shapes.ChannelAnswer],
    ),
    Route(
        method="PUT",
        path="/channels/{id}",
        handler=switch_channel,
        summary="Say whether a channel may be used",
        scope=OPERATOR_SCOPE,
        body=payout_shapes.ChannelRequest,
        answer=payout_shapes.ChannelAnswer,
        refuses=(Code.CHANNEL_NOT_FOUND,),
    ),
)
