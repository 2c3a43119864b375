"""The ways to be paid: which there are for a sell, what each costs, and what must be known of who is paid.

Source: ramp contract, 3.3.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.dialect import Call
from otcdesk.api.ramp import shapes
from otcdesk.api.ramp.bank_details import MANY_COUNTRIES
from otcdesk.api.ramp.paging import FIRST, Page, PageQuery, plain_query, required
from otcdesk.api.ramp.payees import channel_of, details_of, known_method, method_named
from otcdesk.api.ramp.payouts import party_id_of
from otcdesk.api.ramp.services import listed_asset, scales_of
from otcdesk.api.wire import DecimalText, UuidText, uuid_of
from otcdesk.domain.lanes import LaneClock
from otcdesk.domain.parties import Party
from otcdesk.domain.payouts import CARD, Channel, PartyProfile, PaymentMethod, cost_of
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.errors import Code, Refusal
from otcdesk.forms import missing_part, schema_of, wrong
from otcdesk.money import Amount, Asset, less_spread, print_units, units_of

_BEFORE_ALL: Final = UUID(int=0)
#: More payment methods of one customer are not listed with a channel; they have a list of their own.
_METHODS_MAX: Final = 100

COUNTRY: Final = (f"{shapes.COUNTRY_CODES}|{MANY_COUNTRIES}", "a country code of ISO 3166-1")
FIAT: Final = ("[A-Z]{3}", "a currency code of three capitals")

#: A country, or that of channels which are usable from many.
QueriedCountry = Annotated[str, Meta(pattern=f"^({COUNTRY[0]})$", min_length=2, max_length=2)]


class ChannelsQuery(PageQuery, kw_only=True):
    """Which channels are asked for; `Country` or `FiatCurrency` must be there."""

    CryptoCurrency: shapes.AssetCode
    Country: QueriedCountry | None = None
    FiatCurrency: str | None = None
    FiatAmount: shapes.PositiveDecimal | None = None
    CustomerID: shapes.CustomerId | None = None
    PaymentMethodID: shapes.PaymentMethodId | None = None


class ChannelQuery(msgspec.Struct, kw_only=True):
    """What is asked of one channel."""

    CryptoCurrency: shapes.AssetCode
    FiatAmount: shapes.PositiveDecimal | None = None
    CustomerID: shapes.CustomerId | None = None


class FormQuery(msgspec.Struct, kw_only=True):
    """For whom a form is asked for."""

    PaymentMethodID: shapes.PaymentMethodId | None = None
    CustomerID: shapes.CustomerId | None = None


class Calculated(msgspec.Struct, kw_only=True):
    """What an amount costs by a channel."""

    TotalFee: DecimalText


class Limits(msgspec.Struct, kw_only=True):
    """The bounds of an amount, in the channel's fiat."""

    MinLimit: DecimalText
    MaxLimit: DecimalText | UnsetType = UNSET


class FeeConfig(msgspec.Struct, kw_only=True):
    """What a channel costs: so much, and so many percent."""

    Fixed: DecimalText
    Percentage: DecimalText


class SavedMethod(msgspec.Struct, kw_only=True):
    """A payment method of the customer that the channel can pay."""

    ID: str
    PaymentMethodType: str
    Details: shapes.DisplayDetails


_Calculated = Calculated  # a field that has its shape's name would hide it


class ChannelAnswer(msgspec.Struct, kw_only=True):
    """A way to be paid."""

    ID: UuidText
    PaymentMethodCategory: shapes.Category
    PaymentMethodType: str
    FiatCurrency: str
    Country: Annotated[str, Meta(description="`XX`: usable from many countries.")]
    Calculated: _Calculated | UnsetType = UNSET
    Limits: Limits
    Rate: Annotated[DecimalText, Meta(description="Indicative, without fees.")]
    PaymentMethods: list[SavedMethod] | UnsetType = UNSET
    ProcessingSeconds: int
    FeeConfig: FeeConfig
    FormSchema: Annotated[dict[str, Any] | UnsetType, Meta(description="JSON Schema, draft 7.")] = UNSET


class ChannelPage(msgspec.Struct, kw_only=True):
    """A page of channels."""

    Items: list[ChannelAnswer]
    PageToken: str | UnsetType = UNSET


