"""Time and ids."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from otcdesk.clock import SystemClock, at_milliseconds, derived_id, iso_milliseconds, milliseconds_between
from tests.support.clocks import START, SteeredClock


def test_new_ids_are_uuids_of_version_7_with_room_for_derived_ones() -> None:
    for clock in (SystemClock(), SteeredClock()):
        for _ in range(1_000):
            made = clock.new_id()
            assert (made.version, made.variant) == (7, "specified in RFC 4122")
            assert made.int & 0xFF == 0


def test_new_ids_carry_the_time() -> None:
    before = datetime.now(UTC)
    made = SystemClock().new_id()
    after = datetime.now(UTC)
    at = at_milliseconds(made.int >> 80)
    assert before - timedelta(milliseconds=1) <= at <= after


def test_ids_of_later_milliseconds_sort_later() -> None:
    clock = SteeredClock()
    ids = []
    for _ in range(50):
        ids.append(clock.new_id())
        clock.advance(milliseconds=1)
    assert ids == sorted(ids)
    first, second = SystemClock().new_id(), SystemClock().new_id()
    assert first.int >> 80 <= second.int >> 80


def test_new_ids_differ() -> None:
    clock = SystemClock()
    assert len({clock.new_id() for _ in range(10_000)}) == 10_000


def test_derived_ids_belong_to_their_base_and_differ() -> None:
    base = SystemClock().new_id()
    derived = [derived_id(base, number) for number in range(256)]
    assert derived[0] == base
    assert len(set(derived)) == 256
    assert {one.int >> 8 for one in derived} == {base.int >> 8}
    assert all(one.version == 7 for one in derived)
    assert derived == sorted(derived)


@pytest.mark.parametrize("number", [-1, 256])
def test_a_command_makes_only_so_many_ids(number: int) -> None:
    with pytest.raises(ValueError, match="at most 256 ids"):
        derived_id(UUID(int=0), number)


def test_milliseconds_are_whole() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert milliseconds_between(start, start + timedelta(seconds=1, microseconds=999)) == 1_000
    assert milliseconds_between(start, start) == 0
    assert at_milliseconds(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert at_milliseconds(1_609_459_200_123) == datetime(2021, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)


def test_times_are_written_with_milliseconds_cut() -> None:
    assert iso_milliseconds(datetime(2026, 1, 2, 3, 4, 5, 6_999, tzinfo=UTC)) == "2026-01-02T03:04:05.006Z"


def test_a_steered_clock_moves_when_told() -> None:
    clock = SteeredClock()
    assert clock.now() == clock.now() == START
    assert clock.advance(seconds=2, milliseconds=5) == START + timedelta(seconds=2, milliseconds=5)
    clock.set(START)
    assert clock.now() == START


def test_a_seed_repeats_its_ids() -> None:
    one, two = SteeredClock(seed=7), SteeredClock(seed=7)
    assert [one.new_id() for _ in range(5)] == [two.new_id() for _ in range(5)]
