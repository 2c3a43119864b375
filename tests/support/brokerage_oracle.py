"""What a trade of the offers contract comes to, told a second time: by fractions, sharing no code with the product.

Amounts are fractions of one whole fiat or asset, not units. Each rounding is named where it is made.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

#: Smallest steps: of a fiat, of prices, quantities and reports.
CENT, STEP = Fraction(1, 100), Fraction(1, 10**8)
UNITS_MAX = 10**38


def down(value: Fraction, step: Fraction) -> Fraction:
    return floor(value / step) * step


def up(value: Fraction, step: Fraction) -> Fraction:
    return ceil(value / step) * step


def nearest(value: Fraction, step: Fraction) -> Fraction:
    """Round halves up."""
    return floor(value / step + Fraction(1, 2)) * step


class Refused(Exception):
    """The desk must refuse with this code."""


@dataclass(frozen=True)
class Terms:
    """What a quote is made from. `basis` None: nothing was ever bought; else the units held and what they cost."""

    side: str
    reference: Fraction
    margin: Fraction
    decimals: int
    least: Fraction = Fraction(1)
    most: Fraction | None = None
    cost: Fraction = Fraction(0)
    share: Fraction = Fraction(0)
    tax_rate: Fraction | None = None
    basis: tuple[Fraction, Fraction] | None = None


@dataclass(frozen=True)
class Figures:
    """What the quote says."""

    price: Fraction
    quantity: Fraction
    total: Fraction
    tax: Fraction
    gain: Fraction | None
    spread: Fraction
    after_cost: Fraction
    share: Fraction


def quote(terms: Terms, amount: Fraction, defined_for: str) -> Figures:
    """Work out R1 to R9 (offers contract 6)."""
    price = price_of(terms)
    quantity, total = both_sides(terms, price, amount, defined_for)
    if quantity == 0 or total < terms.least:
        raise Refused("AMOUNT_TOO_SMALL")
    over = terms.most is not None and total > terms.most
    if over or total / CENT > UNITS_MAX or quantity * 10**terms.decimals > UNITS_MAX:
        raise Refused("AMOUNT_TOO_LARGE")
    gain = tax = None
    if terms.side == "sell" and terms.basis is not None and terms.basis[0] > 0:
        gain = gain_of(terms.basis, quantity, total)
        tax = nearest((terms.tax_rate or 0) * max(gain, Fraction(0)), CENT)
        if tax >= total:
            raise Refused("AMOUNT_TOO_SMALL")
    spread = nearest(quantity * abs(price - terms.reference), STEP)
    after_cost = spread - terms.cost
    share = down(terms.share * max(after_cost, Fraction(0)), STEP)
    return Figures(price, quantity, total, tax or Fraction(0), gain, spread, after_cost, share)


def price_of(terms: Terms) -> Fraction:
    """R6: the margin is against the party, and so is the rounding."""
    if terms.side == "buy":
        return up(terms.reference * (1 + terms.margin), STEP)
    price = down(terms.reference * (1 - terms.margin), STEP)
    if price == 0:
        raise Refused("PRICE_UNAVAILABLE")
    return price


def both_sides(terms: Terms, price: Fraction, amount: Fraction, defined_for: str) -> tuple[Fraction, Fraction]:
    """R2 and R3. Quantities have 8 decimals, or as many as the asset if those are fewer."""
    step = max(STEP, Fraction(1, 10**terms.decimals))
    if defined_for == "asset":
        return amount, nearest(amount * price, CENT)
    quantity = down(amount / price, step)
    return quantity, amount if step == STEP else nearest(quantity * price, CENT)


def gain_of(basis: tuple[Fraction, Fraction], quantity: Fraction, total: Fraction) -> Fraction:
    """R5: what the part that was bought here brings over its average cost."""
    held, cost = basis
    known = min(held, quantity)
    brings = down(total * known / quantity, CENT)
    return brings - (cost if known == held else nearest(cost * known / held, CENT))


def basis_after(
    side: str, basis: tuple[Fraction, Fraction] | None, quantity: Fraction, total: Fraction
) -> tuple[Fraction, Fraction]:
    held, cost = basis or (Fraction(0), Fraction(0))
    if side == "buy":
        return held + quantity, cost + total
    gone = cost if quantity >= held else nearest(cost * quantity / held, CENT)
    return max(held - quantity, Fraction(0)), cost - gone


def left_over(side: str, figures: Figures, venue_price: Fraction) -> Fraction:
    """Return what is the desk's of a trade: the venue's side of it is rounded against the desk."""
    worth = figures.quantity * venue_price
    return figures.total - up(worth, CENT) if side == "buy" else down(worth, CENT) - figures.total


def decimal_of(value: Fraction, decimals: int) -> Decimal:
    """Write a fraction that ends after so many decimals as a number, without any context."""
    units = value * 10**decimals
    assert units.denominator == 1, value
    sign, digits = units.numerator < 0, str(abs(units.numerator))
    return Decimal((int(sign), tuple(map(int, digits)), -decimals))
