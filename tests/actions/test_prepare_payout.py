"""Preparing: who is paid is kept, what it would cost is said, no money moves; and every refusal in its order."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otcdesk.actions.prepare_payout import PreparePayout
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import (
    Channel,
    Payment,
    PaymentMethod,
    PayoutTerms,
    PreparedPayout,
    current_id,
    payment_method_id,
)
from otcdesk.errors import Code, Refusal
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    BR,
    DE,
    EVE,
    IBAN,
    INACTIVE,
    JP,
    KW,
    SEPA_FILE,
    UNVERIFIED,
    US,
    given,
    moved_price,
    prepared,
    preparing,
    ramp_desk,
    sold,
)
from tests.support.pure import PureDesk

OTHER_IBAN = "DE02120300000000202051"


def test_the_contracts_preparation_as_in_case_1() -> None:
    desk = ramp_desk()
    before = dict(desk.rows)
    reply = prepared(desk)
    assert (reply.fee_units, reply.surcharge_units) == (150, 0)
    assert (reply.cost_units, reply.ceiling_units) == (110_326_087, 111_429_348)
    method_id = payment_method_id(B1, ADA, f"Bank/Sepa/EUR/{IBAN}")
    row = reply.prepared
    assert (row.tenant_id, row.party_id, row.channel_id, row.method_id) == (B1, ADA, DE, method_id)
    assert (row.asset, row.fiat, row.fiat_units, row.rate) == ("USDC", "EUR", 10_000, Decimal("0.92"))
    assert (row.details, row.order_id) == (given().details, None)
    assert (row.prepared_at, row.expires_at) == (desk.clock.now(), desk.clock.now() + timedelta(minutes=15))
    method = desk.get(PaymentMethod, method_id)
    assert (method.category, method.type, method.country, method.fiat) == ("bank", "BankSepa", "DE", "EUR")
    assert (method.number, method.bank_code, method.subtype, method.created_at) == (IBAN, None, None, desk.clock.now())
    # That, and nothing else: neither an order nor a hold nor a posting.
    assert {key: row for key, row in desk.rows.items() if key not in before} == {
        (PreparedPayout, row.id): row,
        (PaymentMethod, method_id): method,
    }
    assert all(desk.rows[key] == row for key, row in before.items())


@pytest.mark.parametrize(
    "channel_id, asset, arrives, fee, surcharge, cost",
    [
        (DE, "USDC", "100", 150, 50, 110_869_566),
        (DE, "BTC", "100", 150, 50, 185_455),
        (SEPA_FILE, "USDC", "1", 35, 1, 1_478_261),
        (US, "USDC", "100.00", 125, 50, 102_055_964),  # at 0.999 less 20 ten-thousandths: 0.997002
        (BR, "USDC", "5", 5, 3, 939_002),
        (JP, "USDC", "15000", 150, 75, 102_010_051),
        (KW, "USDC", "1.001", 6, 6, 3_305_058),
        (DE, "ETH", "100", 150, 50, 43_484_377_597_871_824),
    ],
)
def test_what_it_would_cost(channel_id: UUID, asset: str, arrives: str, fee: int, surcharge: int, cost: int) -> None:
    reply = prepared(ramp_desk(), arrives, tenant=B2, channel_id=channel_id, asset=asset)
    assert (reply.fee_units, reply.surcharge_units, reply.cost_units) == (fee, surcharge, cost)
    assert 0 <= reply.ceiling_units * 100 - reply.cost_units * 101 < 100


def test_only_what_a_party_is_paid_carries_the_tenants_surcharge() -> None:
    desk = ramp_desk()
    assert prepared(desk, tenant=B2).surcharge_units == 50
    reply = prepared(desk, tenant=B2, party_id=None)
    assert (reply.surcharge_units, reply.cost_units, reply.prepared.party_id) == (0, 110_326_087, None)


def test_the_lanes_terms_say_how_long_and_how_much_more() -> None:
    desk = ramp_desk()
    desk.put(PayoutTerms(validity_seconds=1, slippage_bps=0))
    reply = prepared(desk)
    assert reply.prepared.expires_at == desk.clock.now() + timedelta(seconds=1)
    assert reply.ceiling_units == reply.cost_units
    del desk.rows[PayoutTerms, ONLY]
    assert prepared(desk).ceiling_units == 111_429_348


def test_a_payment_method_is_as_it_was_last_told() -> None:
    desk = ramp_desk()
    first = prepared(desk)
    rows = len(desk.rows)
    prepared(desk)
    assert len(desk.rows) == rows + 1  # the same account again is no other payment method
    began = desk.clock.now()
    desk.clock.advance(seconds=5)
    again = prepared(desk, given=given(details='{"more": 1}', bank_code="COBADEFF", subtype="checking", country="AT"))
    method = desk.get(PaymentMethod, again.prepared.method_id)
    assert first.prepared.method_id == method.id
    assert (method.details, method.bank_code, method.subtype) == ('{"more": 1}', "COBADEFF", "checking")
    assert (method.country, method.created_at) == ("AT", began)
    # What was prepared before is paid by what was told then.
    assert desk.get(PreparedPayout, first.prepared.id).details == given().details


def test_payment_methods_are_told_apart_by_whose_they_are_and_by_name() -> None:
    desk = ramp_desk()
    for tenant, party_id, number in (
        (B1, ADA, IBAN),
        (B1, ADA, OTHER_IBAN),
        (B1, None, IBAN),
        (B2, EVE, IBAN),
    ):
        prepared(desk, tenant=tenant, party_id=party_id, given=given(number))
    assert len(desk.all(PaymentMethod)) == 4


def test_a_known_payment_method_is_used_by_its_name() -> None:
    desk = ramp_desk()
    first = prepared(desk)
    desk.clock.advance(seconds=5)
    methods = desk.all(PaymentMethod)
    again = prepared(desk, given=None, method_name=f"Bank/Sepa/EUR/{IBAN}")
    assert (again.prepared.method_id, again.prepared.details) == (first.prepared.method_id, first.prepared.details)
    assert desk.all(PaymentMethod) == methods
    other = prepared(desk, given=None, method_name=f"Bank/Sepa/EUR/{IBAN}", channel_id=SEPA_FILE).prepared
    assert (other.method_id, other.channel_id) == (first.prepared.method_id, SEPA_FILE)


@pytest.mark.parametrize(
    "asked",
    [
        {"method_name": "Bank/Sepa/EUR/another"},
        {"method_name": None},
        {"method_name": f"Bank/Sepa/EUR/{IBAN}", "party_id": None},
        {"method_name": f"Bank/Sepa/EUR/{IBAN}", "channel_id": US},  # another kind of account and fiat
    ],
)
def test_no_other_payment_method_is_found_by_a_name(asked: dict[str, Any]) -> None:
    desk = ramp_desk()
    prepared(desk)
    refused = desk.refuse(preparing(given=None, **asked), owner_id=B1)
    assert refused is Code.PAYMENT_METHOD_NOT_FOUND


def test_a_payment_method_is_for_its_kind_of_channel_and_for_its_fiat() -> None:
    desk = ramp_desk()
    method = prepared(desk).prepared.method_id
    named = preparing(given=None, method_name=f"Bank/Sepa/EUR/{IBAN}")
    for other in ({"type": "BankLocal"}, {"fiat": "USD"}):
        kept = desk.get(PaymentMethod, method)
        desk.put(kept.with_(**other))
        assert desk.refuse(named, owner_id=B1) is Code.PAYMENT_METHOD_NOT_FOUND
        desk.put(kept)
    assert desk.act(named, owner_id=B1)


def test_another_tenants_party_and_payment_method_look_as_if_they_did_not_exist() -> None:
    desk = ramp_desk()
    prepared(desk)
    assert desk.refuse(preparing(), owner_id=B2) is Code.PARTY_NOT_FOUND
    named = preparing(given=None, method_name=f"Bank/Sepa/EUR/{IBAN}", party_id=EVE)
    assert desk.refuse(named, owner_id=B2) is Code.PAYMENT_METHOD_NOT_FOUND


@pytest.mark.parametrize(
    "arrives, code",
    [
        ("0", Code.AMOUNT_TOO_SMALL),
        ("9.99", Code.AMOUNT_TOO_SMALL),
        ("10", None),
        ("10000", None),
        ("10000.00000", None),
        ("10000.01", Code.AMOUNT_TOO_LARGE),
        ("100.001", Code.AMOUNT_TOO_FINE),
        ("9.999", Code.AMOUNT_TOO_FINE),
        ("9" * 38, Code.AMOUNT_TOO_LARGE),
    ],
)
def test_the_channels_limits_are_inclusive_as_in_cases_20_and_27(arrives: str, code: Code | None) -> None:
    desk, command = ramp_desk(), preparing(arrives, delayed=True)
    if code is None:
        assert desk.act(command, owner_id=B1).prepared.fiat_units == int(Decimal(arrives) * 100)
    else:
        assert desk.refuse(command, owner_id=B1) is code


def test_a_channel_without_a_maximum_ends_where_counting_does() -> None:
    desk = ramp_desk()
    for arrives in ("1" + "0" * 36, "9" * 38):
        command = preparing(arrives, channel_id=SEPA_FILE, delayed=True)
        assert desk.refuse(command, owner_id=B1) is Code.AMOUNT_TOO_LARGE  # or what it costs cannot be counted
    assert desk.act(preparing("1" + "0" * 31, channel_id=SEPA_FILE, delayed=True), owner_id=B1).cost_units < 10**38


def test_nobody_asks_for_the_balance_of_a_delayed_sale_as_in_cases_14_and_15() -> None:
    desk = ramp_desk()
    assert desk.refuse(preparing("500.00"), owner_id=B1) is Code.PAYOUT_NOT_COVERED
    reply = desk.act(preparing("500.00", delayed=True), owner_id=B1)
    assert (reply.cost_units, reply.ceiling_units) == (549_456_522, 554_951_088)


def test_the_balance_may_be_used_up_to_its_last_unit() -> None:
    desk = ramp_desk()
    account = desk.get(Account, current_id(B1, "USDC"))
    desk.put(account.with_(balance=110_326_087))
    assert prepared(desk).cost_units == 110_326_087
    desk.put(account.with_(balance=110_326_086))
    assert desk.refuse(preparing(), owner_id=B1) is Code.PAYOUT_NOT_COVERED
    desk.put(account.with_(held=500_000_000 - 110_326_086))
    assert desk.refuse(preparing(), owner_id=B1) is Code.PAYOUT_NOT_COVERED
    del desk.rows[Account, account.id]
    assert desk.refuse(preparing(), owner_id=B1) is Code.PAYOUT_NOT_COVERED


def test_the_price_is_the_one_of_the_moment_and_binds_nobody() -> None:
    desk = ramp_desk()
    first = prepared(desk).prepared
    desk.act(moved_price("0.915"))
    assert prepared(desk).prepared.rate == Decimal("0.915")
    assert desk.get(PreparedPayout, first.id).rate == Decimal("0.92")


def test_a_price_that_the_spread_eats_up_is_no_price() -> None:
    desk = ramp_desk()
    desk.act(moved_price("0.000001", fiat="USD"))
    assert desk.refuse(preparing(channel_id=US), owner_id=B1) is Code.PRICE_UNAVAILABLE


def test_the_limits_are_told() -> None:
    desk = ramp_desk()
    for command, said in (
        (preparing("9.99"), "at least 10.00 and at most 10000.00 EUR."),
        (preparing("10000.01"), "at least 10.00 and at most 10000.00 EUR."),
        (preparing("0.99", channel_id=SEPA_FILE), "at least 1.00 EUR."),
        (preparing("99", channel_id=JP), "at least 100 JPY."),
    ):
        with pytest.raises(Refusal) as caught:
            desk.act(command, owner_id=B1)
        assert caught.value.detail.endswith(said)


# -- every refusal, in its order ----------------------------------------------------------------------------------


class Fault(NamedTuple):
    """Something that makes a preparation be refused: a change of the books, and of what is asked."""

    code: Code
    breaks: Callable[[PureDesk], None] = lambda _: None
    asks: Mapping[str, Any] = MappingProxyType({})
    arrives: str | None = None


def _close(desk: PureDesk) -> None:
    desk.put(desk.get(Channel, DE).with_(enabled=False))


def _unprice(desk: PureDesk) -> None:
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))


def _empty(desk: PureDesk) -> None:
    desk.put(desk.get(Account, current_id(B1, "USDC")).with_(balance=0))


#: In the order in which they are refused (ramp contract 3.2).
FAULTS = (
    Fault(Code.CHANNEL_NOT_FOUND, asks={"channel_id": UUID(int=7)}),
    Fault(Code.PARTY_NOT_FOUND, asks={"party_id": EVE}),
    Fault(Code.PAYMENT_METHOD_NOT_FOUND, asks={"given": None, "method_name": "unknown"}),
    Fault(Code.AMOUNT_TOO_FINE, arrives="100.001"),
    Fault(Code.PARTY_UNVERIFIED, asks={"party_id": UNVERIFIED}),
    Fault(Code.PARTY_INACTIVE, asks={"party_id": INACTIVE}),
    Fault(Code.CHANNEL_CLOSED, _close),
    Fault(Code.AMOUNT_TOO_SMALL, arrives="9.99"),
    Fault(Code.AMOUNT_TOO_LARGE, arrives="10000.01"),
    Fault(Code.PRICE_UNAVAILABLE, _unprice),
    Fault(Code.PAYOUT_NOT_COVERED, _empty),
)


def _asked(*faults: Fault) -> PreparePayout:
    asks: dict[str, Any] = {}
    arrives = "100.00"
    for fault in reversed(faults):  # of two that want the same field otherwise, the first is what counts
        asks.update(fault.asks)
        arrives = fault.arrives or arrives
    return preparing(arrives, **asks)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code.name)
def test_every_refusal(fault: Fault) -> None:
    desk = ramp_desk()
    fault.breaks(desk)
    assert desk.refuse(_asked(fault), owner_id=B1) is fault.code


@pytest.mark.parametrize("first, second", [*combinations(FAULTS, 2)])
def test_of_two_refusals_the_first_is_told(first: Fault, second: Fault) -> None:
    desk = ramp_desk()
    for fault in (first, second):
        fault.breaks(desk)
    assert desk.refuse(_asked(first, second), owner_id=B1) is first.code


def test_what_was_prepared_is_not_changed_by_selling_it_but_for_its_order() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    order = sold(desk, payout).order
    assert order is not None
    assert desk.get(PreparedPayout, payout.id) == payout.with_(order_id=order.id)
    assert len(desk.all(Order)) == len(desk.all(Payment)) == 1
