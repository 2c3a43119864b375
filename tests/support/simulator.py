"""The engine, simulated: several processes on one database, with everything between them that can go wrong.

The engines and actions are the product's own. Time, the network, the order in which whatever is ready runs, and what
callers do are drawn from one seed, so a seed is a run: `python -m tests.support.simulator 123` prints it. What the
chain says was decided is told to a model of its own, link by link, and every answer is held against it.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import structlog

from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.domain.commands import InFlight, Replay, Reply
from otcdesk.domain.keys import DONE, KeyRecord
from otcdesk.domain.lanes import Fault
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.pricing import Price
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.engine.chain import VOID
from otcdesk.engine.engine import Engine
from otcdesk.engine.lane import LaneLimits
from otcdesk.engine.store import Batch
from otcdesk.errors import Code, Refusal
from tests.support.clocks import START, SteeredClock
from tests.support.desk import AUDIT_KEY, CONTRACT_WORLD, LIMITS, submit
from tests.support.memory_store import MemoryDatabase, MemoryStore
from tests.support.simulator_callers import Intent, draw
from tests.support.simulator_checks import all_of, assert_sound
from tests.support.simulator_loop import OWNER, SimulatedLoop, new_loop
from tests.support.simulator_model import (
    OPENED,
    POTS,
    REFUSED,
    Asked,
    State,
    Told,
    answer_told,
    order_told,
    price_told,
    step,
)
from tests.support.simulator_store import SimulatedStore, Weather
from tests.support.verbs import TEST_CATALOGUE, Count

#: The simulated machines' time at the start of a run; the world was declared before.
EPOCH = START + timedelta(hours=1)

#: How long anybody may wait for an answer, in simulated seconds: the longest stalls, one after another.
ANSWER_SECONDS_MAX = 1_200

#: How often a caller asks for the same thing before it gives up.
ASKED_MAX = 6

#: Answers of an engine that decided nothing.
UNDECIDED = {Code.UNAVAILABLE.name, Code.OVERLOADED.name, Code.KEY_IN_FLIGHT.name, Code.STOPPING.name}

CALM = Weather()

LANES = (1, 2)


@cache
def declared() -> MemoryDatabase:
    """Return a database with the contract's world in every lane."""
    database = MemoryDatabase()

    async def declare() -> None:
        engine = Engine(
            store=MemoryStore(database),
            clock=SteeredClock(seed=0),
            catalogue=TEST_CATALOGUE,
            audit_key=AUDIT_KEY,
            writer="world",
            limits=LIMITS,
        )
        for lane in LANES:
            database.open_lane(lane)
            await submit(engine, lane, DeclareWorld(declaration=declaration_of(parse_world(CONTRACT_WORLD))))

    new_loop(random.Random(0)).run(declare())
    return database


@dataclass(eq=False)
class Attempt:
    """One command on its way to one process, and what became of it."""

    intent: Intent
    id: UUID
    request_id: str
    #: Whether its caller listened to the end, and what it heard.
    heard: "asyncio.Future[Told | None]"
    process: "Process | None" = None
    arrived: datetime = EPOCH
    seconds_at_arrival: float | None = None
    head_at_arrival: int = 0
    failures_at_arrival: int = 0
    rivals: int = 0
    task: "asyncio.Task[None] | None" = None
    answer: Told | None = None
    #: The link that it stands in, and what the model says to it there.
    seq: int | None = None
    expected: Told | None = None

    def asked(self, now: datetime) -> Asked:
        """Return what is asked, with the time of its decision."""
        return Asked(self.intent.command, self.intent.owner, self.intent.key, self.id, self.arrived, now)


class ProcessClock:
    """A machine's clock, a little wrong, which gives each command the id that was drawn for it."""

    def __init__(self, loop: SimulatedLoop, skew: timedelta) -> None:
        self.loop = loop
        self.skew = skew
        self.next_id: UUID | None = None

    def now(self) -> datetime:
        return EPOCH + self.skew + timedelta(seconds=self.loop.time())

    def new_id(self) -> UUID:
        assert self.next_id is not None
        taken, self.next_id = self.next_id, None
        return taken


