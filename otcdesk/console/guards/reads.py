"""Guards and terms of a lane as pages show them."""

from typing import Final

import msgspec

from otcdesk.api.maintenance import Closure, Maintenance
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import Listing
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.payouts import Channel, PayoutTerms
from otcdesk.domain.resales import Branch, ResaleTerms
from otcdesk.storage.database import Reads

#: More channels and branches are not shown.
SHOWN_MAX: Final = 500

_FILE: Final = "console_guards"


class BranchRow(msgspec.Struct, frozen=True):
    """A branch and the name of its tenant."""

    branch: Branch
    tenant: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows; what the lane does not do has no terms (None)."""

    guards: list[Guard]
    guard_terms: GuardTerms
    conversion: ConversionTerms | None
    payout: PayoutTerms | None
    resale: ResaleTerms | None
    branches: list[BranchRow]
    channels: list[Channel]
    listings: list[Listing]
    closed: dict[str, Closure]
    closable: list[str]


async def terms_of(reads: Reads, maintenance: Maintenance, lane: int) -> Terms:
    """Return the guards and terms of a lane; an asset without a guard has an empty one."""
    known = {guard.asset: guard for guard in await reads.rows("proposals", "guards", Guard, lane)}
    assets = await reads.rows("lanes", "assets", ListedAsset, lane)
    return Terms(
        guards=[known.get(one.code) or Guard(asset=one.code) for one in assets],
        guard_terms=await reads.row("proposals", "guard_terms", GuardTerms, lane) or GuardTerms(),
        conversion=await reads.row("lanes", "terms", ConversionTerms, lane),
        payout=await reads.row(_FILE, "payout_terms", PayoutTerms, lane),
        resale=await reads.row(_FILE, "resale_terms", ResaleTerms, lane),
        branches=await reads.rows(_FILE, "branches", BranchRow, lane, SHOWN_MAX),
        channels=await reads.rows(_FILE, "channels", Channel, lane, SHOWN_MAX),
        listings=await reads.rows(_FILE, "listings", Listing, lane),
        closed={one.dialect: one for one in await maintenance.of_lane(lane)},
        closable=sorted(maintenance.dialects),
    )
