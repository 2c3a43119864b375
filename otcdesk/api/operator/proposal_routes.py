"""Proposals, which wait for a second person, and the guards that make them wait."""

from typing import Any, get_args

import msgspec

from otcdesk.actions.second_proposal import SecondProposal, WithdrawProposal
from otcdesk.api.dialect import Call, Route
from otcdesk.api.http import Answer
from otcdesk.api.operator import proposal_shapes as shapes
from otcdesk.api.operator.answers import WAITS, answer_to, proposal_shown, scales_of
from otcdesk.api.wire import page_of, paged
from otcdesk.credentials import OPERATOR_SCOPE
from otcdesk.domain.guards import Guard, GuardTerms
from otcdesk.domain.proposals import ProposalNow
from otcdesk.errors import Code, Refusal

_STATES = get_args(shapes.State)


class ProposalPage(msgspec.Struct, frozen=True):
    """A page of proposals, and how many there are in all."""

    rows: list[ProposalNow]
    total: int = 0


async def list_proposals(call: Call) -> Answer:
    """List the proposals, newest first, perhaps of one state."""
    page, lane, state = page_of(call.request.query), call.caller.lane, call.request.query.get("state")
    if state is not None and state not in _STATES:
        raise Refusal(Code.REQUEST_INVALID, f"The state must be one of {', '.join(_STATES)}.")
    now, scales = await call.desk.business_time(lane), await scales_of(call)
    found = await call.desk.reads.row("proposals", "page", ProposalPage, lane, state, now, page.limit, page.offset)
    found = found or ProposalPage([])
    return Answer(200, paged([shapes.proposal_answer(row, now, scales) for row in found.rows], page, found.total))


async def read_proposal(call: Call) -> shapes.ProposalAnswer:
    """Show a proposal."""
    proposal_id = call.path_id("id", Code.PROPOSAL_NOT_FOUND)
    found = await call.desk.reads.row("proposals", "one", ProposalNow, call.caller.lane, proposal_id)
    if found is None:
        raise Refusal(Code.PROPOSAL_NOT_FOUND)
    return shapes.proposal_answer(found, await call.desk.business_time(call.caller.lane), await scales_of(call))


async def second(call: Call) -> Answer:
    """Carry out what another has proposed; answers as what was proposed is answered."""
    command = SecondProposal(proposal_id=call.path_id("id", Code.PROPOSAL_NOT_FOUND), why=call.body.reason)
    seconded = await call.submit(command, why=call.body.reason)
    return await answer_to(call, seconded.answered())


async def withdraw(call: Call) -> shapes.ProposalAnswer:
    """Take a proposal back, or turn it down."""
    command = WithdrawProposal(proposal_id=call.path_id("id", Code.PROPOSAL_NOT_FOUND), why=call.body.reason)
    return await proposal_shown(call, (await call.submit(command, why=call.body.reason)).proposal)


async def read_guards(call: Call) -> shapes.GuardsAnswer:
    """Show the guards."""
    reads, lane = call.desk.reads, call.caller.lane
    terms = await reads.row("proposals", "guard_terms", GuardTerms, lane) or GuardTerms()
    guards = await reads.rows("proposals", "guards", Guard, lane)
    return shapes.guards_answer(terms, guards, await scales_of(call))


async def set_guard_terms(call: Call) -> Answer:
    """Propose what guards the whole desk."""
    return await answer_to(call, await call.submit(shapes.guard_terms_command(call.body), why=call.body.reason))


async def set_guard(call: Call) -> Answer:
    """Propose an asset's guard."""
    asset, scales = call.path_text("asset"), await scales_of(call)
    if asset not in scales:
        raise Refusal(Code.ASSET_NOT_FOUND)
    command = shapes.guard_command(asset, call.body, scales[asset])
    return await answer_to(call, await call.submit(command, why=call.body.reason))


_FOUND = (Code.PROPOSAL_NOT_FOUND, Code.PROPOSAL_OVER, Code.DUTY_MISSING)

#: What a second person may meet besides what everybody meets: whatever what was proposed is refused with.
_SECOND = (
    Code.SAME_PERSON,
    Code.PROPOSAL_STALE,
    Code.ORDER_NOT_FOUND,
    Code.INVALID_STATE,
    Code.PRICE_UNAVAILABLE,
    Code.AMOUNT_TOO_SMALL,
    Code.AMOUNT_TOO_LARGE,
    Code.RATE_DEVIATES,
    Code.SOURCE_CUSTODY_INSUFFICIENT,
    Code.TREASURY_INSUFFICIENT,
    Code.RAIL_UNAVAILABLE,
    Code.ACCOUNT_NOT_FOUND,
    Code.BALANCE_INSUFFICIENT,
    Code.FEE_EXCESSIVE,
    Code.ASSET_NOT_FOUND,
)


def _route(method: str, path: str, handler: Any, summary: str, answer: Any, *refuses: Code, **how: Any) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        summary=summary,
        scope=OPERATOR_SCOPE,
        answer=answer,
        refuses=refuses,
        **how,
    )


ROUTES = (
    _route(
        "GET",
        "/proposals",
        list_proposals,
        "List what waits or waited for a second person, newest first",
        list[shapes.ProposalAnswer],
        query=shapes.ProposalsQuery,
    ),
    _route("GET", "/proposals/{id}", read_proposal, "Show a proposal", shapes.ProposalAnswer, Code.PROPOSAL_NOT_FOUND),
    _route(
        "POST",
        "/proposals/{id}/second",
        second,
        "Carry out as the second person what another has proposed; answers as that is answered",
        dict[str, Any],
        *_FOUND,
        *_SECOND,
        body=shapes.WhyRequest,
        body_optional=True,
    ),
    _route(
        "POST",
        "/proposals/{id}/withdraw",
        withdraw,
        "Take a proposal back, or turn it down",
        shapes.ProposalAnswer,
        *_FOUND,
        body=shapes.WhyRequest,
        body_optional=True,
    ),
    _route("GET", "/guards", read_guards, "Show what takes two people", shapes.GuardsAnswer),
    _route(
        "PUT",
        "/guards",
        set_guard_terms,
        "Propose what guards the whole desk",
        shapes.GuardTermsAnswer,
        Code.PROPOSAL_OPEN,
        body=shapes.GuardTermsRequest,
        also=WAITS,
    ),
    _route(
        "PUT",
        "/guards/{asset}",
        set_guard,
        "Propose the sizes from which an asset takes two people",
        shapes.GuardAnswer,
        Code.ASSET_NOT_FOUND,
        Code.PROPOSAL_OPEN,
        body=shapes.GuardRequest,
        also=WAITS,
    ),
)
