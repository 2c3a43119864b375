"""What is shown of webhooks beside what `otcdesk.webhooks` knows of each: whose they are, and what waits for them."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.storage.database import Reads
from otcdesk.webhooks.subscriptions import Subscription

PAGE_SIZE: Final = 50

#: Of what waits for a receiver no more is counted.
COUNTED_MAX: Final = 1_000


class WebhookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, its tenant's name (None: the desk's own), and what waits for it."""

    subscription: Subscription
    tenant: str | None
    waiting: int
    oldest_due_at: datetime | None


class WebhookPage(msgspec.Struct, frozen=True):
    """A page of webhooks, and how many there are in all."""

    rows: list[WebhookRow]
    total: int = 0


async def webhooks(reads: Reads, lane: int, owner_id: UUID | None, number: int) -> WebhookPage:
    """Return a page of a lane's webhooks, from 1, of one owner if it is given: those in trouble first."""
    wanted = (lane, owner_id, COUNTED_MAX, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    return await reads.row("console_webhooks", "webhooks", WebhookPage, *wanted) or WebhookPage([])
