"""What is shown of tenants and parties. Of a limit, what its day and month have used up by the lane's clock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.credentials import Credential
from otcdesk.domain.ledger import Account
from otcdesk.domain.limits import BOUNDS, Limit
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party, Tenant
from otcdesk.domain.pricing import Spread
from otcdesk.domain.products import by_the_clock
from otcdesk.storage.database import Reads

#: Rows of a page.
PAGE_SIZE: Final = 50

#: More orders of a day are not counted.
COUNTED_MAX: Final = 10_000

#: More accounts and credentials of one owner are not shown.
SHOWN_MAX: Final = 200

#: How many of a tenant's newest orders are looked at for those of a party, and of its newest parties for a text.
ORDERS_LOOKED_MAX: Final = 2_000
PARTIES_LOOKED_MAX: Final = 5_000

ORDERS_SHOWN: Final = 10

_FILE: Final = "console_tenants"


class TenantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant with what it has: orders made today, credentials that are good, limits, webhooks."""

    tenant: Tenant
    orders: int
    credentials: int
    limits: int
    webhooks: int


class TenantPage(msgspec.Struct, frozen=True):
    """A page of tenants, and how many there are in all."""

    rows: list[TenantRow]
    total: int = 0


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has given of an asset in trades, in units."""

    tenant_id: UUID
    asset: str
    units: int


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """A bound of a limit: the most, and how much of it is used, in units; None: any amount, and nothing is used."""

    bound: str
    most: int | None
    used: int | None

    @property
    def percent(self) -> int | None:
        """Return how many hundredths are used, cut; None where there is nothing to measure."""
        if self.most is None or self.used is None:
            return None
        return min(100, self.used * 100 // self.most) if self.most else 100


class LimitView(msgspec.Struct, frozen=True):
    """A limit and what of its bounds is used."""

    limit: Limit
    bounds: tuple[Used, ...]


async def tenants(reads: Reads, lane: int, now: datetime, today: datetime, text: str, number: int) -> TenantPage:
    """Return a page of the tenants, from 1, with a text in their names.

    `now` is the machine's time, by which credentials end; `today` is when the lane's day began.
    """
    wanted = (lane, text.lower() or None, today, COUNTED_MAX, now, PAGE_SIZE, (number - 1) * PAGE_SIZE)
    return await reads.row(_FILE, "tenants", TenantPage, *wanted) or TenantPage([])


async def traded(reads: Reads, lane: int, since: datetime, tenant_ids: Sequence[UUID]) -> dict[UUID, list[Traded]]:
    """Return what tenants have given in trades since a time."""
    found: dict[UUID, list[Traded]] = {}
    for row in await reads.rows(_FILE, "traded", Traded, lane, since, list(tenant_ids)):
        found.setdefault(row.tenant_id, []).append(row)
    return found


async def tenant(reads: Reads, lane: int, tenant_id: UUID) -> Tenant | None:
    """Return a tenant."""
    return await reads.row(_FILE, "tenant", Tenant, lane, tenant_id)


async def party(reads: Reads, lane: int, party_id: UUID) -> Party | None:
    """Return a party."""
    return await reads.row(_FILE, "party", Party, lane, party_id)


async def accounts(reads: Reads, lane: int, owner_id: UUID) -> list[Account]:
    """Return the accounts of a tenant or a party itself."""
    return await reads.rows(_FILE, "accounts", Account, lane, owner_id, SHOWN_MAX)


async def spreads(reads: Reads, lane: int, tenant_id: UUID) -> list[Spread]:
    """Return a tenant's spreads."""
    return await reads.rows(_FILE, "spreads", Spread, lane, tenant_id)


async def credentials(reads: Reads, lane: int, tenant_id: UUID) -> list[Credential]:
    """Return a tenant's credentials, those in use first."""
    return await reads.rows(_FILE, "credentials", Credential, lane, tenant_id, SHOWN_MAX)


async def limits(reads: Reads, lane: int, subject_id: UUID, now: datetime) -> list[LimitView]:
    """Return the limits of a tenant or a party, as they are at the lane's time."""
    return [_view(row, now) for row in await reads.rows(_FILE, "limits", Limit, lane, subject_id)]


def _view(limit: Limit, now: datetime) -> LimitView:
    current = limit.at(now)
    used = (None, current.day_units, current.month_units)
    rows = zip(BOUNDS, current.bounds, used, strict=True)
    return LimitView(current, tuple(Used(bound=bound, most=most, used=sum_) for bound, most, sum_ in rows))


async def orders(reads: Reads, lane: int, tenant_id: UUID, now: datetime) -> list[Order]:
    """Return a tenant's newest orders as they are by the lane's clock."""
    rows = await reads.rows(_FILE, "orders", Order, lane, tenant_id, ORDERS_SHOWN)
    return [by_the_clock(order, now) for order in rows]


async def party_orders(reads: Reads, lane: int, one: Party, now: datetime) -> list[Order]:
    """Return a party's newest orders, as far as they are among its tenant's newest."""
    wanted = (lane, one.tenant_id, one.id, ORDERS_LOOKED_MAX, ORDERS_SHOWN)
    return [by_the_clock(order, now) for order in await reads.rows(_FILE, "party_orders", Order, *wanted)]


async def parties(reads: Reads, lane: int, tenant_id: UUID, after: Party | None) -> list[Party]:
    """Return a page of a tenant's parties, the newest first; `after` ended the one before."""
    place = (None, None) if after is None else (after.created_at, after.id)
    return await reads.rows(_FILE, "parties", Party, lane, tenant_id, *place, PAGE_SIZE)


async def parties_like(reads: Reads, lane: int, tenant_id: UUID, text: str, party_id: UUID | None) -> list[Party]:
    """Return a tenant's parties that are called so, and those of its newest that have the text in their names."""
    wanted = (lane, tenant_id, party_id, text, PARTIES_LOOKED_MAX, PAGE_SIZE)
    return await reads.rows(_FILE, "parties_like", Party, *wanted)
