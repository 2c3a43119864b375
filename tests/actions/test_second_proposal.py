"""Carrying out what another has proposed, and taking it back; guards are changed so and no other way."""

from typing import Any

import pytest

from otcdesk.actions.approve_conversion import ApproveConversion
from otcdesk.actions.declare_world import DeclareWorld
from otcdesk.actions.move_value import Deposit, Withdraw
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.second_proposal import SecondProposal, WithdrawProposal
from otcdesk.actions.set_guards import TERMS_SUBJECT, SetGuard, SetGuardTerms, guard_subject
from otcdesk.actions.unwind_conversion import RejectConversion
from otcdesk.domain import duties
from otcdesk.domain.acts import Act
from otcdesk.domain.duties import ADMIN, APPROVER, FINANCE, ROLES, TRADER
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.ledger import Account
from otcdesk.domain.orders import Order
from otcdesk.domain.proposals import OPEN, PROPOSAL, STALE, Proposal, ProposalNow
from otcdesk.domain.world import declaration_of, parse_world
from otcdesk.errors import Code, Refusal
from tests.support.conversions import confirmed
from tests.support.desk import CONTRACT_WORLD, FA1, TREASURY_USDC
from tests.support.four_eyes import (
    FIRST,
    GUARDED_WORLD,
    SECOND,
    approval_proposed,
    as_role,
    guarded,
    guards_of,
    proposed,
    seconded,
    with_duties,
)
from tests.support.pure import PureDesk


def refused(desk: PureDesk, proposal: Proposal, caller: str = SECOND, **how: Any) -> Code:
    return desk.refuse(SecondProposal(proposal_id=proposal.id), caller=caller, **how)


def test_nobody_is_their_own_second() -> None:
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    assert refused(desk, proposal, FIRST) is Code.SAME_PERSON
    assert seconded(desk, proposal, SECOND).proposal.decided_by == SECOND


def test_what_nobody_proposed_is_not_found() -> None:
    desk = guarded()
    for command in (SecondProposal(proposal_id=FA1), WithdrawProposal(proposal_id=FA1)):
        assert desk.refuse(command) is Code.PROPOSAL_NOT_FOUND


def test_the_second_person_must_carry_what_the_proposal_asks_for() -> None:
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    for role in (TRADER, FINANCE, ADMIN):
        for command in (SecondProposal(proposal_id=proposal.id), WithdrawProposal(proposal_id=proposal.id)):
            with pytest.raises(Refusal) as no:
                desk.act(command, caller=SECOND, in_person=as_role(role))
            assert (no.value.code, no.value.facts) == (Code.DUTY_MISSING, {"duty": duties.ORDERS_APPROVE})
    desk.act(SecondProposal(proposal_id=proposal.id, why="ok"), caller=SECOND, in_person=as_role(APPROVER))
    assert desk.get(Proposal, proposal.id).decided_why == "ok"
    (act,) = desk.all(Act)
    assert (act.verb, act.subject_id, act.caller) == ("second_proposal", proposal.id, SECOND)


def test_a_proposal_ends_once() -> None:
    desk = guarded()
    done, gone, late = [proposed(desk, Deposit(account_id=FA1, units=10**5, reason="r", reference="r")) for _ in "123"]
    seconded(desk, done)
    desk.act(WithdrawProposal(proposal_id=gone.id, why="a mistake"), caller=FIRST)
    desk.clock.advance(seconds=600)
    for proposal, state in ((done, "carried_out"), (gone, "withdrawn"), (late, "expired")):
        for command in (SecondProposal(proposal_id=proposal.id), WithdrawProposal(proposal_id=proposal.id)):
            with pytest.raises(Refusal) as no:
                desk.act(command, caller=SECOND)
            assert (no.value.code, no.value.facts) == (Code.PROPOSAL_OVER, {"state": state})
    assert desk.get(Account, FA1).balance == 1_100_000


def test_deadlines_are_judged_by_when_the_second_person_came() -> None:
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    desk.clock.advance(seconds=599)
    came = desk.clock.now()
    desk.clock.advance(seconds=2)
    desk.act(SecondProposal(proposal_id=proposal.id), caller=SECOND, arrived_at=came)


def test_the_first_person_withdraws_and_another_turns_down() -> None:
    desk = guarded()
    order = confirmed(desk)
    for caller in (FIRST, SECOND):
        proposal = approval_proposed(desk, order)
        withdrawn = desk.act(WithdrawProposal(proposal_id=proposal.id, why="no"), caller=caller).proposal
        assert (withdrawn.state, withdrawn.decided_by, withdrawn.decided_why) == ("withdrawn", caller, "no")
    assert desk.get(Order, order.id) == order


