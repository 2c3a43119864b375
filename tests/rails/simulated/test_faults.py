"""Whom a fault meets, and what it does to a request."""

import pytest

from otcdesk.domain.lanes import Fault, FaultMode
from otcdesk.rails.protocols import RailUnavailable, RailUnknown
from otcdesk.rails.simulated.faults import check_answered, check_reached, met, take_time


def hit(percent: int, requests: int = 1_000) -> set[int]:
    fault = Fault(rail="venue", mode="refuse", percent=percent)
    return {number for number in range(requests) if met(fault, "venue", f"order:{number}").mode == "refuse"}


def test_a_part_of_all_requests_meet_a_fault_always_the_same() -> None:
    assert not hit(0)
    assert len(hit(100)) == 1_000
    assert 200 < len(hit(25)) < 300
    assert hit(25) == hit(25) < hit(50)
    other = Fault(rail="tax", mode="refuse", percent=25)
    assert {n for n in range(1_000) if met(other, "tax", f"order:{n}").mode == "refuse"} != hit(25)


def test_who_is_spared_meets_no_part_of_the_fault() -> None:
    fault = Fault(rail="venue", mode="refuse", delay_ms=5, reason="not_covered", percent=0, price_bps=7)
    assert met(fault, "venue", "any") == Fault(rail="venue") == met(None, "venue", "any")


def test_a_fault_from_before_there_were_parts_meets_everybody() -> None:
    assert met(Fault(rail="chain", mode="refuse"), "chain", "any").mode == "refuse"
    assert met(Fault(rail="chain", mode="refuse", percent=None), "chain", "any").mode == "refuse"


@pytest.mark.parametrize("mode", ["up", "refuse", "unavailable", "unknown"])
def test_only_its_mode_keeps_a_rail_from_being_reached_or_heard(mode: FaultMode) -> None:
    fault = Fault(rail="fiat", mode=mode)
    if mode == "unavailable":
        with pytest.raises(RailUnavailable, match="fiat"):
            check_reached(fault)
    else:
        check_reached(fault)
    if mode == "unknown":
        with pytest.raises(RailUnknown, match="fiat"):
            check_answered(fault)
    else:
        check_answered(fault)


async def test_what_is_over_of_a_delay_is_not_waited_for_again() -> None:
    await take_time(Fault(rail="venue", delay_ms=600_000), since_ms=600_000)
