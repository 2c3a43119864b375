"""Let the parties of a branch's instruments trade with each other over the counter, and negotiate; or no longer."""

from uuid import UUID

from otcdesk.actions.resale_checks import check_mandate, found_branch
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.resales import Branch, Mandate


class SwitchNegotiation(Command, frozen=True, kw_only=True):
    """Whether parties may take each other's listings of what a branch has issued."""

    branch_id: UUID
    is_open: bool
    mandate: Mandate


class BranchReply(Reply, frozen=True, kw_only=True):
    """The branch as it is now."""

    branch: Branch


def switch_negotiation(command: SwitchNegotiation, books: Books, moment: Moment) -> BranchReply:
    """Switch it; what is under way goes on, and bids can be declined and withdrawn.

    Refuses, in this order: BRANCH_NOT_FOUND, NOT_PERMITTED.
    """
    branch = found_branch(books, moment, command.branch_id)
    check_mandate(command.mandate, branch)
    if branch.parties_trade != command.is_open:
        branch = branch.with_(parties_trade=command.is_open)
        books.put(branch)
    return BranchReply(branch=branch)
