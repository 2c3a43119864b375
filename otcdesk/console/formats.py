"""How values are written for people: amounts with their asset, rates, times, and what a number is in words.

All are filters of the templates. Amounts come as units of the smallest part and are printed exactly, never rounded.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import jinja2
from markupsafe import Markup, escape

from otcdesk.money import plain, print_units

_NOTHING = "\u2013"  # an en dash
_NO_MARKUP = Markup("&#8211;")
#: What callers ask with, by the kind that their names begin with; people ask with nothing but their names.
_ASKS_WITH = {"person": "", "api_key": "API key", "operator": "operator's token", "session": "session"}
_MINUS = "\u2212"
_BPS_PER_PERCENT = Decimal(100)

#: Seconds in one, and the next smaller unit with its own seconds.
_UNITS_OF_TIME = {"d": (86_400, "h", 3_600), "h": (3_600, "min", 60), "min": (60, "s", 1)}

_UNITS_OF_SIZE = {"GB": 10**9, "MB": 10**6, "kB": 10**3}


def grouped(text: str) -> str:
    """Return a decimal number with its thousands parted by commas."""
    sign, digits = (_MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, point, decimals = digits.partition(".")
    parts = [whole[max(0, end - 3) : end] for end in range(len(whole), 0, -3)]
    return sign + ",".join(reversed(parts)) + point + decimals


@jinja2.pass_context
def amount(context: jinja2.runtime.Context, units: int | None, asset: str) -> Markup:
    """Return units with their asset's code; the page's `scales` say how many decimals an asset has."""
    if units is None:
        return _NO_MARKUP
    return Markup('<span class="amount">{} <abbr>{}</abbr></span>').format(bare(context, units, asset), asset)


@jinja2.pass_context
def bare(context: jinja2.runtime.Context, units: int | None, asset: str) -> str:
    """Return units as a number alone: exact, without zeros at the end past the second decimal."""
    return _NOTHING if units is None else grouped(_trimmed(print_units(units, context["scales"].get(asset, 0))))


def _trimmed(text: str) -> str:
    whole, point, decimals = text.partition(".")
    return f"{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}" if point else whole


@jinja2.pass_context
def typed(context: jinja2.runtime.Context, units: int, asset: str) -> str:
    """Return units as people type them: without any separator but the point."""
    return print_units(units, context["scales"].get(asset, 0))


def rate(value: Decimal | None) -> str:
    """Return a rate, in as many decimals as it has."""
    return _NOTHING if value is None else grouped(format(plain(value), "f"))


def signed(text: str) -> str:
    """Return a number with its sign, a plus as well."""
    return text if text.startswith((_MINUS, "-")) or not text.strip("0.,") else f"+{text}"


def percent(bps: Decimal | int | None) -> str:
    """Return ten-thousandths as percent with two decimals."""
    return _NOTHING if bps is None else f"{Decimal(bps) / _BPS_PER_PERCENT:.2f} %".replace("-", _MINUS)


def when(at: datetime | None) -> Markup:
    """Return a time of UTC to the second, as an element that scripts and screen readers know as one."""
    if at is None:
        return _NO_MARKUP
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S}"
    )


def lately(at: datetime, now: datetime) -> Markup:
    """Return a time of UTC without its day where that is today's."""
    utc, today = at.astimezone(UTC), now.astimezone(UTC).date()
    text = f"{utc:%H:%M:%S}" if utc.date() == today else f"{utc:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(timespec="milliseconds"), text)


def short(value: UUID | str | None) -> Markup:
    """Return an id by its last letters, with the whole of it at hand."""
    if value is None:
        return _NO_MARKUP
    text = str(value)
    return Markup('<span class="id" title="{}">\u2026{}</span>').format(text, text[-8:])


def words(name: str | None) -> str:
    """Return a state or another name of the core in words."""
    return _NOTHING if not name else name.replace("_", " ").replace(".", ": ")


def person(caller: str | None) -> str:
    """Return who asked: a person by their address, a program by its name and what it asks with."""
    if not caller:
        return _NOTHING
    kind, colon, name = caller.partition(":")
    if not colon or kind not in _ASKS_WITH:
        return caller
    return f"{name} ({_ASKS_WITH[kind]})" if _ASKS_WITH[kind] else name


def told(text: str | None) -> str:
    """Return a text of the books in which people are named, as people call them."""
    return _NOTHING if not text else text.replace("person:", "")


def lines(text: str) -> Markup:
    """Return a text with its line breaks."""
    return Markup("<br>").join(escape(part) for part in text.splitlines())


def lasting(seconds: int | None) -> str:
    """Return a length of time in its largest unit, and what is left of it in the next."""
    if seconds is None:
        return _NOTHING
    for unit, (size, lesser, part) in _UNITS_OF_TIME.items():
        if seconds >= size:
            rest = seconds % size // part
            return f"{grouped(str(seconds // size))} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{seconds} s"


def size(number: int) -> str:
    """Return a number of bytes in the largest unit of which there is a whole one, to a tenth."""
    for unit, bytes_of_one in _UNITS_OF_SIZE.items():
        if number >= bytes_of_one:
            tenths = number * 10 // bytes_of_one
            return f"{grouped(str(tenths // 10))}.{tenths % 10} {unit}"
    return f"{number} B"


FILTERS: dict[str, Any] = {
    "amount": amount,
    "bare": bare,
    "grouped": grouped,
    "lasting": lasting,
    "lately": lately,
    "lines": lines,
    "percent": percent,
    "person": person,
    "rate": rate,
    "short": short,
    "signed": signed,
    "size": size,
    "told": told,
    "typed": typed,
    "when": when,
    "words": words,
}
