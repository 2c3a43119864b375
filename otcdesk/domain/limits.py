"""Limits: how much of an asset a tenant or a party may turn over, and how much of that is used up."""

from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from otcdesk.domain.noun import Noun

#: What a limit bounds, in the order in which it is checked.
OF_ORDER: Final = "order"
OF_DAY: Final = "day"
OF_MONTH: Final = "month"
BOUNDS: Final = (OF_ORDER, OF_DAY, OF_MONTH)


class Left(NamedTuple):
    """What a bound (of an order, a day or a month) leaves, in units; never less than 0."""

    bound: str
    units: int


class Limit(Noun, frozen=True, kw_only=True, gc=False):
    """How much of an asset a tenant or a party may turn over, in units; None: any amount.

    What counts is the source of every order that becomes binding, when it does, and it stays counted whatever becomes
    of the order. `day` and `month` (business time, UTC, as in 2026-11-22 and 2026-11) say of when the two sums are.
    """

    subject_id: UUID
    asset: str
    order_units_max: int | None = None
    day_units_max: int | None = None
    month_units_max: int | None = None
    day: str = ""
    day_units: int = 0
    month: str = ""
    month_units: int = 0

    @property
    def key(self) -> tuple[UUID, str]:
        """Return whose limit it is, and of which asset."""
        return self.subject_id, self.asset

    @property
    def bounds(self) -> tuple[int | None, int | None, int | None]:
        """Return what bounds an order, a day and a month."""
        return self.order_units_max, self.day_units_max, self.month_units_max

    def at(self, now: datetime) -> "Limit":
        """Return the limit with the sums of a time's day and month.

        A clock that was set back opens no day anew: what comes counts for the latest day and month that were counted.
        """
        today = now.astimezone(UTC)
        day, month = max(self.day, f"{today:%Y-%m-%d}"), max(self.month, f"{today:%Y-%m}")
        return self.with_(
            day=day,
            day_units=self.day_units if day == self.day else 0,
            month=month,
            month_units=self.month_units if month == self.month else 0,
        )

    def left(self) -> list[Left]:
        """Return what each bound that is set leaves of its sum."""
        counted = (0, self.day_units, self.month_units)
        return [
            Left(bound, max(most - sum_, 0))
            for bound, most, sum_ in zip(BOUNDS, self.bounds, counted, strict=True)
            if most is not None
        ]

    def counting(self, units: int) -> "Limit":
        """Return the limit with so much more in its sums."""
        return self.with_(day_units=self.day_units + units, month_units=self.month_units + units)

    def allows_more_than(self, other: "Limit") -> bool:
        """Tell whether any of the bounds is higher than another limit's."""
        return any(
            theirs is not None and (ours is None or ours > theirs)
            for ours, theirs in zip(self.bounds, other.bounds, strict=True)
        )
