"""Change what the desk has people look at twice: always by two people, for whoever could lower a guard alone has none.

Only a world file sets guards otherwise, and that is loaded on the desk's own machine.
"""

from uuid import UUID

from otcdesk.actions.four_eyes import keep, second_needed
from otcdesk.domain import duties
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.parties import declared_id
from otcdesk.domain.proposals import Proposal
from otcdesk.errors import Code, Refusal


class SetGuard(Command, frozen=True, kw_only=True):
    """The guard of an asset from now on, in its units (None: at no size), and why."""

    asset: str
    second_from_units: int | None
    typed_from_units: int | None
    exposure_units_max: int | None
    why: str


class SetGuardTerms(Command, frozen=True, kw_only=True):
    """What guards the whole lane from now on, and why."""

    deviation_bps_max: int | None
    spread_change_bps_max: int | None
    limits_second: bool
    proposal_seconds: int
    why: str


class GuardReply(Reply, frozen=True, kw_only=True):
    """The guard as it is now, and the proposal if that is not what was asked for yet."""

    guard: Guard
    proposal: Proposal | None = None


class GuardTermsReply(Reply, frozen=True, kw_only=True):
    """The terms as they are now, and the proposal if that is not what was asked for yet."""

    terms: GuardTerms
    proposal: Proposal | None = None


def set_guard(command: SetGuard, books: Books, moment: Moment) -> GuardReply:
    """Set an asset's guard; refuses ASSET_NOT_FOUND, PROPOSAL_OPEN, PROPOSAL_STALE."""
    books.want((ListedAsset, command.asset), (Guard, command.asset))
    if books.find(ListedAsset, command.asset) is None:
        raise Refusal(Code.ASSET_NOT_FOUND)
    before = books.find(Guard, command.asset) or Guard(asset=command.asset)
    after = Guard(
        asset=command.asset,
        second_from_units=command.second_from_units,
        typed_from_units=command.typed_from_units,
        exposure_units_max=command.exposure_units_max,
    )
    proposal = second_needed(
        books,
        moment,
        action=set_guard,
        command=command,
        duty=duties.GUARDS_SET,
        subject_id=guard_subject(command.asset),
        seen={"before": before, "after": after},
        always=True,
        why=command.why,
    )
    if proposal is not None:
        return GuardReply(guard=before, proposal=proposal)
    keep(books, after)
    return GuardReply(guard=after)


def set_guard_terms(command: SetGuardTerms, books: Books, moment: Moment) -> GuardTermsReply:
    """Set what guards the whole lane; refuses PROPOSAL_OPEN, PROPOSAL_STALE."""
    before = books.find(GuardTerms, ONLY) or GuardTerms()
    after = GuardTerms(
        deviation_bps_max=command.deviation_bps_max,
        spread_change_bps_max=command.spread_change_bps_max,
        limits_second=command.limits_second,
        proposal_seconds=command.proposal_seconds,
    )
    proposal = second_needed(
        books,
        moment,
        action=set_guard_terms,
        command=command,
        duty=duties.GUARDS_SET,
        subject_id=TERMS_SUBJECT,
        seen={"before": before, "after": after},
        always=True,
        why=command.why,
    )
    if proposal is not None:
        return GuardTermsReply(terms=before, proposal=proposal)
    keep(books, after)
    return GuardTermsReply(terms=after)


def guard_subject(asset: str) -> UUID:
    """Return what proposals to change an asset's guard are about."""
    return declared_id("guard", asset)


#: What proposals to change the lane's terms are about.
TERMS_SUBJECT = declared_id("guard terms")
