"""The blotter, the search by any id, and the page of one order with everything that may be done about it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from otcdesk.actions.note_act import NoteAct
from otcdesk.actions.retry_job import JobRetried, RetryJob
from otcdesk.api.http import Answer
from otcdesk.api.pages import see_other
from otcdesk.console.fields import id_of, key_of, text_of
from otcdesk.console.orders.filters import cursor_of
from otcdesk.console.orders.forms import PRODUCTS, SIDES, STATES, asked_for, filters_of
from otcdesk.console.orders.moves import MOVES, Move, may_be_approved, open_jobs, possible_moves, word_after
from otcdesk.console.orders.order_page import OrderPage, order_page
from otcdesk.console.orders.reads import blotter
from otcdesk.console.orders.search import Hit, found
from otcdesk.console.orders.states import KINDS
from otcdesk.console.orders.timeline import timeline
from otcdesk.console.page import ConsoleCall, done, opens, page, posts, scales_of
from otcdesk.console.position.pnl import COMPONENTS, WonTrade, shown, trade_of
from otcdesk.domain import duties
from otcdesk.domain.parties import Tenant
from otcdesk.domain.proposals import OPEN, Proposal
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.subscriptions import must_be_active

_BLOTTER: Final = "/console/orders"
_NO_CONTENT: Final = Answer(204, b"")

#: What kinds of states are called where one is chosen.
_KINDS: Final[Mapping[str, str]] = {
    "open": "Open to the tenant",
    "waiting": "Waiting for us",
    "under_way": "Under way",
    "done": "Done",
    "stopped": "Stopped",
}
assert _KINDS.keys() == set(KINDS), "each kind has its name"

#: Where a hit leads that is not of an order, by what it is.
_PLACES: Final[Mapping[str, str]] = {
    "account": "/console/accounts/",
    "ledger_transaction": "/console/transactions/",
    "tenant": "/console/tenants/",
    "proposal": "/console/proposals/",
}

Handler = Callable[[ConsoleCall], Awaitable[Answer]]


async def show_blotter(call: ConsoleCall) -> Answer:
    """Show orders of all products as the address asks for them, newest first."""
    lane, desk, query = call.caller.lane, call.desk, call.request.query
    now, asked, filters = await desk.business_time(lane), asked_for(query), filters_of(query)
    at = query.get("at", "")
    orders = await blotter(desk.reads, lane, filters, now, cursor=cursor_of(at))
    facts = {
        "orders": orders,
        "now": now,
        "asked": asked,
        "at": at,
        "views": _views(f"{now:%Y-%m-%d}"),
        "url": _url(asked, at),
        "url_of": _url,
        "choices": await _choices(call, asked),
    }
    return await page(call, "orders/blotter.html", facts)


def _views(today: str) -> tuple[tuple[str, dict[str, str]], ...]:
    return (
        ("All", {}),
        ("Waiting for us", {"attention": "1"}),
        ("Open", {"open": "1"}),
        ("Today", {"from": today}),
        ("Stopped", {"state": "stopped"}),
    )


def _url(asked: Mapping[str, str], at: str | None = None) -> str:
    wanted = {**asked, "at": at} if at else dict(asked)
    return f"{_BLOTTER}?{urlencode(wanted)}" if wanted else _BLOTTER


async def _choices(call: ConsoleCall, asked: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return what may be chosen for each filter; an asset that is asked for and not listed stays to be seen."""
    tenants = await call.desk.reads.rows("lanes", "tenants", Tenant, call.caller.lane)
    assets = sorted({*await scales_of(call), *([asked["asset"]] if "asset" in asked else [])})
    return {
        "product": [(name, name.replace("_", " ")) for name in PRODUCTS],
        "side": [(name, name.replace("_", " ")) for name in SIDES],
        "kind": list(_KINDS.items()),
        "state": [(name, name.replace("_", " ")) for name in STATES],
        "tenant": sorted(((str(one.id), one.name) for one in tenants), key=lambda one: one[1].lower()),
        "asset": [(code, code) for code in assets],
    }


async def search(call: ConsoleCall) -> Answer:
    """Find what somebody quotes; if it is one thing, lead straight to it."""
    text = call.request.query.get("q", "")
    hits = await found(call.desk.reads, call.caller.lane, text)
    places = [(hit, _place_of(hit)) for hit in hits]
    [only, *others] = {place for _, place in places} or {None}
    if only is not None and not others:
        return see_other(only)
    return await page(call, "orders/search.html", {"text": text, "places": places})


def _place_of(hit: Hit) -> str | None:
    if hit.what in _PLACES and (hit.order_id is None or hit.what == "ledger_transaction"):
        return _PLACES[hit.what] + quote(hit.id, safe="")
    return None if hit.order_id is None else f"{_BLOTTER}/{hit.order_id}"


async def show_order(call: ConsoleCall) -> Answer:
    """Show the life of one order; a page that has seen all of it is told that there is nothing new."""
    whole = await _order(call)
    if call.is_fragment and call.request.query.get("seen") == whole.digest:
        return _NO_CONTENT
    trade = await trade_of(call.desk.reads, call.caller.lane, whole.order.id) if whole.whole.trade else None
    facts = {
        "page": whole,
        "order": whole.order,
        "whole": whole.whole,
        "moments": timeline(whole),
        "moves": possible_moves(whole, call.may),
        "jobs": open_jobs(whole.whole.jobs),
        "to_approve": may_be_approved(whole),
        "open_proposal": _open_proposal(whole),
        "assets": {one.account.id: one.account.asset for one in whole.whole.accounts},
        "acts": {str(act.id): act for act in whole.whole.acts},
        "won": None if trade is None else (trade.trade.asset, _won(trade)),
    }
    return await page(call, "orders/order.html", facts)


