"""A market rate seen in one direction, told in both."""

from decimal import Decimal

from otcdesk.money import inverse
from otcdesk.rails.protocols import Observation


def both_directions(source_asset: str, destination_asset: str, rate: Decimal) -> list[Observation]:
    """Return the rate (destination per one source) and its inverse.

    The inverse is cut to the decimals that a rate may have. One that is cut to nothing is left out: a price of zero
    is no price.
    """
    back = inverse(rate)
    there = Observation(source_asset=source_asset, destination_asset=destination_asset, rate=rate)
    if not back:
        return [there]
    return [there, Observation(source_asset=destination_asset, destination_asset=source_asset, rate=back)]
