"""Prepare a payout: keep who is to be paid and how much, and say what it would cost now. No money moves."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from otcdesk.actions.limit_checks import check_order
from otcdesk.actions.order_checks import amount_of
from otcdesk.actions.payout_checks import (
    arriving,
    check_limits,
    check_permitted,
    found_channel,
    priced_payout,
    terms_of,
)
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.ledger import Account
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import (
    Channel,
    Cost,
    PaymentMethod,
    PayoutTerms,
    PreparedPayout,
    Surcharge,
    current_id,
    payment_method_id,
)
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code, Refusal
from otcdesk.money import PAID_TO_DESK, Amount, increased


class GivenMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A payment method as the form of a channel gives it; see `PaymentMethod`."""

    name: str
    subtype: str | None = None
    country: str
    number: str | None = None
    bank_code: str | None = None
    details: str


class PreparePayout(Command, frozen=True, kw_only=True):
    """Prepare to pay `arrives` of the channel's fiat, by selling an asset.

    To a payment method that is `given`, or to one that is known by its `method_name`. With `delayed` nobody asks yet
    whether the balance covers it.
    """

    channel_id: UUID
    asset: str
    arrives: Decimal
    party_id: UUID | None = None
    given: GivenMethod | None = None
    method_name: str | None = None
    delayed: bool = False


class PayoutPrepared(Reply, frozen=True, kw_only=True):
    """What was prepared, with what it would cost now: fees in units of the fiat, cost and ceiling in the asset's."""

    prepared: PreparedPayout
    fee_units: int
    surcharge_units: int
    cost_units: int
    ceiling_units: int


def prepare_payout(command: PreparePayout, books: Books, moment: Moment) -> PayoutPrepared:
    """Prepare a payout.

    Refuses, in this order: CHANNEL_NOT_FOUND, PARTY_NOT_FOUND, PAYMENT_METHOD_NOT_FOUND, AMOUNT_TOO_FINE,
    PARTY_UNVERIFIED, PARTY_INACTIVE, CHANNEL_CLOSED, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE, PRICE_UNAVAILABLE,
    PAYOUT_NOT_COVERED (ramp contract 3.2), LIMIT_EXCEEDED for what no one payout may cost.
    """
    channel, method = _found(command, books, moment)
    arrives = arriving(books, channel.fiat, command.arrives)
    check_permitted(books, channel, command.party_id)
    check_limits(channel, arrives)
    asset = amount_of(books, command.asset, 0).asset
    priced = priced_payout(books, moment, channel, arrives, asset, command.party_id)
    if not command.delayed:
        current = books.find(Account, current_id(moment.owner_id, command.asset))
        if current is None or not current.covers(priced.cost.asset.units):
            raise Refusal(Code.PAYOUT_NOT_COVERED)
    check_order(books, moment.owner_id, command.asset, priced.cost.asset.units, party_id=command.party_id)
    _keep(books, method)
    terms = terms_of(books)
    prepared = PreparedPayout(
        id=moment.command_id,
        tenant_id=moment.owner_id,
        party_id=command.party_id,
        channel_id=channel.id,
        method_id=method.id,
        asset=command.asset,
        fiat=channel.fiat,
        fiat_units=arrives.units,
        details=method.details,
        rate=priced.rate,
        prepared_at=moment.now,
        expires_at=moment.now + timedelta(seconds=terms.validity_seconds),
    )
    books.add(prepared)
    return _told(prepared, priced.cost, terms)


def _told(prepared: PreparedPayout, cost: Cost, terms: PayoutTerms) -> PayoutPrepared:
    ceiling: Amount = increased(cost.asset, terms.slippage_bps, PAID_TO_DESK)
    return PayoutPrepared(
        prepared=prepared,
        fee_units=cost.fee.units,
        surcharge_units=cost.surcharge.units,
        cost_units=cost.asset.units,
        ceiling_units=ceiling.units,
    )


def _found(command: PreparePayout, books: Books, moment: Moment) -> tuple[Channel, PaymentMethod]:
    """Return the channel and whom it pays."""
    name = command.given.name if command.given is not None else command.method_name or ""
    method_id = payment_method_id(moment.owner_id, command.party_id, name)
    books.want(
        (Channel, command.channel_id),
        (PayoutTerms, ONLY),
        (ListedAsset, command.asset),
        (PaymentMethod, method_id),
        (Account, current_id(moment.owner_id, command.asset)),
        (Party, command.party_id),
        (Surcharge, moment.owner_id),
    )
    channel = found_channel(books, command.channel_id)
    books.want((ListedAsset, channel.fiat), (Price, (command.asset, channel.fiat)))
    if command.party_id is not None:
        party = books.find(Party, command.party_id)
        if party is None or party.tenant_id != moment.owner_id:
            raise Refusal(Code.PARTY_NOT_FOUND)
    known = books.find(PaymentMethod, method_id)
    if command.given is not None:
        return channel, _method(command, command.given, channel, moment, method_id, known)
    if known is None or (known.type, known.fiat) != (channel.type, channel.fiat):
        raise Refusal(Code.PAYMENT_METHOD_NOT_FOUND)
    return channel, known


def _method(
    command: PreparePayout,
    given: GivenMethod,
    channel: Channel,
    moment: Moment,
    method_id: UUID,
    known: PaymentMethod | None,
) -> PaymentMethod:
    return PaymentMethod(
        id=method_id,
        tenant_id=moment.owner_id,
        party_id=command.party_id,
        name=given.name,
        category=channel.category,
        type=channel.type,
        subtype=given.subtype,
        country=given.country,
        fiat=channel.fiat,
        number=given.number,
        bank_code=given.bank_code,
        details=given.details,
        created_at=known.created_at if known else moment.now,
    )


def _keep(books: Books, method: PaymentMethod) -> None:
    known = books.find(PaymentMethod, method.id)
    if known is None:
        books.add(method)
    elif known != method:
        books.put(method)
