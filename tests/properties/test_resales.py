"""Any sequence of listings, sales, purchases, withdrawals, rules, words of the chain and days: as the model says.

Sequences are tried on a desk in memory, where one that fails is shortened. The same is then asked of engines on
PostgreSQL, in bursts that are decided as batches: after each burst all accounts, listings and jobs are compared. At the
end the chain, which only follows, must have everything where the books say.
"""

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from otcdesk.actions.bid_resale import AcceptBid, DeclineBid, PlaceBid, WithdrawBid
from otcdesk.actions.burn_holding import BurnHolding
from otcdesk.actions.buy_resale import BuyResale, BuyUnsold
from otcdesk.actions.list_resale import ListResale
from otcdesk.actions.make_resale_rule import MakeResaleRule, RuleFields
from otcdesk.actions.record_due import RecordDue
from otcdesk.actions.record_job import BeginJob, RecordJob
from otcdesk.actions.take_resale import TakeResale
from otcdesk.actions.withdraw_resale import CloseResale, WithdrawResale
from otcdesk.domain.commands import Command
from otcdesk.domain.jobs import Job
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.resale_rules import BranchRules, ResaleDecision, ResaleRule
from otcdesk.domain.resales import Resale
from otcdesk.engine.engine import Engine
from otcdesk.errors import Refusal
from otcdesk.storage.queries import queries
from tests.support.brokerage_oracle import Refused
from tests.support.clocks import SteeredClock, new_seed
from tests.support.desk import Lane, make_engine, new_lane, submit
from tests.support.proxy import Cut, Proxy
from tests.support.pure import PureDesk
from tests.support.resale_model import (
    COINS,
    HOMES,
    OFFICES,
    OPENING,
    PAPERS,
    Burn,
    Deal,
    Habit,
    Listing,
    May,
    Model,
    Task,
)
from tests.support.resales import BRANCH, COIN, ESTATE, PAPER, PARTY, RESALES_WORLD, account_at, mandate
from tests.support.soundness import assert_sound

MARK = "the writer of random resales"
INVARIANTS = queries("invariants")

SEQUENCES, STEPS = 60, 100

QUANTITIES = (1, 1, 2, 3, 5, 8, 11, 21)
#: Near what the issuers ask, where rules decide; anywhere; and what is no price.
NEAR = ("2", "2.2", "1.8", "2.1", "1.9", "3.5", "3.85", "3.15")
ANYWHERE = ("0.000001", "0.000333", "7.77", "12", "0.01", "3.33")
NO_PRICES = ("1.2345678", "0", "-1", "1E+37")
PRICES = (*NEAR, *NEAR, *ANYWHERE, *NO_PRICES)
PAUSES = (1, 86_400, 9 * 86_400, 31 * 86_400)
OUTCOMES = ("done", "done", "done", "refused")


class Step(NamedTuple):
    """A command, what the model says of it, and how its reply is looked at."""

    command: Command
    said: Any
    check: Callable[[Any], None]
    as_tenant: bool = False
    key: str | None = None


