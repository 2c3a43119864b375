"""Declaring brokerage: the same file again changes nothing, and what people have decided meanwhile stays."""

from typing import Any

import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.register_party import AcceptAgreements, RegisterParty
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.domain.brokerage import (
    AccountLevel,
    Agreement,
    BrokerageTerms,
    Listing,
    Market,
    Position,
    RevenueShare,
    holding_id,
)
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import Party, PartyName
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.domain.world_brokerage import agreement_id, level_id
from otcdesk.errors import Code
from tests.support.brokerage import (
    OFFERS_WORLD,
    P,
    Q,
    U,
    V,
    W,
    brokerage_desk,
    corporate,
    executed,
    holding,
    in_progress,
    quoted,
)


def declare(*changes: tuple[str, str]) -> DeclareWorld:
    text = OFFERS_WORLD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return DeclareWorld(declaration=declaration_of(parse_world(text)))


def test_everything_is_declared() -> None:
    desk = brokerage_desk()
    assert [len(desk.all(noun)) for noun in (BrokerageTerms, Listing, Market, AccountLevel, Agreement)] == [
        1,
        6,
        5,
        2,
        3,
    ]
    assert {row.tenant_id: row.revenue_share_bps for row in desk.all(RevenueShare)} == {P: 0, Q: 2_000}
    assert len(desk.all(Party)) == len(desk.all(PartyName)) == 6
    assert desk.get(PartyName, (P, "u")).party_id == U
    party = desk.get(Party, U)
    assert (party.status, party.tax_bps, party.country) == ("active", 2_600, "IT")
    assert (party.accepted_agreement_ids, party.created_at) == ((agreement_id("general-1"),), desk.clock.now())
    (position,) = desk.all(Position)
    assert (position.party_id, position.units, position.basis_units) == (U, 5_000_000, 200_000)
    assert (corporate(desk), holding(desk), holding(desk, V)) == ((10_000_000, 0), (5_000_000, 0), (100_000_000, 0))


def test_the_same_file_again_changes_nothing() -> None:
    desk = brokerage_desk()
    desk.clock.advance(seconds=10)
    rows = dict(desk.rows)
    reply = desk.act(declare())
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == rows


def test_what_people_have_decided_or_traded_stays() -> None:
    desk = brokerage_desk()
    desk.act(SwitchTrading(asset="BTC", sell_enabled=False, dividend_pending=True))
    desk.act(SetParty(party_id=V, status="inactive", level_id=level_id("vip"), tax_bps=None))
    desk.act(AcceptAgreements(party_id=U, agreement_ids=(agreement_id("stocks-1"),)), owner_id=P)
    executed(desk, in_progress(desk))
    desk.act(RegisterParty(external_id="new"), owner_id=P)
    rows = dict(desk.rows)
    reply = desk.act(declare())
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == rows


def test_what_the_file_says_anew_is_taken_over() -> None:
    desk = brokerage_desk()
    reply = desk.act(
        declare(
            ("validity_seconds = 60", "validity_seconds = 90"),
            ("margin_bps = 200", "margin_bps = 300"),
            ('name = "Bitcoin"', 'name = "Bit coin"'),
            ('group = "metals"', 'group = "coin"'),
            ('broker_cost = "0.25"', 'broker_cost = "0.5"'),
            ("revenue_share_bps = 2000", "revenue_share_bps = 1"),
            ('title = "General terms"', 'title = "Terms"'),
            ("tax_bps = 2600", "tax_bps = 100"),  # which the operator decides on by now
            ('agreements = ["general-1"]', 'agreements = ["general-1", "news-1"]'),
        )
    )
    assert (reply.added, reply.changed) == (0, 8)
    assert desk.get(BrokerageTerms, ONLY).validity_seconds == 90
    assert (desk.get(Listing, "BTC").name, desk.get(Listing, "GOLD").asset_group) == ("Bit coin", "coin")
    assert desk.get(RevenueShare, Q).revenue_share_bps == 1
    party = desk.get(Party, U)
    assert (party.tax_bps, party.accepted_agreement_ids) == (2_600, (agreement_id("general-1"), agreement_id("news-1")))
    assert quoted(desk).quote.price == 51_500


def test_what_the_file_leaves_out_stays_too() -> None:
    desk = brokerage_desk()
    rows = dict(desk.rows)
    head, _, rest = OFFERS_WORLD.partition("[brokerage]")
    bare = head + rest[rest.index("[[tenants]]") : rest.index("[[tenants.corporate]]")]
    reply = desk.act(DeclareWorld(declaration=declaration_of(parse_world(bare))))
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == rows


