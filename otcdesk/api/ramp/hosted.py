"""The page of a checkout: what is to be paid, to whom and by when; and what a person may do about it.

Whoever has the page's address may complete it, so the secret in it is all the credential there is. A checkout that is
not there, one with another secret, and one of a closed lane look the same.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from otcdesk.actions.confirm_checkout import CancelCheckout, CheckoutMoved, ConfirmCheckout
from otcdesk.actions.prepare_payout import GivenMethod
from otcdesk.api.dialect import OWN_REPLIES, Call, Reply, Route
from otcdesk.api.http import Answer, Request
from otcdesk.api.pages import CSS, Pages, Templates, see_other
from otcdesk.api.ramp.checkout_links import CheckoutLinks, is_of
from otcdesk.api.ramp.checkout_shapes import origin_of, returning_url
from otcdesk.api.ramp.hosted_form import Field, fields_of, filled, form_of
from otcdesk.api.ramp.hosted_view import Choice, Found, choices_of, facts_of
from otcdesk.api.ramp.payees import given_by
from otcdesk.desk import Caller
from otcdesk.domain.checkouts import CONFIRMED, FIAT_OUT, OPENED, SETTLED
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code, Refusal

_NOBODY: Final = Caller(lane=0, owner_id=DESK_ID, name="anyone", kind="none", scopes=frozenset())

_ACTION, _CHANNEL, _MARK = "action", "channel", "mark"

#: What keeps a checkout from being confirmed now, in words for the person; the business's own affairs stay its own.
_OBSTACLES: Final = {
    Code.CHANNEL_NOT_FOUND: "This way to be paid is not available. Please choose another one.",
    Code.CHANNEL_CLOSED: "This way to be paid is not available right now. Please choose another one.",
    Code.PARTY_UNVERIFIED: "{business} has to confirm who you are first. Please get in touch with them.",
    Code.PARTY_INACTIVE: "{business} has closed your account for payments. Please get in touch with them.",
    Code.TENANT_FROZEN: "{business} cannot take or make payments at the moment. Nothing was paid. Please get in touch "
    "with them.",
    Code.LIMIT_EXCEEDED: "{business} cannot make a payment of this size now. Nothing was paid. Please get in touch "
    "with them.",
    Code.AMOUNT_TOO_SMALL: "The amount is too small for this way to be paid. Please choose another one.",
    Code.AMOUNT_TOO_LARGE: "The amount is too large for this way to be paid. Please choose another one.",
    Code.PRICE_UNAVAILABLE: "There is no price at this moment. Please try again in a minute.",
    Code.CEILING_EXCEEDED: "At the present price this payment costs more than {business} has allowed. Nothing was "
    "paid. Please try again later, or get in touch with them.",
    Code.PAYOUT_NOT_COVERED: "{business} cannot make this payment at the moment. Nothing was paid. Please get in touch "
    "with them.",
    Code.TREASURY_INSUFFICIENT: "This payment cannot be made at the moment. Nothing was paid. Please try again later.",
    Code.UNAVAILABLE: "We cannot be reached properly at the moment. Please try again in a minute.",
    Code.OVERLOADED: "There is a lot going on at the moment. Please try again in a minute.",
}


async def style(call: Call) -> Answer:  # noqa: ARG001  (as all handlers)
    """Answer the style sheet."""
    return Answer(200, HostedCheckout.templates.html("style.css", {}), content_type=CSS)


async def show_checkout(call: Call) -> Answer:
    """Show a checkout as it is now."""
    found = await _found(call)
    return _SHOWN.get(found.order.state, _over)(call, found)


async def complete_checkout(call: Call) -> Answer:
    """Do what a person has asked for on the page, once, and send the browser back to the business."""
    found = await _found(call)
    if found.order.state in {CONFIRMED, SETTLED}:  # the second click of a double one, or the tab beside
        return see_other(returning_url(found.checkout, found.order))
    if found.order.state != OPENED:
        raise Refusal(Code.CHECKOUT_OVER)
    links: CheckoutLinks = call.services.checkout_links
    mark = call.body.get(_MARK, "")
    if not links.is_of_form(mark, found.order.id, found.order.version, _token(call)):
        raise Refusal(Code.CHECKOUT_PAGE_STALE)
    verb = _ACTIONS.get(call.body.get(_ACTION, ""))
    if verb is None:
        raise Refusal(Code.REQUEST_INVALID, "The form asks for nothing that can be done here.")
    return await verb(call, found)


async def _confirm(call: Call, found: Found) -> Answer:
    if found.order.side != FIAT_OUT:
        return await _completed(call, found, _confirming(call, found), None, ())
    chosen = _chosen(found, call.body.get(_CHANNEL, ""))
    if chosen is None:
        return _open(call, found, obstacle="Please choose how to be paid.", status=HTTPStatus.UNPROCESSABLE_ENTITY)
    fields = fields_of(chosen.channel.form_schema, chosen.channel.type)
    try:
        given = given_by(chosen.channel, form_of(fields, call.body))
    except Refusal as refusal:
        mistakes = refusal.facts.get("fields", {})
        return _again(call, found, chosen, filled(fields, call.body, mistakes), mistakes)
    command = _confirming(call, found, chosen.channel.id, given)
    return await _completed(call, found, command, chosen, filled(fields, call.body, {}))


def _confirming(
    call: Call, found: Found, channel_id: UUID | None = None, given: GivenMethod | None = None
) -> ConfirmCheckout:
    seconds = call.desk.settings.checkout_arrival_seconds
    return ConfirmCheckout(order_id=found.order.id, channel_id=channel_id, given=given, arrival_seconds=seconds)


async def _completed(
    call: Call, found: Found, command: ConfirmCheckout, chosen: Choice | None, fields: Sequence[Field]
) -> Answer:
    try:
        moved: CheckoutMoved = await _submitted(call, found, command)
    except Refusal as refusal:
        if refusal.code is Code.CHECKOUT_OVER:
            return await _overtaken(call)
        if refusal.code not in _OBSTACLES:
            raise
        why = _OBSTACLES[refusal.code].format(business=found.tenant_name)
        return _open(call, found, chosen, fields, obstacle=why, status=HTTPStatus.CONFLICT)
    return see_other(returning_url(found.checkout, moved.order))


async def _cancel(call: Call, found: Found) -> Answer:
    try:
        moved: CheckoutMoved = await _submitted(call, found, CancelCheckout(order_id=found.order.id))
    except Refusal as refusal:
        if refusal.code is not Code.CHECKOUT_OVER:
            raise
        return await _overtaken(call)
    return see_other(returning_url(found.checkout, moved.order))


async def _overtaken(call: Call) -> Answer:
    """Answer who came second: as if the page were opened now, or back to the business if it is completed."""
    found = await _found(call)
    if found.order.state in {CONFIRMED, SETTLED}:
        return see_other(returning_url(found.checkout, found.order))
    return _over(call, found)


async def _submitted(call: Call, found: Found, command: Any) -> Any:
    """Carry out a command as the tenant's, by the page."""
    caller = Caller(
        lane=found.lane,
        owner_id=found.order.tenant_id,
        name=f"page of checkout {found.order.id}",
        kind="page",
        scopes=frozenset(),
    )
    return await call.desk.submit(caller, command, request_id=call.request.id)


