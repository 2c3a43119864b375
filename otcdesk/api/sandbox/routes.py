"""The sandbox's routes. Anyone who reaches the server may make a world; a world's operator token steers it.

What takes callbacks here keeps nothing of them, so it needs no credential either.
"""

from typing import Any

from otcdesk.api import payout_ends, steering
from otcdesk.api.dialect import Call, Dialect, Reply, Route
from otcdesk.api.http import Answer, Request
from otcdesk.api.payout_ends import PayoutRequest
from otcdesk.api.sandbox import deposit_routes, shapes
from otcdesk.api.sandbox.errors import REPLIES
from otcdesk.api.wire import error_body
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.desk import Caller
from otcdesk.domain.lanes import SANDBOX, LaneClock
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.payouts import return_id
from otcdesk.domain.world import parse_world
from otcdesk.errors import Code, Refusal
from otcdesk.world_loading import shipped_world

_TAKEN = Answer(204, b"")

_NOBODY = Caller(lane=0, owner_id=DESK_ID, name="anyone", kind="none", scopes=frozenset())


async def make_world(call: Call) -> Any:
    """Make an isolated world and answer its credentials."""
    desk, loader = call.desk, call.services.worlds
    world = parse_world(call.body.world) if call.body.world is not None else shipped_world(call.body.template)
    if await desk.reads.value("lanes", "count_open") >= desk.settings.worlds_max:
        raise Refusal(Code.WORLDS_EXHAUSTED)
    world_id = str(desk.clock.new_id())
    clock = shapes.first_clock(desk.clock.now(), call.body)
    loader.check(world)
    lane = await loader.open_lane(world_id, SANDBOX)
    try:
        loaded = await loader.load(lane, world, kind=SANDBOX, clock=clock)
    except BaseException:  # nobody would have a token to delete it
        await desk.reads.value("lanes", "close", lane, desk.clock.now())
        raise
    urls = {**call.services.urls, "sandbox": f"{desk.settings.base_url}/sandbox"}
    return shapes.world_answer(world_id, loaded, urls)


async def delete_world(call: Call) -> Any:
    """Close a world; its credentials die with it."""
    world_id = str(call.path_id("id", Code.WORLD_NOT_FOUND))
    lane = await call.desk.reads.value("lanes", "named", world_id)
    if lane != call.caller.lane:
        raise Refusal(Code.WORLD_NOT_FOUND)
    if await call.desk.reads.value("lanes", "close", lane, call.desk.clock.now()) is None:
        raise Refusal(Code.WORLD_NOT_FOUND)
    call.desk.engine.forget(lane)
    return {"worldId": world_id, "deleted": True}


async def read_clock(call: Call) -> Any:
    """Show the world's clock."""
    return shapes.clock_answer(await _clock(call), call.desk.clock.now())


async def set_clock(call: Call) -> Any:
    """Steer the world's clock."""
    command = steering.clock_command(await _clock(call), call.desk.clock.now(), call.body)
    await call.submit(command)
    return await read_clock(call)


async def publish_price(call: Call) -> Any:
    """Say what the simulated feed sees."""
    reply = await call.submit(steering.price_command(call.body))
    return {"sourceAsset": reply.price.source_asset, "destinationAsset": reply.price.destination_asset}


async def set_fault(call: Call) -> Any:
    """Make a part of the outside fail, or work again."""
    await _FAULTS.get(call.body.rail, _rail_fault)(call)
    return shapes.fault_answer(call.body)


async def _rail_fault(call: Call) -> None:
    await call.submit(steering.fault_command(call.body))


async def _price_fault(call: Call) -> None:
    await steering.switch_feeds(call, up=steering.price_is_up(call.body))


_FAULTS = {"price": _price_fault}


async def set_debit_settlement(call: Call) -> Any:
    """Say whether debits settle by themselves."""
    await call.submit(steering.debit_settlement_command(call.body))
    return {"mode": call.body.mode, "delayMs": call.body.delayMs}