def _open_proposal(whole: OrderPage) -> Proposal | None:
    """Return the proposal that waits for a second person, of the order as it still is."""
    for one in whole.whole.proposals:
        if one.state_at(whole.now) == OPEN and one.subject_version in {None, whole.order.version}:
            return one
    return None


def _won(trade: WonTrade) -> dict[str, int]:
    """Return what a trade has won by component, and together, as they are printed."""
    parts: dict[str, int] = {name: shown(getattr(trade.trade, name)) for name in COMPONENTS}
    return {**parts, "total": shown(trade.total)}


def moves_by(move: Move) -> Handler:
    """Return the handler of a move: read its form, carry it out, and lead to the order that it led to.

    What waits for a second person leads to its proposal.
    """

    async def moved(call: ConsoleCall) -> Answer:
        command = move.command(call, await _order(call))
        call.key = key_of(call) if move.keyed else None
        reply = await call.submit(command, why=_why(call))
        proposal = getattr(reply, "proposal", None)
        if proposal is not None:
            return done(f"/console/proposals/{proposal.id}", "waits")
        return done(f"{_BLOTTER}/{reply.order.id}", word_after(move, reply))

    return moved


async def retry_job(call: ConsoleCall) -> Answer:
    """Have the chain asked for a job at once, or for one in place of a failed one that follows the books."""
    whole, job_id = await _order(call), id_of(call.path_text("job"), Code.JOB_NOT_FOUND)
    _check_has(job_id, whole.whole.jobs, Code.JOB_NOT_FOUND)
    retried: JobRetried = await call.submit(RetryJob(job_id=job_id), why=_why(call))
    await call.services.jobs.ask_again(call.caller.lane, retried.job.reference)
    return done(f"{_BLOTTER}/{whole.order.id}", "asked")


async def fail_job(call: ConsoleCall) -> Answer:
    """Decide that a job is not carried out, if the chain provably has not and will not do it."""
    whole, job_id = await _order(call), id_of(call.path_text("job"), Code.JOB_NOT_FOUND)
    _check_has(job_id, whole.whole.jobs, Code.JOB_NOT_FOUND)
    reason = text_of(call, "why", "The reason")
    await call.submit(NoteAct(what="fail job", about_id=whole.order.id, about=str(job_id)), why=reason)
    await call.services.jobs.fail(call.caller.lane, job_id, caller=call.caller.name, reason=reason)
    return done(f"{_BLOTTER}/{whole.order.id}", "settled")


async def send_again(call: ConsoleCall) -> Answer:
    """Send a callback of an order again, now, whatever became of it."""
    whole, delivery_id = await _order(call), id_of(call.path_text("callback"), Code.DELIVERY_NOT_FOUND)
    _check_has(delivery_id, whole.whole.deliveries, Code.DELIVERY_NOT_FOUND)
    lane, webhooks = call.caller.lane, call.services.webhooks
    wanted = next(one.subscription_id for one in whole.whole.deliveries if one.id == delivery_id)
    subscription = must_be_active(await webhooks.subscriptions.find(lane, wanted))
    note = NoteAct(what="send callback again", about_id=whole.order.id, about=str(delivery_id))
    await call.submit(note, why=_why(call))
    sent = await webhooks.deliveries.send_now(subscription, delivery_id)
    return done(f"{_BLOTTER}/{whole.order.id}", "taken_in" if sent.success else "not_taken_in")


async def _order(call: ConsoleCall) -> OrderPage:
    """Return all of an order; refuses ORDER_NOT_FOUND for what is none of the lane."""
    order_id = call.path_id("id", Code.ORDER_NOT_FOUND)
    whole = await order_page(call.desk.reads, call.caller.lane, order_id, call.desk.clock.now())
    if whole is None:
        raise Refusal(Code.ORDER_NOT_FOUND)
    return whole


def _check_has(wanted: Any, among: Any, unknown: Code) -> None:
    """Refuse what is not this order's."""
    if wanted not in {one.id for one in among}:
        raise Refusal(unknown)


def _why(call: ConsoleCall) -> str:
    return text_of(call, "why", "The reason", required=False)


_ORDER: Final = "/orders/{id}"

ROUTES = (
    opens("/orders", show_blotter, "The blotter", refuses=(Code.REQUEST_INVALID,)),
    opens("/search", search, "Find what somebody quotes"),
    opens(_ORDER, show_order, "An order", refuses=(Code.ORDER_NOT_FOUND,)),
    *(posts(f"{_ORDER}/{move.name}", moves_by(move), move.summary, duty=move.duty, shows=show_order) for move in MOVES),
    posts(
        f"{_ORDER}/jobs/{{job}}/retry",
        retry_job,
        "Have the chain asked for a job again",
        duty=duties.JOBS_MANAGE,
        shows=show_order,
    ),
    posts(
        f"{_ORDER}/jobs/{{job}}/fail",
        fail_job,
        "Decide that a job is not carried out",
        duty=duties.JOBS_MANAGE,
        shows=show_order,
    ),
    posts(
        f"{_ORDER}/callbacks/{{callback}}/send",
        send_again,
        "Send a callback again",
        duty=duties.WEBHOOKS_MANAGE,
        shows=show_order,
    ),
)
