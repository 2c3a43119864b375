"""Assets, amounts and rates: exact, integer, and never bare.

An `Amount` counts the smallest indivisible units of one asset. A `Rate` says how many of its quote asset one of its
base asset is worth. Every rounding in the desk is decided here, by name; nothing here rounds by default. There are no
binary fractions anywhere: conversions are integer arithmetic of any length, so no decimal context can cut a digit.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum
from typing import Final, Literal

import msgspec

#: Amounts of more units than this are refused at parsing: the database keeps `numeric(40,0)`, and a sum of many
#: amounts must still fit.
UNITS_MAX: Final = 10**38

#: The largest balance that the database keeps. Nothing comes into the books, or leaves them, by which an account would
#: pass `UNITS_MAX`; what then moves within them is never more than came in, against a few of the desk's own accounts.
BALANCE_MAX: Final = 10**40 - 1

#: Rates are kept, printed and multiplied with at most this many decimals, so that what is printed is what was used.
RATE_DECIMALS_MAX: Final = 6

#: Prices of offers, their quantities and the figures reported of them have this many decimals (offers contract 6).
PRICE_DECIMALS: Final = 8

#: One unit of anything is never worth more than this many of anything else.
RATE_MAX: Final = 10**12

#: Wide enough for any two numbers of the desk; what would not fit raises instead of losing a digit.
_EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation])

#: Wide enough for any chain of steps that a rule may have (`domain.rules.STEPS_MAX`), of numbers of 40 digits each.
_LONG: Final = Context(prec=1_000, traps=[Inexact, InvalidOperation])

#: What may be done to a number, exactly.
Operator = Literal["add", "subtract", "multiply"]

_DECIMAL: Final = re.compile(r"[0-9]{1,60}(\.[0-9]{1,60})?", re.ASCII)


class Rounding(Enum):
    """What happens to the part of a unit that a conversion leaves over."""

    DOWN = "down"
    UP = "up"
    HALF_UP = "half up"


#: What one of an asset is worth in the same.
ONE_FOR_ONE: Final = Decimal(1)

#: What the desk pays out loses the fraction, what the desk collects gains it.
PAID_BY_DESK: Final = Rounding.DOWN
PAID_TO_DESK: Final = Rounding.UP

#: What a contract wants rounded to the nearest, and figures that are reported and never booked.
NEAREST: Final = Rounding.HALF_UP


class Asset(msgspec.Struct, frozen=True):
    """Something countable: `scale` decimals make one of it into its smallest units (2 for EUR, 6 for USDC)."""

    code: str
    scale: int


class AssetMismatch(AssertionError):
    """Two different assets met in one sum or comparison: a bug, never a customer's mistake."""


class Amount(msgspec.Struct, frozen=True):
    """A count of the smallest units of one asset."""

    units: int
    asset: Asset

    def _same(self, other: "Amount") -> int:
        if other.asset != self.asset:
            raise AssetMismatch(f"{self.asset.code} with {other.asset.code}")
        return other.units

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.units + self._same(other), self.asset)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.units - self._same(other), self.asset)

    def __lt__(self, other: "Amount") -> bool:
        return self.units < self._same(other)

    def __le__(self, other: "Amount") -> bool:
        return self.units <= self._same(other)

    def __str__(self) -> str:
        return f"{print_units(self.units, self.asset.scale)} {self.asset.code}"


class Rate(msgspec.Struct, frozen=True):
    """How many of asset `quote` one of asset `base` is worth."""

    base: str
    quote: str
    value: Decimal


def parse_units(text: str, scale: int) -> int | None:
    """Read a plain decimal ("2500.00") as units of `scale`; None if it is not one, is finer, or is too large."""
    if not _DECIMAL.fullmatch(text):
        return None
    whole, _, fraction = text.partition(".")
    if len(fraction) > scale:
        return None
    units = int(whole + fraction.ljust(scale, "0"))
    return units if units <= UNITS_MAX else None


