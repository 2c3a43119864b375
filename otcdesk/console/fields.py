"""Fields of forms, read: each is refused with a sentence that names it, whatever somebody has typed or sent."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final
from uuid import UUID

from otcdesk.api.wire import canonical_uuid
from otcdesk.console.page import ConsoleCall
from otcdesk.errors import Code, Refusal
from otcdesk.money import RATE_DECIMALS_MAX, parse_percent, parse_rate, parse_units

#: Texts are kept for ever: so long at most.
TEXT_LENGTH_MAX: Final = 500

#: Nobody leafs further.
_PAGES_MAX: Final = 10_000

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Thousands parted as the console itself writes them. Any other comma may be meant as a decimal point.
_GROUPED: Final = re.compile(r"[-\u2212]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")


def _wrong(sentence: str) -> Refusal:
    return Refusal(Code.REQUEST_INVALID, sentence)


def _number(call: ConsoleCall, name: str) -> str:
    """Return a number as typed, without the commas that part thousands; with any other comma it stays no number."""
    text = call.field(name).replace("\u00a0", "").replace(" ", "")
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def text_of(
    call: ConsoleCall, name: str, said: str, *, required: bool = True, length_max: int = TEXT_LENGTH_MAX
) -> str:
    """Return a text of one line that can be printed; `said` is what the form calls it. Refuses REQUEST_INVALID."""
    text = call.field(name)
    if required and not text:
        raise _wrong(f"{said} is missing.")
    if len(text) > length_max or not text.isprintable():
        raise _wrong(f"{said} has at most {length_max} characters, all of which can be printed.")
    return text


def block_of(call: ConsoleCall, name: str, said: str, *, length_max: int) -> str:
    """Return a text of several lines, empty if there is none; refuses REQUEST_INVALID."""
    text = call.field(name).replace("\r\n", "\n")
    if len(text) > length_max or not text.replace("\n", "").isprintable():
        raise _wrong(f"{said} has at most {length_max} characters, all of which can be printed.")
    return text


def ticked_of(call: ConsoleCall, name: str) -> list[str]:
    """Return which boxes of a group are ticked: those whose fields are called `name:one`, `name:another`."""
    prefix = f"{name}:"
    return [field.removeprefix(prefix) for field in call.body or {} if field.startswith(prefix)]


def units_of(
    call: ConsoleCall,
    name: str,
    scale: int,
    *,
    required: bool = True,
    signed: bool = False,
    said: str = "The amount",
) -> int | None:
    """Return an amount in units of an asset with this scale, None for an empty field; refuses REQUEST_INVALID."""
    text = _number(call, name)
    if not text:
        if required:
            raise _wrong(f"{said} is missing.")
        return None
    minus = signed and text.startswith(("-", "\u2212"))
    units = parse_units(text[1:] if minus else text, scale)
    if units is None:
        raise _wrong(f"{said} is a plain number with at most {scale} decimals.")
    return -units if minus else units


def key_of(call: ConsoleCall) -> str:
    """Return the key that a form was made with, by which it acts once; refuses REQUEST_INVALID without one."""
    key = call.field("key")
    if not _KEY.fullmatch(key):
        raise _wrong("The form is not complete. Open the page again.")
    return key


def rate_of(call: ConsoleCall, name: str, decimals: int = RATE_DECIMALS_MAX) -> Decimal | None:
    """Return a rate, None for an empty field; refuses REQUEST_INVALID."""
    text = _number(call, name)
    if not text:
        return None
    rate = parse_rate(text, decimals)
    if rate is None:
        raise _wrong(f"A rate is a plain number above zero with at most {decimals} decimals.")
    return rate


def percent_of(call: ConsoleCall, name: str, said: str) -> Decimal:
    """Return hundredths of something; refuses REQUEST_INVALID."""
    percent = parse_percent(_number(call, name))
    if percent is None:
        raise _wrong(f"{said} is a plain number from 0 to 100 with at most {RATE_DECIMALS_MAX} decimals.")
    return percent


def whole_of(call: ConsoleCall, name: str, said: str, *, least: int = 0, most: int) -> int | None:
    """Return a whole number within bounds, None for an empty field; refuses REQUEST_INVALID."""
    text = _number(call, name)
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise _wrong(f"{said} is a whole number from {least} to {most}.")
    return int(text)


def seconds_of(call: ConsoleCall, name: str, most: int) -> int | None:
    """Return a number of seconds, None for an empty field; refuses REQUEST_INVALID."""
    return whole_of(call, name, "The number of seconds", least=1, most=most)


def id_of(text: str, unknown: Code) -> UUID:
    """Return an id; what is none cannot be found, so it is refused with `unknown`."""
    try:
        return canonical_uuid(text)
    except ValueError:
        raise Refusal(unknown) from None


def named_id(text: str) -> UUID | None:
    """Return an id, None for what is none."""
    try:
        return canonical_uuid(text)
    except ValueError:
        return None


def page_number(query: Mapping[str, str]) -> int:
    """Return which page of a list is asked for, from 1; what is no number asks for the first."""
    text = query.get("page", "")
    return min(max(int(text), 1), _PAGES_MAX) if _WHOLE.fullmatch(text) else 1


def day_of(text: str) -> date | None:
    """Return a day as browsers write it, None for an empty text; refuses REQUEST_INVALID."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _wrong("A day is written as in 2026-11-22.") from None


def time_of(text: str) -> datetime | None:
    """Return a time of UTC as browsers write it (a day alone: its beginning), None for an empty text."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _wrong("A time is written as in 2026-11-22T09:30, in UTC.") from None
    if found.year < 2000:
        raise _wrong("That time is long ago.")
    return found


def beginning_of(day: date) -> datetime:
    """Return when a day begins."""
    return datetime.combine(day, time(), tzinfo=UTC)
