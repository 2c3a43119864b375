"""How this dialect writes ids and numbers: 24 hexadecimal digits, and JSON numbers that lose no digit (contract 5)."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from otcdesk.clock import iso_milliseconds
from otcdesk.domain.compact_ids import parse_compact_id, print_compact_id
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX, counted, plain

#: A number as it was written: a number's own type would take `true`, or cut digits.
Whole = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "integer"})]
Number = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "number"})]
#: One that may be null.
WholeOrNull = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": ["integer", "null"]})]
NumberOrNull = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": ["number", "null"]})]
#: An id of the dialect.
Id = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{24}$"})]
#: One that is sent to us, of which the case does not matter.
ID_PATTERN: Final = "^[0-9a-fA-F]{24}$"
GivenId = Annotated[str, Meta(extra_json_schema={"pattern": ID_PATTERN})]

#: The largest number that the database counts deals by.
NUMBER_OF_DEAL_MAX: Final = 2**63 - 1

#: With as many digits as anything here can have, and with an exponent that does not make more of them.
_NUMBER: Final = re.compile(rb"-?(0|[1-9][0-9]{0,59})(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,2})?")
_EXPONENT_MAX: Final = 60


def number_of(raw: msgspec.Raw, field: str) -> Decimal:
    """Read a number exactly; refuses REQUEST_INVALID for what is no number, or has more digits than anything here."""
    text = bytes(raw).strip()
    if text == b"null":
        raise invalid(f"{field} is required")
    if not _NUMBER.fullmatch(text):
        raise invalid(f"{field} must be a number")
    value = Decimal(text.decode())
    if value and abs(value.adjusted()) > _EXPONENT_MAX:
        raise invalid(f"{field} is out of range")
    return plain(value) if value else Decimal(0)


def whole_of(raw: msgspec.Raw, field: str) -> int:
    """Read a whole number, however it is written (`2.0` is 2); refuses REQUEST_INVALID for anything else."""
    value = number_of(raw, field)
    if value != value.to_integral_value():
        raise invalid(f"{field} must be an integer")
    whole = int(value)
    if abs(whole) > UNITS_MAX:
        raise invalid(f"{field} is out of range")
    return whole


def is_null(raw: msgspec.Raw) -> bool:
    """Tell whether null was sent."""
    return bytes(raw).strip() == b"null"


def id_of(text: str, field: str) -> UUID:
    """Read an id of a body; refuses REQUEST_INVALID."""
    found = parse_compact_id(text)
    if found is None:
        raise invalid(f"Invalid {field} format")
    return found


def id_text(value: UUID) -> str:
    """Write an id."""
    return print_compact_id(value)


def units_number(units: int, scale: int) -> msgspec.Raw:
    """Write so many of a number's last decimal place as a JSON number, every digit of it (contract 5)."""
    return decimal_number(counted(units, scale))


def decimal_number(value: Decimal) -> msgspec.Raw:
    """Write a decimal as a JSON number, every digit of it."""
    return msgspec.Raw(format(plain(value), "f").encode("ascii"))


def time_text(at: datetime) -> str:
    """Write a time: ISO 8601 in UTC with milliseconds (contract 3.16)."""
    return iso_milliseconds(at)


def invalid(details: str) -> Refusal:
    """Return the refusal of a request, with what is wrong."""
    return Refusal(Code.REQUEST_INVALID, details)
