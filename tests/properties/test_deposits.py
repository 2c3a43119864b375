"""Random deposits and rules: money is conserved, each deposit is booked once, and a refusal changes nothing."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from otcdesk.actions.deposit_checks import GivenAddress
from otcdesk.actions.make_rule import StopRule
from otcdesk.actions.record_chain_payout import RecordChainPayout
from otcdesk.actions.record_deposit import ConcludeDeposit, OpenPlace, RecordDeposit
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import Hold, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import Payment, current_id
from otcdesk.domain.rules import Condition, LiveRules, Rule, RuleExecution
from otcdesk.errors import Refusal
from tests.support.brokerage import assert_balanced
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
AMOUNTS = st.sampled_from([1, 999_999, 12_000_000, 60_000_000, 5 * 10**11])
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
        cents=st.sampled_from([1, 5_000, 10_000]),
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

    @rule(target=kept, fee_bps=st.sampled_from([0, 33, 9_999]), spread_bps=st.sampled_from([0, 50]))
    def buy(self, fee_bps: int, spread_bps: int) -> UUID | None:
        action = buying_action(fee_bps=fee_bps, spread_bps=spread_bps)
        euros = (Condition(asset="EUR"),)
        return self._made(ruling(action, conditions=euros, bank=bank(RULE_BANK_NAME), is_permanent=True))

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
            deposits = {row.deposit_id for row in executions if row.rule_id == one.id}
            assert len(deposits) == one.fired
            assert one.is_permanent or one.fired == (one.state == "done")
        made = {row.order_id: row.id for row in executions if row.order_id}
        said = {row.order_id: row.rule_execution_id for row in self.desk.all(Payment) if row.rule_id}
        assert made == said
        live = {one.id for one in self.desk.all(Rule) if one.state == "live"}
        listed = self.desk.get(LiveRules, B1).rule_ids if self.desk.all(LiveRules) else ()
        assert live == set(listed)

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