class Run:
    """The model and the dice; of what is drawn the model is told at once, so commands must be decided in that order."""

    def __init__(self, dice: random.Random, now: datetime) -> None:
        self.dice = dice
        self.model = Model(now)
        self.orders: dict[Listing | Deal | Burn, UUID] = {}
        self.jobs: dict[Task, Job] = {}
        self.rules: dict[UUID, Habit] = {}
        self.codes: Counter[str] = Counter()

    # -- what is drawn ---------------------------------------------------------------------------------------------

    def step(self) -> Step | None:
        often = (*[self.sell] * 6, *[self.tell] * 9, *[self.buy] * 4, *[self.withdraw] * 3, *[self.bid] * 2)
        seldom = (*[self.answer] * 2, self.take, self.close, self.run_out, self.buy_unsold, *[self.rule] * 2, self.burn)
        maker: Callable[[], Step | None] = self.dice.choice((*often, *seldom))
        return maker()

    def sell(self) -> Step:
        party, paper = self._some(HOMES), self._some(PAPERS)
        coin = PAPERS[paper].currency if self._often() else self._some(COINS)
        market = self.dice.choice(("otc", "otc", "secondary"))
        quantity, price = self.dice.choice(QUANTITIES), self.dice.choice(PRICES)
        key = self.dice.choice((None, None, "a", "b", "c"))
        may = self._may()
        said = told_by(lambda: self.model.sell(party, paper, coin, quantity, Fraction(price), market, may, key))
        command = ListResale(
            party_id=PARTY[party],
            instrument_id=PAPER[paper],
            currency_id=COIN[coin],
            quantity=quantity,
            price=Decimal(price),
            market=market,
            mandate=mandate(may),
        )
        return Step(command, said, self._started(said), as_tenant=True, key=key)

    def withdraw(self) -> Step:
        listing = self._listing()
        party, paper, market = self._about(listing)
        may = self._may()
        said = told_by(lambda: self.model.withdraw(party, paper, listing, market, may))
        command = WithdrawResale(
            party_id=PARTY[party],
            instrument_id=PAPER[paper],
            order_id=self._order_of(listing),
            market=market,
            mandate=mandate(may),
        )
        return Step(command, said, self._started(said), as_tenant=True)

    def buy(self) -> Step:
        listing = self._listing()
        _, paper, market = self._about(listing)
        party, quantity, may = self._some(HOMES), self.dice.choice(QUANTITIES[:6]), self._may()
        if listing is not None and self.dice.random() < 0.3:
            quantity = max(listing.available, 1)
        said = told_by(lambda: self.model.buy(party, paper, listing, quantity, market, may))
        command = BuyResale(
            party_id=PARTY[party],
            instrument_id=PAPER[paper],
            order_id=self._order_of(listing),
            quantity=quantity,
            market=market,
            mandate=mandate(may),
        )
        return Step(command, said, self._started(said), as_tenant=True)

    def buy_unsold(self) -> Step:
        party, paper, quantity, may = self._some(HOMES), self._some(PAPERS), self.dice.choice(QUANTITIES), self._may()
        said = told_by(lambda: self.model.buy_unsold(party, paper, quantity, may))
        command = BuyUnsold(party_id=PARTY[party], instrument_id=PAPER[paper], quantity=quantity, mandate=mandate(may))
        return Step(command, said, self._started(said), as_tenant=True)

    def take(self) -> Step:
        return self._of_branch(TakeResale, self.model.take)

    def close(self) -> Step:
        return self._of_branch(CloseResale, self.model.close)

    def _of_branch(self, kind: Any, verb: Callable[..., str]) -> Step:
        listing = self._listing()
        _, paper, _ = self._about(listing)
        office = PAPERS[paper].issuer if self._often() else self._some(OFFICES)
        may = self._may()
        said = told_by(lambda: verb(office, paper, listing, may))

        def check(reply: Any) -> None:
            assert reply.order.state == said

        command = kind(
            branch_id=BRANCH[office],
            instrument_id=PAPER[paper],
            order_id=self._order_of(listing),
            mandate=mandate(may),
        )
        return Step(command, said, check, as_tenant=True)

    def tell(self) -> Step | None:
        """Let the chain say something of a job, mostly of one that it has said nothing of."""
        waiting = [task for task in self.jobs if not task.over]
        task = self.dice.choice(waiting) if waiting and self._often() else self._drawn(self.jobs)
        if task is None:
            return None
        known, outcome = self.dice.random() < 0.95, self.dice.choice(OUTCOMES)
        unsent = task.kind == "withdraw" and task.state == "started"
        if self.dice.random() < 0.2 or (unsent and outcome == "done"):
            return self._begun(task, known=known)
        return self._recorded(task, outcome, known=known)

    def _begun(self, task: Task, *, known: bool) -> Step:
        job, said = self.jobs[task], self.model.begin(task, known=known)

        def check(reply: Any) -> None:
            assert reply.applied == said

        return Step(BeginJob(job_id=job.id, reference=job.reference if known else "another"), said, check)

    def _recorded(self, task: Task, outcome: Any, *, known: bool) -> Step:
        job = self.jobs[task]
        agrees = not task.over or not known or (task.state == "completed") == (outcome == "done")
        said = self.model.record(task, outcome, known=known)

        def check(reply: Any) -> None:
            assert (reply.applied, reply.agrees) == (said, agrees)

        reference = job.reference if known else "another"
        return Step(RecordJob(job_id=job.id, reference=reference, outcome=outcome, detail="0xabc"), said, check)

    def run_out(self) -> Step | None:
        bids = [deal for deal in self.model.deals if deal.expires_at is not None]
        among: list[Listing | Deal] = [*self.model.listings, *bids]
        over = [one for one in among if one in self.orders and self.dice.random() < 0.3]
        if not over:
            return None
        said = self.model.run_out(over)

        def check(reply: Any) -> None:
            assert reply.recorded == said

        return Step(RecordDue(order_ids=[self.orders[one] for one in over]), said, check)

    def bid(self) -> Step:
        listing = self._listing()
        _, paper, _ = self._about(listing)
        party, quantity, price = self._some(HOMES), self.dice.choice(QUANTITIES[:5]), self.dice.choice(PRICES)
        may = self._may()
        said = told_by(lambda: self.model.bid(party, paper, listing, quantity, Fraction(price), may))
        command = PlaceBid(
            party_id=PARTY[party],
            instrument_id=PAPER[paper],
            order_id=self._order_of(listing),
            quantity=quantity,
            price=Decimal(price),
            mandate=mandate(may),
        )

        def check(reply: Any) -> None:
            assert reply.order.state == "active"
            self.orders[said] = reply.order.id

        return Step(command, said, check, as_tenant=True)

    def answer(self) -> Step | None:
        """Let somebody answer a bid, mostly one that is open and mostly who may."""
        bids = [deal for deal in self.model.deals if deal.expires_at is not None and deal in self.orders]
        live = [deal for deal in bids if deal.state == "active"]
        among = live if live and self._often() else bids[-5:]
        if not among:
            return None
        deal = self.dice.choice(among)
        assert deal.listing is not None
        kind = self.dice.choice((AcceptBid, AcceptBid, DeclineBid, WithdrawBid))
        party = deal.party if kind is WithdrawBid else deal.listing.party
        party = party if self._often() else self._some(HOMES)
        paper = deal.paper if self._often() else self._some(PAPERS)
        may = self._may()
        verb = {AcceptBid: self.model.accept, DeclineBid: self.model.decline, WithdrawBid: self.model.unbid}[kind]
        said = told_by(lambda: verb(party, paper, deal, may))
        command = kind(
            party_id=PARTY[party], instrument_id=PAPER[paper], order_id=self.orders[deal], mandate=mandate(may)
        )

        def check(reply: Any) -> None:
            assert reply.order.state == said

        return Step(command, said, self._started(said) if kind is AcceptBid else check, as_tenant=True)

    def burn(self) -> Step | None:
        if self.dice.random() < 0.9:
            return None
        party, paper, may = self._some(HOMES), self._some(PAPERS), self._may()
        said = told_by(lambda: self.model.burn(party, paper, may))
        command = BurnHolding(party_id=PARTY[party], instrument_id=PAPER[paper], mandate=mandate(may))
        return Step(command, said, self._started(said), as_tenant=True)

    def rule(self) -> Step:
        dice = self.dice
        test = dice.choice(("unconditional", "percent", "percent", "absolute"))
        near, far = Fraction(dice.choice((0, 5, 10, 10))), Fraction(dice.choice((0, 5, 10, 10)))
        if test == "absolute":
            near, far = near / 50, far / 50
        habit = Habit(
            issuer=dice.choice(("N", "N", "N2")),
            turn=len(self.model.habits),
            priority=dice.choice((1, 2, 2, 3)),
            accepts=dice.random() < 0.7,
            test=test,
            side=dice.choice(("both", "sells", "sells", "buys")),
            consumed=dice.random() < 0.6,
            paper=dice.choice((None, None, *PAPERS)),
            below=None if test == "unconditional" else dice.choice((near, None)),
            above=None if test == "unconditional" else dice.choice((far, None)),
            least=dice.choice((None, None, 2, 5)),
            most=dice.choice((None, 3, 8)),
            valid_from=dice.choice((None, None, self.model.now, self.model.now + timedelta(days=9))),
            valid_until=dice.choice((None, None, self.model.now, self.model.now + timedelta(days=9))),
        )
        said = told_by(lambda: self.model.make_rule(habit))
        fields = RuleFields(
            name=f"rule {habit.turn}",
            side=habit.side,
            test=test,
            action="accept" if habit.accepts else "reject",
            active=True,
            consume_on_match=habit.consumed,
            priority=habit.priority,
            instrument_id=None if habit.paper is None else PAPER[habit.paper],
            below_percent=exact(habit.below) if test == "percent" else None,
            above_percent=exact(habit.above) if test == "percent" else None,
            below_amount=exact(habit.below) if test == "absolute" else None,
            above_amount=exact(habit.above) if test == "absolute" else None,
            quantity_min=habit.least,
            quantity_max=habit.most,
            valid_from=habit.valid_from,
            valid_until=habit.valid_until,
        )

        def check(reply: Any) -> None:
            self.rules[reply.rule.id] = habit

        command = MakeResaleRule(
            branch_id=BRANCH[habit.issuer], fields=fields, created_by="test", mandate=mandate(May())
        )
        return Step(command, said, check, as_tenant=True)

    def last_words(self) -> list[Step]:
        """Let the chain say that everything is done that it was asked for and has said nothing of."""
        waiting = [task for task in self.jobs if not task.over]
        begun = [self._begun(task, known=True) for task in waiting if task.kind == "withdraw"]
        return [*begun, *(self._recorded(task, "done", known=True) for task in waiting if not task.over)]

    # -- how -------------------------------------------------------------------------------------------------------

    def _often(self) -> bool:
        return self.dice.random() < 0.85

    def _some(self, names: Iterable[str]) -> str:
        return self.dice.choice([*names])

    def _may(self) -> May:
        return self.dice.choice((*[May()] * 40, May("1.2"), May("1.3"), May("1", permitted=False)))

    def _drawn(self, among: Mapping[Task, Any]) -> Task | None:
        return self.dice.choice([*among][-10:]) if among else None

    def _listing(self) -> Listing | None:
        """Draw a listing, mostly one that is active."""
        known = [listing for listing in self.model.listings if listing in self.orders]
        live = [listing for listing in known if listing.state == "active"]
        among = live if live and self._often() else known[-10:]
        return self.dice.choice(among) if among and self.dice.random() < 0.97 else None

    def _about(self, listing: Listing | None) -> tuple[str, str, str]:
        if listing is None or self.dice.random() < 0.05:
            return self._some(HOMES), self._some(PAPERS), self.dice.choice(("otc", "secondary"))
        return listing.party, listing.paper, listing.market

    def _order_of(self, listing: Listing | None) -> UUID | None:
        return None if listing is None else self.orders[listing]

    def _started(self, said: Any) -> Callable[[Any], None]:
        units = said.units if isinstance(said, Task) else 0

        def check(reply: Any) -> None:
            job = reply.job
            assert self.jobs.setdefault(said, job).id == job.id
            assert (job.kind, job.units, job.order_id) == (
                said.kind,
                units,
                self.orders.setdefault(said.of, job.order_id),
            )

        return check

    def answered(self, step: Step, answer: Any) -> None:
        """Compare what a command came to with what the model says."""
        if isinstance(step.said, Refused) or isinstance(answer, Refusal):
            assert isinstance(answer, Refusal), (step.command, step.said)
            assert answer.code.name == str(step.said), step.command
            self.codes[answer.code.name] += 1
            return
        self.codes["done"] += 1
        step.check(answer)

    # -- what must be ----------------------------------------------------------------------------------------------

    def accounts(self) -> dict[UUID, tuple[int, int]]:
        """Return what the model says of every account: balance and held."""
        return {account_at(place): (pot.balance, pot.held) for place, pot in self.model.pots.items()}

    def listings(self) -> dict[UUID, tuple[Any, ...]]:
        return {
            self.orders[row]: (row.state, row.quantity, row.available, row.promised, row.sold, row.number)
            for row in self.model.listings
        }

    def deals(self) -> dict[UUID, str]:
        among: list[Deal | Burn] = [*self.model.deals, *self.model.burns]
        return {self.orders[one]: one.state for one in among}

    def tasks(self) -> dict[UUID, tuple[str, str, int]]:
        return {self.jobs[task].id: (task.kind, task.state, task.units) for task in self.model.tasks}

    def assert_conserved(self) -> None:
        """Assert what the contract's section 7 has of any sequence, of the model that the desk agrees with."""
        held: defaultdict[tuple[str, str], int] = defaultdict(int)
        for listing in self.model.listings:
            held[listing.party, listing.paper] += listing.available + listing.promised
            parts = listing.available + listing.promised + listing.sold
            assert parts <= listing.quantity
            assert parts == listing.quantity or listing.state not in {"pending", "active", "withdrawing"}
        for deal in self.model.deals:
            if deal.state in {"active", "pending"}:
                held[deal.party, deal.coin] += deal.gross
        burnt: Counter[str] = Counter()
        for burn in self.model.burns:
            held[burn.party, burn.paper] += burn.units if burn.state == "pending" else 0
            burnt[burn.paper] += burn.units if burn.state == "completed" else 0
        sums: Counter[str] = Counter()
        for (owner, purpose, asset), pot in self.model.pots.items():
            sums[asset] += pot.balance
            assert 0 <= pot.held <= pot.balance
            assert purpose != "holding" or pot.held == held[owner, asset]
        opened: Counter[str] = Counter()
        for (_, _, asset), units in OPENING.items():
            opened[asset] += units
        assert sums + burnt == opened


