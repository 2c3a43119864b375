"""A branch lets parties trade with each other over the counter, or no longer."""

import pytest

from otcdesk.actions.switch_negotiation import SwitchNegotiation
from otcdesk.domain.resales import Branch, Mandate
from otcdesk.errors import Code
from tests.support.trading import N2, NOBODY, ROOT, N, TradingDesk


@pytest.mark.parametrize("is_open", [True, False])
def test_it_is_as_it_was_switched_last(is_open: bool) -> None:
    desk = TradingDesk(trades=False)
    assert not desk.get(Branch, N).parties_trade
    for _ in range(2):
        assert desk.tell(SwitchNegotiation(branch_id=N, is_open=is_open, mandate=ROOT)).branch == desk.get(Branch, N)
        assert desk.get(Branch, N).parties_trade == is_open
    assert not desk.get(Branch, N2).parties_trade


def test_refusals_in_their_order() -> None:
    desk = TradingDesk(trades=False)
    nothing = Mandate("1", permitted=False)
    assert desk.refused(SwitchNegotiation(branch_id=NOBODY, is_open=True, mandate=nothing)) is Code.BRANCH_NOT_FOUND
    for mandate in (nothing, Mandate("1.2", permitted=True)):
        assert desk.refused(SwitchNegotiation(branch_id=N, is_open=True, mandate=mandate)) is Code.NOT_PERMITTED
