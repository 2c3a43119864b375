"""The sandbox's wire: worlds to make, and how to steer the one that a token belongs to."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from otcdesk.actions.steer_sandbox import SetClock
from otcdesk.api.steering import ClockRequest, FaultRequest, clock_command
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.world_loading import LoadedWorld


class WorldRequest(msgspec.Struct, kw_only=True):
    """A world to make: from TOML text, or from a file that comes with the program; perhaps at a time of its own."""

    world: Annotated[str, Meta(max_length=1_000_000)] | None = None
    template: Annotated[str, Meta(max_length=60)] = "contract"
    clock: datetime | None = None
    frozen: bool = False


def first_clock(machine_now: datetime, body: WorldRequest) -> SetClock | None:
    """Return the command that starts a world at its own time, if it wants one."""
    if body.clock is None and not body.frozen:
        return None
    return clock_command(LaneClock(), machine_now, ClockRequest(set=body.clock, frozen=body.frozen))


def payout_answer(order: Order, returned: Order | None) -> dict[str, Any]:
    """Render where a payout stands, and the order by which it came back."""
    return {
        "id": str(order.id),
        "state": order.state,
        "version": order.version,
        "reason": order.reason,
        "returnId": None if returned is None else str(returned.id),
    }


def fault_answer(body: FaultRequest) -> dict[str, Any]:
    """Render how a part of the outside behaves now."""
    return {
        "rail": body.rail,
        "mode": body.mode,
        "delayMs": body.delayMs,
        "percent": body.percent,
        "reason": body.reason,
        "priceBps": body.priceBps,
    }


def world_answer(world_id: str, loaded: LoadedWorld, urls: dict[str, str]) -> dict[str, Any]:
    """Render a fresh world: its credentials and webhooks' secrets, this once, and the ids of what it declares."""
    return {
        "worldId": world_id,
        "name": loaded.name,
        "operators": [{"name": name, "token": token} for name, token in loaded.operators.items()],
        "staff": {
            name: {"email": made.email, "password": made.password, "totpSecret": made.totp_secret}
            for name, made in loaded.staff.items()
        },
        "apiKeys": loaded.api_keys,
        "clients": {
            name: {"clientId": made.client_id, "clientSecret": made.client_secret}
            for name, made in loaded.clients.items()
        },
        "requestKeys": loaded.request_keys,
        "tenants": loaded.tenants,
        "accounts": loaded.accounts,
        "users": loaded.parties,
        "supervisors": loaded.supervisors,
        "webhooks": [
            {
                "id": str(webhook.id),
                "tenant": webhook.tenant,
                "envelope": webhook.envelope,
                "url": webhook.url,
                "signingSecret": webhook.secret,
            }
            for webhook in loaded.webhooks
        ],
        "missedWebhooks": [
            {"tenant": missed.tenant, "envelope": missed.envelope, "url": missed.url, "reason": missed.reason}
            for missed in loaded.missed
        ],
        "urls": urls,
    }


def clock_answer(clock: LaneClock, machine_now: datetime) -> dict[str, Any]:
    """Render a world's clock."""
    return {
        "now": iso_milliseconds(clock.business_time(machine_now)),
        "frozen": clock.frozen_at is not None,
        "offsetMs": clock.offset_ms,
    }
