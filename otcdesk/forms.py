"""Forms: what must be known of who is paid, as a JSON Schema (draft 7) says it, and whether given values satisfy it.

Schemas come from world files and values from anybody. Patterns run on an engine whose time is linear in the text; what
it cannot run (look-around, back-references, patterns that grow too large) makes a schema invalid. Nothing outside of
the schema is ever fetched. Values are bounded before they are looked at.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs
import msgspec

from otcdesk.errors import Code, Refusal

#: Ours: a form is a few fields. Depth counts objects and lists inside one another.
FORM_BYTES_MAX: Final = 16_384
FORM_DEPTH_MAX: Final = 16

#: Nobody corrects more mistakes at once.
_MISTAKES_MAX: Final = 20

_SCHEMA_BYTES_MAX: Final = 65_536
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
    if len(text.encode()) > _SCHEMA_BYTES_MAX:
        raise ValueError(f"a schema has at most {_SCHEMA_BYTES_MAX} bytes")
    return jsonschema_rs.Draft7Validator(
        schema_of(text),
        pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES_MAX, dfa_size_limit=_PATTERN_BYTES_MAX),
        validate_formats=False,
        offline=True,
        mask="the value",
    )


def schema_of(text: str) -> dict[str, Any]:
    """Return a schema as an object; raises ValueError for anything else."""
    found: dict[str, Any] = msgspec.json.decode(text, type=dict)
    return found


def read_form(raw: bytes | msgspec.Raw | None) -> Form:
    """Read a form; none, and null, is an empty one.

    Refuses REQUEST_INVALID for what is no object, too large or too deep.
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
    return found


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
