"""Webhooks of the desk itself and of all tenants, and every delivery. What is done with them is noted before it is.

The desk's own key pairs, which sign for all lanes, are replaced on its own machine alone.
"""

from typing import Any, Final
from uuid import UUID

from otcdesk.actions.note_act import NoteAct
from otcdesk.api.http import Answer
from otcdesk.console.fields import named_id, page_number
from otcdesk.console.page import ConsoleCall, done, opens, page, posts
from otcdesk.console.webhooks import forms, reads
from otcdesk.domain import duties
from otcdesk.domain.event_types import CATALOGUE
from otcdesk.domain.parties import DESK_ID, Tenant
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.deliveries import Delivery
from otcdesk.webhooks.envelope import Envelope
from otcdesk.webhooks.policy import FAILED, PENDING, SUCCEEDED
from otcdesk.webhooks.service import Webhooks
from otcdesk.webhooks.subscriptions import Change, Made, Subscription, may_name, must_be_active

_WEBHOOKS: Final = "/webhooks"
_NEW: Final = f"{_WEBHOOKS}/new"
_WEBHOOK: Final = f"{_WEBHOOKS}/{{id}}"
_DELIVERY: Final = "/deliveries/{id}"

_STATES: Final = (PENDING, SUCCEEDED, FAILED)
_USUAL: Final = "standard"
_DELIVERIES_SHOWN: Final = 25


# -- webhooks ----------------------------------------------------------------------------------------------------------


