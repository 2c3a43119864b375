"""The brokerage part of world files: what it declares, and what is refused."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.domain.brokerage import corporate_id, holding_id
from otcdesk.domain.world import Declaration, declaration_of, parse_world
from otcdesk.domain.world_brokerage import DeclaredBrokerage, agreement_id, level_id, listing_pid
from otcdesk.errors import Code, Refusal
from tests.support.brokerage import OFFERS_WORLD, P, Q, U, V, W

SMALL = """
name = "small"
[[assets]]
code = "EUR"
scale = 2
[[assets]]
code = "YEN"
scale = 0
[[assets]]
code = "BTC"
scale = 8
[[assets]]
code = "ETH"
scale = 18
[brokerage]
validity_seconds = 30
default_level = "plain"
[[brokerage.levels]]
ref = "plain"
margin_bps = 25
[[brokerage.levels]]
ref = "best"
margin_bps = 0
[[brokerage.listings]]
asset = "EUR"
kind = "fiat"
number = 1
[[brokerage.listings]]
asset = "BTC"
number = 1
[[brokerage.listings]]
asset = "ETH"
number = 2
sell_enabled = false
[[brokerage.markets]]
asset = "BTC"
fiat = "EUR"
broker_cost = "0.00"
maximum = "500.00"
[[brokerage.agreements]]
ref = "general"
type = "g"
url = "https://example.org/g"
[[tenants]]
ref = "T"
revenue_share_bps = 5
[[tenants.corporate]]
asset = "EUR"
balance = "12.34"
[[tenants.parties]]
ref = "one"
external_id = "Customer-1"
level = "best"
tax_bps = 100
agreements = ["general"]
[[tenants.parties.holdings]]
asset = "BTC"
balance = "0.00000003"
paid = "50000"
[[tenants.parties]]
ref = "two"
"""


def declared(text: str) -> Declaration:
    return declaration_of(parse_world(text))


def brokerage_of(text: str) -> DeclaredBrokerage:
    found = declared(text).brokerage
    assert found is not None
    return found


def test_the_contracts_world_declares_its_fixture() -> None:
    declaration = declared(OFFERS_WORLD)
    brokerage = brokerage_of(OFFERS_WORLD)
    accounts = {account.id: account for account in declaration.accounts}
    parties = {party.id: party for party in declaration.parties}
    assert (brokerage.settings.validity_seconds, brokerage.settings.default_level_id) == (60, level_id("standard"))
    assert {level.id: level.margin_bps for level in brokerage.levels} == {
        level_id("standard"): 200,
        level_id("vip"): 50,
    }
    assert [(row.kind, row.number) for row in brokerage.listings if row.code in {"EUR", "BTC"}] == [
        ("fiat", 1),
        ("asset", 1),
    ]
    market = next(row for row in brokerage.markets if row.key == ("BTC", "EUR"))
    assert (market.total_min, market.total_max, market.broker_cost) == (100, None, Decimal("0.25"))
    assert accounts[corporate_id(P, "EUR")].opening_units == 10_000_000
    assert (accounts[holding_id(U, "BTC")].opening_units, accounts[holding_id(U, "BTC")].owner_id) == (5_000_000, U)
    (position,) = parties[U].positions
    assert (position.units, position.basis_units) == (5_000_000, 200_000)
    assert parties[V].positions == []  # what it paid is not known
    assert (parties[U].tax_bps, parties[V].tax_bps, parties[W].tenant_id) == (2_600, None, Q)
    assert {row.tenant_id: row.revenue_share_bps for row in declaration.revenue_shares} == {P: 0, Q: 2_000}


def test_what_a_file_leaves_out_has_a_default() -> None:
    declaration, brokerage = declared(SMALL), brokerage_of(SMALL)
    euro, bitcoin, ether = brokerage.listings
    assert (euro.name, euro.asset_group, euro.pid) == ("EUR", "fiat", listing_pid("EUR"))
    assert (bitcoin.asset_group, bitcoin.buy_enabled, bitcoin.sell_enabled) == ("coin", True, True)
    assert (ether.sell_enabled, ether.dividend_pending) == (False, False)
    (market,) = brokerage.markets
    assert (market.total_min, market.total_max, market.broker_cost) == (100, 50_000, Decimal(0))
    (agreement,) = brokerage.agreements
    assert (agreement.version, agreement.mandatory, agreement.title, agreement.journeys) == (
        1,
        True,
        "general",
        ("onboarding",),
    )
    assert agreement.effective_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert brokerage.levels[0].name_key == "plain"
    one, two = declaration.parties
    assert (one.external_id, one.level_id, one.tax_bps, one.agreement_ids) == (
        "Customer-1",
        level_id("best"),
        100,
        [agreement_id("general")],
    )
    assert (two.external_id, two.level_id, two.tax_bps, two.status, two.account_type) == (
        "two",
        None,
        None,
        "active",
        "user",
    )


def test_what_was_paid_makes_a_basis_to_the_nearest() -> None:
    (position,) = declared(SMALL).parties[0].positions
    assert (position.units, position.basis_units) == (3, 0)  # 0.15 of a cent
    (position,) = declared(SMALL.replace('balance = "0.00000003"', 'balance = "0.00000010"')).parties[0].positions
    assert position.basis_units == 1  # half a cent


def test_times_without_an_offset_are_utc() -> None:
    for written, meant in (
        ("2022-01-01T00:00:00", datetime(2022, 1, 1, tzinfo=UTC)),
        ("2022-01-01T00:00:00+02:00", datetime(2021, 12, 31, 22, tzinfo=UTC)),
    ):
        text = SMALL.replace('type = "g"', f'type = "g"\neffective_at = {written}')
        assert brokerage_of(text).agreements[0].effective_at == meant


def test_a_pid_may_be_given() -> None:
    text = SMALL.replace("number = 2", f'number = 2\npid = "{UUID(int=7)}"')
    assert brokerage_of(text).listings[2].pid == UUID(int=7)


def test_a_world_without_brokerage_declares_none() -> None:
    declaration = declared('name = "w"\n[[assets]]\ncode = "EUR"\nscale = 2\n[[tenants]]\nref = "T"')
    assert declaration.brokerage is None
    assert not declaration.revenue_shares
    assert not declaration.parties


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("validity_seconds = 30", "validity_seconds = 0", "a quote is valid from one second to a year"),
        ("validity_seconds = 30", "validity_seconds = 31536001", "a quote is valid from one second to a year"),
        ('default_level = "plain"', 'default_level = "gold"', "there is no account level 'gold'"),
        ('ref = "best"', 'ref = "plain"', "levels name something twice"),
        ("margin_bps = 25", "margin_bps = -1", "account level 'plain' has a margin"),
        ("margin_bps = 25", "margin_bps = 10000", "account level 'plain' has a margin"),
        ('asset = "ETH"\nnumber = 2', 'asset = "BTC"\nnumber = 2', "listings name something twice"),
        ('asset = "ETH"\nnumber = 2', 'asset = "ETH"\nnumber = 1', "numbers of asset listings name something twice"),
        ("number = 2", "number = 0", "listing 'ETH' needs a declared asset and a number"),
        ("number = 2", "number = 2147483648", "listing 'ETH' needs a declared asset and a number"),
        ('asset = "ETH"\nnumber', 'asset = "XRP"\nnumber', "listing 'XRP' needs a declared asset"),
        ('asset = "EUR"\nkind', 'asset = "YEN"\nkind', "fiat 'YEN' needs 2 decimals"),
        ("sell_enabled = false", f'pid = "{listing_pid("BTC")}"', "pids of listings name something twice"),
        ('asset = "BTC"\nfiat = "EUR"', 'asset = "EUR"\nfiat = "BTC"', "market EUR/BTC is not of a listed asset"),
        ('asset = "BTC"\nfiat = "EUR"', 'asset = "BTC"\nfiat = "YEN"', "market BTC/YEN is not of a listed asset"),
        ("[[brokerage.markets]]", '[[brokerage.markets]]\nminimum = "0"', "needs a minimum above 0"),
        (
            "[[brokerage.markets]]",
            '[[brokerage.markets]]\nminimum = "500.01"',
            "needs a minimum above 0 and no maximum",
        ),
        ("[[brokerage.markets]]", '[[brokerage.markets]]\nminimum = "0.001"', "'0.001' is not an amount of EUR"),
        ('broker_cost = "0.00"', 'broker_cost = "-1"', "'-1' is not a cost"),
        ('broker_cost = "0.00"', 'broker_cost = "0.000000001"', "'0.000000001' is not a cost"),
        (
            "[[brokerage.agreements]]",
            '[[brokerage.markets]]\nasset = "BTC"\nfiat = "EUR"\n[[brokerage.agreements]]',
            "markets name something twice",
        ),
        ('type = "g"', 'type = "g"\nversion = 0', "agreement 'general' needs a version"),
        ('type = "g"', 'type = "g"\nversion = 2147483648', "agreement 'general' needs a version"),
        ('type = "g"', 'type = "g"\neffective_at = 0001-01-01T00:00:00+05:00', "is not in the calendar"),
        ('type = "g"', 'type = "g"\naccount_type = "robot"', "Invalid enum value 'robot'"),
        (
            "[[tenants]]",
            '[[brokerage.agreements]]\nref = "general"\ntype = "x"\nurl = "u"\n[[tenants]]',
            "agreements name something twice",
        ),
        ("revenue_share_bps = 5", "revenue_share_bps = 10001", "tenant 'T' has a share of the revenue"),
        ("revenue_share_bps = 5", "revenue_share_bps = -1", "tenant 'T' has a share of the revenue"),
        ('level = "best"', 'level = "gold"', "party 'one' names 'gold', which is not declared"),
        ('agreements = ["general"]', 'agreements = ["other"]', "party 'one' names 'other', which is not declared"),
        ("tax_bps = 100", "tax_bps = 10001", "party 'one' is taxed with more than everything"),
        ("tax_bps = 100", "tax_bps = -1", "party 'one' is taxed with more than everything"),
        ("tax_bps = 100", 'status = "gone"', "Invalid enum value 'gone'"),
        ('ref = "two"', 'ref = "one"', "tenant 'T' names two"),
        ('ref = "two"', 'ref = "two"\nexternal_id = "CUSTOMER-1"', "tenant 'T' names two"),
        ('balance = "0.00000003"', 'balance = "0.000000001"', "'0.000000001' is not an amount of BTC"),
        ('paid = "50000"', 'paid = "0"', "'0' EUR is not what somebody paid for one BTC"),
        ('paid = "50000"', 'paid = "5"\nfiat = "USD"', "'5' USD is not what somebody paid for one BTC"),
        (
            'balance = "0.00000003"\npaid = "50000"',
            f'balance = "1{"0" * 30}"\npaid = "1{"0" * 12}"',
            "cost more than can be counted",
        ),
        (
            '[[tenants.parties]]\nref = "two"',
            '[[tenants.parties.holdings]]\nasset = "BTC"\nbalance = "1"\n[[tenants.parties]]\nref = "two"',
            "tenant 'T' names an account twice",
        ),
        (
            '[[tenants.parties]]\nref = "one"',
            '[[tenants.corporate]]\nasset = "EUR"\n[[tenants.parties]]\nref = "one"',
            "tenant 'T' names an account twice",
        ),
        ('balance = "12.34"', 'balance = "12.345"', "'12.345' is not an amount of EUR"),
        ("[brokerage]", "[brokerage]\nlevel = 1", "unknown field"),
    ],
)
def test_a_mistake_is_refused_with_its_place(old: str, new: str, sentence: str) -> None:
    assert old in SMALL
    with pytest.raises(Refusal) as caught:
        declared(SMALL.replace(old, new, 1))
    assert caught.value.code is Code.DECLARATION_INVALID
    assert re.search(re.escape(sentence), caught.value.detail), caught.value.detail
