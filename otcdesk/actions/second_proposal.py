"""Carry out, as the second person, what a first one has proposed, or take it back.

What is carried out is the command that was kept, by the action that was asked for then, which decides everything anew:
an account that no longer covers it or a rate that is now too far from the market refuses it as it would the first time.
A refusal leaves the proposal as it was.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from otcdesk.actions.adjust_payout import AdjustPayout, PayoutAdjusted, adjust_payout
from otcdesk.actions.approve_conversion import ApprovalReply, ApproveConversion, approve_conversion
from otcdesk.actions.four_eyes import check_duty, text_of
from otcdesk.actions.move_value import Adjust, Booked, Deposit, Withdraw, adjust, deposit, withdraw
from otcdesk.actions.order_checks import order_by_the_clock
from otcdesk.actions.set_fees import SetDeskFees, TermsReply, set_desk_fees
from otcdesk.actions.set_guards import (
    GuardReply,
    GuardTermsReply,
    SetGuard,
    SetGuardTerms,
    set_guard,
    set_guard_terms,
)
from otcdesk.actions.set_limit import LimitReply, SetLimit, set_limit
from otcdesk.actions.set_spread import SetSpread, SpreadReply, set_spread
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.orders import Order
from otcdesk.domain.proposals import OPEN, PROPOSAL, SECOND, WITHDRAW, Proposal
from otcdesk.errors import Code, Refusal


class Proposable(msgspec.Struct, frozen=True):
    """A command that may wait for a second person, the action that carries it out, and what that answers."""

    command: type[Command]
    action: Callable[[Any, Books, Moment], Reply]
    reply: type[Reply]


#: Everything that `second_needed` is asked for, by the name of the action.
PROPOSABLE: Final[Mapping[str, Proposable]] = {
    action.__name__: Proposable(command, action, reply)
    for command, action, reply in (
        (ApproveConversion, approve_conversion, ApprovalReply),
        (Deposit, deposit, Booked),
        (Withdraw, withdraw, Booked),
        (Adjust, adjust, Booked),
        (AdjustPayout, adjust_payout, PayoutAdjusted),
        (SetDeskFees, set_desk_fees, TermsReply),
        (SetGuard, set_guard, GuardReply),
        (SetGuardTerms, set_guard_terms, GuardTermsReply),
        (SetLimit, set_limit, LimitReply),
        (SetSpread, set_spread, SpreadReply),
    )
}


class SecondProposal(Command, frozen=True, kw_only=True):
    """Carry out a proposal as its second person, and why."""

    proposal_id: UUID
    why: str = ""


class WithdrawProposal(Command, frozen=True, kw_only=True):
    """Take a proposal back, or as another person turn it down, and why."""

    proposal_id: UUID
    why: str = ""


class ProposalSeconded(Reply, frozen=True, kw_only=True):
    """The proposal as it was carried out, and as JSON what its action has answered."""

    proposal: Proposal
    answer: str

    def answered(self) -> Reply:
        """Return what the action has answered."""
        return msgspec.json.decode(self.answer, type=PROPOSABLE[self.proposal.verb].reply)


class ProposalWithdrawn(Reply, frozen=True, kw_only=True):
    """The proposal that nobody can carry out any more."""

    proposal: Proposal


def second_proposal(command: SecondProposal, books: Books, moment: Moment) -> ProposalSeconded:
    """Carry out what another person has proposed.

    Refuses, in this order: PROPOSAL_NOT_FOUND, DUTY_MISSING (the proposal's own duty), PROPOSAL_OVER, SAME_PERSON,
    PROPOSAL_STALE, and then whatever the proposed action refuses.
    """
    proposal = _waiting(books, moment, command.proposal_id)
    if moment.caller == proposal.proposed_by:
        raise Refusal(Code.SAME_PERSON)
    kept, proposable = _kept_command(books, moment, proposal)
    seconded = proposal.with_(
        state=PROPOSAL.move(proposal.state, SECOND),
        decided_by=moment.caller,
        decided_at=moment.now,
        decided_why=command.why,
    )
    books.put(seconded)
    reply = proposable.action(kept, books, msgspec.structs.replace(moment, proposed=proposal))
    return ProposalSeconded(proposal=seconded, answer=text_of(reply))


def withdraw_proposal(command: WithdrawProposal, books: Books, moment: Moment) -> ProposalWithdrawn:
    """Take a proposal back; the first person and whoever may second it can.

    Refuses, in this order: PROPOSAL_NOT_FOUND, DUTY_MISSING (the proposal's own duty), PROPOSAL_OVER.
    """
    proposal = _waiting(books, moment, command.proposal_id)
    withdrawn = proposal.with_(
        state=PROPOSAL.move(proposal.state, WITHDRAW),
        decided_by=moment.caller,
        decided_at=moment.now,
        decided_why=command.why,
    )
    books.put(withdrawn)
    return ProposalWithdrawn(proposal=withdrawn)


def _waiting(books: Books, moment: Moment, proposal_id: UUID) -> Proposal:
    """Return a proposal that still waits."""
    proposal = books.find(Proposal, proposal_id)
    if proposal is None:
        raise Refusal(Code.PROPOSAL_NOT_FOUND)
    check_duty(moment, proposal.duty)
    state = proposal.state_at(moment.arrived_at)
    if state != OPEN:
        raise Refusal(Code.PROPOSAL_OVER, state=state)
    return proposal


def _kept_command(books: Books, moment: Moment, proposal: Proposal) -> tuple[Command, Proposable]:
    """Return what was proposed and how it is carried out; refuses PROPOSAL_STALE where its order has moved on.

    What another version of the program has kept, and this one does not understand, is stale as well.
    """
    if proposal.subject_version is not None:
        order = books.find(Order, proposal.subject_id)
        if order is None or order_by_the_clock(books, moment, order).version != proposal.subject_version:
            raise Refusal(Code.PROPOSAL_STALE, proposal_id=str(proposal.id))
    try:
        proposable = PROPOSABLE[proposal.verb]
        return msgspec.json.decode(proposal.command, type=proposable.command), proposable
    except (KeyError, msgspec.ValidationError):
        raise Refusal(Code.PROPOSAL_STALE, proposal_id=str(proposal.id)) from None