async def _found(call: Call) -> Found:
    """Return the checkout of the page, as the clock has it; refuses CHECKOUT_NOT_FOUND."""
    order_id = call.path_id("id", Code.CHECKOUT_NOT_FOUND)
    rows = await call.desk.reads.rows("checkouts", "found", Found, order_id)
    now = call.desk.clock.now()
    for found in rows:
        if is_of(_token(call), found.checkout.token_hash):
            await call.services.maintenance.check("ramp", found.lane)
            return found.at((found.clock or LaneClock()).business_time(now))
    raise Refusal(Code.CHECKOUT_NOT_FOUND)


def _token(call: Call) -> str:
    return call.request.query.get("token", "")


def _chosen(found: Found, channel_id: str) -> Choice | None:
    return next((choice for choice in choices_of(found) if str(choice.channel.id) == channel_id), None)


def _open(
    call: Call,
    found: Found,
    chosen: Choice | None = None,
    fields: Sequence[Field] = (),
    *,
    obstacle: str = "",
    mistakes: Sequence[str] = (),
    status: int = 200,
) -> Answer:
    links: CheckoutLinks = call.services.checkout_links
    facts = {
        **facts_of(found),
        "path": f"{call.desk.settings.checkout_prefix}/{found.order.id}",
        "token": _token(call),
        "mark": links.form_mark(found.order.id, found.order.version, _token(call)),
        "choices": choices_of(found),
        "chosen": chosen,
        "fields": fields,
        "obstacle": obstacle,
        "mistakes": mistakes,
    }
    return HostedCheckout.templates.page("checkout.html", facts, status=status, form_targets=_targets(found))


