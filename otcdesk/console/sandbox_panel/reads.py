"""What the panel of a sandbox shows: its clock, its prices, how its outside behaves, and where money can arrive."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.console.prices.reads import PriceView, prices_of
from otcdesk.desk import Desk
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.lanes import Fault, LaneClock
from otcdesk.domain.parties import Tenant
from otcdesk.storage.database import Reads

_SQL: Final = "console_sandbox"

_PLACES_MAX: Final = 200
_PAYOUTS_MAX: Final = 10

#: Parts of the outside that can fail, by what they are for people.
RAILS: Final = {
    "balance": "Live balances of wallets",
    "chain": "Transfers on chains",
    "fiat": "Transfers between bank accounts",
    "payout": "Payouts",
    "tax": "Tax rates",
    "venue": "The execution venue",
}


class BankPlace(msgspec.Struct, frozen=True):
    """Bank details by their name, for which fiat and of which tenant."""

    name: str
    fiat: str
    tenant: str


class SimulatedPayout(msgspec.Struct, frozen=True):
    """A payout of which the provider may still say something."""

    id: UUID
    state: str
    asset: str
    units: int
    at: datetime


class Behaviour(msgspec.Struct, frozen=True):
    """How a part of the outside behaves."""

    rail: str
    meaning: str
    fault: Fault


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a sandbox's panel shows."""

    clock: LaneClock
    now: datetime
    machine_now: datetime
    terms: ConversionTerms | None
    behaviours: list[Behaviour]
    prices: list[PriceView]
    tenants: list[Tenant]
    places: list[BankPlace]
    payouts: list[SimulatedPayout]


async def panel_of(desk: Desk, lane: int) -> Panel:
    """Return how a sandbox is steered now."""
    reads, machine_now = desk.reads, desk.clock.now()
    clock = await reads.row("lanes", "clock", LaneClock, lane) or LaneClock()
    now = clock.business_time(machine_now)
    faults = {fault.rail: fault for fault in await reads.rows(_SQL, "faults", Fault, lane)}
    return Panel(
        clock=clock,
        now=now,
        machine_now=machine_now,
        terms=await reads.row("lanes", "terms", ConversionTerms, lane),
        behaviours=[Behaviour(rail, meaning, faults.get(rail) or Fault(rail=rail)) for rail, meaning in RAILS.items()],
        prices=await prices_of(reads, lane, now),
        tenants=await reads.rows("lanes", "tenants", Tenant, lane),
        places=await reads.rows(_SQL, "places", BankPlace, lane, _PLACES_MAX),
        payouts=await reads.rows(_SQL, "payouts", SimulatedPayout, lane, _PAYOUTS_MAX),
    )


async def scales_of(reads: Reads, lane: int) -> dict[str, int]:
    """Return how many decimals each asset of a lane has."""
    return {asset.code: asset.scale for asset in await reads.rows("lanes", "assets", ListedAsset, lane)}
