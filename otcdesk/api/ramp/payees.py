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
from otcdesk.banking.payees import payee_name
from otcdesk.domain.payouts import BANK_FILE, Channel, PaymentMethod
from otcdesk.errors import Code, Refusal
from otcdesk.forms import Form, check_form, merged, read_form, wrong

_NAME_MAX: Final = 150

#: The field of a form that says whose an account is.
_HOLDER: Final = "AccountHolder"


class Payee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be paid through which channel, as given or under a known name, and whose payment method that is."""

    channel_id: UUID
    party_id: UUID | None
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
        _check(channel, form)
        return Payee(channel_id=channel.id, party_id=party_id, given=_given(channel, form))
    known = await known_method(call, channel, party_id, name)
    whole = merged(details_of(known), form)
    _check(channel, whole)
    if not form:
        return Payee(channel_id=channel.id, party_id=known.party_id, method_name=name)
    given = _given(channel, whole)
    if given.name != name:
        raise wrong({"Form": "names another account than the PaymentMethodID"})
    return Payee(channel_id=channel.id, party_id=known.party_id, given=given)


def given_by(channel: Channel, form: Form) -> GivenMethod:
    """Return whom a form names; refuses REQUEST_INVALID for one that the channel cannot be paid by."""
    clean = normalized(channel, form)
    _check(channel, clean)
    return _given(channel, clean)


async def channel_of(call: Call, channel_id: UUID) -> Channel:
    """Return a channel; refuses CHANNEL_NOT_FOUND."""
    services: RampServices = call.services
    found = await services.channels.find(call.caller.lane, channel_id)
    if found is None:
        raise Refusal(Code.CHANNEL_NOT_FOUND)
    return found


async def known_method(call: Call, channel: Channel, party_id: UUID | None, name: str) -> PaymentMethod:
    """Return a payment method that a channel can pay; refuses as `method_named`."""
    found = await method_named(call, party_id, name)
    if (found.type, found.fiat) != (channel.type, channel.fiat):
        raise Refusal(Code.PAYMENT_METHOD_NOT_FOUND)
    return found


async def method_named(call: Call, party_id: UUID | None, name: str) -> PaymentMethod:
    """Return a payment method by its name: a customer's, or where none is named the business's own, or the only one.

    Refuses PAYMENT_METHOD_NOT_FOUND, and REQUEST_INVALID where several customers have one of that name.
    """
    caller = call.caller
    wanted = (caller.lane, caller.owner_id, name, party_id)
    found = await call.desk.reads.rows("payouts", "methods_by_name", PaymentMethod, *wanted)
    if not found:
        raise Refusal(Code.PAYMENT_METHOD_NOT_FOUND)
    if len(found) > 1 and found[0].party_id is not None:
        raise wrong({"CustomerID": "is required: several customers have this PaymentMethodID"})
    return found[0]


def details_of(method: PaymentMethod) -> Form:
    """Return the values by which a payment method was given."""
    found: Form = msgspec.json.decode(method.details, type=dict)
    return found


def _check(channel: Channel, form: Form) -> None:
    """Refuse REQUEST_INVALID for a form that the channel cannot be paid by, also where a bank could not say whom."""
    check_form(channel.form_schema, form)
    if channel.rail == BANK_FILE and _HOLDER in form and not payee_name(form[_HOLDER]):
        raise wrong({f"Form.{_HOLDER}": "has no letter that banks take"})


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
