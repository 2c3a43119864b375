"""What bank accounts and identifiers must look like beyond a channel's form, and how they are written.

Forms say which fields there are; here are check digits and the countries' own rules. Values are kept without spaces and
in capitals, so that the same account is the same payment method however it was typed.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException

from otcdesk.domain.payouts import BANK, IDENTIFIER, Channel
from otcdesk.forms import Form, wrong

#: Usable from many countries: the account says from which.
MANY_COUNTRIES: Final = "XX"

ACCOUNT_NUMBER: Final = "Form.BankDetails.AccountNumber"
BANK_CODE: Final = "Form.BankDetails.BankCode"
_IDENTIFIER: Final = "Form.Identifier.Identifier"

_LOOKS_LIKE_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}", re.ASCII)
_LOCAL_NUMBER: Final = re.compile(r"[A-Z0-9]{1,34}", re.ASCII)
_ROUTING_NUMBER: Final = re.compile(r"[0-9]{9}", re.ASCII)
_ROUTING_WEIGHTS: Final = (3, 7, 1) * 3
_PHONE: Final = re.compile(r"\+[0-9]{6,15}", re.ASCII)
_TAX_ID: Final = re.compile(r"[0-9]{11}|[0-9]{14}", re.ASCII)
_ANY_IDENTIFIER: Final = re.compile(r"[\x21-\x7e]{1,100}", re.ASCII)


#: By the country of an IBAN, which others its bank's BIC may be of (EPC409-09).
_ALSO_OF: Final[Mapping[str, frozenset[str]]] = {
    "FI": frozenset({"AX"}),
    "FR": frozenset({"BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT"}),
    "GB": frozenset({"GG", "IM", "JE"}),
}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a form names: an account or identifier, and the country that it is in."""

    number: str
    country: str
    bank_code: str | None = None
    subtype: str | None = None


def normalized(channel: Channel, form: Form) -> Form:
    """Return a form with its account numbers and codes as they are kept."""
    part = {BANK: "BankDetails", IDENTIFIER: "Identifier"}.get(channel.category, "")
    details = form.get(part)
    if not isinstance(details, dict):
        return form
    clean = {name: _NORMALIZED[name](value) for name, value in details.items() if name in _NORMALIZED}
    return {**form, part: {**details, **clean}}


def _compact(value: Any) -> Any:
    return "".join(value.split()).upper() if isinstance(value, str) else value


def _code(value: Any) -> Any:
    return _compact(value).replace("-", "") if isinstance(value, str) else value


def _identifier(value: Any) -> Any:
    return re.sub(r"[\s().-]", "", value) if isinstance(value, str) and "@" not in value else value


_NORMALIZED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "AccountNumber": _compact,
    "BankCode": _code,
    "Identifier": _identifier,
}


def account_in(channel: Channel, form: Form) -> Account:
    """Return whom a form names; refuses REQUEST_INVALID naming the field that cannot be."""
    if channel.category == IDENTIFIER:
        return _identified(
            channel, _text(form, "Identifier", "Identifier"), _text(form, "Identifier", "IdentifierType")
        )
    if channel.category != BANK:
        raise wrong({"PaymentMethodID": "is required: this channel pays saved payment methods only"})
    number = _text(form, "BankDetails", "AccountNumber")
    code = _text(form, "BankDetails", "BankCode") or None
    return _BANKS.get(channel.type, _local)(channel, number, code)


def _text(form: Form, part: str, name: str) -> str:
    details = form.get(part)
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, str) else ""


def _sepa(channel: Channel, number: str, code: str | None) -> Account:
    country = _iban(channel, number)
    return Account(number=number, country=country, bank_code=None if code is None else _bic_in(code, country))


def _local(channel: Channel, number: str, code: str | None) -> Account:
    """Return an account of a country's own kind; what is written as an IBAN of that country must be one."""
    if _LOOKS_LIKE_IBAN.fullmatch(number) and number[:2] == channel.country:
        _iban(channel, number)
    return _plain(channel, number, code)


