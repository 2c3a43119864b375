"""Random deposits and rules: money is conserved, each deposit is booked once, and a refusal changes nothing."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.make_rule import StopRule
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.actions.record_deposit import ConcludeDeposit, OpenPlace, RecordDeposit
from otcdesk.actions.settle_checkout import SettleCheckouts
from otcdesk.domain.checkouts import FIAT_IN, AwaitedPayment
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import Account, Hold, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PURCHASE, Payment, current_id
from otcdesk.domain.rules import Condition, LiveRules, Rule, RuleExecution
from otcdesk.errors import Refusal
from otcdesk.money import BALANCE_MAX, UNITS_MAX
from tests.support.brokerage import assert_balanced
from tests.support.checkouts import BANK as CHECKOUT_BANK
from tests.support.checkouts import opening
from tests.support.deposits import (
    ADDRESS,
    BANK_NAME,
    NETWORK,
    RULE_ADDRESS,
    RULE_BANK_NAME,
    SENDER,
    arriving,
    at_least,
    bank,
    buying_action,
    current,
    open_places,
    plain_amount,
    ruling,
    selling_action,
    stepped,
    transferring,
)
from tests.support.payouts import ADA, B1, done, pending, prepared, ramp_desk, recorded, refused

STAGES = st.sampled_from(["pending", "settled", "settled", "failed"])
AMOUNTS = st.sampled_from([1, 999_999, 12_000_000, 60_000_000, 5 * 10**11, UNITS_MAX // 2])
ARRIVES = st.sampled_from(
    [
        plain_amount("10.00"),
        plain_amount("9.99"),
        plain_amount("300"),
        stepped(None, ("multiply", "0.9"), ("subtract", "1.1")),
        stepped("1", ("subtract", None)),
        stepped("9" * 38, *[("multiply", "9" * 38)] * 10),
    ]
)
CEILINGS = st.sampled_from([plain_amount(None), plain_amount("0"), stepped(None, ("add", "1000"))])


class Deposits(RuleBasedStateMachine):
    """A desk in memory, with the world of the ramp contract."""

    orders = Bundle("orders")
    kept = Bundle("kept")
    checkouts = Bundle("checkouts")

    @initialize()
    def begin(self) -> None:
        self.desk = ramp_desk()
        open_places(self.desk)
        recorded(self.desk, done(pending(self.desk, "100.00")))
        self.session = prepared(self.desk, "50.00", delayed=True).prepared.id
        self.nonces = 0
        for number in range(2):
            given = GivenAddress(network=NETWORK, address=f"{ADDRESS[:-1]}{number}")
            self.desk.act(OpenPlace(tenant_id=B1, party_id=None, given=given))

    def told(self, command: Command, **how: Any) -> Any:
        """Carry a command out; one that is refused changes nothing."""
        before = dict(self.desk.rows)
        try:
            return self.desk.act(command, **how)
        except Refusal:
            assert self.desk.rows == before
            return None

    def recorded(self, command: RecordDeposit) -> UUID | None:
        reply = self.told(command)
        return None if reply is None else reply.order.id

    @rule(target=orders, number=st.integers(0, 5), units=AMOUNTS, stage=STAGES, own=st.booleans(), party=st.booleans())
    def arrive(self, number: int, units: int, stage: Any, own: bool, party: bool) -> UUID | None:
        place = RULE_ADDRESS if own else ADDRESS if party else f"{ADDRESS[:-1]}0"
        sender = SENDER if number % 2 else "0x" + "99" * 20
        return self.recorded(
            arriving(units, outside_id=f"tx-{number}", stage=stage, destination=place, sender_address=sender)
        )

    @rule(
        target=orders,
        number=st.integers(0, 5),
        cents=st.sampled_from([1, 5_000, 10_000, UNITS_MAX // 2, UNITS_MAX]),
        stage=STAGES,
        own=st.booleans(),
    )
    def transfer(self, number: int, cents: int, stage: Any, own: bool) -> UUID | None:
        place = RULE_BANK_NAME if own else BANK_NAME
        return self.recorded(transferring(cents, outside_id=f"wire-{number}", stage=stage, destination=place))

    @rule(order_id=orders, stage=st.sampled_from(["settled", "failed", "refunded"]))
    def conclude(self, order_id: UUID | None, stage: Any) -> None:
        if order_id is not None:
            self.told(ConcludeDeposit(order_id=order_id, stage=stage))

    @rule(
        target=kept,
        arrives=ARRIVES,
        ceiling=CEILINGS,
        condition=st.sampled_from([Condition(asset="USDC", network=NETWORK), at_least("12"), at_least("1", "BTC")]),
        permanent=st.booleans(),
        limits=st.sampled_from(["none", "party", "source", "ends", "place"]),
        twice=st.booleans(),
    )
    def make(
        self, arrives: Any, ceiling: Any, condition: Condition, permanent: bool, limits: str, twice: bool
    ) -> UUID | None:
        action = selling_action(self.session, arrives, ceiling)
        possible: dict[str, dict[str, Any]] = {
            "none": {},
            "party": {"party_id": ADA},
            "source": {"source_address": SENDER.upper()},
            "ends": {"expires_at": self.desk.clock.now() + timedelta(seconds=60)},
            "place": {"addresses": (GivenAddress(network=NETWORK, address=RULE_ADDRESS),)},
        }
        bounds = possible[limits]
        actions = (action,) * (2 if twice else 1)
        return self._made(ruling(*actions, conditions=(condition,), is_permanent=permanent, **bounds))

    @rule(
        target=kept,
        fee_bps=st.sampled_from([0, 33, 9_999]),
        spread_bps=st.sampled_from([0, 50]),
        twice=st.booleans(),
        own=st.booleans(),
        permanent=st.booleans(),
    )
    def buy(self, fee_bps: int, spread_bps: int, twice: bool, own: bool, permanent: bool) -> UUID | None:
        actions = (buying_action(fee_bps=fee_bps, spread_bps=spread_bps),) * (2 if twice else 1)
        place = {"bank": bank(RULE_BANK_NAME)} if own else {}
        return self._made(ruling(*actions, conditions=(Condition(asset="EUR"),), is_permanent=permanent, **place))

    @rule(target=checkouts, cents=st.sampled_from([2, 5_000, 10_001]), fee_bps=st.sampled_from([0, 100]))
    def check_out(self, cents: int, fee_bps: int) -> str | None:
        """Open a checkout for fiat; returns its reference."""
        self.nonces += 1
        command = opening(FIAT_IN, amount=f"{cents // 100}.{cents % 100:02}", fee_bps=fee_bps)
        reply = self.told(command, owner_id=B1, key=f"nonce-{self.nonces}")
        return None if reply is None else reply.checkout.reference

    @rule(
        reference=checkouts,
        cents=st.sampled_from([1, 5_000, 10_000]),
        place=st.sampled_from([CHECKOUT_BANK.name, CHECKOUT_BANK.name, RULE_BANK_NAME, BANK_NAME]),
        before=st.sampled_from(["", "Company invoice 4711 "]),
    )
    def pay(self, reference: str | None, cents: int, place: str, before: str) -> None:
        """Let fiat arrive for a checkout, or under its reference where it should not."""
        if reference is None:
            return
        self.nonces += 1
        told = {"outside_id": f"pay-{self.nonces}", "reference": f"{before}{reference}", "destination": place}
        counted = self.desk.get(AwaitedPayment, reference)
        waits = self.desk.get(Order, counted.order_id).ended_at is None
        reply = self.told(transferring(cents, **told))
        if reply is None:
            return
        after = self.desk.get(AwaitedPayment, reference)
        spent = any(row.deposit_id == reply.order.id and row.rule_id for row in self.desk.all(Payment))
        due = waits and self.in_time(counted) and place == CHECKOUT_BANK.name and not spent
        assert after.arrived_units - counted.arrived_units == (cents if due else 0)

    def in_time(self, awaited: AwaitedPayment) -> bool:
        order = self.desk.get(Order, awaited.order_id)
        return awaited.arrived_units >= awaited.due_units or self.desk.clock.now() < order.expires_at

    @rule(up=st.booleans())
    def switch(self, up: bool) -> None:
        self.desk.act(SwitchFeed(source_asset="USDC", destination_asset="EUR", up=up))

    @rule()
    def retry(self) -> None:
        self.desk.act(SettleCheckouts(places=[row.place for row in self.desk.all(AwaitedPayment)]))

    def _made(self, command: Command) -> UUID | None:
        self.nonces += 1
        reply = self.told(command, owner_id=B1, key=f"nonce-{self.nonces}")
        return None if reply is None else reply.rule.id

    @rule(rule_id=consumes(kept))
    def stop(self, rule_id: UUID | None) -> None:
        if rule_id is not None:
            self.told(StopRule(rule_id=rule_id))

    @rule(outcome=st.sampled_from(["done", "refused"]), first=st.booleans())
    def settle(self, outcome: Any, first: bool) -> None:
        """Let a payout's rail, or a chain, say how the first or the last of what waits ended."""
        waiting = [order for order in self.desk.all(Order) if order.waits_for is not None]
        if not waiting:
            return
        order = waiting[0] if first else waiting[-1]
        if order.product == "payout":
            recorded(self.desk, done(order) if outcome == "done" else refused(order))
            return
        command = RecordChainPayout(order_id=order.id, reference=order.rail_reference or "", outcome=outcome)
        assert self.desk.act(command).applied

    @rule(seconds=st.sampled_from([1, 60, 1_000]))
    def wait(self, seconds: int) -> None:
        self.desk.clock.advance(seconds=seconds)

    @invariant()
    def money_is_conserved(self) -> None:
        assert_balanced(self.desk)

    @invariant()
    def no_more_has_come_in_than_can_be_counted(self) -> None:
        for account in self.desk.all(Account):
            assert abs(account.balance) <= (UNITS_MAX if account.floor is None else BALANCE_MAX)

    @invariant()
    def what_is_held_is_what_waits(self) -> None:
        for asset in ("USDC", "EUR"):
            held = sum(
                hold.units
                for hold in self.desk.all(Hold)
                if hold.state == "open" and hold.account_id == current_id(B1, asset)
            )
            balance, reserved = current(self.desk, asset)
            assert 0 <= reserved == held <= balance

    @invariant()
    def each_settled_deposit_is_booked_once_and_no_other(self) -> None:
        booked = [row.order_id for row in self.desk.all(LedgerTransaction) if row.reason == "deposit"]
        settled = {one.id for one in self.desk.all(Order) if (one.product, one.state) == ("deposit", "settled")}
        assert len(booked) == len(set(booked))
        assert set(booked) == settled

    @invariant()
    def rules_fire_as_often_as_they_say_and_their_orders_say_so(self) -> None:
        executions = self.desk.all(RuleExecution)
        for one in self.desk.all(Rule):
            own = [row for row in executions if row.rule_id == one.id]
            assert len({row.id for row in own}) == len({row.deposit_id for row in own})
            assert len({row.deposit_id for row in own if row.order_id}) == one.fired
            assert one.is_permanent or one.fired == (one.state == "done")
        made = {row.order_id: row.id for row in executions if row.order_id}
        said = {row.order_id: row.rule_execution_id for row in self.desk.all(Payment) if row.rule_id}
        assert made == said
        live = {one.id for one in self.desk.all(Rule) if one.state == "live"}
        listed = self.desk.get(LiveRules, B1).rule_ids if self.desk.all(LiveRules) else ()
        assert live == set(listed)

    @invariant()
    def a_deposit_is_spent_once_as_a_whole(self) -> None:
        purchases = [row for row in self.desk.all(Payment) if row.kind == PURCHASE]
        assert len({row.deposit_id for row in purchases}) == len(purchases)
        for row in purchases:
            assert row.deposit_id is not None
            assert row.fiat_units == self.desk.get(Order, row.deposit_id).source_units

    @invariant()
    def what_arrives_for_a_checkout_is_counted_and_bought_for(self) -> None:
        for awaited in self.desk.all(AwaitedPayment):
            order = self.desk.get(Order, awaited.order_id)
            bought = [row.order_id for row in self.desk.all(Payment) if row.checkout_id == order.id]
            assert awaited.brought_units == sum(self.desk.get(Order, one).destination_units for one in bought)
            paid = awaited.arrived_units >= awaited.due_units
            done = paid and not awaited.unbought_ids
            assert (order.state in {"settled", "failed"}) == done
            assert (order.state == "settled") == (done and awaited.brought_units > 0)
            assert (order.due_at is None) == paid

    @invariant()
    def a_sale_never_takes_more_than_its_ceiling(self) -> None:
        for payment in self.desk.all(Payment):
            order = self.desk.get(Order, payment.order_id)
            assert payment.ceiling is None or order.source_units <= payment.ceiling * 10**6


TestDeposits = Deposits.TestCase
TestDeposits.settings = settings(
    settings.get_profile(settings.get_current_profile_name()),
    max_examples=max(settings().max_examples // 4, 40),
    stateful_step_count=40,
)
