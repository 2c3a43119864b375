"""Resale: a party lists whole units of an instrument at a price in a currency, and somebody takes them.

Instruments are issued by branches of a tenant. A branch takes what is listed over the counter, by its own word or by
its rules; parties take what is listed on the secondary market, and over the counter where their branch lets them. What
is listed is held until it is sold, withdrawn or runs out. Tokens and money change hands in one ledger transaction, or
not at all. Sources: deals contract, 3 to 5.
"""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from otcdesk.domain.lanes import ONLY
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.parties import declared_id
from otcdesk.machine import Machine
from otcdesk.money import PAID_BY_DESK, Amount, percent_of

CREATED = "created"
PENDING = "pending"
ACTIVE = "active"
WITHDRAWING = "withdrawing"
COMPLETED = "completed"
CANCELLED = "cancelled"
EXPIRED = "expired"
FAILED = "failed"
DECLINED = "declined"

PLACE = "place"
ACTIVATE = "activate"
FAIL = "fail"
TAKE = "take"
COMPLETE = "complete"
WITHDRAW = "withdraw"
RESUME = "resume"
CANCEL = "cancel"
REJECT = "reject"
EXPIRE = "expire"
ACCEPT = "accept"
DECLINE = "decline"

#: What is listed.
LISTING = Machine(
    start=CREATED,
    moves={
        (CREATED, PLACE): PENDING,
        (PENDING, ACTIVATE): ACTIVE,
        (PENDING, FAIL): FAILED,
        (ACTIVE, TAKE): ACTIVE,  # a part of it
        (ACTIVE, COMPLETE): COMPLETED,
        (ACTIVE, WITHDRAW): WITHDRAWING,  # the chain gives it back; nobody can take it meanwhile
        (ACTIVE, CANCEL): CANCELLED,
        (ACTIVE, REJECT): CANCELLED,  # by a rule
        (ACTIVE, EXPIRE): EXPIRED,
        (WITHDRAWING, TAKE): WITHDRAWING,  # what was promised before changes hands
        (WITHDRAWING, CANCEL): CANCELLED,
        (WITHDRAWING, RESUME): ACTIVE,  # the chain did not
    },
)

#: What a party buys, of the unsold supply or of a listing: both sides are held from the start.
BUYING = Machine(
    start=CREATED,
    moves={
        (CREATED, PLACE): PENDING,
        (PENDING, COMPLETE): COMPLETED,
        (PENDING, FAIL): FAILED,
    },
)

#: What a party would give for a part of a listing; its money is held until the lister answers.
BIDDING = Machine(
    start=CREATED,
    moves={
        (CREATED, PLACE): ACTIVE,
        (ACTIVE, ACCEPT): PENDING,  # from here it is a purchase
        (ACTIVE, DECLINE): DECLINED,
        (ACTIVE, CANCEL): CANCELLED,
        (ACTIVE, EXPIRE): EXPIRED,
        (PENDING, COMPLETE): COMPLETED,
        (PENDING, FAIL): FAILED,
    },
)

#: What a party has burnt: its units are held from the start, and are no more with the chain's word.
BURNING = Machine(
    start=CREATED,
    moves={
        (CREATED, PLACE): PENDING,
        (PENDING, COMPLETE): COMPLETED,
        (PENDING, FAIL): FAILED,
    },
)

# Sides that only resale has.
BID = "bid"
BURN = "burn"

RESALES = Lifecycle(
    product="resale",
    machines={SELL: LISTING, BUY: BUYING, BID: BIDDING, BURN: BURNING},
    waits_for={},  # what takes time is done by jobs
    overdue={ACTIVE: EXPIRE},
    ended=frozenset({COMPLETED, CANCELLED, EXPIRED, FAILED, DECLINED}),
)

PRODUCT = RESALES.product
moved = RESALES.moved
event_of = RESALES.event_of

# Where something is listed or bought.
OTC = "otc"
SECONDARY = "secondary"
PRIMARY = "primary"

