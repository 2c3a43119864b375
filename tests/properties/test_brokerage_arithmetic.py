"""The arithmetic of brokerage, R1 to R9 of the offers contract, for all amounts, prices, scales, margins and shares.

Each example quotes, accepts and executes a trade on a desk in memory, and every figure and balance must be the
oracle's, which works with fractions and shares no code with the product.
"""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import (
    BROKER_COST,
    CORPORATE,
    HOLDING,
    REVENUE_SHARE,
    SPREAD_INCOME,
    TAX_PAYABLE,
    VENUE_POSITION,
    AccountLevel,
    BrokerageTerms,
    FirmQuote,
    Listing,
    Market,
    Position,
    RevenueShare,
    corporate_id,
    holding_id,
)
from otcdesk.domain.ledger import EQUITY, Account, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID, Party
from otcdesk.domain.pricing import Price
from otcdesk.errors import Refusal
from otcdesk.money import RATE_MAX
from tests.support import brokerage_oracle as oracle
from tests.support.brokerage import assert_balanced, done
from tests.support.brokerage_oracle import CENT, STEP, Figures, Terms, decimal_of
from tests.support.clocks import START
from tests.support.pure import PureDesk

TENANT, PARTY, LEVEL = UUID(int=1), UUID(int=2), UUID(int=3)

#: Enough for every trade that can be counted.
PLENTY = 10**38


class Case(NamedTuple):
    """One trade: its terms, what is asked for, and the venue's price."""

    terms: Terms
    amount: Fraction
    defined_for: str
    venue_price: Fraction


def magnitudes(least: int, most: int) -> st.SearchStrategy[int]:
    """Draw whole numbers of every length alike."""
    lengths = st.integers(len(str(least)), len(str(most)))
    return lengths.flatmap(lambda length: st.integers(max(least, 10 ** (length - 1)), min(most, 10**length - 1)))


bps = st.one_of(st.integers(0, 10_000), st.sampled_from([0, 1, 50, 200, 2_600, 9_999, 10_000])).map(
    lambda drawn: Fraction(drawn, 10_000)
)
prices = st.one_of(magnitudes(1, RATE_MAX * 10**8), st.just(50_000 * 10**8)).map(lambda drawn: drawn * STEP)
cents = magnitudes(1, 10**38).map(lambda drawn: drawn * CENT)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    decimals = draw(st.integers(0, 18))
    held = Fraction(draw(magnitudes(1, PLENTY)), 10**decimals)
    terms = Terms(
        side=draw(st.sampled_from(["buy", "sell"])),
        reference=draw(prices),
        margin=min(draw(bps), Fraction(9_999, 10_000)),
        decimals=decimals,
        least=draw(st.sampled_from([CENT, Fraction(1)])),
        most=draw(st.none() | st.just(Fraction(10**6))),
        cost=draw(st.sampled_from([0, 1, 25_000_000, 10**12])) * STEP,
        share=draw(bps),
        tax_rate=draw(st.none() | bps),
        basis=draw(st.none() | cents.map(lambda cost: (held, cost))),
    )
    defined_for = draw(st.sampled_from(["fiat", "asset"]))
    places = min(decimals, 8)
    amount = draw(cents) if defined_for == "fiat" else Fraction(draw(magnitudes(1, 10**38)), 10**places)
    if draw(st.booleans()):  # what is about as much as can be traded at all
        worth = Fraction(draw(st.integers(1, 10**9)), draw(st.integers(1, 10**4)))
        amount = (
            oracle.nearest(worth, CENT)
            if defined_for == "fiat"
            else oracle.up(worth / terms.reference, Fraction(1, 10**places))
        )
        amount = amount or CENT
    moved = Fraction(draw(st.integers(5_000, 15_000)), 10_000)
    return Case(terms, amount, defined_for, max(oracle.nearest(terms.reference * moved, STEP), STEP))


