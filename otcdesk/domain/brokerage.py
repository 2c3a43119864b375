"""Brokerage: a firm quote, a price that binds the desk for a short time, accepted by a tenant for one of its parties.

A party's newest quote is the only one that can be accepted, and only before it expires. Accepting it reserves what
the trade takes and lets it wait for the execution venue, whose word ends it. Sources: offers contract, 4 to 6.
"""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

from otcdesk.domain.lanes import ONLY
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.parties import declared_id
from otcdesk.machine import Machine
from otcdesk.money import less, share_of

CREATED = "created"
IN_PROGRESS = "in_progress"
FINISHED = "finished"
FAILED = "failed"
EXPIRED = "expired"

ACCEPT = "accept"
EXPIRE = "expire"
FINISH = "finish"
FAIL = "fail"

#: The rail that an accepted quote waits for.
VENUE = "venue"

BROKERAGE_ORDER = Machine(
    start=CREATED,
    moves={
        (CREATED, ACCEPT): IN_PROGRESS,
        (CREATED, EXPIRE): EXPIRED,  # recorded by a worker; for readers the clock is enough
        (IN_PROGRESS, FINISH): FINISHED,
        (IN_PROGRESS, FAIL): FAILED,
    },
)

BROKERAGE = Lifecycle(
    product="brokerage",
    machines={BUY: BROKERAGE_ORDER, SELL: BROKERAGE_ORDER},
    waits_for={(side, IN_PROGRESS): VENUE for side in (BUY, SELL)},
    overdue={CREATED: EXPIRE},
    ended=BROKERAGE_ORDER.ends,
)

PRODUCT = BROKERAGE.product
moved = BROKERAGE.moved
event_of = BROKERAGE.event_of

# Why an accepted quote fails; a dialect says each in its own words.
TRADING_DISABLED = "trading_disabled"
NOT_COVERED = "not_covered"
VENUE_REFUSED = "venue_refused"
FAILURES = (TRADING_DISABLED, NOT_COVERED, VENUE_REFUSED)

# What is said beside a quote; a dialect says each in its own words.
TAX_UNAVAILABLE = "tax_unavailable"
DIVIDEND_PENDING = "dividend_pending"
WARNINGS = (TAX_UNAVAILABLE, DIVIDEND_PENDING)

#: Which side of the trade a tenant has given the amount of.
BY_FIAT = "fiat"
BY_ASSET = "asset"

#: Kinds of listings.
FIAT = "fiat"
ASSET = "asset"

# What the desk's own accounts of this product are for, one for each asset of a lane.
VENUE_POSITION = "venue"  # what the execution venue owes the desk, or the desk it
SPREAD_INCOME = "spread_income"  # what the margins left over
BROKER_COST = "broker_cost"  # what trading cost
TAX_PAYABLE = "tax_payable"  # what was withheld and is owed to the authorities
REVENUE_SHARE = "revenue_share"  # what is owed to tenants of the fees

#: A tenant's own money at the desk, against which its parties' trades settle.
CORPORATE = "corporate"
#: What a party has of an asset.
HOLDING = "holding"

#: Ids that derive from names cost several microseconds each, and the same ones are asked for with every quote.
_IDS_REMEMBERED = 65_536


@lru_cache(maxsize=_IDS_REMEMBERED)
def holding_id(party_id: UUID, asset: str) -> UUID:
    """Return the id of the account with what a party has of an asset."""
    return declared_id(HOLDING, str(party_id), asset)


@lru_cache(maxsize=_IDS_REMEMBERED)
def corporate_id(tenant_id: UUID, fiat: str) -> UUID:
    """Return the id of the account with a tenant's own money in a fiat."""
    return declared_id(CORPORATE, str(tenant_id), fiat)


class BrokerageTerms(Noun, frozen=True, kw_only=True, gc=False):
    """How this lane brokers: how long quotes bind, the level of parties without one, its agreements in their order."""

    id: int = ONLY
    validity_seconds: int = 60
    default_level_id: UUID | None = None
    agreement_ids: tuple[UUID, ...] = ()

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id


class Listing(Noun, frozen=True, kw_only=True, gc=False):
    """A fiat or an asset as tenants know it: `number` and `pid` are its two ids on the wire.

    `dividend_pending`: a corporate action is under way of which sellers are warned.
    """

    code: str
    kind: str
    number: int
    pid: UUID
    name: str
    asset_group: str = ""
    buy_enabled: bool = True
    sell_enabled: bool = True
    dividend_pending: bool = False

    @property
    def key(self) -> str:
        """Return the code of the asset that is listed."""
        return self.code

    def enabled(self, side: str) -> bool:
        """Tell whether this side may be traded."""
        return self.buy_enabled if side == BUY else self.sell_enabled


class Market(Noun, frozen=True, kw_only=True, gc=False):
    """An asset that is traded against a fiat: bounds of a trade in units of the fiat, and what trading costs the desk.

    `broker_cost` is in the fiat, for each trade. `total_max` None: no bound.
    """

    asset: str
    fiat: str
    total_min: int
    total_max: int | None = None
    broker_cost: Decimal = Decimal(0)

    @property
    def key(self) -> tuple[str, str]:
        """Return the asset and the fiat."""
        return self.asset, self.fiat


