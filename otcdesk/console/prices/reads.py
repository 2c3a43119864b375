"""The prices of a lane as people look at them: what is in force, from which layer, and how old it is."""

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from otcdesk.domain.guards import GuardTerms
from otcdesk.domain.pricing import MarketRate, Price
from otcdesk.money import bps_apart
from otcdesk.storage.database import Reads

#: Which layer is in force, and why none is.
SET, FEED = "set", "feed"
OFF, STALE, NEVER = "off", "stale", "never"


class PriceView(msgspec.Struct, frozen=True):
    """A directed pair: its price, which layer of it is in force at `now`, and the rate if there is one."""

    price: Price
    now: datetime
    market: MarketRate | None

    @property
    def layer(self) -> str:
        """Return which layer is in force; else why the feed's is not."""
        if self.market is not None:
            return SET if self.is_set else FEED
        if self.price.feed_rate is None or self.price.feed_at is None:
            return NEVER
        return STALE if self.price.feed_up else OFF

    @property
    def is_set(self) -> bool:
        """Tell whether the operator's own rate is in force."""
        until = self.price.set_until
        return self.price.set_rate is not None and until is not None and self.now < until

    @property
    def age_seconds(self) -> int | None:
        """Return how old the feed's rate is, by the lane's clock."""
        return None if self.price.feed_at is None else (self.now - self.price.feed_at) // timedelta(seconds=1)

    @property
    def is_stale(self) -> bool:
        """Tell whether the feed's rate is older than it may be."""
        price = self.price
        if price.feed_at is None or price.stale_after_ms is None:
            return False
        return self.now - price.feed_at > timedelta(milliseconds=price.stale_after_ms)

    @property
    def apart_bps(self) -> Decimal | None:
        """Return how far the operator's rate is from the feed's, in ten-thousandths of that; None unless it is set."""
        if not self.is_set or self.price.set_rate is None or not self.price.feed_rate:
            return None
        return bps_apart(self.price.set_rate, self.price.feed_rate)

    def apart_from_market(self, rate: Decimal) -> Decimal | None:
        """Return how far a rate is from what the feed last said, or else from what is set; None without either."""
        known = self.price.feed_rate or (self.market.value if self.market else None)
        return bps_apart(rate, known) if known else None


async def prices_of(reads: Reads, lane: int, now: datetime) -> list[PriceView]:
    """Return the prices of a lane at its own time."""
    prices = await reads.rows("lanes", "prices", Price, lane)
    return [PriceView(price, now, price.market(now)) for price in prices]


async def deviation_max(reads: Reads, lane: int) -> int | None:
    """Return how far a rate may be from the market, in ten-thousandths of it; None if that is not guarded."""
    terms = await reads.row("console_prices", "guard_terms", GuardTerms, lane)
    return None if terms is None else terms.deviation_bps_max
