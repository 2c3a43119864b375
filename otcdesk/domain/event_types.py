"""The catalogue of what clients can be told: names, versions, who may see them, and what each is about.

An event type is a fact (`conversion.completed`). Those of orders are found by the move that the order made; an entry of
a tenant's cash account is an event of that account; what the desk tells its operator about itself is made where it
happens. How a dialect says any of them is in its `callbacks.py`.
"""

from datetime import datetime
from enum import Enum
from typing import Literal
from uuid import UUID

import msgspec

from otcdesk.domain import brokerage as b
from otcdesk.domain import chain_payouts as cp
from otcdesk.domain import checkouts as h
from otcdesk.domain import conversions as c
from otcdesk.domain import deposits as d
from otcdesk.domain import payouts as p
from otcdesk.domain import resales as r
from otcdesk.domain.brokerage import FirmQuote, Listing
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.checkouts import Checkout
from otcdesk.domain.deposits import BankDetails, Deposit
from otcdesk.domain.ledger import Account
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import Payment, PaymentMethod


class Subject(Enum):
    """What an event is about; its version is that of the row."""

    ORDER = "order"
    ACCOUNT = "account"
    SUBSCRIPTION = "webhook"


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the catalogue; `version` rises when fields change their meaning. Tenants see only their own events."""

    name: str
    subject: Subject
    meaning: str
    version: int = 1
    for_tenants: bool = True

    @property
    def visible_to(self) -> tuple[Literal["tenant", "operator"], ...]:
        """Return who may hear it: the tenant whose it is, if tenants may, and always the operator."""
        return ("tenant", "operator") if self.for_tenants else ("operator",)


def _of_order(name: str, meaning: str) -> EventType:
    return EventType(name=name, subject=Subject.ORDER, meaning=meaning)


def _of_desk(name: str, meaning: str) -> EventType:
    return EventType(name=name, subject=Subject.ORDER, meaning=meaning, for_tenants=False)


CONFIRMED = _of_order("conversion.confirmed", "The customer accepted the quote.")
DEBIT_SETTLED = _of_order("conversion.debit_settled", "The customer's cash arrived; the order waits for approval.")
DEBIT_FAILED = _of_order("conversion.debit_failed", "The customer's cash did not arrive.")
REQUOTED = _of_order("conversion.requoted", "The operator gave a new rate; the customer must confirm again.")
CANCELLED = _of_order("conversion.cancelled", "The customer cancelled.")
EXPIRED = _of_order("conversion.expired", "The quote was not confirmed in time.")
APPROVED = _of_order(
    "conversion.approved", "The operator fixed the rate, which is told once it is executed; the transfer is under way."
)
REJECTED = _of_order("conversion.rejected", "The operator rejected the order.")
COLLECTED = _of_order("conversion.collected", "The customer's tokens were collected; its cash is being paid.")
RAIL_REFUSED = _of_order("conversion.transfer_refused", "A transfer was refused and nothing moved.")
RETURNING = _of_order("conversion.returning", "The cash could not be paid; the tokens go back.")
RETURN_REFUSED = _of_desk(
    "conversion.return_refused", "The tokens could not go back to the customer; the chain is asked again, by and by."
)
COMPLETED = _of_order("conversion.completed", "Both sides have what they traded.")
FAILED = _of_order("conversion.failed", "The tokens are back with the customer.")

BROKERAGE_ACCEPTED = _of_order("brokerage.accepted", "The quote was accepted; its execution is under way.")
BROKERAGE_FINISHED = _of_order("brokerage.finished", "The quote was executed; both sides have what they traded.")
BROKERAGE_FAILED = _of_order("brokerage.failed", "The accepted quote could not be executed; nothing moved.")
BROKERAGE_EXPIRED = _of_order("brokerage.expired", "The quote was not accepted in time.")

# That somebody looks into a payout is the desk's alone: to its tenant it is pending until it ends (ramp contract 4).
PAYOUT_SUBMITTED = _of_order("payout.submitted", "A payout was sold; it waits for its rail.")
PAYOUT_HELD = _of_desk("payout.held", "A payout is held until somebody has looked into it.")
PAYOUT_RELEASED = _of_desk("payout.released", "A payout that was held waits for its rail again.")
PAYOUT_FILED = _of_desk("payout.filed", "A payout is in a file for the bank.")
PAYOUT_CANCELLING = _of_desk("payout.cancelling", "A payout is being cancelled; its rail may have paid it already.")
PAYOUT_SETTLED = _of_order("payout.settled", "A payout was paid; or one came back, or was corrected.")
PAYOUT_FAILED = _of_order("payout.failed", "A payout could not be paid; what it took is available again.")

DEPOSIT_ARRIVED = _of_order("deposit.arrived", "A deposit was seen; it is not in the books yet.")
DEPOSIT_SETTLED = _of_order("deposit.settled", "A deposit is the tenant's.")
DEPOSIT_FAILED = _of_order("deposit.failed", "A deposit was not accepted; it goes back to its sender.")
DEPOSIT_REFUNDED = _of_order("deposit.refunded", "A deposit that was not accepted is back with its sender.")

CHAIN_PAYOUT_SUBMITTED = _of_order("chain_payout.submitted", "A transfer to an address waits for its chain.")
CHAIN_PAYOUT_SETTLED = _of_order("chain_payout.settled", "A transfer to an address was sent.")
CHAIN_PAYOUT_FAILED = _of_order("chain_payout.failed", "A transfer to an address could not be sent; nothing moved.")

CHECKOUT_OPENED = _of_order("checkout.opened", "A checkout waits for a person to complete it on its page.")
CHECKOUT_CONFIRMED = _of_order("checkout.confirmed", "A person completed a checkout; it ends with what is paid for it.")
CHECKOUT_PAID = _of_order("checkout.paid", "All of it has arrived for a checkout, and waits to be bought for.")
CHECKOUT_CANCELLED = _of_order("checkout.cancelled", "A person turned a checkout down.")
CHECKOUT_SETTLED = _of_order("checkout.settled", "What a checkout is about was paid.")
CHECKOUT_FAILED = _of_order("checkout.failed", "What a checkout is about could not be paid.")
CHECKOUT_EXPIRED = _of_order("checkout.expired", "A checkout was not completed in time.")

RESALE_PLACED = _of_order("resale.placed", "Units were listed, or bought; both wait for the chain.")
RESALE_BID = _of_order("resale.bid", "A party bids for units that another has listed.")
RESALE_ACTIVATED = _of_order("resale.activated", "What was listed can be taken.")
RESALE_TAKEN = _of_order("resale.taken", "A part of what is listed was sold or promised.")
RESALE_COMPLETED = _of_order("resale.completed", "Units and money have changed hands.")
RESALE_WITHDRAWING = _of_order("resale.withdrawing", "What was listed is being given back by the chain.")
RESALE_RESUMED = _of_order("resale.resumed", "The chain did not give it back; it can be taken again.")
RESALE_CANCELLED = _of_order("resale.cancelled", "What was listed or bid for was taken back, or closed.")
RESALE_REJECTED = _of_order("resale.rejected", "A rule of the branch turned it down.")
RESALE_EXPIRED = _of_order("resale.expired", "Nobody took it in time.")
RESALE_FAILED = _of_order("resale.failed", "The chain refused it; what it held is available again.")
RESALE_ACCEPTED = _of_order("resale.accepted", "A bid was accepted; its money is under way.")
RESALE_DECLINED = _of_order("resale.declined", "A bid was declined.")

BALANCE_UPDATED = EventType(
    name="account.balance_updated",
    subject=Subject.ACCOUNT,
    meaning="An entry changed the balance of a customer's cash account.",
)
WEBHOOK_TEST = EventType(
    name="webhook.test", subject=Subject.SUBSCRIPTION, meaning="Somebody asked for it; nothing happened."
)
WEBHOOK_DISABLED = EventType(
    name="webhook.disabled",
    subject=Subject.SUBSCRIPTION,
    meaning="A webhook was switched off because its receiver failed for too long, or said that it is gone.",
    for_tenants=False,
)

#: Which type a move is, by the machine's event and the state that it led to.
_CONVERSION_MOVES: dict[tuple[str, str], EventType] = {
    (c.CONFIRM, c.DEBIT_PENDING): CONFIRMED,
    (c.CONFIRM, c.PENDING_APPROVAL): CONFIRMED,
    (c.DEBIT_SETTLED, c.PENDING_APPROVAL): DEBIT_SETTLED,
    (c.DEBIT_FAILED, c.FAILED): DEBIT_FAILED,
    (c.REQUOTE, c.REQUOTED): REQUOTED,
    (c.CANCEL, c.CANCELLED): CANCELLED,
    (c.EXPIRE, c.EXPIRED): EXPIRED,
    (c.APPROVE, c.PAYING): APPROVED,
    (c.APPROVE, c.COLLECTING): APPROVED,
    (c.REJECT, c.REJECTED): REJECTED,
    (c.LEG_DONE, c.PAYING): COLLECTED,
    (c.LEG_DONE, c.COMPLETED): COMPLETED,
    (c.LEG_DONE, c.FAILED): FAILED,
    (c.LEG_REFUSED, c.PENDING_APPROVAL): RAIL_REFUSED,
    (c.LEG_REFUSED, c.RETURNING): RETURNING,
    (c.RETURN_REFUSED, c.RETURNING): RETURN_REFUSED,
}

_BROKERAGE_MOVES: dict[tuple[str, str], EventType] = {
    (b.ACCEPT, b.IN_PROGRESS): BROKERAGE_ACCEPTED,
    (b.FINISH, b.FINISHED): BROKERAGE_FINISHED,
    (b.FAIL, b.FAILED): BROKERAGE_FAILED,
    (b.EXPIRE, b.EXPIRED): BROKERAGE_EXPIRED,
}

_PAYOUT_MOVES: dict[tuple[str, str], EventType] = {
    (p.SUBMIT, p.PENDING): PAYOUT_SUBMITTED,
    (p.HOLD, p.HELD): PAYOUT_HELD,
    (p.RELEASE, p.PENDING): PAYOUT_RELEASED,
    (p.FILE, p.FILED): PAYOUT_FILED,
    (p.CANCEL, p.CANCELLING): PAYOUT_CANCELLING,
    (p.SETTLE, p.SETTLED): PAYOUT_SETTLED,
    (p.FAIL, p.FAILED): PAYOUT_FAILED,
}

_DEPOSIT_MOVES: dict[tuple[str, str], EventType] = {
    (d.ARRIVE, d.PENDING): DEPOSIT_ARRIVED,
    (d.SETTLE, d.SETTLED): DEPOSIT_SETTLED,
    (d.FAIL, d.FAILED): DEPOSIT_FAILED,
    (d.REFUND, d.REFUNDED): DEPOSIT_REFUNDED,
}

_CHAIN_PAYOUT_MOVES: dict[tuple[str, str], EventType] = {
    (cp.SUBMIT, cp.PENDING): CHAIN_PAYOUT_SUBMITTED,
    (cp.SETTLE, cp.SETTLED): CHAIN_PAYOUT_SETTLED,
    (cp.FAIL, cp.FAILED): CHAIN_PAYOUT_FAILED,
}

_CHECKOUT_MOVES: dict[tuple[str, str], EventType] = {
    (h.OPEN, h.OPENED): CHECKOUT_OPENED,
    (h.CONFIRM, h.CONFIRMED): CHECKOUT_CONFIRMED,
    (h.PAY, h.CONFIRMED): CHECKOUT_PAID,
    (h.CANCEL, h.FAILED): CHECKOUT_CANCELLED,
    (h.SETTLE, h.SETTLED): CHECKOUT_SETTLED,
    (h.FAIL, h.FAILED): CHECKOUT_FAILED,
    (h.EXPIRE, h.EXPIRED): CHECKOUT_EXPIRED,
}

_RESALE_MOVES: dict[tuple[str, str], EventType] = {
    (r.PLACE, r.PENDING): RESALE_PLACED,
    (r.PLACE, r.ACTIVE): RESALE_BID,
    (r.ACTIVATE, r.ACTIVE): RESALE_ACTIVATED,
    (r.TAKE, r.ACTIVE): RESALE_TAKEN,
    (r.TAKE, r.WITHDRAWING): RESALE_TAKEN,
    (r.COMPLETE, r.COMPLETED): RESALE_COMPLETED,
    (r.WITHDRAW, r.WITHDRAWING): RESALE_WITHDRAWING,
    (r.RESUME, r.ACTIVE): RESALE_RESUMED,
    (r.CANCEL, r.CANCELLED): RESALE_CANCELLED,
    (r.REJECT, r.CANCELLED): RESALE_REJECTED,
    (r.EXPIRE, r.EXPIRED): RESALE_EXPIRED,
    (r.FAIL, r.FAILED): RESALE_FAILED,
    (r.ACCEPT, r.PENDING): RESALE_ACCEPTED,
    (r.DECLINE, r.DECLINED): RESALE_DECLINED,
}


def _named(lifecycle: Lifecycle, types: dict[tuple[str, str], EventType]) -> dict[tuple[str, str], EventType]:
    """Return types by the names of events; each move of the product has a type, and each type a move."""
    machines = lifecycle.machines.values()
    moves = {(event, state) for machine in machines for (_, event), state in machine.moves.items()}
    if moves != types.keys():
        raise AssertionError(f"moves without a type, or types without a move: {sorted(moves ^ types.keys())}")
    return {(lifecycle.event_name(event), state): kind for (event, state), kind in types.items()}


#: Which type an order's move is, by the name of the event that recorded it and the state that it led to.
ORDER_MOVES: dict[tuple[str, str], EventType] = {
    **_named(c.CONVERSIONS, _CONVERSION_MOVES),
    **_named(b.BROKERAGE, _BROKERAGE_MOVES),
    **_named(p.PAYOUTS, _PAYOUT_MOVES),
    **_named(h.CHECKOUTS, _CHECKOUT_MOVES),
    **_named(d.DEPOSITS, _DEPOSIT_MOVES),
    **_named(cp.CHAIN_PAYOUTS, _CHAIN_PAYOUT_MOVES),
    **_named(r.RESALES, _RESALE_MOVES),
}

CATALOGUE: dict[str, EventType] = {
    kind.name: kind for kind in (*dict.fromkeys(ORDER_MOVES.values()), BALANCE_UPDATED, WEBHOOK_TEST, WEBHOOK_DISABLED)
}


class BrokerageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a brokerage order is about: its quote, what it was accepted under, and what its assets are listed as.

    `scales` are the decimals of its asset and its fiat, by code.
    """

    quote: FirmQuote
    external_id: str | None
    listings: list[Listing]
    scales: dict[str, int]


class PayoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a payout order is about: its payment, who is paid and where, and in which kind of lane.

    `party_external_id` is the tenant's own name for the party, `reference` what its rail calls a payout that is
    settled. `scales` are the decimals of its asset and its fiat, by code.
    """

    payment: Payment
    method: PaymentMethod | None
    party_external_id: str | None
    reference: str | None
    lane_kind: str
    scales: dict[str, int]


class OutsideFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is about by which money comes in or leaves for a chain: a deposit, or where it is sent.

    `bank` are the details to which a deposit came, `party_external_id` is the tenant's own name for whom it is for, and
    `scales` are the decimals of what moves, by code.
    """

    deposit: Deposit | None = None
    bank: BankDetails | None = None
    sending: ChainPayout | None = None
    party_external_id: str | None = None
    lane_kind: str
    scales: dict[str, int]


class CheckoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout is about, and in which kind of lane.

    `party_external_id` is the tenant's own name for whom it is for, `scales` are the decimals of its asset and fiat,
    by code.
    """

    checkout: Checkout
    party_external_id: str | None
    lane_kind: str
    scales: dict[str, int]


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, as it is told: its type, and its subject as it was right after.

    `id` is the same however often and to whomever it is told. `happened_at` is business time. An order's occurrence has
    the `order` with the state, rate and amounts of that version and, in `before`, the types and states of everything
    that happened to it earlier, and of brokerage and payouts the facts that never change; an account's has the
    `account` with the balance of that version, and in `asset_scale` the decimals of its asset; `detail` is what is told
    of a subscription. `tenant_name` is what the world file calls the tenant, empty where nobody looked.
    """

    id: str
    type: EventType
    lane: int
    tenant_id: UUID
    tenant_name: str = ""
    subject_id: UUID
    subject_version: int
    happened_at: datetime
    order: Order | None = None
    before: tuple[tuple[EventType, str], ...] = ()
    brokerage: BrokerageFacts | None = None
    payout: PayoutFacts | None = None
    outside: OutsideFacts | None = None
    checkout: CheckoutFacts | None = None
    account: Account | None = None
    asset_scale: int = c.CASH_SCALE
    detail: dict[str, str] | None = None


def product_of(kind: EventType) -> str:
    """Return the product whose orders an event type is about, by the first part of its name."""
    return kind.name.partition(".")[0]


def occurrence_id(subject_id: UUID, subject_version: int) -> str:
    """Return the id by which everybody knows an event: that of its subject and the version it led to."""
    return f"evt_{subject_id.hex}{subject_version:x}"