def told_by(ask: Callable[[], Any]) -> Any:
    """Return what the model says, a refusal as a value."""
    try:
        return ask()
    except Refused as refused:
        return refused


def exact(value: Fraction | None) -> Decimal | None:
    return None if value is None else Decimal(value.numerator) / Decimal(value.denominator)


def moved(jobs: Iterable[tuple[str, UUID, UUID, int]]) -> dict[UUID, int]:
    """Return what the chain has on every account after jobs: their state, from where, to where, how much."""
    there = Counter({account_at(place): units for place, units in OPENING.items()})
    for state, source, destination, units in jobs:
        if state == "completed":
            there[source] -= units
            there[destination] += units
    return {account_id: units for account_id, units in there.items() if units}


# -- in memory -----------------------------------------------------------------------------------------------------

DECLARED = PureDesk(RESALES_WORLD).rows


def test_a_desk_in_memory_does_what_the_model_says(fuzz_seconds: int | None) -> None:
    first, deadline = new_seed(), time.monotonic() + (fuzz_seconds or 0)
    codes: Counter[str] = Counter()
    for number in itertools.count():
        if number >= SEQUENCES and time.monotonic() >= deadline:
            break
        codes += play_in_memory(first + number)
    print(dict(codes))
    assert codes["done"]


def play_in_memory(seed: int) -> Counter[str]:
    """Play one sequence on a desk of its own; returns how its commands ended."""
    desk = PureDesk(world=None)
    desk.rows, desk.clock = dict(DECLARED), SteeredClock(seed=seed)
    run = Run(random.Random(seed), desk.clock.now())
    try:
        for _ in range(STEPS):
            if run.dice.random() < 0.1:
                run.model.now = desk.clock.advance(seconds=run.dice.choice(PAUSES))
            step = run.step()
            if step is not None:
                act(desk, run, step)
                assert_same(desk, run)
        for step in run.last_words():
            act(desk, run, step)
        assert_same(desk, run)
        assert_followed(desk, run)
    except BaseException:
        print(f"TEST_SEED={seed}")
        raise
    return run.codes


