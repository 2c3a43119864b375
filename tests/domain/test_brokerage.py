"""The brokerage machine pair by pair, and what its nouns say of themselves."""

from datetime import timedelta
from decimal import Decimal
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.brokerage import (
    BROKERAGE,
    BROKERAGE_ORDER,
    FirmQuote,
    Listing,
    Position,
    corporate_id,
    event_of,
    holding_id,
    moved,
)
from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.machine import IllegalMove
from tests.support.clocks import START

# Written down a second time, so that a slip in the table shows (offers contract 4).
EXPECTED: dict[str, dict[str, str]] = {
    "created": {"accept": "in_progress", "expire": "expired"},
    "in_progress": {"finish": "finished", "fail": "failed"},
    "finished": {},
    "failed": {},
    "expired": {},
}

ONE, TWO = UUID(int=1), UUID(int=2)

counts = st.integers(0, 10**38)


def order(side: str = BUY, state: str = "created") -> Order:
    return Order(
        id=ONE,
        tenant_id=TWO,
        product="brokerage",
        side=side,
        state=state,
        version=1,
        source_account_id=ONE,
        source_asset="EUR",
        source_units=10_000,
        destination_account_id=TWO,
        destination_asset="BTC",
        destination_units=196_078,
        rate=Decimal(51_000),
        quoted_rate=Decimal(51_000),
        quoted_by="test",
        quoted_at=START,
        market_rate=Decimal(50_000),
        market_source="fixed",
        market_at=START,
        ttl_seconds=60,
        expires_at=START + timedelta(seconds=60),
        due_at=START + timedelta(seconds=60) if state == "created" else None,
        created_at=START,
        updated_at=START,
    )


