"""Listings, jobs and what rules said of listings on the operator's wire; and contracts on chains."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.actions.record_deployment import RecordCurrencyDeployment, RecordInstrumentDeployment
from otcdesk.actions.run_resale_rules import Verdict
from otcdesk.actions.set_fees import SetDeskFees
from otcdesk.api.wire import KEPT_TEXT, DecimalText, PageQuery, TimeText, Uuid, UuidText, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.compact_ids import print_compact_id
from otcdesk.domain.jobs import Job
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.orders import Order
from otcdesk.domain.resale_rules import ResaleDecision
from otcdesk.domain.resales import Currency, Instrument, Resale, ResaleTerms
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_percent, plain, print_units

#: An id as the tenant's clients know it.
CompactText = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{24}$"})]
Reason = Annotated[str, Meta(min_length=1, max_length=300, pattern=KEPT_TEXT)]
Address = Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]

JobState = Literal["started", "in_progress", "completed", "failed"]
JobKind = Literal["list", "withdraw", "purchase", "burn", "follow", "send"]


class ResalesQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only what is on one market, or in one state."""

    market: Literal["otc", "secondary"] | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET


class JobsQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only jobs of one kind, in one state, or of one order.

    `retryable`: only those that the chain refused after the books had moved, and that nobody has retried.
    """

    kind: JobKind | msgspec.UnsetType = msgspec.UNSET
    state: JobState | msgspec.UnsetType = msgspec.UNSET
    orderId: Uuid | msgspec.UnsetType = msgspec.UNSET  # noqa: N815  (wire name)
    retryable: bool | msgspec.UnsetType = msgspec.UNSET


class FailRequest(msgspec.Struct, kw_only=True):
    """Why a job is not to be carried out."""

    reason: Reason


class CurrencyDeploymentRequest(msgspec.Struct, kw_only=True):
    """What has become of a currency; the address of its contract, and the transaction that made it."""

    status: Literal["draft", "in_progress", "deployed", "error"]
    address: Address | None = None
    hash: Address | None = None


class InstrumentDeploymentRequest(msgspec.Struct, kw_only=True):
    """What has become of an instrument; the address of its contract, and the transaction that made it."""

    status: Literal["draft", "in_progress", "error", "not_listed", "delisted", "listed", "passive", "burnt"]
    address: Address | None = None
    hash: Address | None = None


class DeskFeesRequest(msgspec.Struct, kw_only=True):
    """What the desk takes of each sale, in percent."""

    otcPercent: DecimalText  # noqa: N815
    secondaryPercent: DecimalText  # noqa: N815
    primaryPercent: DecimalText  # noqa: N815


class DeskFeesAnswer(msgspec.Struct, kw_only=True):
    """What the desk takes, how long a listing lives (null: for ever), and whether parties must be verified."""

    otcPercent: DecimalText  # noqa: N815
    secondaryPercent: DecimalText  # noqa: N815
    primaryPercent: DecimalText  # noqa: N815
    validitySeconds: int | None  # noqa: N815
    verifiesParties: bool  # noqa: N815


class VerdictAnswer(msgspec.Struct, kw_only=True):
    """What one rule said of a listing: what it did, or why it did nothing."""

    ruleId: CompactText  # noqa: N815
    name: str
    said: str


class DecisionAnswer(msgspec.Struct, kw_only=True):
    """What the rules said of a listing, in the order in which they were asked: the last one decided, if any did."""

    orderId: UuidText  # noqa: N815
    ruleId: CompactText | None  # noqa: N815
    action: Literal["accept", "reject"] | None
    verdicts: list[VerdictAnswer]
    decidedAt: TimeText  # noqa: N815


class ResaleAnswer(msgspec.Struct, kw_only=True):
    """What is listed. Of its quantity some is available, some promised to purchases under way, some sold."""

    id: UuidText
    compactId: CompactText  # noqa: N815
    customerId: UuidText  # noqa: N815
    branchId: CompactText  # noqa: N815
    partyId: CompactText  # noqa: N815
    instrumentId: CompactText  # noqa: N815
    symbol: str
    number: int | None
    market: str
    status: str
    quantity: int
    available: int
    promised: int
    sold: int
    price: DecimalText
    currency: str
    reason: str | None
    decision: DecisionAnswer | None
    createdAt: TimeText  # noqa: N815
    expiresAt: TimeText | None  # noqa: N815
    updatedAt: TimeText  # noqa: N815
    endedAt: TimeText | None  # noqa: N815


class JobAnswer(msgspec.Struct, kw_only=True):
    """A job: what moves on the chain from which account to which, and how it stands.

    `attempts` counts how often the chain was asked since it last said something; until `restingUntil` it is not asked.
    """

    id: UuidText
    compactId: CompactText  # noqa: N815
    customerId: UuidText  # noqa: N815
    kind: str
    market: str
    state: str
    orderId: UuidText  # noqa: N815
    partyId: CompactText | None  # noqa: N815
    instrumentId: CompactText  # noqa: N815
    sourceAccountId: UuidText  # noqa: N815
    destinationAccountId: UuidText  # noqa: N815
    asset: str
    amount: DecimalText
    reference: str
    tries: int
    attempts: int
    restingUntil: TimeText | None  # noqa: N815
    hash: str | None
    error: str | None
    caller: str
    createdAt: TimeText  # noqa: N815
    updatedAt: TimeText  # noqa: N815


class ResaleDetail(ResaleAnswer, kw_only=True):
    """What is listed, with all jobs of it."""

    jobs: list[JobAnswer]


class CurrencyAnswer(msgspec.Struct, kw_only=True):
    """A currency of a branch."""

    id: UuidText
    compactId: CompactText  # noqa: N815
    branchId: CompactText  # noqa: N815
    asset: str
    name: str
    symbol: str
    status: str
    address: str | None
    hash: str | None
    createdAt: TimeText  # noqa: N815
    updatedAt: TimeText  # noqa: N815


class InstrumentAnswer(msgspec.Struct, kw_only=True):
    """An instrument of a branch; `price` is of one, in its currency."""

    id: UuidText
    compactId: CompactText  # noqa: N815
    branchId: CompactText  # noqa: N815
    asset: str
    name: str
    symbol: str
    status: str
    price: DecimalText
    currencyId: CompactText  # noqa: N815
    maxSupply: int  # noqa: N815
    openToResale: bool  # noqa: N815
    openToMarket: bool  # noqa: N815
    isPublic: bool  # noqa: N815
    address: str | None
    hash: str | None
    createdAt: TimeText  # noqa: N815
    updatedAt: TimeText  # noqa: N815


class StoredResale(msgspec.Struct, frozen=True):
    """A listing as the books have it."""

    order: Order
    resale: Resale
    instrument: Instrument
    currency: Currency
    scale: int
    decision: ResaleDecision | None = None


class StoredResales(msgspec.Struct, frozen=True):
    """A page of them, and the lane's clock."""

    rows: list[StoredResale]
    total: int
    clock: LaneClock | None = None


