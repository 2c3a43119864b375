"""How refusals become errors of the ramp dialect: types, statuses, fields and features."""

import pytest

from otcdesk.api.dialect import Reply
from otcdesk.api.ramp.errors import FORBIDDEN, NOT_FOUND, REPLIES, STATUSES, error_body, fields_of
from otcdesk.errors import Code, Refusal
from otcdesk.forms import wrong

INVALID = Reply(400, "InvalidMessage")


def test_statuses_are_those_of_the_contract_but_for_what_is_no_endpoint() -> None:
    others = {code for code, reply in REPLIES.items() if reply.status not in {400, 401, 500}}
    assert others == {Code.ROUTE_UNKNOWN, Code.METHOD_NOT_ALLOWED, Code.RATE_LIMITED}
    types = {reply.word for reply in REPLIES.values()}
    assert types == {
        *("InvalidMessage", "Unexpected", "ResourceNotFound", "Unauthorized", "Forbidden", "InsufficientBalance")
    }


def test_observed_statuses_are_about_what_is_not_found_and_forbidden() -> None:
    seen = STATUSES["observed"]
    changed = {
        reply.word: seen[reply.status, reply.word] for reply in REPLIES.values() if (reply.status, reply.word) in seen
    }
    assert changed == {NOT_FOUND: 404, FORBIDDEN: 403}
    assert STATUSES["documented"] == {}


@pytest.mark.parametrize(
    "sentence, fields",
    [
        ("Object missing required field `Nonce`", {"Nonce": "is required"}),
        ("Object missing required field `City` - at `$.PrimaryResidence`", {"PrimaryResidence.City": "is required"}),
        ("Expected `str`, got `int` - at `$.FiatAmount`", {"FiatAmount": "Expected `str`, got `int`"}),
        ("Invalid enum value 'x' - at `$.Identities[0].IDType`", {"Identities.0.IDType": "Invalid enum value 'x'"}),
        ("Expected `object`, got `array`", {}),
    ],
)
def test_the_field_of_a_body_that_is_wrong(sentence: str, fields: dict[str, str]) -> None:
    assert fields_of(Refusal(Code.REQUEST_INVALID, f"The body is not valid: {sentence}")) == fields


@pytest.mark.parametrize(
    "known, field",
    [(("FiatAmount", "CryptoAmount"), "FiatAmount"), (("CryptoAmount",), "CryptoAmount"), ((), "FiatAmount")],
)
def test_an_amount_is_called_as_the_request_calls_it(known: tuple[str, ...], field: str) -> None:
    assert fields_of(Refusal(Code.AMOUNT_TOO_LARGE), known).keys() == {field}


def test_fields_are_told_in_both_places() -> None:
    refusal = wrong({"A": "is bad", "B.C": "is worse"})
    body = error_body(INVALID, refusal, "request", "DoIt")
    assert body["Detail"] == "A: is bad; B.C: is worse"
    assert body["Extensions"] == {"Request": {"A": "is bad", "B.C": "is worse"}}
    assert body["RequestExtension"]["Body"] == [
        {"Field": "A", "Reason": "SchemaValidation", "Description": "is bad"},
        {"Field": "B.C", "Reason": "SchemaValidation", "Description": "is worse"},
    ]


def test_what_a_refusal_of_the_core_is_about() -> None:
    body = error_body(INVALID, Refusal(Code.KEY_REUSED), "request", "DoIt")
    assert body["RequestExtension"]["Body"][0]["Field"] == "Nonce"
    assert body["RequestExtension"]["Body"][0]["Reason"] == "IntegrityValidation"


@pytest.mark.parametrize(
    "code, features",
    [
        (Code.CHANNEL_CLOSED, {"Channel": ["GloballyDisabled"]}),
        (Code.MAINTENANCE, {"Api": ["Maintenance"]}),
        (Code.PARTY_UNVERIFIED, {"Customer": ["Kyc"]}),
        (Code.PARTY_INACTIVE, {"Customer": ["Suspended"]}),
    ],
)
def test_features(code: Code, features: dict[str, list[str]]) -> None:
    body = error_body(REPLIES[code], Refusal(code), "request", None)
    assert body["Extensions"]["Features"] == features
    assert body["Type"] == "Forbidden"
    assert "Action" not in body


def test_each_occurrence_has_a_name_of_its_own() -> None:
    refusal = Refusal(Code.CRASHED)
    assert len({error_body(REPLIES[Code.CRASHED], refusal, "r", None)["Instance"] for _ in range(10)}) == 10
