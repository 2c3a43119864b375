"""Random commands against PostgreSQL and an oracle: every answer as told, every balance as told, books always sound.

Commands go in bursts, which the engine decides as batches in the order of their arrival. Each run has a lane of its
own. The same runs are made with two engines that take turns (each finds its memory stale) and behind a relay that
loses saves (each must be carried out exactly once).
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.cancel_conversion import CancelConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Adjust, Deposit, Withdraw
from otcdesk.actions.publish_price import SwitchFeed
from otcdesk.actions.quote_conversion import QuoteBuy, QuoteSell
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_leg import RecordLeg
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.steer_sandbox import SetDebitSettlement
from otcdesk.actions.unwind_conversion import RejectConversion, SettleDebit
from otcdesk.domain.commands import Command
from otcdesk.engine.engine import Engine
from otcdesk.errors import Refusal
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import (
    FA1,
    FB1,
    TREASURY_EUR,
    TREASURY_USDC,
    WA1,
    WB1,
    A,
    B,
    Lane,
    make_engine,
    new_lane,
    submit,
)
from tests.support.oracle import Oracle, Ordered, Refused
from tests.support.proxy import Cut, Proxy
from tests.support.soundness import assert_sound

SECONDS = 2
BURSTS = 40
MARK = "the writer of random commands"

POTS = {"FA1": FA1, "FB1": FB1, "WA1": WA1, "WB1": WB1, "EUR": TREASURY_EUR, "USDC": TREASURY_USDC}
TENANTS = {"A": A, "B": B}
UNITS = (1, 99, 1_000, 9_999, 250_000, 999_999, 4_000_000, 1_800_000_000, 4_999_999_999, 10**38)
RATES = ("1", "0.000001", "1.0838", "1000", "0.5")

#: Submits a command and, once answered, checks the answer.
Step = Callable[[Engine], Coroutine[Any, Any, None]]


class Run:
    """One lane, its oracle, and the dice."""

    def __init__(self, lane: Lane, clock: SteeredClock, seed: int) -> None:
        self.lane = lane
        self.clock = clock
        self.dice = random.Random(seed)
        self.oracle = Oracle(clock.now())
        self.ids: list[UUID] = []
        self.keys_of_burst: set[str] = set()
        self.answered = 0
        self.codes: set[str] = set()

    def burst(self) -> list[Step]:
        """Draw some commands that arrive together; the oracle tells at once how each must end."""
        if self.dice.random() < 0.3:
            self.oracle.now = self.clock.advance(seconds=self.dice.choice((1, 20, 59, 60)))
        if self.dice.random() < (0.05 if self.oracle.up else 0.4):
            return [self.switch()]
        self.keys_of_burst.clear()
        makers = (
            *[self.quote] * 3,
            *[self.confirm] * 3,
            *[self.approve] * 2,
            *[self.leg] * 4,
            self.cancel,
            self.reject,
            self.settle,
            self.requote,
            self.book,
            self.record_due,
        )
        return [step for _ in range(self.dice.choice((1, 1, 3, 8))) if (step := self.dice.choice(makers)())]

    # Each draws a command and asks the oracle. Orders of a burst are known by their ids only after it.

    def quote(self) -> Step:
        tenant, side, units = self.dice.choice("AB"), self.dice.choice(("buy", "sell")), self.dice.choice(UNITS)
        cash, wallet = POTS[f"F{tenant}1"], POTS[f"W{tenant}1"]
        command: Command
        if side == "buy":
            command = QuoteBuy(source_account_id=cash, destination_account_id=wallet, source_units=units)
        else:
            command = QuoteSell(
                source_account_id=wallet, destination_account_id=cash, source_units=units, live_units=10**39
            )
        expected = self._ask(lambda: self.oracle.quote(tenant, side, units))

        def check(reply: Any) -> None:
            assert isinstance(expected, Ordered)
            assert (reply.order.state, reply.order.destination_units) == ("quoted", expected.gets)
            self.oracle.orders[reply.order.id] = expected
            self.ids.append(reply.order.id)

        return self._step(command, expected, check, owner_id=TENANTS[tenant])

    def confirm(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order()
        tenant = order.tenant if self.dice.random() < 0.9 else self.dice.choice("AB")
        side = order.side if self.dice.random() < 0.9 else "sell"
        known = [*self.oracle.confirms]
        key = self.dice.choice(known).partition("/")[2] if known and self.dice.random() < 0.15 else str(uuid4())
        if key in self.keys_of_burst:  # the same key twice at once would be in flight
            return None
        self.keys_of_burst.add(key)
        space = f"{tenant}/{key}"
        if space not in self.oracle.confirms:
            answer = self._ask(lambda: self.oracle.confirm(order, tenant, side))
            self.oracle.confirms[space] = answer
        expected = self.oracle.confirms[space]

        def check(reply: Any) -> None:
            assert reply.state == expected

        command = ConfirmConversion(order_id=order_id, side=side)
        return self._step(command, expected, check, owner_id=TENANTS[tenant], key=key)

    def cancel(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order()
        tenant = self.dice.choice("AB")
        expected = self._ask(lambda: self.oracle.cancel(order, tenant))
        return self._step(
            CancelConversion(order_id=order_id), expected, self._state_is(expected), owner_id=TENANTS[tenant]
        )

    def approve(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order("pending_approval", "debit_pending")
        rate = self.dice.choice((None, None, None, *RATES))
        expected = self._ask(lambda: self.oracle.approve(order, Fraction(rate) if rate else None))
        command = ApproveConversion(order_id=order_id, rate=Decimal(rate) if rate else None)

        def check(reply: Any) -> None:
            assert (reply.order.state, reply.order.approved_units) == (expected, order.approved)
            order.reference = reply.order.rail_reference

        if not isinstance(expected, Refused):
            order.reference = None  # known once answered
        return self._step(command, expected, check)

    def leg(self) -> Step | None:
        waiting = [(key, self.oracle.orders[key]) for key in self.ids if self.oracle.orders[key].reference]
        if not waiting:
            return None
        order_id, order = self.dice.choice(waiting)
        outcome: Literal["done", "refused"] = "refused" if self.dice.random() < 0.25 else "done"
        stale = order.used and self.dice.random() < 0.2
        reference = self.dice.choice(order.used) if stale else order.reference
        assert reference is not None
        command = RecordLeg(order_id=order_id, reference=reference, outcome=outcome)
        before = order.state
        applied = not stale
        if applied:
            order.used.append(reference)
            order.reference = None
        expected = self.oracle.leg(order, outcome) if applied else before

        def check(reply: Any) -> None:
            assert reply.applied is applied
            assert reply.order.state == expected
            if applied:
                order.reference = reply.order.rail_reference

        return self._step(command, expected, check)

    def reject(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order("pending_approval", "debit_pending")
        expected = self._ask(lambda: self.oracle.reject(order))
        command = RejectConversion(order_id=order_id, reason="dice")
        return self._step(command, expected, self._state_is(expected))

    def settle(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order("debit_pending")
        outcome: Literal["settled", "failed"] = self.dice.choice(("settled", "failed"))
        expected = self._ask(lambda: self.oracle.settle(order, outcome))
        command = SettleDebit(order_id=order_id, outcome=outcome)
        return self._step(command, expected, self._state_is(expected))

    def requote(self) -> Step | None:
        if not self.ids:
            return None
        order_id, order = self._order("expired", "quoted")
        rate = self.dice.choice((None, *RATES))
        expected = self._ask(lambda: self.oracle.requote(order, Fraction(rate) if rate else None, 45))
        command = RequoteConversion(order_id=order_id, rate=Decimal(rate) if rate else None, ttl_seconds=45)
        return self._step(command, expected, self._state_is(expected))

    def book(self) -> Step:
        pot = self.dice.choice([*POTS])
        units = self.dice.choice(UNITS[:-1])
        kind = self.dice.choice((Deposit, Withdraw, Adjust))
        sign = -1 if kind is Withdraw or (kind is Adjust and self.dice.random() < 0.5) else 1
        expected = self._ask(lambda: self.oracle.book(pot, sign * units))
        told = sign * units if kind is Adjust else units
        command = kind(account_id=POTS[pot], units=told, reason="dice", reference="dice")
        return self._step(command, expected, lambda _: None)

    def record_due(self) -> Step | None:
        if not self.ids:
            return None
        chosen = self.dice.sample(self.ids, k=min(len(self.ids), 5))
        recorded = self.oracle.record_due([self.oracle.orders[order_id] for order_id in chosen])

        def check(reply: Any) -> None:
            assert reply.recorded == recorded

        return self._step(RecordDue(order_ids=chosen), None, check)

    def switch(self) -> Step:
        up = self.oracle.up = not self.oracle.up

        async def both(engine: Engine) -> None:
            for source, destination in (("EUR", "USDC"), ("USDC", "EUR")):
                command = SwitchFeed(source_asset=source, destination_asset=destination, up=up)
                await submit(engine, self.lane.number, command)

        return both

    # Shared by all.

    def _order(self, *likely: str) -> tuple[UUID, Ordered]:
        wanted = [key for key in self.ids if self.oracle.orders[key].state in likely]
        chosen = self.dice.choice(wanted if wanted and self.dice.random() < 0.8 else self.ids[-8:])
        return chosen, self.oracle.orders[chosen]

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Refused as refused:
            return refused

    def _state_is(self, expected: object) -> Callable[[Any], None]:
        def check(reply: Any) -> None:
            assert reply.order.state == expected

        return check

    def _step(self, command: Command, expected: object, check: Callable[[Any], None], **who: Any) -> Step:
        async def step(engine: Engine) -> None:
            answer: Any
            try:
                answer = await submit(engine, self.lane.number, command, **who)
            except Refusal as refusal:
                answer = refusal
            self.answered += 1
            if isinstance(answer, Refusal) or isinstance(expected, Refused):
                assert isinstance(answer, Refusal), f"{command} not refused with {expected}"
                assert isinstance(expected, Refused), f"{command} refused with {answer.code}, not {expected}"
                assert answer.code.name == str(expected), command
                self.codes.add(answer.code.name)
            else:
                check(answer)

        return step

    async def assert_as_told(self, database: asyncpg.Connection) -> None:
        """Compare all balances, holds, orders and trades with the oracle's."""
        rows = await database.fetch("select id, balance, held from accounts where lane = $1", self.lane.number)
        found = {row["id"]: (row["balance"], row["held"]) for row in rows}
        told = {name: (pot.balance, pot.held) for name, pot in self.oracle.pots.items()}
        assert {name: found[account_id] for name, account_id in POTS.items()} == told
        rows = await database.fetch(
            "select id, state, destination_units, due_at from orders where lane = $1", self.lane.number
        )
        orders = {row["id"]: (row["state"], row["destination_units"], row["due_at"]) for row in rows}
        assert orders == {key: (o.state, o.gets, o.due) for key, o in self.oracle.orders.items()}
        trades = await database.fetchval("select count(*) from trades where lane = $1", self.lane.number)
        assert trades == self.oracle.trades


