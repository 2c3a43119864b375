"""A channel is switched on and off, and nothing else of it changes."""

from uuid import uuid4

import pytest

from otcdesk.actions.switch_channel import SwitchChannel
from otcdesk.domain.payouts import Channel
from otcdesk.errors import Code
from tests.support.payouts import B1, DE, done, pending, preparing, ramp_desk, recorded, selling
from tests.support.payouts import prepared as made


def test_a_channel_is_switched_and_stays_as_it_is_otherwise() -> None:
    desk = ramp_desk()
    before = desk.get(Channel, DE)
    assert desk.act(SwitchChannel(channel_id=DE, enabled=False)).channel == before.with_(enabled=False)
    assert desk.get(Channel, DE) == before.with_(enabled=False)
    rows = dict(desk.rows)
    desk.act(SwitchChannel(channel_id=DE, enabled=False))
    assert desk.rows == rows
    desk.act(SwitchChannel(channel_id=DE, enabled=True))
    assert desk.get(Channel, DE) == before


def test_nothing_is_prepared_or_sold_through_a_closed_channel_but_what_was_sold_is_made() -> None:
    desk = ramp_desk()
    order, payout = pending(desk), made(desk).prepared
    desk.act(SwitchChannel(channel_id=DE, enabled=False))
    assert desk.refuse(preparing(), owner_id=B1) is Code.CHANNEL_CLOSED
    assert desk.refuse(selling(payout), owner_id=B1, key="n-2") is Code.CHANNEL_CLOSED
    assert recorded(desk, done(order)).state == "settled"


@pytest.mark.parametrize("enabled", [True, False])
def test_an_unknown_channel_is_refused(enabled: bool) -> None:
    assert ramp_desk().refuse(SwitchChannel(channel_id=uuid4(), enabled=enabled)) is Code.CHANNEL_NOT_FOUND