# What the accounts of branches are for, one for each asset.
FUNDS = "funds"  # its currency
INVENTORY = "inventory"  # instruments that it has taken
UNSOLD = "unsold"  # what it has issued and not sold
ESCROW = "escrow"  # where listed units wait on the chain; in the books they stay the lister's, on hold
BURNT = "burnt"  # where burnt units go on the chain; in the books there are that many less
FEES = "resale_fees"  # its part of the fees

# What has become of an instrument.
DRAFT = "draft"
IN_PROGRESS = "in_progress"
ERROR = "error"
NOT_LISTED = "not_listed"
DELISTED = "delisted"
LISTED = "listed"
PASSIVE = "passive"
BURNT = "burnt"
INSTRUMENT_STATES = (DRAFT, IN_PROGRESS, ERROR, NOT_LISTED, DELISTED, LISTED, PASSIVE, BURNT)

#: And of a currency.
DEPLOYED = "deployed"
CURRENCY_STATES = (DRAFT, IN_PROGRESS, DEPLOYED, ERROR)

_PATH_SEPARATOR = "."
_IDS_REMEMBERED = 65_536


@lru_cache(maxsize=_IDS_REMEMBERED)
def branch_account_id(branch_id: UUID, purpose: str, asset: str) -> UUID:
    """Return the id of a branch's account for a purpose."""
    return declared_id("branch", str(branch_id), purpose, asset)


def reaches(path: str, other: str) -> bool:
    """Tell whether a branch at `path` is the one at `other`, or above it: "1" is above "1.4" and not above "12"."""
    return other == path or other.startswith(path + _PATH_SEPARATOR)


class Mandate(NamedTuple):
    """What a caller may do, as its credential says it: from which branch down, and whether this at all."""

    path: str
    permitted: bool


#: What stands for every caller where two commands are compared.
ANYBODY = Mandate("", permitted=True)


class ResaleTerms(Noun, frozen=True, kw_only=True, gc=False):
    """How this lane resells: how long a listing lives (None: for ever), the desk's fee, whom it must know.

    A bid lives for `bid_validity_seconds` unless whoever bids says otherwise.

    The fees are of what is paid, on top of the branch's: for what is sold over the counter, on the secondary market,
    and of the unsold supply. `fees` is the table that they are part of, as JSON, which the core does not read.
    `verifies_parties`: only a verified party may list and buy.
    """

    id: int = ONLY
    validity_seconds: int | None = 31 * 86_400
    bid_validity_seconds: int = 86_400
    otc_fee_percent: Decimal = Decimal(0)
    secondary_fee_percent: Decimal = Decimal(0)
    primary_fee_percent: Decimal = Decimal(0)
    fees: str = "{}"
    verifies_parties: bool = False

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id


class Branch(Noun, frozen=True, kw_only=True, gc=False):
    """A part of a tenant that issues instruments and has money, fees and rules of its own, in a tree.

    `path` leads to it through the numbers of those above it. `parties_trade`: whether its parties may take each other's
    listings over the counter, and negotiate. `last_number` is the newest of its listings.
    """

    id: UUID
    tenant_id: UUID
    number: int
    path: str
    name: str
    otc_fee_percent: Decimal = Decimal(0)
    secondary_fee_percent: Decimal = Decimal(0)
    primary_fee_percent: Decimal = Decimal(0)
    fees: str = "{}"
    parties_trade: bool = False
    last_number: int = 0

    @property
    def key(self) -> UUID:
        """Return the branch's id."""
        return self.id


class Holder(Noun, frozen=True, kw_only=True, gc=False):
    """A party as a holder of instruments: the branch that it belongs to."""

    party_id: UUID
    tenant_id: UUID
    branch_id: UUID

    @property
    def key(self) -> UUID:
        """Return the party."""
        return self.party_id