@pytest.mark.parametrize("way", ["one engine", "two engines", "lost saves"])
async def test_random_commands_end_as_told(
    way: str, dsn: str, database: asyncpg.Connection, fuzz_seconds: int | None
) -> None:
    deadline = time.monotonic() + (fuzz_seconds or SECONDS)
    first_seed = new_seed()
    seed, answered, codes = first_seed, 0, set[str]()
    while time.monotonic() < deadline:
        run = await _run(way, dsn, database, seed, deadline)
        answered += run.answered
        codes |= run.codes
        seed += 1
    print(f"{way}: {answered} commands in {seed - first_seed} lanes, refused with {sorted(codes)}")
    assert answered


async def _run(way: str, dsn: str, database: asyncpg.Connection, seed: int, deadline: float) -> Run:
    print(f"TEST_SEED={seed}")
    clock = SteeredClock(seed=seed)
    lane = await new_lane(dsn, clock=clock)
    run = Run(lane, clock, seed)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(dsn, MARK)) if way == "lost saves" else None
        engines = [
            await stack.enter_async_context(
                make_engine(proxy.dsn if proxy else dsn, clock=clock, writer=MARK, cached_rows_max=40)
            )
            for _ in range(2 if way == "two engines" else 1)
        ]
        seconds = run.oracle.debit_settles_after_seconds = run.dice.choice((0, 30, None))
        settlement = SetDebitSettlement(after_ms=None if seconds is None else seconds * 1000)
        await submit(engines[0], lane.number, settlement)
        for _ in range(BURSTS):
            steps = run.burst()
            if proxy is not None and run.dice.random() < 0.3:
                proxy.cut(run.dice.choice((Cut.BEFORE, Cut.AFTER, Cut.BLIND)))
            engine = run.dice.choice(engines)
            await asyncio.gather(*[step(engine) for step in steps])
            await run.assert_as_told(database)
            if time.monotonic() > deadline:
                break
    await assert_sound(dsn, lane.number)
    return run
