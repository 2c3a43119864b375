"""Any sequence of sales, rails' words, reviews, returns and corrections: as the model says, nobody paid twice.

The machine runs on a desk in memory, so that it can try many sequences and shorten those that fail. The same model is
then asked of engines on PostgreSQL, in bursts that are decided as batches, with every invariant queried at the end.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from otcdesk.actions.adjust_payout import AdjustPayout
from otcdesk.actions.move_value import Deposit, Withdraw
from otcdesk.actions.record_payout import RecordPayout, RecordReturn
from otcdesk.actions.review_payout import CancelPayout, HoldPayout, ReleasePayout
from otcdesk.actions.sell_payout import SellPayout
from otcdesk.actions.switch_trading import SetParty
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import OUTSIDE, TREASURY, Hold, LedgerTransaction, desk_account_id
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.payouts import FEE_INCOME, Payment, PreparedPayout, current_id, surcharge_id
from otcdesk.engine.engine import Engine
from otcdesk.errors import Refusal
from otcdesk.storage.queries import queries
from tests.support.brokerage import assert_balanced, balance
from tests.support.brokerage_oracle import Refused
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.payout_model import Model, Prepared, Sold
from tests.support.payouts import (
    ADA,
    B1,
    B2,
    DE,
    EVE,
    PARTY_OF,
    RAMP_WORLD,
    SEPA_FILE,
    moved_price,
    preparing,
    ramp_desk,
)
from tests.support.proxy import Cut, Proxy
from tests.support.soundness import assert_sound

TENANTS, CHANNELS = (B1, B2), (DE, SEPA_FILE)
NONCES = [f"n-{number}" for number in range(6)]
CENTS = (99, 100, 999, 1_000, 1_001, 10_000, 33_333, 45_000, 90_000, 1_000_001)
RATES = ("0.92", "0.915", "0.95", "0.5", "1.234567")
PAUSES = (1, 450, 899, 900)
#: What is asked for as a ceiling: the cost when it was prepared with so many units more, or anything at all.
SLACKS = (-1, 0, 0, 1_000_000, 10**15, 10**15, 10**15)
UNITS = (0, 1, -1, 1_000_000, -1_000_000, 400_000_000, -400_000_000)
BOOKED = (("EUR", -99_900_000), ("EUR", -50_000), ("EUR", 50_000_000), ("USDC", -100_000_000), ("USDC", 50_000_000))
REVIEWS: dict[str, Callable[[UUID], Command]] = {
    "hold": lambda order_id: HoldPayout(order_id=order_id, reason="looked into"),
    "release": lambda order_id: ReleasePayout(order_id=order_id),
    "cancel": lambda order_id: CancelPayout(order_id=order_id, reason="no papers"),
}
Outcome = Literal["done", "refused"]


def number(units: int, decimals: int) -> Decimal:
    return Decimal((0, tuple(map(int, str(units))), -decimals))


def selling(prepared_id: UUID, cents: int, ceiling: int, external_id: str | None) -> SellPayout:
    return SellPayout(
        prepared_id=prepared_id,
        asset="USDC",
        arrives=number(cents, 2),
        ceiling=number(ceiling, 6),
        external_id=external_id,
    )


def recording(order_id: UUID, outcome: Outcome, *, known: bool) -> RecordPayout:
    return RecordPayout(order_id=order_id, reference=f"{order_id}:payout" if known else "another", outcome=outcome)


def adjusting(order_id: UUID, units: int) -> AdjustPayout:
    side: Literal["credit", "debit"] = "debit" if units < 0 else "credit"
    return AdjustPayout(order_id=order_id, side=side, units=abs(units), reason="r")


def booking(asset: str, units: int) -> Command:
    kind = Deposit if units > 0 else Withdraw
    return kind(account_id=desk_account_id(TREASURY, asset), units=abs(units), reason="r", reference="r")


def told_by(ask: Callable[[], Any]) -> Any:
    """Return what the model says, a refusal as a value."""
    try:
        return ask()
    except Refused as refused:
        return refused


def balances(model: Model) -> dict[UUID, tuple[int, int]]:
    """Return what the model says of every account that it knows: balance and held."""
    return {
        **{current_id(tenant, "USDC"): (pot.balance, pot.held) for tenant, pot in model.current.items()},
        **{desk_account_id(TREASURY, asset): (pot.balance, pot.held) for asset, pot in model.treasury.items()},
        **{surcharge_id(tenant, "EUR"): (units, 0) for tenant, units in model.withheld.items()},
        desk_account_id(OUTSIDE, "EUR"): (model.outside, 0),
        desk_account_id(FEE_INCOME, "EUR"): (model.fees, 0),
    }


class Payouts(RuleBasedStateMachine):
    """A desk in memory beside the model."""

    prepared: Bundle[UUID] = Bundle("prepared")
    orders: Bundle[UUID] = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.desk = ramp_desk()
        self.desk.clock = SteeredClock(seed=7)
        self.model = Model(self.desk.clock.now())
        self.known: dict[UUID, Prepared] = {}
        self.sold: dict[UUID, Sold] = {}

    def _same(self, expected: Callable[[], Any], command: Command, **submitted: Any) -> tuple[Any, Any]:
        """Ask both; returns what the model and what the desk says, or Nones where both refuse alike."""
        before = dict(self.desk.rows)
        said = told_by(expected)
        if not isinstance(said, Refused):
            return said, self.desk.act(command, **submitted)
        with pytest.raises(Refusal) as caught:
            self.desk.act(command, **submitted)
        assert caught.value.code.name == str(said)
        assert self.desk.rows == before
        return None, None

    @rule(
        target=prepared,
        tenant=st.sampled_from(TENANTS),
        channel=st.sampled_from(CHANNELS),
        cents=st.sampled_from(CENTS),
        of_party=st.booleans(),
        delayed=st.booleans(),
    )
    def prepare(self, tenant: UUID, channel: UUID, cents: int, of_party: bool, delayed: bool) -> Any:
        party = PARTY_OF[tenant] if of_party else None
        command = preparing(str(number(cents, 2)), channel_id=channel, party_id=party, delayed=delayed)
        made, reply = self._same(
            lambda: self.model.prepare(tenant, party, channel, cents, delayed=delayed), command, owner_id=tenant
        )
        if made is None:
            return multiple()
        assert (reply.cost_units, reply.prepared.expires_at) == (made.cost, made.expires_at)
        self.known[reply.prepared.id] = made
        return reply.prepared.id

    @rule(
        target=orders,
        prepared_id=prepared,
        nonce=st.sampled_from(NONCES),
        slack=st.sampled_from(SLACKS),
        other=st.sampled_from([None, None, None, None, "cents", "tenant", "external id"]),
    )
    def sell(self, prepared_id: UUID, nonce: str, slack: int, other: str | None) -> Any:
        payout = self.known[prepared_id]
        cents = payout.cents + (1 if other == "cents" else 0)
        tenant = TENANTS[TENANTS.index(payout.tenant) ^ (other == "tenant")]
        external_id = "inv" if other == "external id" else None
        ceiling = payout.cost + slack
        made, reply = self._same(
            lambda: self.model.sell(tenant, payout, nonce, cents, Fraction(ceiling), external_id),
            selling(prepared_id, cents, ceiling, external_id),
            owner_id=tenant,
            key=nonce,
        )
        if made is None:
            return multiple()
        order, payment = reply.order, reply.payment
        assert (order.state, order.source_units, Fraction(order.rate)) == (made.state, made.cost, made.rate)
        assert (payment.fiat_units, payment.fee_units, payment.surcharge_units) == (
            made.cents,
            made.fee,
            made.surcharge,
        )
        if self.sold.setdefault(order.id, made) is not made:
            raise AssertionError(f"{order.id} is another payout by now")
        return order.id

    @initialize(target=orders, tenant=st.sampled_from(TENANTS))
    def begin(self, tenant: UUID) -> Any:
        return self.sell_at_once(tenant, DE, 10_000)

    @rule(
        target=orders, tenant=st.sampled_from(TENANTS), channel=st.sampled_from(CHANNELS), cents=st.sampled_from(CENTS)
    )
    def sell_at_once(self, tenant: UUID, channel: UUID, cents: int) -> Any:
        """Go the straight way, so that more is pending than chance would bring about."""
        prepared_id = self.prepare(tenant, channel, cents, True, True)
        if not isinstance(prepared_id, UUID):
            return multiple()
        return self.sell(prepared_id, f"straight-{prepared_id}", 10**15, None)

    @rule(
        order_id=orders,
        outcome=st.sampled_from(["done", "done", "refused"]),
        stray=st.sampled_from([False, False, False, True]),
    )
    def record(self, order_id: UUID, outcome: Outcome, stray: bool) -> None:
        sold = self.sold[order_id]
        ended = None if sold.open else sold.state
        command = recording(order_id, outcome, known=not stray)
        applied, reply = self._same(lambda: self.model.record(sold, outcome, known=not stray), command)
        agrees = ended is None or (ended == "settled") == (outcome == "done")
        assert (reply.applied, reply.agrees, reply.order.state) == (applied, agrees, sold.state)

    @rule(order_id=orders, verb=st.sampled_from([*REVIEWS]))
    def review(self, order_id: UUID, verb: str) -> None:
        state, reply = self._same(lambda: self.model.review(self.sold[order_id], verb), REVIEWS[verb](order_id))
        assert state is None or reply.order.state == state

    @rule(order_id=orders, cents=st.sampled_from([0, 1, 5_000, 10_000, None, None]))
    def give_back(self, order_id: UUID, cents: int | None) -> None:
        sold = self.sold[order_id]
        cents = sold.cents if cents is None else cents
        command = RecordReturn(order_id=order_id, fiat_units=cents, reference="r")
        applied, reply = self._same(lambda: self.model.give_back(sold, cents), command)
        assert applied is None or (reply.applied, reply.order.destination_units) == (applied, sold.returned)

    @rule(order_id=orders, units=st.sampled_from(UNITS))
    def adjust(self, order_id: UUID, units: int) -> None:
        self._same(lambda: self.model.adjust(self.sold[order_id], units), adjusting(order_id, units))

    @rule(rate=st.sampled_from(RATES))
    def move_price(self, rate: str) -> None:
        self.model.rate = Fraction(rate)
        self.desk.act(moved_price(rate))

    @rule(seconds=st.sampled_from(PAUSES))
    def wait(self, seconds: int) -> None:
        self.model.now = self.desk.clock.advance(seconds=seconds)

    @rule(party=st.sampled_from([ADA, EVE]), status=st.sampled_from(["active", "active", "inactive", "unverified"]))
    def set_standing(self, party: UUID, status: str) -> None:
        self.model.status[party] = status
        self.desk.act(SetParty(party_id=party, status=status, level_id=None, tax_bps=None))

    @rule(booked=st.sampled_from(BOOKED))
    def book(self, booked: tuple[str, int]) -> None:
        self._same(lambda: self.model.book(*booked), booking(*booked))

    @invariant()
    def balances_are_the_models(self) -> None:
        expected = balances(self.model)
        assert {account_id: balance(self.desk, account_id) for account_id in expected} == expected
        assert_balanced(self.desk)

    @invariant()
    def available_is_total_less_what_is_pending(self) -> None:
        """And never below nothing (ramp contract 4)."""
        for tenant in TENANTS:
            total, held = balance(self.desk, current_id(tenant, "USDC"))
            waiting = [
                row.source_units
                for row in self.desk.all(Order)
                if (row.tenant_id, row.side) == (tenant, "sell") and row.state not in {"settled", "failed"}
            ]
            assert 0 <= total - held == total - sum(waiting)

    @invariant()
    def one_sale_is_one_hold_on_each_side_and_at_most_one_end(self) -> None:
        holds = Counter((hold.order_id, hold.state) for hold in self.desk.all(Hold))
        booked = Counter(row.order_id for row in self.desk.all(LedgerTransaction) if row.reason == "payout")
        trades = Counter(row.order_id for row in self.desk.all(Trade))
        for order_id, sold in self.sold.items():
            state = {"settled": "captured", "failed": "released"}.get(sold.state, "open")
            assert holds.pop((order_id, state)) == 2
            assert booked[order_id] == trades[order_id] == (sold.state == "settled")
            assert self.desk.get(Order, order_id).state == sold.state
        assert not holds

    @invariant()
    def what_was_prepared_is_sold_at_most_once(self) -> None:
        named = [row.order_id for row in self.desk.all(PreparedPayout) if row.order_id is not None]
        assert len(named) == len(set(named)) == len(self.model.sales) == len(self.sold)
        kinds = Counter(row.kind for row in self.desk.all(Payment))
        assert kinds["payout"] == len(self.sold)
        assert kinds["return"] == sum(sold.returned is not None for sold in self.sold.values())


TestPayouts = Payouts.TestCase
TestPayouts.settings = settings(
    settings.get_profile(settings.get_current_profile_name()),
    max_examples=max(settings().max_examples // 4, 50),
    stateful_step_count=60,
)


# -- on PostgreSQL -------------------------------------------------------------------------------------------------

BURSTS = 60
MARK = "the writer of random payouts"
INVARIANTS = queries("invariants")


class Run:
    """One lane, the model, and the dice; commands of a burst are decided in the order in which they are drawn."""

    def __init__(self, lane: Lane, clock: SteeredClock, seed: int) -> None:
        self.lane = lane
        self.clock = clock
        self.dice = random.Random(seed)
        self.model = Model(clock.now())
        self.prepared: dict[UUID, Prepared] = {}
        self.sold: dict[UUID, Sold] = {}
        self.codes: Counter[str] = Counter()

    def burst(self) -> list[Callable[[Engine], Any]]:
        if self.dice.random() < 0.3:
            self.model.now = self.clock.advance(seconds=self.dice.choice(PAUSES))
        makers = (
            *[self.prepare] * 4,
            *[self.sell] * 6,
            *[self.record] * 4,
            *[self.review] * 3,
            self.give_back,
            self.adjust,
            self.move_price,
            self.book,
        )
        return [step for _ in range(self.dice.choice((1, 4, 12))) if (step := self.dice.choice(makers)())]

    def prepare(self) -> Callable[[Engine], Any]:
        tenant, channel, cents = self.dice.choice(TENANTS), self.dice.choice(CHANNELS), self.dice.choice(CENTS[:-1])
        party = PARTY_OF[tenant] if self.dice.random() < 0.8 else None
        said = told_by(lambda: self.model.prepare(tenant, party, channel, cents, delayed=True))

        def check(reply: Any) -> None:
            assert reply.cost_units == said.cost
            self.prepared[reply.prepared.id] = said

        command = preparing(str(number(cents, 2)), channel_id=channel, party_id=party, delayed=True)
        return self._step(command, said, check, owner=tenant)

    def sell(self) -> Callable[[Engine], Any] | None:
        if not self.prepared:
            return None
        prepared_id, payout = self.dice.choice([*self.prepared.items()][-6:])
        nonce = self.dice.choice([f"of {prepared_id}", f"of {prepared_id}", f"2 of {prepared_id}", *NONCES])
        tenant = payout.tenant if self.dice.random() < 0.95 else self.dice.choice(TENANTS)
        ceiling = payout.cost + self.dice.choice(SLACKS)
        said = told_by(lambda: self.model.sell(tenant, payout, nonce, payout.cents, Fraction(ceiling), None))

        def check(reply: Any) -> None:
            assert (reply.order.source_units, reply.payment.fee_units) == (said.cost, said.fee)
            assert self.sold.setdefault(reply.order_id, said) is said

        return self._step(selling(prepared_id, payout.cents, ceiling, None), said, check, owner=tenant, key=nonce)

    def _drawn(self) -> tuple[UUID, Sold] | None:
        return self.dice.choice([*self.sold.items()][-8:]) if self.sold else None

    def record(self) -> Callable[[Engine], Any] | None:
        drawn = self._drawn()
        if drawn is None:
            return None
        order_id, sold = drawn
        outcome: Outcome = self.dice.choice(["done", "done", "refused"])
        known = self.dice.random() < 0.9
        said = told_by(lambda: self.model.record(sold, outcome, known=known))

        def check(reply: Any) -> None:
            assert reply.applied == said

        return self._step(recording(order_id, outcome, known=known), said, check)

    def review(self) -> Callable[[Engine], Any] | None:
        drawn = self._drawn()
        if drawn is None:
            return None
        order_id, sold = drawn
        verb = self.dice.choice([*REVIEWS])
        said = told_by(lambda: self.model.review(sold, verb))

        def check(reply: Any) -> None:
            assert reply.order.state == said

        return self._step(REVIEWS[verb](order_id), said, check)

    def give_back(self) -> Callable[[Engine], Any] | None:
        drawn = self._drawn()
        if drawn is None:
            return None
        order_id, sold = drawn
        cents = self.dice.choice([1, sold.cents, sold.cents + 1])
        said = told_by(lambda: self.model.give_back(sold, cents))

        def check(reply: Any) -> None:
            assert (reply.applied, reply.order.destination_units) == (said, sold.returned)

        return self._step(RecordReturn(order_id=order_id, fiat_units=cents, reference="r"), said, check)

    def adjust(self) -> Callable[[Engine], Any] | None:
        drawn = self._drawn()
        if drawn is None:
            return None
        order_id, sold = drawn
        units = self.dice.choice(UNITS)
        said = told_by(lambda: self.model.adjust(sold, units))
        return self._step(adjusting(order_id, units), said, lambda _: None, key=str(uuid4()))

    def move_price(self) -> Callable[[Engine], Any]:
        rate = self.dice.choice(RATES)
        self.model.rate = Fraction(rate)
        return self._step(moved_price(rate), rate, lambda _: None)

    def book(self) -> Callable[[Engine], Any]:
        booked = self.dice.choice(BOOKED)
        said = told_by(lambda: self.model.book(*booked))
        return self._step(booking(*booked), said, lambda _: None, key=str(uuid4()))

    def _step(
        self,
        command: Command,
        said: Any,
        check: Callable[[Any], None],
        *,
        owner: UUID | None = None,
        key: str | None = None,
    ) -> Callable[[Engine], Any]:
        async def step(engine: Engine) -> None:
            submitted: dict[str, Any] = {} if owner is None else {"owner_id": owner}
            answer: Any
            try:
                answer = await submit(engine, self.lane.number, command, key=key, **submitted)
            except Refusal as refusal:
                answer = refusal
            if isinstance(said, Refused) or isinstance(answer, Refusal):
                assert isinstance(answer, Refusal), (command, said)
                assert answer.code.name == str(said), command
                self.codes[answer.code.name] += 1
                return
            self.codes["done"] += 1
            check(answer)

        return step


async def play(dsn: str, seed: int, way: str) -> Run:
    clock = SteeredClock(seed=seed)
    lane = await new_lane(dsn, RAMP_WORLD, clock=clock)
    run = Run(lane, clock, seed)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(dsn, MARK)) if way == "lost saves" else None
        engines = [
            await stack.enter_async_context(make_engine(proxy.dsn if proxy else dsn, clock=clock, writer=MARK))
            for _ in range(2 if way == "two engines" else 1)
        ]
        for _ in range(BURSTS):
            steps = run.burst()
            if proxy is not None and run.dice.random() < 0.3:
                proxy.cut(run.dice.choice((Cut.BEFORE, Cut.AFTER, Cut.BLIND)))
            engine = run.dice.choice(engines)
            await asyncio.gather(*[step(engine) for step in steps])
    return run


async def _assert_as_told(run: Run, connection: asyncpg.Connection) -> None:
    lane = run.lane.number
    for name, statement in INVARIANTS.items():
        assert await connection.fetch(statement, lane) == [], name
    states = {
        row["id"]: row["state"]
        for row in await connection.fetch("select id, state from orders where lane = $1 and side = 'sell'", lane)
    }
    assert states == {order_id: sold.state for order_id, sold in run.sold.items()}
    found = {
        row["id"]: (int(row["balance"]), int(row["held"]))
        for row in await connection.fetch("select id, balance, held from accounts where lane = $1", lane)
    }
    for account_id, expected in balances(run.model).items():
        assert found.get(account_id, (0, 0)) == expected, account_id


@pytest.mark.parametrize("way", ["one engine", "two engines", "lost saves"])
async def test_engines_on_postgresql_do_what_the_model_says(
    way: str, dsn: str, database: asyncpg.Connection, fuzz_seconds: int | None
) -> None:
    seed, deadline = new_seed(), time.monotonic() + (fuzz_seconds or 0)
    codes: Counter[str] = Counter()
    while True:
        run = await play(dsn, seed, way)
        await _assert_as_told(run, database)
        await assert_sound(dsn, run.lane.number)
        codes += run.codes
        if time.monotonic() >= deadline:
            break
        seed += 1
        print(f"TEST_SEED={seed}")
    print(f"{way}: {dict(codes)}")
    assert codes["done"]
