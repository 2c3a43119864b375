"""A payout on its way to a provider: where it stands in the books, and what the provider is asked for."""

from uuid import UUID

import msgspec

from otcdesk.money import Amount
from otcdesk.rails.protocols import PayoutInstruction


class PayoutWork(msgspec.Struct, frozen=True, gc=False):
    """A payout as `leases.sql` reads it. `rail` is its channel's; `amount` is of the fiat that arrives."""

    lane: int
    order_id: UUID
    reference: str
    state: str
    channel_type: str
    country: str
    rail: str
    amount: Amount
    details: str
    external_id: str | None

    @property
    def instruction(self) -> PayoutInstruction:
        """Return what the provider is asked for."""
        return PayoutInstruction(
            lane=self.lane,
            reference=self.reference,
            order_id=self.order_id,
            channel_type=self.channel_type,
            country=self.country,
            amount=self.amount,
            details=self.details,
            external_id=self.external_id,
        )
