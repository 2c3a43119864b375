"""What all tables of a world file share: their strictness, how a mistake is told, and amounts in them."""

import msgspec

from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a misspelt key is an error."""


def invalid(sentence: str) -> Refusal:
    """Return the refusal of a file, with the mistake."""
    return Refusal(Code.DECLARATION_INVALID, f"The world file is not valid: {sentence}")


def units_in(text: str, asset: str, scales: dict[str, int]) -> int:
    """Read an amount of a declared asset; refuses DECLARATION_INVALID."""
    if asset not in scales:
        raise invalid(f"asset {asset!r} is not declared")
    units = parse_units(text, scales[asset])
    if units is None:
        raise invalid(f"{text!r} is not an amount of {asset}")
    return units
