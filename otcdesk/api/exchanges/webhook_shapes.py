"""Webhooks on the exchanges wire (contract 6.1): bodies in camelCase, answers in snake_case."""

from typing import Any, Literal

import msgspec

from otcdesk.api.webhook_shapes import EventTypes, WebhookDescription, WebhookUrl
from otcdesk.api.wire import PageQuery, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.webhooks.deliveries import Delivery, Sent
from otcdesk.webhooks.keys import MadeKey, StoredKey
from otcdesk.webhooks.policy import FAILED, PENDING, SUCCEEDED
from otcdesk.webhooks.subscriptions import Subscription

ENVELOPE = "exchanges"

DeliveryStatus = Literal["success", "pending", "failed"]

#: The contract has seen `success`; the others are ours.
DELIVERY_STATUSES = {SUCCEEDED: "success", PENDING: "pending", FAILED: "failed"}


class CreateWebhookRequest(msgspec.Struct, kw_only=True):
    """A webhook to be made."""

    url: WebhookUrl
    eventTypes: EventTypes  # noqa: N815  (wire name)
    description: WebhookDescription | None = None


class DeliveriesQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only deliveries of one status or event type."""

    status: DeliveryStatus | msgspec.UnsetType = msgspec.UNSET
    eventType: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class WebhookAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A webhook; its `signing_secret` only when it is fresh."""

    id: str
    url: str
    description: str | None
    event_types: list[str]
    is_active: bool
    signing_secret_prefix: str
    signing_secret: str | msgspec.UnsetType = msgspec.UNSET
    consecutive_failures: int
    disabled_at: str | None
    disabled_reason: str | None
    created_at: str
    updated_at: str


class DeletedAnswer(msgspec.Struct, kw_only=True):
    """A webhook that is no more."""

    id: str
    deleted: bool


class TestAnswer(msgspec.Struct, kw_only=True):
    """What came of a test."""

    success: bool
    status_code: int | None
    response_time_ms: int
    response_body: str
    error: str | None


class RetryAnswer(msgspec.Struct, kw_only=True):
    """What came of a retry."""

    success: bool
    attempt_number: int
    status_code: int | None
    response_time_ms: int
    error: str | None


class DeliveryAnswer(msgspec.Struct, kw_only=True):
    """A delivery, as its last attempt left it."""

    id: str
    event_type: str
    event_id: str
    delivery_status: DeliveryStatus
    response_status_code: int | None
    response_time_ms: int | None
    attempt_number: int
    error_message: str | None
    created_at: str


def webhook_answer(subscription: Subscription, keys: list[StoredKey], made: MadeKey | None = None) -> WebhookAnswer:
    """Render a webhook; `keys`: its own, the one in use first."""
    secret = made.secret if made is not None else None
    return WebhookAnswer(
        id=str(subscription.id),
        url=subscription.url,
        description=subscription.description,
        event_types=subscription.event_types,
        is_active=subscription.is_active,
        signing_secret_prefix=keys[0].shown if keys else "",
        signing_secret=msgspec.UNSET if secret is None else secret,
        consecutive_failures=subscription.consecutive_failures,
        disabled_at=time_text(subscription.disabled_at),
        disabled_reason=subscription.disabled_reason,
        created_at=iso_milliseconds(subscription.created_at),
        updated_at=iso_milliseconds(subscription.updated_at),
    )


def test_answer(sent: Sent) -> TestAnswer:
    """Render what came of a test."""
    return TestAnswer(
        success=sent.success,
        status_code=sent.attempt.status,
        response_time_ms=sent.attempt.took_ms,
        response_body=sent.attempt.body,
        error=sent.attempt.error,
    )


def retry_answer(sent: Sent) -> RetryAnswer:
    """Render what came of a retry."""
    return RetryAnswer(
        success=sent.success,
        attempt_number=sent.attempt_number,
        status_code=sent.attempt.status,
        response_time_ms=sent.attempt.took_ms,
        error=sent.attempt.error,
    )


def delivery_answer(delivery: Delivery) -> DeliveryAnswer:
    """Render a delivery."""
    status: Any = DELIVERY_STATUSES[delivery.state]
    return DeliveryAnswer(
        id=str(delivery.id),
        event_type=delivery.event_type,
        event_id=delivery.event_id,
        delivery_status=status,
        response_status_code=delivery.response_status,
        response_time_ms=delivery.response_ms,
        attempt_number=delivery.attempts,
        error_message=delivery.error,
        created_at=iso_milliseconds(delivery.created_at),
    )
