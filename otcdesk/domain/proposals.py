"""A proposal: an operator's command that waits for a second person, with what the first one saw.

It holds the command exactly as it will be carried out, with the rate and amounts that the first person was shown.
The second person carries out that and nothing else. A proposal is good for the version of its subject that the first
person saw, and for a time; it ends once.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.domain.noun import Noun
from otcdesk.machine import Machine

OPEN: Final = "open"
CARRIED_OUT: Final = "carried_out"
WITHDRAWN: Final = "withdrawn"
EXPIRED: Final = "expired"

#: What readers call an open proposal whose order has moved on: nobody can carry it out any more.
STALE: Final = "stale"

SECOND: Final = "second"
WITHDRAW: Final = "withdraw"
EXPIRE: Final = "expire"

PROPOSAL: Final = Machine(
    start=OPEN,
    moves={
        (OPEN, SECOND): CARRIED_OUT,
        (OPEN, WITHDRAW): WITHDRAWN,  # by the first person, or turned down by another
        (OPEN, EXPIRE): EXPIRED,  # recorded when another takes its place; for readers the clock is enough
    },
)


class Proposal(Noun, frozen=True, kw_only=True, gc=False):
    """A command, by the name of its verb and as JSON, that waits for a second person.

    `duty` is what the second person must carry. `subject_id` and `subject_version` are what it is about: an order and
    its version, or an account with none. `asset` and `units` are what made it need a second person, if an amount did.
    `seen` is what the first person was shown, as JSON, decided in the same moment as the proposal.
    """

    id: UUID
    verb: str
    duty: str
    command: str
    subject_id: UUID
    subject_version: int | None
    asset: str | None
    units: int | None
    seen: str
    why: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    state: str = OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    decided_why: str | None = None

    @property
    def key(self) -> UUID:
        """Return the proposal's id."""
        return self.id

    def state_at(self, at: datetime) -> str:
        """Return the state as the clock has it."""
        return EXPIRED if self.state == OPEN and at >= self.expires_at else self.state


class OpenProposal(Noun, frozen=True, kw_only=True, gc=False):
    """Which proposal is the newest for a subject, so that nobody proposes what waits already."""

    subject_id: UUID
    proposal_id: UUID

    @property
    def key(self) -> UUID:
        """Return the subject."""
        return self.subject_id


class ProposalNow(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as it is read, with the version that its order has by now; None: it is not about an order."""

    proposal: Proposal
    version: int | None = None

    def state_at(self, at: datetime) -> str:
        """Return the state as the clock and the order have it."""
        state = self.proposal.state_at(at)
        return STALE if state == OPEN and self.version != self.proposal.subject_version else state
