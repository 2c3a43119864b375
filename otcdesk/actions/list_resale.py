"""List units of an instrument for resale: they are held at once, and active when the chain has them."""

from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.booking import place_hold
from otcdesk.actions.end_resale import escrow_account
from otcdesk.actions.jobs import start_job
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.resale_checks import (
    Parts,
    check_mandate,
    check_party,
    covering_account,
    found_currency,
    found_parts,
    found_price,
    party_account_id,
    terms_of,
)
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.compact_ids import compact_id
from otcdesk.domain.jobs import LIST, Job
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import SELL, Order
from otcdesk.domain.resales import (
    ANYBODY,
    ESCROW,
    LISTED,
    LISTING,
    OTC,
    PLACE,
    PRODUCT,
    Currency,
    Instrument,
    Mandate,
    Resale,
    branch_account_id,
    event_of,
    moved,
)
from otcdesk.errors import Code, Refusal
from otcdesk.money import Amount, counted


class ListResale(Command, frozen=True, kw_only=True):
    """List `quantity` units of an instrument at `price` of the currency each, over the counter or on the market."""

    party_id: UUID
    instrument_id: UUID
    currency_id: UUID
    quantity: int
    price: Decimal
    market: str
    mandate: Mandate

    @property
    def compared(self) -> "ListResale":
        """Return what its key stands for: who asks for it is not part of it."""
        return replace(self, mandate=ANYBODY)


class JobStarted(Reply, frozen=True, kw_only=True):
    """The job that will have done it."""

    job: Job


class Terms(NamedTuple):
    """What an order of this product is about, however it came to be."""

    source_account_id: UUID
    source: Amount
    destination_account_id: UUID
    destination: Amount
    price: Decimal


def list_resale(command: ListResale, books: Books, moment: Moment) -> JobStarted:
    """List units for resale.

    Refuses, in this order: PARTY_NOT_FOUND, INSTRUMENT_NOT_FOUND, NOT_PERMITTED, PARTY_INACTIVE, PARTY_UNVERIFIED,
    RESALE_CLOSED, CURRENCY_NOT_FOUND, AMOUNT_TOO_FINE, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, RESALE_NOT_COVERED (deals
    contract, 3.1 and 5).
    """
    parts = found_parts(books, moment, command.party_id, command.instrument_id)
    asset = parts.instrument.asset
    holding, escrow_id = party_account_id(parts.party.id, asset), branch_account_id(parts.issuer.id, ESCROW, asset)
    books.want((Currency, command.currency_id), (ListedAsset, asset), (Account, holding), (Account, escrow_id))
    check_mandate(command.mandate, parts.home)
    check_party(books, parts.party)
    check_open(parts.instrument, command.market)
    currency = found_currency(books, moment, command.currency_id, parts.home)
    price_units = found_price(books, currency, command.price, command.quantity)
    source = covering_account(books, holding, command.quantity, Code.RESALE_NOT_COVERED)
    order, resale = _placed(command, books, moment, parts, currency, price_units)
    hold_id = moment.new_id(2)
    books.add(order.with_(pay_hold_id=hold_id))
    books.add(resale)
    books.add(event_of(order, PLACE, moment.caller))
    place_hold(books, moment, source, command.quantity, hold_id=hold_id, order_id=order.id)
    job = start_job(
        books,
        moment,
        kind=LIST,
        market=command.market,
        order_id=order.id,
        party_id=parts.party.id,
        instrument_id=parts.instrument.id,
        source=source,
        destination=escrow_account(books, resale, asset),
        units=command.quantity,
    )
    return JobStarted(job=job)


def check_open(instrument: Instrument, market: str) -> None:
    """Refuse RESALE_CLOSED for an instrument that may not be listed there (deals contract, 5)."""
    is_open = instrument.open_to_resale if market == OTC else instrument.open_to_market
    if not is_open or instrument.state != LISTED:
        raise Refusal(Code.RESALE_CLOSED)


def _placed(
    command: ListResale, books: Books, moment: Moment, parts: Parts, currency: Currency, price_units: int
) -> tuple[Order, Resale]:
    asset, money = parts.instrument.asset, amount_of(books, currency.asset, price_units * command.quantity)
    price = counted(price_units, money.asset.scale)
    terms = Terms(
        source_account_id=party_account_id(parts.party.id, asset),
        source=amount_of(books, asset, command.quantity),
        destination_account_id=party_account_id(parts.party.id, currency.asset),
        destination=money,
        price=price,
    )
    seconds = terms_of(books).validity_seconds
    order = new_order(moment, SELL, terms, parts.instrument, currency, seconds)
    placed = moved(order, PLACE, moment.now, confirmed_at=moment.now)
    resale = Resale(
        order_id=order.id,
        tenant_id=order.tenant_id,
        branch_id=parts.issuer.id,
        party_id=parts.party.id,
        instrument_id=parts.instrument.id,
        currency_id=currency.id,
        market=command.market,
        quantity=command.quantity,
        available=command.quantity,
        price_units=price_units,
    )
    return placed, resale


def new_order(
    moment: Moment, side: str, terms: Terms, instrument: Instrument, currency: Currency, validity_seconds: int | None
) -> Order:
    """Return an order of this product as it begins; one without a validity says so by lasting no seconds.

    The market's rate is what the issuer asks for one, where that is in the same currency.
    """
    refers = instrument.currency_id == currency.id
    return Order(
        id=compact_id(moment.new_id(0), moment.now),
        tenant_id=moment.owner_id,
        product=PRODUCT,
        side=side,
        state=LISTING.start,
        version=1,
        source_account_id=terms.source_account_id,
        source_asset=terms.source.asset.code,
        source_units=terms.source.units,
        destination_account_id=terms.destination_account_id,
        destination_asset=terms.destination.asset.code,
        destination_units=terms.destination.units,
        rate=terms.price,
        quoted_rate=terms.price,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=instrument.price if refers else terms.price,
        market_source="issuer" if refers else "party",
        market_at=instrument.updated_at if refers else moment.now,
        ttl_seconds=validity_seconds or 0,
        expires_at=moment.now + timedelta(seconds=validity_seconds or 0),
        created_at=moment.now,
        updated_at=moment.now,
    )
