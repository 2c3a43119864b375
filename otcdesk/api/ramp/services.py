"""What handlers of the ramp dialect use beside the desk: the decimals of each lane's assets, and who asks where."""

from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails
from otcdesk.api.believed import Believed
from otcdesk.api.dialect import Call
from otcdesk.api.ramp.checkout_links import CheckoutLinks
from otcdesk.api.ramp.codes import Environment
from otcdesk.api.ramp.signatures import RampCaller
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.payouts import Channel
from otcdesk.errors import Code, Refusal
from otcdesk.forms import wrong
from otcdesk.money import Asset
from otcdesk.rails.protocols import DepositPlaces, RailUnavailable, RailUnknown
from otcdesk.storage.database import Reads

_P = TypeVar("_P")

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


class Channels:
    """The channels of all lanes, believed for a moment: what a channel costs and allows is decided in the books."""

    def __init__(self, reads: Reads, milliseconds: int) -> None:
        self._reads = reads
        self._believed: Believed[tuple[int, UUID], Channel | None] = Believed(self._look_up, milliseconds)

    async def find(self, lane: int, channel_id: UUID) -> Channel | None:
        """Return a channel of a lane."""
        return await self._believed.find((lane, channel_id))

    async def _look_up(self, key: tuple[int, UUID]) -> Channel | None:
        return await self._reads.row("payouts", "channel", Channel, *key)


class RampServices(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers of this dialect use beside the desk."""

    assets: LaneAssets
    channels: Channels
    links: CheckoutLinks
    #: Who gives places where money arrives, by the kind of lane.
    places: Mapping[str, DepositPlaces]


def environment_of(call: Call) -> Environment:
    """Return how assets and networks are called where the caller asks."""
    if not isinstance(call.caller, RampCaller):
        raise TypeError("only request keys have bearers of this dialect")
    return call.caller.environment


async def opened_address(call: Call, network: str, name: str) -> GivenAddress:
    """Return the address of a name; refuses DEPOSIT_PLACES_CLOSED, UNAVAILABLE."""
    return GivenAddress(network=network, address=await _opened(_places(call).address(call.caller.lane, network, name)))


async def opened_bank(call: Call, fiat: str, name: str) -> GivenBankDetails:
    """Return the bank account of a name; refuses DEPOSIT_PLACES_CLOSED, UNAVAILABLE."""
    bank = await _opened(_places(call).bank(call.caller.lane, fiat, name))
    return GivenBankDetails(**msgspec.structs.asdict(bank))


def _places(call: Call) -> DepositPlaces:
    services: RampServices = call.services
    places = services.places.get(environment_of(call).kind)
    if places is None:
        raise Refusal(Code.DEPOSIT_PLACES_CLOSED)
    return places


async def _opened(asked: Awaitable[_P]) -> _P:
    try:
        return await asked
    except (RailUnavailable, RailUnknown):
        raise Refusal(Code.UNAVAILABLE, retry_after_seconds=1) from None


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
