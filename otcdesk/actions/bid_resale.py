"""Bid for a part of what another party has listed over the counter, and answer such a bid.

An extension of ours, where a branch lets its parties trade (deals contract, 6: negotiation is mentioned there and has
no endpoint). A bid holds its buyer's money and nothing of the listing, so any number of bids may be for the same units;
the lister accepts one of them, and from then on it is a purchase like any other. A bid for a listing that is over can
only be declined, withdrawn or run out.
"""

from decimal import Decimal
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.buy_resale import found_buyable, listing_sides, pay, placed_purchase, promise
from otcdesk.actions.end_resale import end_resale
from otcdesk.actions.freeze import check_party_active
from otcdesk.actions.limit_checks import check_and_count
from otcdesk.actions.list_resale import JobStarted
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.resale_checks import (
    Parts,
    check_mandate,
    check_party,
    currency_of,
    found_parts,
    found_price,
    party_account_id,
    resale_of,
    terms_of,
)
from otcdesk.domain.brokerage import HOLDING
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party
from otcdesk.domain.resales import (
    ACCEPT,
    ACTIVE,
    ANYBODY,
    BID,
    CANCEL,
    DECLINE,
    OTC,
    PLACE,
    PRODUCT,
    Currency,
    Mandate,
    Purchase,
    Resale,
    event_of,
    moved,
)
from otcdesk.errors import Code, Refusal

#: What a lister is told of a bidder with whom nothing can be done now.
_BIDDER: Final = {
    Code.PARTY_INACTIVE: "Whoever made this counter is not active.",
    Code.LIMIT_EXCEEDED: "Whoever made this counter may not buy as much now.",
}


class PlaceBid(Command, frozen=True, kw_only=True):
    """Bid `price` of the listing's currency for each of so many units; it lasts as the terms say unless told."""

    party_id: UUID
    instrument_id: UUID
    order_id: UUID | None
    quantity: int
    price: Decimal
    validity_seconds: int | None = None
    mandate: Mandate

    @property
    def compared(self) -> "PlaceBid":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class AnswerBid(Command, frozen=True, kw_only=True):
    """What a party does with a bid; `order_id` is the bid's."""

    party_id: UUID
    instrument_id: UUID
    order_id: UUID
    mandate: Mandate


class AcceptBid(AnswerBid, frozen=True, kw_only=True):
    """Sell to whoever has bid."""

    @property
    def compared(self) -> "AcceptBid":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class DeclineBid(AnswerBid, frozen=True, kw_only=True):
    """Do not sell to whoever has bid."""


class WithdrawBid(AnswerBid, frozen=True, kw_only=True):
    """Take back a bid of one's own."""


class BidReply(Reply, frozen=True, kw_only=True):
    """The bid's order after it."""

    order: Order


def place_bid(command: PlaceBid, books: Books, moment: Moment) -> BidReply:
    """Bid for units of a listing.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    PARTIES_DO_NOT_TRADE, ORDER_NOT_FOUND, OWN_RESALE, NOT_TAKEABLE, QUANTITY_UNAVAILABLE, AMOUNT_TOO_FINE,
    AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, BUYER_NOT_COVERED, LIMIT_EXCEEDED for what no one purchase may cost.
    """
    parts, _, resale = found_buyable(
        books,
        moment,
        party_id=command.party_id,
        instrument_id=command.instrument_id,
        mandate=command.mandate,
        market=OTC,
        order_id=command.order_id,
        quantity=command.quantity,
    )
    books.want((Currency, resale.currency_id))
    currency = currency_of(books, resale.currency_id)
    price_units = found_price(books, currency, command.price, command.quantity)
    sides = listing_sides(books, resale, currency, parts.issuer, command.quantity, price_units)
    seconds = command.validity_seconds or terms_of(books).bid_validity_seconds
    order, _ = placed_purchase(books, moment, parts, sides, side=BID, validity_seconds=seconds)
    order = order.with_(due_at=order.expires_at)
    books.add(order)
    books.add(event_of(order, PLACE, moment.caller))
    return BidReply(order=order)


