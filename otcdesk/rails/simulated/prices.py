"""Simulated markets: rates that are given, and a rate that walks.

The walk is a pure function of its settings, the pair and the time, so every machine that simulates it sees the same
rate at the same moment, before and after a restart.
"""

import hashlib
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from otcdesk.clock import Clock, at_milliseconds, milliseconds_between
from otcdesk.money import RATE_DECIMALS_MAX, inverse, scaled_rate
from otcdesk.rails.directions import both_directions
from otcdesk.rails.protocols import Observation

_EPOCH: Final = at_milliseconds(0)

#: The walk is followed in parts of the start rate fine enough that cutting them never shows in a rate.
_WHOLE: Final = 10**12
_BPS: Final = _WHOLE // 10_000

#: Each step takes this fraction of the way back to the start rate. With it the walk strays some 5 steps in the mean.
_RETURN: Final = 128

#: A walk is followed from the start rate for this many steps: 8 times the way back, after which less than a
#: thousandth of what was before is left (e to the minus 8), so that where it was begun does not show.
_STEPS: Final = 8 * _RETURN

#: A digest of 32 bytes is 16 kicks of two bytes, the higher byte first on every machine.
_DIGEST: Final = struct.Struct(">16h")
_KICKS: Final = 16
_KICK_MAX: Final = 2**15


class FixedSource:
    """Implements `PriceSource` with rates that are given and never go stale."""

    def __init__(
        self, rates: Mapping[tuple[str, str], Decimal], *, name: str = "fixed", period_ms: int = 1_000
    ) -> None:
        """Take rates by pair, destination per one source; a direction that is not given is computed from the other."""
        self.name = name
        self.stale_after_ms: int | None = None
        self.period_ms = period_ms
        self._rates = dict(rates)
        for (source, destination), rate in rates.items():
            back = inverse(rate)
            if back:
                self._rates.setdefault((destination, source), back)

    async def read(self) -> list[Observation]:
        """Return the given rates."""
        return [
            Observation(source_asset=source, destination_asset=destination, rate=rate)
            for (source, destination), rate in self._rates.items()
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing open."""


class WalkSource:
    """Implements `PriceSource` with one pair's rate that walks at random and is drawn back to where it started.

    In each period it moves by at most `step_bps` and the 128th part of its distance, and it never leaves `band_bps`
    on either side of `start_rate`. Another seed, pair or period is another walk.
    """

    def __init__(
        self,
        *,
        pair: tuple[str, str],
        start_rate: Decimal,
        step_bps: int,
        band_bps: int,
        seed: int,
        period_ms: int,
        stale_after_ms: int | None,
        clock: Clock,
    ) -> None:
        """Take a rate as destination per one source, and step and band in ten-thousandths of it."""
        if not 0 <= step_bps <= band_bps < 10_000:
            raise ValueError("a walk needs a step of at least 0, within a band below 10000 ten-thousandths")
        self.name = "simulated walk"
        self.stale_after_ms = stale_after_ms
        self.period_ms = period_ms
        self._pair = pair
        self._start_millionths = int(start_rate.scaleb(RATE_DECIMALS_MAX))
        self._step = step_bps * _BPS
        self._band = band_bps * _BPS
        self._seed = seed
        self._clock = clock

    async def read(self) -> list[Observation]:
        """Return the rate of the present step, both ways."""
        number = milliseconds_between(_EPOCH, self._clock.now()) // self.period_ms
        return both_directions(*self._pair, self.rate_at(number))

    async def close(self) -> None:
        """Do nothing: there is nothing open."""

    def rate_at(self, number: int) -> Decimal:
        """Return the rate, destination per one source, of a step counted in periods since 1970 (UTC)."""
        away = 0
        step, band = self._step, self._band
        for kick in self._kicks(number + 1):
            away += kick * step // _KICK_MAX - away // _RETURN
            away = band if away > band else max(away, -band)
        return scaled_rate(max(1, self._start_millionths * (_WHOLE + away) // _WHOLE))

    def _kicks(self, end: int) -> list[int]:
        """Return the kicks of the `_STEPS` steps before `end`."""
        source, destination = self._pair
        start = end - _STEPS
        first = start // _KICKS
        kicks: list[int] = []
        for block in range(first, (end - 1) // _KICKS + 1):
            digest = hashlib.sha256(f"{self._seed}:{source}/{destination}:{block}".encode()).digest()
            kicks += _DIGEST.unpack(digest)
        return kicks[start - first * _KICKS : end - first * _KICKS]
