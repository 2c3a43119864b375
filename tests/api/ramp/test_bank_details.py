"""Bank accounts and identifiers: check digits, countries, spelling, and the names of payment methods."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.api.ramp.bank_details import ACCOUNT_NUMBER, BANK_CODE, account_in, normalized
from otcdesk.api.ramp.payees import method_name
from otcdesk.domain.payouts import Channel
from otcdesk.errors import Code, Refusal

DE_IBAN, GB_IBAN = "DE89370400440532013000", "GB82WEST12345698765432"


def channel(kind: str, country: str = "XX", category: str = "bank", fiat: str = "EUR") -> Channel:
    return Channel(
        id=uuid4(),
        category=category,
        type=kind,
        country=country,
        fiat=fiat,
        min_units=1,
        max_units=None,
        fixed_fee_units=0,
        fee_percent=Decimal(0),
        spread_bps=0,
        processing_seconds=1,
        form_schema="{}",
        rail="payout",
        review_from_units=None,
    )


US_ACH, US_WIRE = channel("BankAch", "US", fiat="USD"), channel("BankFedwire", "US", fiat="USD")
GB_LOCAL = channel("BankSortCode", "GB", fiat="GBP")


def bank(number: Any, code: Any = None) -> dict[str, Any]:
    return {"BankDetails": {"AccountNumber": number, **({} if code is None else {"BankCode": code})}}


@pytest.mark.parametrize(
    "where, form, name, country",
    [
        (channel("BankSepa"), bank(DE_IBAN), f"Bank/Sepa/EUR/{DE_IBAN}", "DE"),
        (
            channel("BankSepa"),
            bank("de89 3704 0044 0532 0130 00", "cobadeff xxx"),
            f"Bank/Sepa/EUR/COBADEFFXXX/{DE_IBAN}",
            "DE",
        ),
        (US_ACH, bank("123456", "021000021"), "Bank/Ach/USD/021000021/123456", "US"),
        (
            US_WIRE,
            bank("123456", "026009593"),
            "Bank/Fedwire/USD/026009593/123456",
            "US",
        ),
        (
            GB_LOCAL,
            bank("12345678", "12-34-56"),
            "Bank/SortCode/GBP/123456/12345678",
            "GB",
        ),
        (channel("BankSwift", fiat="USD"), bank("000123", "BOFAUS3N"), "Bank/Swift/USD/BOFAUS3N/000123", "US"),
        (channel("BankSwift", fiat="USD"), bank(GB_IBAN, "NWBKGB2L"), f"Bank/Swift/USD/NWBKGB2L/{GB_IBAN}", "GB"),
        (channel("BankLocal", "JP", fiat="JPY"), bank("1234567", "0001001"), "Bank/Local/JPY/0001001/1234567", "JP"),
        (channel("BankLocal", "DE"), bank(DE_IBAN), f"Bank/Local/EUR/{DE_IBAN}", "DE"),
    ],
)
def test_accounts(where: Channel, form: dict[str, Any], name: str, country: str) -> None:
    account = account_in(where, normalized(where, form))
    assert (method_name(where, account), account.country) == (name, country)


@pytest.mark.parametrize(
    "where, form, field",
    [
        (channel("BankSepa"), bank(DE_IBAN[:-1] + "1"), ACCOUNT_NUMBER),
        (channel("BankSepa"), bank("12345"), ACCOUNT_NUMBER),
        (channel("BankSepa"), bank(""), ACCOUNT_NUMBER),
        (channel("BankSepa"), {}, ACCOUNT_NUMBER),
        (channel("BankSepa", "DE"), bank(GB_IBAN), ACCOUNT_NUMBER),
        (channel("BankSepa"), bank(DE_IBAN, "NOTABIC"), BANK_CODE),
        (channel("BankAch", "US"), bank("123456", "021000022"), BANK_CODE),
        (channel("BankAch", "US"), bank("123456", "02100002"), BANK_CODE),
        (channel("BankAch", "US"), bank("123456"), BANK_CODE),
        (channel("BankAch", "US"), bank("123", "021000021"), ACCOUNT_NUMBER),
        (channel("BankSortCode", "GB"), bank("1234567", "123456"), ACCOUNT_NUMBER),
        (channel("BankSortCode", "GB"), bank("12345678", "12345"), BANK_CODE),
        (channel("BankSwift"), bank("123"), BANK_CODE),
        (channel("BankSwift"), bank(GB_IBAN[:-1] + "1", "NWBKGB2L"), ACCOUNT_NUMBER),
        (channel("BankLocal", "DE"), bank(DE_IBAN[:-1] + "1"), ACCOUNT_NUMBER),
        (channel("BankLocal", "JP"), bank("12/34"), ACCOUNT_NUMBER),
        (channel("BankLocal", "JP"), bank("1" * 35), ACCOUNT_NUMBER),
        (channel("BankLocal", "JP"), bank("é"), ACCOUNT_NUMBER),
        (channel("BankLocal", "JP"), bank("1", "a_b"), BANK_CODE),
        (channel("TokenizedCard", category="card"), {}, "PaymentMethodID"),
    ],
)
def test_accounts_that_cannot_be(where: Channel, form: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as caught:
        account_in(where, normalized(where, form))
    assert caught.value.code is Code.REQUEST_INVALID
    assert caught.value.facts["fields"].keys() == {field}
    assert DE_IBAN[:-1] not in caught.value.detail


def identifier(kind: str, value: Any) -> dict[str, Any]:
    return {"Identifier": {"IdentifierType": kind, "Identifier": value}}


PIX = channel("IdentifierPix", "BR", "identifier", "BRL")


@pytest.mark.parametrize(
    "kind, value, name",
    [
        ("TaxID", "123.456.789-09", "Identifier/Pix/BRL/TaxID/12345678909"),
        ("TaxID", "12.345.678/0001-95".replace("/", ""), "Identifier/Pix/BRL/TaxID/12345678000195"),
        ("PhoneNumber", "+55 (11) 98765-4321", "Identifier/Pix/BRL/PhoneNumber/+5511987654321"),
        ("Email", "a/b@example.com", "Identifier/Pix/BRL/Email/a%2Fb@example.com"),
    ],
)
def test_identifiers(kind: str, value: str, name: str) -> None:
    account = account_in(PIX, normalized(PIX, identifier(kind, value)))
    assert method_name(PIX, account) == name
    assert account.subtype == kind


@pytest.mark.parametrize(
    "kind, value",
    [("TaxID", "1"), ("PhoneNumber", "5511987654321"), ("Email", "a b@example.com"), ("Email", ""), ("Email", 5)],
)
def test_identifiers_that_cannot_be(kind: str, value: Any) -> None:
    with pytest.raises(Refusal):
        account_in(PIX, normalized(PIX, identifier(kind, value)))


def test_a_name_that_would_be_too_long() -> None:
    with pytest.raises(Refusal):
        method_name(PIX, account_in(PIX, identifier("Email", "%" * 60 + "@example.com")))


@pytest.mark.parametrize(
    "form", [{}, {"BankDetails": None}, {"BankDetails": [1]}, {"BankDetails": {"AccountNumber": 5}}]
)
def test_what_is_no_text_is_left_to_the_schema(form: dict[str, Any]) -> None:
    assert normalized(channel("BankSepa"), form) == form
