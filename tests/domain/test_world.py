"""World files: what they declare, and what is refused."""

import re
from decimal import Decimal

import pytest

from otcdesk.domain.ledger import CASH, CUSTODY, TREASURY
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import Declaration, account_id, declaration_of, parse_world, tenant_id
from otcdesk.errors import Code, Refusal
from tests.support.desk import CONTRACT_WORLD, FA2, FA3, TREASURY_EUR, TREASURY_USDC, WA1, WA2, WAT, A

SMALL = """
name = "small"
[[assets]]
code = "EUR"
scale = 2
[[assets]]
code = "USDC"
scale = 6
[conversions]
buy_spread_bps = 10
sell_spread_bps = 20
[[tenants]]
ref = "T"
sell_spread_bps = 5
[[tenants.accounts]]
ref = "cash"
asset = "EUR"
balance = "12.34"
[[tenants.wallets]]
ref = "wallet"
addresses = { base = "0x1", polygon = "0x2" }
"""


def declared(text: str) -> Declaration:
    return declaration_of(parse_world(text))


def test_the_contracts_world_declares_its_fixture() -> None:
    declaration = declared(CONTRACT_WORLD)
    accounts = {account.id: account for account in declaration.accounts}
    assert [asset.code for asset in declaration.assets] == ["EUR", "GBP", "USDC"]
    assert [tenant.name for tenant in declaration.tenants] == ["Customer A", "Customer B"]
    assert accounts[FA2].status == "inactive"
    assert accounts[FA3].asset == "GBP"
    assert (accounts[WA1].purpose, accounts[WA1].network, accounts[WA1].opening_units) == (
        CUSTODY,
        "ethereum",
        5_000_000_000,
    )
    assert accounts[WA2].address is None
    assert accounts[WAT].purpose == TREASURY
    assert accounts[TREASURY_EUR].opening_units == 100_000_000
    assert accounts[TREASURY_USDC].opening_units == 1_000_000_000_000
    assert declaration.terms is not None
    assert (declaration.terms.ttl_seconds, declaration.terms.debit_settles_after_ms) == (60, 0)
    rates = {(price.source_asset, price.destination_asset): price.rate for price in declaration.prices}
    assert rates == {("EUR", "USDC"): Decimal("1.0842"), ("USDC", "EUR"): Decimal("0.921")}


def test_the_contracts_world_names_its_credentials() -> None:
    world = parse_world(CONTRACT_WORLD)
    keys = {key.ref: key.scopes for tenant in world.tenants for key in tenant.keys}
    both = ["otc-exchanges:read", "otc-exchanges:write"]
    assert keys == {"KA": both, "KAr": both[:1], "KAw": both[1:], "KB": both}
    assert [operator.ref for operator in world.operators] == ["operator"]


def test_the_same_file_declares_the_same_ids() -> None:
    assert declared(CONTRACT_WORLD) == declared(CONTRACT_WORLD)
    assert A == tenant_id("A") != tenant_id("B")
    assert account_id("A", "FA1") != account_id("B", "FA1")


def test_a_tenants_spread_wins_over_the_terms() -> None:
    spreads = {(row.source_asset, row.destination_asset): row.bps for row in declared(SMALL).spreads}
    assert spreads == {("EUR", "USDC"): 10, ("USDC", "EUR"): 5}


def test_a_wallet_lies_on_the_first_network_of_the_terms_that_it_has() -> None:
    wallet = next(row for row in declared(SMALL).accounts if row.purpose == CUSTODY)
    assert (wallet.network, wallet.address) == ("polygon", "0x2")


def test_the_desk_has_its_side_wherever_a_tenant_has_one() -> None:
    desk = {(row.asset, row.network) for row in declared(SMALL).accounts if row.owner_id == DESK_ID}
    assert desk == {("EUR", ""), ("USDC", "polygon")}


def test_a_tenant_without_a_name_is_called_by_its_reference() -> None:
    assert [tenant.name for tenant in declared(SMALL).tenants] == ["T"]


