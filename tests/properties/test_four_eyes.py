"""Random people, clocks and markets against a small oracle: nothing large is ever done by one person.

The oracle knows what was proposed, by whom, of which version and until when. What the desk answers must be what the
oracle says, and what is booked in the end what was proposed, to the unit.
"""

import asyncio
import random
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from otcdesk.actions.approve_conversion import ApprovalReply, ApproveConversion
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.move_value import Booked, Deposit, Withdraw
from otcdesk.actions.publish_price import PublishPrice
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.actions.second_proposal import ProposalSeconded, SecondProposal, WithdrawProposal
from otcdesk.actions.unwind_conversion import RejectConversion
from otcdesk.domain.commands import Command, Reply
from otcdesk.domain.orders import Order
from otcdesk.engine.engine import Engine
from otcdesk.errors import Code, Refusal
from otcdesk.storage.queries import queries
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import FA1, WA1, A, Lane, make_engine, new_lane, submit
from tests.support.four_eyes import GUARDED_WORLD
from tests.support.soundness import assert_sound

STEPS = 250

#: At least three plays, and more where something that must be met was not: each has a seed of its own.
PLAYS_MIN, PLAYS_MAX = 3, 15

PEOPLE = ("person:ada", "person:bo", "operator:token")
SECONDS = 600
EUR_FROM, USDC_FROM, DEVIATION_BPS_MAX = 100_000, 1_000_000_000, 300


class Pending(msgspec.Struct):
    """What the oracle knows of an order: its version while it waits for approval, None from then on."""

    id: UUID
    units: int
    version: int | None
    approved_by: tuple[str, str] | None = None
    approved_units: int | None = None


class Waiting(msgspec.Struct):
    """What the oracle knows of a proposal; of a booking the units are negative where it takes away."""

    id: UUID
    order: Pending | None
    version: int | None
    rate: Decimal
    units: int
    by: str
    until: datetime
    state: str = "open"

    def state_at(self, now: datetime) -> str:
        return "expired" if self.state == "open" and now >= self.until else self.state


class Oracle:
    """What must come of each command."""

    def __init__(self, clock: SteeredClock) -> None:
        self.clock = clock
        self.market = Decimal("1.0842")
        self.balance = 0
        self.orders: list[Pending] = []
        self.waiting: list[Waiting] = []

    def brings(self, order: Pending, rate: Decimal) -> int:
        """Return what an order brings: cents at a rate, cut to cents, in millionths."""
        return int(order.units * Fraction(rate)) * 10_000

    def deviates(self, rate: Decimal) -> bool:
        return abs(Fraction(rate) / Fraction(self.market) - 1) * 10_000 > DEVIATION_BPS_MAX

    def approve(self, order: Pending, rate: Decimal) -> Code | str:
        if order.version is None:
            return Code.INVALID_STATE
        if self.deviates(rate):
            return Code.RATE_DEVIATES
        if order.units < EUR_FROM and self.brings(order, rate) < USDC_FROM:
            return "done"
        now = self.clock.now()
        rivals = [one for one in self.waiting if one.order is order and one.version == order.version]
        return Code.PROPOSAL_OPEN if any(one.state_at(now) == "open" for one in rivals) else "waits"

    def book(self, units: int) -> Code | str:
        if self.balance + units < 0:
            return Code.BALANCE_INSUFFICIENT
        return "waits" if abs(units) >= EUR_FROM else "done"

    def second(self, one: Waiting, person: str) -> Code | str:
        if one.state_at(self.clock.now()) != "open":
            return Code.PROPOSAL_OVER
        if person == one.by:
            return Code.SAME_PERSON
        if one.order is None:
            return Code.BALANCE_INSUFFICIENT if self.balance + one.units < 0 else "done"
        if one.order.version != one.version:
            return Code.PROPOSAL_STALE
        return Code.RATE_DEVIATES if self.deviates(one.rate) else "done"


