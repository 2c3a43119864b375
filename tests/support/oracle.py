"""What the desk should do, told a second time and as shortly as possible: balances, holds, orders, in plain dicts.

It shares no code with the product: amounts by fractions, states by if. `expect` says how a command must end and, when
it must succeed, does it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

BUY_RATE, SELL_RATE = Fraction("1.0842"), Fraction("0.921")
UNITS_MAX = 10**38


@dataclass
class Pot:
    """An account."""

    balance: int
    held: int = 0

    @property
    def free(self) -> int:
        return self.balance - self.held


@dataclass
class Ordered:
    """An order, by the names of its accounts."""

    tenant: str
    side: str
    units: int
    gets: int
    due: datetime | None
    state: str = "quoted"
    approved: int = 0
    reference: str | None = None
    used: list[str] = field(default_factory=list)

    @property
    def cash(self) -> str:
        return f"F{self.tenant}1"

    @property
    def wallet(self) -> str:
        return f"W{self.tenant}1"


class Refused(Exception):
    """The desk must refuse with this code."""


class Oracle:
    """The contract's world."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.pots = {
            "FA1": Pot(1_000_000),
            "FB1": Pot(1_000_000),
            "WA1": Pot(5_000_000_000),
            "WB1": Pot(5_000_000_000),
            "EUR": Pot(100_000_000),
            "USDC": Pot(1_000_000_000_000),
        }
        self.orders: dict[UUID, Ordered] = {}
        self.up = True
        self.debit_settles_after_seconds: int | None = 0
        self.confirms: dict[str, str | Refused] = {}
        self.trades = 0

    # What commands come to. Each returns the order's state, or raises Refused.

    def quote(self, tenant: str, side: str, units: int) -> Ordered:
        order = Ordered(tenant, side, units, 0, self.now + timedelta(seconds=60))
        if side == "sell" and self.pots[order.wallet].free < units:
            raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
        order.gets = self._gets(order, None)
        return order

    def confirm(self, order: Ordered | None, tenant: str, side: str) -> str:
        if order is None or order.tenant != tenant:
            raise Refused("ORDER_NOT_FOUND")
        state = self._state(order)
        if state == "expired":
            raise Refused("QUOTE_EXPIRED")
        if state not in {"quoted", "requoted"}:
            raise Refused("NOT_CONFIRMABLE")
        if side != order.side:
            raise Refused("SIDE_MISMATCH")
        if side == "sell":
            if self.pots[order.wallet].free < order.units:
                raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
            return self._to(order, "pending_approval")
        if self.pots[order.cash].free < order.units:
            raise Refused("SOURCE_CASH_INSUFFICIENT")
        self._move(order.cash, "EUR", order.units)
        settles_after = self.debit_settles_after_seconds
        due = None if settles_after is None else self.now + timedelta(seconds=settles_after)
        answered = self._to(order, "debit_pending", due=due)
        if due == self.now:
            self._to(order, "pending_approval")
        return answered

    def cancel(self, order: Ordered, tenant: str) -> str:
        if order.tenant != tenant:
            raise Refused("ORDER_NOT_FOUND")
        if self._state(order) not in {"quoted", "requoted"}:
            raise Refused("NOT_CANCELLABLE")
        return self._to(order, "cancelled")

    def approve(self, order: Ordered, rate: Fraction | None) -> str:
        if self._state(order) != "pending_approval":
            raise Refused("INVALID_STATE")
        gets = self._gets(order, rate)
        if order.side == "sell" and self.pots[order.wallet].free < order.units:
            raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
        pays = self.pots["USDC" if order.side == "buy" else "EUR"]
        if pays.free < gets:
            raise Refused("TREASURY_INSUFFICIENT")
        pays.held += gets
        order.approved = gets
        if order.side == "buy":
            return self._to(order, "paying")
        self.pots[order.wallet].held += order.units
        return self._to(order, "collecting")

    def reject(self, order: Ordered) -> str:
        if self._state(order) not in {"pending_approval", "debit_pending"}:
            raise Refused("INVALID_STATE")
        self._refund(order)
        return self._to(order, "rejected")

    def settle(self, order: Ordered, outcome: str) -> str:
        if self._state(order) != "debit_pending":
            raise Refused("INVALID_STATE")
        if outcome == "settled":
            return self._to(order, "pending_approval")
        self._refund(order)
        return self._to(order, "failed")

    def requote(self, order: Ordered, rate: Fraction | None, ttl_seconds: int) -> str:
        allowed = {"quoted", "requoted", "expired"} | ({"pending_approval"} if order.side == "sell" else set())
        if self._state(order) not in allowed:
            raise Refused("INVALID_STATE")
        order.gets = self._gets(order, rate)
        return self._to(order, "requoted", due=self.now + timedelta(seconds=ttl_seconds))

    def leg(self, order: Ordered, outcome: str) -> str:
        pots, units, done = self.pots, order.units, outcome == "done"
        paying = order.state == "paying"
        if paying or (order.state == "collecting" and not done):
            pots["USDC" if order.side == "buy" else "EUR"].held -= order.approved
        if paying and done:
            order.gets = order.approved
            self.trades += 1
            if order.side == "buy":
                self._move("USDC", order.wallet, order.approved)
            else:
                self._move("EUR", order.cash, order.approved)
                pots["USDC"].held -= units
            return self._to(order, "completed")
        if paying:
            return self._to(order, "pending_approval" if order.side == "buy" else "returning")
        if order.state == "collecting":
            pots[order.wallet].held -= units
            if not done:
                return self._to(order, "pending_approval")
            self._move(order.wallet, "USDC", units)
            pots["USDC"].held += units
            return self._to(order, "paying")
        assert order.state == "returning"
        if done:
            pots["USDC"].held -= units
            self._move("USDC", order.wallet, units)
            return self._to(order, "failed")
        return self._to(order, "returning")

    def book(self, pot: str, units: int) -> None:
        if units < 0 and self.pots[pot].free < -units:
            raise Refused("BALANCE_INSUFFICIENT")
        self.pots[pot].balance += units

    def record_due(self, orders: list[Ordered]) -> int:
        recorded = 0
        for order in orders:
            state = self._state(order)
            if state != order.state:
                self._to(order, state)
                recorded += 1
        return recorded

    # How they come to it.

    def _state(self, order: Ordered) -> str:
        if order.due is None or self.now < order.due:
            return order.state
        return "pending_approval" if order.state == "debit_pending" else "expired"

    def _to(self, order: Ordered, state: str, due: datetime | None = None) -> str:
        order.state, order.due = state, due
        return state

    def _gets(self, order: Ordered, rate: Fraction | None) -> int:
        if rate is None and not self.up:
            raise Refused("PRICE_UNAVAILABLE")
        if order.side == "buy":
            cents = order.units * (rate or BUY_RATE) // 1
            gets = cents * 10_000
        else:
            gets = Fraction(order.units, 10_000) * (rate or SELL_RATE) // 1
        if gets == 0:
            raise Refused("AMOUNT_TOO_SMALL")
        if gets > UNITS_MAX:
            raise Refused("AMOUNT_TOO_LARGE")
        return int(gets)

    def _move(self, source: str, destination: str, units: int) -> None:
        self.pots[source].balance -= units
        self.pots[destination].balance += units

    def _refund(self, order: Ordered) -> None:
        if order.side == "buy":
            if self.pots["EUR"].free < order.units:
                raise Refused("TREASURY_INSUFFICIENT")
            self._move("EUR", order.cash, order.units)
