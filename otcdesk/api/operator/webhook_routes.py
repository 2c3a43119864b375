"""The operator's webhook routes: webhooks of the desk itself and of all tenants of a lane, and every delivery.

What an operator cannot do is replace the desk's own key pairs: they sign for all lanes.
"""

from typing import Any
from uuid import UUID

from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.operator import webhook_shapes as shapes
from otcdesk.api.webhook_shapes import ChangeWebhookRequest, aware, change_of, id_of, state_of, text_of, time_of
from otcdesk.api.wire import page_of, paged, uuid_of
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.parties import DESK_ID, Tenant
from otcdesk.errors import Code, Refusal
from otcdesk.webhooks.deliveries import Delivery
from otcdesk.webhooks.service import Webhooks
from otcdesk.webhooks.subscriptions import Subscription, Wanted, must_be_active


async def list_webhooks(call: Call) -> Answer:
    """List the webhooks of the lane, the oldest first, perhaps of one tenant."""
    webhooks, lane, query = _webhooks(call), call.caller.lane, call.request.query
    page, owner_id = page_of(query), id_of(query, "tenantId")
    found = await webhooks.subscriptions.of_lane(lane, owner_id=owner_id, limit=page.limit, offset=page.offset)
    keys = await webhooks.keys.by_owner([webhooks.keys.owner_of(one) for one in found])
    rows = [shapes.webhook_answer(one, keys.get(webhooks.keys.owner_of(one), [])) for one in found]
    return Answer(200, paged(rows, page, await webhooks.subscriptions.count(lane, owner_id=owner_id)))


async def create_webhook(call: Call) -> shapes.WebhookAnswer:
    """Make a webhook of the desk itself or of a tenant; a signing secret is answered this once."""
    wanted = Wanted(
        lane=call.caller.lane,
        owner_id=await _owner(call, call.body.tenantId),
        envelope=call.body.envelope,
        url=call.body.url,
        event_types=call.body.eventTypes,
        description=call.body.description,
        key_kind=call.body.keyKind,
    )
    made = await _webhooks(call).subscriptions.create(wanted)
    return shapes.webhook_answer(made.subscription, made.keys, made.made_key)


async def _owner(call: Call, tenant_id: str | None) -> UUID:
    """Return whose webhook it is to be; refuses REQUEST_INVALID for a tenant that the lane does not have."""
    if tenant_id is None:
        return DESK_ID
    owner_id = uuid_of(tenant_id)
    if owner_id not in {row.id for row in await call.desk.reads.rows("lanes", "tenants", Tenant, call.caller.lane)}:
        raise Refusal(Code.REQUEST_INVALID, "There is no such tenant.")
    return owner_id


async def read_webhook(call: Call) -> shapes.WebhookAnswer:
    """Show a webhook."""
    return await _shown(call, await _found(call))


async def change_webhook(call: Call) -> shapes.WebhookAnswer:
    """Change a webhook."""
    return await _shown(call, await _webhooks(call).subscriptions.change(await _found(call), change_of(call.body)))


async def delete_webhook(call: Call) -> shapes.DeletedAnswer:
    """Delete a webhook."""
    subscription = await _found(call)
    await _webhooks(call).subscriptions.delete(subscription)
    return shapes.DeletedAnswer(id=str(subscription.id), deleted=True)


async def test_webhook(call: Call) -> shapes.SentAnswer:
    """Send a test, also to a webhook that is switched off, and answer what came of it."""
    return shapes.sent_answer(await _webhooks(call).deliveries.send_test(await _found(call)))


async def rotate_webhook_secret(call: Call) -> shapes.WebhookAnswer:
    """Replace a webhook's key; a signing secret is answered this once, the public half of a pair always."""
    made = await _webhooks(call).subscriptions.rotate(await _found(call))
    return shapes.webhook_answer(made.subscription, made.keys, made.made_key)


async def recover_webhook(call: Call) -> shapes.RecoveredAnswer:
    """Send everything again that did not arrive since a time, and what was never made."""
    subscription = must_be_active(await _found(call))
    due = await _webhooks(call).deliveries.recover(subscription, aware(call.body.since))
    return shapes.RecoveredAnswer(due=due)


async def list_webhook_deliveries(call: Call) -> Answer:
    """List a webhook's deliveries, newest first."""
    return await _page(call, subscription_id=(await _found(call)).id)


async def list_deliveries(call: Call) -> Answer:
    """Search all deliveries of the lane, newest first."""
    query = call.request.query
    return await _page(call, subscription_id=id_of(query, "webhookId"), owner_id=id_of(query, "tenantId"))


async def _page(call: Call, **whose: UUID | None) -> Answer:
    query = call.request.query
    page = page_of(query)
    found = await _webhooks(call).deliveries.page(
        call.caller.lane,
        **whose,
        state=state_of(query, shapes.DELIVERY_STATUSES),
        event_type=text_of(query, "eventType"),
        event_id=text_of(query, "eventId"),
        since=time_of(query, "since"),
        limit=page.limit,
        offset=page.offset,
    )
    return Answer(200, paged([shapes.delivery_answer(row) for row in found.rows], page, found.total))


async def read_delivery(call: Call) -> shapes.DeliveryDetailAnswer:
    """Show a delivery with every attempt and the body that is sent."""
    delivery, deliveries = await _delivery(call), _webhooks(call).deliveries
    return shapes.detail_answer(delivery, await deliveries.attempts(delivery.id), await deliveries.body(delivery.id))


