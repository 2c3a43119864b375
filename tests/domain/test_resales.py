"""Resale: every move of its machines, who is above whom, and how what is paid is divided."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otcdesk.domain import resales as r
from otcdesk.domain.orders import BUY, SELL
from otcdesk.domain.world_resales import FEE_PERCENT_MAX
from otcdesk.machine import IllegalMove
from otcdesk.money import Amount, Asset
from tests.support.estate import N, T, estate_desk, listed

VUSD = Asset("VUSD", 6)
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

_BUYING = {
    ("created", r.PLACE): "pending",
    ("pending", r.COMPLETE): "completed",
    ("pending", r.FAIL): "failed",
}
MOVES = {
    SELL: {
        ("created", r.PLACE): "pending",
        ("pending", r.ACTIVATE): "active",
        ("pending", r.FAIL): "failed",
        ("active", r.TAKE): "active",
        ("active", r.COMPLETE): "completed",
        ("active", r.WITHDRAW): "withdrawing",
        ("active", r.CANCEL): "cancelled",
        ("active", r.REJECT): "cancelled",
        ("active", r.EXPIRE): "expired",
        ("withdrawing", r.TAKE): "withdrawing",
        ("withdrawing", r.CANCEL): "cancelled",
        ("withdrawing", r.RESUME): "active",
    },
    BUY: _BUYING,
    r.BURN: _BUYING,
    r.BID: {
        **{move: state for move, state in _BUYING.items() if move[0] != "created"},
        ("created", r.PLACE): "active",
        ("active", r.ACCEPT): "pending",
        ("active", r.DECLINE): "declined",
        ("active", r.CANCEL): "cancelled",
        ("active", r.EXPIRE): "expired",
    },
}
STATES = sorted({one for moves in MOVES.values() for (before, _), after in moves.items() for one in (before, after)})
EVENTS = sorted({event for moves in MOVES.values() for _, event in moves})


@pytest.mark.parametrize("side, state, event", list(product(MOVES, STATES, EVENTS)))
def test_every_state_and_event(side: str, state: str, event: str) -> None:
    expected = MOVES[side].get((state, event))
    if expected is None:
        with pytest.raises(IllegalMove):
            r.RESALES.machines[side].move(state, event)
    else:
        assert r.RESALES.machines[side].move(state, event) == expected


def test_its_ends_are_where_nothing_leaves() -> None:
    assert set().union(*(machine.ends for machine in r.RESALES.machines.values())) == r.RESALES.ended


def test_only_what_is_active_runs_out() -> None:
    desk = estate_desk()
    order = listed(desk)
    assert order.due_at == order.expires_at == order.created_at + timedelta(days=31)
    for state in STATES:
        overdue = order.with_(state=state, due_at=AT)
        if state == "active":
            assert r.RESALES.overdue_event(overdue, AT) == "expire"
            assert r.RESALES.overdue_event(overdue, AT - timedelta(microseconds=1)) is None
        else:
            assert state not in r.RESALES.overdue
    withdrawing = r.moved(order, r.WITHDRAW, AT)
    assert (withdrawing.due_at, withdrawing.ended_at) == (None, None)
    assert r.moved(order, r.CANCEL, AT).ended_at == AT


@pytest.mark.parametrize(
    "path, other, reached",
    [
        ("1", "1", True),
        ("1", "1.4", True),
        ("1", "1.4.2", True),
        ("1", "12", False),
        ("1.4", "1", False),
        ("1.4", "1.42", False),
        ("1.2", "1.3", False),
    ],
)
def test_a_branch_reaches_itself_and_what_is_below(path: str, other: str, reached: bool) -> None:
    assert r.reaches(path, other) is reached


def test_a_branch_has_one_account_for_each_purpose_and_asset() -> None:
    asked = list(product((N, T), (r.FUNDS, r.INVENTORY, r.UNSOLD, r.ESCROW, r.FEES), ("VUSD", "EXT")))
    assert len({r.branch_account_id(*each) for each in asked}) == len(asked)


# -- how what is paid is divided -----------------------------------------------------------------------------------

_PERCENTS = st.decimals(0, FEE_PERCENT_MAX, places=6).filter(lambda percent: percent < FEE_PERCENT_MAX)


def fees(of_branch: str | Decimal, of_desk: str | Decimal, market: str = r.OTC) -> tuple[r.Branch, r.ResaleTerms]:
    field = {f"{market}_fee_percent": Decimal(of_branch)}
    branch = r.Branch(id=UUID(int=1), tenant_id=UUID(int=2), number=1, path="1", name="N", **field)  # type: ignore[arg-type]
    return branch, r.ResaleTerms(**{f"{market}_fee_percent": Decimal(of_desk)})  # type: ignore[arg-type]


def divided(units: int, market: str, branch: r.Branch, terms: r.ResaleTerms) -> tuple[int, int, int]:
    parts = r.proceeds_of(Amount(units, VUSD), market, branch, terms)
    assert parts.gross == Amount(units, VUSD)
    return parts.fee.units, parts.desk_fee.units, parts.net.units


def test_the_contracts_worked_value() -> None:
    assert divided(7_000_000, r.OTC, *fees("4", "0")) == (280_000, 0, 6_720_000)


def test_each_part_is_cut_once() -> None:
    """0.5 + 0.5 hundredths of 199 are 1.99: the whole fee is 1, of which the desk's half, 0.995, is cut to nothing."""
    assert divided(199, r.OTC, *fees("0.5", "0.5")) == (1, 0, 198)
    assert divided(199, r.OTC, *fees("0", "1")) == (0, 1, 198)


@pytest.mark.parametrize("market", [r.OTC, r.SECONDARY, r.PRIMARY])
def test_each_market_has_fees_of_its_own(market: str) -> None:
    branch, terms = fees("1", "2", market)
    for other in (r.OTC, r.SECONDARY, r.PRIMARY):
        expected = (100, 200, 9_700) if other == market else (0, 0, 10_000)
        assert divided(10_000, other, branch, terms) == expected


@given(st.integers(1, 10**38), _PERCENTS, _PERCENTS)
def test_fees_are_what_fractions_say_cut_down(units: int, of_branch: Decimal, of_desk: Decimal) -> None:
    fee, desk_fee, net = divided(units, r.OTC, *fees(of_branch, of_desk))
    whole = units * (Fraction(of_branch) + Fraction(of_desk)) / 100
    assert fee + desk_fee == whole.__floor__()
    assert desk_fee == (units * Fraction(of_desk) / 100).__floor__()
    assert fee >= 0
    assert net == units - fee - desk_fee > 0
