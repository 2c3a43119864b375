"""The deposit: money that arrives, fiat at a bank or an asset on a chain, for a tenant and perhaps one of its parties.

The outside has a reference of its own for each, under which it may be told any number of times. What is pending is
nobody's yet: only a settled deposit is in the books. One that failed is sent back. Sources: ramp contract, 3.10, 3.11
and 6.
"""

from datetime import datetime
from functools import lru_cache
from uuid import UUID

from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.domain.parties import declared_id
from otcdesk.machine import Machine

# Sides of a deposit: at a bank, or on a chain.
FIAT = "fiat"
ASSET = "asset"

CREATED = "created"
PENDING = "pending"
SETTLED = "settled"
FAILED = "failed"
REFUNDED = "refunded"

ARRIVE = "arrive"
SETTLE = "settle"
FAIL = "fail"
REFUND = "refund"

DEPOSIT_ORDER = Machine(
    start=CREATED,
    moves={
        (CREATED, ARRIVE): PENDING,
        (PENDING, SETTLE): SETTLED,
        (PENDING, FAIL): FAILED,  # it was never ours, and goes back
        (FAILED, REFUND): REFUNDED,
    },
)

#: Assets that are on chains, so no bank has any of them, and the networks on which they have addresses.
CHAIN_ASSETS = frozenset({"BTC", "ETH", "USDC"})
CHAIN_NETWORKS = frozenset({"Bitcoin", "Ethereum", "PolygonPos", "Solana", "Base", "Celo", "FlowEvm", "Gnosis"})

DEPOSITS = Lifecycle(
    product="deposit",
    machines={FIAT: DEPOSIT_ORDER, ASSET: DEPOSIT_ORDER},
    waits_for={},
    overdue={},
    ended=frozenset({SETTLED, FAILED, REFUNDED}),
)

PRODUCT = DEPOSITS.product
moved = DEPOSITS.moved
event_of = DEPOSITS.event_of


@lru_cache(maxsize=65_536)
def deposit_id(network: str, destination: str, outside_id: str) -> UUID:
    """Return the id of the deposit that the outside knows by this id, at a destination on a network ("": a bank)."""
    return declared_id("deposit", network, destination, outside_id)


def purchase_id(order_id: UUID) -> UUID:
    """Return the id of what is bought for a deposit: it is spent once."""
    return declared_id("deposit purchase", str(order_id))


def refund_id(order_id: UUID) -> UUID:
    """Return the id of a deposit's refund: it goes back once."""
    return declared_id("deposit refund", str(order_id))


class DepositAddress(Noun, frozen=True, kw_only=True, gc=False):
    """An address on a chain at which assets arrive for a tenant, and perhaps for one of its parties.

    One that was made for a rule sets off that rule alone.
    """

    network: str
    address: str
    tenant_id: UUID
    party_id: UUID | None
    rule_id: UUID | None
    created_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """Return the network and the address."""
        return self.network, self.address


class BankDetails(Noun, frozen=True, kw_only=True, gc=False):
    """A bank account of the desk's at which fiat arrives for a tenant, and perhaps for one of its parties.

    `name` is how the tenant knows it, `type` the kind of payment method (`BankSepa`); `number` and `bank_code` are the
    bank's. One that was made for a rule sets off that rule alone.
    """

    name: str
    tenant_id: UUID
    party_id: UUID | None
    rule_id: UUID | None
    type: str
    country: str
    fiat: str
    number: str
    bank_code: str | None
    holder: str
    created_at: datetime

    @property
    def key(self) -> str:
        """Return the name."""
        return self.name


class Deposit(Noun, frozen=True, kw_only=True, gc=False):
    """What a deposit is and never changes; its life, asset and amount are the order's of the same id.

    Fiat arrives at bank details, which `method` names, an asset at an `address` on a `network` by the transaction with
    this `hash`. `outside_id` is what the outside knows it by, `reference` what the sender wrote. `rule_id` is the rule
    that its destination was made for.
    """

    order_id: UUID
    tenant_id: UUID
    party_id: UUID | None
    rule_id: UUID | None
    outside_id: str
    method: str | None = None
    reference: str | None = None
    sender_name: str | None = None
    sender_number: str | None = None
    sender_bank_code: str | None = None
    network: str | None = None
    address: str | None = None
    hash: str | None = None
    sender_address: str | None = None

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id


def same_address(one: str, other: str) -> bool:
    """Tell whether two texts are one address: in hexadecimal ones capitals are a checksum only."""
    return one == other or (one[:2].lower() == "0x" and one.lower() == other.lower())