@pytest.mark.parametrize("what", ["reject", "requote"])
def test_an_order_that_moves_on_leaves_its_proposal_behind(what: str) -> None:
    desk = guarded()
    order = confirmed(desk, "sell")
    proposal = approval_proposed(desk, order)
    moving = (
        RejectConversion(order_id=order.id, reason="no") if what == "reject" else RequoteConversion(order_id=order.id)
    )
    desk.act(moving)
    assert refused(desk, proposal) is Code.PROPOSAL_STALE
    now = ProposalNow(proposal=proposal, version=desk.get(Order, order.id).version)
    assert now.state_at(desk.clock.now()) == STALE
    assert now.state_at(proposal.expires_at) == "expired"
    assert ProposalNow(proposal=proposal, version=order.version).state_at(desk.clock.now()) == OPEN


def test_what_is_not_covered_any_more_is_refused_as_the_action_refuses() -> None:
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    emptied = Withdraw(account_id=TREASURY_USDC, units=10**12, reason="r", reference="r")
    seconded(desk, proposed(desk, emptied))
    assert refused(desk, proposal) is Code.TREASURY_INSUFFICIENT
    assert desk.get(Proposal, proposal.id) == proposal


def test_an_approval_that_was_refunded_by_its_rail_needs_two_people_again() -> None:
    desk = guarded()
    order = confirmed(desk)
    seconded(desk, approval_proposed(desk, order))
    after = desk.get(Order, order.id)
    desk.put(after.with_(state="pending_approval", version=after.version + 1, waits_for=None))
    assert approval_proposed(desk, order, SECOND).subject_version == after.version + 1


def test_what_another_version_has_kept_is_stale() -> None:
    desk = guarded()
    one, two = [proposed(desk, Deposit(account_id=FA1, units=10**5, reason="r", reference="r")) for _ in "12"]
    desk.put(one.with_(verb="shuffle"))
    desk.put(two.with_(command='{"units": 100000}'))
    for proposal in (one, two):
        assert refused(desk, proposal) is Code.PROPOSAL_STALE


def test_what_the_amount_was_is_what_it_must_still_be() -> None:
    desk = guarded()
    proposal = proposed(desk, Deposit(account_id=FA1, units=10**5, reason="r", reference="r"))
    desk.put(proposal.with_(units=10**5 - 1))
    assert refused(desk, proposal) is Code.PROPOSAL_STALE


# -- guards ------------------------------------------------------------------------------------------------------------


def raising(asset: str = "EUR", units: int | None = 10**9) -> SetGuard:
    return SetGuard(asset=asset, second_from_units=units, typed_from_units=None, exposure_units_max=7, why="growth")


TERMS: Any = {"deviation_bps_max": None, "spread_change_bps_max": 5, "limits_second": False, "proposal_seconds": 60}


def test_a_world_declares_the_guards_once() -> None:
    terms, guards = guards_of(GUARDED_WORLD)
    assert terms == GuardTerms(
        deviation_bps_max=300, spread_change_bps_max=50, limits_second=True, proposal_seconds=600
    )
    assert guards == [
        Guard(asset="EUR", second_from_units=10**5, typed_from_units=50_000, exposure_units_max=10**7),
        Guard(asset="USDC", second_from_units=10**9),
    ]
    desk = PureDesk()
    assert guards_of(CONTRACT_WORLD) == (None, [])
    nothing = [Guard(asset=asset) for asset in ("EUR", "GBP", "USDC")]  # rows that exist are remembered
    assert (desk.all(Guard), desk.all(GuardTerms)) == (nothing, [GuardTerms()])
    desk.act(DeclareWorld(declaration=declaration_of(parse_world(GUARDED_WORLD))))
    guards.insert(1, Guard(asset="GBP"))
    assert (desk.all(GuardTerms), desk.all(Guard)) == ([terms], guards)
    weaker = (
        GUARDED_WORLD.replace("1000.00", "9000.00").replace("= 300", "= 900").replace('"USDC"\nsecond', '"GBP"\nsecond')
    )
    weaker = weaker.replace('second_from = "1000"', 'second_from = "5.00"')
    declared = desk.act(DeclareWorld(declaration=declaration_of(parse_world(weaker))))
    assert (declared.added, declared.changed, desk.all(GuardTerms)) == (0, 1, [terms])
    assert desk.all(Guard) == [guards[0], Guard(asset="GBP", second_from_units=500), guards[2]]


