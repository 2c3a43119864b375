"""Books in memory: the engine's own working set over rows that a dict holds, so that actions run without a database.

Nothing of the engine is written again here: a command is decided on a `WorkingSet` whose unread rows come from the
dict, and what it stages goes back there.
"""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.domain.acts import InPerson
from otcdesk.domain.commands import Command, Moment, Reply
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import DESK_ID
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.engine.batch import _acted, _decide_keyed
from otcdesk.engine.books import LaneCache, RowKey, Unread, WorkingSet
from otcdesk.engine.idempotency import fingerprint
from otcdesk.engine.lane import READINGS_MAX
from otcdesk.engine.queue import Ticket
from otcdesk.engine.store import Head, Kept, Loaded
from otcdesk.errors import Code, Refusal
from tests.support.clocks import SteeredClock
from tests.support.desk import CONTRACT_WORLD

N = TypeVar("N", bound=Noun)

#: A command alone leaves so many readings to the others of its batch, which may bring about what it needs.
READINGS_SPARE = 8

_HEAD = Head(1, "0" * 64, SteeredClock(seed=0).now())


class PureDesk:
    """A lane in memory with a steered clock."""

    def __init__(self, world: str | None = CONTRACT_WORLD) -> None:
        self.clock = SteeredClock()
        self.rows: dict[RowKey, Noun] = {}
        if world is not None:
            self.act(DeclareWorld(declaration=declaration_of(parse_world(world))))

    def act(
        self,
        command: Command,
        *,
        owner_id: UUID = DESK_ID,
        caller: str = "test",
        arrived_at: datetime | None = None,
        key: str | None = None,
        in_person: InPerson | None = None,
    ) -> Any:
        """Carry a command out, once for a key; a refusal leaves the rows as they were."""
        moment = Moment(
            now=self.clock.now(),
            arrived_at=arrived_at or self.clock.now(),
            command_id=self.clock.new_id(),
            caller=caller,
            owner_id=owner_id,
            in_person=in_person,
        )
        books = WorkingSet(LaneCache(10_000))
        books.take(Loaded(_HEAD, []), set())
        reply = self._decided(command, books, moment, key)
        books.keep()
        for row, was in books.changes():
            slot = (type(row), row.key)
            assert (was is None) == (slot not in self.rows)
            self.rows[slot] = row
        return reply

    def _decided(self, command: Command, books: WorkingSet, moment: Moment, key: str | None) -> Reply:
        verb = CATALOGUE[type(command)]
        ticket = Ticket(
            command=command,
            verb=verb,
            caller=moment.caller,
            owner_id=moment.owner_id,
            key=key,
            fingerprint=fingerprint(command),
            arrived_at=moment.arrived_at,
            command_id=moment.command_id,
            request_id="request",
            future=None,  # type: ignore[arg-type]  # nobody waits
        )
        for _ in range(READINGS_MAX - READINGS_SPARE):
            try:
                if key is not None:
                    return _decide_keyed(ticket, books, moment, read_keys=True)
                return _acted(ticket, books, moment)
            except Unread as more:
                books.restart()
                known = [Kept(self.rows[key], 1) for key in more.keys if key in self.rows]
                books.take(Loaded(_HEAD, known), more.keys)
        raise AssertionError(f"{verb.name} names what it needs in more readings than a lane's writer makes with ease")

    def refuse(
        self,
        command: Command,
        *,
        owner_id: UUID = DESK_ID,
        caller: str = "test",
        arrived_at: datetime | None = None,
        key: str | None = None,
        in_person: InPerson | None = None,
    ) -> Code:
        """Carry a command out that must be refused; returns with which code."""
        before = dict(self.rows)
        try:
            self.act(command, owner_id=owner_id, caller=caller, arrived_at=arrived_at, key=key, in_person=in_person)
        except Refusal as refusal:
            assert self.rows == before
            return refusal.code
        raise AssertionError(f"not refused: {command}")

    def get(self, noun: type[N], key: Any) -> N:
        """Return a row that exists."""
        row = self.rows[noun, key]
        assert isinstance(row, noun)
        return row

    def all(self, noun: type[N]) -> list[N]:
        """Return all rows of a kind."""
        return [row for row in self.rows.values() if isinstance(row, noun)]

    def put(self, row: Noun) -> None:
        """Set the stage: let a row be so."""
        self.rows[type(row), row.key] = row
