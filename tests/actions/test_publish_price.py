"""Prices put in force."""

from datetime import timedelta
from decimal import Decimal

from otcdesk.actions.publish_price import PublishPrice, SetPrice, SwitchFeed
from otcdesk.domain.commands import Command
from otcdesk.domain.pricing import Price
from otcdesk.errors import Code
from tests.support.pure import PureDesk

PAIR = {"source_asset": "EUR", "destination_asset": "USDC"}


def test_a_feeds_price_is_kept_as_of_now() -> None:
    desk = PureDesk()
    now = desk.clock.advance(seconds=5)
    reply = desk.act(PublishPrice(**PAIR, rate=Decimal("1.1"), feed="kraken", stale_after_ms=2_000))
    assert reply.price == desk.get(Price, ("EUR", "USDC"))
    assert (reply.price.feed_rate, reply.price.feed_source, reply.price.feed_at) == (Decimal("1.1"), "kraken", now)
    assert reply.price.market(now + timedelta(seconds=2)) is not None
    assert reply.price.market(now + timedelta(seconds=2, microseconds=1)) is None


def test_a_set_price_wins_for_a_while_and_the_feed_goes_on_beneath() -> None:
    desk = PureDesk()
    desk.act(SetPrice(**PAIR, rate=Decimal("1.2"), lasts_seconds=10), caller="op")
    price = desk.act(PublishPrice(**PAIR, rate=Decimal("1.1"), feed="feed", stale_after_ms=None)).price
    now = desk.clock.now()
    market = price.market(now + timedelta(seconds=10, microseconds=-1))
    assert (market.value, market.source, market.at) == (Decimal("1.2"), "operator op", now)
    assert price.market(now + timedelta(seconds=10)).value == Decimal("1.1")


def test_a_feed_is_switched_off_and_on() -> None:
    desk = PureDesk()
    assert desk.act(SwitchFeed(**PAIR, up=False)).price.market(desk.clock.now()) is None
    assert desk.act(SwitchFeed(**PAIR, up=True)).price.market(desk.clock.now()) is not None


def test_a_pair_that_is_not_priced_is_refused() -> None:
    unknown = {"source_asset": "USDC", "destination_asset": "GBP"}
    commands: tuple[Command, ...] = (
        PublishPrice(**unknown, rate=Decimal(1), feed="f", stale_after_ms=None),
        SetPrice(**unknown, rate=Decimal(1), lasts_seconds=1),
        SwitchFeed(**unknown, up=True),
    )
    for command in commands:
        assert PureDesk().refuse(command) is Code.PRICE_NOT_FOUND
