"""The payouts part of world files: what it declares, and what is refused."""

from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from otcdesk.domain.parties import named_party_id
from otcdesk.domain.payouts import PayoutTerms, Surcharge, current_id
from otcdesk.domain.world import Declaration, declaration_of, parse_world
from otcdesk.domain.world_payouts import DeclaredPayouts, channel_id
from otcdesk.errors import Code, Refusal
from tests.support.payouts import ADA, B1, B2, BR, DE, EVE, INACTIVE, JP, KW, RAMP_WORLD, SEPA_FILE, UNVERIFIED, US

SMALL = """
name = "small"
[[assets]]
code = "EUR"
scale = 2
[[assets]]
code = "YEN"
scale = 0
[[assets]]
code = "USDC"
scale = 6
[payouts]
[[payouts.channels]]
ref = "one"
type = "BankLocal"
country = "JP"
fiat = "YEN"
minimum = "1"
form_schema = "{}"
[[tenants]]
ref = "T"
[[tenants.current]]
asset = "USDC"
[[tenants.people]]
external_id = "Ada"
"""

#: A line of the file above after which a line of a test's own goes.
PLACES = {"payouts": "[payouts]", "channel": 'ref = "one"', "tenant": 'ref = "T"', "person": 'external_id = "Ada"'}


def declared(text: str) -> Declaration:
    return declaration_of(parse_world(text))


def payouts_of(text: str) -> DeclaredPayouts:
    found = declared(text).payouts
    assert found is not None
    return found


def test_the_contracts_world_declares_its_fixture() -> None:
    declaration, payouts = declared(RAMP_WORLD), payouts_of(RAMP_WORLD)
    assert payouts.terms == PayoutTerms(validity_seconds=900, slippage_bps=100)
    assert (payouts.fault.rail, payouts.fault.mode, payouts.fault.delay_ms) == ("payout", "pending", 0)
    channels = {channel.id: channel for channel in payouts.channels}
    assert list(channels) == [DE, SEPA_FILE, US, BR, JP, KW]
    channel = channels[DE]
    assert (channel.category, channel.type, channel.country, channel.fiat) == ("bank", "BankSepa", "DE", "EUR")
    assert (channel.min_units, channel.max_units, channel.fixed_fee_units) == (1_000, 1_000_000, 50)
    assert (channel.fee_percent, channel.spread_bps, channel.processing_seconds) == (Decimal(1), 0, 86_400)
    assert (channel.rail, channel.review_from_units, channel.enabled) == ("payout", None, True)
    assert {channel.id: channel.rail for channel in payouts.channels if channel.rail != "payout"} == {
        SEPA_FILE: "bank_file",
        JP: "by_hand",
    }
    assert (channels[US].review_from_units, channels[US].spread_bps) == (2_500_000, 20)
    assert (channels[JP].min_units, channels[KW].min_units, channels[BR].category) == (100, 1_000, "identifier")
    accounts = {account.id: account for account in declaration.accounts}
    opened = accounts[current_id(B1, "USDC")]
    assert (opened.owner_id, opened.purpose, opened.opening_units) == (B1, "current", 500_000_000)
    assert accounts[current_id(B2, "ETH")].opening_units == 10 * 10**18
    assert {(person.id, person.tenant_id, person.status) for person in declaration.people} == {
        (ADA, B1, "active"),
        (UNVERIFIED, B1, "unverified"),
        (INACTIVE, B1, "inactive"),
        (EVE, B2, "active"),
    }
    assert declaration.surcharges == [
        Surcharge(tenant_id=B1, percent=Decimal(0)),
        Surcharge(tenant_id=B2, percent=Decimal("0.5")),
    ]


def test_what_a_file_leaves_out_has_a_default() -> None:
    declaration, payouts = declared(SMALL), payouts_of(SMALL)
    assert payouts.terms == PayoutTerms()
    assert (payouts.fault.mode, payouts.fault.delay_ms) == ("up", 0)
    (channel,) = payouts.channels
    assert channel.id == channel_id("one")
    assert (channel.category, channel.rail, channel.max_units, channel.fixed_fee_units) == ("bank", "payout", None, 0)
    assert (channel.fee_percent, channel.spread_bps, channel.processing_seconds) == (Decimal(0), 0, 86_400)
    assert (channel.review_from_units, channel.enabled) == (None, True)
    (person,) = declaration.people
    assert (person.kind, person.status, person.details) == ("individual", "active", "{}")
    assert person.id == named_party_id(person.tenant_id, "Ada")
    assert declared("\n".join(SMALL.split("[payouts]", maxsplit=1)[0].splitlines())).payouts is None


def with_line(place: str, line: str) -> str:
    """Return the small world with one more line, in place of the one that says the same, if there is one."""
    name = line.split(" = ", maxsplit=1)[0]
    kept = [other for other in SMALL.splitlines() if place != "channel" or not other.startswith(f"{name} =")]
    head, found, rest = "\n".join(kept).partition(PLACES[place])
    assert found
    return f"{head}{PLACES[place]}\n{line}\n{rest}"


