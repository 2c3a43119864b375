"""How this dialect says what something costs: an exact number, and what it counts."""

import msgspec

from otcdesk.api.deals.values import Number, units_number


class Price(msgspec.Struct, kw_only=True):
    """So much of a currency token with so many decimals."""

    amount: Number
    decimal: int
    symbol: str


def price_of(units: int, scale: int, symbol: str) -> Price:
    """Return a price of so many of the currency token's smallest units."""
    return Price(amount=units_number(units, scale), decimal=scale, symbol=symbol)
