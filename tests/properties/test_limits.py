"""Limits under random orders, settings, days and months: never more becomes binding than a limit leaves.

Alone, every answer is foretold by an oracle of a few lines. At once, by one engine and by two over PostgreSQL, nobody
knows the order: what became binding is then within the limit, and what was refused would have been above it.
"""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Deposit
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.domain.brokerage import corporate_id
from otcdesk.domain.limits import Limit
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.storage.queries import queries
from tests.support.brokerage import OFFERS_WORLD, P, U, V, accepting, brokerage_desk, quoting
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import FA1, WA1, A, make_engine, new_lane, submit
from tests.support.limits import limiting
from tests.support.pure import PureDesk
from tests.support.soundness import assert_sound

BOUNDS = ("order", "day", "month")
#: How far the clock goes on between two steps: mostly not at all, sometimes into another day or month.
LEAPS = (timedelta(0), timedelta(0), timedelta(minutes=7), timedelta(hours=9), timedelta(days=1), timedelta(days=20))
CASH = 10**12


class Oracle:
    """What is counted of one subject's limit, by days, and what is bounded."""

    def __init__(self) -> None:
        self.bounds: dict[str, int | None] | None = None
        self.days: Counter[str] = Counter()

    def left(self, day: str) -> list[int]:
        """Return what each bound leaves on a day."""
        bounds = self.bounds or {}
        used = {
            "order": 0,
            "day": self.days[day],
            "month": sum(units for each, units in self.days.items() if each[:7] == day[:7]),
        }
        return [most - used[bound] for bound in BOUNDS if (most := bounds.get(bound)) is not None]

    def allows(self, day: str, units: int) -> bool:
        return all(units <= left for left in self.left(day))

    def count(self, day: str, units: int) -> None:
        if self.bounds is not None:
            self.days[day] += units


def random_bounds(dice: random.Random) -> dict[str, int | None]:
    sizes = {"order": 30_000, "day": 60_000, "month": 200_000}
    return {bound: dice.randrange(size) if dice.random() < 0.7 else None for bound, size in sizes.items()}


def today(clock: SteeredClock) -> str:
    return f"{clock.now():%Y-%m-%d}"


# -- alone -------------------------------------------------------------------------------------------------------------


