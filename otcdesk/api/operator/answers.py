"""What is answered to commands that may wait for a second person: the same, done at once or by the second one.

Done, it is what the command's own route answers. What waits is answered 202, with whatever it is about as it still is
and the proposal beside it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from otcdesk.actions.adjust_payout import PayoutAdjusted
from otcdesk.actions.approve_conversion import ApprovalReply
from otcdesk.actions.move_value import Booked
from otcdesk.actions.set_fees import TermsReply
from otcdesk.actions.set_guards import GuardReply, GuardTermsReply
from otcdesk.actions.set_limit import LimitReply
from otcdesk.actions.set_spread import SpreadReply
from otcdesk.api.dialect import Call
from otcdesk.api.http import Answer
from otcdesk.api.operator import limit_shapes, order_shapes, proposal_shapes, resale_shapes, shapes
from otcdesk.domain.assets import ListedAsset
from otcdesk.domain.commands import Reply
from otcdesk.domain.conversions import PENDING_APPROVAL
from otcdesk.domain.proposals import Proposal, ProposalNow
from otcdesk.errors import Code, Refusal

#: What a route that answers so says of it in its document.
WAITS: Final = {202: "It waits for a second person; beside the data is the proposal"}

_ACCEPTED: Final = 202


async def approval(call: Call, reply: ApprovalReply) -> shapes.OperatorOrder:
    """Wait a while for the rail of an order that is approved; refuses RAIL_UNAVAILABLE if that provably did nothing."""
    if reply.proposal is not None:
        return shapes.order_answer(reply.order)
    within_ms = call.desk.settings.approval_wait_ms
    order = await call.services.settlement.outcome(call.caller.lane, reply.order, within_ms)
    if order.state == PENDING_APPROVAL:
        raise Refusal(Code.RAIL_UNAVAILABLE, order.reason)
    return shapes.order_answer(order)


async def booking(call: Call, reply: Booked) -> dict[str, Any]:
    """Render a booking."""
    return shapes.booked_answer(reply, await scales_of(call))


async def payout_adjusted(call: Call, reply: PayoutAdjusted) -> order_shapes.AnyOrder:
    """Render the order that corrects a payout."""
    facts = order_shapes.Facts(quotes={}, payments={reply.order.id: reply.payment})
    return order_shapes.any_order_answer(reply.order, facts, await scales_of(call))


async def desk_fees(call: Call, reply: TermsReply) -> resale_shapes.DeskFeesAnswer:  # noqa: ARG001  (one of a table)
    """Render the desk's fees."""
    return resale_shapes.fees_answer(reply.terms)


async def guard(call: Call, reply: GuardReply) -> proposal_shapes.GuardAnswer:
    """Render an asset's guard."""
    return proposal_shapes.guard_answer(reply.guard, (await scales_of(call))[reply.guard.asset])


async def guard_terms(call: Call, reply: GuardTermsReply) -> proposal_shapes.GuardTermsAnswer:  # noqa: ARG001
    """Render what guards the whole desk."""
    return proposal_shapes.guard_terms_answer(reply.terms)


async def limit(call: Call, reply: LimitReply) -> limit_shapes.LimitAnswer:
    """Render a limit."""
    now = await call.desk.business_time(call.caller.lane)
    return limit_shapes.limit_answer(reply.limit, now, (await scales_of(call))[reply.limit.asset])


async def spread(call: Call, reply: SpreadReply) -> limit_shapes.SpreadAnswer:
    """Render a spread."""
    return limit_shapes.spread_answer(reply.spread, await call.desk.business_time(call.caller.lane))


#: How each reply to a command that may wait is rendered.
RENDERED: Final[Mapping[type[Reply], Callable[[Call, Any], Awaitable[Any]]]] = {
    ApprovalReply: approval,
    Booked: booking,
    PayoutAdjusted: payout_adjusted,
    TermsReply: desk_fees,
    GuardReply: guard,
    GuardTermsReply: guard_terms,
    LimitReply: limit,
    SpreadReply: spread,
}


async def answer_to(call: Call, reply: Any, status: int = 200) -> Answer:
    """Answer a command that was carried out, with its route's own status, or that waits."""
    said = await RENDERED[type(reply)](call, reply)
    if reply.proposal is None:
        return Answer(status, {"data": said})
    shown = msgspec.json.decode(msgspec.json.encode(said))
    return Answer(_ACCEPTED, {"data": {**shown, "proposal": await proposal_shown(call, reply.proposal)}})


async def proposal_shown(call: Call, proposal: Proposal) -> proposal_shapes.ProposalAnswer:
    """Render a proposal of which is known that its order has not changed since."""
    now = await call.desk.business_time(call.caller.lane)
    known = ProposalNow(proposal=proposal, version=proposal.subject_version)
    return proposal_shapes.proposal_answer(known, now, await scales_of(call))


async def scales_of(call: Call) -> dict[str, int]:
    """Return how many decimals the assets of the caller's lane have."""
    rows = await call.desk.reads.rows("lanes", "assets", ListedAsset, call.caller.lane)
    return {row.code: row.scale for row in rows}
