"""The arithmetic of payouts, section 7 of the ramp contract, for every fiat, asset, price, fee and up to 38 digits.

What it says is said here with fractions; each example of the second test prepares, sells and settles on a desk in
memory, and the books must say the same.
"""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple
from uuid import UUID

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.actions.prepare_payout import PreparePayout
from otcdesk.actions.record_payout import RecordPayout, RecordReturn
from otcdesk.actions.sell_payout import SellPayout
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import EQUITY, TREASURY, Account, desk_account_id
from otcdesk.domain.parties import DESK_ID, Party
from otcdesk.domain.payouts import (
    CURRENT,
    Channel,
    Payment,
    PayoutTerms,
    Surcharge,
    cost_of,
    current_id,
    shares_of,
    surcharge_id,
)
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import RATE_MAX, UNITS_MAX, Amount, Asset, counted, less_spread
from tests.properties.test_brokerage_arithmetic import magnitudes
from tests.support.brokerage import assert_balanced
from tests.support.clocks import START
from tests.support.payouts import given as given_method
from tests.support.pure import PureDesk

#: The fiats of the contract, section 1, by their number of decimals (section 7).
FIATS_BY_SCALE = {
    0: {"JPY", "KRW", "CLP", "VND", "UGX", "RWF", "XAF", "XOF"},
    3: {"BHD", "KWD"},
    2: {
        *("AED", "ARS", "AUD", "BDT", "BMD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "DKK", "ETB", "EUR", "GBP"),
        *("GHS", "HKD", "HUF", "IDR", "ILS", "INR", "LKR", "MMK", "MWK", "MXN", "MYR", "NGN", "NOK", "NZD", "PHP"),
        *("PKR", "PLN", "RUB", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "VEF", "ZAR"),
    },
}
FIATS = [Asset(code, scale) for scale, codes in FIATS_BY_SCALE.items() for code in sorted(codes)]

TENANT, PARTY, CHANNEL = UUID(int=1), UUID(int=2), UUID(int=3)

#: Enough to sell whatever can be counted, and no more than can be booked beside it.
PLENTY = UNITS_MAX


class Case(NamedTuple):
    """One payout: what arrives of what, for which asset, at which price, and what it costs beside."""

    fiat: Asset
    asset: Asset
    arrives: int
    market: Decimal
    fixed_fee: int
    fee_percent: Decimal
    surcharge: Decimal
    spread_bps: int


fiats = st.sampled_from(FIATS)
assets = st.sampled_from([Asset("USDC", 6), Asset("BTC", 8), Asset("ETH", 18)])
percents = st.one_of(st.integers(0, 10**8), st.sampled_from([0, 1, 500_000, 10**6, 10**8 - 1, 10**8])).map(
    lambda drawn: counted(drawn, 6)
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return Case(
        fiat=draw(fiats),
        asset=draw(assets),
        arrives=draw(magnitudes(1, 10**38)),
        market=counted(draw(magnitudes(1, RATE_MAX * 10**8)), 8),
        fixed_fee=draw(st.sampled_from([0, 1, 50]) | magnitudes(1, 10**12)),
        fee_percent=draw(percents),
        surcharge=draw(percents),
        spread_bps=draw(st.sampled_from([0, 1, 50, 9_999])),
    )


def channel_of(case: Case) -> Channel:
    return Channel(
        id=CHANNEL,
        category="bank",
        type="BankLocal",
        country="XX",
        fiat=case.fiat.code,
        min_units=1,
        max_units=None,
        fixed_fee_units=case.fixed_fee,
        fee_percent=case.fee_percent,
        spread_bps=case.spread_bps,
        processing_seconds=1,
        form_schema="{}",
        rail="payout",
        review_from_units=None,
    )


class Told(NamedTuple):
    """What section 7 makes of a case, in units."""

    rate: Fraction
    fee: int
    surcharge: int
    cost: int


def told(case: Case) -> Told | None:
    """Work section 7 out by fractions; None where the spread leaves no price."""
    rate = Fraction(case.market) * (10_000 - case.spread_bps) / 10_000
    rate = Fraction(int(rate * 10**6), 10**6)
    if rate == 0:
        return None
    fee = case.fixed_fee + ceil(case.arrives * Fraction(case.fee_percent) / 100)
    surcharge = ceil(case.arrives * Fraction(case.surcharge) / 100)
    fiat = Fraction(case.arrives + fee + surcharge, 10**case.fiat.scale)
    return Told(rate, fee, surcharge, ceil(fiat / rate * 10**case.asset.scale))


def test_the_contract_lists_53_fiats() -> None:
    assert len(FIATS) == len({fiat.code for fiat in FIATS}) == 53


@given(case=cases())
def test_what_is_charged_covers_what_arrives_and_its_fees_by_less_than_a_last_unit(case: Case) -> None:
    rate = less_spread(case.market, case.spread_bps)
    expected = told(case)
    if expected is None:
        assert rate == 0
        return
    arrives = Amount(case.arrives, case.fiat)
    cost = cost_of(arrives, channel_of(case), case.surcharge, rate, case.asset)
    assert (cost.fee.units, cost.surcharge.units, cost.asset.units) == expected[1:]
    owed = Fraction((arrives + cost.fees).units, 10**case.fiat.scale)
    charged, last = Fraction(cost.asset.units, 10**case.asset.scale), Fraction(1, 10**case.asset.scale)
    assert charged * Fraction(rate) >= owed > (charged - last) * Fraction(rate)
    payment = Payment(
        order_id=TENANT,
        tenant_id=TENANT,
        kind="payout",
        asset=case.asset.code,
        fiat=case.fiat.code,
        fiat_units=case.arrives,
        fee_units=cost.fee.units,
        surcharge_units=cost.surcharge.units,
        rate=rate,
    )
    shares = shares_of(payment, cost.asset.units, case.asset, case.fiat)
    assert sum(share.units for share in shares) == cost.asset.units
    assert [share.kind for share in shares] == [
        kind for kind in ("fee", "surcharge", "remaining") if kind in {share.kind for share in shares}
    ]
    for share in shares:
        assert share.units > 0
        exact = {"fee": cost.fee, "surcharge": cost.surcharge, "remaining": arrives}[share.kind].units
        worth = Fraction(exact, 10**case.fiat.scale) / Fraction(rate) * 10**case.asset.scale
        if share.kind == "remaining":
            assert worth <= share.units < worth + 3  # what the cut fees leave, and what rounding up added
        else:
            assert worth - 1 < share.units <= worth


def desk_of(case: Case) -> PureDesk:
    """Set the stage for one payout."""
    desk = PureDesk(world=None)
    current, treasury = current_id(TENANT, case.asset.code), desk_account_id(TREASURY, case.fiat.code)
    for row in (
        ListedAsset(code=case.asset.code, scale=case.asset.scale),
        ListedAsset(code=case.fiat.code, scale=case.fiat.scale),
        channel_of(case),
        PayoutTerms(),
        Surcharge(tenant_id=TENANT, percent=case.surcharge),
        Party(id=PARTY, tenant_id=TENANT, external_id="p", created_at=START),
        Price(
            source_asset=case.asset.code,
            destination_asset=case.fiat.code,
            feed_rate=case.market,
            feed_source="feed",
            feed_at=START,
        ),
        Account(id=current, owner_id=TENANT, purpose=CURRENT, asset=case.asset.code, balance=PLENTY),
        Account(id=treasury, owner_id=DESK_ID, purpose=TREASURY, asset=case.fiat.code, balance=PLENTY),
    ):
        desk.put(row)
    for code in (case.asset.code, case.fiat.code):
        equity = desk_account_id(EQUITY, code)
        desk.put(Account(id=equity, owner_id=DESK_ID, purpose=EQUITY, asset=code, floor=None, balance=-PLENTY))
    return desk


def amount(units: int, scale: int) -> Decimal:
    return Decimal((0, tuple(map(int, str(units))), -scale))


def asked(desk: PureDesk, command: Command, key: str | None = None) -> Any:
    """Return the answer, a refusal as its code."""
    try:
        return desk.act(command, owner_id=TENANT, key=key)
    except Refusal as refusal:
        return refusal.code


def units_at(desk: PureDesk, account_id: UUID) -> int:
    row = desk.rows.get((Account, account_id))
    return row.balance if isinstance(row, Account) else 0


@given(case=cases(), returned=st.integers(1, 10**38))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.too_slow])
def test_every_figure_and_every_balance_is_section_7s(case: Case, returned: int) -> None:
    desk, expected = desk_of(case), told(case)
    arrives = amount(case.arrives, case.fiat.scale)
    prepare = PreparePayout(
        channel_id=CHANNEL, asset=case.asset.code, arrives=arrives, party_id=PARTY, given=given_method()
    )
    too_large = expected is not None and (
        expected.cost > UNITS_MAX or case.arrives + expected.fee + expected.surcharge > UNITS_MAX
    )
    if expected is None or too_large:
        hypothesis.event("refused")
        code = Code.PRICE_UNAVAILABLE if expected is None else Code.AMOUNT_TOO_LARGE
        assert desk.refuse(prepare, owner_id=TENANT) is code
        return
    hypothesis.event("paid")
    reply = desk.act(prepare, owner_id=TENANT)
    assert (reply.fee_units, reply.surcharge_units, reply.cost_units) == expected[1:]
    assert reply.ceiling_units == ceil(Fraction(expected.cost * 101, 100))
    sell = SellPayout(
        prepared_id=reply.prepared.id,
        asset=case.asset.code,
        arrives=arrives,
        ceiling=amount(expected.cost, case.asset.scale),
    )
    order = desk.act(sell, owner_id=TENANT, key="n").order
    paid = RecordPayout(order_id=order.id, reference=order.rail_reference or "", outcome="done")
    assert desk.act(paid).order.state == "settled"
    opened = {
        current_id(TENANT, case.asset.code): PLENTY - expected.cost,
        desk_account_id(TREASURY, case.asset.code): expected.cost,
        desk_account_id(TREASURY, case.fiat.code): PLENTY - case.arrives - expected.fee - expected.surcharge,
        desk_account_id("outside", case.fiat.code): case.arrives,
        desk_account_id("fee_income", case.fiat.code): expected.fee,
        surcharge_id(TENANT, case.fiat.code): expected.surcharge,
    }
    assert {account_id: units_at(desk, account_id) for account_id in opened} == opened
    assert_balanced(desk)
    _comes_back(desk, case, expected, order.id, min(returned, case.arrives))


