"""What was answered under an idempotency key, so that the same key is answered so again."""

from datetime import datetime
from uuid import UUID

from otcdesk.domain.noun import Noun

#: The outcome of a key whose command was carried out; any other outcome is the code of a refusal that was kept.
DONE = "done"


class KeyRecord(Noun, frozen=True, kw_only=True, gc=False):
    """One used key: whose, for which commands, and the stored answer as JSON."""

    owner_id: UUID
    scope: str
    idempotency_key: str
    fingerprint: str | None = None
    outcome: str
    answer: str
    used_at: datetime

    @property
    def key(self) -> tuple[UUID, str, str]:
        """Return owner, scope and key."""
        return self.owner_id, self.scope, self.idempotency_key
