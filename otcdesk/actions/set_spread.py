"""Set what the desk keeps of the market rate for a tenant and a direction: at once, or from a time on."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from otcdesk.actions.four_eyes import guard_terms, second_needed
from otcdesk.domain.commands import Books, Command, Moment, Reply
from otcdesk.domain.duties import TERMS_SET
from otcdesk.domain.guards import GuardTerms
from otcdesk.domain.lanes import ONLY
from otcdesk.domain.parties import Tenant, declared_id
from otcdesk.domain.pricing import Spread
from otcdesk.domain.proposals import OpenProposal, Proposal
from otcdesk.errors import Code, Refusal

#: A spread is less than all of the rate.
BPS_MAX: Final = 9_999


class SetSpread(Command, frozen=True, kw_only=True):
    """Keep `bps` ten-thousandths from a time on; None: from now on. It takes the place of a change decided ahead."""

    tenant_id: UUID
    source_asset: str
    destination_asset: str
    bps: int
    effective_from: datetime | None = None
    why: str = ""


class SpreadReply(Reply, frozen=True, kw_only=True):
    """The spread after it, or as it is while a change waits for a second person."""

    spread: Spread
    proposal: Proposal | None = None


def set_spread(command: SetSpread, books: Books, moment: Moment) -> SpreadReply:
    """Set a spread. Quotes that were made keep theirs.

    Refuses, in this order: TENANT_NOT_FOUND, SPREAD_NOT_FOUND (a pair that the tenant does not convert),
    SPREAD_EXCESSIVE, EFFECTIVE_IN_PAST; where the change is larger than one person makes also as
    `four_eyes.second_needed`. It is measured against what is in force now.
    """
    key = (command.tenant_id, command.source_asset, command.destination_asset)
    books.want((Tenant, command.tenant_id), (Spread, key), (GuardTerms, ONLY), (OpenProposal, spread_id(*key)))
    tenant = books.find(Tenant, command.tenant_id)
    if tenant is None:
        raise Refusal(Code.TENANT_NOT_FOUND)
    spread = books.find(Spread, key)
    if spread is None:
        raise Refusal(Code.SPREAD_NOT_FOUND)
    if not 0 <= command.bps <= BPS_MAX:
        raise Refusal(Code.SPREAD_EXCESSIVE)
    effective_from = command.effective_from and command.effective_from.astimezone(UTC)
    if effective_from is not None and effective_from <= moment.now:
        raise Refusal(Code.EFFECTIVE_IN_PAST)
    in_force, most = spread.bps_at(moment.now), guard_terms(books).spread_change_bps_max
    proposal = second_needed(
        books,
        moment,
        action=set_spread,
        command=command,
        duty=TERMS_SET,
        subject_id=spread_id(*key),
        seen=_seen(tenant, spread, command, moment),
        always=most is not None and abs(command.bps - in_force) > most,
        why=command.why,
    )
    if proposal is not None:
        return SpreadReply(spread=spread, proposal=proposal)
    changed = spread.with_(bps=in_force, next_bps=command.bps, next_from=effective_from or moment.now)
    books.put(changed)
    return SpreadReply(spread=changed)


def spread_id(tenant_id: UUID, source_asset: str, destination_asset: str) -> UUID:
    """Return the id by which proposals call a spread, so that one waits for each."""
    return declared_id("spread", str(tenant_id), source_asset, destination_asset)


def _seen(tenant: Tenant, spread: Spread, command: SetSpread, moment: Moment) -> dict[str, object]:
    """Return what the first person was shown: whose spread it is, what is in force, and what was decided ahead."""
    ahead = spread.ahead(moment.now)
    return {
        "tenant": tenant.name,
        "pair": [spread.source_asset, spread.destination_asset],
        "bps": spread.bps_at(moment.now),
        "next_bps": ahead.bps if ahead else None,
        "next_from": ahead.effective_from if ahead else None,
        "bps_after": command.bps,
        "effective_from": command.effective_from,
    }
