"""Commands that only tests know: a counter under every policy, and every kind of command that goes wrong.

The counter is the `delay_ms` of a row of `faults`, because the desk needs none of its own.
"""

from itertools import count
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.domain.commands import Books, Catalogue, Command, InFlight, Moment, Policy, Replay, Reply, Verb
from otcdesk.domain.lanes import Fault
from otcdesk.domain.parties import Tenant
from otcdesk.errors import Code, Refusal


class Count(Command, frozen=True, kw_only=True):
    """Count one more under a name; refuse with `refuse` after having staged it."""

    name: str
    refuse: Code | None = None
    remark: str = ""


class CountOnce(Count, frozen=True, kw_only=True):
    """Count with a key; the same key answers the same."""


class CountCompared(Count, frozen=True, kw_only=True):
    """Count with a key that is good for one body."""


class CountKept(Count, frozen=True, kw_only=True):
    """Count with a key that keeps refusals."""


class CountCurrent(Count, frozen=True, kw_only=True):
    """Count with a key whose replay shows the counter as it is now."""


class CountWaiting(Count, frozen=True, kw_only=True):
    """Count with a key that waits for its first request."""


class CountPermitted(Count, frozen=True, kw_only=True):
    """Count with a key that is good for one body, if the caller may."""

    may: bool = True

    @property
    def compared(self) -> "CountPermitted":
        """Return all but whether the caller may."""
        return replace(self, may=True)


class CountAudited(Count, frozen=True, kw_only=True):
    """Count; a refusal goes into the chain."""


class Counted(Reply, frozen=True, kw_only=True):
    """The counter after the command."""

    name: str
    total: int


class Crash(Command, frozen=True, kw_only=True):
    """Stage a row, then break."""


class BreakConstraint(Command, frozen=True, kw_only=True):
    """Stage a row that a check constraint refuses, or (with a number large enough) its column."""

    delay_ms: int = -1


class KeepText(Command, frozen=True, kw_only=True):
    """Stage a row with this text in it."""

    id: UUID
    text: str


class FindText(Command, frozen=True, kw_only=True):
    """Look for a row whose key is this text."""

    text: str


class KeepNonsense(Command, frozen=True, kw_only=True):
    """Stage a row that cannot be written down."""

    id: UUID


class ChangeNothing(Command, frozen=True, kw_only=True):
    """Change a row that does not exist."""

    id: UUID


class AskForEver(Command, frozen=True, kw_only=True):
    """Ask for one more row at each reading."""


class AddTwice(Command, frozen=True, kw_only=True):
    """Add a row without looking whether it is there."""

    name: str


def count_one(command: Count, books: Books, moment: Moment) -> Counted:
    """Count."""
    row = books.find(Fault, command.name)
    total = (row.delay_ms if row else 0) + 1
    (books.put if row else books.add)(Fault(rail=command.name, delay_ms=total))
    if command.refuse is not None:
        raise Refusal(command.refuse, total=total)
    return Counted(name=command.name, total=total)


def permits_counting(command: CountPermitted, books: Books, moment: Moment) -> None:
    """Refuse whoever may not count, once it is known how far the counter is."""
    row = books.find(Fault, command.name)
    if not command.may:
        raise Refusal(Code.NOT_PERMITTED, total=row.delay_ms if row else 0)


def count_if_permitted(command: CountPermitted, books: Books, moment: Moment) -> Counted:
    """Count if the caller may."""
    permits_counting(command, books, moment)
    return count_one(command, books, moment)


def _current(command: Command, stored: Reply, books: Books, moment: Moment) -> Counted:
    assert isinstance(stored, Counted)
    row = books.find(Fault, stored.name)
    assert row is not None
    assert isinstance(command, Count)
    if command.refuse is not None:
        raise Refusal(command.refuse, total=row.delay_ms, at=moment.now.isoformat())
    return Counted(name=stored.name, total=row.delay_ms)


def crash(command: Crash, books: Books, moment: Moment) -> Reply:
    """Break."""
    books.add(Tenant(id=moment.new_id(1), name="never seen"))
    raise ZeroDivisionError


def break_constraint(command: BreakConstraint, books: Books, moment: Moment) -> Reply:
    """Stage what PostgreSQL refuses."""
    books.add(Fault(rail=str(moment.command_id), delay_ms=command.delay_ms))
    return Reply()


def keep_text(command: KeepText, books: Books, moment: Moment) -> Reply:
    """Keep the text."""
    books.add(Tenant(id=command.id, name=command.text))
    return Reply()


def find_text(command: FindText, books: Books, moment: Moment) -> Reply:
    """Look for the text."""
    books.find(Fault, command.text)
    return Reply()


def keep_nonsense(command: KeepNonsense, books: Books, moment: Moment) -> Reply:
    """Keep what is no text."""
    nonsense: Any = object()
    books.add(Tenant(id=command.id, name=nonsense))
    return Reply()


def change_nothing(command: ChangeNothing, books: Books, moment: Moment) -> Reply:
    """Find nothing and change it all the same."""
    books.find(Tenant, command.id)
    books.put(Tenant(id=command.id, name="was never there"))
    return Reply()


def ask_for_ever(command: AskForEver, books: Books, moment: Moment) -> Reply:
    """Never have enough."""
    for number in count():
        books.find(Tenant, UUID(int=number))
    raise AssertionError("numbers end")


def add_twice(command: AddTwice, books: Books, moment: Moment) -> Reply:
    """Add."""
    books.add(Fault(rail=command.name))
    return Reply()


_COUNTS: dict[type[Command], Policy] = {
    Count: Policy(),
    CountOnce: Policy(scope="count"),
    CountCompared: Policy(scope="count compared", compares_body=True),
    CountKept: Policy(scope="count kept", keeps_refusals=True),
    CountCurrent: Policy(scope="count current", replay=Replay.CURRENT),
    CountWaiting: Policy(scope="count waiting", in_flight=InFlight.WAIT),
    CountAudited: Policy(audits_refusals=True),
}

#: The product's commands and the tests' own.
TEST_CATALOGUE: Catalogue = {
    **CATALOGUE,
    **{
        command: Verb(name=command.__name__, action=count_one, reply=Counted, policy=policy, current=_current)
        for command, policy in _COUNTS.items()
    },
    CountPermitted: Verb(
        name="count_if_permitted",
        action=count_if_permitted,
        reply=Counted,
        policy=Policy(scope="count permitted", compares_body=True, in_flight=InFlight.WAIT),
        permits=permits_counting,
    ),
    Crash: Verb(name="crash", action=crash, reply=Reply),
    BreakConstraint: Verb(name="break_constraint", action=break_constraint, reply=Reply),
    KeepText: Verb(name="keep_text", action=keep_text, reply=Reply),
    FindText: Verb(name="find_text", action=find_text, reply=Reply),
    KeepNonsense: Verb(name="keep_nonsense", action=keep_nonsense, reply=Reply),
    ChangeNothing: Verb(name="change_nothing", action=change_nothing, reply=Reply),
    AskForEver: Verb(name="ask_for_ever", action=ask_for_ever, reply=Reply),
    AddTwice: Verb(name="add_twice", action=add_twice, reply=Reply),
}
