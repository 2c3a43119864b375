"""Webhooks on the operator's wire: the desk's own and those of every tenant, their deliveries, and the catalogue."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from otcdesk.api.operator.callbacks import StandardCallbacks
from otcdesk.api.webhook_shapes import EventTypeName, EventTypes, WebhookDescription, WebhookUrl
from otcdesk.api.wire import PageQuery, Uuid, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.event_types import CATALOGUE
from otcdesk.domain.parties import DESK_ID
from otcdesk.webhooks.deliveries import Delivery, DeliveryAttempt, Sent
from otcdesk.webhooks.envelope import Envelope, KeyKind
from otcdesk.webhooks.fields import Field, fields_of
from otcdesk.webhooks.keys import MadeKey, StoredKey
from otcdesk.webhooks.policy import FAILED, PENDING, SUCCEEDED
from otcdesk.webhooks.subscriptions import Subscription

DeliveryStatus = Literal["success", "pending", "failed"]

DELIVERY_STATUSES = {SUCCEEDED: "success", PENDING: "pending", FAILED: "failed"}


class CreateWebhookRequest(msgspec.Struct, kw_only=True):
    """A webhook to be made: the desk's own, or a tenant's; `keyKind` only where the envelope lets one choose."""

    url: WebhookUrl
    eventTypes: EventTypes  # noqa: N815  (wire name)
    description: WebhookDescription | None = None
    envelope: EventTypeName = "standard"
    tenantId: Uuid | None = None  # noqa: N815
    keyKind: KeyKind | None = None  # noqa: N815


class RecoverRequest(msgspec.Struct, kw_only=True):
    """Since when everything that did not arrive is to be sent again."""

    since: datetime


class WebhooksQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only a tenant's webhooks."""

    tenantId: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class DeliveriesQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only deliveries of one status, event type or event, or since a time."""

    status: DeliveryStatus | msgspec.UnsetType = msgspec.UNSET
    eventType: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    eventId: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    since: datetime | msgspec.UnsetType = msgspec.UNSET


class SearchQuery(DeliveriesQuery, kw_only=True):
    """What deliveries may be searched for in all of a lane."""

    webhookId: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    tenantId: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class KeyAnswer(msgspec.Struct, kw_only=True):
    """A key that signs; `shown`: its public half, or how its secret begins."""

    id: str
    kind: KeyKind
    shown: str
    madeAt: str  # noqa: N815
    retiresAt: str | None  # noqa: N815


class WebhookAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A webhook and the keys that sign for it, the one in use first; its secret only when it is fresh."""

    id: str
    tenantId: str | None  # noqa: N815
    envelope: str
    url: str
    eventTypes: list[str]  # noqa: N815
    description: str | None
    isActive: bool  # noqa: N815
    consecutiveFailures: int  # noqa: N815
    failingSince: str | None  # noqa: N815
    disabledAt: str | None  # noqa: N815
    disabledReason: str | None  # noqa: N815
    createdAt: str  # noqa: N815
    updatedAt: str  # noqa: N815
    keys: list[KeyAnswer]
    signingSecret: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class DeletedAnswer(msgspec.Struct, kw_only=True):
    """A webhook that is no more."""

    id: str
    deleted: bool


class SentAnswer(msgspec.Struct, kw_only=True):
    """What came of an attempt that was asked for."""

    deliveryId: str  # noqa: N815
    success: bool
    attemptNumber: int  # noqa: N815
    responseStatus: int | None  # noqa: N815
    responseTimeMs: int  # noqa: N815
    responseBody: str  # noqa: N815
    error: str | None


class RecoveredAnswer(msgspec.Struct, kw_only=True):
    """How many deliveries are due again, or were made."""

    due: int


class DeliveryAnswer(msgspec.Struct, kw_only=True):
    """A delivery, as its last attempt left it."""

    id: str
    webhookId: str  # noqa: N815
    eventId: str  # noqa: N815
    eventType: str  # noqa: N815
    subjectId: str  # noqa: N815
    subjectVersion: int  # noqa: N815
    status: DeliveryStatus
    attemptNumber: int  # noqa: N815
    dueAt: str | None  # noqa: N815
    responseStatus: int | None  # noqa: N815
    responseTimeMs: int | None  # noqa: N815
    error: str | None
    createdAt: str  # noqa: N815
    attemptedAt: str | None  # noqa: N815


class AttemptAnswer(msgspec.Struct, kw_only=True):
    """One attempt, with the beginning of what was answered."""

    number: int
    attemptedAt: str  # noqa: N815
    responseStatus: int | None  # noqa: N815
    responseTimeMs: int  # noqa: N815
    responseBody: str | None  # noqa: N815
    error: str | None


class DeliveryDetailAnswer(DeliveryAnswer, kw_only=True):
    """A delivery with every attempt at it, and the body as it is sent."""

    attempts: list[AttemptAnswer]
    body: str


class FieldAnswer(msgspec.Struct, kw_only=True):
    """A field, by its way into the body; `format`: what the text or number in it looks like."""

    name: str
    type: str
    format: str | None
    always: bool
    meaning: str