def test_a_guard_that_people_have_removed_is_not_declared_again() -> None:
    desk = guarded()
    removed = SetGuard(
        asset="EUR", second_from_units=None, typed_from_units=None, exposure_units_max=None, why="no cash any more"
    )
    seconded(desk, proposed(desk, removed))
    declared = desk.act(DeclareWorld(declaration=declaration_of(parse_world(GUARDED_WORLD))))
    assert (declared.added, declared.changed, desk.get(Guard, "EUR")) == (0, 0, Guard(asset="EUR"))


@pytest.mark.parametrize("world", [CONTRACT_WORLD, GUARDED_WORLD], ids=["the first guard", "another"])
def test_guards_are_changed_by_two_people_always(world: str) -> None:
    desk = PureDesk(world)
    before = desk.rows.get((Guard, "EUR"))
    reply = desk.act(raising(), caller=FIRST, in_person=with_duties(duties.GUARDS_SET))
    assert reply.guard == (before or Guard(asset="EUR"))
    assert desk.rows.get((Guard, "EUR")) == before
    assert (reply.proposal.subject_id, reply.proposal.why) == (guard_subject("EUR"), "growth")
    assert desk.refuse(raising(units=None), caller=SECOND) is Code.PROPOSAL_OPEN
    assert refused(desk, reply.proposal, in_person=with_duties(duties.ORDERS_APPROVE)) is Code.DUTY_MISSING
    done: Any = seconded(desk, reply.proposal).answered()
    assert done.guard == desk.get(Guard, "EUR") == Guard(asset="EUR", second_from_units=10**9, exposure_units_max=7)


def test_what_guards_the_lane_is_changed_by_two_people_always() -> None:
    for world in (CONTRACT_WORLD, GUARDED_WORLD):
        desk = PureDesk(world)
        before = desk.rows.get((GuardTerms, 1))
        reply = desk.act(SetGuardTerms(**TERMS, why="because"), caller=FIRST)
        assert reply.terms == (before or GuardTerms())
        assert (reply.proposal.subject_id, desk.rows.get((GuardTerms, 1))) == (TERMS_SUBJECT, before)
        done: Any = seconded(desk, reply.proposal).answered()
        assert done.terms == desk.get(GuardTerms, 1) == GuardTerms(**TERMS)


def test_a_guard_that_was_changed_meanwhile_is_not_changed_unseen() -> None:
    desk = guarded()
    one = proposed(desk, raising())
    desk.put(desk.get(Guard, "EUR").with_(second_from_units=1))
    assert refused(desk, one) is Code.PROPOSAL_STALE


def test_a_guard_is_of_a_listed_asset() -> None:
    assert guarded().refuse(raising("DOGE")) is Code.ASSET_NOT_FOUND


def test_guards_that_are_lowered_meanwhile_do_not_free_what_waits() -> None:
    desk = guarded()
    order = confirmed(desk)
    proposal = approval_proposed(desk, order)
    for asset in ("EUR", "USDC"):
        desk.put(Guard(asset=asset))
    assert refused(desk, proposal, FIRST) is Code.SAME_PERSON
    assert desk.act(ApproveConversion(order_id=order.id), caller=FIRST).proposal is None
    assert refused(desk, proposal) is Code.PROPOSAL_STALE


@pytest.mark.parametrize(
    "told, sentence",
    [
        ("deviation_bps_max = -1", "guards are from 0 to 10000 ten-thousandths"),
        ("spread_change_bps_max = 10001", "guards are from 0 to 10000 ten-thousandths"),
        ("proposal_seconds = 0", "a proposal waits from 1 to 604800 seconds"),
        ('assets = [{ asset = "EUR" }, { asset = "EUR" }]', "two guards are of the same asset"),
        ('assets = [{ asset = "DOGE" }]', "asset 'DOGE' is not declared"),
        ('assets = [{ asset = "EUR", second_from = "0.001" }]', "'0.001' is not an amount of EUR"),
    ],
)
def test_guards_that_make_no_sense_are_refused(told: str, sentence: str) -> None:
    world = CONTRACT_WORLD.replace("[conversions]", f"[guards]\n{told}\n\n[conversions]", 1)
    with pytest.raises(Refusal) as no:
        guards_of(world)
    assert (no.value.code, no.value.detail) == (Code.DECLARATION_INVALID, f"The world file is not valid: {sentence}")


def test_the_table_of_a_proposals_life() -> None:
    assert PROPOSAL.ends == {"carried_out", "withdrawn", "expired"}
    assert {role for role, carried in ROLES.items() if duties.GUARDS_SET in carried} == {"finance", "compliance"}