@pytest.mark.parametrize(
    "place, line",
    [
        ("payouts", "validity_seconds = 1"),
        ("payouts", "validity_seconds = 31536000"),
        ("payouts", "slippage_bps = 0"),
        ("payouts", "slippage_bps = 999999"),
        ("payouts", "settles_after_ms = 31536000000"),
        ("channel", 'maximum = "1"'),
        ("channel", 'review_from = "1"'),
        ("channel", 'fixed_fee = "0"'),
        ("channel", 'fee_percent = "100"'),
        ("channel", "spread_bps = 9999"),
        ("channel", "processing_seconds = 1"),
        ("channel", "processing_seconds = 31536000"),
        ("tenant", 'surcharge_percent = "0.000001"'),
        ("person", 'details = \'{"a": {"b": 1}}\''),
    ],
)
def test_what_is_just_allowed(place: str, line: str) -> None:
    assert declared(with_line(place, line)).payouts is not None


@pytest.mark.parametrize(
    "place, line, said",
    [
        ("payouts", "validity_seconds = 0", "one second to a year"),
        ("payouts", "validity_seconds = 31536001", "one second to a year"),
        ("payouts", "slippage_bps = -1", "slippage"),
        ("payouts", "slippage_bps = 1000000", "slippage"),
        ("payouts", "settles_after_ms = -1", "settlement"),
        ("payouts", "settles_after_ms = 31536000001", "settlement"),
        ("payouts", 'settlement = "never"', "settlement"),
        ("payouts", "another = 1", "another"),
        ("channel", 'fiat = "XXX"', "'XXX' is not declared"),
        ("channel", 'minimum = "0"', "minimum above 0"),
        ("channel", 'minimum = "1.5"', "not an amount of YEN"),
        ("channel", 'maximum = "0"', "no maximum below"),
        ("channel", 'review_from = "0"', "no review from 0"),
        ("channel", 'review_from = "-1"', "not an amount"),
        ("channel", 'fixed_fee = "0.1"', "not an amount of YEN"),
        ("channel", 'fee_percent = "100.1"', "not a percentage"),
        ("channel", 'fee_percent = "-1"', "not a percentage"),
        ("channel", "spread_bps = -1", "spread"),
        ("channel", "spread_bps = 10000", "spread"),
        ("channel", "processing_seconds = 0", "processing time"),
        ("channel", "processing_seconds = 31536001", "processing time"),
        ("channel", 'form_schema = "[]"', "not a JSON object"),
        ("channel", 'form_schema = "{"', "not a JSON object"),
        ("channel", 'rail = "pigeon"', "pigeon"),
        ("channel", 'category = "cash"', "cash"),
        ("channel", 'id = "one"', "id"),
        ("tenant", 'surcharge_percent = "a tenth"', "not a percentage"),
        ("person", 'details = "[1]"', "'Ada' are not a JSON object"),
        ("person", 'details = "nothing"', "'Ada' are not a JSON object"),
        ("person", 'kind = "robot"', "robot"),
        ("person", 'status = "closed"', "closed"),
    ],
)
def test_what_is_not_valid_is_refused_with_the_mistake(place: str, line: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        declared(with_line(place, line))
    assert caught.value.code is Code.DECLARATION_INVALID
    assert said in caught.value.detail


CHANNEL = SMALL[SMALL.index("[[payouts.channels]]") : SMALL.index("[[tenants]]")]


@pytest.mark.parametrize(
    "more, said",
    [
        (CHANNEL, "two channels have the same name"),
        (CHANNEL.replace('"one"', f'"two"\nid = "{channel_id("one")}"'), "two channels have the same id"),
        ('[[tenants]]\nref = "U"\n[[tenants.current]]\nasset = "XXX"\n', "'XXX' is not declared"),
        ('[[tenants]]\nref = "U"\n[[tenants.current]]\nasset = "EUR"\nbalance = "0.001"\n', "not an amount of EUR"),
        ('[[tenants]]\nref = "U"\n' + '[[tenants.current]]\nasset = "EUR"\n' * 2, "names an account twice"),
        ('[[tenants]]\nref = "U"\n' + '[[tenants.people]]\nexternal_id = "Eve"\n' * 2, "two people alike"),
    ],
)
def test_what_meets_itself_is_refused(more: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        declared(SMALL + more)
    assert caught.value.code is Code.DECLARATION_INVALID
    assert said in caught.value.detail


def test_names_of_people_are_exact() -> None:
    text = SMALL + '[[tenants.people]]\nexternal_id = "ada"\n'
    assert len({person.id for person in declared(text).people}) == 2


def test_a_declaration_can_be_written_and_read_back() -> None:
    declaration = declared(RAMP_WORLD)
    assert msgspec.json.decode(msgspec.json.encode(declaration), type=Declaration) == declaration
    assert all(isinstance(channel.id, UUID) for channel in payouts_of(RAMP_WORLD).channels)