def firm_quote(**fields: object) -> FirmQuote:
    told: dict[str, object] = {
        "order_id": ONE,
        "tenant_id": TWO,
        "party_id": TWO,
        "asset": "BTC",
        "fiat": "EUR",
        "defined_for": "fiat",
        "by_pid": False,
        "asset_units": 196_078,
        "total_units": 10_000,
        "tax_units": 0,
        "fiat_units": 10_000,
        "gain_units": None,
        "price": Decimal(51_000),
        "reference": Decimal(50_000),
        "margin_bps": 200,
        "spread": Decimal("1.96078"),
        "broker_cost": Decimal("0.25"),
        "revenue_share_bps": 0,
        "warnings": (),
    }
    return FirmQuote(**{**told, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("state, event", [*product(EXPECTED, sorted(BROKERAGE_ORDER.events))])
def test_every_state_meets_every_event(side: str, state: str, event: str) -> None:
    at = START + timedelta(seconds=5)
    if event not in EXPECTED[state]:
        assert not BROKERAGE.allows(order(side, state), event)
        with pytest.raises(IllegalMove):
            moved(order(side, state), event, at)
        return
    assert BROKERAGE.allows(order(side, state), event)
    after = moved(order(side, state), event, at)
    assert (after.state, after.version, after.updated_at, after.due_at) == (EXPECTED[state][event], 2, at, None)
    assert after.ended_at == (None if after.state == "in_progress" else at)
    assert after.waits_for == ("venue" if after.state == "in_progress" else None)


def test_every_state_is_expected() -> None:
    assert BROKERAGE_ORDER.states == set(EXPECTED)
    assert BROKERAGE_ORDER.start == "created"
    assert {"finished", "failed", "expired"} == BROKERAGE_ORDER.ends == BROKERAGE.ended


def test_a_quote_expires_by_the_clock_at_its_time_and_not_before() -> None:
    made, due = order(), START + timedelta(seconds=60)
    assert BROKERAGE.by_the_clock(made, due - timedelta(microseconds=1)) is made
    expired = BROKERAGE.by_the_clock(made, due + timedelta(days=1))
    assert (expired.state, expired.updated_at, expired.ended_at) == ("expired", due, due)


@pytest.mark.parametrize("state", ["in_progress", "finished", "failed", "expired"])
def test_no_other_state_ends_by_the_clock(state: str) -> None:
    """An order in progress cannot expire (offers contract 4)."""
    assert BROKERAGE.overdue_event(order(state=state), START + timedelta(days=365)) is None


def test_events_are_named_after_the_product() -> None:
    after = moved(order(), "accept", START)
    event = event_of(after, "accept", "client", "said")
    assert (event.name, event.state, event.order_version, event.caller, event.detail) == (
        "brokerage.accept",
        "in_progress",
        2,
        "client",
        "said",
    )
    assert (event.rate, event.destination_units) == (after.rate, after.destination_units)


def test_accounts_of_parties_and_tenants_have_ids_of_their_own() -> None:
    ids = {make(who, asset) for make in (holding_id, corporate_id) for who in (ONE, TWO) for asset in ("EUR", "BTC")}
    assert len(ids) == 8
    assert holding_id(ONE, "BTC") == holding_id(ONE, "BTC")


@pytest.mark.parametrize("buys, sells", [*product([True, False], repeat=2)])
def test_a_listing_is_enabled_for_each_side(buys: bool, sells: bool) -> None:
    listing = Listing(code="BTC", kind="asset", number=1, pid=ONE, name="Bitcoin", buy_enabled=buys, sell_enabled=sells)
    assert (listing.enabled(BUY), listing.enabled(SELL)) == (buys, sells)


def test_what_the_spread_leaves_after_cost_as_worked_out_in_the_contract() -> None:
    assert firm_quote().fees_after_cost == Decimal("1.71078")
    assert firm_quote(spread=Decimal(10)).fees_after_cost == Decimal("9.75")
    assert firm_quote(spread=Decimal("0.1")).fees_after_cost == Decimal("-0.15")


def test_a_tenants_share_is_cut_and_nothing_of_a_loss() -> None:
    assert firm_quote().revenue_share == 0
    assert firm_quote(revenue_share_bps=2_000).revenue_share == Decimal("0.342156")
    assert firm_quote(revenue_share_bps=3_333).revenue_share == Decimal("0.57020297")  # 0.570202974
    assert firm_quote(revenue_share_bps=10_000, spread=Decimal("0.2")).revenue_share == 0


def test_fees_of_any_length_lose_no_digit() -> None:
    spread = Decimal("123456789012345678901234567890123456.12345678")
    huge = firm_quote(spread=spread, broker_cost=Decimal("0.00000001"), revenue_share_bps=10_000)
    assert str(huge.fees_after_cost) == "123456789012345678901234567890123456.12345677"
    assert huge.revenue_share == huge.fees_after_cost


def position(units: int = 5_000_000, basis_units: int = 200_000) -> Position:
    return Position(party_id=ONE, asset="BTC", fiat="EUR", units=units, basis_units=basis_units)


@pytest.mark.parametrize(
    "held, basis, sold, expected",
    [
        (5_000_000, 200_000, 1_000_000, 40_000),  # the contract's: 0.01 of 0.05 BTC that cost 2000.00
        (3, 100, 1, 33),
        (3, 100, 2, 67),
        (2, 1, 1, 1),  # half a cent is a cent
        (3, 100, 3, 100),
        (3, 100, 4, 100),  # of what was not bought here nothing is known
        (0, 0, 5, 0),
        (10**38, 10**38 - 1, 10**37, 10**37),
    ],
)
def test_cost_basis_is_an_average_to_the_nearest(held: int, basis: int, sold: int, expected: int) -> None:
    assert position(held, basis).basis_of(sold) == expected


@given(held=counts, basis=counts, sold=counts)
def test_selling_takes_the_basis_along(held: int, basis: int, sold: int) -> None:
    before = position(held, basis if held else 0)
    after = before.after_selling(sold)
    assert after.units == max(held - sold, 0)
    assert after.basis_units == before.basis_units - before.basis_of(sold) >= 0
    if after.units == 0:
        assert after.basis_units == 0
    else:
        assert abs(2 * (before.basis_of(sold) * held - before.basis_units * sold)) <= held


@given(held=counts, basis=counts, bought=counts, cost=counts)
def test_buying_adds_what_it_cost(held: int, basis: int, bought: int, cost: int) -> None:
    after = position(held, basis).after_buying(bought, cost, "EUR")
    assert (after.units, after.basis_units) == (held + bought, basis + cost)


def test_what_is_bought_for_another_fiat_has_a_basis_only_where_there_is_none() -> None:
    assert position().after_buying(1, 1, "CHF") == position()
    begun = position(0, 0).after_buying(3, 5, "CHF")
    assert (begun.fiat, begun.units, begun.basis_units) == ("CHF", 3, 5)


@given(held=counts, basis=counts, balance=counts)
def test_a_position_is_never_of_more_than_there_is(held: int, basis: int, balance: int) -> None:
    before = position(held, basis if held else 0)
    after = before.within(balance)
    assert after.units == min(held, balance)
    assert after == (before if held <= balance else before.after_selling(held - balance))
