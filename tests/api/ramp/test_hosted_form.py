"""A channel's form as fields of a page, and what was typed as values of it."""

import json
from decimal import Decimal
from typing import Any

import pytest

from otcdesk.api.ramp.hosted_form import fields_of, filled, form_of

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["AccountHolder", "BankDetails"],
    "properties": {
        "AccountHolder": {"type": "string", "title": "Name", "minLength": 1, "maxLength": 70, "pattern": "^[A-Z].*$"},
        "BankDetails": {
            "type": "object",
            "required": ["AccountNumber"],
            "properties": {
                "AccountNumber": {"type": "string", "minLength": 22, "maxLength": 22, "pattern": "^DE[0-9]{20}$"},
                "BankCode": {"type": "string", "description": "Only if you know it."},
            },
        },
        "Extra": {
            "type": "object",
            "required": ["Kind"],
            "properties": {"Kind": {"enum": ["OneTime", "Again"]}, "Count": {"type": "integer"}},
        },
        "Confirmed": {"type": "boolean"},
        "Lists": {"type": "array"},
        "Odd": True,
    },
}


def fields() -> dict[str, Any]:
    return {".".join(field.path): field for field in fields_of(json.dumps(_SCHEMA), "BankSepa")}


def test_what_a_person_can_fill_in_becomes_a_field() -> None:
    found = fields()
    assert list(found) == [
        *("AccountHolder", "BankDetails.AccountNumber", "BankDetails.BankCode"),
        *("Extra.Kind", "Extra.Count", "Confirmed"),
    ]
    assert [field.required for field in found.values()] == [True, True, False, False, False, False]
    assert [field.label for field in found.values()] == ["Name", "IBAN", "BIC", "Kind", "Count", "Confirmed"]
    assert [field.kind for field in found.values()] == ["text", "text", "text", "choice", "number", "yes_no"]
    assert found["Extra.Kind"].options == (("OneTime", "One time"), ("Again", "Again"))
    assert found["BankDetails.BankCode"].hint == "Only if you know it."


def test_the_browser_helps_where_it_does_not_get_in_the_way() -> None:
    holder, number = fields()["AccountHolder"], fields()["BankDetails.AccountNumber"]
    assert (holder.pattern, holder.length_min, holder.length_max, holder.autocomplete) == ("[A-Z].*", 1, 70, "name")
    assert (number.pattern, number.length_min) == ("", None)  # it may be typed with spaces
    assert number.length_max > 22


@pytest.mark.parametrize("pattern", ["^a|b$", "a$", "^a", "^a\\$", None, 5])
def test_patterns_that_html_reads_otherwise_are_left_to_the_server(pattern: Any) -> None:
    schema = {"properties": {"A": {"type": "string", "pattern": pattern}}}
    assert fields_of(json.dumps(schema), "BankLocal")[0].pattern == ""


def test_what_was_typed_becomes_values() -> None:
    sent = {
        "form.AccountHolder": " Ada ",
        "form.BankDetails.AccountNumber": "DE1",
        "form.Extra.Count": "12",
        "form.Confirmed": "yes",
        "form.Other": "not a field",
        "form.BankDetails.Other": "nor this",
    }
    assert form_of([*fields().values()], sent) == {
        "AccountHolder": "Ada",
        "BankDetails": {"AccountNumber": "DE1"},
        "Extra": {"Count": 12},
        "Confirmed": True,
    }


def test_what_was_left_empty_is_not_there_but_what_must_be_has_its_place() -> None:
    assert form_of([*fields().values()], {"form.AccountHolder": "  "}) == {"BankDetails": {}}
    assert form_of([*fields().values()], {"form.Extra.Count": "many"})["Extra"] == {"Count": "many"}


def fields_in(**schema: Any) -> dict[str, Any]:
    return {".".join(field.path): field for field in fields_of(json.dumps(schema), "BankLocal")}


@pytest.mark.parametrize(
    "kinds, kind",
    [
        (["string", "null"], "text"),
        (["null", "integer"], "number"),
        (["boolean"], "yes_no"),
        (["null"], None),
        ([], None),
        ("array", None),
        ("object", None),
    ],
)
def test_a_field_may_be_of_several_types(kinds: Any, kind: str | None) -> None:
    found = fields_in(properties={"N": {"type": kinds}})
    assert [field.kind for field in found.values()] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    "typed, value",
    [
        *(("1.5", Decimal("1.5")), ("-0.25", Decimal("-0.25")), ("12", 12), ("007", 7), ("-3", -3)),
        *(("1,5", "1,5"), (".5", ".5"), ("1e5", "1e5"), ("NaN", "NaN"), ("9" * 40, "9" * 40)),
    ],
)
def test_a_number_may_have_decimals(typed: str, value: Any) -> None:
    (field,) = fields_in(properties={"N": {"type": "number"}}).values()
    assert form_of([field], {"form.N": typed})["N"] == value


def test_what_is_chosen_is_a_value_of_the_schema() -> None:
    (field,) = fields_in(properties={"N": {"enum": ["OneTime", 1, 2.5, True, None, [1]]}}).values()
    assert field.options == (("OneTime", "One time"), ("1", "1"), ("2.5", "2.5"), ("true", "Yes"))
    chosen = [form_of([field], {"form.N": sent})["N"] for sent, _ in field.options]
    assert chosen == ["OneTime", 1, 2.5, True]
    assert form_of([field], {"form.N": "other"})["N"] == "other"


def test_fields_may_stand_in_parts_of_a_schema() -> None:
    found = fields_in(
        required=["A"],
        properties={"A": {"type": "string"}, "B": {"$ref": "#/definitions/b"}},
        allOf=[
            {"required": ["B", "C"], "properties": {"C": {"type": "integer"}}},
            {"properties": {"B": {"required": ["Y"], "properties": {"Y": {"title": "Why", "enum": ["q"]}}}}},
            {"allOf": [{"properties": {"A": {"title": "Name", "maxLength": 5}}}]},
            True,
        ],
        definitions={"b": {"type": "object", "required": ["X"], "properties": {"X": {"type": "boolean"}}}},
    )
    assert list(found) == ["A", "B.X", "B.Y", "C"]
    assert all(field.required for field in found.values())
    assert (found["A"].label, found["A"].length_max, found["B.Y"].kind) == ("Name", 5, "choice")


def test_a_schema_of_schemas_has_an_end() -> None:
    assert len(fields_in(properties={"A": {"type": "string"}, "child": {"$ref": "#"}})) == 17


def test_mistakes_are_told_at_their_fields() -> None:
    mistakes = {
        "Form.AccountHolder": "is required",
        "Form.BankDetails.AccountNumber": 'does not match "^DE[0-9]{20}$"',
        "Form.BankDetails.BankCode": "is not a BIC",
        "Form.Extra.Kind": "is required",
        "Form.Nowhere": "is wrong",
    }
    told = {field.label: field.error for field in filled([*fields().values()], {"form.AccountHolder": "x"}, mistakes)}
    assert told == {
        "Name": "Enter the name.",
        "IBAN": "Check the IBAN: it does not have the right form.",
        "BIC": "Check the BIC: it is not a BIC.",
        "Kind": "Choose the kind.",
        "Count": "",
        "Confirmed": "",
    }


def test_a_form_of_many_fields_is_cut_where_nobody_fills_in_more() -> None:
    schema = {"properties": {f"Field{number}": {"type": "string"} for number in range(1_000)}}
    assert len(fields_of(json.dumps(schema), "BankLocal")) == 40
