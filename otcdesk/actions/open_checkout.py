"""Open a checkout: keep what is to be paid and for what, until somebody completes it on its page or it expires.

The tenant's nonce is the idempotency key: the same one again is told what has become of the checkout by then.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from otcdesk.actions.deposit_checks import GivenAddress, GivenBankDetails, open_address, open_bank_details
from otcdesk.actions.keep_party import KeepParty, keep_party
from otcdesk.actions.limit_checks import check_left
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.checkouts import (
    CHECKOUTS,
    FIAT_IN,
    FIAT_OUT,
    OPEN,
    PRODUCT,
    AwaitedPayment,
    Checkout,
    event_of,
    moved,
    place_of,
    reference_of,
)
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.ledger import OUTSIDE, desk_account_id
from otcdesk.domain.orders import Order
from otcdesk.domain.parties import Party, named_party_id
from otcdesk.domain.payouts import current_id
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import (
    ONE_FOR_ONE,
    PAID_BY_DESK,
    PAID_TO_DESK,
    UNITS_MAX,
    Amount,
    Rate,
    convert_back,
    part_of,
    plus_spread,
    units_of,
)


class OpenCheckout(Command, frozen=True, kw_only=True):
    """Let a party complete a payment on a page: of `amount` of the fiat, or of the asset where no fiat takes part.

    `party` is the tenant's own name for it, `person` what is told of it now, if anything. `items` are shown on a page,
    as JSON; `token_hash` is of the secret in the page's address. What is paid in is paid to an `address` that is this
    checkout's alone, or to a `bank` account under a reference; fiat then buys the asset at the market's price with
    `spread_bps` put on it, less `fee_bps` of the fiat.
    """

    side: Literal["asset_in", "fiat_in", "fiat_out"]
    party: str
    person: KeepParty | None = None
    asset: str
    fiat: str | None = None
    amount: Decimal
    ceiling: Decimal | None = None
    category: str | None = None
    address: GivenAddress | None = None
    bank: GivenBankDetails | None = None
    spread_bps: int = 0
    fee_bps: int = 0
    return_url: str
    items: str
    external_id: str | None = None
    token_hash: str
    validity_seconds: int

    @property
    def compared(self) -> "OpenCheckout":
        """Return what the tenant decided: places, terms and the page's address are the desk's."""
        return replace(self, address=None, bank=None, spread_bps=0, fee_bps=0, token_hash="", validity_seconds=0)


class CheckoutOpened(Reply, frozen=True, kw_only=True):
    """The order and what it is about, as they are now; only the order's id is kept with the key."""

    order_id: UUID
    order: Order | None = None
    checkout: Checkout | None = None
    party: Party | None = None

    @property
    def remembered(self) -> "CheckoutOpened":
        """Return what is kept with the key."""
        return CheckoutOpened(order_id=self.order_id)


class _Terms(NamedTuple):
    """What goes out of where and comes in where, and at which price it was counted."""

    source: Amount
    destination: Amount
    rate: Decimal
    market: MarketRate


def open_checkout(command: OpenCheckout, books: Books, moment: Moment) -> CheckoutOpened:
    """Open a checkout.

    Refuses, in this order: ASSET_NOT_FOUND, FIAT_NOT_FOUND, PARTY_NOT_FOUND, AMOUNT_TOO_FINE, AMOUNT_TOO_SMALL,
    AMOUNT_TOO_LARGE, PRICE_UNAVAILABLE, LIMIT_EXCEEDED for fiat that may not be turned over now, DEPOSIT_PLACE_TAKEN
    where the place is another checkout's (ramp contract 3.9). What pays out is limited when it is confirmed.
    """
    party_id = named_party_id(moment.owner_id, command.party)
    books.want((ListedAsset, command.asset), (ListedAsset, command.fiat), (Party, party_id))
    asset = books.find(ListedAsset, command.asset)
    if asset is None:
        raise Refusal(Code.ASSET_NOT_FOUND)
    fiat = books.find(ListedAsset, command.fiat) if command.fiat is not None else None
    if fiat is None and command.fiat is not None:
        raise Refusal(Code.FIAT_NOT_FOUND)
    if command.person is None and books.find(Party, party_id) is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    terms = _terms(command, books, moment, asset, fiat)
    if command.side == FIAT_IN:
        check_left(books, moment, moment.owner_id, terms.source.asset.code, terms.source.units, party_id=party_id)
    order = _order(command, moment, terms)
    if command.person is not None:
        keep_party(command.person, books, moment)
    return _written(command, books, moment, order, party_id)


