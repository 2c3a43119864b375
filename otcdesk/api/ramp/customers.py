"""Whom a business pays, under its own ids, with their payment methods (ramp contract 3.7, 3.8)."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_to_bytes
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from otcdesk.actions.keep_party import KeepParty, PartyKept
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.ramp.paging import ASCENDING, Page, PageQuery, required
from otcdesk.api.ramp.payouts import party_id_of
from otcdesk.api.ramp.shapes import (
    CUSTOMER_ID_MAX,
    CountryCode,
    CustomerId,
    PaymentMethodPage,
    payment_method,
    time_text,
)
from otcdesk.api.wire import KEPT_TEXT
from otcdesk.domain.parties import ACTIVE, INACTIVE, UNVERIFIED, Party
from otcdesk.domain.payouts import PartyProfile, PaymentMethod
from otcdesk.errors import Code, Refusal
from otcdesk.forms import wrong

_NEW, _KNOWN = 201, 204

#: A pattern's `$` would let a line break pass at the end; this is the end in Python's and JSON Schema's patterns alike.
_END = r"(?![\s\S])"

_Name = Annotated[str, Meta(min_length=1, max_length=50, pattern=KEPT_TEXT)]
_Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=KEPT_TEXT)]
_Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+" + _END)]
_Phone = Annotated[str, Meta(pattern=r"^\+[0-9]{6,15}" + _END, max_length=16)]

#: What a customer is on the wire by its standing, and how it got there: its business vouches for it.
_VERIFICATION: Final = {ACTIVE: "Approved", UNVERIFIED: "Pending", INACTIVE: "Declined"}
_MODEL: Final = "Reliance"

_KINDS: Final = {"individual": "Individual", "business": "Business"}


class FullName(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A person's name."""

    FirstName: _Name
    LastName: _Name
    MiddleName: _Name | None = None


