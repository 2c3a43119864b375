"""What takes two people: past the guards nothing is booked, and what was proposed waits as it was shown."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from otcdesk.actions import second_proposal
from otcdesk.actions.approve_conversion import ApprovalSeen, ApproveConversion, approve_conversion
from otcdesk.actions.catalogue import CATALOGUE
from otcdesk.actions.confirm_conversion import ConfirmConversion
from otcdesk.actions.four_eyes import check_duty, second_needed
from otcdesk.actions.move_value import Adjust, BookingSeen, Deposit, Withdraw
from otcdesk.actions.publish_price import PublishPrice, SetPrice, SwitchFeed
from otcdesk.actions.quote_conversion import QuoteBuy
from otcdesk.actions.requote_conversion import RequoteConversion
from otcdesk.actions.set_fees import SetDeskFees
from otcdesk.api.operator.answers import RENDERED
from otcdesk.domain import duties
from otcdesk.domain.acts import Act, InPerson
from otcdesk.domain.commands import Moment
from otcdesk.domain.duties import APPROVER, TRADER
from otcdesk.domain.events import Event
from otcdesk.domain.ledger import Account, LedgerTransaction
from otcdesk.domain.orders import Order
from otcdesk.domain.pricing import Price
from otcdesk.domain.proposals import OpenProposal, Proposal
from otcdesk.domain.resales import ResaleTerms
from otcdesk.errors import Code, Refusal
from tests.support.conversions import OPENING, approved, balances, confirmed
from tests.support.desk import FA1, WA1, A
from tests.support.four_eyes import (
    FIRST,
    SECOND,
    approval_proposed,
    as_role,
    guarded,
    proposed,
    seconded,
    with_duties,
)
from tests.support.pure import PureDesk


def test_below_the_guards_one_person_is_enough() -> None:
    desk = guarded()
    order = approved(desk, units=92_233)
    assert (order.state, order.approved_units) == ("paying", 999_990_000)
    assert desk.all(Proposal) == []


@pytest.mark.parametrize(
    "units, stake",
    [(92_234, ("USDC", 1_000_000_000)), (100_000, ("EUR", 100_000)), (250_000, ("EUR", 250_000))],
    ids=["what is paid out", "what comes in", "both"],
)
def test_an_approval_past_a_guard_waits_and_books_nothing(units: int, stake: tuple[str, int]) -> None:
    desk = guarded()
    order = confirmed(desk, units=units)
    before = balances(desk)
    proposal = approval_proposed(desk, order)
    assert (proposal.verb, proposal.duty, proposal.state) == ("approve_conversion", duties.ORDERS_APPROVE, "open")
    assert (proposal.subject_id, proposal.subject_version) == (order.id, order.version)
    assert (proposal.asset, proposal.units) == stake
    assert (proposal.proposed_by, proposal.expires_at - proposal.proposed_at) == (FIRST, timedelta(seconds=600))
    assert (proposal.decided_by, proposal.decided_at) == (None, None)
    assert balances(desk) == before
    assert desk.get(Order, order.id) == order
    assert desk.get(OpenProposal, order.id).proposal_id == proposal.id


def test_what_waits_is_what_was_shown_with_its_rate_in_it() -> None:
    desk = guarded()
    order = confirmed(desk)
    desk.act(SetPrice(source_asset="EUR", destination_asset="USDC", rate=Decimal("1.08"), lasts_seconds=5), caller="op")
    proposal = approval_proposed(desk, order)
    command = msgspec.json.decode(proposal.command, type=ApproveConversion)
    assert command == ApproveConversion(order_id=order.id, rate=Decimal("1.08"))
    assert msgspec.json.decode(proposal.seen, type=ApprovalSeen) == ApprovalSeen(
        version=order.version,
        tenant="Customer A",
        source_asset="EUR",
        source_units=250_000,
        destination_asset="USDC",
        destination_units=2_700_000_000,
        quoted_rate=Decimal("1.0842"),
        approved_rate=Decimal("1.08"),
        slippage_bps=Decimal("-38.74"),
        market_rate=Decimal("1.08"),
        market_source="operator op",
        market_at=desk.clock.now(),
        treasury_available_before=OPENING["USDC"][0],
        treasury_available_after=OPENING["USDC"][0] - 2_700_000_000,
    )


def test_the_second_person_books_exactly_that_whatever_the_market_does() -> None:
    desk = guarded()
    order = confirmed(desk)
    proposal = approval_proposed(desk, order)
    desk.act(SetPrice(source_asset="EUR", destination_asset="USDC", rate=Decimal("1.1"), lasts_seconds=60))
    after = seconded(desk, proposal)
    answered: Any = after.answered()
    assert (answered.order.approved_rate, answered.order.approved_units) == (Decimal("1.0842"), 2_710_500_000)
    assert (answered.order.approved_by, answered.proposal) == (SECOND, None)
    assert desk.get(Order, order.id) == answered.order
    (event,) = [row for row in desk.all(Event) if row.name == "conversion.approve"]
    assert (event.caller, event.detail) == (SECOND, f"proposed by {FIRST}")
    assert (after.proposal.state, after.proposal.decided_by) == ("carried_out", SECOND)


def test_an_order_has_one_proposal_at_a_time() -> None:
    desk = guarded()
    order = confirmed(desk)
    proposal = approval_proposed(desk, order)
    with pytest.raises(Refusal) as refused:
        desk.act(ApproveConversion(order_id=order.id), caller=SECOND)
    assert (refused.value.code, refused.value.facts) == (Code.PROPOSAL_OPEN, {"proposal_id": str(proposal.id)})


def test_a_proposal_that_ran_out_makes_way() -> None:
    desk = guarded()
    order = confirmed(desk)
    old = approval_proposed(desk, order)
    desk.clock.advance(seconds=599, milliseconds=999)
    assert desk.refuse(ApproveConversion(order_id=order.id)) is Code.PROPOSAL_OPEN
    desk.clock.advance(milliseconds=1)
    new = approval_proposed(desk, order, SECOND)
    ended = desk.get(Proposal, old.id)
    assert (ended.state, ended.decided_by, ended.decided_at) == ("expired", "clock", desk.clock.now())
    assert desk.get(OpenProposal, order.id).proposal_id == new.id
    assert seconded(desk, new, FIRST).proposal.state == "carried_out"


def test_a_proposal_whose_order_moved_on_makes_way() -> None:
    desk = guarded()
    order = confirmed(desk, "sell")
    old = approval_proposed(desk, order)
    desk.act(RequoteConversion(order_id=order.id))
    desk.act(ConfirmConversion(order_id=order.id, side=order.side), owner_id=A)
    new = approval_proposed(desk, desk.get(Order, order.id))
    assert (desk.get(Proposal, old.id).state, new.subject_version) == ("expired", order.version + 2)


def test_without_guards_nothing_waits() -> None:
    desk = PureDesk()
    approved(desk)
    desk.act(Withdraw(account_id=FA1, units=100_000, reason="r", reference="r"))
    desk.act(SetDeskFees(**FEES_40))
    assert desk.all(Proposal) == []


def test_who_asks_without_a_person_needs_a_second_one_all_the_same() -> None:
    desk = guarded()
    order = confirmed(desk)
    reply = desk.act(ApproveConversion(order_id=order.id), caller="a worker", in_person=None)
    assert reply.proposal is not None
    assert desk.get(Order, order.id).state == "pending_approval"


# -- bookings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, units, change",
    [(Deposit, 100_000, 100_000), (Withdraw, 100_000, -100_000), (Adjust, -100_000, -100_000), (Adjust, 10**6, 10**6)],
    ids=["deposit", "withdraw", "adjust down", "adjust up"],
)
def test_large_bookings_wait_for_a_second_person(kind: Any, units: int, change: int) -> None:
    desk = guarded()
    command = kind(account_id=FA1, units=units, reason="wire", reference="ref 1")
    booked = desk.act(command, caller=FIRST)
    before = desk.get(Account, FA1)
    assert (booked.account, booked.transaction) == (before, None)
    assert msgspec.json.decode(booked.proposal.seen, type=BookingSeen) == BookingSeen(
        owner_id=A,
        label="A's euro account",
        purpose="cash",
        asset="EUR",
        units=change,
        balance=1_000_000,
        balance_after=1_000_000 + change,
        available=1_000_000,
        available_after=1_000_000 + change,
        reason="wire",
        reference="ref 1",
    )
    assert booked.proposal.duty == duties.BOOKINGS_MAKE
    done: Any = seconded(desk, booked.proposal).answered()
    assert done.account == desk.get(Account, FA1) == before.with_(balance=1_000_000 + change, version=2)
    assert desk.get(LedgerTransaction, done.transaction.id).caller == SECOND


def test_small_bookings_do_not_wait() -> None:
    desk = guarded()
    for command in (
        Deposit(account_id=FA1, units=99_999, reason="r", reference="r"),
        Adjust(account_id=FA1, units=-99_999, reason="r", reference="r"),
    ):
        assert desk.act(command).proposal is None


def test_bookings_of_one_account_wait_side_by_side() -> None:
    desk = guarded()
    command = Withdraw(account_id=FA1, units=600_000, reason="wire", reference="ref 1")
    one, two = proposed(desk, command), proposed(desk, command)
    assert one.id != two.id
    seconded(desk, two)
    assert desk.get(Account, FA1).balance == 400_000
    refused = second_proposal.SecondProposal(proposal_id=one.id)
    assert desk.refuse(refused, caller=SECOND) is Code.BALANCE_INSUFFICIENT
    assert desk.get(Proposal, one.id).state == "open"


def test_the_key_of_a_booking_that_waits_answers_with_its_proposal() -> None:
    desk = guarded()
    command = Deposit(account_id=FA1, units=100_000, reason="wire", reference="ref 1")
    first = desk.act(command, caller=FIRST, key="k")
    assert desk.act(command, caller=FIRST, key="k") == first
    seconded(desk, first.proposal)
    assert desk.act(command, caller=FIRST, key="k") == first
    assert desk.get(Account, FA1).balance == 1_100_000
    assert len(desk.all(Proposal)) == 1


# -- fat fingers -------------------------------------------------------------------------------------------------------

_EDGES = {"1.116726": None, "1.116727": "300.01", "1.051674": None, "1.051673": "-300.01"}


@pytest.mark.parametrize("rate", list(_EDGES))
def test_a_rate_far_from_the_market_is_refused(rate: str) -> None:
    desk = guarded()
    order = confirmed(desk, units=50_000)
    quote = desk.act(QuoteBuy(source_account_id=FA1, destination_account_id=WA1, source_units=100), owner_id=A).order
    for command in (
        ApproveConversion(order_id=order.id, rate=Decimal(rate)),
        RequoteConversion(order_id=quote.id, rate=Decimal(rate)),
    ):
        if _EDGES[rate] is None:
            desk.act(command)
            continue
        with pytest.raises(Refusal) as refused:
            desk.act(command)
        assert refused.value.code is Code.RATE_DEVIATES
        assert refused.value.facts == {"market": "1.0842", "bps": _EDGES[rate], "bps_max": "300"}


def test_without_a_market_no_rate_is_near_it() -> None:
    desk = guarded()
    order = confirmed(desk, units=50_000)
    desk.act(SwitchFeed(source_asset="EUR", destination_asset="USDC", up=False))
    for rate in (Decimal("1.0842"), None):
        assert desk.refuse(ApproveConversion(order_id=order.id, rate=rate)) is Code.PRICE_UNAVAILABLE


def test_how_far_the_rate_is_from_the_market_is_judged_again() -> None:
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    desk.act(seen_by_the_feed("1.2"))
    command = second_proposal.SecondProposal(proposal_id=proposal.id)
    assert desk.refuse(command, caller=SECOND) is Code.RATE_DEVIATES
    desk.act(seen_by_the_feed("1.09"))
    assert seconded(desk, proposal).proposal.state == "carried_out"


def test_nobody_moves_the_market_away_from_the_feed_to_approve_at_it() -> None:
    desk = guarded()
    confirmed(desk, units=50_000)
    pair: Any = {"source_asset": "EUR", "destination_asset": "USDC"}
    far, near = Decimal("1.2"), Decimal("1.11")
    desk.act(SetPrice(**pair, rate=near, lasts_seconds=60))
    for _ in range(2):  # not in steps, and neither with the feed switched off
        with pytest.raises(Refusal) as refused:
            desk.act(SetPrice(**pair, rate=far, lasts_seconds=60))
        assert refused.value.code is Code.RATE_DEVIATES
        assert refused.value.facts == {"market": "1.0842", "bps": "1068.07", "bps_max": "300"}
        desk.act(SwitchFeed(**pair, up=False))
    desk.act(seen_by_the_feed("1.3"))
    desk.act(SetPrice(**pair, rate=near, lasts_seconds=0))  # to end what is set is always allowed
    assert desk.get(Price, ("EUR", "USDC")).market(desk.clock.now()) is None


def seen_by_the_feed(rate: str) -> PublishPrice:
    return PublishPrice(
        source_asset="EUR", destination_asset="USDC", rate=Decimal(rate), feed="fixed", stale_after_ms=None
    )


# -- fees --------------------------------------------------------------------------------------------------------------

FEES: Any = {name: Decimal(1) for name in ("otc_fee_percent", "secondary_fee_percent", "primary_fee_percent")}
FEES_40: Any = {**FEES, "otc_fee_percent": Decimal(40), "fees": "{}"}


def test_a_large_change_of_the_desks_fees_waits() -> None:
    desk = guarded()
    desk.put(ResaleTerms(**FEES))
    alone = desk.act(SetDeskFees(**{**FEES, "otc_fee_percent": Decimal("1.5"), "fees": "{}"}))
    assert (alone.proposal, alone.terms.otc_fee_percent) == (None, Decimal("1.5"))
    command = SetDeskFees(**{**FEES, "otc_fee_percent": Decimal("0.999999"), "fees": "{}"})
    waits = desk.act(command, caller=FIRST)
    assert waits.terms == alone.terms
    assert desk.refuse(command, caller=SECOND) is Code.PROPOSAL_OPEN
    done: Any = seconded(desk, waits.proposal).answered()
    assert done.terms.otc_fee_percent == Decimal("0.999999")
    assert done.terms == desk.get(ResaleTerms, 1)


def test_fees_that_were_changed_meanwhile_are_not_changed_unseen() -> None:
    desk = guarded()
    desk.put(ResaleTerms(**FEES))
    proposal = proposed(desk, SetDeskFees(**FEES_40))
    desk.act(SetDeskFees(**{**FEES, "primary_fee_percent": Decimal("1.1"), "fees": "{}"}))
    command = second_proposal.SecondProposal(proposal_id=proposal.id)
    assert desk.refuse(command, caller=SECOND) is Code.PROPOSAL_STALE


# -- duties and the tables ---------------------------------------------------------------------------------------------


def test_an_action_asks_for_duties_whoever_calls_it() -> None:
    desk = guarded()
    order = confirmed(desk)
    command = ApproveConversion(order_id=order.id)
    assert desk.refuse(command, in_person=as_role(TRADER)) is Code.DUTY_MISSING
    desk.act(command, caller=FIRST, in_person=as_role(APPROVER))
    (act,) = desk.all(Act)
    assert (act.verb, act.caller, act.subject_id) == ("approve_conversion", FIRST, order.id)


def test_a_program_with_an_operators_token_carries_all_duties() -> None:
    moment = Moment(
        now=PureDesk(None).clock.now(),
        arrived_at=PureDesk(None).clock.now(),
        command_id=UUID(int=1 << 8),
        caller="operator:main",
        owner_id=A,
        in_person=InPerson(address="192.0.2.1"),
    )
    check_duty(moment, duties.GUARDS_SET)
    check_duty(msgspec.structs.replace(moment, in_person=None), duties.GUARDS_SET)
    person = msgspec.structs.replace(moment, in_person=with_duties(duties.READ))
    check_duty(person, duties.READ)
    with pytest.raises(Refusal) as refused:
        check_duty(person, duties.GUARDS_SET)
    assert (refused.value.code, refused.value.facts) == (Code.DUTY_MISSING, {"duty": duties.GUARDS_SET})


def test_what_may_be_proposed_is_in_all_tables_alike() -> None:
    for name, one in second_proposal.PROPOSABLE.items():
        verb = CATALOGUE[one.command]
        assert (verb.name, verb.action, verb.reply) == (name, one.action, one.reply)
        assert verb.duty is not None
        assert one.reply in RENDERED
        assert "proposal" in one.reply.__struct_fields__


def test_what_a_first_person_says_is_kept_with_the_proposal() -> None:
    desk = guarded()
    order = confirmed(desk)
    reply = desk.act(ApproveConversion(order_id=order.id), caller=FIRST, in_person=with_duties(duties.ORDERS_APPROVE))
    assert reply.proposal.why == "because"


def test_what_another_person_carries_out_cannot_be_something_else() -> None:
    """Whoever breaks the table of what may be proposed is stopped where the guards are asked."""
    desk = guarded()
    proposal = approval_proposed(desk, confirmed(desk))
    asked: Any = {
        "action": second_proposal.second_proposal,
        "command": ApproveConversion(order_id=proposal.subject_id),
        "duty": duties.ORDERS_APPROVE,
        "subject_id": proposal.subject_id,
        "seen": {},
    }
    moment = Moment(
        now=desk.clock.now(),
        arrived_at=desk.clock.now(),
        command_id=UUID(int=1 << 8),
        caller=SECOND,
        owner_id=A,
        proposed=proposal,
    )
    with pytest.raises(AssertionError, match="is not what proposal"):
        second_needed(None, moment, **asked)  # type: ignore[arg-type]  # no row is looked at
    with pytest.raises(AssertionError, match="have proposed themselves"):
        second_needed(None, msgspec.structs.replace(moment, caller=FIRST), **asked)  # type: ignore[arg-type]
    same = {**asked, "action": approve_conversion, "subject_version": proposal.subject_version}
    same["command"] = msgspec.json.decode(proposal.command, type=ApproveConversion)
    same["stakes"] = (("EUR", 250_000), ("USDC", 2_710_500_000))
    assert second_needed(None, moment, **same) is None  # type: ignore[arg-type]
    for other in (
        {"subject_version": order_version_after(proposal)},
        {"command": ApproveConversion(order_id=proposal.subject_id, rate=Decimal("1.0843"))},
        {"stakes": (("EUR", 250_001), ("USDC", 2_710_500_000))},
    ):
        with pytest.raises(Refusal) as refused:
            second_needed(None, moment, **{**same, **other})  # type: ignore[arg-type]
        assert refused.value.code is Code.PROPOSAL_STALE


def order_version_after(proposal: Proposal) -> int:
    return (proposal.subject_version or 0) + 1
