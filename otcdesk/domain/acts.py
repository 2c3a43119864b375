"""What an operator did: one row for each command that was carried out for a person or an operator's token.

The engine adds it in the batch of the command itself, so the audit chain covers who, when, from where, why and exactly
what. What was refused stands in the batch's notes.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from otcdesk.domain.noun import Noun


class InPerson(msgspec.Struct, frozen=True, kw_only=True):
    """From where an operator asks, as the server sees it, and what they say why; empty: they say nothing.

    `duties` is what a person's roles carry; None: a program with an operator's token, which may do everything.
    """

    address: str
    why: str = ""
    duties: frozenset[str] | None = None


class Act(Noun, frozen=True, kw_only=True, gc=False):
    """One command that was carried out: its verb's name and its content as JSON; `subject_id` is what it was about."""

    id: UUID
    verb: str
    content: str
    subject_id: UUID | None
    caller: str
    address: str
    why: str
    request_id: str
    happened_at: datetime

    @property
    def key(self) -> UUID:
        """Return the command's id."""
        return self.id
