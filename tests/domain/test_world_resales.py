"""The tables of a world file that are about resale: what they declare, and what is refused of them."""

from decimal import Decimal

import pytest

from otcdesk.domain.brokerage import HOLDING, holding_id
from otcdesk.domain.compact_ids import declared_compact_id
from otcdesk.domain.resales import ESCROW, FUNDS, INVENTORY, UNSOLD, branch_account_id
from otcdesk.domain.world import Declaration, declaration_of, parse_world
from otcdesk.errors import Code, Refusal
from tests.support.estate import DEALS_WORLD, ESTATE, N2, U1, U3, C, N, T, compact

_HOLDING = 'holdings = [{ asset = "EXT", balance = "5" }]'
_INVENTORY = 'path = "1.3"\ninventory = [{ asset = "EXT", balance = "7" }]'
_CURRENCY = '\n[[tenants.currencies]]\nref = "D"\nbranch = "N"\nasset = "VUSD"\n'
_INSTRUMENT = '\n[[tenants.instruments]]\nref = "S"\nbranch = "N2"\nasset = "EXT"\ncurrency = "C"\nprice = "1"\n'
_HOLDER = '\n[[tenants.holders]]\nref = "U4"\nbranch = "N"\nname = "Dan"\nidentity_number = "4"\n'
_OPERATOR = '\n[[operators]]\nref = "operator"'


def declared(*changes: tuple[str, str]) -> Declaration:
    text = DEALS_WORLD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return declaration_of(parse_world(text))


def added(tables: str) -> tuple[str, str]:
    """Put tables at the end of the tenant's."""
    return _OPERATOR, tables + _OPERATOR


def test_the_contracts_fixture() -> None:
    (estate,) = declared().resales
    assert [(row.id, row.path, row.number, row.tenant_id) for row in estate.branches[:2]] == [
        (N, "1", 1, ESTATE),
        (N2, "1.2", 2, ESTATE),
    ]
    (currency,) = estate.currencies
    assert (currency.id, currency.branch_id, currency.asset, currency.state, currency.enabled) == (
        *(C, N, "VUSD", "deployed"),
        True,
    )
    (instrument,) = estate.instruments
    assert (instrument.id, instrument.branch_id, instrument.currency_id, instrument.price) == (T, N, C, Decimal(2))
    assert (instrument.state, instrument.open_to_resale, instrument.open_to_market) == ("listed", True, True)
    assert instrument.max_supply_units == 10 + 5 + 990
    assert [(row.id, row.branch_id) for row in estate.holders] == [(U1, N), (compact("a02"), N), (U3, N2)]
    opened = {row.id: (row.owner_id, row.purpose, row.asset, row.opening_units) for row in estate.accounts}
    assert opened == {
        branch_account_id(N, FUNDS, "VUSD"): (N, FUNDS, "VUSD", 1_000_000_000),
        branch_account_id(N, UNSOLD, "EXT"): (N, UNSOLD, "EXT", 990),
        branch_account_id(N, ESCROW, "EXT"): (N, ESCROW, "EXT", 0),
        holding_id(U1, "EXT"): (U1, HOLDING, "EXT", 10),
        holding_id(compact("a02"), "VUSD"): (compact("a02"), HOLDING, "VUSD", 500_000_000),
        holding_id(U3, "EXT"): (U3, HOLDING, "EXT", 5),
    }


def test_what_is_not_given_an_id_has_one_by_its_name() -> None:
    (estate,) = declared((f'id = "{"65a1b2c3d4e5f60718290d02"}"\n', "")).resales
    assert estate.branches[1].id == declared_compact_id("branch", "estate", "N2")


def test_inventories_count_towards_the_supply() -> None:
    (estate,) = declared(('path = "1.3"', _INVENTORY)).resales
    assert estate.instruments[0].max_supply_units == 1_012
    assert branch_account_id(estate.branches[2].id, INVENTORY, "EXT") in {row.id for row in estate.accounts}


@pytest.mark.parametrize("said, supply", [("1005", 1_005), ("5000", 5_000)])
def test_a_supply_that_is_said_is_at_least_what_there_is(said: str, supply: int) -> None:
    (estate,) = declared(('unsold = "990"', f'unsold = "990"\nmax_supply = "{said}"')).resales
    assert estate.instruments[0].max_supply_units == supply


def test_an_instrument_that_nobody_has_any_of() -> None:
    desk = declared(
        added(_INSTRUMENT.replace("EXT", "NEW")), ("[resales]", '[[assets]]\ncode = "NEW"\nscale = 0\n\n[resales]')
    )
    assert desk.resales[0].instruments[1].max_supply_units == 1


def test_the_terms() -> None:
    fees = 'validity_days = 7\nverifies_parties = true\nfees = { otc = "1", secondary = "2.5", primary = "49.999999" }'
    terms = declared(("validity_days = 31", fees)).resale_terms
    assert terms is not None
    assert (terms.validity_seconds, terms.verifies_parties) == (7 * 86_400, True)
    assert (terms.otc_fee_percent, terms.secondary_fee_percent) == (Decimal(1), Decimal("2.5"))
    assert terms.primary_fee_percent == Decimal("49.999999")
    forever = declared(("validity_days = 31", "validity_days = 0")).resale_terms
    assert forever is not None
    assert forever.validity_seconds is None
    usual = declared(("[resales]\nvalidity_days = 31\n", "")).resale_terms
    assert usual is not None
    assert (usual.validity_seconds, usual.bid_validity_seconds) == (31 * 86_400, 86_400)
    short = declared(("validity_days = 31", "bid_validity_hours = 2")).resale_terms
    assert short is not None
    assert short.bid_validity_seconds == 7_200


