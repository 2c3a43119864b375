"""A lane's business time."""

from datetime import timedelta

from otcdesk.domain.lanes import LaneClock
from tests.support.clocks import START


def test_business_time_is_the_machines_until_steered() -> None:
    assert LaneClock().business_time(START) == START


def test_an_offset_moves_it() -> None:
    assert LaneClock(offset_ms=-1_500).business_time(START) == START - timedelta(seconds=1.5)


def test_a_frozen_clock_stands_whatever_the_offset() -> None:
    assert LaneClock(offset_ms=5, frozen_at=START).business_time(START + timedelta(days=1)) == START
