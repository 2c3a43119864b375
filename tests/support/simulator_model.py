"""What a lane of the contract's world should do, told a second time: a pure step from a state and what is asked.

It shares no deciding code with the product: amounts are fractions, states are words, rules are ifs. States are never
changed, so that one may ask later what an answer would have been at any earlier place of the chain.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion, Confirmed
from otcdesk.actions.move_value import Adjust, Booked, Booking, Withdraw
from otcdesk.actions.publish_price import PriceReply, PublishPrice, SetPrice, SwitchFeed
from otcdesk.actions.quote_conversion import OrderReply, QuoteBuy, QuoteSell
from otcdesk.actions.record_due import DueRecorded, RecordDue
from otcdesk.actions.record_leg import LegRecorded, RecordLeg
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.clock import derived_id
from otcdesk.domain.commands import Command, Replay, Reply
from otcdesk.domain.orders import Order
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from tests.support.clocks import START
from tests.support.desk import FA1, FB1, TREASURY_EUR, TREASURY_USDC, WA1, WB1, A, B
from tests.support.verbs import TEST_CATALOGUE, AddTwice, BreakConstraint, Count, Counted, Crash, KeepText

POTS = {FA1: "FA1", FB1: "FB1", WA1: "WA1", WB1: "WB1", TREASURY_EUR: "EUR", TREASURY_USDC: "USDC"}
TENANTS = {A: "A", B: "B"}
TTL_SECONDS = 60
UNITS_MAX = 10**38
#: Rates are cut to so many decimals.
RATE_PLACES = 10**6

#: What an answer comes to, in plain values that can be compared.
Told = tuple[Any, ...]

REFUSED = "refused"


class Asked(NamedTuple):
    """One command as it reached the desk: from whom, under which key, with which fresh id; times are the machine's."""

    command: Command
    owner: UUID
    key: str | None
    id: UUID
    arrived: datetime
    now: datetime


class Pot(NamedTuple):
    """An account."""

    balance: int
    held: int = 0
    entries: int = 1

    @property
    def free(self) -> int:
        return self.balance - self.held


class Priced(NamedTuple):
    """The price of a pair."""

    rate: Fraction
    at: datetime = START
    up: bool = True
    stale_after: timedelta | None = None
    set_rate: Fraction | None = None
    set_until: datetime = START


class Ordered(NamedTuple):
    """An order, by the names of its accounts."""

    id: UUID
    tenant: str
    side: str
    units: int
    rate: Fraction
    gets: int
    due: datetime | None
    state: str = "quoted"
    version: int = 1
    approved: int | None = None
    approved_rate: Fraction | None = None
    reference: str | None = None

    @property
    def cash(self) -> str:
        return f"F{self.tenant}1"

    @property
    def wallet(self) -> str:
        return f"W{self.tenant}1"

    @property
    def told(self) -> Told:
        return (
            "order", self.id, self.side, self.units, self.rate, self.gets, self.due, self.state, self.version,
            self.approved, self.approved_rate, self.reference,
        )  # fmt: skip


class State(NamedTuple):
    """A lane between two commands. `keys` has, for each used key, the command and what was told."""

    pots: Mapping[str, Pot]
    prices: Mapping[tuple[str, str], Priced]
    orders: Mapping[UUID, Ordered] = {}
    counters: Mapping[str, int] = {}
    keys: Mapping[tuple[UUID, str, str], tuple[Command, Told]] = {}
    trades: int = 0
    offset: timedelta = timedelta()
    frozen_at: datetime | None = None
    settles_after: timedelta | None = timedelta()

    def business(self, machine_time: datetime) -> datetime:
        return self.frozen_at or machine_time + self.offset


OPENED = State(
    pots={
        "FA1": Pot(1_000_000),
        "FB1": Pot(1_000_000),
        "WA1": Pot(5_000_000_000),
        "WB1": Pot(5_000_000_000),
        "EUR": Pot(100_000_000),
        "USDC": Pot(1_000_000_000_000),
    },
    prices={("EUR", "USDC"): Priced(Fraction("1.0842")), ("USDC", "EUR"): Priced(Fraction("0.921"))},
)


class Refused(Exception):
    """The desk must refuse with this code."""


def order_told(order: Order) -> Told:
    """Return what an order of the product comes to."""
    return (
        "order", order.id, order.side, order.source_units, Fraction(order.rate), order.destination_units, order.due_at,
        order.state, order.version, order.approved_units,
        None if order.approved_rate is None else Fraction(order.approved_rate), order.rail_reference,
    )  # fmt: skip


