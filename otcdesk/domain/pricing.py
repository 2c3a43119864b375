"""What an asset is worth in another: prices in force and the desk's spread on them.

A price is directed: how many of the destination one of the source brings at market. There are two layers in one row:
what a feed last said, and what the operator has set until a time. The operator's wins while it lasts. A price that is
missing, switched off or stale is no price.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from otcdesk.domain.noun import Noun


class MarketRate(msgspec.Struct, frozen=True, kw_only=True):
    """A market rate with where it came from and when, as a trade keeps it."""

    value: Decimal
    source: str
    at: datetime


class Price(Noun, frozen=True, kw_only=True, gc=False):
    """The market price of one directed pair. `stale_after_ms` None means that the feed's rate never goes stale."""

    source_asset: str
    destination_asset: str
    feed_rate: Decimal | None = None
    feed_source: str = ""
    feed_at: datetime | None = None
    feed_up: bool = True
    stale_after_ms: int | None = None
    set_rate: Decimal | None = None
    set_by: str | None = None
    set_at: datetime | None = None
    set_until: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return the directed pair."""
        return self.source_asset, self.destination_asset

    def market(self, now: datetime) -> MarketRate | None:
        """Return the rate in force at `now`, or None when there is no price that may be used."""
        if self.set_rate is not None and self.set_at and self.set_until and now < self.set_until:
            return MarketRate(value=self.set_rate, source=f"operator {self.set_by}", at=self.set_at)
        if self.feed_rate is None or self.feed_at is None or not self.feed_up:
            return None
        if self.stale_after_ms is not None and now - self.feed_at > timedelta(milliseconds=self.stale_after_ms):
            return None
        return MarketRate(value=self.feed_rate, source=self.feed_source, at=self.feed_at)


class Change(NamedTuple):
    """What is in force from a time on, in ten-thousandths."""

    bps: int
    effective_from: datetime


class Spread(Noun, frozen=True, kw_only=True, gc=False):
    """What the desk keeps of the market rate for one tenant and direction, in ten-thousandths.

    `bps` was declared, or was in force before the newest change that an operator has decided: from `next_from` on,
    which may be ahead or long ago, `next_bps` is.
    """

    tenant_id: UUID
    source_asset: str
    destination_asset: str
    bps: int = 0
    next_bps: int | UnsetType | None = UNSET
    next_from: datetime | UnsetType | None = UNSET

    @property
    def key(self) -> tuple[UUID, str, str]:
        """Return the tenant and the directed pair."""
        return self.tenant_id, self.source_asset, self.destination_asset

    @property
    def change(self) -> Change | None:
        """Return the newest change, ahead or long ago; None if no operator has decided any."""
        if isinstance(self.next_bps, int) and isinstance(self.next_from, datetime):
            return Change(self.next_bps, self.next_from)
        return None

    def bps_at(self, at: datetime) -> int:
        """Return what is in force at a time."""
        change = self.change
        return self.bps if change is None or at < change.effective_from else change.bps

    def ahead(self, at: datetime) -> Change | None:
        """Return the change that is still to come at a time."""
        change = self.change
        return change if change is not None and at < change.effective_from else None