class Identity(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A document that says who somebody is."""

    IssuingCountry: CountryCode
    IDNumber: Annotated[str, Meta(min_length=1, max_length=36, pattern=KEPT_TEXT)]
    IDType: Literal["DrivingLicense", "NationalIDCard", "Passport", "AddressProof", "ResidencePermit", "TaxID"]
    IssuedDate: date | None = None
    ExpiryDate: date | None = None


class Address(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where somebody lives, or is registered."""

    Street: Annotated[str, Meta(min_length=2, max_length=200, pattern=KEPT_TEXT)]
    Street2: Annotated[str, Meta(max_length=200, pattern=KEPT_TEXT)] | None = None
    City: Annotated[str, Meta(min_length=1, max_length=100, pattern=KEPT_TEXT)]
    PostCode: Annotated[str, Meta(min_length=1, max_length=20, pattern=KEPT_TEXT)]
    State: Annotated[str, Meta(min_length=1, max_length=100, pattern=KEPT_TEXT)]
    Country: CountryCode


class Individual(msgspec.Struct, kw_only=True, tag="Individual", tag_field="Type", omit_defaults=True):
    """A person."""

    FullName: FullName
    DateOfBirth: date
    Email: _Email | None = None
    PhoneNumber: _Phone | None = None
    Identities: Annotated[list[Identity], Meta(max_length=20)]
    PrimaryResidence: Address


class Business(msgspec.Struct, kw_only=True, tag="Business", tag_field="Type", omit_defaults=True):
    """A company."""

    RegisteredName: _Text
    RegistrationNumber: _Text
    RegistrationCountry: CountryCode
    RegisteredAddress: Address
    IncorporationDate: date


Customer = Individual | Business


class Verification(msgspec.Struct, kw_only=True):
    """Whether a customer may be paid."""

    Model: str
    Status: Literal["Approved", "Pending", "Declined"]


class CustomerAnswer(msgspec.Struct, kw_only=True):
    """A customer, with what its business has told of it besides."""

    CustomerID: str
    Type: Literal["Individual", "Business"]
    Created: str
    Verification: Verification


class CustomerPage(msgspec.Struct, kw_only=True):
    """A page of customers."""

    Items: list[CustomerAnswer]
    PageToken: str | UnsetType = UNSET


class MethodsQuery(PageQuery, kw_only=True):
    """Whose payment methods are asked for."""

    CustomerID: CustomerId


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A party with what was told of it."""

    party: Party
    profile: PartyProfile


async def put_customer(call: Call) -> Answer:
    """Keep a customer under the business's own id: 201 if it is new, 204 if it was known."""
    kept: PartyKept = await call.submit(person_of(customer_id(call), call.body))
    return Answer(_NEW if kept.is_new else _KNOWN, b"")


def person_of(external_id: str, customer: Customer) -> KeepParty:
    """Return the command that keeps a customer."""
    is_person = isinstance(customer, Individual)
    country = customer.PrimaryResidence.Country if isinstance(customer, Individual) else customer.RegistrationCountry
    return KeepParty(
        external_id=external_id,
        kind="individual" if is_person else "business",
        country=country,
        details=msgspec.json.encode(customer).decode(),
    )


def customer_id(call: Call) -> str:
    """Return the CustomerID of the path, which may have any characters, escaped; refuses REQUEST_INVALID."""
    try:
        found = unquote_to_bytes(call.path_text("CustomerID")).decode()
    except ValueError:
        raise wrong({"CustomerID": "is not UTF-8"}) from None
    if not 1 <= len(found) <= CUSTOMER_ID_MAX or "\x00" in found:
        raise wrong({"CustomerID": f"must have 1 to {CUSTOMER_ID_MAX} characters"})
    return found


async def get_customer(call: Call) -> dict[str, Any]:
    """Show a customer."""
    party_id = party_id_of(call, customer_id(call))
    return _answer(await _known(call, party_id))


async def get_customers(call: Call) -> dict[str, Any]:
    """List the business's customers by time."""
    page, caller = Page(call.request), call.caller
    name = "parties_up" if page.ascending else "parties_down"
    rows = await call.desk.reads.rows("payouts", name, Known, caller.lane, caller.owner_id, *page.after, page.fetched)
    token = page.token_by_time(rows, lambda row: (row.party.created_at, row.party.id))
    items = [_answer(row) for row in page.shown(rows)]
    return {"Items": items} if token is UNSET else {"Items": items, "PageToken": token}


async def get_payment_methods(call: Call) -> PaymentMethodPage:
    """List a customer's payment methods by time."""
    page, caller = Page(call.request, MethodsQuery, direction=ASCENDING), call.caller
    named = required(call.request.query.get("CustomerID"), "CustomerID")
    party = (await _known(call, party_id_of(call, named))).party
    rows = await call.desk.reads.rows(
        "payouts", "methods", PaymentMethod, caller.lane, caller.owner_id, party.id, *page.after, page.fetched
    )
    return PaymentMethodPage(
        Items=[payment_method(row, party.external_id) for row in page.shown(rows)],
        PageToken=page.token_by_time(rows, lambda row: (row.created_at, row.id)),
    )


async def _known(call: Call, party_id: UUID | None) -> Known:
    """Return a customer of the caller's; refuses PARTY_NOT_FOUND."""
    caller = call.caller
    found = await call.desk.reads.row("payouts", "party", Known, caller.lane, party_id, caller.owner_id)
    if found is None:
        raise Refusal(Code.PARTY_NOT_FOUND)
    return found


def _answer(known: Known) -> dict[str, Any]:
    """Render a customer: what was told of it, and what the desk knows."""
    party, profile = known.party, known.profile
    told: dict[str, Any] = msgspec.json.decode(profile.details, type=dict)
    return {
        "Type": _KINDS[profile.kind],
        **told,
        "CustomerID": party.external_id,
        "Created": time_text(party.created_at),
        "Verification": {"Model": _MODEL, "Status": _VERIFICATION[party.status]},
    }
