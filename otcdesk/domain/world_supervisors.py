"""The part of a world file that is about supervisors: roles and what they permit, and who has them in which branch."""

from collections.abc import Iterable
from typing import NamedTuple

from otcdesk.domain.emails import is_email
from otcdesk.domain.permissions import ALL, PERMISSIONS
from otcdesk.domain.supervisors import Role, Supervisor
from otcdesk.domain.world import FileTenant, tenant_id
from otcdesk.domain.world_resales import FileRole, FileSupervisor, compact_ref
from otcdesk.domain.world_tables import invalid

#: What a column of whole numbers keeps.
_PRIORITY_MAX = 2**31 - 1


class DeclaredSupervisors(NamedTuple):
    """Roles, and supervisors by the names of their tenants and their own in the file."""

    roles: list[Role]
    supervisors: dict[tuple[str, str], Supervisor]


def declared_supervisors(tenants: Iterable[FileTenant]) -> DeclaredSupervisors:
    """Turn the tables of a file into what is kept; refuses DECLARATION_INVALID naming the offending value."""
    declared = DeclaredSupervisors([], {})
    for tenant in tenants:
        for rows in (tenant.roles, tenant.supervisors):
            if len(rows) != len({row.ref for row in rows}):
                raise invalid(f"tenant {tenant.ref!r} names two roles or supervisors alike")
        roles = {row.ref: _role(tenant, row) for row in tenant.roles}
        people = {(tenant.ref, row.ref): _supervisor(tenant, row, roles) for row in tenant.supervisors}
        for row in tenant.clients:
            if row.supervisor is not None and (tenant.ref, row.supervisor) not in people:
                raise invalid(f"client {row.ref!r} needs a supervisor of tenant {tenant.ref!r}")
        declared.roles.extend(roles.values())
        declared.supervisors.update(people)
    for ids in ([role.id for role in declared.roles], [one.id for one in declared.supervisors.values()]):
        if len(ids) != len(set(ids)):
            raise invalid("two roles or supervisors have the same id")
    return declared


def check_role(priority: int, permissions: tuple[str, ...]) -> None:
    """Refuse DECLARATION_INVALID for a permission that there is not, and for a priority that cannot be kept."""
    unknown = sorted(set(permissions).difference(PERMISSIONS, {ALL}))
    if unknown:
        raise invalid(f"there is no permission {unknown[0]!r}; there are {', '.join(PERMISSIONS)} and {ALL}")
    if not -_PRIORITY_MAX <= priority <= _PRIORITY_MAX:
        raise invalid(f"the priority of a role is from -{_PRIORITY_MAX} to {_PRIORITY_MAX}")


def check_email(email: str) -> None:
    """Refuse DECLARATION_INVALID for what no mail can be sent to."""
    if not is_email(email):
        raise invalid(f"{email!r} is not an e-mail address")


def _role(tenant: FileTenant, row: FileRole) -> Role:
    check_role(row.priority, row.permissions)
    return Role(
        id=compact_ref("role", tenant.ref, row.ref, row.id),
        tenant_id=tenant_id(tenant.ref),
        name=row.ref,
        priority=row.priority,
        permissions=row.permissions,
    )


def _supervisor(tenant: FileTenant, row: FileSupervisor, roles: dict[str, Role]) -> Supervisor:
    check_email(row.email)
    branch = next((branch for branch in tenant.branches if branch.ref == row.branch), None)
    if branch is None or row.role not in roles:
        raise invalid(f"supervisor {row.ref!r} needs a branch and a role of tenant {tenant.ref!r}")
    return Supervisor(
        id=compact_ref("supervisor", tenant.ref, row.ref, row.id),
        tenant_id=tenant_id(tenant.ref),
        branch_id=compact_ref("branch", tenant.ref, branch.ref, branch.id),
        role_id=roles[row.role].id,
        email=row.email,
        enabled=row.enabled,
    )
