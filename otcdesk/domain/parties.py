"""Who the desk deals with: tenants, each a business with credentials and books of its own, and their customers."""

from datetime import datetime
from functools import lru_cache
from uuid import UUID, uuid5

from msgspec import UNSET, UnsetType

from otcdesk.domain.noun import Noun

#: The desk itself as an owner of accounts, the same in every lane.
DESK_ID = UUID("00000000-0000-7000-8000-000000000001")

#: Ids of declared things derive from their names in this space, so that a world file loads to the same ids again.
_DECLARED = UUID("5a1f0c52-7d0e-5b8e-9a57-6f7463646573")


def declared_id(*path: str) -> UUID:
    """Return the id of something that a world file declares under this path of names."""
    return uuid5(_DECLARED, "/".join(path))


@lru_cache(maxsize=65_536)  # a name costs several microseconds, and the same ones come again and again
def named_party_id(tenant_id: UUID, external_id: str) -> UUID:
    """Return the id of the party that its tenant alone has named, and calls so exactly."""
    return declared_id("named party", str(tenant_id), external_id)


# What a party may do: everything, nothing yet, nothing any more. A tenant is active or suspended.
ACTIVE = "active"
UNVERIFIED = "unverified"
INACTIVE = "inactive"
SUSPENDED = "suspended"


class Tenant(Noun, frozen=True, kw_only=True, gc=False):
    """A business that calls the desk. One that is suspended starts nothing new; `limited`: it has or had limits."""

    id: UUID
    name: str
    status: str = ACTIVE
    limited: bool | UnsetType | None = UNSET

    @property
    def key(self) -> UUID:
        """Return the tenant's id."""
        return self.id


class Party(Noun, frozen=True, kw_only=True, gc=False):
    """Whom a tenant acts for.

    `tax_bps`: what is withheld of a gain, in ten-thousandths; None: nothing ever is. `accepted_agreement_ids` are in
    the order in which they were accepted; `limited`: the party has limits of its own, or had some. A party that is
    frozen is inactive, and `status_before` is what it will be again.
    """

    id: UUID
    tenant_id: UUID
    external_id: str
    status: str = ACTIVE
    level_id: UUID | None = None
    tax_bps: int | None = None
    country: str | None = None
    account_type: str = "user"
    accepted_agreement_ids: tuple[UUID, ...] = ()
    created_at: datetime
    limited: bool | UnsetType | None = UNSET
    status_before: str | UnsetType | None = UNSET

    @property
    def key(self) -> UUID:
        """Return the party's id."""
        return self.id


class PartyName(Noun, frozen=True, kw_only=True, gc=False):
    """The name by which a tenant knows a party, in lower case: no two of its parties have the same."""

    tenant_id: UUID
    name: str
    party_id: UUID

    @property
    def key(self) -> tuple[UUID, str]:
        """Return the tenant and the name."""
        return self.tenant_id, self.name
