"""The operator's bookings."""

from typing import Any

from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.domain.ledger import ADJUSTMENT, OUTSIDE, Account, desk_account_id
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.conversions import approved
from tests.support.desk import FA1, FB1, TREASURY_USDC, WA1
from tests.support.pure import PureDesk


def test_deposits_and_withdrawals_are_the_worlds_beyond_the_desk() -> None:
    desk = PureDesk()
    booked = desk.act(Deposit(account_id=FA1, units=500, reason="wire", reference="ref 1"), caller="op")
    assert booked.account == desk.get(Account, FA1)
    assert booked.account.balance == 1_000_500
    assert (booked.transaction.reason, booked.transaction.reference) == ("deposit: wire", "ref 1")
    outside = desk_account_id(OUTSIDE, "EUR")
    assert desk.get(Account, outside).balance == -500
    booked = desk.act(Withdraw(account_id=FA1, units=1_000_500, reason="wire", reference="ref 2"))
    assert booked.account.balance == 0
    assert booked.account.version == 3
    assert desk.get(Account, outside).balance == 1_000_000


def test_corrections_go_either_way() -> None:
    desk = PureDesk()
    assert desk.act(Adjust(account_id=FA1, units=7, reason="r", reference="r")).account.balance == 1_000_007
    assert desk.act(Adjust(account_id=FA1, units=-8, reason="r", reference="r")).account.balance == 999_999
    assert desk.get(Account, desk_account_id(ADJUSTMENT, "EUR")).balance == 1


def test_what_is_not_covered_is_refused() -> None:
    desk = PureDesk()
    approved(desk, "sell")
    for command in (
        Withdraw(account_id=WA1, units=3_200_000_001, reason="r", reference="r"),
        Adjust(account_id=WA1, units=-3_200_000_001, reason="r", reference="r"),
    ):
        assert desk.refuse(command) is Code.BALANCE_INSUFFICIENT
    desk.act(Withdraw(account_id=WA1, units=3_200_000_000, reason="r", reference="r"))


def test_only_accounts_with_a_floor_are_booked_on() -> None:
    desk = PureDesk()
    desk.act(Deposit(account_id=TREASURY_USDC, units=1, reason="r", reference="r"))
    for account_id in (desk_account_id(OUTSIDE, "USDC"), desk_account_id(OUTSIDE, "XXX")):
        command = Deposit(account_id=account_id, units=1, reason="r", reference="r")
        assert desk.refuse(command) is Code.ACCOUNT_NOT_FOUND


def test_what_an_account_could_not_count_is_refused_and_leaves_room_for_others() -> None:
    desk = PureDesk()
    booking: dict[str, Any] = {"account_id": FA1, "reason": "r", "reference": "r"}
    for kind in (Deposit, Adjust):
        assert desk.refuse(kind(units=UNITS_MAX - 999_999, **booking)) is Code.AMOUNT_TOO_LARGE
    desk.act(Deposit(units=UNITS_MAX - 1_000_000, **booking))
    desk.act(Withdraw(units=UNITS_MAX, **booking))
    desk.act(Withdraw(account_id=FB1, units=1_000_000, reason="r", reference="r"))
    assert desk.get(Account, desk_account_id(OUTSIDE, "EUR")).balance == 2_000_000
    desk.act(Deposit(units=UNITS_MAX, **booking))
    desk.act(Adjust(units=-UNITS_MAX, **booking))
    assert desk.refuse(Deposit(account_id=FB1, units=2_000_001, reason="r", reference="r")) is Code.AMOUNT_TOO_LARGE
    desk.act(Deposit(account_id=FB1, units=2_000_000, reason="r", reference="r"))
