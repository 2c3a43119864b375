"""Declaring who resells what: added once, renewed by name, and never turned into another thing."""

import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.register_holder import RegisterHolder
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resale_rules import BranchRules
from otcdesk.domain.resales import Branch, Currency, Holder, Instrument, ResaleTerms, branch_account_id
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code
from tests.support.estate import DEALS_WORLD, ESTATE, N2, N3, ROOT, U1, U3, C, N, T, estate_desk, listed, rule, units


def declaring(*changes: tuple[str, str]) -> DeclareWorld:
    text = DEALS_WORLD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return DeclareWorld(declaration=declaration_of(parse_world(text)))


def test_everything_is_there_once() -> None:
    desk = estate_desk()
    now = desk.clock.now()
    assert {row.id for row in desk.all(Branch)} == {N, N2, N3}
    assert (desk.get(Currency, C).created_at, desk.get(Instrument, T).updated_at) == (now, now)
    assert desk.get(Holder, U3).branch_id == N2
    assert desk.get(Party, U1).status == "active"
    assert '"Ada"' in desk.get(PartyProfile, U1).details
    assert {row.branch_id for row in desk.all(BranchRules)} <= {N, N2, N3}
    assert desk.get(Account, branch_account_id(N, "unsold", "EXT")).balance == 990
    assert units(desk) == (10, 0)


def test_declaring_it_again_changes_nothing() -> None:
    desk = estate_desk()
    listed(desk)
    rule(desk)
    before = dict(desk.rows)
    desk.clock.advance(seconds=60)
    reply = desk.act(declaring())
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == before


def test_what_people_have_decided_meanwhile_stays() -> None:
    desk = estate_desk()
    desk.put(desk.get(Instrument, T).with_(open_to_resale=False, state="delisted"))
    desk.put(desk.get(Branch, N).with_(parties_trade=True, last_number=7))
    desk.put(desk.get(Party, U1).with_(status="inactive"))
    desk.put(desk.get(ResaleTerms, 1).with_(verifies_parties=True))
    desk.put(desk.get(Currency, C).with_(state="error"))
    before = dict(desk.rows)
    desk.act(declaring(("validity_days = 31", "validity_days = 5"), ('price = "2"', 'price = "3"')))
    assert desk.rows == before


def test_names_are_renewed() -> None:
    desk = estate_desk()
    listed(desk)
    desk.act(declaring(('name = "Example Node"', 'name = "New"'), ('name = "Example Tower"', 'name = "Newer"')))
    assert (desk.get(Branch, N).name, desk.get(Branch, N).last_number) == ("New", 1)
    assert desk.get(Instrument, T).name == "Newer"


@pytest.mark.parametrize(
    "change",
    [
        ('path = "1.3"', 'path = "1.4"'),
        ('branch = "N"\nasset = "VUSD"', 'branch = "N2"\nasset = "VUSD"'),
        ('branch = "N"\nasset = "EXT"', 'branch = "N2"\nasset = "EXT"'),
        ('branch = "N2"', 'branch = "N3"'),
    ],
)
def test_nothing_becomes_another_thing(change: tuple[str, str]) -> None:
    desk = estate_desk()
    assert desk.refuse(declaring(change)) is Code.DECLARATION_INVALID


def test_a_holder_is_not_declared_over_a_party_that_has_its_number() -> None:
    desk = estate_desk()
    taken = RegisterHolder(branch_id=N, identity_number="10000000999", details="{}", mandate=ROOT)
    desk.act(taken, owner_id=ESTATE)
    holder = '[[tenants.holders]]\nref = "U4"\nbranch = "N"\nname = "Dan"\nidentity_number = "10000000999"\n\n'
    added = declaring(("[[tenants.roles]]", f"{holder}[[tenants.roles]]"))
    assert desk.refuse(added) is Code.DECLARATION_INVALID