class EventTypeAnswer(msgspec.Struct, kw_only=True):
    """An event type of the catalogue, and the fields of its body in the envelope `standard`."""

    name: str
    version: int
    subject: str
    visibleTo: list[Literal["tenant", "operator"]]  # noqa: N815
    meaning: str
    fields: list[FieldAnswer]


class EnvelopeAnswer(msgspec.Struct, kw_only=True):
    """An envelope: the types that its webhooks may name, and the kinds of key that may sign, the usual one first."""

    name: str
    eventTypes: list[str]  # noqa: N815
    keyKinds: list[KeyKind]  # noqa: N815
    ownKeys: bool  # noqa: N815


class EventTypesAnswer(msgspec.Struct, kw_only=True):
    """What clients can be told, and in which envelopes."""

    eventTypes: list[EventTypeAnswer]  # noqa: N815
    envelopes: list[EnvelopeAnswer]


def webhook_answer(subscription: Subscription, keys: list[StoredKey], made: MadeKey | None = None) -> WebhookAnswer:
    """Render a webhook with the keys that sign for it."""
    secret = made.secret if made is not None else None
    return WebhookAnswer(
        id=str(subscription.id),
        tenantId=None if subscription.owner_id == DESK_ID else str(subscription.owner_id),
        envelope=subscription.envelope,
        url=subscription.url,
        eventTypes=subscription.event_types,
        description=subscription.description,
        isActive=subscription.is_active,
        consecutiveFailures=subscription.consecutive_failures,
        failingSince=time_text(subscription.failing_since),
        disabledAt=time_text(subscription.disabled_at),
        disabledReason=subscription.disabled_reason,
        createdAt=iso_milliseconds(subscription.created_at),
        updatedAt=iso_milliseconds(subscription.updated_at),
        keys=[_key(key) for key in keys],
        signingSecret=msgspec.UNSET if secret is None else secret,
    )


def _key(key: StoredKey) -> KeyAnswer:
    return KeyAnswer(
        id=str(key.id),
        kind=key.kind,
        shown=key.shown,
        madeAt=iso_milliseconds(key.made_at),
        retiresAt=time_text(key.retires_at),
    )


def sent_answer(sent: Sent) -> SentAnswer:
    """Render what came of a test or a resending."""
    return SentAnswer(
        deliveryId=str(sent.delivery_id),
        success=sent.success,
        attemptNumber=sent.attempt_number,
        responseStatus=sent.attempt.status,
        responseTimeMs=sent.attempt.took_ms,
        responseBody=sent.attempt.body,
        error=sent.attempt.error,
    )


def delivery_answer(delivery: Delivery) -> DeliveryAnswer:
    """Render a delivery."""
    return DeliveryAnswer(**_delivery(delivery))


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": str(delivery.id),
        "webhookId": str(delivery.subscription_id),
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "subjectId": str(delivery.subject_id),
        "subjectVersion": delivery.subject_version,
        "status": DELIVERY_STATUSES[delivery.state],
        "attemptNumber": delivery.attempts,
        "dueAt": time_text(delivery.due_at),
        "responseStatus": delivery.response_status,
        "responseTimeMs": delivery.response_ms,
        "error": delivery.error,
        "createdAt": iso_milliseconds(delivery.created_at),
        "attemptedAt": time_text(delivery.attempted_at),
    }


def detail_answer(delivery: Delivery, attempts: list[DeliveryAttempt], body: bytes) -> DeliveryDetailAnswer:
    """Render a delivery with its attempts and its body, which is text in every envelope."""
    return DeliveryDetailAnswer(
        **_delivery(delivery),
        attempts=[
            AttemptAnswer(
                number=one.number,
                attemptedAt=iso_milliseconds(one.attempted_at),
                responseStatus=one.response_status,
                responseTimeMs=one.response_ms,
                responseBody=one.response_body,
                error=one.error,
            )
            for one in attempts
        ],
        body=body.decode("utf-8", "replace"),
    )


def _field(field: Field) -> FieldAnswer:
    return FieldAnswer(name=field.name, type=field.type, format=field.form, always=field.always, meaning=field.meaning)


def event_types_answer(envelopes: Iterable[Envelope]) -> EventTypesAnswer:
    """Render the catalogue and what of it each envelope tells."""
    return EventTypesAnswer(
        eventTypes=[
            EventTypeAnswer(
                name=kind.name,
                version=kind.version,
                subject=kind.subject.value,
                visibleTo=list(kind.visible_to),
                meaning=kind.meaning,
                fields=[_field(field) for field in fields_of(StandardCallbacks.messages[kind.name].shape)],
            )
            for kind in CATALOGUE.values()
        ],
        envelopes=[
            EnvelopeAnswer(
                name=envelope.name,
                eventTypes=sorted(envelope.event_types),
                keyKinds=list(envelope.key_kinds),
                ownKeys=envelope.own_keys,
            )
            for envelope in envelopes
        ],
    )