class Play:
    """One random play."""

    def __init__(self, seed: int, engine: Engine, lane: Lane, clock: SteeredClock) -> None:
        self.random = random.Random(seed)
        self.engine, self.lane, self.clock = engine, lane.number, clock
        self.oracle = Oracle(clock)
        self.met: set[Any] = set()

    async def told(self, command: Command, expected: Code | str, caller: str) -> Any:
        """Carry a command out and compare what comes of it; returns the reply, None if it was refused."""
        reply: Reply | None = None
        try:
            reply = await submit(self.engine, self.lane, command, caller=caller)
            came: Code | str = "waits" if getattr(reply, "proposal", None) and type(reply) in _MAY_WAIT else "done"
        except Refusal as refusal:
            came = refusal.code
        assert came == expected, (command, caller)
        self.met.add((type(command).__name__, came))
        return reply

    async def step(self) -> None:
        steps = (self.order, self.approve, self.approve, self.second, self.second, self.withdraw, self.reject)
        await self.random.choice((*steps, self.book, self.book, self.market, self.later))()

    async def order(self) -> None:
        units = self.random.choice([50_000, 92_233, 92_234, 99_999, 100_000, 150_000])
        if units > self.oracle.balance:
            return
        quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=units)
        order: Order = (await submit(self.engine, self.lane, quote, owner_id=A)).order
        await submit(
            self.engine, self.lane, ConfirmConversion(order_id=order.id, side="buy"), owner_id=A, key=str(order.id)
        )
        self.oracle.orders.append(Pending(order.id, units, version=3))
        self.oracle.balance -= units

    async def approve(self) -> None:
        if not self.oracle.orders:
            return
        order, person = self.random.choice(self.oracle.orders[-6:]), self.random.choice(PEOPLE)
        given = self.random.choice([None, Decimal("1.0838"), self.oracle.market, Decimal("1.1"), Decimal("10.838")])
        rate = self.oracle.market if given is None else given
        expected = self.oracle.approve(order, rate)
        reply = await self.told(ApproveConversion(order_id=order.id, rate=given), expected, person)
        if expected == "waits":
            units = self.oracle.brings(order, rate)
            self.remember(reply, order, order.version, rate, units, person)
        elif expected == "done":
            self.done(order, rate, (person, person))

    async def book(self) -> None:
        units = self.random.choice([-400_000, -100_000, -99_999, 99_999, 100_000, 400_000])
        kind, person = (Withdraw if units < 0 else Deposit), self.random.choice(PEOPLE)
        command = kind(account_id=FA1, units=abs(units), reason="r", reference="r")
        expected = self.oracle.book(units)
        reply = await self.told(command, expected, person)
        if expected == "waits":
            self.remember(reply, None, None, Decimal(0), units, person)
        elif expected == "done":
            self.oracle.balance += units

    def remember(
        self, reply: Any, order: Pending | None, version: int | None, rate: Decimal, units: int, person: str
    ) -> None:
        until = self.clock.now() + timedelta(seconds=SECONDS)
        self.oracle.waiting.append(Waiting(reply.proposal.id, order, version, rate, units, person, until))

    def done(self, order: Pending, rate: Decimal, people: tuple[str, str]) -> None:
        order.version, order.approved_by, order.approved_units = None, people, self.oracle.brings(order, rate)

    async def second(self) -> None:
        if not self.oracle.waiting:
            return
        one, person = self.random.choice(self.oracle.waiting[-6:]), self.random.choice(PEOPLE)
        expected = self.oracle.second(one, person)
        reply = await self.told(SecondProposal(proposal_id=one.id), expected, person)
        if expected != "done":
            return
        assert isinstance(reply, ProposalSeconded)
        one.state = "carried_out"
        if one.order is None:
            self.oracle.balance += one.units
        else:
            self.done(one.order, one.rate, (one.by, person))

    async def withdraw(self) -> None:
        if not self.oracle.waiting or self.random.random() < 0.6:
            return
        one, person = self.random.choice(self.oracle.waiting[-6:]), self.random.choice(PEOPLE)
        is_open = one.state_at(self.clock.now()) == "open"
        await self.told(WithdrawProposal(proposal_id=one.id), "done" if is_open else Code.PROPOSAL_OVER, person)
        if is_open:
            one.state = "withdrawn"

    async def reject(self) -> None:
        open_ones = [order for order in self.oracle.orders if order.version is not None]
        if not open_ones or self.random.random() < 0.6:
            return
        order = self.random.choice(open_ones[-6:])
        await self.told(RejectConversion(order_id=order.id, reason="r"), "done", "person:ada")
        order.version = None
        self.oracle.balance += order.units

    async def market(self) -> None:
        rate = self.random.choice([Decimal("1.0842"), Decimal("1.1"), Decimal("1.05"), Decimal("1.2")])
        command = PublishPrice(
            source_asset="EUR", destination_asset="USDC", rate=rate, feed="market", stale_after_ms=None
        )
        await submit(self.engine, self.lane, command)
        self.oracle.market = rate

    async def later(self) -> None:
        self.clock.advance(seconds=self.random.choice([1, 299, 600]))


