"""What every product's lifecycle can do: move an order, tell what its deadline has brought about, name its events.

A product says only what is its own, in tables at the top of its file: a machine for each side, which states wait for
which rail, what a deadline means in which state, and where a life is over.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from otcdesk.domain.events import Event
from otcdesk.domain.orders import Order
from otcdesk.machine import Machine


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """The lifecycle of one product.

    `waits_for`: the rail whose outcome an order waits for, by side and state; such an order is a work item. Where the
    product has several rails, it is the usual one, and an order's moves say another. `overdue`:
    the event that an order's `due_at` brings about, by state. `ended`: states that carry the time of their beginning as
    the order's end.
    """

    product: str
    machines: Mapping[str, Machine]
    waits_for: Mapping[tuple[str, str], str]
    overdue: Mapping[str, str]
    ended: frozenset[str]

    def allows(self, order: Order, event: str) -> bool:
        """Tell whether the order's machine has a row for this event."""
        return self.machines[order.side].allows(order.state, event)

    def moved(self, order: Order, event: str, now: datetime, **changes: object) -> Order:
        """Return the order after `event`, one version on; `IllegalMove` where its machine has no such row."""
        state = self.machines[order.side].move(order.state, event)
        usual = {"due_at": None, "waits_for": self.waits_for.get((order.side, state))}
        return order.with_(
            state=state,
            version=order.version + 1,
            updated_at=now,
            ended_at=now if state in self.ended else None,
            **{**usual, **changes},
        )

    def overdue_event(self, order: Order, at: datetime) -> str | None:
        """Return the event that the clock has brought about by `at` though nobody recorded it yet."""
        if order.due_at is None or at < order.due_at:
            return None
        return self.overdue[order.state]

    def by_the_clock(self, order: Order, at: datetime) -> Order:
        """Return the order in the state that it has at `at`; no move comes before the one before it."""
        event = self.overdue_event(order, at)
        if event is None or order.due_at is None:
            return order
        return self.moved(order, event, max(order.due_at, order.updated_at))

    def event_name(self, move: str) -> str:
        """Return how the event of a move of the machine is called."""
        return f"{self.product}.{move}"

    def event_of(self, order: Order, move: str, caller: str, detail: str | None = None) -> Event:
        """Return the event that records an order's latest change."""
        return Event(
            order_id=order.id,
            order_version=order.version,
            tenant_id=order.tenant_id,
            name=self.event_name(move),
            state=order.state,
            caller=caller,
            detail=detail,
            happened_at=order.updated_at,
            rate=order.rate,
            destination_units=order.destination_units,
        )
