"""The checkout: a person completes a payment of a tenant's on a page of the desk.

There are three kinds, each a side of its own. By `fiat_out` the person says where fiat is to arrive, and confirming it
sells of the tenant's balance for a payout. By `asset_in` and `fiat_in` the person is told where to pay, and the
checkout ends with what arrives there. It moves no money itself: payouts and deposits do, and it follows them. Source:
ramp contract, 3.9.
"""

import re
from base64 import b32encode
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.machine import Machine

CREATED = "created"
OPENED = "open"
CONFIRMED = "confirmed"
SETTLED = "settled"
FAILED = "failed"
EXPIRED = "expired"

OPEN = "open"
CONFIRM = "confirm"
PAY = "pay"
CANCEL = "cancel"
SETTLE = "settle"
FAIL = "fail"
EXPIRE = "expire"

ASSET_IN = "asset_in"
FIAT_IN = "fiat_in"
FIAT_OUT = "fiat_out"

#: Somebody pays to us: it may arrive before anybody has said that it will, and for long after. What has arrived in full
#: and cannot be bought for at once is paid: nothing that the clock does takes that back.
PAYS_IN = Machine(
    start=CREATED,
    moves={
        (CREATED, OPEN): OPENED,
        (OPENED, CONFIRM): CONFIRMED,
        (OPENED, PAY): CONFIRMED,
        (OPENED, SETTLE): SETTLED,
        (OPENED, FAIL): FAILED,  # all of it arrived, and it buys nothing
        (OPENED, CANCEL): FAILED,
        (OPENED, EXPIRE): EXPIRED,
        (CONFIRMED, PAY): CONFIRMED,
        (CONFIRMED, SETTLE): SETTLED,
        (CONFIRMED, FAIL): FAILED,
        (CONFIRMED, EXPIRE): EXPIRED,
    },
)

#: We pay somebody: once confirmed it ends as its payout does.
PAYS_OUT = Machine(
    start=CREATED,
    moves={
        (CREATED, OPEN): OPENED,
        (OPENED, CONFIRM): CONFIRMED,
        (OPENED, CANCEL): FAILED,
        (OPENED, EXPIRE): EXPIRED,
        (CONFIRMED, SETTLE): SETTLED,
        (CONFIRMED, FAIL): FAILED,
    },
)

CHECKOUTS = Lifecycle(
    product="checkout",
    machines={ASSET_IN: PAYS_IN, FIAT_IN: PAYS_IN, FIAT_OUT: PAYS_OUT},
    waits_for={},
    overdue={OPENED: EXPIRE, CONFIRMED: EXPIRE},
    ended=frozenset({SETTLED, FAILED, EXPIRED}),
)

PRODUCT = CHECKOUTS.product
moved = CHECKOUTS.moved
event_of = CHECKOUTS.event_of

#: Bound on what a sender may have written around a reference.
_TEXT_LENGTH_MAX = 1_000
_REFERENCE_LENGTH = 12
#: What looks like a reference may begin within another one: words of the sender's do that.
_REFERENCE = re.compile(rf"(?=(CO[A-Z2-7]{{{_REFERENCE_LENGTH}}}))", re.ASCII)
#: At most so many of them are looked up.
_REFERENCES_MAX = 32

#: At most so many deposits wait for a checkout to be bought for; what comes beyond them stays fiat.
UNBOUGHT_MAX = 100


def reference_of(order_id: UUID) -> str:
    """Return what a transfer has to say so that it is known what it is for: short enough to be typed.

    60 of the bits of the order's id, hashed so that they are not the time's.
    """
    text = b32encode(sha256(b"checkout reference" + order_id.bytes).digest()).decode("ascii")
    return f"CO{text[:_REFERENCE_LENGTH]}"


def references_in(text: str) -> tuple[str, ...]:
    """Return everything in what a sender wrote, however it was spaced, that may be a reference, in its order.

    Only the books know which one is: `Company invoice 4711` looks like one as well.
    """
    written = "".join(text[:_TEXT_LENGTH_MAX].split()).replace("-", "").upper()
    found = dict.fromkeys(match[1] for match in _REFERENCE.finditer(written))
    return tuple(found)[:_REFERENCES_MAX]


def place_of(network: str, address: str) -> str:
    """Return the place that an address on a chain is; in hexadecimal ones capitals are a checksum only."""
    return f"{network}/{address.lower() if address[:2].lower() == '0x' else address}"


class Checkout(Noun, frozen=True, kw_only=True, gc=False):
    """What a checkout is about and never changes; its life is the order's of the same id.

    `items` are what the person pays for, as JSON that is only shown. `ceiling` is the most of the asset that the tenant
    would sell for it. `category` of payment methods, if one was asked for. `token_hash` is of the secret in the page's
    address. The person is to pay to an `address` on a `network`, or by a transfer with a `reference` to the bank
    details that `method` names; fiat that is paid in buys the asset with `spread_bps` put on the market's price, less
    `fee_bps` of it, both in ten-thousandths as they were when it was opened.
    """

    order_id: UUID
    tenant_id: UUID
    party_id: UUID
    asset: str
    fiat: str | None = None
    ceiling: Decimal | None = None
    category: str | None = None
    return_url: str
    items: str
    external_id: str | None = None
    token_hash: str
    spread_bps: int = 0
    fee_bps: int = 0
    network: str | None = None
    address: str | None = None
    method: str | None = None
    reference: str | None = None

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


class AwaitedPayment(Noun, frozen=True, kw_only=True, gc=False):
    """What is to arrive at a place, an address or under a reference, for a checkout, and what has arrived so far.

    Both are in the units of the asset or fiat that the person pays; what it has brought is in the asset's, at the
    `rate` at which the latest of it was bought. `unbought_ids` are the deposits, oldest first, that have arrived and
    could not be bought for yet; each is bought for once, as a whole.
    """

    place: str
    order_id: UUID
    due_units: int
    arrived_units: int = 0
    brought_units: int = 0
    unbought_ids: tuple[UUID, ...] = ()
    rate: Decimal | None = None

    @property
    def key(self) -> str:
        """Return the place."""
        return self.place