class Currency(Noun, frozen=True, kw_only=True, gc=False):
    """A token on a chain in which prices are: a branch's, and of all branches below it.

    `asset` is what the books count; `address` and `hash` are its contract's, once deployed.
    """

    id: UUID
    tenant_id: UUID
    branch_id: UUID
    asset: str
    name: str
    symbol: str
    description: str = ""
    fiat: str | None = None
    state: str = DRAFT
    enabled: bool = False
    logo: str | None = None
    address: str | None = None
    hash: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the currency's id."""
        return self.id


class Instrument(Noun, frozen=True, kw_only=True, gc=False):
    """A tokenised asset that a branch has issued, in whole units.

    `price` is what one costs on the primary market, in `currency_id`; rules refer to it. `open_to_resale` and
    `open_to_market`: whether it may be listed over the counter, and on the secondary market. `details` are particulars
    as JSON, which the core does not read.
    """

    id: UUID
    tenant_id: UUID
    branch_id: UUID
    asset: str
    name: str
    symbol: str
    description: str = ""
    state: str = DRAFT
    currency_id: UUID
    price: Decimal
    max_supply_units: int
    salable_percent: Decimal = Decimal(100)
    open_to_resale: bool = False
    open_to_market: bool = False
    is_public: bool = False
    address: str | None = None
    hash: str | None = None
    details: str = "{}"
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the instrument's id."""
        return self.id


class Resale(Noun, frozen=True, kw_only=True, gc=False):
    """What is listed: how many units, for how much of the currency each; its life is the order's of the same id.

    `branch_id` is the instrument's. Of `quantity`, `available` can still be taken, `promised` waits for its buyers'
    jobs, the rest is sold or was given back. `number` is the branch's own for it, from when it is active. Of what
    its branch paid for it, `taken_fee_units` and `taken_desk_fee_units` were fees, as of a `Purchase`.
    """

    order_id: UUID
    tenant_id: UUID
    branch_id: UUID
    party_id: UUID
    instrument_id: UUID
    currency_id: UUID
    market: str
    quantity: int
    available: int
    promised: int = 0
    sold: int = 0
    price_units: int
    number: int | None = None
    taken_fee_units: int = 0
    taken_desk_fee_units: int = 0

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


class Purchase(Noun, frozen=True, kw_only=True, gc=False):
    """What a party buys or bids for: units of a listing, or of the unsold supply (`listing_id` None).

    `fee_units` of the currency are the branch's part of the fee, `desk_fee_units` the desk's; who sells bears them.
    """

    order_id: UUID
    tenant_id: UUID
    branch_id: UUID
    party_id: UUID
    instrument_id: UUID
    currency_id: UUID
    market: str
    listing_id: UUID | None
    quantity: int
    price_units: int
    fee_units: int
    desk_fee_units: int

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


class Proceeds(NamedTuple):
    """What a sale of `gross` brings: the branch's part of the fee, the desk's, and what is left to the seller."""

    gross: Amount
    fee: Amount
    desk_fee: Amount

    @property
    def net(self) -> Amount:
        """Return what is left."""
        return self.gross - self.fee - self.desk_fee


def proceeds_of(gross: Amount, market: str, branch: Branch, terms: ResaleTerms) -> Proceeds:
    """Return how what is paid is divided: gross x (branch % + desk %) / 100, both parts cut (contract 5)."""
    of_branch, of_desk = fee_percent(branch, market), fee_percent(terms, market)
    together = percent_of(gross, of_branch + of_desk, PAID_BY_DESK)
    desk_fee = percent_of(gross, of_desk, PAID_BY_DESK)
    return Proceeds(gross, together - desk_fee, desk_fee)


def fee_percent(of: Branch | ResaleTerms, market: str) -> Decimal:
    """Return what a branch, or the desk, takes of a sale on a market."""
    match market:
        case "otc":
            return of.otc_fee_percent
        case "secondary":
            return of.secondary_fee_percent
        case _:
            return of.primary_fee_percent
