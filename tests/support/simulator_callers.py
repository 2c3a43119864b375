"""What callers of a simulated desk ask for: any command, drawn for the state that the lane is in."""

import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.actions.publish_price import PublishPrice, SetPrice, SwitchFeed
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.domain.commands import Command
from otcdesk.domain.parties import DESK_ID
from otcdesk.errors import Code
from tests.support.clocks import START
from tests.support.desk import FA1, FB1, WA1, WB1, A, B
from tests.support.simulator_model import POTS, Ordered, State
from tests.support.verbs import (
    TEST_CATALOGUE,
    AddTwice,
    BreakConstraint,
    Count,
    CountAudited,
    CountCompared,
    CountCurrent,
    CountKept,
    CountOnce,
    CountWaiting,
    Crash,
    KeepText,
)

NOBODY = UUID(int=404)
ACCOUNTS = {A: (FA1, WA1), B: (FB1, WB1)}
OWNERS = {"A": A, "B": B}
BUY_UNITS = (99, 10_000, 10_000, 250_000, 400_000, 999_999)
SELL_UNITS = (9_999, 40_000, 300_000_000, 2_500_000_000, 4_999_999_999, 6_000_000_000)
BOOKED_UNITS = (1, 1_000, 250_000, 10_000_000)
RATES = ("1", "0.000001", "1.0838", "1000", "0.5", "0.9", "1.1")
PAIRS = (("EUR", "USDC"), ("USDC", "EUR"), ("EUR", "GBP"))
COUNTERS = ("one", "two")
REFUSALS = (None, None, None, Code.INVALID_STATE, Code.PRICE_UNAVAILABLE)


class Intent(NamedTuple):
    """What somebody wants done, however often it must be asked for."""

    lane: int
    command: Command
    owner: UUID
    key: str | None
    caller: str

    @property
    def name(self) -> str:
        return TEST_CATALOGUE[type(self.command)].name

    @property
    def space(self) -> tuple[int, UUID, str, str] | None:
        """Return where the key is known, if there is one."""
        scope = TEST_CATALOGUE[type(self.command)].policy.scope
        return None if scope is None or self.key is None else (self.lane, self.owner, scope, self.key)


def draw(dice: random.Random, lane: int, state: State, keys: Sequence[Intent], caller: str) -> Intent:
    """Draw what a caller wants; now and then it uses a key that somebody used for something."""
    command, owner = _Drawer(dice, state).any()
    scope = TEST_CATALOGUE[type(command)].policy.scope
    key = None
    if scope is not None and dice.random() < 0.95:
        used = [intent for intent in keys if intent.lane == lane and intent.space and intent.space[2] == scope]
        if used and dice.random() < 0.15:
            old = dice.choice(used)
            key, owner = old.key, old.owner
        else:
            key = f"key of {caller}"
    return Intent(lane, command, owner, key, caller)


