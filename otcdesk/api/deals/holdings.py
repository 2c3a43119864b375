"""What a user has of a token: the balance that a sell draws on, and how it was come by (contract 3.11).

What a listing holds whose time is over is available at once, whether that was recorded or not. The summary is of what
was bought, ever: what is sold or burnt afterwards does not lessen it. What an account was opened with counts as one
purchase on the primary market at the token's price. Sums of money are of purchases in the currency of that price.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from otcdesk.actions.declare_world import opening_id
from otcdesk.api.deals.holders import KnownInstrument, holding_in
from otcdesk.api.deals.prices import Price, price_of
from otcdesk.api.deals.tables import read
from otcdesk.api.deals.values import Id, id_text, time_text
from otcdesk.api.dialect import Call
from otcdesk.api.wire import TimeText
from otcdesk.domain.brokerage import holding_id
from otcdesk.domain.resales import OTC, PRIMARY, SECONDARY
from otcdesk.errors import Code
from otcdesk.money import units_of


class PurchaseSummary(msgspec.Struct, kw_only=True):
    """What was bought ever, where, and for how much."""

    total_purchases: int
    primary_market_quantity: int
    secondary_market_quantity: int
    otc_quantity: int
    average_purchase_price: Price
    total_invested: Price


class HoldingQuantity(msgspec.Struct, kw_only=True):
    """What a user has of a token; total = available + locked."""

    user_id: Id
    token_id: Id
    token_name: str
    token_symbol: str
    total_quantity: int
    available_quantity: int
    locked_quantity: int
    purchase_summary: PurchaseSummary
    last_purchase_date: TimeText | None
    first_purchase_date: TimeText | None


class Bought(msgspec.Struct, frozen=True):
    """What was bought on a market, by so many purchases; of it `priced_units` for `paid_units` of the token's own."""

    market: str
    number: int
    units: int
    priced_units: int
    paid_units: int
    first_at: datetime
    last_at: datetime


class Holding(msgspec.Struct, frozen=True):
    """What the books have: `overdue` of what is held is held by listings whose time is over."""

    balance: int
    held: int
    overdue: int
    opened_units: int
    bought: list[Bought]
    opened_at: datetime | None = None


class Summed(NamedTuple):
    """Purchases of all markets together, in units of the token and of the currency of its price."""

    number: int
    priced_units: int
    paid_units: int
    first_at: datetime | None
    last_at: datetime | None


async def read_holding(call: Call) -> HoldingQuantity:
    """Show what a user has of a token."""
    holder, known = await holding_in(call)
    party, instrument = holder.party, known.instrument
    account_id = holding_id(party.id, instrument.asset)
    found = await call.desk.reads.row(
        "resales",
        "holding",
        Holding,
        call.caller.lane,
        party.id,
        instrument.id,
        account_id,
        opening_id(account_id),
        holder.now(call),
        instrument.currency_id,
    )
    holding = found or Holding(0, 0, 0, 0, [])
    bought = purchases_of(holding, known)
    summed = summed_up(bought)
    locked = holding.held - holding.overdue
    return HoldingQuantity(
        user_id=id_text(party.id),
        token_id=id_text(instrument.id),
        token_name=instrument.name,
        token_symbol=instrument.symbol,
        total_quantity=holding.balance,
        available_quantity=holding.balance - locked,
        locked_quantity=locked,
        purchase_summary=_summary(bought, summed, known),
        last_purchase_date=None if summed.last_at is None else time_text(summed.last_at),
        first_purchase_date=None if summed.first_at is None else time_text(summed.first_at),
    )


def purchases_of(holding: Holding, known: KnownInstrument) -> list[Bought]:
    """Return what was bought, and what the account was opened with as if it had been."""
    if not holding.opened_units or holding.opened_at is None:
        return holding.bought
    price_units = units_of(known.instrument.price, known.scale) or 0
    units, at = holding.opened_units, holding.opened_at
    opened = Bought(PRIMARY, 1, units, units, units * price_units, at, at)
    return [opened, *holding.bought]


def summed_up(bought: Sequence[Bought]) -> Summed:
    """Return all purchases together."""
    return Summed(
        number=sum(part.number for part in bought),
        priced_units=sum(part.priced_units for part in bought),
        paid_units=sum(part.paid_units for part in bought),
        first_at=min((part.first_at for part in bought), default=None),
        last_at=max((part.last_at for part in bought), default=None),
    )


def average(paid_units: int, units: int) -> int:
    """Return what one cost, to the nearest of the currency's smallest units; nothing if nothing was bought."""
    return (2 * paid_units + units) // (2 * units) if units else 0


def _summary(bought: Sequence[Bought], summed: Summed, known: KnownInstrument) -> PurchaseSummary:
    of_market = {
        market: sum(part.units for part in bought if part.market == market) for market in (PRIMARY, SECONDARY, OTC)
    }
    scale, symbol = known.scale, known.currency.symbol
    return PurchaseSummary(
        total_purchases=summed.number,
        primary_market_quantity=of_market[PRIMARY],
        secondary_market_quantity=of_market[SECONDARY],
        otc_quantity=of_market[OTC],
        average_purchase_price=price_of(average(summed.paid_units, summed.priced_units), scale, symbol),
        total_invested=price_of(summed.paid_units, scale, symbol),
    )


HOLDING_ROUTES = (
    read(
        "/v2/users/purchases/users/{user_id}/tokens/{token_id}/quantity",
        read_holding,
        "What a user has of a token, how much of it is available, and how it was bought",
        HoldingQuantity,
        Code.PARTY_NOT_FOUND,
        Code.INSTRUMENT_NOT_FOUND,
        Code.NOT_PERMITTED,
    ),
)