def desk_of(terms: Terms) -> PureDesk:
    """Set the stage for one trade of X for EUR."""
    desk = PureDesk(world=None)
    cost = decimal_of(terms.cost, 8)
    most = None if terms.most is None else int(terms.most / CENT)
    for row in (
        ListedAsset(code="X", scale=terms.decimals),
        ListedAsset(code="EUR", scale=2),
        Listing(code="X", kind="asset", number=1, pid=UUID(int=11), name="X"),
        Listing(code="EUR", kind="fiat", number=1, pid=UUID(int=12), name="EUR"),
        Market(asset="X", fiat="EUR", total_min=int(terms.least / CENT), total_max=most, broker_cost=cost),
        AccountLevel(id=LEVEL, name_key="l", margin_bps=int(terms.margin * 10_000)),
        BrokerageTerms(default_level_id=LEVEL),
        RevenueShare(tenant_id=TENANT, revenue_share_bps=int(terms.share * 10_000)),
        Party(id=PARTY, tenant_id=TENANT, external_id="p", created_at=START),
        Price(
            source_asset="X",
            destination_asset="EUR",
            feed_rate=decimal_of(terms.reference, 8),
            feed_source="feed",
            feed_at=START,
        ),
    ):
        desk.put(row)
    for account_id, owner_id, purpose, asset in (
        (corporate_id(TENANT, "EUR"), TENANT, CORPORATE, "EUR"),
        (holding_id(PARTY, "X"), PARTY, HOLDING, "X"),
    ):
        desk.put(Account(id=account_id, owner_id=owner_id, purpose=purpose, asset=asset, balance=PLENTY))
        equity = desk_account_id(EQUITY, asset)
        desk.put(Account(id=equity, owner_id=DESK_ID, purpose=EQUITY, asset=asset, floor=None, balance=-PLENTY))
    if terms.basis is not None:
        held, cost_of_it = terms.basis
        position = Position(
            party_id=PARTY,
            asset="X",
            fiat="EUR",
            units=int(held * 10**terms.decimals),
            basis_units=int(cost_of_it / CENT),
        )
        desk.put(position)
    return desk


def asked(case: Case) -> QuoteBrokerage:
    rate = case.terms.tax_rate
    return QuoteBrokerage(
        party_id=PARTY,
        side=case.terms.side,
        asset="X",
        fiat="EUR",
        amount=decimal_of(case.amount, 2 if case.defined_for == "fiat" else 8),
        defined_for=case.defined_for,
        tax_bps=None if rate is None else int(rate * 10_000),
    )


def told(terms: Terms, amount: Fraction, defined_for: str) -> Figures | oracle.Refused:
    """Return what the oracle says, a refusal as a value."""
    try:
        return oracle.quote(terms, amount, defined_for)
    except oracle.Refused as refused:
        return refused


def said(quote: FirmQuote, decimals: int) -> Figures:
    gain = quote.gain_units
    return Figures(
        price=Fraction(quote.price),
        quantity=Fraction(quote.asset_units, 10**decimals),
        total=quote.total_units * CENT,
        tax=quote.tax_units * CENT,
        gain=None if gain is None else gain * CENT,
        spread=Fraction(quote.spread),
        after_cost=Fraction(quote.fees_after_cost),
        share=Fraction(quote.revenue_share),
    )


