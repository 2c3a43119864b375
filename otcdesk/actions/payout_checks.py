"""What the verbs of payouts share: which channel and party, what it costs at the price of the moment, and accounts.

Nothing here writes. The order in which a verb refuses is the verb's own.
"""

from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from otcdesk.actions.order_checks import amount_of
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import TREASURY, desk_account_id
from otcdesk.domain.parties import INACTIVE, UNVERIFIED, Party
from otcdesk.domain.payouts import Channel, Cost, PayoutTerms, Surcharge, cost_of
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, Amount, Asset, less_spread, print_units, units_of


class Priced(NamedTuple):
    """What one of the asset brings in fiat through a channel, the market rate that made it, and what a payout costs."""

    market: MarketRate
    rate: Decimal
    cost: Cost


def terms_of(books: Books) -> PayoutTerms:
    """Return the lane's terms; a lane without any has the usual ones."""
    return books.find(PayoutTerms, ONLY) or PayoutTerms()


def found_channel(books: Books, channel_id: UUID) -> Channel:
    """Return a channel; refuses CHANNEL_NOT_FOUND."""
    channel = books.find(Channel, channel_id)
    if channel is None:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    return channel


def check_permitted(books: Books, channel: Channel, party_id: UUID | None) -> None:
    """Refuse PARTY_UNVERIFIED, PARTY_INACTIVE, CHANNEL_CLOSED."""
    party = books.find(Party, party_id) if party_id is not None else None
    if party is not None and party.status == UNVERIFIED:
        raise Refusal(Code.PARTY_UNVERIFIED)
    if party is not None and party.status == INACTIVE:
        raise Refusal(Code.PARTY_INACTIVE)
    if not channel.enabled:
        raise Refusal(Code.CHANNEL_CLOSED)


def arriving(books: Books, fiat: str, amount: Decimal) -> Amount:
    """Return what is to arrive; refuses AMOUNT_TOO_FINE for more decimals than the fiat has."""
    counted = amount_of(books, fiat, 0).asset
    units = units_of(amount, counted.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    return Amount(units, counted)


def check_limits(channel: Channel, arrives: Amount) -> None:
    """Refuse AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, with the channel's bounds."""
    too_large = arrives.units > UNITS_MAX or (channel.max_units is not None and arrives.units > channel.max_units)
    if arrives.units >= channel.min_units and arrives.units > 0 and not too_large:
        return
    scale = arrives.asset.scale
    at_most = "" if channel.max_units is None else f" and at most {print_units(channel.max_units, scale)}"
    raise Refusal(
        Code.AMOUNT_TOO_LARGE if too_large else Code.AMOUNT_TOO_SMALL,
        f"The amount is outside of the channel's limits: at least {print_units(channel.min_units, scale)}{at_most} "
        f"{channel.fiat}.",
    )


def priced_payout(
    books: Books, moment: Moment, channel: Channel, arrives: Amount, asset: Asset, party_id: UUID | None
) -> Priced:
    """Return what a payout costs now; refuses PRICE_UNAVAILABLE, AMOUNT_TOO_LARGE.

    Only what is paid to a party can carry the tenant's surcharge.
    """
    price = books.find(Price, (asset.code, channel.fiat))
    market = price.market(moment.now) if price else None
    rate = less_spread(market.value, channel.spread_bps) if market else Decimal(0)
    if market is None or rate <= 0:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    surcharge = books.find(Surcharge, moment.owner_id) if party_id is not None else None
    cost = cost_of(arrives, channel, surcharge.percent if surcharge else Decimal(0), rate, asset)
    if cost.asset.units > UNITS_MAX or (arrives + cost.fees).units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    return Priced(market, rate, cost)


def treasury_id(code: str) -> UUID:
    """Return the desk's own account from which fiat is paid out and into which the asset goes."""
    return desk_account_id(TREASURY, code)
