"""The payout's machine pair by pair, what a payout costs, and what its nouns say of themselves."""

from datetime import timedelta
from decimal import Decimal
from itertools import product
from uuid import UUID

import pytest

from otcdesk.domain.orders import BUY, SELL, Order
from otcdesk.domain.payouts import (
    AT_ONCE,
    BY_HAND,
    CREDIT,
    DEBIT,
    PAYOUT_ORDER,
    PAYOUTS,
    RAILS,
    Channel,
    Cost,
    Payment,
    PaymentMethod,
    PayoutTerms,
    PreparedPayout,
    Share,
    cost_of,
    current_id,
    event_of,
    moved,
    payment_method_id,
    return_id,
    shares_of,
    surcharge_id,
)
from otcdesk.machine import IllegalMove, Machine
from otcdesk.money import Amount, Asset
from tests.support.clocks import START

# Written down a second time, so that a slip in the table shows (ramp contract 4).
EXPECTED: dict[str, dict[str, str]] = {
    "created": {"submit": "pending"},
    "pending": {"hold": "held", "file": "filed", "settle": "settled", "fail": "failed"},
    "held": {"release": "pending", "cancel": "cancelling", "settle": "settled", "fail": "failed"},
    "filed": {"settle": "settled", "fail": "failed"},
    "cancelling": {"settle": "settled", "fail": "failed"},
    "settled": {},
    "failed": {},
}
EXPECTED_AT_ONCE: dict[str, dict[str, str]] = {"created": {"settle": "settled"}, "settled": {}}

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
LATER = START + timedelta(seconds=5)

EUR, YEN, DINAR = Asset("EUR", 2), Asset("JPY", 0), Asset("KWD", 3)
USDC, BTC = Asset("USDC", 6), Asset("BTC", 8)


def order(side: str = SELL, state: str = "pending") -> Order:
    return Order(
        id=ONE,
        tenant_id=TWO,
        product="payout",
        side=side,
        state=state,
        version=2,
        source_account_id=ONE,
        source_asset="USDC",
        source_units=110_326_087,
        destination_account_id=TWO,
        destination_asset="EUR",
        destination_units=10_000,
        rate=Decimal("0.92"),
        quoted_rate=Decimal("0.92"),
        quoted_by="test",
        quoted_at=START,
        market_rate=Decimal("0.92"),
        market_source="fixed",
        market_at=START,
        ttl_seconds=900,
        expires_at=START + timedelta(seconds=900),
        rail_reference="asked",
        created_at=START,
        updated_at=START,
    )


def channel(fixed_fee_units: int = 50, fee_percent: str = "1", fiat: str = "EUR") -> Channel:
    return Channel(
        id=THREE,
        category="bank",
        type="BankSepa",
        country="DE",
        fiat=fiat,
        min_units=1,
        max_units=None,
        fixed_fee_units=fixed_fee_units,
        fee_percent=Decimal(fee_percent),
        spread_bps=0,
        processing_seconds=1,
        form_schema="{}",
        rail="payout",
        review_from_units=None,
    )


@pytest.mark.parametrize("machine, expected", [(PAYOUT_ORDER, EXPECTED), (AT_ONCE, EXPECTED_AT_ONCE)])
def test_every_pair_of_state_and_event(machine: Machine, expected: dict[str, dict[str, str]]) -> None:
    assert machine.states == expected.keys()
    assert machine.start == "created"
    for state, event in product(machine.states, PAYOUT_ORDER.events):
        if event in expected[state]:
            assert machine.move(state, event) == expected[state][event]
        else:
            with pytest.raises(IllegalMove):
                machine.move(state, event)


def test_what_is_settled_or_failed_never_moves_again() -> None:
    assert PAYOUT_ORDER.ends == PAYOUTS.ended == {"settled", "failed"}
    assert AT_ONCE.ends == {"settled"}


