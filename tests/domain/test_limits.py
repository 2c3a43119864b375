"""A limit: what it leaves, what counts for which day, and which of two allows more."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from otcdesk.domain.limits import BOUNDS, Left, Limit

SOMEBODY = UUID(int=1)
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def limit(*bounds: int | None, **fields: object) -> Limit:
    names = [f"{bound}_units_max" for bound in BOUNDS]
    return Limit(subject_id=SOMEBODY, asset="EUR", **dict(zip(names, bounds, strict=True)), **fields)  # type: ignore[arg-type]


def test_a_bound_leaves_what_is_not_used_up_and_never_less_than_nothing() -> None:
    used = limit(10, 20, 30, day="2026-11-30", day_units=5, month="2026-11", month_units=40)
    assert used.left() == [Left("order", 10), Left("day", 15), Left("month", 0)]
    assert limit(None, None, 30).left() == [Left("month", 30)]
    assert limit(None, None, None).left() == []


def test_what_was_counted_yesterday_counts_for_the_month_only_and_last_month_for_nothing() -> None:
    counted = limit(None, 100, 100).at(NOON).counting(7)
    assert (counted.day, counted.day_units, counted.month, counted.month_units) == ("2026-11-30", 7, "2026-11", 7)
    last = counted.at(NOON + timedelta(hours=11, minutes=59))
    assert (last.day_units, last.month_units) == (7, 7)
    following = counted.at(NOON + timedelta(hours=12))
    assert (following.day, following.day_units, following.month, following.month_units) == (
        "2026-12-01",
        0,
        "2026-12",
        0,
    )
    earlier = limit(None, 100, 100).at(NOON - timedelta(days=1)).counting(3).at(NOON)
    assert (earlier.day_units, earlier.month_units) == (0, 3)


def test_days_are_those_of_utc() -> None:
    late = datetime(2026, 11, 30, 20, tzinfo=timezone(timedelta(hours=-5)))
    assert limit(None, 1, 1).at(late).day == "2026-12-01"


def test_a_clock_that_was_set_back_opens_no_day_anew() -> None:
    counted = limit(None, 100, 100).at(NOON + timedelta(days=1)).counting(7)
    back = counted.at(NOON)
    assert (back.day, back.day_units, back.month, back.month_units) == ("2026-12-01", 7, "2026-12", 7)


@pytest.mark.parametrize(
    "ours, theirs, more",
    [
        ((10, 20, 30), (10, 20, 30), False),
        ((9, 20, 30), (10, 20, 30), False),
        ((11, 20, 30), (10, 20, 30), True),
        ((1, 1, None), (10, 20, 30), True),
        ((10, 20, 30), (None, None, None), False),
        ((None, None, None), (None, None, None), False),
        ((1, 21, 1), (10, 20, 30), True),
    ],
)
def test_a_limit_allows_more_if_any_of_its_bounds_does(
    ours: tuple[int | None, ...], theirs: tuple[int | None, ...], more: bool
) -> None:
    assert limit(*ours).allows_more_than(limit(*theirs)) is more
