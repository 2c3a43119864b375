"""Currencies are made as drafts, and may be called something else later."""

from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.make_currency import ChangeCurrency, MakeCurrency
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.resales import Currency
from otcdesk.errors import Code
from tests.support.estate import ESTATE, NOBODY, ROOT, THIRD, C, N, estate_desk, listing


def making(**told: Any) -> MakeCurrency:
    usual = {
        "branch_id": N,
        "asset": "VTRY",
        "name": "Lira",
        "symbol": "vTRY",
        "description": "",
        "fiat": "TRY",
        "logo": None,
        "mandate": ROOT,
    }
    return MakeCurrency(**{**usual, **told})


def changing(**told: Any) -> ChangeCurrency:
    usual = {"currency_id": C, "name": None, "description": None, "fiat": None, "mandate": ROOT}
    return ChangeCurrency(**{**usual, **told})


def test_a_new_currency_is_a_draft_with_six_decimals_that_nothing_can_be_listed_in() -> None:
    desk = estate_desk()
    row = desk.act(making(), owner_id=ESTATE).currency
    assert (row.state, row.enabled, row.address, row.fiat, row.symbol) == ("draft", False, None, "TRY", "vTRY")
    assert desk.get(ListedAsset, "VTRY").scale == 6
    assert desk.get(Currency, row.id) == row
    assert desk.refuse(listing(currency_id=row.id), owner_id=ESTATE) is Code.CURRENCY_NOT_FOUND


@pytest.mark.parametrize(
    "told, code",
    [
        ({"branch_id": uuid4(), "mandate": NOBODY}, Code.BRANCH_NOT_FOUND),
        ({"mandate": NOBODY, "asset": "VUSD"}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
        ({"asset": "VUSD"}, Code.ASSET_TAKEN),
        ({"asset": "EXT"}, Code.ASSET_TAKEN),
    ],
)
def test_what_making_refuses(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(making(**told), owner_id=ESTATE) is code


def test_what_is_not_told_stays_as_it_was() -> None:
    desk = estate_desk()
    before = desk.get(Currency, C)
    desk.clock.advance(seconds=1)
    after = desk.act(changing(description="new"), owner_id=ESTATE).currency
    assert after == before.with_(description="new", updated_at=desk.clock.now())
    desk.clock.advance(seconds=1)
    assert desk.act(changing(description="new"), owner_id=ESTATE).currency == after


@pytest.mark.parametrize(
    "told, code",
    [
        ({"currency_id": uuid4(), "mandate": NOBODY}, Code.CURRENCY_NOT_FOUND),
        ({"mandate": NOBODY}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
    ],
)
def test_what_changing_refuses(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(changing(name="x", **told), owner_id=ESTATE) is code


def test_another_tenants_currency_is_not_found() -> None:
    assert estate_desk().refuse(changing(name="x"), owner_id=uuid4()) is Code.CURRENCY_NOT_FOUND
