"""The payout: a tenant sells part of its balance of an asset, and somebody's bank account gets fiat for it.

A payout is prepared first: who is paid, through which channel, and how much. What it costs is only fixed when it is
sold; the tenant says the most that it may cost. From then on it waits for its rail. A settled payout never changes:
what the bank sends back, and what the operator corrects, are orders of their own. Sources: ramp contract, 4 and 5.
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
from otcdesk.money import PAID_BY_DESK, PAID_TO_DESK, Amount, Asset, Rate, convert_back, percent_of

CREATED = "created"
PENDING = "pending"
HELD = "held"
FILED = "filed"
CANCELLING = "cancelling"
SETTLED = "settled"
FAILED = "failed"

SUBMIT = "submit"
HOLD = "hold"
RELEASE = "release"
FILE = "file"
CANCEL = "cancel"
SETTLE = "settle"
FAIL = "fail"

# Sides that only payouts have: a correction in the tenant's favour, and one in the desk's.
CREDIT = "credit"
DEBIT = "debit"

# What a payout waits for: a provider that answers by itself, a bank that is given files and gives statements, or a
# person.
PAYOUT_RAIL = "payout"
BANK_FILE = "bank_file"
BY_HAND = "by_hand"
RAILS = (PAYOUT_RAIL, BANK_FILE, BY_HAND)

PAYOUT_ORDER = Machine(
    start=CREATED,
    moves={
        (CREATED, SUBMIT): PENDING,
        (PENDING, HOLD): HELD,
        (PENDING, FILE): FILED,  # it is in a file for the bank, and only the bank's statement says what became of it
        (PENDING, SETTLE): SETTLED,
        (PENDING, FAIL): FAILED,
        (HELD, RELEASE): PENDING,
        (HELD, CANCEL): CANCELLING,  # the rail may have been asked already: it must say that it will not pay
        (HELD, SETTLE): SETTLED,  # the rail had been asked before
        (HELD, FAIL): FAILED,
        (FILED, SETTLE): SETTLED,
        (FILED, FAIL): FAILED,
        (CANCELLING, SETTLE): SETTLED,  # too late
        (CANCELLING, FAIL): FAILED,
    },
)

#: What comes back, or is corrected: settled as soon as it is known.
AT_ONCE = Machine(start=CREATED, moves={(CREATED, SETTLE): SETTLED})

PAYOUTS = Lifecycle(
    product="payout",
    machines={SELL: PAYOUT_ORDER, BUY: AT_ONCE, CREDIT: AT_ONCE, DEBIT: AT_ONCE},
    waits_for={(SELL, PENDING): PAYOUT_RAIL, (SELL, CANCELLING): PAYOUT_RAIL},
    overdue={},
    ended=frozenset({SETTLED, FAILED}),
)

PRODUCT = PAYOUTS.product
moved = PAYOUTS.moved
event_of = PAYOUTS.event_of

#: A tenant's own asset at the desk, of which it sells.
CURRENT = "current"

# What the accounts of this product are for, one for each fiat.
FEE_INCOME = "fee_income"  # the desk's: what channels cost tenants
SURCHARGE = "surcharge"  # a tenant's: what the desk has withheld of payouts on its behalf

#: Why a payment was made.
PAYOUT = "payout"
RETURN = "return"
ADJUSTMENT = "adjustment"
PURCHASE = "purchase"

# Categories of payment methods.
BANK = "bank"
CARD = "card"
IDENTIFIER = "identifier"

_IDS_REMEMBERED = 65_536


@lru_cache(maxsize=_IDS_REMEMBERED)
def current_id(tenant_id: UUID, asset: str) -> UUID:
    """Return the id of the account with a tenant's own asset."""
    return declared_id(CURRENT, str(tenant_id), asset)


@lru_cache(maxsize=_IDS_REMEMBERED)
def surcharge_id(tenant_id: UUID, fiat: str) -> UUID:
    """Return the id of the account with what was withheld for a tenant in a fiat."""
    return declared_id(SURCHARGE, str(tenant_id), fiat)


@lru_cache(maxsize=_IDS_REMEMBERED)
def payment_method_id(tenant_id: UUID, party_id: UUID | None, name: str) -> UUID:
    """Return the id of a payment method by whose it is and the name that a tenant knows it by."""
    return declared_id("payment method", str(tenant_id), str(party_id or ""), name)


def rail_reference(order_id: UUID) -> str:
    """Return the reference under which a payout's rail is asked, the same for ever."""
    return f"{order_id}:{PAYOUT}"


def return_id(order_id: UUID) -> UUID:
    """Return the id of the order by which a payout comes back: it can come back once."""
    return declared_id("payout return", str(order_id))


class PayoutTerms(Noun, frozen=True, kw_only=True, gc=False):
    """How this lane pays out: how long a prepared payout can be sold, and what is put on its cost as a ceiling.

    `slippage_bps` is in ten-thousandths, of the cost at the price when it was prepared.
    """

    id: int = ONLY
    validity_seconds: int = 900
    slippage_bps: int = 100

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id


class Channel(Noun, frozen=True, kw_only=True, gc=False):
    """One way to be paid: a country, a fiat and a kind of payment method, with bounds, fee, price and form.

    `min_units`, `max_units` (None: no bound) and `fixed_fee_units` are of the fiat; `fee_percent` is of what is paid.
    `spread_bps` is taken off the market's price. `form_schema` is the JSON Schema (draft 7) of what must be known of
    who is paid. `review_from_units` of the fiat, if given, are held for the operator to look at. `rail` is of `RAILS`.
    """

    id: UUID
    category: str
    type: str
    country: str
    fiat: str
    min_units: int
    max_units: int | None
    fixed_fee_units: int
    fee_percent: Decimal
    spread_bps: int
    processing_seconds: int
    form_schema: str
    rail: str
    review_from_units: int | None
    enabled: bool = True

    @property
    def key(self) -> UUID:
        """Return the channel's id."""
        return self.id


