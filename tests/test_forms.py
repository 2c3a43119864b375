"""Forms: schemas that can be run, values that satisfy them, and hostile ones of both."""

import contextlib
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain.world import parse_world
from otcdesk.errors import Code, Refusal
from otcdesk.forms import (
    FORM_BYTES_MAX,
    FORM_DEPTH_MAX,
    FORM_VALUES_MAX,
    check_form,
    check_schema,
    compiled,
    merged,
    missing_part,
    mistakes_of,
    read_form,
    referred,
    schema_of,
)
from otcdesk.world_loading import WorldLoader, shipped_world


def text_of(**schema: Any) -> str:
    return msgspec.json.encode(schema).decode()


BANK = text_of(
    type="object",
    required=["AccountHolder", "BankDetails"],
    properties={
        "AccountHolder": {"type": "string", "minLength": 1, "maxLength": 5},
        "BankDetails": {
            "type": "object",
            "required": ["AccountNumber"],
            "properties": {"AccountNumber": {"type": "string", "pattern": "^[0-9]{4}$"}},
        },
    },
)
GOOD = {"AccountHolder": "Ada", "BankDetails": {"AccountNumber": "1234"}}


def test_a_good_form() -> None:
    check_form(BANK, GOOD)
    check_form(BANK, {**GOOD, "more": [1, 2]})