def price_told(price: Price) -> Told:
    """Return what a price of the product comes to."""
    assert price.feed_rate is not None
    set_rate = None if price.set_rate is None else Fraction(price.set_rate)
    return (
        "price", price.source_asset, price.destination_asset, Fraction(price.feed_rate), price.feed_at, price.feed_up,
        set_rate, price.set_until,
    )  # fmt: skip


def answer_told(answer: Reply | Refusal) -> Told:
    """Return what an answer of the product comes to."""
    match answer:
        case Refusal(code=code):
            return (REFUSED, code.name)
        case OrderReply(order=order):
            return order_told(order)
        case Confirmed(order_id=order_id, state=state):
            return ("confirmed", order_id, state)
        case LegRecorded(order=order, applied=applied):
            return ("leg", applied, order_told(order))
        case DueRecorded(recorded=recorded):
            return ("due", recorded)
        case Booked(transaction=transaction, account=account):
            booked = transaction.id if transaction else None
            return ("booked", booked, account.id, account.balance, account.held, account.version)
        case PriceReply(price=price):
            return price_told(price)
        case Counted(name=name, total=total):
            return ("counted", name, total)
    return (type(answer).__name__,)


def step(state: State, asked: Asked) -> tuple[State, Told]:
    """Carry a command out: returns the state after it and what is answered."""
    policy = TEST_CATALOGUE[type(asked.command)].policy
    space = None
    if asked.key is not None and policy.scope is not None:
        space = (asked.owner, policy.scope, asked.key)
        if space in state.keys:
            first, told = state.keys[space]
            if policy.compares_body and (type(first), first) != (type(asked.command), asked.command):
                return state, (REFUSED, "KEY_REUSED")
            if policy.replay is Replay.CURRENT and told[0] == "counted":
                told = (*told[:2], state.counters[told[1]])
                if isinstance(asked.command, Count) and asked.command.refuse is not None:
                    told = (REFUSED, asked.command.refuse.name)
            return state, told
    desk = _Desk(state, asked)
    try:
        told = desk.answer(asked.command)
    except Refused as refused:
        code = Code[str(refused)]
        told = (REFUSED, code.name)
        if space is None or not policy.keeps_refusals or code.retry_may_help or code is Code.CRASHED:
            return state, told
        return state._replace(keys={**state.keys, space: (asked.command, told)}), told
    after = desk.after()
    if space is not None:
        after = after._replace(keys={**after.keys, space: (asked.command, told)})
    return after, told


