"""A store whose every statement may be slow, refused, cut off, late or never: the way from one process to the server.

What a process asks travels to the server, runs there, and the answer travels back. The three go on by themselves: a
process that hears nothing more, or is no more, does not stop a statement that is on its way. The fate of each is drawn
when it is sent.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from otcdesk.domain.noun import Noun
from otcdesk.engine.chain import BATCH
from otcdesk.engine.lane import LOSSES_BEFORE_TURN
from otcdesk.engine.store import Batch, CommitUnknown, FenceLost, Loaded, StoreDown
from tests.support.memory_store import MemoryDatabase, Session, Statement
from tests.support.simulator_loop import SimulatedLoop

T = TypeVar("T")

Told = Callable[[str], None]


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each fault is, per statement of its kind, and how long things take, in seconds."""

    trip_seconds: float = 0.001
    #: A statement that runs long, and how long: a deadline may pass while it does.
    stall: float = 0.0
    stall_seconds: float = 40.0
    #: The server cannot be reached or says that it failed; once down it stays so for a while.
    down: float = 0.0
    down_seconds: float = 0.05
    #: The connection is lost around a save.
    cut: float = 0.0
    #: A turn that is lost while it is held.
    turn_lost: float = 0.0


class Connection(Session):
    """A session with what runs on it."""

    def __init__(self) -> None:
        self.busy = False
        self.running: Statement | None = None
        self.lost = False


#: Two before the turn is asked for, and one to whoever was saving already when it was granted.
LOSSES_MAX = LOSSES_BEFORE_TURN + 1

#: What may become of a save whose connection is lost: whether it arrives, whether in time, and whether it commits.
CUTS = ("never arrives", "arrives late", "commits late", "is undone late", "has committed")


