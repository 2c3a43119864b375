"""Selling: the price is fixed and both sides are reserved, once for a nonce; and every refusal in its order."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.keys import KeyRecord
from otcdesk.domain.ledger import TREASURY, Account, Hold, LedgerTransaction, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import Channel, Payment, PaymentMethod, PreparedPayout, Surcharge, current_id
from otcdesk.errors import Code
from otcdesk.money import plain
from tests.support.brokerage import assert_balanced, balance, open_holds
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    BR,
    CEILING,
    DE,
    EVE,
    JP,
    SEPA_FILE,
    US,
    current,
    done,
    given,
    held_of,
    moved_price,
    pending,
    prepared,
    ramp_desk,
    recorded,
    refused,
    selling,
    sold,
    told_of,
    treasury_of,
)
from tests.support.pure import PureDesk

MICROSECOND = timedelta(microseconds=1)
CURRENT = current_id(B1, "USDC")
TREASURY_EUR = desk_account_id(TREASURY, "EUR")


def test_the_contracts_sale_as_in_cases_2_and_3() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    desk.clock.advance(seconds=7)
    reply = sold(desk, payout, ceiling=CEILING)
    order, payment = desk.get(Order, reply.order_id), desk.get(Payment, reply.order_id)
    assert (reply.order, reply.payment) == (order, payment)
    assert reply.method == desk.get(PaymentMethod, payout.method_id)
    assert reply.party is not None
    assert (reply.party.id, reply.party.external_id) == (ADA, "cust-001")
    assert (order.product, order.side, order.state, order.version) == ("payout", "sell", "pending", 2)
    assert (order.tenant_id, order.source_account_id, order.source_asset) == (B1, CURRENT, "USDC")
    assert (order.source_units, order.destination_asset, order.destination_units) == (110_326_087, "EUR", 10_000)
    assert (order.rate, order.quoted_rate, order.market_rate) == (Decimal("0.92"),) * 3
    assert (order.quoted_at, order.quoted_by, order.market_source) == (payout.prepared_at, "key", "fixed")
    assert (order.waits_for, order.rail_reference, order.due_at) == ("payout", f"{order.id}:payout", None)
    now = desk.clock.now()
    assert (order.created_at, order.updated_at, order.confirmed_at, order.ended_at) == (now, now, now, None)
    assert (order.ttl_seconds, order.expires_at) == (900, payout.expires_at)
    assert (payment.kind, payment.asset, payment.fiat, payment.fiat_units) == ("payout", "USDC", "EUR", 10_000)
    assert (payment.fee_units, payment.surcharge_units, payment.rate) == (150, 0, Decimal("0.92"))
    assert (payment.ceiling, payment.party_id, payment.channel_id) == (Decimal(CEILING), ADA, DE)
    assert (payment.method_id, payment.prepared_id, payment.external_id) == (payout.method_id, payout.id, "inv-1")
    assert (payment.returns_id, payment.adjusts_id, payment.rule_id) == (None, None, None)
    assert desk.get(PreparedPayout, payout.id).order_id == order.id
    # Both sides are reserved, and nothing is booked.
    assert current(desk) == (389_673_913, 500_000_000)
    assert held_of(desk, order) == {CURRENT: (110_326_087, "open"), TREASURY_EUR: (10_150, "open")}
    holds = {hold.id: hold.account_id for hold in desk.all(Hold)}
    assert (holds[order.collect_hold_id], holds[order.pay_hold_id]) == (CURRENT, TREASURY_EUR)  # type: ignore[index]
    assert told_of(desk, order) == [(2, "payout.submit", "pending", None)]
    assert not desk.all(Trade)
    assert not [row for row in desk.all(LedgerTransaction) if row.order_id is not None]
    assert_balanced(desk)


def test_the_holds_are_of_what_the_desk_pays_with_all_fees() -> None:
    desk = ramp_desk()
    order = pending(desk, tenant=B2)
    assert order.source_units == 110_869_566
    assert held_of(desk, order) == {
        current_id(B2, "USDC"): (110_869_566, "open"),
        TREASURY_EUR: (10_200, "open"),
    }
    assert desk.get(Payment, order.id).surcharge_units == 50
    nobody = pending(desk, tenant=B2, party_id=None)
    assert desk.get(Payment, nobody.id).surcharge_units == 0
    assert nobody.source_units == 110_326_087


def test_each_tenants_own_surcharge_at_the_time_of_the_sale_is_withheld() -> None:
    desk = ramp_desk()
    payout = prepared(desk, tenant=B2).prepared
    desk.put(Surcharge(tenant_id=B2, percent=Decimal(2)))
    order = sold(desk, payout).order
    assert order is not None
    assert desk.get(Payment, order.id).surcharge_units == 200


@pytest.mark.parametrize(
    "rate, cost", [("0.915", 110_928_962), ("0.95", 106_842_106), ("0.91", 111_538_462), ("0.92", 110_326_087)]
)
def test_what_is_charged_is_the_price_of_the_sale_and_not_the_ceiling_as_in_cases_11_and_13(
    rate: str, cost: int
) -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    desk.act(moved_price(rate))
    order = sold(desk, payout).order
    assert order is not None
    assert (order.source_units, order.rate, order.quoted_rate) == (cost, Decimal(rate), Decimal("0.92"))
    assert (order.market_source, order.market_rate) == ("tests", Decimal(rate))
    assert current(desk) == (500_000_000 - cost, 500_000_000)
    desk.act(moved_price("0.5"))
    after = recorded(desk, done(order))
    assert (after.source_units, after.rate) == (cost, Decimal(rate))


@pytest.mark.parametrize(
    "ceiling, allowed",
    [
        ("110.326087", True),
        ("110.326086", False),
        ("110.3260879999", True),
        ("110.3260869999999999999999999999", False),
        ("110.32608700000000", True),
        ("99999999999999999999999999999999999999", True),
        ("0", False),
        ("0.0000001", False),
    ],
)
def test_the_ceiling_is_compared_as_a_number_and_the_same_passes(ceiling: str, allowed: bool) -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    if allowed:
        assert sold(desk, payout, ceiling=ceiling).order is not None
        return
    assert desk.refuse(selling(payout, ceiling), owner_id=B1, key="n-1") is Code.CEILING_EXCEEDED
    # Neither what was prepared nor the nonce is used up (ramp contract 5.2).
    assert sold(desk, payout, "n-1", CEILING).order is not None


# -- the nonce ------------------------------------------------------------------------------------------------------


def test_the_same_nonce_again_is_the_same_payout_as_in_case_7() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    first = sold(desk, payout)
    rows = dict(desk.rows)
    assert sold(desk, payout) == first
    assert desk.rows == rows


def test_the_same_numbers_are_the_same_however_they_were_written() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    first = sold(desk, payout, ceiling=CEILING)
    for arrives, ceiling in (("100.0", "111.429348"), ("100", "111.42934800"), ("0100.000", "00111.429348")):
        command = selling(payout, arrives=plain(Decimal(arrives)), ceiling=plain(Decimal(ceiling)))
        again = selling(payout, arrives=plain(Decimal("100.00")), ceiling=plain(Decimal(CEILING)))
        assert command == again
    desk = ramp_desk()
    payout = prepared(desk).prepared
    first = desk.act(selling(payout, arrives=Decimal(100), ceiling=Decimal(CEILING)), owner_id=B1, key="n-1")
    again = selling(payout, arrives=plain(Decimal("100.00")), ceiling=plain(Decimal("111.4293480")))
    assert desk.act(again, owner_id=B1, key="n-1") == first


@pytest.mark.parametrize(
    "other",
    [
        {"prepared_id": UUID(int=7)},
        {"asset": "BTC"},
        {"arrives": Decimal("100.01")},
        {"ceiling": Decimal("111.429349")},
        {"external_id": "inv-2"},
        {"external_id": None},
    ],
)
def test_the_same_nonce_with_anything_different_is_refused(other: dict[str, Any]) -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    first = sold(desk, payout, ceiling=CEILING)
    assert desk.refuse(selling(payout, **{"ceiling": CEILING, **other}), owner_id=B1, key="n-1") is Code.KEY_REUSED
    assert sold(desk, payout, ceiling=CEILING) == first


def test_a_nonce_is_told_what_has_become_of_its_payout_as_in_case_10() -> None:
    for outcome, state in ((refused, "failed"), (done, "settled")):
        desk = ramp_desk()
        payout = prepared(desk).prepared
        first = sold(desk, payout)
        assert first.order is not None
        recorded(desk, outcome(first.order))
        rows = dict(desk.rows)
        again = sold(desk, payout)
        assert again.order is not None
        assert (again.order_id, again.order.state, again.payment) == (first.order_id, state, first.payment)
        assert desk.rows == rows
        assert open_holds(desk) == 0


def test_a_nonce_is_answered_before_anything_else_is_looked_at() -> None:
    """Not expiry, nor the ceiling, nor the balance, nor the channel (ramp contract 5.1)."""
    desk = ramp_desk()
    payout = prepared(desk).prepared
    first = sold(desk, payout, ceiling=CEILING)
    desk.act(moved_price("0.5"))
    desk.clock.advance(seconds=10_000)
    desk.put(desk.get(Channel, DE).with_(enabled=False))
    desk.put(desk.get(Account, CURRENT).with_(balance=110_326_087))
    assert sold(desk, payout, ceiling=CEILING) == first


def test_a_refused_sale_does_not_use_its_nonce() -> None:
    desk = ramp_desk()
    payout = prepared(desk, "500.00", delayed=True).prepared
    assert desk.refuse(selling(payout), owner_id=B1, key="n-1") is Code.PAYOUT_NOT_COVERED
    assert not desk.all(KeyRecord)
    assert sold(desk, prepared(desk).prepared, "n-1").order is not None


def test_a_nonce_is_its_tenants_own() -> None:
    desk = ramp_desk()
    one, two = prepared(desk).prepared, prepared(desk, tenant=B2).prepared
    assert sold(desk, one, "n-1").order_id != sold(desk, two, "n-1").order_id


# -- what was prepared ------------------------------------------------------------------------------------------------


def test_what_was_prepared_is_sold_once() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    order = sold(desk, payout, "n-1").order
    assert order is not None
    assert desk.refuse(selling(payout), owner_id=B1, key="n-2") is Code.PREPARED_PAYOUT_USED
    recorded(desk, refused(order))
    assert desk.refuse(selling(payout), owner_id=B1, key="n-2") is Code.PREPARED_PAYOUT_USED


def test_what_was_prepared_can_be_sold_until_it_expires_to_the_microsecond() -> None:
    """Judged by the arrival of the request, however late its batch is."""
    desk = ramp_desk()
    in_time, late = prepared(desk).prepared, prepared(desk).prepared
    edge = late.expires_at
    desk.clock.set(edge + timedelta(seconds=5))
    assert desk.refuse(selling(late), owner_id=B1, arrived_at=edge, key="n-1") is Code.PAYOUT_NOT_PREPARED
    command = selling(in_time)
    assert desk.act(command, owner_id=B1, arrived_at=edge - MICROSECOND, key="n-2").order.state == "pending"


def test_another_tenants_looks_as_if_it_did_not_exist() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    assert desk.refuse(selling(payout), owner_id=B2, key="n-1") is Code.PAYOUT_NOT_PREPARED
    missing = selling(payout, prepared_id=UUID(int=7))
    assert desk.refuse(missing, owner_id=B1, key="n-1") is Code.PAYOUT_NOT_PREPARED


def test_another_amount_or_asset_leaves_it_usable_as_in_case_25() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    for arrives in ("90.00", "99.99", "100.01", "0", "9" * 38):
        command = selling(payout, arrives=Decimal(arrives))
        assert desk.refuse(command, owner_id=B1, key="n-1") is Code.PREPARED_AMOUNT_DIFFERS
    assert desk.refuse(selling(payout, asset="BTC"), owner_id=B1, key="n-1") is Code.PREPARED_ASSET_DIFFERS
    assert sold(desk, payout, arrives=Decimal("100.000000")).order is not None


# -- limits, review, rails ------------------------------------------------------------------------------------------


def test_limits_are_the_channels_of_the_moment_and_inclusive() -> None:
    desk = ramp_desk()
    payout = prepared(desk).prepared
    channel = desk.get(Channel, DE)
    for changes, code in (
        ({"min_units": 10_001}, Code.AMOUNT_TOO_SMALL),
        ({"max_units": 9_999}, Code.AMOUNT_TOO_LARGE),
    ):
        desk.put(channel.with_(**changes))
        assert desk.refuse(selling(payout), owner_id=B1, key="n-1") is code
    desk.put(channel.with_(min_units=10_000, max_units=10_000))
    assert sold(desk, payout).order is not None


def test_from_its_channels_threshold_on_a_payout_is_held_for_review() -> None:
    desk = ramp_desk()
    desk.put(desk.get(Channel, DE).with_(review_from_units=10_000))
    below = pending(desk, "99.99")
    assert (below.state, below.version) == ("pending", 2)
    order = pending(desk, "100.00")
    assert (order.state, order.version, order.waits_for) == ("held", 3, None)
    assert order.rail_reference == f"{order.id}:payout"
    assert told_of(desk, order) == [
        (2, "payout.submit", "pending", None),
        (3, "payout.hold", "held", "for review"),
    ]
    assert {state for _, state in held_of(desk, order).values()} == {"open"}
    assert_balanced(desk)


@pytest.mark.parametrize(
    "channel_id, arrives, waits_for", [(SEPA_FILE, "10", "bank_file"), (JP, "1000", "by_hand"), (BR, "10", "payout")]
)
def test_a_payout_waits_for_the_rail_of_its_channel(channel_id: UUID, arrives: str, waits_for: str) -> None:
    assert pending(ramp_desk(), arrives, channel_id=channel_id).waits_for == waits_for


def test_the_spread_is_taken_off_the_market() -> None:
    order = pending(ramp_desk(), channel_id=US)
    assert (order.market_rate, order.rate) == (Decimal("0.999"), Decimal("0.997002"))


def test_the_last_unit_can_be_sold_and_promised() -> None:
    desk = ramp_desk()
    desk.put(desk.get(Account, CURRENT).with_(balance=110_326_087))
    desk.put(treasury_of(desk, "EUR").with_(balance=10_150))
    payout = prepared(desk).prepared
    for account, code in (
        (desk.get(Account, CURRENT), Code.PAYOUT_NOT_COVERED),
        (treasury_of(desk, "EUR"), Code.TREASURY_INSUFFICIENT),
    ):
        desk.put(account.with_(balance=account.balance - 1))
        assert desk.refuse(selling(payout), owner_id=B1, key="n-1") is code
        desk.put(account)
    order = sold(desk, payout, "n-1").order
    assert order is not None
    assert current(desk) == (0, 110_326_087)
    assert balance(desk, TREASURY_EUR) == (10_150, 10_150)
    recorded(desk, done(order))
    assert current(desk) == (0, 0)


def test_accounts_that_do_not_exist_cover_nothing() -> None:
    for account_id, code in ((CURRENT, Code.PAYOUT_NOT_COVERED), (TREASURY_EUR, Code.TREASURY_INSUFFICIENT)):
        desk = ramp_desk()
        payout = prepared(desk).prepared
        del desk.rows[Account, account_id]
        assert desk.refuse(selling(payout), owner_id=B1, key="n-1") is code


# -- every refusal, in its order ------------------------------------------------------------------------------------


class Fault(NamedTuple):
    """Something that makes a sale be refused: a change of the books after it was prepared, and of what is asked."""

    code: Code
    breaks: Callable[[PureDesk, PreparedPayout], None] = lambda *_: None
    asks: Mapping[str, Any] = MappingProxyType({})


def _expire(desk: PureDesk, payout: PreparedPayout) -> None:
    desk.put(desk.get(PreparedPayout, payout.id).with_(expires_at=desk.clock.now()))


def _use(desk: PureDesk, payout: PreparedPayout) -> None:
    desk.put(desk.get(PreparedPayout, payout.id).with_(order_id=UUID(int=7)))


def _set(status: Any) -> Callable[[PureDesk, PreparedPayout], None]:
    def breaks(desk: PureDesk, payout: PreparedPayout) -> None:
        assert payout.party_id is not None
        desk.act(SetParty(party_id=payout.party_id, status=status, level_id=None, tax_bps=None))

    return breaks


def _channel(**changes: Any) -> Callable[[PureDesk, PreparedPayout], None]:
    return lambda desk, payout: desk.put(desk.get(Channel, payout.channel_id).with_(**changes))


def _unprice(desk: PureDesk, payout: PreparedPayout) -> None:
    desk.act(SwitchFeed(source_asset=payout.asset, destination_asset=payout.fiat, up=False))


def _empty(account_id: UUID) -> Callable[[PureDesk, PreparedPayout], None]:
    return lambda desk, _: desk.put(desk.get(Account, account_id).with_(balance=0))


#: In the order in which they are refused (ramp contract 3.1).
FAULTS = (
    Fault(Code.PAYOUT_NOT_PREPARED, _expire),
    Fault(Code.PREPARED_ASSET_DIFFERS, asks={"asset": "BTC"}),
    Fault(Code.AMOUNT_TOO_FINE, asks={"arrives": Decimal("100.001")}),
    Fault(Code.PREPARED_AMOUNT_DIFFERS, asks={"arrives": Decimal("90.00")}),
    Fault(Code.PREPARED_PAYOUT_USED, _use),
    Fault(Code.PARTY_UNVERIFIED, _set("unverified")),
    Fault(Code.PARTY_INACTIVE, _set("inactive")),
    Fault(Code.CHANNEL_CLOSED, _channel(enabled=False)),
    Fault(Code.AMOUNT_TOO_SMALL, _channel(min_units=10_001)),
    Fault(Code.AMOUNT_TOO_LARGE, _channel(max_units=9_999)),
    Fault(Code.PRICE_UNAVAILABLE, _unprice),
    Fault(Code.CEILING_EXCEEDED, asks={"ceiling": Decimal("110.326086")}),
    Fault(Code.PAYOUT_NOT_COVERED, _empty(CURRENT)),
    Fault(Code.TREASURY_INSUFFICIENT, _empty(TREASURY_EUR)),
)

#: Two that cannot be at once: an amount out of two bounds of which one is below the other.
APART = {frozenset({Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE})}


def _refused(*faults: Fault) -> Code:
    """Break in the order of the faults, the first last: of two that change the same, it is what counts."""
    desk = ramp_desk()
    payout = prepared(desk).prepared
    asks: dict[str, Any] = {}
    for fault in reversed(faults):
        fault.breaks(desk, payout)
        asks.update(fault.asks)
    return desk.refuse(selling(payout, **asks), owner_id=B1, key="n-1")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code.name)
def test_every_refusal(fault: Fault) -> None:
    assert _refused(fault) is fault.code


@pytest.mark.parametrize(
    "first, second", [pair for pair in combinations(FAULTS, 2) if {one.code for one in pair} not in APART]
)
def test_of_two_refusals_the_first_is_told(first: Fault, second: Fault) -> None:
    assert _refused(first, second) is first.code


def test_what_nobody_in_particular_is_paid_needs_no_standing() -> None:
    desk = ramp_desk()
    payout = prepared(desk, party_id=None, given=given()).prepared
    assert sold(desk, payout).party is None


def test_a_party_of_another_tenant_is_not_asked_about() -> None:
    desk = ramp_desk()
    desk.act(SetParty(party_id=EVE, status="inactive", level_id=None, tax_bps=None))
    assert pending(desk).state == "pending"
