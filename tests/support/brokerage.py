"""Brokerage on the world of the offers contract, step by step."""

from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from otcdesk.actions.accept_quote import AcceptQuote, QuoteAccepted
from otcdesk.actions.quote_brokerage import BrokerageQuoted, QuoteBrokerage
from otcdesk.actions.record_execution import ExecutionRecorded, RecordExecution
from otcdesk.domain.brokerage import (
    BROKER_COST,
    BY_FIAT,
    REVENUE_SHARE,
    SPREAD_INCOME,
    TAX_PAYABLE,
    VENUE_POSITION,
    corporate_id,
    holding_id,
)
from otcdesk.domain.ledger import Account, Hold, desk_account_id
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.world import tenant_id
from otcdesk.domain.world_brokerage import party_id
from tests.support.pure import PureDesk

OFFERS_WORLD = (files("otcdesk") / "worlds" / "offers.toml").read_text(encoding="utf-8")

# Who and what the world declares.
P, Q = tenant_id("P"), tenant_id("Q")
U, V, W = party_id("P", "U"), party_id("P", "V"), party_id("Q", "W")
NO_TERMS, UNVERIFIED, INACTIVE = (party_id("P", ref) for ref in ("no-terms", "unverified", "inactive"))
TENANT_OF = {U: P, V: P, W: Q, NO_TERMS: P, UNVERIFIED: P, INACTIVE: P}

#: The desk's own accounts of the product.
PURPOSES = (VENUE_POSITION, SPREAD_INCOME, BROKER_COST, TAX_PAYABLE, REVENUE_SHARE)


@cache
def _declared(world: str) -> PureDesk:
    return PureDesk(world)


def brokerage_desk(world: str = OFFERS_WORLD) -> PureDesk:
    """Return a desk of its own in which a world is declared."""
    desk = PureDesk(world=None)
    desk.rows = dict(_declared(world).rows)
    return desk


def quoting(side: str = BUY, amount: str = "100.00", defined_for: str = BY_FIAT, **fields: Any) -> QuoteBrokerage:
    """Ask for a quote: U for 100 EUR of BTC unless told otherwise."""
    asked = {"party_id": U, "asset": "BTC", "fiat": "EUR", **fields}
    return QuoteBrokerage(side=side, amount=Decimal(amount), defined_for=defined_for, **asked)


def quoted(
    desk: PureDesk, side: str = BUY, amount: str = "100.00", defined_for: str = BY_FIAT, **fields: Any
) -> BrokerageQuoted:
    command = quoting(side, amount, defined_for, **fields)
    reply: BrokerageQuoted = desk.act(command, owner_id=TENANT_OF[command.party_id], caller="client")
    return reply


def accepting(order: Order, external_id: str | None = "ext-1", *, repeats: bool = True, **fields: Any) -> AcceptQuote:
    """Accept a quote as U unless told otherwise."""
    return AcceptQuote(
        order_id=fields.get("order_id", order.id),
        party_id=fields.get("party_id", U),
        external_id=external_id,
        repeats=repeats,
    )


def accepted(
    desk: PureDesk,
    order: Order,
    external_id: str | None = "ext-1",
    *,
    repeats: bool = True,
    arrived_at: datetime | None = None,
    party_id: UUID = U,
) -> QuoteAccepted:
    """Accept a quote, under its external id as the key."""
    command = accepting(order, external_id, repeats=repeats, party_id=party_id)
    reply: QuoteAccepted = desk.act(
        command, owner_id=TENANT_OF[party_id], caller="client", arrived_at=arrived_at, key=external_id
    )
    return reply


def in_progress(desk: PureDesk, side: str = BUY, amount: str = "100.00", defined_for: str = BY_FIAT) -> Order:
    """Bring a quote to where it waits for the venue."""
    order = quoted(desk, side, amount, defined_for).order
    assert accepted(desk, order, f"ext of {order.id}").state == "in_progress"
    return desk.get(Order, order.id)


def done(order: Order, price: str = "50000", **fields: Any) -> RecordExecution:
    """Say that the venue has carried out an order that waits for it."""
    reference = fields.pop("reference", order.rail_reference or "")
    return RecordExecution(
        order_id=order.id, reference=reference, outcome="done", price=Decimal(price), venue="venue-1", **fields
    )


def refused(order: Order, reason: str | None = "venue_refused", **fields: Any) -> RecordExecution:
    """Say that the venue has not."""
    reference = fields.pop("reference", order.rail_reference or "")
    return RecordExecution(order_id=order.id, reference=reference, outcome="refused", reason=reason, **fields)


def executed(desk: PureDesk, order: Order, price: str = "50000") -> ExecutionRecorded:
    reply: ExecutionRecorded = desk.act(done(order, price), caller="venue")
    return reply


def balance(desk: PureDesk, account_id: UUID) -> tuple[int, int]:
    """Return balance and held of an account, nothing of one that does not exist."""
    account = desk.rows.get((Account, account_id))
    return (account.balance, account.held) if isinstance(account, Account) else (0, 0)


def corporate(desk: PureDesk, tenant: UUID = P, fiat: str = "EUR") -> tuple[int, int]:
    return balance(desk, corporate_id(tenant, fiat))


def holding(desk: PureDesk, party: UUID = U, asset: str = "BTC") -> tuple[int, int]:
    return balance(desk, holding_id(party, asset))


def of_the_desk(desk: PureDesk, fiat: str = "EUR", asset: str = "BTC") -> dict[str, int]:
    """Return the balances of the desk's own accounts that are not zero, and of its position in the asset."""
    found = {purpose: balance(desk, desk_account_id(purpose, fiat))[0] for purpose in PURPOSES}
    found[asset] = balance(desk, desk_account_id(VENUE_POSITION, asset))[0]
    return {name: units for name, units in found.items() if units}


def open_holds(desk: PureDesk) -> int:
    return sum(hold.state == "open" for hold in desk.all(Hold))


def assert_balanced(desk: PureDesk) -> None:
    """Check that every asset's balances sum to nothing and that what is held is held for somebody."""
    totals: dict[str, int] = {}
    held: dict[UUID, int] = {}
    for hold in desk.all(Hold):
        if hold.state == "open":
            held[hold.account_id] = held.get(hold.account_id, 0) + hold.units
    for account in desk.all(Account):
        totals[account.asset] = totals.get(account.asset, 0) + account.balance
        assert account.held == held.pop(account.id, 0), account
        assert account.floor is None or account.available >= account.floor, account
    assert not any(totals.values()), totals
    assert not held
