"""Keeping parties: what a tenant tells replaces what it told before; what the operator decided stays."""

from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.keep_party import KeepParty, PartyKept
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.parties import Party, PartyName, named_party_id
from otcdesk.domain.payouts import PartyProfile
from tests.support.payouts import ADA, B1, B2, pending, ramp_desk
from tests.support.pure import PureDesk


def kept(desk: PureDesk, external_id: str = "new", tenant: UUID = B1, **fields: Any) -> PartyKept:
    told = {"kind": "individual", "details": '{"a":1}', "country": "DE", **fields}
    reply: PartyKept = desk.act(KeepParty(external_id=external_id, **told), owner_id=tenant)
    stored = desk.get(Party, reply.party.id), desk.get(PartyProfile, reply.party.id)
    assert (reply.party, reply.profile) == stored  # what is answered is what is kept
    return reply


@pytest.mark.parametrize("kind, account_type", [("individual", "user"), ("business", "business_user")])
def test_a_new_party_may_be_paid_at_once(kind: str, account_type: str) -> None:
    desk = ramp_desk()
    reply = kept(desk, kind=kind)
    party, profile = reply.party, reply.profile
    assert reply.is_new
    assert party.id == profile.party_id == named_party_id(B1, "new")
    assert (party.tenant_id, party.external_id, party.status, party.country) == (B1, "new", "active", "DE")
    assert (party.account_type, party.created_at) == (account_type, desk.clock.now())
    assert (profile.tenant_id, profile.kind, profile.details) == (B1, kind, '{"a":1}')
    assert profile.updated_at == desk.clock.now()
    assert pending(desk, party_id=party.id).state == "pending"
    assert not desk.all(PartyName)


def test_what_is_told_again_changes_nothing() -> None:
    desk = ramp_desk()
    first = kept(desk)
    desk.clock.advance(seconds=9)
    rows = dict(desk.rows)
    again = kept(desk)
    assert desk.rows == rows
    assert (again.party, again.profile, again.is_new) == (first.party, first.profile, False)


@pytest.mark.parametrize("told", [{"details": '{"a":2}'}, {"kind": "business"}, {"kind": "business", "details": "{}"}])
def test_what_is_told_otherwise_replaces(told: dict[str, Any]) -> None:
    desk = ramp_desk()
    first = kept(desk)
    desk.clock.advance(seconds=9)
    again = kept(desk, **told)
    assert not again.is_new
    assert {name: getattr(again.profile, name) for name in told} == told
    assert again.profile.updated_at == desk.clock.now()
    assert again.party.created_at == first.party.created_at
    assert again.party.account_type == ("business_user" if "kind" in told else "user")


def test_a_country_alone_changes_the_party_alone() -> None:
    desk = ramp_desk()
    first = kept(desk)
    desk.clock.advance(seconds=9)
    again = kept(desk, country=None)
    assert (again.party.country, again.profile) == (None, first.profile)


def test_what_the_operator_decided_stays() -> None:
    desk = ramp_desk()
    desk.act(SetParty(party_id=ADA, status="inactive", level_id=None, tax_bps=7))
    reply = kept(desk, "cust-001", kind="business", country="FR")
    assert (reply.party.id, reply.is_new) == (ADA, False)
    assert (reply.party.status, reply.party.tax_bps) == ("inactive", 7)
    assert (reply.party.country, reply.party.account_type) == ("FR", "business_user")


def test_names_are_exact_and_each_tenants_own() -> None:
    desk = ramp_desk()
    ids = {kept(desk, name, tenant).party.id for name in ("a", "A", "a ", "a/b") for tenant in (B1, B2)}
    assert len(ids) == 8
