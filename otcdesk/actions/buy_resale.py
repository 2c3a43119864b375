"""A party buys: of what another has listed, or of what a branch has not sold yet.

Both sides are held at once, so that what is promised cannot be taken away; the chain carries the money, and with its
word everything changes hands in one ledger transaction.
"""

from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import account, own_account, place_hold, release_hold
from otcdesk.actions.jobs import start_job
from otcdesk.actions.limit_checks import check_and_count, check_order
from otcdesk.actions.list_resale import JobStarted, Terms, new_order
from otcdesk.actions.order_checks import amount_of, order_by_the_clock
from otcdesk.actions.resale_checks import (
    Parts,
    check_mandate,
    check_party,
    covering_account,
    currency_of,
    found_currency,
    found_parts,
    found_price,
    found_resale,
    party_account_id,
    terms_of,
    worth,
)
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.brokerage import HOLDING
from otcdesk.domain.commands import Books, Command, Moment
from otcdesk.domain.jobs import PURCHASE, Job
from otcdesk.domain.ledger import Account, Hold
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.resales import (
    ACTIVE,
    ANYBODY,
    BID,
    FUNDS,
    LISTED,
    OTC,
    PLACE,
    PRIMARY,
    TAKE,
    UNSOLD,
    Branch,
    Currency,
    Mandate,
    Proceeds,
    Purchase,
    Resale,
    branch_account_id,
    event_of,
    moved,
    proceeds_of,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import counted


class BuyUnsold(Command, frozen=True, kw_only=True):
    """Buy so many units of what a branch has issued and not sold, at its price."""

    party_id: UUID
    instrument_id: UUID
    quantity: int
    mandate: Mandate

    @property
    def compared(self) -> "BuyUnsold":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class BuyResale(Command, frozen=True, kw_only=True):
    """Buy so many units of what another party has listed, at its price; without an order nothing has that number."""

    party_id: UUID
    instrument_id: UUID
    order_id: UUID | None
    quantity: int
    market: str
    mandate: Mandate

    @property
    def compared(self) -> "BuyResale":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class Sides(NamedTuple):
    """What changes hands: how many units, who is paid, and at how much for one.

    `listing_id` is what they are a part of, None for the unsold supply.
    """

    market: str
    listing_id: UUID | None
    quantity: int
    paid_id: UUID
    paid_owner_id: UUID
    paid_purpose: str
    currency: Currency
    price_units: int
    proceeds: Proceeds


def buy_unsold(command: BuyUnsold, books: Books, moment: Moment) -> JobStarted:
    """Buy on the primary market.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    NOT_ON_SALE, CURRENCY_NOT_FOUND, AMOUNT_TOO_LARGE, SUPPLY_INSUFFICIENT, BUYER_NOT_COVERED (deals contract, 3.12),
    LIMIT_EXCEEDED.
    """
    parts = found_parts(books, moment, command.party_id, command.instrument_id)
    instrument = parts.instrument
    supply_id = branch_account_id(parts.issuer.id, UNSOLD, instrument.asset)
    books.want((Currency, instrument.currency_id), (ListedAsset, instrument.asset), (Account, supply_id))
    check_mandate(command.mandate, parts.home)
    check_party(books, parts.party)
    if instrument.state != LISTED:
        raise Refusal(Code.NOT_ON_SALE)
    currency = found_currency(books, moment, instrument.currency_id, parts.home)
    price_units = found_price(books, currency, instrument.price, command.quantity)
    supply = covering_account(books, supply_id, command.quantity, Code.SUPPLY_INSUFFICIENT)
    gross = worth(books, currency, command.quantity, price_units)
    sides = Sides(
        market=PRIMARY,
        listing_id=None,
        quantity=command.quantity,
        paid_id=branch_account_id(parts.issuer.id, FUNDS, currency.asset),
        paid_owner_id=parts.issuer.id,
        paid_purpose=FUNDS,
        currency=currency,
        price_units=price_units,
        proceeds=proceeds_of(gross, PRIMARY, parts.issuer, terms_of(books)),
    )
    started = _bought(books, moment, parts, sides)
    place_hold(books, moment, supply, command.quantity, hold_id=moment.new_id(3), order_id=started.job.order_id)
    return started


def buy_resale(command: BuyResale, books: Books, moment: Moment) -> JobStarted:
    """Buy a part or all of a listing.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    PARTIES_DO_NOT_TRADE (over the counter), ORDER_NOT_FOUND, OWN_RESALE, NOT_TAKEABLE, QUANTITY_UNAVAILABLE,
    BUYER_NOT_COVERED, LIMIT_EXCEEDED.
    """
    parts, order, resale = found_buyable(
        books,
        moment,
        party_id=command.party_id,
        instrument_id=command.instrument_id,
        mandate=command.mandate,
        market=command.market,
        order_id=command.order_id,
        quantity=command.quantity,
    )
    books.want((Currency, resale.currency_id), (Account, order.source_account_id), (Hold, order.pay_hold_id))
    currency = currency_of(books, resale.currency_id)
    sides = listing_sides(books, resale, currency, parts.issuer, command.quantity, resale.price_units)
    started = _bought(books, moment, parts, sides)
    promise(books, moment, order, resale, command.quantity, started.job.order_id)
    return started


def found_buyable(
    books: Books,
    moment: Moment,
    *,
    party_id: UUID,
    instrument_id: UUID,
    mandate: Mandate,
    market: str,
    order_id: UUID | None,
    quantity: int,
) -> tuple[Parts, Order, Resale]:
    """Return who buys, and an active listing of another party that has so much left.

    Refuses as `buy_resale` does, up to QUANTITY_UNAVAILABLE.
    """
    parts = found_parts(books, moment, party_id, instrument_id)
    check_mandate(mandate, parts.home)
    check_party(books, parts.party)
    if market == OTC and not parts.issuer.parties_trade:
        raise Refusal(Code.PARTIES_DO_NOT_TRADE)
    order, resale = found_resale(books, order_id, parts.instrument, market)
    if resale.party_id == parts.party.id:
        raise Refusal(Code.OWN_RESALE)
    order = order_by_the_clock(books, moment, order)
    if order.state != ACTIVE:
        raise Refusal(Code.NOT_TAKEABLE, state=order.state)
    if quantity > resale.available:
        raise Refusal(Code.QUANTITY_UNAVAILABLE, available=resale.available)
    return parts, order, resale


def listing_sides(
    books: Books, resale: Resale, currency: Currency, issuer: Branch, quantity: int, price_units: int
) -> Sides:
    """Return the sides of a purchase from a listing, at a price that may be another than the listing's."""
    books.want((ListedAsset, currency.asset))
    gross = worth(books, currency, quantity, price_units)
    return Sides(
        market=resale.market,
        listing_id=resale.order_id,
        quantity=quantity,
        paid_id=party_account_id(resale.party_id, currency.asset),
        paid_owner_id=resale.party_id,
        paid_purpose=HOLDING,
        currency=currency,
        price_units=price_units,
        proceeds=proceeds_of(gross, resale.market, issuer, terms_of(books)),
    )


def promise(books: Books, moment: Moment, order: Order, resale: Resale, units: int, buying_id: UUID) -> None:
    """Turn a part of what a listing holds into what a purchase of it holds."""
    if order.pay_hold_id is None:
        raise AssertionError(f"order {order.id} is {order.state} and holds nothing")
    left = resale.available - units
    due_at = order.due_at if left else None  # what is all promised does not run out
    release_hold(books, moment, order.pay_hold_id)
    seller = account(books, order.source_account_id)
    hold_id = moment.new_id(4) if left else None
    if hold_id is not None:
        place_hold(books, moment, seller, left, hold_id=hold_id, order_id=order.id)
    place_hold(books, moment, seller, units, hold_id=moment.new_id(3), order_id=buying_id)
    books.put(resale.with_(available=left, promised=resale.promised + units))
    after = moved(order, TAKE, moment.now, due_at=due_at, pay_hold_id=hold_id)
    books.put(after)
    books.add(event_of(after, TAKE, moment.caller))


def placed_purchase(
    books: Books, moment: Moment, parts: Parts, sides: Sides, *, side: str, validity_seconds: int | None = None
) -> tuple[Order, Purchase]:
    """Stage what a party would buy, with its money held; its order is added by whoever calls.

    Refuses BUYER_NOT_COVERED, LIMIT_EXCEEDED. A purchase counts as what is paid for it, a bid once it is accepted.
    """
    instrument, gross = parts.instrument, sides.proceeds.gross
    pays_id = party_account_id(parts.party.id, gross.asset.code)
    books.want((ListedAsset, instrument.asset), (Account, pays_id), (Account, sides.paid_id))
    pays = covering_account(books, pays_id, gross.units, Code.BUYER_NOT_COVERED)
    terms = Terms(
        source_account_id=pays_id,
        source=gross,
        destination_account_id=party_account_id(parts.party.id, instrument.asset),
        destination=amount_of(books, instrument.asset, sides.quantity),
        price=counted(sides.price_units, gross.asset.scale),
    )
    order = new_order(moment, side, terms, instrument, sides.currency, validity_seconds)
    order = moved(order, PLACE, moment.now, pay_hold_id=moment.new_id(2), confirmed_at=moment.now)
    if side == BID:
        check_order(books, order.tenant_id, order.source_asset, order.source_units, party_id=parts.party.id)
    else:
        check_and_count(books, moment, order, party_id=parts.party.id)
    purchase = Purchase(
        order_id=order.id,
        tenant_id=order.tenant_id,
        branch_id=parts.issuer.id,
        party_id=parts.party.id,
        instrument_id=instrument.id,
        currency_id=sides.currency.id,
        market=sides.market,
        listing_id=sides.listing_id,
        quantity=sides.quantity,
        price_units=sides.price_units,
        fee_units=sides.proceeds.fee.units,
        desk_fee_units=sides.proceeds.desk_fee.units,
    )
    books.add(purchase)
    place_hold(books, moment, pays, gross.units, hold_id=moment.new_id(2), order_id=order.id)
    return order, purchase


def pay(books: Books, moment: Moment, order: Order, purchase: Purchase, seller: tuple[UUID, str, UUID]) -> Job:
    """Stage the job that carries a purchase's money to who sells, as far as it is theirs.

    `seller` is the account that is paid, its purpose, and whose it is.
    """
    pays = account(books, order.source_account_id)
    paid_id, purpose, owner_id = seller
    sold_from = books.find(Account, party_account_id(owner_id, order.destination_asset)) if purpose == HOLDING else None
    return start_job(
        books,
        moment,
        kind=PURCHASE,
        market=purchase.market,
        order_id=order.id,
        party_id=purchase.party_id,
        instrument_id=purchase.instrument_id,
        source=pays,
        destination=own_account(books, paid_id, purpose, pays.asset, owner_id, network=pays.network, beside=sold_from),
        units=order.source_units - purchase.fee_units - purchase.desk_fee_units,
    )


def _bought(books: Books, moment: Moment, parts: Parts, sides: Sides) -> JobStarted:
    """Stage a purchase that is covered, but for what it holds of what is sold."""
    order, purchase = placed_purchase(books, moment, parts, sides, side=BUY)
    order = order.with_(collect_hold_id=moment.new_id(3))
    books.add(order)
    books.add(event_of(order, PLACE, moment.caller))
    seller = (sides.paid_id, sides.paid_purpose, sides.paid_owner_id)
    return JobStarted(job=pay(books, moment, order, purchase, seller))
