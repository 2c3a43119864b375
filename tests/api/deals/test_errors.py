"""What is said of a refusal: the contract's sentences, and details only where it has any."""

import pytest

from otcdesk.api.deals.deal_lists import DEAL_DETAILS, DEAL_EXCEPTIONS
from otcdesk.api.deals.errors import DETAILS, PAGE_INVALID, REPLIES, error_body
from otcdesk.api.deals.routes import DETAILS as OF_ROUTES
from otcdesk.api.deals.routes import EXCEPTIONS, ROUTES
from otcdesk.api.deals.sales import SALES_DETAILS, SALES_EXCEPTIONS
from otcdesk.api.deals.transactions import TRANSACTION_DETAILS, TRANSACTION_EXCEPTIONS
from otcdesk.api.deals.users import USER_DETAILS
from otcdesk.api.dialect import Reply
from otcdesk.errors import Code, Refusal


def said(refusal: Refusal, of_route: str | None = None) -> dict[str, str]:
    return error_body(REPLIES[refusal.code], refusal, of_route)


@pytest.mark.parametrize("code", [Code.UNAUTHENTICATED, Code.CREDENTIAL_EXPIRED, Code.CRASHED, Code.PARTY_NAME_TAKEN])
def test_what_has_no_details_never_has_any(code: Code) -> None:
    for refusal in (Refusal(code), Refusal(code, "what happened inside")):
        assert said(refusal, "what the route says") == {"error": REPLIES[code].word}


@pytest.mark.parametrize("code", [code for code in REPLIES if DETAILS.get(code, "") is not None])
def test_everything_else_has_details(code: Code) -> None:
    told = said(Refusal(code))
    assert told["error"] == REPLIES[code].word
    assert told["details"] == DETAILS.get(code, code.sentence)


def test_what_the_refusal_and_what_the_route_says_comes_first() -> None:
    assert said(Refusal(Code.REQUEST_INVALID, "Quantity is odd"))["details"] == "Quantity is odd"
    assert said(Refusal(Code.NOT_PERMITTED), "not you")["details"] == "not you"


@pytest.mark.parametrize(
    "field, name", [("quantity", "Quantity"), ("deal_id", "Deal ID"), ("price_id", "price_id"), ("email", "email")]
)
def test_a_missing_field_is_named(field: str, name: str) -> None:
    refusal = Refusal(Code.REQUEST_INVALID, "Object missing required field", field=field, missing=True)
    assert said(refusal)["details"] == f"{name} is required"
    wrong = Refusal(Code.REQUEST_INVALID, "The body is not valid", field=field, missing=False)
    assert said(wrong)["details"] == "The body is not valid"


def test_lists_of_users_say_no_details() -> None:
    refusal = Refusal(Code.REQUEST_INVALID, "page is required", field="page", missing=True)
    assert error_body(Reply(400, PAGE_INVALID), refusal, None) == {"error": PAGE_INVALID}


def test_what_single_routes_say_is_of_routes_that_there_are() -> None:
    assert {label for label, _ in {**OF_ROUTES, **EXCEPTIONS}} <= {route.label for route in ROUTES}


def test_what_the_users_routes_say_is_of_what_they_refuse() -> None:
    refuses = {route.label: {*route.refuses, Code.REQUEST_INVALID} for route in ROUTES}
    of_users = {**SALES_DETAILS, **DEAL_DETAILS, **TRANSACTION_DETAILS, **USER_DETAILS}
    for label, code in {**of_users, **SALES_EXCEPTIONS, **DEAL_EXCEPTIONS, **TRANSACTION_EXCEPTIONS}:
        assert code in refuses[label], (label, code)


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.handler.__name__ for route in ROUTES]
    assert len(names) == len(set(names))
