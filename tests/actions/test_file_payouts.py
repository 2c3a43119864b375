"""Filing: only what waits for it, once, and who asks again is given the file that was made first."""

from datetime import timedelta

import pytest

from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.domain.bank_files import BankAccount, FiledPayout, PayoutFile
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import FILED
from otcdesk.errors import Code
from tests.support.bank import filed, filing, state_of, waiting
from tests.support.payouts import B2, current, held_of, pending, ramp_desk, told_of


def test_payouts_go_into_a_file_in_their_order() -> None:
    desk = ramp_desk()
    orders = [waiting(desk, "100.00"), waiting(desk, "12.34")]
    available = current(desk)
    file, payouts = filed(desk, *orders)
    bank = desk.get(BankAccount, "EUR")
    assert (file.iban, file.bic, file.name) == (bank.iban, bank.bic, bank.name)
    assert (file.order_ids, file.total_units) == (tuple(order.id for order in orders), 11_234)
    assert (file.execution_on, file.created_by) == (file.created_at.date(), "operator")
    assert [(one.number, one.units, one.file_id) for one in payouts] == [(1, 10_000, file.id), (2, 1_234, file.id)]
    assert len({one.end_to_end_id for one in payouts}) == 2
    for order in orders:
        after = desk.get(Order, order.id)
        assert (after.state, after.waits_for, after.rail_reference) == (FILED, None, order.rail_reference)
        assert told_of(desk, order)[-1] == (after.version, "payout.file", FILED, file.id.hex)
    assert current(desk) == available
    assert {state for order in orders for _, state in held_of(desk, order).values()} == {"open"}


def test_what_cannot_be_filed_is_left_out_and_said() -> None:
    desk = ramp_desk()
    good, again, stopped, ended, by_provider = (
        waiting(desk),
        waiting(desk),
        waiting(desk),
        waiting(desk),
        pending(desk, "10.00"),
    )
    filed(desk, again)
    desk.act(HoldPayout(order_id=stopped.id, reason="odd"))
    desk.act(HoldPayout(order_id=ended.id, reason="odd"))
    desk.act(CancelPayout(order_id=ended.id, reason="odd"))
    unknown = desk.clock.new_id()
    command = filing(again.id, good.id, stopped.id, ended.id, by_provider.id, unknown)
    reply = desk.act(command)
    assert reply.file.order_ids == (good.id,)
    assert reply.left_out == (again.id, stopped.id, ended.id, by_provider.id, unknown)
    assert state_of(desk, stopped) == "held"
    desk.act(ReleasePayout(order_id=stopped.id))
    assert desk.act(filing(stopped.id)).file.order_ids == (stopped.id,)


def test_an_order_that_is_named_twice_is_paid_once() -> None:
    desk = ramp_desk()
    order = waiting(desk)
    reply = desk.act(filing(order.id, order.id))
    assert (reply.file.order_ids, reply.file.total_units) == ((order.id,), 10_000)
    assert len(desk.all(FiledPayout)) == 1


def test_the_same_key_means_the_same_file_whatever_waits_by_then() -> None:
    desk = ramp_desk()
    first = desk.act(filing(waiting(desk).id), key="k")
    other = waiting(desk)
    assert desk.act(filing(other.id), key="k") == first
    assert desk.act(filing(), key="k") == first
    assert state_of(desk, other) == "pending"
    assert len(desk.all(PayoutFile)) == 1


def test_payouts_of_several_tenants_share_a_file() -> None:
    desk = ramp_desk()
    file, payouts = filed(desk, waiting(desk), waiting(desk, tenant=B2))
    assert len(payouts) == 2
    assert file.total_units == 20_000


@pytest.mark.parametrize("days, taken", [(-1, False), (0, True), (365, True), (366, False)])
def test_the_bank_pays_on_a_day_within_a_year(days: int, *, taken: bool) -> None:
    desk = ramp_desk()
    order = waiting(desk)
    day = desk.clock.now().date() + timedelta(days=days)
    if taken:
        assert desk.act(filing(order.id, execution_on=day)).file.execution_on == day
    else:
        assert desk.refuse(filing(order.id, execution_on=day)) is Code.REQUEST_INVALID


@pytest.mark.parametrize("fiat, code", [("EUR", Code.NOTHING_TO_FILE), ("USD", Code.BANK_ACCOUNT_NOT_FOUND)])
def test_refusals(fiat: str, code: Code) -> None:
    desk = ramp_desk()
    held = waiting(desk)
    desk.act(HoldPayout(order_id=held.id, reason="odd"))
    assert desk.refuse(filing(held.id, fiat=fiat)) is code


def test_a_payout_of_another_fiat_is_no_payout_of_this_bank() -> None:
    desk = ramp_desk()
    desk.put(BankAccount(fiat="USD", iban="DE02120300000000202051", bic=None, name="otcdesk"))
    assert desk.refuse(filing(waiting(desk).id, fiat="USD")) is Code.NOTHING_TO_FILE
