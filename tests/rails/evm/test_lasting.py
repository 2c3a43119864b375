"""Which of the reasons not to take a transfer pass by themselves, and which need somebody to change something."""

import pytest

from otcdesk.money import Asset
from otcdesk.rails.protocols import RailUnavailable, Transfer
from tests.rails.evm.test_rail import NewSite
from tests.support.anvil.site import FAR, PLENTY, SOURCE, Site, account


async def lasts(site: Site, transfer: Transfer) -> bool:
    """Tell whether asking again for what the rail does not take is in vain; then it is refused by cancelling it."""
    with pytest.raises(RailUnavailable) as raised:
        await site.rail.transfer(transfer)
    assert not (await site.rail.cancel(transfer)).done
    return raised.value.lasting


async def test_what_is_set_up_or_asked_for_wrongly_lasts(site: Site) -> None:
    far = account(FAR, network=site.network)
    wrong = account("0x12", network=site.network)
    contract = account(site.token.address.lower(), network=site.network)
    asked = [
        site.transfer(source=far, destination=account(SOURCE, network=site.network)),
        site.transfer(destination=wrong),
        site.transfer(destination=contract),
        site.transfer(asset=Asset("EURC", 6)),
    ]
    assert [await lasts(site, transfer) for transfer in asked] == [True] * 4


async def test_what_others_or_time_can_change_passes(site: Site, new_site: NewSite) -> None:
    assert not await lasts(site, site.transfer(PLENTY + 1))
    site.token.pause(on=True)
    assert not await lasts(site, site.transfer())
    site.token.pause(on=False)
    away = new_site(like=site, rpc_urls=("http://127.0.0.1:9/",))
    assert not await lasts(away, away.transfer())
