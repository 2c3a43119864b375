"""Every product that the desk deals in, and the lifecycle of its orders."""

from datetime import datetime

from otcdesk.domain.brokerage import BROKERAGE
from otcdesk.domain.chain_payouts import CHAIN_PAYOUTS
from otcdesk.domain.checkouts import CHECKOUTS
from otcdesk.domain.conversions import CONVERSIONS
from otcdesk.domain.deposits import DEPOSITS
from otcdesk.domain.lifecycles import Lifecycle
from otcdesk.domain.orders import Order
from otcdesk.domain.payouts import PAYOUTS
from otcdesk.domain.resales import RESALES

LIFECYCLES: dict[str, Lifecycle] = {
    lifecycle.product: lifecycle
    for lifecycle in (CONVERSIONS, BROKERAGE, PAYOUTS, DEPOSITS, CHAIN_PAYOUTS, CHECKOUTS, RESALES)
}


def lifecycle_of(order: Order) -> Lifecycle:
    """Return the lifecycle that an order follows."""
    return LIFECYCLES[order.product]


def by_the_clock(order: Order, at: datetime) -> Order:
    """Return an order of any product in the state that it has at `at`."""
    return lifecycle_of(order).by_the_clock(order, at)
