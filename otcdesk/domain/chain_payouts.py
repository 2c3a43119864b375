"""The chain payout: a tenant's asset leaves for an address on a chain.

It is reserved when it is asked for and gone when the rail has sent it; what the rail provably has not sent is the
tenant's again. Source: ramp contract, 3.10 (`bank-deposit-to-onchain-address`) and 4.
"""

from uuid import UUID

from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.noun import Noun
from otcdesk.machine import Machine

SEND = "send"

CREATED = "created"
PENDING = "pending"
SETTLED = "settled"
FAILED = "failed"

SUBMIT = "submit"
SETTLE = "settle"
FAIL = "fail"

#: What such an order waits for; the chain itself, by a worker of this product.
CHAIN_PAYOUT_RAIL = "chain_payout"

CHAIN_PAYOUT_ORDER = Machine(
    start=CREATED,
    moves={
        (CREATED, SUBMIT): PENDING,
        (PENDING, SETTLE): SETTLED,
        (PENDING, FAIL): FAILED,
    },
)

CHAIN_PAYOUTS = Lifecycle(
    product="chain_payout",
    machines={SEND: CHAIN_PAYOUT_ORDER},
    waits_for={(SEND, PENDING): CHAIN_PAYOUT_RAIL},
    overdue={},
    ended=frozenset({SETTLED, FAILED}),
)

PRODUCT = CHAIN_PAYOUTS.product
moved = CHAIN_PAYOUTS.moved
event_of = CHAIN_PAYOUTS.event_of


class ChainPayout(Noun, frozen=True, kw_only=True, gc=False):
    """Where an asset goes, and never changes: an address on a network, for a party, by a rule's execution.

    The rail's own id of it, the hash, is told by the event that settled its order, and is kept as the order's reason.
    """

    order_id: UUID
    tenant_id: UUID
    party_id: UUID | None
    network: str
    address: str
    rule_id: UUID | None = None
    rule_execution_id: UUID | None = None
    deposit_id: UUID | None = None

    @property
    def key(self) -> UUID:
        """Return the order's id."""
        return self.order_id
