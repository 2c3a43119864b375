"""What a branch, and the desk, take of sales from now on; a purchase that is under way costs what it did."""

from decimal import Decimal
from uuid import UUID

from otcdesk.actions.resale_checks import check_mandate, found_branch, terms_of
from otcdesk.actions.switch_negotiation import BranchReply
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.lanes import ONLY
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
    """The terms after it."""

    terms: ResaleTerms


def set_branch_fees(command: SetBranchFees, books: Books, moment: Moment) -> BranchReply:
    """Set a branch's fees; refuses BRANCH_NOT_FOUND, NOT_PERMITTED, FEE_EXCESSIVE (deals contract, 3.15)."""
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    changed = branch.with_(**_fees(command))
    if changed != branch:
        books.put(changed)
    return BranchReply(branch=changed)


def set_desk_fees(command: SetDeskFees, books: Books, moment: Moment) -> TermsReply:  # noqa: ARG001  (an action's shape)
    """Set the desk's fees; refuses FEE_EXCESSIVE."""
    known = books.find(ResaleTerms, ONLY)
    changed = terms_of(books).with_(**_fees(command))
    if known is None:
        books.add(changed)
    elif changed != known:
        books.put(changed)
    return TermsReply(terms=changed)


def _fees(command: Fees) -> dict[str, object]:
    percents = {name: getattr(command, name) for name in Fees.__struct_fields__ if name != "fees"}
    if not all(0 <= value < FEE_PERCENT_MAX for value in percents.values()):
        raise Refusal(Code.FEE_EXCESSIVE)
    return {**percents, "fees": command.fees}