@pytest.mark.parametrize(
    "form, fields",
    [
        ({}, {"Form.AccountHolder", "Form.BankDetails"}),
        ({**GOOD, "BankDetails": {}}, {"Form.BankDetails.AccountNumber"}),
        ({**GOOD, "BankDetails": {"AccountNumber": "12345"}}, {"Form.BankDetails.AccountNumber"}),
        ({**GOOD, "BankDetails": {"AccountNumber": 1234}}, {"Form.BankDetails.AccountNumber"}),
        ({**GOOD, "BankDetails": []}, {"Form.BankDetails"}),
        ({**GOOD, "AccountHolder": "123456"}, {"Form.AccountHolder"}),
    ],
)
def test_each_mistake_is_told_by_its_path(form: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(Refusal) as caught:
        check_form(BANK, form)
    assert caught.value.code is Code.REQUEST_INVALID
    assert caught.value.facts["fields"].keys() == fields


def test_a_mistake_does_not_repeat_the_value() -> None:
    found = mistakes_of(BANK, {"AccountHolder": "x", "BankDetails": {"AccountNumber": "SECRET"}})
    assert "SECRET" not in str(found)


def test_mistakes_are_bounded() -> None:
    schema = text_of(type="object", required=[f"f{number}" for number in range(1_000)])
    assert len(mistakes_of(schema, {})) == 20


def test_patterns_take_time_that_is_linear_in_the_text() -> None:
    schema = text_of(type="object", properties={"a": {"type": "string", "pattern": "^(a+)+$"}})
    started = time.process_time()
    assert mistakes_of(schema, {"a": "a" * 10_000 + "b"})
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(?=a)b"},
        {"pattern": "(?<!a)b"},
        {"properties": {"a": {"pattern": r"(a)\1"}}},
        {"pattern": "((a{100}){100}){100}"},
        {"pattern": "("},
        {"patternProperties": {"(?=a)": {}}},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/definitions/none"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "http://json-schema.org/draft-07/schema#"},
        {"properties": {"a": {"$id": "#a"}}},
        {"not": {"$ref": "#/allOf/1"}, "allOf": [{}]},
        {"type": "nonsense"},
        {"minLength": -1},
        {"required": "all"},
    ],
)
def test_schemas_that_cannot_be_run(schema: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        check_schema(text_of(**schema), "the form of the channel x")
    assert caught.value.code is Code.DECLARATION_INVALID
    assert "the form of the channel x" in caught.value.detail


def test_nothing_outside_of_a_schema_is_fetched(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "object"}', encoding="utf-8")
    with pytest.raises(Refusal):
        check_schema(text_of(**{"$ref": file.as_uri()}), "it")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": ' + '"' + "x" * 70_000 + '"}'])
def test_texts_that_are_no_schema(text: str) -> None:
    with pytest.raises(Refusal):
        check_schema(text, "it")


def test_references_inside_of_a_schema_are_followed_even_in_circles() -> None:
    within = text_of(properties={"a": {"$ref": "#/definitions/n"}}, definitions={"n": {"type": "integer"}})
    assert mistakes_of(within, {"a": "x"})
    tree = text_of(type="object", properties={"child": {"$ref": "#"}})
    deep: dict[str, Any] = {}
    for _ in range(FORM_DEPTH_MAX):
        deep = {"child": deep}
    assert not mistakes_of(tree, deep)


def why_not(text: str) -> str:
    """Return why a schema is refused."""
    with pytest.raises(Refusal) as caught:
        check_schema(text, "it")
    assert caught.value.code is Code.DECLARATION_INVALID
    return caught.value.detail


def doubling(levels: int) -> str:
    """Return a schema of two references a level, the lowest of which looks at a value as often as there are paths."""
    definitions: dict[str, Any] = {"d0": {"not": {"type": "null"}}}
    for level in range(1, levels):
        definitions[f"d{level}"] = {"allOf": [{"$ref": f"#/definitions/d{level - 1}"}] * 2}
    return text_of(definitions=definitions, **{"$ref": f"#/definitions/d{levels - 1}"})


def too_large() -> list[str]:
    each = {"allOf": [{"type": "null"}] * 60}
    inward = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    lists = {"allOf": [{"$ref": "#/definitions/n"}] * 20, "definitions": {"n": {"required": ["field"] * 1_000}}}
    return [
        *(doubling(27), doubling(70)),
        *(text_of(items=each), text_of(additionalProperties=each), text_of(patternProperties={"a": each})),
        *(text_of(**inward), text_of(**lists)),
    ]


@pytest.mark.parametrize("text", too_large())
def test_how_often_a_schema_looks_at_a_form_is_bounded(text: str) -> None:
    started = time.process_time()
    assert "keywords" in why_not(text)
    assert time.process_time() - started < 1


def test_schemas_that_look_at_a_form_often_enough() -> None:
    check_schema(doubling(9), "it")
    few = {"items": {"items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "null"}}}}}
    check_schema(text_of(properties={"a": few, "b": few}), "it")


@pytest.mark.parametrize("levels", [101, 20_000])
def test_a_schema_that_is_too_deep(levels: int) -> None:
    assert "levels deep" in why_not('{"enum":' + "[" * levels + "]" * levels + "}")


def test_references_that_lead_too_deep() -> None:
    assert "refers through" in why_not(doubling(80))
    assert "refers through" in why_not(doubling(800))


@pytest.mark.parametrize("reference", ["", "a", "#a", "#/a", "#/allOf/1", "#/allOf/-1", "#/allOf/x", 1, None])
def test_what_refers_to_no_part_of_a_schema(reference: Any) -> None:
    with pytest.raises(ValueError, match="refers"):
        referred({"allOf": [{}]}, reference)


def test_parts_are_referred_to_by_pointers() -> None:
    schema = {"allOf": [{"title": "x"}], "a/b~c d": {"title": "y"}}
    assert referred(schema, "#") is schema
    assert referred(schema, "#/allOf/0") is schema["allOf"][0]
    assert referred(schema, "#/a~1b~0c%20d") is schema["a/b~c d"]


def test_a_schema_is_compiled_once() -> None:
    assert compiled(BANK) is compiled(str(BANK))


@pytest.mark.parametrize("raw", [None, b"", b"null", b"{}"])
def test_no_form_is_an_empty_one(raw: bytes | None) -> None:
    assert read_form(raw) == {}


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"true", b"{", b'{"a":1}}'])
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(Refusal):
        read_form(raw)


def test_a_form_is_bounded() -> None:
    longest = b'{"a":"' + b"x" * (FORM_BYTES_MAX - 8) + b'"}'
    assert read_form(longest)
    with pytest.raises(Refusal):
        read_form(longest + b" ")
    most = b'{"a":[' + b",".join([b"1"] * (FORM_VALUES_MAX - 2)) + b"]}"
    assert read_form(most)
    with pytest.raises(Refusal):
        read_form(most[:-2] + b",1]}")
    deepest = b'{"a":' * FORM_DEPTH_MAX + b"1" + b"}" * FORM_DEPTH_MAX
    assert read_form(deepest)
    with pytest.raises(Refusal):
        read_form(b'{"a":' + deepest + b"}")
    assert read_form(b'{"a":"' + b"[{" * 100 + b'\\"[["}')  # brackets in a text are not deep


def test_what_a_payment_method_lacks_of_a_form() -> None:
    assert missing_part(BANK, GOOD) is None
    lacking = missing_part(BANK, {"BankDetails": {"AccountNumber": "1234"}})
    assert lacking is not None
    assert lacking["required"] == ["AccountHolder"]
    assert lacking["properties"].keys() == {"AccountHolder"}
    assert lacking["type"] == "object"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FORMS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(FORMS, FORMS)
def test_what_is_given_is_put_over_what_is_known(known: dict[str, Any], given: dict[str, Any]) -> None:
    both = merged(known, given)
    assert both.keys() == known.keys() | given.keys()
    assert merged(both, given) == both
    assert merged({}, given) == given == merged(given, {})


@given(st.binary(max_size=64) | JSON.map(msgspec.json.encode))
def test_any_bytes_are_a_form_or_refused(raw: bytes) -> None:
    found: Any = None
    with contextlib.suppress(Refusal):
        found = read_form(raw)
    assert found is None or isinstance(found, dict)


def test_a_world_with_a_form_that_cannot_be_run_is_refused_when_it_is_loaded() -> None:
    nothing: Any = None
    text = (files("otcdesk") / "worlds" / "ramp.toml").read_text(encoding="utf-8")
    loader = WorldLoader(nothing, nothing, nothing, nothing, nothing, nothing)
    assert loader.check(parse_world(text)).payouts
    with pytest.raises(Refusal) as caught:
        loader.check(parse_world(text.replace("^[0-9]{4,17}$", "^(?=[0-9])")))
    assert caught.value.code is Code.DECLARATION_INVALID


def test_a_form_that_is_too_deep_to_be_read_is_refused_with_its_world() -> None:
    nothing: Any = None
    text = (files("otcdesk") / "worlds" / "ramp.toml").read_text(encoding="utf-8")
    loader = WorldLoader(nothing, nothing, nothing, nothing, nothing, nothing)
    deep = '{"enum":' + "[" * 20_000 + "]" * 20_000 + "}"
    channel = 'ref = "x"\ntype = "BankLocal"\ncountry = "XX"\nfiat = "EUR"\nminimum = "1"\n'
    added = f"\n[[payouts.channels]]\n{channel}form_schema = '''{deep}'''\n\n[[operators]]"
    with pytest.raises(Refusal) as caught:
        loader.check(parse_world(text.replace("\n[[operators]]", added, 1)))
    assert caught.value.code is Code.DECLARATION_INVALID


async def test_what_a_live_lane_cannot_have_is_refused_before_anything_is_made() -> None:
    nothing: Any = None
    loader = WorldLoader(
        nothing, nothing, nothing, nothing, nothing, nothing
    )  # what it would make, it would make with these
    with pytest.raises(Refusal) as caught:
        await loader.load(1, shipped_world("ramp"), kind="live")
    assert caught.value.code is Code.DECLARATION_INVALID
    assert "public key: K0" in caught.value.detail


def test_the_forms_of_shipped_channels_can_be_run() -> None:
    for name in ("ramp", "demo"):
        world = shipped_world(name)
        assert world.payouts is not None
        for channel in world.payouts.channels:
            check_schema(channel.form_schema, channel.ref)
            assert schema_of(channel.form_schema)["$schema"] == "http://json-schema.org/draft-07/schema#"