def assert_followed(desk: PureDesk, run: Run) -> None:
    """Assert that the chain has everything where the books say, when it has done all that follows them."""
    for job in desk.all(Job):
        if not job.is_over:
            desk.act(RecordJob(job_id=job.id, reference=job.reference, outcome="done", detail="0xabc"))
    jobs = [(job.state, job.source_account_id, job.destination_account_id, job.units) for job in desk.all(Job)]
    assert moved(jobs) == {account_at(place): units for place, units in run.model.on_chain().items()}


def act(desk: PureDesk, run: Run, step: Step) -> None:
    before = desk.rows.copy()
    owner: dict[str, Any] = {"owner_id": ESTATE} if step.as_tenant else {}
    answer: Any
    try:
        answer = desk.act(step.command, key=step.key, **owner)
    except Refusal as refusal:
        assert desk.rows == before, "a refusal has changed something"
        answer = refusal
    run.answered(step, answer)


def assert_same(desk: PureDesk, run: Run) -> None:
    run.assert_conserved()
    found = {row.id: (row.balance, row.held) for row in desk.all(Account)}
    for account_id, expected in run.accounts().items():
        assert found.get(account_id, (0, 0)) == expected, account_id
    states = {row.id: row.state for row in desk.all(Order)}
    listings = {
        row.order_id: (states[row.order_id], row.quantity, row.available, row.promised, row.sold, row.number)
        for row in desk.all(Resale)
    }
    assert listings == run.listings()
    assert {order_id: state for order_id, state in states.items() if order_id not in listings} == run.deals()
    jobs = {job.id: (job.kind, job.state, job.units) for job in desk.all(Job) if job.kind != "follow"}
    assert jobs == run.tasks()
    assert {rule.id: rule.active for rule in desk.all(ResaleRule)} == {
        rule_id: habit.active for rule_id, habit in run.rules.items()
    }
    live = {rule_id for row in desk.all(BranchRules) for rule_id in row.rule_ids}
    assert live == {rule_id for rule_id, habit in run.rules.items() if habit.active}
    decided = {row.order_id: row.rule_id for row in desk.all(ResaleDecision)}
    assert decided == decisions(run)


