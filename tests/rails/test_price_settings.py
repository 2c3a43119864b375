"""The `[price_feed]` table: what it makes, and what it refuses and how."""

import tomllib
from decimal import Decimal

import msgspec
import pytest

from otcdesk.rails.http_prices import HttpPriceSource
from otcdesk.rails.price_settings import PriceFeedSettings, price_source_from
from otcdesk.rails.simulated.prices import WalkSource
from tests.support.clocks import SteeredClock

FEEDS = """
[[feeds]]
url = "https://a.example/ticker?key=hush"
path = "$.result[0].price"
[[feeds]]
url = "https://b.example/rates"
path = "data.rates.USDC"
inverse = true
[[feeds]]
url = "https://c.example/rates"
path = "price"
"""


def settings(text: str) -> PriceFeedSettings:
    return msgspec.convert(tomllib.loads(text), PriceFeedSettings)


def test_without_settings_there_is_no_source() -> None:
    assert price_source_from(settings(""), SteeredClock(seed=1)) is None


async def test_a_walk_is_made_as_it_is_set() -> None:
    source = price_source_from(
        settings('kind = "walk"\nstart_rate = "1.0842"\nseed = 5\nperiod_ms = 500'), SteeredClock(seed=1)
    )
    assert isinstance(source, WalkSource)
    assert (source.period_ms, source.stale_after_ms) == (500, 10_000)
    assert abs((await source.read())[0].rate - Decimal("1.0842")) < Decimal("0.011")
    await source.close()


async def test_feeds_make_a_source_that_names_their_hosts_and_wants_a_majority() -> None:
    config = settings(f'kind = "http"\npair = ["GBP", "USDC"]\n{FEEDS}')
    assert config.quorum_of_feeds == 2
    source = price_source_from(config, SteeredClock(seed=1))
    assert isinstance(source, HttpPriceSource)
    assert source.name == "median of a.example, b.example, c.example"
    assert (source.period_ms, source.stale_after_ms) == (1_000, 10_000)
    await source.close()


def test_settings_can_be_shown_without_the_keys_in_their_addresses() -> None:
    shown = repr(settings(f'kind = "http"\n{FEEDS}'))
    assert "a.example" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    "text, message",
    [
        ('kind = "magic"', r"Invalid enum value 'magic' - at `\$\.kind`"),
        ("peroid_ms = 1000", "unknown field `peroid_ms`"),
        ("period_ms = 0", r"`int` >= 100 - at `\$\.period_ms`"),
        ('pair = ["EUR", "EUR"]', "pair needs two different assets"),
        ('pair = ["", "EUR"]', "pair needs two different assets"),
        ('start_rate = "1.23e4"', "start_rate is not a rate"),
        ('kind = "walk"', "a walk needs a start_rate"),
        ('kind = "walk"\nstart_rate = "1"\nstep_bps = 20\nband_bps = 10', "step_bps is more than band_bps"),
        ('kind = "walk"\nstart_rate = "1"\nperiod_ms = 10000', "stale_after_ms must be more than"),
        ('kind = "http"', "feeds are fewer than the quorum"),
        (f'kind = "http"\nquorum = 4\n{FEEDS}', "feeds are fewer than the quorum"),
        (f'kind = "http"\nstale_after_ms = 3000\n{FEEDS}', "stale_after_ms must be more than"),
        ('[[feeds]]\nurl = "ftp://hush.example/"\npath = "a"', "url needs to begin with .* - at `.*feeds"),
        ('[[feeds]]\nurl = "https:///hush"\npath = "a"', "url needs to begin with"),
        ('[[feeds]]\nurl = "https://h:hush/"\npath = "a"', "url is not an address"),
        ('[[feeds]]\nurl = "https://me:hush@a.example/"\npath = "a"', "user name or password"),
        ('[[feeds]]\nurl = "https://a.example/hush"\npath = "a..b"', r"is not understood from '\.\.b' on"),
        ('[[feeds]]\nurl = "https://a.example/hush"\npath = ""', "is not understood"),
    ],
)
def test_a_mistake_is_named_without_repeating_an_address(text: str, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message) as caught:
        settings(text)
    assert "hush" not in str(caught.value)
