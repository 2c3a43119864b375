"""Parties, and ids that come from names."""

from uuid import UUID

from otcdesk.domain.parties import DESK_ID, Party, PartyName, Tenant, declared_id
from tests.support.clocks import START


def test_the_same_names_give_the_same_id() -> None:
    assert declared_id("tenant", "A") == declared_id("tenant", "A")
    assert len({declared_id("tenant", "A"), declared_id("tenant", "a"), declared_id("party", "A"), DESK_ID}) == 4


def test_parties_begin_active_and_untaxed() -> None:
    party = Party(id=UUID(int=1), tenant_id=UUID(int=2), external_id="one", created_at=START)
    assert (party.status, party.tax_bps, party.level_id, party.accepted_agreement_ids) == ("active", None, None, ())
    assert party.key == party.id


def test_names_are_a_tenants_own() -> None:
    name = PartyName(tenant_id=UUID(int=2), name="one", party_id=UUID(int=1))
    assert name.key == (UUID(int=2), "one")
    assert Tenant(id=UUID(int=2), name="T").key == UUID(int=2)
