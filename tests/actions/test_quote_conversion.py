"""Quotes: what they say, what they refuse and in which order. They move no money."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.ledger import Account, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.pricing import Price, Spread
from otcdesk.errors import Code
from tests.support.conversions import OPENING, balances, buying, quoted, selling
from tests.support.desk import FA1, FA2, FA3, FB1, WA1, WA2, WAT, WB1, A, B
from tests.support.pure import PureDesk

NOBODYS = UUID(int=9)


def test_a_buy_as_in_case_9_of_the_contract() -> None:
    desk = PureDesk()
    order = quoted(desk, "buy")
    assert (order.state, order.rate, order.destination_units) == ("quoted", Decimal("1.0842"), 2_710_500_000)
    assert (order.source_asset, order.destination_asset, order.ttl_seconds) == ("EUR", "USDC", 60)
    assert order.expires_at == order.due_at == desk.clock.now() + timedelta(seconds=60)
    assert (order.tenant_id, order.version, order.product) == (A, 1, "conversion")
    assert (order.market_rate, order.market_source) == (Decimal("1.0842"), "fixed")
    assert desk.get(Order, order.id) == order
    assert balances(desk) == OPENING


def test_a_sell_as_in_case_10_of_the_contract() -> None:
    desk = PureDesk()
    order = quoted(desk, "sell")
    assert (order.rate, order.destination_units) == (Decimal("0.921"), 165_780)
    assert (order.source_asset, order.destination_asset) == ("USDC", "EUR")
    assert balances(desk) == OPENING


def test_a_quote_books_nothing() -> None:
    desk = PureDesk()
    before = len(desk.all(LedgerTransaction))
    quoted(desk)
    assert len(desk.all(LedgerTransaction)) == before


def test_a_tenants_spread_is_the_desks() -> None:
    desk = PureDesk()
    desk.put(Spread(tenant_id=A, source_asset="EUR", destination_asset="USDC", bps=50))
    order = quoted(desk)
    assert (order.rate, order.market_rate) == (Decimal("1.078779"), Decimal("1.0842"))
    assert order.destination_units == 2_696_940_000


def test_a_buy_does_not_look_at_the_balance() -> None:
    assert PureDesk().act(buying(10**12), owner_id=A).order.state == "quoted"


@pytest.mark.parametrize(
    "source, destination, code",
    [
        (NOBODYS, NOBODYS, Code.SOURCE_CASH_NOT_FOUND),
        (FB1, WA2, Code.SOURCE_CASH_NOT_FOUND),
        (WA1, WA1, Code.SOURCE_CASH_NOT_FOUND),
        (FA3, WA2, Code.SOURCE_CASH_WRONG_ASSET),
        (FA2, WA2, Code.SOURCE_CASH_INACTIVE),
        (FA1, NOBODYS, Code.DESTINATION_CUSTODY_NOT_FOUND),
        (FA1, WB1, Code.DESTINATION_CUSTODY_NOT_FOUND),
        (FA1, WAT, Code.DESTINATION_CUSTODY_NOT_FOUND),
        (FA1, FA1, Code.DESTINATION_CUSTODY_NOT_FOUND),
        (FA1, WA2, Code.DESTINATION_CUSTODY_NO_ADDRESS),
    ],
)
def test_a_buys_accounts_are_refused_in_the_contracts_order(source: UUID, destination: UUID, code: Code) -> None:
    desk = PureDesk()
    desk.act(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=False))  # which would be refused after them
    command = QuoteBuy(source_account_id=source, destination_account_id=destination, source_units=100)
    assert desk.refuse(command, owner_id=A) is code


@pytest.mark.parametrize(
    "source, destination, units, live, code",
    [
        (WB1, FB1, 1, None, Code.SOURCE_CUSTODY_NOT_FOUND),
        (WAT, FA1, 1, None, Code.SOURCE_CUSTODY_NOT_FOUND),
        (FA1, FA1, 1, None, Code.SOURCE_CUSTODY_NOT_FOUND),
        (WA2, FB1, 1, None, Code.SOURCE_CUSTODY_NO_ADDRESS),
        (WA1, FB1, 5_000_000_001, None, Code.SOURCE_CUSTODY_INSUFFICIENT),
        (WA1, FB1, 5_000_000_000, 4_999_999_999, Code.SOURCE_CUSTODY_INSUFFICIENT),
        (WA1, FB1, 5_000_000_000, None, Code.DESTINATION_CASH_NOT_FOUND),
        (WA1, FA3, 1, None, Code.DESTINATION_CASH_WRONG_ASSET),
        (WA1, FA2, 1, None, Code.DESTINATION_CASH_INACTIVE),
        (WA1, FA1, 1, None, Code.SOURCE_BALANCE_UNKNOWN),
        (WA1, FA1, 1, 10, Code.PRICE_UNAVAILABLE),
    ],
)
def test_a_sells_accounts_are_refused_in_the_contracts_order(
    source: UUID, destination: UUID, units: int, live: int | None, code: Code
) -> None:
    desk = PureDesk()
    desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=False))
    command = QuoteSell(
        source_account_id=source, destination_account_id=destination, source_units=units, live_units=live
    )
    assert desk.refuse(command, owner_id=A) is code


def test_what_is_held_cannot_be_sold_again() -> None:
    desk = PureDesk()
    desk.put(desk.get(Account, WA1).with_(held=4_000_000_000))
    assert desk.refuse(selling(1_000_000_001), owner_id=A) is Code.SOURCE_CUSTODY_INSUFFICIENT
    assert desk.act(selling(1_000_000_000), owner_id=A).order.state == "quoted"


def test_without_a_price_a_spread_or_terms_no_quote_can_be_given() -> None:
    for noun, key in ((Price, ("EUR", "USDC")), (Spread, (A, "EUR", "USDC")), (ConversionTerms, 1)):
        desk = PureDesk()
        del desk.rows[noun, key]
        assert desk.refuse(buying(), owner_id=A) is Code.PRICE_UNAVAILABLE


def test_a_spread_that_leaves_nothing_gives_no_price() -> None:
    desk = PureDesk()
    desk.put(desk.get(Price, ("EUR", "USDC")).with_(feed_rate=Decimal("0.000001")))
    desk.put(Spread(tenant_id=A, source_asset="EUR", destination_asset="USDC", bps=1))
    assert desk.refuse(buying(), owner_id=A) is Code.PRICE_UNAVAILABLE


def test_too_little_and_too_much_are_refused() -> None:
    desk = PureDesk()
    assert desk.refuse(selling(1), owner_id=A) is Code.AMOUNT_TOO_SMALL
    assert desk.refuse(buying(10**38), owner_id=A) is Code.AMOUNT_TOO_LARGE


def test_another_tenant_quotes_its_own_accounts_only() -> None:
    assert PureDesk().refuse(buying(), owner_id=B) is Code.SOURCE_CASH_NOT_FOUND
