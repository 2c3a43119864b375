"""What accounts are called for people, on every page alike."""

from typing import Protocol
from uuid import UUID

from otcdesk.domain.parties import DESK_ID

#: Whose account it is when nobody who is known owns it.
_UNKNOWN = "Somebody"


class Named(Protocol):
    """What of an account its name is made of."""

    @property
    def owner_id(self) -> UUID:
        """Return whose it is."""
        ...

    @property
    def purpose(self) -> str:
        """Return what it is for."""
        ...

    @property
    def asset(self) -> str:
        """Return what it holds."""
        ...

    @property
    def label(self) -> str | None:
        """Return what its owner calls it."""
        ...

    @property
    def network(self) -> str:
        """Return where it lies; empty for what is on no chain."""
        ...


def account_name(of: Named, owner: str | None) -> str:
    """Return an account's name: "Acme · main (EUR)", "Acme · Ann · holding (GOLD)", "Desk · treasury (USDC on base)".

    `owner` is the name of its tenant, with that of the party or branch within it.
    """
    whose = "Desk" if of.owner_id == DESK_ID else owner or _UNKNOWN
    asset = f"{of.asset} on {of.network}" if of.network else of.asset
    return f"{whose} · {of.label or of.purpose.replace('_', ' ')} ({asset})"