def _written(command: OpenCheckout, books: Books, moment: Moment, order: Order, party_id: UUID) -> CheckoutOpened:
    opened = moved(order, OPEN, moment.now, due_at=order.expires_at)
    checkout = Checkout(
        order_id=order.id,
        tenant_id=moment.owner_id,
        party_id=party_id,
        asset=command.asset,
        fiat=command.fiat,
        ceiling=command.ceiling,
        category=command.category,
        return_url=command.return_url,
        items=command.items,
        external_id=command.external_id,
        token_hash=command.token_hash,
        spread_bps=command.spread_bps,
        fee_bps=command.fee_bps,
        network=command.address.network if command.address is not None else None,
        address=command.address.address if command.address is not None else None,
        method=command.bank.name if command.bank is not None else None,
        reference=reference_of(order.id) if command.side == FIAT_IN else None,
    )
    place = _open_place(command, books, moment, checkout)
    if place is not None:
        if books.find(AwaitedPayment, place) is not None:
            raise Refusal(Code.DEPOSIT_PLACE_TAKEN)
        books.add(AwaitedPayment(place=place, order_id=order.id, due_units=order.source_units))
    books.add(opened)
    books.add(checkout)
    books.add(event_of(opened, OPEN, moment.caller))
    return opened_checkout(books, order.id)


def _open_place(command: OpenCheckout, books: Books, moment: Moment, checkout: Checkout) -> str | None:
    """Have the place to which the person pays watched, and return it; None where nothing is paid in."""
    if command.address is not None:
        open_address(books, moment, command.address, tenant_id=moment.owner_id, party_id=checkout.party_id)
        return place_of(command.address.network, command.address.address)
    if command.bank is not None:
        open_bank_details(books, moment, command.bank, tenant_id=moment.owner_id, party_id=checkout.party_id)
        return checkout.reference
    return None


def opened_before(command: OpenCheckout, first: CheckoutOpened, books: Books, moment: Moment) -> CheckoutOpened:
    """Answer a nonce that was used before with what has become of its checkout."""
    del command
    return opened_checkout(books, first.order_id, moment)


def opened_checkout(books: Books, order_id: UUID, moment: Moment | None = None) -> CheckoutOpened:
    """Return a checkout that exists with everything that is told of it, as the clock has it at a moment's arrival."""
    books.want((Order, order_id), (Checkout, order_id))
    order, checkout = books.find(Order, order_id), books.find(Checkout, order_id)
    if order is None or checkout is None:
        raise AssertionError(f"the checkout {order_id} is not there")
    if moment is not None:
        order = CHECKOUTS.by_the_clock(order, moment.arrived_at)
    party = books.find(Party, checkout.party_id)
    return CheckoutOpened(order_id=order_id, order=order, checkout=checkout, party=party)


def _terms(command: OpenCheckout, books: Books, moment: Moment, asset: ListedAsset, fiat: ListedAsset | None) -> _Terms:
    counted = (fiat or asset).asset
    units = units_of(command.amount, counted.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    if units == 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    amount = Amount(units, counted)
    if fiat is None:
        return _Terms(amount, amount, ONE_FOR_ONE, MarketRate(value=ONE_FOR_ONE, source="", at=moment.now))
    price = books.find(Price, (asset.code, fiat.code))
    market = price.market(moment.now) if price else None
    if market is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    pays_out = command.side == FIAT_OUT
    rate = plus_spread(market.value, command.spread_bps)
    counts = amount - part_of(amount, command.fee_bps, PAID_TO_DESK)
    rounding = PAID_TO_DESK if pays_out else PAID_BY_DESK
    worth = convert_back(counts, Rate(asset.code, fiat.code, rate), asset.asset, rounding)
    if worth.units <= 0:
        raise Refusal(Code.AMOUNT_TOO_SMALL)
    if worth.units > UNITS_MAX:
        raise Refusal(Code.AMOUNT_TOO_LARGE)
    source, destination = (worth, amount) if pays_out else (amount, worth)
    return _Terms(source, destination, rate, market)


def _order(command: OpenCheckout, moment: Moment, terms: _Terms) -> Order:
    current = current_id(moment.owner_id, command.asset)
    pays_out = command.side == FIAT_OUT
    outside = desk_account_id(OUTSIDE, (terms.destination if pays_out else terms.source).asset.code)
    source_id, destination_id = (current, outside) if pays_out else (outside, current)
    return Order(
        id=moment.command_id,
        tenant_id=moment.owner_id,
        product=PRODUCT,
        side=command.side,
        state=CHECKOUTS.machines[command.side].start,
        version=1,
        source_account_id=source_id,
        source_asset=terms.source.asset.code,
        source_units=terms.source.units,
        destination_account_id=destination_id,
        destination_asset=terms.destination.asset.code,
        destination_units=terms.destination.units,
        rate=terms.rate,
        quoted_rate=terms.rate,
        quoted_by=moment.caller,
        quoted_at=moment.now,
        market_rate=terms.market.value,
        market_source=terms.market.source,
        market_at=terms.market.at,
        ttl_seconds=command.validity_seconds,
        expires_at=moment.now + timedelta(seconds=command.validity_seconds),
        created_at=moment.now,
        updated_at=moment.now,
    )
