"""Conversions on the contract's world, step by step."""

from typing import Literal

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.actions.record_leg import LegRecorded, RecordLeg
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import BUY, Order
from tests.support.desk import FA1, TREASURY_EUR, TREASURY_USDC, WA1, A
from tests.support.pure import PureDesk

#: 2500.00 EUR, as in the contract's cases, and 1800.000000 USDC.
BUY_UNITS, SELL_UNITS = 250_000, 1_800_000_000


def buying(units: int = BUY_UNITS) -> QuoteBuy:
    return QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=units)


def selling(units: int = SELL_UNITS, live_units: int | None = 10**15) -> QuoteSell:
    return QuoteSell(source_account_id=WA1, destination_account_id=FA1, source_units=units, live_units=live_units)


def quoted(desk: PureDesk, side: str = BUY, units: int | None = None) -> Order:
    command = buying(units or BUY_UNITS) if side == BUY else selling(units or SELL_UNITS)
    order: Order = desk.act(command, owner_id=A).order
    return order


def confirmed(desk: PureDesk, side: str = BUY, units: int | None = None) -> Order:
    order = quoted(desk, side, units)
    desk.act(ConfirmConversion(order_id=order.id, side=side), owner_id=A)
    return desk.get(Order, order.id)


def approved(desk: PureDesk, side: str = BUY, units: int | None = None) -> Order:
    order = confirmed(desk, side, units)
    desk.act(ApproveConversion(order_id=order.id), caller="operator")
    return desk.get(Order, order.id)


def leg(
    desk: PureDesk, order: Order, outcome: Literal["done", "refused"] = "done", detail: str | None = None
) -> LegRecorded:
    """Tell the outcome of the leg that the order waits for."""
    now = desk.get(Order, order.id)
    assert now.rail_reference is not None
    command = RecordLeg(order_id=order.id, reference=now.rail_reference, outcome=outcome, detail=detail)
    reply: LegRecorded = desk.act(command, caller="rail")
    return reply


def balances(desk: PureDesk) -> dict[str, tuple[int, int]]:
    """Return balance and held of A's and the desk's four accounts."""
    names = {"FA1": FA1, "WA1": WA1, "EUR": TREASURY_EUR, "USDC": TREASURY_USDC}
    found = {name: desk.get(Account, account_id) for name, account_id in names.items()}
    return {name: (account.balance, account.held) for name, account in found.items()}


#: What the contract's world opens with.
OPENING = {
    "FA1": (1_000_000, 0),
    "WA1": (5_000_000_000, 0),
    "EUR": (100_000_000, 0),
    "USDC": (1_000_000_000_000, 0),
}