async def resend_delivery(call: Call) -> shapes.SentAnswer:
    """Send a delivery again, now, whatever became of it, and answer what came of it."""
    delivery, webhooks = await _delivery(call), _webhooks(call)
    subscription = must_be_active(await webhooks.subscriptions.find(delivery.lane, delivery.subscription_id))
    return shapes.sent_answer(await webhooks.deliveries.send_now(subscription, delivery.id))


async def list_event_types(call: Call) -> shapes.EventTypesAnswer:
    """Show what clients can be told, and in which envelopes."""
    envelopes = _webhooks(call).envelopes
    return shapes.event_types_answer(envelopes.named(name) for name in envelopes.names)


def _webhooks(call: Call) -> Webhooks:
    webhooks: Webhooks = call.services.webhooks
    return webhooks


async def _found(call: Call) -> Subscription:
    subscription_id = call.path_id("id", Code.SUBSCRIPTION_NOT_FOUND)
    return await _webhooks(call).subscriptions.find(call.caller.lane, subscription_id)


async def _shown(call: Call, subscription: Subscription) -> shapes.WebhookAnswer:
    keys = _webhooks(call).keys
    return shapes.webhook_answer(subscription, await keys.live([keys.owner_of(subscription)]))


async def _delivery(call: Call) -> Delivery:
    delivery_id = call.path_id("id", Code.DELIVERY_NOT_FOUND)
    delivery = await _webhooks(call).deliveries.find(call.caller.lane, delivery_id)
    if delivery is None:
        raise Refusal(Code.DELIVERY_NOT_FOUND)
    return delivery


_WEBHOOKS = "/webhooks"
_WEBHOOK = f"{_WEBHOOKS}/{{id}}"
_DELIVERY = "/deliveries/{id}"
_URL_REFUSES = (
    Code.EVENT_TYPE_UNKNOWN,
    Code.SUBSCRIPTION_URL_INVALID,
    Code.SUBSCRIPTION_URL_FORBIDDEN,
    Code.SUBSCRIPTION_URL_UNRESOLVED,
    Code.SUBSCRIPTION_URL_TAKEN,
)


def _route(
    method: str, path: str, handler: Any, summary: str, answer: Any, refuses: tuple[Code, ...] = (), **more: Any
) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        answer=answer,
        refuses=refuses,
        **more,
    )


_KNOWN = (Code.SUBSCRIPTION_NOT_FOUND,)
_SENT = (Code.SUBSCRIPTION_NOT_FOUND, Code.SUBSCRIPTION_INACTIVE)

ROUTES = (
    _route(
        "GET",
        _WEBHOOKS,
        list_webhooks,
        "List the webhooks of the desk and its tenants",
        list[shapes.WebhookAnswer],
        query=shapes.WebhooksQuery,
    ),
    _route(
        "POST",
        _WEBHOOKS,
        create_webhook,
        "Make a webhook; a signing secret is shown this once",
        shapes.WebhookAnswer,
        (*_URL_REFUSES, Code.SUBSCRIPTIONS_EXHAUSTED),
        status=201,
        body=shapes.CreateWebhookRequest,
    ),
    _route("GET", _WEBHOOK, read_webhook, "Show a webhook", shapes.WebhookAnswer, _KNOWN),
    _route(
        "PATCH",
        _WEBHOOK,
        change_webhook,
        "Change a webhook, switch it off or on",
        shapes.WebhookAnswer,
        (*_KNOWN, *_URL_REFUSES),
        body=ChangeWebhookRequest,
    ),
    _route("DELETE", _WEBHOOK, delete_webhook, "Delete a webhook", shapes.DeletedAnswer, _KNOWN),
    _route("POST", f"{_WEBHOOK}/test", test_webhook, "Send a test message now", shapes.SentAnswer, _KNOWN),
    _route(
        "POST",
        f"{_WEBHOOK}/rotate-secret",
        rotate_webhook_secret,
        "Replace the signing key; a new secret is shown this once",
        shapes.WebhookAnswer,
        _KNOWN,
    ),
    _route(
        "POST",
        f"{_WEBHOOK}/recover",
        recover_webhook,
        "Send everything again that did not arrive since a time",
        shapes.RecoveredAnswer,
        _SENT,
        body=shapes.RecoverRequest,
    ),
    _route(
        "GET",
        f"{_WEBHOOK}/deliveries",
        list_webhook_deliveries,
        "List a webhook's deliveries, newest first",
        list[shapes.DeliveryAnswer],
        _KNOWN,
        query=shapes.DeliveriesQuery,
    ),
    _route(
        "GET",
        "/deliveries",
        list_deliveries,
        "Search deliveries, newest first",
        list[shapes.DeliveryAnswer],
        query=shapes.SearchQuery,
    ),
    _route(
        "GET",
        _DELIVERY,
        read_delivery,
        "Show a delivery with its attempts and body",
        shapes.DeliveryDetailAnswer,
        (Code.DELIVERY_NOT_FOUND,),
    ),
    _route(
        "POST",
        f"{_DELIVERY}/resend",
        resend_delivery,
        "Send a delivery again, now",
        shapes.SentAnswer,
        (Code.DELIVERY_NOT_FOUND, *_SENT, Code.DELIVERY_UNDER_WAY),
    ),
    _route("GET", "/event-types", list_event_types, "Show what clients can be told", shapes.EventTypesAnswer),
)
