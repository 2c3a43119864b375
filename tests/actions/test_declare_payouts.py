"""Declaring payouts: the same file again changes nothing, and what people have decided meanwhile stays."""

from decimal import Decimal

import pytest

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.keep_party import KeepParty
from otcdesk.actions.steer_sandbox import SetFault
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.lanes import ONLY, Fault
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import Channel, PartyProfile, PayoutTerms, Surcharge
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    DE,
    RAMP_WORLD,
    UNVERIFIED,
    current,
    pending,
    prepared,
    ramp_desk,
    returning,
    settled,
)


def declare(*changes: tuple[str, str]) -> DeclareWorld:
    text = RAMP_WORLD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return DeclareWorld(declaration=declaration_of(parse_world(text)))


def test_everything_is_declared() -> None:
    desk = ramp_desk()
    nouns = (PayoutTerms, Channel, Surcharge, Party, PartyProfile)
    assert [len(desk.all(noun)) for noun in nouns] == [1, 6, 2, 4, 4]
    assert {row.tenant_id: row.percent for row in desk.all(Surcharge)} == {B1: Decimal(0), B2: Decimal("0.5")}
    party, profile = desk.get(Party, ADA), desk.get(PartyProfile, ADA)
    assert (party.tenant_id, party.external_id, party.status, party.account_type) == (B1, "cust-001", "active", "user")
    assert (profile.tenant_id, profile.kind, profile.updated_at) == (B1, "individual", desk.clock.now())
    assert '"FirstName": "Ada"' in profile.details
    assert desk.get(Party, UNVERIFIED).status == "unverified"
    assert (desk.get(Fault, "payout").mode, current(desk)) == ("pending", (500_000_000, 500_000_000))


def test_the_same_file_again_changes_nothing() -> None:
    desk = ramp_desk()
    desk.clock.advance(seconds=10)
    rows = dict(desk.rows)
    reply = desk.act(declare())
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == rows


def test_what_people_have_decided_stays() -> None:
    desk = ramp_desk()
    desk.put(desk.get(Channel, DE).with_(enabled=False))
    desk.act(SetParty(party_id=UNVERIFIED, status="active", level_id=None, tax_bps=None))
    desk.act(SetParty(party_id=ADA, status="inactive", level_id=None, tax_bps=None))
    desk.act(SetFault(rail="payout", mode="refuse", delay_ms=5))
    desk.act(KeepParty(external_id="new", kind="business", details="{}"), owner_id=B1)
    rows = dict(desk.rows)
    reply = desk.act(declare())
    assert (reply.added, reply.changed) == (0, 0)
    assert desk.rows == rows


def test_what_was_sold_stays() -> None:
    desk = ramp_desk()
    prepared(desk)
    pending(desk)
    desk.act(returning(settled(desk)))
    rows = dict(desk.rows)
    assert desk.act(declare()).changed == 0
    assert desk.rows == rows


def test_what_the_file_says_anew_is_taken_over() -> None:
    desk = ramp_desk()
    desk.put(desk.get(Channel, DE).with_(enabled=False))
    desk.clock.advance(seconds=10)
    reply = desk.act(
        declare(
            ("validity_seconds = 900", "validity_seconds = 60"),
            ('minimum = "10"', 'minimum = "11"'),
            ('fixed_fee = "0.50"', 'fixed_fee = "0.75"'),
            ('surcharge_percent = "0.5"', 'surcharge_percent = "1"'),
            ('"FirstName": "Ada"', '"FirstName": "Eva"'),
            ('settlement = "manual"', 'settlement = "automatic"'),  # which people decide on by now
            ('status = "inactive"', 'status = "active"'),
        )
    )
    assert (reply.added, reply.changed) == (0, 4)
    assert desk.get(PayoutTerms, ONLY).validity_seconds == 60
    channel = desk.get(Channel, DE)
    assert (channel.min_units, channel.fixed_fee_units, channel.enabled) == (1_100, 75, False)
    assert desk.get(Surcharge, B2).percent == 1
    profile = desk.get(PartyProfile, ADA)
    assert ('"Eva"' in profile.details, profile.updated_at) == (True, desk.clock.now())
    assert desk.get(Fault, "payout").mode == "pending"


def test_a_kind_of_party_is_taken_over_with_its_profile() -> None:
    desk = ramp_desk()
    desk.act(SetParty(party_id=ADA, status="inactive", level_id=None, tax_bps=None))
    created = desk.get(Party, ADA).created_at
    desk.clock.advance(seconds=10)
    reply = desk.act(declare(('external_id = "cust-001"', 'external_id = "cust-001"\nkind = "business"')))
    assert (reply.added, reply.changed) == (0, 2)
    party = desk.get(Party, ADA)
    assert (party.account_type, party.status, party.created_at) == ("business_user", "inactive", created)
    assert desk.get(PartyProfile, ADA).kind == "business"


def test_what_is_new_is_added() -> None:
    desk = ramp_desk()
    channel = '[[payouts.channels]]\nref = "at"\ntype = "BankSepa"\ncountry = "AT"\nfiat = "EUR"\nminimum = "1"\n'
    person = '[[tenants.people]]\nexternal_id = "cust-002"\n'
    more = (
        ("[[operators]]", f'{channel}form_schema = "{{}}"\n[[operators]]'),
        ('[[tenants]]\nref = "user-b2"', f'{person}[[tenants]]\nref = "user-b2"'),
    )
    reply = desk.act(declare(*more))
    assert (reply.added, reply.changed) == (3, 0)  # the channel, the party and its profile
    assert len(desk.all(Channel)) == 7


def test_what_the_file_leaves_out_stays_too() -> None:
    desk = ramp_desk()
    rows = dict(desk.rows)
    head, _, rest = RAMP_WORLD.partition("[payouts]")
    bare = head + rest[rest.index("[[operators]]") : rest.index("[[tenants.people]]")]
    assert desk.act(DeclareWorld(declaration=declaration_of(parse_world(bare)))).changed == 0
    assert desk.rows == rows


@pytest.mark.parametrize(
    "change",
    [
        ('type = "BankSepa"', 'type = "BankLocal"'),
        ('country = "DE"', 'country = "AT"'),
        ('country = "DE"\nfiat = "EUR"', 'country = "DE"\nfiat = "USD"'),
        ('country = "DE"', 'country = "DE"\nrail = "by_hand"'),
        ('country = "DE"', 'country = "DE"\ncategory = "card"'),
    ],
)
def test_a_channel_does_not_become_another_one(change: tuple[str, str]) -> None:
    assert ramp_desk().refuse(declare(change)) is Code.DECLARATION_INVALID


def test_an_opening_balance_is_booked_once() -> None:
    desk = ramp_desk()
    assert desk.refuse(declare(('balance = "500.000000"', 'balance = "501"'))) is Code.OPENING_BALANCE_CHANGED