class FormAnswer(msgspec.Struct, kw_only=True):
    """What must be known of who is paid."""

    FormSchema: dict[str, Any] | UnsetType = UNSET


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A channel with the price of an asset, as it is stored."""

    channel: Channel
    price: Price | None = None
    surcharge_percent: Decimal | None = None
    clock: LaneClock | None = None

    def market(self, machine_now: datetime) -> MarketRate | None:
        """Return the market's rate now."""
        now = (self.clock or LaneClock()).business_time(machine_now)
        return self.price.market(now) if self.price else None

    def rate(self, machine_now: datetime) -> Decimal | None:
        """Return what one of the asset brings now by this channel; None if there is no price."""
        market = self.market(machine_now)
        rate = less_spread(market.value, self.channel.spread_bps) if market else None
        return rate or None


class _Country(msgspec.Struct):
    country: str
    fiats: list[str]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of a sell that it has in mind."""

    asset: Asset
    arrives: Decimal | None
    party_id: UUID | None
    methods: list[PaymentMethod] | None
    known: PaymentMethod | None = None


async def get_channels_sell(call: Call) -> ChannelPage:
    """List the channels by which an asset can be sold."""
    request = call.request
    page = Page(request, ChannelsQuery)
    asked = await _asked(call)
    country, fiat = plain_query(request, "Country", *COUNTRY), plain_query(request, "FiatCurrency", *FIAT)
    if country is None and fiat is None:
        raise wrong({"Country": "is required unless FiatCurrency is given"})
    asked = await _with_method(call, asked)
    kind = None
    if asked.known is not None:
        if fiat not in {None, asked.known.fiat}:
            return ChannelPage(Items=[])
        kind, fiat = asked.known.type, asked.known.fiat
    rows = await _priced_channels(call, page, asked.asset, country, fiat, kind)
    now = call.desk.clock.now()
    return ChannelPage(
        Items=[await _answer(call, row, asked) for row in page.shown(rows) if row.rate(now) is not None],
        PageToken=page.token_by_key(rows, lambda row: str(row.channel.id)),
    )


async def _priced_channels(
    call: Call, page: Page, asset: Asset, country: str | None, fiat: str | None, kind: str | None
) -> list[Priced]:
    after = uuid_of(page.after_key) if page.after_key else _BEFORE_ALL
    caller = call.caller
    wanted = (caller.lane, asset.code, caller.owner_id, country, fiat, kind, None)
    return await call.desk.reads.rows("payouts", "priced_channels", Priced, *wanted, after, page.fetched)


async def get_channel(call: Call) -> ChannelAnswer:
    """Show one channel."""
    channel_id = call.path_id("ChannelID", Code.CHANNEL_NOT_FOUND)
    asked, caller = await _asked(call), call.caller
    wanted = (caller.lane, channel_id, asked.asset.code, caller.owner_id)
    row = await call.desk.reads.row("payouts", "priced_channel", Priced, *wanted)
    if row is None:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    return await _answer(call, row, asked)


async def get_channel_form(call: Call) -> FormAnswer:
    """Show what must be known of who is paid by a channel; of a saved payment method what is still missing."""
    channel = await channel_of(call, call.path_id("ChannelID", Code.CHANNEL_NOT_FOUND))
    if channel.category == CARD:
        raise Refusal(Code.CHANNEL_NOT_FOUND, "This channel has no form: it pays saved cards.")
    name = call.request.query.get("PaymentMethodID")
    if name is None:
        return FormAnswer(FormSchema=schema_of(channel.form_schema))
    party_id = party_id_of(call, call.request.query.get("CustomerID"))
    return FormAnswer(FormSchema=_form(channel, await known_method(call, channel, party_id, name)))


async def get_channels_sell_countries(call: Call) -> dict[str, list[str]]:
    """List the countries in which somebody can be paid, each with its currencies."""
    rows = await call.desk.reads.rows("payouts", "countries", _Country, call.caller.lane)
    return {row.country: row.fiats for row in rows}


async def _asked(call: Call) -> _Asked:
    query = call.request.query
    asset = await listed_asset(call, required(query.get("CryptoCurrency"), "CryptoCurrency"))
    amount = query.get("FiatAmount")
    party_id = await known_party(call, query.get("CustomerID"))
    return _Asked(
        asset=asset,
        arrives=None if amount is None else shapes.positive(amount, "FiatAmount"),
        party_id=party_id,
        methods=None if party_id is None else await _methods(call, party_id),
    )


class _Known(msgspec.Struct):
    party: Party
    profile: PartyProfile


async def known_party(call: Call, customer_id: str | None) -> UUID | None:
    """Return the id of a customer whom a query names; refuses PARTY_NOT_FOUND."""
    party_id = party_id_of(call, customer_id)
    if party_id is None:
        return None
    caller = call.caller
    if await call.desk.reads.row("payouts", "party", _Known, caller.lane, party_id, caller.owner_id) is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return party_id


async def _methods(call: Call, party_id: UUID) -> list[PaymentMethod]:
    caller = call.caller
    wanted = (caller.lane, caller.owner_id, party_id, *FIRST, _METHODS_MAX)
    return await call.desk.reads.rows("payouts", "methods", PaymentMethod, *wanted)


async def _with_method(call: Call, asked: _Asked) -> _Asked:
    """Return what is asked with the payment method that it names, and whose that is."""
    name = call.request.query.get("PaymentMethodID")
    if name is None:
        return asked
    known = await method_named(call, asked.party_id, name)
    return msgspec.structs.replace(asked, party_id=known.party_id, known=known)


async def _answer(call: Call, row: Priced, asked: _Asked) -> ChannelAnswer:
    """Render a channel; refuses PRICE_UNAVAILABLE, and REQUEST_INVALID for an amount that the fiat cannot have."""
    channel, rate = row.channel, row.rate(call.desk.clock.now())
    if rate is None:
        raise Refusal(Code.PRICE_UNAVAILABLE)
    fiat = Asset(channel.fiat, (await scales_of(call, channel.fiat))[channel.fiat])
    return ChannelAnswer(
        ID=str(channel.id),
        PaymentMethodCategory=shapes.CATEGORIES[channel.category],
        PaymentMethodType=channel.type,
        FiatCurrency=channel.fiat,
        Country=channel.country,
        Calculated=UNSET if asked.arrives is None else _calculated(row, asked, fiat, rate),
        Limits=Limits(
            MinLimit=_bound(channel.min_units, fiat),
            MaxLimit=UNSET if channel.max_units is None else _bound(channel.max_units, fiat),
        ),
        Rate=shapes.rate_text(rate),
        PaymentMethods=UNSET if asked.methods is None else _saved(channel, asked.methods),
        ProcessingSeconds=channel.processing_seconds,
        FeeConfig=FeeConfig(
            Fixed=print_units(channel.fixed_fee_units, fiat.scale), Percentage=shapes.rate_text(channel.fee_percent)
        ),
        FormSchema=UNSET if channel.category == CARD else _form(channel, asked.known),
    )


def _calculated(row: Priced, asked: _Asked, fiat: Asset, rate: Decimal) -> Calculated:
    units = units_of(asked.arrives or Decimal(0), fiat.scale)
    if units is None:
        raise Refusal(Code.AMOUNT_TOO_FINE)
    percent = row.surcharge_percent if asked.party_id is not None else None
    cost = cost_of(Amount(units, fiat), row.channel, percent or Decimal(0), rate, asked.asset)
    return Calculated(TotalFee=print_units(cost.fees.units, fiat.scale))


def _bound(units: int, fiat: Asset) -> str:
    """Write a limit without trailing zeros, as the contract's examples have it."""
    return shapes.rate_text(Decimal(print_units(units, fiat.scale)))


def _saved(channel: Channel, methods: list[PaymentMethod]) -> list[SavedMethod]:
    return [
        SavedMethod(ID=method.name, PaymentMethodType=method.type, Details=shapes.display_details(method))
        for method in methods
        if (method.type, method.fiat) == (channel.type, channel.fiat)
    ]


def _form(channel: Channel, known: PaymentMethod | None) -> dict[str, Any] | UnsetType:
    """Return a channel's form; of a payment method that is known what it lacks, nothing if it lacks nothing."""
    if known is None:
        return schema_of(channel.form_schema)
    return missing_part(channel.form_schema, details_of(known)) or UNSET
