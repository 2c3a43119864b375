"""Who acts for a tenant of resale: its supervisors and their roles, and as which of them a client calls.

They are no part of the books: the audit chain names the client and its supervisor with each command. What is believed
of them, and for how long, is the edges' business.
"""

from uuid import UUID

import msgspec

from otcdesk.domain.supervisors import Role, Supervisor
from otcdesk.domain.world_supervisors import check_email, check_role
from otcdesk.errors import Code, Refusal
from otcdesk.storage.database import Reads


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A client and the supervisor as whom it calls, as both are now; `path` and `branch_number` are its branch's."""

    client_id: UUID
    client_name: str
    lane: int
    tenant_id: UUID
    supervisor_id: UUID
    email: str
    branch_id: UUID
    branch_number: int
    path: str
    role_id: UUID
    priority: int
    permissions: frozenset[str]


class Supervisors:
    """Keeps roles and supervisors, and tells who stands behind a client."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def keep_role(self, lane: int, role: Role) -> None:
        """Make a role, or change it; refuses DECLARATION_INVALID for unknown permissions, and for another tenant's."""
        check_role(role.priority, role.permissions)
        permissions = sorted(set(role.permissions))
        values = (lane, role.id, role.tenant_id, role.name, role.priority, permissions)
        if await self._reads.value("supervisors", "keep_role", *values) is None:
            raise Refusal(Code.DECLARATION_INVALID, f"The role {role.name!r} has the id of another tenant's.")

    async def keep_supervisor(self, lane: int, one: Supervisor) -> None:
        """Make a supervisor, or change its role, its address and whether it is let in.

        Refuses DECLARATION_INVALID unless its branch and role are its tenant's, and for another branch than before.
        """
        check_email(one.email)
        values = (lane, one.id, one.tenant_id, one.branch_id, one.role_id, one.email, one.enabled)
        if await self._reads.value("supervisors", "keep_supervisor", *values) is None:
            told = f"The supervisor {one.email!r} needs a branch and a role of its tenant, and keeps its branch."
            raise Refusal(Code.DECLARATION_INVALID, told)

    async def enable(self, lane: int, supervisor_id: UUID, *, enabled: bool) -> bool:
        """Let a supervisor in, or keep it out, as are its tokens then; False if there is none such."""
        return await self._reads.value("supervisors", "enable", lane, supervisor_id, enabled) is not None

    async def roles(self, lane: int) -> list[Role]:
        """Return a lane's roles, the highest first."""
        return await self._reads.rows("supervisors", "roles", Role, lane)

    async def supervisors(self, lane: int) -> list[Supervisor]:
        """Return a lane's supervisors by their addresses."""
        return await self._reads.rows("supervisors", "supervisors", Supervisor, lane)

    async def supervisor(self, lane: int, supervisor_id: UUID) -> Supervisor | None:
        """Return a supervisor."""
        return await self._reads.row("supervisors", "supervisor", Supervisor, lane, supervisor_id)

    async def standing(self, client_id: UUID) -> Standing | None:
        """Return as whom a client calls, None if it does not: either ended, or calls for itself."""
        return await self._reads.row("supervisors", "standing", Standing, client_id)
