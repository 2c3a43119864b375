"""Proposals and guards on the operator's wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from otcdesk.actions.set_guards import SetGuard, SetGuardTerms
from otcdesk.api.operator.shapes import AmountText, Words
from otcdesk.api.wire import DecimalText, PageQuery, TimeText, UuidText, time_text
from otcdesk.clock import iso_milliseconds
from otcdesk.domain.guards import BPS_MAX, PROPOSAL_SECONDS_MAX, Guard, GuardTerms
from otcdesk.domain.proposals import ProposalNow
from otcdesk.errors import Code, Refusal
from otcdesk.money import parse_units, print_units

State = Literal["open", "carried_out", "withdrawn", "expired", "stale"]
Bps = Annotated[int, Meta(ge=0, le=BPS_MAX)]


class ProposalsQuery(PageQuery, kw_only=True):
    """Paging, and perhaps only proposals of one state."""

    state: State | msgspec.UnsetType = msgspec.UNSET


class WhyRequest(msgspec.Struct, kw_only=True):
    """Why."""

    reason: Words = ""


class GuardRequest(msgspec.Struct, kw_only=True):
    """The guard of an asset, as decimals of it (none: at no size), and why."""

    secondFrom: AmountText | None  # noqa: N815  (wire name)
    typedFrom: AmountText | None  # noqa: N815
    exposureMax: AmountText | None  # noqa: N815
    reason: Words


class GuardTermsRequest(msgspec.Struct, kw_only=True):
    """What guards the whole desk, in ten-thousandths and seconds, and why."""

    deviationBpsMax: Bps | None  # noqa: N815
    spreadChangeBpsMax: Bps | None  # noqa: N815
    limitsSecond: bool  # noqa: N815
    proposalSeconds: Annotated[int, Meta(ge=1, le=PROPOSAL_SECONDS_MAX)]  # noqa: N815
    reason: Words


class ProposalAnswer(msgspec.Struct, kw_only=True):
    """A command that waits, or waited, for a second person.

    `command` is what is carried out and `seen` what the first person was shown; both are in the desk's own words, their
    amounts in the smallest units. `amount` is what made it need a second person, if an amount did. A `stale` one is
    about an order that has changed since: nobody can carry it out any more.
    """

    id: UuidText
    verb: str
    duty: str
    state: State
    subjectId: UuidText  # noqa: N815
    subjectVersion: int | None  # noqa: N815
    asset: str | None
    amount: DecimalText | None
    command: msgspec.Raw
    seen: msgspec.Raw
    why: str
    proposedBy: str  # noqa: N815
    proposedAt: TimeText  # noqa: N815
    expiresAt: TimeText  # noqa: N815
    decidedBy: str | None  # noqa: N815
    decidedAt: TimeText | None  # noqa: N815
    decidedWhy: str | None  # noqa: N815


class GuardAnswer(msgspec.Struct, kw_only=True):
    """The guard of an asset."""

    asset: str
    secondFrom: DecimalText | None  # noqa: N815
    typedFrom: DecimalText | None  # noqa: N815
    exposureMax: DecimalText | None  # noqa: N815


class GuardTermsAnswer(msgspec.Struct, kw_only=True):
    """What guards the whole desk."""

    deviationBpsMax: int | None  # noqa: N815
    spreadChangeBpsMax: int | None  # noqa: N815
    limitsSecond: bool  # noqa: N815
    proposalSeconds: int  # noqa: N815


class GuardsAnswer(GuardTermsAnswer, kw_only=True):
    """All guards."""

    assets: list[GuardAnswer]


def proposal_answer(known: ProposalNow, now: datetime, scales: Mapping[str, int]) -> ProposalAnswer:
    """Render a proposal as the clock and its order have it."""
    proposal = known.proposal
    units, asset = proposal.units, proposal.asset
    return ProposalAnswer(
        id=str(proposal.id),
        verb=proposal.verb,
        duty=proposal.duty,
        state=known.state_at(now),  # type: ignore[arg-type]
        subjectId=str(proposal.subject_id),
        subjectVersion=proposal.subject_version,
        asset=asset,
        amount=None if units is None or asset is None else print_units(units, scales[asset]),
        command=msgspec.Raw(proposal.command.encode()),
        seen=msgspec.Raw(proposal.seen.encode()),
        why=proposal.why,
        proposedBy=proposal.proposed_by,
        proposedAt=iso_milliseconds(proposal.proposed_at),
        expiresAt=iso_milliseconds(proposal.expires_at),
        decidedBy=proposal.decided_by,
        decidedAt=time_text(proposal.decided_at),
        decidedWhy=proposal.decided_why,
    )


def guard_answer(guard: Guard, scale: int) -> GuardAnswer:
    """Render an asset's guard."""
    return GuardAnswer(
        asset=guard.asset,
        secondFrom=_printed(guard.second_from_units, scale),
        typedFrom=_printed(guard.typed_from_units, scale),
        exposureMax=_printed(guard.exposure_units_max, scale),
    )


def guard_terms_answer(terms: GuardTerms) -> GuardTermsAnswer:
    """Render what guards the whole desk."""
    return GuardTermsAnswer(
        deviationBpsMax=terms.deviation_bps_max,
        spreadChangeBpsMax=terms.spread_change_bps_max,
        limitsSecond=terms.limits_second,
        proposalSeconds=terms.proposal_seconds,
    )


def guards_answer(terms: GuardTerms, guards: list[Guard], scales: Mapping[str, int]) -> GuardsAnswer:
    """Render all guards."""
    return GuardsAnswer(
        **msgspec.structs.asdict(guard_terms_answer(terms)),
        assets=[guard_answer(guard, scales[guard.asset]) for guard in guards],
    )


def guard_command(asset: str, body: GuardRequest, scale: int) -> SetGuard:
    """Return the command that sets an asset's guard; refuses REQUEST_INVALID."""
    return SetGuard(
        asset=asset,
        second_from_units=_units(body.secondFrom, scale),
        typed_from_units=_units(body.typedFrom, scale),
        exposure_units_max=_units(body.exposureMax, scale),
        why=body.reason,
    )


def guard_terms_command(body: GuardTermsRequest) -> SetGuardTerms:
    """Return the command that sets what guards the whole desk."""
    return SetGuardTerms(
        deviation_bps_max=body.deviationBpsMax,
        spread_change_bps_max=body.spreadChangeBpsMax,
        limits_second=body.limitsSecond,
        proposal_seconds=body.proposalSeconds,
        why=body.reason,
    )


def _printed(units: int | None, scale: int) -> str | None:
    return None if units is None else print_units(units, scale)


def _units(text: str | None, scale: int) -> int | None:
    if text is None:
        return None
    units = parse_units(text, scale)
    if units is None:
        raise Refusal(Code.REQUEST_INVALID, f"A guard must be a decimal with at most {scale} places.")
    return units