def decisions(run: Run) -> dict[UUID, UUID | None]:
    named = {id(habit): rule_id for rule_id, habit in run.rules.items()}
    return {
        run.orders[listing]: named.get(id(run.model.decided[id(listing)]))
        for listing in run.model.listings
        if id(listing) in run.model.decided
    }


# -- on PostgreSQL -------------------------------------------------------------------------------------------------

BURSTS = 40


async def play(dsn: str, seed: int, way: str, database: asyncpg.Connection) -> tuple[Run, Lane]:
    clock = SteeredClock(seed=seed)
    lane = await new_lane(dsn, RESALES_WORLD, clock=clock)
    run = Run(random.Random(seed), clock.now())
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(dsn, MARK)) if way == "lost saves" else None
        engines = [
            await stack.enter_async_context(make_engine(proxy.dsn if proxy else dsn, clock=clock, writer=MARK))
            for _ in range(2 if way == "two engines" else 1)
        ]
        for _ in range(BURSTS):
            if run.dice.random() < 0.15:
                run.model.now = clock.advance(seconds=run.dice.choice(PAUSES))
            steps = [step for _ in range(run.dice.choice((1, 4, 12))) if (step := run.step())]
            if proxy is not None and run.dice.random() < 0.3:
                proxy.cut(run.dice.choice((Cut.BEFORE, Cut.AFTER, Cut.BLIND)))
            await burst(run.dice.choice(engines), lane, run, steps)
            await assert_told(database, lane, run)
        await burst(engines[0], lane, run, run.last_words())
        await end_what_follows(engines[0], lane, database)
    return run, lane


