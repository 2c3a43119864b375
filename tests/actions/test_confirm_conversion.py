"""Confirming: once, in time, by its tenant; a buy's source is taken, a sell only waits."""

from datetime import timedelta

import pytest

from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Withdraw
from otcdesk.actions.steer_sandbox import SetDebitSettlement
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import INACTIVE, Account, Entry, Posting
from otcdesk.domain.orders import Order
from otcdesk.errors import Code
from tests.support.conversions import OPENING, balances, confirmed, quoted
from tests.support.desk import FA1, TREASURY_EUR, WA1, A, B
from tests.support.pure import PureDesk

MICROSECOND = timedelta(microseconds=1)


def test_a_confirmed_buy_takes_the_source_as_in_case_18() -> None:
    desk = PureDesk()
    order = quoted(desk)
    reply = desk.act(ConfirmConversion(order_id=order.id, side="buy"), owner_id=A)
    assert (reply.order_id, reply.state) == (order.id, "debit_pending")
    assert balances(desk) == {**OPENING, "FA1": (750_000, 0), "EUR": (100_250_000, 0)}
    after = desk.get(Order, order.id)
    assert (after.version, after.confirmed_at, after.due_at) == (3, desk.clock.now(), None)
    postings = [row for row in desk.all(Posting) if row.units == 250_000]
    assert [(row.source_account_id, row.destination_account_id) for row in postings] == [(FA1, TREASURY_EUR)]
    entries = [row for row in desk.all(Entry) if row.transaction_id == postings[0].transaction_id]
    assert {(row.account_id, row.units, row.balance_after) for row in entries} == {
        (FA1, -250_000, 750_000),
        (TREASURY_EUR, 250_000, 100_250_000),
    }
    events = [row for row in desk.all(Event) if row.order_id == order.id]
    assert [(row.name, row.state, row.order_version) for row in events] == [
        ("conversion.confirm", "debit_pending", 2),
        ("conversion.debit_settled", "pending_approval", 3),
    ]


def test_a_debit_that_settles_later_waits_for_its_time() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=1))
    order = confirmed(desk)
    assert (order.state, order.version) == ("debit_pending", 2)
    assert order.due_at == desk.clock.now() + timedelta(milliseconds=1)


def test_a_confirmed_sell_moves_nothing_as_in_case_26() -> None:
    desk = PureDesk()
    order = confirmed(desk, "sell")
    assert (order.state, order.due_at) == ("pending_approval", None)
    assert balances(desk) == OPENING


def test_a_manual_debit_waits_without_a_due_time() -> None:
    desk = PureDesk()
    desk.act(SetDebitSettlement(after_ms=None))
    assert confirmed(desk).due_at is None
    desk.act(SetDebitSettlement(after_ms=1_500))
    assert confirmed(desk).due_at == desk.clock.now() + timedelta(seconds=1.5)


def test_a_second_confirm_is_refused_as_in_case_23() -> None:
    desk = PureDesk()
    order = confirmed(desk)
    assert desk.refuse(ConfirmConversion(order_id=order.id, side="buy"), owner_id=A) is Code.NOT_CONFIRMABLE
    assert balances(desk)["FA1"] == (750_000, 0)


def test_a_quote_can_be_confirmed_until_it_expires_and_not_then() -> None:
    desk = PureDesk()
    in_time, late = quoted(desk), quoted(desk)
    edge = in_time.expires_at
    desk.clock.set(edge + timedelta(seconds=5))  # the batch is late, the requests were not
    confirm = ConfirmConversion(order_id=late.id, side="buy")
    assert desk.refuse(confirm, owner_id=A, arrived_at=edge) is Code.QUOTE_EXPIRED
    confirm = ConfirmConversion(order_id=in_time.id, side="buy")
    assert desk.act(confirm, owner_id=A, arrived_at=edge - MICROSECOND).state == "debit_pending"


def test_another_tenants_order_looks_as_if_it_did_not_exist_as_in_case_25() -> None:
    desk = PureDesk()
    order = quoted(desk)
    assert desk.refuse(ConfirmConversion(order_id=order.id, side="buy"), owner_id=B) is Code.ORDER_NOT_FOUND
    assert desk.refuse(ConfirmConversion(order_id=FA1, side="buy"), owner_id=A) is Code.ORDER_NOT_FOUND
    assert desk.act(ConfirmConversion(order_id=order.id, side="buy"), owner_id=A).state == "debit_pending"


def test_the_side_must_be_the_quotes() -> None:
    desk = PureDesk()
    order = quoted(desk)
    assert desk.refuse(ConfirmConversion(order_id=order.id, side="sell"), owner_id=A) is Code.SIDE_MISMATCH


def test_refusals_come_in_the_contracts_order() -> None:
    desk = PureDesk()
    order = quoted(desk, units=1_000_001)
    desk.put(desk.get(Account, FA1).with_(status=INACTIVE))
    right, wrong = (ConfirmConversion(order_id=order.id, side=side) for side in ("buy", "sell"))
    assert desk.refuse(wrong, owner_id=B) is Code.ORDER_NOT_FOUND
    assert desk.refuse(wrong, owner_id=A, arrived_at=order.expires_at) is Code.QUOTE_EXPIRED
    assert desk.refuse(wrong, owner_id=A) is Code.SIDE_MISMATCH
    assert desk.refuse(right, owner_id=A) is Code.SOURCE_CASH_INSUFFICIENT
    desk.put(desk.get(Account, FA1).with_(balance=1_000_001))
    assert desk.refuse(right, owner_id=A) is Code.SOURCE_CASH_INACTIVE
    desk.act(CancelConversion(order_id=order.id), owner_id=A)
    assert desk.refuse(wrong, owner_id=A) is Code.NOT_CONFIRMABLE


def test_a_buy_that_is_not_covered_is_refused_as_in_case_28() -> None:
    desk = PureDesk()
    order = quoted(desk, units=1_000_001)
    confirm = ConfirmConversion(order_id=order.id, side="buy")
    assert desk.refuse(confirm, owner_id=A) is Code.SOURCE_CASH_INSUFFICIENT
    assert balances(desk) == OPENING


def test_a_sell_looks_at_its_accounts_again() -> None:
    desk = PureDesk()
    order = quoted(desk, "sell")
    desk.act(Withdraw(account_id=WA1, units=4_000_000_000, reason="gone", reference="r"))
    confirm = ConfirmConversion(order_id=order.id, side="sell")
    assert desk.refuse(confirm, owner_id=A) is Code.SOURCE_CUSTODY_INSUFFICIENT


@pytest.mark.parametrize("data", [None, '{"note":"x"}'])
def test_dialect_data_is_kept_unread(data: str | None) -> None:
    desk = PureDesk()
    order = quoted(desk)
    desk.act(ConfirmConversion(order_id=order.id, side="buy", dialect_data=data), owner_id=A)
    assert desk.get(Order, order.id).dialect_data == data