def _comes_back(desk: PureDesk, case: Case, expected: Told, order_id: UUID, units: int) -> None:
    """What comes back is worth at most what it was sold for, by less than a last unit."""
    worth = Fraction(units, 10**case.fiat.scale) / expected.rate * 10**case.asset.scale
    before = units_at(desk, current_id(TENANT, case.asset.code))
    answer = asked(desk, RecordReturn(order_id=order_id, fiat_units=units, reference="r"))
    if worth < 1:
        assert answer is Code.AMOUNT_TOO_SMALL
        return
    back = answer.order
    assert worth - 1 < back.destination_units <= worth
    assert units_at(desk, current_id(TENANT, case.asset.code)) == before + back.destination_units <= PLENTY
    assert_balanced(desk)


digits = magnitudes(1, 10**38 - 1)
places = st.integers(0, 3) | st.integers(0, 38)


@given(fiat=fiats, asset=assets, arrives=st.builds(amount, digits, places), ceiling=st.builds(amount, digits, places))
def test_no_input_of_38_digits_is_answered_but_by_a_sale_or_a_named_refusal(
    fiat: Asset, asset: Asset, arrives: Decimal, ceiling: Decimal
) -> None:
    case = Case(fiat, asset, 1, Decimal("0.92"), 50, Decimal(1), Decimal("0.5"), 0)
    desk = desk_of(case)
    fine = (Fraction(arrives) * 10**fiat.scale).denominator != 1
    prepare = PreparePayout(
        channel_id=CHANNEL, asset=asset.code, arrives=arrives, party_id=PARTY, given=given_method(), delayed=True
    )
    answer = asked(desk, prepare)
    if isinstance(answer, Code):
        hypothesis.event(answer.name)
        assert answer is (Code.AMOUNT_TOO_FINE if fine else Code.AMOUNT_TOO_LARGE)
        return
    assert not fine
    expected = told(case._replace(arrives=answer.prepared.fiat_units))
    assert expected is not None
    exceeds = expected.cost > Fraction(ceiling) * 10**asset.scale
    sell = SellPayout(prepared_id=answer.prepared.id, asset=asset.code, arrives=arrives, ceiling=ceiling)
    sold = asked(desk, sell, "n")
    hypothesis.event(sold.name if isinstance(sold, Code) else "sold")
    if exceeds:
        assert sold is Code.CEILING_EXCEEDED
    else:
        assert sold.order.source_units == expected.cost