class _Drawer:
    """Draws commands that a state makes likely to succeed, and some that it does not."""

    def __init__(self, dice: random.Random, state: State) -> None:
        self.dice = dice
        self.state = state

    def any(self) -> tuple[Command, UUID]:
        makers = (
            *[self.quote] * 4,
            *[self.confirm] * 8,
            *[self.approve] * 7,
            *[self.leg] * 14,
            *[self.count] * 8,
            *[self.book] * 4,
            *[self.price] * 2,
            self.cancel,
            self.reject,
            *[self.settle] * 2,
            self.requote,
            *[self.record_due] * 2,
            self.steer,
            self.poison,
        )
        return self.dice.choice(makers)()

    def order(self, *states: str) -> Ordered | None:
        orders = [*self.state.orders.values()]
        likely = [order for order in orders if order.state in states]
        chosen = likely if likely and self.dice.random() < 0.85 else orders
        return self.dice.choice(chosen) if chosen else None

    def quote(self) -> tuple[Command, UUID]:
        owner = self.dice.choice((A, B))
        cash, wallet = ACCOUNTS[owner]
        if self.dice.random() < 0.5:
            units = self.dice.choice(BUY_UNITS)
            return QuoteBuy(source_account_id=cash, destination_account_id=wallet, source_units=units), owner
        live = None if self.dice.random() < 0.05 else 10**39
        units = self.dice.choice(SELL_UNITS)
        return QuoteSell(
            source_account_id=wallet, destination_account_id=cash, source_units=units, live_units=live
        ), owner

    def confirm(self) -> tuple[Command, UUID]:
        order = self.order("quoted", "requoted")
        if order is None:
            return self.quote()
        owner = OWNERS[order.tenant] if self.dice.random() < 0.95 else self.dice.choice((A, B))
        side = order.side if self.dice.random() < 0.95 else "sell"
        return ConfirmConversion(order_id=order.id, side=side), owner

    def cancel(self) -> tuple[Command, UUID]:
        order = self.order("quoted", "requoted")
        return CancelConversion(order_id=order.id if order else NOBODY), OWNERS[order.tenant] if order else A

    def approve(self) -> tuple[Command, UUID]:
        order = self.order("pending_approval", "debit_pending")
        if order is None:
            return self.quote()
        rate = self.dice.choice((None, None, None, "1000", *RATES))
        return ApproveConversion(order_id=order.id, rate=Decimal(rate) if rate else None), DESK_ID

    def reject(self) -> tuple[Command, UUID]:
        order = self.order("pending_approval", "debit_pending")
        return RejectConversion(order_id=order.id if order else NOBODY, reason="dice"), DESK_ID

    def settle(self) -> tuple[Command, UUID]:
        order = self.order("debit_pending")
        outcome: Any = self.dice.choice(("settled", "failed"))
        return SettleDebit(order_id=order.id if order else NOBODY, outcome=outcome), DESK_ID

    def requote(self) -> tuple[Command, UUID]:
        order = self.order("expired", "quoted", "pending_approval")
        rate = self.dice.choice((None, *RATES))
        command = RequoteConversion(
            order_id=order.id if order else NOBODY,
            rate=Decimal(rate) if rate else None,
            ttl_seconds=self.dice.choice((None, 1, 45)),
        )
        return command, DESK_ID

    def leg(self) -> tuple[Command, UUID]:
        order = self.order("paying", "collecting", "returning")
        if order is None:
            return self.quote()
        refused = 0.5 if (order.side, order.state) == ("sell", "paying") else 0.2
        outcome: Any = "refused" if self.dice.random() < refused else "done"
        reference = order.reference if self.dice.random() < 0.9 else f"{order.id}:{order.version - 1}"
        return RecordLeg(order_id=order.id, reference=reference or "none", outcome=outcome), DESK_ID

    def record_due(self) -> tuple[Command, UUID]:
        ids = [*self.state.orders, NOBODY]
        return RecordDue(order_ids=self.dice.sample(ids, k=min(len(ids), 6))), DESK_ID

    def book(self) -> tuple[Command, UUID]:
        kind = self.dice.choice((Deposit, Withdraw, Adjust))
        units = self.dice.choice(BOOKED_UNITS)
        if kind is Adjust and self.dice.random() < 0.5:
            units = -units
        account_id = self.dice.choice((*POTS, NOBODY)) if self.dice.random() < 0.5 else FA1
        return kind(account_id=account_id, units=units, reason="dice", reference="dice"), DESK_ID

    def price(self) -> tuple[Command, UUID]:
        source, destination = self.dice.choice(PAIRS)
        rate = Decimal(self.dice.choice(("1.0842", "0.921", "1.1")))
        match self.dice.randrange(5):
            case 0 | 1:
                stale = self.dice.choice((None, None, 500, 60_000))
                return PublishPrice(
                    source_asset=source, destination_asset=destination, rate=rate, feed="dice", stale_after_ms=stale
                ), DESK_ID
            case 2:
                return SetPrice(
                    source_asset=source,
                    destination_asset=destination,
                    rate=rate,
                    lasts_seconds=self.dice.choice((0, 1, 3600)),
                ), DESK_ID
        up = self.dice.random() < 0.8
        return SwitchFeed(source_asset=source, destination_asset=destination, up=up), DESK_ID

    def steer(self) -> tuple[Command, UUID]:
        if self.dice.random() < 0.2:
            frozen = START + timedelta(hours=2) if self.dice.random() < 0.3 else None
            return SetClock(offset_ms=self.dice.choice((0, 61_000, -5_000)), frozen_at=frozen), DESK_ID
        return SetDebitSettlement(after_ms=self.dice.choice((0, 20, 30_000, None))), DESK_ID

    def count(self) -> tuple[Command, UUID]:
        kind = self.dice.choice(
            (Count, CountOnce, CountOnce, CountCompared, CountKept, CountCurrent, CountWaiting, CountAudited)
        )
        return kind(name=self.dice.choice(COUNTERS), refuse=self.dice.choice(REFUSALS)), A

    def poison(self) -> tuple[Command, UUID]:
        poisons = (
            Crash(),
            BreakConstraint(),
            KeepText(id=UUID(int=self.dice.getrandbits(100)), text="a\x00b"),
            AddTwice(name="added"),
        )
        return self.dice.choice(poisons), A
