"""One order with everything that the books and the edges know of it, as the clock has it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from otcdesk.console.names import account_name
from otcdesk.console.orders.states import attention_of, kind_of
from otcdesk.domain.acts import Act
from otcdesk.domain.bank_files import FiledPayout, StatementLine
from otcdesk.domain.brokerage import Acceptance, FirmQuote
from otcdesk.domain.chain_payouts import ChainPayout
from otcdesk.domain.checkouts import AwaitedPayment
from otcdesk.domain.deposits import Deposit
from otcdesk.domain.events import Event
from otcdesk.domain.jobs import FAILED, FOLLOW, Job
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.ledger import Account, Entry, Hold, LedgerTransaction, Posting
from otcdesk.domain.orders import Order, Trade
from otcdesk.domain.parties import DESK_ID, Party, Tenant
from otcdesk.domain.payouts import Channel, Payment, PaymentMethod, PreparedPayout
from otcdesk.domain.products import by_the_clock
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.resale_rules import ResaleDecision
from otcdesk.domain.resales import Branch, Instrument, Purchase, Resale
from otcdesk.storage.database import Reads

#: At most so many rows of each kind are read: a listing that was taken a thousand times is read in its books.
ROWS_MAX: Final = 500

_FILE: Final = "console_orders"
_DIGEST_LETTERS: Final = 16


class RateFact(msgspec.Struct, frozen=True, kw_only=True):
    """A rate that led to what an order executed at: which, where it is from, and of when."""

    name: str
    value: Decimal
    source: str | None
    at: datetime | None


class CheckoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkout is about, without the secret of its page; see `domain.checkouts.Checkout`."""

    asset: str
    fiat: str | None = None
    ceiling: Decimal | None = None
    category: str | None = None
    return_url: str
    items: str
    external_id: str | None = None
    spread_bps: int = 0
    fee_bps: int = 0
    network: str | None = None
    address: str | None = None
    method: str | None = None
    reference: str | None = None


class ChainSend(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent on a chain, by the reference that the desk gave it; the last of `hashes` is the newest."""

    reference: str
    network: str
    purpose: str
    recipient: str
    outcome: str | None
    detail: str
    recorded_at: datetime
    ended_at: datetime | None
    hashes: list[str]


class RailAttempts(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rail was asked for what it has not answered, and until when somebody is at it, or it rests."""

    reference: str
    attempts: int
    until: datetime
    is_held: bool


class CallbackAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver a callback."""

    number: int
    attempted_at: datetime
    response_status: int | None
    response_ms: int
    error: str | None


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook delivery that told of the order: to whom, how far it has come, and when it is tried next."""

    id: UUID
    subscription_id: UUID
    url: str
    envelope: str
    owner_id: UUID
    event_id: str
    event_type: str
    state: str
    due_at: datetime | None
    attempts: int
    error: str | None
    response_status: int | None
    created_at: datetime
    attempted_at: datetime | None
    made: list[CallbackAttempt]


class OwnedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the name of whose it is."""

    account: Account
    owner: str | None


class Related(msgspec.Struct, frozen=True, kw_only=True):
    """Another order that this one has to do with, and how."""

    id: UUID
    why: str
    product: str
    side: str


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is stored, with all that belongs to it; what its product does not have is None or empty."""

    order: Order
    clock: LaneClock | None
    tenant: Tenant | None
    party: Party | None
    trade: Trade | None
    quote: FirmQuote | None
    acceptance: Acceptance | None
    payment: Payment | None
    method: PaymentMethod | None
    channel: Channel | None
    prepared: PreparedPayout | None
    filed: FiledPayout | None
    statement_lines: list[StatementLine]
    deposit: Deposit | None
    chain_payout: ChainPayout | None
    checkout: CheckoutFacts | None
    awaited: AwaitedPayment | None
    resale: Resale | None
    purchase: Purchase | None
    instrument: Instrument | None
    branch: Branch | None
    decision: ResaleDecision | None
    events: list[Event]
    transactions: list[LedgerTransaction]
    postings: list[Posting]
    entries: list[Entry]
    holds: list[Hold]
    jobs: list[Job]
    sends: list[ChainSend]
    leases: list[RailAttempts]
    deliveries: list[Callback]
    proposals: list[Proposal]
    acts: list[Act]
    accounts: list[OwnedAccount]
    related: list[Related]
    scales: dict[str, int]


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """One order at `now`, the lane's time: as the clock has it, its rates, and the names of accounts.

    `whole` has the rest, with the order as it is stored.
    """

    now: datetime
    order: Order
    kind: str
    attention: str | None
    whole: Whole
    rates: list[RateFact]
    account_names: Mapping[UUID, str]

    @property
    def digest(self) -> str:
        """Return what tells whether anything of the order is new: balances and clocks move without it."""
        whole = self.whole
        moving = (
            *(self.order, self.attention, whole.tenant, whole.party, whole.resale, whole.awaited, whole.filed),
            *(whole.events, whole.transactions, whole.holds, whole.jobs, whole.sends, whole.leases, whole.deliveries),
            *(whole.statement_lines, [(one, one.state_at(self.now)) for one in whole.proposals], whole.acts),
            whole.related,
        )
        return hashlib.sha256(msgspec.json.encode(moving)).hexdigest()[:_DIGEST_LETTERS]


async def order_page(reads: Reads, lane: int, order_id: UUID, machine_time: datetime) -> OrderPage | None:
    """Return everything of a lane's order; None if there is none such in the lane."""
    whole = await reads.row(_FILE, "whole", Whole, lane, order_id, ROWS_MAX, DESK_ID)
    if whole is None:
        return None
    now = (whole.clock or LaneClock()).business_time(machine_time)
    order = by_the_clock(whole.order, now)
    return OrderPage(
        now=now,
        order=order,
        kind=kind_of(order),
        attention=attention_of(order, now, job_failed=has_failed_job(whole.jobs)),
        whole=whole,
        rates=rates_of(order, whole.trade),
        account_names={one.account.id: account_name(one.account, one.owner) for one in whole.accounts},
    )


def has_failed_job(jobs: list[Job]) -> bool:
    """Tell whether one of an order's jobs failed that the books do not wait for, and nobody had it tried anew."""
    replaced = {job.replaces for job in jobs}
    return any(job.state == FAILED and job.kind == FOLLOW and job.id not in replaced for job in jobs)


def rates_of(order: Order, trade: Trade | None) -> list[RateFact]:
    """Return the rates that led to an order's terms, in the order of time."""
    rates = [
        RateFact(name="market", value=order.market_rate, source=order.market_source, at=order.market_at),
        RateFact(name="quoted", value=order.quoted_rate, source=order.quoted_by, at=order.quoted_at),
    ]
    if order.approved_market_rate is not None:
        rates.append(
            RateFact(
                name="market at the approval",
                value=order.approved_market_rate,
                source=order.approved_market_source,
                at=order.approved_market_at,
            )
        )
    if order.approved_rate is not None:
        rates.append(
            RateFact(name="approved", value=order.approved_rate, source=order.approved_by, at=order.approved_at)
        )
    if trade is not None:
        rates.append(
            RateFact(name="executed", value=trade.executed_rate, source=trade.executed_by, at=trade.executed_at)
        )
    return rates