async def burst(engine: Engine, lane: Lane, run: Run, steps: list[Step]) -> None:
    async def one(step: Step) -> Any:
        owner: dict[str, Any] = {"owner_id": ESTATE} if step.as_tenant else {}
        try:
            return await submit(engine, lane.number, step.command, key=step.key, **owner)
        except Refusal as refusal:
            return refusal

    for step, answer in zip(steps, await asyncio.gather(*map(one, steps)), strict=True):
        run.answered(step, answer)


async def end_what_follows(engine: Engine, lane: Lane, database: asyncpg.Connection) -> None:
    waiting = "select id, reference from jobs where lane = $1 and waits_for is not null"
    words = [
        RecordJob(job_id=row["id"], reference=row["reference"], outcome="done", detail="0xabc")
        for row in await database.fetch(waiting, lane.number)
    ]
    await asyncio.gather(*(submit(engine, lane.number, word) for word in words))


async def assert_told(database: asyncpg.Connection, lane: Lane, run: Run) -> None:
    """Assert that the tables say what the model says."""
    run.assert_conserved()
    rows = await database.fetch("select id, balance, held from accounts where lane = $1", lane.number)
    found = {row["id"]: (int(row["balance"]), int(row["held"])) for row in rows}
    for account_id, expected in run.accounts().items():
        assert found.get(account_id, (0, 0)) == expected, account_id
    rows = await database.fetch(
        """
        select o.id, o.state, r.quantity, r.available, r.promised, r.sold, r.number
        from orders as o left join resales as r on r.lane = o.lane and r.order_id = o.id where o.lane = $1""",
        lane.number,
    )
    listed = {row["id"]: tuple(row)[1:] for row in rows if row["quantity"] is not None}
    assert listed == run.listings()
    assert {row["id"]: row["state"] for row in rows if row["quantity"] is None} == run.deals()
    rows = await database.fetch(
        "select id, kind, state, units from jobs where lane = $1 and kind <> 'follow'", lane.number
    )
    assert {row["id"]: (row["kind"], row["state"], int(row["units"])) for row in rows} == run.tasks()
    rows = await database.fetch("select order_id, rule_id from resale_decisions where lane = $1", lane.number)
    assert dict(map(tuple, rows)) == decisions(run)


@pytest.mark.parametrize("way", ["one engine", "two engines", "lost saves"])
async def test_engines_on_postgresql_do_what_the_model_says(
    way: str, dsn: str, database: asyncpg.Connection, fuzz_seconds: int | None
) -> None:
    seed, deadline = new_seed(), time.monotonic() + (fuzz_seconds or 0)
    codes: Counter[str] = Counter()
    while True:
        run, lane = await play(dsn, seed, way, database)
        await assert_told(database, lane, run)
        rows = await database.fetch(
            "select state, source_account_id, destination_account_id, units from jobs where lane = $1", lane.number
        )
        on_chain = {account_at(place): units for place, units in run.model.on_chain().items()}
        assert moved((row[0], row[1], row[2], int(row[3])) for row in rows) == on_chain
        for name, statement in INVARIANTS.items():
            assert await database.fetch(statement, lane.number) == [], name
        await assert_sound(dsn, lane.number)
        codes += run.codes
        if time.monotonic() >= deadline:
            break
        seed += 1
        print(f"TEST_SEED={seed}")
    print(f"{way}: {dict(codes)}")
    assert codes["done"]