class Surcharge(Noun, frozen=True, kw_only=True, gc=False):
    """What a tenant has the desk withhold of its parties' payouts on its behalf, in percent of what is paid."""

    tenant_id: UUID
    percent: Decimal

    @property
    def key(self) -> UUID:
        """Return the tenant."""
        return self.tenant_id


class PartyProfile(Noun, frozen=True, kw_only=True, gc=False):
    """What a tenant has told of a party: its kind, and its particulars as JSON, which the core does not read."""

    party_id: UUID
    tenant_id: UUID
    kind: str
    details: str
    updated_at: datetime

    @property
    def key(self) -> UUID:
        """Return the party."""
        return self.party_id


class PaymentMethod(Noun, frozen=True, kw_only=True, gc=False):
    """Where somebody can be paid, as it was last used: a bank account, a card or an identifier.

    `name` is how the tenant knows it, the same for the same account of the same party. `number` and `bank_code` are a
    bank account's, `number` also an identifier or the last digits of a card; `subtype` says of which kind or scheme.
    `details` are the values of the channel's form as JSON, from which it is paid.
    """

    id: UUID
    tenant_id: UUID
    party_id: UUID | None
    name: str
    category: str
    type: str
    subtype: str | None
    country: str
    fiat: str
    number: str | None
    bank_code: str | None
    details: str
    created_at: datetime

    @property
    def key(self) -> UUID:
        """Return the method's id."""
        return self.id


class PreparedPayout(Noun, frozen=True, kw_only=True, gc=False):
    """Who is to be paid, how much and through which channel; sold once by its tenant, and only until it expires.

    `fiat_units` is what arrives. `details` are the values of the form as they were given, which is what is paid by.
    `rate` is what one of the asset was worth then, which binds nobody.
    """

    id: UUID
    tenant_id: UUID
    party_id: UUID | None
    channel_id: UUID
    method_id: UUID
    asset: str
    fiat: str
    fiat_units: int
    details: str
    rate: Decimal
    prepared_at: datetime
    expires_at: datetime
    order_id: UUID | None = None

    @property
    def key(self) -> UUID:
        """Return its id."""
        return self.id


class Payment(Noun, frozen=True, kw_only=True, gc=False):
    """What an order of this product is about and never changes; its life is the order's of the same id.

    `fiat_units` is what arrives, or came back; `fee_units` what the channel costs on top of it and `surcharge_units`
    what is withheld for the tenant, both of the fiat. `rate` is the fiat for one of the asset. `ceiling` is the most
    that the tenant would have sold. A return names the order that it `returns`; an adjustment names the one that it
    `adjusts`, and by `adjustment_id` those that belong together. A rule that sold it is named with its execution; so
    are a deposit that it was bought for, and a checkout that it belongs to.
    """

    order_id: UUID
    tenant_id: UUID
    kind: str
    asset: str
    fiat: str | None = None
    fiat_units: int = 0
    fee_units: int = 0
    surcharge_units: int = 0
    rate: Decimal | None = None
    ceiling: Decimal | None = None
    party_id: UUID | None = None
    channel_id: UUID | None = None
    method_id: UUID | None = None
    prepared_id: UUID | None = None
    external_id: str | None = None
    rule_id: UUID | None = None
    rule_execution_id: UUID | None = None
    returns_id: UUID | None = None
    adjusts_id: UUID | None = None
    adjustment_id: UUID | None = None
    deposit_id: UUID | None = None
    checkout_id: UUID | None = None

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


class Cost(NamedTuple):
    """What a payout costs: in fiat beyond what arrives, and in the asset altogether."""

    fee: Amount
    surcharge: Amount
    asset: Amount

    @property
    def fees(self) -> Amount:
        """Return everything that is paid beyond what arrives."""
        return self.fee + self.surcharge


class Share(NamedTuple):
    """A part of what a payout takes of the asset: the channel's fee, the tenant's surcharge, or what remains."""

    kind: str
    units: int


def cost_of(arrives: Amount, channel: Channel, surcharge_percent: Decimal, rate: Decimal, asset: Asset) -> Cost:
    """Return what it costs that so much arrives: (what arrives + fees) / rate, each rounded up (ramp contract 7)."""
    fee = Amount(channel.fixed_fee_units, arrives.asset) + percent_of(arrives, channel.fee_percent, PAID_TO_DESK)
    surcharge = percent_of(arrives, surcharge_percent, PAID_TO_DESK)
    pair = Rate(asset.code, arrives.asset.code, rate)
    return Cost(fee, surcharge, convert_back(arrives + fee + surcharge, pair, asset, PAID_TO_DESK))


def shares_of(payment: Payment, units: int, asset: Asset, fiat: Asset) -> list[Share]:
    """Return how what a payout took of the asset is made up: fees cut, the rest is what remains; none of nothing.

    They add up to `units` exactly (ramp contract 7).
    """
    if payment.rate is None:
        return []
    pair = Rate(asset.code, fiat.code, payment.rate)
    fees = [
        (kind, convert_back(Amount(fee, fiat), pair, asset, PAID_BY_DESK).units)
        for kind, fee in (("fee", payment.fee_units), ("surcharge", payment.surcharge_units))
    ]
    remaining = units - sum(part for _, part in fees)
    return [Share(kind, part) for kind, part in (*fees, ("remaining", remaining)) if part > 0]