class Alone:
    """A tenant and two of its parties, each perhaps with limits, that accept quotes one after another."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.desk: PureDesk = brokerage_desk(OFFERS_WORLD)
        self.desk.clock = SteeredClock(seed=7)
        self.oracles = {P: Oracle(), U: Oracle(), V: Oracle()}
        self.seen: Counter[str] = Counter()
        self.desk.act(Deposit(account_id=corporate_id(P, "EUR"), units=CASH, reason="stock", reference="r"))

    def step(self) -> None:
        self.desk.clock.set(self.desk.clock.now() + self.dice.choice(LEAPS))
        if self.dice.random() < 0.15:
            self.set_limit()
        else:
            self.trade()
        for subject, oracle in self.oracles.items():
            if oracle.bounds is not None and oracle.days:
                limit = self.desk.get(Limit, (subject, "EUR")).at(self.desk.clock.now())
                assert limit.day_units == oracle.days[limit.day]
                assert limit.month_units == sum(n for day, n in oracle.days.items() if day[:7] == limit.month)

    def set_limit(self) -> None:
        subject, bounds = self.dice.choice([*self.oracles]), random_bounds(self.dice)
        self.desk.act(limiting(subject, "EUR", **bounds))
        self.oracles[subject].bounds = bounds

    def trade(self) -> None:
        party, units = self.dice.choice([U, V]), self.dice.randrange(100, 40_000)
        concerned = (self.oracles[P], self.oracles[party])
        bounds = [(oracle.bounds or {}).get("order") for oracle in concerned]
        too_large = any(bound is not None and units > bound for bound in bounds)
        quote = quoting(amount=str(Decimal(units).scaleb(-2)), party_id=party)
        if too_large:
            assert self.desk.refuse(quote, owner_id=P) is Code.LIMIT_EXCEEDED
            self.seen["not quoted"] += 1
            return
        order = self.desk.act(quote, owner_id=P).order
        accept, day = accepting(order, f"ext-{order.id}", party_id=party), today(self.desk.clock)
        if all(oracle.allows(day, units) for oracle in concerned):
            assert self.desk.act(accept, owner_id=P).state == "in_progress"
            for oracle in concerned:
                oracle.count(day, units)
            self.seen["accepted"] += 1
        else:
            assert self.desk.refuse(accept, owner_id=P) is Code.LIMIT_EXCEEDED  # and nothing of the books has changed
            self.seen["refused"] += 1


def test_every_answer_is_foretold_by_the_oracle() -> None:
    seed, seen = new_seed(), Counter[str]()
    for number in range(6):
        alone = Alone(seed + number)
        for _ in range(120):
            alone.step()
        seen += alone.seen
    assert min(seen[what] for what in ("accepted", "refused", "not quoted")) > 10, seen


# -- at once -----------------------------------------------------------------------------------------------------------


class AtOnce:
    """One customer that confirms many orders in one moment."""

    def __init__(self, lane: int, engines: list[Engine], clock: SteeredClock, seed: int) -> None:
        self.lane, self.engines, self.clock, self.dice = lane, engines, clock, random.Random(seed)
        self.oracle = Oracle()
        self.seen: Counter[str] = Counter()

    async def tell(self, command: Any, turn: int = 0, **how: Any) -> Any:
        try:
            return await submit(self.engines[turn % len(self.engines)], self.lane, command, **how)
        except Refusal as refusal:
            return refusal.code

    async def round(self) -> None:
        self.clock.set(self.clock.now() + self.dice.choice(LEAPS))
        day = today(self.clock)
        quoted = []
        for _ in range(self.dice.randrange(1, 9)):
            units = self.dice.randrange(100, 30_000)
            quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=units)
            answer = await self.tell(quote, owner_id=A)
            quoted += [] if isinstance(answer, Code) else [answer.order]
        if self.dice.random() < 0.5:
            bounds = random_bounds(self.dice)
            await self.tell(limiting(A, "EUR", **bounds))
            self.oracle.bounds = bounds
        before = self.oracle.days[day]
        confirms = [ConfirmConversion(order_id=order.id, side="buy") for order in quoted]
        answers = await asyncio.gather(
            *(self.tell(confirm, turn, owner_id=A, key=str(confirm.order_id)) for turn, confirm in enumerate(confirms))
        )
        codes = [answer if isinstance(answer, Code) else None for answer in answers]
        binding = [order.source_units for order, code in zip(quoted, codes, strict=True) if code is None]
        refused = [order.source_units for order, code in zip(quoted, codes, strict=True) if code is not None]
        assert set(codes) <= {None, Code.LIMIT_EXCEEDED}
        for units in binding:
            self.oracle.count(day, units)
        lefts = self.oracle.left(day)
        assert all(left >= 0 for left in lefts) or self.oracle.days[day] == before, (lefts, binding)
        for units in refused:  # what was left has only become less
            assert not self.oracle.allows(day, units)
        self.seen["binding"] += len(binding)
        self.seen["refused"] += len(refused)


@pytest.mark.parametrize("engines", [1, 2], ids=["one engine", "two engines"])
async def test_at_once_never_more_becomes_binding_than_is_left(dsn: str, engines: int) -> None:
    seed = new_seed()
    clock = SteeredClock(seed=seed)
    lane = await new_lane(dsn, clock=clock)
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(make_engine(dsn, clock=clock)) for _ in range(engines)]
        at_once = AtOnce(lane.number, running, clock, seed)
        await at_once.tell(Deposit(account_id=FA1, units=CASH, reason="stock", reference="r"))
        await at_once.tell(limiting(A, "EUR", day=50_000))
        at_once.oracle.bounds = {"day": 50_000}
        for _ in range(25):
            await at_once.round()
    assert min(at_once.seen.values()) > 5, at_once.seen
    await _assert_counted(dsn, lane.number, at_once.oracle, A)


async def _assert_counted(dsn: str, lane: int, oracle: Oracle, subject: UUID) -> None:
    """Check the sums of the last day and month, by the oracle and by the orders that are there, and all invariants."""
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchrow("select * from limits where lane = $1 and subject_id = $2", lane, subject)
    assert row is not None
    assert row["day_units"] == oracle.days[row["day"]]
    orders = await connection.fetch(
        """select to_char(confirmed_at at time zone 'UTC', 'YYYY-MM-DD') as day, sum(source_units) as units
        from orders where lane = $1 and confirmed_at is not null group by 1""",
        lane,
    )
    assert {each["day"]: int(each["units"]) for each in orders} == +oracle.days
    assert row["month_units"] == sum(n for day, n in oracle.days.items() if day[:7] == row["month"])
    for name, statement in queries("invariants").items():
        assert await connection.fetch(statement, lane) == [], name
    await connection.close()
    await assert_sound(dsn, lane)
