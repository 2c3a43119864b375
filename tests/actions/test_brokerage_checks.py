"""Who may trade and what a trade is worth: standing, agreements, levels, prices, tax."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.brokerage_checks import withheld
from otcdesk.actions.register_party import AcceptAgreements
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.brokerage import Agreement, BrokerageTerms, Position
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.parties import Party
from otcdesk.domain.pricing import Price
from otcdesk.domain.world_brokerage import agreement_id, level_id
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount, Asset
from tests.support.brokerage import NO_TERMS, P, U, V, brokerage_desk, quoted, quoting
from tests.support.clocks import START
from tests.support.pure import PureDesk

BTC, EUR = Asset("BTC", 8), Asset("EUR", 2)


def with_agreement(desk: PureDesk, ref: str, **fields: Any) -> UUID:
    """Let there be one more document in the lane."""
    told: dict[str, Any] = {"type": "general", "version": 2, "effective_at": START, "title": ref, "url": "u", **fields}
    agreement = Agreement(id=agreement_id(ref), **told)
    desk.put(agreement)
    settings = desk.get(BrokerageTerms, ONLY)
    desk.put(settings.with_(agreement_ids=(*settings.agreement_ids, agreement.id)))
    return agreement.id


def may_trade(desk: PureDesk, party: UUID = U, arrived_at: datetime | None = None, **asked: Any) -> bool:
    command = quoting(party_id=party, **asked)
    before = dict(desk.rows)
    try:
        desk.act(command, owner_id=P, arrived_at=arrived_at)
    except Refusal as refusal:
        if refusal.code is not Code.AGREEMENTS_NOT_ACCEPTED:
            raise
        return False
    finally:
        desk.rows = before
    return True


def test_who_accepted_nothing_may_not_trade_until_it_does() -> None:
    desk = brokerage_desk()
    assert not may_trade(desk, NO_TERMS)
    desk.act(AcceptAgreements(party_id=NO_TERMS, agreement_ids=(agreement_id("general-1"),)), owner_id=P)
    assert may_trade(desk, NO_TERMS)


def test_a_newer_version_must_be_accepted_again_and_then_the_older_no_more() -> None:
    desk = brokerage_desk()
    newer = with_agreement(desk, "general-2")
    assert not may_trade(desk)
    desk.act(AcceptAgreements(party_id=U, agreement_ids=(newer,)), owner_id=P)
    assert may_trade(desk)
    desk.put(desk.get(Party, NO_TERMS).with_(accepted_agreement_ids=(newer,)))
    assert may_trade(desk, NO_TERMS)


def test_an_older_version_that_is_listed_later_does_not_count() -> None:
    desk = brokerage_desk()
    newer = with_agreement(desk, "general-3", version=3)
    with_agreement(desk, "general-2")
    desk.put(desk.get(Party, U).with_(accepted_agreement_ids=(newer,)))
    assert may_trade(desk)


def test_of_equal_versions_the_first_listed_counts() -> None:
    desk = brokerage_desk()
    with_agreement(desk, "general-1b", version=1)
    assert may_trade(desk)


def test_a_version_counts_from_its_very_moment_by_the_arrival_of_the_request() -> None:
    desk = brokerage_desk()
    at = START + timedelta(seconds=30)
    with_agreement(desk, "general-2", effective_at=at)
    desk.clock.set(at + timedelta(seconds=5))
    assert may_trade(desk, arrived_at=at - timedelta(microseconds=1))
    assert not may_trade(desk, arrived_at=at)


@pytest.mark.parametrize(
    "fields, counts",
    [
        ({"type": "privacy", "version": 1}, True),
        ({"type": "privacy", "mandatory": False}, False),
        ({"mandatory": False}, False),  # the latest is not asked for, so none of its type is
        ({"type": "privacy", "country": "IT"}, True),
        ({"type": "privacy", "country": "AT"}, False),
        ({"type": "privacy", "account_type": "business_user"}, False),
        ({"type": "privacy", "journeys": ("trading_coin_buy",)}, True),
        ({"type": "privacy", "journeys": ("trading_coin_sell",)}, False),
        ({"type": "privacy", "journeys": ("trading_metals_buy", "onboarding")}, True),
        ({"type": "privacy", "journeys": ()}, False),
    ],
)
def test_which_documents_count_for_a_purchase_of_coin(fields: dict[str, Any], counts: bool) -> None:
    desk = brokerage_desk()  # U is in Italy, and a person
    with_agreement(desk, "another", **fields)
    assert may_trade(desk) is not counts


def test_a_document_of_one_country_is_for_nobody_whose_country_is_unknown() -> None:
    desk = brokerage_desk()
    with_agreement(desk, "another", type="privacy", country="AT")
    assert desk.get(Party, V).country is None
    assert may_trade(desk, V)


def test_a_document_of_another_kind_of_account_is_no_version_of_ones_own() -> None:
    desk = brokerage_desk()
    with_agreement(desk, "general-business", account_type="business_user")
    assert may_trade(desk)
    desk.put(desk.get(Party, U).with_(account_type="business_user"))
    assert not may_trade(desk)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_shares_need_their_own_document(side: str) -> None:
    desk = brokerage_desk()
    asked: dict[str, Any] = {"side": side, "asset": "SHARE", "defined_for": "asset", "amount": "1"}
    assert not may_trade(desk, U, **asked)
    if side == "buy":
        assert may_trade(desk, V, **asked)


def price_of(desk: PureDesk, party: UUID = U, side: str = "buy") -> Decimal:
    before = dict(desk.rows)
    price = quoted(desk, side, "0.01", "asset", party_id=party).quote.price
    desk.rows = before
    return price


def test_the_margin_is_against_the_party_and_its_levels() -> None:
    desk = brokerage_desk()
    assert (price_of(desk), price_of(desk, side="sell")) == (Decimal(51_000), Decimal(49_000))  # the default level
    assert (price_of(desk, V), price_of(desk, V, "sell")) == (Decimal(50_250), Decimal(49_750))
    standing: dict[str, Any] = {"party_id": U, "status": "active", "tax_bps": None}
    desk.act(SetParty(level_id=level_id("vip"), **standing))
    assert price_of(desk) == 50_250
    desk.act(SetParty(level_id=None, **standing))
    assert price_of(desk) == 51_000


def test_without_any_level_there_is_no_margin() -> None:
    desk = brokerage_desk()
    desk.put(desk.get(BrokerageTerms, ONLY).with_(default_level_id=None))
    assert price_of(desk) == price_of(desk, side="sell") == 50_000


def test_prices_are_rounded_against_the_party() -> None:
    desk = brokerage_desk()
    price = desk.get(Price, ("BTC", "EUR"))
    desk.put(price.with_(feed_rate=Decimal("1000.00000051")))
    assert price_of(desk) == Decimal("1020.00000053")
    assert price_of(desk, side="sell") == Decimal("980.00000049")


def test_a_price_that_the_margin_eats_up_is_none() -> None:
    desk = brokerage_desk()
    desk.put(desk.get(Price, ("BTC", "EUR")).with_(feed_rate=Decimal("0.00000001")))
    assert desk.refuse(quoting("sell", "0.01", "asset"), owner_id=P) is Code.PRICE_UNAVAILABLE


def position(units: int, basis_units: int) -> Position:
    return Position(party_id=U, asset="BTC", fiat="EUR", units=units, basis_units=basis_units)


@pytest.mark.parametrize(
    "held, sold, total, tax_bps, tax, gain",
    [
        ((5_000_000, 200_000), 1_000_000, 49_000, 2_600, 2_340, 9_000),  # as worked out in contract 6
        ((5_000_000, 200_000), 1_000_000, 49_000, None, 0, 9_000),
        ((5_000_000, 200_000), 1_000_000, 49_000, 0, 0, 9_000),
        ((5_000_000, 200_000), 1_000_000, 40_000, 2_600, 0, 0),
        ((5_000_000, 200_000), 1_000_000, 39_999, 2_600, 0, -1),
        ((5_000_000, 200_000), 5_000_000, 200_050, 10_000, 50, 50),
        ((100, 0), 100, 1, 5_000, 1, 1),  # half a cent is a cent
        ((100, 0), 100, 1, 4_999, 0, 1),
        ((0, 0), 100, 1_000, 2_600, 0, None),
        ((50, 100), 100, 1_001, 10_000, 400, 400),  # of the half that was bought here, for 500 of 1001
        ((100, 0), 100, 1_000, 10_000, 1_000, 1_000),
    ],
)
def test_tax_is_on_the_gain(
    held: tuple[int, int], sold: int, total: int, tax_bps: int | None, tax: int, gain: int | None
) -> None:
    found = withheld(position(*held), Amount(sold, BTC), Amount(total, EUR), tax_bps)
    assert (found.tax, found.gain_units) == (Amount(tax, EUR), gain)


def test_of_what_was_never_bought_here_no_gain_is_known() -> None:
    found = withheld(None, Amount(1, BTC), Amount(1, EUR), 2_600)
    assert (found.tax.units, found.gain_units) == (0, None)
