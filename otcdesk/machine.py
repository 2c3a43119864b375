"""One reader for every lifecycle: a flat table of moves.

A machine is data at the top of its noun's file; this module knows no noun. Guards (money, deadlines, ownership) stand
beside the table as functions, never inside it.
"""

from collections.abc import Mapping
from functools import cached_property


class IllegalMove(Exception):
    """The table has no row for this state and event."""

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"{event} is not possible in {state}")
        self.state = state
        self.event = event


class Machine:
    """A state machine: where it starts and, for each (state, event), where it goes."""

    def __init__(self, *, start: str, moves: Mapping[tuple[str, str], str]) -> None:
        self.start = start
        self.moves = dict(moves)

    @cached_property
    def states(self) -> frozenset[str]:
        """Every state that the table names."""
        return frozenset({self.start, *(state for state, _ in self.moves), *self.moves.values()})

    @cached_property
    def events(self) -> frozenset[str]:
        """Every event that the table names."""
        return frozenset(event for _, event in self.moves)

    @cached_property
    def ends(self) -> frozenset[str]:
        """States that nothing leaves."""
        return self.states - {state for state, _ in self.moves}

    def allows(self, state: str, event: str) -> bool:
        """Tell whether the table has a row for this state and event."""
        return (state, event) in self.moves

    def move(self, state: str, event: str) -> str:
        """Return the state after `event`; raise `IllegalMove` where the table has no row."""
        try:
            return self.moves[state, event]
        except KeyError:
            raise IllegalMove(state, event) from None

    def diagram(self) -> str:
        """Return the machine as a Mermaid state diagram, for the documents."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start}"]
        lines += [f"    {state} --> {target}: {event}" for (state, event), target in self.moves.items()]
        lines += [f"    {state} --> [*]" for state in sorted(self.ends)]
        return "\n".join(lines)