class AccountLevel(Noun, frozen=True, kw_only=True, gc=False):
    """A class of parties, and the margin that they pay on the market's price, in ten-thousandths."""

    id: UUID
    name_key: str
    margin_bps: int

    @property
    def key(self) -> UUID:
        """Return the level's id."""
        return self.id


class Agreement(Noun, frozen=True, kw_only=True, gc=False):
    """One version of a document that parties accept. Of each `type` the latest that is in effect counts.

    `journeys`: what a party cannot do without it; `onboarding` is everything.
    """

    id: UUID
    type: str
    version: int
    title: str
    url: str
    content_type: str = "text/html"
    mandatory: bool = True
    effective_at: datetime
    country: str | None = None
    account_type: str = "user"
    journeys: tuple[str, ...] = ("onboarding",)

    @property
    def key(self) -> UUID:
        """Return the document's id."""
        return self.id


class RevenueShare(Noun, frozen=True, kw_only=True, gc=False):
    """A tenant that resells brokerage, and its share of the fees after cost, in ten-thousandths."""

    tenant_id: UUID
    revenue_share_bps: int = 0

    @property
    def key(self) -> UUID:
        """Return the tenant."""
        return self.tenant_id


class FirmQuote(Noun, frozen=True, kw_only=True, gc=False):
    """The terms of one quote, which never change; its life is the order's of the same id.

    Units are smallest units: `asset_units` of the asset, all others of the fiat. `total_units` is the gross value and
    is `fiat_units` and `tax_units` together. `price` is the party's, with the margin in it, and `reference` the
    market's, both fiat for one of the asset. `gain_units` is what a sale gains over the cost basis, None where it is
    not known. `spread` and `broker_cost` are reports in the fiat, with 8 decimals. `warnings` are of `WARNINGS`.
    `by_pid`: whether the tenant named asset and fiat by pid.
    """

    order_id: UUID
    tenant_id: UUID
    party_id: UUID
    asset: str
    fiat: str
    defined_for: str
    by_pid: bool
    asset_units: int
    total_units: int
    tax_units: int
    fiat_units: int
    gain_units: int | None
    price: Decimal
    reference: Decimal
    margin_bps: int
    spread: Decimal
    broker_cost: Decimal
    revenue_share_bps: int
    warnings: tuple[str, ...]

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id

    @property
    def fees_after_cost(self) -> Decimal:
        """Return what the spread leaves when the trade is paid for, in the fiat; negative for a loss (contract R8)."""
        return less(self.spread, self.broker_cost)

    @property
    def revenue_share(self) -> Decimal:
        """Return what the tenant is owed of the fees after cost, in the fiat; nothing of a loss (contract R9)."""
        return share_of(max(self.fees_after_cost, Decimal(0)), self.revenue_share_bps)


class NewestQuote(Noun, frozen=True, kw_only=True, gc=False):
    """Which of a party's quotes is the newest, the only one that can be accepted."""

    party_id: UUID
    order_id: UUID

    @property
    def key(self) -> UUID:
        """Return the party."""
        return self.party_id


class Acceptance(Noun, frozen=True, kw_only=True, gc=False):
    """That a quote was accepted, and the tenant's own id for its side of the trade, if it gave one."""

    order_id: UUID
    tenant_id: UUID
    party_id: UUID
    external_id: str | None
    accepted_at: datetime

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


class Position(Noun, frozen=True, kw_only=True, gc=False):
    """What a party paid for `units` of what it has of an asset: their cost basis, in the fiat's units, at average.

    What it has beyond them cost nobody knows what: it came from outside, or was bought for another fiat. Units of known
    cost are sold first.
    """

    party_id: UUID
    asset: str
    fiat: str
    units: int = 0
    basis_units: int = 0

    @property
    def key(self) -> tuple[UUID, str]:
        """Return the party and the asset."""
        return self.party_id, self.asset

    def basis_of(self, units: int) -> int:
        """Return what so many units cost, to the nearest; those of unknown cost count as nothing."""
        if units >= self.units:
            return self.basis_units
        return (2 * self.basis_units * units + self.units) // (2 * self.units)

    def within(self, balance: int) -> "Position":
        """Return the position as it is if the party has only so much: what went elsewhere took its basis along."""
        return self.after_selling(self.units - balance) if self.units > balance else self

    def after_buying(self, units: int, cost_units: int, fiat: str) -> "Position":
        """Return the position with so much more at such a cost; for another fiat it stays, unless it is empty."""
        if self.units and fiat != self.fiat:
            return self
        return self.with_(fiat=fiat, units=self.units + units, basis_units=self.basis_units + cost_units)

    def after_selling(self, units: int) -> "Position":
        """Return the position with so much less; its basis shrinks in proportion."""
        return self.with_(units=max(self.units - units, 0), basis_units=self.basis_units - self.basis_of(units))


class Notice(Noun, frozen=True, kw_only=True, gc=False):
    """What a tenant tells of its bank transfers: that a trade was settled, or that a top-up is on its way.

    Nothing is booked for it: money is booked when it arrives.
    """

    id: UUID
    tenant_id: UUID
    kind: str
    reference: str
    transaction_id: str
    direction: str
    fiat: str
    amount: Decimal
    balance_after: Decimal | None
    noticed_at: datetime
    recorded_at: datetime

    @property
    def key(self) -> UUID:
        """Return the notice's id."""
        return self.id