class StoredDecisions(msgspec.Struct, frozen=True):
    """A page of what rules said."""

    rows: list[ResaleDecision]
    total: int


class StoredJob(msgspec.Struct, frozen=True):
    """A job as the books have it, and how it is asked for."""

    job: Job
    scale: int
    attempts: int
    resting_until: datetime | None = None


class StoredJobs(msgspec.Struct, frozen=True):
    """A page of them."""

    rows: list[StoredJob]
    total: int


class StoredInstruments(msgspec.Struct, frozen=True):
    """A page of instruments."""

    rows: list[Instrument]
    total: int


_verdicts = msgspec.json.Decoder(list[Verdict]).decode


def decision_answer(decision: ResaleDecision) -> DecisionAnswer:
    """Render what rules said."""
    return DecisionAnswer(
        orderId=str(decision.order_id),
        ruleId=None if decision.rule_id is None else print_compact_id(decision.rule_id),
        action=decision.action,  # type: ignore[arg-type]
        verdicts=[
            VerdictAnswer(ruleId=print_compact_id(UUID(one.rule_id)), name=one.name, said=one.said)
            for one in _verdicts(decision.explanation)
        ],
        decidedAt=iso_milliseconds(decision.decided_at),
    )


def resale_answer(stored: StoredResale, order: Order) -> ResaleAnswer:
    """Render what is listed, its order as it is by the clock."""
    resale, is_stored = stored.resale, order is stored.order
    return ResaleAnswer(
        id=str(order.id),
        compactId=print_compact_id(order.id),
        customerId=str(order.tenant_id),
        branchId=print_compact_id(resale.branch_id),
        partyId=print_compact_id(resale.party_id),
        instrumentId=print_compact_id(resale.instrument_id),
        symbol=stored.instrument.symbol,
        number=resale.number,
        market=resale.market,
        status=order.state,
        quantity=resale.quantity,
        available=resale.available if is_stored else 0,
        promised=resale.promised,
        sold=resale.sold,
        price=print_units(resale.price_units, stored.scale),
        currency=stored.currency.symbol,
        reason=order.reason,
        decision=None if stored.decision is None else decision_answer(stored.decision),
        createdAt=iso_milliseconds(order.created_at),
        expiresAt=time_text(order.expires_at if order.ttl_seconds else None),
        updatedAt=iso_milliseconds(order.updated_at),
        endedAt=time_text(order.ended_at),
    )