def test_whatever_its_state_the_rail_can_say_how_a_payout_ended() -> None:
    """Holding, filing and cancelling do not unsay what a rail was asked (ramp contract 4)."""
    for state in PAYOUT_ORDER.states - PAYOUT_ORDER.ends - {PAYOUT_ORDER.start}:
        assert PAYOUT_ORDER.move(state, "settle") == "settled"
        assert PAYOUT_ORDER.move(state, "fail") == "failed"


def test_a_side_has_a_machine() -> None:
    assert PAYOUTS.machines == {SELL: PAYOUT_ORDER, BUY: AT_ONCE, CREDIT: AT_ONCE, DEBIT: AT_ONCE}


def test_a_payout_waits_for_its_rail_while_it_is_pending_or_cancelling() -> None:
    states = {
        state: moved(order(state=before), event, LATER).waits_for
        for before, moves in EXPECTED.items()
        for event, state in moves.items()
    }
    assert {state for state, waits_for in states.items() if waits_for} == {"pending", "cancelling"}
    assert {waits_for for waits_for in states.values() if waits_for} == {"payout"}
    assert moved(order(state="held"), "release", LATER, waits_for=BY_HAND).waits_for == "by_hand"
    assert RAILS == ("payout", "bank_file", "by_hand")


def test_a_move_is_one_version_on_and_an_end_has_its_time() -> None:
    held = moved(order(), "hold", LATER, reason="looked into")
    assert (held.state, held.version, held.updated_at, held.ended_at) == ("held", 3, LATER, None)
    assert moved(held, "settle", LATER).ended_at == LATER
    assert moved(held, "fail", LATER).ended_at == LATER


def test_no_deadline_moves_a_payout() -> None:
    assert not PAYOUTS.overdue
    late = START + timedelta(days=900)
    for state in EXPECTED:
        assert PAYOUTS.by_the_clock(order(state=state), late).state == state


def test_events_are_named_after_the_product() -> None:
    event = event_of(order(), "submit", "key", "why")
    assert (event.name, event.state, event.order_version, event.detail) == ("payout.submit", "pending", 2, "why")
    assert (event.tenant_id, event.caller, event.rate, event.destination_units) == (TWO, "key", Decimal("0.92"), 10_000)


def test_ids_are_by_what_they_name() -> None:
    ids = {
        current_id(ONE, "USDC"),
        current_id(ONE, "BTC"),
        current_id(TWO, "USDC"),
        surcharge_id(ONE, "EUR"),
        surcharge_id(TWO, "EUR"),
        surcharge_id(ONE, "USDC"),
        payment_method_id(ONE, None, "Bank/1"),
        payment_method_id(ONE, TWO, "Bank/1"),
        payment_method_id(TWO, ONE, "Bank/1"),
        payment_method_id(ONE, TWO, "Bank/2"),
        return_id(ONE),
        return_id(TWO),
    }
    assert len(ids) == 12
    assert current_id(ONE, "USDC") == current_id(ONE, "USDC")
    assert return_id(ONE) != ONE


@pytest.mark.parametrize(
    "arrives, rate, asset, fee, cost",
    [
        # Ramp contract 7, with a fee of 0.50 and 1 %.
        (10_000, "0.92", USDC, 150, 110_326_087),
        (10_000, "0.915", USDC, 150, 110_928_962),
        (10_000, "0.91", USDC, 150, 111_538_462),
        (10_000, "0.95", USDC, 150, 106_842_106),
        (40_000, "0.92", USDC, 450, 439_673_914),
        (30_000, "0.92", USDC, 350, 329_891_305),
        (50_000, "0.92", USDC, 550, 549_456_522),
        (10_000, "55000", BTC, 150, 184_546),
        # The percentage is rounded up to the fiat's last place.
        (10_001, "0.92", USDC, 151, 110_347_827),
        (1, "1", USDC, 51, 520_000),
    ],
)
def test_what_a_payout_costs(arrives: int, rate: str, asset: Asset, fee: int, cost: int) -> None:
    found = cost_of(Amount(arrives, EUR), channel(), Decimal(0), Decimal(rate), asset)
    assert found == Cost(Amount(fee, EUR), Amount(0, EUR), Amount(cost, asset))
    assert found.fees == Amount(fee, EUR)


