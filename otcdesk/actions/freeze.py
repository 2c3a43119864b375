"""Freeze a tenant or a party: it starts nothing new, and what is under way goes on to its end.

What a frozen tenant may still ask for stands beside the commands, in `catalogue`. Money that arrives for it is booked,
and what it may read it reads. A frozen party is inactive wherever parties are looked at.
"""

from uuid import UUID

from msgspec import UNSET

from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.parties import ACTIVE, DESK_ID, INACTIVE, SUSPENDED, Party, Tenant
from otcdesk.errors import Code, Refusal


class FreezeTenant(Command, frozen=True, kw_only=True):
    """Freeze a tenant, or let it do business again."""

    tenant_id: UUID
    frozen: bool
    why: str = ""


class TenantReply(Reply, frozen=True, kw_only=True):
    """The tenant after it."""

    tenant: Tenant


class FreezeParty(Command, frozen=True, kw_only=True):
    """Freeze a party, or let it be again what it was."""

    party_id: UUID
    frozen: bool
    why: str = ""


class FrozenParty(Reply, frozen=True, kw_only=True):
    """The party after it."""

    party: Party


def freeze_tenant(command: FreezeTenant, books: Books, moment: Moment) -> TenantReply:  # noqa: ARG001  (an action's shape)
    """Freeze or unfreeze a tenant; refuses TENANT_NOT_FOUND. One that is so already stays as it is."""
    tenant = books.find(Tenant, command.tenant_id)
    if tenant is None:
        raise Refusal(Code.TENANT_NOT_FOUND)
    after = tenant.with_(status=SUSPENDED if command.frozen else ACTIVE)
    if after != tenant:
        books.put(after)
    return TenantReply(tenant=after)


def freeze_party(command: FreezeParty, books: Books, moment: Moment) -> FrozenParty:  # noqa: ARG001  (an action's shape)
    """Freeze or unfreeze a party; refuses PARTY_NOT_FOUND. One that is so already stays as it is.

    Whoever was not verified when they were frozen is not verified afterwards either.
    """
    party = books.find(Party, command.party_id)
    if party is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    after = party
    if command.frozen and not isinstance(party.status_before, str):
        after = party.with_(status=INACTIVE, status_before=party.status)
    elif not command.frozen and isinstance(party.status_before, str):
        after = party.with_(status=party.status_before, status_before=UNSET)
    if after != party:
        books.put(after)
    return FrozenParty(party=after)


def is_frozen(books: Books, tenant_id: UUID) -> bool:
    """Tell whether a tenant is frozen; the desk itself, which has no row, never is."""
    tenant = books.find(Tenant, tenant_id) if tenant_id != DESK_ID else None
    return tenant is not None and tenant.status == SUSPENDED


def check_tenant(books: Books, tenant_id: UUID) -> None:
    """Refuse TENANT_FROZEN."""
    if is_frozen(books, tenant_id):
        raise Refusal(Code.TENANT_FROZEN)


def admits_tenant(command: Command, books: Books, moment: Moment) -> None:  # noqa: ARG001  (as of every verb)
    """Refuse TENANT_FROZEN where the caller's tenant may start nothing new."""
    check_tenant(books, moment.owner_id)


def check_party_active(books: Books, party_id: UUID | None) -> None:
    """Refuse PARTY_INACTIVE; None is no party."""
    party = books.find(Party, party_id) if party_id is not None else None
    if party is not None and party.status == INACTIVE:
        raise Refusal(Code.PARTY_INACTIVE)
