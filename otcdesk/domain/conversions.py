"""The conversion: an indicative quote, confirmed by the tenant, approved by the operator at the rate that counts.

Two machines, one for each side. A buy takes the source at confirm, a sell only after approval. A quote and an automatic
debit have deadlines, which pass by the clock (`lifecycles.py`).
Sources: exchanges contract, sections 4.1 to 4.3.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from otcdesk.domain.lanes import ONLY
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.domain.orders import BUY, SELL
from otcdesk.machine import Machine
from otcdesk.money import PAID_BY_DESK, Amount, Asset, Rate, convert

#: Cash is counted in cents and custody in millionths (contract 2.10); a world that lists them otherwise is refused.
CASH_SCALE = 2
CUSTODY_SCALE = 6

#: Both sides pay out at most this many decimals, cut (contract 2.10).
DESTINATION_DECIMALS = 2

QUOTED = "quoted"
REQUOTED = "requoted"
DEBIT_PENDING = "debit_pending"
PENDING_APPROVAL = "pending_approval"
COLLECTING = "collecting"
PAYING = "paying"
RETURNING = "returning"
COMPLETED = "completed"
CANCELLED = "cancelled"
REJECTED = "rejected"
EXPIRED = "expired"
FAILED = "failed"

CONFIRM = "confirm"
CANCEL = "cancel"
EXPIRE = "expire"
REQUOTE = "requote"
DEBIT_SETTLED = "debit_settled"
DEBIT_FAILED = "debit_failed"
APPROVE = "approve"
REJECT = "reject"
LEG_DONE = "leg_done"
LEG_REFUSED = "leg_refused"
RETURN_REFUSED = "return_refused"

_BEFORE_CONFIRM = {
    (QUOTED, CANCEL): CANCELLED,
    (QUOTED, EXPIRE): EXPIRED,  # recorded by a worker; for readers the clock is enough
    (QUOTED, REQUOTE): REQUOTED,
    (REQUOTED, CANCEL): CANCELLED,
    (REQUOTED, EXPIRE): EXPIRED,
    (REQUOTED, REQUOTE): REQUOTED,
    (EXPIRED, REQUOTE): REQUOTED,
}

CONVERSION_BUY = Machine(
    start=QUOTED,
    moves={
        **_BEFORE_CONFIRM,
        (QUOTED, CONFIRM): DEBIT_PENDING,
        (REQUOTED, CONFIRM): DEBIT_PENDING,
        (DEBIT_PENDING, DEBIT_SETTLED): PENDING_APPROVAL,
        (DEBIT_PENDING, DEBIT_FAILED): FAILED,
        (DEBIT_PENDING, REJECT): REJECTED,
        (PENDING_APPROVAL, APPROVE): PAYING,
        (PENDING_APPROVAL, REJECT): REJECTED,
        (PAYING, LEG_DONE): COMPLETED,
        (PAYING, LEG_REFUSED): PENDING_APPROVAL,  # provably nothing moved: the operator may try again or reject
    },
)

CONVERSION_SELL = Machine(
    start=QUOTED,
    moves={
        **_BEFORE_CONFIRM,
        (QUOTED, CONFIRM): PENDING_APPROVAL,
        (REQUOTED, CONFIRM): PENDING_APPROVAL,
        (PENDING_APPROVAL, REQUOTE): REQUOTED,
        (PENDING_APPROVAL, APPROVE): COLLECTING,
        (PENDING_APPROVAL, REJECT): REJECTED,
        (COLLECTING, LEG_DONE): PAYING,
        (COLLECTING, LEG_REFUSED): PENDING_APPROVAL,
        (PAYING, LEG_DONE): COMPLETED,
        (PAYING, LEG_REFUSED): RETURNING,  # the source was taken and must go back
        (RETURNING, LEG_DONE): FAILED,
        (RETURNING, RETURN_REFUSED): RETURNING,  # it must go back, so it is asked for again by another reference
    },
)

CHAIN = "chain"
FIAT = "fiat"

CONVERSIONS = Lifecycle(
    product="conversion",
    machines={BUY: CONVERSION_BUY, SELL: CONVERSION_SELL},
    waits_for={
        (BUY, PAYING): CHAIN,
        (SELL, COLLECTING): CHAIN,
        (SELL, PAYING): FIAT,
        (SELL, RETURNING): CHAIN,
    },
    overdue={QUOTED: EXPIRE, REQUOTED: EXPIRE, DEBIT_PENDING: DEBIT_SETTLED},
    ended=CONVERSION_BUY.ends | CONVERSION_SELL.ends | {EXPIRED},
)

PRODUCT = CONVERSIONS.product
MACHINES = CONVERSIONS.machines

moved = CONVERSIONS.moved
event_of = CONVERSIONS.event_of

CONFIRMABLE = frozenset({QUOTED, REQUOTED})


class ConversionTerms(Noun, frozen=True, kw_only=True, gc=False):
    """How this lane converts: quote lifetime, debit settlement, and the assets of the two sides.

    With `debit_settles_after_ms` a buy's debit settles that long after its confirm, by the clock; None leaves it to the
    operator or to a bank's message.
    """

    id: int = ONLY
    cash_asset: str = "EUR"
    custody_asset: str = "USDC"
    ttl_seconds: int = 60
    debit_settles_after_ms: int | None = 0

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id


def destination_amount(source: Amount, rate: Decimal, destination: Asset) -> Amount:
    """Return what `source` brings at `rate`: cut to two decimals, for both sides (contract 2.10)."""
    pair = Rate(source.asset.code, destination.code, rate)
    return convert(source, pair, destination, PAID_BY_DESK, DESTINATION_DECIMALS)


def settles_at(terms: ConversionTerms, confirmed_at: datetime) -> datetime | None:
    """Return when a buy's debit settles by itself, if it does."""
    if terms.debit_settles_after_ms is None:
        return None
    return confirmed_at + timedelta(milliseconds=terms.debit_settles_after_ms)
