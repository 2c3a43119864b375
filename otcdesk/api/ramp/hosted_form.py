"""A channel's form as fields of a page, and back: what a JSON Schema asks for as inputs, what was typed as values.

Only what a person can fill in becomes a field: text, numbers, yes or no, and one of several. The server checks the
whole form by its schema, whatever the page let through.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from otcdesk.forms import FORM_DEPTH_MAX, Form, schema_of

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
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """An input: its path in the form, what it is called, what may be typed. `kind`: text, number, choice, yes_no."""

    path: tuple[str, ...]
    label: str
    kind: str
    required: bool
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
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
    found: list[Field] = []
    for field in _fields(schema_of(schema), (), required=True, channel_type=channel_type):
        found.append(field)
        if len(found) >= _FIELDS_MAX:
            break
    return found


def _fields(schema: Mapping[str, Any], path: tuple[str, ...], *, required: bool, channel_type: str) -> Iterator[Field]:
    wanted = set(schema.get("required", ()))
    for name, part in schema.get("properties", {}).items():
        if not isinstance(part, dict):
            continue
        needed, place = required and name in wanted, (*path, name)
        if "properties" in part and len(place) < FORM_DEPTH_MAX:
            yield from _fields(part, place, required=needed, channel_type=channel_type)
        elif part.get("type", "string") in _KINDS:
            yield _field(part, place, required=needed, channel_type=channel_type)


_KINDS: Final = {"string": "text", "integer": "number", "number": "number", "boolean": "yes_no"}


def _field(part: Mapping[str, Any], path: tuple[str, ...], *, required: bool, channel_type: str) -> Field:
    name = path[-1]
    options = tuple((str(value), _humanized(str(value))) for value in part.get("enum", ()) if isinstance(value, str))
    spaced = name in _SPACED
    return Field(
        path=path,
        label=str(part.get("title") or _LABELS.get(channel_type, {}).get(name) or _humanized(name)),
        kind="choice" if options else _KINDS[part.get("type", "string")],
        required=required,
        hint=str(part.get("description", "")),
        options=options,
        pattern="" if spaced else _html_pattern(part.get("pattern")),
        length_min=None if spaced else part.get("minLength"),
        length_max=_LENGTH_MAX if spaced else part.get("maxLength"),
        autocomplete=_AUTOCOMPLETE.get(name, "off"),
    )


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
    if field.kind == "number":
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII) else text
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