def test_a_world_without_branches_has_no_resale() -> None:
    text = DEALS_WORLD[: DEALS_WORLD.index("[resales]")] + '[[tenants]]\nref = "estate"\nname = "E"\n'
    desk = declaration_of(parse_world(text))
    assert (desk.resales, desk.resale_terms) == ([], None)


@pytest.mark.parametrize(
    "change, told",
    [
        (("validity_days = 31", "validity_days = -1"), "a listing lives from 0"),
        (("validity_days = 31", "validity_days = 3661"), "a listing lives from 0"),
        (("validity_days = 31", 'fees = { otc = "50" }'), "'50' is not a fee"),
        (("validity_days = 31", 'fees = { otc = "-1" }'), "'-1' is not a fee"),
        (("validity_days = 31", 'fees = { primary = "x" }'), "'x' is not a fee"),
        *(
            (("validity_days = 31", f"bid_validity_hours = {hours}"), "a bid lives from 1 to 8784 hours")
            for hours in (0, -1, 8_785)
        ),
        (('path = "1.3"', 'path = "1.3"\nfees = { otc = "50" }'), "'50' is not a fee"),
        (('ref = "N3"', 'ref = "N2"'), "have the same name"),
        (('ref = "U3"', 'ref = "U1"'), "have the same name"),
        *(
            (('path = "1.3"', f'path = "{path}"'), "needs a number, and a path")
            for path in ("", "1.", "1.0", "1.x", "1.٣")
        ),
        *((("number = 3", f"number = {number}"), "needs a number") for number in (0, -1, 2**31)),
        (('path = "1.3"', 'path = "1.2"'), "two branches have the same path"),
        (('path = "1.3"', 'path = "1.4.1"'), "there is no branch above '1.4.1'"),
        (('id = "65a1b2c3d4e5f60718290d03"', 'id = "65a1"'), "'65a1' is not 24 hexadecimal digits"),
        (('id = "65a1b2c3d4e5f60718290d03"', 'id = "65a1b2c3d4e5f60718290d02"'), "have the same id"),
        (('id = "65a1b2c3d4e5f60718290c01"', 'id = "65a1b2c3d4e5f60718290a01"'), "have the same id"),
        (('asset = "VUSD"\nname = "Vendor', 'asset = "EUR"\nname = "Vendor'), "asset 'EUR' is not declared"),
        (('branch = "N"\nasset = "VUSD"', 'branch = "X"\nasset = "VUSD"'), "there is no branch 'X'"),
        (('branch = "N"\nasset = "EXT"', 'branch = "X"\nasset = "EXT"'), "there is no branch 'X'"),
        (('branch = "N2"', 'branch = "X"'), "there is no branch 'X'"),
        (('currency = "C"', 'currency = "X"'), "there is no currency 'X'"),
        (('code = "EXT"\nscale = 0', 'code = "EXT"\nscale = 2'), "needs a declared asset without decimals"),
        *((('price = "2"', f'price = "{price}"'), "is not a price in VUSD") for price in ("0", "-1", "1.2345678", "x")),
        (('unsold = "990"', 'unsold = "1.5"'), "'1.5' is not an amount of EXT"),
        (('unsold = "990"', 'unsold = "990"\nmax_supply = "1004"'), "has more units than there may be"),
        (('balance = "5" }', 'balance = "-5" }'), "'-5' is not an amount of EXT"),
        (('{ asset = "EXT", balance = "5" }', '{ asset = "XXX", balance = "5" }'), "asset 'XXX' is not declared"),
        ((_HOLDING, _HOLDING.replace("]", ', { asset = "EXT", balance = "1" }]')), "has the same asset twice"),
        (("funds = [{", 'funds = [{ asset = "VUSD", balance = "1" }, {'), "has the same asset twice"),
        (added(_CURRENCY), "are the same asset"),
        (added(_INSTRUMENT), "are the same asset"),
        (added(_CURRENCY.replace("VUSD", "EXT")), "are the same asset"),
        (added(_HOLDER.replace('"4"', '"10000000146"')), "have the same identity number"),
        (
            ('balance = "500"', 'balance = "500", network = "base"'),
            "accounts of 'VUSD' are on the networks '' and 'base'",
        ),
        (('unsold = "990"', 'unsold = "990"\nnetwork = "base"'), "accounts of 'EXT' are on the networks 'base' and ''"),
    ],
)
def test_what_is_refused(change: tuple[str, str], told: str) -> None:
    assert told in refused(change)


def refused(change: tuple[str, str]) -> str:
    with pytest.raises(Refusal) as caught:
        declared(change)
    assert caught.value.code is Code.DECLARATION_INVALID
    return str(caught.value.detail)


def test_tenants_of_one_lane_issue_assets_of_their_own() -> None:
    twin = DEALS_WORLD[DEALS_WORLD.index("[[tenants]]") : DEALS_WORLD.index("[[operators]]")]
    twin = twin.replace('"estate"', '"other"').replace("65a1b2c3", "75a1b2c3")
    assert "are the same asset" in refused(added("\n" + twin))


def test_tables_without_a_branch_are_not_passed_over() -> None:
    tables = DEALS_WORLD[DEALS_WORLD.index("[[tenants.branches]]") : DEALS_WORLD.index("[[tenants.currencies]]")]
    assert "there is no branch 'N'" in refused((tables, ""))
