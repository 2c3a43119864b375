"""Limit how much of an asset a tenant or a party may turn over: in one order, in a day, in a month."""

from uuid import UUID

from otcdesk.actions.four_eyes import guard_terms, second_needed
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.duties import LIMITS_SET
from otcdesk.domain.guards import GuardTerms
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.limits import BOUNDS, Limit
from otcdesk.domain.parties import Party, Tenant, declared_id
from otcdesk.domain.proposals import OpenProposal, Proposal
from otcdesk.errors import Code, Refusal
from otcdesk.money import UNITS_MAX


class SetLimit(Command, frozen=True, kw_only=True):
    """Set what a tenant or a party may turn over of an asset, in units; None: any amount. What is counted stays so."""

    subject_id: UUID
    asset: str
    order_units_max: int | None
    day_units_max: int | None
    month_units_max: int | None
    why: str = ""


class LimitReply(Reply, frozen=True, kw_only=True):
    """The limit after it, or as it is while a change waits for a second person."""

    limit: Limit
    proposal: Proposal | None = None


def set_limit(command: SetLimit, books: Books, moment: Moment) -> LimitReply:
    """Set a limit.

    Refuses, in this order: LIMIT_SUBJECT_NOT_FOUND, ASSET_NOT_FOUND, AMOUNT_TOO_SMALL, AMOUNT_TOO_LARGE; where limits
    are raised by two people also as `four_eyes.second_needed`. Whoever lowers one, or sets the first, does it alone.
    """
    key = (command.subject_id, command.asset)
    books.want(
        (Tenant, command.subject_id),
        (Party, command.subject_id),
        (ListedAsset, command.asset),
        (Limit, key),
        (GuardTerms, ONLY),
        (OpenProposal, limit_id(*key)),
    )
    subject = books.find(Tenant, command.subject_id) or books.find(Party, command.subject_id)
    if subject is None:
        raise Refusal(Code.LIMIT_SUBJECT_NOT_FOUND)
    if books.find(ListedAsset, command.asset) is None:
        raise Refusal(Code.ASSET_NOT_FOUND)
    known = books.find(Limit, key)
    before = known or Limit(subject_id=command.subject_id, asset=command.asset)
    after = before.with_(**{f"{bound}_units_max": getattr(command, f"{bound}_units_max") for bound in BOUNDS})
    _check_bounds(after)
    if known is not None and known == after:
        return LimitReply(limit=known)
    proposal = second_needed(
        books,
        moment,
        action=set_limit,
        command=command,
        duty=LIMITS_SET,
        subject_id=limit_id(*key),
        seen=_seen(subject, before, after),
        always=guard_terms(books).limits_second and after.allows_more_than(before),
        why=command.why,
    )
    if proposal is not None:
        return LimitReply(limit=before, proposal=proposal)
    (books.add if known is None else books.put)(after)
    if subject.limited is not True:
        books.put(subject.with_(limited=True))
    return LimitReply(limit=after)


def limit_id(subject_id: UUID, asset: str) -> UUID:
    """Return the id by which proposals call a limit, so that one waits for each."""
    return declared_id("limit", str(subject_id), asset)


def _check_bounds(limit: Limit) -> None:
    bounds = [bound for bound in limit.bounds if bound is not None]
    if any(bound < 0 for bound in bounds):
        raise Refusal(Code.AMOUNT_TOO_SMALL, "A limit is not less than nothing.")
    if any(bound > UNITS_MAX for bound in bounds):
        raise Refusal(Code.AMOUNT_TOO_LARGE, "A limit is not more than the desk can count.")


def _seen(subject: Tenant | Party, before: Limit, after: Limit) -> dict[str, object]:
    """Return what the first person was shown: whose limit it is, and its bounds before and after, in units."""
    return {
        "subject": subject.name if isinstance(subject, Tenant) else subject.external_id,
        "asset": after.asset,
        "before": dict(zip(BOUNDS, before.bounds, strict=True)),
        "after": dict(zip(BOUNDS, after.bounds, strict=True)),
    }
