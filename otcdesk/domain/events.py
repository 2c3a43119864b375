"""What happened to an order, one event for each version of it, in the same batch as the change.

An order's events carry its version after the change, so they rise strictly and can be put in order by whoever gets
them. They are the order's audit trail, and what callbacks are made of.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from msgspec import UNSET, UnsetType

from otcdesk.domain.noun import Noun


class Event(Noun, frozen=True, kw_only=True, gc=False):
    """One change of one order: the event's name, the state and terms it led to, and who caused it.

    With what never changes of an order, `state`, `rate` and `destination_units` (in its asset's smallest units) are all
    that a callback says, so that it says the same whenever it is made. Events from before there were callbacks have
    no terms.
    """

    order_id: UUID
    order_version: int
    tenant_id: UUID
    name: str
    state: str
    caller: str
    detail: str | None = None
    happened_at: datetime
    rate: Decimal | UnsetType | None = UNSET
    destination_units: int | UnsetType | None = UNSET

    @property
    def key(self) -> tuple[UUID, int]:
        """Return the order and its version after the event."""
        return self.order_id, self.order_version
