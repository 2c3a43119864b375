"""What an order's state means to the people who run the desk: in which colour it is shown, and whether it needs them.

All of it is told from the lifecycles: which states there are, what the clock brings about, and where a life is over.
The table of kinds is total over them, which is checked when this module is loaded.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from otcdesk.domain import (
    brokerage,
    chain_payouts,
    checkouts,
    conversions,
    deposits,
    payouts,
    resales,
)
from otcdesk.domain.orders import BUY, Order
from otcdesk.domain.products import LIFECYCLES

# Kinds of states, each a colour of its own.
OPEN: Final = "open"  # the other side may still act, and nothing has been promised to it for good
WAITING: Final = "waiting"  # it waits for the people of the desk
UNDER_WAY: Final = "under_way"  # a rail, a chain or the clock brings the next step
DONE: Final = "done"
STOPPED: Final = "stopped"
KINDS: Final = (OPEN, WAITING, UNDER_WAY, DONE, STOPPED)

#: The kind of each state of each product.
KIND_OF: Final[Mapping[str, Mapping[str, str]]] = {
    conversions.PRODUCT: {
        conversions.QUOTED: OPEN,
        conversions.REQUOTED: OPEN,
        conversions.DEBIT_PENDING: UNDER_WAY,
        conversions.PENDING_APPROVAL: WAITING,
        conversions.COLLECTING: UNDER_WAY,
        conversions.PAYING: UNDER_WAY,
        conversions.RETURNING: UNDER_WAY,
        conversions.COMPLETED: DONE,
        conversions.CANCELLED: STOPPED,
        conversions.REJECTED: STOPPED,
        conversions.EXPIRED: STOPPED,
        conversions.FAILED: STOPPED,
    },
    brokerage.PRODUCT: {
        brokerage.CREATED: OPEN,
        brokerage.IN_PROGRESS: UNDER_WAY,
        brokerage.FINISHED: DONE,
        brokerage.FAILED: STOPPED,
        brokerage.EXPIRED: STOPPED,
    },
    payouts.PRODUCT: {
        payouts.CREATED: OPEN,
        payouts.PENDING: UNDER_WAY,
        payouts.HELD: WAITING,
        payouts.FILED: UNDER_WAY,
        payouts.CANCELLING: UNDER_WAY,
        payouts.SETTLED: DONE,
        payouts.FAILED: STOPPED,
    },
    deposits.PRODUCT: {
        deposits.CREATED: OPEN,
        deposits.PENDING: UNDER_WAY,
        deposits.SETTLED: DONE,
        deposits.FAILED: WAITING,  # it was never ours, and has to be sent back
        deposits.REFUNDED: STOPPED,
    },
    chain_payouts.PRODUCT: {
        chain_payouts.CREATED: OPEN,
        chain_payouts.PENDING: UNDER_WAY,
        chain_payouts.SETTLED: DONE,
        chain_payouts.FAILED: STOPPED,
    },
    checkouts.PRODUCT: {
        checkouts.CREATED: OPEN,
        checkouts.OPENED: OPEN,
        checkouts.CONFIRMED: UNDER_WAY,
        checkouts.SETTLED: DONE,
        checkouts.FAILED: STOPPED,
        checkouts.EXPIRED: STOPPED,
    },
    resales.PRODUCT: {
        resales.CREATED: OPEN,
        resales.PENDING: UNDER_WAY,
        resales.ACTIVE: OPEN,
        resales.WITHDRAWING: UNDER_WAY,
        resales.COMPLETED: DONE,
        resales.CANCELLED: STOPPED,
        resales.EXPIRED: STOPPED,
        resales.FAILED: STOPPED,
        resales.DECLINED: STOPPED,
    },
}


def check_total(kinds: Mapping[str, Mapping[str, str]]) -> None:
    """Raise AssertionError unless every state of every product has a kind, and nothing else has."""
    for product, lifecycle in LIFECYCLES.items():
        states = frozenset().union(*(machine.states for machine in lifecycle.machines.values()))
        if states ^ kinds.get(product, {}).keys():
            raise AssertionError(f"kinds of the states of {product}: {sorted(states ^ kinds.get(product, {}).keys())}")
    if kinds.keys() - LIFECYCLES.keys():
        raise AssertionError(f"kinds of states of no product: {sorted(kinds.keys() - LIFECYCLES.keys())}")


check_total(KIND_OF)


class Place(NamedTuple):
    """Where an order can be: a state of one side of a product."""

    product: str
    side: str
    state: str

    @property
    def text(self) -> str:
        """Return the three as the queries compare them."""
        return " ".join(self)


#: Every place of every lifecycle.
PLACES: Final = frozenset(
    Place(product, side, state)
    for product, lifecycle in LIFECYCLES.items()
    for side, machine in lifecycle.machines.items()
    for state in machine.states
)

#: The places of orders that are not over.
OPEN_PLACES: Final = frozenset(place for place in PLACES if place.state not in LIFECYCLES[place.product].ended)

#: Where the clock takes an order that is overdue in a place.
AFTER_THE_CLOCK: Final[Mapping[Place, Place]] = {
    place: place._replace(state=LIFECYCLES[place.product].machines[place.side].move(place.state, event))
    for place in PLACES
    if (event := LIFECYCLES[place.product].overdue.get(place.state)) is not None
    and LIFECYCLES[place.product].machines[place.side].allows(place.state, event)
}

#: What is to be done about an order, by product and state, as long as it stays there.
TO_DO: Final[Mapping[tuple[str, str], str]] = {
    (conversions.PRODUCT, conversions.PENDING_APPROVAL): "waits to be approved",
    (payouts.PRODUCT, payouts.HELD): "is held, to be looked into",
    (deposits.PRODUCT, deposits.FAILED): "is to be sent back",
}

#: And of one that waits for no rail that answers by itself.
BY_PEOPLE: Final[Mapping[str, str]] = {
    payouts.BY_HAND: "is to be paid by hand",
    payouts.BANK_FILE: "is to be put into a file for the bank",
}

#: A debit that no clock settles waits for word of the bank.
UNSETTLED_DEBIT: Final = Place(conversions.PRODUCT, BUY, conversions.DEBIT_PENDING)
NO_WORD: Final = "waits for word of its debit"

JOB_FAILED: Final = "has a job that failed on its chain"

#: A rail that has not brought an order's next step for so long is looked after by somebody.
LASTING: Final = timedelta(minutes=5)

#: The places that are to be done something about.
TO_DO_PLACES: Final = frozenset(place for place in PLACES if (place.product, place.state) in TO_DO)


def stored_as(places: Iterable[Place]) -> frozenset[Place]:
    """Return every place in which an order may be stored that is in one of these by the clock."""
    wanted = frozenset(places)
    return wanted | {place for place, after in AFTER_THE_CLOCK.items() if after in wanted}


def overdue_into(places: Iterable[Place]) -> frozenset[Place]:
    """Return the places from which the clock takes an order to one of these."""
    wanted = frozenset(places)
    return frozenset(place for place, after in AFTER_THE_CLOCK.items() if after in wanted)


def kind_of(order: Order) -> str:
    """Return the kind of the state of an order by the clock."""
    return KIND_OF[order.product][order.state]


def words(state: str) -> str:
    """Return a state, side or product as it is read."""
    return state.replace("_", " ")


def attention_of(order: Order, now: datetime, *, job_failed: bool) -> str | None:
    """Return why an order by the clock needs somebody of the desk at `now`; None if it does not."""
    if (order.product, order.state) in TO_DO:
        return TO_DO[order.product, order.state]
    if Place(order.product, order.side, order.state) == UNSETTLED_DEBIT and order.due_at is None:
        return NO_WORD
    if order.waits_for is not None and order.waits_for in BY_PEOPLE:
        return BY_PEOPLE[order.waits_for]
    if order.waits_for is not None and order.updated_at <= now - LASTING:
        return f"has waited long for its {words(order.waits_for)}"
    return JOB_FAILED if job_failed else None
