"""Note in the audit chain that a refresh token was used again: whoever used it first or second has a copy.

Nothing changes. The command is refused like every use of a dead token, and refusals of its kind are written down.
"""

from datetime import datetime
from uuid import UUID

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.errors import Code, Refusal


class ReportTokenReuse(Command, frozen=True, kw_only=True):
    """Which credential's token it was, and when it was issued."""

    credential_id: UUID
    issued_at: datetime


def report_token_reuse(command: ReportTokenReuse, books: Books, moment: Moment) -> Reply:  # noqa: ARG001  (an action's shape)
    """Refuse REFRESH_TOKEN_DEAD, always."""
    raise Refusal(Code.REFRESH_TOKEN_DEAD)
