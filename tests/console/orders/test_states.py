"""Every state of every lifecycle has a kind, and what the clock does to it is told from the lifecycle."""

from datetime import timedelta

import pytest

from otcdesk.console.orders.states import (
    AFTER_THE_CLOCK,
    KIND_OF,
    KINDS,
    OPEN_PLACES,
    PLACES,
    STOPPED,
    TO_DO,
    WAITING,
    Place,
    attention_of,
    check_total,
    overdue_into,
    stored_as,
)
from otcdesk.domain.conversions import PRODUCT as CONVERSION
from otcdesk.domain.products import LIFECYCLES
from tests.domain.test_brokerage import order
from tests.support.clocks import START


def test_each_state_of_each_lifecycle_has_a_kind() -> None:
    walked = {
        (product, state)
        for product, lifecycle in LIFECYCLES.items()
        for machine in lifecycle.machines.values()
        for state in machine.states
    }
    assert walked == {(product, state) for product, kinds in KIND_OF.items() for state in kinds}
    assert {kind for kinds in KIND_OF.values() for kind in kinds.values()} == set(KINDS)


@pytest.mark.parametrize(
    "change",
    [
        {CONVERSION: {state: kind for state, kind in KIND_OF[CONVERSION].items() if state != "paying"}},
        {CONVERSION: {**KIND_OF[CONVERSION], "unheard_of": STOPPED}},
        {"loan": {"lent": STOPPED}},
    ],
    ids=["a state is missing", "a state too many", "no product"],
)
def test_a_table_that_is_not_total_is_refused(change: dict[str, dict[str, str]]) -> None:
    with pytest.raises(AssertionError):
        check_total({**KIND_OF, **change})


def test_what_waits_for_people_says_what_is_to_be_done() -> None:
    assert TO_DO.keys() == {
        (product, state) for product, kinds in KIND_OF.items() for state, kind in kinds.items() if kind == WAITING
    }


def test_what_is_over_is_not_open_and_the_clock_leads_where_the_lifecycle_says() -> None:
    for place in PLACES:
        lifecycle = LIFECYCLES[place.product]
        assert (place in OPEN_PLACES) is (place.state not in lifecycle.ended)
        if place in AFTER_THE_CLOCK:
            event = lifecycle.overdue[place.state]
            assert AFTER_THE_CLOCK[place].state == lifecycle.machines[place.side].move(place.state, event)
    expired = Place("conversion", "buy", "expired")
    assert overdue_into({expired}) == {expired._replace(state=state) for state in ("quoted", "requoted")}
    assert stored_as({expired}) == overdue_into({expired}) | {expired}


@pytest.mark.parametrize(
    "fields, job_failed, why",
    [
        ({"state": "pending_approval"}, False, "waits to be approved"),
        ({"state": "debit_pending"}, False, "waits for word of its debit"),
        ({"state": "debit_pending", "due_at": START + timedelta(days=1)}, False, None),
        ({"state": "paying", "waits_for": "chain"}, False, "has waited long for its chain"),
        ({"state": "paying", "waits_for": "chain", "updated_at": START + timedelta(minutes=56)}, False, None),
        ({"state": "completed"}, False, None),
        ({"state": "completed"}, True, "has a job that failed on its chain"),
    ],
)
def test_an_order_says_why_it_needs_somebody(fields: dict[str, object], job_failed: bool, why: str | None) -> None:
    one = order().with_(product=CONVERSION, **{"due_at": None, **fields})
    assert attention_of(one, START + timedelta(hours=1), job_failed=job_failed) == why
