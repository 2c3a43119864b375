"""What the verbs of quotes share: who may trade, in which state its quote is, and what a trade is worth.

Nothing here writes. The order in which a verb refuses is the verb's own.
"""

from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from otcdesk.domain.brokerage import ASSET, FIAT, AccountLevel, Agreement, BrokerageTerms, Listing, Position
from otcdesk.domain.commands import Books, Moment
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.orders import BUY
from otcdesk.domain.parties import INACTIVE, UNVERIFIED, Party
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import NEAREST, PAID_BY_DESK, PAID_TO_DESK, Amount, Asset, Rate, convert, part_of, with_margin

#: What nobody can do anything without having accepted.
ONBOARDING = "onboarding"


class Pricing(NamedTuple):
    """What one of the asset costs the party, and the market rate and the margin that make it."""

    market: MarketRate
    margin_bps: int
    price: Decimal


class Withholding(NamedTuple):
    """What is withheld of a trade, and the gain that it is withheld from, None where it is not known."""

    tax: Amount
    gain_units: int | None


def settings_of(books: Books) -> BrokerageTerms:
    """Return the lane's settings; a lane without any makes no quotes."""
    return books.find(BrokerageTerms, ONLY) or BrokerageTerms()


def found_party(books: Books, party_id: UUID, tenant_id: UUID) -> Party:
    """Return a tenant's party; another's looks as if it did not exist. Refuses PARTY_NOT_FOUND."""
    party = books.find(Party, party_id)
    if party is None or party.tenant_id != tenant_id:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return party


def check_party(books: Books, moment: Moment, party: Party, *journeys: str) -> None:
    """Refuse PARTY_UNVERIFIED, PARTY_INACTIVE, and AGREEMENTS_NOT_ACCEPTED for what is needed on any of these journeys.

    Of each type of document the latest that is in effect counts, if it is mandatory (offers contract 3.1).
    """
    if party.status == UNVERIFIED:
        raise Refusal(Code.PARTY_UNVERIFIED)
    if party.status == INACTIVE:
        raise Refusal(Code.PARTY_INACTIVE)
    accepted = set(party.accepted_agreement_ids)
    needed = {ONBOARDING, *journeys}
    for agreement in agreements_in_force(books, moment, party):
        if agreement.mandatory and agreement.id not in accepted and needed.intersection(agreement.journeys):
            raise Refusal(Code.AGREEMENTS_NOT_ACCEPTED)


def agreements_in_force(books: Books, moment: Moment, party: Party) -> list[Agreement]:
    """Return the documents that count for a party now, the latest of each type."""
    agreement_ids = settings_of(books).agreement_ids
    books.want(*[(Agreement, agreement_id) for agreement_id in agreement_ids])
    latest: dict[str, Agreement] = {}
    for agreement_id in agreement_ids:
        found = books.find(Agreement, agreement_id)
        if found is None or found.effective_at > moment.arrived_at or found.account_type != party.account_type:
            continue
        if found.country not in {None, party.country}:
            continue
        known = latest.get(found.type)
        if known is None or found.version > known.version:
            latest[found.type] = found
    return list(latest.values())


def journey_of(side: str, listing: Listing) -> str:
    """Return the journey that trading this asset is (offers contract 3.6)."""
    return f"trading_{listing.asset_group}_{side}"


def found_listings(books: Books, asset: str, fiat: str) -> tuple[Listing, Listing]:
    """Return the listings of an asset and a fiat; refuses ASSET_NOT_FOUND, FIAT_NOT_FOUND."""
    books.want((Listing, asset), (Listing, fiat))
    listed_asset, listed_fiat = books.find(Listing, asset), books.find(Listing, fiat)
    if listed_asset is None or listed_asset.kind != ASSET:
        raise Refusal(Code.ASSET_NOT_FOUND)
    if listed_fiat is None or listed_fiat.kind != FIAT:
        raise Refusal(Code.FIAT_NOT_FOUND)
    return listed_asset, listed_fiat


def priced_for(books: Books, moment: Moment, party: Party, side: str, asset: str, fiat: str) -> Pricing:
    """Return the party's price: the market's with the margin of its account level, against the party (contract R6).

    Refuses PRICE_UNAVAILABLE.
    """
    price = books.find(Price, (asset, fiat))
    market = price.market(moment.now) if price else None
    if market is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    margin_bps = _margin_bps(books, party)
    signed, rounding = (margin_bps, PAID_TO_DESK) if side == BUY else (-margin_bps, PAID_BY_DESK)
    value = with_margin(market.value, signed, rounding)
    if value <= 0:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    return Pricing(market, margin_bps, value)


def _margin_bps(books: Books, party: Party) -> int:
    level_id = party.level_id or settings_of(books).default_level_id
    level = books.find(AccountLevel, level_id) if level_id is not None else None
    return level.margin_bps if level is not None else 0


def value_of(quantity: Amount, price: Decimal, fiat: Asset) -> Amount:
    """Return what a quantity is worth at a price, to the nearest (contract R3)."""
    return convert(quantity, Rate(quantity.asset.code, fiat.code, price), fiat, NEAREST)


def withheld(position: Position | None, quantity: Amount, total: Amount, tax_bps: int | None) -> Withholding:
    """Return the tax on a sale and the gain that it is on: what the sale brings over its cost basis (contract R5).

    Of what is sold beyond the position the cost is not known, and so no gain; nor is it in another fiat than its own.
    """
    nothing = Amount(0, total.asset)
    if position is None or position.units == 0 or position.fiat != total.asset.code:
        return Withholding(nothing, None)
    known = min(position.units, quantity.units)
    brings = total.units * known // quantity.units
    gain_units = brings - position.basis_of(known)
    if tax_bps is None or gain_units <= 0:
        return Withholding(nothing, gain_units)
    return Withholding(part_of(Amount(gain_units, total.asset), tax_bps, NEAREST), gain_units)