@pytest.mark.parametrize(
    "changes",
    [
        [('number = 2\nname = "Ether"', 'number = 22\nname = "Ether"')],
        [('name = "Bitcoin"', 'name = "Bitcoin"\npid = "00000000-0000-0000-0000-000000000007"')],
        [
            ('asset = "CHF"\nkind = "fiat"\nnumber = 2', 'asset = "CHF"\nnumber = 9'),
            ('asset = "BTC"\nfiat = "CHF"', 'asset = "BTC"\nfiat = "EUR"'),
            ('asset = "BTC"\nfiat = "EUR"', 'asset = "CHF"\nfiat = "EUR"'),
        ],
        [('ref = "V"', 'ref = "V"\nexternal_id = "other"')],
        [('ref = "V"', 'ref = "V2"\nexternal_id = "v"')],
    ],
    ids=["number", "pid", "kind", "external id", "its name"],
)
def test_ids_keep_their_meaning(changes: list[tuple[str, str]]) -> None:
    assert brokerage_desk().refuse(declare(*changes)) is Code.DECLARATION_INVALID


def test_a_party_stays_with_its_tenant() -> None:
    """Two paths of names may read alike; the second is not given the first one's party."""
    text = """
name = "w"
[[assets]]
code = "EUR"
scale = 2
[[tenants]]
ref = "{tenant}"
[[tenants.parties]]
ref = "{party}"
external_id = "one"
"""
    desk = brokerage_desk()
    for tenant, party, code in (("a/b", "c", None), ("a", "b/c", Code.DECLARATION_INVALID)):
        declaration = declaration_of(parse_world(text.format(tenant=tenant, party=party)))
        command = DeclareWorld(declaration=declaration)
        if code is None:
            desk.act(command)
        else:
            assert desk.refuse(command) is code


def test_a_name_that_was_registered_meanwhile_is_not_taken_over() -> None:
    desk = brokerage_desk()
    desk.act(RegisterParty(external_id="NEW"), owner_id=P)
    new: dict[str, Any] = {"ref": "new"}
    more = (
        "[[tenants.parties]] # the same",
        f'[[tenants.parties]]\nref = "{new["ref"]}"\n\n[[tenants.parties]] # the same',
    )
    assert desk.refuse(declare(more)) is Code.DECLARATION_INVALID


def test_what_the_operator_decided_on_a_party_outlives_the_file() -> None:
    desk = brokerage_desk()
    desk.act(SetParty(party_id=V, status="inactive", level_id=None, tax_bps=2_600))
    desk.act(declare())
    party = desk.get(Party, V)
    assert (party.status, party.level_id, party.tax_bps) == ("inactive", None, 2_600)


def test_a_holding_that_comes_later_comes_with_its_cost() -> None:
    desk = brokerage_desk()
    there = '[[tenants.parties]]\nref = "no-terms"\n'
    holding = '[[tenants.parties.holdings]]\nasset = "ETH"\nbalance = "2"\npaid = "1000"\n'
    desk.act(declare((there, there + holding)))
    (party,) = [row for row in desk.all(Party) if row.external_id == "no-terms"]
    assert desk.get(Position, (party.id, "ETH")).basis_units == 200_000
    assert desk.get(Account, holding_id(party.id, "ETH")).balance == 2 * 10**18


def test_what_was_accepted_under_a_name_stays_what_it_was() -> None:
    there = "https://broker.example/terms/general-1"
    assert brokerage_desk().refuse(declare((there, there + "0"))) is Code.DECLARATION_INVALID


def test_a_new_party_may_come_with_holdings_later() -> None:
    desk = brokerage_desk()
    desk.clock.advance(seconds=5)
    there = "[[tenants.parties]] # the same"
    new = (
        '[[tenants.parties]]\nref = "new"\n[[tenants.parties.holdings]]\nasset = "ETH"\nbalance = "2"\npaid = "1000"\n'
    )
    reply = desk.act(declare((there, new + there)))
    assert (reply.added, reply.changed) == (2, 0)
    (party,) = [row for row in desk.all(Party) if row.external_id == "new"]
    assert party.created_at == desk.clock.now()
    assert desk.get(Position, (party.id, "ETH")).basis_units == 200_000
    assert desk.get(Account, holding_id(party.id, "ETH")).balance == 2 * 10**18
    assert desk.get(Party, W).tenant_id == Q