def test_a_surcharge_is_put_on_top_like_a_fee() -> None:
    found = cost_of(Amount(10_000, EUR), channel(), Decimal("0.5"), Decimal("0.92"), USDC)
    assert found == Cost(Amount(150, EUR), Amount(50, EUR), Amount(110_869_566, USDC))
    assert found.fees == Amount(200, EUR)
    assert cost_of(Amount(10_001, EUR), channel(0, "0"), Decimal("0.5"), Decimal(1), USDC).surcharge.units == 51


def test_what_currencies_without_or_with_three_decimals_cost() -> None:
    yen = cost_of(Amount(15_000, YEN), channel(150, "0", "JPY"), Decimal(0), Decimal("149.25"), USDC)
    assert yen == Cost(Amount(150, YEN), Amount(0, YEN), Amount(101_507_538, USDC))
    dinar = cost_of(Amount(1_001, DINAR), channel(0, "0.5", "KWD"), Decimal(0), Decimal("0.3065"), USDC)
    assert dinar == Cost(Amount(6, DINAR), Amount(0, DINAR), Amount(3_285_482, USDC))


def payment(fee_units: int, surcharge_units: int, rate: str | None = "0.92") -> Payment:
    return Payment(
        order_id=ONE,
        tenant_id=TWO,
        kind="payout",
        asset="USDC",
        fiat="EUR",
        fiat_units=10_000,
        fee_units=fee_units,
        surcharge_units=surcharge_units,
        rate=None if rate is None else Decimal(rate),
    )


def test_shares_add_up_and_fees_are_cut() -> None:
    """As in the contract's example of a breakdown (ramp contract 3.1)."""
    assert shares_of(payment(150, 0), 110_326_087, USDC, EUR) == [
        Share("fee", 1_630_434),
        Share("remaining", 108_695_653),
    ]
    shares = shares_of(payment(150, 50), 110_869_566, USDC, EUR)
    assert shares == [Share("fee", 1_630_434), Share("surcharge", 543_478), Share("remaining", 108_695_654)]
    assert sum(share.units for share in shares) == 110_869_566


def test_a_share_of_nothing_is_left_out() -> None:
    assert shares_of(payment(0, 0), 108_695_653, USDC, EUR) == [Share("remaining", 108_695_653)]
    assert shares_of(payment(1, 0, "1000000000"), 100, USDC, EUR) == [Share("remaining", 100)]
    assert shares_of(payment(150, 0), 1_630_434, USDC, EUR) == [Share("fee", 1_630_434)]
    assert shares_of(payment(150, 0, None), 110_326_087, USDC, EUR) == []


def test_what_a_lane_without_terms_does() -> None:
    terms = PayoutTerms()
    assert (terms.key, terms.validity_seconds, terms.slippage_bps) == (1, 900, 100)


def test_nouns_are_known_by_their_ids() -> None:
    assert channel().key == THREE
    assert channel().enabled
    assert payment(0, 0).key == ONE
    method = PaymentMethod(
        id=ONE,
        tenant_id=TWO,
        party_id=None,
        name="Bank/1",
        category="bank",
        type="BankSepa",
        subtype=None,
        country="DE",
        fiat="EUR",
        number=None,
        bank_code=None,
        details="{}",
        created_at=START,
    )
    prepared = PreparedPayout(
        id=TWO,
        tenant_id=TWO,
        party_id=None,
        channel_id=THREE,
        method_id=method.key,
        asset="USDC",
        fiat="EUR",
        fiat_units=1,
        details="{}",
        rate=Decimal(1),
        prepared_at=START,
        expires_at=LATER,
    )
    assert (prepared.key, prepared.order_id, prepared.method_id) == (TWO, None, ONE)