def resale_detail(stored: StoredResale, order: Order, jobs: list[StoredJob]) -> ResaleDetail:
    """Render what is listed with its jobs."""
    shown = msgspec.structs.asdict(resale_answer(stored, order))
    return ResaleDetail(**shown, jobs=[job_answer(job) for job in jobs])


def job_answer(stored: StoredJob) -> JobAnswer:
    """Render a job."""
    job = stored.job
    return JobAnswer(
        id=str(job.id),
        compactId=print_compact_id(job.id),
        customerId=str(job.tenant_id),
        kind=job.kind,
        market=job.market,
        state=job.state,
        orderId=str(job.order_id),
        partyId=None if job.party_id is None else print_compact_id(job.party_id),
        instrumentId=print_compact_id(job.instrument_id),
        sourceAccountId=str(job.source_account_id),
        destinationAccountId=str(job.destination_account_id),
        asset=job.asset,
        amount=print_units(job.units, stored.scale),
        reference=job.reference,
        tries=job.tries,
        attempts=stored.attempts,
        restingUntil=time_text(stored.resting_until),
        hash=job.hash,
        error=job.error,
        caller=job.caller,
        createdAt=iso_milliseconds(job.created_at),
        updatedAt=iso_milliseconds(job.updated_at),
    )


def currency_answer(row: Currency) -> CurrencyAnswer:
    """Render a currency."""
    return CurrencyAnswer(
        id=str(row.id),
        compactId=print_compact_id(row.id),
        branchId=print_compact_id(row.branch_id),
        asset=row.asset,
        name=row.name,
        symbol=row.symbol,
        status=row.state,
        address=row.address,
        hash=row.hash,
        createdAt=iso_milliseconds(row.created_at),
        updatedAt=iso_milliseconds(row.updated_at),
    )


def instrument_answer(row: Instrument) -> InstrumentAnswer:
    """Render an instrument."""
    return InstrumentAnswer(
        id=str(row.id),
        compactId=print_compact_id(row.id),
        branchId=print_compact_id(row.branch_id),
        asset=row.asset,
        name=row.name,
        symbol=row.symbol,
        status=row.state,
        price=format(row.price, "f"),
        currencyId=print_compact_id(row.currency_id),
        maxSupply=row.max_supply_units,
        openToResale=row.open_to_resale,
        openToMarket=row.open_to_market,
        isPublic=row.is_public,
        address=row.address,
        hash=row.hash,
        createdAt=iso_milliseconds(row.created_at),
        updatedAt=iso_milliseconds(row.updated_at),
    )


def fees_answer(terms: ResaleTerms) -> DeskFeesAnswer:
    """Render the desk's fees."""
    return DeskFeesAnswer(
        otcPercent=format(terms.otc_fee_percent, "f"),
        secondaryPercent=format(terms.secondary_fee_percent, "f"),
        primaryPercent=format(terms.primary_fee_percent, "f"),
        validitySeconds=terms.validity_seconds,
        verifiesParties=terms.verifies_parties,
    )


def fees_command(body: DeskFeesRequest) -> SetDeskFees:
    """Return the command that sets the desk's fees; refuses REQUEST_INVALID."""
    return SetDeskFees(
        otc_fee_percent=_percent(body.otcPercent, "otcPercent"),
        secondary_fee_percent=_percent(body.secondaryPercent, "secondaryPercent"),
        primary_fee_percent=_percent(body.primaryPercent, "primaryPercent"),
        fees="{}",
    )


def _percent(text: str, field: str) -> Decimal:
    value = parse_percent(text)
    if value is None:
        raise Refusal(Code.REQUEST_INVALID, f"The {field} must be a decimal from 0 to 100 with at most six places.")
    return plain(value)


def currency_command(currency_id: UUID, body: CurrencyDeploymentRequest) -> RecordCurrencyDeployment:
    """Return the command that records what has become of a currency."""
    return RecordCurrencyDeployment(id=currency_id, state=body.status, address=body.address, hash=body.hash)


def instrument_command(instrument_id: UUID, body: InstrumentDeploymentRequest) -> RecordInstrumentDeployment:
    """Return the command that records what has become of an instrument."""
    return RecordInstrumentDeployment(id=instrument_id, state=body.status, address=body.address, hash=body.hash)
