"""Forms: what must be known of who is paid, as a JSON Schema (draft 7) says it, and whether given values satisfy it.

Schemas come from world files and values from anybody. Patterns run on an engine whose time is linear in the text; what
it cannot run (look-around, back-references, patterns that grow too large) makes a schema invalid. Nothing outside of
the schema is ever fetched. Values are bounded before they are looked at, and schemas in how often they look at them.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from otcdesk.errors import Code, Refusal

#: Ours: a form is a few fields. Depth counts objects and lists inside one another, and values everything in a form.
FORM_BYTES_MAX: Final = 16_384
FORM_DEPTH_MAX: Final = 16
FORM_VALUES_MAX: Final = 200

#: Nobody corrects more mistakes at once.
_MISTAKES_MAX: Final = 20

_SCHEMA_BYTES_MAX: Final = 65_536
_SCHEMA_DEPTH_MAX: Final = 100

#: The same, with each reference replaced by what it refers to, and around each circle as often as a form is deep.
_PARTS_DEEP_MAX: Final = 150

#: The most keywords, and things in their lists, that may look at one form, each counted as often as references and
#: lists lead to it: a form is then checked within some tens of milliseconds.
SCHEMA_SIZE_MAX: Final = 10_000

#: Where a schema has others: that see the same value; one value inside of it; or any number of values inside of it.
_SAME: Final = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
_SAME_BY_NAME: Final = frozenset({"dependencies"})
_ONE_INSIDE: Final = frozenset({"properties"})
_MANY_INSIDE: Final = frozenset({"items", "additionalItems", "contains", "additionalProperties", "propertyNames"})
_MANY_BY_NAME: Final = frozenset({"patternProperties"})
_COMPILED_MAX: Final = 1_024
_PATTERN_BYTES_MAX: Final = 1_048_576

Form = dict[str, Any]


def check_schema(text: str, what: str) -> None:
    """Refuse DECLARATION_INVALID for a schema that forms cannot be checked by."""
    try:
        compiled(text)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise Refusal(Code.DECLARATION_INVALID, f"The world file is not valid: {what}: {reason}") from None


@lru_cache(maxsize=_COMPILED_MAX)
def compiled(text: str) -> jsonschema_rs.Draft7Validator:
    """Return a schema as it is run, by its text, so that a channel's is compiled once; raises ValueError."""
    raw = text.encode()
    if len(raw) > _SCHEMA_BYTES_MAX:
        raise ValueError(f"a schema has at most {_SCHEMA_BYTES_MAX} bytes")
    if _depth(raw) > _SCHEMA_DEPTH_MAX:
        raise ValueError(f"a schema is at most {_SCHEMA_DEPTH_MAX} levels deep")
    schema = schema_of(text)
    if _Size(schema).of_all() > SCHEMA_SIZE_MAX:
        raise ValueError(f"a schema has at most {SCHEMA_SIZE_MAX} keywords, each as often as it is referred to")
    return jsonschema_rs.Draft7Validator(
        schema,
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX),
        validate_formats=False,
        offline=True,
        mask="the value",
    )


def schema_of(text: str) -> dict[str, Any]:
    """Return a schema as an object; raises ValueError for anything else."""
    found: dict[str, Any] = msgspec.json.decode(text, type=dict)
    return found


def referred(schema: Mapping[str, Any], reference: object) -> Any:
    """Return the part of a schema that a `$ref` in it means; raises ValueError unless it is a pointer into it."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise ValueError("a schema refers by pointers into itself only")
    found: Any = schema
    for part in unquote(reference).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name[:9]) < len(found):
            found = found[int(name[:9])]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            raise ValueError("a schema refers to what it has not")
    return found


class _Size:
    """Counts how many keywords of a schema may look at one form, as an upper bound.

    A validator follows each reference each time, so a few hundred bytes of references can be billions of keywords. A
    form has an end, so going round in circles has one if each round leads deeper into it; others are refused.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._within = 0
        self._known: dict[tuple[int, int, bool], int | None] = {}

    def of_all(self) -> int:
        """Return the size of the whole schema; raises ValueError for what cannot be counted."""
        return self._of(self._schema, FORM_DEPTH_MAX + 1, is_repeated=False)

    def _of(self, part: Any, levels: int, *, is_repeated: bool) -> int:
        """Return the size of a part that sees values with so many levels, or several such values of one form."""
        if not isinstance(part, dict) or levels == 0:
            return 0
        place = (id(part), levels, is_repeated)
        known = self._known.get(place, -1)
        if known is None:
            raise ValueError("a schema goes round in a circle")
        if known < 0:
            if self._within == _PARTS_DEEP_MAX:
                raise ValueError(f"a schema refers through more than {_PARTS_DEEP_MAX} of its parts, one in another")
            self._within += 1
            self._known[place] = None
            known = self._counted(part, levels, is_repeated=is_repeated)
            self._known[place] = known
            self._within -= 1
        return known

    def _counted(self, part: dict[str, Any], levels: int, *, is_repeated: bool) -> int:
        if "$ref" in part:  # what stands beside it does not count (draft 7, core 8.3)
            return 1 + self._of(referred(self._schema, part["$ref"]), levels, is_repeated=is_repeated)
        if "$id" in part and part is not self._schema:
            raise ValueError("a part of a schema cannot have an $id")
        size = len(part) + sum(len(value) for value in part.values() if isinstance(value, list))
        for each, deeper, many in _parts(part):
            times = FORM_VALUES_MAX if many and not is_repeated else 1
            size += times * self._of(each, levels - deeper, is_repeated=is_repeated or many)
            if size > SCHEMA_SIZE_MAX:
                break
        return min(size, SCHEMA_SIZE_MAX + 1)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[Any, int, bool]]:
    """Give the schemas in a schema, how much deeper than its own their values are, and whether there may be many."""
    for name, value in schema.items():
        by_name = value.values() if isinstance(value, dict) else ()
        listed = value if isinstance(value, list) else (value,)
        if name in _SAME:
            yield from ((each, 0, False) for each in listed)
        elif name in _SAME_BY_NAME:
            yield from ((each, 0, False) for each in by_name)
        elif name in _ONE_INSIDE:
            yield from ((each, 1, False) for each in by_name)
        elif name in _MANY_INSIDE:
            yield from ((each, 1, True) for each in listed)
        elif name in _MANY_BY_NAME:
            yield from ((each, 1, True) for each in by_name)