def accept_bid(command: AcceptBid, books: Books, moment: Moment) -> JobStarted:
    """Sell to a bidder: the units are promised, and the chain carries the money.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    BID_NOT_FOUND, RESALE_NOT_OWN, PARTIES_DO_NOT_TRADE, BID_OVER, NOT_TAKEABLE, QUANTITY_UNAVAILABLE; of whoever has
    bid, PARTY_INACTIVE, LIMIT_EXCEEDED.
    """
    parts = _found_party(command, books, moment)
    check_party(books, parts.party)
    bid, purchase = _found_bid(books, command)
    resale = _bid_for(books, purchase)
    if resale.party_id != parts.party.id:
        raise Refusal(Code.RESALE_NOT_OWN)
    if not parts.issuer.parties_trade:
        raise Refusal(Code.PARTIES_DO_NOT_TRADE)
    bid = _open_bid(books, moment, bid)
    listing = books.find(Order, resale.order_id)
    if listing is None:
        raise AssertionError(f"there is no order {resale.order_id}")
    listing = order_by_the_clock(books, moment, listing)
    if listing.state != ACTIVE:
        raise Refusal(Code.NOT_TAKEABLE, state=listing.state)
    resale = resale_of(books, resale.order_id)
    if purchase.quantity > resale.available:
        raise Refusal(Code.QUANTITY_UNAVAILABLE, available=resale.available)
    _check_bidder(books, moment, bid, purchase)
    paid_id = party_account_id(resale.party_id, bid.source_asset)
    books.want(
        (Account, bid.source_account_id),
        (Account, listing.source_account_id),
        (Account, paid_id),
        (Hold, listing.pay_hold_id),
    )
    accepted = moved(bid, ACCEPT, moment.now, pay_hold_id=bid.pay_hold_id, collect_hold_id=moment.new_id(3))
    books.put(accepted)
    books.add(event_of(accepted, ACCEPT, moment.caller))
    job = pay(books, moment, accepted, purchase, (paid_id, HOLDING, resale.party_id))
    promise(books, moment, listing, resale, purchase.quantity, accepted.id)
    return JobStarted(job=job)


def decline_bid(command: DeclineBid, books: Books, moment: Moment) -> BidReply:
    """Turn a bid down: its money is available again.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, BID_NOT_FOUND, RESALE_NOT_OWN,
    BID_OVER.
    """
    parts = _found_party(command, books, moment)
    bid, purchase = _found_bid(books, command)
    if _bid_for(books, purchase).party_id != parts.party.id:
        raise Refusal(Code.RESALE_NOT_OWN)
    return BidReply(order=end_resale(books, moment, _open_bid(books, moment, bid), DECLINE))


def withdraw_bid(command: WithdrawBid, books: Books, moment: Moment) -> BidReply:
    """Take a bid back: its money is available again.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, BID_NOT_FOUND, RESALE_NOT_OWN,
    BID_OVER.
    """
    parts = _found_party(command, books, moment)
    bid, purchase = _found_bid(books, command)
    if purchase.party_id != parts.party.id:
        raise Refusal(Code.RESALE_NOT_OWN)
    return BidReply(order=end_resale(books, moment, _open_bid(books, moment, bid), CANCEL))


def _found_party(command: AnswerBid, books: Books, moment: Moment) -> Parts:
    parts = found_parts(books, moment, command.party_id, command.instrument_id)
    check_mandate(command.mandate, parts.home)
    return parts


def _found_bid(books: Books, command: AnswerBid) -> tuple[Order, Purchase]:
    """Return a bid for what was listed of an instrument, whatever has become of it; refuses BID_NOT_FOUND."""
    books.want((Order, command.order_id), (Purchase, command.order_id))
    bid, purchase = books.find(Order, command.order_id), books.find(Purchase, command.order_id)
    if bid is None or purchase is None or (bid.product, bid.side) != (PRODUCT, BID):
        raise Refusal(Code.BID_NOT_FOUND)
    if purchase.instrument_id != command.instrument_id:
        raise Refusal(Code.BID_NOT_FOUND)
    return bid, purchase


def _bid_for(books: Books, purchase: Purchase) -> Resale:
    """Return what a bid is for."""
    books.want((Resale, purchase.listing_id), (Order, purchase.listing_id))
    if purchase.listing_id is None:
        raise AssertionError(f"bid {purchase.order_id} is for no listing")
    return resale_of(books, purchase.listing_id)


def _check_bidder(books: Books, moment: Moment, bid: Order, purchase: Purchase) -> None:
    """Count what a bidder pays; refuses PARTY_INACTIVE, LIMIT_EXCEEDED without telling the lister any more of them."""
    books.want((Party, purchase.party_id))
    try:
        check_party_active(books, purchase.party_id)
        check_and_count(books, moment, bid, party_id=purchase.party_id)
    except Refusal as refusal:
        raise Refusal(refusal.code, _BIDDER[refusal.code]) from None


def _open_bid(books: Books, moment: Moment, bid: Order) -> Order:
    """Return a bid that nobody has answered yet; refuses BID_OVER."""
    bid = order_by_the_clock(books, moment, bid)
    if bid.state != ACTIVE:
        raise Refusal(Code.BID_OVER, state=bid.state)
    return bid
