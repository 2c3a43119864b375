"""Tenants, limits and spreads on the operator's wire."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.actions.set_limit import SetLimit
from otcdesk.actions.set_spread import BPS_MAX
from otcdesk.api.operator.shapes import AmountText, Words
from otcdesk.api.wire import DecimalText, PageQuery, TimeText, Uuid, UuidText, time_text
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import SUSPENDED, Tenant
from otcdesk.domain.pricing import Spread
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units, print_units


class FreezeRequest(msgspec.Struct, kw_only=True):
    """Why."""

    reason: Words


class LimitRequest(msgspec.Struct, kw_only=True):
    """What may be turned over from now on, as decimals of the asset (none: any amount), and why."""

    perOrder: AmountText | None  # noqa: N815  (wire name)
    perDay: AmountText | None  # noqa: N815
    perMonth: AmountText | None  # noqa: N815
    reason: Words


class SpreadRequest(msgspec.Struct, kw_only=True):
    """The spread in ten-thousandths from a time on, at once without one, and why."""

    bps: Annotated[int, Meta(ge=0, le=BPS_MAX)]
    effectiveFrom: Annotated[datetime, Meta(tz=True)] | None = None  # noqa: N815
    reason: Words


class LimitsQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only the limits of one tenant or user."""

    subject: Uuid | msgspec.UnsetType = msgspec.UNSET


class TenantAnswer(msgspec.Struct, kw_only=True):
    """A tenant: whether it is active or suspended, and whether it has limits."""

    id: UuidText
    name: str
    status: str
    frozen: bool
    limited: bool


class LimitAnswer(msgspec.Struct, kw_only=True):
    """A limit, with what is used up of it in its day and month so far."""

    subjectId: UuidText  # noqa: N815
    asset: str
    perOrder: DecimalText | None  # noqa: N815
    perDay: DecimalText | None  # noqa: N815
    perMonth: DecimalText | None  # noqa: N815
    day: str
    dayUsed: DecimalText  # noqa: N815
    month: str
    monthUsed: DecimalText  # noqa: N815


class SpreadAnswer(msgspec.Struct, kw_only=True):
    """What is in force of a spread, and the change ahead if there is one."""

    tenantId: UuidText  # noqa: N815
    source: str
    destination: str
    bps: int
    nextBps: int | None  # noqa: N815
    nextFrom: TimeText | None  # noqa: N815


def limit_command(subject_id: UUID, asset: str, body: LimitRequest, scale: int) -> SetLimit:
    """Return the command that sets a limit; refuses REQUEST_INVALID."""
    return SetLimit(
        subject_id=subject_id,
        asset=asset,
        order_units_max=_units(body.perOrder, scale),
        day_units_max=_units(body.perDay, scale),
        month_units_max=_units(body.perMonth, scale),
        why=body.reason,
    )


def tenant_answer(tenant: Tenant) -> TenantAnswer:
    """Render a tenant."""
    return TenantAnswer(
        id=str(tenant.id),
        name=tenant.name,
        status=tenant.status,
        frozen=tenant.status == SUSPENDED,
        limited=tenant.limited is True,
    )


def limit_answer(limit: Limit, now: datetime, scale: int) -> LimitAnswer:
    """Render a limit as it is now: what was used up on another day is not of today."""
    today = limit.at(now)
    order, day, month = (None if bound is None else print_units(bound, scale) for bound in today.bounds)
    return LimitAnswer(
        subjectId=str(limit.subject_id),
        asset=limit.asset,
        perOrder=order,
        perDay=day,
        perMonth=month,
        day=today.day,
        dayUsed=print_units(today.day_units, scale),
        month=today.month,
        monthUsed=print_units(today.month_units, scale),
    )


def spread_answer(spread: Spread, now: datetime) -> SpreadAnswer:
    """Render a spread as it is now."""
    ahead = spread.ahead(now)
    return SpreadAnswer(
        tenantId=str(spread.tenant_id),
        source=spread.source_asset,
        destination=spread.destination_asset,
        bps=spread.bps_at(now),
        nextBps=None if ahead is None else ahead.bps,
        nextFrom=None if ahead is None else time_text(ahead.effective_from),
    )


def _units(text: str | None, scale: int) -> int | None:
    if text is None:
        return None
    units = parse_units(text, scale)
    if units is None:
        raise Refusal(Code.REQUEST_INVALID, f"A limit must be a decimal with at most {scale} places.")
    return units
