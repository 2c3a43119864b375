"""How a change is asked for: the command, the moment it is decided at, and the books it is decided on.

An action is a pure function `(command, books, moment) -> reply`. It reads rows through `Books.find`, refuses with
`Refusal` in the order of the catalogue, and from then on must succeed: it puts changed rows back and returns its reply.
The engine runs it, perhaps several times; nothing an action does is visible until its batch commits.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from otcdesk.clock import derived_id
from otcdesk.domain.acts import InPerson
from otcdesk.domain.noun import Noun
from otcdesk.domain.proposals import Proposal

N = TypeVar("N", bound=Noun)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One requested change, with everything in it that the caller decides."""

    @property
    def may_repeat(self) -> bool:
        """Tell whether the same command again, under its key, is answered as the first was."""
        return True

    @property
    def subject_id(self) -> UUID | None:
        """Return what an operator's command is about: the first of its fields that names something by its id."""
        named = (getattr(self, name) for name in self.__struct_fields__ if name.endswith("_id"))
        return next((value for value in named if isinstance(value, UUID)), None)

    @property
    def compared(self) -> "Command":
        """Return what its key stands for: all of it but what the desk adds, which another day may add otherwise."""
        return self


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a command answers; stored as JSON where its policy keeps replies."""

    @property
    def remembered(self) -> "Reply":
        """Return what of it is stored; of an answer that is made anew for each who asks, a name is enough."""
        return self


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The time and identity of one command's decision.

    `now` is the batch's time and stamps rows; `arrived_at` is when the request came and judges deadlines. Both are
    the lane's business time. `command_id` is fresh and all ids that the command makes derive from it. `in_person` is
    from where an operator asks and why. `proposed` is the proposal that a second person now carries out.
    """

    now: datetime
    arrived_at: datetime
    command_id: UUID
    caller: str
    owner_id: UUID
    in_person: InPerson | None = None
    proposed: Proposal | None = None

    def new_id(self, number: int) -> UUID:
        """Return the command's `number`th own id."""
        return derived_id(self.command_id, number)


class Books(Protocol):
    """The rows that a batch is decided on. Only rows of one lane can be reached."""

    def find(self, noun: type[N], key: Any) -> N | None:
        """Return the row with this key, or None if there is none."""
        ...

    def add(self, row: Noun) -> None:
        """Stage a row that is new; its key must be fresh."""
        ...

    def put(self, row: Noun) -> None:
        """Stage the next version of a row that was found."""
        ...

    def want(self, *wants: tuple[type[Noun], Any]) -> None:
        """Name rows that the action is about to find, so that they are read together; a key None names no row."""
        ...


class Replay(Enum):
    """What a repeated key is answered with."""

    STORED = "the stored answer, whatever happened since"
    CURRENT = "what has become of the first call's effect by now, as the verb says"


class InFlight(Enum):
    """What a key meets whose first request is still running in this process."""

    REFUSE = "KEY_IN_FLIGHT"
    WAIT = "its turn, and then the replay"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a command treats its idempotency key and its refusals.

    `scope` separates the keys of commands that do not share a key space; None means the command takes no key.
    """

    scope: str | None = None
    compares_body: bool = False
    keeps_refusals: bool = False
    replay: Replay = Replay.STORED
    in_flight: InFlight = InFlight.REFUSE
    audits_refusals: bool = False


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the command catalogue: the action that decides, what it answers, and its policy.

    `current` answers a key that was used before, where the policy says so: from the command, the first answer, and the
    books as they are now. It refuses like an action and writes nothing.

    `duty` is what a person must carry who asks for the command; None: it is not for people. `admits` refuses whoever
    may start nothing now, before the action decides; who repeats a key is still told what was answered.

    `permits` refuses whoever may not ask for the command, before a key that was used is answered with anything: its
    answer was another's, who perhaps might. None: all of an owner's callers may know what was answered to one of them.
    """

    name: str
    action: Callable[[Any, Books, Moment], Reply]
    reply: type[Reply]
    policy: Policy = Policy()
    current: Callable[[Any, Any, Books, Moment], Reply] | None = None
    permits: Callable[[Any, Books, Moment], None] | None = None
    duty: str | None = None
    admits: Callable[[Any, Books, Moment], None] | None = None


Catalogue = Mapping[type[Command], Verb]