class Process:
    """One server process: an engine, its way to the database, and whoever waits for its answers."""

    def __init__(self, run: "Run", name: str) -> None:
        self.run = run
        self.name = name
        self.alive = True
        self.in_flight: set[Attempt] = set()
        dice = run.dice
        skew = timedelta(seconds=dice.choice((0, 0, 0.0005, -0.0005, 1.5, -1.5)))
        self.clock = ProcessClock(run.loop, skew)
        self.limits = run.limits
        self.store = SimulatedStore(
            database=run.database,
            loop=run.loop,
            weather=run.weather,
            told=self.told,
            happened=run.happened,
            committed=run.committed,
        )
        self.engine = Engine(
            store=self.store,
            clock=self.clock,
            catalogue=TEST_CATALOGUE,
            audit_key=AUDIT_KEY,
            writer=name,
            limits=run.limits,
        )
        self.context = copy_context()
        self.context.run(OWNER.set, self)

    def told(self, what: str) -> None:
        self.run.told(self.name, what)

    def take(self, attempt: Attempt) -> None:
        """Let a command arrive."""
        if not self.alive:
            self.run.hear(attempt, None)
            return
        attempt.process = self
        self.in_flight.add(attempt)
        attempt.task = self.run.loop.create_task(self._submit(attempt), context=self.context)
        attempt.task.add_done_callback(lambda _: self.in_flight.discard(attempt))

    async def _submit(self, attempt: Attempt) -> None:
        run, intent = self.run, attempt.intent
        attempt.head_at_arrival = len(run.states[intent.lane]) - 1
        attempt.failures_at_arrival = self.store.failures
        spaces = [other.intent.space for other in self.in_flight if other.seconds_at_arrival is not None]
        attempt.rivals = spaces.count(intent.space)
        attempt.arrived, attempt.seconds_at_arrival = self.clock.now(), run.loop.time()
        self.clock.next_id = attempt.id
        stopping = self.engine.stopping
        self.told(f"takes {attempt.request_id} {intent.name}")
        answer: Reply | Refusal
        try:
            answer = await self.engine.submit(
                intent.lane,
                intent.command,
                caller=intent.caller,
                owner_id=intent.owner,
                request_id=attempt.request_id,
                key=intent.key,
            )
        except Refusal as refusal:
            answer = refusal
        except asyncio.CancelledError:
            self.told(f"{attempt.request_id} hung up")
            raise
        finally:
            self.clock.next_id = None
        run.answered(attempt, answer, stopping=stopping)

    def crash(self) -> None:
        """Be killed: nothing of it runs any more, what it sent may still arrive."""
        at = "/".join(sorted(self.store.at.values())) or ("a pause" if self.in_flight else "rest")
        self.run.happened[f"crash at {at.partition('/')[0]}"] += 1
        self.told(f"crashes at {at}")
        self.alive = False
        self.store.die()
        for task, owner in [*self.run.loop.tasks.items()]:
            if owner is self:
                task.cancel()
        for attempt in sorted(self.in_flight, key=lambda attempt: attempt.request_id):
            self.run.hear(attempt, None)

    async def stop(self) -> None:
        """End as told: whoever waits is answered."""
        self.told("stops")
        await self.engine.stop()
        self.alive = False
        for writer in self.engine.lanes.values():
            assert writer.queue.waiting == 0
            assert writer.task is None or writer.task.done()


