"""Who is paid: by a form that satisfies the channel's schema, by a payment method that is known, or by both.

A payment method's name says what it is: `Bank/Sepa/EUR/<bic>/<iban>`, the code left out where there is none, or
`Identifier/Pix/BRL/<kind>/<identifier>` (ramp contract 3.7).
"""

from typing import Final
from urllib.parse import quote
from uuid import UUID

import msgspec

from otcdesk.actions.prepare_payout import GivenMethod
from otcdesk.api.dialect import Call
from otcdesk.api.ramp.bank_details import Account, account_in, normalized
from otcdesk.api.ramp.services import RampServices
from otcdesk.api.ramp.shapes import CATEGORIES
from otcdesk.domain.payouts import Channel, PaymentMethod, payment_method_id
from otcdesk.errors import Code, Refusal
from otcdesk.forms import Form, check_form, merged, read_form, wrong

_NAME_MAX: Final = 150


class Payee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be paid through which channel: as given, or under a known name."""

    channel_id: UUID
    given: GivenMethod | None = None
    method_name: str | None = None


async def payee_of(
    call: Call, channel_id: UUID, party_id: UUID | None, name: str | None, raw_form: bytes | msgspec.Raw | None
) -> Payee:
    """Return who is to be paid.

    Refuses CHANNEL_NOT_FOUND, PAYMENT_METHOD_NOT_FOUND, and REQUEST_INVALID for a form that the channel cannot be paid
    by, also where what is known of a payment method is not enough for it.
    """
    channel = await channel_of(call, channel_id)
    form = normalized(channel, read_form(raw_form))
    if name is None:
        check_form(channel.form_schema, form)
        return Payee(channel_id=channel.id, given=_given(channel, form))
    known = await known_method(call, channel, party_id, name)
    whole = merged(details_of(known), form)
    check_form(channel.form_schema, whole)
    if not form:
        return Payee(channel_id=channel.id, method_name=name)
    given = _given(channel, whole)
    if given.name != name:
        raise wrong({"Form": "names another account than the PaymentMethodID"})
    return Payee(channel_id=channel.id, given=given)


def given_by(channel: Channel, form: Form) -> GivenMethod:
    """Return whom a form names; refuses REQUEST_INVALID for one that the channel cannot be paid by."""
    clean = normalized(channel, form)
    check_form(channel.form_schema, clean)
    return _given(channel, clean)


async def channel_of(call: Call, channel_id: UUID) -> Channel:
    """Return a channel; refuses CHANNEL_NOT_FOUND."""
    services: RampServices = call.services
    found = await services.channels.find(call.caller.lane, channel_id)
    if found is None:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    return found


async def known_method(call: Call, channel: Channel, party_id: UUID | None, name: str) -> PaymentMethod:
    """Return a payment method that a channel can pay; refuses PAYMENT_METHOD_NOT_FOUND."""
    owner_id = call.caller.owner_id
    method_id = payment_method_id(owner_id, party_id, name)
    found = await call.desk.reads.row("payouts", "method", PaymentMethod, call.caller.lane, method_id, owner_id)
    if found is None or (found.type, found.fiat) != (channel.type, channel.fiat):
        raise Refusal(Code.PAYMENT_METHOD_NOT_FOUND)
    return found


def details_of(method: PaymentMethod) -> Form:
    """Return the values by which a payment method was given."""
    found: Form = msgspec.json.decode(method.details, type=dict)
    return found


def _given(channel: Channel, form: Form) -> GivenMethod:
    account = account_in(channel, form)
    return GivenMethod(
        name=method_name(channel, account),
        subtype=account.subtype,
        country=account.country,
        number=account.number,
        bank_code=account.bank_code,
        details=msgspec.json.encode(form, order="deterministic").decode(),
    )


def method_name(channel: Channel, account: Account) -> str:
    """Return the name of a payment method; refuses REQUEST_INVALID for one that would be too long."""
    category = CATEGORIES[channel.category]
    parts = (
        *(category, channel.type.removeprefix(category), channel.fiat),
        *(account.bank_code, account.subtype, account.number),
    )
    name = "/".join(quote(part, safe="+@") for part in parts if part)
    if len(name) > _NAME_MAX:
        raise wrong({"Form": "names an account that is too long"})
    return name
