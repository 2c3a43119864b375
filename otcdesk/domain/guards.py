"""What the desk has people look at twice: sizes from which a second person decides, and how far a rate may deviate.

A guard that is not set guards nothing. Guards are changed by two people, always: whoever could lower one alone would
need no second person for anything else.
"""

from typing import Final

from otcdesk.domain.lanes import ONLY
from otcdesk.domain.noun import Noun

#: A guard in ten-thousandths is at most the whole.
BPS_MAX: Final = 10_000

#: A week: what waits longer was forgotten.
PROPOSAL_SECONDS_MAX: Final = 7 * 86_400


class Guard(Noun, frozen=True, kw_only=True, gc=False):
    """The guard of one asset, in its units; None: at no size.

    `second_from_units`: what moves so much needs a second person. `typed_from_units`: the page has the amount typed.
    `exposure_units_max`: the desk's own position that people are warned of.
    """

    asset: str
    second_from_units: int | None = None
    typed_from_units: int | None = None
    exposure_units_max: int | None = None

    @property
    def key(self) -> str:
        """Return the asset's code."""
        return self.asset


class GuardTerms(Noun, frozen=True, kw_only=True, gc=False):
    """What guards the whole lane.

    `deviation_bps_max`: how far an approved rate may be from the market, in ten-thousandths of it; None: any distance.
    `spread_change_bps_max`: the largest change of a spread or fee that one person makes alone; None: any.
    `limits_second`: whether limits are raised by two people. `proposal_seconds`: how long a second person has.
    """

    id: int = ONLY
    deviation_bps_max: int | None = None
    spread_change_bps_max: int | None = None
    limits_second: bool = False
    proposal_seconds: int = 900

    @property
    def key(self) -> int:
        """Return the one key."""
        return self.id