class _Desk:
    """One command's working copy of a state."""

    def __init__(self, state: State, asked: Asked) -> None:
        self.state = state
        self.asked = asked
        self.now, self.arrived = state.business(asked.now), state.business(asked.arrived)
        self.pots, self.orders, self.prices = {**state.pots}, {**state.orders}, {**state.prices}
        self.counters = {**state.counters}
        self.changes: dict[str, Any] = {}

    def after(self) -> State:
        return self.state._replace(
            pots=self.pots, orders=self.orders, prices=self.prices, counters=self.counters, **self.changes
        )

    def answer(self, command: Command) -> Told:
        match command:
            case QuoteBuy():
                return self.quote("buy", command.source_units, live=True)
            case QuoteSell():
                return self.quote("sell", command.source_units, live=command.live_units is not None)
            case ConfirmConversion():
                return self.confirm(command)
            case CancelConversion():
                order = self.current(command.order_id, TENANTS.get(self.asked.owner, ""))
                self.only(order, "NOT_CANCELLABLE", "quoted", "requoted")
                return self.to(order, "cancelled").told
            case ApproveConversion():
                return self.approve(command)
            case RejectConversion():
                order = self.current(command.order_id)
                self.only(order, "INVALID_STATE", "pending_approval", "debit_pending")
                self.refund(order)
                return self.to(order, "rejected").told
            case SettleDebit():
                order = self.current(command.order_id)
                self.only(order, "INVALID_STATE", "debit_pending")
                if command.outcome == "settled":
                    return self.to(order, "pending_approval").told
                self.refund(order)
                return self.to(order, "failed").told
            case RequoteConversion():
                return self.requote(command)
            case RecordLeg():
                return self.leg(command)
            case RecordDue():
                moved = [
                    self.recorded(self.orders[id_], self.arrived) for id_ in command.order_ids if id_ in self.orders
                ]
                return ("due", sum(order.version > self.state.orders[order.id].version for order in moved))
            case Booking():
                return self.book(command)
            case PublishPrice() | SetPrice() | SwitchFeed():
                return self.price(command)
            case SetClock():
                self.changes = {"offset": timedelta(milliseconds=command.offset_ms), "frozen_at": command.frozen_at}
                return ("Steered",)
            case SetDebitSettlement():
                after = None if command.after_ms is None else timedelta(milliseconds=command.after_ms)
                self.changes = {"settles_after": after}
                return ("Steered",)
            case Count():
                total = self.counters[command.name] = self.counters.get(command.name, 0) + 1
                if command.refuse is not None:
                    raise Refused(command.refuse.name)
                return ("counted", command.name, total)
            case AddTwice():
                if command.name in self.counters:
                    raise Refused("CRASHED")
                self.counters[command.name] = 0
                return ("Reply",)
            case Crash() | BreakConstraint() | KeepText():
                raise Refused("CRASHED")
        raise AssertionError(f"nobody said what {command} comes to")

    # Conversions.

    def quote(self, side: str, units: int, *, live: bool) -> Told:
        due = self.now + timedelta(seconds=TTL_SECONDS)
        order = Ordered(self.asked.id, TENANTS[self.asked.owner], side, units, Fraction(0), 0, due)
        if side == "sell" and self.pots[order.wallet].free < units:
            raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
        if not live:
            raise Refused("SOURCE_BALANCE_UNKNOWN")
        rate = self.market(side)
        order = self.orders[order.id] = order._replace(rate=rate, gets=self.gets(order, rate))
        return order.told

    def confirm(self, command: ConfirmConversion) -> Told:
        order = self.current(command.order_id, TENANTS.get(self.asked.owner, ""))
        if order.state == "expired":
            raise Refused("QUOTE_EXPIRED")
        self.only(order, "NOT_CONFIRMABLE", "quoted", "requoted")
        if command.side != order.side:
            raise Refused("SIDE_MISMATCH")
        if order.side == "sell":
            if self.pots[order.wallet].free < order.units:
                raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
            return ("confirmed", order.id, self.to(order, "pending_approval").state)
        if self.pots[order.cash].free < order.units:
            raise Refused("SOURCE_CASH_INSUFFICIENT")
        self.move(order.cash, "EUR", order.units)
        settles_after = self.state.settles_after
        due = None if settles_after is None else self.now + settles_after
        confirmed = self.to(order, "debit_pending", due=due)
        self.recorded(confirmed, self.now)
        return ("confirmed", order.id, confirmed.state)

    def approve(self, command: ApproveConversion) -> Told:
        order = self.current(command.order_id)
        self.only(order, "INVALID_STATE", "pending_approval")
        rate = self.market(order.side) if command.rate is None else Fraction(command.rate)
        gets = self.gets(order, rate)
        if order.side == "sell" and self.pots[order.wallet].free < order.units:
            raise Refused("SOURCE_CUSTODY_INSUFFICIENT")
        pays = self.pays(order)
        if self.pots[pays].free < gets:
            raise Refused("TREASURY_INSUFFICIENT")
        self.hold(pays, gets)
        if order.side == "sell":
            self.hold(order.wallet, order.units)
        state = "paying" if order.side == "buy" else "collecting"
        return self.to(order, state, approved=gets, approved_rate=rate, reference=self.next_reference(order)).told

    def requote(self, command: RequoteConversion) -> Told:
        order = self.current(command.order_id)
        taken = ("pending_approval",) if order.side == "sell" else ()
        self.only(order, "INVALID_STATE", "quoted", "requoted", "expired", *taken)
        rate = self.market(order.side) if command.rate is None else Fraction(command.rate)
        due = self.now + timedelta(seconds=command.ttl_seconds or TTL_SECONDS)
        return self.to(order, "requoted", due=due, rate=rate, gets=self.gets(order, rate)).told

    def leg(self, command: RecordLeg) -> Told:
        order = self.orders.get(command.order_id)
        if order is None:
            raise Refused("ORDER_NOT_FOUND")
        done = command.outcome == "done"
        if order.reference != command.reference:
            return ("leg", False, order.told)
        return ("leg", True, self.after_leg(order, done).told)

    def after_leg(self, order: Ordered, done: bool) -> Ordered:
        buys, approved = order.side == "buy", order.approved or 0
        again: dict[str, Any] = {"approved": None, "approved_rate": None, "reference": None}
        if order.state == "collecting":
            self.hold(order.wallet, -order.units)
            if not done:
                self.hold("EUR", -approved)
                return self.to(order, "pending_approval", **again)
            self.move(order.wallet, "USDC", order.units)
            self.hold("USDC", order.units)
            return self.to(order, "paying", reference=self.next_reference(order))
        if order.state == "returning":
            if not done:
                return self.to(order, "returning", reference=self.next_reference(order))
            self.hold("USDC", -order.units)
            self.move("USDC", order.wallet, order.units)
            return self.to(order, "failed", reference=None)
        assert order.state == "paying"
        self.hold(self.pays(order), -approved)
        if not done and buys:
            return self.to(order, "pending_approval", **again)
        if not done:
            return self.to(order, "returning", reference=self.next_reference(order))
        if not buys:
            self.hold("USDC", -order.units)
        self.move(self.pays(order), order.wallet if buys else order.cash, approved)
        self.changes = {"trades": self.state.trades + 1}
        return self.to(order, "completed", rate=order.approved_rate, gets=approved, reference=None)

    # Everything else.

    def book(self, command: Booking) -> Told:
        pot = POTS.get(command.account_id)
        if pot is None:
            raise Refused("ACCOUNT_NOT_FOUND")
        units = -command.units if isinstance(command, Withdraw) else command.units
        assert units > 0 or isinstance(command, Withdraw | Adjust)
        if units < 0 and self.pots[pot].free < -units:
            raise Refused("BALANCE_INSUFFICIENT")
        self.add(pot, units)
        after = self.pots[pot]
        return ("booked", derived_id(self.asked.id, 1), command.account_id, after.balance, after.held, after.entries)

    def price(self, command: PublishPrice | SetPrice | SwitchFeed) -> Told:
        pair = (command.source_asset, command.destination_asset)
        price = self.prices.get(pair)
        if price is None:
            raise Refused("PRICE_NOT_FOUND")
        match command:
            case PublishPrice(stale_after_ms=ms):
                stale_after = None if ms is None else timedelta(milliseconds=ms)
                price = price._replace(rate=Fraction(command.rate), at=self.now, stale_after=stale_after)
            case SetPrice(lasts_seconds=lasts):
                price = price._replace(set_rate=Fraction(command.rate), set_until=self.now + timedelta(seconds=lasts))
            case SwitchFeed(up=up):
                price = price._replace(up=up)
        self.prices[pair] = price
        set_until = None if price.set_rate is None else price.set_until
        return ("price", *pair, price.rate, price.at, price.up, price.set_rate, set_until)

    # How they come to it.

    def market(self, side: str) -> Fraction:
        price = self.prices["EUR", "USDC"] if side == "buy" else self.prices["USDC", "EUR"]
        rate = price.rate
        if price.set_rate is not None and self.now < price.set_until:
            rate = price.set_rate
        elif not price.up or (price.stale_after is not None and self.now - price.at > price.stale_after):
            raise Refused("PRICE_UNAVAILABLE")
        return Fraction(rate * RATE_PLACES // 1, RATE_PLACES)

    def gets(self, order: Ordered, rate: Fraction) -> int:
        cents = order.units * rate if order.side == "buy" else Fraction(order.units, 10_000) * rate
        gets = cents // 1 * (10_000 if order.side == "buy" else 1)
        if gets == 0:
            raise Refused("AMOUNT_TOO_SMALL")
        if gets > UNITS_MAX:
            raise Refused("AMOUNT_TOO_LARGE")
        return int(gets)

    def pays(self, order: Ordered) -> str:
        return "USDC" if order.side == "buy" else "EUR"

    def next_reference(self, order: Ordered) -> str:
        return f"{order.id}:{order.version + 1}"

    def current(self, order_id: UUID, tenant: str | None = None) -> Ordered:
        order = self.orders.get(order_id)
        if order is None or tenant not in {None, order.tenant}:
            raise Refused("ORDER_NOT_FOUND")
        return self.recorded(order, self.arrived)

    def recorded(self, order: Ordered, at: datetime) -> Ordered:
        """Let the clock do what it has done by a time."""
        if order.due is None or at < order.due:
            return order
        return self.to(order, "pending_approval" if order.state == "debit_pending" else "expired")

    def only(self, order: Ordered, otherwise: str, *states: str) -> None:
        if order.state not in states:
            raise Refused(otherwise)

    def to(self, order: Ordered, state: str, due: datetime | None = None, **changes: Any) -> Ordered:
        after = order._replace(state=state, due=due, version=order.version + 1, **changes)
        self.orders[order.id] = after
        return after

    def refund(self, order: Ordered) -> None:
        if order.side == "buy":
            if self.pots["EUR"].free < order.units:
                raise Refused("TREASURY_INSUFFICIENT")
            self.move("EUR", order.cash, order.units)

    def move(self, source: str, destination: str, units: int) -> None:
        self.add(source, -units)
        self.add(destination, units)

    def add(self, pot: str, units: int) -> None:
        before = self.pots[pot]
        self.pots[pot] = before._replace(balance=before.balance + units, entries=before.entries + 1)

    def hold(self, pot: str, units: int) -> None:
        before = self.pots[pot]
        self.pots[pot] = before._replace(held=before.held + units)