def _routed(channel: Channel, number: str, code: str | None) -> Account:
    """Return an account in the United States: the weighted digits of its routing number end in zero."""
    digits = code if code is not None and _ROUTING_NUMBER.fullmatch(code) else "1"
    if sum(int(digit) * weight for digit, weight in zip(digits, _ROUTING_WEIGHTS, strict=False)) % 10:
        raise wrong({BANK_CODE: "is not a routing number"})
    if not re.fullmatch(r"[0-9A-Z]{4,17}", number, re.ASCII):
        raise wrong({ACCOUNT_NUMBER: "must have 4 to 17 digits"})
    return _plain(channel, number, code)


def _sorted(channel: Channel, number: str, code: str | None) -> Account:
    """Return an account in the United Kingdom."""
    if code is None or not re.fullmatch(r"[0-9]{6}", code, re.ASCII):
        raise wrong({BANK_CODE: "must be a sort code of 6 digits"})
    if not re.fullmatch(r"[0-9]{8}", number, re.ASCII):
        raise wrong({ACCOUNT_NUMBER: "must have 8 digits"})
    return _plain(channel, number, code)


def _abroad(channel: Channel, number: str, code: str | None) -> Account:
    """Return an account anywhere: its bank's BIC says where, and an IBAN must be of there."""
    bic = _bic(code or "")
    country = bic[4:6] if channel.country == MANY_COUNTRIES else channel.country
    if _LOOKS_LIKE_IBAN.fullmatch(number):
        country = _iban(channel, number)
        _bic_in(bic, country)
    return Account(number=_plain(channel, number, bic).number, country=country, bank_code=bic)


def _plain(channel: Channel, number: str, code: str | None) -> Account:
    if not _LOCAL_NUMBER.fullmatch(number):
        raise wrong({ACCOUNT_NUMBER: "must have 1 to 34 letters and digits"})
    if code is not None and not _LOCAL_NUMBER.fullmatch(code):
        raise wrong({BANK_CODE: "must have 1 to 34 letters and digits"})
    return Account(number=number, country=channel.country, bank_code=code)


def _iban(channel: Channel, number: str) -> str:
    """Return the country of an IBAN; refuses REQUEST_INVALID for what is none, and for another than the channel's."""
    try:
        country = str(IBAN(number).country_code)
    except SchwiftyException as error:
        raise wrong({ACCOUNT_NUMBER: f"is not an IBAN: {_reason(error)}"}) from None
    if channel.country not in {MANY_COUNTRIES, country}:
        raise wrong({ACCOUNT_NUMBER: f"is not of the channel's country {channel.country}"})
    return country


def _bic(code: str) -> str:
    try:
        return str(BIC(code))
    except SchwiftyException as error:
        raise wrong({BANK_CODE: f"is not a BIC: {_reason(error)}"}) from None


def _bic_in(code: str, country: str) -> str:
    """Return the BIC of a bank that may have an IBAN of a country; refuses REQUEST_INVALID for any other."""
    bic = _bic(code)
    if bic[4:6] != country and bic[4:6] not in _ALSO_OF.get(country, ()):
        raise wrong({BANK_CODE: f"is of a bank in another country than the IBAN's, {country}"})
    return bic


def _reason(error: SchwiftyException) -> str:
    """Return what is wrong without the value."""
    words = re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", type(error).__name__)
    return " ".join(words).lower()


def _identified(channel: Channel, identifier: str, kind: str) -> Account:
    pattern = {"PhoneNumber": _PHONE, "TaxID": _TAX_ID}.get(kind, _ANY_IDENTIFIER)
    if not pattern.fullmatch(identifier):
        raise wrong({_IDENTIFIER: f"is not a {kind or 'known identifier'}"})
    return Account(number=identifier, country=channel.country, subtype=kind)


#: By the contract's names of the kinds of payment methods; any other bank's account is of its country's own kind.
_BANKS: Final[Mapping[str, Callable[[Channel, str, str | None], Account]]] = {
    "BankSepa": _sepa,
    "BankAch": _routed,
    "BankFedwire": _routed,
    "BankSortCode": _sorted,
    "BankSwift": _abroad,
}
