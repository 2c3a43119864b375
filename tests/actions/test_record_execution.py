"""The venue's word: each trade is booked once, to the unit, whatever comes twice or late; holds always end."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from otcdesk.actions.move_value import Deposit, Withdraw
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.domain.brokerage import FAILURES, Position, corporate_id, holding_id
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code
from tests.support.brokerage import (
    OFFERS_WORLD,
    P,
    Q,
    U,
    V,
    W,
    accepted,
    assert_balanced,
    balance,
    brokerage_desk,
    corporate,
    done,
    executed,
    holding,
    in_progress,
    of_the_desk,
    open_holds,
    quoted,
    refused,
)
from tests.support.pure import PureDesk


def booked(desk: PureDesk) -> list[LedgerTransaction]:
    return [row for row in desk.all(LedgerTransaction) if row.reason == "brokerage execution"]


def test_a_purchase_is_booked_to_the_unit() -> None:
    """100.00 EUR for 0.00196078 BTC that cost the desk 98.04 at 50000, and 0.25 for the trade."""
    desk = brokerage_desk()
    order = in_progress(desk)
    desk.clock.advance(seconds=7)
    reply = executed(desk, order)
    assert reply.applied
    after = reply.order
    assert (after.state, after.version, after.ended_at) == ("finished", 3, desk.clock.now())
    assert (after.waits_for, after.rail_reference, after.collect_hold_id) == (None, None, None)
    assert (after.rate, after.destination_units) == (Decimal(51_000), 196_078)
    assert (corporate(desk), holding(desk)) == ((9_990_000, 0), (5_196_078, 0))
    # 0.00196078 at 50000 are 98.039, which the venue is paid as 98.04.
    assert of_the_desk(desk) == {"venue": 9_804, "spread_income": 171, "broker_cost": 25, "BTC": -196_078}
    (transaction,) = booked(desk)
    assert (transaction.order_id, transaction.reference, transaction.caller) == (
        order.id,
        order.rail_reference,
        "venue",
    )
    postings = [row for row in desk.all(Posting) if row.transaction_id == transaction.id]
    assert sorted((row.number, row.asset, row.units) for row in postings) == [
        (1, "EUR", 10_000),
        (2, "BTC", 196_078),
        (3, "EUR", 196),
        (4, "EUR", 25),
    ]
    assert len([row for row in desk.all(Entry) if row.transaction_id == transaction.id]) == 8
    assert [hold.state for hold in desk.all(Hold)] == ["captured"]
    assert_balanced(desk)


def test_a_sale_is_booked_to_the_unit() -> None:
    desk = brokerage_desk()
    order = quoted(desk, "sell", "0.01", "asset", tax_bps=2_600).order
    accepted(desk, order)
    after = executed(desk, desk.get(Order, order.id)).order
    assert (after.state, after.destination_units) == ("finished", 46_660)
    assert (corporate(desk), holding(desk)) == ((10_046_660, 0), (4_000_000, 0))
    assert of_the_desk(desk) == {
        "venue": -50_000,
        "spread_income": 975,
        "broker_cost": 25,
        "tax_payable": 2_340,
        "BTC": 1_000_000,
    }
    assert_balanced(desk)


def test_a_trade_remembers_every_price_that_led_to_it() -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    desk.clock.advance(seconds=3)
    desk.act(done(order, "50100", detail="venue's own id"), caller="venue worker")
    (trade,) = desk.all(Trade)
    assert (trade.order_id, trade.tenant_id) == (order.id, P)
    assert (trade.source_asset, trade.source_units) == ("EUR", 10_000)
    assert (trade.destination_asset, trade.destination_units) == ("BTC", 196_078)
    assert (trade.executed_rate, trade.executed_by, trade.executed_at) == (
        Decimal(51_000),
        "venue worker",
        desk.clock.now(),
    )
    assert (trade.quoted_rate, trade.quoted_by, trade.quoted_at) == (Decimal(51_000), "client", order.created_at)
    assert (trade.market_rate, trade.market_source) == (Decimal(50_000), "fixed")
    assert (trade.approved_market_rate, trade.approved_market_source) == (Decimal(50_100), "venue-1")
    assert trade.approved_market_at == desk.clock.now()
    event = max((row for row in desk.all(Event) if row.order_id == order.id), key=lambda row: row.order_version)
    assert (event.name, event.state, event.detail) == ("brokerage.finish", "finished", "venue's own id")


@pytest.mark.parametrize(
    "side, price, income",
    [
        ("buy", "50000", 171),  # 98.039 -> 98.04 to the venue, 1.96 left, 0.25 of it for the trade
        ("buy", "49999.99", 171),  # 98.0389804
        ("buy", "51000", -25),  # 99.99978 -> 100.00: nothing is left over
        ("buy", "52000", -222),  # 101.96056 -> 101.97: the desk pays for its price
        ("sell", "50000", 179),  # 0.00204081 for 100.00; 102.0405 -> 102.04 from the venue, less 100.00 and 0.25
        ("sell", "49000", -26),  # 99.99969 -> 99.99
        ("sell", "40000", -1_862),  # 81.6324 -> 81.63
    ],
)
def test_what_the_venues_price_leaves_over_is_the_desks_rounded_against_it(side: str, price: str, income: int) -> None:
    desk = brokerage_desk()
    desk.put(desk.get(Account, holding_id(U, "BTC")).with_(floor=None))
    order = in_progress(desk, side)
    if side == "sell":
        assert order.source_units == 204_081
    executed(desk, order, price)
    found = of_the_desk(desk)
    assert found.get("spread_income", 0) == income
    assert found["broker_cost"] == 25
    assert_balanced(desk)


def test_what_is_nothing_is_not_booked() -> None:
    """No margin, no cost, no tax: two postings and no more."""
    desk = brokerage_desk()
    order = quoted(desk, "buy", "1.00", "asset", asset="GOLD", party_id=V).order
    accepted(desk, order, party_id=V)
    waiting = desk.get(Order, order.id)
    price = Decimal(waiting.source_units) / 100
    executed(desk, waiting, str(price))
    (transaction,) = booked(desk)
    assert len([row for row in desk.all(Posting) if row.transaction_id == transaction.id]) == 2


@pytest.mark.parametrize(
    "amount, share",
    [
        ("50.00", 14),  # spread 0.98039, after cost 0.73039, a fifth 0.146078
        ("12.00", 0),  # spread 0.2353 does not pay for the trade
    ],
)
def test_a_tenant_is_owed_its_share_of_the_fees_after_cost(amount: str, share: int) -> None:
    desk = brokerage_desk()
    order = quoted(desk, amount=amount, party_id=W).order
    accepted(desk, order, party_id=W)
    executed(desk, desk.get(Order, order.id))
    assert of_the_desk(desk).get("revenue_share", 0) == share
    assert_balanced(desk)


def test_the_first_purchase_opens_the_account_and_the_next_uses_it() -> None:
    desk = brokerage_desk()
    for times in (1, 2):
        order = quoted(desk, asset="ETH").order
        accepted(desk, order, f"ext-{times}")
        executed(desk, desk.get(Order, order.id), "2345")
        account = desk.get(Account, holding_id(U, "ETH"))
        assert (account.owner_id, account.purpose, account.asset, account.floor) == (U, "holding", "ETH", 0)
        assert (account.balance, account.version) == (41_795_660_000_000_000 * times, times)
    assert_balanced(desk)


def test_a_sale_for_a_fiat_that_the_tenant_had_none_of_opens_its_account() -> None:
    desk = brokerage_desk()
    for account_id, owner_id, purpose, asset, units in (
        (holding_id(W, "BTC"), W, "holding", "BTC", 1_000_000),
        (UUID(int=1), DESK_ID, "equity", "BTC", -1_000_000),
    ):
        desk.put(Account(id=account_id, owner_id=owner_id, purpose=purpose, asset=asset, balance=units, floor=None))
    order = quoted(desk, "sell", "0.01", "asset", fiat="CHF", party_id=W).order
    accepted(desk, order, party_id=W)
    assert executed(desk, desk.get(Order, order.id), "47000").order.state == "finished"
    account = desk.get(Account, corporate_id(Q, "CHF"))
    assert (account.owner_id, account.purpose, account.balance, account.floor) == (Q, "corporate", 46_060, 0)
    assert_balanced(desk)


def test_accounts_of_the_desk_are_without_a_floor_and_its_own() -> None:
    desk = brokerage_desk()
    executed(desk, in_progress(desk))
    for account in desk.all(Account):
        if account.purpose in {"venue", "spread_income", "broker_cost"}:
            assert (account.owner_id, account.floor) == (DESK_ID, None)


# -- cost basis ----------------------------------------------------------------------------------------------------


def test_the_cost_basis_follows_every_trade_at_average_cost() -> None:
    desk = brokerage_desk()
    executed(desk, in_progress(desk))
    position = desk.get(Position, (U, "BTC"))
    assert (position.units, position.basis_units) == (5_196_078, 210_000)
    executed(desk, in_progress(desk, "sell", "0.02598039", "asset"))
    position = desk.get(Position, (U, "BTC"))
    assert (position.units, position.basis_units) == (2_598_039, 105_000)
    quote = quoted(desk, "sell", "0.01", "asset", tax_bps=10_000).quote
    assert quote.gain_units == 49_000 - 40_415  # 1050.00 for 0.02598039


def test_what_is_bought_for_another_fiat_has_no_basis_beside_one() -> None:
    desk = brokerage_desk()
    order = quoted(desk, fiat="CHF").order
    accepted(desk, order)
    executed(desk, desk.get(Order, order.id), "47000")
    position = desk.get(Position, (U, "BTC"))
    assert (position.fiat, position.units, position.basis_units) == ("EUR", 5_000_000, 200_000)


def test_a_basis_goes_with_what_is_sold_for_another_fiat() -> None:
    """Else what is bought next would be averaged with what is gone, and tax withheld of a loss."""
    desk = brokerage_desk()
    order = quoted(desk, "sell", "0.05", "asset", fiat="CHF", tax_bps=2_600).order
    accepted(desk, order)
    executed(desk, desk.get(Order, order.id), "47000")
    assert desk.get(Position, (U, "BTC")).units == 0
    executed(desk, in_progress(desk, "buy", "2550.00"))
    position = desk.get(Position, (U, "BTC"))
    assert (position.units, position.basis_units) == (5_000_000, 255_000)
    quote = quoted(desk, "sell", "0.05", "asset", tax_bps=2_600).quote
    assert (quote.gain_units, quote.tax_units) == (245_000 - 255_000, 0)


def test_a_basis_goes_with_what_the_operator_books_out() -> None:
    desk = brokerage_desk()
    desk.act(Withdraw(account_id=holding_id(U, "BTC"), units=5_000_000, reason="left", reference="r"))
    executed(desk, in_progress(desk, "buy", "2550.00"))
    position = desk.get(Position, (U, "BTC"))
    assert (position.units, position.basis_units) == (5_000_000, 255_000)


def test_what_is_being_sold_is_not_sold_with_its_basis_again() -> None:
    desk = brokerage_desk()
    desk.act(Deposit(account_id=holding_id(U, "BTC"), units=5_000_000, reason="came", reference="r"))
    first = quoted(desk, "sell", "0.05", "asset", tax_bps=2_600)
    assert first.quote.gain_units == 245_000 - 200_000
    accepted(desk, first.order)
    assert quoted(desk, "sell", "0.05", "asset", tax_bps=2_600).quote.gain_units is None


def test_selling_what_was_never_bought_here_leaves_an_empty_basis() -> None:
    desk = brokerage_desk()
    order = quoted(desk, "sell", "0.5", "asset", party_id=V, tax_bps=2_600).order
    accepted(desk, order, party_id=V)
    executed(desk, desk.get(Order, order.id))
    position = desk.get(Position, (V, "BTC"))
    assert (position.units, position.basis_units) == (0, 0)


# -- refusals of the venue -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", FAILURES)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_what_the_venue_refused_gives_everything_back(side: str, reason: str) -> None:
    desk = brokerage_desk()
    order = in_progress(desk, side)
    desk.clock.advance(seconds=1)
    reply = desk.act(refused(order, reason, detail="said the venue"), caller="venue")
    assert reply.applied
    after = reply.order
    assert (after.state, after.reason, after.version, after.ended_at) == ("failed", reason, 3, desk.clock.now())
    assert (after.waits_for, after.rail_reference, after.collect_hold_id) == (None, None, None)
    assert (corporate(desk), holding(desk)) == ((10_000_000, 0), (5_000_000, 0))
    assert [(hold.state, hold.ended_at) for hold in desk.all(Hold)] == [("released", desk.clock.now())]
    assert (booked(desk), desk.all(Trade)) == ([], [])
    event = max((row for row in desk.all(Event) if row.order_id == order.id), key=lambda row: row.order_version)
    assert (event.name, event.state, event.detail) == ("brokerage.fail", "failed", "said the venue")
    assert desk.get(Position, (U, "BTC")).basis_units == 200_000


def test_an_event_of_a_failure_says_why_even_if_the_venue_says_nothing() -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    desk.act(refused(order, "not_covered"))
    event = max((row for row in desk.all(Event) if row.order_id == order.id), key=lambda row: row.order_version)
    assert event.detail == "not_covered"


@pytest.mark.parametrize("command", [{"reason": None}, {"reason": "because"}])
def test_a_refusal_for_no_known_reason_is_a_fault_of_ours(command: dict[str, Any]) -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    with pytest.raises(AssertionError, match="refused"):
        desk.act(refused(order, **command))
    assert desk.get(Order, order.id) == order


@pytest.mark.parametrize("price", ["0", "-1"])
def test_an_execution_at_no_price_is_a_fault_of_ours(price: str) -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    with pytest.raises(AssertionError, match="carried out"):
        desk.act(done(order, price))
    assert desk.get(Order, order.id) == order


# -- twice, late, contradicting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["done", "refused"])
@pytest.mark.parametrize("first", ["done", "refused"])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_only_the_first_word_counts(side: str, first: str, second: str) -> None:
    desk = brokerage_desk()
    order = in_progress(desk, side)
    words = {"done": done(order), "refused": refused(order)}
    after = desk.act(words[first]).order
    rows = dict(desk.rows)
    for word in (words[second], done(order, "1")):
        again = desk.act(word)
        assert (again.applied, again.order) == (False, after)
        assert again.quote.order_id == order.id
        assert desk.rows == rows


@pytest.mark.parametrize(
    "first, second, agrees",
    [
        ("done", "done", True),
        ("done", "dearer", False),
        ("done", "refused", False),
        ("refused", "refused", True),
        ("refused", "done", False),
    ],
)
def test_a_second_word_agrees_only_if_it_is_what_was_booked(first: str, second: str, agrees: bool) -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    words = {"done": done(order, "5E+4"), "dearer": done(order, "50001"), "refused": refused(order)}
    assert desk.act(words[first]).agrees
    assert desk.act(words[second]).agrees is agrees


def test_a_price_is_kept_as_the_database_writes_it() -> None:
    """Else what is read back would not be what was hashed."""
    desk = brokerage_desk()
    order = in_progress(desk)
    desk.act(done(order, "5E+4"))
    assert str(desk.get(Trade, order.id).approved_market_rate) == "50000"


def test_a_word_about_another_call_is_passed_over() -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    for command in (done(order, reference="another"), refused(order, reference="")):
        assert not desk.act(command).applied
    assert desk.get(Order, order.id) == order
    assert open_holds(desk) == 1


def test_a_word_before_the_acceptance_or_after_the_end_is_passed_over() -> None:
    desk = brokerage_desk()
    order = quoted(desk).order
    assert not desk.act(done(order, reference=f"{order.id}:2")).applied
    desk.clock.set(order.expires_at + timedelta(seconds=1))
    assert not desk.act(done(order, reference=f"{order.id}:2")).applied
    assert desk.get(Order, order.id).state == "created"


def test_a_trade_in_progress_is_carried_out_whatever_has_changed_since() -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    desk.act(SwitchTrading(asset="BTC", buy_enabled=False, sell_enabled=False))
    desk.act(SetParty(party_id=U, status="inactive", level_id=None, tax_bps=None))
    desk.clock.advance(seconds=86_400)
    after = executed(desk, order).order
    assert (after.state, after.rate) == ("finished", Decimal(51_000))


def test_an_unknown_order_and_one_of_another_product_are_refused() -> None:
    desk = brokerage_desk()
    order = in_progress(desk)
    assert desk.refuse(done(order.with_(id=UUID(int=1)))) is Code.ORDER_NOT_FOUND
    desk.put(order.with_(product="conversion"))
    assert desk.refuse(done(order)) is Code.ORDER_NOT_FOUND


def test_fees_longer_than_a_decimal_context_are_shared_to_the_unit() -> None:
    desk = brokerage_desk(OFFERS_WORLD.replace("revenue_share_bps = 2000", "revenue_share_bps = 10000"))
    desk.put(desk.get(Account, corporate_id(Q, "EUR")).with_(balance=10**38))
    order = quoted(desk, amount=f"1{'0' * 34}.00", party_id=W).order
    accepted(desk, order, party_id=W)
    reply = executed(desk, desk.get(Order, order.id))
    spread = Fraction(reply.quote.asset_units * 1_000, 10**8)
    assert balance(desk, _share_account(desk))[0] == (spread - Fraction("0.25")) * 100 // 1


def _share_account(desk: PureDesk) -> UUID:
    (account,) = [row for row in desk.all(Account) if row.purpose == "revenue_share"]
    return account.id
