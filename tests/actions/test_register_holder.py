"""Registering parties that hold instruments: each of a branch has a number of its own."""

from typing import Any

import pytest

from otcdesk.actions.register_holder import RegisterHolder, named_holder
from otcdesk.domain.compact_ids import is_compact
from otcdesk.domain.parties import UNVERIFIED, Party, PartyName
from otcdesk.domain.payouts import PartyProfile
from otcdesk.domain.resales import Holder, Mandate
from otcdesk.errors import Code
from tests.support.estate import ESTATE, N2, NOBODY, ROOT, THIRD, U1, N, compact, estate_desk


def registering(number: str = "10000000511", **fields: Any) -> RegisterHolder:
    told = {"branch_id": N, "details": '{"name":"Dan"}', "mandate": ROOT, **fields}
    return RegisterHolder(identity_number=number, **told)


def test_a_party_is_registered_unverified_under_its_number() -> None:
    desk = estate_desk()
    reply = desk.act(registering(), owner_id=ESTATE)
    party = desk.get(Party, reply.party.id)
    assert reply.party == party
    assert is_compact(party.id)
    assert (party.tenant_id, party.external_id, party.status) == (ESTATE, "10000000511", UNVERIFIED)
    profile = desk.get(PartyProfile, party.id)
    assert reply.profile == profile
    assert (profile.details, profile.kind, profile.tenant_id) == ('{"name":"Dan"}', "individual", ESTATE)
    assert desk.get(Holder, party.id) == Holder(party_id=party.id, tenant_id=ESTATE, branch_id=N)
    name = named_holder(ESTATE, N, "10000000511", party.id)
    assert desk.get(PartyName, name.key) == name


@pytest.mark.parametrize(
    "asked, code",
    [
        ({"branch_id": compact("d09"), "mandate": NOBODY, "number": "10000000146"}, Code.BRANCH_NOT_FOUND),
        ({"mandate": NOBODY, "number": "10000000146"}, Code.NOT_PERMITTED),
        ({"mandate": THIRD}, Code.NOT_PERMITTED),
        ({"mandate": Mandate("1.2", permitted=True)}, Code.NOT_PERMITTED),
        ({"number": "10000000146"}, Code.PARTY_NAME_TAKEN),
    ],
)
def test_each_refusal_and_the_earlier_of_two(asked: dict[str, Any], code: Code) -> None:
    assert estate_desk().refuse(registering(**asked), owner_id=ESTATE) is code


def test_a_branch_of_another_tenant_is_not_found() -> None:
    assert estate_desk().refuse(registering(), owner_id=compact("001")) is Code.BRANCH_NOT_FOUND


def test_a_number_is_one_partys_in_its_branch_however_it_is_written() -> None:
    desk = estate_desk()
    desk.act(registering("AB-1"), owner_id=ESTATE)
    assert desk.refuse(registering("ab-1"), owner_id=ESTATE) is Code.PARTY_NAME_TAKEN
    desk.act(registering("AB-1", branch_id=N2), owner_id=ESTATE)
    assert len([row for row in desk.all(Party) if row.external_id == "AB-1"]) == 2


def test_names_of_holders_are_apart_from_those_of_other_parties() -> None:
    assert named_holder(ESTATE, N, "7", U1).name == f"{N.hex}/7"
