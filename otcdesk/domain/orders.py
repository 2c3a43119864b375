"""Orders, the lifecycle carriers of every product, and trades, the facts they leave.

All products share this one shape: a source asset goes out of one account, a destination asset comes into another. What
a product adds is its machine (one file each) and, where the wire carries what the core has no noun for, `dialect_data`,
which the core never reads.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from otcdesk.domain.noun import Noun

BUY = "buy"
SELL = "sell"


class Order(Noun, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A party's instruction to turn source units into destination units.

    Every field with a default is null by default, so that what an order does not have yet need not be written.

    `rate` is destination per one source, but in brokerage fiat for one of the asset whichever of them is the source; it
    and `destination_units` are the quoted ones until the order has executed, from then on the executed ones.
    `approved_rate` and `approved_units` are what the operator approved.
    `due_at` is when the clock moves the order by itself. `waits_for` names the rail whose outcome it waits for, and
    `rail_reference` is the idempotency reference of that outside call.
    """

    id: UUID
    tenant_id: UUID
    product: str
    side: str
    state: str
    version: int
    source_account_id: UUID
    source_asset: str
    source_units: int
    destination_account_id: UUID
    destination_asset: str
    destination_units: int
    rate: Decimal
    quoted_rate: Decimal
    quoted_by: str
    quoted_at: datetime
    market_rate: Decimal
    market_source: str
    market_at: datetime
    approved_rate: Decimal | None = None
    approved_units: int | None = None
    approved_market_rate: Decimal | None = None
    approved_market_source: str | None = None
    approved_market_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    ttl_seconds: int
    expires_at: datetime
    due_at: datetime | None = None
    waits_for: str | None = None
    rail_reference: str | None = None
    pay_hold_id: UUID | None = None
    collect_hold_id: UUID | None = None
    reason: str | None = None
    dialect_data: str | None = None
    created_at: datetime
    updated_at: datetime
    confirmed_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.id


class Trade(Noun, frozen=True, kw_only=True, gc=False):
    """The immutable fact that an order executed, with every rate that led to it, each with its source and time."""

    order_id: UUID
    tenant_id: UUID
    source_asset: str
    source_units: int
    destination_asset: str
    destination_units: int
    executed_rate: Decimal
    executed_by: str
    executed_at: datetime
    quoted_rate: Decimal
    quoted_by: str
    quoted_at: datetime
    market_rate: Decimal
    market_source: str
    market_at: datetime
    approved_market_rate: Decimal | None
    approved_market_source: str | None
    approved_market_at: datetime | None

    @property
    def key(self) -> UUID:
        """Return the order that executed."""
        return self.order_id
