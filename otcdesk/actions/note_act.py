"""Write down what an operator did beside the books: with people, keys, webhooks and the system.

Those are the edges' own tables. The act goes into the audit chain, by the engine as every operator's command does; the
action has nothing to decide.
"""

from uuid import UUID

from otcdesk.domain.commands import Books, Command, Moment, Reply


class NoteAct(Command, frozen=True, kw_only=True):
    """What was done, in a few words, to what (an id, or a name), and how it is now."""

    what: str
    about_id: UUID | None = None
    about: str = ""
    detail: str = ""


class Noted(Reply, frozen=True, kw_only=True):
    """It is written down."""


def note_act(command: NoteAct, books: Books, moment: Moment) -> Noted:  # noqa: ARG001  (an action's shape)
    """Decide nothing; what an operator asks for is kept because they ask for it."""
    return Noted()