async def list_webhooks(call: ConsoleCall) -> Answer:
    """List the webhooks of the lane, perhaps of one owner: those in trouble first."""
    query = call.request.query
    number, owner_id = page_number(query), named_id(query.get("tenant", ""))
    found = await reads.webhooks(call.desk.reads, call.caller.lane, owner_id, number)
    facts = {
        "found": found,
        "owner": owner_id,
        "owners": await _owners(call),
        "number": number,
        "last": max(1, -(-found.total // reads.PAGE_SIZE)),
        "counted_max": reads.COUNTED_MAX,
    }
    return await page(call, "webhooks/webhooks.html", facts)


async def show_new(call: ConsoleCall) -> Answer:
    """Show the form for a webhook in the envelope that was chosen."""
    given = call.body if isinstance(call.body, dict) else call.request.query
    envelopes = _webhooks(call).envelopes
    envelope = envelopes.find(given.get("envelope", _USUAL)) or envelopes.named(_USUAL)
    owner_id = named_id(given.get("tenant", "")) or DESK_ID
    facts = {
        "envelope": envelope,
        "envelopes": envelopes.names,
        "owner": owner_id,
        "owners": await _owners(call),
        "types": _types(envelope, owner_id),
    }
    return await page(call, "webhooks/new.html", facts)


async def create(call: ConsoleCall) -> Answer:
    """Make a webhook; a signing secret is shown this once."""
    subscriptions, why = _webhooks(call).subscriptions, forms.why_of(call)
    wanted = subscriptions.check(forms.wanted_of(call, await _owner(call)))
    await call.submit(NoteAct(what="made a webhook", about_id=wanted.owner_id, about=wanted.url), why=why)
    return await _told(call, await subscriptions.create(wanted))


async def show_webhook(call: ConsoleCall) -> Answer:
    """Show a webhook, its keys and what was sent to it."""
    one, webhooks, query = await _found(call), _webhooks(call), call.request.query
    envelope = webhooks.envelopes.named(one.envelope)
    asked, number = query.get("state", ""), page_number(query)
    size, state = _DELIVERIES_SHOWN, asked if asked in _STATES else None
    sent = await webhooks.deliveries.page(
        one.lane, subscription_id=one.id, state=state, limit=size, offset=(number - 1) * size
    )
    facts = {
        "one": one,
        "owner": (await _owners(call)).get(one.owner_id),
        "desk_id": DESK_ID,
        "envelope": envelope,
        "keys": await webhooks.keys.live([webhooks.keys.owner_of(one)]),
        "types": _types(envelope, one.owner_id),
        "sent": sent,
        "states": _STATES,
        "state": state,
        "number": number,
        "last": max(1, -(-sent.total // size)),
    }
    return await page(call, "webhooks/webhook.html", facts)


async def change(call: ConsoleCall) -> Answer:
    """Change where and of what a webhook is told."""
    one, why = await _found(call), forms.why_of(call)
    wanted = forms.change_of(call, one)
    await _note(call, "changed a webhook", one, why)
    await _webhooks(call).subscriptions.change(one, wanted)
    return _back(one, "changed")


async def switch(call: ConsoleCall) -> Answer:
    """Switch a webhook on, which forgets its failures, or off."""
    one, why, active = await _found(call), forms.why_of(call), call.field("active") == "yes"
    await _note(call, "switched a webhook on" if active else "switched a webhook off", one, why)
    await _webhooks(call).subscriptions.change(one, Change(is_active=active))
    return _back(one, "changed")


async def test(call: ConsoleCall) -> Answer:
    """Send a test message now, also to a webhook that is switched off, and show what came of it."""
    one = await _found(call)
    await _note(call, "sent a test to a webhook", one, "")
    sent = await _webhooks(call).deliveries.send_test(one)
    return done(f"/console/deliveries/{sent.delivery_id}", "delivered" if sent.success else "undelivered")


async def rotate(call: ConsoleCall) -> Answer:
    """Replace a webhook's key; a signing secret is shown this once."""
    one, why = await _found(call), forms.why_of(call)
    if not _webhooks(call).envelopes.named(one.envelope).own_keys:
        raise Refusal(Code.REQUEST_INVALID, "The desk's own key pair signs in this envelope.")
    await _note(call, "replaced the key of a webhook", one, why)
    return await _told(call, await _webhooks(call).subscriptions.rotate(one))


async def recover(call: ConsoleCall) -> Answer:
    """Send everything again that did not arrive since a time."""
    one, why = must_be_active(await _found(call)), forms.why_of(call)
    since = forms.since_of(call)
    await _note(call, "had a webhook's messages sent again", one, why, detail=f"since {since.isoformat()}")
    await _webhooks(call).deliveries.recover(one, since)
    return _back(one, "recovered")


async def delete(call: ConsoleCall) -> Answer:
    """Delete a webhook."""
    one, why = await _found(call), forms.why_of(call)
    await _note(call, "deleted a webhook", one, why)
    await _webhooks(call).subscriptions.delete(one)
    return done("/console/webhooks", "deleted")


# -- deliveries --------------------------------------------------------------------------------------------------------


async def show_delivery(call: ConsoleCall) -> Answer:
    """Show a delivery with every attempt and the body that is sent."""
    delivery, webhooks = await _delivery(call), _webhooks(call)
    facts = {
        "delivery": delivery,
        "one": await _subscription(call, delivery.subscription_id),
        "attempts": await webhooks.deliveries.attempts(delivery.id),
        "body": (await webhooks.deliveries.body(delivery.id)).decode("utf-8", "replace"),
    }
    return await page(call, "webhooks/delivery.html", facts)


async def send_again(call: ConsoleCall) -> Answer:
    """Send a delivery again, now, whatever became of it."""
    delivery, webhooks = await _delivery(call), _webhooks(call)
    one = must_be_active(await webhooks.subscriptions.find(delivery.lane, delivery.subscription_id))
    await _note(call, "sent a message of a webhook again", one, "", detail=str(delivery.id))
    sent = await webhooks.deliveries.send_now(one, delivery.id)
    return done(f"/console/deliveries/{delivery.id}", "delivered" if sent.success else "undelivered")


# -- what they share ---------------------------------------------------------------------------------------------------


def _webhooks(call: ConsoleCall) -> Webhooks:
    webhooks: Webhooks = call.services.webhooks
    return webhooks


async def _found(call: ConsoleCall) -> Subscription:
    subscription_id = call.path_id("id", Code.SUBSCRIPTION_NOT_FOUND)
    return await _webhooks(call).subscriptions.find(call.caller.lane, subscription_id)


async def _subscription(call: ConsoleCall, subscription_id: UUID) -> Subscription | None:
    """Return a webhook, None for one that was deleted."""
    return await call.desk.reads.row("subscriptions", "find", Subscription, call.caller.lane, subscription_id)


async def _delivery(call: ConsoleCall) -> Delivery:
    delivery_id = call.path_id("id", Code.DELIVERY_NOT_FOUND)
    found = await _webhooks(call).deliveries.find(call.caller.lane, delivery_id)
    if found is None:
        raise Refusal(Code.DELIVERY_NOT_FOUND)
    return found


async def _owners(call: ConsoleCall) -> dict[UUID, str]:
    """Return who can have webhooks, by name: the desk itself first."""
    rows = await call.desk.reads.rows("lanes", "tenants", Tenant, call.caller.lane)
    return {DESK_ID: "The desk itself"} | {row.id: row.name for row in rows}


async def _owner(call: ConsoleCall) -> UUID:
    """Return whose webhook it is to be; refuses REQUEST_INVALID for who is not in the lane."""
    owner_id = named_id(call.field("tenant"))
    if owner_id is None or owner_id not in await _owners(call):
        raise Refusal(Code.REQUEST_INVALID, "Say whose webhook it is.")
    return owner_id


def _types(envelope: Envelope, owner_id: UUID) -> dict[str, str]:
    """Return what an owner may be told in an envelope, and what each means as far as its name says it."""
    names = sorted(name for name in envelope.event_types if may_name(owner_id, name))
    return {name: CATALOGUE[name].meaning if name in CATALOGUE else "" for name in names}


async def _note(call: ConsoleCall, what: str, one: Subscription, why: str, *, detail: str = "") -> None:
    await call.submit(NoteAct(what=what, about_id=one.id, about=one.url, detail=detail), why=why)


async def _told(call: ConsoleCall, made: Made) -> Answer:
    """Show the fresh key of a webhook; where the desk's own pair signs, go to the webhook."""
    one, fresh = made.subscription, made.made_key
    if fresh is None:
        return _back(one, "made")
    shown = ("Signing secret", fresh.secret) if fresh.secret is not None else ("Public key", fresh.key.shown)
    facts = {"title": "The key of the webhook", "secrets": [("URL", one.url), ("Kind", fresh.key.kind.value), shown]}
    return await page(
        call, "shown_once.html", {**facts, "back": f"/console/webhooks/{one.id}", "back_name": "the webhook"}
    )


def _back(one: Subscription, said: str) -> Answer:
    return done(f"/console/webhooks/{one.id}", said)


_KNOWN: Final = (Code.SUBSCRIPTION_NOT_FOUND,)
_URL_REFUSES: Final = (
    Code.EVENT_TYPE_UNKNOWN,
    Code.SUBSCRIPTION_URL_INVALID,
    Code.SUBSCRIPTION_URL_FORBIDDEN,
    Code.SUBSCRIPTION_URL_UNRESOLVED,
    Code.SUBSCRIPTION_URL_TAKEN,
)
_SENT: Final = (Code.DELIVERY_NOT_FOUND, *_KNOWN, Code.SUBSCRIPTION_INACTIVE, Code.DELIVERY_UNDER_WAY)


def _acts(path: str, handler: Any, summary: str, *refuses: Code, shows: Any = show_webhook) -> Any:
    return posts(path, handler, summary, duty=duties.WEBHOOKS_MANAGE, shows=shows, refuses=refuses)


ROUTES = (
    opens(_WEBHOOKS, list_webhooks, "The webhooks"),
    opens(_NEW, show_new, "A webhook to be made", duty=duties.WEBHOOKS_MANAGE),
    _acts(_NEW, create, "Make a webhook", *_URL_REFUSES, Code.SUBSCRIPTIONS_EXHAUSTED, shows=show_new),
    opens(_WEBHOOK, show_webhook, "A webhook", refuses=_KNOWN),
    _acts(_WEBHOOK, change, "Change a webhook", *_KNOWN, *_URL_REFUSES),
    _acts(f"{_WEBHOOK}/switch", switch, "Switch a webhook", *_KNOWN),
    _acts(f"{_WEBHOOK}/test", test, "Send a test", *_KNOWN),
    _acts(f"{_WEBHOOK}/rotate", rotate, "Replace a webhook's key", *_KNOWN),
    _acts(f"{_WEBHOOK}/recover", recover, "Send again what did not arrive", *_KNOWN, Code.SUBSCRIPTION_INACTIVE),
    _acts(f"{_WEBHOOK}/delete", delete, "Delete a webhook", *_KNOWN),
    opens(_DELIVERY, show_delivery, "A delivery", refuses=(Code.DELIVERY_NOT_FOUND,)),
    _acts(f"{_DELIVERY}/send", send_again, "Send a delivery again", *_SENT, shows=show_delivery),
)
