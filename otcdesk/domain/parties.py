"""Who the desk deals with: tenants, each a business with credentials and books of its own."""

from uuid import UUID, uuid5

from otcdesk.domain.noun import Noun

#: The desk itself as an owner of accounts, the same in every lane.
DESK_ID = UUID("00000000-0000-7000-8000-000000000001")

#: Ids of declared things derive from their names in this space, so that a world file loads to the same ids again.
_DECLARED = UUID("5a1f0c52-7d0e-5b8e-9a57-6f7463646573")


def declared_id(*path: str) -> UUID:
    """Return the id of something that a world file declares under this path of names."""
    return uuid5(_DECLARED, "/".join(path))


class Tenant(Noun, frozen=True, kw_only=True, gc=False):
    """A business that calls the desk."""

    id: UUID
    name: str
    status: str = "active"

    @property
    def key(self) -> UUID:
        """Return the tenant's id."""
        return self.id
