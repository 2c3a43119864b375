"""What a branch, and the desk, take of sales from now on; a purchase that is under way costs what it did.

A large change of what the desk takes needs a second person. What a branch takes is its tenant's own affair.
"""

from decimal import Decimal
from uuid import UUID

from otcdesk.actions.four_eyes import guard_terms, second_needed
from otcdesk.actions.resale_checks import check_mandate, found_branch, terms_of
from otcdesk.actions.switch_negotiation import BranchReply
from otcdesk.domain import duties
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.parties import declared_id
from otcdesk.domain.proposals import Proposal
from otcdesk.domain.resales import Mandate, ResaleTerms
from otcdesk.domain.world_resales import FEE_PERCENT_MAX
from otcdesk.errors import Code, Refusal


class Fees(Command, frozen=True, kw_only=True):
    """What is taken of each sale, in percent; `fees` is the table that these are part of, as JSON."""

    otc_fee_percent: Decimal
    secondary_fee_percent: Decimal
    primary_fee_percent: Decimal
    fees: str


class SetBranchFees(Fees, frozen=True, kw_only=True):
    """What a branch takes."""

    branch_id: UUID
    mandate: Mandate


class SetDeskFees(Fees, frozen=True, kw_only=True):
    """What the desk takes."""


class TermsReply(Reply, frozen=True, kw_only=True):
    """The terms after it, or as they are while the proposal waits."""

    terms: ResaleTerms
    proposal: Proposal | None = None


#: The fees that are charged.
_PERCENTS = tuple(name for name in Fees.__struct_fields__ if name != "fees")


def set_branch_fees(command: SetBranchFees, books: Books, moment: Moment) -> BranchReply:
    """Set a branch's fees; refuses BRANCH_NOT_FOUND, NOT_PERMITTED, FEE_EXCESSIVE (deals contract, 3.15)."""
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    changed = branch.with_(**_fees(command))
    if changed != branch:
        books.put(changed)
    return BranchReply(branch=changed)


def set_desk_fees(command: SetDeskFees, books: Books, moment: Moment) -> TermsReply:
    """Set the desk's fees, or propose to; refuses FEE_EXCESSIVE, PROPOSAL_OPEN, PROPOSAL_STALE."""
    known = books.find(ResaleTerms, ONLY)
    before = terms_of(books)
    changed = before.with_(**_fees(command))
    proposal = second_needed(
        books,
        moment,
        action=set_desk_fees,
        command=command,
        duty=duties.TERMS_SET,
        subject_id=FEES_SUBJECT,
        always=_changed_much(books, before, changed),
        seen={"before": before, "after": changed},
    )
    if proposal is not None:
        return TermsReply(terms=before, proposal=proposal)
    if known is None:
        books.add(changed)
    elif changed != known:
        books.put(changed)
    return TermsReply(terms=changed)


#: What proposals to change the desk's fees are about.
FEES_SUBJECT = declared_id("desk fees")


def _changed_much(books: Books, before: ResaleTerms, after: ResaleTerms) -> bool:
    """Tell whether a fee changes by more than one person may change it; a percent is a hundred ten-thousandths."""
    bps_max = guard_terms(books).spread_change_bps_max
    if bps_max is None:
        return False
    return any(abs(getattr(after, fee) - getattr(before, fee)) * 100 > bps_max for fee in _PERCENTS)


def _fees(command: Fees) -> dict[str, object]:
    percents = {name: getattr(command, name) for name in _PERCENTS}
    if not all(0 <= value < FEE_PERCENT_MAX for value in percents.values()):
        raise Refusal(Code.FEE_EXCESSIVE)
    return {**percents, "fees": command.fees}
