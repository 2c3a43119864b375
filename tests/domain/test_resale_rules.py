"""Whether a rule decides of a listing: every objection in its order, bands with their edges, and whose turn it is."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otcdesk.domain.resale_rules import Listed, ResaleRule, in_turn, objection

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
THIS, OTHER = UUID(int=1), UUID(int=2)


def rule(**fields: Any) -> ResaleRule:
    usual = {
        "id": UUID(int=9),
        "tenant_id": UUID(int=8),
        "branch_id": UUID(int=7),
        "name": "rule",
        "side": "sells",
        "test": "unconditional",
        "action": "accept",
        "consume_on_match": False,
        "active": True,
        "priority": 1,
        "created_by": "somebody",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return ResaleRule(**{**usual, **fields})


def says(fields: dict[str, Any], *, quantity: int = 5, price: str = "2", reference: str | None = "2") -> str | None:
    listed = Listed(THIS, quantity, Decimal(price), None if reference is None else Decimal(reference))
    return objection(rule(**fields), listed, NOW)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({}, None),
        ({"active": False}, "it is not active"),
        ({"ended_at": NOW}, "it is not active"),
        ({"side": "buys"}, "it is about what is bought"),
        ({"side": "both"}, None),
        ({"instrument_id": OTHER}, "it is about another instrument"),
        ({"instrument_id": THIS}, None),
        ({"valid_from": NOW + MOMENT}, "it is valid from 2026-03-02T09:00:00.000001+00:00"),
        ({"valid_from": NOW}, None),
        ({"valid_until": NOW}, None),
        ({"valid_until": NOW - MOMENT}, "it was valid until 2026-03-02T08:59:59.999999+00:00"),
        ({"valid_from": NOW, "valid_until": NOW}, None),
        ({"quantity_min": 6}, "5 is less than 6"),
        ({"quantity_min": 5, "quantity_max": 5}, None),
        ({"quantity_max": 4}, "5 is more than 4"),
    ],
)
def test_what_a_rule_objects_to(fields: dict[str, Any], said: str | None) -> None:
    assert says(fields) == said


def test_the_first_objection_is_told() -> None:
    objections: list[tuple[dict[str, Any], str]] = [
        ({"active": False}, "it is not active"),
        ({"side": "buys"}, "it is about what is bought"),
        ({"instrument_id": OTHER}, "it is about another instrument"),
        ({"valid_from": NOW + MOMENT}, "it is valid from 2026-03-02T09:00:00.000001+00:00"),
        ({"valid_until": NOW - MOMENT}, "it was valid until 2026-03-02T08:59:59.999999+00:00"),
        ({"quantity_min": 6}, "5 is less than 6"),
        ({"quantity_max": 4}, "5 is more than 4"),
        ({"test": "absolute", "above_amount": Decimal(0)}, "the price 3 is above 2"),
    ]
    for place, (_, said) in enumerate(objections):
        fields = {name: value for wrong, _ in objections[place:] for name, value in wrong.items()}
        assert says(fields, price="3") == said


# -- bands: both edges belong to them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "price, said",
    [
        ("1.8", None),
        ("1.799999", "the price 1.799999 is below 1.8"),
        ("2.2", None),
        ("2.200001", "the price 2.200001 is above 2.2"),
    ],
)
def test_a_band_of_percents(price: str, said: str | None) -> None:
    assert says({"test": "percent", "above_percent": Decimal(10), "below_percent": Decimal(10)}, price=price) == said


@pytest.mark.parametrize(
    "price, said",
    [
        ("1.75", None),
        ("1.749999", "the price 1.749999 is below 1.75"),
        ("2.5", None),
        ("2.500001", "the price 2.500001 is above 2.5"),
    ],
)
def test_a_band_of_amounts(price: str, said: str | None) -> None:
    fields = {"test": "absolute", "above_amount": Decimal("0.5"), "below_amount": Decimal("0.25")}
    assert says(fields, price=price) == said


@pytest.mark.parametrize("test", ["percent", "absolute"])
def test_a_missing_bound_does_not_bound(test: str) -> None:
    unit = "percent" if test == "percent" else "amount"
    above, below = f"above_{unit}", f"below_{unit}"
    assert says({"test": test}, price="999999999999") is None
    assert says({"test": test, below: Decimal(0)}, price="999999999999") is None
    assert says({"test": test, above: Decimal(0)}, price="0.000001") is None
    assert says({"test": test, below: Decimal(0)}, price="1.999999") == "the price 1.999999 is below 2"
    assert says({"test": test, above: Decimal(0)}, price="2.000001") == "the price 2.000001 is above 2"


@pytest.mark.parametrize("test", ["percent", "absolute"])
def test_without_a_reference_only_an_unconditional_rule_decides(test: str) -> None:
    assert says({"test": test}, reference=None) == "there is no reference price in this currency"
    assert says({}, reference=None) is None


def test_bounds_of_the_other_kind_are_not_looked_at() -> None:
    assert says({"test": "percent", "above_amount": Decimal(0), "below_amount": Decimal(0)}, price="9") is None
    assert says({"test": "absolute", "above_percent": Decimal(0), "below_percent": Decimal(0)}, price="9") is None
    assert says({"above_percent": Decimal(0), "above_amount": Decimal(0)}, price="9") is None


def test_edges_are_exact_where_digits_are_many() -> None:
    third = {"test": "percent", "above_percent": Decimal("33.333333"), "below_percent": Decimal("33.333333")}
    assert says(third, price="0.00000133333333", reference="0.000001") is None
    assert says(third, price="0.0000013333333301", reference="0.000001") is not None
    large = {"test": "absolute", "above_amount": Decimal("0.000001")}
    assert says(large, price="100000000000000000000.000002", reference="100000000000000000000.000001") is None
    assert says(large, price="100000000000000000000.000003", reference="100000000000000000000.000001") is not None


def tens(digits: int, decimals: int) -> st.SearchStrategy[Decimal]:
    """Return numbers of so many digits, so many of them decimals."""
    return st.integers(1, 10**digits - 1).map(lambda units: Decimal(f"{units}e-{decimals}"))


@settings(max_examples=200, deadline=None)
@given(reference=tens(38, 18), percent=tens(24, 18), test=st.sampled_from(["percent", "absolute"]))
def test_a_bound_is_exact_to_its_last_digit(reference: Decimal, percent: Decimal, test: str) -> None:
    """At the bound, in whole numbers, a price passes; one more in the last decimal place does not."""
    exact = Fraction(reference) + (
        Fraction(reference) * Fraction(percent) / 100 if test == "percent" else Fraction(percent)
    )
    digits = exact * 10**38
    assert digits.denominator == 1
    fields = {"test": test, "above_percent": percent, "above_amount": percent}
    assert says(fields, price=f"{digits.numerator}e-38", reference=str(reference)) is None
    assert says(fields, price=f"{digits.numerator + 1}e-38", reference=str(reference)) is not None


def test_below_everything_is_a_price_of_nothing() -> None:
    assert says({"test": "percent", "below_percent": Decimal(100)}, price="0.000001") is None
    assert says({"test": "absolute", "below_amount": Decimal(5)}, price="0.000001") is None  # the edge is below zero


# -- turns -------------------------------------------------------------------------------------------------------------


def test_rules_take_turns_by_priority_then_age_then_id() -> None:
    rules = [
        rule(priority=-1, id=UUID(int=50), created_at=NOW + MOMENT),
        rule(priority=1, id=UUID(int=40), created_at=NOW),
        rule(priority=1, id=UUID(int=20), created_at=NOW + MOMENT),
        rule(priority=1, id=UUID(int=30), created_at=NOW + MOMENT),
        rule(priority=2, id=UUID(int=10), created_at=NOW),
    ]
    assert sorted([rules[place] for place in (3, 0, 4, 2, 1)], key=in_turn) == rules
