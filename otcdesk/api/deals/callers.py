"""Who asks: a supervisor of a node, as whom an integrator's client acts (contract 2)."""

from uuid import UUID

from otcdesk.desk import Caller
from otcdesk.domain.permissions import (
    ALL,
    FEES_MANAGE,
    FUNDS_SEND,
    MARKET_TRADE,
    OTC_CREATE,
    OTC_MANAGE,
    PERMISSIONS,
    READ,
    RULES_MANAGE,
    TOKENS_MANAGE,
    USERS_MANAGE,
)
from otcdesk.domain.resales import Mandate

__all__ = [
    "ALL",
    "FEES_MANAGE",
    "FUNDS_SEND",
    "MARKET_TRADE",
    "OTC_CREATE",
    "OTC_MANAGE",
    "PERMISSIONS",
    "READ",
    "RULES_MANAGE",
    "TOKENS_MANAGE",
    "USERS_MANAGE",
    "DealsCaller",
]


class DealsCaller(Caller, frozen=True, kw_only=True):
    """A supervisor: the node that it belongs to, that node's place in the tree, and what its role may do."""

    supervisor_id: UUID
    branch_id: UUID
    path: str
    permissions: frozenset[str]

    def mandate(self, permission: str) -> Mandate:
        """Return what the caller may do of one kind: from its own node down, if its role may at all."""
        return Mandate(self.path, ALL in self.permissions or permission in self.permissions)
