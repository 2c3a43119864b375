"""What somebody sees who decides about an order: quote against market now, what it would bring, and what is left.

The numbers are made as the action makes them (`actions/approve_conversion.py`), from the same rows, but a moment
before: whoever approves is bound by what the action decides, and told if that is not what was seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.conversions import PENDING_APPROVAL, destination_amount
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.ledger import TREASURY, Account, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Tenant
from otcdesk.domain.pricing import MarketRate, Price, Spread
from otcdesk.domain.products import by_the_clock
from otcdesk.domain.proposals import OPEN, Proposal, ProposalNow
from otcdesk.money import Amount, Asset, bps_apart, less_spread
from otcdesk.storage.database import Reads

#: So many are shown: nobody decides about more at a time.
WAITING_MAX: Final = 200

#: A tenant's history is of so many days, and at most of so many orders.
HISTORY: Final = timedelta(days=30)
HISTORY_MAX: Final = 5_000

_FILE: Final = "console_approvals"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An order with the rows that decide about it."""

    order: Order
    tenant: Tenant
    source: Account
    destination: Account
    proposal: Proposal | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a tenant's orders ended in a state, and how much they were of."""

    state: str
    asset: str
    number: int
    units: int


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what its approval at the live price would be; amounts in units.

    `live_rate` is the market less the tenant's spread; None, and all that comes of it: there is no price now.
    `slippage_bps`: how far it is from the quoted rate; negative: the tenant gets less than was quoted.
    `proposal` is there while somebody's approval waits for a second person.
    """

    order: Order
    tenant: Tenant
    source: Account
    destination: Account
    market: MarketRate | None
    spread_bps: int | None
    live_rate: Decimal | None
    live_units: int | None
    slippage_bps: Decimal | None
    slippage_units: int | None
    treasury: Account
    guards: Mapping[str, Guard]
    terms: GuardTerms
    proposal: Proposal | None

    @property
    def treasury_after(self) -> int:
        """Return what the desk would have available of the destination at the live price, or else at the quoted one."""
        units = self.order.destination_units if self.live_units is None else self.live_units
        return self.treasury.available - units

    @property
    def waits(self) -> bool:
        """Tell whether the order still waits to be decided about."""
        return self.order.state == PENDING_APPROVAL

    @property
    def typed(self) -> tuple[str, int] | None:
        """Return what has to be typed to approve it, asset and units: the first of both sides that a guard names."""
        order = self.order
        units = order.destination_units if self.live_units is None else self.live_units
        for asset, amount in ((order.source_asset, order.source_units), (order.destination_asset, units)):
            guard = self.guards.get(asset)
            if guard is not None and guard.typed_from_units is not None and amount >= guard.typed_from_units:
                return order.source_asset, order.source_units
        return None

    @property
    def takes_two(self) -> bool:
        """Tell whether a second person will be needed, as far as can be told before."""
        order = self.order
        units = order.destination_units if self.live_units is None else self.live_units
        sides = ((order.source_asset, order.source_units), (order.destination_asset, units))
        return any(_from(self.guards.get(asset)) <= amount for asset, amount in sides)


def _from(guard: Guard | None) -> Decimal | int:
    if guard is None or guard.second_from_units is None:
        return Decimal("Infinity")
    return guard.second_from_units


async def waiting(reads: Reads, lane: int, now: datetime) -> list[Decision]:
    """Return what waits to be approved at `now`, the lane's time, the oldest first."""
    rows = await reads.rows(_FILE, "waiting", Stored, lane, now, WAITING_MAX)
    return await _decisions(reads, lane, now, rows)


async def number_waiting(reads: Reads, lane: int, now: datetime) -> int:
    """Return how many wait to be approved, as far as anybody counts."""
    number: int = await reads.value(_FILE, "count", lane, now, WAITING_MAX)
    return number


async def one(reads: Reads, lane: int, now: datetime, order_id: UUID) -> Decision | None:
    """Return a conversion and what its approval would be, None if there is no such order in the lane."""
    stored = await reads.row(_FILE, "one", Stored, lane, order_id)
    return None if stored is None else (await _decisions(reads, lane, now, [stored]))[0]


async def history(reads: Reads, lane: int, tenant_id: UUID, now: datetime) -> list[Tally]:
    """Return what has become of a tenant's conversions lately."""
    return await reads.rows(_FILE, "history", Tally, lane, tenant_id, now - HISTORY, HISTORY_MAX)


async def seconds(reads: Reads, lane: int, now: datetime) -> list[Proposal]:
    """Return what waits for a second person, the oldest first."""
    rows = await reads.rows("proposals", "open", ProposalNow, lane, now, WAITING_MAX)
    return [row.proposal for row in rows]


async def _decisions(reads: Reads, lane: int, now: datetime, rows: Sequence[Stored]) -> list[Decision]:
    prices = {price.key: price for price in await reads.rows("lanes", "prices", Price, lane)}
    assets = {row.code: row.asset for row in await reads.rows("lanes", "assets", ListedAsset, lane)}
    tenants = sorted({row.order.tenant_id for row in rows})
    spreads = {row.key: row for row in await reads.rows(_FILE, "spreads", Spread, lane, tenants)}
    treasuries = await _accounts(reads, lane, {_treasury_id(row) for row in rows})
    guards = {guard.asset: guard for guard in await reads.rows("proposals", "guards", Guard, lane)}
    terms = await reads.row("proposals", "guard_terms", GuardTerms, lane) or GuardTerms()
    return [_decision(row, now, prices, spreads, assets, treasuries, guards, terms) for row in rows]


async def _accounts(reads: Reads, lane: int, ids: Iterable[UUID]) -> dict[UUID, Account]:
    return {row.id: row for row in await reads.rows(_FILE, "accounts", Account, lane, sorted(ids))}


def _treasury_id(stored: Stored) -> UUID:
    return desk_account_id(TREASURY, stored.destination.asset, stored.destination.network)


def _decision(
    stored: Stored,
    now: datetime,
    prices: Mapping[tuple[str, str], Price],
    spreads: Mapping[tuple[UUID, str, str], Spread],
    assets: Mapping[str, Asset],
    treasuries: Mapping[UUID, Account],
    guards: Mapping[str, Guard],
    terms: GuardTerms,
) -> Decision:
    order = by_the_clock(stored.order, now)
    pair = (order.source_asset, order.destination_asset)
    price, spread = prices.get(pair), spreads.get((order.tenant_id, *pair))
    market = price.market(now) if price else None
    bps = spread.bps_at(now) if spread else None
    rate = less_spread(market.value, bps) if market is not None and bps is not None else None
    units = None
    if rate is not None and rate > 0:
        source = Amount(order.source_units, assets[order.source_asset])
        units = destination_amount(source, rate, assets[order.destination_asset]).units
    proposal = stored.proposal
    still_good = proposal is not None and proposal.state_at(now) == OPEN and proposal.subject_version == order.version
    return Decision(
        order=order,
        tenant=stored.tenant,
        source=stored.source,
        destination=stored.destination,
        market=market,
        spread_bps=bps,
        live_rate=rate,
        live_units=units,
        slippage_bps=None if rate is None else bps_apart(rate, order.quoted_rate),
        slippage_units=None if units is None else units - order.destination_units,
        treasury=treasuries[_treasury_id(stored)],
        guards=guards,
        terms=terms,
        proposal=proposal if still_good else None,
    )
