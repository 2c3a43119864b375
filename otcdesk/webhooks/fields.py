"""The fields of a message, read from the struct that it is written from, so that what is said of them cannot differ."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

_REFERENCE = "#/"

#: The field by which objects of one kind are told from those of another; it has no words of its own.
_TAG = "Which kind of object it is."


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field, by its way into the body (`data.balance`); `form`: what the text or number in it looks like."""

    name: str
    type: str
    form: str | None
    always: bool
    meaning: str


@cache
def fields_of(shape: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Return the fields of a body in the order in which they are written, those inside of one right after it."""
    (schema,), components = msgspec.json.schema_components([shape], ref_template=_REFERENCE + "{name}")
    return tuple(_fields(schema, components, ""))


def _fields(schema: Mapping[str, Any], components: Mapping[str, Any], before: str) -> Iterator[Field]:
    component = components[schema["$ref"].removeprefix(_REFERENCE)]
    for name, field in component["properties"].items():
        kinds = field.get("anyOf", [field])
        forms = [form for told in (field, *kinds) if (form := _form(told)) is not None]
        yield Field(
            name=f"{before}{name}",
            type=" or ".join(map(_type, kinds)),
            form=forms[0] if forms else None,
            always=name in component["required"],
            meaning=_TAG if _is_tag(field) else field["description"],
        )
        for kind in kinds:
            for inside, of_each in ((kind, ""), (kind.get("items", {}), "[]")):
                if "$ref" in inside:
                    yield from _fields(inside, components, f"{before}{name}{of_each}.")


def _is_tag(field: Mapping[str, Any]) -> bool:
    return field.keys() == {"enum"} and len(field["enum"]) == 1


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "object"
    if "enum" in schema:  # says no type: texts, and perhaps null
        return "string or null" if None in schema["enum"] else "string"
    told: str = schema["type"]
    return told


def _form(schema: Mapping[str, Any]) -> str | None:
    if "enum" in schema:
        return "one of " + ", ".join(word for word in schema["enum"] if word is not None)
    form: str | None = schema.get("format")
    return form
