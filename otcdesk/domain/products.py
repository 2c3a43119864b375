"""Every product that the desk deals in, and the lifecycle of its orders."""

from datetime import datetime

from otcdesk.domain.brokerage import BROKERAGE
from otcdesk.domain.conversions import CONVERSIONS
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PAYOUTS

LIFECYCLES: dict[str, Lifecycle] = {lifecycle.product: lifecycle for lifecycle in (CONVERSIONS, BROKERAGE, PAYOUTS)}


def lifecycle_of(order: Order) -> Lifecycle:
    """Return the lifecycle that an order follows."""
    return LIFECYCLES[order.product]


def by_the_clock(order: Order, at: datetime) -> Order:
    """Return an order of any product in the state that it has at `at`."""
    return lifecycle_of(order).by_the_clock(order, at)