def print_units(units: int, scale: int, decimals: int | None = None) -> str:
    """Write units as a decimal with `decimals` places (the asset's scale unless told); digits are cut, not rounded."""
    places = scale if decimals is None else decimals
    digits = str(abs(units)).rjust(scale + 1, "0")
    whole, fraction = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    shown = fraction[:places].ljust(places, "0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{shown}" if places else f"{sign}{whole}"


def parse_rate(text: str, decimals: int = RATE_DECIMALS_MAX) -> Decimal | None:
    """Read a positive decimal of at most so many places; None if it is anything else."""
    if not _DECIMAL.fullmatch(text):
        return None
    fraction = text.partition(".")[2].rstrip("0")
    value = Decimal(text)
    if len(fraction) > decimals or not 0 < value <= RATE_MAX:
        return None
    return plain(value)


def parse_percent(text: str) -> Decimal | None:
    """Read hundredths of something, 0 to 100 with at most six decimals; None if it is anything else."""
    if not _DECIMAL.fullmatch(text) or len(text.partition(".")[2].rstrip("0")) > RATE_DECIMALS_MAX:
        return None
    value = plain(Decimal(text))
    return value if value <= 100 else None


def plain(value: Decimal) -> Decimal:
    """Return the same number written without exponent and without trailing zeros, so that equal rates look equal."""
    text = format(value, "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def print_rate(value: Decimal) -> str:
    """Write a rate with at least 2 and at most 6 decimals and no other trailing zeros (exchanges contract 2.10)."""
    whole, _, fraction = format(value, "f").partition(".")
    return f"{whole}.{fraction[:RATE_DECIMALS_MAX].rstrip('0').ljust(2, '0')}"


def _ratio(value: Decimal) -> tuple[int, int]:
    numerator, denominator = value.as_integer_ratio()
    return numerator, denominator


def _divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    if rounding is Rounding.HALF_UP:
        return (2 * numerator + denominator) // (2 * denominator)
    return numerator // denominator if rounding is Rounding.DOWN else -(-numerator // denominator)


def convert(amount: Amount, rate: Rate, to: Asset, rounding: Rounding, decimals: int | None = None) -> Amount:
    """Convert `amount` at `rate` into asset `to`, keeping at most `decimals` places of it (its scale unless told)."""
    if (rate.base, rate.quote) != (amount.asset.code, to.code):
        raise AssetMismatch(f"{rate.base}/{rate.quote} for {amount.asset.code} to {to.code}")
    places = min(to.scale, decimals) if decimals is not None else to.scale
    numerator, denominator = _ratio(rate.value)
    kept = _divide(amount.units * numerator * 10**places, denominator * 10**amount.asset.scale, rounding)
    return Amount(kept * 10 ** (to.scale - places), to)


def convert_back(amount: Amount, rate: Rate, to: Asset, rounding: Rounding) -> Amount:
    """Convert `amount` of a rate's quote into its base: divided by the rate once, and rounded once."""
    if (rate.base, rate.quote) != (to.code, amount.asset.code):
        raise AssetMismatch(f"{rate.base}/{rate.quote} for {amount.asset.code} back to {to.code}")
    numerator, denominator = _ratio(rate.value)
    units = _divide(amount.units * denominator * 10**to.scale, numerator * 10**amount.asset.scale, rounding)
    return Amount(units, to)


def less_spread(value: Decimal, spread_bps: int) -> Decimal:
    """Take `spread_bps` ten-thousandths off a rate and cut it to `RATE_DECIMALS_MAX`: the desk pays a little less."""
    numerator, denominator = _ratio(value)
    scaled = _divide(numerator * (10_000 - spread_bps) * 10**RATE_DECIMALS_MAX, denominator * 10_000, PAID_BY_DESK)
    return scaled_rate(scaled)


def plus_spread(value: Decimal, spread_bps: int) -> Decimal:
    """Put `spread_bps` ten-thousandths on a rate, up to `RATE_DECIMALS_MAX`: the desk sells a little dearer."""
    numerator, denominator = _ratio(value)
    scaled = _divide(numerator * (10_000 + spread_bps) * 10**RATE_DECIMALS_MAX, denominator * 10_000, PAID_TO_DESK)
    return scaled_rate(scaled)


def scaled_rate(millionths: int) -> Decimal:
    """Return a rate from a whole number of its last decimal place."""
    return counted(millionths, RATE_DECIMALS_MAX)


def inverse(value: Decimal) -> Decimal:
    """Return how many base one quote is worth, cut to `RATE_DECIMALS_MAX`."""
    numerator, denominator = _ratio(value)
    return scaled_rate(_divide(denominator * 10**RATE_DECIMALS_MAX, numerator, PAID_BY_DESK))


def with_margin(value: Decimal, margin_bps: int, rounding: Rounding) -> Decimal:
    """Return a price with so many ten-thousandths put on it (negative: taken off), in `PRICE_DECIMALS`."""
    numerator, denominator = _ratio(value)
    scaled = _divide(numerator * (10_000 + margin_bps) * 10**PRICE_DECIMALS, denominator * 10_000, rounding)
    return counted(scaled, PRICE_DECIMALS)


def bought(cash: Amount, price: Decimal, asset: Asset) -> Amount:
    """Return how much of an asset cash buys at a price: cut to `PRICE_DECIMALS` or what the asset has, if less."""
    places = min(PRICE_DECIMALS, asset.scale)
    numerator, denominator = _ratio(price)
    kept = _divide(cash.units * denominator * 10**places, numerator * 10**cash.asset.scale, PAID_BY_DESK)
    return Amount(kept * 10 ** (asset.scale - places), asset)


def reported(amount: Amount, per_one: Decimal) -> Decimal:
    """Return what an amount is worth at so much for one, to the nearest in `PRICE_DECIMALS`; never to be booked."""
    numerator, denominator = _ratio(per_one)
    worth = _divide(amount.units * numerator * 10**PRICE_DECIMALS, denominator * 10**amount.asset.scale, NEAREST)
    return counted(worth, PRICE_DECIMALS)


def less(value: Decimal, other: Decimal) -> Decimal:
    """Return the exact difference of two numbers, however long they are."""
    return plain(_EXACT.subtract(value, other))


def worked_on(value: Decimal, operator: Operator, other: Decimal) -> Decimal:
    """Return the exact sum, difference or product of two numbers."""
    match operator:
        case "add":
            return _LONG.add(value, other)
        case "subtract":
            return _LONG.subtract(value, other)
        case "multiply":
            return _LONG.multiply(value, other)


def share_of(value: Decimal, bps: int) -> Decimal:
    """Return so many ten-thousandths of a number, cut to `PRICE_DECIMALS`: what the desk owes of it."""
    numerator, denominator = _ratio(value)
    return counted(_divide(numerator * bps * 10**PRICE_DECIMALS, denominator * 10_000, PAID_BY_DESK), PRICE_DECIMALS)


def bps_apart(value: Decimal, other: Decimal) -> Decimal:
    """Return how far a number is from another, in ten-thousandths of the other with two decimals; negative: below it.

    It is rounded away from zero, so it passes a whole bound exactly if the distance does.
    """
    numerator, denominator = _ratio(value)
    other_numerator, other_denominator = _ratio(other)
    apart = numerator * other_denominator - other_numerator * denominator
    hundredths = _divide(abs(apart) * 1_000_000, denominator * other_numerator, Rounding.UP)
    return counted(hundredths if apart >= 0 else -hundredths, 2)


def part_of(amount: Amount, bps: int, rounding: Rounding) -> Amount:
    """Return so many ten-thousandths of an amount."""
    return Amount(_divide(amount.units * bps, 10_000, rounding), amount.asset)


def percent_of(amount: Amount, percent: Decimal, rounding: Rounding) -> Amount:
    """Return so many hundredths of an amount; `percent` may have decimals of its own."""
    numerator, denominator = _ratio(percent)
    return Amount(_divide(amount.units * numerator, denominator * 100, rounding), amount.asset)


def increased(amount: Amount, bps: int, rounding: Rounding) -> Amount:
    """Return an amount with so many ten-thousandths put on it."""
    return Amount(_divide(amount.units * (10_000 + bps), 10_000, rounding), amount.asset)


def units_of(value: Decimal, scale: int, rounding: Rounding | None = None) -> int | None:
    """Return a decimal as units of `scale`; without a rounding None if it is finer."""
    numerator, denominator = _ratio(value)
    units = _divide(numerator * 10**scale, denominator, rounding or PAID_BY_DESK)
    exact = units * denominator == numerator * 10**scale
    return units if exact or rounding is not None else None


def counted(units: int, decimals: int) -> Decimal:
    """Return so many of a number's last decimal place as a number."""
    return plain(Decimal(print_units(units, decimals)))


def print_decimal(value: Decimal, decimals: int) -> str:
    """Write a number with exactly so many decimals; what is finer is cut."""
    whole, _, fraction = format(value, "f").partition(".")
    return f"{whole}.{fraction[:decimals].ljust(decimals, '0')}"
