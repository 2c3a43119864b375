"""Who is paid, from what a form and a profile say."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from otcdesk.banking.payees import UNITS_MAX, Waiting, payee_of
from tests.support.bank import HOLDER
from tests.support.payouts import IBAN

ADA = '{"FullName":{"FirstName":"Ada","LastName":"Example"}}'
NO_HOLDER = f'{{"BankDetails":{{"AccountNumber":"{IBAN}"}}}}'


def waiting(**fields: Any) -> Waiting:
    told = {
        "order_id": uuid4(),
        "updated_at": datetime(2026, 11, 20, tzinfo=UTC),
        "units": 10_000,
        "tenant": "user-b1",
        "external_id": "inv-1",
        "details": HOLDER,
        "number": None,
        "bank_code": None,
        "profile": None,
        **fields,
    }
    return Waiting(**told)


def test_a_form_says_who_is_paid() -> None:
    row = waiting()
    payee = payee_of(row)
    assert payee is not None
    assert (payee.order_id, payee.name, payee.iban, payee.bic) == (row.order_id, "Ada Example", IBAN, None)
    assert payee.remittance == "user-b1 inv-1"


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"details": NO_HOLDER, "profile": ADA}, "Ada Example"),
        ({"details": NO_HOLDER, "profile": '{"RegisteredName":"Example GmbH"}'}, "Example GmbH"),
        ({"details": '{"AccountHolder":{"FirstName":"Zoë","LastName":"Müller"}}', "number": IBAN}, "Zoe Muller"),
        ({"details": '{"AccountHolder":"X","BankDetails":{"AccountNumber":"DE89 3704 0044 0532 0130 00"}}'}, "X"),
        ({"details": None, "number": IBAN, "profile": ADA}, "Ada Example"),
    ],
)
def test_other_places_for_a_name_and_an_account(fields: dict[str, Any], name: str) -> None:
    payee = payee_of(waiting(**fields))
    assert payee is not None
    assert (payee.name, payee.iban) == (name, IBAN)


@pytest.mark.parametrize(
    "fields",
    [
        {"details": NO_HOLDER},
        {"details": "[]"},
        {"details": None},
        {"details": '{"AccountHolder":"🙂"}', "number": IBAN},
        {"details": '{"AccountHolder":5,"BankDetails":[]}', "number": IBAN},
        {"details": HOLDER.replace("DE89", "DE88")},
        {"units": UNITS_MAX + 1},
    ],
)
def test_whom_no_bank_could_pay(fields: dict[str, Any]) -> None:
    assert payee_of(waiting(**fields)) is None


@pytest.mark.parametrize("code, bic", [("NWBKGB2L", "NWBKGB2L"), ("37040044", None), ("", None)])
def test_a_code_that_is_no_bic_is_left_to_the_iban(code: str, bic: str | None) -> None:
    payee = payee_of(waiting(bank_code=code))
    assert payee is not None
    assert payee.bic == bic


def test_without_a_reference_of_the_tenants_the_order_is_named() -> None:
    row = waiting(external_id=None)
    payee = payee_of(row)
    assert payee is not None
    assert payee.remittance == f"user-b1 {row.order_id}"
