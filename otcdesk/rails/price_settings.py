"""Where the desk's market rates come from: the `[price_feed]` table of a TOML file, and the source that it asks for."""

from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from otcdesk.clock import Clock
from otcdesk.money import parse_rate
from otcdesk.rails.http_prices import Feed, HttpPriceSource
from otcdesk.rails.protocols import PriceSource
from otcdesk.rails.simulated.prices import WalkSource

Bps = Annotated[int, Meta(ge=1, le=9_999)]


class OpenPriceSource(PriceSource, Protocol):
    """A price source that may hold connections; whoever made it closes it."""

    async def close(self) -> None:
        """Let go of what is open."""
        ...


class PriceFeedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[price_feed]`. Parse it with `msgspec.convert`: a mistake is a ValidationError that names its place.

    `pair` is (source, destination), and rates are destination per one source. `start_rate` is where a walk begins;
    for `http` it is optional and what the first reading is held against. Ten-thousandths are of the lower of two rates.
    """

    kind: Literal["none", "walk", "http"] = "none"
    pair: tuple[str, str] = ("EUR", "USDC")
    start_rate: str | None = None
    period_ms: Annotated[int, Meta(ge=100, le=600_000)] = 1_000
    stale_after_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 10_000

    # Of a walk: which one, how far it moves in one period, and how far it may get from its start.
    seed: int = 0
    step_bps: Bps = 2
    band_bps: Annotated[int, Meta(ge=1, le=5_000)] = 100

    # Of polling over HTTP. `quorum` None: more than half of the feeds. The distances suit a pair of currencies whose
    # venues differ by a few ten-thousandths, and which does not move by one per cent from one second to the next.
    feeds: Annotated[tuple[Feed, ...], Meta(max_length=16)] = ()
    quorum: Annotated[int, Meta(ge=1)] | None = None
    feed_timeout_ms: Annotated[int, Meta(ge=10, le=5_000)] = 2_000
    max_deviation_bps: Bps = 50
    max_jump_bps: Bps = 100
    jump_readings: Annotated[int, Meta(ge=1, le=100)] = 3

    def __post_init__(self) -> None:
        """Refuse settings that contradict one another."""
        if not all(self.pair) or self.pair[0] == self.pair[1]:
            raise ValueError("pair needs two different assets")
        if self.start_rate is not None and parse_rate(self.start_rate) is None:
            raise ValueError("start_rate is not a rate")
        if self.kind == "walk" and self.start_rate is None:
            raise ValueError("a walk needs a start_rate")
        if self.kind == "walk" and self.step_bps > self.band_bps:
            raise ValueError("step_bps is more than band_bps")
        if self.kind == "http" and not 1 <= self.quorum_of_feeds <= len(self.feeds):
            raise ValueError("feeds are fewer than the quorum")
        if self.kind != "none" and self.stale_after_ms <= self.reading_ms_max:
            raise ValueError("stale_after_ms must be more than period_ms and feed_timeout_ms together")

    @property
    def quorum_of_feeds(self) -> int:
        """Return how many feeds have to agree."""
        return len(self.feeds) // 2 + 1 if self.quorum is None else self.quorum

    @property
    def reading_ms_max(self) -> int:
        """Return the longest time from one good reading to the next, in milliseconds."""
        return self.period_ms + (self.feed_timeout_ms if self.kind == "http" else 0)

    @property
    def start(self) -> Decimal | None:
        """Return the start rate as a number."""
        return None if self.start_rate is None else parse_rate(self.start_rate)


def price_source_from(config: PriceFeedSettings, clock: Clock) -> OpenPriceSource | None:
    """Return the source that the settings ask for, to be closed after use; None if they ask for none."""
    if config.kind == "http":
        return HttpPriceSource(
            pair=config.pair,
            feeds=config.feeds,
            quorum=config.quorum_of_feeds,
            deviation_max_bps=config.max_deviation_bps,
            jump_max_bps=config.max_jump_bps,
            jump_readings_min=config.jump_readings,
            feed_timeout_ms=config.feed_timeout_ms,
            period_ms=config.period_ms,
            stale_after_ms=config.stale_after_ms,
            start_rate=config.start,
        )
    if config.kind == "walk":
        assert config.start is not None, "a walk's settings have a start"
        return WalkSource(
            pair=config.pair,
            start_rate=config.start,
            step_bps=config.step_bps,
            band_bps=config.band_bps,
            seed=config.seed,
            period_ms=config.period_ms,
            stale_after_ms=config.stale_after_ms,
            clock=clock,
        )
    return None
