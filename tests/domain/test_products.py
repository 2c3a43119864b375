"""Every product is found by the name that its orders carry, and its names meet no other's."""

from datetime import timedelta

import pytest

from otcdesk.domain.products import LIFECYCLES, by_the_clock, lifecycle_of
from tests.domain.test_brokerage import order
from tests.support.clocks import START


def test_every_lifecycle_stands_under_its_product() -> None:
    assert {name: lifecycle.product for name, lifecycle in LIFECYCLES.items()} == {
        "conversion": "conversion",
        "resale": "resale",
        "brokerage": "brokerage",
        "payout": "payout",
        "deposit": "deposit",
        "chain_payout": "chain_payout",
        "checkout": "checkout",
    }


def test_an_order_follows_the_lifecycle_of_its_product() -> None:
    assert lifecycle_of(order()) is LIFECYCLES["brokerage"]
    assert lifecycle_of(order().with_(product="conversion")) is LIFECYCLES["conversion"]
    with pytest.raises(KeyError):
        lifecycle_of(order().with_(product="another"))


def test_the_clock_moves_orders_of_every_product() -> None:
    late = START + timedelta(seconds=61)
    for product, start in (("brokerage", "created"), ("conversion", "quoted")):
        assert by_the_clock(order().with_(product=product, state=start), late).state == "expired"


@pytest.mark.parametrize("product", LIFECYCLES)
def test_a_lifecycle_names_only_states_of_its_machines(product: str) -> None:
    lifecycle = LIFECYCLES[product]
    states = frozenset().union(*(machine.states for machine in lifecycle.machines.values()))
    assert lifecycle.ended <= states
    assert set(lifecycle.overdue) <= states
    for side, state in lifecycle.waits_for:
        assert state in lifecycle.machines[side].states
        assert state not in lifecycle.ended
    for state, event in lifecycle.overdue.items():
        assert any(machine.allows(state, event) for machine in lifecycle.machines.values())