@given(case=cases())
@hypothesis.example(Case(Terms("buy", Fraction(1, 3) // STEP * STEP, Fraction(0), 8), Fraction(1), "fiat", STEP))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_every_figure_and_every_balance_is_the_oracles(case: Case) -> None:
    terms = case.terms
    desk = desk_of(terms)
    expected = told(terms, case.amount, case.defined_for)
    if isinstance(expected, oracle.Refused):
        hypothesis.event(str(expected))
        assert desk.refuse(asked(case), owner_id=TENANT).name == str(expected)
        return
    hypothesis.event("traded")
    reply = desk.act(asked(case), owner_id=TENANT)
    assert said(reply.quote, terms.decimals) == expected
    _assert_rules(case, expected, reply.quote)
    accept = AcceptQuote(order_id=reply.order.id, party_id=PARTY, external_id=None, repeats=False)
    assert desk.act(accept, owner_id=TENANT).state == "in_progress"
    order = desk.get(Order, reply.order.id)
    venue_price = decimal_of(case.venue_price, 8)
    assert desk.act(done(order, str(venue_price)), caller="venue").order.state == "finished"
    _assert_booked(case, expected, desk)
    assert_balanced(desk)


def _assert_rules(case: Case, figures: Figures, quote: FirmQuote) -> None:
    """Say the contract's rules once more, as it says them."""
    terms, price = case.terms, figures.price
    worth = figures.quantity * price
    assert quote.total_units == quote.fiat_units + quote.tax_units  # R1
    assert quote.fiat_units > 0
    exact = terms.reference * ((1 + terms.margin) if terms.side == "buy" else (1 - terms.margin))
    if terms.side == "buy":
        assert 0 <= price - exact < STEP  # R6
    else:
        assert 0 <= exact - price < STEP
    if case.defined_for == "fiat" and terms.decimals >= 8:
        assert figures.total == case.amount  # R2
        assert 0 <= figures.total - worth < price * STEP  # R4
    else:
        assert abs(figures.total - worth) <= CENT / 2  # R3, R4
    if case.defined_for == "fiat":
        assert figures.total <= case.amount
    else:
        assert figures.quantity == case.amount
    assert 0 <= figures.tax < figures.total  # R5
    assert figures.tax == 0 or terms.side == "sell"
    assert abs(figures.spread - figures.quantity * abs(price - terms.reference)) <= STEP / 2  # R7
    assert figures.after_cost == figures.spread - terms.cost  # R8
    assert 0 <= figures.share <= max(figures.after_cost, Fraction(0))  # R9
    assert max(quote.asset_units, quote.total_units) <= 10**38


def _assert_booked(case: Case, figures: Figures, desk: PureDesk) -> None:
    terms, buys = case.terms, case.terms.side == "buy"
    income = oracle.left_over(terms.side, figures, case.venue_price)
    cost, share = oracle.nearest(terms.cost, CENT), oracle.down(figures.share, CENT)
    paid = figures.total if buys else figures.tax - figures.total  # by the tenant
    expected = {
        corporate_id(TENANT, "EUR"): PLENTY * CENT - paid,
        holding_id(PARTY, "X"): Fraction(PLENTY, 10**terms.decimals)
        + (figures.quantity if buys else -figures.quantity),
        desk_account_id(SPREAD_INCOME, "EUR"): income - cost - share,
        desk_account_id(BROKER_COST, "EUR"): cost,
        desk_account_id(REVENUE_SHARE, "EUR"): share,
        desk_account_id(TAX_PAYABLE, "EUR"): figures.tax,
        desk_account_id(VENUE_POSITION, "X"): -figures.quantity if buys else figures.quantity,
        desk_account_id(VENUE_POSITION, "EUR"): (figures.total if buys else -figures.total) - income,
    }
    for account_id, worth in expected.items():
        account = desk.rows.get((Account, account_id))
        units = account.balance if isinstance(account, Account) else 0
        one = 100 if not isinstance(account, Account) or account.asset == "EUR" else 10**terms.decimals
        assert Fraction(units, one) == worth, account
    position = desk.get(Position, (PARTY, "X"))
    held, basis = oracle.basis_after(terms.side, terms.basis, figures.quantity, figures.total)
    assert (Fraction(position.units, 10**terms.decimals), position.basis_units * CENT) == (held, basis)


@given(
    decimals=st.integers(0, 18),
    places=st.integers(0, 20),
    units=magnitudes(1, 10**30),
    defined_for=st.sampled_from(["fiat", "asset"]),
)
def test_an_amount_finer_than_what_it_measures_is_refused(
    decimals: int, places: int, units: int, defined_for: str
) -> None:
    desk = desk_of(Terms("buy", Fraction(50_000), Fraction(0), decimals))
    amount = Fraction(units, 10**places)
    finest = 2 if defined_for == "fiat" else min(decimals, 8)
    command = QuoteBrokerage(
        party_id=PARTY,
        side="buy",
        asset="X",
        fiat="EUR",
        amount=Decimal((0, tuple(map(int, str(units))), -places)),
        defined_for=defined_for,
    )
    try:
        desk.act(command, owner_id=TENANT)
        code = None
    except Refusal as refusal:
        code = refusal.code.name
    assert (code == "AMOUNT_TOO_FINE") == ((amount * 10**finest).denominator != 1)


@pytest.mark.parametrize(
    "side, amount, defined_for, tax_rate, expected",
    [
        ("buy", "100", "fiat", None, ("51000", "0.00196078", "100", "0", "1.96078", "1.71078")),
        ("sell", "0.01", "asset", "0.26", ("49000", "0.01", "490", "23.40", "10", "9.75")),
        ("buy", "0.0005", "asset", None, ("51000", "0.0005", "25.50", "0", "0.5", "0.25")),
    ],
)
def test_the_oracle_knows_the_contracts_worked_values(
    side: str, amount: str, defined_for: str, tax_rate: str | None, expected: tuple[str, ...]
) -> None:
    terms = Terms(
        side=side,
        reference=Fraction(50_000),
        margin=Fraction("0.02"),
        decimals=8,
        cost=Fraction("0.25"),
        tax_rate=None if tax_rate is None else Fraction(tax_rate),
        basis=(Fraction("0.05"), Fraction(2_000)),
    )
    found = oracle.quote(terms, Fraction(amount), defined_for)
    figures = (found.price, found.quantity, found.total, found.tax, found.spread, found.after_cost)
    assert figures == tuple(map(Fraction, expected))
    desk = desk_of(terms)
    reply = desk.act(asked(Case(terms, Fraction(amount), defined_for, Fraction(1))), owner_id=TENANT)
    assert said(reply.quote, 8) == found
