"""Rules on the wire: every number of the contract has its word, and every field is read exactly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from otcdesk.api.deals.rules import ACTIONS, ACTIVE, SIDES, TESTS, RuleChange, RuleRequest, fields_of, rule_answer
from otcdesk.domain import resale_rules as r
from otcdesk.domain.resale_rules import ResaleRule
from otcdesk.errors import Refusal
from tests.support.estate import estate_desk, rule

REQUEST = b'{"name":"n","side":3,"rule_type":1,"consume_on_match":false,"status":2,"priority":-1}'


def said(body: bytes) -> dict[str, Any]:
    return fields_of(msgspec.json.decode(body, type=RuleChange)).said


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        said(body)
    return caught.value.detail


def test_every_word_of_the_core_has_one_number() -> None:
    assert sorted(SIDES.values()) == sorted(r.SIDES)
    assert sorted(TESTS.values()) == sorted(r.TESTS)
    assert sorted(ACTIONS.values()) == sorted(r.ACTIONS)
    assert (SIDES[3], TESTS[2], ACTIONS[2], ACTIVE[2]) == ("sells", "percent", "reject", True)


def test_what_must_be_said_of_a_new_rule() -> None:
    body = msgspec.json.decode(REQUEST, type=RuleRequest)
    assert fields_of(body).said == {
        "name": "n",
        "side": "sells",
        "test": "unconditional",
        "consume_on_match": False,
        "active": True,
        "priority": -1,
    }


def test_numbers_are_read_exactly_however_they_are_written() -> None:
    assert said(b'{"above_percent": 0.1, "below_amount": 1.5e-6, "min_offer_quantity": 2.0}') == {
        "above_percent": Decimal("0.1"),
        "below_amount": Decimal("0.0000015"),
        "quantity_min": 2,
    }


def test_null_takes_away_what_may_be_taken_away() -> None:
    names = ("above_percent", "below_percent", "above_amount", "below_amount", "min_offer_quantity", "valid_from")
    for name in (*names, "max_offer_quantity", "valid_until", "token_id"):
        (value,) = said(b'{"%s": null}' % name.encode()).values()
        assert value is None
    assert said(b"{}") == {}


@pytest.mark.parametrize(
    "text, moment",
    [
        ("2026-03-02T09:00:00Z", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T12:00:00.25+03:00", datetime(2026, 3, 2, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-02T09:00", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_every_usual_way(text: str, moment: datetime) -> None:
    assert said(b'{"valid_from": "%s"}' % text.encode()) == {"valid_from": moment}


@pytest.mark.parametrize(
    "text", ["", "now", "2026-W10", "20260302", "2026-03-02 09:00", "2026-02-30", "9999-12-31T23:59-09:00"]
)
def test_what_is_no_time(text: str) -> None:
    assert refused(b'{"valid_until": "%s"}' % text.encode()) == "valid_until must be a time in ISO 8601"


@pytest.mark.parametrize(
    "body, details",
    [
        (b'{"side": 0}', "side must be one of 1, 2, 3"),
        (b'{"status": 3}', "status must be one of 1, 2"),
        (b'{"priority": 2147483648}', "priority is out of range"),
        (b'{"above_percent": 1000000.1}', "above_percent must be from 0 to 1000000, with at most 18 decimals"),
        (b'{"max_offer_quantity": 0}', "max_offer_quantity must be greater than 0"),
        (b'{"token_id": "65A"}', "Invalid token_id format"),
    ],
)
def test_what_is_out_of_range(body: bytes, details: str) -> None:
    assert refused(body) == details


def test_a_rule_is_shown_with_all_digits() -> None:
    made: ResaleRule = rule(
        estate_desk(), above_percent=Decimal("0.000001"), below_amount=Decimal("12345678901234567890.1")
    )
    shown = msgspec.json.decode(msgspec.json.encode(rule_answer(made)), type=dict[str, msgspec.Raw])
    assert bytes(shown["above_percent"]) == b"0.000001"
    assert bytes(shown["below_amount"]) == b"12345678901234567890.1"
    assert bytes(shown["valid_until"]) == b"null"
