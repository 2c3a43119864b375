"""A channel's form as fields of a page, and back: what a JSON Schema asks for as inputs, what was typed as values.

Only what a person can fill in becomes a field: text, numbers, yes or no, and one of several; also where a schema says
it in parts (`allOf`, `$ref`). The server checks the whole form by its schema, whatever the page let through.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import NoneType
from typing import Any, Final

import msgspec

from otcdesk.forms import FORM_DEPTH_MAX, Form, referred, schema_of

_NAME: Final = "form."
_FIELDS_MAX: Final = 40
_LENGTH_MAX: Final = 200

#: What is typed with spaces to be read, and kept without them: the browser must neither cut nor refuse it.
_SPACED: Final = frozenset({"AccountNumber", "BankCode", "Identifier"})

#: Labels where a schema gives none: by kind of payment method, and of any.
_LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "BankSepa": {"AccountNumber": "IBAN", "BankCode": "BIC"},
    "BankAch": {"BankCode": "Routing number"},
    "BankFedwire": {"BankCode": "Routing number"},
    "BankSortCode": {"BankCode": "Sort code"},
    "BankSwift": {"BankCode": "BIC"},
}
_AUTOCOMPLETE: Final = {"AccountHolder": "name", "Email": "email", "PhoneNumber": "tel"}

#: A number as people type it; anything else stays text, which the schema refuses.
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}|-?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}", re.ASCII)
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """An input: its path in the form, what it is called, what may be typed. `kind`: text, number, choice, yes_no.

    `options` are what the browser sends and what is shown; `values` is what each means.
    """

    path: tuple[str, ...]
    label: str
    kind: str
    required: bool
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
    values: tuple[Any, ...] = ()
    pattern: str = ""
    length_min: int | None = None
    length_max: int | None = None
    autocomplete: str = "off"
    value: str = ""
    error: str = ""

    @property
    def name(self) -> str:
        """Return what the browser sends it as."""
        return _NAME + ".".join(self.path)

    @property
    def id(self) -> str:
        """Return its id on the page."""
        return "field-" + "-".join(self.path)


def fields_of(schema: str, channel_type: str) -> list[Field]:
    """Return the fields of a form, in the schema's order."""
    whole = schema_of(schema)
    return list(islice(_fields(whole, _Shape(whole, whole), (), required=True, channel_type=channel_type), _FIELDS_MAX))


class _Shape:
    """What a schema and those that must hold with it say together: fields, which of them are required, and the rest."""

    def __init__(self, whole: Mapping[str, Any], *schemas: object) -> None:
        self.properties: dict[str, list[Any]] = {}
        self.required: set[str] = set()
        self.said: dict[str, Any] = {}
        self._whole = whole
        for schema in schemas:
            self._add(schema)

    def _add(self, schema: object) -> None:
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            self._add(referred(self._whole, schema["$ref"]))
            return
        for name, part in schema.get("properties", {}).items():
            self.properties.setdefault(name, []).append(part)
        self.required.update(schema.get("required", ()))
        for name, value in schema.items():
            self.said.setdefault(name, value)
        for part in schema.get("allOf", ()):
            self._add(part)

    @property
    def kind(self) -> str | None:
        """Return which kind of field this is, None for none: by the first type that it may be, but for null."""
        said = self.said.get("type", "string") if self.said else []
        kinds = [said] if isinstance(said, str) else said
        return next((_KINDS[kind] for kind in kinds if kind in _KINDS), None)


def _fields(
    whole: Mapping[str, Any], shape: _Shape, path: tuple[str, ...], *, required: bool, channel_type: str
) -> Iterator[Field]:
    for name, parts in shape.properties.items():
        needed, place = required and name in shape.required, (*path, name)
        inner = _Shape(whole, *parts)
        if inner.properties and len(place) < FORM_DEPTH_MAX:
            yield from _fields(whole, inner, place, required=needed, channel_type=channel_type)
        elif inner.kind is not None:
            yield _field(inner, inner.kind, place, required=needed, channel_type=channel_type)


_KINDS: Final = {"string": "text", "integer": "number", "number": "number", "boolean": "yes_no"}


def _field(shape: _Shape, kind: str, path: tuple[str, ...], *, required: bool, channel_type: str) -> Field:
    name, part = path[-1], shape.said
    values = tuple(value for value in part.get("enum", ()) if not isinstance(value, dict | list | NoneType))
    spaced = name in _SPACED
    return Field(
        path=path,
        label=str(part.get("title") or _LABELS.get(channel_type, {}).get(name) or _humanized(name)),
        kind="choice" if values else kind,
        required=required,
        hint=str(part.get("description", "")),
        options=tuple((_sent(value), _shown(value)) for value in values),
        values=values,
        pattern="" if spaced else _html_pattern(part.get("pattern")),
        length_min=None if spaced else part.get("minLength"),
        length_max=_LENGTH_MAX if spaced else part.get("maxLength"),
        autocomplete=_AUTOCOMPLETE.get(name, "off"),
    )


def _sent(value: object) -> str:
    """Return a value as the browser sends it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: object) -> str:
    """Return a value as people read it."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return _humanized(value) if isinstance(value, str) else _sent(value)


def _html_pattern(pattern: object) -> str:
    """Return a pattern as HTML takes it, which anchors it itself; none where it is not anchored, or not plain."""
    text = pattern if isinstance(pattern, str) else ""
    plain = text.startswith("^") and text.endswith("$") and not text.endswith("\\$") and "|" not in text
    return text[1:-1] if plain else ""


def _humanized(name: str) -> str:
    """Return a name as people write it: `AccountNumber` as `Account number`."""
    words = _PART.findall(name) or [name]
    said = [word if word.isupper() and len(word) > 1 else word.lower() for word in words]
    return " ".join([said[0][:1].upper() + said[0][1:], *said[1:]])


def form_of(fields: list[Field], sent: Mapping[str, str]) -> Form:
    """Return what was typed as values of the form; what was left empty is not there."""
    form: Form = {}
    for field in fields:
        text = sent.get(field.name, "").strip()
        inside = form
        for part in field.path[:-1]:
            if not text and not field.required and part not in inside:
                break
            inside = inside.setdefault(part, {})
        else:
            if text:
                inside[field.path[-1]] = _value(field, text)
    return form


def _value(field: Field, text: str) -> object:
    if field.kind == "yes_no":
        return text == "yes"
    if field.kind == "choice":
        return next((value for value in field.values if _sent(value) == text), text)
    if field.kind == "number" and _NUMBER.fullmatch(text):
        return msgspec.json.decode(text) if "." in text else int(text)
    return text


def filled(fields: list[Field], sent: Mapping[str, str], mistakes: Mapping[str, str]) -> list[Field]:
    """Return fields with what was typed and what is wrong with it; `mistakes` are by path (`Form.BankDetails...`)."""
    return [
        msgspec.structs.replace(
            field,
            value=sent.get(field.name, "")[:_LENGTH_MAX],
            error=_told(field, mistakes.get(".".join(("Form", *field.path)), "")),
        )
        for field in fields
    ]


def _told(field: Field, mistake: str) -> str:
    """Return a mistake in words for the person who made it."""
    if not mistake:
        return ""
    if mistake == "is required":
        return f"{'Choose' if field.kind == 'choice' else 'Enter'} the {_lowered(field.label)}."
    if "does not match" in mistake:
        return f"Check the {_lowered(field.label)}: it does not have the right form."
    return f"Check the {_lowered(field.label)}: it {mistake}."


def _lowered(label: str) -> str:
    return label if label[:2].isupper() else label[:1].lower() + label[1:]
