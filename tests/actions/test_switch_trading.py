"""The operator's switches: what is said is changed, the rest stays."""

from itertools import product
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.domain.brokerage import Listing
from otcdesk.domain.parties import Party
from otcdesk.domain.world_brokerage import level_id
from otcdesk.errors import Code
from tests.support.brokerage import P, U, brokerage_desk, quoted, quoting

SWITCHES = ("buy_enabled", "sell_enabled", "dividend_pending")


@pytest.mark.parametrize("name, value", [*product(SWITCHES, [True, False])])
def test_a_switch_changes_what_it_names_and_nothing_else(name: str, value: bool) -> None:
    desk = brokerage_desk()
    before = desk.get(Listing, "BTC")
    asked: dict[str, Any] = {name: value}
    reply = desk.act(SwitchTrading(asset="BTC", **asked))
    assert reply.listing == desk.get(Listing, "BTC") == before.with_(**asked)
    rows = dict(desk.rows)
    assert desk.act(SwitchTrading(asset="BTC", **asked)).listing == reply.listing
    assert desk.rows == rows


def test_an_unknown_asset_is_refused() -> None:
    assert brokerage_desk().refuse(SwitchTrading(asset="XRP", buy_enabled=False)) is Code.ASSET_NOT_FOUND


def test_a_partys_standing_is_set_whole() -> None:
    desk = brokerage_desk()
    before = desk.get(Party, U)
    command = SetParty(party_id=U, status="inactive", level_id=level_id("vip"), tax_bps=None)
    reply = desk.act(command)
    assert reply.party == desk.get(Party, U) == before.with_(status="inactive", level_id=level_id("vip"), tax_bps=None)
    assert desk.refuse(quoting(), owner_id=P) is Code.PARTY_INACTIVE
    desk.act(SetParty(party_id=U, status="active", level_id=None, tax_bps=1))
    assert quoted(desk).quote.margin_bps == 200


def test_an_unknown_party_or_level_is_refused() -> None:
    desk = brokerage_desk()
    for party_id, code in ((UUID(int=1), Code.PARTY_NOT_FOUND), (U, Code.LEVEL_NOT_FOUND)):
        command = SetParty(party_id=party_id, status="active", level_id=UUID(int=1), tax_bps=None)
        assert desk.refuse(command) is code