def _again(call: Call, found: Found, chosen: Choice, fields: Sequence[Field], mistakes: dict[str, str]) -> Answer:
    """Show a form again with what was typed, and what is wrong with it; what is wrong with no field stands above."""
    shown = {".".join(("Form", *field.path)) for field in fields}
    others = [f"{path}: {why}" for path, why in mistakes.items() if path not in shown]
    return _open(call, found, chosen, fields, mistakes=others, status=HTTPStatus.UNPROCESSABLE_ENTITY)


def _targets(found: Found) -> tuple[str, ...]:
    """Return where else than here a form may end: browsers count what it redirects to."""
    origin = origin_of(found.checkout.return_url)
    return () if origin is None else (origin,)


def _ready(call: Call, found: Found) -> Answer:
    """Show a checkout that is open: with the form of the channel that is chosen, or of the only one there is."""
    choices = choices_of(found)
    asked = call.request.query.get(_CHANNEL, "")
    chosen = choices[0] if len(choices) == 1 else _chosen(found, asked)
    fields = fields_of(chosen.channel.form_schema, chosen.channel.type) if chosen is not None else []
    return _open(call, found, chosen, fields)


def _done(call: Call, found: Found) -> Answer:  # noqa: ARG001  (as all that show a state)
    facts = {**facts_of(found), "return_url": returning_url(found.checkout, found.order)}
    return HostedCheckout.templates.page("done.html", facts)


def _over(call: Call, found: Found) -> Answer:  # noqa: ARG001  (as all that show a state)
    facts = {**facts_of(found), "return_url": returning_url(found.checkout, found.order)}
    return HostedCheckout.templates.page("over.html", facts, status=HTTPStatus.GONE)


_SHOWN: Final = {OPENED: _ready, CONFIRMED: _done, SETTLED: _done}
_ACTIONS: Final = {"confirm": _confirm, "cancel": _cancel}


class HostedCheckout(Pages):
    """The pages of checkouts, for whoever has their addresses."""

    name = "checkout"
    title = "checkout"
    templates = Templates("otcdesk.api.ramp")
    routes = (
        Route(method="GET", path="/style.css", handler=style, summary="The style sheet", scope=None),
        Route(
            method="GET",
            path="/{id}",
            handler=show_checkout,
            summary="Show a checkout",
            scope=None,
            refuses=(Code.CHECKOUT_NOT_FOUND,),
        ),
        Route(
            method="POST",
            path="/{id}",
            handler=complete_checkout,
            summary="Complete a checkout or turn it down",
            scope=None,
            body=dict,
            refuses=(Code.CHECKOUT_NOT_FOUND, Code.CHECKOUT_OVER, Code.CHECKOUT_PAGE_STALE),
        ),
    )
    replies: Mapping[Code, Reply] = {
        **{code: Reply(reply.status, "This did not work") for code, reply in OWN_REPLIES.items()},
        Code.ROUTE_UNKNOWN: Reply(404, "There is nothing here"),
        Code.MAINTENANCE: Reply(503, "We are making changes"),
        Code.CHECKOUT_NOT_FOUND: Reply(404, "We do not know this page"),
        Code.CHECKOUT_OVER: Reply(410, "This payment is over"),
        Code.CHECKOUT_PAGE_STALE: Reply(403, "Please open the page again"),
        Code.PARTY_NOT_FOUND: Reply(404, "This did not work"),
    }

    async def admit(self, request: Request, route: Route) -> Caller:  # noqa: ARG002  (the page's secret is checked with it)
        """Let anybody ask; who may is judged by the secret in the page's address."""
        return _NOBODY