def read_form(raw: bytes | msgspec.Raw | None) -> Form:
    """Read a form; none, and null, is an empty one.

    Refuses REQUEST_INVALID for what is no object, too large, too deep or of too many values.
    """
    raw = b"" if raw is None else bytes(raw)
    if raw in {b"", b"null"}:
        return {}
    if len(raw) > FORM_BYTES_MAX:
        raise wrong({"Form": f"may have at most {FORM_BYTES_MAX} bytes"})
    if _depth(raw) > FORM_DEPTH_MAX:
        raise wrong({"Form": f"may be at most {FORM_DEPTH_MAX} levels deep"})
    try:
        found: Form = msgspec.json.decode(raw, type=dict)
    except (msgspec.MsgspecError, ValueError):
        raise wrong({"Form": "must be an object"}) from None
    if _values(found) > FORM_VALUES_MAX:
        raise wrong({"Form": f"may have at most {FORM_VALUES_MAX} values"})
    return found


def _values(value: object) -> int:
    """Return how many values there are in one, itself included; it is not deep."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_values(each) for each in inside)


def _depth(raw: bytes) -> int:
    """Return how deep the brackets of a text of JSON go, without those in strings."""
    depth = deepest = 0
    quoted = escaped = False
    for byte in raw:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = byte == ord("\\"), byte != ord('"')
        elif byte == ord('"'):
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def check_form(schema: str, form: Form) -> None:
    """Refuse REQUEST_INVALID for a form that does not satisfy a schema, with a sentence for each field."""
    mistakes = mistakes_of(schema, form)
    if mistakes:
        raise wrong(mistakes)


def mistakes_of(schema: str, form: Form) -> dict[str, str]:
    """Return what is wrong with a form, by the path of the field."""
    found: dict[str, str] = {}
    for mistake in compiled(schema).iter_errors(form):
        found.setdefault(_place(mistake), _sentence(mistake))
        if len(found) >= _MISTAKES_MAX:
            break
    return found


def missing_part(schema: str, form: Form) -> dict[str, Any] | None:
    """Return a schema for what a form still lacks, None if it lacks nothing: the fields at its top that are wrong."""
    wanted = schema_of(schema)
    lacking = {path.removeprefix("Form.").partition(".")[0] for path in mistakes_of(schema, form)}
    fields = {name: field for name, field in wanted.get("properties", {}).items() if name in lacking}
    if not lacking:
        return None
    return {
        **wanted,
        "properties": fields,
        "required": [name for name in wanted.get("required", []) if name in lacking],
    }


def merged(known: Mapping[str, Any], given: Mapping[str, Any]) -> Form:
    """Return what is known with what is given put over it, also inside of objects."""
    found = dict(known)
    for name, value in given.items():
        before = found.get(name)
        found[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def wrong(fields: Mapping[str, str]) -> Refusal:
    """Return the refusal of some fields of a request, by their paths."""
    first, why = next(iter(fields.items()))
    return Refusal(Code.REQUEST_INVALID, f"{first} {why}.", fields=dict(fields))


def _place(mistake: Any) -> str:
    missing = getattr(mistake.kind, "property", None) if mistake.kind.name == "required" else None
    path = [*mistake.instance_path, *([missing] if missing else [])]
    return ".".join(["Form", *(str(part)[:64] for part in path)])


def _sentence(mistake: Any) -> str:
    """Return what is wrong, without the value: it may be somebody's account, or long."""
    if mistake.kind.name == "required":
        return "is required"
    told = str(mistake.message).removeprefix("the value ")
    return told[:300]
