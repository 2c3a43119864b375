"""Quoting: the contract's figures, every refusal in its order, and what a refusal leaves as it was."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from otcdesk.actions.move_value import Withdraw
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.actions.switch_trading import SwitchTrading
from otcdesk.domain.brokerage import (
    BrokerageTerms,
    FirmQuote,
    Listing,
    Market,
    NewestQuote,
    Position,
    RevenueShare,
    corporate_id,
    holding_id,
)
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account, Hold, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code
from tests.support.brokerage import INACTIVE, UNVERIFIED, P, Q, U, V, W, brokerage_desk, quoted, quoting
from tests.support.pure import PureDesk


def test_a_purchase_as_in_case_6() -> None:
    desk = brokerage_desk()
    reply = quoted(desk)
    quote, order = reply.quote, reply.order
    assert (quote.total_units, quote.fiat_units, quote.tax_units, quote.gain_units) == (10_000, 10_000, 0, None)
    assert (quote.price, quote.reference, quote.margin_bps, quote.asset_units) == (
        Decimal(51_000),
        Decimal(50_000),
        200,
        196_078,
    )
    assert (quote.spread, quote.fees_after_cost) == (Decimal("1.96078"), Decimal("1.71078"))
    assert (quote.tenant_id, quote.party_id, quote.defined_for, quote.by_pid) == (P, U, "fiat", False)
    assert quote.warnings == ()
    assert (order.product, order.side, order.state, order.version) == ("brokerage", "buy", "created", 1)
    assert (order.id, order.tenant_id, order.ttl_seconds) == (quote.order_id, P, 60)
    assert order.created_at == order.quoted_at == desk.clock.now()
    assert order.due_at == order.expires_at == desk.clock.now() + timedelta(seconds=60)
    assert (order.source_account_id, order.source_asset, order.source_units) == (corporate_id(P, "EUR"), "EUR", 10_000)
    assert (order.destination_account_id, order.destination_asset) == (holding_id(U, "BTC"), "BTC")
    assert order.destination_units == 196_078
    assert (order.rate, order.quoted_rate, order.market_rate, order.market_source) == (
        Decimal(51_000),
        Decimal(51_000),
        Decimal(50_000),
        "fixed",
    )
    assert (order.quoted_by, order.waits_for, order.collect_hold_id) == ("client", None, None)


def test_a_sale_as_in_case_8() -> None:
    reply = quoted(brokerage_desk(), "sell", "0.01", "asset", tax_bps=2_600)
    quote, order = reply.quote, reply.order
    assert (quote.total_units, quote.tax_units, quote.fiat_units, quote.gain_units) == (49_000, 2_340, 46_660, 9_000)
    assert (quote.price, quote.spread, quote.fees_after_cost) == (
        Decimal(49_000),
        Decimal(10),
        Decimal("9.75"),
    )
    assert (order.source_account_id, order.source_units) == (holding_id(U, "BTC"), 1_000_000)
    assert (order.destination_account_id, order.destination_units) == (corporate_id(P, "EUR"), 46_660)


def test_a_purchase_by_quantity_as_worked_out_in_the_contract() -> None:
    quote = quoted(brokerage_desk(), "buy", "0.0005", "asset").quote
    assert (quote.asset_units, quote.total_units) == (50_000, 2_550)


@pytest.mark.parametrize(
    "side, asset, amount, defined_for, asset_units, total_units",
    [
        ("sell", "BTC", "490.00", "fiat", 1_000_000, 49_000),
        ("sell", "BTC", "1.00", "fiat", 2_040, 100),  # 0.0000204081
        ("buy", "ETH", "100.00", "fiat", 41_795_660_000_000_000, 10_000),  # 0.04179566 at 2392.59249059
        ("buy", "ETH", "0.00100000", "asset", 10**15, 239),
        ("buy", "GOLD", "100.00", "fiat", 1_594, 9_999),  # 1.594 at 62.73 are worth 99.99
        ("buy", "SHARE", "100.00", "fiat", 7, 8_811),  # 7 whole shares at 12.5868
        ("buy", "SHARE", "1", "asset", 1, 1_259),
    ],
)
def test_both_sides_come_from_the_one_that_is_given(
    side: str, asset: str, amount: str, defined_for: str, asset_units: int, total_units: int
) -> None:
    desk = brokerage_desk()
    desk.put(desk.get(Party, U).with_(accepted_agreement_ids=desk.get(BrokerageTerms, ONLY).agreement_ids))
    quote = quoted(desk, side, amount, defined_for, asset=asset).quote
    assert (quote.asset_units, quote.total_units) == (asset_units, total_units)


def test_nobody_gains_by_selling_fractions_of_what_is_sold_whole() -> None:
    """Money that would take 1.9 shares brings what one brings, and takes one."""
    desk = brokerage_desk()
    desk.put(Account(id=holding_id(V, "SHARE"), owner_id=V, purpose="holding", asset="SHARE", balance=10))
    quote = quoted(desk, "sell", "23.00", "fiat", asset="SHARE", party_id=V).quote
    assert (quote.asset_units, quote.total_units) == (1, 1_228)  # at 12.2783


def test_quoting_moves_nothing() -> None:
    desk = brokerage_desk()
    before = {row.id: row for row in desk.all(Account)}
    booked = len(desk.all(LedgerTransaction))
    quoted(desk)
    assert {row.id: row for row in desk.all(Account)} == before
    assert len(desk.all(LedgerTransaction)) == booked
    assert desk.all(Hold) == []


def test_the_newest_quote_is_remembered_for_each_party() -> None:
    desk = brokerage_desk()
    first, of_another = quoted(desk).order, quoted(desk, party_id=V).order
    assert desk.get(NewestQuote, U).order_id == first.id
    second = quoted(desk, "sell", "0.01", "asset", fiat="CHF").order  # over all assets, fiats and sides
    assert desk.get(NewestQuote, U).order_id == second.id
    assert desk.get(NewestQuote, V).order_id == of_another.id
    assert desk.get(Order, first.id).state == "created"


def test_a_refused_request_supersedes_nothing_as_in_case_22() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    assert desk.refuse(quoting(amount="0.50"), owner_id=P) is Code.AMOUNT_TOO_SMALL
    assert desk.get(NewestQuote, U).order_id == order.id


def test_the_lane_says_how_long_a_quote_binds() -> None:
    desk = brokerage_desk()
    desk.put(desk.get(BrokerageTerms, ONLY).with_(validity_seconds=7))
    order = quoted(desk).order
    assert (order.ttl_seconds, order.expires_at) == (7, desk.clock.now() + timedelta(seconds=7))


def test_a_quote_binds_from_when_it_is_made_however_long_its_request_waited() -> None:
    desk = brokerage_desk()
    arrived_at = desk.clock.now()
    now = desk.clock.advance(seconds=5)
    order = desk.act(quoting(), owner_id=P, arrived_at=arrived_at).order
    assert (order.created_at, order.expires_at) == (now, now + timedelta(seconds=60))


def test_a_tenants_share_is_that_of_the_moment() -> None:
    desk = brokerage_desk()
    assert quoted(desk, amount="50.00", party_id=W).quote.revenue_share_bps == 2_000
    assert quoted(desk).quote.revenue_share_bps == 0
    del desk.rows[RevenueShare, P]
    assert quoted(desk).quote.revenue_share_bps == 0


@pytest.mark.parametrize(
    "side, unavailable, pending, said",
    [
        ("sell", False, False, ()),
        ("sell", True, False, ("tax_unavailable",)),
        ("sell", False, True, ("dividend_pending",)),
        ("sell", True, True, ("tax_unavailable", "dividend_pending")),
        ("buy", True, True, ()),
    ],
)
def test_sellers_are_warned(side: str, unavailable: bool, pending: bool, said: tuple[str, ...]) -> None:
    desk = brokerage_desk()
    desk.act(SwitchTrading(asset="BTC", dividend_pending=pending))
    quote = quoted(desk, side, "0.01", "asset", tax_unavailable=unavailable).quote
    assert quote.warnings == said
    assert quote.tax_units == 0


def test_nothing_is_withheld_of_a_purchase() -> None:
    assert quoted(brokerage_desk(), tax_bps=10_000).quote.tax_units == 0


def test_a_sale_of_which_everything_would_be_withheld_is_refused() -> None:
    desk = brokerage_desk()
    desk.put(desk.get(Position, (U, "BTC")).with_(basis_units=0))
    sale = quoting("sell", "0.01", "asset", tax_bps=10_000)
    assert desk.refuse(sale, owner_id=P) is Code.AMOUNT_TOO_SMALL
    assert quoted(desk, "sell", "0.01", "asset", tax_bps=9_999).quote.fiat_units == 5


def test_ids_on_the_wire_are_remembered_as_they_came() -> None:
    assert quoted(brokerage_desk(), by_pid=True).quote.by_pid


@pytest.mark.parametrize(
    "amount, defined_for, asset, code",
    [
        ("100.001", "fiat", "BTC", Code.AMOUNT_TOO_FINE),
        ("0.123456789", "asset", "BTC", Code.AMOUNT_TOO_FINE),
        ("0.123456789", "asset", "ETH", Code.AMOUNT_TOO_FINE),  # it has 18 decimals, quantities have 8
        ("0.1234", "asset", "GOLD", Code.AMOUNT_TOO_FINE),
        ("1.5", "asset", "SHARE", Code.AMOUNT_TOO_FINE),
        ("0.99", "fiat", "BTC", Code.AMOUNT_TOO_SMALL),
        ("0", "fiat", "BTC", Code.AMOUNT_TOO_SMALL),
        ("-1", "fiat", "BTC", Code.AMOUNT_TOO_SMALL),
        ("-0.01", "asset", "BTC", Code.AMOUNT_TOO_SMALL),
        ("0.00001951", "asset", "BTC", Code.AMOUNT_TOO_SMALL),  # 0.99501, 0.995 is the least that is 1.00
        ("12.40", "fiat", "SHARE", Code.AMOUNT_TOO_SMALL),  # not a whole share at 12.4017
        ("100000.01", "fiat", "ETH", Code.AMOUNT_TOO_LARGE),
        (f"1{'0' * 36}.01", "fiat", "BTC", Code.AMOUNT_TOO_LARGE),
        (f"1{'0' * 31}", "asset", "BTC", Code.AMOUNT_TOO_LARGE),
        ("100000.01", "fiat", "BTC", Code.QUOTE_NOT_COVERED),
    ],
)
def test_amounts_are_bounded(amount: str, defined_for: str, asset: str, code: Code) -> None:
    desk = brokerage_desk()
    command = quoting(amount=amount, defined_for=defined_for, asset=asset, party_id=V)
    if (amount, code) == ("0.00001951", Code.AMOUNT_TOO_SMALL):
        desk.put(desk.get(Market, ("BTC", "EUR")).with_(total_min=101))
    assert desk.refuse(command, owner_id=P) is code


def test_bounds_themselves_are_allowed() -> None:
    desk = brokerage_desk()
    assert quoted(desk, amount="1.00").quote.total_units == 100
    assert quoted(desk, amount="100000.00").quote.total_units == 10_000_000
    assert quoted(desk, amount="100000.00", asset="ETH").quote.total_units == 10_000_000


def test_what_cannot_be_counted_is_refused_before_it_meets_a_balance() -> None:
    desk = brokerage_desk()
    desk.put(desk.get(Account, corporate_id(P, "EUR")).with_(balance=10**38))
    desk.put(desk.get(Price, ("BTC", "EUR")).with_(feed_rate=Decimal(10**6)))
    largest = 10**36
    assert desk.refuse(quoting(amount=str(largest + 1)), owner_id=P) is Code.AMOUNT_TOO_LARGE
    assert quoted(desk, amount=str(largest)).quote.total_units == 10**38
    tiny = desk.get(Price, ("ETH", "EUR")).with_(feed_rate=Decimal("0.000001"))
    desk.put(tiny)
    desk.put(desk.get(Market, ("ETH", "EUR")).with_(total_max=None))
    assert desk.refuse(quoting(amount=f"1{'0' * 20}", asset="ETH"), owner_id=P) is Code.AMOUNT_TOO_LARGE


def test_a_purchase_is_covered_by_what_the_tenant_has_left() -> None:
    desk = brokerage_desk()
    cash = desk.get(Account, corporate_id(P, "EUR"))
    desk.put(cash.with_(held=cash.balance - 10_000))
    assert quoted(desk).quote.total_units == 10_000
    desk.put(cash.with_(held=cash.balance - 9_999))
    assert desk.refuse(quoting(), owner_id=P) is Code.QUOTE_NOT_COVERED


def test_a_sale_is_covered_by_what_the_party_has_left_as_in_case_13() -> None:
    desk = brokerage_desk()
    assert desk.refuse(quoting("sell", "1", "asset"), owner_id=P) is Code.QUOTE_NOT_COVERED
    assert quoted(desk, "sell", "0.05", "asset").quote.asset_units == 5_000_000
    desk.act(Withdraw(account_id=holding_id(U, "BTC"), units=1, reason="r", reference="r"))
    assert desk.refuse(quoting("sell", "0.05", "asset"), owner_id=P) is Code.QUOTE_NOT_COVERED


def test_who_has_no_account_is_not_covered() -> None:
    desk = brokerage_desk()
    assert desk.refuse(quoting(party_id=W, asset="BTC", fiat="CHF"), owner_id=Q) is Code.QUOTE_NOT_COVERED
    assert desk.refuse(quoting("sell", "1", "asset", asset="ETH"), owner_id=P) is Code.QUOTE_NOT_COVERED


@pytest.mark.parametrize(
    "fields, owner_id, code",
    [
        ({"party_id": W}, P, Code.PARTY_NOT_FOUND),
        ({"party_id": UUID(int=1)}, P, Code.PARTY_NOT_FOUND),
        ({"asset": "XRP"}, P, Code.ASSET_NOT_FOUND),
        ({"asset": "CHF"}, P, Code.ASSET_NOT_FOUND),
        ({"fiat": "USD"}, P, Code.FIAT_NOT_FOUND),
        ({"fiat": "ETH"}, P, Code.FIAT_NOT_FOUND),
        ({"asset": "ETH", "fiat": "CHF"}, P, Code.TRADING_DISABLED),  # there is no such market
        ({"party_id": UNVERIFIED}, P, Code.PARTY_UNVERIFIED),
        ({"party_id": INACTIVE}, P, Code.PARTY_INACTIVE),
    ],
)
def test_what_is_not_there_or_may_not(fields: dict[str, Any], owner_id: UUID, code: Code) -> None:
    assert brokerage_desk().refuse(quoting(**fields), owner_id=owner_id) is code


class Hindrance(NamedTuple):
    """One reason to refuse a sale, how it is brought about, and with which changes to the request."""

    code: Code
    stage: Callable[[PureDesk], None] = lambda _: None
    asked: Mapping[str, Any] = MappingProxyType({})


def _party(**fields: Any) -> Callable[[PureDesk], None]:
    return lambda desk: desk.put(desk.get(Party, U).with_(**fields))


def _without(noun: Any, key: Any) -> Callable[[PureDesk], None]:
    def take(desk: PureDesk) -> None:
        desk.rows.pop((noun, key), None)

    return take


#: In the order in which they are looked at; of any two, the first is told.
HINDRANCES = [
    Hindrance(Code.PARTY_NOT_FOUND, _party(tenant_id=Q)),
    Hindrance(Code.ASSET_NOT_FOUND, _without(Listing, "BTC")),
    Hindrance(Code.FIAT_NOT_FOUND, _without(Listing, "EUR")),
    Hindrance(Code.PARTY_UNVERIFIED, _party(status="unverified")),
    Hindrance(Code.PARTY_INACTIVE, _party(status="inactive")),
    Hindrance(Code.AGREEMENTS_NOT_ACCEPTED, _party(accepted_agreement_ids=())),
    Hindrance(Code.TRADING_DISABLED, _without(Market, ("BTC", "EUR"))),
    Hindrance(Code.PRICE_UNAVAILABLE, _without(Price, ("BTC", "EUR"))),
    Hindrance(Code.AMOUNT_TOO_FINE, asked={"amount": "0.000000001"}),
    Hindrance(Code.AMOUNT_TOO_SMALL, asked={"amount": "0.00000001"}),
    Hindrance(Code.AMOUNT_TOO_LARGE, asked={"amount": f"1{'0' * 35}"}),
    Hindrance(Code.QUOTE_NOT_COVERED, _without(Account, holding_id(U, "BTC"))),
]
#: Which cannot come together.
_NEVER = {
    frozenset(pair)
    for pair in (
        (Code.PARTY_UNVERIFIED, Code.PARTY_INACTIVE),
        *combinations((Code.AMOUNT_TOO_FINE, Code.AMOUNT_TOO_SMALL, Code.AMOUNT_TOO_LARGE), 2),
    )
}


@pytest.mark.parametrize(
    "first, second",
    [
        pytest.param(*pair, id="-".join(one.code.name for one in pair))
        for pair in combinations(HINDRANCES, 2)
        if frozenset(one.code for one in pair) not in _NEVER
    ],
)
def test_of_two_reasons_the_earlier_is_told(first: Hindrance, second: Hindrance) -> None:
    command = quoting("sell", **{"amount": "0.01", "defined_for": "asset", **first.asked, **second.asked})
    for one in (first, second):
        alone = brokerage_desk()
        one.stage(alone)
        assert alone.refuse(_sale(**one.asked), owner_id=P) is one.code
    both = brokerage_desk()
    second.stage(both)
    first.stage(both)
    assert both.refuse(command, owner_id=P) is first.code


def _sale(**asked: Any) -> QuoteBrokerage:
    return quoting("sell", **{"amount": "0.01", "defined_for": "asset", **asked})


@pytest.mark.parametrize("side, other", [("buy", "sell"), ("sell", "buy")])
def test_a_side_that_is_switched_off_is_refused_and_the_other_is_not(side: str, other: str) -> None:
    desk = brokerage_desk()
    desk.act(SwitchTrading(asset="BTC", **{f"{side}_enabled": False}))
    assert desk.refuse(quoting(side, "0.01", "asset"), owner_id=P) is Code.TRADING_DISABLED
    assert quoted(desk, other, "0.01", "asset").quote.asset_units == 1_000_000


def test_a_price_that_is_off_or_stale_is_none() -> None:
    desk = brokerage_desk()
    price = desk.get(Price, ("BTC", "EUR"))
    desk.put(price.with_(feed_up=False))
    assert desk.refuse(quoting(), owner_id=P) is Code.PRICE_UNAVAILABLE
    desk.put(price.with_(stale_after_ms=1_000))
    assert quoted(desk).quote.price == 51_000
    desk.clock.advance(milliseconds=1_001)
    assert desk.refuse(quoting(), owner_id=P) is Code.PRICE_UNAVAILABLE


def test_the_quote_is_kept_as_it_is_answered() -> None:
    desk = brokerage_desk()
    reply = quoted(desk)
    assert desk.get(FirmQuote, reply.order.id) == reply.quote
    assert desk.get(Order, reply.order.id) == reply.order