async def run_workers(call: Call) -> Any:
    """Let the workers do now what they would do in a moment."""
    await call.services.work_once(call.caller.lane)
    return {"done": True}


async def end_payout(call: Call) -> Any:
    """Tell the simulated payout provider how a payout ends, and book it at once."""
    order_id, lane = call.path_id("id", Code.ORDER_NOT_FOUND), call.caller.lane
    await payout_ends.end_payout(call, order_id, call.body)
    order = await call.desk.order(lane, order_id)
    assert order is not None, "orders stay"
    return shapes.payout_answer(order, await call.desk.order(lane, return_id(order_id)))


async def take_callback(call: Call) -> Answer:  # noqa: ARG001  (as all handlers)
    """Take a callback, of whatever kind, and forget it: a receiver for who has none; the desk shows what it sent."""
    return _TAKEN


async def _clock(call: Call) -> LaneClock:
    return await call.desk.reads.row("lanes", "clock", LaneClock, call.caller.lane) or LaneClock()


def _steering(method: str, path: str, handler: Any, summary: str, body: Any = None, *refuses: Code) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        body=body,
        answer=dict[str, Any],
        refuses=refuses,
    )


ROUTES = (
    Route(
        method="POST",
        path="/worlds",
        handler=make_world,
        summary="Make an isolated world",
        scope=None,
        status=201,
        body=shapes.WorldRequest,
        answer=dict[str, Any],
        refuses=(
            Code.DECLARATION_INVALID,
            Code.OPENING_BALANCE_CHANGED,
            Code.WORLD_NOT_FOUND,
            Code.WORLDS_EXHAUSTED,
        ),
    ),
    _steering("DELETE", "/worlds/{id}", delete_world, "Close a world", None, Code.WORLD_NOT_FOUND),
    _steering("GET", "/clock", read_clock, "Show the world's clock"),
    _steering("POST", "/clock", set_clock, "Steer the world's clock", steering.ClockRequest),
    _steering("POST", "/prices", publish_price, "Say what the feed sees", steering.PriceRequest, Code.PRICE_NOT_FOUND),
    _steering("POST", "/faults", set_fault, "Make a rail fail or work again", steering.FaultRequest),
    _steering(
        "POST",
        "/debit-settlement",
        set_debit_settlement,
        "Say how debits settle",
        steering.DebitSettlementRequest,
    ),
    _steering(
        "POST",
        "/payouts/{id}",
        end_payout,
        "Tell the simulated provider how a payout ends",
        PayoutRequest,
        Code.ORDER_NOT_FOUND,
        Code.INVALID_STATE,
        Code.RETURN_EXCEEDS_PAYOUT,
    ),
    *deposit_routes.ROUTES,
    _steering("POST", "/work", run_workers, "Run the workers once, now"),
    Route(
        method="POST",
        path="/received/{name}",
        handler=take_callback,
        summary="Take a callback and keep nothing of it; the name is anybody's choice",
        scope=None,
        status=204,
        body=bytes,
        takes="*/*",
        wrapped=False,
    ),
)


class SandboxDialect(Dialect):
    """The sandbox's routes; only served in sandbox mode."""

    name = "sandbox"
    title = "Sandbox"
    routes = ROUTES
    replies = REPLIES

    async def admit(self, request: Request, route: Route) -> Caller:
        """Let anybody make a world and send callbacks; everything else needs the world's operator token.

        Refuses SCOPE_MISSING for an operator of a live lane: what is steered here would be real there.
        """
        if route.scope is None:
            return _NOBODY
        caller = await super().admit(request, route)
        if await self.desk.reads.value("lanes", "kind", caller.lane) != SANDBOX:
            raise Refusal(Code.SCOPE_MISSING, "Only a sandbox's lane can be steered.")
        return caller

    def enveloped(self, value: Any) -> Any:
        """Wrap a value in the envelope."""
        return {"data": value}

    def error_body(self, reply: Reply, refusal: Refusal, request: Request) -> Any:
        """Return the structured error with the request's id."""
        return error_body(reply.word, refusal.detail, {"requestId": request.id})
