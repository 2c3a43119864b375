"""An instrument is issued whole: its price is exact, and all of its units are the branch's."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.actions.issue_instrument import IssueInstrument
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.ledger import EQUITY, Account, desk_account_id
from otcdesk.domain.resales import ESCROW, FUNDS, Currency, Instrument, branch_account_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.estate import ESTATE, N2, NOBODY, ROOT, THIRD, C, N, branch_units, estate_desk, held_on
from tests.support.pure import PureDesk


def issuing(**told: Any) -> IssueInstrument:
    usual = {
        "branch_id": N,
        "asset": "TWR",
        "name": "Tower",
        "symbol": "Twr",
        "description": "",
        "currency_id": C,
        "total_value": Decimal("1500.5"),
        "salable_percent": Decimal(100),
        "max_supply_units": 100,
        "details": "{}",
        "mandate": ROOT,
    }
    return IssueInstrument(**{**usual, **told})


def issued(desk: PureDesk, **told: Any) -> Instrument:
    row: Instrument = desk.act(issuing(**told), owner_id=ESTATE).instrument
    assert desk.get(Instrument, row.id) == row
    return row


def test_an_instrument_begins_as_a_draft_at_an_exact_price() -> None:
    desk = estate_desk()
    row = issued(desk)
    assert (row.state, row.price, row.max_supply_units, row.asset, row.symbol) == (
        "draft",
        Decimal("15.005"),
        100,
        "TWR",
        "Twr",
    )
    assert (row.open_to_resale, row.open_to_market, row.is_public, row.address) == (False, False, False, None)
    assert desk.get(ListedAsset, "TWR").scale == 0


@pytest.mark.parametrize(
    "percent, unsold, own", [("100", 100, 0), ("80", 80, 20), ("0", 0, 100), ("33.999999", 33, 67)]
)
def test_what_is_not_salable_is_the_branchs_own(percent: str, unsold: int, own: int) -> None:
    desk = estate_desk()
    issued(desk, salable_percent=Decimal(percent))
    assert (branch_units(desk, "unsold", "TWR"), branch_units(desk, "inventory", "TWR")) == (unsold, own)
    assert held_on(desk, desk_account_id(EQUITY, "TWR")) == (-100, 0)
    assert branch_units(desk, "escrow", "TWR") == 0


def test_its_accounts_are_on_the_network_of_the_branchs_money() -> None:
    desk = estate_desk()
    funds_id = branch_account_id(N, FUNDS, "VUSD")
    desk.put(desk.get(Account, funds_id).with_(network="base"))
    issued(desk)
    for purpose in ("unsold", "inventory", ESCROW):
        assert desk.get(Account, branch_account_id(N, purpose, "TWR")).network == "base"


def test_a_branch_below_issues_in_the_currency_of_the_one_above() -> None:
    desk = estate_desk()
    issued(desk, branch_id=N2)
    assert branch_units(desk, "unsold", "TWR", N2) == 100


@pytest.mark.parametrize(
    "told, code",
    [
        ({"branch_id": uuid4(), "mandate": NOBODY}, Code.BRANCH_NOT_FOUND),
        ({"mandate": NOBODY, "currency_id": uuid4()}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
        ({"currency_id": uuid4(), "total_value": Decimal("0.0000001")}, Code.CURRENCY_NOT_FOUND),
        ({"total_value": Decimal("0.0000001"), "asset": "EXT"}, Code.AMOUNT_TOO_FINE),
        ({"max_supply_units": 7}, Code.AMOUNT_TOO_FINE),
        ({"total_value": Decimal("0.000001"), "max_supply_units": 2}, Code.AMOUNT_TOO_FINE),
        ({"total_value": Decimal(0)}, Code.AMOUNT_TOO_SMALL),
        ({"total_value": Decimal(UNITS_MAX)}, Code.AMOUNT_TOO_LARGE),
        ({"asset": "EXT"}, Code.ASSET_TAKEN),
        ({"asset": "VUSD"}, Code.ASSET_TAKEN),
    ],
)
def test_what_is_refused_in_which_order(told: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(issuing(**told), owner_id=ESTATE) is code


def test_one_symbol_is_issued_once() -> None:
    desk = estate_desk()
    issued(desk)
    assert desk.refuse(issuing(), owner_id=ESTATE) is Code.ASSET_TAKEN


def test_a_currency_that_is_not_deployed_prices_nothing() -> None:
    desk = estate_desk()
    desk.put(desk.get(Currency, C).with_(state="draft"))
    assert desk.refuse(issuing(), owner_id=ESTATE) is Code.CURRENCY_NOT_FOUND


def test_the_largest_supply_that_can_be_counted() -> None:
    desk = estate_desk()
    row = issued(desk, total_value=Decimal(UNITS_MAX).scaleb(-6), max_supply_units=UNITS_MAX)
    assert (row.price, branch_units(desk, "unsold", "TWR")) == (Decimal("0.000001"), UNITS_MAX)
