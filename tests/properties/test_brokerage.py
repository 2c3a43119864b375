"""Any sequence of requests, venue's words, switches and reloads: as the model says, no quote traded twice.

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
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from otcdesk.actions.accept_quote import AcceptQuote
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.move_value import Deposit, Withdraw
from otcdesk.actions.quote_brokerage import QuoteBrokerage
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_execution import RecordExecution
from otcdesk.actions.register_party import AcceptAgreements
from otcdesk.actions.switch_trading import SetParty, SwitchTrading
from otcdesk.domain.brokerage import FAILURES, Acceptance, corporate_id, holding_id
from otcdesk.domain.commands import Command
from otcdesk.domain.ledger import LedgerTransaction
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.domain.world_brokerage import agreement_id, level_id
from otcdesk.engine.engine import Engine
from otcdesk.errors import Refusal
from otcdesk.storage.queries import queries
from tests.support.brokerage import (
    OFFERS_WORLD,
    TENANT_OF,
    P,
    Q,
    U,
    V,
    W,
    assert_balanced,
    balance,
    brokerage_desk,
)
from tests.support.brokerage_model import Model, Quoted
from tests.support.brokerage_oracle import CENT, Refused
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.proxy import Cut, Proxy
from tests.support.soundness import assert_sound

PARTIES, TENANTS = (U, V, W), (P, Q)
EXTERNAL_IDS = [f"ext-{number}" for number in range(6)]
AMOUNTS = {
    "fiat": ("0.99", "1.00", "12.34", "100.00", "49.99", "2500.00", "60000.00", "100000.01"),
    "asset": ("0.00000001", "0.00002", "0.0005", "0.01", "0.025", "0.05", "0.5", "1", "3"),
}
TAX_RATES = (None, Fraction(0), Fraction("0.26"), Fraction(1))
VENUE_PRICES = ("50000", "49123.45678901", "51500", "0.01")
PAUSES = (1, 20, 59, 60)


def world(agreement: int) -> str:
    """Return the world with the general terms in this version: a reload lets a newer one be asked for."""
    newer = "".join(
        f'[[brokerage.agreements]]\nref = "general-{version}"\ntype = "general"\nurl = "u"\nversion = {version}\n'
        for version in range(2, agreement + 1)
    )
    return OFFERS_WORLD.replace("[[tenants]]", f"{newer}[[tenants]]", 1)


def quoting(party: UUID, side: str, amount: str, defined_for: str, tax_rate: Fraction | None) -> QuoteBrokerage:
    return QuoteBrokerage(
        party_id=party,
        side=side,
        asset="BTC",
        fiat="EUR",
        amount=Decimal(amount),
        defined_for=defined_for,
        tax_bps=None if tax_rate is None else int(tax_rate * 10_000),
    )


def recording(
    order_id: UUID, reference: str, outcome: Literal["done", "refused"], reason: str, price: str
) -> RecordExecution:
    done = outcome == "done"
    return RecordExecution(
        order_id=order_id,
        reference=reference,
        outcome=outcome,
        price=Decimal(price) if done else None,
        reason=None if done else reason,
        venue="venue",
    )


def told_by(ask: Callable[[], Any]) -> Any:
    """Return what the model says, a refusal as a value."""
    try:
        return ask()
    except Refused as refused:
        return refused


def booking(tenant: UUID, cents: int) -> Command:
    kind = Deposit if cents > 0 else Withdraw
    return kind(account_id=corporate_id(tenant, "EUR"), units=abs(cents), reason="r", reference="r")


def standing(party: UUID, status: str) -> SetParty:
    return SetParty(party_id=party, status=status, level_id=level_id("vip") if party == V else None, tax_bps=None)


class Brokerage(RuleBasedStateMachine):
    """A desk in memory beside the model."""

    quotes: Bundle[UUID] = Bundle("quotes")

    def __init__(self) -> None:
        super().__init__()
        self.desk = brokerage_desk()
        self.desk.clock = SteeredClock(seed=7)
        self.model = Model(self.desk.clock.now())
        self.known: dict[UUID, Quoted] = {}
        self.answered = 0

    def _same(self, expected: Callable[[], Any], command: Command, **submitted: Any) -> tuple[Any, Any]:
        """Ask both; returns what the model and what the desk says, or Nones where both refuse alike."""
        before = dict(self.desk.rows)
        self.answered += 1
        said = told_by(expected)
        if not isinstance(said, Refused):
            return said, self.desk.act(command, **submitted)
        with pytest.raises(Refusal) as caught:
            self.desk.act(command, **submitted)
        assert caught.value.code.name == str(said)
        assert self.desk.rows == before
        return None, None

    @rule(
        target=quotes,
        party=st.sampled_from(PARTIES),
        side=st.sampled_from(["buy", "sell"]),
        by=st.sampled_from([(name, amount) for name, amounts in AMOUNTS.items() for amount in amounts]),
        tax_rate=st.sampled_from(TAX_RATES),
    )
    def quote(self, party: UUID, side: str, by: tuple[str, str], tax_rate: Fraction | None) -> Any:
        defined_for, amount = by
        made, reply = self._same(
            lambda: self.model.quote(party, side, Fraction(amount), defined_for, tax_rate),
            quoting(party, side, amount, defined_for, tax_rate),
            owner_id=TENANT_OF[party],
        )
        if made is None:
            return multiple()
        assert reply.quote.total_units * CENT == made.figures.total
        assert Fraction(reply.quote.asset_units, 10**8) == made.figures.quantity
        assert reply.order.expires_at == made.expires_at
        self.known[reply.order.id] = made
        return reply.order.id

    @rule(
        order_id=quotes,
        external_id=st.sampled_from([None, *EXTERNAL_IDS]),
        repeats=st.booleans(),
        anothers=st.sampled_from([None, None, None, *PARTIES]),
    )
    def accept(self, order_id: UUID, external_id: str | None, repeats: bool, anothers: UUID | None) -> None:
        quoted = self.known[order_id]
        party = anothers or quoted.party
        said, reply = self._same(
            lambda: self.model.accept(quoted, party, external_id, repeats=repeats),
            AcceptQuote(order_id=order_id, party_id=party, external_id=external_id, repeats=repeats),
            owner_id=TENANT_OF[party],
            key=external_id,
        )
        if said is not None:
            assert (reply.order_id, reply.state) == (order_id, said)

    @initialize(target=quotes)
    def begin(self) -> Any:
        return self.quote(U, "buy", ("fiat", "100.00"), None)

    @rule(target=quotes, party=st.sampled_from([U, V]), side=st.sampled_from(["buy", "sell"]))
    def quote_and_accept(self, party: UUID, side: str) -> Any:
        """Go the straight way, so that more is in progress than chance would bring about."""
        order_id = self.quote(party, side, ("asset", "0.0005"), Fraction("0.26"))
        if isinstance(order_id, UUID):
            self.accept(order_id, f"straight-{self.answered}", True, None)
        return order_id

    @rule(order_id=quotes, external_id=st.sampled_from(EXTERNAL_IDS))
    def accept_again(self, order_id: UUID, external_id: str) -> None:
        """Send what was accepted once more, with the id that it was accepted with, if it was."""
        quoted = self.known[order_id]
        self.accept(order_id, quoted.external_id or external_id, True, None)

    @rule(
        order_id=quotes,
        outcome=st.sampled_from(["done", "done", "refused"]),
        reason=st.sampled_from(FAILURES),
        price=st.sampled_from(VENUE_PRICES),
        stray=st.sampled_from([False, False, False, True]),
    )
    def record(self, order_id: UUID, outcome: Literal["done", "refused"], reason: str, price: str, stray: bool) -> None:
        quoted = self.known[order_id]
        reference = "another call" if stray else f"{order_id}:2"
        command = recording(order_id, reference, outcome, reason, price)
        applied, reply = self._same(lambda: self.model.record(quoted, outcome, reason, known=not stray), command)
        assert (reply.applied, reply.order.reason) == (applied, quoted.reason)

    @rule(order_id=consumes(quotes), outcome=st.sampled_from(["done", "refused"]))
    def record_and_forget(self, order_id: UUID, outcome: Literal["done", "refused"]) -> None:
        self.record(order_id, outcome, "venue_refused", "50000", False)

    @rule(seconds=st.sampled_from(PAUSES))
    def wait(self, seconds: int) -> None:
        self.model.now = self.desk.clock.advance(seconds=seconds)

    @rule(chosen=st.lists(quotes, min_size=1, max_size=4))
    def record_due(self, chosen: list[UUID]) -> None:
        recorded = self.model.record_due([self.known[order_id] for order_id in chosen])
        assert self.desk.act(RecordDue(order_ids=chosen)).recorded == recorded

    @rule(side=st.sampled_from(["buy", "sell"]), on=st.booleans())
    def switch(self, side: str, on: bool) -> None:
        self.model.enabled[side] = on
        self.desk.act(SwitchTrading(asset="BTC", **{f"{side}_enabled": on}))

    @rule(tenant=st.sampled_from(TENANTS), cents=st.sampled_from([-1, -5_000, -9_000_000, 1, 5_000, 3_000_000]))
    def book(self, tenant: UUID, cents: int) -> None:
        self._same(lambda: self.model.book(tenant, cents), booking(tenant, cents))

    @rule(party=st.sampled_from(PARTIES), status=st.sampled_from(["active", "active", "inactive", "unverified"]))
    def set_standing(self, party: UUID, status: str) -> None:
        self.model.status[party] = status
        self.desk.act(standing(party, status))

    @rule(newer=st.sampled_from([0, 0, 1]))
    def reload(self, newer: int) -> None:
        self.model.agreement += newer
        declaration = declaration_of(parse_world(world(self.model.agreement)))
        reply = self.desk.act(DeclareWorld(declaration=declaration))
        assert reply.added == newer

    @rule(party=st.sampled_from(PARTIES))
    def agree(self, party: UUID) -> None:
        self.model.agreed[party] = self.model.agreement
        accepted = AcceptAgreements(party_id=party, agreement_ids=(agreement_id(f"general-{self.model.agreement}"),))
        self.desk.act(accepted, owner_id=TENANT_OF[party])

    @invariant()
    def balances_are_the_models(self) -> None:
        for tenant, pot in self.model.cash.items():
            cents = balance(self.desk, corporate_id(tenant, "EUR"))
            assert (cents[0] * CENT, cents[1] * CENT) == (pot.balance, pot.held)
        for party, pot in self.model.holdings.items():
            units = balance(self.desk, holding_id(party, "BTC"))
            assert (Fraction(units[0], 10**8), Fraction(units[1], 10**8)) == (pot.balance, pot.held)
        assert_balanced(self.desk)

    @invariant()
    def every_quote_is_where_the_model_has_it_and_traded_at_most_once(self) -> None:
        trades = Counter(trade.order_id for trade in self.desk.all(Trade))
        booked = Counter(
            row.order_id for row in self.desk.all(LedgerTransaction) if row.reason == "brokerage execution"
        )
        for order_id, quoted in self.known.items():
            assert self.desk.get(Order, order_id).state == quoted.state
            assert trades[order_id] == booked[order_id] == quoted.trades <= 1
            assert quoted.trades == (quoted.state == "finished")

    @invariant()
    def every_external_id_is_bound_once(self) -> None:
        bound = [(row.tenant_id, row.external_id) for row in self.desk.all(Acceptance) if row.external_id is not None]
        assert len(bound) == len(set(bound))
        assert set(bound) == set(self.model.keys)


TestBrokerage = Brokerage.TestCase
TestBrokerage.settings = settings(
    settings.get_profile(settings.get_current_profile_name()),
    max_examples=max(settings().max_examples // 4, 50),
    stateful_step_count=60,
)


# -- on PostgreSQL -------------------------------------------------------------------------------------------------

BURSTS = 60
MARK = "the writer of random quotes"
INVARIANTS = queries("invariants")


class Run:
    """One lane, the model, and the dice; commands of a burst are decided in the order in which they are drawn."""

    def __init__(self, lane: Lane, clock: SteeredClock, seed: int) -> None:
        self.lane = lane
        self.clock = clock
        self.dice = random.Random(seed)
        self.model = Model(clock.now())
        self.ids: dict[UUID, Quoted] = {}
        self.codes: Counter[str] = Counter()

    def burst(self) -> list[Callable[[Engine], Any]]:
        if self.dice.random() < 0.3:
            self.model.now = self.clock.advance(seconds=self.dice.choice(PAUSES))
        makers = (*[self.quote] * 3, *[self.accept] * 5, *[self.record] * 4, self.book, self.switch, self.due)
        return [step for _ in range(self.dice.choice((1, 4, 12))) if (step := self.dice.choice(makers)())]

    def quote(self) -> Callable[[Engine], Any]:
        party, side = self.dice.choice(PARTIES), self.dice.choice(["buy", "sell"])
        defined_for = self.dice.choice(["fiat", "asset"])
        amount, tax_rate = self.dice.choice(AMOUNTS[defined_for]), self.dice.choice(TAX_RATES)
        said = told_by(lambda: self.model.quote(party, side, Fraction(amount), defined_for, tax_rate))

        def check(reply: Any) -> None:
            assert (reply.order.state, reply.quote.total_units * CENT) == ("created", said.figures.total)
            self.ids[reply.order.id] = said

        return self._step(quoting(party, side, amount, defined_for, tax_rate), said, check, owner=TENANT_OF[party])

    def accept(self) -> Callable[[Engine], Any] | None:
        if not self.ids:
            return None
        newest = self.dice.random() < 0.6
        order_id, quoted = self.dice.choice([*self.ids.items()][-4 if newest else 0 :])
        party = quoted.party if self.dice.random() < 0.9 else self.dice.choice(PARTIES)
        fresh = f"fresh-{len(self.codes)}-{self.dice.getrandbits(40)}"
        external_id = self.dice.choice([fresh, fresh, quoted.external_id, None, *EXTERNAL_IDS])
        repeats = self.dice.random() < 0.8
        said = told_by(lambda: self.model.accept(quoted, party, external_id, repeats=repeats))

        def check(reply: Any) -> None:
            assert (reply.order_id, reply.state) == (order_id, said)

        command = AcceptQuote(order_id=order_id, party_id=party, external_id=external_id, repeats=repeats)
        return self._step(command, said, check, owner=TENANT_OF[party], key=external_id)

    def record(self) -> Callable[[Engine], Any] | None:
        waiting = [pair for pair in self.ids.items() if pair[1].accepted]
        if not waiting:
            return None
        order_id, quoted = self.dice.choice(waiting[-6:])
        outcome: Literal["done", "refused"] = self.dice.choice(["done", "done", "refused"])
        reason, price = self.dice.choice(FAILURES), self.dice.choice(VENUE_PRICES)
        known = self.dice.random() < 0.9
        said = told_by(lambda: self.model.record(quoted, outcome, reason, known=known))

        def check(reply: Any) -> None:
            assert reply.applied == said

        reference = f"{order_id}:2" if known else "another"
        return self._step(recording(order_id, reference, outcome, reason, price), said, check)

    def book(self) -> Callable[[Engine], Any]:
        tenant, cents = self.dice.choice(TENANTS), self.dice.choice([-5_000, -9_000_000, 10_000, 3_000_000])
        said = told_by(lambda: self.model.book(tenant, cents))
        return self._step(booking(tenant, cents), said, lambda _: None, key=str(uuid4()))

    def switch(self) -> Callable[[Engine], Any]:
        side, on = self.dice.choice(["buy", "sell"]), self.dice.random() < 0.7
        self.model.enabled[side] = on
        command = SwitchTrading(asset="BTC", **{f"{side}_enabled": on})
        return self._step(command, True, lambda _: None)

    def due(self) -> Callable[[Engine], Any]:
        chosen = [self.dice.choice([*self.ids]) for _ in range(3)] if self.ids else []
        said = told_by(lambda: self.model.record_due([self.ids[order_id] for order_id in chosen]))

        def check(reply: Any) -> None:
            assert reply.recorded == said

        return self._step(RecordDue(order_ids=chosen), said, check)

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
    lane = await new_lane(dsn, OFFERS_WORLD, clock=clock)
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
    states = {row["id"]: row["state"] for row in await connection.fetch("select * from orders where lane = $1", lane)}
    assert states == {order_id: quoted.state for order_id, quoted in run.ids.items()}
    traded = await connection.fetch("select order_id from trades where lane = $1", lane)
    assert {row["order_id"] for row in traded} == {key for key, quoted in run.ids.items() if quoted.trades}
    for tenant, pot in run.model.cash.items():
        row = await connection.fetchrow(
            "select balance, held from accounts where lane = $1 and id = $2", lane, corporate_id(tenant, "EUR")
        )
        assert row is not None
        assert (Fraction(row["balance"]) * CENT, Fraction(row["held"]) * CENT) == (pot.balance, pot.held)


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