def test_pairs_without_a_price_are_listed_for_a_feed() -> None:
    assert {price.rate for price in declared(SMALL).prices} == {None}


def test_a_missing_inverse_is_computed() -> None:
    text = SMALL + '[[prices]]\nsource = "EUR"\ndestination = "USDC"\nrate = "4"\n'
    rates = {(price.source_asset, price.destination_asset): price.rate for price in declared(text).prices}
    assert rates == {("EUR", "USDC"): Decimal(4), ("USDC", "EUR"): Decimal("0.25")}


def test_manual_debits_wait_for_a_word() -> None:
    terms = declared(SMALL.replace("[conversions]", '[conversions]\ndebit_settlement = "manual"')).terms
    assert terms is not None
    assert terms.debit_settles_after_ms is None


def test_accounts_open_with_units_of_their_scale() -> None:
    cash = next(row for row in declared(SMALL).accounts if row.purpose == CASH)
    assert cash.opening_units == 1_234


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ('name = "small"', "", "missing required field `name`"),
        ('name = "small"', 'name = "small"\nnmae = 1', "unknown field"),
        ("scale = 2", "scale = 19", "asset 'EUR'"),
        ("scale = 2", "scale = -1", "asset 'EUR'"),
        ('code = "USDC"', 'code = "EUR"', "asset 'EUR'"),
        ('code = "USDC"', 'code = ""', "asset ''"),
        ('balance = "12.34"', 'balance = "12.345"', "'12.345' is not an amount of EUR"),
        ('balance = "12.34"', 'balance = "-1"', "'-1' is not an amount of EUR"),
        ('balance = "12.34"', "balance = 12.34", "Expected `str`"),
        ('asset = "EUR"', 'asset = "CHF"', "asset 'CHF' is not declared"),
        ('ref = "wallet"', 'ref = "cash"', "tenant 'T' names two accounts alike"),
        ("buy_spread_bps = 10", "buy_spread_bps = 10000", "tenant 'T' has a spread"),
        ("buy_spread_bps = 10", "buy_spread_bps = -1", "tenant 'T' has a spread"),
        ("[conversions]", "[conversions]\nttl_seconds = 0", "a quote lives from one second"),
        ("[conversions]", "[conversions]\ndebit_delay_ms = -1", "a debit's delay is from nothing"),
        ("[conversions]", '[[treasury]]\nasset = "CHF"\n[conversions]', "asset 'CHF' is not declared"),
        (
            "[conversions]",
            '[[treasury]]\nasset = "EUR"\n[[treasury]]\nasset = "EUR"\n[conversions]',
            "the treasury names an asset and network twice",
        ),
        (
            "[conversions]",
            '[[prices]]\nsource = "EUR"\ndestination = "CHF"\nrate = "1"\n[conversions]',
            "price EUR/CHF '1' is not a rate of declared assets",
        ),
        (
            "[conversions]",
            '[[prices]]\nsource = "EUR"\ndestination = "USDC"\nrate = "0"\n[conversions]',
            "price EUR/USDC '0' is not a rate of declared assets",
        ),
        ("scale = 2", "scale = 4", "conversions need cash with 2 decimals and custody with 6"),
        ("[conversions]", '[conversions]\ncash_asset = "CHF"', "conversions need cash with 2 decimals"),
        ("[conversions]", "[conversions", "The world file is not valid"),
    ],
)
def test_a_mistake_is_refused_with_its_place(old: str, new: str, sentence: str) -> None:
    assert old in SMALL
    with pytest.raises(Refusal, match=Code.DECLARATION_INVALID.name) as caught:
        declared(SMALL.replace(old, new, 1))
    assert caught.value.code is Code.DECLARATION_INVALID
    assert re.search(re.escape(sentence), caught.value.detail), caught.value.detail


@pytest.mark.parametrize(
    "text", ["a=" + "[" * 5_000, "a=" + "1" * 5_000, "a." * 5_000 + "b=1"], ids=("deep", "long", "dots")
)
def test_what_would_break_or_stall_the_reader_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_world(text)
    assert caught.value.code is Code.DECLARATION_INVALID