class Run:
    """One seed: the processes, the callers, what the chain has told the model, and what was answered."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = dice = random.Random(seed)
        self.loop = new_loop(dice)
        self.trace: list[str] = []
        self.happened: Counter[str] = Counter()
        self.database = declared().copy()
        self.lanes = LANES[: dice.choice((1, 1, 1, 2))]
        self.states: dict[int, list[State]] = {lane: [OPENED, OPENED] for lane in self.lanes}
        self.attempts: dict[str, Attempt] = {}
        self.keys: list[Intent] = []
        self.replies: dict[Any, bytes] = {}
        self.weather = _weather(dice)
        self.limits = LaneLimits(
            batch_commands_max=dice.choice((1, 3, 8, 64)),
            waiting_max=dice.choice((3, 100, 100, 100)),
            waiting_per_owner_max=dice.choice((2, 100, 100, 100)),
            cached_rows_max=dice.choice((24, 40, 10_000)),
            store_retries_max=dice.choice((0, 1, 3, 3)),
            retry_pause_ms=10,
        )
        self.processes = [Process(self, f"p{number}") for number in range(dice.choice((1, 2, 2, 3)))]
        self.started = len(self.processes)

    def told(self, who: str, what: str) -> None:
        self.trace.append(f"{self.loop.time():.6f} {who} {what}")

    # What callers do.

    async def main(self) -> None:
        dice = self.dice
        callers = [self._caller(f"c{number}", dice.randint(3, 7)) for number in range(dice.randint(3, 7))]
        chaos = self.loop.create_task(self._chaos(dice.choice((0.002, 0.02, 0.2))))
        await asyncio.gather(*callers)
        chaos.cancel()
        await asyncio.wait({chaos})
        await self._end()

    async def _caller(self, name: str, rounds: int) -> None:
        dice = self.dice
        pace = dice.choice((0.0, 0.002, 0.05))
        for number in range(rounds):
            await asyncio.sleep(dice.random() * pace)
            if dice.random() < 0.06:  # long enough for quotes to run out and debits to settle
                await asyncio.sleep(dice.choice((1, 30, 60, 61)))
            asks = [self._ask(self._drawn(f"{name}-{number}-{each}")) for each in range(dice.choice((1, 1, 1, 4)))]
            await asyncio.gather(*asks)

    def _drawn(self, name: str) -> Intent:
        lane = self.dice.choice(self.lanes)
        intent = draw(self.dice, lane, self.states[lane][-1], self.keys, name)
        if intent.key is not None:
            self.keys.append(intent)
        return intent

    async def _ask(self, intent: Intent) -> None:
        """Ask until there is an answer that counts; who knows nothing asks again under the same key."""
        for asked in range(ASKED_MAX):
            heard = await self._attempt(intent)
            decided = heard is not None and (heard[0] != REFUSED or heard[1] not in UNDECIDED)
            if decided and (intent.key is None or self.dice.random() < 0.7):
                return
            if not decided and intent.key is None and self.dice.random() < 0.5:
                return
            self.happened["asked again though answered"] += decided
            self.happened["asked again and again"] += asked > 0 and not decided
            await asyncio.sleep(self.dice.random() * self.dice.choice((0, 0.003, 0.03)))

    async def _attempt(self, intent: Intent) -> Told | None:
        """Send a command once, or twice; returns what was heard, None when nothing was."""
        fate = self.dice.random()
        attempts = [self._sent(intent)]
        if fate < 0.10:
            self.happened["a command was sent twice at once"] += 1
            attempts.append(self._sent(intent))
        elif fate < 0.15:
            self.happened["a command was lost"] += 1
            attempts = []
        elif fate < 0.20:
            self.happened["an answer was lost"] += 1
            await asyncio.wait({attempts[0].heard}, timeout=self.dice.random() * 0.05)
            return None
        elif fate < 0.26:
            await asyncio.wait({attempts[0].heard}, timeout=self.dice.random() * 0.01)
            if attempts[0].task is not None and not attempts[0].task.done():
                self.happened["a caller hung up"] += 1
                attempts[0].task.cancel()
                return None
        if not attempts:
            return None
        done, _ = await asyncio.wait({each.heard for each in attempts}, return_when=asyncio.FIRST_COMPLETED)
        for each in attempts:
            if each.heard in done:
                return each.heard.result()
        raise AssertionError("one was done")

    def _sent(self, intent: Intent) -> Attempt:
        attempt = self._attempt_at(intent)
        process = self.dice.choice(self.processes)
        delay = self.dice.random() * self.dice.choice((0, 0.002, 0.02))
        self.loop.call_later(delay, process.take, attempt)
        return attempt

    def _attempt_at(self, intent: Intent) -> Attempt:
        number = len(self.attempts)
        command_id = UUID(int=(number + 1) << 80 | 7 << 76 | 0b10 << 62 | self.dice.getrandbits(40) << 8)
        attempt = Attempt(intent, command_id, f"r{number}", self.loop.create_future())
        self.attempts[attempt.request_id] = attempt
        return attempt

    def hear(self, attempt: Attempt, told: Told | None) -> None:
        """Let a caller hear an answer, or that there will be none."""
        if not attempt.heard.done():
            attempt.heard.set_result(told)

    # What befalls processes.

    async def _chaos(self, pause_seconds: float) -> None:
        """Crash and stop processes and start others, at any time between two steps, while there is work."""
        for _ in range(self.dice.randrange(12)):
            await asyncio.sleep(self.dice.random() * pause_seconds)
            while not any(process.in_flight for process in self.processes):
                await asyncio.sleep(self.dice.random() * max(pause_seconds, 1))
            for _ in range(self.dice.randrange(40)):  # other things may be ready at the same time
                await asyncio.sleep(0)
            waits = [each for each in self.processes if "turn" in each.store.at.values()]
            old = self.dice.choice(waits or self.processes)  # so that crashes meet turns, which are rare
            place = self.processes.index(old)
            if self.dice.random() < 0.7:
                old.crash()
            else:
                self.happened["a process was stopped"] += 1
                await old.stop()
            await asyncio.sleep(self.dice.choice((0, 0, 0.1)))
            self.processes[place] = Process(self, f"p{self.started}")
            self.started += 1

    async def _end(self) -> None:
        """After the storm every process carries out a command at once, and then ends with nothing left behind."""
        self.processes = [process for process in self.processes if process.alive and not process.engine.stopping]
        self.processes.append(Process(self, "the last one"))
        for process in self.processes:
            process.store.calm(CALM)
        for attempt in [*self.attempts.values()]:
            if attempt.task is not None and not attempt.task.done():
                await asyncio.wait({attempt.task})
        for process in self.processes:
            for lane in self.lanes:
                intent = Intent(lane, Count(name="the end"), DESK_ID, None, "the end")
                attempt = self._attempt_at(intent)
                process.take(attempt)
                told = await attempt.heard
                assert told is not None
                assert told[0] == "counted", told
        for process in self.processes:
            await process.stop()

    # What the chain and the answers say.

    def committed(self, batch: Batch) -> None:
        """Tell the model what a link says was decided, and compare what the link wrote."""
        states = self.states[batch.lane]
        before = state = states[-1]
        assert batch.seq == len(states)
        notes = msgspec.json.decode(batch.notes)
        self.told(
            batch.writer, f"commits {batch.kind} {batch.lane}:{batch.seq} {batch.hash[:12]} {len(notes)} commands"
        )
        self.happened["a void was written"] += batch.kind == VOID
        self.happened["several commands in one batch"] += len(notes) > 1
        for name, caller, request_id, outcome in notes:
            attempt = self.attempts[request_id]
            assert attempt.seq is None, f"{request_id} stands in two links, {attempt.seq} and {batch.seq}"
            assert attempt.answer in {None, (REFUSED, Code.UNAVAILABLE.name)}, f"{request_id} was answered before"
            self.happened["a command was committed after its caller was told to come back"] += (
                attempt.answer is not None
            )
            assert (name, caller, batch.lane) == (attempt.intent.name, attempt.intent.caller, attempt.intent.lane)
            state, told = step(state, attempt.asked(batch.at))
            assert outcome == (told[1] if told[0] == REFUSED else DONE), f"{request_id}: {outcome}, not {told}"
            attempt.seq, attempt.expected = batch.seq, told
        states.append(state)
        _assert_written(batch, before, state)
        for order_id, order in state.orders.items():
            known = before.orders.get(order_id)
            if known is not order:
                self.happened[f"an order became {order.state}"] += 1

    def answered(self, attempt: Attempt, answer: Reply | Refusal, *, stopping: bool) -> None:
        """Hold an answer against the model, whether or not its caller still listens."""
        told = answer_told(answer)
        process, intent, now = attempt.process, attempt.intent, self.loop.time()
        assert process is not None
        process.told(f"answers {attempt.request_id} {_short(told)}")
        assert attempt.answer is None, "answered twice"
        assert attempt.seconds_at_arrival is not None
        assert now - attempt.seconds_at_arrival < ANSWER_SECONDS_MAX, "that took too long"
        attempt.answer = told
        code = told[1] if told[0] == REFUSED else DONE
        self.happened[f"answer: {code}"] += 1
        if code == Code.UNAVAILABLE.name:
            failures = process.store.failures - attempt.failures_at_arrival
            assert failures > self.limits.store_retries_max, f"unavailable after {failures} failures"
        elif code in UNDECIDED:
            assert attempt.seq is None
            in_flight = TEST_CATALOGUE[type(intent.command)].policy.in_flight
            refused = code == Code.KEY_IN_FLIGHT.name
            assert not refused or (attempt.rivals and in_flight is InFlight.REFUSE), "nobody is in its way"
            assert code != Code.STOPPING.name or stopping, "nobody stops it"
        elif attempt.seq is not None:
            assert told == attempt.expected, f"{told}, not {attempt.expected}"
        else:
            self._assert_stands_without_a_link(attempt, told)
        self._remember(attempt, answer)
        self.hear(attempt, told)

    def _assert_stands_without_a_link(self, attempt: Attempt, told: Told) -> None:
        """Nothing was written for it: so it must have been true as it was at some place while it was under way."""
        audited = TEST_CATALOGUE[type(attempt.intent.command)].policy.audits_refusals
        assert not audited or told[0] != REFUSED or told[1] == Code.CRASHED.name, f"{told} is not in the chain"
        assert attempt.process is not None
        lane = attempt.intent.lane
        times = {attempt.arrived, attempt.process.clock.now(), self.database.links(lane)[-1].at}
        for state in self.states[lane][attempt.head_at_arrival :]:
            for now in times:
                if step(state, attempt.asked(now)) == (state, told):
                    return
        expected = step(self.states[lane][-1], attempt.asked(attempt.arrived))[1]
        raise AssertionError(f"answered {told} without a link, where {expected} is right")

    def _remember(self, attempt: Attempt, answer: Reply | Refusal) -> None:
        """See that a key that is answered with what is stored is always answered with the same bytes."""
        policy = TEST_CATALOGUE[type(attempt.intent.command)].policy
        if attempt.intent.space is None or isinstance(answer, Refusal) or policy.replay is Replay.CURRENT:
            return
        reply = msgspec.json.encode(answer)
        if attempt.intent.space in self.replies:
            self.happened["a key was answered again"] += 1
        assert self.replies.setdefault(attempt.intent.space, reply) == reply

    # How it ended.

    def assert_ended_well(self, logs: Sequence[Any]) -> None:
        """Check the books, and that nobody is left waiting or working."""
        for lane in self.lanes:
            assert_sound(self.database, lane)
            self._assert_as_told(lane)
        assert not self.loop.tasks, f"still at work: {self.loop.tasks}"
        for attempt in self.attempts.values():
            reached = attempt.process is not None
            assert not reached or attempt.answer or attempt.task is None or attempt.task.cancelled(), attempt
        crashed = {log["event"] for log in logs} & {"batch_crashed"}
        assert not crashed, logs
        assert {log["command"] for log in logs if log["event"] == "command_crashed"} <= {
            "crash",
            "add_twice",
            "keep_text",
        }
        refused = {log["command"] for log in logs if log["event"] == "command_data_refused"}
        assert refused <= {"break_constraint", "keep_text", "add_twice"}, refused

    def _assert_as_told(self, lane: int) -> None:
        state = self.states[lane][-1]
        accounts = {account.id: account for account in all_of(self.database, lane, Account)}
        for account_id, name in POTS.items():
            assert _pot(accounts[account_id]) == state.pots[name]
        orders = {order.id: order_told(order) for order in all_of(self.database, lane, Order)}
        assert orders == {order.id: order.told for order in state.orders.values()}
        faults = {fault.rail: fault.delay_ms for fault in all_of(self.database, lane, Fault)}
        assert faults == state.counters
        assert {record.key for record in all_of(self.database, lane, KeyRecord)} == set(state.keys)


def _pot(account: Account) -> tuple[int, int, int]:
    return account.balance, account.held, account.version


def _short(told: Told) -> str:
    return " ".join(str(part) for part in told[:3])


def _assert_written(batch: Batch, before: State, after: State) -> None:
    """Compare each row of a link with the model, and see that whatever changed in the model is among them."""
    written: set[Any] = set()
    for encoded in batch.rows:
        row = encoded.row
        match row:
            case Account() if row.id in POTS:
                assert _pot(row) == after.pots[POTS[row.id]], row
                written.add(POTS[row.id])
            case Order():
                assert order_told(row) == after.orders[row.id].told, row
                written.add(row.id)
            case Fault():
                assert row.delay_ms == after.counters[row.rail], row
                written.add(row.rail)
            case Price():
                price = after.prices[row.key]
                assert price_told(row)[3:6] == (price.rate, price.at, price.up), row
                written.add(row.key)
            case KeyRecord():
                assert (row.outcome != DONE) == (after.keys[row.key][1][0] == REFUSED), row
                written.add(row.key)
    parts: tuple[tuple[Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        (before.pots, after.pots),
        (before.orders, after.orders),
        (before.counters, after.counters),
        (before.prices, after.prices),
        (before.keys, after.keys),
    )
    changed = {key for was, is_ in parts if was is not is_ for key, value in is_.items() if was.get(key) != value}
    assert changed <= written, f"not written: {changed - written}"


def _weather(dice: random.Random) -> Weather:
    return Weather(
        trip_seconds=dice.choice((0.0005, 0.002, 0.01)),
        stall=dice.choice((0, 0, 0.01)),
        down=dice.choice((0, 0, 0.02, 0.1)),
        down_seconds=dice.choice((0.002, 0.05)),
        cut=dice.choice((0, 0.05, 0.2)),
        turn_lost=dice.choice((0, 0.2)),
    )


class Failed(AssertionError):
    """A seed whose run broke a rule: says which, how to repeat it, and how it came to that."""


def simulate(seed: int) -> Run:
    """Run a seed to its end and check everything."""
    run = Run(seed)
    try:
        with structlog.testing.capture_logs() as logs:
            run.loop.run(run.main())
        run.assert_ended_well(logs)
    except Exception as error:
        tail = "\n".join(run.trace[-60:])
        raise Failed(f"{tail}\n\nseed {seed}: {type(error).__name__}: {error}\n{again(seed)}") from error
    return run


def again(seed: int) -> str:
    """Return how a seed is run alone."""
    return f"again: TEST_SEED={seed} .venv/bin/python -m pytest tests/simulation -k seed"


if __name__ == "__main__":
    for told_seed in sys.argv[1:]:
        sys.stdout.write("\n".join(simulate(int(told_seed)).trace) + "\n")
