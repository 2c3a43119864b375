"""What handlers of the ramp dialect use beside the desk: the decimals of each lane's assets, and who asks where."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec

from otcdesk.api.dialect import Call
from otcdesk.api.ramp.checkout_links import CheckoutLinks
from otcdesk.api.ramp.codes import Environment
from otcdesk.api.ramp.signatures import RampCaller
from otcdesk.domain.assets import ListedAsset
from otcdesk.forms import wrong
from otcdesk.money import Asset
from otcdesk.storage.database import Reads

#: So many lanes are known at once; the oldest are forgotten first.
_LANES_MAX: Final = 1_000


class LaneAssets:
    """The decimals of the assets of all lanes that are asked for. They never change, so they are read once."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._lanes: OrderedDict[int, dict[str, int]] = OrderedDict()

    async def scales(self, lane: int, *codes: str | None) -> Mapping[str, int]:
        """Return the decimals of a lane's assets by code, with these among them if they are listed."""
        known = self._lanes.get(lane)
        if known is None or any(code is not None and code not in known for code in codes):
            rows = await self._reads.rows("lanes", "assets", ListedAsset, lane)
            known = self._lanes[lane] = {row.code: row.scale for row in rows}
            self._lanes.move_to_end(lane)
            if len(self._lanes) > _LANES_MAX:
                self._lanes.popitem(last=False)
        return known


class RampServices(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers of this dialect use beside the desk."""

    assets: LaneAssets
    links: CheckoutLinks


def environment_of(call: Call) -> Environment:
    """Return how assets and networks are called where the caller asks."""
    if not isinstance(call.caller, RampCaller):
        raise TypeError("only request keys have bearers of this dialect")
    return call.caller.environment


async def scales_of(call: Call, *codes: str | None) -> Mapping[str, int]:
    """Return the decimals of the lane's assets."""
    services: RampServices = call.services
    return await services.assets.scales(call.caller.lane, *codes)


async def listed_asset(call: Call, code: str, field: str = "CryptoCurrency") -> Asset:
    """Return an asset by its code on the wire; refuses REQUEST_INVALID for one that the lane does not list."""
    core = environment_of(call).asset(code, field)
    scales = await scales_of(call, core)
    if core not in scales:
        raise wrong({field: f"{code} is not offered here"})
    return Asset(core, scales[core])


async def listed_fiat(call: Call, code: str, field: str = "FiatCurrency") -> Asset:
    """Return a fiat by its code; refuses REQUEST_INVALID for one that the lane does not list, and for an asset's."""
    scales = await scales_of(call, code)
    if code not in scales or code in environment_of(call).assets:
        raise wrong({field: f"{code[:20]!r} is not offered here"})
    return Asset(code, scales[code])
