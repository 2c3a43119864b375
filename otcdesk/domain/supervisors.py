"""Supervisors: people of a tenant's branches as whom its clients call, and the roles that say what they may do."""

from uuid import UUID

import msgspec


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """What supervisors of a tenant may do, of `domain.permissions`. The priority orders roles and grants nothing."""

    id: UUID
    tenant_id: UUID
    name: str
    priority: int
    permissions: tuple[str, ...]


class Supervisor(msgspec.Struct, frozen=True, kw_only=True):
    """A person of a branch; one that is not enabled is kept out."""

    id: UUID
    tenant_id: UUID
    branch_id: UUID
    role_id: UUID
    email: str
    enabled: bool = True
