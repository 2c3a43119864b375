"""Steering a sandbox."""

from otcdesk.actions.steer_sandbox import SetClock, SetDebitSettlement, SetFault
from otcdesk.domain.conversions import ConversionTerms
from otcdesk.domain.lanes import Fault, LaneClock
from tests.support.clocks import START
from tests.support.pure import PureDesk


def test_the_clock_is_set_and_set_again() -> None:
    desk = PureDesk(world=None)
    desk.act(SetClock(offset_ms=5, frozen_at=None))
    desk.act(SetClock(offset_ms=0, frozen_at=START))
    assert desk.all(LaneClock) == [LaneClock(offset_ms=0, frozen_at=START)]


def test_a_fault_is_set_for_each_rail() -> None:
    desk = PureDesk(world=None)
    desk.act(SetFault(rail="chain", mode="refuse", delay_ms=3))
    desk.act(SetFault(rail="fiat", mode="unknown", delay_ms=0))
    desk.act(SetFault(rail="chain", mode="up", delay_ms=0))
    assert {fault.rail: fault.mode for fault in desk.all(Fault)} == {"chain": "up", "fiat": "unknown"}


def test_debit_settlement_is_a_term_of_the_lane() -> None:
    desk = PureDesk(world=None)
    desk.act(SetDebitSettlement(after_ms=None))
    desk.act(SetDebitSettlement(after_ms=7))
    assert [terms.debit_settles_after_ms for terms in desk.all(ConversionTerms)] == [7]
