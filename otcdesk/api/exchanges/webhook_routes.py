"""The exchanges webhook routes (contract 6.1). A customer sees its own webhooks of this dialect and no others.

A test is sent to a webhook that is switched off, too: that is how its owner finds out whether it may be switched on.
"""

from typing import Any

from otcdesk.api.dialect import Call, Route
from otcdesk.api.exchanges import webhook_shapes as shapes
from otcdesk.api.http import Answer
from otcdesk.api.webhook_shapes import ChangeWebhookRequest, change_of, state_of, text_of
from otcdesk.api.wire import page_of, paged
from otcdesk.errors import Code
from otcdesk.webhooks.service import Webhooks
from otcdesk.webhooks.subscriptions import Subscription, Wanted, must_be_active

READ = "otc-exchanges:read"
WRITE = "otc-exchanges:write"


async def list_webhooks(call: Call) -> list[shapes.WebhookAnswer]:
    """List the caller's webhooks."""
    webhooks = _webhooks(call)
    found = await webhooks.subscriptions.of_owner(call.caller.lane, call.caller.owner_id, shapes.ENVELOPE)
    keys = await webhooks.keys.by_owner([str(one.id) for one in found])
    return [shapes.webhook_answer(one, keys.get(str(one.id), [])) for one in found]


async def create_webhook(call: Call) -> shapes.WebhookAnswer:
    """Make a webhook and answer its signing secret, this once."""
    wanted = Wanted(
        lane=call.caller.lane,
        owner_id=call.caller.owner_id,
        envelope=shapes.ENVELOPE,
        url=call.body.url,
        event_types=call.body.eventTypes,
        description=call.body.description,
    )
    made = await _webhooks(call).subscriptions.create(wanted)
    return shapes.webhook_answer(made.subscription, made.keys, made.made_key)


async def change_webhook(call: Call) -> shapes.WebhookAnswer:
    """Change a webhook."""
    webhooks = _webhooks(call)
    changed = await webhooks.subscriptions.change(await _own(call), change_of(call.body))
    return shapes.webhook_answer(changed, await webhooks.keys.live([str(changed.id)]))


async def delete_webhook(call: Call) -> shapes.DeletedAnswer:
    """Delete a webhook."""
    subscription = await _own(call)
    await _webhooks(call).subscriptions.delete(subscription)
    return shapes.DeletedAnswer(id=str(subscription.id), deleted=True)


async def test_webhook(call: Call) -> shapes.TestAnswer:
    """Send a test and answer what came of it."""
    return shapes.test_answer(await _webhooks(call).deliveries.send_test(await _own(call)))


async def rotate_webhook_secret(call: Call) -> shapes.WebhookAnswer:
    """Replace a webhook's signing secret and answer the new one, this once."""
    made = await _webhooks(call).subscriptions.rotate(await _own(call))
    return shapes.webhook_answer(made.subscription, made.keys, made.made_key)


async def list_deliveries(call: Call) -> Answer:
    """List a webhook's deliveries, newest first."""
    subscription, query = await _own(call), call.request.query
    page = page_of(query)
    found = await _webhooks(call).deliveries.page(
        subscription.lane,
        subscription_id=subscription.id,
        state=state_of(query, shapes.DELIVERY_STATUSES),
        event_type=text_of(query, "eventType"),
        limit=page.limit,
        offset=page.offset,
    )
    return Answer(200, paged([shapes.delivery_answer(row) for row in found.rows], page, found.total))


async def retry_delivery(call: Call) -> shapes.RetryAnswer:
    """Send a delivery again, now, and answer what came of it."""
    subscription = must_be_active(await _own(call))
    delivery_id = call.path_id("deliveryId", Code.DELIVERY_NOT_FOUND)
    return shapes.retry_answer(await _webhooks(call).deliveries.send_now(subscription, delivery_id))


def _webhooks(call: Call) -> Webhooks:
    webhooks: Webhooks = call.services.webhooks
    return webhooks


async def _own(call: Call) -> Subscription:
    return await _webhooks(call).subscriptions.find(
        call.caller.lane,
        call.path_id("webhookId", Code.SUBSCRIPTION_NOT_FOUND),
        owner_id=call.caller.owner_id,
        envelope=shapes.ENVELOPE,
    )


_WEBHOOKS = "/webhooks"
_WEBHOOK = f"{_WEBHOOKS}/{{webhookId}}"
_URL_REFUSES = (
    Code.EVENT_TYPE_UNKNOWN,
    Code.SUBSCRIPTION_URL_INVALID,
    Code.SUBSCRIPTION_URL_FORBIDDEN,
    Code.SUBSCRIPTION_URL_UNRESOLVED,
    Code.SUBSCRIPTION_URL_TAKEN,
)


def _write(method: str, path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **more: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=WRITE,
        answer=answer,
        refuses=(Code.CSRF_TOKEN_INVALID, *refuses),
        **more,
    )


ROUTES = (
    Route(
        method="GET",
        path=_WEBHOOKS,
        handler=list_webhooks,
        summary="List webhooks",
        scope=READ,
        answer=list[shapes.WebhookAnswer],
    ),
    _write(
        "POST",
        _WEBHOOKS,
        create_webhook,
        "Make a webhook; its signing secret is shown this once",
        shapes.WebhookAnswer,
        *_URL_REFUSES,
        Code.SUBSCRIPTIONS_EXHAUSTED,
        status=201,
        body=shapes.CreateWebhookRequest,
    ),
    _write(
        "PATCH",
        _WEBHOOK,
        change_webhook,
        "Change a webhook, switch it off or on",
        shapes.WebhookAnswer,
        Code.SUBSCRIPTION_NOT_FOUND,
        *_URL_REFUSES,
        body=ChangeWebhookRequest,
    ),
    _write("DELETE", _WEBHOOK, delete_webhook, "Delete a webhook", shapes.DeletedAnswer, Code.SUBSCRIPTION_NOT_FOUND),
    _write(
        "POST",
        f"{_WEBHOOK}/test",
        test_webhook,
        "Send a test message now",
        shapes.TestAnswer,
        Code.SUBSCRIPTION_NOT_FOUND,
    ),
    _write(
        "POST",
        f"{_WEBHOOK}/rotate-secret",
        rotate_webhook_secret,
        "Replace the signing secret; the new one is shown this once",
        shapes.WebhookAnswer,
        Code.SUBSCRIPTION_NOT_FOUND,
    ),
    Route(
        method="GET",
        path=f"{_WEBHOOK}/deliveries",
        handler=list_deliveries,
        summary="List a webhook's deliveries, newest first",
        scope=READ,
        answer=list[shapes.DeliveryAnswer],
        query=shapes.DeliveriesQuery,
        refuses=(Code.SUBSCRIPTION_NOT_FOUND,),
    ),
    _write(
        "POST",
        f"{_WEBHOOK}/deliveries/{{deliveryId}}/retry",
        retry_delivery,
        "Send a delivery again, now",
        shapes.RetryAnswer,
        Code.SUBSCRIPTION_NOT_FOUND,
        Code.SUBSCRIPTION_INACTIVE,
        Code.DELIVERY_NOT_FOUND,
        Code.DELIVERY_UNDER_WAY,
    ),
)
