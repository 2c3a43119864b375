"""Registering: names are a tenant's own whatever their case; agreements are only ever added."""

from uuid import UUID

from otcdesk.actions.register_party import AcceptAgreements, RegisterParty
from otcdesk.domain.parties import Party, PartyName
from otcdesk.domain.world_brokerage import agreement_id, level_id
from otcdesk.errors import Code
from tests.support.brokerage import NO_TERMS, P, Q, U, W, brokerage_desk, quoted

GENERAL, STOCKS, NEWS = (agreement_id(ref) for ref in ("general-1", "stocks-1", "news-1"))
UNKNOWN = UUID(int=1)


def test_a_registered_party_may_trade_at_once() -> None:
    desk = brokerage_desk()
    desk.clock.advance(seconds=3)
    command = RegisterParty(
        external_id="Customer-7",
        account_type="business_user",
        country="AT",
        level_id=level_id("vip"),
        agreement_ids=(STOCKS, GENERAL, STOCKS),
    )
    party: Party = desk.act(command, owner_id=P).party
    assert desk.get(Party, party.id) == party
    assert (party.tenant_id, party.external_id, party.status, party.tax_bps) == (P, "Customer-7", "active", None)
    assert (party.account_type, party.country, party.level_id) == ("business_user", "AT", level_id("vip"))
    assert party.accepted_agreement_ids == (STOCKS, GENERAL)
    assert party.created_at == desk.clock.now()
    assert desk.get(PartyName, (P, "customer-7")).party_id == party.id


def test_a_party_is_a_person_without_a_level_unless_told() -> None:
    party: Party = brokerage_desk().act(RegisterParty(external_id="x"), owner_id=P).party
    assert (party.account_type, party.country, party.level_id, party.accepted_agreement_ids) == ("user", None, None, ())


def test_a_name_is_taken_in_any_case_by_one_of_the_same_tenant() -> None:
    desk = brokerage_desk()
    desk.act(RegisterParty(external_id="Straße"), owner_id=P)
    for name in ("Straße", "STRASSE", "strasse"):
        assert desk.refuse(RegisterParty(external_id=name), owner_id=P) is Code.PARTY_NAME_TAKEN
    assert desk.refuse(RegisterParty(external_id="u"), owner_id=P) is Code.PARTY_NAME_TAKEN  # of the world file
    assert desk.act(RegisterParty(external_id="STRASSE"), owner_id=Q).party.tenant_id == Q


def test_refusals_come_in_order() -> None:
    desk = brokerage_desk()
    every = {"level_id": UNKNOWN, "agreement_ids": (UNKNOWN,), "external_id": "U"}
    assert desk.refuse(RegisterParty(**every), owner_id=P) is Code.LEVEL_NOT_FOUND  # type: ignore[arg-type]
    without = RegisterParty(external_id="U", agreement_ids=(GENERAL, UNKNOWN))
    assert desk.refuse(without, owner_id=P) is Code.AGREEMENT_NOT_FOUND
    assert desk.refuse(RegisterParty(external_id="U"), owner_id=P) is Code.PARTY_NAME_TAKEN


def test_what_is_accepted_is_added_once_in_its_order() -> None:
    desk = brokerage_desk()
    party = desk.act(AcceptAgreements(party_id=U, agreement_ids=(NEWS, GENERAL, STOCKS)), owner_id=P).party
    assert party.accepted_agreement_ids == (GENERAL, NEWS, STOCKS)
    assert desk.get(Party, U) == party
    rows = dict(desk.rows)
    assert desk.act(AcceptAgreements(party_id=U, agreement_ids=(STOCKS,)), owner_id=P).party == party
    assert desk.act(AcceptAgreements(party_id=U, agreement_ids=()), owner_id=P).party == party
    assert desk.rows == rows


def test_who_accepts_what_is_needed_may_trade() -> None:
    desk = brokerage_desk()
    desk.act(AcceptAgreements(party_id=NO_TERMS, agreement_ids=(GENERAL,)), owner_id=P)
    assert quoted(desk, party_id=NO_TERMS).quote.party_id == NO_TERMS


def test_what_is_not_there_cannot_be_accepted_nor_by_anothers_party() -> None:
    desk = brokerage_desk()
    for party_id in (W, UNKNOWN):
        command = AcceptAgreements(party_id=party_id, agreement_ids=(UNKNOWN,))
        assert desk.refuse(command, owner_id=P) is Code.PARTY_NOT_FOUND
    command = AcceptAgreements(party_id=U, agreement_ids=(GENERAL, UNKNOWN))
    assert desk.refuse(command, owner_id=P) is Code.AGREEMENT_NOT_FOUND
