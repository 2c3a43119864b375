"""What is said of a refusal: the contract's sentences, and details only where it has any."""

from typing import Annotated

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from otcdesk.api.deals.deal_lists import DEAL_DETAILS, DEAL_EXCEPTIONS
from otcdesk.api.deals.errors import DETAILS, PAGE_INVALID, REPLIES, error_body, plain_sentence
from otcdesk.api.deals.routes import DETAILS as OF_ROUTES
from otcdesk.api.deals.routes import EXCEPTIONS, ROUTES
from otcdesk.api.deals.sales import SALES_DETAILS, SALES_EXCEPTIONS
from otcdesk.api.deals.transactions import TRANSACTION_DETAILS, TRANSACTION_EXCEPTIONS
from otcdesk.api.deals.users import USER_DETAILS
from otcdesk.api.dialect import Reply
from otcdesk.api.http import decode_body
from otcdesk.api.wire import KEPT_TEXT
from otcdesk.errors import Code, Refusal


class Inner(msgspec.Struct, kw_only=True):
    text: str


class Given(msgspec.Struct, kw_only=True):
    text: Annotated[str, Meta(min_length=1, pattern=KEPT_TEXT)]
    flag: bool | None = None
    number: Annotated[int, Meta(ge=0)] = 0
    many: list[str] = []
    inner: Inner | UnsetType = UNSET


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


@pytest.mark.parametrize(
    "given, said",
    [
        (b'{"text": 5}', "text must be a string"),
        (b'{"text": "a", "flag": 1}', "flag must be true or false or null"),
        (b'{"text": "a", "number": "x"}', "number must be an integer"),
        (b'{"text": "a", "many": {}}', "many must be an array"),
        (b'{"text": "a", "many": [5]}', "many[0] must be a string"),
        (b'{"text": "a", "inner": {"text": 5}}', "inner.text must be a string"),
        (b'{"text": "a", "inner": 5}', "inner must be an object"),
        (b'{"text": ""}', "text is too long, too short, out of range, or has a character that cannot be kept"),
        (b'{"text": "\\u0000"}', "text is too long, too short, out of range, or has a character that cannot be kept"),
        (b'{"text": "a", "number": -1}', "number is too long, too short, out of range, or has a character"),
        (b"[]", "The body must be an object"),
        (b"null", "The body must be an object"),
        (b"{", "The body is not valid JSON in UTF-8."),
        (b'{"inner": {}, "text": "a"}', "text is required"),
    ],
)
def test_wrong_types_are_told_in_the_words_of_json(given: bytes, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode_body(given, Given)
    told = error_body(REPLIES[Code.REQUEST_INVALID], caught.value, None)["details"]
    assert told.startswith(said)
    assert "`" not in told


def test_a_sentence_of_a_reader_that_is_not_known_is_not_repeated() -> None:
    assert plain_sentence("The body is not valid: Something of `msgspec` - at `$.x`") == "The body is not valid"
    assert plain_sentence("Quantity is odd") == "Quantity is odd"


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
