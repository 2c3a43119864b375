"""Which price is in force, to the microsecond."""

from datetime import timedelta
from decimal import Decimal

from otcdesk.domain.pricing import Price
from tests.support.clocks import START

MICROSECOND = timedelta(microseconds=1)
FEED = Price(
    source_asset="EUR",
    destination_asset="USDC",
    feed_rate=Decimal("1.0842"),
    feed_source="feed",
    feed_at=START,
    stale_after_ms=5_000,
)
SET = FEED.with_(set_rate=Decimal("1.09"), set_by="operator", set_at=START, set_until=START + timedelta(seconds=30))


def test_no_feed_no_price() -> None:
    assert Price(source_asset="EUR", destination_asset="USDC").market(START) is None


def test_a_feed_is_in_force_until_it_is_stale() -> None:
    edge = START + timedelta(seconds=5)
    market = FEED.market(edge)
    assert market is not None
    assert (market.value, market.source, market.at) == (Decimal("1.0842"), "feed", START)
    assert FEED.market(edge + MICROSECOND) is None


def test_a_feed_without_a_limit_never_goes_stale() -> None:
    assert FEED.with_(stale_after_ms=None).market(START + timedelta(days=3_650)) is not None


def test_a_feed_that_is_down_gives_no_price() -> None:
    assert FEED.with_(feed_up=False).market(START) is None


def test_the_operators_price_wins_until_its_end_and_not_at_it() -> None:
    until = START + timedelta(seconds=30)
    fresh = SET.with_(feed_at=until)
    before = fresh.market(until - MICROSECOND)
    assert before is not None
    assert (before.value, before.source) == (Decimal("1.09"), "operator operator")
    at_its_end = fresh.market(until)
    assert at_its_end is not None
    assert at_its_end.source == "feed"


def test_the_operators_price_needs_no_feed() -> None:
    assert SET.with_(feed_up=False).market(START) is not None
    assert SET.with_(feed_rate=None, feed_at=None).market(START) is not None


def test_when_the_operators_price_ends_a_stale_feed_is_still_stale() -> None:
    assert SET.market(START + timedelta(seconds=30)) is None
