"""What is listed in each lane, as this dialect names it: by integer in v1 resources, by pid in v2's (contract 1).

The ids and decimals of a listing never change, so what was read once is kept, and read again only for an id that is
not known yet. Whether something may be traded now is not decided from here.
"""

from collections import OrderedDict
from uuid import UUID

import msgspec

from otcdesk.domain.brokerage import FIAT, Listing
from otcdesk.storage.database import Reads

#: So many lanes are known at once; the oldest are forgotten first.
_LANES_MAX = 1_000

#: What no listing has as its code; the core refuses it when its turn comes.
UNKNOWN = ""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A listing, and the decimals of its asset."""

    listing: Listing
    scale: int


class LaneListings:
    """The listings of one lane."""

    def __init__(self, rows: list[Listed]) -> None:
        self.rows = rows
        self._by_code = {row.listing.code: row for row in rows}
        self._by_id: dict[tuple[str, int | UUID], str] = {}
        for row in rows:
            for one in (row.listing.number, row.listing.pid):
                self._by_id[row.listing.kind, one] = row.listing.code

    def of(self, code: str) -> Listed | None:
        """Return a listing by the code of its asset."""
        return self._by_code.get(code)

    def code(self, kind: str, one: int | UUID) -> str | None:
        """Return the code of a listing by its number or pid; fiats and assets are numbered apart."""
        return self._by_id.get((kind, one))

    def named(self, code: str, *, by_pid: bool) -> int | str:
        """Return a listing's id on the wire."""
        listing = self._by_code[code].listing
        return str(listing.pid) if by_pid else listing.number

    def scale(self, code: str) -> int:
        """Return the decimals of a listed asset."""
        return self._by_code[code].scale

    @property
    def fiats(self) -> list[Listing]:
        """Return the fiats, by number."""
        return [row.listing for row in self.rows if row.listing.kind == FIAT]

    @property
    def assets(self) -> list[Listing]:
        """Return the assets, by number."""
        return [row.listing for row in self.rows if row.listing.kind != FIAT]


class Listings:
    """The listings of all lanes that are asked for."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._lanes: OrderedDict[int, LaneListings] = OrderedDict()

    async def fresh(self, lane: int) -> LaneListings:
        """Return a lane's listings as they are now."""
        found = LaneListings(await self._reads.rows("brokerage", "listings", Listed, lane))
        self._lanes[lane] = found
        self._lanes.move_to_end(lane)
        if len(self._lanes) > _LANES_MAX:
            self._lanes.popitem(last=False)
        return found

    async def with_codes(self, lane: int, *codes: str) -> LaneListings:
        """Return a lane's listings, with these among them."""
        known = self._lanes.get(lane)
        if known is None or any(known.of(code) is None for code in codes):
            return await self.fresh(lane)
        return known

    async def codes(self, lane: int, *named: tuple[str, int | UUID]) -> list[str]:
        """Return the codes of listings by kind and id, UNKNOWN for what is not listed."""
        known = self._lanes.get(lane)
        if known is None or any(known.code(*one) is None for one in named):
            known = await self.fresh(lane)
        return [known.code(*one) or UNKNOWN for one in named]