_MAY_WAIT = (ApprovalReply, Booked)

#: What a play is too short for, unless it meets all of these.
EVERYTHING = {
    ("ApproveConversion", "done"),
    ("ApproveConversion", "waits"),
    ("ApproveConversion", Code.PROPOSAL_OPEN),
    ("ApproveConversion", Code.RATE_DEVIATES),
    ("SecondProposal", "done"),
    ("SecondProposal", Code.PROPOSAL_OVER),
    ("SecondProposal", Code.PROPOSAL_STALE),
    ("SecondProposal", Code.SAME_PERSON),
    ("SecondProposal", Code.RATE_DEVIATES),
    ("Deposit", "done"),
    ("Deposit", "waits"),
    ("Withdraw", "waits"),
}


async def test_nothing_large_is_done_by_one_person(dsn: str) -> None:
    met: set[Any] = set()
    for number in range(PLAYS_MAX):
        met |= await _play(dsn, number)
        if number + 1 >= PLAYS_MIN and met >= EVERYTHING:
            return
    raise AssertionError(f"never met: {EVERYTHING - met}")


async def _play(dsn: str, number: int) -> set[Any]:
    clock = SteeredClock()
    lane = await new_lane(dsn, GUARDED_WORLD, clock=clock)
    async with make_engine(dsn, clock=clock) as engine:
        play = Play(new_seed() + number, engine, lane, clock)
        play.oracle.balance = 1_000_000
        for _ in range(STEPS):
            await play.step()
    connection = await asyncpg.connect(dsn)
    for order in play.oracle.orders:
        row = await connection.fetchrow(
            "select approved_by, approved_units from orders where lane = $1 and id = $2", lane.number, order.id
        )
        assert row is not None
        assert row["approved_by"] == (order.approved_by[1] if order.approved_by else None)
        assert row["approved_units"] == order.approved_units
        large = order.units >= EUR_FROM or (order.approved_units or 0) >= USDC_FROM
        assert not (order.approved_by and large) or len(set(order.approved_by)) == 2
    balance = await connection.fetchval("select balance from accounts where lane = $1 and id = $2", lane.number, FA1)
    assert balance == play.oracle.balance
    for name, statement in queries("invariants").items():
        assert await connection.fetch(statement, lane.number) == [], name
    await connection.close()
    await assert_sound(dsn, lane.number)
    return play.met


@pytest.mark.parametrize("engines", [1, 2])
async def test_of_many_last_words_on_one_proposal_one_counts(dsn: str, engines: int) -> None:
    """Seconds, withdrawals and a rejection at once, inside of one batch and where batches of two engines meet."""
    clock = SteeredClock()
    lane = await new_lane(dsn, GUARDED_WORLD, clock=clock)
    async with make_engine(dsn, clock=clock) as one, make_engine(dsn, clock=clock, writer="another") as two:
        both = [one, two][:engines]
        for _ in range(4):
            quote = QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=200_000)
            order: Order = (await submit(one, lane.number, quote, owner_id=A)).order
            confirm = ConfirmConversion(order_id=order.id, side="buy")
            await submit(one, lane.number, confirm, owner_id=A, key=str(order.id))
            asked = await submit(one, lane.number, ApproveConversion(order_id=order.id), caller="person:ada")
            commands: list[Command] = [
                *[SecondProposal(proposal_id=asked.proposal.id) for _ in range(4)],
                WithdrawProposal(proposal_id=asked.proposal.id),
                RejectConversion(order_id=order.id, reason="r"),
            ]
            random.Random(new_seed()).shuffle(commands)
            answers = await asyncio.gather(
                *[
                    submit(both[turn % engines], lane.number, command, caller="person:bo")
                    for turn, command in enumerate(commands)
                ],
                return_exceptions=True,
            )
            counted = [
                type(command) for command, answer in zip(commands, answers, strict=True) if isinstance(answer, Reply)
            ]
            assert counted.count(SecondProposal) <= 1
            if SecondProposal in counted:
                assert counted == [SecondProposal]
            else:
                assert RejectConversion in counted
            refused = [answer for answer in answers if not isinstance(answer, Reply)]
            assert all(isinstance(answer, Refusal) for answer in refused), refused
    await assert_sound(dsn, lane.number)
