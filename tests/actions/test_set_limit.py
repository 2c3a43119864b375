"""Setting limits: lowering takes one person and raising two, where the desk says so; what is counted stays counted."""

from uuid import UUID

import msgspec
import pytest

from otcdesk.actions.set_limit import limit_id
from otcdesk.domain import duties
from otcdesk.domain.guards import GuardTerms
from otcdesk.domain.limits import Limit
from otcdesk.domain.parties import DESK_ID, Party, Tenant
from otcdesk.domain.proposals import Proposal
from otcdesk.errors import Code
from otcdesk.money import UNITS_MAX
from tests.support.brokerage import U, brokerage_desk
from tests.support.conversions import confirmed
from tests.support.desk import A, B
from tests.support.four_eyes import FIRST, SECOND, guarded, proposed, seconded
from tests.support.limits import limited, limiting, used
from tests.support.pure import PureDesk


def test_a_limit_is_set_and_its_tenant_says_that_it_has_some() -> None:
    desk = PureDesk()
    assert desk.get(Tenant, A).limited is not True
    limited(desk, A, "EUR", order=1, day=2, month=3)
    assert desk.get(Limit, (A, "EUR")).bounds == (1, 2, 3)
    assert desk.get(Tenant, A).limited is True
    assert desk.get(Tenant, B).limited is not True


def test_a_party_has_limits_of_its_own() -> None:
    desk = brokerage_desk()
    limited(desk, U, "BTC", month=3)
    assert (desk.get(Party, U).limited, desk.get(Limit, (U, "BTC")).bounds) == (True, (None, None, 3))


def test_another_setting_keeps_what_is_counted_also_one_without_bounds() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", day=250_000)
    confirmed(desk)
    for bounds in ({"day": 1}, {}, {"order": 5}):
        limited(desk, A, "EUR", **bounds)
        assert used(desk, A, "EUR") == (250_000, 250_000)
        assert desk.get(Tenant, A).limited is True


def test_the_same_again_changes_nothing() -> None:
    desk = PureDesk()
    limited(desk, A, "EUR", day=1)
    before = dict(desk.rows)
    limited(desk, A, "EUR", day=1)
    assert desk.rows == before


@pytest.mark.parametrize("nobody", [UUID(int=7), DESK_ID], ids=["nobody", "the desk"])
def test_who_is_neither_a_tenant_nor_a_party_has_no_limits(nobody: UUID) -> None:
    assert PureDesk().refuse(limiting(nobody, "XXX")) is Code.LIMIT_SUBJECT_NOT_FOUND


def test_limits_are_of_listed_assets_and_can_be_counted() -> None:
    desk = PureDesk()
    assert desk.refuse(limiting(A, "XXX", day=-1)) is Code.ASSET_NOT_FOUND
    assert desk.refuse(limiting(A, "EUR", order=-1, day=UNITS_MAX + 1)) is Code.AMOUNT_TOO_SMALL
    assert desk.refuse(limiting(A, "EUR", month=UNITS_MAX + 1)) is Code.AMOUNT_TOO_LARGE
    limited(desk, A, "EUR", order=0, month=UNITS_MAX)


# -- two people --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds", [{"order": 101, "day": 1}, {"day": 1}, {"order": 100}, {}], ids=["raised", "one removed", "other", "all"]
)
def test_raising_or_removing_a_bound_waits_for_a_second_person(bounds: dict[str, int]) -> None:
    desk = guarded()
    limited(desk, A, "EUR", order=100, day=200)
    limit = desk.get(Limit, (A, "EUR"))
    proposal = proposed(desk, limiting(A, "EUR", **bounds))
    assert (proposal.verb, proposal.duty, proposal.subject_id) == (
        "set_limit",
        duties.LIMITS_SET,
        limit_id(A, "EUR"),
    )
    assert (proposal.subject_version, proposal.asset, proposal.why) == (None, None, "risk")
    assert desk.get(Limit, (A, "EUR")) == limit
    assert seconded(desk, proposal, SECOND).answered().limit == desk.get(Limit, (A, "EUR"))  # type: ignore[attr-defined]
    assert desk.get(Limit, (A, "EUR")).bounds == (bounds.get("order"), bounds.get("day"), None)


def test_lowering_and_the_first_setting_take_one_person() -> None:
    desk = guarded()
    falling: list[dict[str, int]] = [
        {"day": 200},
        {"day": 100, "order": 50},
        {"day": 100, "order": 50, "month": 7},
        {"day": 0, "order": 50, "month": 7},
    ]
    for bounds in falling:
        limited(desk, A, "EUR", **bounds)
    assert desk.all(Proposal) == []


def test_where_the_desk_does_not_ask_for_it_nothing_waits() -> None:
    desk = guarded()
    desk.put(desk.get(GuardTerms, 1).with_(limits_second=False))
    limited(desk, A, "EUR", day=1)
    limited(desk, A, "EUR")
    assert desk.all(Proposal) == []


def test_nobody_seconds_themselves_and_one_change_of_a_limit_waits_at_a_time() -> None:
    desk = guarded()
    limited(desk, A, "EUR", day=1)
    limited(desk, A, "USDC", day=1)
    proposal = proposed(desk, limiting(A, "EUR", day=2))
    assert desk.refuse(limiting(A, "EUR", day=3)) is Code.PROPOSAL_OPEN
    assert proposed(desk, limiting(A, "USDC", day=2)).id != proposal.id
    with pytest.raises(Exception, match="SAME_PERSON"):
        seconded(desk, proposal, FIRST)


def test_a_change_of_what_was_lowered_meanwhile_is_stale() -> None:
    desk = guarded()
    limited(desk, A, "EUR", day=100)
    proposal = proposed(desk, limiting(A, "EUR", day=200))
    limited(desk, A, "EUR", day=50)
    with pytest.raises(Exception, match="PROPOSAL_STALE"):
        seconded(desk, proposal)
    assert desk.get(Limit, (A, "EUR")).day_units_max == 50


def test_orders_that_are_counted_meanwhile_do_not_make_it_stale() -> None:
    desk = guarded()
    limited(desk, A, "EUR", day=300_000)
    proposal = proposed(desk, limiting(A, "EUR", day=500_000))
    confirmed(desk)
    seconded(desk, proposal)
    assert desk.get(Limit, (A, "EUR")).day_units_max == 500_000
    assert used(desk, A, "EUR") == (250_000, 250_000)


def test_what_is_shown_are_the_bounds_before_and_after() -> None:
    desk = guarded()
    limited(desk, A, "EUR", order=1, day=2)
    seen = msgspec.json.decode(proposed(desk, limiting(A, "EUR", order=5)).seen)
    assert seen == {
        "subject": desk.get(Tenant, A).name,
        "asset": "EUR",
        "before": {"order": 1, "day": 2, "month": None},
        "after": {"order": 5, "day": None, "month": None},
    }