class SimulatedStore:
    """Implements `engine.store.Store` for one process."""

    def __init__(
        self,
        *,
        database: MemoryDatabase,
        loop: SimulatedLoop,
        weather: Weather,
        told: Told,
        happened: Counter[str],
        committed: Callable[[Batch], None],
    ) -> None:
        self.database = database
        self.loop = loop
        self.dice: random.Random = loop.dice
        self.weather = weather
        self.told = told
        self.happened = happened
        self.committed = committed
        self.dead = False
        #: What the process is at, by lane; told when it crashes.
        self.at: dict[int, str] = {}
        #: How many statements failed this process so far.
        self.failures = 0
        self._down_until = 0.0
        self._connections: dict[int, Connection] = {}
        #: Which commands lost the fence last, and how often in a row.
        self._losses: dict[int, tuple[str, int]] = {}
        #: Lanes whose turn was lost unnoticed since: theirs may lose without end.
        self._turn_lost: set[int] = set()

    # The five ways in.

    async def load(self, lane: int, wants: Mapping[type[Noun], Sequence[Any]]) -> Loaded:
        """See `engine.store.Store`."""
        connection = self._connected(lane, "load")
        answer: asyncio.Future[Loaded] = self.loop.create_future()
        self._send(lambda: self._answer(answer, lambda: self.database.load(lane, wants)))
        return await self._heard(lane, connection, "load", answer)

    async def standing(self, lane: int, seq: int) -> str | None:
        """See `engine.store.Store`."""
        connection = self._connected(lane, "standing")
        answer: asyncio.Future[str | None] = self.loop.create_future()

        def look() -> str | None:
            links = self.database.links(lane)
            return links[seq - 1].hash if 0 < seq <= len(links) else None

        self._send(lambda: self._answer(answer, look))
        return await self._heard(lane, connection, "standing", answer)

    async def save(self, batch: Batch) -> None:
        """See `engine.store.Store`."""
        connection = self._connected(batch.lane, "save")
        answer: asyncio.Future[None] = self.loop.create_future()
        cut = self.dice.choice(CUTS) if self._falls(self.weather.cut) else None
        if cut is not None:
            self.happened[f"cut: {cut}"] += 1
            self.told(f"cut: {batch.kind} {batch.seq} {cut}")
        if cut not in {None, "has committed"}:
            self.loop.call_later(self._trip(), self._fail, answer, CommitUnknown(cut))
        if cut == "arrives late":
            self.loop.call_later(self._late(), self._arrive, connection, batch, answer, cut)
        elif cut != "never arrives":
            self._send(lambda: self._arrive(connection, batch, answer, cut))
        try:
            await self._heard(batch.lane, connection, "save", answer)
        except FenceLost:
            self._lost_to_another(batch)
            raise
        self._forget_losses(batch.lane)

    @asynccontextmanager
    async def turn(self, lane: int) -> AsyncIterator[None]:
        """See `engine.store.Store`."""
        connection = self._connected(lane, "turn")
        answer: asyncio.Future[None] = self.loop.create_future()

        def granted() -> None:
            self.loop.call_later(self._trip(), self._answer, answer, lambda: None)

        self._send(lambda: None if connection.lost else self.database.take_turn(connection, lane, granted))
        await self._heard(lane, connection, "turn", answer)
        self.happened["a turn was held"] += 1
        self.told("has the turn")
        if self._falls(self.weather.turn_lost):
            self.happened["a held turn was lost"] += 1
            self._turn_lost.add(lane)
            self._lose(lane)
        try:
            yield
        finally:
            if self._connections.get(lane) is connection:
                self.told("gives the turn back")
                self.loop.call_later(self._trip(), self.database.end_turn, connection)

    def crowded(self) -> bool:
        """Tell at random that others wait for a connection."""
        return self._falls(0.1)

    async def rest(self, lane: int) -> None:
        """Give the connection back, which may take a moment: what runs next may run on another."""
        if self._falls(0.3):
            self._lose(lane)
            await asyncio.sleep(self._trip())

    def calm(self, weather: Weather) -> None:
        """Let the weather be so from now on, and the server be there."""
        self.weather = weather
        self._down_until = 0.0

    def die(self) -> None:
        """The process is killed: what it sent may arrive or not, what runs goes on or is undone."""
        self.dead = True
        for lane in [*self._connections]:
            self._lose(lane)

    # The process's side.

    def _lost_to_another(self, batch: Batch) -> None:
        """See that the same commands do not lose for ever: who lost twice takes the lane's turn first."""
        if batch.lane in self._turn_lost or batch.kind != BATCH:
            return
        lost, losses = self._losses.get(batch.lane, ("", 0))
        losses = losses + 1 if batch.notes == lost else 1
        self._losses[batch.lane] = batch.notes, losses
        self._must(losses <= LOSSES_MAX, f"{batch.notes} lost {losses} times in a row")

    def _must(self, holds: bool, otherwise: str) -> None:
        """Fail the run unless it holds; the process, whose fault it is, would take an exception for the server's."""
        if not holds:
            self.loop.failures.append(AssertionError(otherwise))

    def _forget_losses(self, lane: int) -> None:
        self._losses.pop(lane, None)
        self._turn_lost.discard(lane)

    def _connected(self, lane: int, what: str) -> Connection:
        connection = self._connections.setdefault(lane, Connection())
        self._must(not self.dead, f"{what} by a process that is no more")
        self._must(not connection.busy, f"{what} while another statement runs on the connection")
        if self.loop.time() < self._down_until or self._falls(self.weather.down):
            if self.loop.time() >= self._down_until:
                self._down_until = self.loop.time() + self.dice.random() * self.weather.down_seconds
            self.happened[f"down at {what}"] += 1
            self.failures += 1
            self.told(f"down at {what}")
            self._forget_losses(lane)
            self._lose(lane)
            raise StoreDown(what)
        connection.busy = True
        self.at[lane] = what
        return connection

    async def _heard(self, lane: int, connection: Connection, what: str, answer: "asyncio.Future[T]") -> T:
        if what != "save" and self._falls(self.weather.down):
            self.happened[f"cut: {what}"] += 1
            self.told(f"cut: {what}")
            self.loop.call_later(self._trip(), self._fail, answer, StoreDown("the connection was lost"))
        try:
            return await answer
        except (StoreDown, CommitUnknown, asyncio.CancelledError):
            self._forget_losses(lane)
            if self._connections.get(lane) is connection:
                self._lose(lane)
            raise
        except Exception as error:
            self.told(f"{what}: {type(error).__name__}")
            self.happened[f"{what}: {type(error).__name__}"] += 1
            raise
        finally:
            if answer.done() and not answer.cancelled() and answer.exception() is not None:
                self.failures += 1
            connection.busy = False
            self.at.pop(lane, None)

    def _lose(self, lane: int) -> None:
        """End a connection; the server ends its session once nothing runs on it."""
        connection = self._connections.pop(lane, None)
        if connection is not None:
            connection.lost = True
            if connection.running is None:
                self.loop.call_later(self._trip(), self.database.end_turn, connection)

    # The way, and the server's side.

    def _falls(self, chance: float) -> bool:
        return self.dice.random() < chance

    def _trip(self) -> float:
        return self.dice.random() * self.weather.trip_seconds

    def _late(self) -> float:
        """Return how long something takes that nobody waits for any more: at times longer than all retries."""
        return self.dice.random() * self.dice.choice((4, 20, 200)) * self.weather.trip_seconds

    def _send(self, work: Callable[[], object]) -> None:
        delay = self._trip()
        if self._falls(self.weather.stall):
            self.happened["a statement stalled"] += 1
            delay += self.dice.random() * self.weather.stall_seconds

        def arrive() -> None:
            if self.dead and self._falls(0.3):
                self.happened["a dead process's request never arrived"] += 1
            else:
                work()

        self.loop.call_later(delay, arrive)

    def _answer(self, answer: "asyncio.Future[Any]", work: Callable[[], object]) -> None:
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  (whatever it is goes to who asked)
            self.loop.call_later(self._trip(), self._fail, answer, error)
            return
        self.loop.call_later(self._trip(), self._tell, answer, result)

    def _tell(self, answer: "asyncio.Future[Any]", result: object) -> None:
        if not answer.done():
            answer.set_result(result)

    def _fail(self, answer: "asyncio.Future[Any]", error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def _arrive(self, connection: Connection, batch: Batch, answer: "asyncio.Future[None]", cut: str | None) -> None:
        if cut is None and self._falls(self.weather.down):
            self.happened["a save was refused by the server"] += 1
            self.told(f"refused: {batch.kind} {batch.seq}")
            self.loop.call_later(self._trip(), self._fail, answer, StoreDown("the server is too busy"))
            return
        try:
            statement = self.database.begin(connection, batch)
        except Exception as error:  # noqa: BLE001  (whatever it is goes to who asked)
            unknown = CommitUnknown("the answer was lost") if cut else error
            self.loop.call_later(self._trip(), self._fail, answer, unknown)
            if self.dead or cut == "arrives late":
                self.happened["a late save met another link"] += 1
            return
        connection.running = statement
        takes = self._late() if cut in {"commits late", "is undone late"} else self._trip()
        self.loop.call_later(takes, self._end, connection, statement, answer, cut)

    def _end(
        self, connection: Connection, statement: Statement, answer: "asyncio.Future[None]", cut: str | None
    ) -> None:
        connection.running = None
        if cut == "is undone late" or (self.dead and self._falls(0.3)):
            statement.undo()
            self.told(f"undone: {statement.batch.kind} {statement.batch.seq}")
        else:
            if connection.lost:
                self.happened["a save was committed that nobody waited for"] += 1
            statement.commit()
            self.committed(statement.batch)
        if connection.lost:
            self.database.end_turn(connection)
        if cut is None:
            self.loop.call_later(self._trip(), self._tell, answer, None)
        else:
            self.loop.call_later(self._trip(), self._fail, answer, CommitUnknown(cut))
